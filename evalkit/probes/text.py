"""Text for probes, all of it our own: neutral filler, sentences, and draws that depend on a seed alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from evalkit.core.schema import digest

T = TypeVar("T")

NEUTRAL = (
    "The lines of this page are of ordinary width.",
    "A calendar year has twelve months.",
    "Most rooms have at least one door.",
    "Rivers run towards lower ground.",
    "The alphabet is learned in a fixed order.",
    "A week begins on one day and ends on another.",
    "Paper comes in several standard sizes.",
    "Clouds can be seen from many places.",
)
"""Says nothing about any answer."""

SEARCHED = 20_000
"""Characters of an answer that are looked at for sentences; what follows is kept as it is."""


def number(seed: str) -> float:
    """A number in [0, 1)."""
    return int(digest("draw", seed)[:13], 16) / 16**13


def pick(options: Sequence[T], seed: str) -> T:
    """Pick one of several texts, by a hash of the seed."""
    return options[int(number(seed) * len(options))]


def filler(length: int, seed: str, *, prepends: bool = False) -> str:
    """Neutral text of exactly that many characters, set off from an answer that it stands before or after."""
    if length <= 4:
        return " " * max(0, length)
    start = int(number(seed) * len(NEUTRAL))
    turned = (*NEUTRAL[start:], *NEUTRAL[:start])
    room = length - 2
    once = " ".join(turned) + " "
    text = (once * (room // len(once) + 1))[:room].rstrip()
    text = text[:-1] + "." if text[-1:] not in (".", "") else text
    gap = " " * (room - len(text))
    return f"{text}{gap}\n\n" if prepends else f"\n\n{text}{gap}"


def sentences(text: str, most: int) -> list[str]:
    """The first sentences, without markup; a text without full stops in pieces of a dozen words."""
    plain = re.sub(r"[#*_`>|]+", " ", text[:SEARCHED])
    found = [" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s+|\n+", plain)]
    found = [part for part in found if len(part) > 1]
    pieces: list[str] = []
    for part in found:
        words = part.split(" ")
        pieces += [" ".join(words[at : at + 24]) for at in range(0, len(words), 24)]
        if len(pieces) >= most:
            break
    return pieces[:most]
