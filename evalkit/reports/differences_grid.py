"""Differences between models -> tables of cells: a list of a few, a matrix of more."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.ratings.differences import MAX_T, ModelDifference, ModelDifferences
from evalkit.ratings.standing import Standing
from evalkit.reports.grid import NONE, Grid, GridCell, signed

DIGITS = {"score": 3, "winrate": 2, "lc": 2, "bt": 0, "elo": 0}
"""After the point, by method."""
WHAT = {
    "score": "scores",
    "winrate": "win rates, in points",
    "lc": "length-controlled win rates, in points",
    "bt": "Bradley-Terry ratings",
    "elo": "online Elo ratings",
}
LISTED = 4
"""Models of which every pair is listed on a terminal."""
DRAWN = 40
"""Models of a matrix that can be read; the JSON form has all."""


def grids(rows: Sequence[Standing], *, matrices: bool = False) -> list[Grid]:
    """What belongs under one judge's table, or the tables of all its categories; nothing where models are one or many.

    Args:
        rows: of one judge, benchmark and method.
        matrices: three models or more are shown as a matrix.
    """
    found = {row.category: row.about.differences for row in rows if row.about.differences is not None}
    listed = {category: one for category, one in found.items() if one is not None}
    if not listed:
        return []
    size = max(len(one.models) for one in listed.values())
    if not matrices or size == 2:
        return [_list(rows[0], listed)] if size <= LISTED else []
    return [
        matrix(_title(rows[0], category), one, DIGITS[rows[0].method])
        for category, one in listed.items()
        if len(one.models) <= DRAWN
    ]


def _title(row: Standing, category: str | None) -> str:
    where = f", {category}" if category else ""
    return f"{row.benchmark}{where}: differences in {WHAT[row.method]} by {row.judge} ({row.protocol})"


def _list(row: Standing, found: dict[str | None, ModelDifferences]) -> Grid:
    digits = DIGITS[row.method]
    by_category = list(found) != [None]
    failures = any(pair.worst for one in found.values() for pair in one.pairs)
    headers = (*(("category",) if by_category else ()), "model", "minus", "difference", "t", "questions")
    cells: list[tuple[GridCell, ...]] = []
    breaks: set[int] = set()
    for category, one in found.items():
        if by_category and cells:
            breaks.add(len(cells))
        for place, pair in enumerate(one.pairs):
            line = [GridCell(category or "" if place == 0 else "")] if by_category else []
            line += [GridCell(pair.a), GridCell(pair.b), signed(pair.interval, digits), _t(pair)]
            line.append(GridCell(str(pair.interval.clusters)) if pair.interval else NONE)
            if failures:
                line += [GridCell(f"{pair.failed[0]} + {pair.failed[1]}"), worst_case(pair, digits)]
            cells.append(tuple(line))
    return Grid(
        _title(row, None) + (", by category" if by_category else ""),
        headers + (("failed", "at worst") if failures else ()),
        tuple(cells),
        left=3 if by_category else 2,
        breaks=frozenset(breaks),
        notes=_notes(found),
    )


def _t(pair: ModelDifference) -> GridCell:
    """The difference in standard errors."""
    found = pair.interval
    if found is None or not found.standard_error or found.lower is None:
        return NONE
    return GridCell(f"{found.estimate / found.standard_error:z.1f}")


def worst_case(pair: ModelDifference, digits: int) -> GridCell:
    """Between which differences failures leave it, each at its worst for one of the two."""
    if pair.worst is None:
        return NONE
    return GridCell(f"{pair.worst[0]:+z.{digits}f} to {pair.worst[1]:+z.{digits}f}")


def matrix(title: str, found: ModelDifferences, digits: int, what: str = "model") -> Grid:
    """Row minus column: the model that stands lower minus the one above it, and the other way round.

    Args:
        title: of the table.
        found: all pairs.
        digits: after the point.
        what: the models are.
    """
    pairs = {(pair.a, pair.b): pair for pair in found.pairs}
    lines = []
    for model in found.models:
        line = [GridCell(model)]
        for other in found.models:
            pair, turned = pairs.get((model, other)), pairs.get((other, model))
            line.append(_cell(pair, digits, 1) if pair else _cell(turned, digits, -1) if turned else GridCell(""))
        lines.append(tuple(line))
    notes = ("row minus column; * where the interval leaves out 0", *_notes({None: found}))
    return Grid(title, (what, *found.models), tuple(lines), notes=notes)


def _cell(pair: ModelDifference, digits: int, sign: int) -> GridCell:
    found = pair.interval
    if found is None:
        return NONE
    star = "*" if pair.apart else ""
    text = f"{sign * found.estimate:+z.{digits}f}{star}"
    if found.lower is None or found.upper is None:
        return GridCell(text)
    ends = sorted((sign * found.lower, sign * found.upper))
    return GridCell(text, f"{ends[0]:+z.{digits}f} to {ends[1]:+z.{digits}f}")


def _notes(found: dict[str | None, ModelDifferences]) -> tuple[str, ...]:
    """How limits are made, and why there are none."""
    pairs = [pair for one in found.values() for pair in one.pairs]
    several = max(len(one.pairs) for one in found.values())
    limited = [pair for pair in pairs if pair.interval is not None and pair.interval.limited]
    notes = []
    if limited and several > 1:
        notes.append(f"95% intervals of all {several} pairs at once, paired by question ({MAX_T})")
    elif limited:
        notes.append("95% intervals, paired by question (paired t)")
    if any(pair.worst for pair in pairs):
        notes.append(
            "failed: verdicts that the first model lacks and the second has, + the other way round; at worst: the "
            "difference if each failure of the first were the worst value and each of the second the best, and the "
            "other way round"
        )
    reasons = dict.fromkeys(pair.interval.reason for pair in pairs if pair.interval and pair.interval.reason)
    notes += [f"no interval of some differences: {reason}" for reason in reasons]
    return tuple(notes)
