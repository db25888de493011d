"""Tables and sentences as a notebook's cell shows them; whatever names hold, none of it is markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from evalkit.core.text import plain
from evalkit.reports.grid import Grid


def text_of(sentences: Iterable[str]) -> str:
    """A paragraph for each sentence."""
    return "".join(f"<p>{escape(plain(sentence))}</p>" for sentence in sentences)


def grids_of(grids: Iterable[Grid]) -> str:
    """Tables under their titles, with their notes."""
    from pandas import DataFrame

    parts = []
    for grid in grids:
        cells = [[plain(cell.joined) for cell in row] for row in grid.rows]
        table = DataFrame(cells, columns=list(map(plain, grid.headers))).to_html(index=False, border=0, escape=True)
        notes = "".join(f"<p><small>{escape(plain(note))}</small></p>" for note in grid.notes)
        parts.append(f"<h4>{escape(plain(grid.title))}</h4>{table}{notes}")
    return "".join(parts)
