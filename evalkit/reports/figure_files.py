"""Writes the drawing of a figure: inline SVG for a page, or an SVG, PNG or PDF file."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.core.text import plain
from evalkit.reports.audit_figures import Figure
from evalkit.reports.figure_drawing import PALETTE, draw, own_style

STYLE = """\
.figure { display: block; width: 100%; max-width: 40rem; height: auto; }
.figure path { fill: none; }
.figure text { font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
""" + "\n".join(
    f".figure .f-{name} {{ fill: var(--{name}); }} .figure .s-{name} {{ stroke: var(--{name}); }} "
    f".figure .t-{name} {{ fill: var(--{name}); }}"
    for name in PALETTE
)
"""The style sheet of inline figures, on a page that has the colours as properties."""
FORMATS = (".svg", ".png", ".pdf")
"""Endings of files that hold a figure."""
RESOLUTION = 200
"""Pixels an inch of a PNG."""


def inline_svg(figure: Figure) -> str:
    """The figure as an ``svg`` element without scripts, ids or colours of its own; every label is escaped."""
    return _svg(figure, f'class="figure" role="img" aria-label="{escape(plain(figure.alt))}"', "")


def _svg(figure: Figure, attributes: str, first: str) -> str:
    with own_style():
        from evalkit.reports.figure_svg import SvgRenderer

        drawing = draw(figure)
        width, height = (72 * side for side in drawing.get_size_inches().tolist())
        renderer = SvgRenderer(width, height)
        drawing.draw(renderer)
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" {attributes}>{first}{"".join(renderer.parts)}</svg>'


def save_all(figures: Sequence[Figure], path: Path, note: Callable[[str], None]) -> None:
    """Write figures of one kind: the first to the file, further ones beside it as ``NAME-2`` and so on.

    Raises:
        UsageError: as `save`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error
    for number, figure in enumerate(figures, start=1):
        to = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        save(figure, to)
        note(f"in {to}: {shown_by(figure)}")


def shown_by(figure: Figure) -> str:
    """What a figure shows, where no table is below it."""
    return plain(figure.alt).partition("; the table")[0]


def save(figure: Figure, path: Path) -> None:
    """Write the figure to a file, in light colours; the same figure gives the same file.

    Args:
        figure: what to draw.
        path: a name ending in .svg, .png or .pdf.

    Raises:
        UsageError: the name has another ending, or the file cannot be written.
    """
    form = path.suffix.lower()
    if form not in FORMATS:
        raise UsageError(f"{path.name!r}: no figure has the format {form!r}; end the name in {', '.join(FORMATS)}")
    data = _standalone(figure).encode() if form == ".svg" else _printed(figure, form.removeprefix("."))
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error


def _standalone(figure: Figure) -> str:
    # Editors and converters know no properties of style sheets.
    style = re.sub(r"var\(--(\w+)\)", lambda found: PALETTE[found[1]], STYLE)
    title = f"<title>{escape(plain(figure.alt))}</title><style>{style}</style>"
    return _svg(figure, 'class="figure" xmlns="http://www.w3.org/2000/svg"', title) + "\n"


def _printed(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Software": None} if form == "png" else {"CreationDate": None}
    with own_style(), warnings.catch_warnings():
        # A sign that no installed font has is shown as a box.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        draw(figure).savefig(buffer, format=form, dpi=RESOLUTION, metadata=metadata)
    return buffer.getvalue()
