"""Leaderboards as figures: ratings with intervals, a win matrix, categories, and win rates against length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.core.protocols import UsageError
from evalkit.core.text import plain
from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.leaderboard import Choices, Kinds, compared_tables, rate, usual_method
from evalkit.ratings.standing import Standing
from evalkit.reports.audit_figures import Cloud, Figure, Forest, Mark, Matrix
from evalkit.reports.leaderboard_grid import UNITS

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

KINDS = {
    "ratings": "the main estimate of each model, with its interval",
    "matrix": "how often each model is preferred to each other one",
    "categories": "the main estimate by category, a mark a model",
    "length": "win rate against the mean length of a model's answers",
}
"""Kinds of figures of a leaderboard."""
DRAWN = 60
"""Models of a figure; the table has all."""
MODELS = 5
"""Models side by side in a figure of categories: the best of the table."""
SQUARES = 20
"""Models of a win matrix."""


def figures(kind: str, choices: Choices) -> list[Figure]:
    """The figures of one kind: one for each benchmark, judge and protocol.

    Args:
        kind: one of ``KINDS``.
        choices: what is rated, and how.

    Raises:
        UsageError: there is no such kind, or the data do not have it.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no figure {kind!r} of a leaderboard; there are: {', '.join(KINDS)}")
    if kind == "matrix":
        drawn: list[Figure | None] = [matrix(table) for table in compared_tables(choices)]
        return _some(drawn, "a win matrix needs pairwise judgments of two models; there are none")
    if kind == "length" and choices.method not in ("winrate", "lc"):
        raise UsageError(f"the figure 'length' has no meaning for method {choices.method!r}; it goes with: winrate, lc")
    standings = rate(replace(choices, by_category=kind == "categories")).standings
    if kind == "categories":
        drawn = [categories(rows) for rows in _tables(standings, whole=False)]
        return _some(drawn, "no category has an estimate; a figure of categories needs questions that have some")
    draw = ratings if kind == "ratings" else length
    drawn = [draw(rows) for rows in _tables(standings, whole=True)]
    lacking = "nothing is rated" if kind == "ratings" else "no lengths of answers are known"
    return _some(drawn, f"{lacking}, so that there is nothing to draw")


def method_of(kind: str | None, found: Kinds) -> str:
    """The way to rate that a kind of figure needs, or else the usual one."""
    needed = {"matrix": "bt", "length": "winrate"}
    return needed.get(kind or "") or usual_method(found)


def _some(drawn: Sequence[Figure | None], lacking: str) -> list[Figure]:
    found = [figure for figure in drawn if figure is not None]
    if not found:
        raise UsageError(lacking)
    return found


def _tables(standings: Sequence[Standing], *, whole: bool) -> list[list[Standing]]:
    groups: dict[tuple[str, str, str], list[Standing]] = {}
    for row in standings:
        if (row.category is None) == whole:
            groups.setdefault((row.benchmark, row.judge, row.protocol), []).append(row)
    return list(groups.values())


def _about(rows: Sequence[Standing]) -> str:
    first = rows[0]
    return f"{first.benchmark}, by {first.judge} ({first.protocol})"


def _mark(value: Interval | None) -> Mark | None:
    return None if value is None else Mark(value.estimate, value.lower, value.upper)


def _axis(unit: str, marks: Iterable[Mark | None]) -> str:
    """What an axis counts, and that there are intervals, where there are."""
    return f"{unit} with 95% interval" if any(mark and mark.lower is not None for mark in marks) else unit


def ratings(rows: Sequence[Standing]) -> Forest | None:
    """The main estimate of each model of one table, best first; None where nothing is rated."""
    rated = [row for row in rows if row.main is not None][:DRAWN]
    if not rated:
        return None
    unit = UNITS[rows[0].method]
    return Forest(
        alt=f"{_about(rows)}: {unit} of {len(rated)} models",
        unit=_axis(unit, [_mark(row.main) for row in rated]),
        rows=tuple(row.model for row in rated),
        series={unit: [_mark(row.main) for row in rated]},
    )


def categories(rows: Sequence[Standing]) -> Forest | None:
    """The main estimate of the best models of one table on each category; None where nothing is rated."""
    cells = {(row.category or "", row.model): _mark(row.main) for row in rows if row.main is not None}
    listed = list(dict.fromkeys(category for category, _ in cells))
    totals: dict[str, list[float]] = {}
    for (_, model), mark in cells.items():
        totals.setdefault(model, []).append(mark.estimate if mark else 0.0)
    best = sorted(totals, key=lambda model: (-len(totals[model]), -sum(totals[model]) / len(totals[model])))[:MODELS]
    if not listed:
        return None
    unit = UNITS[rows[0].method]
    return Forest(
        alt=f"{_about(rows)}: {unit} by category of {', '.join(best)}",
        unit=_axis(unit, cells.values()),
        rows=tuple(listed[:DRAWN]),
        series={model: [cells.get((category, model)) for category in listed[:DRAWN]] for model in best},
    )


def length(rows: Sequence[Standing]) -> Cloud | None:
    """Win rates against mean lengths; None where no lengths are known."""
    unit = UNITS[rows[0].method]
    points = []
    for row in rows:
        mark, characters = _mark(row.main), row.columns.get("avg_length")
        if mark is not None and isinstance(characters, int | float):
            points.append((row.model, Mark(float(characters)), mark))
    if not points:
        return None
    return Cloud(
        alt=f"{_about(rows)}: {unit} against mean length of answers, {len(points)} models",
        x="mean length of answers, characters",
        y=unit,
        points=tuple(points[:DRAWN]),
        one_scale=False,
    )


def matrix(table: Comparisons) -> Matrix | None:
    """How often each model of one table is preferred to each other one, best first; None without two models.

    A tie is half a win. A share is of all comparisons of the two, each with its weight.
    """
    import numpy as np

    size = len(table.models)
    if size < 2 or not len(table):
        return None
    points, weight, count = np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size), dtype=np.int64)
    for one, other, outcome in ((table.a, table.b, table.outcome), (table.b, table.a, 1 - table.outcome)):
        np.add.at(points, (one, other), table.weight * outcome)
        np.add.at(weight, (one, other), table.weight)
        np.add.at(count, (one, other), 1)
    shares = np.divide(points, weight, out=np.full((size, size), np.nan), where=weight > 0)
    met = np.flatnonzero(weight.sum(axis=1) > 0).tolist()
    order = sorted(met, key=lambda row: -float(np.nanmean(shares[row])))[:SQUARES]
    names = tuple(plain(table.models[place]) for place in order)
    more = f"; {len(met) - SQUARES} more models are not shown" if len(met) > SQUARES else ""
    return Matrix(
        alt=f"{table.benchmark}, by {table.judge} ({table.protocol}): how often each of {len(names)} models is "
        f"preferred to each other one{more}",
        unit=f"% won by the row against the column, ties half; {table.judge}",
        names=names,
        shares=tuple(
            tuple(float(shares[row, column]) if weight[row, column] > 0 else None for column in order) for row in order
        ),
        counts=tuple(tuple(int(count[row, column]) for column in order) for row in order),
    )
