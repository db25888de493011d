"""Who is asking what: two runs over one results folder do not pay for the same request twice.

A run claims a row's key before it asks for the row. Claims are byte-range locks, one byte a key, on an empty file in
the results folder; the operating system gives them back when a process dies, however it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

FIRST_WAIT, LONGEST_WAIT = 0.02, 0.5
"""Seconds between two looks at a claim that another process holds."""
_PLACES = (1 << 62) - 1
"""Offsets a lock may have; two keys in 10^18 share one, which costs a wait."""


class Claims:
    """The keys of one folder that this process is asking for. Other processes are kept out, other tasks are not.

    Args:
        path: of the lock file, made when something is first claimed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @contextlib.asynccontextmanager
    async def hold(self, key: str, stopping: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
        """Claim a key; wait while another process holds it.

        Args:
            key: hexadecimal content hash.
            stopping: whether waiting has become pointless; the body then runs without the claim.
        """
        place = int(key[:16], 16) & _PLACES
        wait = FIRST_WAIT
        while not self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, place) and not stopping():
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        try:
            yield
        finally:
            self._lock(fcntl.LOCK_UN, place)

    def close(self) -> None:
        """Give everything back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, kind: int, place: int) -> bool:
        """Whether the place is ours now, or the file system knows no such locks: then there is no claiming there."""
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.lockf(self._file, kind, 1, place)
        except OSError as error:
            return error.errno not in (errno.EAGAIN, errno.EACCES)
        return True
