"""What the audit page is made of: cells, tables, sections. Text is still as the data had it; the page escapes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.evidence.findings import Audit, Example, Finding
from evalkit.reports.audit_figures import Figure

PEOPLE = "human"
"""The name of people as a rater."""


@dataclass(frozen=True)
class Cell:
    """The content of one cell of an audit's table."""

    text: str
    limits: str = ""
    """The interval, after the estimate."""
    shade: int | None = None
    """From 0 to 9, for a heat map."""
    small: str = ""
    """Small print below."""


NONE = Cell("–")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of an audit: cells under headers."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1
    """How many leading columns are text."""
    breaks: frozenset[int] = frozenset()
    """Rows that start a new group."""
    notes: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    """A sentence below each row, across the table; one a row, or none at all."""
    folded: bool = False
    """Shown on demand: a plot beside it says the same."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One heading of the page and what stands below it."""

    id: str
    title: str
    says: str = ""
    parts: tuple[Table | Figure, ...] = ()
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = field(default=())


def shade(value: float, chance: float = 0.0) -> int:
    """Shade of an agreement, from 0 (chance or worse) to 9 (always)."""
    return max(0, min(9, int(10 * (value - chance) / (1 - chance))))


def who(name: str) -> str:
    """The name of a rater in words."""
    if name == f"{PEOPLE} majority":
        return "the majority of people"
    if name == "gold":
        return "gold labels"
    group = name.removeprefix(f"{PEOPLE}: ")
    return f"people ({group})" if group != name else "people" if name == PEOPLE else name


def finite(audit: Audit) -> Audit:
    """An audit without NaN or infinity: such an estimate becomes not measurable, such a limit is left out."""
    return replace(
        audit,
        findings=tuple(_finding(row) for row in audit.findings),
        agreement=tuple(
            replace(row, **_limits(row.lower, row.upper), kappa=_number(row.kappa))
            for row in audit.agreement
            if math.isfinite(row.agree)
        ),
        ratings=tuple(
            replace(row, **_limits(row.lower, row.upper)) for row in audit.ratings if math.isfinite(row.rating)
        ),
        histograms=tuple(row for row in audit.histograms if all(math.isfinite(score) for score in row.scores)),
    )


def _finding(row: Finding) -> Finding:
    details = {name: value for name, value in row.details.items() if not _bad(value)}
    if row.estimate is not None and not math.isfinite(row.estimate):
        lost = "needs an estimate that is a finite number"
        return replace(row, estimate=None, lower=None, upper=None, not_measurable=lost, details=details)
    return replace(row, **_limits(row.lower, row.upper), details=details)


def _bad(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _limits(lower: float | None, upper: float | None) -> Mapping[str, Any]:
    both = _number(lower) is not None and _number(upper) is not None
    return {"lower": lower, "upper": upper} if both else {"lower": None, "upper": None}
