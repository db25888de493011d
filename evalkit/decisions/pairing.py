"""Stored judgments of two models, or by two judges -> their verdicts beside each other, question by question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from evalkit.core.schema import Judged, Ref
from evalkit.decisions.sources import Sides
from evalkit.ratings import battle_table
from evalkit.ratings.baseline import matches
from evalkit.ratings.comparisons import Comparisons, comparisons, is_people
from evalkit.ratings.scores import tables as score_tables
from evalkit.ratings.standing import declared_categories
from evalkit.ratings.winrate import preference_cells

if TYPE_CHECKING:
    from evalkit.ratings.scores import ScoreTable
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

SCORE, PREFERENCE, AGAINST_BASELINE = "score", "preference", "win rate"
"""What is compared of models: scores; which of the two is preferred; how often each beats a third."""
WINS, AGREEMENT = "wins", "agreement with people"
"""What is compared of judges of pairs: how often each prefers a model; how often each prefers whom people prefer."""


@dataclass(frozen=True, eq=False)
class CommonVerdicts:
    """What two models, or two judges, got or gave on the same cells: turns of questions."""

    benchmark: str
    judge: str
    """Empty where two judges are compared."""
    protocol: str
    a: str
    b: str
    kind: str
    first: FloatArray
    """[C] of ``a``; NaN where there is no verdict."""
    second: FloatArray
    failed: BoolArray
    """[C, 2] asked for, and failed."""
    question: IntArray
    """[C] number of the question."""
    turn: IntArray
    category: IntArray
    questions: tuple[str, ...]
    categories: tuple[str, ...]
    limits: tuple[float, float] | None
    pooled: bool
    people: bool = False
    """The judge is people."""
    about: str = ""
    """Of two judges of pairs: the model whose wins are compared, or "people"."""

    @property
    def declared(self) -> bool:
        """Whether the benchmark fixes its categories."""
        return declared_categories(self.benchmark) and len(self.categories) > 1

    def where(self, keep: BoolArray) -> CommonVerdicts:
        """Only these cells."""
        names = ("first", "second", "failed", "question", "turn", "category")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})


def pairings(sides: Sides, judge: str | None = None) -> Iterator[CommonVerdicts]:
    """Everything that was said of each pair: by every judge, under every protocol, on every benchmark.

    Args:
        sides: what is compared.
        judge: only this one, and people.
    """
    scored = score_tables_of(sides, judge)
    if sides.judges:
        for a, b in sides.pairs:
            yield from _of_judges(scored, a, b)
        return
    compared = comparisons_of(sides, judge)
    for a, b in sides.pairs:
        yield from (_of_scores(table, a, b) for table in scored if {a, b} <= set(table.models))
        for table in compared:
            if {a, b} <= set(table.models):
                found = _of_pairs(table, a, b)
                found = found if found is not None else _against_baseline(table, a, b)
                if found is not None:
                    yield found


def _wanted(sides: Sides, judge: str | None) -> Iterator[Judged]:
    for row in sides.judged():
        if judge is None or row.judge.name == judge or row.judge.fingerprint == "human":
            yield row


def _configurations(sides: Sides) -> bool:
    """Whether names are those of single configurations."""
    return any("@" in name for pair in sides.pairs for name in pair) and not sides.renamed


def score_tables_of(sides: Sides, judge: str | None = None) -> list[ScoreTable]:
    """Scores by every judge, or by this one and people."""
    rows = _wanted(sides, judge)
    return [table for table, _ in score_tables(rows, sides.answers(), every_configuration=_configurations(sides))]


def comparisons_of(sides: Sides, judge: str | None = None) -> list[Comparisons]:
    """Verdicts on pairs by every judge, or by this one and people; those of battle tables too."""
    found = comparisons(_wanted(sides, judge), every_configuration=_configurations(sides))
    files = sides.files()
    return found + ([one for one in battle_table.read(files) if judge in (None, one.judge)] if files else [])


def judged_twice(sides: Sides, of: CommonVerdicts) -> CommonVerdicts | None:
    """A judge's first and second verdict on the same answers of the second model; None where there are no repeats."""
    if of.kind != SCORE:
        return None
    again = f"{of.b} (again)"

    def rows() -> Iterator[Judged]:
        for row in sides.judged():
            ours = row.judge.name == of.judge and row.protocol == of.protocol and row.benchmark == of.benchmark
            if ours and row.repeat < 2 and [model.name for model in row.models] == [of.b]:
                name = again if row.repeat else of.b
                yield msgspec.structs.replace(row, models=(Ref(name, row.models[0].fingerprint),))

    for table, _ in score_tables(rows()):
        if {of.b, again} <= set(table.models):
            return _of_scores(table, of.b, again)
    return None


def _of_scores(table: ScoreTable, a: str, b: str) -> CommonVerdicts:
    cells = table.cells()
    one, other = cells.models.index(a), cells.models.index(b)
    import numpy as np

    found = CommonVerdicts(
        table.rows.benchmark,
        table.judge,
        table.buffer.protocol,
        a,
        b,
        SCORE,
        cells.values[:, one],
        cells.values[:, other],
        cells.failed[:, [one, other]],
        cells.question,
        cells.turn,
        cells.category,
        tuple(table.rows.questions),
        tuple(table.rows.categories),
        cells.limits,
        cells.pooled,
        is_people(table.judge),
    )
    known = np.isfinite(found.first) | np.isfinite(found.second) | found.failed.any(axis=1)
    return found.where(known)


def _of_pairs(table: Comparisons, a: str, b: str) -> CommonVerdicts | None:
    """Verdicts on the two beside each other, in points: 100 where it is better, 50 each for a tie."""
    import numpy as np

    one, other = table.models.index(a), table.models.index(b)
    mine = np.flatnonzero(((table.a == one) & (table.b == other)) | ((table.a == other) & (table.b == one)))
    lost = [row for row in table.failed if {row.a, row.b} == {one, other} and row.question >= 0]
    if not mine.size:
        return None
    points = 100 * np.where(table.a[mine] == one, table.outcome[mine], 1 - table.outcome[mine])
    question = table.question[mine] if table.questions else np.arange(mine.size)
    turn, category = table.turn[mine], table.category[mine]
    keys = np.concatenate([question, np.array([row.question for row in lost], dtype=np.int64)])
    turns = np.concatenate([turn, np.array([row.turn for row in lost], dtype=np.int64)])
    kinds = np.concatenate([category, np.array([row.category for row in lost], dtype=np.int64)])
    span = int(turns.max(initial=0)) + 1
    place, first, cell = np.unique(keys * span + turns, return_index=True, return_inverse=True)
    cell = cell.reshape(-1)[: mine.size]
    weight = table.weight[mine]
    total = np.bincount(cell, weight, place.size)
    mean = np.divide(
        np.bincount(cell, weight * points, place.size), total, out=np.full(place.size, np.nan), where=total > 0
    )
    failed = np.isnan(mean)
    return CommonVerdicts(
        table.benchmark,
        table.judge,
        table.protocol,
        a,
        b,
        PREFERENCE,
        mean,
        100 - mean,
        np.column_stack([failed, failed]),
        place // span,
        place % span,
        kinds[first],
        tuple(map(str, table.questions)) or tuple(str(row + 1) for row in range(mine.size)),
        table.categories,
        (0.0, 100.0),
        pooled=True,
        people=is_people(table.judge),
    )


def _against_baseline(table: Comparisons, a: str, b: str) -> CommonVerdicts | None:
    """Points of each against a third model that both met."""
    met = matches(table, None)
    cells = preference_cells(table, met) if met is not None else None
    if cells is None or not {a, b} <= set(cells.models):
        return None
    one, other = cells.models.index(a), cells.models.index(b)
    return CommonVerdicts(
        table.benchmark,
        table.judge,
        table.protocol,
        a,
        b,
        AGAINST_BASELINE,
        cells.values[:, one],
        cells.values[:, other],
        cells.failed[:, [one, other]],
        cells.question,
        cells.turn,
        cells.category,
        tuple(map(str, table.questions)),
        table.categories,
        cells.limits,
        pooled=True,
        people=is_people(table.judge),
    )


def _of_judges(tables: list[ScoreTable], a: str, b: str) -> Iterator[CommonVerdicts]:
    """Scores of the same answers by two judges; a cell is one turn of one model's answer."""
    import numpy as np

    by_judge = {name: [table for table in tables if table.judge == name] for name in (a, b)}
    for one in by_judge[a]:
        for other in by_judge[b]:
            if one.rows is not other.rows or (len(by_judge[b]) > 1 and one.buffer.protocol != other.buffer.protocol):
                continue
            sides = [_by_answer(table) for table in (one, other)]
            keys = sorted(sides[0].keys() | sides[1].keys())
            first, second = (np.array([side.get(key, (np.nan, 0))[0] for key in keys]) for side in sides)
            category = np.array([(sides[0].get(key) or sides[1][key])[1] for key in keys], dtype=np.int64)
            protocols = dict.fromkeys((one.buffer.protocol, other.buffer.protocol))
            yield CommonVerdicts(
                one.rows.benchmark,
                "",
                ", ".join(protocols),
                a,
                b,
                SCORE,
                first,
                second,
                np.column_stack([np.isnan(first), np.isnan(second)]),
                np.array([key[0] for key in keys], dtype=np.int64),
                np.array([key[1] for key in keys], dtype=np.int64),
                category,
                tuple(one.rows.questions),
                tuple(one.rows.categories),
                one.scale() if one.scale() == other.scale() else None,
                pooled=False,
            )


def _by_answer(table: ScoreTable) -> dict[tuple[int, int, str], tuple[float, int]]:
    """Score and category by question, turn and model."""
    columns = zip(
        table.question.tolist(),
        table.turn.tolist(),
        table.model.tolist(),
        table.value.tolist(),
        table.category.tolist(),
        strict=True,
    )
    return {
        (question, turn, table.models[model]): (value, category) for question, turn, model, value, category in columns
    }
