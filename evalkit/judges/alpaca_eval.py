"""AlpacaEval's two judges, word for word: prompts from the pinned package, its ChatML splitting, its parsers.

Dubois et al. 2024 (arXiv 2404.04475); alpaca_eval 0.6.6. AlpacaEval shows each pair in one order, drawn from the
instruction, and gives identical outputs 1.5 without asking; both are up to whoever makes the cases.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp, isnan
from typing import Any, ClassVar, Literal

from evalkit.core.protocols import (
    Case,
    Completion,
    JudgeProtocol,
    Message,
    ReplyExample,
    Request,
    Sampling,
    UsageError,
    Verdict,
)
from evalkit.core.schema import Failure, digest
from evalkit.judges.pairwise import flat
from evalkit.judges.replies import excerpt, no_verdict

START, END = "<|im_start|>", "<|im_end|>"
_PLACEHOLDER = re.compile(r"{(\S[^\s}]{0,59}+)}")


@dataclass(frozen=True, kw_only=True)
class _AlpacaEvalProtocol(JudgeProtocol):
    """What both versions share: a published prompt in ChatML, filled in as AlpacaEval does."""

    published: ClassVar[bool] = True
    identical_is_tie: ClassVar[bool] = True
    prompt: str
    """The text of alpaca_eval_clf.txt (version 2) or alpaca_eval.txt (version 1)."""
    guarded: bool = False
    """Keep ChatML marks in a response as text. AlpacaEval lets them through, so a response can speak for the user."""

    def __post_init__(self) -> None:
        """Reject a file that is not such a prompt."""
        _check(self.prompt)

    def identity(self) -> Mapping[str, Any]:
        """The prompt, which is what the verdict depends on."""
        return {"prompt": digest(self.prompt), "guarded": self.guarded}


@dataclass(frozen=True, kw_only=True)
class AlpacaEvalWeighted(_AlpacaEvalProtocol):
    """AlpacaEval 2 (weighted_alpaca_eval_gpt4_turbo): one token, m or M, weighted by its log-probability."""

    name: ClassVar[str] = "alpaca_eval_weighted"
    shows: ClassVar[int] = 2
    parser: ClassVar[str] = "alpaca-eval-logprob/1"

    def request(self, case: Case) -> Request:
        """The first response is called m, the second M."""
        return Request(
            messages(self.prompt, case, self.guarded), Sampling(temperature=1.0, max_tokens=1, top_logprobs=5)
        )

    def parse(self, completion: Completion, case: Case) -> Verdict | Failure:
        """(p, 1 - p), where AlpacaEval's preference is 2 - p before it switches outputs back."""
        return weighted_preference(completion)

    def examples(self) -> Iterator[ReplyExample]:
        """Example replies: one token with its log-probabilities."""
        for token, scores in (("m", (1.0, 0.0)), ("M", (0.0, 1.0))):
            yield ReplyExample(Completion(token, "length", logprobs=({token: 0.0},)), Verdict(scores, token))
        yield ReplyExample(Completion("m", "length"), "unparsed")


@dataclass(frozen=True, kw_only=True)
class AlpacaEvalRanking(_AlpacaEvalProtocol):
    """AlpacaEval 1 (alpaca_eval_gpt4): the judge ranks model_1, the first response, and model_2."""

    name: ClassVar[str] = "alpaca_eval_gpt4"
    shows: ClassVar[int] = 2
    parser: ClassVar[str] = "alpaca-eval-ranking/1"

    def request(self, case: Case) -> Request:
        """The first response is called model_1, the second model_2."""
        return Request(messages(self.prompt, case, self.guarded), Sampling(temperature=0.0, max_tokens=100))

    def parse(self, completion: Completion, case: Case) -> Verdict | Failure:
        """Read a reply as AlpacaEval does, whatever its finish reason."""
        return ranked_first(completion)

    def examples(self) -> Iterator[ReplyExample]:
        """Example replies: a Python list of ranks."""
        for rank, other, scores in ((1, 2, (1.0, 0.0)), (2, 1, (0.0, 1.0))):
            text = f"[{{'model': 'model_1', 'rank': {rank}}}, {{'model': 'model_2', 'rank': {other}}}]"
            yield ReplyExample(Completion(text), Verdict(scores, f"model_{rank}"))
        yield ReplyExample(Completion("model_1 is better"), "unparsed")


def messages(template: str, case: Case, guarded: bool = False) -> tuple[Message, ...]:
    """The prompt filled and split as alpaca_eval does (utils.make_prompts, then utils.prompt_to_chatml).

    There placeholders are replaced one after the other, and only then is the text split at its ChatML marks, so that
    marks in a response end its message or begin another. Guarded, the template is split first and filled in one pass.
    """
    texts = dict(zip(("instruction", "output_1", "output_2"), flat(case), strict=True))
    if guarded:
        parts = _split(template)
        return tuple(Message(part.role, _PLACEHOLDER.sub(lambda m: texts[m[1]], part.content)) for part in parts)
    prompt = template
    for name in dict.fromkeys(_PLACEHOLDER.findall(template)):
        prompt = prompt.replace("{" + name + "}", texts[name], 1)
    return _split(prompt)


def _split(prompt: str) -> tuple[Message, ...]:
    """ChatML text as messages. Roles that no provider knows, which only a response can bring in, become the user's."""
    found = []
    for part in prompt.strip().split(START)[1:]:
        head, _, rest = part.partition("\n")
        role: Literal["system", "user", "assistant"] = "user"
        if head.strip().startswith("system"):
            role = "system"
        elif head.strip() == "assistant":
            role = "assistant"
        found.append(Message(role, rest.split(END, 1)[0].strip()))
    return tuple(found)


def _check(prompt: str) -> None:
    names = set(_PLACEHOLDER.findall(prompt))
    if names != {"instruction", "output_1", "output_2"} or not prompt.strip().startswith(START):
        raise UsageError(
            "prompt is not an AlpacaEval prompt: it must begin with <|im_start|> and contain {instruction}, {output_1} "
            f"and {{output_2}}, and has {', '.join(sorted(names)) or 'no placeholders'}"
        )


def weighted_preference(completion: Completion, first: str = "m", second: str = "M") -> Verdict | Failure:
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


def ranked_first(completion: Completion) -> Verdict | Failure:
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
