"""All I/O policy once: pace, budget, time-outs, retries, when to give up, and what it cost.

Generator and judge go through the same client, and the same backend goes through one client however often it takes
part, so an embedded engine is loaded once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from evalkit.core import streams
from evalkit.core.protocols import (
    Backend,
    Caps,
    Completion,
    EvalkitError,
    Malformed,
    Model,
    Rejected,
    ReplySchema,
    Request,
    Transport,
    UsageError,
    placed,
)
from evalkit.core.schema import Usage
from evalkit.core.streams import Stopped
from evalkit.models.budget import Amount, Budget, amount, bound
from evalkit.models.pace import Meter, Pace
from evalkit.models.prices import FREE, Price, PriceTable
from evalkit.models.retry import RetryPolicy

T = TypeVar("T")

FIRST_REPLY = 300
"""Tokens a reply is thought to have before any arrived, where nothing limits it."""

DEAD_AFTER = 2.0
"""Multiples of the time-out without a response, while several requests wait, after which a backend counts as dead."""

MOST_REFUSED = 3
"""Schemas a server refuses, each answered without, before it is sent none any more."""

TOO_MANY = 429
"""The HTTP status that says the provider's limits are reached."""


class Unreachable(EvalkitError):
    """A backend stopped answering; the run ends with everything stored."""


class Answer(Struct, frozen=True):
    """A completion, and what it took to get it."""

    completion: Completion
    latency: float
    """Seconds, retries included."""
    cost: float | None
    """US dollars; None where the price is unknown."""


@dataclass
class Traffic:
    """Running totals of one client, for the progress line and the manifest."""

    asked: int = 0
    answered: int = 0
    retries: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0
    unpriced: int = 0
    """Answers whose price is unknown."""


class Client:
    """One backend, and the policy it is asked under.

    Args:
        backend: who answers.
        name: of the first model that is asked through it, for messages.
        price: of its tokens; None if unknown.
        retry: how often and how patiently a request is asked again.
        stopping: set when no new request is to be sent.
        pace: of the account it belongs to; None where only its own concurrency counts.
        caps: what it may be asked a minute.
        budget: of the experiment.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        name: str,
        price: Price | None,
        retry: RetryPolicy,
        stopping: asyncio.Event,
        pace: Pace | None = None,
        caps: Caps | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.backend = backend
        self.name = name
        self.price = price
        self.pace = pace or Pace(backend.concurrency, stopping, start=backend.concurrency)
        self.budget = budget or Budget(None, None, stopping)
        self.traffic = Traffic()
        self.notes: list[str] = []
        """What a reader of the results should know."""
        self._retry = retry
        self._stopping = stopping
        self._slots = asyncio.Semaphore(backend.concurrency)
        self.caps = caps or Caps()
        self._meter = Meter(self.caps) if self.caps != Caps() else None
        self._tokens = 0.0
        """Mean tokens per answered request."""
        self._no_system = False
        self._most_logprobs: int | None = None
        self._lost_in_a_row = 0
        self._malformed: int | None = 0
        """Malformed replies so far; None: it has answered."""
        self._garbled = ""
        """Why it is asked no more, where all it sends is malformed."""
        self._dead = False
        self._asking = 0
        self._heard_at = 0.0
        """Monotonic time of the last sign of life, or when there was nothing to be heard."""
        self._opened = False
        self._opening = asyncio.Lock()
        self._refused: list[ReplySchema] = []
        self._schemas_refused = 0

    def stopping(self) -> bool:
        """Whether nothing new is to be asked."""
        return self._stopping.is_set()

    async def open(self) -> None:
        """Open the backend: load the model, or connect; once."""
        async with self._opening:
            if not self._opened:
                await self.backend.open()
                self._opened = True

    async def close(self) -> None:
        """Free the backend; asking again opens it again."""
        async with self._opening:
            if self._opened:
                self._opened = False
                await self.backend.close()

    async def ask(self, request: Request) -> Answer:
        """Ask a request until it is answered or has failed for good.

        Raises:
            Transport: every attempt failed.
            Rejected, Malformed: it was answered with that.
            Unreachable: several requests in a row were lost, or it has been silent for too long; nothing more is asked.
            Stopped: the run is stopping, or the budget is used up, and this request was not sent.
        """
        if not self._opened:
            await self.open()
        async with self._slots:
            if self._stopping.is_set():
                raise Stopped
            self.traffic.asked += 1
            start = time.monotonic()
            if not self._asking:
                self._heard_at = start
            self._asking += 1
            try:
                completion = await self._adapted(request.encodable())
            except (Stopped, Unreachable):  # it was not sent
                self.traffic.asked -= 1
                raise
            except Transport as error:
                self._lost_in_a_row += 1
                if self._dead or self._silent or self._lost_in_a_row >= self._retry.give_up_after:
                    self._dead = True
                    raise Unreachable(self._unreachable_message(error)) from error
                raise
            except (Rejected, Malformed) as error:
                self._lost_in_a_row = 0
                if isinstance(error, Malformed):
                    self._count_malformed(error)
                raise
            finally:
                self._asking -= 1
            self._lost_in_a_row, self._malformed = 0, None
            cost = self.price.of(completion.usage) if self.price else None
            self._count(completion.usage, cost)
            return Answer(completion, time.monotonic() - start, cost)

    async def with_retries(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call under the client's retry policy.

        Raises:
            Transport: every attempt failed.
            Stopped: the run is stopping.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Transport),
            stop=self._enough,
            wait=self._retry.wait,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(call)

    def record_batched(self, usage: Usage) -> float | None:
        """Count an answer that came in a batch; returns its cost in US dollars, None where the price is unknown."""
        self.traffic.asked += 1
        cost = self.price.of(usage, batch=True) if self.price else None
        self._count(usage, cost)
        return cost

    async def _adapted(self, request: Request) -> Completion:
        """Ask in the form that this model takes; where it names another one, in that, and from then on."""
        request = _changed(request, no_system=self._no_system, most_logprobs=self._most_logprobs)
        try:
            return await self._formed(request)
        except Rejected as error:
            other = _changed(request, no_system=error.no_system, most_logprobs=error.most_logprobs)
            if other == request:
                raise
        completion = await self._adapted(other)
        if other.messages != request.messages and not self._no_system:
            self._no_system = True
            self.notes.append(
                f"{self.name!r} took no system message: its text was put before the first user message. "
                "system_role=user, beside its sampling, does so from the start"
            )
        most = other.sampling.top_logprobs
        if most != request.sampling.top_logprobs and self._most_logprobs is None:
            self._most_logprobs = most
            self.notes.append(
                f"{self.name!r} gives {most} alternatives for a token at the most: no more were asked for. "
                f"protocol.top_logprobs={most} does so from the start"
            )
        return completion

    async def _formed(self, request: Request) -> Completion:
        """Answer in the form asked for, or in plain text where the server takes no schema: the prompt says it too."""
        if not isinstance(request.reply, ReplySchema):
            return await self._answered(request)
        plain = msgspec.structs.replace(request, reply=UNSET)
        known = self._schemas_refused >= MOST_REFUSED or request.reply in self._refused
        if not known:
            try:
                return await self._answered(request)
            except Rejected as error:
                if error.no_system or error.most_logprobs:
                    raise  # which `_adapted` mends first
                refusal = error
        completion = await self._answered(plain)  # or it is something else that the server does not take
        if not known:
            self._refused.append(request.reply)
            self._schemas_refused += 1
            if self._schemas_refused == 1:
                self.notes.append(
                    f"{self.name!r} takes no JSON schema here and is asked for the same reply in words ({refusal}); "
                    "such rows say reply=text. Another way: structured=tool in the backend's settings, or reply: tag "
                    "in the protocol"
                )
        return msgspec.structs.replace(completion, unformed=True)

    async def _answered(self, request: Request) -> Completion:
        """The first attempt by itself; tenacity, which costs as much as all else here, takes over when it fails."""
        try:
            return await self._attempt(request)
        except Transport as error:
            failed = [error]

        async def attempt() -> Completion:
            if failed:
                raise failed.pop()
            return await self._attempt(request)

        return await self.with_retries(attempt)

    async def _attempt(self, request: Request) -> Completion:
        """Ask once: within the budget, in turn, within the time allowed."""
        if not self.budget.capped:
            return await self._sent(request)
        most = amount(bound(request), self.price)
        await self.budget.reserve(most, unlimited=None if request.sampling.max_tokens else self.name)
        used, lost = Amount(), True
        try:
            completion = await self._sent(request)
            counted = completion.usage != Usage()  # some servers do not say; then it is as much as it can have been
            used, lost = amount(completion.usage, self.price) if counted else most, False
            return completion
        except (Transport, Malformed) as error:
            used = most if isinstance(error, Malformed) or error.perhaps_paid else Amount()
            raise
        except asyncio.CancelledError:
            used = most
            raise
        finally:
            await self.budget.commit(most, used, lost=lost)

    async def _sent(self, request: Request) -> Completion:
        expected = 0.0
        if self._meter is not None:
            expected = self._tokens or bound(request).prompt_tokens / 4 + (request.sampling.room or FIRST_REPLY)
            await self._meter.passed(expected, self.pace.sleep)
        await self.pace.enter()
        sent = time.monotonic()
        try:
            if self._garbled:
                raise Unreachable(self._garbled)
            async with asyncio.timeout(self.backend.timeout):
                completion = await self.backend.complete(request)
        except TimeoutError as error:
            raise Transport(f"no answer within {self.backend.timeout:g} s") from error
        except Transport as error:
            if error.status is not None:
                self._heard_at = time.monotonic()
            if error.status == TOO_MANY:
                self.pace.refused(sent, error.retry_after)
            raise
        finally:
            self.pace.leave()
        self._on_response(completion, expected)
        return completion

    def _on_response(self, completion: Completion, expected: float) -> None:
        """Adapt pace and meter to an answer."""
        self._heard_at = time.monotonic()
        self._dead = False
        self.pace.answered()
        tokens = completion.usage.prompt_tokens + completion.usage.completion_tokens
        self._tokens += (tokens - self._tokens) / min(50, self.traffic.answered + 1)
        if completion.limits:
            self.pace.told(completion.limits, self._tokens)
        if self._meter is not None:
            self._meter.correct(tokens - expected)

    @property
    def _silent(self) -> bool:
        """One request may be what the server hangs at; several are not."""
        return self._asking > 1 and time.monotonic() - self._heard_at >= DEAD_AFTER * self.backend.timeout

    def _enough(self, state: RetryCallState) -> bool:
        """All attempts made; or a few, where nothing ever answered: most likely a wrong address. Or it is silent."""
        if self._dead or self._silent:
            return True
        error = state.outcome.exception() if state.outcome else None
        never = isinstance(error, Transport) and error.unreachable and not self.traffic.answered
        return state.attempt_number >= (min(3, self._retry.attempts) if never else self._retry.attempts)

    async def _sleep(self, seconds: float) -> None:
        """Sleep before a retry, unless the run is stopping: a request that waits for it has not been paid for."""
        self.traffic.retries += 1
        await self.pace.sleep(seconds)

    def _count(self, usage: Usage, cost: float | None) -> None:
        self.traffic.answered += 1
        self.traffic.usage += usage
        if cost is None:
            self.traffic.unpriced += 1
        else:
            self.traffic.cost += cost

    def _count_malformed(self, last: Malformed) -> None:
        """Ask no more where the first replies are all malformed; the last of them is stored like the others."""
        if self._malformed is None:
            return
        self._malformed += 1
        if self._malformed >= self._retry.give_up_malformed:
            self._garbled = (
                f"{self.name!r} is asked no more: all of its first {self._malformed} replies are malformed. Last: "
                f"{last}. Check base_url and the server; then ask_again=malformed asks anew for those too. "
                "retry.give_up_malformed=N changes how many are waited for"
            )

    def _unreachable_message(self, last: Transport) -> str:
        why = f"{self._lost_in_a_row} requests in a row failed on every attempt"
        if self._silent:
            why = f"not a sign of life for {time.monotonic() - self._heard_at:.0f} s"
        return (
            f"{self.name!r} does not answer: {why}. Last: {last}. Everything answered so far is stored; "
            "check the server and run the same command again"
        )


def _changed(request: Request, *, no_system: bool, most_logprobs: int | None) -> Request:
    """A request without a system message, or with fewer alternatives for each token; itself where it is so already."""
    if not no_system and most_logprobs is None:
        return request
    messages, sampling = request.messages, request.sampling
    if no_system:
        messages = placed(messages, "user")
    if most_logprobs is not None and (sampling.top_logprobs or 0) > most_logprobs:
        sampling = msgspec.structs.replace(sampling, top_logprobs=most_logprobs)
    return msgspec.structs.replace(request, messages=messages, sampling=sampling)


class Clients:
    """Every backend that takes part, opened at most once each."""

    def __init__(
        self,
        prices: PriceTable,
        retry: RetryPolicy | None = None,
        *,
        usd: float | None = None,
        tokens: int | None = None,
    ) -> None:
        self.stopping = asyncio.Event()
        """Set to stop: no new request is sent, those under way are finished and stored."""
        self.budget = Budget(usd, tokens, self.stopping)
        self._prices = prices
        self._retry = retry or RetryPolicy()
        self._clients: list[Client] = []
        self._paces: dict[str, Pace] = {}

    def of(self, model: Model) -> Client:
        """The client of a model; models with equal backends share it.

        Raises:
            UsageError: a budget in dollars is set, and nobody knows what the model costs.
        """
        for client in self._clients:
            if client.backend == model.backend and client.caps == model.caps:
                return client
        client = Client(
            model.backend,
            name=model.name,
            price=self._known(model),
            retry=self._retry,
            stopping=self.stopping,
            pace=self._pace(model.backend),
            caps=model.caps,
            budget=self.budget,
        )
        self._clients.append(client)
        return client

    def _known(self, model: Model) -> Price | None:
        price = self.price(model)
        if price is None and self.budget.usd is not None:
            raise UsageError(
                f"budget={self.budget.usd:g} needs the price of {model.name!r}, which conf/prices.yaml does not have: "
                "give prices=FILE with a row for it, price=ROW of a model that costs the same (or price=free) in its "
                "YAML, or cap tokens with budget.tokens=N"
            )
        return price

    def _pace(self, backend: Backend) -> Pace | None:
        """The pace that all backends of an account share."""
        if backend.account is None:
            return None
        if backend.account in self._paces:
            self._paces[backend.account].widen(backend.concurrency)
        else:
            longest = self._retry.longest_wait
            self._paces[backend.account] = Pace(backend.concurrency, self.stopping, longest_pause=longest)
        return self._paces[backend.account]

    @property
    def stopped_by(self) -> Literal["budget", "interrupted"] | None:
        """What made the run stop before its end, if anything did."""
        if not self.stopping.is_set():
            return None
        return "budget" if self.budget.reached else "interrupted"

    @property
    def paces(self) -> list[Pace]:
        """Paces of the accounts that limit what they are asked."""
        return list(self._paces.values())

    def price(self, model: Model) -> Price | None:
        """What the model's tokens cost; None if unknown."""
        if model.price == "free":
            return FREE
        name = model.price or str(model.backend.identity().get("model", ""))
        return self._prices.find(name)

    @property
    def traffic(self) -> list[tuple[str, Traffic]]:
        """The totals of requests, tokens and cost by client."""
        return [(client.name, client.traffic) for client in self._clients]

    def together(
        self, members: Sequence[tuple[Model, AsyncGenerator[T, None]]], *, in_turns: bool
    ) -> AsyncGenerator[T, None]:
        """Items of the streams of several models as they come.

        With ``in_turns``, stream by stream, each model's backend freed before the next one loads.
        """
        if in_turns:
            return streams.in_turns(*(streams.then(stream, self.of(model).close) for model, stream in members))
        return streams.merge(*(stream for _, stream in members))

    @property
    def notes(self) -> list[str]:
        """What a reader of the results should know, of all clients."""
        return [note for client in self._clients for note in client.notes]

    async def close(self) -> None:
        """Free every backend."""
        for client in self._clients:
            await client.close()
