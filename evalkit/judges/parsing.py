"""Reads ratings: the sound reader of ``[[7]]``, and FastChat's published one, mistakes included."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from math import inf, isfinite

from evalkit.core.protocols import Completion, Verdict
from evalkit.core.schema import Failure
from evalkit.judges import replies
from evalkit.judges.replies import RatingScale, excerpt

_FASTCHAT = re.compile(r"\[\[(\d++\.?+\d*+)\]\]")
_FASTCHAT_BACKUP = re.compile(r"\[(\d++\.?+\d*+)\]")
"""As in FastChat, but possessive: no digit it could give back would make either match."""


def rating(completion: Completion, lower: float, upper: float) -> Verdict | Failure:
    """The rating a reply announces, on a scale from ``lower`` to ``upper``, or why it announces none."""
    return replies.tag(completion, RatingScale(lower, upper))


def expected_rating(completion: Completion, scale: Mapping[str, float], least_mass: float) -> Verdict | Failure:
    """The mean rating under the judge's own distribution over the verdict token, by rating of each token."""
    return replies.expected(completion, scale, least_mass, pair=False)


def fastchat_rating(completion: Completion) -> Verdict | Failure:
    """FastChat's reader (llm_judge/common.py, run_judge_single): first match, bare brackets as backup, no range check.

    Where it stores -1, and where it would crash on ``[[07]]``, this is a failure.
    """
    match = _FASTCHAT.search(completion.text) or _FASTCHAT_BACKUP.search(completion.text)
    if match is None:
        return Failure("unparsed", f"no [[rating]] in the reply: {excerpt(completion.text)!r}")
    try:
        score = float(ast.literal_eval(match[1]))
    except (SyntaxError, ValueError, OverflowError):
        score = inf
    if not isfinite(score):
        return Failure("unparsed", f"{excerpt(match[1])!r} is not a number FastChat can read")
    return Verdict((score,), match[1])
