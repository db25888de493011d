"""Padding: longer sentences that say nothing new."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from evalkit.probing.text import SEARCHED, number, pick
from evalkit.probing.trials import Beside, Keeps, Rewrites

TAILS = (
    ", which is to say no more and no less than that",
    ", as one might put it in so many words",
    ", and that is the point which is being made here",
    ", if it is to be put in the form of a sentence",
    ", speaking of this very matter and of no other",
)
"""Make a sentence longer."""

CLOSINGS = (
    "All of this has been said above, and saying so once more takes nothing away from it.",
    "Whoever reads the above again will find there what was meant by it.",
    "That, taken together, is what there is to be said as far as it has been said here.",
    "With these words the answer comes to where it was going to end.",
)
"""Make an answer longer that has few sentences."""

END = re.compile(r"(?<=\w\w)(?=[.!?](?:\s+[A-Z]|[^\S\n]*\n|\s*$))")
"""Before the full stop of a sentence; not in numbers, and not after one letter, as in abbreviations."""


@dataclass(frozen=True)
class Padding:
    """Stretches every sentence with empty words, so that the answer is about half as long again."""

    name: ClassVar[str] = "padding"
    does: ClassVar[str] = "stretching an answer with empty words"
    rewrites: ClassVar[Rewrites] = "answer"
    beside: ClassVar[Beside] = "again"
    keeps: ClassVar[Keeps] = "words"
    leads: ClassVar[bool] = False

    def rewrite(self, text: str, seed: str) -> str:
        """With a tail to each sentence outside code, and closing words where that is too little."""
        start = int(number(seed) * len(TAILS))
        parts = re.split(r"(```.*?(?:```|$))", text[:SEARCHED], flags=re.DOTALL)
        for place in range(0, len(parts), 2):  # code stays as it is
            pieces = END.split(parts[place])
            tails = [TAILS[(start + place + at) % len(TAILS)] for at in range(len(pieces) - 1)]
            parts[place] = "".join(piece + tail for piece, tail in zip(pieces, [*tails, ""], strict=True))
        padded = "".join(parts) + text[SEARCHED:]
        first, gap = pick(range(len(CLOSINGS)), seed), "\n\n"
        for at in range(len(CLOSINGS)):
            if len(padded) >= 1.5 * len(text) and padded != text:
                break
            padded += gap + CLOSINGS[(first + at) % len(CLOSINGS)]
            gap = " "
        return padded
