"""Arena-Hard: the judge answers the prompt itself, then compares two answers with its own on a scale of five.

Li et al. 2024 (arXiv 2406.11939); arena-hard-auto. Its prompts are in no package that could be pinned, so the wording
here is ours unless ``prompt`` gives another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

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
from evalkit.judges import own, pairwise, replies
from evalkit.judges.replies import FIVE, excerpt

OWN_ANSWER = """
First write your own answer to the user, before you judge anything. Then compare A and B with it, and name and correct \
every mistake you find, in yours too."""

COMPARE = """
Compare A and B in detail, and name and correct every mistake you find."""

ASK = """
Then weigh how well each does what was asked, whether everything in it is to the point, and whether it says too much \
or leaves out something that matters. Where a request can be understood in several ways, asking back can be better \
than guessing. Where something new is wanted, count originality.

End with your verdict on a line of its own, in double square brackets, like this: Verdict: """


class Prompt(Struct, frozen=True):
    """A judge prompt in Arena-Hard's own form; other keys of its config files are not needed to ask."""

    system_prompt: str
    prompt_template: str | tuple[str, ...]
    """With {QUESTION}, {ANSWER_A}, {ANSWER_B}, or {question_1}, {answer_1}, {answer_2}."""
    system_prompts: dict[str, str] = {}
    """Other system prompts by category of the item."""


@dataclass(frozen=True, kw_only=True)
class ArenaHard(JudgeProtocol):
    """Five-step comparison after an answer of the judge's own, A>>B to B>>A; the label keeps the strength.

    The reader is strict: a label of the five, or its mirror (A<B), stated last and unquoted. With ``faithful=true`` it
    is Arena-Hard v2's: last match anywhere, upper-cased, bare brackets if there is no other.
    """

    name: ClassVar[str] = "arena_hard"
    shows: ClassVar[int] = 2
    faithful: bool = False
    prompt: str = ""
    """YAML text with ``system_prompt`` and ``prompt_template``, such as arena-hard-auto v0.1's judge_config.yaml, and
    optionally ``system_prompts`` by category; empty: our own wording."""
    system: str = pairwise.SYSTEM
    task: str = pairwise.TASK
    without_own_answer: tuple[str, ...] = ("creative_writing",)
    """Categories in which the judge does not write its own answer first. For our own wording only."""
    max_tokens: int | None = None
    """Room for the judge's own answer and the comparison; None: the judge's own setting. Arena-Hard: 4096, v2 16000."""
    _given: dict[str, Prompt] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Read the given prompt once."""
        if self.prompt:
            self._given["prompt"] = _read(self.prompt)
        own.check(self.task)

    @property
    def parser(self) -> str:
        """The version of the reader of replies."""
        return "arena-hard-last-match/1" if self.faithful else "pair-five/3"

    def identity(self) -> Mapping[str, Any]:
        """The prompt, which is what the verdict depends on."""
        if self._given:
            return {"prompt": digest(self.prompt)}
        wording = digest(self.system, self.task, pairwise.ABOUT_REFERENCE, OWN_ANSWER, COMPARE, ASK, _CHOICES)
        return {"prompt": wording, "without_own_answer": sorted(self.without_own_answer)}

    def request(self, case: Case) -> Request:
        """Both answers in the order shown."""
        if given := self._given.get("prompt"):
            system = given.system_prompts.get(case.item.category, given.system_prompt)
            users = _filled(given, *pairwise.flat(case))
        else:
            system = self.system
            lead = COMPARE if case.item.category in self.without_own_answer else OWN_ANSWER
            text = self.task.format(
                which=pairwise.which(case),
                about_reference=pairwise.ABOUT_REFERENCE if any(case.item.reference[: case.turn]) else "",
                material=pairwise.material(case),
            )
            users = (text + lead + ASK + _CHOICES,)
        messages = (Message("system", system), *(Message("user", text) for text in users))
        return Request(messages, Sampling(max_tokens=self.max_tokens))

    def parse(self, completion: Completion, case: Case) -> Verdict | Failure:
        """The verdict in the order shown, or why there is none."""
        return published_verdict(completion) if self.faithful else replies.tag(completion, FIVE)

    @property
    def published(self) -> bool:  # type: ignore[override]  # it depends on what is given
        """Whether somebody else's prompt or reader is used."""
        return bool(self._given) or self.faithful

    def examples(self) -> Iterator[ReplyExample]:
        """Every label announced; Arena-Hard's own reader takes the last one, wherever it stands."""
        if not self.faithful:
            yield from pairwise.pair_examples(FIVE)
            return
        for label in FIVE.scores:
            yield ReplyExample(Completion(f"Not [[A=B]], but: [[{label}]]"), FIVE.verdict(label))
        for text in ("[[A]]", "I cannot decide."):
            yield ReplyExample(Completion(text), "unparsed")


_CHOICES = pairwise.ASK_TEXT["five"]


def _read(text: str) -> Prompt:
    try:
        prompt = msgspec.yaml.decode(text, type=Prompt)
        _filled(prompt, "", "", "")
    except (msgspec.MsgspecError, KeyError, IndexError, ValueError) as error:
        raise UsageError(
            f"prompt is not an Arena-Hard prompt: {error}. It is YAML with system_prompt and prompt_template, which "
            "holds {QUESTION}, {ANSWER_A} and {ANSWER_B}, or {question_1}, {answer_1} and {answer_2}"
        ) from error
    return prompt


def _filled(prompt: Prompt, question: str, first: str, second: str) -> tuple[str, ...]:
    templates = prompt.prompt_template
    return tuple(
        template.format(
            QUESTION=question, ANSWER_A=first, ANSWER_B=second, question_1=question, answer_1=first, answer_2=second
        )
        for template in ((templates,) if isinstance(templates, str) else templates)
    )


_READ = (re.compile(r"\[\[([AB<>=]++)\]\]"), re.compile(r"\[([AB<>=]++)\]"))


def published_verdict(completion: Completion) -> Verdict | Failure:
    """Arena-Hard v2's reader: last match in the upper-cased text, bare brackets if there is no other.

    A label such as ``A`` or ``A==B`` is accepted there and stops its tables later; here it is a failure.
    """
    for pattern in _READ:
        if matches := pattern.findall(completion.text.upper()):
            stated = matches[-1]
            label = {**FIVE.also, **{key.casefold(): key for key in FIVE.scores}}.get(stated.casefold())
            if label is None:
                return Failure("unparsed", f"Arena-Hard reads {stated!r}, which its tables do not know")
            return FIVE.verdict(label)
    return Failure("unparsed", f"no [[verdict]] in the reply: {excerpt(completion.text)!r}")
