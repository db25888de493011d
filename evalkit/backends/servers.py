"""Several servers of one model as one backend: each request goes to whichever has the least to do.

A server that fails is left out for a pause that doubles with each failure; then one request at a time tries it, until
one is answered. Where none is left, the requests find that out as they would with a single server.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from evalkit.core.protocols import Backend, Completion, Malformed, Misconfigured, Request, Transport, UsageError

T = TypeVar("T")

FIRST_PAUSE: Final = 1.0
"""Seconds that a member is left out after it failed."""

LONGEST_PAUSE: Final = 60.0


class LeftOut(UserWarning):
    """One of several servers cannot be used and is asked no more."""


@dataclass(eq=False)
class _Member(Generic[T]):
    who: T
    load: int = 0
    used: int = 0
    """When it was last chosen, in choices since the pool began."""
    failures: int = 0
    """Pauses in a row, with nothing answered since."""
    until: float = 0.0
    """When its pause ends."""

    def failed(self, now: float, asked: float | None) -> None:
        """Leave it out: as long as it asks itself, else twice as long as the last time.

        Requests that were under way together fail together; only the first of them counts.
        """
        if now >= self.until:
            pause = FIRST_PAUSE * 2.0**self.failures if asked is None else asked
            self.until = now + min(pause, LONGEST_PAUSE)
            self.failures += 1

    def answered(self) -> None:
        """Record that a server answered."""
        self.failures, self.until = 0, 0.0


class Pool(Generic[T]):
    """Members that can do the same work; each piece goes to one that works and has the least to do."""

    def __init__(self, members: Iterable[T] = ()) -> None:
        self._members = [_Member(who) for who in members]
        self._chosen = 0

    def __len__(self) -> int:
        return len(self._members)

    def add(self, who: T) -> None:
        """Let one more server take part."""
        self._members.append(_Member(who))

    def remove(self, who: T) -> None:
        """Give this server nothing more; what it has under way is not touched."""
        self._members = [member for member in self._members if member.who is not who]

    @contextmanager
    def least_loaded(self) -> Iterator[T]:
        """The member to ask, busy for as long as the context lasts.

        A Transport or Malformed error, and that the asker had no more patience, is held against it.

        Raises:
            IndexError: the pool is empty.
        """
        member = self._choose(time.monotonic())
        self._chosen += 1
        member.used = self._chosen
        member.load += 1
        try:
            yield member.who
        except Transport as error:
            member.failed(time.monotonic(), error.retry_after)
            raise
        except (Malformed, asyncio.CancelledError):
            # A broken server answers at once, has nothing to do, and would be asked everything; one that hangs would
            # be asked again and again: it is whoever asks that ends the wait.
            member.failed(time.monotonic(), None)
            raise
        else:
            member.answered()
        finally:
            member.load -= 1

    def _choose(self, now: float) -> _Member[T]:
        if not self._members:
            raise IndexError("the pool is empty")
        able = [one for one in self._members if not one.failures or (one.until <= now and not one.load)]
        if able:
            return min(able, key=lambda one: (one.load, one.used))
        return min(self._members, key=lambda one: (one.until, one.load))


@dataclass(kw_only=True)
class Servers(Backend):
    """Backends that differ only in where they send their requests; made of one whose ``base_url`` is a list."""

    servers: tuple[Backend, ...]
    _pool: Pool[Backend] = field(init=False, repr=False, compare=False)
    _left_out: list[Backend] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        """Check that the servers stand for one model."""
        first = self.servers[0].identity()
        for server in self.servers[1:]:
            if (other := server.identity()) != first:
                differ = {name for name in {*first, *other} if first.get(name) != other.get(name)}
                raise UsageError(
                    f"the servers in base_url differ in {', '.join(sorted(differ))}: {dict(first)} and {dict(other)}; "
                    "give them as two models, because two providers may not run one model alike"
                )
        self._pool = Pool(self.servers)

    @property
    def concurrency(self) -> int:
        """Requests that all servers together serve well at once."""
        return sum(server.concurrency for server in self.servers)

    @property
    def timeout(self) -> float:
        """Seconds one request may take."""
        return self.servers[0].timeout

    @property
    def exclusive(self) -> bool:
        """Whether they need an accelerator of this machine."""
        return any(server.exclusive for server in self.servers)

    @property
    def account(self) -> str:
        """The accounts of all servers together."""
        return ", ".join(str(server.account) for server in self.servers)

    def identity(self) -> Mapping[str, Any]:
        """The identity of one server: how many there are does not change the text."""
        return {"backend": type(self.servers[0]).__name__, **self.servers[0].identity()}

    def wire(self) -> dict[str, Any]:
        """What decides what is sent, server by server."""
        return {"servers": [dict(server.wire()) for server in self.servers]}

    async def open(self) -> None:
        """Set up the connections to all servers."""
        for server in self.servers:
            await server.open()

    async def complete(self, request: Request) -> Completion:
        """Ask the server with the least to do, once. One that cannot work as configured is left out for good."""
        while True:
            try:
                with self._pool.least_loaded() as server:
                    return await server.complete(request)
            except Misconfigured as error:
                if all(one is server or one in self._left_out for one in self.servers):
                    raise
                self._pool.remove(server)
                if server not in self._left_out:
                    self._left_out.append(server)
                    warnings.warn(f"{error}; the other servers in base_url are asked instead", LeftOut, stacklevel=2)

    async def close(self) -> None:
        """Close the connections to all servers."""
        for server in self.servers:
            await server.close()
