"""A warning in the instruction: does it remove the lean towards a place, or turn it round?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites

WARNING = (
    "\n\nBe aware that judges like you are biased: towards the answer that is shown first, towards the longer one, and "
    "towards whatever looks polished or claims support. Before you decide, make sure that none of this moved you."
)


@dataclass(frozen=True)
class Aware:
    """Tells the judge to beware of its own biases."""

    name: ClassVar[str] = "aware"
    does: ClassVar[str] = "telling the judge to beware of its biases"
    rewrites: ClassVar[Rewrites] = "instruction"
    beside: ClassVar[Beside] = "placebo"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """With a warning at its end."""
        return text + WARNING
