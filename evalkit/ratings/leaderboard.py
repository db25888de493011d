"""Stored comparisons -> standings: one table for each judge, the judges side by side, and all of them as a panel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judged, Ref, Response
from evalkit.datasets import benchmark
from evalkit.ratings import battle_table, refusals
from evalkit.ratings.answer_checks import AnswerChecks
from evalkit.ratings.baseline import Baseline, by_the_data
from evalkit.ratings.beside import side_by_side
from evalkit.ratings.bt import BradleyTerryRatings, Ties
from evalkit.ratings.comparisons import HUMAN, Aggregate, Comparisons, Failed, comparisons, is_people
from evalkit.ratings.criteria import By, Sameness, rows_by
from evalkit.ratings.elo import EloRatings
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.ratings.lc import LengthControlledWinRates, read_difficulties, read_gamed
from evalkit.ratings.panel import PANEL, pooled
from evalkit.ratings.score_pairs import scores_as_pairs
from evalkit.ratings.scores import METHOD, scores
from evalkit.ratings.standing import Board, Method, Standing, TableInfo, count_outcomes, named, with_info
from evalkit.ratings.tournament import caution
from evalkit.ratings.winrate import WinRates
from evalkit.storage.results import answer_logs, first_judged, judged_rows, known_items
from evalkit.storage.run_records import tournaments

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray

__all__ = ["METHODS", "Board", "Choices", "Kinds", "by_category", "kinds", "rate", "side_by_side"]

METHODS = ("winrate", "lc", "bt", "elo")
"""Ways to rate from pairwise judgments; ``score`` is that of single grading."""

APPLIES_TO = {
    "aggregate": ("winrate", "lc", "bt", "elo"),
    "strong_weight": ("winrate", "bt"),
    "baseline": ("winrate", "lc"),
    "ties": ("bt",),
    "style": ("bt",),
    "difficulties": ("lc",),
    "gamed": ("lc",),
    "permutations": ("elo",),
    "temperature": ("winrate", "lc", "bt", "elo"),
}
"""The methods that each choice means something to."""


ITSELF = "all {n:,} judgments show a model against itself, which says something of the judge and nothing of models"
"""Why there is nothing to rate where judgments are there."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The judgments to be rated, and the way to rate them."""

    paths: tuple[Path, ...]
    method: str = "bt"
    judge: str | None = None
    by_category: bool = False
    by: By | None = None
    """Of rubrics: what stands in place of categories."""
    aggregate: Aggregate = "average"
    strong_weight: float = 1.0
    baseline: Baseline = None
    """None: that of the benchmark, or else the one that takes part in every pair."""
    ties: Ties = "half"
    style: bool = False
    difficulties: Path | None = None
    gamed: Path | None = None
    permutations: int = 1000
    temperature: float | None = None
    """Points of difference between two scores that make odds of e: scores of single answers count as comparisons."""
    every_configuration: bool = False
    apart: bool = True
    """Scores: whether verdicts on refusals have tables of their own, in place of mean scores."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of battle tables, by field, where the user names them."""


@dataclass(frozen=True)
class Kinds:
    """Whether stored judgments grade single answers or compare two, and who judged."""

    single: bool
    pairwise: bool
    judges: frozenset[str]


def kinds(paths: Iterable[Path], judge: str | None = None) -> Kinds:
    """Look at the first row of every judgments file: a file holds one judge and protocol."""
    listed = list(paths)
    shown, judges = set(), set()
    for first in first_judged(path for path in listed if not battle_table.is_battle_table(path)):
        judges |= {first.judge.name} | ({HUMAN} if rater_kind(first.judge) == "person" else set())
        if judge is None or _is_by(first, judge) or rater_kind(first.judge) == "person":
            shown.add(len(first.shown))
    return Kinds(
        1 in shown, any(n > 1 for n in shown) or any(map(battle_table.is_battle_table, listed)), frozenset(judges)
    )


def usual_method(found: Kinds) -> str:
    """The method that fits stored judgments where none is chosen."""
    return METHOD if found.single or not found.pairwise else "bt"


def why_nothing(choices: Choices, judges: Iterable[str]) -> str:
    """Why nothing was rated, and what to do; ``judges`` are those that there are."""
    where = ", ".join(str(path) for path in choices.paths)
    known = sorted(judges)
    if choices.by is not None:
        return (
            f"no verdicts by {choices.by} in {where}; a rubric makes some, and its criteria name their axis and tags: "
            "`evalkit run BENCHMARK rubric=NAME`"
        )
    if choices.method == refusals.METHOD:
        by = f" by {choices.judge!r}" if choices.judge else ""
        there = f"; there are judgments by: {named(known, 12)}" if choices.judge and known else ""
        return f"no verdicts on refusals{by} in {where}{there}; `evalkit run refusals` and protocol=refusal make some"
    if choices.method == METHOD:
        if choices.judge and known:
            return f"no judgments by {choices.judge!r} in {where}; there are some by: {', '.join(known)}"
        return f"no judgments of single grading in {where}; `evalkit run <benchmark>` makes some"
    if choices.judge and known:
        return f"no pairwise judgments by {choices.judge!r} in {where}; there are judgments by: {named(known, 12)}"
    return (
        f"no pairwise judgments in {where}; --method score rates single grading, --temperature T makes comparisons of "
        "its scores, and `evalkit run BENCHMARK protocol=pairwise` compares answers"
    )


def rate(choices: Choices) -> Board:
    """Rate every model by every judge, and by all judges together.

    Raises:
        UsageError: there is nothing to rate, or the choices do not fit the data.
    """
    if choices.method == refusals.METHOD:
        return _refusals(choices)[0]
    if choices.method == METHOD:
        apart, taken = _refusals(choices) if choices.apart and choices.by is None else (Board(), set())
        sameness = Sameness()
        wanted: Iterable[Judged] = chain.from_iterable(judged_rows(choices.paths))
        if taken:
            wanted = (row for row in wanted if (row.benchmark, row.judge.name, row.protocol) not in taken)
        if choices.by is not None:
            if choices.judge is not None:
                wanted = (row for row in wanted if _is_by(row, choices.judge or ""))
            wanted = rows_by(sameness.watch(wanted), choices.by)
        checks = AnswerChecks()
        board = scores(
            wanted if choices.judge is None else (row for row in wanted if _is_by(row, choices.judge or "")),
            _checked(chain.from_iterable(answer_logs(choices.paths)), checks),
            every_configuration=choices.every_configuration,
            judge=None if choices.judge == HUMAN else choices.judge,
            by_category=choices.by_category,
        )
        if choices.by == "criterion":
            board.notes.extend(sameness.sentences())
        if choices.by is not None:  # of the whole, a mean over groups says nothing
            board.standings[:] = [row for row in board.standings if row.category is not None]
        board.standings[:0] = apart.standings
        board.notes.extend(checks.notes({row.model for row in board.standings}))
        return board
    assumed: list[str] = []
    checks = AnswerChecks()
    board = rate_tables(_tables(choices, assumed, checks), choices)
    rated = {row.benchmark for row in board.standings}
    assumed += [f"{name}: {caution(until)}" for name, until in tournaments(choices.paths) if name in rated]
    board.notes[:0] = assumed
    board.notes.extend(checks.notes({row.model for row in board.standings}))
    return board


def _refusals(choices: Choices) -> tuple[Board, set[tuple[str, str, str]]]:
    """Over-refusal and harm, and the benchmark, judge and protocol of the rows that these are made of."""
    items = known_items(choices.paths)
    if not any(refusals.concerns(first, items.get(first.benchmark, {})) for first in first_judged(choices.paths)):
        return Board(), set()
    found = refusals.read(
        chain.from_iterable(judged_rows(choices.paths)),
        items,
        chain.from_iterable(answer_logs(choices.paths)),
        every_configuration=choices.every_configuration,
    )
    taken = {(one.benchmark, *who) for one in found for who in one.taken}
    return refusals.board(found, judge=choices.judge), taken


def compared_tables(choices: Choices) -> list[Comparisons]:
    """The comparisons that ratings are made of: one table for each benchmark, judge and protocol.

    Raises:
        UsageError: there are judgments, and all of them show a model against itself.
    """
    return _tables(choices, [], AnswerChecks())


def _checked(rows: Iterable[Response], checks: AnswerChecks) -> Iterator[Response]:
    """Answers on their way, each of them counted."""
    for row in rows:
        checks.add(row)
        yield row


def rate_tables(tables: list[Comparisons], choices: Choices) -> Board:
    """Rate every model from comparisons at hand."""
    if not tables:
        return Board()
    untold: list[str] = []
    tables = tables + (_panels(tables, untold.append) if not choices.every_configuration else [])
    difficulties = read_difficulties(choices.difficulties) if choices.difficulties else None
    gamed = read_gamed(choices.gamed) if choices.gamed else None
    if choices.permutations < 0:
        raise UsageError(f"the number of random orders cannot be {choices.permutations}; 0 takes the order stored")
    if gamed and difficulties is None:
        raise UsageError("--gamed needs --difficulties: gamed rows belong to the fit with difficulties")

    def method(table: Comparisons) -> Method:
        baseline = _baseline(choices, table)
        ways: dict[str, Method] = {
            "winrate": WinRates(baseline),
            "lc": LengthControlledWinRates(baseline, difficulties, gamed),
            "bt": BradleyTerryRatings(choices.ties, choices.style),
            "elo": EloRatings(choices.permutations),
        }
        return ways[choices.method]

    board = Board(notes=untold)
    for table in tables:
        board.standings.extend(_rated(method(table), table))
        if choices.by_category:
            for name, part in by_category(table, benchmark.in_order(table.benchmark, table.categories)):
                board.standings.extend(replace(row, category=name) for row in _rated(method(table), part))
        board.notes.extend(_about_data(table, choices))
    return board


def _tables(choices: Choices, assumed: list[str], checks: AnswerChecks) -> list[Comparisons]:
    listed = list(dict.fromkeys(choices.paths))
    files = [path for path in listed if battle_table.is_battle_table(path)]
    stored = [path for path in listed if path not in files]
    voter = False

    def judgments() -> Iterator[Judged]:
        nonlocal voter
        for log in judged_rows(stored):
            for row in log:
                if choices.judge is None or _is_by(row, choices.judge):
                    voter = voter or (rater_kind(row.judge) == "person" and row.judge.name == choices.judge != HUMAN)
                    yield row

    rows = judgments() if choices.temperature is None else scores_as_pairs(judgments(), choices.temperature)
    tables = comparisons(
        rows,
        aggregate=choices.aggregate,
        strong_weight=choices.strong_weight,
        every_configuration=choices.every_configuration,
    )
    if voter and choices.judge is not None:
        tables = [replace(table, judge=choices.judge) for table in tables]
    tables = _with_answers(tables, stored, choices, checks)
    read = battle_table.read(files, choices.columns, assumed.append) if files else []
    tables += [table for table in read if choices.judge in (None, table.judge)]
    found = [table for table in tables if table.models]
    if not any(len(table) or table.failed for table in found) and (itself := sum(table.itself for table in tables)):
        raise UsageError(f"nothing to rate: {ITSELF.format(n=itself)}; `evalkit audit` reads them")
    return found


def _is_by(row: Judged, judge: str) -> bool:
    return row.judge.name == judge or (judge == HUMAN and rater_kind(row.judge) == "person")


def _panels(tables: Sequence[Comparisons], tell: Callable[[str], object]) -> list[Comparisons]:
    """All judges of a benchmark and protocol as one, people apart.

    Intervals are clustered by question, so that verdicts of several judges on one question count as what they carry
    together. Where questions are not named, verdicts on the same one would count as independent: there is no panel.
    """
    groups: dict[tuple[str, str], list[Comparisons]] = {}
    for table in tables:
        if not is_people(table.judge):
            groups.setdefault((table.benchmark, table.protocol), []).append(table)
    result = []
    for (name, _), group in groups.items():
        judges = list(dict.fromkeys(table.judge for table in group))
        if len(judges) < 2:
            continue
        if all(table.questions for table in group):
            result.append(pooled(group, PANEL))
        else:
            tell(
                f"{name}: {named(judges)} are not pooled, as not all their comparisons name a question: verdicts on "
                "the same one would count as if they had nothing to do with each other"
            )
    return result


def _baseline(choices: Choices, table: Comparisons) -> Baseline:
    """The baseline that was chosen; otherwise the data's, and the benchmark's where they leave it open."""
    if choices.baseline is not None or table.benchmark not in benchmark.names():
        return choices.baseline
    return by_the_data(table, benchmark.spec(table.benchmark).baseline)


def _rated(method: Method, table: Comparisons) -> list[Standing]:
    """The standings; where nothing can be rated, the counts and why."""
    from evalkit.stats.errors import StatisticsError

    if not len(table):
        return with_info(count_outcomes(table, method.name), TableInfo(notes=("not rated: every judgment failed",)))
    try:
        return method.rate(table)
    except StatisticsError as error:
        reason = getattr(error, "reason", str(error))
        return with_info(count_outcomes(table, method.name), TableInfo(notes=(f"not rated: {reason}",)))


def by_category(table: Comparisons, order: Iterable[str]) -> Iterator[tuple[str, Comparisons]]:
    """The comparisons of each category, with its failures."""
    import numpy as np

    for name in order:
        if name in table.categories:
            position = table.categories.index(name)
            failed = tuple(row for row in table.failed if row.category == position)
            yield name, replace(table.where(np.flatnonzero(table.category == position)), failed=failed)


def _about_data(table: Comparisons, choices: Choices) -> Iterator[str]:
    """What a reader should know of the comparisons themselves."""
    if table.judge == PANEL:
        return
    who = f"{table.benchmark}, {table.judge} ({table.protocol})"
    once = int((table.orders == 1).sum())
    if choices.aggregate != "each" and 0 < once < len(table):
        yield (
            f"{who}: {once} of {len(table)} comparisons were judged in one order only, the others in both; position "
            "bias does not cancel in those"
        )
    if table.itself:
        yield f"{who}: {table.itself} judgments of a model against itself do not count"
    if table.replaced:
        yield (
            f"{who}: {table.replaced} judgments of earlier configurations (prompt, sampling, model) are not counted; "
            "--all shows them"
        )
    yield from (f"{who}: {said}" for said in table.about_people)
    if not table.questions and table.protocol == battle_table.PROTOCOL:
        yield f"{who}: no question_id column, so every comparison counts as independent; intervals may be too narrow"


def _with_answers(
    tables: list[Comparisons], paths: Sequence[Path], choices: Choices, checks: AnswerChecks
) -> list[Comparisons]:
    """Add the answers that failed and so were never judged, and, for style control, the style of all answers."""
    failed: dict[str, dict[str, list[Response]]] = {}
    latest: dict[tuple[str, str], Ref] = {}
    styles: dict[tuple[str, str, str, int], tuple[float, ...]] = {}
    for row in _checked(chain.from_iterable(answer_logs(paths)), checks):
        latest[row.benchmark, row.model.name] = row.model
        if row.error is not None:
            failed.setdefault(row.benchmark, {}).setdefault(row.model.name, []).append(row)
        elif choices.style:
            for turn, text in enumerate(row.turns, start=1):
                styles[row.benchmark, row.model.name, row.item, turn] = _style(text)
    result = []
    for table in tables:
        current = [
            row
            for rows in failed.get(table.benchmark, {}).values()
            for row in rows
            if row.model == latest[row.benchmark, row.model.name]
        ]
        counted = _with_unanswered(table, current)
        result.append(_styled(counted, styles) if choices.style else counted)
    return result


def _with_unanswered(table: Comparisons, rows: Iterable[Response]) -> Comparisons:
    models, categories = list(table.models), list(table.categories)
    questions = {name: place for place, name in enumerate(table.questions)}
    lost = []
    for row in rows:
        if row.model.name not in models:
            models.append(row.model.name)
        if row.category not in categories:
            categories.append(row.category)
        kind = row.error.kind if row.error else "malformed"
        place = models.index(row.model.name)
        lost.append(Failed(f"answer {kind}", place, -1, categories.index(row.category), questions.get(row.item, -1)))
    return replace(table, models=tuple(models), categories=tuple(categories), failed=(*table.failed, *lost))


def _style(text: str) -> tuple[float, ...]:
    """Length in characters (ratios of lengths are what counts, so a tokenizer adds nothing), then markdown."""
    from evalkit.stats.style_control import count_markdown

    marks = count_markdown(text)
    return float(len(text)), float(marks.header), float(marks.list), float(marks.bold)


def _styled(table: Comparisons, styles: dict[tuple[str, str, str, int], tuple[float, ...]]) -> Comparisons:
    import numpy as np

    unknown = (float("nan"),) * 4

    def features(side: Iterable[int]) -> FloatArray:
        columns = zip(side, table.question.tolist(), table.turn.tolist(), strict=True)
        found = [
            styles.get((table.benchmark, table.models[model], table.questions[question], turn), unknown)
            for model, question, turn in columns
        ]
        return np.array(found, dtype=np.float64).reshape(-1, 4)

    return replace(table, style_a=features(table.a.tolist()), style_b=features(table.b.tolist()))
