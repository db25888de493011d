"""Bounded concurrency over asynchronous streams: a fixed number of workers, backpressure, and no lost work.

When something goes wrong, or the consumer stops early, work already under way is finished first: it may have been
paid for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

BUFFER: Final = 1000
"""Results that may wait for a slower consumer."""


class Stopped(Exception):
    """Raised by work that did not start because the run is stopping; ends its worker quietly."""


class _End:
    """Marks the end of a queue."""


_END: Final = _End()


async def of(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """A plain iterable as a stream."""
    for item in items:
        yield item


async def all_at_once(stream: AsyncIterable[T]) -> AsyncGenerator[T, None]:
    """What a stream yields, once all of it is there."""
    for item in await gathered(stream):
        yield item


async def gathered(stream: AsyncIterable[T]) -> list[T]:
    """Collect everything a stream yields into a list."""
    return [item async for item in stream]


class _Source(Generic[T]):
    """A stream that several workers draw from; closing it ends it for all of them."""

    def __init__(self, stream: AsyncIterable[T]) -> None:
        self.closed = False
        self._ended = False
        self._items = aiter(stream)
        self._turn = asyncio.Lock()  # an asynchronous generator cannot be advanced by two tasks at once

    async def next(self) -> T | _End:
        async with self._turn:
            if self.closed or self._ended:
                return _END
            try:
                item = await anext(self._items)
            except StopAsyncIteration:
                self._ended = True
                return _END
            return _END if self.closed else item  # it may have been closed while this one was awaited

    async def aclose(self) -> None:
        self.closed = True
        await _close(self._items)


async def _close(stream: AsyncIterable[T]) -> None:
    if isinstance(stream, AsyncGenerator):
        await stream.aclose()


def each(work: AsyncIterable[T], do: Callable[[T], Awaitable[R]], *, workers: int) -> AsyncGenerator[R, None]:
    """Results of ``do`` over ``work`` as they finish, with ``workers`` of them under way at the most.

    The first error stops further work, lets what is under way finish, and is then raised.
    """
    source = _Source(work)

    async def worker(results: asyncio.Queue[R | _End]) -> None:
        while not isinstance(item := await source.next(), _End):
            await results.put(await do(item))

    return _results(source, [worker] * workers)


def each_of_groups(
    work: AsyncIterable[Sequence[T]], do: Callable[[T], Awaitable[R]], *, workers: int
) -> AsyncGenerator[R, None]:
    """Work on the items of groups as ``each`` does: those of one group are done by one worker, one after another.

    In the end, a worker that finds no group takes half of what another has left, from the back.
    """
    source = _Source(work)
    shares: list[deque[T]] = [deque() for _ in range(workers)]

    async def worker(own: deque[T], results: asyncio.Queue[R | _End]) -> None:
        while await _refill(own, shares, source):
            while own and not source.closed:
                await results.put(await do(own.popleft()))

    return _results(source, [partial(worker, own) for own in shares])


async def _results(
    source: _Source[T], workers: Sequence[Callable[[asyncio.Queue[R | _End]], Awaitable[None]]]
) -> AsyncGenerator[R, None]:
    """What workers put into the queue they are given, until all are done."""
    results: asyncio.Queue[R | _End] = asyncio.Queue(BUFFER)
    errors: list[Exception] = []

    async def guarded(worker: Callable[[asyncio.Queue[R | _End]], Awaitable[None]]) -> None:
        try:
            await worker(results)
        except Stopped:
            source.closed = True
        except Exception as error:  # noqa: BLE001  raised again below, once the other workers are done
            source.closed = True
            errors.append(error)

    async def all_workers() -> None:
        try:
            await asyncio.gather(*map(guarded, workers))
        finally:
            await results.put(_END)

    crew = asyncio.create_task(all_workers())
    try:
        while not isinstance(result := await results.get(), _End):
            yield result
    finally:
        source.closed = True
        await _drain(crew, results)
        await source.aclose()
    if errors:
        raise errors[0]


async def _refill(own: deque[T], shares: Sequence[deque[T]], source: _Source[Sequence[T]]) -> bool:
    """Give a worker a group, or in the end half of what another one has left; False if there is nothing more to do."""
    group = await source.next()
    if not isinstance(group, _End):
        own.extend(group)
        return True
    longest = max(shares, key=len)
    own.extend([longest.pop() for _ in range((len(longest) + 1) // 2)])
    return bool(own) and not source.closed


async def _drain(crew: asyncio.Task[None], results: asyncio.Queue[R | _End]) -> None:
    """Wait for work under way, discarding results nobody reads any more (they are stored already)."""
    try:
        while not crew.done():
            while not results.empty():
                results.get_nowait()
            await asyncio.wait({crew}, timeout=0.05)
    finally:
        crew.cancel()
        await asyncio.gather(crew, return_exceptions=True)


async def merge(*streams: AsyncIterable[T]) -> AsyncGenerator[T, None]:
    """Items of several streams as they come. The first error ends all of them, each in its own orderly way."""
    queue: asyncio.Queue[T | _End] = asyncio.Queue(BUFFER)
    reading = True

    async def pump(stream: AsyncIterable[T]) -> None:
        try:
            async for item in stream:
                await queue.put(item)
        finally:
            await _close(stream)
            if reading:  # nobody would make room for it otherwise
                await queue.put(_END)

    pumps = [asyncio.create_task(pump(stream)) for stream in streams]
    try:
        for _ in streams:
            while not isinstance(item := await queue.get(), _End):
                yield item
            for finished in pumps:
                if finished.done() and (error := finished.exception()):
                    raise error
    finally:
        reading = False
        for running in pumps:
            running.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    for finished in pumps:
        await finished


async def in_turns(*streams: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Items of several streams, one stream after the other."""
    for stream in streams:
        async with aclosing(stream):
            async for item in stream:
                yield item


async def then(stream: AsyncGenerator[T, None], end: Callable[[], Awaitable[object]]) -> AsyncGenerator[T, None]:
    """A stream after whose last item something is done."""
    async with aclosing(stream):
        async for item in stream:
            yield item
    await end()


def tee(stream: AsyncIterable[T], n: int) -> tuple[AsyncIterator[T], ...]:
    """``n`` copies of a stream, fed as the first of them is read; each must be read to its end."""
    source = aiter(stream)
    queues: list[asyncio.Queue[T | _End]] = [asyncio.Queue() for _ in range(n)]
    turn = asyncio.Lock()

    async def copy(own: asyncio.Queue[T | _End]) -> AsyncIterator[T]:
        while True:
            if own.empty():
                async with turn:
                    if own.empty():
                        await feed()
            item = own.get_nowait()
            if isinstance(item, _End):
                return
            yield item

    async def feed() -> None:
        item: T | _End
        try:
            item = await anext(source)
        except StopAsyncIteration:
            item = _END
        for queue in queues:
            queue.put_nowait(item)

    return tuple(copy(queue) for queue in queues)
