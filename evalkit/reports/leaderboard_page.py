"""A leaderboard as one self-contained web page: tables, and a figure of each table's main estimate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evalkit.core.text import plain
from evalkit.reports import web
from evalkit.reports.audit_figures import Forest, Mark
from evalkit.reports.grid import Grid, GridCell

TEMPLATE = "leaderboard.html.j2"
DRAWN = 60
"""Models of a figure; the table has all."""


def page(grids: Iterable[Grid], notes: Iterable[str], *, title: str = "Leaderboard") -> str:
    """The page. Everything that comes from data is escaped, and no script may run."""
    return web.render(
        TEMPLATE,
        title=plain(title),
        grids=[shown(grid) for grid in grids],
        notes=[plain(note) for note in notes],
    )


def shown(grid: Grid) -> dict[str, Any]:
    """A table and its figure, as a template prints them."""
    return {
        "title": plain(grid.title),
        "headers": [plain(header) for header in grid.headers],
        "rows": [[_cell(cell) for cell in row] for row in grid.rows],
        "left": grid.left,
        "breaks": grid.breaks,
        "notes": [plain(note) for note in grid.notes],
        "picture": web.picture(figure(grid)) if len(grid.points) > 1 else None,
    }


def figure(grid: Grid) -> Forest:
    """The main estimate of each model of a table."""
    points = grid.points[:DRAWN]
    return Forest(
        alt=f"{grid.title}; the table has the numbers",
        unit=f"{grid.unit} with 95% interval",
        rows=tuple(point.label for point in points),
        series={grid.unit: [Mark(point.estimate, point.lower, point.upper) for point in points]},
    )


def _cell(cell: GridCell) -> dict[str, str]:
    return {"text": plain(cell.text), "limits": plain(cell.limits)}
