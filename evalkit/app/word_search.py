"""Looks for a text in judges' words: they are in the files alone, which are read a part at a time."""

from __future__ import annotations

import json
import mmap
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from evalkit.app.judgment_index import FileState
    from evalkit.stats.arrays import BoolArray, IntArray

BLOCK: Final = 1 << 22
"""Bytes read at once."""


class _Words(msgspec.Struct):
    raw: str = ""


@dataclass
class WordSearch:
    """A text that is looked for in files of judgments.

    Args:
        wanted: the text, whatever its case.
        files: to look in, up to where they were indexed.
        source: [N] position of each row's file.
        offset: [N] where the row begins in it.
    """

    wanted: str
    files: Sequence[FileState]
    source: IntArray
    offset: IntArray
    hits: BoolArray = field(init=False)
    """[N] rows that hold the text, so far."""
    _file: int = 0
    _at: int = 0
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Nothing is found yet."""
        import numpy as np

        self.hits = np.zeros(self.source.size, dtype=bool)

    @property
    def complete(self) -> bool:
        """Whether all was looked through."""
        return self._file >= len(self.files)

    @property
    def progress(self) -> float:
        """Part of the bytes that were looked through."""
        done = sum(file.end for file in self.files[: self._file]) + self._at
        return done / max(1, sum(file.end for file in self.files))

    def go_on(self, seconds: float) -> None:
        """Look on for so long, or until all was looked through."""
        with self._busy:
            until = time.monotonic() + seconds
            while not self.complete and time.monotonic() < until:
                state = self.files[self._file]
                if self._at >= state.end:
                    self._file, self._at = self._file + 1, 0
                    continue
                with open(state.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    while self._at < state.end and time.monotonic() < until:
                        self._read(content, state.end)

    def _read(self, content: mmap.mmap, last: int) -> None:
        """One block, to the end of its last line."""
        import numpy as np

        begin, end = self._at, min(self._at + BLOCK, last)
        if end < last:
            end = content.find(b"\n", end, last) + 1 or last
        block = content[begin:end]
        self._at = end
        starts = [begin + at for at in _lines_with(block, self.wanted)]
        if starts:
            rows = np.flatnonzero(self.source == self._file)
            places = np.searchsorted(self.offset[rows], starts, side="right") - 1
            self.hits[rows[places[places >= 0]]] = True


def _lines_with(block: bytes, wanted: str) -> list[int]:
    """Where the lines begin whose judgment's words hold a text."""
    decode = msgspec.json.Decoder(_Words).decode
    low, sought, found = block.lower(), needle(wanted), []
    folded = wanted.casefold()
    at = low.find(sought)
    while at >= 0:
        begin, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
        end = len(block) if end < 0 else end
        if end > begin and folded in decode(block[begin:end]).raw.casefold():
            found.append(begin)
        if end + 1 >= len(block):
            break
        at = low.find(sought, end + 1)
    return found


def needle(wanted: str) -> bytes:
    """What lines that hold a text hold, all in small letters; other lines may hold it as well."""
    plain = max(re.split(r"[^ -~]", wanted), key=len)  # bytes know no other letters' capitals
    return json.dumps(plain)[1:-1].encode().lower()
