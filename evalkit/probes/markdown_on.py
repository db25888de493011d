"""Markup added: heading, list and bold, the words unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites

SEARCHED = 200_000
"""Characters that are looked at; what follows is kept as it is."""


@dataclass(frozen=True)
class MarkdownOn:
    """Sets the answer's paragraphs as a list under a heading, key words in bold."""

    name: ClassVar[str] = "markdown_on"
    does: ClassVar[str] = "dressing an answer in a heading, a list and bold type"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "words"
    leads: ClassVar[bool] = True

    def rewrite(self, text: str, seed: str) -> str:
        """The same words, with markup."""
        parts = re.split(r"(```.*?(?:```|$))", text[:SEARCHED], flags=re.DOTALL)  # code stays as it is
        dressed = [part if place % 2 else _listed(part) for place, part in enumerate(parts)]
        return "## **Answer**\n\n" + "".join(dressed) + text[SEARCHED:]


def _listed(prose: str) -> str:
    lines = [
        re.sub(r"^(?:[-*+>]|#{1,6})\s+", "", line.strip())
        for line in re.split(r"\n+|(?<=[.!?]) +", prose)
        if line.strip()
    ]
    return "".join("- " + re.sub(r"^(\w+)", r"**\1**", line) + "\n" for line in lines)
