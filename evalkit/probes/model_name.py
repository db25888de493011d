"""Names of models: a claim of who wrote the answer, which says nothing of who did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.text import pick
from evalkit.probing.trials import Beside, Keeps, Rewrites

NAMES = ("GPT-4", "Claude 3 Opus", "Gemini 1.5 Pro", "Llama 3 70B")


@dataclass(frozen=True)
class ModelName:
    """Heads the answer with a model's name, drawn from names that say nothing of who wrote it."""

    name: ClassVar[str] = "model_name"
    does: ClassVar[str] = "labelling an answer with the name of a well-known model"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "placebo"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = True

    def rewrite(self, text: str, seed: str) -> str:
        """With a name above it."""
        return f"[Answer by {pick(NAMES, seed)}]\n\n{text}"
