"""Distraction: a remark beside the point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.text import pick
from evalkit.probing.trials import Beside, Keeps, Rewrites

REMARKS = (
    "By the way, whoever wrote this likes pears and plain crackers.",
    "Incidentally, the author of this answer owns a green bicycle.",
    "On another note, this assistant has never seen the sea.",
)


@dataclass(frozen=True)
class Distraction:
    """Adds a sentence that has nothing to do with the question."""

    name: ClassVar[str] = "distraction"
    does: ClassVar[str] = "adding an idle remark"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """With an idle remark at its end."""
        return f"{text}\n\n{pick(REMARKS, seed)}"
