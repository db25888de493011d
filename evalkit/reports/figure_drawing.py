"""Draws the figures of reports, each once: the page and the files show the same drawing."""

from __future__ import annotations

import logging
import math
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evalkit.core.text import plain
from evalkit.reports.audit_figures import SHARES, Bars, Cloud, Figure, Forest, Mark, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

PALETTE = {
    "paper": "#ffffff",
    "ink": "#1c2230",
    "soft": "#5b6577",
    "line": "#dfe3ea",
    "accent": "#1f66c1",
    "other": "#b3541e",
    "third": "#4b7d2a",
    "fourth": "#8a4fa8",
}
"""The only colours of a drawing: those that the style sheet of the pages has under the same names."""
SERIES = (("accent", "o"), ("other", "D"), ("third", "s"), ("fourth", "^"), ("soft", "X"))
"""Colour and marker of each series: they differ by more than colour."""
WIDTH = 480.0
"""Points; near the width of a phone in pixels, so that letters stay readable there."""
SIZE = 12.0
"""Points of all text."""
LINE = 15.0
"""Points from one line of text to the next."""
NARROW = 13 / 12
"""How much larger letters are on a narrow screen (``page.html.j2``): labels of rows leave room for it."""
EDGE = 18.0
"""Points left free at the right, where half of the last tick's label stands."""
LABEL = 150.0
"""Points that a line of a row's label may be wide."""
NAMED = 12
"""Points of a scatter plot up to which each is named."""
HUGE = 1e100
"""What is beyond has no place on an axis, like infinity."""
FONTS = ("Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Noto Sans Arabic", "Noto Emoji")
"""Fonts for what the first font lacks, used where they are installed."""

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def own_style() -> Iterator[None]:
    """Give Matplotlib its default style, whatever a ``matplotlibrc`` or the calling program says, and restore it.

    One thread at a time: the style is Matplotlib's global state.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    with _ONE_AT_A_TIME:
        log.setLevel(logging.ERROR)  # a home that cannot be written is of no interest: a temporary cache does as well
        try:
            import matplotlib as mpl
            from matplotlib.font_manager import fontManager

            installed = {font.name for font in fontManager.ttflist}
            with mpl.rc_context():
                mpl.rcdefaults()
                mpl.rcParams["font.family"] = ["DejaVu Sans", *(name for name in FONTS if name in installed)]
                mpl.rcParams["font.size"] = SIZE
                mpl.rcParams["pdf.fonttype"] = 42  # text of a PDF can be searched
                yield
        finally:
            log.setLevel(level)


def draw(figure: Figure) -> Drawing:
    """Draw a figure in light colours; tooltips of marks are their ``gid``.

    Labels may be anything: they are text, never markup or mathematics. An estimate that is not finite is left out.
    """
    with own_style():
        if isinstance(figure, Forest):
            return _forest(figure)
        if isinstance(figure, Matrix):
            return _matrix(figure)
        return _cloud(figure) if isinstance(figure, Cloud) else _bars(figure)


def text_width(text: str) -> float:
    """How wide a text is at most, in points: fonts differ from browser to browser."""
    return sum(map(_em, text)) * SIZE


def _em(char: str) -> float:
    if unicodedata.combining(char):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    if char in "fijlrtI.,:;'|!-/()[] ":
        return 0.42
    return 1.0 if char in "mwMW@%—…" else 0.76 if char.isupper() else 0.64


def shortened(text: str, width: float) -> str:
    """A text that fits; its end is kept, where the names of a model's sizes differ."""
    text = plain(text)
    if text_width(text) <= width:
        return text
    half = (width - text_width("…")) / 2
    start = _fitting(text, half)
    return f"{text[:start].rstrip()}…{text[len(text) - _fitting(text[::-1], half) :].lstrip()}"


def _fitting(text: str, width: float) -> int:
    """How many leading characters fit."""
    used = 0.0
    for count, char in enumerate(text):
        used += _em(char) * SIZE
        if used > width:
            return count
    return len(text)


def wrapped(text: str) -> list[str]:
    """A row's label in one or two lines, broken near its middle."""
    text = plain(text)
    if text_width(text) <= LABEL:
        return [text]
    text = shortened(text, 1.9 * LABEL)
    pairs = [(text[: at + 1].rstrip(), text[at + 1 :].lstrip()) for at, char in enumerate(text) if char in " /_:,-"]
    fitting = [pair for pair in pairs if max(map(text_width, pair)) <= LABEL]
    at = _fitting(text, LABEL)
    return list(min(fitting, key=lambda pair: max(map(text_width, pair)), default=(text[:at], text[at:])))


def _finite(mark: Mark | None) -> Mark | None:
    if mark is None or not abs(mark.estimate) < HUGE:
        return None
    known = mark.lower is not None and mark.upper is not None and abs(mark.lower) < HUGE and abs(mark.upper) < HUGE
    return mark if known else Mark(mark.estimate)


def _described(label: str, mark: Mark, share: bool = False) -> str:
    def said(value: float) -> str:
        return f"{value:.1%}" if share else f"{value:z.4g}"

    limits = "" if mark.lower is None or mark.upper is None else f" [{said(mark.lower)}, {said(mark.upper)}]"
    return f"{plain(label)}: {said(mark.estimate)}{limits}"


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis that shows all of these."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    pad = 0.06 * (high - low) or 0.1 * abs(low) or 1.0
    return low - pad, high + pad


def _values(marks: Sequence[Mark]) -> list[float]:
    return [value for mark in marks for value in (mark.estimate, mark.lower, mark.upper) if value is not None]


def _sheet(height: float) -> Drawing:
    from evalkit.reports.figure_sheet import Sheet

    return Sheet(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor=PALETTE["paper"])


def _axes(sheet: Drawing, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes between these edges, in points from the lower left corner of the sheet."""
    height = sheet.get_figheight() * 72
    axes = sheet.add_axes((left / WIDTH, bottom / height, (right - left) / WIDTH, (top - bottom) / height))
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelcolor=PALETTE["soft"], labelsize=SIZE, pad=5)
    return axes


def _number(value: float, _: object = None) -> str:
    return f"{value + 0.0:.4g}"  # no -0


def _scale(axes: Axes, which: str, low: float, high: float, ticks: int, *, share: bool = False) -> None:
    """Limits, grid and the labels of ticks of one axis, ``x`` or ``y``."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    values = MaxNLocator(nbins=max(2, ticks), steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    axis.set_ticks([float(value) for value in values if low <= value <= high])
    axis.set_major_formatter(PercentFormatter(1.0) if share else FuncFormatter(_number))
    axis.grid(True, color=PALETTE["line"], linewidth=1)


def _text(sheet: Drawing, x: float, y: float, text: str, align: str = "left", colour: str = "soft") -> None:
    """Text at a place in points, as it is: ``$`` is a dollar."""
    height = sheet.get_figheight() * 72
    sheet.text(x / WIDTH, y / height, text, ha=align, va="baseline", color=PALETTE[colour], parse_math=False)


def _mark(axes: Axes, x: float, y: float, number: int, tip: str) -> None:
    colour, marker = SERIES[number % len(SERIES)]
    (line,) = axes.plot(
        [x], [y], marker=marker, linestyle="none", markersize=8, markeredgewidth=0, color=PALETTE[colour], clip_on=False
    )
    line.set_gid(tip)


def _interval(axes: Axes, xs: tuple[float, float], ys: tuple[float, float], number: int = 0) -> None:
    axes.plot(xs, ys, color=PALETTE[SERIES[number % len(SERIES)][0]], linewidth=2, clip_on=False)


def _legend_height(names: Sequence[str]) -> float:
    return 0.0 if len(names) < 2 else 6 + 18 * math.ceil(len(names) / _columns(names))


def _columns(names: Sequence[str]) -> int:
    return 2 if all(text_width(name) <= WIDTH / 2 - 40 for name in names) else 1


def _legend(sheet: Drawing, names: Sequence[str]) -> None:
    """Names of the series above the plot, where there are several."""
    if len(names) < 2:
        return
    from matplotlib.lines import Line2D

    columns, height = _columns(names), sheet.get_figheight() * 72
    for number, name in enumerate(names):
        x, y = 16 + (number % columns) * WIDTH / columns, height - 16 - 18 * (number // columns)
        colour, marker = SERIES[number % len(SERIES)]
        place = [x / WIDTH], [(y + 4) / height]
        sheet.add_artist(Line2D(*place, marker=marker, markersize=8, markeredgewidth=0, color=PALETTE[colour]))
        _text(sheet, x + 11, y, shortened(name, WIDTH / columns - 40))


def _forest(figure: Forest) -> Drawing:
    names = list(figure.series)
    marks = {name: [_finite(mark) for mark in row] for name, row in figure.series.items()}
    labels = [wrapped(label) for label in figure.rows]
    share = figure.span == SHARES
    low, high = figure.span or _around(
        _values([mark for row in marks.values() for mark in row if mark is not None])
        + ([] if figure.null is None else [figure.null])
    )
    step = max(13 + 11.0 * len(names), max(map(len, labels), default=1) * LINE + 8)
    left = 16 + NARROW * max((text_width(line) for lines in labels for line in lines), default=0.0)
    bottom, above = 40.0, 6 + _legend_height(names)
    top = bottom + step * max(1, len(labels))
    sheet = _sheet(top + above)
    axes = _axes(sheet, left, bottom, WIDTH - EDGE, top)
    edge = 0.02 * (high - low) if figure.span else 0.0  # a mark on the limit is seen whole
    _scale(axes, "x", low - edge, high + edge, int((WIDTH - EDGE - left) / 55), share=share)
    axes.set_ylim(bottom - top, 0)  # points below the top
    axes.set_yticks([])
    if figure.null is not None:
        axes.axvline(figure.null, color=PALETTE["soft"], linewidth=1, linestyle=(0, (4, 3)))
    for row, (label, lines) in enumerate(zip(figure.rows, labels, strict=True)):
        middle = step * (row + 0.5)
        for number, line in enumerate(lines):
            y = top - middle - 4 + LINE * ((len(lines) - 1) / 2 - number)
            _text(sheet, left - 10, y, line, "right", "ink")
        for number, name in enumerate(names):
            mark = marks[name][row]
            if mark is None:
                continue
            y = -middle + 11 * ((len(names) - 1) / 2 - number)
            if mark.lower is not None and mark.upper is not None:
                _interval(axes, (max(low, min(high, mark.lower)), max(low, min(high, mark.upper))), (y, y), number)
            tip = _described(f"{label}, {name}" if len(names) > 1 else label, mark, share)
            _mark(axes, max(low, min(high, mark.estimate)), y, number, tip)
    _text(sheet, (left + WIDTH - EDGE) / 2, 6, shortened(figure.unit, WIDTH - EDGE - left + 60), "center")
    _legend(sheet, names)
    return sheet


def _cloud(figure: Cloud) -> Drawing:
    points = [(label, _finite(x), _finite(y)) for label, x, y in figure.points]
    known = [(label, x, y) for label, x, y in points if x is not None and y is not None]
    across, up = _values([x for _, x, _ in known]), _values([y for _, _, y in known])
    horizontal, vertical = (_around([*across, *up]),) * 2 if figure.one_scale else (_around(across), _around(up))
    sheet = _sheet(420)
    axes = _axes(sheet, 52, 42, WIDTH - EDGE, 392)
    _scale(axes, "x", *horizontal, 6)
    _scale(axes, "y", *vertical, 6)
    if figure.one_scale:
        axes.plot(horizontal, vertical, color=PALETTE["soft"], linewidth=1, linestyle=(0, (4, 3)))
    for label, x, y in known:
        if x.lower is not None and x.upper is not None:
            _interval(axes, (x.lower, x.upper), (y.estimate, y.estimate))
        if y.lower is not None and y.upper is not None:
            _interval(axes, (x.estimate, x.estimate), (y.lower, y.upper))
        tip = f"{_described(label, x)} ({plain(figure.x)}); {_described(figure.y, y)}"
        _mark(axes, x.estimate, y.estimate, 0, tip)
    if len(known) <= NAMED:
        _name_points(sheet, axes, known)
    _text(sheet, (52 + WIDTH - EDGE) / 2, 6, shortened(f"{figure.x} →", WIDTH - 80), "center")
    _text(sheet, 12, 404, shortened(f"↑ {figure.y}", WIDTH - 40))
    return sheet


Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in points."""


def _name_points(sheet: Drawing, axes: Axes, points: Sequence[tuple[str, Mark, Mark]]) -> None:
    """A name beside each point where there is a place that no mark, interval or other name takes."""
    places = axes.transData.transform([(x.estimate, y.estimate) for _, x, y in points]).tolist() if points else []
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    for _, x, y in points:
        ends = []
        if x.lower is not None and x.upper is not None:
            ends.append([(x.lower, y.estimate), (x.upper, y.estimate)])
        if y.lower is not None and y.upper is not None:
            ends.append([(x.estimate, y.lower), (x.estimate, y.upper)])
        for interval in ends:
            (left, bottom), (right, top) = axes.transData.transform(interval).tolist()
            taken.append((left - 1, bottom - 1, right + 1, top + 1))
    for (label, _, _), (x, y) in zip(points, places, strict=True):
        name = shortened(label, LABEL)
        width = text_width(name)
        for down in (-17.0, 9.0, -32.0, 24.0):
            spots: list[Box] = [(start, y + down - 3, start + width, y + down + 11) for start in (x + 7, x - 7 - width)]
            free = [box for box in spots if _is_free(box, taken)]
            if free:
                taken.append(free[0])
                _text(sheet, free[0][0], y + down, name, "left", "ink")
                break


def _is_free(box: Box, taken: Sequence[Box]) -> bool:
    left, bottom, right, top = box
    if left < 54 or right > WIDTH - 4 or bottom < 40 or top > 394:
        return False
    return all(right < one[0] or left > one[2] or top < one[1] or bottom > one[3] for one in taken)


def _bars(figure: Bars) -> Drawing:
    names = list(figure.series)
    shares = {name: [share if abs(share) < HUGE else 0.0 for share in found] for name, found in figure.series.items()}
    most = max((share for found in shares.values() for share in found), default=0.0) or 1.0
    top = 222.0
    sheet = _sheet(top + 6 + _legend_height(names))
    axes = _axes(sheet, 52, 42, WIDTH - EDGE, top)
    _scale(axes, "y", 0, most * 1.05, 4, share=True)
    axes.set_xlim(-0.5, max(1, len(figure.bins)) - 0.5)
    axes.set_xticks([])
    wide = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        for place, share in enumerate(shares[name]):
            colour = PALETTE[SERIES[number % len(SERIES)][0]]
            (bar,) = axes.bar(place - 0.4 + wide * (number + 0.5), share, wide, color=colour, linewidth=0)
            bar.set_gid(f"{plain(name)}, {plain(figure.bins[place])}: {share:.1%}")
    slot = (WIDTH - EDGE - 52) / max(1, len(figure.bins))
    every = math.ceil(max((text_width(label) + 6 for label in figure.bins), default=1.0) / slot)
    for place, label in enumerate(figure.bins):
        if place % every == 0:
            _text(sheet, 52 + slot * (place + 0.5), 26, shortened(label, 90), "center")
    _text(sheet, (52 + WIDTH - EDGE) / 2, 6, shortened(figure.x, WIDTH - 80), "center")
    _legend(sheet, names)
    return sheet


def _matrix(figure: Matrix) -> Drawing:
    """Squares, stronger the further from one half; rows have names and numbers, columns the numbers."""
    from matplotlib.patches import Rectangle

    labels = [wrapped(f"{number} {name}") for number, name in enumerate(figure.names, start=1)]
    count = max(1, len(labels))
    left = 16 + NARROW * max((text_width(line) for lines in labels for line in lines), default=0.0)
    side = min(46.0, (WIDTH - EDGE - left) / count)
    step = max(side, max(map(len, labels), default=1) * LINE + 4) if count <= NAMED else max(side, LINE + 4)
    bottom, right = 30.0, left + side * count
    top = bottom + step * count
    sheet = _sheet(top + 26)
    axes = _axes(sheet, left, bottom, right, top)
    axes.set_xlim(0, count)
    axes.set_ylim(-count, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    for row, lines in enumerate(labels):
        middle = top - step * (row + 0.5)
        shown = lines if count <= NAMED else [shortened(" ".join(lines), LABEL)]
        for number, line in enumerate(shown):
            _text(sheet, left - 8, middle - 4 + LINE * ((len(shown) - 1) / 2 - number), line, "right", "ink")
        _text(sheet, left + side * (row + 0.5), top + 8, str(row + 1), "center")
        for column in range(len(labels)):
            share = figure.shares[row][column]
            if share is None or not abs(share) < HUGE:
                continue
            colour = PALETTE["accent" if share >= 0.5 else "other"]
            strength = 0.08 + 1.04 * min(0.5, abs(share - 0.5))
            square = Rectangle((column, -row - 1), 1, 1, facecolor=colour, alpha=strength, linewidth=0)
            square.set_gid(
                f"{plain(figure.names[row])} against {plain(figure.names[column])}: {share:.1%} "
                f"of {figure.counts[row][column]:,}"
            )
            axes.add_patch(square)
            _text(sheet, left + side * (column + 0.5), middle - 4, f"{100 * share:.0f}", "center", "ink")
    _text(sheet, WIDTH / 2, 6, shortened(figure.unit, WIDTH - 20), "center")
    return sheet
