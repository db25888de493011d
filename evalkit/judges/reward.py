"""A reward model as judge: it reads a conversation and gives its last answer a number, on a scale of its own.

There is no prompt: the conversation is written by the model's chat template, which the server or the tokenizer has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Struct

from evalkit.core.history import ask, opening
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
from evalkit.core.schema import Failure
from evalkit.judges.replies import excerpt

HERE = "judge.NAME.protocols.reward"
"""Where its settings are."""
StepRule = Literal["only", "min", "mean", "last", "product"]
"""How several numbers become one score. ``only``: there must be one."""


class Steps(Struct, frozen=True):
    """The numbers of each step of an answer."""

    rows: list[list[float]]


Numbers: TypeAlias = list[float] | dict[str, float] | Steps
"""Of one answer: by place, by label, or for each step."""


@dataclass(frozen=True, kw_only=True)
class Reward(JudgeProtocol):
    """Scores one answer by a reward model, as the model does: any number, more is better.

    A process reward model gives a number for each step; ``reduce`` says how they become one score, and ``step_mark``
    what the model wants to see after each step, which are the paragraphs of the answer.
    """

    name: ClassVar[str] = "reward"
    shows: ClassVar[int] = 1
    published: ClassVar[bool] = True
    """There is no prompt of ours in it."""
    output: int | str | None = None
    """Which of several numbers counts: its place, from 0, or its label. None: there is one."""
    reduce: StepRule = "only"
    """Of a process reward model: min, mean, last or product of the steps' numbers."""
    step_mark: str = ""
    """Of a process reward model: the text that marks the end of a step, as ``<extra_0>``."""
    between_steps: str = "\n\n"
    """What stands between the steps of an answer; used with ``step_mark``."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant."""
        if not self.between_steps:
            raise UsageError(f"{HERE}.between_steps is empty: say what stands between two steps, as '\\n\\n'")
        if self.step_mark and self.reduce == "only":
            raise UsageError(
                f"{HERE}.step_mark={self.step_mark!r}: a model that scores steps needs {HERE}.reduce=min, "
                "mean, last or product"
            )

    @property
    def parser(self) -> str:
        """The version of the reader, and its rule: another rule reads what is stored again, and asks nothing."""
        output = "" if self.output is None else f" output={self.output}"
        return f"reward/1 {self.reduce}{output}"

    def identity(self) -> Mapping[str, Any]:
        """How answers are cut into steps, which is all that changes what the model reads."""
        return {"step_mark": self.step_mark, "between_steps": self.between_steps}

    def request(self, case: Case) -> Request:
        """The conversation, which ends with the judged answer."""
        (response,) = case.shown
        messages = opening(case.item)
        for turn in range(1, case.turn + 1):
            ask(messages, case.item.turns[turn - 1])
            answer = response.turns[turn - 1]
            messages.append(Message("assistant", self._marked(answer) if turn == case.turn else answer))
        # It writes nothing; the limit is what a budget in tokens counts on.
        return Request(tuple(messages), Sampling(max_tokens=1))

    def _steps(self, answer: str) -> list[str]:
        return [step for step in answer.split(self.between_steps) if step.strip()]

    def _marked(self, answer: str) -> str:
        if not self.step_mark:
            return answer
        return "".join(f"{step}{self.step_mark}" for step in self._steps(answer)) or self.step_mark

    def parse(self, completion: Completion, case: Case) -> Verdict | Failure:
        """The score, or why there is none."""
        numbers = _numbers(completion.text)
        if numbers is None:
            return _unread(f"no numbers in the reply: {excerpt(completion.text)!r}")
        try:
            score = self._score(numbers, case)
        except ValueError as error:
            return _unread(str(error))
        return Verdict((score,), f"{score:.6g}")

    def _score(self, numbers: Numbers, case: Case) -> float:
        """One score of what the model says of one answer, or raise ValueError with why there is none."""
        if isinstance(numbers, Steps):
            steps = [self._chosen(row) for row in numbers.rows]
        elif isinstance(numbers, list) and self.reduce != "only" and self.output is None:
            steps = numbers
        else:
            steps = [self._chosen(numbers)]
        if self.step_mark:
            (response,) = case.shown
            expected = max(1, len(self._steps(response.turns[case.turn - 1])))
            if len(steps) != expected:
                raise ValueError(
                    f"{len(steps)} scores for {expected} steps: does this model look for {HERE}.step_mark="
                    f"{self.step_mark!r}, and does the answer hold it?"
                )
        return reduced(steps, self.reduce)

    def _chosen(self, numbers: list[float] | dict[str, float]) -> float:
        """The one number that counts of those about one conversation, or one step."""
        if self.output is None:
            if len(numbers) != 1:
                raise ValueError(
                    f"{len(numbers)} numbers{_labels(numbers)} where one score was expected: choose one by "
                    f"{HERE}.output=PLACE or LABEL, or, of a process reward model's steps, {HERE}.reduce=RULE. "
                    "Very many are an embedding model's"
                )
            return next(iter(numbers.values() if isinstance(numbers, dict) else numbers))
        if isinstance(numbers, dict):
            if str(self.output) not in numbers:
                raise ValueError(f"{HERE}.output={self.output}: there is no such label{_labels(numbers)}")
            return numbers[str(self.output)]
        if not (isinstance(self.output, int) and 0 <= self.output < len(numbers)):
            raise ValueError(f"{HERE}.output={self.output}: there are {len(numbers)} numbers, from place 0 on")
        return numbers[self.output]

    def examples(self) -> Iterator[ReplyExample]:
        """One number, several, none, and none that is finite."""
        if self.reduce == "only":
            yield ReplyExample(Completion("[-3.25]"), Verdict((-3.25,), "-3.25"))
            yield ReplyExample(Completion("[0.5,0.25]"), "unparsed")
        else:
            score = {"min": 0.25, "mean": 0.375, "last": 0.25, "product": 0.125}[self.reduce]
            yield ReplyExample(Completion("[0.5,0.25]"), Verdict((score,), f"{score:g}"))
        yield ReplyExample(Completion("[1e999]"), "unparsed")
        yield ReplyExample(Completion("[]"), "unparsed")


def reduced(steps: list[float], rule: StepRule) -> float:
    """One score of the numbers of an answer's steps.

    Raises:
        ValueError: there are several and the rule is ``only``, or a product is asked for of numbers that are no
            probabilities.
    """
    match rule:
        case "min":
            return min(steps)
        case "mean":
            return math.fsum(step / len(steps) for step in steps)
        case "last":
            return steps[-1]
        case "product":
            if not all(0 <= step <= 1 for step in steps):
                raise ValueError(
                    f"{HERE}.reduce=product multiplies probabilities, and steps have {min(steps):g} to "
                    f"{max(steps):g}: ask for them with backend.activation=true, or take min, mean or last"
                )
            return math.prod(steps)
    if len(steps) != 1:
        raise ValueError(
            f"{len(steps)} steps where one score was expected: choose {HERE}.reduce=min, mean, last or product"
        )
    return steps[0]


def _numbers(text: str) -> Numbers | None:
    """What a reward backend wrote; None if it is none of the forms."""
    flat: Numbers | None = _decoded(text, list[float]) or _decoded(text, dict[str, float])
    if flat:
        return flat
    rows = _decoded(text, list[list[float]])
    return Steps(rows) if rows and all(rows) else None


def _decoded(text: str, kind: Any) -> Any:
    """JSON as this type; None if it is none, or holds what JSON cannot say, as NaN or more than the largest float."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _labels(numbers: list[float] | dict[str, float]) -> str:
    return f" ({excerpt(', '.join(numbers))})" if isinstance(numbers, dict) else ""


def _unread(why: str) -> Failure:
    return Failure("unparsed", why[:490])
