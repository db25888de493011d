"""A cap on what an experiment may use. No request is sent that could pass it, those under way counted."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from msgspec import Struct

from evalkit.prices import Price
from evalkit.protocols import Request
from evalkit.schema import Usage
from evalkit.streams import Stopped

LONGEST_REPLY: Final = 16_384
"""Tokens allowed for the reply to a request that sets no max_tokens."""

NAP: Final = 0.5
"""Seconds after which whoever waits for room notices that the run is to end."""

OVERHEAD: Final = 16
"""Tokens a chat template adds to a message at the most."""


class Amount(Struct, frozen=True):
    """Money and tokens."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.usd + other.usd, self.tokens + other.tokens)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.usd - other.usd, self.tokens - other.tokens)


def amount(usage: Usage, price: Price | None, *, share: float = 1.0) -> Amount:
    """What these tokens come to; ``share`` of the list price, for batches."""
    return Amount(price.of(usage) * share if price else 0.0, usage.prompt_tokens + usage.completion_tokens)


def bound(request: Request) -> Usage:
    """Tokens a request can take at the most: no tokenizer makes more tokens than there are bytes."""
    prompt = sum(len(message.content.encode("utf-8", "replace")) + OVERHEAD for message in request.messages)
    return Usage(prompt, request.sampling.max_tokens or LONGEST_REPLY)


def unsaid(usage: Usage, request: Request) -> Usage | None:
    """What a reply is counted as whose tokens the server did not count: the most it can have been. None if it did."""
    return bound(request) if usage == Usage() else None


class Budget:
    """What may be used, what was, and what is held for requests under way.

    Args:
        usd: US dollars; None for no cap.
        tokens: prompt and completion tokens together; None for no cap.
        stopping: set when the next request could pass a cap.
    """

    def __init__(self, usd: float | None, tokens: int | None, stopping: asyncio.Event) -> None:
        self.usd, self.tokens = usd, tokens
        self.used = Amount()
        self.lost = Amount()
        """Of that used, what requests were counted as that never were answered, but may be charged for."""
        self.pending = Amount()
        """What batches with a provider may come to that nobody in this run waits for."""
        self.reached: Amount | None = None
        """What the request that did not fit could have come to."""
        self._stopping = stopping
        self._held = Amount()
        self._settled = asyncio.Condition()

    @property
    def capped(self) -> bool:
        """Whether there is a cap at all."""
        return self.usd is not None or self.tokens is not None

    def spent_before(self, used: Amount) -> None:
        """Count what earlier runs of the same experiment used."""
        self.used += used

    def carry(self, most: Amount) -> None:
        """Count what batches may come to that an earlier run submitted, whether they fit or not."""
        self.pending += most

    def take_up(self, most: Amount) -> None:
        """This run waits for such batches now, so that what they do not come to will be free again."""
        self.pending -= most
        self._held += most

    async def put_back(self, most: Amount) -> None:
        """It does so no longer: a later run collects them."""
        async with self._settled:
            self._held -= most
            self.pending += most
            self._settled.notify_all()

    def has_room(self, most: Amount) -> bool:
        """Whether a request that may come to so much could be sent at once."""
        return self._fits(most, self.used + self.pending + self._held)

    async def hold(self, most: Amount) -> None:
        """Set aside what a request may come to; waits for those under way where only they are in the way.

        Raises:
            Stopped: it could pass the cap.
        """
        async with self._settled:
            while not self.has_room(most):
                if self._stopping.is_set():
                    raise Stopped
                if not self._fits(most, self.used + self.pending):
                    self.reached = self.reached or most
                    self._stopping.set()
                    self._settled.notify_all()
                    raise Stopped
                with contextlib.suppress(TimeoutError):  # looking up now and then: an interrupted run settles nothing
                    async with asyncio.timeout(NAP):
                        await self._settled.wait()
            self._held += most

    async def settle(self, held: Amount, used: Amount, *, lost: bool = False) -> None:
        """Put the true figure in the place of what was held."""
        async with self._settled:
            self._held -= held
            self.used += used
            if lost:
                self.lost += used
            self._settled.notify_all()

    def _fits(self, most: Amount, taken: Amount) -> bool:
        """What costs nothing always does."""
        total = taken + most
        return (self.usd is None or not most.usd or total.usd <= self.usd + 1e-9) and (
            self.tokens is None or not most.tokens or total.tokens <= self.tokens
        )

    def message(self) -> str:
        """Why the run stopped, and how to go on."""
        assert self.reached is not None
        used, pending, more = self.used, self.pending, self.reached
        parts = []
        if self.usd is not None:
            aside = f", ${pending.usd:.4f} set aside for batches that are not collected" if pending.tokens else ""
            parts.append(f"${used.usd:.4f} of ${self.usd:g} used{aside}, the next request could cost ${more.usd:.4f}")
        if self.tokens is not None:
            aside = f", {pending.tokens:,} set aside for batches that are not collected" if pending.tokens else ""
            parts.append(f"{used.tokens:,} of {self.tokens:,} tokens used{aside}, the next could take {more.tokens:,}")
        lost = f" ({self.lost.tokens:,} tokens of it for requests that were never answered, but may be charged)"
        return (
            f"budget reached: {'; '.join(parts)}{lost if self.lost.tokens else ''}. "
            "The same command with a higher budget goes on from here"
        )
