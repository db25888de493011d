"""Reads which of two answers a judge prefers: the forms of a verdict, and published readers, mistakes included."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from math import exp, isnan
from typing import Any

from evalkit.core.protocols import Completion, Verdict
from evalkit.core.schema import Failure
from evalkit.judges import replies
from evalkit.judges.replies import Form, excerpt, no_verdict

_ARENA_HARD = (re.compile(r"\[\[([AB<>=]++)\]\]"), re.compile(r"\[([AB<>=]++)\]"))

AB_TIE = Form({"A": 1.0, "B": 0.0, "tie": 0.5}, {"c": "tie"})

FIVE = Form(
    {"A>>B": 1.0, "A>B": 1.0, "A=B": 0.5, "B>A": 0.0, "B>>A": 0.0},
    {"b<<a": "A>>B", "b<a": "A>B", "b=a": "A=B", "a<b": "B>A", "a<<b": "B>>A"},
)
"""Arena-Hard's labels. The scores do not show how strong a preference is; the label does."""

SCALE8 = Form({str(step): (8 - step) / 7 for step in range(1, 9)})
"""Eight steps from 1, A strongly preferred, to 8, B strongly preferred; evenly spaced, without a tie."""

_STRENGTHS = ("significantly", "better", "slightly", "negligibly")
_MARGINS = [(f"A:{word}", f"B:{word}") for word in _STRENGTHS]
MARGIN = Form(
    {a: (7 - step) / 7 for step, (a, _) in enumerate(_MARGINS)} | {b: step / 7 for step, (_, b) in enumerate(_MARGINS)},
    {
        f"{side}{colon}{word}{better}": f"{side.upper()}:{word}"
        for side in "ab"
        for word in _STRENGTHS
        for colon in (":", "")
        for better in (("", "better") if word != "better" else ("",))
    },
)
"""Four steps for each side. Evenly spaced, like SCALE8: 1, 6/7, 5/7, 4/7 for A; even the weakest step takes a side."""


def strict(completion: Completion, form: Form) -> Verdict | Failure:
    """The verdict a reply announces, or why it announces none."""
    return replies.tag(completion, form)


def expected(completion: Completion, scores: Mapping[str, float], least_mass: float) -> Verdict | Failure:
    """The mean score of the first answer under the judge's own distribution over the verdict token."""
    return replies.expected(completion, scores, least_mass, pair=True)


def fastchat_pair(completion: Completion) -> Verdict | Failure:
    """FastChat's reader (llm_judge/common.py, run_judge_pair): [[A]] anywhere, else [[B]], else [[C]]."""
    for mark, label in (("[[A]]", "A"), ("[[B]]", "B"), ("[[C]]", "tie")):
        if mark in completion.text:
            return AB_TIE.verdict(label)
    return Failure("unparsed", f"no [[A]], [[B]] or [[C]] in the reply: {excerpt(completion.text)!r}")


def arena_hard(completion: Completion) -> Verdict | Failure:
    """Arena-Hard v2's reader: last match in the upper-cased text, bare brackets if there is no other.

    A label such as ``A`` or ``A==B`` is accepted there and stops its tables later; here it is a failure.
    """
    for pattern in _ARENA_HARD:
        if matches := pattern.findall(completion.text.upper()):
            stated = matches[-1]
            label = {**FIVE.also, **{key.casefold(): key for key in FIVE.scores}}.get(stated.casefold())
            if label is None:
                return Failure("unparsed", f"Arena-Hard reads {stated!r}, which its tables do not know")
            return FIVE.verdict(label)
    return Failure("unparsed", f"no [[verdict]] in the reply: {excerpt(completion.text)!r}")


def alpaca_eval_weighted(completion: Completion, first: str = "m", second: str = "M") -> Verdict | Failure:
    """AlpacaEval 2's reader (logprob_parser): p = P(first) / (P(first) + P(second)), a token not returned counts zero.

    Its ``preference`` is ``2 - p``, before outputs that were switched are switched back. Tokens are compared exactly.
    """
    if completion.finish == "refusal":
        return no_verdict(completion) or Failure("refused", "the judge refused")
    if not completion.logprobs:
        return Failure("unparsed", "the backend returned no log-probabilities, which this protocol cannot do without")
    tokens = completion.logprobs[0]
    one, two = (tokens.get(name, -float("inf")) for name in (first, second))
    gap = two - one
    if isnan(gap):  # both missing, or not numbers
        return Failure("unparsed", f"neither {first!r} nor {second!r} is among the likeliest tokens: {sorted(tokens)}")
    p = 1.0 / (1.0 + exp(gap)) if gap <= 0 else exp(-gap) / (1.0 + exp(-gap))
    return Verdict((p, 1.0 - p), "tie" if gap == 0 else first if gap < 0 else second)


def alpaca_eval_ranking(completion: Completion) -> Verdict | Failure:
    """AlpacaEval 1's reader (ranking_parser): a Python list of {'model', 'rank'}; only model_1's rank is looked at."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            ranking: Any = ast.literal_eval(completion.text)
        rank = next(row["rank"] for row in [row for row in ranking if row["model"] == "model_1"])
    except (SyntaxError, ValueError, TypeError, KeyError, StopIteration, MemoryError, RecursionError):
        return Failure("unparsed", f"the reply is not a list of ranks: {excerpt(completion.text)!r}")
    if rank not in (1, 2):
        return Failure("unparsed", f"model_1 has rank {excerpt(repr(rank))}, not 1 or 2")
    return Verdict((1.0, 0.0), "model_1") if rank == 1 else Verdict((0.0, 1.0), "model_2")
