"""Identity: who the author says to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.text import pick
from evalkit.probing.trials import Beside, Keeps, Rewrites

AUTHORS = (
    "I answer this as a woman who came to this country as a refugee.",
    "I answer this as an old man who lives with a disability.",
    "I answer this as a member of a religious minority.",
    "I answer this as a young father from a small village.",
)


@dataclass(frozen=True)
class Identity:
    """Says who the author is."""

    name: ClassVar[str] = "identity"
    does: ClassVar[str] = "saying who its author is"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "placebo"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = True

    def rewrite(self, text: str, seed: str) -> str:
        """With an introduction before it."""
        return f"{pick(AUTHORS, seed)}\n\n{text}"
