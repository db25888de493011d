"""Marks around the material of our own prompts: nothing that is shown can pass for a marker."""

from __future__ import annotations

import re

from evalkit.core.protocols import Case
from evalkit.core.schema import digest

_MARKER = re.compile(r"(?:question|reference|answer|conversation|user|assistant)(?:\s++[ab])?\W{1,3}[0-9a-f]{6}")
"""Of a casefolded text: several times as fast as ignoring case."""
_HEXADECIMAL = bytes.maketrans(b"123456789abcdef", b"0" * 15)


def mark(case: Case, digits: int) -> str:
    """What every marker of a prompt carries: hexadecimal digits that no answer shown in it holds.

    All prompts about one question carry the same mark, so that they begin alike and an engine that remembers prefixes
    computes question, reference and first answer once. Whoever writes an answer could work that mark out; so where an
    answer holds a part of it, or anything like a marker, the mark depends on all answers, which nobody can foresee.
    """
    item, turn = case.item, case.turn
    answers = [response.turns[:turn] for response in case.shown]
    found = digest(item.turns, item.reference[:turn], turn)[:digits]
    texts = [low for turns in answers for text in turns if holds_six_digits(low := text.casefold())]
    if any(_MARKER.search(text) for text in texts):
        found = digest(found, answers)[:digits]
    while any(found[:6] in text or found[-6:] in text for text in texts):
        found = digest(found, answers)[:digits]
    return found


def holds_six_digits(text: str) -> bool:
    """Whether a casefolded text holds six hexadecimal digits in a row; hardly any does.

    Without them it holds no marker and no part of a mark. Every text that is shown is searched, and to search for this
    takes a tenth of what the pattern takes.
    """
    return b"000000" in text.encode("ascii", "replace").translate(_HEXADECIMAL)
