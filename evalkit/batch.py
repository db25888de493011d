"""Judging through a provider's batch API, at half the price: within a day rather than within a minute.

Cases go in as they come; full chunks are submitted at once, and all that is submitted is watched together. Every step
is in the ledger before it is relied upon, so that killing a run at any moment costs nothing: the next one finds each
batch again, also one that the provider had taken and nobody had noted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from dataclasses import dataclass, field

from evalkit.batches.api import BatchBackend, Batches, BatchSettings, batch_backend
from evalkit.batches.follow import Follower, Outcome, Pending, Show, spent
from evalkit.batches.ledger import Ledger
from evalkit.batches.submit import SETTLING, Submitter
from evalkit.budget import Amount, bound
from evalkit.claims import LONGEST_WAIT
from evalkit.judge import JudgeRunner
from evalkit.protocols import Case, Rejected
from evalkit.schema import Batch, Judgment
from evalkit.store import Log
from evalkit.streams import BUFFER, Stopped

CHUNK_BYTES = 32_000_000
"""Bytes of requests held in memory before they are submitted, where the provider would take more."""

ENVELOPE = 100
"""Bytes that a request's own line does not count."""

_NAP = 0.2
"""Seconds after which a wait notices that the run is to end."""


@dataclass
class Chunk:
    """Requests that are not submitted yet."""

    cases: dict[str, list[Case]] = field(default_factory=dict)
    lines: dict[str, bytes] = field(default_factory=dict)
    size: int = 0
    most: Amount = field(default_factory=Amount)


def batched(
    work: AsyncIterable[Case],
    bench: JudgeRunner,
    log: Log[Batch],
    settings: BatchSettings,
    show: Show,
    *,
    known: Iterable[Case] = (),
) -> AsyncGenerator[Judgment, None]:
    """The judge's verdicts on cases, each stored before it is yielded.

    What earlier runs have submitted counts against the budget from this call on, before the first case is read.

    Args:
        work: the cases; read as fast as they come.
        bench: the judge at work. Its backend must have a batch API.
        log: what was submitted so far.
        settings: how to submit and wait.
        show: told of every batch under way.
        known: the cases among ``work`` that will come without anything being asked; those that an earlier run has
            submitted are among them.

    Raises:
        UsageError: the backend has no batch API, or the provider refused a batch.
        Unreachable: the provider does not answer; what it has taken is picked up by the next run.
    """
    backend = batch_backend(bench.judge.name, bench.client.backend)
    ledger = Ledger(log)
    under_way = _under_way(bench, ledger.open, known)
    for pending in under_way:
        bench.client.budget.carry(pending.held)
    return _batched(work, bench, backend, ledger, under_way, settings, show)


def _under_way(bench: JudgeRunner, intents: Sequence[Batch], known: Iterable[Case]) -> list[Pending]:
    """What is with the provider, with the cases of this run that wait for it."""
    found = [Pending(intent) for intent in intents]
    holder = {key: pending for pending in found for key in pending.intent.keys}
    for case in known if found else ():
        key = bench.key(case, bench.request(case))
        if (pending := holder.get(key)) is not None and not bench.has(key):
            pending.held, pending.awaited = pending.most, pending.awaited or set()
            pending.awaited.add(key)
    return found


async def _batched(
    work: AsyncIterable[Case],
    bench: JudgeRunner,
    backend: BatchBackend,
    ledger: Ledger,
    under_way: Sequence[Pending],
    settings: BatchSettings,
    show: Show,
) -> AsyncGenerator[Judgment, None]:
    for pending in under_way:
        bench.client.budget.take_up(pending.held)
    await bench.client.open()
    desk = _Desk(bench, backend.batches(), ledger, under_way, settings, show)
    crew = asyncio.create_task(desk.run(work))
    try:
        while (row := await desk.out.get()) is not None:
            yield row
        await crew
    finally:
        desk.halted = True
        while not crew.done():  # a submission under way is finished and written down; nobody reads the rows any more
            while not desk.out.empty():
                desk.out.get_nowait()
            await asyncio.wait({crew}, timeout=_NAP)
        await asyncio.gather(crew, return_exceptions=True)


class _Desk:
    """Takes cases in, sends them off in chunks, and has what was sent followed."""

    def __init__(
        self,
        bench: JudgeRunner,
        api: Batches,
        ledger: Ledger,
        under_way: Sequence[Pending],
        settings: BatchSettings,
        show: Show,
    ) -> None:
        self.out: asyncio.Queue[Judgment | None] = asyncio.Queue(BUFFER)
        self.halted = False
        self._bench, self._budget = bench, bench.client.budget
        self._api, self._ledger, self._settings = api, ledger, settings
        self._submitter = Submitter(api, bench.client, ledger, self._sleep, min(SETTLING, 10 * settings.poll))
        self._follower = Follower(bench, self._submitter, settings, show, self.out, self._sleep)
        self._followed: dict[asyncio.Task[Outcome], Pending] = {}
        self._chunk = Chunk()
        self._pending: dict[str, Pending] = {}
        """Batches by the ledger's key."""
        self._holder: dict[str, Pending] = {}
        """Which batch a request is in, by its key."""
        self._again: list[Case] = []
        """Cases to be submitted once more."""
        self._crowded: list[Case] = []
        """The same, when there is room in the provider's queue, or in the budget."""
        self._claimed: list[Case] = []
        """Cases that another process is asking live just now."""
        self._all_came = False
        for pending in under_way:
            self._hold(pending)

    async def run(self, work: AsyncIterable[Case]) -> None:
        """Everything, until each case has its judgment or must be left to a later run."""
        try:
            async for case in work:
                await self._take(case)
                await self._sleep(0)
                await self._reap()
            self._all_came = True
            await self._reap()  # an error rather than what it led to
            await self._free(self._pending.values())
            await self._send()
            await self._tidy()
            self._attend()
            while self._followed or self._claimed or self._crowded:
                if self._followed:
                    most = LONGEST_WAIT if self._claimed else None
                    await asyncio.wait(self._followed, return_when=asyncio.FIRST_COMPLETED, timeout=most)
                elif self._claimed:
                    await self._sleep(LONGEST_WAIT)
                await self._reap()
                if not self._followed:
                    self._again, self._crowded = [*self._again, *self._crowded], []
                again, self._again, self._claimed = [*self._again, *self._claimed], [], []
                for case in again:
                    await self._take(case)
                await self._send()
                self._attend()
        except Stopped:
            pass
        finally:
            self.halted = True
            if isinstance(work, AsyncGenerator):
                await work.aclose()
            await asyncio.gather(*self._followed, return_exceptions=True)
            await self._let_go(self._pending.values())
            await self.out.put(None)

    async def _take(self, case: Case) -> None:
        """One case: its judgment if there is one, else into the batch that has it already, else into a chunk."""
        request = self._bench.request(case)
        key = self._bench.key(case, request)
        pending = self._holder.get(key)
        if pending is not None and pending.awaited is not None:
            pending.awaited.discard(key)
        if row := self._bench.known_without_asking(key, case, request):
            await self.out.put(row)
        elif pending is not None:
            pending.cases.setdefault(key, []).append(case)
        elif key in self._chunk.cases:
            self._chunk.cases[key].append(case)
        else:
            line = self._api.line(key, request)
            size = self._api.max_bytes - ENVELOPE
            if len(line) > size:
                error = Rejected(f"the request has {len(line):,} bytes, a batch takes {self._api.max_bytes:,}")
                await self.out.put(self._bench.record(key, case, request, error))
                return
            most = min(self._settings.requests, self._api.max_requests)
            if len(self._chunk.cases) >= most or self._chunk.size + len(line) > min(CHUNK_BYTES, size):
                await self._send()
            self._chunk.cases[key], self._chunk.lines[key] = [case], line
            self._chunk.size += len(line) + 1
            self._chunk.most += spent(self._bench, bound(request))
        if pending is not None and pending.awaited == set():
            await self._free([pending])
            self._attend()

    async def _send(self) -> None:
        """Submit what has come together, and have it followed."""
        chunk, self._chunk = self._chunk, Chunk()
        if not chunk.cases:
            return
        if self._budget.capped:
            waited_for = any(one.cases or one.held != Amount() for one in self._pending.values())
            if waited_for and not self._budget.has_room(chunk.most):
                self._crowded += [case for cases in chunk.cases.values() for case in cases]
                return  # what is under way may come to less than it could
            await self._budget.hold(chunk.most)
        sent: Pending | None = None
        try:
            async with self._ledger.lock(self._sleep):
                self._adopt(self._ledger.open)
                with self._bench.log.claim_free(key for key in chunk.lines if key not in self._holder) as claimed:
                    self._bench.log.refresh()
                    unasked = [key for key in chunk.lines if key not in self._holder and not self._bench.has(key)]
                    free = [key for key in unasked if key in claimed]
                    self._claimed += [case for key in unasked if key not in claimed for case in chunk.cases.pop(key)]
                    if free:
                        intent = await self._submitter.submit(free, [chunk.lines[key] for key in free], chunk.most)
                        sent = Pending(intent, {key: chunk.cases.pop(key) for key in free}, held=chunk.most)
                        self._hold(sent)
        finally:
            if self._budget.capped and sent is None:
                await self._budget.settle(chunk.most, Amount())
        if sent is not None:
            self._follow(sent)
        for cases in chunk.cases.values():  # another process has asked for these meanwhile, or stored them
            for case in cases:
                await self._take(case)

    def _adopt(self, intents: Iterable[Batch]) -> None:
        """Make what others submitted known; of several batches that hold one request, the latest counts."""
        for intent in intents:
            if intent.key not in self._pending:
                self._hold(Pending(intent))

    def _hold(self, pending: Pending) -> None:
        self._pending[pending.intent.key] = pending
        self._holder |= dict.fromkeys(pending.intent.keys, pending)

    async def _tidy(self) -> None:
        """Done with are also the batches of a run that died after it had stored the last row, before it noted that."""
        over = [key for key, pending in self._pending.items() if not pending.cases and self._stored(pending.intent)]
        if over:
            async with self._ledger.lock(self._sleep):
                for intent in filter(None, map(self._ledger.get, over)):
                    self._ledger.finish(intent)

    def _left(self, pending: Pending, key: str) -> bool:
        return self._ledger.get(pending.intent.key) is not None and not self._bench.has(key)

    def _stored(self, intent: Batch) -> bool:
        return self._ledger.get(intent.key) is not None and all(map(self._bench.has, intent.keys))

    def _attend(self) -> None:
        """Have every batch followed that cases of this run wait for, once all of these have come."""
        followed = {id(pending) for pending in self._followed.values()}
        for pending in list(self._pending.values()):
            complete = self._all_came or pending.awaited == set()
            if pending.cases and complete and id(pending) not in followed:
                self._follow(pending)

    def _follow(self, pending: Pending) -> None:
        self._followed[asyncio.create_task(self._outcome(pending))] = pending

    async def _outcome(self, pending: Pending) -> Outcome:
        """What becomes of a batch. Held no longer as soon as that is known: the cases to come may wait for it."""
        try:
            return await self._follower.follow(pending)
        finally:
            await self._let_go([pending])

    async def _reap(self) -> None:
        """Take back what ended batches left to do. Raises what went wrong with one."""
        for task in [task for task in self._followed if task.done()]:
            pending, outcome = self._followed.pop(task), task.result()
            if not outcome.left and not outcome.crowded:  # a later run's: keep out of it
                pending.cases.clear()
                continue
            again = {self._bench.key(case, self._bench.request(case)) for case in outcome.again}
            for key in pending.intent.keys:  # one that is still open may hold answers to cases that are yet to come
                if self._holder.get(key) is pending and (key in again or not self._left(pending, key)):
                    del self._holder[key]
            late = [case for cases in pending.cases.values() for case in cases]  # they came while it was being stored
            pending.cases.clear()
            self._again += late
            (self._crowded if outcome.crowded else self._again).extend(outcome.again)
            if outcome.left:
                self._again, self._crowded = [*self._again, *self._crowded], []

    async def _free(self, batches: Iterable[Pending]) -> None:
        """All their cases have come; what none of them waits for any more, another run has stored."""
        followed = {id(pending) for pending in self._followed.values()}
        for one in batches:
            if not one.cases and one.held != Amount() and id(one) not in followed:
                await self._budget.settle(one.release(), Amount())

    async def _let_go(self, batches: Iterable[Pending]) -> None:
        """Wait no longer for what batches come to that are left to a later run."""
        for one in batches:
            if one.held != Amount():
                await self._budget.put_back(one.release())

    async def _sleep(self, seconds: float) -> None:
        """Wait. Raises Stopped as soon as the run is to end."""
        end = time.monotonic() + seconds
        while True:
            if self.halted or self._bench.client.stopping():
                raise Stopped
            left = end - time.monotonic()
            await asyncio.sleep(max(0.0, min(left, _NAP)))
            if left <= _NAP:
                return
