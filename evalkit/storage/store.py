"""Append-only JSONL, crash-safe: one row, one write; the latest row of a key counts.

A results folder survives kill -9, a full disk and a second process working in it. A torn last line is dropped with
a warning; any other line that does not decode stops the read with the file and line number.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from itertools import chain, compress, count, islice
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, cast
from urllib.parse import quote

import msgspec

from evalkit.core.files import remedy
from evalkit.core.protocols import EvalkitError, UsageError
from evalkit.core.schema import Batch, Item, Judged, Judgment, Ref, Response, all_sound, digest
from evalkit.storage.claims import Claims
from evalkit.storage.index import TOGETHER, UNREADABLE, BadLine, Entry, Index, Lines

Row = TypeVar("Row", bound=Item | Response | Judgment | Judged | Batch)

SYNC_INTERVAL = 1.0
"""Seconds between two fsyncs of one file: what a crash of the whole machine, not of evalkit, can cost."""

READ_AHEAD = 1 << 20
"""Bytes read at a time where a file is read from end to end."""
SWAPPED = bytes.maketrans(b"\0\1", b"\1\0")
"""Turns rows that count into those that do not, and back."""
LONGEST_NAME = 110
"""Characters of one name within a file name; file systems take 255 for all of it."""


class StoreError(UsageError):
    """A results file or folder cannot be used as it is."""


class NotStored(EvalkitError):
    """A row did not reach its file; everything before it did."""


class TornLine(UserWarning):
    """The last line of a results file was incomplete and was dropped."""


def first_row(path: Path, row: type[Row]) -> Row | None:
    """The row that a file begins with, replaced since or not; None without a whole line. Reads no further."""
    try:
        with path.open("rb") as file:
            line = file.readline()
    except OSError as error:
        raise _unreadable(path, error) from error
    if line[-1:] != b"\n":
        return None
    try:
        found = msgspec.json.decode(line, type=row)
        if isinstance(found, Judged):
            found.check()
        return found
    except UNREADABLE as error:
        raise _malformed(path, str(error), 0) from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot read {str(path)!r}: {error.strerror}")


def _malformed(path: Path, why: str, line: int) -> StoreError:
    return StoreError(f"{str(path)!r}, line {line + 1}: {why}. Mend or delete that line, then run again")


class Rows(Generic[Row]):
    """One JSONL file of rows of one type, to be read from end to end.

    Args:
        path: the file; it need not exist.
        row: the row type: ``Response``, ``Judgment``, ``Judged`` or ``Batch``.
    """

    def __init__(self, path: Path, row: type[Row]) -> None:
        self.path = path
        self._decoder: msgspec.json.Decoder[Row] = msgspec.json.Decoder(row)
        self._schema = row.__struct_config__.tag
        self._unchecked = issubclass(row, Judged) and not issubclass(row, Judgment)
        """Whether decoding a row does not see to it that it says one thing."""
        self._read_anew()

    def _read_anew(self) -> None:
        """Index the file from its beginning; it need not exist."""
        self._index = self._lines(self._schema)
        self._torn = 0
        """Where a torn line ends that was reported already."""
        if _exists(self.path):
            with self._reading() as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # released when the file is closed
                self._catch_up(file.fileno())

    def _lines(self, schema: object) -> Lines:
        """What is kept in memory of the lines."""
        return Lines(schema)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Row]:
        """The latest row of every key, in file order, one at a time."""
        return chain.from_iterable(self.batches())

    def batches(self) -> Iterator[Sequence[Row]]:
        """The latest row of every key, in file order, some at a time."""
        return self._batches(bytes(self._index.live))  # as it is now: rows may be appended meanwhile

    def replaced(self) -> Iterator[Row]:
        """The rows whose key has a later one, in file order, one at a time."""
        return chain.from_iterable(self._batches(bytes(self._index.live.translate(SWAPPED))))

    def _batches(self, chosen: bytes) -> Iterator[Sequence[Row]]:
        """The rows of the lines that are marked by 1; many are decoded at once, which is faster."""
        if 1 not in chosen:
            return
        read = 0
        with self._reading(READ_AHEAD) as file:
            lines = compress(file, chosen)
            while batch := list(islice(lines, TOGETHER)):
                rows = self._decoded_at_once(batch)
                if rows is None:
                    rows = list(map(self._decode, batch, islice(compress(count(), chosen), read, None)))
                read += len(batch)
                yield rows

    def _decoded_at_once(self, lines: Sequence[bytes]) -> Sequence[Row] | None:
        """A row for each line; None where it is one by one that tells which is bad."""
        try:
            rows = self._decoder.decode_lines(b"".join(lines))
        except UNREADABLE:
            return None
        if len(rows) != len(lines) or (self._unchecked and not all_sound(cast("list[Judged]", rows))):
            return None
        return rows

    def _decode(self, content: bytes, line: int) -> Row:
        try:
            row = self._decoder.decode(content)
            if self._unchecked:
                cast("Judged", row).check()
            return row
        except UNREADABLE as error:
            raise self._malformed(str(error), line) from error

    def _catch_up(self, file: int) -> None:
        """Index what the file holds beyond what is known already."""
        with os.fdopen(os.dup(file), "rb", READ_AHEAD) as reader:
            reader.seek(self._index.end)
            if torn := self._enter(reader):
                self._report_torn(torn)

    def _report_torn(self, length: int) -> None:
        """Warn of an incomplete last line, once: it stays in the file until something is appended."""
        if self._torn != self._index.end + length:
            self._torn = self._index.end + length
            message = (
                f"{str(self.path)!r}: dropped an incomplete last line ({length} bytes); a run was stopped "
                "while writing it"
            )
            warnings.warn(message, TornLine, stacklevel=5)

    def _enter(self, lines: Iterable[bytes]) -> int:
        """Index lines from the known end on, until one is incomplete. Returns the length of that one, or 0."""
        try:
            return self._index.enter(lines)
        except BadLine as error:
            raise self._malformed(str(error), len(self._index.live)) from error

    @contextlib.contextmanager
    def _reading(self, buffer: int = -1) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb", buffer) as file:
                yield file
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _malformed(self, why: str, line: int) -> StoreError:
        return _malformed(self.path, why, line)


class Log(Rows[Row]):
    """One JSONL file of rows of one type. Holds keys and offsets in memory (index.py), never rows.

    Args:
        path: the file; created with its folders at the first append.
        row: the row type: ``Response``, ``Judgment`` or ``Batch``.
        claims: keeps other processes from asking for the same rows.
        durable: have the operating system put rows on the disk while they are written, which takes long for many
            files; without, only a crash of the whole machine loses some.
    """

    _index: Index

    def __init__(self, path: Path, row: type[Row], claims: Claims | None = None, *, durable: bool = True) -> None:
        super().__init__(path, row)
        self._row = row
        self._claims = claims
        self._durable = durable
        self._encoder = msgspec.json.Encoder()
        self._others: dict[str, Log[Row]] = {}
        self._place = os.fspath(path)
        """The path as text: it is looked at twice for every row, and to make it text takes as long as the look."""
        self._file: int | None = None
        self._synced = time.monotonic()

    def _lines(self, schema: object) -> Index:
        return Index(schema)

    def beside(self, folder: str) -> Log[Row]:
        """A log of the same name in another folder of the same results; it is closed with this one."""
        if folder not in self._others:
            path = self.path.parent.parent / folder / self.path.name
            self._others[folder] = Log(path, self._row, self._claims, durable=self._durable)
        return self._others[folder]

    def entry(self, key: str) -> Entry | None:
        """What is known of the latest row of ``key``, without reading it."""
        return self._index.entry(key)

    def snapshots(self, who: Ref) -> Counter[str]:
        """Rows of a judge or model by the id that the provider reported, replaced rows too."""
        return self._index.snapshots(who)

    def get(self, key: str) -> Row | None:
        """The latest row of ``key``, read from the file."""
        line = self._index.lines.get(key)
        if line is None:
            return None
        with self._reading() as file:
            file.seek(self._index.offsets[line])
            return self._decode(file.readline(), line)

    def claim(self, key: str, stopping: Callable[[], bool] = lambda: False) -> AbstractAsyncContextManager[None]:
        """Be the only process that asks for the row of ``key``; waits for one that does already.

        Call ``refresh`` inside, and look again: the row may have been stored meanwhile.

        Args:
            key: of the row.
            stopping: whether waiting has become pointless; the body then runs without a claim.
        """
        return self._claims.hold(key, stopping) if self._claims else contextlib.nullcontext()

    def claim_free(self, keys: Iterable[str]) -> AbstractContextManager[set[str]]:
        """Claim those of ``keys`` that no other process is asking for; tells which. Then ``refresh``, as above."""
        return self._claims.free(keys) if self._claims else contextlib.nullcontext(set(keys))

    def refresh(self) -> bool:
        """Take in what other processes appended meanwhile; True if anything. One stat if they did not.

        Raises:
            StoreError: the file is another one now; it was taken in.
        """
        now = self._now()
        if self._replaced(now):
            raise self._start_over()
        known = self._index.end
        if now is not None and now.st_size > max(known, self._torn):
            with self._reading() as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                self._catch_up(file.fileno())
        return self._index.end != known

    def ready(self) -> None:
        """See to it that rows can be appended, before any is paid for. A file that is not there is not made yet.

        Raises:
            StoreError: they cannot.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(self.path):
                file = self._open(0)
                fcntl.flock(file, fcntl.LOCK_EX)
                fcntl.flock(file, fcntl.LOCK_UN)
            elif not os.access(self.path.parent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "no file can be made there")
        except OSError as error:
            whys = {errno.ELOOP: "it is a link, perhaps to somebody else's file", errno.EEXIST: "its folder is a file"}
            raise StoreError(
                f"cannot write {str(self.path)!r}: {whys.get(error.errno or 0, error.strerror)}. Nothing was asked; "
                "mend that, or choose another folder with results_dir=DIR"
            ) from error

    def append(self, row: Row) -> None:
        """Write one row with one write call.

        Raises:
            NotStored: the row did not reach the file, which is left as it was before.
            StoreError: the row is stored, but in another file than the one that was there before.
        """
        self.extend((row,))

    def extend(self, rows: Sequence[Row], wanted: Callable[[Row], bool] | None = None) -> int:
        """Write rows with one write call; how many.

        Args:
            rows: to be written.
            wanted: chooses among them when no other process can write any more, and what others wrote is read.

        Raises:
            NotStored: the rows did not reach the file, which is left as it was before.
            StoreError: they are stored, but in another file than the one that was there before.
        """
        chosen = rows
        replaced = self._start_over() if self._file is not None and self._replaced(self._now()) else None
        try:
            file = self._open(os.O_CREAT)
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if wanted is not None:
                    self._catch_up(file)
                    chosen = [row for row in rows if wanted(row)]
                self._write(file, [self._encoder.encode(row) + b"\n" for row in chosen])
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
            if self._durable and time.monotonic() - self._synced > SYNC_INTERVAL:
                self.sync()
        except OSError as error:
            raise NotStored(
                f"cannot write {str(self.path)!r}: {error.strerror}. What was stored before is safe; {remedy(error)}, "
                "then run the same command again"
            ) from error
        if replaced is not None:
            raise replaced
        return len(chosen)

    def _open(self, flags: int) -> int:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Not through a link: a results folder may be somebody else's.
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | flags, 0o644)
            self._opened = os.fstat(self._file)
        return self._file

    def _now(self) -> os.stat_result | None:
        """What is at the path; None if nothing is."""
        try:
            return os.stat(self._place)
        except OSError as error:
            if self._file is None and not isinstance(error, FileNotFoundError):
                raise StoreError(f"cannot read {str(self.path)!r}: {error.strerror}") from error
            return None

    def _replaced(self, now: os.stat_result | None) -> bool:
        """Whether the open file is no longer the one at its path: rows written to it would be lost."""
        return self._file is not None and (now is None or not os.path.samestat(now, self._opened))

    def _start_over(self) -> StoreError:
        """Take in the file that is at the path now, if any, in place of the one that was. Returns what to tell."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._read_anew()
        return StoreError(
            f"{str(self.path)!r} was replaced or removed while a run was using it. What was still under way is in the "
            "file of that name now; run the same command again to go on from what it holds"
        )

    def sync(self) -> None:
        """Have the operating system put everything written so far on the disk."""
        if self._file is not None:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and release the file; a later append opens it again."""
        for other in self._others.values():
            other.close()
        if self._file is not None:
            try:
                if self._durable:
                    self.sync()
            finally:
                os.close(self._file)
                self._file = None

    def _write(self, file: int, lines: Sequence[bytes]) -> None:
        """Append under the lock; whatever fails, no partial line stays."""
        size = os.lseek(file, 0, os.SEEK_END)
        if size < self._index.end:  # going on would fill the gap with zeros
            raise StoreError(
                f"{str(self.path)!r} shrank from {self._index.end:,} to {size:,} bytes while a run was using it: "
                "something else than evalkit changed it. Run the same command again to go on from what it holds now"
            )
        if size > self._index.end:  # another process wrote meanwhile, or one died within a line
            self._catch_up(file)
            os.ftruncate(file, self._index.end)
        content, written = b"".join(lines), 0
        try:
            while written < len(content):
                written += os.write(file, content[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._index.end)
            raise
        self._enter(lines)


def file_name(name: str) -> str:
    """A model or judge name as one safe path component: equal to the name in ordinary cases, and never that of another.

    A very long name is cut and ends in its hash.
    """
    safe = quote(name, safe=" !#$&'()+,;=@[]^_{}~`-.")
    if len(safe) > LONGEST_NAME:
        mark = digest(name)
        safe = f"{safe[: LONGEST_NAME - len(mark) - 1]}~{mark}"
    return "%2E" + safe[1:] if safe.startswith(".") else safe


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {error.strerror}") from error


class Store:
    """The results folder of one benchmark.

    Layout::

        items.jsonl
        answers/<model>.jsonl
        judgments/<judge>.<protocol>.jsonl
        batches/<judge>.<protocol>.jsonl
        runs/<run id>/config.yaml, manifest.json, ...
        runs/.claims         what is being asked right now, by whichever process
    """

    def __init__(self, results: Path, benchmark: str, *, durable: bool = True) -> None:
        self.root = results / file_name(benchmark)
        self._durable = durable
        self._claims = Claims(self.root / "runs" / ".claims")
        self._responses: dict[str, Log[Response]] = {}
        self._judgments: dict[tuple[str, str], Log[Judgment]] = {}
        self._batches: dict[tuple[str, str], Log[Batch]] = {}

    def responses(self, model: str) -> Log[Response]:
        """The log of one model's answers."""
        if model not in self._responses:
            path = self.root / "answers" / f"{file_name(model)}.jsonl"
            self._responses[model] = Log(path, Response, self._claims, durable=self._durable)
        return self._responses[model]

    def judgments(self, judge: str, protocol: str) -> Log[Judgment]:
        """The log of one judge's judgments under one protocol."""
        if (judge, protocol) not in self._judgments:
            path = self.root / "judgments" / f"{file_name(judge)}.{file_name(protocol)}.jsonl"
            self._judgments[judge, protocol] = Log(path, Judgment, self._claims, durable=self._durable)
        return self._judgments[judge, protocol]

    def batches(self, judge: str, protocol: str) -> Log[Batch]:
        """What of one judge's requests a provider was sent as batches."""
        if (judge, protocol) not in self._batches:
            path = self.root / "batches" / f"{file_name(judge)}.{file_name(protocol)}.jsonl"
            self._batches[judge, protocol] = Log(path, Batch)
        return self._batches[judge, protocol]

    def close(self) -> None:
        """Sync and release every file."""
        for responses in self._responses.values():
            responses.close()
        for judgments in self._judgments.values():
            judgments.close()
        self._claims.close()
        for batches in self._batches.values():
            batches.close()
