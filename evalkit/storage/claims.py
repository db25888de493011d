"""Who is asking what: two runs over one results folder do not pay for the same request twice.

A run claims a row's key before it asks for the row. Claims are byte-range locks, one byte a key, on an empty file in
the results folder; the operating system gives them back when a process dies, however it dies.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

FIRST_WAIT, LONGEST_WAIT = 0.02, 0.5
"""Seconds between two looks at a claim that another process holds."""
_PLACES = (1 << 62) - 1
"""Offsets a lock may have; two keys in 10^18 share one, which costs a wait."""


def place_of(key: str) -> int:
    """The byte that stands for a key."""
    return int(key[:16], 16) & _PLACES


class Claims:
    """The keys of one folder that this process is asking for. Other processes are kept out, other tasks are not.

    Args:
        path: of the lock file, made when something is first claimed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._holders: Counter[int] = Counter()
        """Tasks of this process by the place they hold: the lock is the process's, given back by the last of them."""

    def hold(self, key: str, stopping: Callable[[], bool] = lambda: False) -> Held:
        """Claim a key for as long as the context lasts; wait while another process holds it.

        Args:
            key: hexadecimal content hash.
            stopping: whether waiting has become pointless; the body then runs without the claim.
        """
        return Held(self, place_of(key), stopping)

    @contextmanager
    def free(self, keys: Iterable[str]) -> Iterator[set[str]]:
        """Claim those of the keys that no other process holds, without waiting, for as long as the context lasts."""
        claimed = {key for key in dict.fromkeys(keys) if self.take(place_of(key))}
        try:
            yield claimed
        finally:
            for key in claimed:
                self.give_back(place_of(key))

    def close(self) -> None:
        """Release every claim."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._holders.clear()

    def take(self, place: int) -> bool:
        """Hold a place unless another process does: whether it is held now."""
        held = self._holders[place] > 0 or self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, place)
        if held:
            self._holders[place] += 1
        return held

    def give_back(self, place: int) -> None:
        """Hold a place no longer; it is free when no other task of this process holds it."""
        if self._holders[place] > 1:
            self._holders[place] -= 1
        elif self._holders.pop(place, 0):  # else all was given back meanwhile
            self._lock(fcntl.LOCK_UN, place)

    def _lock(self, kind: int, place: int) -> bool:
        """Lock or unlock a place for this process: whether that was done.

        Where the file system knows no such locks, there is no claiming, and everything is.
        """
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.lockf(self._file, kind, 1, place)
        except OSError as error:
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True


class Held:
    """A claim as a context; a class of its own because every request passes through one."""

    __slots__ = ("_claims", "_held", "_place", "_stopping")

    def __init__(self, claims: Claims, place: int, stopping: Callable[[], bool]) -> None:
        self._claims, self._place, self._stopping, self._held = claims, place, stopping, False

    async def __aenter__(self) -> None:
        """Wait until the claim is held."""
        wait = FIRST_WAIT
        while not (held := self._claims.take(self._place)) and not self._stopping():
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        self._held = held

    async def __aexit__(self, *_: object) -> None:
        """Release the claim, if it was held."""
        if self._held:
            self._claims.give_back(self._place)
