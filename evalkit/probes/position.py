"""Position: the same two answers in the other order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites


@dataclass(frozen=True)
class Position:
    """Shows the pair the other way round: nothing is written, the second order is the probe."""

    name: ClassVar[str] = "position"
    does: ClassVar[str] = "showing an answer first"
    rewrites: ClassVar[Rewrites] = "order"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """The text as it is."""
        return text
