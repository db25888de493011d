"""Bandwagon: what most people are said to think."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites


@dataclass(frozen=True)
class Bandwagon:
    """Says that most people prefer this answer."""

    name: ClassVar[str] = "bandwagon"
    does: ClassVar[str] = "saying that 90% of people prefer it"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "placebo"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """With the majority at its end."""
        return f"{text}\n\n90% of people believe that this answer is the better one."
