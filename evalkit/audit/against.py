"""A judge's ratings beside automatic benchmarks of the same models, and what lengths of prompts and answers do to both.

Everything is a correlation over models, which are few: what cannot be told from chance is said not to be known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.datasets.model_table import ModelTable
from evalkit.evidence.evidence import Evidence, signed
from evalkit.evidence.findings import Correlation, FiguresCompared, Rating

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray
    from evalkit.stats.resample import Interval

ANSWERS = "length of answers"
PROMPTS = "length of prompts"


@dataclass(frozen=True)
class _Figures:
    """A figure of each model, and how a sentence calls it."""

    name: str
    of: Mapping[str, float]


def against(
    evidence: Evidence, rated: Sequence[Rating], table: ModelTable, prompts: Mapping[str, int]
) -> list[FiguresCompared]:
    """How alike a judge's ratings and each column of a table rank the models, and how both go with lengths.

    Args:
        evidence: of one judge.
        rated: models as judges rate them; those of this judge are looked for.
        table: of automatic benchmarks.
        prompts: characters asked, by question; of those that are known.
    """
    mine = [row for row in rated if (row.rater, row.protocol) == (evidence.judge, evidence.protocol)]
    ratings = _Figures(f"ratings by {evidence.judge}", {row.model: row.rating for row in mine})
    rows, _ = table.named(ratings.of)
    columns = [
        _Figures(name, {model: figures[row] for model, row in rows.items() if row in figures})
        for name, figures in table.columns.items()
    ]
    lengths = _Figures(ANSWERS, _answer_lengths(evidence))
    halves = [(within, _Figures(ratings.name, of)) for within, of in _halves(evidence, prompts)]
    found: list[FiguresCompared | None] = []
    for column in columns:
        found.append(_compared(evidence, ratings, column))
        found.append(_compared(evidence, ratings, column, fixed=lengths))
        found += [_compared(evidence, half, column, within=within) for within, half in halves]
    if lengths.of:
        found += [_compared(evidence, one, lengths) for one in (ratings, *columns)]
    if (by_question := _by_question(evidence, prompts)) is not None:
        found.append(by_question)
    return [row for row in found if row is not None]


def _compared(
    evidence: Evidence, first: _Figures, second: _Figures, *, fixed: _Figures | None = None, within: str = ""
) -> FiguresCompared | None:
    """Two figures of the models that have both; None where what is held fixed is not known of any model."""
    from evalkit.stats.correlations import linear_correlation, rank_correlation
    from evalkit.stats.errors import NotMeasurable

    if fixed is not None and not fixed.of:
        return None
    models = [model for model in first.of if model in second.of and (fixed is None or model in fixed.of)]
    x, y = ([figures.of[model] for model in models] for figures in (first, second))
    held = None if fixed is None else [fixed.of[model] for model in models]
    about = _Place(evidence, first.name, second.name, "" if fixed is None else fixed.name, within, len(models))
    try:
        rank, linear = rank_correlation(x, y, held), linear_correlation(x, y, held)
    except NotMeasurable as error:
        return about.lacking(error.reason)
    return about.row(rank, linear)


@dataclass(frozen=True)
class _Place:
    """What two figures are, and of how many models or questions."""

    evidence: Evidence
    first: str
    second: str
    fixed: str
    within: str
    n: int
    each: str = "models"

    def row(self, rank: Interval, linear: Interval) -> FiguresCompared:
        """The two correlations, and what they come to in words."""
        from evalkit.stats.correlations import FEWEST

        names = f"{self.first} and {self.second}"
        start = f"Over {self.n:,} {self.each}"
        start += f", on {self.within}" if self.within else f", the {self.fixed} held fixed" if self.fixed else ""
        numbers = f"rank correlation {signed(rank)}, linear {signed(linear)}"
        few = f"whether {names} go together cannot be told from so few"
        said = few if rank.n - bool(self.fixed) < FEWEST else f"{names} {_said(rank)}"
        return self._made(_correlation(rank), _correlation(linear), f"{start}, {said}: {numbers}.")

    def lacking(self, reason: str) -> FiguresCompared:
        """Why there are none."""
        names = f"{self.first} and {self.second}" + (f" with the {self.fixed} held fixed" if self.fixed else "")
        return self._made(None, None, f"How alike {names} are is not measurable: {reason}.", reason)

    def _made(
        self, rank: Correlation | None, linear: Correlation | None, sentence: str, reason: str | None = None
    ) -> FiguresCompared:
        return FiguresCompared(
            benchmark=self.evidence.benchmark,
            judge=self.evidence.judge,
            protocol=self.evidence.protocol,
            first=self.first,
            second=self.second,
            fixed=self.fixed,
            within=self.within,
            n=self.n,
            each=self.each,
            rank=rank,
            linear=linear,
            sentence=sentence,
            not_measurable=reason,
        )


def _correlation(interval: Interval) -> Correlation:
    return Correlation(interval.estimate, interval.lower, interval.upper, interval.reason)


def _said(rank: Interval) -> str:
    """What a rank correlation says: only limits on one side of 0 say anything."""
    if rank.lower is None or rank.upper is None:  # a correlation of 1 or -1, which leaves no spread to go by
        return "rank all alike" if rank.estimate > 0 else "rank all the other way round"
    if rank.lower > 0:
        return "go together"
    return "go against each other" if rank.upper < 0 else "are not shown to go together"


def _answer_lengths(evidence: Evidence) -> dict[str, float]:
    """Mean characters of each model's judged answers, each answer once."""
    import numpy as np

    if evidence.scores is not None:
        scores = evidence.scores
        rows = [(scores.model, scores.question, scores.turn, scores.response, scores.length)]
    else:
        pairs = evidence.pairs
        rows = [
            (pairs.a, pairs.question, pairs.turn, pairs.response_a, pairs.length_a),
            (pairs.b, pairs.question, pairs.turn, pairs.response_b, pairs.length_b),
        ]
    table = np.concatenate([np.stack([column.astype(np.float64) for column in row], axis=1) for row in rows])
    table = np.unique(table[np.isfinite(table[:, 4])], axis=0)
    codes = table[:, 0].astype(np.int64)
    return {evidence.models[code]: float(table[codes == code, 4].mean()) for code in np.unique(codes).tolist()}


def _halves(evidence: Evidence, prompts: Mapping[str, int]) -> Iterator[tuple[str, dict[str, float]]]:
    """What the judge says of each model on the shorter and on the longer half of the prompts, each half in words."""
    import numpy as np

    known = np.array([prompts.get(name, -1) for name in evidence.questions], dtype=np.int64)
    asked = evidence.pairs.question if evidence.scores is None else evidence.scores.question
    here = np.unique(asked)
    here = here[known[here] >= 0]
    if here.size < 2 or np.ptp(known[here]) == 0:
        return
    middle = float(np.median(known[here]))
    for name, chosen in (("shorter", known <= middle), ("longer", known > middle)):
        figures = _outcomes(evidence, chosen & (known >= 0))
        if figures:
            comparison = "up to" if name == "shorter" else "more than"
            yield f"{name} prompts ({comparison} {middle:,.0f} characters)", figures


def _outcomes(evidence: Evidence, chosen: BoolArray) -> dict[str, float]:
    """Mean score of each model, or its share of comparisons won, ties as half, on the chosen questions."""
    import numpy as np

    if evidence.scores is not None:
        model, value, question = evidence.scores.model, evidence.scores.score, evidence.scores.question
    else:
        pairs = evidence.pairs
        model = np.concatenate([pairs.a, pairs.b])
        value = np.concatenate([pairs.outcome, 1 - pairs.outcome])
        question = np.concatenate([pairs.question, pairs.question])
    keep = np.isfinite(value) & chosen[question]
    model, value = model[keep], value[keep]
    return {evidence.models[code]: float(value[model == code].mean()) for code in np.unique(model).tolist()}


def _by_question(evidence: Evidence, prompts: Mapping[str, int]) -> FiguresCompared | None:
    """Whether longer prompts get other scores, over questions; None for pairs, whose points are shared out."""
    import numpy as np

    from evalkit.stats.correlations import linear_correlation, rank_correlation
    from evalkit.stats.errors import NotMeasurable

    if evidence.scores is None or not prompts:
        return None
    keep = np.isfinite(evidence.scores.score)
    question, score = evidence.scores.question[keep], evidence.scores.score[keep]
    rows = [
        (prompts[evidence.questions[code]], float(score[question == code].mean()))
        for code in np.unique(question).tolist()
        if evidence.questions[code] in prompts
    ]
    about = _Place(evidence, f"mean scores by {evidence.judge}", PROMPTS, "", "", len(rows), "questions")
    try:
        means, lengths = [row[1] for row in rows], [row[0] for row in rows]
        return about.row(rank_correlation(means, lengths), linear_correlation(means, lengths))
    except NotMeasurable as error:
        return about.lacking(
            error.reason.replace("model to model", "question to question").replace("models", "questions")
        )
