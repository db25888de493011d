"""A board of judges -> tables of cells: an overview, and for each set judges, categories and differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.audit.judge_board import PEOPLE, BoardRow, BoardTable, JudgeBoard
from evalkit.audit.judge_effects import FEWEST
from evalkit.core.preference_strength import STEPS
from evalkit.core.protocols import UsageError
from evalkit.evidence.findings import counted
from evalkit.ratings.differences import ModelDifferences, turned
from evalkit.reports import differences_grid
from evalkit.reports.audit_figures import SHARES, Forest, Mark
from evalkit.reports.figure_drawing import LABEL, shortened
from evalkit.reports.grid import NONE, Grid, GridCell, Point, interval, number, signed
from evalkit.reports.judges_words import remarks, set_name, what_is_right

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

DRAWN = 48
"""Rows of the one figure of all sets, each of which is in it whole or not at all; the tables have all."""
ORDERS = {
    "average": "of two orders the winner on average counts",
    "judgebench": "of two orders the winner on average counts, and where one has no verdict, the other's",
    "consistent": "a winner counts only where both orders name it",
    "each": "every order shown counts by itself",
}

NEEDS = {
    "shown first": f"verdicts whose order shown is known, {FEWEST} or more with the labelled answer in either place",
    "longer": f"known lengths, and {FEWEST} labels or more for the longer and for the shorter answer",
    "own family": f"{FEWEST} labels or more for a judge's own family against others, and as many the other way round",
}
NEEDS_OF_PEOPLE = {
    "shown first": NEEDS["shown first"],
    "longer": "known lengths and several models, and no narrowing to a category",
    "own family": "four models or more with one of a judge's own family, and no narrowing to a category",
}
"""What the data lack where an effect has no column."""

OF_PEOPLE = {
    "longer": "longer: length slope beyond people's, in logits a standard deviation (evalkit audit)",
    "own family": "own family: rated higher than by people, in logits (evalkit audit)",
}
"""What these columns are where the labels are people's votes."""


def grids(board: JudgeBoard, *, by_category: bool, matrices: bool) -> list[Grid]:
    """Every table, in reading order.

    Args:
        board: what to show.
        by_category: also judges by category.
        matrices: differences between all judges, for paper and page; else from the first one only.
    """
    found = [_overview(board.tables)] if len(board.tables) > 1 else []
    for table in board.tables:
        found.append(_judges(table, board))
        if (strengths := _strengths(table)) is not None:
            found.append(strengths)
        if by_category and (categories := _categories(table)) is not None:
            found.append(categories)
        found += _differences(table, matrices)
    return found


def _overview(tables: Sequence[BoardTable]) -> Grid:
    """Judges by sets: the main figure of each."""
    shown = [{row.name: row for row in table.rows} for table in tables]
    names = dict.fromkeys(row.name for table in tables for row in table.rows if row.kind == "judge")
    others = dict.fromkeys(row.name for table in tables for row in table.rows if row.kind != "judge")
    rows = [
        (GridCell(name), *(_share(rows[name].right) if name in rows else NONE for rows in shown))
        for name in (*names, *others)
    ]
    return Grid(
        "every judge on every set: % right",
        ("judge", *(set_name(table) for table in tables)),
        tuple(rows),
        breaks=frozenset({len(names)} if others and names else ()),
        notes=("only figures of one column are about the same labels",),
    )


def _share(value: Interval | None) -> GridCell:
    return interval(None if value is None else value.affine(100.0), 1)


Column = tuple[str, Callable[[BoardRow], GridCell]]


def _judges(table: BoardTable, board: JudgeBoard) -> Grid:
    gold = table.source == "gold"
    scale, digits = (100.0, 1) if gold else (1.0, 2)

    def effect(value: Interval | None, size: float, after: int) -> GridCell:
        return signed(None if value is None else value.affine(size), after)

    columns: list[Column] = [
        ("% right" if gold else "% as people", lambda row: _share(row.right)),
        ("ranks", _ranks),
        ("labels", lambda row: number(row.labels, 0)),
        ("decided", lambda row: _count(row, row.decided)),
        ("tied", lambda row: _count(row, row.tied)),
        ("failed", lambda row: _count(row, row.failed)),
    ]
    if any(row.failed for row in table.rows):
        columns.append(("% right, failed as not", lambda row: number(_percent(row.strict), 1)))
    optional: list[tuple[str, Callable[[BoardRow], GridCell], bool]] = [
        ("% same in both orders", lambda row: _share(row.same_in_both), any(row.same_in_both for row in table.rows)),
        ("shown first", lambda row: effect(row.position, 100.0, 1), any(row.position for row in table.rows)),
        ("longer", lambda row: effect(row.length, scale, digits), any(row.length for row in table.rows)),
        ("own family", lambda row: effect(row.family, scale, digits), any(row.family for row in table.rows)),
        ("stronger", lambda row: effect(row.stronger, 100.0, 1), any(row.stronger for row in table.rows)),
        ("USD each", lambda row: _dollars(row.cost.usd_each), any(row.cost.priced for row in table.rows)),
        ("s each", lambda row: number(row.cost.seconds_each, 2), any(row.cost.timed for row in table.rows)),
    ]
    columns += [(name, cell) for name, cell, there in optional if there]
    kinds = [row.kind for row in table.rows]
    return Grid(
        f"{set_name(table)}: {counted(table.labels, 'label')} on {counted(table.questions, 'question')}",
        ("judge", *(name for name, _ in columns)),
        tuple((GridCell(row.name), *(cell(row) for _, cell in columns)) for row in table.rows),
        breaks=frozenset(place for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1]),
        points=tuple(
            Point(row.name, 100 * row.right.estimate, _percent(row.right.lower), _percent(row.right.upper))
            for row in table.rows
            if row.right is not None
        ),
        unit=f"% {what_is_right(table)}",
        notes=(*_legend(table, board, [name for name, _ in columns]), *remarks(table)),
    )


def _count(row: BoardRow, value: int) -> GridCell:
    return NONE if row.kind == "people" else number(value, 0)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _dollars(value: float | None) -> GridCell:
    return NONE if value is None else GridCell(f"{value:.2g}" if value else "0")


def _ranks(row: BoardRow) -> GridCell:
    if row.ranks is None or row.right is None:
        return NONE
    return GridCell(str(row.ranks[0]) if row.ranks[0] == row.ranks[1] else f"{row.ranks[0]}–{row.ranks[1]}")


def _legend(table: BoardTable, board: JudgeBoard, shown: Sequence[str]) -> list[str]:
    """What the columns are, for those that are there."""
    about = {"pairs": "of two answers", "best of n": what_is_right(table), "answers": "of one answer"}[table.measure]
    said = [f"% right: {about}, of the labels with a verdict; 95% intervals by question"]
    if table.source == "people":
        said = [f"% as people: every vote, a tie being a verdict, {about}; 95% intervals by question"]
    if "shown first" in shown and "% same in both orders" in shown:
        said.append(ORDERS[board.orders])
    if "ranks" in shown and len(table.judges) > 1:
        said.append("ranks: not ruled out by the differences on the same labels, all pairs at once")
    what = []
    if "shown first" in shown:
        what.append("shown first")
    if table.source == "gold":
        what += [name for name in ("longer", "own family") if name in shown]
    if what:
        said.append(f"{', '.join(what)}: % right where the labelled answer is that, minus where the other one is")
    if table.measure == "pairs" and table.judges:
        lacks = NEEDS if table.source == "gold" else NEEDS_OF_PEOPLE
        said += [f"no column `{name}`: needs {needs}" for name, needs in lacks.items() if name not in shown]
    if "stronger" in shown:
        strong = " or ".join(f"`{name}`" for name in table.strong)
        said.append(f"stronger: % right where the label says {strong}, minus where it says less")
    return said + [text for name, text in OF_PEOPLE.items() if table.source == "people" and name in shown]


def _categories(table: BoardTable) -> Grid | None:
    names = sorted({name for row in table.rows for name in row.categories})
    if len(names) < 2:
        return None
    rows = [
        (GridCell(row.name), *(_share(row.categories.get(name)) for name in names))
        for row in table.rows
        if row.categories
    ]
    return Grid(f"{set_name(table)}, by category: % right", ("judge", *names), tuple(rows))


def _strengths(table: BoardTable) -> Grid | None:
    """Judges by how strong a preference is."""
    names = [name for name in STEPS if any(name in row.strengths for row in table.rows)]
    if len(names) < 2:
        return None
    rows = [
        (GridCell(row.name), *(_share(row.strengths.get(name)) for name in names))
        for row in table.rows
        if row.strengths
    ]
    what = "% right" if table.source == "gold" else "% as people"
    return Grid(f"{set_name(table)}, by how much one answer is preferred: {what}", ("judge", *names), tuple(rows))


def _differences(table: BoardTable, matrices: bool) -> list[Grid]:
    found = table.differences
    if found is None or not table.judges:
        return []
    title = f"{set_name(table)}: differences on the same labels, in points"
    scaled = _in_points(found)
    if matrices and 2 < len(found.models) <= differences_grid.DRAWN:
        return [differences_grid.matrix(title, scaled, 1, what="judge")]
    first = table.leaders[0] if table.leaders else table.judges[0]
    pairs = {name: pair for pair in scaled.pairs for name in (pair.a, pair.b) if first.name in (pair.a, pair.b)}
    rows = []
    for row in (row for row in table.rows if row.name in found.models and row is not first):
        pair = pairs.get(row.name)
        if pair is None:
            continue
        value = pair.interval
        if value is not None and pair.a != row.name:
            value = turned(value)
        rows.append((GridCell(row.name), signed(value, 1), number(0 if value is None else value.n, 0)))
    method = "all pairs at once" if len(found.pairs) > 1 else "one pair"
    note = f"95% intervals, paired on the labels that both have a verdict on, questions as clusters; {method}"
    return [Grid(f"{title}, from {first.name}", ("judge", "difference", "labels"), tuple(rows), notes=(note,))]


def _in_points(found: ModelDifferences) -> ModelDifferences:
    pairs = (
        replace(
            pair,
            interval=None if pair.interval is None else pair.interval.affine(100.0),
            worst=None if pair.worst is None else (100 * pair.worst[0], 100 * pair.worst[1]),
        )
        for pair in found.pairs
    )
    return replace(found, pairs=tuple(pairs))


def figures(board: JudgeBoard) -> list[Forest]:
    """A figure for each set: how often every judge is right, the best first; rules and people below.

    Raises:
        UsageError: no judge has a figure.
    """
    drawn = [_figure(table) for table in board.tables if any(row.right is not None for row in table.rows)]
    if not drawn:
        raise UsageError("no judge has a verdict on a label, so that there is nothing to draw")
    return drawn


def _figure(table: BoardTable) -> Forest:
    known = [(row.name, row.right) for row in table.rows if row.right is not None]
    more = f"; {len(known) - DRAWN} more rows are not shown" if len(known) > DRAWN else ""
    return Forest(
        alt=f"{set_name(table)}: share {what_is_right(table)}, {counted(table.labels, 'label')}{more}",
        unit=f"share {what_is_right(table)}, with 95% interval",
        rows=tuple(shortened(name, LABEL) for name, _ in known[:DRAWN]),
        series={
            "share right": [Mark(found.estimate, found.lower, found.upper) for _, found in known[:DRAWN]],
        },
        span=SHARES,
    )


def figure(tables: Iterable[BoardTable]) -> Forest:
    """Every judge of every set in one figure: below the name of a set, a line for each of its rows."""
    rows: list[tuple[str, Mark | None]] = []
    for table in tables:
        known = [(row.name, row.right) for row in table.rows if row.right is not None]
        if table.judges and len(rows) + len(known) < DRAWN:
            rows.append((f"{set_name(table)}:", None))
            rows += [
                ("people" if name == PEOPLE else name, Mark(found.estimate, found.lower, found.upper))
                for name, found in known
            ]
    return Forest(
        alt="share right of every judge on every set, with 95% intervals; the tables have the numbers",
        unit="share right, with 95% interval",
        rows=tuple(shortened(label.rpartition("/")[2] or label, LABEL) for label, _ in rows),
        series={"share right": [mark for _, mark in rows]},
        span=SHARES,
    )
