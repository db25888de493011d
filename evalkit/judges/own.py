"""What our own judge prompts share: a task, material between marks that no answer can forge, and how to reply."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.core.protocols import Case, JudgeProtocol, Message, Request, Sampling, UsageError
from evalkit.core.schema import digest

ORDINAL = {1: "first", 2: "second", 3: "third"}


@dataclass(frozen=True, kw_only=True)
class OwnPrompt(JudgeProtocol):
    """A prompt of our own wording: ``task`` with {which}, {about_reference} and {material}, and then how to reply.

    A protocol adds how the judge is to reply (``how_to_reply``), what it is shown (``material``) and how its reply is
    read (``parse``). With ``scoring=logprobs`` it writes one token, and the probabilities of that are read.
    """

    name: str
    """By default that of the YAML file."""
    scoring: Literal["text", "logprobs"] = "text"
    system: str
    task: str
    about_reference: str
    prefill: str = ""
    """Put into the judge's mouth before its first token, where the backend can continue a message."""
    least_mass: float = 0.2
    """With logprobs: the share of probability that must lie on the verdict tokens."""
    top_logprobs: int = 20
    """With logprobs: alternatives for the token that are asked for; some providers allow 5."""
    _template: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        """Join the template once."""
        check_name(self.name)
        if self.top_logprobs < 1:
            raise UsageError(f"protocol.top_logprobs={self.top_logprobs}: must be at least 1")
        object.__setattr__(self, "_template", self.task + self.how_to_reply())
        check(self._template)

    def how_to_reply(self) -> str:
        """The end of the prompt: in which form the verdict is wanted."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to reply")

    def which(self, case: Case) -> str:
        """Which answer is judged, as an adjective."""
        return ORDINAL.get(case.turn, f"{case.turn}th") if len(case.item.turns) > 1 else "only"

    def material(self, case: Case) -> str:
        """What is judged, between marks."""
        raise NotImplementedError(f"{type(self).__name__} shows nothing")

    def identity(self) -> dict[str, Any]:
        """The prompt, which is what the verdict depends on."""
        return {
            "scoring": self.scoring,
            "prefill": self.prefill,
            "prompt": digest(self.system, self._template, self.about_reference),
        }

    def request(self, case: Case) -> Request:
        """The material as far as the judged turn, with references where the item has them."""
        text = self._template.format(
            which=self.which(case),
            about_reference=self.about_reference if any(case.item.reference[: case.turn]) else "",
            material=self.material(case),
        )
        messages = [Message("system", self.system), Message("user", text)]
        if self.prefill:
            messages.append(Message("assistant", self.prefill))
        if self.scoring == "text":
            return Request(tuple(messages))
        return Request(tuple(messages), Sampling(max_tokens=1, top_logprobs=self.top_logprobs, temperature=0.0))


def check_name(name: str) -> None:
    """Raise UsageError for a protocol's name that could not name a file."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", name) is None:
        raise UsageError(
            f"protocol.name={name!r}: use up to 80 letters, digits, _ and -; the judgments' file is called after it"
        )


def check(template: str) -> None:
    """Raise UsageError if a task text holds other fields than can be filled in."""
    try:
        template.format(which="", about_reference="", material="")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UsageError(
            "protocol.task may hold the fields {which}, {about_reference} and {material}, and other braces doubled; "
            f"it is not such a text: {error!r}"
        ) from error


def block(kind: str, text: str, mark: str) -> str:
    """One piece of material between two marks."""
    return f"<{kind} {mark}>\n{text}\n</{kind} {mark}>"


def conversation(asked: tuple[str, ...], answers: tuple[str | None, ...], turns: int, speaker: str, mark: str) -> str:
    """Turns of a conversation, each under a heading that carries the mark."""
    parts = []
    for turn, question in enumerate(asked[:turns]):
        answer = answers[turn] if turn < len(answers) else None
        parts.append(f"### User {mark}\n{question}\n\n### {speaker} {mark}\n{answer or '(none given)'}")
    return "\n\n".join(parts)
