"""Scoring alone against ranking in pairs: what is made of the same answers, and of one that is padded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites


@dataclass(frozen=True)
class Alone:
    """Has the judge score each answer by itself, and a padded one too, which it also compares with its original.

    Pairwise comparison can amplify a taste that scoring hardly shows (Jeong et al. 2024, arXiv 2406.12319).
    """

    name: ClassVar[str] = "alone"
    does: ClassVar[str] = "scoring answers alone rather than ranking them in pairs"
    rewrites: ClassVar[Rewrites] = "alone"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """The text as it is: what is shown padded is padded by that probe."""
        return text
