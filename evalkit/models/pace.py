"""How fast a provider may be asked: as many at once as it takes, and no more a minute than it allows.

The number in flight follows TCP's rule (Chiu and Jain 1989): it grows by one for every full round of answers, and is
cut where the provider says 429, and only there: a server that fails with 5xx is not too busy because of us. Until the
first 429 it doubles with every round, so that a provider without limits is soon asked as much as configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from evalkit.core.protocols import Caps, RateLimit
from evalkit.core.streams import Stopped

START: Final = 16
"""Requests in flight to begin with, where more are configured."""

CUT: Final = 0.5
"""What is left of the requests in flight after a 429."""


@dataclass
class Bucket:
    """An allowance that refills steadily; holds a second's worth, so that a minute's is not spent in a burst."""

    per_minute: float
    _debt: float = 0.0
    """What was taken beyond what has come in since."""
    _seen: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until something may be taken."""
        rate = self.per_minute / 60
        self._debt = max(-rate, self._debt - (now - self._seen) * rate)
        self._seen = now
        return max(0.0, self._debt / rate)

    def take(self, amount: float) -> None:
        """Take so much; what is not there yet is waited for by the next."""
        self._debt += amount


class Meter:
    """What a model may be asked a minute, in requests and in tokens; one request at a time passes it."""

    def __init__(self, caps: Caps) -> None:
        self._requests = Bucket(caps.requests_per_minute) if caps.requests_per_minute else None
        self._tokens = Bucket(caps.tokens_per_minute) if caps.tokens_per_minute else None
        self._gate = asyncio.Lock()

    async def passed(self, tokens: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait until a request of about so many tokens may be sent."""
        async with self._gate:
            buckets = [bucket for bucket in (self._requests, self._tokens) if bucket]
            while wait := max(bucket.wait(time.monotonic()) for bucket in buckets):
                await sleep(min(wait, 1.0))  # an answer may show meanwhile that less was taken than thought
            if self._requests:
                self._requests.take(1.0)
            self.correct(tokens)

    def correct(self, by: float) -> None:
        """A request took that many tokens more (or less) than expected."""
        if self._tokens:
            self._tokens.take(by)


class Pace:
    """The pace of one account: requests that share a key at a provider share its limits.

    Args:
        most: requests in flight at the most.
        stopping: set when the run is to stop; whoever waits here is told by ``Stopped``.
        start: requests in flight to begin with.
        longest_pause: seconds that a server's word can hold everything up.
    """

    def __init__(self, most: int, stopping: asyncio.Event, *, start: int = START, longest_pause: float = 60.0) -> None:
        self.most = most
        self.limit = float(min(most, start))
        self.running = 0
        self.cuts = 0
        self._longest_pause = longest_pause
        self._stopping = stopping
        self._resume_at = 0.0
        self._last_cut = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def widen(self, by: int) -> None:
        """One more client of the account, with so many requests of its own."""
        self.most += by
        self.limit = max(self.limit, float(min(self.most, START)))

    async def enter(self) -> None:
        """Wait until one more request may be sent.

        Raises:
            Stopped: the run is stopping; nothing was taken.
        """
        while True:
            if self._stopping.is_set():
                self._wake(everyone=True)
                raise Stopped
            if self.paused > 0:
                await self.sleep(self.paused)
            elif self.running < int(self.limit):
                self.running += 1
                return
            else:
                await self._turn()

    def leave(self) -> None:
        """A request is over, however it ended."""
        self.running -= 1
        self._wake()

    def answered(self) -> None:
        """A request was answered: room for a little more."""
        if self.limit < self.most:
            self.limit = min(self.most, self.limit + (1 / self.limit if self.cuts else 1.0))
            self._wake()

    def refused(self, sent: float, retry_after: float | None) -> None:
        """A request was answered 429. Several of one round are one sign, not several.

        Args:
            sent: monotonic time it was sent.
            retry_after: seconds the server asked for, where it did.
        """
        if sent >= self._last_cut:
            self._last_cut = time.monotonic()
            self.limit = max(1.0, min(self.limit, float(self.running)) * CUT)
            self.cuts += 1
        if retry_after is not None:
            self._pause(retry_after)

    def told(self, limits: tuple[RateLimit, ...], tokens: float) -> None:
        """What the server says is left of its limits; waits ahead of a 429 that is sure to come.

        Args:
            limits: of requests and of tokens, from the headers of an answer.
            tokens: what the next request will take.
        """
        for limit in limits:
            if (wait := limit.wait(1.0 if limit.of == "requests" else tokens)) > 0:
                self._pause(wait)

    @property
    def paused(self) -> float:
        """Seconds until anything is sent again."""
        return self._resume_at - time.monotonic()

    def __str__(self) -> str:
        """The pace as the progress line shows it."""
        held = f", waiting {self.paused:.0f} s for the rate limit" if self.paused >= 1 else ""
        return f"{self.running} of {int(self.limit)} in flight{held}"

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the run is stopping."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
            raise Stopped

    def _pause(self, seconds: float) -> None:
        self._resume_at = max(self._resume_at, time.monotonic() + min(seconds, self._longest_pause))

    async def _turn(self) -> None:
        """Wait until a request ends, the limit grows, or the run is to stop."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._wake()  # whatever woke us is for the next in line
            raise

    def _wake(self, *, everyone: bool = False) -> None:
        free = len(self._waiting) if everyone else int(self.limit) - self.running
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled, otherwise
                turn.set_result(None)
                free -= 1
