"""The plug-in shapes on one page: Backend, Model, JudgeProtocol, Judge, what passes between them, and the errors.

Errors, by who must act::

    EvalkitError            a message for people; the command line prints it without a traceback
    ├── UsageError          the user's config, files or environment: fix it and run again
    │   └── Misconfigured   raised by a backend: key missing, model unknown, engine not installed
    └── BackendError        one request failed
        ├── Transport       it may succeed if asked again: 429, 5xx, time-out, dropped connection
        ├── Rejected        it never will as it stands: too long, parameter not accepted
        └── Malformed       the server answered something that is not a completion
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from evalkit.core.schema import (
    CriterionVerdict,
    ErrorKind,
    Failure,
    Finish,
    Item,
    Judgment,
    Ref,
    Response,
    Usage,
    digest,
)
from evalkit.core.secrets import scrub

if TYPE_CHECKING:
    from evalkit.evidence.evidence import Evidence
    from evalkit.evidence.findings import Finding
    from evalkit.evidence.metrics import Metric


class EvalkitError(Exception):
    """Base of every error whose message is written for a person. It never shows a key."""

    def __str__(self) -> str:
        return scrub(super().__str__())


class UsageError(EvalkitError):
    """The user's config, files or environment are wrong; the message says what is allowed and what to do."""


class Misconfigured(UsageError):
    """A backend cannot work at all as configured. Stops the run; asking again would not help."""


class BackendError(EvalkitError):
    """A request that failed, with its kind of failure."""

    kind: ClassVar[ErrorKind]

    def failure(self) -> Failure:
        """The failure that a row records of this error."""
        return Failure(self.kind, str(self))


class Transport(BackendError):
    """The request was not answered and may be if asked again.

    Attributes:
        retry_after: seconds the server asked us to wait, where it did.
        unreachable: no connection could be made at all.
        status: the HTTP status the server answered with; None if it did not answer.
    """

    kind = "transport"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        unreachable: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.unreachable = unreachable
        self.status = status

    @property
    def perhaps_paid(self) -> bool:
        """The request was sent, and nobody said that it was not served."""
        return self.status is None and not self.unreachable


class Rejected(BackendError):
    """The backend will never take this request as it stands.

    Attributes:
        no_system: it might without a system message.
        most_logprobs: it might with so many alternatives for each token.
    """

    kind = "rejected"

    def __init__(self, message: str, *, no_system: bool = False, most_logprobs: int | None = None) -> None:
        super().__init__(message)
        self.no_system = no_system
        self.most_logprobs = most_logprobs


class Malformed(BackendError):
    """The server answered, but not with a completion. ``body`` is what it sent."""

    kind = "malformed"

    def __init__(self, message: str, *, body: str) -> None:
        super().__init__(message)
        self.body = scrub(body)

    def failure(self) -> Failure:
        """The failure with what the server sent: it may have been paid for, and shows what went wrong."""
        return Failure(self.kind, f"{self}: it sent {self.body[:2000]!r}")


class Caps(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model may be asked a minute at the most."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class Message(Struct, frozen=True):
    """One chat message. A request that ends with an assistant message asks the model to continue it."""

    role: Literal["system", "user", "assistant"]
    content: str


SystemRole = Literal["system", "user"]
"""Where the text of a system message goes: into one, or to the beginning of the first user message."""


def placed(messages: Iterable[Message], where: SystemRole) -> tuple[Message, ...]:
    """Messages with all system text in one place, and none where there is no text."""
    messages = tuple(messages)
    system = [one for one in messages if one.role == "system"]
    if where == "system" and len(system) == 1 and messages[0] is system[0] and system[0].content.strip():
        return messages  # as nearly all are
    text = "\n\n".join(one.content for one in system if one.content.strip())
    rest = tuple([one for one in messages if one.role != "system"])
    if not text:
        return rest
    first = next((place for place, one in enumerate(rest) if one.role == "user"), None)
    if where == "system" or first is None:
        return (Message("system", text), *rest)
    return (*rest[:first], Message("user", f"{text}\n\n{rest[first].content}"), *rest[first + 1 :])


class Sampling(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to draw the text. A field is sent only when set."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    top_logprobs: int | None = None
    """Return this many alternatives for each generated token."""
    effort: str | None = None
    """How hard to think, in the provider's words: minimal, low, medium, high, ..."""
    thinking_tokens: int | None = None
    """Room for thinking, besides ``max_tokens`` for what is written after it."""
    extra: dict[str, Any] = {}
    """Further fields of the backend's own, passed through as they are (reasoning_effort, top_k, ...)."""

    def over(self, other: Sampling) -> Sampling:
        """These fields where set, otherwise those of ``other``."""
        return msgspec.structs.replace(other, **{name: getattr(self, name) for name in self.sent()})

    def without(self, names: tuple[str, ...]) -> Sampling:
        """These settings with the named fields unset."""
        if not names:
            return self
        unset = Sampling()
        return msgspec.structs.replace(self, **{name: getattr(unset, name) for name in names})

    @property
    def room(self) -> int | None:
        """Tokens of thinking and answer together; None where nothing limits them."""
        return None if self.max_tokens is None else self.max_tokens + (self.thinking_tokens or 0)

    def sent(self) -> dict[str, Any]:
        """The fields that are set."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


class ReplySchema(Struct, frozen=True):
    """The JSON object that a reply must be; each backend has it enforced as well as its server can."""

    name: str
    """Letters, digits, ``_`` and ``-``."""
    schema: dict[str, Any]
    """A JSON schema: an object without further properties, all of them required."""
    means: Literal["json", "tool"] = "json"
    """Held to the schema as it writes, or made to call a tool whose arguments these are."""


class Request(Struct, frozen=True):
    """One call of a model."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    reply: ReplySchema | UnsetType = UNSET
    """Unset leaves the encoding, and so every key, of a request for text as it was before there were schemas."""

    def encodable(self) -> Request:
        """The request with U+FFFD for each half of a surrogate pair, which no server and no tokenizer takes."""
        if all(message.content.isascii() or _encodes(message.content) for message in self.messages):
            return self
        messages = tuple(
            Message(message.role, message.content.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
            for message in self.messages
        )
        return Request(messages, self.sampling, self.reply)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class RateLimit(Struct, frozen=True):
    """What a server says is left of one of its limits."""

    of: Literal["requests", "tokens"]
    left: float
    reset: float
    """Seconds until the limit is whole again."""
    limit: float | None = None
    """All of it; where the server does not say, it is taken to come back at once after ``reset``."""

    def wait(self, needed: float) -> float:
        """Seconds until so much is left."""
        if self.left >= needed or self.reset <= 0:
            return 0.0
        if self.limit is None or self.limit <= self.left:
            return self.reset
        return self.reset * min(1.0, (needed - self.left) / (self.limit - self.left))


class Completion(Struct, frozen=True):
    """The answer to one request."""

    text: str
    finish: Finish = "stop"
    usage: Usage = Usage()
    logprobs: tuple[dict[str, float], ...] | None = None
    """For each generated token, log-probability by candidate token text; where asked for and available."""
    model: str | None = None
    """The model id the provider reports."""
    limits: tuple[RateLimit, ...] = ()
    """What the provider says is left of its rate limits; for the client, never stored."""
    thinking: str = ""
    """What the model thought before it answered, where the server keeps that apart; never part of ``text``."""
    unformed: bool = False
    """The server did not take the request's schema, and was asked for text."""
    reason: str | None = None
    """Why it stopped, in the server's words, where those are none that are known."""


PrefixCache = Literal["shared", "slots"]
"""Whether all requests share it, or each of ``concurrency`` slots remembers its last one only."""


class Backend:
    """Where text comes from. One small dataclass per provider; its fields are its YAML.

    A backend needs ``complete`` and ``identity``; everything else has a default. Policy (retry, concurrency, budget,
    recording) lives in client.py, never here. A class that has all these attributes without deriving from this one
    works as well.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a field without a default where this class has a property: a dataclass would take that as default."""
        super().__init_subclass__(**options)
        for name in inspect.get_annotations(cls):
            if name not in cls.__dict__ and isinstance(getattr(cls, name, None), property):
                raise TypeError(
                    f"the field {cls.__name__}.{name} needs a default, or a dataclass would take Backend's property "
                    f"of that name for one: write `{name}: ... = VALUE`"
                )

    @property
    def concurrency(self) -> int:
        """Requests that the backend serves well at once."""
        return 1

    @property
    def timeout(self) -> float:
        """Seconds one request may take."""
        return 600.0

    @property
    def exclusive(self) -> bool:
        """True if it needs its accelerator alone, so that generator and judge take turns."""
        return False

    @property
    def account(self) -> str | None:
        """Whose rate limits its requests count towards: server and key variable; None where there are none."""
        return None

    @property
    def prefix_cache(self) -> PrefixCache | None:
        """Which requests compute the beginning of their prompts once if it is the same; None: not known."""
        return None

    def identity(self) -> Mapping[str, Any]:
        """JSON-like fields that change the text: model id, revision, template. No keys, time-outs, ports.

        One that stands for another backend says so: ``backend`` is the name of that one's class.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it is: write identity()")

    def wire(self) -> Mapping[str, Any]:
        """JSON-like: what decides what is sent, and where to; time-outs and the like are left out."""
        if not dataclasses.is_dataclass(self):
            return {}
        names = [one.name for one in dataclasses.fields(self) if one.init]
        names = [name for name in names if name not in ("concurrency", "timeout")]
        return {name: repr(getattr(self, name)) for name in names}

    async def open(self) -> None:
        """Connect or load. Raises Misconfigured with what to install, set or use instead."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request, or raise Transport, Rejected, Malformed or Misconfigured.

        No message holds half of a surrogate pair: the client replaces those.
        """
        raise NotImplementedError(f"{type(self).__name__} does not answer: write complete()")

    async def close(self) -> None:
        """Free everything, accelerator memory included. Safe to call twice."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as it takes part: a backend, how to sample, and who it is related to."""

    name: str
    backend: Backend
    sampling: Sampling = field(default_factory=Sampling)
    """Wins over what a benchmark asks for."""
    system_prompt: str | None = None
    system_role: SystemRole = "system"
    """``user`` for a model that takes no system message."""
    unsupported: tuple[str, ...] = ()
    """Sampling fields this model's provider rejects; never sent, whatever a benchmark asks for."""
    price: str | None = None
    """Its row in the price table, if that is not the backend's model id."""
    caps: Caps = field(default_factory=Caps)
    """What it may be asked a minute."""
    family: str | None = None
    trained_on: tuple[str, ...] = ()
    """Families whose outputs it was trained on."""
    thinking_marks: tuple[tuple[str, str], ...] = ()
    """Begin and end of its thinking, where it writes other ones than ``evalkit.core.thinking.MARKS``."""

    def identity(self) -> dict[str, Any]:
        """Every setting of the model that changes what it says."""
        return {
            "backend": type(self.backend).__name__,
            **self.backend.identity(),
            "sampling": self.sampling.without(self.unsupported).sent(),
            "unsupported": sorted(self.unsupported),
            "system_prompt": self.system_prompt,
            **({"thinking_marks": self.thinking_marks} if self.thinking_marks else {}),
            **({"system_role": self.system_role} if self.system_role != "system" else {}),
        }

    def prompt(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """Messages as this model takes them, its own system prompt before any other."""
        own = (Message("system", self.system_prompt),) if self.system_prompt else ()
        return placed((*own, *messages), self.system_role)

    @cached_property
    def wire(self) -> str:
        """A digest of what decides what is sent and where to, beside who the model is.

        A request that was rejected is asked again when this changed.
        """
        wire = getattr(self.backend, "wire", None)  # one that does not derive from ours may lack it
        return digest(self.identity(), wire() if wire else None)


@dataclass(frozen=True)
class Case:
    """One thing to judge: an item's turn, and the responses in the order the judge is to see them."""

    item: Item
    turn: int
    shown: tuple[Response, ...]
    repeat: int = 0
    criterion: str | None = None
    """The one criterion of a rubric that this call is about; None: all there are."""

    @property
    def shown_ids(self) -> tuple[str, ...]:
        """Identity of each text shown."""
        return tuple([response.id for response in self.shown])

    def answers(self) -> tuple[str, ...]:
        """The judged turn's answer of each response, in the order shown."""
        return tuple([response.turns[self.turn - 1] for response in self.shown])


class Verdict(Struct, frozen=True):
    """A parsed judgment: one score per response shown, and the label it was read from."""

    scores: tuple[float, ...]
    label: str
    criteria: tuple[CriterionVerdict, ...] = ()
    """Of a rubric."""


class ReplyExample(Struct, frozen=True):
    """A reply, and what a protocol reads from it: the contract tests hold every protocol to its own examples."""

    completion: Completion
    reads: Verdict | ErrorKind


class JudgeProtocol:
    """How to ask a judge and how to read its reply: prompt in, scores out, no I/O.

    A protocol needs ``name``, ``parser``, ``identity``, ``request``, ``parse``, ``examples``. It shows answers between
    marks of ``judges.marking``, unless the prompt is published. A class that has all this without deriving from this
    one works as well.
    """

    published: ClassVar[bool] = False
    """Prompt and reader are somebody else's, to the letter: neither marks what it shows nor minds how a reply ended."""

    @property
    def name(self) -> str:
        """Names the judgments file; ``single``, ``fastchat_single``, ``pairwise``, ..."""
        raise NotImplementedError(f"{type(self).__name__} has no name")

    @property
    def shows(self) -> int:
        """How many responses the judge sees at once."""
        return 1

    @property
    def identical_is_tie(self) -> bool:
        """Whether a published rule calls two equal answers a tie without asking (AlpacaEval)."""
        return False

    @property
    def parser(self) -> str:
        """Version of ``parse``; raise it when ``parse`` reads the same text differently."""
        raise NotImplementedError(f"{type(self).__name__} does not say which version its parser has")

    def identity(self) -> Mapping[str, Any]:
        """Prompt texts and scoring mode: what changes the question put to the judge."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it asks: write identity()")

    def request(self, case: Case) -> Request:
        """The prompt. Its sampling fields win over the judge model's."""
        raise NotImplementedError(f"{type(self).__name__} does not ask: write request()")

    def parse(self, completion: Completion, case: Case) -> Verdict | Failure:
        """The verdict, or why there is none."""
        raise NotImplementedError(f"{type(self).__name__} does not read: write parse()")

    def score_range(self, item: Item) -> tuple[float, float] | None:
        """Lowest and highest score that an answer to an item can be given; None: not known, or no such ends.

        It is written into every row, and intervals of means stay within it.
        """
        return None

    def parts(self, case: Case) -> tuple[Case, ...]:
        """The calls that a case takes, where it takes several; then ``combine`` makes one verdict of theirs."""
        return ()

    def part_verdict(self, part: Case, row: Judgment) -> CriterionVerdict:
        """What the row of a part says of its criterion."""
        raise NotImplementedError(f"{type(self).__name__} has no parts")

    def combine(self, case: Case, verdicts: Sequence[CriterionVerdict]) -> Verdict | Failure:
        """The verdict that the parts of a case come to."""
        raise NotImplementedError(f"{type(self).__name__} has no parts")

    def for_models(self, models: int) -> JudgeProtocol:
        """The same protocol for so many models; another one where it shows the answers of all at once."""
        return self

    def check_items(self, items: Sequence[Item]) -> None:
        """Raise UsageError, before anything is asked, for items that this protocol cannot judge."""

    def examples(self) -> Iterable[ReplyExample]:
        """Replies that it reads, as asked for and nearly so, and replies that it must refuse."""
        return ()


@dataclass(frozen=True)
class Judge:
    """A model plus a protocol."""

    name: str
    model: Model
    protocol: JudgeProtocol
    references: str = "none"
    """Which reference answers its prompts quote; part of who it is."""
    batch: bool = False
    """Ask through the provider's batch API; no part of who it is."""
    ref: Ref = field(init=False)

    def __post_init__(self) -> None:
        """Fix the fingerprint once; it is written into every row."""
        fingerprint = digest(
            self.model.identity(), self.protocol.name, self.protocol.identity(), self.protocol.parser, self.references
        )
        object.__setattr__(self, "ref", Ref(self.name, fingerprint))


class Bias(Protocol):
    """One way in which a judge may be led astray, looked for in what is stored. A small dataclass in biases/, no I/O.

    Every class in biases/ with this method, and every finding it can make, is part of every audit: its metrics say
    what a finding is called, its unit and heading, and what may not be concluded where an interval excludes the
    unbiased value. So are classes of other packages that are entry points of the group ``evalkit.biases``.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    """Everything its findings may measure."""

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """What is measured, with intervals clustered by question; or, finding by finding, what the data lack."""
        ...
