"""Labels: the answer shown first is called B, the second A. Does a lean go with the place, or with the name?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites


@dataclass(frozen=True)
class Rename:
    """Swaps the labels and leaves the places: nothing is written, the protocol's own labels are the probe.

    The purpose of ``rename`` in MT-Bench's study of position bias (Zheng et al. 2023, table 2).
    """

    name: ClassVar[str] = "rename"
    does: ClassVar[str] = "swapping the labels of the two places"
    rewrites: ClassVar[Rewrites] = "labels"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """The text as it is."""
        return text
