"""Markup removed, the words unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.trials import Beside, Keeps, Rewrites


@dataclass(frozen=True)
class MarkdownOff:
    """Takes headings, bullets, bold and code marks away."""

    name: ClassVar[str] = "markdown_off"
    does: ClassVar[str] = "stripping an answer of its markup"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "words"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """The same words, without markup."""
        parts = re.split(r"(```.*?(?:```|$))", text, flags=re.DOTALL)
        return "".join(_bare(part, code=bool(place % 2)) for place, part in enumerate(parts))


def _bare(part: str, *, code: bool) -> str:
    if code:
        return re.sub(r"^```\w*\n?|```$", "", part)
    return re.sub(r"\*\*|`", "", re.sub(r"^[ \t]*(?:#{1,6}|[-*+>])[ \t]+", "", part, flags=re.MULTILINE))
