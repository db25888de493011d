"""FastChat's MT-Bench grading, word for word: prompts from the pinned judge_prompts.jsonl, its parser, its pooling.

Zheng et al. 2023 (arXiv 2306.05685), appendix A; FastChat llm_judge/gen_judgment.py and common.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

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
from evalkit.judges.replies import AB_TIE, excerpt

SINGLE = ("single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn")
PAIR = ("pair-v2", "pair-math-v1", "pair-v2-multi-turn", "pair-math-v1-multi-turn")


class Template(Struct, frozen=True):
    """One row of judge_prompts.jsonl; its other fields are not needed to ask."""

    name: str
    system_prompt: str
    prompt_template: str


@dataclass(frozen=True, kw_only=True)
class _FastChatProtocol(JudgeProtocol):
    """What both protocols share: the prompts of the pinned file."""

    published: ClassVar[bool] = True
    needed: ClassVar[tuple[str, ...]]
    """Names of the prompts it asks with."""
    prompts: str
    """The text of judge_prompts.jsonl."""
    max_tokens: int = 2048
    language: Literal["en", "ko"] = "en"
    """What the prompts are written in; said of runs in other languages."""
    _templates: dict[str, Template] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Read the prompts once."""
        self._templates.update(_read(self.prompts, self.needed))

    def identity(self) -> Mapping[str, Any]:
        """The prompts, which are what the verdict depends on."""
        return {"prompts": digest(self.prompts)}

    def _filled(self, name: str, fields: Mapping[str, str]) -> Request:
        """The prompt of this name with the fields in it."""
        template = self._templates[name]
        messages = (
            Message("system", template.system_prompt),
            Message("user", template.prompt_template.format(**fields)),
        )
        return Request(messages, Sampling(temperature=0.0, max_tokens=self.max_tokens))


@dataclass(frozen=True, kw_only=True)
class FastChatSingle(_FastChatProtocol):
    """Single-answer grading as FastChat does it: four prompts, by turn and by whether there is a reference."""

    name: ClassVar[str] = "fastchat_single"
    shows: ClassVar[int] = 1
    parser: ClassVar[str] = "fastchat-rating/1"
    needed: ClassVar[tuple[str, ...]] = SINGLE

    def request(self, case: Case) -> Request:
        """Turn 1: one user message. Turn 2: instruction in the system prompt, both turns in the user message."""
        (response,) = case.shown
        references = [text or "" for text in case.item.reference]
        name = "single-math-v1" if any(references) else "single-v1"
        if case.turn == 1:
            fields = {"question": case.item.turns[0], "answer": response.turns[0]}
        else:
            name += "-multi-turn"
            fields = {}
            for turn, (question, answer) in enumerate(zip(case.item.turns, response.turns, strict=False), start=1):
                fields |= {f"question_{turn}": question, f"answer_{turn}": answer}
        fields |= {f"ref_answer_{turn}": text for turn, text in enumerate(references, start=1)}
        return self._filled(name, fields)

    def parse(self, completion: Completion, case: Case) -> Verdict | Failure:
        """Read a reply as FastChat does, whatever its finish reason."""
        return published_rating(completion)

    def examples(self) -> Iterator[ReplyExample]:
        """The first number in brackets, single ones if there are no others."""
        for text in ("Rating: [[7]]", "[[7]], not [[8]]", "I rate it [7]"):
            yield ReplyExample(Completion(text), Verdict((7.0,), "7"))
        yield ReplyExample(Completion("Seven."), "unparsed")


@dataclass(frozen=True, kw_only=True)
class FastChatPair(_FastChatProtocol):
    """Pairwise comparison as FastChat does it: four prompts, by turn and by whether there is a reference."""

    name: ClassVar[str] = "fastchat_pair"
    shows: ClassVar[int] = 2
    parser: ClassVar[str] = "fastchat-pair/1"
    needed: ClassVar[tuple[str, ...]] = PAIR

    def request(self, case: Case) -> Request:
        """The instruction in the system prompt; one question and two answers, or two conversations of two turns."""
        first, second = case.shown
        if case.turn > 2:
            raise UsageError(
                f"item {case.item.id!r}: FastChat's prompts hold two turns, and this is turn {case.turn}; "
                "use protocol=pairwise"
            )
        references = [text or "" for text in case.item.reference]
        name = "pair-math-v1" if any(references) else "pair-v2"
        if case.turn == 1:
            fields = {"question": case.item.turns[0], "answer_a": first.turns[0], "answer_b": second.turns[0]}
        else:
            name += "-multi-turn"
            fields = {}
            for turn in (1, 2):
                fields[f"question_{turn}"] = case.item.turns[turn - 1]
                fields[f"answer_a_{turn}"] = first.turns[turn - 1]
                fields[f"answer_b_{turn}"] = second.turns[turn - 1]
        references += [""] * (2 - len(references))
        fields |= {f"ref_answer_{turn}": text for turn, text in enumerate(references, start=1)}
        return self._filled(name, fields)

    def parse(self, completion: Completion, case: Case) -> Verdict | Failure:
        """Read a reply as FastChat does, whatever its finish reason."""
        return published_pair(completion)

    def examples(self) -> Iterator[ReplyExample]:
        """[[A]] anywhere, else [[B]], else [[C]]."""
        for text, read in (("[[B]] not [[A]]", "A"), ("[[B]]", "B"), ("[[C]]", "tie")):
            yield ReplyExample(Completion(text), AB_TIE.verdict(read))
        yield ReplyExample(Completion("[[a]]"), "unparsed")


def _read(prompts: str, names: tuple[str, ...]) -> dict[str, Template]:
    """The templates of judge_prompts.jsonl by name; these names must be there."""
    decoder = msgspec.json.Decoder(Template)
    try:
        rows = [decoder.decode(line) for line in prompts.splitlines() if line.strip()]
    except msgspec.MsgspecError as error:
        raise UsageError(f"judge prompts are not FastChat's judge_prompts.jsonl: {error}") from error
    templates = {row.name: row for row in rows}
    if missing := [name for name in names if name not in templates]:
        raise UsageError(f"judge prompts are not FastChat's judge_prompts.jsonl: no prompt {missing[0]!r} in it")
    return templates


_RATING = re.compile(r"\[\[(\d++\.?+\d*+)\]\]")
_RATING_BACKUP = re.compile(r"\[(\d++\.?+\d*+)\]")
"""As in FastChat, but possessive: no digit it could give back would make either match."""


def published_rating(completion: Completion) -> Verdict | Failure:
    """FastChat's reader (llm_judge/common.py, run_judge_single): first match, bare brackets as backup, no range check.

    Where it stores -1, and where it would crash on ``[[07]]``, this is a failure.
    """
    match = _RATING.search(completion.text) or _RATING_BACKUP.search(completion.text)
    if match is None:
        return Failure("unparsed", f"no [[rating]] in the reply: {excerpt(completion.text)!r}")
    try:
        score = float(ast.literal_eval(match[1]))
    except (SyntaxError, ValueError, OverflowError):
        score = inf
    if not isfinite(score):
        return Failure("unparsed", f"{excerpt(match[1])!r} is not a number FastChat can read")
    return Verdict((score,), match[1])


def published_pair(completion: Completion) -> Verdict | Failure:
    """FastChat's reader (llm_judge/common.py, run_judge_pair): [[A]] anywhere, else [[B]], else [[C]]."""
    for mark, label in (("[[A]]", "A"), ("[[B]]", "B"), ("[[C]]", "tie")):
        if mark in completion.text:
            return AB_TIE.verdict(label)
    return Failure("unparsed", f"no [[A]], [[B]] or [[C]] in the reply: {excerpt(completion.text)!r}")
