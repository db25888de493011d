"""What a figure shows, as plain data: ``figure_drawing`` draws it, ``figure_files`` writes the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """A forest plot: intervals below each other, one line a row, one mark a series."""

    alt: str
    """What it shows, for those who do not see it."""
    unit: str
    rows: tuple[str, ...]
    series: Mapping[str, Sequence[Mark | None]]
    null: float | None = None
    """The value that means no effect."""
    span: tuple[float, float] | None = None
    """Where the axis begins and ends; None: where the data do."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A scatter plot of points with intervals on both axes."""

    alt: str
    x: str
    y: str
    points: tuple[tuple[str, Mark, Mark], ...]
    one_scale: bool = True
    """Both axes count the same thing: they have one scale, and a line where both are equal."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Shares by bin, one bar a series."""

    alt: str
    x: str
    bins: tuple[str, ...]
    series: Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Shares of every two: how often the one of the row was preferred to that of the column."""

    alt: str
    unit: str
    names: tuple[str, ...]
    shares: tuple[tuple[float | None, ...], ...]
    """0 to 1; None where the two did not meet."""
    counts: tuple[tuple[int, ...], ...]
    """How often they met."""


Figure = Forest | Cloud | Bars | Matrix
