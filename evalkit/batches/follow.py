"""What becomes of a batch at its provider: watched until it ends, its rows stored once, what is missing asked again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct

from evalkit.batches.api import BatchSettings, BatchState, UnknownBatch
from evalkit.batches.download import Incomplete, complete
from evalkit.batches.ledger import most
from evalkit.batches.submit import Submitter
from evalkit.budget import Amount, amount, unsaid
from evalkit.client import Unreachable
from evalkit.judge import JudgeRunner
from evalkit.protocols import BackendError, Case, Misconfigured, Transport, UsageError
from evalkit.schema import Batch, Failure, Judgment, Usage

TRIES = 3
"""How often one run submits a request whose batch expired, or brought no answer to it."""

FIRST_POLL = 1 / 16
"""The first interval between two looks at a batch, as a share of the longest; each is half as long again."""


PICKED_UP = "the same command picks them up"


class Waiting(Struct, frozen=True):
    """A batch that a provider is at work on."""

    provider: str
    batch: str | None
    """None while it is not known whether the provider has it."""
    n: int
    done: int = 0

    def __str__(self) -> str:
        requests = f"{self.n} request{'s' if self.n != 1 else ''}"
        if self.batch is None:
            return f"{requests} may be with {self.provider}; the same command finds out, and picks them up"
        return f"{requests} {'are' if self.n != 1 else 'is'} with {self.provider} in batch {self.batch}; {PICKED_UP}"


Show = Callable[[str, Waiting | None], None]
"""Told how a batch fares, by the ledger's key; None when it is done with."""


@dataclass
class Pending:
    """A batch, and the cases of this run that wait for it."""

    intent: Batch
    cases: dict[str, list[Case]] = field(default_factory=dict)
    """By key; a case leaves when its judgment is stored."""
    awaited: set[str] | None = None
    """Keys whose cases are yet to come; None if that is not known before all cases have."""
    lost: dict[str, str] = field(default_factory=dict)
    """Why a request was not answered, by key."""
    held: Amount = field(default_factory=Amount)
    """What the budget holds for it."""
    used: Amount = field(default_factory=Amount)
    """What its answers came to."""
    gone: bool = False
    """It turned out that the provider never had it."""

    @property
    def most(self) -> Amount:
        """What it may come to."""
        return most(self.intent)

    def release(self) -> Amount:
        """What the budget held for it, which is to be put somewhere else."""
        held, self.held = self.held, Amount()
        return held


class Outcome(Struct, frozen=True):
    """What a batch left to do."""

    left: bool
    """It is out of the provider's queue; otherwise a later run must look after it."""
    again: tuple[Case, ...] = ()
    """To be submitted once more."""
    crowded: bool = False
    """But only when the provider's queue has room."""


class Follower:
    """Sees the batches of one judge through.

    Args:
        bench: the judge.
        submitter: for a batch whose submission nobody confirmed.
        settings: how often to look, and whether to wait.
        show: told how each batch fares.
        out: where judgments go once they are stored.
        sleep: waits; raises Stopped when the run is to end.
    """

    def __init__(
        self,
        bench: JudgeRunner,
        submitter: Submitter,
        settings: BatchSettings,
        show: Show,
        out: asyncio.Queue[Judgment | None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._bench, self._client = bench, bench.client
        self._submitter, self._api, self._ledger = submitter, submitter.api, submitter.ledger
        self._settings, self._show, self._out, self._sleep = settings, show, out, sleep
        self._under_way = 0
        self._tries: Counter[str] = Counter()
        self._trouble: UsageError | None = None
        """What a row said that stops the run once its batch is stored."""

    async def follow(self, pending: Pending) -> Outcome:
        """Until the batch is done with, or the run need not wait for it.

        Raises:
            UsageError: the provider refused it, or does not know it.
            Unreachable: the provider does not answer.
            Stopped: the run is to end.
        """
        self._under_way += 1
        try:
            return await self._followed(pending)
        finally:
            self._under_way -= 1

    async def _followed(self, pending: Pending) -> Outcome:
        interval = self._settings.poll * FIRST_POLL
        while True:
            self._tell(pending)
            if pending.intent.batch is not None or await self._resolved(pending):
                state = await self._looked(pending)
                self._tell(pending, state.done)
                if state.error is not None:
                    return await self._refused(pending, state)
                if state.ended:
                    return await self._collected(pending, state.done)
            elif pending.gone:
                return Outcome(True, await self._released(pending))
            if not self._settings.wait:
                return Outcome(False)
            await self._sleep(interval)
            interval = min(interval * 1.5, self._settings.poll)

    async def _resolved(self, pending: Pending) -> bool:
        """Whether a batch that no id is noted for is at the provider after all; ``gone`` if it is not."""
        await self._sleep(self._submitter.settling)  # whoever submitted it may have died just now
        async with self._ledger.lock(self._sleep):
            intent = self._ledger.get(pending.intent.key)  # another process may know by now
            if intent is not None and intent.batch is None:
                with self._known(intent):
                    batch, undecided = await self._client.insist(partial(self._submitter.find, intent))
                if batch is not None:
                    intent = self._ledger.submitted(intent, batch)
                elif undecided:
                    return False
                else:
                    self._ledger.finish(intent, Failure("transport", "never reached the provider"))
                    intent = None
        if intent is None:
            pending.gone = True
            return False
        pending.intent = intent
        return True

    async def _looked(self, pending: Pending) -> BatchState:
        assert pending.intent.batch is not None
        with self._known(pending.intent):
            return await self._client.insist(partial(self._api.state, pending.intent.batch))

    @contextmanager
    def _known(self, intent: Batch) -> Iterator[None]:
        file = str(self._ledger.log.path)
        giving_up = f"to give it up and pay for the requests again, delete its lines in {file!r}"
        try:
            yield
        except UnknownBatch as error:
            raise UsageError(
                f"{self._api.provider} does not have batch {intent.batch} with {intent.n} requests: {error}. Use the "
                f"key and server it was submitted with; {giving_up}"
            ) from error
        except Transport as error:
            unreadable = isinstance(error, Incomplete)
            raise Unreachable(
                f"{self._api.provider} does not answer: {error}. What it was sent is noted, and everything it answered "
                f"is stored; run the same command again to go on{f', or {giving_up}' if unreadable else ''}"
            ) from error

    async def _refused(self, pending: Pending, state: BatchState) -> Outcome:
        """None of it was processed. Where the provider's queue was full, there will be room again."""
        async with self._ledger.lock(self._sleep):
            if self._ledger.get(pending.intent.key) is not None:
                self._ledger.finish(pending.intent, Failure("rejected", str(state.error)))
        alone = self._under_way == 1
        if alone:
            self._tries.update(list(pending.cases))  # of a mapping it would take the values
        if not state.busy or any(self._tries[key] >= TRIES for key in pending.cases):
            hint = "; make batches smaller with batch.requests=N" if state.busy else ""
            await self._released(pending)
            raise UsageError(f"{self._api.provider} did not process batch {pending.intent.batch}: {state.error}{hint}")
        again = await self._released(pending)
        if alone:
            await self._sleep(self._settings.poll)
        return Outcome(alone, again, crowded=True)

    # Collecting.

    async def _collected(self, pending: Pending, done: int) -> Outcome:
        """Store and hand out what a batch brought, once; what was not done is asked again, or given up."""
        mine = dict.fromkeys(pending.cases)
        async with self._ledger.lock(self._sleep):
            self._bench.log.refresh()
            if self._ledger.get(pending.intent.key) is not None:  # else another process has stored it all
                with self._known(pending.intent):
                    await self._client.insist(partial(self._download, pending, done))
            for key in mine:  # the others came too late for this reading of it
                if key in pending.cases:
                    await self._missing(key, pending)
            self._bench.log.sync()
            here = (key in mine or self._bench.log.entry(key) is not None for key in pending.intent.keys)
            if self._ledger.get(pending.intent.key) is not None and all(here):
                self._ledger.finish(pending.intent)
        late = {key: pending.cases.pop(key) for key in list(pending.cases) if key not in mine}
        again = await self._released(pending)
        pending.cases |= late
        if self._trouble is not None:
            raise self._trouble
        return Outcome(True, again)

    async def _download(self, pending: Pending, done: int) -> None:
        """Store rows as they arrive; of several for one request the first answer counts, others' are none of ours."""
        assert pending.intent.batch is not None
        async with aclosing(complete(self._api, pending.intent.batch, done)) as rows:
            async for key, line in rows:
                if key in pending.cases:
                    await self._read(key, line, pending)

    async def _read(self, key: str, line: bytes, pending: Pending) -> None:
        case = pending.cases[key][0]
        request = self._bench.request(case)
        row = self._bench.known_without_asking(key, case, request)
        if row is None:
            try:
                said = self._api.completion(line, request)
            except Transport as error:
                pending.lost[key] = str(error)
                return
            except Misconfigured as error:  # the user must act; then the request is asked again
                self._trouble, pending.lost[key] = error, str(error)
                return
            except BackendError as error:
                row = self._bench.record(key, case, request, error)
            else:
                pending.used += spent(self._bench, unsaid(said.usage, request) or said.usage)
                row = self._bench.record(key, case, request, said, cost=self._client.bought(said.usage))
        await self._hand_out(row, pending.cases.pop(key))

    async def _missing(self, key: str, pending: Pending) -> None:
        """A request that was not answered: once more, unless that was tried often enough."""
        case = pending.cases[key][0]
        request = self._bench.request(case)
        row = self._bench.known_without_asking(key, case, request)
        if row is None:
            self._tries[key] += 1
            if self._tries[key] < TRIES or self._trouble is not None:
                return
            why = pending.lost.get(key, f"batch {pending.intent.batch} has no row for it")
            row = self._bench.record(key, case, request, Transport(why))
        await self._hand_out(row, pending.cases.pop(key))

    async def _hand_out(self, row: Judgment, cases: list[Case]) -> None:
        await self._out.put(row)
        for twin in cases[1:]:
            request = self._bench.request(twin)
            await self._out.put(self._bench.known_without_asking(row.key, twin, request) or row)

    async def _released(self, pending: Pending) -> tuple[Case, ...]:
        """The batch is over; the cases that still wait are returned."""
        again = tuple(case for cases in pending.cases.values() for case in cases)
        pending.cases.clear()
        self._show(pending.intent.key, None)
        if self._client.budget.capped:
            used, pending.used = pending.used, Amount()
            await self._client.budget.settle(pending.release(), used)
        return again

    def _tell(self, pending: Pending, done: int = 0) -> None:
        intent = pending.intent
        self._show(intent.key, Waiting(intent.provider, intent.batch, intent.n, done))


def spent(bench: JudgeRunner, usage: Usage) -> Amount:
    """What these tokens come to in a batch."""
    price = bench.client.price
    return amount(usage, price, share=price.batch if price else 1.0)
