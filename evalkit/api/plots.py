"""Figures as Matplotlib has them, each drawn as reports draw it; nothing is registered with pyplot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.core.protocols import UsageError
from evalkit.reports.audit_figures import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def drawn(figures: Sequence[Figure], number: int | None) -> Drawing:
    """The one figure there is, or the one of this number, from 1.

    Raises:
        UsageError: there are several and none was chosen, or not so many.
    """
    from evalkit.reports.figure_drawing import draw
    from evalkit.reports.figure_files import shown_by

    if number is None and len(figures) == 1:
        number = 1
    if number is None or not 1 <= number <= len(figures):
        listed = "; ".join(f"number={place}: {shown_by(one)}" for place, one in enumerate(figures, start=1))
        asked = "say which" if number is None else f"number={number} is none of them"
        raise UsageError(f"there {'are' if len(figures) > 1 else 'is'} {len(figures)} such figures, {asked}: {listed}")
    return draw(figures[number - 1])
