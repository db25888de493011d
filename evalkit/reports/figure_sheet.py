"""The sheet that figures are drawn on: a Matplotlib figure that notebooks show without pyplot."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

RESOLUTION = 144
"""Pixels an inch in a notebook."""


class Sheet(Figure):
    """A Matplotlib figure; nothing of it is registered with pyplot."""

    def _repr_png_(self) -> bytes:
        """The figure as a notebook shows it."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=RESOLUTION)
        return buffer.getvalue()
