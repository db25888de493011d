"""Renders a drawing of Matplotlib as compact SVG: classes for colours, text as text, tooltips, and no ids."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any, cast

from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_hex

from evalkit.reports.figure_drawing import PALETTE, SIZE, text_width

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.text import Text
    from matplotlib.transforms import Transform

NAMES = {colour: name for name, colour in PALETTE.items()}
ANCHORS = {"left": "start", "center": "middle", "right": "end"}
LETTERS = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
"""What Matplotlib's codes of a path are called in SVG."""


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


class SvgRenderer(RendererBase):
    """Collects elements of an ``svg`` whose unit is a point; its colours must be those of ``PALETTE``."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.parts: list[str] = []
        self._tips: list[str] = [""]

    def get_canvas_width_height(self) -> tuple[float, float]:  # noqa: D102
        return self.width, self.height

    def open_group(self, s: str, gid: str | None = None) -> None:  # noqa: D102
        self._tips.append(gid or "")

    def close_group(self, s: str) -> None:  # noqa: D102
        self._tips.pop()

    def get_text_width_height_descent(  # noqa: D102
        self, s: str, prop: FontProperties, ismath: bool | str
    ) -> tuple[float, float, float]:
        return text_width(s), SIZE, 0.2 * SIZE

    def draw_path(  # noqa: D102
        self, gc: GraphicsContextBase, path: Path, transform: Transform, rgbFace: Any = None
    ) -> None:
        steps = []
        for vertices, code in path.iter_segments(transform, simplify=False):
            places = [
                _short(self.height - value if number % 2 else value) for number, value in enumerate(vertices.tolist())
            ]
            steps.append(LETTERS[int(code)] + ("" if code == path.CLOSEPOLY else " ".join(places)))
        self._add("path", f' d="{"".join(steps)}"', gc, rgbFace)

    def draw_markers(  # noqa: D102
        self,
        gc: GraphicsContextBase,
        marker_path: Path,
        marker_trans: Transform,
        path: Path,
        trans: Transform,
        rgbFace: Any = None,
    ) -> None:
        codes = () if marker_path.codes is None else cast("Iterable[int]", marker_path.codes)
        if int(marker_path.CURVE4) not in codes:
            super().draw_markers(gc, marker_path, marker_trans, path, trans, rgbFace)
            return
        # The one marker with curves is the circle; as a path it would take 300 bytes.
        radius = marker_path.get_extents(marker_trans).width / 2
        for x, y in trans.transform(path.vertices).tolist():
            place = f' cx="{_short(x)}" cy="{_short(self.height - y)}" r="{_short(radius)}"'
            self._add("circle", place, gc, rgbFace)

    def _add(self, element: str, shape: str, gc: GraphicsContextBase, face: Any) -> None:
        """An element with the colours of the graphics context."""
        classes, more = [], ""
        if face is not None and (len(face) == 3 or face[3]):
            classes.append(f"f-{NAMES[to_hex(face)]}")
            more = f' fill-opacity="{face[3]:.2f}"' if len(face) == 4 and face[3] < 1 else ""
        width = gc.get_linewidth()
        if width and gc.get_rgb()[3]:
            classes.append(f"s-{NAMES[to_hex(gc.get_rgb())]}")
            more += "" if width == 1 else f' stroke-width="{_short(width)}"'
            dashes = cast("Iterable[float]", gc.get_dashes()[1] or ())
            if pattern := " ".join(map(_short, dashes)):
                more += f' stroke-dasharray="{pattern}"'
        if not classes:
            return
        tip = self._tips[-1]
        inside = f"><title>{escape(tip)}</title></{element}>" if tip else "/>"
        self.parts.append(f'<{element} class="{" ".join(classes)}"{shape}{more}{inside}')

    def draw_text(  # noqa: D102
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: bool | str = False,
        mtext: Text | None = None,
    ) -> None:
        anchor = ""
        if mtext is not None:  # the browser's font is another: what is aligned is the place the text was given
            x, _ = mtext.get_transform().transform(mtext.get_unitless_position()).tolist()
            align = ANCHORS[str(mtext.get_horizontalalignment())]
            anchor = "" if align == "start" else f' text-anchor="{align}"'
        place = f'x="{_short(x)}" y="{_short(y)}"'
        self.parts.append(f'<text class="t-{NAMES[to_hex(gc.get_rgb())]}" {place}{anchor}>{escape(s)}</text>')
