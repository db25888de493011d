"""Stored results as Python sees them: tables, leaderboards and audits of whatever is in some folders and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.api.notebook import grids_of, text_of
from evalkit.api.plots import drawn
from evalkit.api.tables import on_disk
from evalkit.core.protocols import Bias, UsageError
from evalkit.decisions import compare_tables
from evalkit.decisions.compare import Comparison, compare, labels_of
from evalkit.evidence.findings import AgreementRow, Audit
from evalkit.ratings import refusals
from evalkit.ratings.beside import side_by_side
from evalkit.ratings.leaderboard import APPLIES_TO, METHODS, Choices, kinds, rate, usual_method, why_nothing
from evalkit.ratings.scores import METHOD
from evalkit.ratings.standing import Board
from evalkit.reports import (
    audit_drawn,
    audit_output,
    leaderboard_figures,
    leaderboard_grid,
    leaderboard_page,
    leaderboard_tables,
)
from evalkit.reports.audit_verdict import verdict
from evalkit.reports.grid import Grid
from evalkit.storage import frames
from evalkit.storage.results import answer_logs, judged_rows, judgment_files, known_items

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

    from evalkit.api.ranked_judges import RankedJudges
    from evalkit.api.tables import TableLike
    from evalkit.publish.claim_card import ClaimCard
    from evalkit.publish.methods import Citation
    from evalkit.publish.verification import Verification


@dataclass(frozen=True)
class Leaderboard:
    """Models as judges rate them; `Results.leaderboard` makes it."""

    board: Board
    by_category: bool = False
    choices: Choices | None = field(default=None, repr=False)
    """What it was made from."""

    @property
    def frame(self) -> DataFrame:
        """One row a model and judge (and category, where it is by category), best first, as ``--format json`` has it.

        Every estimate has its 95% limits beside it: the main one ``lower`` and ``upper``, others ``NAME_lower`` and
        ``NAME_upper``. What was not rated has missing values; the notes say why.
        """
        from pandas import DataFrame

        return DataFrame(leaderboard_tables.rows(self.board.standings, by_category=self.by_category))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the data and of each table."""
        listed = [*self.board.notes, *(note for row in self.board.standings for note in row.about.notes)]
        return tuple(dict.fromkeys(listed))

    def to_latex(self) -> str:
        """The tables in the style of the booktabs package."""
        return leaderboard_tables.to_latex(self._grids())

    def to_markdown(self) -> str:
        """The tables as Markdown."""
        return leaderboard_tables.to_markdown(self._grids())

    def to_json(self) -> str:
        """The tables as JSON, schema ``evalkit.leaderboard/1``."""
        return leaderboard_tables.to_json(self.board.standings, self.board.notes, by_category=self.by_category)

    def to_html(self) -> str:
        """The tables and their figures as one page, which needs no network."""
        return leaderboard_page.page(self._grids(), self.board.notes)

    def plot(self, kind: str = "ratings", *, number: int | None = None) -> Drawing:
        """Draw it as a Matplotlib figure, which ``savefig`` writes and a notebook shows.

        Args:
            kind: ratings, matrix (who is preferred to whom), categories or length (of win rates).
            number: which, from 1, where there are several: one for each benchmark, judge and protocol.

        Raises:
            UsageError: there is no such figure, or there are several.
        """
        if self.choices is None:
            raise UsageError("only a leaderboard that Results.leaderboard() made can be drawn")
        return drawn(leaderboard_figures.figures(kind, self.choices), number)

    def _grids(self) -> list[Grid]:
        standings = self.board.standings
        return leaderboard_grid.all_grids(standings, side_by_side(standings), by_category=self.by_category)

    def _repr_html_(self) -> str:
        """The tables as a notebook shows them."""
        return grids_of(self._grids())


@dataclass(frozen=True)
class AuditResult:
    """How far judges can be trusted; `Results.audit` makes it."""

    audit: Audit

    @property
    def findings(self) -> DataFrame:
        """One row a finding: ``judge, metric, category, estimate, lower, upper, n, sentence, not_measurable``, ..."""
        from pandas import DataFrame

        rows = [
            {
                "benchmark": row.benchmark,
                "judge": row.judge,
                "protocol": row.protocol,
                "metric": row.metric,
                "label": row.measure.label,
                "unit": row.measure.unit.name,
                "unbiased": row.measure.unbiased,
                "category": row.category,
                "estimate": row.estimate,
                "lower": row.lower,
                "upper": row.upper,
                "n": row.n,
                "questions": row.questions,
                "sentence": row.sentence,
                "not_measurable": row.not_measurable,
            }
            for row in self.audit.findings
        ]
        return DataFrame(rows)

    @property
    def agreement(self) -> DataFrame:
        """One row a pair of raters, turn, setup and category: ``agree`` of ``total`` votes, with 95% limits."""
        from pandas import DataFrame

        names = [name for name in AgreementRow.__dataclass_fields__ if name != "alike"]
        return DataFrame([vars(row) for row in self.audit.agreement], columns=names)

    @property
    def ratings(self) -> DataFrame:
        """One row a model and rater: models as judges rate them, beside people."""
        from pandas import DataFrame

        return DataFrame([vars(row) for row in self.audit.ratings])

    @property
    def conclusions(self) -> DataFrame:
        """One row a sentence: what may be concluded of a judge (``may``), what may not, and what is not known."""
        from pandas import DataFrame

        rows = [
            (subject.benchmark, subject.judge, subject.protocol, kind, text)
            for subject in self.audit.subjects
            for said in (verdict(self.audit, subject),)
            for kind, texts in (("may", said.may), ("may not", said.may_not), ("unknown", said.unknown))
            for text in texts
        ]
        return DataFrame(rows, columns=["benchmark", "judge", "protocol", "kind", "sentence"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, and what could not be used."""
        return self.audit.notes

    def to_json(self) -> str:
        """The audit as JSON, schema ``evalkit.audit/1``."""
        return audit_output.to_json(self.audit)

    def to_html(self) -> str:
        """The audit as one page, which needs no network."""
        from evalkit.reports.audit_page import page

        return page(self.audit)

    def to_latex(self) -> str:
        """Every table of the page in the style of the booktabs package."""
        return audit_output.to_latex(self.audit)

    def to_markdown(self) -> str:
        """Every table of the page as Markdown."""
        return audit_output.to_markdown(self.audit)

    def plot(self, kind: str | None = None, *, number: int | None = None) -> Drawing:
        """Draw what was found as a Matplotlib figure.

        Args:
            kind: agreement, ratings, scores, position, length, or another topic; None: the first there is.
            number: which, from 1, where there are several.

        Raises:
            UsageError: there is no such figure, or there are several.
        """
        return drawn(audit_drawn.figures(kind, self.audit), number)

    def _repr_html_(self) -> str:
        """The sentences as a notebook shows them."""
        return self.conclusions.to_html(index=False, border=0, escape=True)


@dataclass(frozen=True)
class ComparedModels:
    """Two models, or two judges, question by question; `Results.compare` makes it."""

    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> DataFrame:
        """One row a judge, protocol and category: ``difference`` (A - B), ``lower, upper`` (95%), ``n``, and counts."""
        from pandas import DataFrame

        return DataFrame(compare_tables.flat(self.comparisons))

    @property
    def moved(self) -> DataFrame:
        """The questions on which the two differ most, the largest first, over all categories."""
        from pandas import DataFrame

        rows = [
            (one.verdicts.judge, one.verdicts.protocol, moved.question, moved.category, moved.first, moved.second)
            for one in self.comparisons
            for moved in (one.moved if one.category is None else ())
        ]
        return DataFrame(rows, columns=["judge", "protocol", "item", "category", "a", "b"])

    @property
    def sentences(self) -> tuple[str, ...]:
        """What may be said of each comparison as a whole."""
        return tuple(one.sentence() for one in self.comparisons if one.category is None)

    def to_latex(self) -> str:
        """The comparison and the questions that moved most, in the style of the booktabs package."""
        return leaderboard_tables.to_latex(compare_tables.grids(self.comparisons, {}, {}))

    def to_markdown(self) -> str:
        """The table in Markdown."""
        return leaderboard_tables.to_markdown(compare_tables.grids(self.comparisons, {}, {}))

    def plot(self, *, number: int | None = None) -> Drawing:
        """Draw the differences, of all questions and by category, as a Matplotlib figure.

        Args:
            number: which, from 1, where there are several: one for each benchmark, judge and protocol.

        Raises:
            UsageError: there is no difference to draw, or there are several figures.
        """
        return drawn(compare_tables.figures(self.comparisons), number)

    def _repr_html_(self) -> str:
        """The comparison as a notebook shows it."""
        return text_of(self.sentences) + str(self.frame.to_html(index=False, border=0, escape=True))


@dataclass(frozen=True)
class Results:
    """What is stored in some folders and files; `load` makes it. Every call reads what is there then."""

    paths: tuple[Path, ...]

    def judgments(self, *, words: bool = True) -> DataFrame:
        """Every judgment, one row each, the latest of a key.

        Args:
            words: with what the judge wrote, its tokens, cost and time; without, it takes two thirds of the time and a
                third of the memory.

        Returns:
            Columns as of `evalkit.storage.frames.judgments`.
        """
        return frames.judgments(judgment_files(self.paths), words=words)

    def answers(self) -> DataFrame:
        """Every answer, one row a turn; columns as of `evalkit.storage.frames.answers`."""
        return frames.answers(row for log in answer_logs(self.paths) for row in log)

    def scores(self, *, judge: str | None = None, by_category: bool = False) -> DataFrame:
        """Mean scores of single grading, one row a model and judge, with 95% limits.

        Raises:
            UsageError: nothing was graded singly.
        """
        return self.leaderboard("score", judge=judge, by_category=by_category).frame

    def leaderboard(
        self, method: str | None = None, *, judge: str | None = None, by_category: bool = False, **choices: Any
    ) -> Leaderboard:
        """Rate the models.

        Args:
            method: score, winrate, lc, bt, elo or refusal; None takes score where answers were graded singly, else bt.
            judge: only this one; ``human`` for all people together.
            by_category: one table for each category of questions.
            **choices: further fields of `evalkit.ratings.leaderboard.Choices`, such as ``baseline``, ``ties``,
                ``aggregate``, ``style``.

        Raises:
            UsageError: there is nothing to rate, or the choices do not fit the data.
        """
        found = kinds(self.paths, judge)
        chosen = replace(
            self._choices(method or usual_method(found), judge, by_category, choices), apart=method is None
        )
        board = rate(chosen)
        if not board.standings:
            raise UsageError(why_nothing(chosen, found.judges))
        return Leaderboard(board, by_category, chosen)

    def _choices(self, method: str, judge: str | None, by_category: bool, more: dict[str, Any]) -> Choices:
        """The choices, where each is known and means something to the method."""
        methods = (METHOD, *METHODS, refusals.METHOD)
        if method not in methods:
            raise UsageError(f"method={method!r} is not possible; there are: {', '.join(methods)}")
        for name in more:
            if name not in APPLIES_TO:
                raise UsageError(f"leaderboard has no choice {name!r}; there are: {', '.join(APPLIES_TO)}")
            if method not in (fitting := APPLIES_TO[name]):
                raise UsageError(f"{name} has no meaning for method {method!r}; it goes with: {', '.join(fitting)}")
        return Choices(paths=self.paths, method=method, judge=judge, by_category=by_category, **more)

    def compare(
        self,
        a: str,
        b: str,
        *,
        judge: str | None = None,
        by_category: bool = False,
        human: str | Path | TableLike | None = None,
        judges: bool = False,
    ) -> ComparedModels:
        """Say whether A is better than B, paired by question, as ``evalkit compare`` does.

        Args:
            a: a model, a judge, or a results folder or file.
            b: what it is compared with.
            judge: only this one.
            by_category: on each category of questions, too.
            human: votes or scores of people, by which differences are corrected: a file or a table in memory.
            judges: A and B are judges, even where models have these names, too.

        Raises:
            UsageError: nothing is known of one of them, or they have nothing in common.
        """
        from evalkit.evidence.labels import read_votes

        with on_disk(human) as votes:
            rows, folders = ([], []) if votes is None else read_votes(votes, known=known_items(self.paths))
            paths = [*self.paths, *folders]
            labels = labels_of(rows) if rows else None
            found, sides = compare(a, b, paths, by_category=by_category, judge=judge, votes=labels, judges=judges)
        return ComparedModels(tuple(found), tuple(sides.notes))

    def audit(
        self,
        *,
        human: str | Path | TableLike | None = None,
        judge: str | None = None,
        biases: Sequence[Bias] = (),
    ) -> AuditResult:
        """Audit the judges: position, length, format, own family, agreement with people.

        Args:
            human: votes or scores of people: a file, results, or a table in memory (pandas, polars, pyarrow, or a list
                of dicts) with ``item, model_a, model_b, winner`` or ``item, model, score``.
            judge: only this one.
            biases: of your own to look for, besides all that there are: objects with ``metrics`` and ``findings``.

        Raises:
            UsageError: there is nothing to audit, or the votes cannot be read.
        """
        from evalkit.audit.analyse import audit

        with on_disk(human) as votes:
            return AuditResult(audit(self.paths, votes, judge, own=biases))

    def judges(
        self,
        *,
        human: str | Path | TableLike | None = None,
        judge: str | None = None,
        category: str | None = None,
    ) -> RankedJudges:
        """Say which judge to take: every judge on every set with labels, as ``evalkit judges`` does.

        Args:
            human: more labels by people, as of `audit`.
            judge: only this one, beside rules and people.
            category: only labels of its questions.

        Raises:
            UsageError: nothing has both labels and verdicts on them.
        """
        from evalkit.api.ranked_judges import RankedJudges
        from evalkit.audit.judged_sets import board_of

        with on_disk(human) as votes:
            board, notes = board_of(self.paths, votes, category=category, judge=judge)
        return RankedJudges(board, tuple(notes))

    def plot(
        self,
        kind: str = "ratings",
        *,
        method: str | None = None,
        judge: str | None = None,
        human: str | Path | TableLike | None = None,
        number: int | None = None,
        **choices: Any,
    ) -> Drawing:
        """Draw what is stored as a Matplotlib figure, which ``savefig`` writes and a notebook shows.

        Args:
            kind: of a leaderboard: ratings, matrix, categories, length; of an audit: agreement, scores, position, or
                another topic.
            method: how models are rated, as in `leaderboard`; None takes what fits the kind.
            judge: only this one.
            human: votes or scores of people, as in `audit`.
            number: which, from 1, where there are several: one for each benchmark, judge and protocol.
            **choices: of the leaderboard, as there.

        Raises:
            UsageError: there is no such figure, or there are several.
        """
        if kind not in leaderboard_figures.KINDS:
            return self.audit(human=human, judge=judge).plot(kind, number=number)
        way = method or leaderboard_figures.method_of(kind, kinds(self.paths, judge))
        return drawn(leaderboard_figures.figures(kind, self._choices(way, judge, False, choices)), number)

    def cite(self, *, method: str | None = None, judge: str | None = None) -> tuple[Citation, ...]:
        """A methods paragraph and BibTeX for every judge, protocol and benchmark, of stored facts alone.

        Args:
            method: how models are rated, as in `leaderboard`.
            judge: only this one.

        Raises:
            UsageError: there is nothing to cite.
        """
        from evalkit.publish.methods import cite

        return tuple(cite(self.paths, method=method, judge=judge))

    def claim(self, model: str, *, human: str | Path | None = None, **choices: str | None) -> ClaimCard:
        """Make a card of one number, with hashes of everything that it rests on; `verify` checks one.

        Args:
            model: whose rating it is.
            human: a file of people's votes, for the audit of the judge.
            **choices: ``over`` (a model that is subtracted), ``method``, ``benchmark``, ``judge``, ``protocol``,
                ``category``, ``baseline``.

        Raises:
            UsageError: there is no such number, or it is not clear which is meant.
        """
        from evalkit.publish.claim_card import claim

        votes = Path(human) if human is not None else None
        return claim(model, self.paths, human=votes, **choices)

    def _repr_html_(self) -> str:
        """The leaderboard that fits, as a notebook shows it; where there is none, why."""
        try:
            return self.leaderboard()._repr_html_()
        except UsageError as error:
            return text_of([str(error)])


def load(*paths: str | Path) -> Results:
    """Open stored results.

    Args:
        *paths: results folders, judgments files, or tables of comparisons; ``results`` unless given.

    Raises:
        UsageError: a path does not exist.
    """
    listed = tuple(Path(path) for path in paths) or (Path("results"),)
    judged_rows(path for path in listed if not path.is_file())  # says what to do where a path does not exist
    return Results(listed)


def verify(card: ClaimCard | str | Path, *paths: str | Path, human: str | Path | None = None) -> Verification:
    """Compute a claim card's number, hashes and audit from the rows again; the result is true where all is the same.

    Args:
        card: a card, or the file that holds one.
        *paths: results folders, or judgments files; ``results`` unless given.
        human: people's votes that the card's audit was given.

    Raises:
        UsageError: the card cannot be read, or a path does not exist.
    """
    from evalkit.publish.verification import verify

    votes = Path(human) if human is not None else None
    return verify(card, load(*paths).paths, human=votes)
