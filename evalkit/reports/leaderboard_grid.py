"""Standings -> tables of cells, the same for terminal, Markdown and web page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.ratings.beside import JudgesSideBySide
from evalkit.ratings.refusals import METHOD as REFUSALS
from evalkit.ratings.standing import Standing, TableInfo, named
from evalkit.reports import differences_grid, refusals_grid
from evalkit.reports.grid import NONE, Grid, GridCell, Point, interval, number

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval


TITLES = {
    "score": "scores",
    "winrate": "win rates",
    "lc": "length-controlled win rates",
    "bt": "Bradley-Terry ratings",
    "elo": "online Elo ratings (order-dependent)",
}

UNITS = {
    "score": "score",
    "winrate": "win rate, %",
    "lc": "length-controlled win rate, %",
    "bt": "rating",
    "elo": "rating",
}


def _ranks(row: Standing) -> GridCell:
    best, worst = row.columns.get("rank_best"), row.columns.get("rank_worst")
    if best is None:
        return number(row.columns.get("rank"), 0)
    return GridCell(str(best) if best == worst else f"{best}–{worst}")


Column = tuple[str, Callable[[Standing], GridCell]]


def _estimate(header: str, key: str, digits: int) -> Column:
    return header, lambda row: interval(row.estimates.get(key), digits)


def _number(header: str, key: str, digits: int = 0) -> Column:
    return header, lambda row: number(row.columns.get(key), digits)


RECORD: tuple[Column, ...] = (
    ("won", lambda row: GridCell(str(row.wins))),
    ("lost", lambda row: GridCell(str(row.losses))),
    ("tied", lambda row: GridCell(str(row.ties))),
)
COUNTED: tuple[Column, ...] = (
    ("n", lambda row: GridCell(str(row.n))),
    ("failed", lambda row: GridCell(str(sum(row.failed.values())))),
)


def _columns(rows: list[Standing]) -> list[Column]:
    """What is worth showing of these standings."""
    method = rows[0].method
    error = "SE (AlpacaEval)" if rows[0].protocol.startswith("alpaca_eval") else "SE"
    several = len({row.model for row in rows}) > 2  # of two, their difference says it
    ranked = method == "bt" or (several and any(row.columns.get("rank_best") is not None for row in rows))
    rank: list[Column] = [("rank", _ranks)] if ranked else []
    if method == "score":
        turns = dict.fromkeys(key for row in rows for key in row.estimates if key != "score")
        graded = [_estimate(key.replace("_", " "), key, 2) for key in turns]
        return [*rank, _estimate("score", "score", 2), *graded, *COUNTED]
    ties = any(row.ties for row in rows)
    failed = [column for column in COUNTED if column[0] == "failed" and any(row.failed for row in rows)]
    if method == "winrate":
        win = _estimate("win rate", "win_rate", 2)
        length = [_number("length", "avg_length")] if any(row.columns.get("avg_length") for row in rows) else []
        return [
            *rank,
            win,
            _number(error, "standard_error", 2),
            *RECORD,
            *length,
            *failed,
        ]
    if method == "lc":
        lc, win = _estimate("LC win rate", "length_controlled_win_rate", 2), _estimate("win rate", "win_rate", 2)
        published = any(row.columns.get("lc_standard_error") is not None for row in rows)
        lc_error = [_number("LC SE", "lc_standard_error", 2)] if published else []
        return [*rank, lc, *lc_error, win, _number("length", "avg_length"), COUNTED[0], *failed]
    columns: list[Column] = [_estimate("rating", "rating", 0)]
    if ties and any("rating_without_ties" in row.estimates for row in rows):
        columns.append(_estimate("without ties", "rating_without_ties", 0))
    styled = any(row.estimates.get("rating_style_controlled") for row in rows)
    if styled:
        columns.append(_estimate("equal style", "rating_style_controlled", 0))
    record = () if styled else RECORD if ties else RECORD[:2]  # three intervals leave no room
    return [*rank, *columns, *record, *failed]


def of_judge(rows: list[Standing]) -> Grid:
    """One judge's table of one benchmark, or of all its categories."""
    first = rows[0]
    by_category = first.category is not None
    columns = _columns(rows)
    if by_category and COUNTED[0] not in columns:
        columns.insert(-1 if COUNTED[1] in columns else len(columns), COUNTED[0])
    lead: list[Column] = [("model", lambda row: GridCell(row.model))]
    if by_category:
        lead.insert(0, ("category", lambda row: GridCell(row.category or "")))
    cells, breaks, before = [], set(), None
    for number_of, row in enumerate(rows):
        line = [show(row) for _, show in (*lead, *columns)]
        if by_category and row.category == before:
            line[0] = GridCell("")
        elif by_category and number_of:
            breaks.add(number_of)
        before = row.category
        cells.append(tuple(line))
    against = f", against {first.about.baseline}" if first.about.baseline else ""
    title = f"{first.benchmark}: {TITLES[first.method]} by {first.judge} ({first.protocol}){against}"
    return Grid(
        title=title + (", by category" if by_category else ", with 95% intervals" if first.method == "score" else ""),
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
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.main is not None and row.main.reason:
            reasons.setdefault(row.main.reason, {})[row.model if row.category is None else row.category] = None
    notes += [f"no interval of {named(list(names))}: {reason}" for reason, names in reasons.items()]
    notes += [f"{row.model}: {_failures(row)}" for row in rows if row.failed and row.category is None]
    return tuple(notes)


def _failures(row: Standing) -> str:
    """How many judgments and answers came to nothing, and why."""
    answers = {kind.removeprefix("answer "): n for kind, n in row.failed.items() if kind.startswith("answer ")}
    judged = {kind: n for kind, n in row.failed.items() if not kind.startswith("answer ")}
    parts = []
    for kinds, what in ((answers, "without an answer"), (judged, "judgments without a verdict")):
        total = sum(kinds.values())
        # Elsewhere than in single grading, two judgments may be one comparison.
        of = f" of {row.n + total}" if kinds is judged and row.method == "score" else ""
        if kinds:
            parts.append(f"{total}{of} {what} ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})")
    return "; ".join(parts)


def _of_table(about: TableInfo) -> list[str]:
    notes = list(about.notes)
    if about.separability is not None and (about.differences is None or len(about.differences.pairs) > 1):
        notes.append(f"{about.separability:.0%} of model pairs differ significantly (max-t, all pairs at once, 95%)")
    if about.differences is not None:
        notes += about.differences.notes
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
        rows.append((GridCell(model), *cells))
    without = ", ties left out" if key == "rating_without_ties" else ""
    where = f", {table.category}" if table.category else ""
    title = f"{table.benchmark}{where}: {TITLES[table.method]} by judge{without}"
    complete = all((model, judge) in table.cells for model in table.models for judge in table.judges)
    notes = () if complete else ("ratings are relative to the models each judge rated; these are not all the same",)
    return Grid(title, ("model", *headers), tuple(rows), notes=notes if key.startswith("rating") else ())


def of_categories(rows: list[Standing]) -> Grid:
    """Scores of one judge by category, models side by side; n counts the judgments of each model in a row."""
    first = rows[0]
    models = list(dict.fromkeys(row.model for row in rows))
    cells = []
    for category in dict.fromkeys(row.category or "" for row in rows):
        found = {row.model: row for row in rows if row.category == category}
        counts = sorted({found[model].n if model in found else 0 for model in models})
        n = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
        shown = (interval(found[model].main, 2) if model in found else NONE for model in models)
        cells.append((GridCell(category), GridCell(n), *shown))
    title = f"{first.benchmark}, by category: {TITLES[first.method]} by {first.judge} ({first.protocol})"
    notes = tuple(note for note in _notes(rows) if "interval" in note)
    return Grid(title, ("category", "n", *models), tuple(cells), left=2, notes=notes)


def all_grids(
    standings: list[Standing],
    side_by_side: list[JudgesSideBySide],
    *,
    by_category: bool = False,
    matrices: bool = False,
) -> list[Grid]:
    """Every table of a leaderboard, in reading order.

    Args:
        standings: of whole benchmarks and of categories.
        side_by_side: the same, judges side by side.
        by_category: whether scores by category are shown with turns and failures, a row for each model.
        matrices: whether differences of three models or more are a matrix, for paper and page; else a list of few.
    """
    groups: dict[tuple[str, str, str, str, bool], list[Standing]] = {}
    for row in standings:
        groups.setdefault((row.benchmark, row.judge, row.protocol, row.method, row.category is not None), []).append(
            row
        )
    grids = refusals_grid.grids(standings)
    for rows in groups.values():
        if rows[0].method == REFUSALS:
            continue
        if rows[0].method != "score" or rows[0].category is None or by_category:
            grids.append(of_judge(rows))
            grids += differences_grid.grids(rows, matrices=matrices)
        elif len({row.category for row in rows}) > 1:
            grids.append(of_categories(rows))
    beside_ = [table for table in side_by_side if by_category or table.category is None or table.method != "score"]
    return grids + [grid for table in beside_ for grid in beside(table)]


def grouped_by(grid: Grid, what: str) -> Grid:
    """The table with another name for what stands in place of categories."""
    headers = tuple(what if header == "category" else header for header in grid.headers)
    return replace(grid, title=grid.title.replace("by category", f"by {what}"), headers=headers)
