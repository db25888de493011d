"""Judges through a provider's batch API, at half the price: within a day rather than within a minute.

One loop, over what is on disk: cases without a judgment that are in no open batch are submitted as far as the
provider's queue and the budget allow, the open batches they are in are polled, and what has ended is collected. Every
step is in the ledger before it is relied upon, so that killing a run at any moment costs nothing: the next one finds
each batch again, also one that the provider had taken and nobody had noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct

from evalkit.core.batch_api import BatchBackend, BatchSettings, BatchState, UnknownBatch, batch_backend
from evalkit.core.protocols import BackendError, Case, Misconfigured, Rejected, Request, Transport, UsageError
from evalkit.core.schema import Batch, Failure, Judgment, Usage
from evalkit.core.streams import BUFFER, Stopped
from evalkit.engine.batches.download import Incomplete, complete
from evalkit.engine.batches.ledger import Ledger, most
from evalkit.engine.batches.submit import SETTLING, Submitter
from evalkit.engine.judge import JudgeRunner
from evalkit.models.budget import Amount, amount, bound, usage_bound_if_unreported
from evalkit.models.client import Unreachable
from evalkit.storage.claims import LONGEST_WAIT
from evalkit.storage.store import Log

CHUNK_BYTES = 32_000_000
"""Bytes of requests that are submitted in one batch, where the provider would take more."""

ENVELOPE = 100
"""Bytes of a batch that the lines of its requests do not count."""

TRIES = 3
"""How often one run submits a request whose batch expired, or brought no answer to it."""

FIRST_POLL = 1 / 16
"""The first interval between two polls of a batch, as a share of the longest; each is half as long again."""

_NAP = 0.2
"""Seconds after which a wait notices that the run is to end."""


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
        verb = "are" if self.n != 1 else "is"
        return f"{requests} {verb} with {self.provider} in batch {self.batch}; the same command picks them up"


Show = Callable[[str, Waiting | None], None]
"""Told how a batch fares, by the ledger's key; None when it is done with."""


@dataclass
class OpenBatch:
    """What a run knows of an open batch beside the ledger's row."""

    cases: dict[str, list[Case]] = field(default_factory=dict)
    """The cases of this run that wait for it, by the request's key."""
    expected: set[str] | None = None
    """Keys whose cases are yet to come; None if that is not known before all cases have."""
    reserved: Amount = field(default_factory=Amount)
    """What of the budget is reserved for it."""
    interval: float = 0.0
    """Seconds between the last poll and the next."""
    poll_at: float = 0.0
    """Monotonic time of the next poll."""
    left: bool = False
    """A later run collects it."""
    lost: dict[str, Transport | Misconfigured] = field(default_factory=dict)
    """Why a request was not answered, by key."""
    used: Amount = field(default_factory=Amount)
    """What its answers came to."""

    @property
    def under_way(self) -> bool:
        """Whether cases of this run wait for it."""
        return bool(self.cases) and not self.left


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
    earlier: defaultdict[str, OpenBatch] = defaultdict(OpenBatch)
    for case in known if ledger.open else ():
        key = bench.key(case, bench.request(case))
        if (batch := ledger.holder(key)) is not None and not bench.has(key):
            open_batch = earlier[batch.key]
            open_batch.reserved = most(batch)
            open_batch.expected = (open_batch.expected or set()) | {key}
    for open_batch in earlier.values():
        bench.client.budget.add_pending(open_batch.reserved)
    return _batched(work, bench, backend, ledger, earlier, settings, show)


async def _batched(
    work: AsyncIterable[Case],
    bench: JudgeRunner,
    backend: BatchBackend,
    ledger: Ledger,
    earlier: defaultdict[str, OpenBatch],
    settings: BatchSettings,
    show: Show,
) -> AsyncGenerator[Judgment, None]:
    for open_batch in earlier.values():
        bench.client.budget.adopt_pending(open_batch.reserved)
    await bench.client.open()
    scheduler = BatchScheduler(bench, backend, ledger, earlier, settings, show)
    loop = asyncio.create_task(scheduler.run(work))
    try:
        while (row := await scheduler.out.get()) is not None:
            yield row
        await loop
    finally:
        scheduler.halted = True
        while not loop.done():  # a submission under way is finished and written down; nobody reads the rows any more
            while not scheduler.out.empty():
                scheduler.out.get_nowait()
            await asyncio.wait({loop}, timeout=_NAP)
        await asyncio.gather(loop, return_exceptions=True)


class BatchScheduler:
    """The loop: take cases in, submit what is missing, poll what is open, collect what has ended.

    A case without a judgment is in exactly one place: among the unsent, or with the open batch that holds its request.
    Only the loop moves cases, so that none comes while its batch is being read.
    """

    def __init__(
        self,
        bench: JudgeRunner,
        backend: BatchBackend,
        ledger: Ledger,
        batches: defaultdict[str, OpenBatch],
        settings: BatchSettings,
        show: Show,
    ) -> None:
        self.out: asyncio.Queue[Judgment | None] = asyncio.Queue(BUFFER)
        self.halted = False
        self._bench, self._client, self._budget = bench, bench.client, bench.client.budget
        self._api, self._ledger, self._settings, self._show = backend.batches(), ledger, settings, show
        settling = min(SETTLING, 10 * settings.poll)
        self._submitter = Submitter(self._api, bench.client, ledger, self._sleep, settling)
        self._arrived: asyncio.Queue[Case] = asyncio.Queue(BUFFER)
        self._news = asyncio.Event()
        """Set when a case has arrived, or the last one has."""
        self._all_came = False
        self._unsent: dict[str, list[Case]] = {}
        """Cases that are in no open batch, by the request's key."""
        self._sizes: dict[str, int] = {}
        """Bytes of the unsent requests."""
        self._batches = batches
        """By the ledger's key."""
        self._unanswered: dict[str, set[str]] = defaultdict(set)
        """Batches that brought no answer to a request, by the request's key."""
        self._over_quota = False
        """The provider's queue is full: nothing is submitted until one of our batches has left it."""
        self._submit_at = 0.0
        """Monotonic time before which submitting is no use."""

    async def run(self, work: AsyncIterable[Case]) -> None:
        """Loop until each case has its judgment or must be left to a later run."""
        reader = asyncio.create_task(self._read(work))
        reader.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                await self._take_arrived(reader)
                await self._release_unneeded()
                await self._poll()
                await self._submit()
                ahead = [batch.poll_at for batch in self._batches.values() if self._awaited(batch)]
                if self._all_came and not ahead and not self._unsent:
                    break
                ahead.append(max(self._submit_at, time.monotonic() + LONGEST_WAIT))
                await self._sleep(min(ahead) - time.monotonic(), wake=self._news)
        except Stopped:
            pass
        finally:
            self.halted = True
            for batch in self._batches.values():
                await self._release(batch)  # first, as the cases to come may wait for its budget
            while not reader.done():
                while not self._arrived.empty():
                    self._arrived.get_nowait()
                await asyncio.wait({reader}, timeout=_NAP)
            await asyncio.gather(reader, return_exceptions=True)
            await self.out.put(None)

    # Taking cases in.

    async def _read(self, work: AsyncIterable[Case]) -> None:
        try:
            async for case in work:
                await self._arrived.put(case)
                self._news.set()
                if self.halted:
                    break
        finally:
            if isinstance(work, AsyncGenerator):
                await work.aclose()

    async def _take_arrived(self, reader: asyncio.Task[None]) -> None:
        self._news.clear()
        ended = reader.done()
        for _ in range(self._arrived.qsize()):
            await self._take(self._arrived.get_nowait())
        if ended and not self._all_came:
            reader.result()
            self._all_came = True
            await self._close_finished()

    async def _take(self, *cases: Case) -> None:
        """Put cases where they belong: with a judgment, it goes out; else with the batch they are in; else unsent."""
        for case in cases:
            await self._take_one(case)

    async def _take_one(self, case: Case) -> None:
        request = self._bench.request(case)
        key = self._bench.key(case, request)
        holder = self._holder(key)
        if holder is not None and (expected := self._batches[holder.key].expected):
            expected.discard(key)
        if row := self._bench.known_without_asking(key, case, request):
            await self.out.put(row)
        elif holder is not None:
            self._batches[holder.key].cases.setdefault(key, []).append(case)
        elif key in self._unsent:
            self._unsent[key].append(case)
        elif (size := len(self._api.line(key, request)) + 1) > self._api.max_bytes - ENVELOPE:
            error = Rejected(f"the request has {size - 1:,} bytes, a batch takes {self._api.max_bytes:,}")
            await self.out.put(self._bench.record(key, case, request, error))
        else:
            self._unsent[key], self._sizes[key] = [case], size

    def _holder(self, key: str) -> Batch | None:
        """The open batch that may answer a request."""
        batch = self._ledger.holder(key)
        return None if batch is None or batch.key in self._unanswered.get(key, ()) else batch

    async def _close_finished(self) -> None:
        """Finish batches whose rows are all stored: their run died before it noted that."""

        def over(batch: Batch) -> bool:
            return not self._batches[batch.key].cases and all(map(self._bench.has, batch.keys))

        if any(map(over, self._ledger.open)):
            async with self._ledger.lock(self._sleep):
                for batch in filter(over, self._ledger.open):
                    self._ledger.finish(batch)

    # Submitting.

    async def _submit(self) -> None:
        """Submit what is in no batch: full batches at once, the rest when all cases have come."""
        claimed_by_others: dict[str, list[Case]] = {}
        if self._bench.given_up:
            self._unsent.clear()
        while self._unsent and time.monotonic() >= self._submit_at:
            chunk, full = self._chunk()
            under_way = any(batch.under_way for batch in self._batches.values())
            if not (full or self._all_came) or (self._over_quota and under_way):
                break
            requests = {key: self._bench.request(self._unsent[key][0]) for key in chunk}
            cost = sum((self._cost(bound(request)) for request in requests.values()), Amount())
            reserved = any(batch.reserved != Amount() for batch in self._batches.values())
            if (under_way or reserved) and not self._budget.has_room(cost):
                break  # what is under way may come to less than it could
            unlimited = any(not request.sampling.max_tokens for request in requests.values())
            await self._budget.reserve(cost, unlimited=self._client.name if unlimited else None)
            claimed_by_others |= await self._send(requests, cost)
        if claimed_by_others:
            self._unsent |= claimed_by_others
            self._submit_at = time.monotonic() + LONGEST_WAIT

    async def _send(self, requests: dict[str, Request], cost: Amount) -> dict[str, list[Case]]:
        """Submit one batch, for which ``cost`` is reserved. Returns the cases that others are asking just now."""
        claimed_by_others: dict[str, list[Case]] = {}
        cases = {key: self._unsent.pop(key) for key in requests}
        sent: Batch | None = None
        try:
            async with self._ledger.lock(self._sleep):
                with self._bench.log.claim_free(requests) as claimed:
                    self._bench.log.refresh()
                    for key in requests:
                        if self._bench.has(key) or self._holder(key) is not None:  # another process was faster
                            await self._take(*cases.pop(key))
                        elif key not in claimed:
                            claimed_by_others[key] = cases.pop(key)
                    if cases:
                        lines = [self._api.line(key, requests[key]) for key in cases]
                        sent = await self._submitter.submit(list(cases), lines, cost)
        finally:
            if sent is None:
                await self._budget.commit(cost, Amount())
        if sent is not None:
            self._batches[sent.key] = OpenBatch(cases, expected=set(), reserved=cost)
            self._tell(sent)
        return claimed_by_others

    def _chunk(self) -> tuple[list[str], bool]:
        """Keys of unsent requests that make a batch, and whether no more would fit in."""
        most_requests = min(self._settings.requests, self._api.max_requests)
        most_bytes = min(CHUNK_BYTES, self._api.max_bytes - ENVELOPE)
        chunk: list[str] = []
        size = 0
        for key in self._unsent:
            size += self._sizes[key]
            if chunk and size > most_bytes:
                return chunk, True
            chunk.append(key)
            if len(chunk) >= most_requests:
                return chunk, True
        return chunk, False

    def _cost(self, usage: Usage) -> Amount:
        price = self._client.price
        return amount(usage, price, share=price.batch if price else 1.0)

    # Polling.

    def _awaited(self, batch: OpenBatch) -> bool:
        """Whether this run waits for a batch: cases of its own are in it, and all of these have come."""
        return batch.under_way and (self._all_came or batch.expected == set())

    def _tell(self, batch: Batch, done: int = 0) -> None:
        self._show(batch.key, Waiting(batch.provider, batch.batch, batch.n, done))

    async def _poll(self) -> None:
        """Ask for the state of every batch that is due, all at once; then deal with them one after the other.

        Raises:
            UsageError: the provider refused one, or does not know it; the others have been dealt with.
            Unreachable: the provider does not answer.
            Stopped: the run is to end.
        """
        now = time.monotonic()
        due = [key for key, batch in self._batches.items() if self._awaited(batch) and batch.poll_at <= now]
        states = await asyncio.gather(*map(self._state, due), return_exceptions=True)
        errors = [state for state in states if isinstance(state, BaseException)]
        for key, state in zip(due, states, strict=True):
            batch = self._ledger.get(key)
            try:
                if isinstance(state, BaseException):
                    continue
                if batch is None:  # another process has finished it, or the provider never had it
                    await self._retry(key)
                elif state.error is not None:
                    await self._refused(batch, state)
                elif state.ended:
                    await self._collect_finished(batch, state.done)
                else:
                    await self._wait_on(batch, state.done)
            except UsageError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    async def _state(self, key: str) -> BatchState:
        """How far a batch is. One without an id may turn out to have one, or to have never reached the provider."""
        batch, pending = self._ledger.get(key), BatchState(ended=False, done=0)
        if batch is None:
            return pending
        if not self._batches[key].interval:
            self._tell(batch)
            if batch.batch is None:  # whoever submitted it may have died just now: the provider needs time to show it
                return pending
        if batch.batch is None:
            async with self._ledger.lock(self._sleep):
                batch = self._ledger.get(key)  # another process may know by now
                if batch is not None and batch.batch is None:
                    batch = await self._find(batch)
            if batch is None or batch.batch is None:
                return pending
        with self._errors(batch):
            return await self._client.with_retries(partial(self._api.state, batch.batch))

    async def _find(self, batch: Batch) -> Batch | None:
        """Ask the provider for a batch without an id: with its id if it is there, None if it is not."""
        with self._errors(batch):
            name, undecided = await self._client.with_retries(partial(self._submitter.find, batch))
        if name is not None:
            return self._ledger.submitted(batch, name)
        if not undecided:
            self._ledger.finish(batch, Failure("transport", "never reached the provider"))
            return None
        return batch

    async def _wait_on(self, batch: Batch, done: int) -> None:
        """Plan the next poll of a batch, or leave it to a later run if that is wished."""
        self._tell(batch, done)
        open_batch, longest = self._batches[batch.key], self._settings.poll
        looked_for = batch.batch is not None or open_batch.interval > 0
        open_batch.interval = min(1.5 * open_batch.interval or FIRST_POLL * longest, longest)
        wait = open_batch.interval if batch.batch else max(open_batch.interval, self._submitter.settling)
        open_batch.poll_at = time.monotonic() + wait
        if looked_for and not self._settings.wait:
            await self._release(open_batch)

    async def _refused(self, batch: Batch, state: BatchState) -> None:
        """Put back a batch that was not processed: where the provider's queue was full, there will be room again."""
        async with self._ledger.lock(self._sleep):
            if self._ledger.get(batch.key) is not None:
                self._ledger.finish(batch, Failure("rejected", str(state.error)))
        cases = self._batches[batch.key].cases
        if not any(other.under_way for key, other in self._batches.items() if key != batch.key):
            self._submit_at = time.monotonic() + self._settings.poll  # nothing of ours is in that queue
            for key in cases:
                self._unanswered[key].add(batch.key)
        given_up = any(len(self._unanswered.get(key, ())) >= TRIES for key in cases)
        await self._retry(batch.key)
        if not state.busy or given_up:
            hint = "; make batches smaller with batch.requests=N" if state.busy else ""
            raise UsageError(f"{self._api.provider} did not process batch {batch.batch}: {state.error}{hint}")
        self._over_quota = True

    async def _release(self, batch: OpenBatch) -> None:
        """Leave a batch to a later run: whoever waits for the budget it may need is told."""
        reserved, batch.reserved, batch.left = batch.reserved, Amount(), True
        if reserved != Amount():
            await self._budget.release(reserved)

    async def _release_unneeded(self) -> None:
        """Free what is reserved for batches that no case waits for any more: another run has stored their rows."""
        for batch in self._batches.values():
            if batch.reserved != Amount() and not batch.cases and (self._all_came or batch.expected == set()):
                reserved, batch.reserved = batch.reserved, Amount()
                await self._budget.commit(reserved, Amount())

    # Collecting.

    async def _collect_finished(self, batch: Batch, done: int) -> None:
        """Store and hand out what a batch brought, once; what was not answered is asked again, or given up."""
        open_batch = self._batches[batch.key]
        cases, lost, mine = open_batch.cases, open_batch.lost, set(open_batch.cases)
        async with self._ledger.lock(self._sleep):
            self._bench.log.refresh()
            if self._ledger.get(batch.key) is not None:  # else another process has stored it all
                with self._errors(batch):
                    await self._client.with_retries(partial(self._download, batch, open_batch, done))
            # The user must act on these; then the requests are asked again.
            trouble = next((error for key in cases if isinstance(error := lost.get(key), Misconfigured)), None)
            for key in list(cases):
                case = cases[key][0]
                request = self._bench.request(case)
                row = self._bench.known_without_asking(key, case, request)
                self._unanswered[key].add(batch.key)
                if row is None and len(self._unanswered[key]) >= TRIES and trouble is None:
                    why = lost.get(key, f"batch {batch.batch} has no row for it")
                    row = self._bench.record(key, case, request, Transport(str(why)))
                if row is not None:
                    await self._hand_out(row, cases.pop(key))
            self._bench.log.sync()
            here = (key in mine or self._bench.log.entry(key) is not None for key in batch.keys)
            if self._ledger.get(batch.key) is not None and all(here):
                self._ledger.finish(batch)
        self._over_quota = False
        await self._retry(batch.key)
        if trouble is not None:
            raise trouble

    async def _download(self, batch: Batch, open_batch: OpenBatch, done: int) -> None:
        """Store rows as they arrive; of several for one request the first answer counts, others' are skipped."""
        assert batch.batch is not None
        async with aclosing(complete(self._api, batch.batch, done)) as rows:
            async for key, line in rows:
                if key not in open_batch.cases:
                    continue
                case = open_batch.cases[key][0]
                request = self._bench.request(case)
                row = self._bench.known_without_asking(key, case, request)
                if row is None:
                    try:
                        said = self._api.completion(line, request)
                    except (Transport, Misconfigured) as error:
                        open_batch.lost[key] = error
                        continue
                    except BackendError as error:
                        row = self._bench.record(key, case, request, error)
                    else:
                        open_batch.used += self._cost(usage_bound_if_unreported(said.usage, request) or said.usage)
                        cost = self._client.record_batched(said.usage)
                        row = self._bench.record(key, case, request, said, cost=cost)
                await self._hand_out(row, open_batch.cases.pop(key))

    async def _hand_out(self, row: Judgment, cases: list[Case]) -> None:
        for _ in cases:  # of equal prompts, one was asked
            await self.out.put(row)

    async def _retry(self, key: str) -> None:
        """A batch is over: count what it came to, and put the cases that still wait where they belong now."""
        batch = self._batches[key]
        self._batches[key] = OpenBatch(expected=batch.expected)
        self._show(key, None)
        await self._budget.commit(batch.reserved, batch.used)
        for cases in batch.cases.values():
            await self._take(*cases)
        # Those that were tried before go first.
        self._unsent = {key: self._unsent[key] for key in batch.cases if key in self._unsent} | self._unsent

    @contextmanager
    def _errors(self, batch: Batch) -> Iterator[None]:
        """What the provider said of a batch, as an error that tells what to do."""
        file = str(self._ledger.log.path)
        giving_up = f"to give it up and pay for the requests again, delete its lines in {file!r}"
        try:
            yield
        except UnknownBatch as error:
            raise UsageError(
                f"{self._api.provider} does not have batch {batch.batch} with {batch.n} requests: {error}. Use the "
                f"key and server it was submitted with; {giving_up}"
            ) from error
        except Transport as error:
            unreadable = isinstance(error, Incomplete)
            raise Unreachable(
                f"{self._api.provider} does not answer: {error}. What it was sent is noted, and everything it answered "
                f"is stored; run the same command again to go on{f', or {giving_up}' if unreadable else ''}"
            ) from error

    async def _sleep(self, seconds: float, wake: asyncio.Event | None = None) -> None:
        """Wait, or until woken. Raises Stopped as soon as the run is to end."""
        end = time.monotonic() + seconds
        while True:
            if self.halted or self._client.stopping():
                raise Stopped
            left = end - time.monotonic()
            if left <= 0 or (wake is not None and wake.is_set()):
                await asyncio.sleep(0)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _NAP)):
                    await (wake.wait() if wake is not None else asyncio.sleep(_NAP))
