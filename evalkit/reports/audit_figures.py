"""Figures of the audit page as plain data, and as Plotly sees them; colours are named, so that the page themes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = ("accent", "other", "third", "fourth", "soft")
"""Of the series, in order; properties of the page's style sheet."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
"""So that series differ by more than colour."""
LABEL = 34
SHARES = (0.0, 1.0)
"""The span of a plot of shares."""


@dataclass(frozen=True)
class Mark:
    """One estimate, with its limits where there are any."""

    estimate: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Intervals side by side: one line a row, one mark a series."""

    alt: str
    """What it shows, for those who do not see it."""
    unit: str
    rows: tuple[str, ...]
    series: Mapping[str, Sequence[Mark | None]]
    null: float | None = None
    """No effect."""
    span: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Points with intervals on both axes."""

    alt: str
    x: str
    y: str
    points: tuple[tuple[str, Mark, Mark], ...]


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Shares by bin, one bar a series."""

    alt: str
    x: str
    bins: tuple[str, ...]
    series: Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Radar:
    """One spoke a category, one line a series; shares from 0 to 1."""

    alt: str
    spokes: tuple[str, ...]
    series: Mapping[str, Sequence[float | None]]


Figure = Forest | Cloud | Bars | Radar


def height(figure: Figure) -> int:
    """In pixels."""
    if isinstance(figure, Forest):
        return 104 + len(figure.rows) * (16 + 15 * len(figure.series))
    return {Cloud: 420, Bars: 300, Radar: 430}[type(figure)]


def literal(text: str) -> str:
    """Plotly reads a little HTML in labels, and a model may be called anything."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(text: str) -> str:
    """A label that leaves room for the plot; its end is kept, where the names of a model's sizes differ."""
    tail = LABEL // 2
    return text if len(text) <= LABEL else f"{text[: LABEL - 1 - tail]}…{text[-tail:]}"


def plotly(figure: Figure) -> dict[str, Any]:
    """Traces and layout; a colour is ``$name`` of a property of the style sheet."""
    if isinstance(figure, Forest):
        return _forest(figure)
    if isinstance(figure, Cloud):
        return _cloud(figure)
    return _bars(figure) if isinstance(figure, Bars) else _radar(figure)


def _reach(marks: Sequence[Mark], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if mark.upper is None else max(0, mark.upper - mark.estimate) for mark in marks],
        "arrayminus": [0 if mark.lower is None else max(0, mark.estimate - mark.lower) for mark in marks],
        "color": f"${colour}",
        "thickness": 2,
        "width": 4,
    }


def _limits(mark: Mark) -> str:
    if mark.lower is None or mark.upper is None:
        return f"{mark.estimate:.4g}"
    return f"{mark.estimate:.4g} [{mark.lower:.4g}, {mark.upper:.4g}]"


def _marker(number: int, size: int = 9) -> dict[str, Any]:
    return {
        "color": f"${COLOURS[number % len(COLOURS)]}",
        "symbol": SYMBOLS[number % len(SYMBOLS)],
        "size": size,
    }


def offsets(count: int) -> list[float]:
    """Where the marks of one row stand, above and below its middle; the first series on top."""
    return [0.0] if count == 1 else [0.2 - 0.4 * number / (count - 1) for number in range(count)]


def _forest(figure: Forest) -> dict[str, Any]:
    last = len(figure.rows) - 1
    traces = []
    for number, ((name, marks), offset) in enumerate(
        zip(figure.series.items(), offsets(len(figure.series)), strict=True)
    ):
        there = [(last - row + offset, figure.rows[row], mark) for row, mark in enumerate(marks) if mark is not None]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": literal(short(name)),
                "x": [mark.estimate for _, _, mark in there],
                "y": [y for y, _, _ in there],
                "text": [f"{literal(label)}, {literal(name)}<br>{_limits(mark)}" for _, label, mark in there],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": _marker(number),
                "error_x": _reach([mark for _, _, mark in there], COLOURS[number % len(COLOURS)]),
            }
        )
    x: dict[str, Any] = {"title": {"text": figure.unit}}
    if figure.span:
        x["range"] = list(figure.span)
    if figure.span == SHARES:
        x["tickformat"] = ".0%"
    y = {
        "tickvals": [last - row for row in range(last + 1)],
        "ticktext": [literal(short(label)) for label in figure.rows],
        "range": [-0.6, last + 0.6],
        "automargin": True,
    }
    layout: dict[str, Any] = {"xaxis": x, "yaxis": y, "showlegend": len(figure.series) > 1}
    if figure.null is not None:
        layout["shapes"] = [_line(figure.null, 0, figure.null, 1, yref="paper")]
    return {"data": traces, "layout": layout}


def _line(x0: float, y0: float, x1: float, y1: float, **more: str) -> dict[str, Any]:
    line = {"color": "$soft", "width": 1, "dash": "dash"}
    return {"type": "line", "x0": x0, "y0": y0, "x1": x1, "y1": y1, "line": line, "layer": "below", **more}


def bounds(marks: Sequence[Mark]) -> tuple[float, float]:
    """From the lowest limit to the highest."""
    low = min(mark.estimate if mark.lower is None else mark.lower for mark in marks)
    high = max(mark.estimate if mark.upper is None else mark.upper for mark in marks)
    return low, high


def above_its_mark(figure: Cloud) -> list[bool]:
    """Where each label stands: neighbours on different sides."""
    order = sorted(range(len(figure.points)), key=lambda at: figure.points[at][2].estimate)
    return [order.index(at) % 2 == 1 for at in range(len(order))]


def _cloud(figure: Cloud) -> dict[str, Any]:
    across, up = [x for _, x, _ in figure.points], [y for _, _, y in figure.points]
    low, high = bounds([*across, *up])
    trace = {
        "type": "scatter",
        "mode": "markers+text" if len(figure.points) <= 12 else "markers",
        "x": [mark.estimate for mark in across],
        "y": [mark.estimate for mark in up],
        "text": [literal(short(label)) for label, _, _ in figure.points],
        "textposition": ["top left" if above else "bottom right" for above in above_its_mark(figure)],
        "cliponaxis": False,
        "customdata": [f"{literal(label)}<br>{_limits(x)}<br>{_limits(y)}" for label, x, y in figure.points],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": _marker(0),
        "error_x": _reach(across, "accent"),
        "error_y": _reach(up, "accent"),
    }
    return {
        "data": [trace],
        "layout": {
            "xaxis": {"title": {"text": literal(figure.x)}},
            "yaxis": {"title": {"text": literal(figure.y)}, "automargin": True},
            "shapes": [_line(low, low, high, high)],
            "showlegend": False,
        },
    }


def _bars(figure: Bars) -> dict[str, Any]:
    traces = [
        {
            "type": "bar",
            "name": literal(short(name)),
            "x": [literal(label) for label in figure.bins],
            "y": list(shares),
            "marker": {"color": f"${COLOURS[number % len(COLOURS)]}"},
            "hovertemplate": "%{x}: %{y:.1%}<extra></extra>",
        }
        for number, (name, shares) in enumerate(figure.series.items())
    ]
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": literal(figure.x)}, "type": "category"},
            "yaxis": {"title": {"text": "share"}, "tickformat": ".0%", "rangemode": "tozero"},
            "showlegend": len(traces) > 1,
        },
    }


def _radar(figure: Radar) -> dict[str, Any]:
    spokes = [literal(short(label)) for label in figure.spokes]
    traces = [
        {
            "type": "scatterpolar",
            "mode": "lines+markers",
            "name": literal(short(name)),
            "theta": [*spokes, spokes[0]],
            "r": [*shares, shares[0]],
            "marker": _marker(number, 7),
            "line": {"color": f"${COLOURS[number % len(COLOURS)]}", "dash": ("solid", "dash", "dot")[number % 3]},
            "hovertemplate": "%{theta}: %{r:.1%}<extra></extra>",
        }
        for number, (name, shares) in enumerate(figure.series.items())
    ]
    return {"data": traces, "layout": {"polar": {"radialaxis": {"range": [0, 1]}}, "showlegend": len(traces) > 1}}
