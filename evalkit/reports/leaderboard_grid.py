"""Standings -> tables of cells, the same for terminal, Markdown and web page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.ratings.beside import JudgesSideBySide
from evalkit.ratings.scores import Score
from evalkit.ratings.standing import Standing, TableInfo

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval


@dataclass(frozen=True)
class Cell:
    """What one cell shows."""

    text: str
    limits: str = ""
    """The interval, after the estimate."""


@dataclass(frozen=True)
class Point:
    """One interval of the plot."""

    label: str
    estimate: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Grid:
    """One table."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1
    """How many leading columns are text."""
    breaks: frozenset[int] = frozenset()
    """Rows that start a new group."""
    points: tuple[Point, ...] = ()
    """Of the main estimate; empty where nothing is plotted."""
    unit: str = ""
    """What the points are."""
    notes: tuple[str, ...] = field(default=())


TITLES = {
    "winrate": "win rates",
    "lc": "length-controlled win rates",
    "bt": "Bradley-Terry ratings",
    "elo": "online Elo ratings (order-dependent)",
}

UNITS = {"winrate": "win rate, %", "lc": "length-controlled win rate, %", "bt": "rating", "elo": "rating"}

NONE = Cell("–")

OF_QUESTIONS = "a score is the mean of question means; it can lie outside its turns' where some questions lack a turn"
"""Said under a table where it makes a difference."""


def interval(value: Interval | None, digits: int) -> Cell:
    """An estimate and its limits."""
    if value is None:
        return NONE
    text = f"{value.estimate:z.{digits}f}"
    if value.lower is None or value.upper is None:
        return Cell(text)
    return Cell(text, f"{value.lower:z.{digits}f}–{value.upper:z.{digits}f}")


def number(value: float | int | str | None, digits: int) -> Cell:
    """A number without limits."""
    if value is None:
        return NONE
    return Cell(f"{value:z.{digits}f}" if isinstance(value, float) else str(value))


def _ranks(row: Standing) -> Cell:
    best, worst = row.columns.get("rank_best"), row.columns.get("rank_worst")
    if best is None:
        return number(row.columns.get("rank"), 0)
    return Cell(str(best) if best == worst else f"{best}–{worst}")


Column = tuple[str, Callable[[Standing], Cell]]


def _estimate(header: str, key: str, digits: int) -> Column:
    return header, lambda row: interval(row.estimates.get(key), digits)


def _number(header: str, key: str, digits: int = 0) -> Column:
    return header, lambda row: number(row.columns.get(key), digits)


RECORD: tuple[Column, ...] = (
    ("won", lambda row: Cell(str(row.wins))),
    ("lost", lambda row: Cell(str(row.losses))),
    ("tied", lambda row: Cell(str(row.ties))),
)
COUNTED: tuple[Column, ...] = (
    ("n", lambda row: Cell(str(row.n))),
    ("failed", lambda row: Cell(str(sum(row.failed.values())))),
)


def _columns(rows: list[Standing]) -> list[Column]:
    """What is worth showing of these standings."""
    method = rows[0].method
    ties = any(row.ties for row in rows)
    failed = [column for column in COUNTED if column[0] == "failed" and any(row.failed for row in rows)]
    if method == "winrate":
        win = _estimate("win rate", "win_rate", 2)
        length = [_number("length", "avg_length")] if any(row.columns.get("avg_length") for row in rows) else []
        return [win, _number("SE", "standard_error", 2), *RECORD, *length, *failed]
    if method == "lc":
        lc, win = _estimate("LC win rate", "length_controlled_win_rate", 2), _estimate("win rate", "win_rate", 2)
        published = any(row.columns.get("lc_standard_error") is not None for row in rows)
        error = [_number("LC SE", "lc_standard_error", 2)] if published else []
        return [lc, *error, win, _number("length", "avg_length"), COUNTED[0], *failed]
    columns: list[Column] = [_estimate("rating", "rating", 0)]
    if ties and any("rating_without_ties" in row.estimates for row in rows):
        columns.append(_estimate("without ties", "rating_without_ties", 0))
    styled = any(row.estimates.get("rating_style_controlled") for row in rows)
    if styled:
        columns.append(_estimate("equal style", "rating_style_controlled", 0))
    rank: list[Column] = [("rank", _ranks)] if method == "bt" else []
    record = () if styled else RECORD if ties else RECORD[:2]  # three intervals leave no room
    return [*rank, *columns, *record, *failed]


def of_judge(rows: list[Standing]) -> Grid:
    """One judge's table of one benchmark, or of all its categories."""
    first = rows[0]
    by_category = first.category is not None
    columns = _columns(rows)
    lead: list[Column] = [("model", lambda row: Cell(row.model))]
    if by_category:
        lead.insert(0, ("category", lambda row: Cell(row.category or "")))
    cells, breaks, before = [], set(), None
    for number_of, row in enumerate(rows):
        line = [show(row) for _, show in (*lead, *columns)]
        if by_category and row.category == before:
            line[0] = Cell("")
        elif by_category and number_of:
            breaks.add(number_of)
        before = row.category
        cells.append(tuple(line))
    against = f", against {first.about.baseline}" if first.about.baseline else ""
    title = f"{first.benchmark}: {TITLES[first.method]} by {first.judge} ({first.protocol}){against}"
    return Grid(
        title=title + (", by category" if by_category else ""),
        headers=tuple(header for header, _ in (*lead, *columns)),
        rows=tuple(cells),
        left=len(lead),
        breaks=frozenset(breaks),
        points=() if by_category else _points((row.model, row.main) for row in rows),
        unit=UNITS[first.method],
        notes=_notes(rows),
    )


def _points(pairs: Iterable[tuple[str, Interval | None]]) -> tuple[Point, ...]:
    return tuple(Point(name, value.estimate, value.lower, value.upper) for name, value in pairs if value is not None)


def _notes(rows: list[Standing]) -> tuple[str, ...]:
    """What belongs under the table: limits of the method, failures, how well models are told apart, style effects."""
    said: dict[str, dict[str | None, None]] = {}
    for row in rows:
        for note in _of_table(row.about):
            said.setdefault(note, {})[row.category] = None
    every = {row.category for row in rows}
    notes = [
        note if set(categories) == every else f"{', '.join(name or '' for name in categories)}: {note}"
        for note, categories in said.items()
    ]
    for row in rows:
        if row.failed and row.category is None:
            kinds = ", ".join(f"{count} {kind}" for kind, count in row.failed.items())
            notes.append(f"{row.model}: {sum(row.failed.values())} without a verdict: {kinds}")
    return tuple(notes)


def _of_table(about: TableInfo) -> list[str]:
    notes = list(about.notes)
    if about.separability is not None:
        notes.append(f"{about.separability:.0%} of model pairs differ significantly (all pairs at once, 95%)")
    if about.tie is not None:
        notes.append(f"tie parameter {about.tie:.3f}")
    for name, effect in about.coefficients.items():
        limits = "" if effect.lower is None else f" [{effect.lower:z.3f}, {effect.upper:z.3f}]"
        notes.append(f"effect of {name}: {effect.estimate:z.3f}{limits} logits per standard deviation")
    return notes


def beside(table: JudgesSideBySide) -> list[Grid]:
    """Judges side by side: one grid of the main estimate, and one without ties where there is such."""
    rows = list(table.cells.values())
    ties = any(row.ties for row in rows)
    keys = [next(iter(rows[0].estimates))]
    if ties and all(row.estimates.get("rating_without_ties") for row in rows):
        keys.append("rating_without_ties")
    return [_beside(table, key) for key in keys]


def _beside(table: JudgesSideBySide, key: str) -> Grid:
    digits = 0 if key.startswith("rating") else 2
    protocols = {protocol for _, protocol in table.judges}
    headers = [judge if len(protocols) == 1 else f"{judge} ({protocol})" for judge, protocol in table.judges]
    rows = []
    for model in table.models:
        standings = [table.cells.get((model, judge)) for judge in table.judges]
        cells = [NONE if row is None else interval(row.estimates.get(key), digits) for row in standings]
        rows.append((Cell(model), *cells))
    without = ", ties left out" if key == "rating_without_ties" else ""
    where = f", {table.category}" if table.category else ""
    title = f"{table.benchmark}{where}: {TITLES[table.method]} by judge{without}"
    complete = all((model, judge) in table.cells for model in table.models for judge in table.judges)
    notes = () if complete else ("ratings are relative to the models each judge rated; these are not all the same",)
    return Grid(title, ("model", *headers), tuple(rows), notes=notes if key.startswith("rating") else ())


def all_grids(standings: list[Standing], side_by_side: list[JudgesSideBySide]) -> list[Grid]:
    """Every table of a leaderboard, in reading order."""
    groups: dict[tuple[str, str, str, bool], list[Standing]] = {}
    for row in standings:
        groups.setdefault((row.benchmark, row.judge, row.protocol, row.category is not None), []).append(row)
    return [of_judge(rows) for rows in groups.values()] + [grid for table in side_by_side for grid in beside(table)]


def of_scores(scores: list[Score]) -> list[Grid]:
    """Tables of single grading."""
    groups: dict[tuple[str, str, str, bool], list[Score]] = {}
    for score in scores:
        key = (score.benchmark, score.judge.name, score.protocol, score.category is not None)
        groups.setdefault(key, []).append(score)
    return [_of_scores(rows) for rows in groups.values()]


def _of_scores(rows: list[Score]) -> Grid:
    first, turns = rows[0], max(len(row.turns) for row in rows)
    categories = first.category is not None
    cells, notes = [], []
    for row in rows:
        graded = [interval(turn, 2) for turn in row.turns] + [NONE] * (turns - len(row.turns))
        lead = (Cell(row.category or ""), Cell(row.model.name)) if categories else (Cell(row.model.name),)
        failed = sum(row.failed.values())
        cells.append((*lead, interval(row.score, 2), *graded, Cell(str(row.n)), Cell(str(failed))))
        if row.failed and not categories:
            kinds = ", ".join(f"{count} {kind}" for kind, count in row.failed.items())
            notes.append(f"{row.model.name}: {failed} of {row.n + failed} without a verdict: {kinds}")
    if any(row.uneven for row in rows):
        notes.append(OF_QUESTIONS)
    names = ("category", "model") if categories else ("model",)
    return Grid(
        title=f"{first.benchmark}: scores by {first.judge.name} ({first.protocol})"
        + (", by category" if categories else ""),
        headers=(*names, "score", *(f"turn {turn}" for turn in range(1, turns + 1)), "n", "failed"),
        rows=tuple(cells),
        left=len(names),
        points=() if categories else _points((row.model.name, row.score) for row in rows),
        unit="score",
        notes=tuple(notes),
    )
