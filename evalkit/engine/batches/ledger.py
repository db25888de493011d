"""What was sent to a provider as batches, on disk: written before a submission, after it, and when its rows are stored.

So a run that dies at any moment leaves behind what its successor needs to pick its batches up.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from msgspec.structs import replace

from evalkit.core.schema import Batch, Failure, digest
from evalkit.models.budget import Amount
from evalkit.storage.store import Log, NotStored

LOCK_WAIT = 0.1
"""Seconds between two attempts to get the lock."""


def by_request(batches: Iterable[Batch]) -> dict[str, Batch]:
    """The open batch that holds each request, by the request's key; of several, the latest."""
    return {key: batch for batch in batches if batch.finished is None for key in batch.keys}


def most(batch: Batch) -> Amount:
    """The highest amount a batch can cost."""
    return Amount(batch.usd, batch.tokens)


class Ledger:
    """The batches of one judge under one protocol.

    Args:
        log: the file.
    """

    def __init__(self, log: Log[Batch]) -> None:
        self.log = log
        self._open: dict[str, Batch] = {}
        self._holder: dict[str, Batch] | None = None
        self._read()

    @property
    def open(self) -> list[Batch]:
        """The batches whose rows are not all stored, oldest first."""
        return list(self._open.values())

    def get(self, key: str) -> Batch | None:
        """An open batch by its key; None if it is done with."""
        return self._open.get(key)

    def holder(self, request: str) -> Batch | None:
        """The open batch that holds a request, by the request's key; of several, the latest."""
        if self._holder is None:
            self._holder = by_request(self.open)
        return self._holder.get(request)

    def ids(self) -> set[str]:
        """The provider's ids of all batches known here, done with or not."""
        return {row.batch for row in self.log if row.batch is not None}

    def refresh(self) -> None:
        """Take in what other processes have written."""
        if self.log.refresh():
            self._read()

    def begin(self, keys: Sequence[str], provider: str, most: Amount) -> Batch:
        """Write down that these requests are about to be submitted, and what they may come to."""
        ordered, before = sorted(keys), 0
        while self.log.entry(name := digest(ordered, before)) is not None:
            before += 1
        return self._write(
            Batch(
                key=name,
                keys=tuple(ordered),
                n=len(keys),
                provider=provider,
                created=time.time(),
                usd=most.usd,
                tokens=most.tokens,
            )
        )

    def submitted(self, intent: Batch, batch: str) -> Batch:
        """Write down under which id the provider took them."""
        return self._write(replace(intent, batch=batch))

    def finish(self, intent: Batch, error: Failure | None = None) -> None:
        """Write down that nothing more is to be had from it; the judgments must be on the disk by now."""
        self._write(replace(intent, keys=(), finished=time.time(), error=error))

    @asynccontextmanager
    async def lock(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> AsyncGenerator[None, None]:
        """Keep others, in this process or another, from submitting or storing; then see what they did meanwhile.

        Args:
            sleep: how to wait; may raise to give up.

        Raises:
            NotStored: the lock file cannot be made.
        """
        path = self.log.path.with_suffix(".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise NotStored(f"cannot write {str(path)!r}: {error.strerror}; nothing was submitted") from error
        try:
            while not _locked(file):
                await sleep(LOCK_WAIT)
            self.refresh()
            yield
        finally:
            os.close(file)  # which gives the lock back

    def _read(self) -> None:
        self._open = {row.key: row for row in self.log if row.finished is None}
        self._holder = None

    def _write(self, row: Batch) -> Batch:
        self.log.append(row)
        self.log.sync()  # the provider is told next, or has been: this may not be lost with the machine either
        if row.finished is None:
            self._open[row.key] = row
        else:
            self._open.pop(row.key, None)
        self._holder = None
        return row


def open_batch_conflict(ledger: Ledger, key: str) -> str | None:
    """Why a request may not be sent by itself: it was paid for in a batch that is not collected. None if it may.

    Call it while the request is claimed: other processes may add to the ledger at any time.
    """
    ledger.refresh()
    row = ledger.holder(key)
    if row is None:
        return None
    return (
        f"{row.n} requests are with {row.provider} in batch {row.batch}. Give batch=true for this judge to pick "
        "them up; to give them up and pay for them again, delete that batch's lines in "
        f"{str(ledger.log.path)!r}"
    )


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
