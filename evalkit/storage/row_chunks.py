"""Stored judgments, many at once, with what a table shows of each and nothing else: for readers of millions.

It takes a file as evalkit writes it; any other is to be read row by row, which says what is wrong with it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from evalkit.storage.index import UNREADABLE, latest
from evalkit.storage.store import StoreError

BLOCK = 1 << 19
"""Bytes that are read and decoded at once: what a processor has at hand, with the rows that are made of it. A longer
line is left to the reader of single rows."""
PIECE = 1 << 16
"""Bytes that are compared at once."""


class NameOnly(Struct, frozen=True, gc=False):
    """A model or judge by its name."""

    name: str


class FailureText(Struct, frozen=True, gc=False):
    """Why there is no verdict."""

    kind: str
    message: str


class TokenCounts(Struct, frozen=True, gc=False):
    """Tokens of a reply."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class VerdictRow(Struct, frozen=True, kw_only=True, gc=False, tag_field="schema", tag="evalkit.judgment/1"):
    """What was judged."""

    key: str
    item: str
    benchmark: str
    category: str
    turn: int
    judge: NameOnly
    protocol: str
    models: tuple[NameOnly, ...]
    lengths: tuple[int, ...] = ()
    repeat: int = 0
    scores: tuple[float, ...] | None = None
    label: str | None = None
    error: FailureText | None = None
    created: float = 0.0


class ReplyRow(VerdictRow, frozen=True, kw_only=True, gc=False, tag_field="schema", tag="evalkit.judgment/1"):
    """What was judged, and what the judge wrote."""

    raw: str = ""
    usage: TokenCounts = TokenCounts()
    latency: float = 0.0
    cost: float | None = None


class UnusualRows(Exception):
    """A file that is to be read row by row: a line is torn, or no judgment, or contradicts itself."""


class RowChunks:
    """The judgments of some files, in chunks; `latest` tells afterwards which of them count.

    Args:
        paths: the files.
        words: with what the judge wrote.
    """

    def __init__(self, paths: Iterable[Path], *, words: bool) -> None:
        self._paths = tuple(paths)
        self._decode = msgspec.json.Decoder(ReplyRow if words else VerdictRow).decode_lines
        self._latest: list[int] = []
        self._rows = 0

    def __iter__(self) -> Iterator[Sequence[VerdictRow]]:
        """Every row that is stored, in the order stored.

        Raises:
            UnusualRows: a file is to be read otherwise, which says what is wrong with it.
            StoreError: a file cannot be read.
        """
        for path in self._paths:
            keys: list[str] = []
            for rows in self._blocks(path):
                keys += [row.key for row in rows]
                yield rows
            self._latest += map(self._rows.__add__, latest(keys))
            self._rows += len(keys)

    def latest(self) -> Sequence[int] | None:
        """Places of the rows that are the latest of their key; None: all are."""
        return None if len(self._latest) == self._rows else self._latest

    def _blocks(self, path: Path) -> Iterator[Sequence[VerdictRow]]:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # no row is half written at this size
                left = os.fstat(file.fileno()).st_size
                fcntl.flock(file, fcntl.LOCK_UN)
                while left > 0:
                    block = file.read(min(BLOCK, left))
                    whole = block.rfind(b"\n") + 1  # where the last whole line ends; the next block begins there
                    left -= whole
                    file.seek(whole - len(block), os.SEEK_CUR)
                    yield self._checked(memoryview(block)[:whole])
        except UNREADABLE as error:
            raise UnusualRows(str(path)) from error
        except OSError as error:
            raise StoreError(f"cannot read {str(path)!r}: {error.strerror}") from error

    def _checked(self, lines: memoryview) -> Sequence[VerdictRow]:
        rows = self._decode(lines)
        if not rows or len(rows) != _line_ends(lines) or not _consistent(rows):
            raise UnusualRows
        return rows


def _line_ends(block: memoryview) -> int:
    """How many lines end here; many times as fast as ``bytes.count``."""
    import numpy as np

    characters = np.frombuffer(block, dtype=np.uint8)
    pieces = (characters[start : start + PIECE] for start in range(0, len(block), PIECE))
    return sum(int(np.count_nonzero(piece == ord("\n"))) for piece in pieces)


def _consistent(rows: Sequence[VerdictRow]) -> bool:
    """Scores or an error in each, never both, never neither; one score for each answer shown."""
    return all(
        [
            row.error is not None
            if (scores := row.scores) is None
            else row.error is None and len(scores) == len(row.models)
            for row in rows
        ]
    )
