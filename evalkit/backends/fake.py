"""A model that is no model: deterministic, scripted, or with planted faults and biases. For tests and dry practice.

As a candidate it answers with text that depends on the question alone, and says inside it how good it is
(``[skill 6.5]``). As a judge it reads those marks and rates what it is shown, with as much noise, failure and bias as
its fields plant. Nothing here is random from run to run.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.core.protocols import Backend, Completion, Malformed, Rejected, ReplySchema, Request, Transport
from evalkit.core.schema import Usage, digest

Step = Literal["ok", "refuse", "length", "timeout", "429", "500", "garbage", "empty", "surrogate", "400"]

_TWO_ANSWERS = re.compile(r"\b(?:answer|assistant|conversation) B\b", re.IGNORECASE)
_SCALE = re.compile(r"whole number from (\d+)(?: \([^()\n]{1,60}\))? to (\d+)|one of these: ([^\n]{1,400}?), in double")
MUMBLED = "Hard to say; it has its points."
REMARK = "It does some of what was asked."
_SKILL = re.compile(r"\[skill (-?[0-9.]+)\]")
_MARKED = re.compile(r"<(answer|conversation) ([AB]) (\w+)>\n(.*?)\n</\1 \2 \3>", re.DOTALL)
_WORDS = ("sea", "lamp", "copper", "window", "river", "seven", "quiet", "paper", "bright", "road", "apple", "stone")


@dataclass
class Fake(Backend):
    """A deterministic stand-in for a model or a judge."""

    model: str = "fake"
    skill: float = 6.0
    """As a candidate: the true quality of its answers, on the judge's 1-10 scale."""
    spread: float = 1.5
    """As a candidate: standard deviation of quality from question to question."""
    words: int = 60
    """As a candidate: length of an answer."""
    noise: float = 0.5
    """As a judge: standard deviation of its error."""
    position_bias: float = 0.0
    """As a judge of pairs: quality it adds to whatever is shown first."""
    length_bias: float = 0.0
    """As a judge of pairs: quality it adds for each log unit that one answer is longer (with our own prompt)."""
    label_bias: float = 0.0
    """As a judge of pairs: quality it adds to whatever is called A (with our own prompt)."""
    cues: Mapping[str, float] = field(default_factory=dict)
    """As a judge of pairs: quality it adds to an answer that holds a text (a regular expression; with our own prompt).
    A text in the instruction speaks for what is shown first."""
    tie_width: float = 0.5
    """As a judge of pairs: differences in quality smaller than this are a tie."""
    mumble: float = 0.0
    """As a judge: share of replies without a verdict."""
    delay: float = 0.0
    """Seconds before each answer."""
    concurrency: int = 64
    timeout: float = 60.0
    replies: tuple[str, ...] = ()
    """Texts it answers with, whatever it is asked: one after the other, the last one from then on."""
    script: tuple[Step, ...] = ()
    """What happens to the first requests, in order; after that, ``ok``."""
    _asked: int = field(default=0, init=False, repr=False, compare=False)

    def wire(self) -> Mapping[str, Any]:
        """Nothing is sent anywhere: a script of failures is no setting that a request depends on."""
        return {}

    def identity(self) -> Mapping[str, Any]:
        """Every setting that changes what the fake model says."""
        fields = ("model", "skill", "spread", "words", "noise", "position_bias", "tie_width", "mumble")
        later = ("length_bias", "label_bias", "cues", "replies")
        planted = {name: getattr(self, name) for name in later if getattr(self, name)}
        return {name: getattr(self, name) for name in fields} | planted

    async def complete(self, request: Request) -> Completion:
        """Answer, or do what the script says next."""
        step: Step = self.script[self._asked] if self._asked < len(self.script) else "ok"
        self._asked += 1
        if step == "timeout":
            await asyncio.sleep(3600)
        if self.delay:
            await asyncio.sleep(self.delay)
        if step == "ok" and self.replies:
            text = self.replies[min(self._asked, len(self.replies)) - 1]
            return Completion(text, "stop", Usage(10, len(text.split())), model=self.model)
        return self._act(step, request)

    def _act(self, step: Step, request: Request) -> Completion:
        match step:
            case "429":
                raise Transport("429 rate limited", retry_after=0.01)
            case "500":
                raise Transport("500 internal error")
            case "400":
                raise Rejected("400 the prompt is too long")
            case "garbage":
                raise Malformed("200, but not a completion", body="<html>")
            case "refuse":
                return Completion("I cannot help with that.", "refusal", Usage(10, 5), model=self.model)
            case "length":
                return Completion("It began well and", "length", Usage(10, 5), model=self.model)
            case "empty":
                return Completion("", "stop", Usage(10, 0), model=self.model)
            case "surrogate":
                return Completion("half a pair: �", "stop", Usage(10, 5), model=self.model)
            case _:
                return self._answer(request)

    def _answer(self, request: Request) -> Completion:
        prompt = "\n".join(message.content for message in request.messages)
        asked = next(message.content for message in reversed(request.messages) if message.role == "user")
        marks = [float(mark) for mark in _SKILL.findall(asked)]
        pairwise = bool(_TWO_ANSWERS.search(prompt))
        if request.sampling.top_logprobs:
            odds = self._odds_of_letters(prompt, marks) if pairwise else self._odds_of_digits(prompt, marks)
            return self._token(prompt, odds)
        if isinstance(request.reply, ReplySchema):
            mumbled = self._mumbles(prompt)
            text = MUMBLED if mumbled else json.dumps(self._conforming(request.reply.schema, prompt, marks))
        elif "[[" in prompt:
            text = self._comparison(prompt, marks) if pairwise else self._rating(prompt, marks)
        else:
            text = self._essay(request, prompt)
        limit = request.sampling.max_tokens
        words = text.split(" ")
        if limit is not None and len(words) > limit:
            return Completion(" ".join(words[:limit]), "length", Usage(len(prompt) // 4, limit), model=self.model)
        return Completion(text, "stop", Usage(len(prompt) // 4, len(words)), model=self.model)

    def _essay(self, request: Request, prompt: str) -> str:
        # Quality depends on the question, not on the model, so that two models are compared under equal luck.
        skill = self.skill + self.spread * _normal(digest("quality", request.messages[-1].content))
        seed = digest(self.model, prompt, request.sampling.temperature or 0.0, request.sampling.seed or 0)
        picks = (int(seed[(i * 2) % 32 : (i * 2) % 32 + 2], 16) + i for i in range(self.words))
        return f"[skill {skill:.2f}] " + " ".join(_WORDS[pick % len(_WORDS)] for pick in picks)

    def _mumbles(self, prompt: str) -> bool:
        return _uniform(digest("mumble", self.model, prompt)) < self.mumble

    def _rating(self, prompt: str, marks: list[float]) -> str:
        if self._mumbles(prompt):
            return MUMBLED
        asked = _SCALE.search(prompt)
        if asked is None or asked.groups() == ("1", "10", None):
            return f"{REMARK} Rating: [[{min(10, max(1, round(self._perceived(prompt, marks))))}]]"
        if asked[3]:
            names = asked[3].split(", ")
            names = names[::-1] if names[0] == "yes" else names
            return f"{REMARK} Verdict: [[{names[self._step(prompt, marks, 0, len(names) - 1)]}]]"
        return f"{REMARK} Verdict: [[{self._step(prompt, marks, int(asked[1]), int(asked[2]))}]]"

    def _conforming(self, schema: Mapping[str, Any], prompt: str, marks: list[float]) -> Any:
        """What it thinks, as a schema wants it said."""
        if "properties" in schema:
            return {name: self._conforming(part, prompt, marks) for name, part in schema["properties"].items()}
        allowed = schema.get("enum") or schema.get("items", {}).get("enum")
        if schema["type"] == "array":
            seen = dict(zip(allowed, marks[-len(allowed) :], strict=False))
            return sorted(allowed, key=lambda name: -seen.get(name, 0.0))
        if schema["type"] == "string" and allowed is None:
            return REMARK
        if allowed is None:
            return self._step(prompt, marks, schema["minimum"], schema["maximum"])
        return self._chosen(allowed, prompt, marks)

    def _chosen(self, allowed: list[Any], prompt: str, marks: list[float]) -> Any:
        """One of the values that a schema lists."""
        if "A" in allowed and "B" in allowed:
            if len(allowed) > 3:  # one of a list
                return max(allowed, key=lambda name: dict(zip(allowed, marks, strict=False)).get(name, 0.0))
            gap = self._gap(prompt, marks)
            return "tie" if "tie" in allowed and abs(gap) <= self.tie_width else "A" if gap > 0 else "B"
        ordered = allowed[::-1] if allowed[0] == "yes" else allowed
        return ordered[self._step(prompt, marks, 0, len(ordered) - 1)]

    def _step(self, prompt: str, marks: list[float], lower: int, upper: int) -> int:
        """The quality it sees, from 1 to 10, on another scale."""
        seen = lower + (self._perceived(prompt, marks) - 1) / 9 * (upper - lower)
        return min(upper, max(lower, round(seen)))

    def _comparison(self, prompt: str, marks: list[float]) -> str:
        if self._mumbles(prompt):
            return "Hard to say; both sides have a point."
        gap = self._gap(prompt, marks)
        if "A>>B" in prompt:
            strong = abs(gap) > 3 * self.tie_width
            label = "A=B" if abs(gap) <= self.tie_width else ("A>>B" if strong else "A>B")
            label = label if gap > 0 or label == "A=B" else label.replace("A", "b").replace("B", "A").replace("b", "B")
        else:
            label = "C" if abs(gap) <= self.tie_width else "A" if gap > 0 else "B"
        return f"They differ a little. Verdict: [[{label}]]"

    def _odds_of_digits(self, prompt: str, marks: list[float]) -> dict[str, float]:
        centre = self._perceived(prompt, marks) - 1
        return {str(digit): math.exp(-0.5 * (digit - centre) ** 2) for digit in range(10)}

    def _odds_of_letters(self, prompt: str, marks: list[float]) -> dict[str, float]:
        gap = max(-30.0, min(30.0, self._gap(prompt, marks)))
        return {"A": math.exp(gap / 2), "B": math.exp(-gap / 2)}

    def _token(self, prompt: str, odds: Mapping[str, float]) -> Completion:
        total = math.fsum(odds.values())
        logprobs = {token: math.log(max(odd / total, 1e-300)) for token, odd in odds.items()}
        likeliest = max(logprobs, key=lambda token: logprobs[token])
        return Completion(likeliest, "length", Usage(len(prompt) // 4, 1), logprobs=(logprobs,), model=self.model)

    def _perceived(self, prompt: str, marks: list[float]) -> float:
        """The quality it sees in the answer that is judged: the last one."""
        quality = marks[-1] if marks else 1.0 + 9.0 * _uniform(digest("unmarked", prompt))
        return quality + self.noise * _normal(digest("noise", self.model, prompt))

    def _gap(self, prompt: str, marks: list[float]) -> float:
        """How much better the answer called A looks to it than the one called B."""
        half = len(marks) // 2
        first, second = (marks[half - 1], marks[-1]) if half else (0.0, 0.0)
        gap = first - second + self.position_bias + self._planted(prompt)
        gap += self.noise * _normal(digest("noise", self.model, prompt))
        return -gap if _turned_round(prompt) else gap

    def _planted(self, prompt: str) -> float:
        """What else speaks for the answer shown first."""
        if not (self.length_bias or self.label_bias or self.cues):
            return 0.0
        shown = [(letter, text) for _, letter, _, text in _MARKED.findall(prompt)]
        if len(shown) != 2:
            return 0.0
        (letter, first), (_, second) = shown
        bias = self.length_bias * math.log((len(first) + 1) / (len(second) + 1))
        bias += self.label_bias if letter == "A" else -self.label_bias
        instruction = prompt[: prompt.index(first)]
        for cue, worth in self.cues.items():
            for_first = bool(re.search(cue, first)) + bool(re.search(cue, instruction))
            bias += worth * (for_first - bool(re.search(cue, second)))
        return bias


def _turned_round(prompt: str) -> bool:
    """Whether the answer shown first is called B."""
    found = _MARKED.search(prompt)
    return found is not None and found[2] == "B"


def _uniform(seed: str) -> float:
    """A number in [0, 1) that depends on the seed alone."""
    return int(seed[:13], 16) / 16**13


def _normal(seed: str) -> float:
    """A standard normal deviate that depends on the seed alone (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - _uniform(seed[:16])))
    return radius * math.cos(2.0 * math.pi * _uniform(seed[16:]))
