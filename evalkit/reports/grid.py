"""A table of cells, the same for terminal, Markdown, LaTeX and web page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.core.text import limit_digits

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval


@dataclass(frozen=True)
class GridCell:
    """The content of one cell of a table."""

    text: str
    limits: str = ""
    """The interval, after the estimate."""

    @property
    def joined(self) -> str:
        """The estimate with its interval in brackets."""
        return f"{self.text} ({self.limits})" if self.limits else self.text


@dataclass(frozen=True)
class Point:
    """One interval of a table's plot."""

    label: str
    estimate: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Grid:
    """A table of cells, with its title, notes and points."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[GridCell, ...], ...]
    left: int = 1
    """How many leading columns are text."""
    breaks: frozenset[int] = frozenset()
    """Rows that start a new group."""
    points: tuple[Point, ...] = ()
    """Of the main estimate; empty where nothing is plotted."""
    unit: str = ""
    """What the points are."""
    notes: tuple[str, ...] = field(default=())


NONE = GridCell("–")


def interval(value: Interval | None, digits: int) -> GridCell:
    """An estimate and its limits."""
    if value is None:
        return NONE
    text = f"{value.estimate:z.{digits}f}"
    if value.lower is None or value.upper is None:
        return GridCell(text)
    return GridCell(text, f"{value.lower:z.{digits}f}–{value.upper:z.{digits}f}")


def number(value: float | int | str | None, digits: int) -> GridCell:
    """A number without limits."""
    if value is None:
        return NONE
    return GridCell(f"{value:z.{digits}f}" if isinstance(value, float) else str(value))


def signed(value: Interval | None, digits: int) -> GridCell:
    """A difference and its limits, each with its sign."""
    if value is None:
        return NONE
    text = f"{value.estimate:+z.{digits}f}"
    if value.lower is None or value.upper is None:
        return GridCell(text)
    low, high = limit_digits(value.lower, value.upper, 0.0, digits)
    return GridCell(text, f"{value.lower:+z.{low}f} to {value.upper:+z.{high}f}")
