"""A table of cells on a terminal: as many columns side by side as there is room for, and no number is ever broken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from evalkit.core.text import plain
from evalkit.reports.grid import NONE, Grid, GridCell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

EDGES, BETWEEN = 2, 3
"""What the box and the padding take: at both ends together, and between two columns."""
BREAK = re.compile(r"(?<=[\s_/.:-])")
"""Where a name may continue on the next line."""


class _TextLayout(NamedTuple):
    broken: bool
    """Headers take several lines."""
    below: bool
    """Limits stand below their estimate, not beside it."""


LAYOUTS = (_TextLayout(False, False), _TextLayout(True, False), _TextLayout(True, True))
"""From the widest to the narrowest."""


def tables(grid: Grid, width: int) -> Iterator[Table]:
    """The table; where it is too wide even with limits below estimates, its columns in several, one after another.

    Args:
        grid: what to show.
        width: of the terminal, in columns of text.
    """
    choices = []
    for lead in (_lead(grid, None), _lead(grid, width // 2)):
        room = width - EDGES - sum(lead) - BETWEEN * len(lead)
        for layout in LAYOUTS:
            widths, parts = _split(grid, layout, room)
            if max(widths, default=0) <= room:
                choices.append((layout, [*lead, *widths], parts))
    if not choices:  # so narrow that no number fits
        choices.append((layout, [*lead, *widths], parts))
    layout, widths, parts = min(choices, key=lambda choice: len(choice[2]))  # the first, so the widest, of the fewest
    for part in parts:
        yield _table(grid, [*range(grid.left), *part], widths, layout)


def _lead(grid: Grid, most: int | None) -> list[int]:
    """Widths of the leading columns of text: as wide as they are, or so that they do not take more than this."""
    widths: list[int] = []
    for column in range(grid.left):
        natural = max([_length(grid.headers[column]), *(_length(row[column].text) for row in grid.rows)])
        share = natural if most is None else max(1, (most - sum(widths)) // (grid.left - column))
        widths.append(min(natural, share))
    return widths


def _split(grid: Grid, layout: _TextLayout, room: int) -> tuple[list[int], list[list[int]]]:
    """Widths of the other columns in this layout, and which of them share a table."""
    widths: list[int] = []
    parts: list[list[int]] = []
    used = 0
    for column in range(grid.left, len(grid.headers)):
        header = grid.headers[column]
        longest = max(_length(part.rstrip()) for part in BREAK.split(header)) if layout.broken else _length(header)
        numbers = _numbers([row[column] for row in grid.rows], layout)
        widths.append(max(min(longest, room), numbers))
        taken = widths[-1] + BETWEEN
        if not parts or used + taken > room + BETWEEN:
            parts.append([])
            used = 0
        parts[-1].append(column)
        used += taken
    return widths, parts or [[]]


def _numbers(cells: list[GridCell], layout: _TextLayout) -> int:
    """The width of a column of numbers: limits line up, whatever the widths of the estimates."""
    estimate = max((_length(cell.text) for cell in cells), default=0)
    limits = max((_length(cell.limits) for cell in cells), default=0)
    if not limits or layout.below:
        return max(estimate, limits)
    return estimate + 1 + limits


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(plain(text))


def _lines(text: str, width: int) -> str:
    """Broken between the words of a name; within a word only where that is longer than a line."""
    from rich.cells import chop_cells

    lines = [""]
    for part in BREAK.split(plain(text)):
        for piece in [part] if _length(part.rstrip()) <= width else chop_cells(part, max(1, width)):
            if _length((lines[-1] + piece).rstrip()) <= width:
                lines[-1] += piece
            else:
                lines.append(piece)
    return "\n".join(line.rstrip() for line in lines)


def _table(grid: Grid, columns: list[int], widths: list[int], layout: _TextLayout) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        header = Text(_lines(grid.headers[column], widths[column]))
        table.add_column(header, justify="left" if column < grid.left else "right", no_wrap=True)
    limits = [max((_length(row[column].limits) for row in grid.rows), default=0) for column in range(len(widths))]
    for place, row in enumerate(grid.rows):
        if place in grid.breaks:
            table.add_section()
        names = [Text(_lines(row[column].text, widths[column])) for column in columns[: grid.left]]
        table.add_row(*names, *(_text(row[column], limits[column], layout) for column in columns[grid.left :]))
    return table


def _text(cell: GridCell, width: int, layout: _TextLayout) -> Text:
    """An estimate in bold and its limits, which take the same width in every row so that estimates line up."""
    from rich.text import Text

    text = Text(plain(cell.text), style="dim" if cell == NONE else "bold" if width else "")
    if width and layout.below:
        text.append(f"\n{plain(cell.limits)}" if cell.limits else "", style="not bold dim")
    elif width:
        text.append(f" {plain(cell.limits):>{width}}", style="not bold dim")
    return text
