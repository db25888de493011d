"""Marks around the material of our own prompts: nothing that is shown can pass for a marker."""

from __future__ import annotations

import re

from evalkit.core.protocols import Case
from evalkit.core.schema import digest

_MARKER = re.compile(r"(?:question|reference|answer|conversation|user|assistant)(?:\s++[ab])?\W{1,3}[0-9a-f]{6}")
"""Of a casefolded text: several times as fast as ignoring case, and every text that is shown is searched."""


def mark(case: Case, digits: int) -> str:
    """What every marker of a prompt carries: hexadecimal digits that no answer shown in it holds.

    All prompts about one question carry the same mark, so that they begin alike and an engine that remembers prefixes
    computes question, reference and first answer once. Whoever writes an answer could work that mark out; so where an
    answer holds a part of it, or anything like a marker, the mark depends on all answers, which nobody can foresee.
    """
    item, turn = case.item, case.turn
    answers = [response.turns[:turn] for response in case.shown]
    found = digest(item.turns, item.reference[:turn], turn)[:digits]
    texts = [text.casefold() for turns in answers for text in turns]
    if any(_MARKER.search(text) for text in texts):
        found = digest(found, answers)[:digits]
    while any(found[:6] in text or found[-6:] in text for text in texts):
        found = digest(found, answers)[:digits]
    return found
