"""What is kept in memory of a results file: where each row is and what sort of row, about 180 bytes a row.

Of a file that is only read, from end to end: which lines count.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import NamedTuple, TypeAlias

import msgspec

from evalkit.core.schema import ErrorKind, Failure, Ref

TOGETHER = 64
"""Lines that are decoded at once: few, as a line may be long."""
UNREADABLE = (ValueError, RecursionError)
"""What decoding a line may raise: not JSON or not such a row, not UTF-8, or nested without end."""


class BadLine(ValueError):
    """The line after the last one entered is not a row."""


def _why(line: bytes, error: Exception) -> str:
    return str(error) if line.strip() else "the line is blank"  # the decoder says "truncated"


class Entry(NamedTuple):
    """What is known of a row without reading it."""

    offset: int
    error: ErrorKind | None
    parser: str


Sort: TypeAlias = tuple[ErrorKind | None, str, str, str | None]
"""What many rows of a file have in common: error, parser, fingerprint of the judge or of the model that answered, and
snapshot. A plain tuple: one is made for each row that is read."""


class _Who(msgspec.Struct, gc=False):
    fingerprint: str


class _Head(msgspec.Struct, gc=False):
    """The fields a Sort needs; the decoder checks the rest of the row to be JSON, and skips it."""

    schema: str
    key: str
    model: _Who | None = None
    judge: _Who | None = None
    parser: str = ""
    error: Failure | None = None
    snapshot: str | None = None


class _Keyed(msgspec.Struct, gc=False):
    schema: str
    key: str


class Lines:
    """The lines of one file; the latest line of a key counts. Enough to read it once: no key is kept.

    Args:
        schema: what every row must say it is.
    """

    def __init__(self, schema: object) -> None:
        self.end = 0
        """Bytes of the lines entered."""
        self.live = bytearray()
        """By line: 1 if it is the latest of its key."""
        self._schema = schema

    def __len__(self) -> int:
        """How many lines are the latest of their key."""
        return self.live.count(1)

    def enter(self, lines: Iterable[bytes]) -> int:
        """Take in all lines, until one is incomplete. Returns the length of that one, or 0.

        Raises:
            BadLine: a line is no row of this schema; those before it are entered.
        """
        decoder, left = msgspec.json.Decoder(_Keyed), iter(lines)
        keys: list[str] = []
        try:
            while batch := list(islice(left, TOGETHER)):
                torn = batch.pop() if batch[-1][-1:] != b"\n" else b""
                self._take(decoder, batch, keys)
                if torn:
                    return len(torn)
        finally:
            self.live = bytearray(len(keys))
            for line in latest(keys):
                self.live[line] = 1
        return 0

    def _take(self, decoder: msgspec.json.Decoder[_Keyed], lines: list[bytes], keys: list[str]) -> None:
        """Add the keys of whole lines: decoded at once, which is faster, or one by one, which names a bad one."""
        content = b"".join(lines)
        try:
            rows = decoder.decode_lines(content)
        except UNREADABLE:
            rows = []
        if len(rows) == len(lines) and {row.schema for row in rows} == {self._schema}:
            keys += [row.key for row in rows]
            self.end += len(content)
            return
        for line in lines:
            try:
                row = decoder.decode(line)
            except UNREADABLE as error:
                raise BadLine(_why(line, error)) from error
            if row.schema != self._schema:
                raise BadLine(f"schema {row.schema!r} where {self._schema!r} is expected")
            keys.append(row.key)
            self.end += len(line)


def latest(keys: Sequence[str]) -> Sequence[int]:
    """The places of the last row of each key, in order."""
    if len(set(keys)) == len(keys):  # nearly always, and faster to see than the last of each
        return range(len(keys))
    return sorted(dict(zip(keys, count())).values())


class Index(Lines):
    """What is kept of a file that rows are looked up in, and appended to."""

    def __init__(self, schema: object) -> None:
        super().__init__(schema)
        self.lines: dict[str, int] = {}
        """By key: its latest line, counted from 0."""
        self.offsets = array("q")
        """By line: where it begins."""
        self._decoder = msgspec.json.Decoder(_Head)
        self._sort_of = array("i")
        """By line: its sort. A file has few."""
        self._sorts: dict[Sort, int] = {}

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self.lines)

    def entry(self, key: str) -> Entry | None:
        """What is known of the latest row of a key."""
        line = self.lines.get(key)
        if line is None:
            return None
        error, parser, _, _ = list(self._sorts)[self._sort_of[line]]
        return Entry(self.offsets[line], error, parser)

    def snapshots(self, who: Ref) -> Counter[str]:
        """Rows of a judge or model by the id that the provider reported, replaced rows too."""
        rows: Counter[str] = Counter()
        counts = Counter(self._sort_of)
        for (_, _, fingerprint, snapshot), number in self._sorts.items():
            if snapshot is not None and fingerprint == who.fingerprint:
                rows[snapshot] += counts[number]
        return rows

    def enter(self, lines: Iterable[bytes]) -> int:
        """Take in the lines that follow, until one is incomplete. Returns the length of that one, or 0.

        Written as one plain loop: it is what opening a million rows takes.

        Raises:
            BadLine: a line is no row of this schema; those before it are entered.
        """
        decode, schema = self._decoder.decode, self._schema
        index, offsets, live, sort_of, sorts = self.lines, self.offsets, self.live, self._sort_of, self._sorts
        for line in lines:
            if line[-1:] != b"\n":
                return len(line)
            try:
                head = decode(line)
            except UNREADABLE as error:
                raise BadLine(_why(line, error)) from error
            if head.schema != schema:
                raise BadLine(f"schema {head.schema!r} where {schema!r} is expected")
            who = head.judge or head.model
            kind = head.error.kind if head.error else None
            sort = (kind, head.parser, who.fingerprint if who else "", head.snapshot)
            sort_of.append(sorts.setdefault(sort, len(sorts)))
            if (older := index.get(head.key)) is not None:
                live[older] = 0
            index[head.key] = len(live)
            live.append(1)
            offsets.append(self.end)
            self.end += len(line)
        return 0
