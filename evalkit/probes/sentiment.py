"""Sentiment: cheer, with nothing else added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites

CHEER = "What a wonderful question! It made me so happy to help, and I hope this brightens your whole day!"


@dataclass(frozen=True)
class Sentiment:
    """Wraps the answer in cheer."""

    name: ClassVar[str] = "sentiment"
    does: ClassVar[str] = "wrapping an answer in cheerful words"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "placebo"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """With warm words at its end."""
        return f"{text}\n\n{CHEER}"
