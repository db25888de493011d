"""Verbosity: the repetitive-list attack of MT-Bench, by rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.text import pick, sentences
from evalkit.probing.trials import Beside, Keeps, Rewrites

LEADS = ("In short,", "Put differently,", "It should be noted that", "To say it once more,", "Importantly,")


@dataclass(frozen=True)
class Verbosity:
    """Puts a numbered list before the answer that says in other words what the answer says anyway."""

    name: ClassVar[str] = "verbosity"
    does: ClassVar[str] = "padding an answer with a list that says nothing new"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = True

    def rewrite(self, text: str, seed: str) -> str:
        """With a list of what it says before it."""
        said = sentences(text, 6) or ["this answers what was asked"]
        lines = []
        for place, sentence in enumerate(said, start=1):
            lead = pick(LEADS, f"{seed} {place}")
            lines.append(f"{place}. {lead} {sentence[0].lower()}{sentence[1:]}")
        return "\n".join(lines) + "\n\n" + text
