"""The rows: Item -> Response -> Judgment, their keys, and the schema version of each.

Every row is self-sufficient for what comes after it, and says in its ``schema`` field which version wrote it.
Keys are content hashes of everything that was asked, so a changed prompt, temperature or model revision never
reuses an old row by accident.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import isfinite
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

ErrorKind = Literal["transport", "refused", "truncated", "unparsed", "malformed", "rejected"]
"""Why there is no verdict or no answer.

transport   never answered (429, 5xx, time-out, dropped connection): asked again on the next run.
refused     the model or its provider declined to answer.
truncated   the answer hit the token limit before its verdict.
unparsed    an answer arrived, but no verdict could be read from it; a newer parser reads it again.
malformed   the server answered with something that is not a completion.
rejected    the server will not take this request as it stands (400: too long, bad parameter).
"""

Finish = Literal["stop", "length", "refusal"]
"""Why the model stopped: of itself, at the token limit, or because it (or its provider) refused."""


INFINITY = float("inf")
_ENCODER = msgspec.json.Encoder(order="deterministic")


def digest(*parts: object) -> str:
    """Content hash of JSON-like parts, independent of dictionary order: 32 hex digits (BLAKE2b, 128 bit)."""
    try:
        content = _ENCODER.encode(parts)
    except UnicodeEncodeError:  # half a surrogate pair, which only escapes can spell
        content = json.dumps(msgspec.to_builtins(parts), sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class Ref(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A model or judge: its name, and the fingerprint of everything that changes what it says."""

    name: str
    fingerprint: str


class Failure(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Why a row has no result. Never a number, never a tie."""

    kind: ErrorKind
    message: str
    wire: str | None = None
    """Of a rejected request: ``Model.wire`` of who was asked. Another one may not be rejected."""


class Usage(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Tokens of one completion, as the backend counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens served from a prefix cache; included in ``prompt_tokens``."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


class ChatTurn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a history that comes with a question. Calls of tools are text in ``content``."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


CriterionKind = Literal["yes_no", "1-5", "1-10"]
"""How a criterion is judged: met or not, or graded."""


class Criterion(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One thing that a rubric looks at."""

    id: str
    """Names it within its rubric."""
    text: str
    points: float = 1.0
    """What it is worth where it is met (or graded best); below 0 for what an answer must not do."""
    kind: CriterionKind = "yes_no"
    anchors: dict[str, str] = {}
    """What a grade means, by grade (``"1"``) or grades (``"1-2"``)."""
    axis: str = ""
    """The side of quality that it belongs to: accuracy, tone, ..."""
    tags: tuple[str, ...] = ()


class CriterionVerdict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a judge said of one criterion: a value, or why there is none; never both."""

    id: str
    points: float = 1.0
    kind: CriterionKind = "yes_no"
    value: float | None = None
    """1 met, 0 not met; or the grade."""
    error: Failure | None = None
    reason: str = ""
    axis: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A value that its kind allows or an error, never both, never neither."""
        if (self.value is None) == (self.error is None):
            raise ValueError(f"the verdict on criterion {self.id!r} must have a value or an error, and not both")
        lower, upper = BOUNDS[self.kind]
        if self.value is not None and not lower <= self.value <= upper:  # false for NaN too
            raise ValueError(f"criterion {self.id!r} is judged {self.value}, outside {lower:g} to {upper:g}")

    @property
    def level(self) -> float | None:
        """The value on 0 (not met, worst grade) to 1 (met, best grade); None where there is none."""
        lower, upper = BOUNDS[self.kind]
        return None if self.value is None else (self.value - lower) / (upper - lower)


BOUNDS: dict[str, tuple[float, float]] = {"yes_no": (0.0, 1.0), "1-5": (1.0, 5.0), "1-10": (1.0, 10.0)}
"""Lowest and highest value by kind of criterion."""


class Item(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One question of a benchmark."""

    id: str
    """The source's own id, or a content hash; stable across shuffles and subsets."""
    benchmark: str
    category: str
    turns: tuple[str, ...]
    """What the user says, turn by turn."""
    reference: tuple[str | None, ...] = ()
    """Reference answer per turn; empty when the benchmark has none for this item."""
    meta: dict[str, Any] = {}
    system: str | None = None
    """A system prompt that belongs to the question; it stands after the model's own."""
    messages: tuple[ChatTurn, ...] = ()
    """What was said before the first turn."""
    rubric: tuple[Criterion, ...] = ()
    """What answers to this very question are judged by."""

    def asked(self) -> str:
        """Hash of what a model is asked; references, rubrics and metadata do not change an answer."""
        if self.system is None and not self.messages:  # as it was before questions could have either
            return digest(self.id, self.turns)
        return digest(self.id, self.turns, self.system, self.messages)


class Response(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="schema", tag="evalkit.response/1"
):
    """What one model answered to one item. Appended again as each turn arrives; the latest row counts."""

    key: str
    """Hash of what was asked: item, model fingerprint, sample index."""
    id: str = ""
    """Hash of what was asked *and* answered, which judgments name in ``shown``; always made anew, whatever is given."""
    item: str
    benchmark: str
    category: str
    model: Ref
    sample: int = 0
    turns: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()
    """What the model thought before each answer; no part of the answer, of histories, prompts or lengths."""
    finish: tuple[Finish, ...] = ()
    finish_reason: str | None = None
    """Why a turn ended, in the server's words, where those are none that are known; of several the last."""
    usage: tuple[Usage, ...] = ()
    bound: Usage | None = None
    """What the turns without usage can have taken at the most, for budgets; None if there are none."""
    sampling: dict[str, Any] = {}
    """The sampling fields that were sent."""
    snapshot: str | None = None
    """The model id the provider says answered."""
    latency: float = 0.0
    """Seconds, summed over turns, retries included."""
    cost: float | None = None
    """US dollars, summed over turns; None where the price is unknown."""
    created: float = 0.0
    """Unix time of the last turn."""
    error: Failure | None = None

    def __post_init__(self) -> None:
        """Name the text by what it says."""
        msgspec.structs.force_setattr(self, "id", digest(self.key, self.turns))


class Judged(Struct, frozen=True, kw_only=True, gc=False, tag_field="schema", tag="evalkit.judgment/1"):
    """A judgment without what was written, sent and paid: for readers of very many, who check them many at once."""

    item: str
    benchmark: str
    category: str
    turn: int
    """1-based turn that is judged."""
    judge: Ref
    """The fingerprint covers model id, sampling, prompt text and parser version."""
    protocol: str
    shown: tuple[str, ...]
    """Response ids in the order shown."""
    models: tuple[Ref, ...]
    """Who wrote them, in the same order."""
    lengths: tuple[int, ...] = ()
    """Characters of each judged answer, in the same order."""
    repeat: int = 0
    scores: tuple[float, ...] | None = None
    """One per response shown. Pairwise (1,0), (0,1), (.5,.5) or soft (p,1-p); single: on the judge's scale."""
    label: str | None = None
    """The verdict as parsed, before it became scores."""
    error: Failure | None = None
    criteria: tuple[CriterionVerdict, ...] = ()
    """Of a rubric: what was said of each criterion."""
    score_range: tuple[float, float] | UnsetType = UNSET
    """Lowest and highest score that could have been given, where the protocol says; rows of before have none."""
    created: float = 0.0

    def check(self) -> None:
        """Scores or an error, never both, never neither; one finite score per response shown.

        Raises:
            ValueError: it is otherwise.
        """
        scores, error, shown = self.scores, self.error, len(self.shown)
        if scores is not None and error is None and len(scores) == len(self.models) == shown and isfinite(sum(scores)):
            return  # what nearly every one of a million is
        if (scores is None) == (error is None):
            raise ValueError(f"{self._name()} must have scores or an error, and not both")
        if len(self.models) != shown:
            raise ValueError(f"{self._name()}: {len(self.models)} models for {shown} responses shown")
        if scores is not None:
            if len(scores) != shown:
                raise ValueError(f"{self._name()}: {len(scores)} scores for {shown} shown")
            if not all(map(isfinite, scores)):
                raise ValueError(f"{self._name()} has a score that is not a finite number: {scores}")

    def _name(self) -> str:
        return f"a judgment on item {self.item!r}"


class Judgment(Judged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one judge said, once, about the responses it was shown, in the order shown."""

    key: str
    """Hash of the judge model, the rendered prompt, what was shown, and the repeat; not of the parser."""
    parser: str
    """Version of the parser that read ``raw``; rows of an older one are read again without a call."""
    raw: str = ""
    thinking: str = ""
    """What the judge thought before it replied, where its server keeps that apart."""
    finish: Finish = "stop"
    logprobs: dict[str, float] | None = None
    """Log-probabilities of the candidates for the verdict token, where they were used."""
    usage: Usage = Usage()
    bound: Usage | None = None
    """What a reply without usage can have taken at the most, for budgets."""
    sampling: dict[str, Any] = {}
    snapshot: str | None = None
    latency: float = 0.0
    cost: float | None = None

    def __post_init__(self) -> None:
        """None is made, or read, that contradicts itself."""
        self.check()

    def _name(self) -> str:
        return f"judgment {self.key}"


def all_sound(rows: Sequence[Judged]) -> bool:
    """Whether ``check`` would pass each of these, which were decoded: JSON has no number that is not finite."""
    return all(
        [
            row.error is not None and len(row.shown) == len(row.models)
            if (scores := row.scores) is None
            else row.error is None and len(row.shown) == len(row.models) == len(scores)
            for row in rows
        ]
    )


class Batch(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="schema",
    tag="evalkit.batch/1",
):
    """Requests sent to a provider as one batch. Appended before it is submitted, after, and when it is done with.

    The latest row counts: without ``batch``, whether the provider has it is not known; without ``finished``, what came
    of it is not all stored.
    """

    key: str
    """Hash of the keys and of how often they were sent before."""
    keys: tuple[str, ...] = ()
    """The judgments asked for, by key; not repeated in the last row."""
    n: int
    """How many they are."""
    provider: str
    created: float
    """Unix time, before submission."""
    usd: float = 0.0
    tokens: int = 0
    """What it may come to at the most; no money where the price is unknown."""
    batch: str | None = None
    """The provider's id of it."""
    finished: float | None = None
    """Unix time."""
    error: Failure | None = None
    """Why it came to nothing as a whole."""
