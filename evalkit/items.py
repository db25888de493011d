"""``items.jsonl`` beside the results of one benchmark: the questions they are about, from runs and imports alike."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from evalkit.protocols import UsageError
from evalkit.schema import Item

NAME = "items.jsonl"


class Items:
    """The questions in a results folder. Append-only; the latest line of an id counts.

    Args:
        folder: the results folder of one benchmark; the file need not exist.

    Raises:
        UsageError: the file cannot be read, or a line is no item.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.known: dict[str, Item] = {}
        """By id."""
        self._end = 0
        """Bytes of the lines read."""
        self._lines = 0
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # released when the file is closed
                self._catch_up(file)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UsageError(f"cannot read {str(self.path)!r}: {error.strerror}") from error

    def keep(self, items: Iterable[Item]) -> int:
        """Append those that are not there as they are; how many that was. Other processes may do the same.

        Raises:
            UsageError: the file cannot be written.
        """
        wanted = list(items)
        if not self._new(wanted):
            return 0
        if self.path.is_symlink():
            raise UsageError(f"{str(self.path)!r} is a link to another place; replace it by a file")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._catch_up(file)
                file.truncate(self._end)  # a process died while writing the last line
                new = self._new(wanted)
                file.write(b"".join(msgspec.json.encode(item) + b"\n" for item in new))
                file.flush()
                self._catch_up(file)
        except OSError as error:
            raise UsageError(f"cannot write {str(self.path)!r}: {error.strerror}") from error
        return len(new)

    def _new(self, items: Iterable[Item]) -> list[Item]:
        return [item for item in items if self.known.get(item.id) != item]

    def _catch_up(self, file: BinaryIO) -> None:
        """Read on to the last whole line."""
        file.seek(self._end)
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._lines += 1
            self._end += len(line)
            if not line.strip():
                continue
            try:
                item = msgspec.json.decode(line, type=Item)
            except ValueError as error:  # of msgspec, or bad UTF-8
                raise UsageError(f"{str(self.path)!r}, line {self._lines}: {error}") from error
            self.known[item.id] = item
