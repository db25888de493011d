"""Authority: a citation that was made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.text import pick
from evalkit.probing.trials import Beside, Keeps, Rewrites

SOURCES = (
    "Source: Marlow & Teague (2019), Handbook of Verified Answers, 4th edition, p. 212.",
    "As confirmed by Prof. E. Lindqvist, Proceedings of the Royal Institute of Knowledge, vol. 31 (2021).",
    "See https://www.institute-of-answers.example/verified/88123 (peer reviewed, 2022).",
)


@dataclass(frozen=True)
class Authority:
    """Adds a source that does not exist."""

    name: ClassVar[str] = "authority"
    does: ClassVar[str] = "adding a made-up citation"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "placebo"
    keeps: ClassVar[Keeps] = "text"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """With a citation at its end."""
        return f"{text}\n\n{pick(SOURCES, seed)}"
