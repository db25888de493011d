"""A cap on what an experiment may use. No request is sent that could pass it, those under way counted."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from msgspec import Struct

from evalkit.core.protocols import Request
from evalkit.core.schema import Usage
from evalkit.core.streams import Stopped
from evalkit.models.prices import Price

LONGEST_REPLY: Final = 16_384
"""Tokens allowed for the reply to a request that sets no max_tokens."""

NAP: Final = 0.5
"""Seconds after which whoever waits for room notices that the run is to end."""

OVERHEAD: Final = 16
"""Tokens a chat template adds to a message at the most."""


class Amount(Struct, frozen=True):
    """An amount of money and tokens."""

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
    return Usage(prompt, request.sampling.room or LONGEST_REPLY)


def usage_bound_if_unreported(usage: Usage, request: Request) -> Usage | None:
    """The most tokens a reply can have taken whose server reported no usage; None where usage was reported."""
    return bound(request) if usage == Usage() else None


class Budget:
    """What may be used, what was used, and what is reserved for requests under way.

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
        self._unlimited: str | None = None
        """The model of that request, if nothing limits its reply."""
        self._stopping = stopping
        self._reserved = Amount()
        self._changed = asyncio.Condition()

    @property
    def capped(self) -> bool:
        """Whether the budget has a cap at all."""
        return self.usd is not None or self.tokens is not None

    def spent_before(self, used: Amount) -> None:
        """Count what earlier runs of the same experiment used."""
        self.used += used

    def add_pending(self, most: Amount) -> None:
        """Count batches of earlier runs at the most they can cost, whether that fits or not."""
        self.pending += most

    def adopt_pending(self, most: Amount) -> None:
        """Turn a pending amount into a reservation: this run waits for those batches, and commits what they cost."""
        self.pending -= most
        self._reserved += most

    async def release(self, most: Amount) -> None:
        """Turn a reservation into a pending amount: a later run collects those batches, this one waits no longer."""
        async with self._changed:
            self._reserved -= most
            self.pending += most
            self._changed.notify_all()

    def has_room(self, most: Amount) -> bool:
        """Whether a request that may come to so much could be sent at once."""
        return self._fits(most, self.used + self.pending + self._reserved)

    async def reserve(self, most: Amount, *, unlimited: str | None = None) -> None:
        """Reserve the most a request can cost; waits while only reservations of others are in the way.

        Args:
            most: that amount.
            unlimited: the model that is asked, if its request sets no max_tokens; for the message.

        Raises:
            Stopped: it could pass the cap.
        """
        async with self._changed:
            while not self.has_room(most):
                if self._stopping.is_set():
                    raise Stopped
                if not self._fits(most, self.used + self.pending):
                    if self.reached is None:
                        self.reached, self._unlimited = most, unlimited
                    self._stopping.set()
                    self._changed.notify_all()
                    raise Stopped
                with contextlib.suppress(TimeoutError):  # looking up now and then: an interrupted run commits nothing
                    async with asyncio.timeout(NAP):
                        await self._changed.wait()
            self._reserved += most

    async def commit(self, reserved: Amount, used: Amount, *, lost: bool = False) -> None:
        """Replace a reservation by what was really used; ``lost`` where that was never answered."""
        async with self._changed:
            self._reserved -= reserved
            self.used += used
            if lost:
                self.lost += used
            self._changed.notify_all()

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
        why = (
            f" {self._unlimited!r} has no max_tokens, so a reply of it is counted as {LONGEST_REPLY:,} tokens: set "
            "sampling.max_tokens=N for it, and more fits in."
        )
        lost = f" ({self.lost.tokens:,} tokens of it for requests that were never answered, but may be charged)"
        return (
            f"budget reached: {'; '.join(parts)}{lost if self.lost.tokens else ''}.{why if self._unlimited else ''} "
            "The same command with a higher budget goes on from here"
        )
