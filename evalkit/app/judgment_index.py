"""Stored judgments as columns: what each is about, what it said, and where its line is. Built once, then caught up.

Columns of numbers in NumPy files rather than a database: every filter of the table is one comparison of a column, a
million rows take about 60 MB and a few milliseconds a filter, and NumPy is there already. Texts stay where they are
stored; a line is read when somebody opens it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.schema import INFINITY, Judgment, digest
from evalkit.ratings.judgment_columns import HUMAN, PLAIN, outcome_of
from evalkit.storage.results import judgment_files

if TYPE_CHECKING:
    import numpy.typing as npt

NAN = float("nan")
VERSION = 1
"""Of the stored form; raise it when columns change."""
NAME = "index.npz"
SCHEMA = "evalkit.judgment/1"
CHUNK = 1 << 16
"""Rows moved to arrays at once."""
COLUMNS = {
    "source": "i4",
    "offset": "i8",
    "key": "u8",
    "judge": "i4",
    "item": "i4",
    "turn": "i4",
    "shown": "i4",
    "flipped": "i1",
    "outcome": "f8",
    "kind": "i4",
    "label": "i4",
    "length": "i4",
    "created": "f8",
}
"""By name: kind of number. ``outcome``: a score, or that of the pair's first model by name; NaN where there is none."""


class _NamedRef(msgspec.Struct, gc=False):
    name: str
    fingerprint: str


class _Error(msgspec.Struct, gc=False):
    kind: str


class _Row(msgspec.Struct, gc=False):
    """What the columns need of a line."""

    schema: str
    key: str
    item: str
    benchmark: str
    category: str
    turn: int
    judge: msgspec.Raw
    protocol: str
    models: msgspec.Raw
    lengths: tuple[int, ...] = ()
    scores: tuple[float, ...] | None = None
    label: str | None = None
    error: _Error | None = None
    created: float = 0.0


class JudgeKey(NamedTuple):
    """Who judged, in which results."""

    root: int
    name: str
    fingerprint: str
    protocol: str

    @property
    def person(self) -> bool:
        """Whether these are people, who are taken together."""
        return self.fingerprint == HUMAN


class QuestionKey(NamedTuple):
    """What was asked."""

    benchmark: str
    item: str
    category: str


class ModelKey(NamedTuple):
    """Who answered, in which configuration."""

    name: str
    fingerprint: str


class Numbers(dict[Any, int]):
    """Numbers names in order of appearance."""

    def __missing__(self, name: Any) -> int:
        self[name] = number = len(self)
        return number


class FileState(msgspec.Struct):
    """How far one file is read, and what tells it from another one of its name."""

    path: str
    root: int
    end: int = 0
    """Bytes read."""
    size: int = 0
    """Bytes there were then."""
    inode: int = 0
    head: str = ""


class IndexNames(msgspec.Struct):
    """What the numbers in the columns stand for."""

    version: int
    roots: list[str]
    files: list[FileState] = []
    judges: list[JudgeKey] = []
    questions: list[QuestionKey] = []
    models: list[ModelKey] = []
    shown: list[tuple[int, ...]] = []
    """Models of a judgment, by name."""
    labels: list[str] = []
    kinds: list[str] = []


NUMBERED: dict[str, Callable[[Any], Any]] = {
    "judges": JudgeKey._make,
    "questions": QuestionKey._make,
    "models": ModelKey._make,
    "shown": tuple,
    "labels": str,
    "kinds": str,
}
"""The lists of names, and what their members are."""


@dataclass
class JudgmentIndex:
    """Every judgment at or below some results paths, in columns.

    Args:
        paths: results folders or judgments files, each one *run* for comparisons.
        cache: folder to keep the columns in; None keeps them in memory alone.
    """

    paths: tuple[Path, ...]
    cache: Path | None = None
    names: IndexNames = field(init=False)
    columns: dict[str, npt.NDArray[Any]] = field(init=False)
    version: int = 0
    """Rises whenever rows arrive."""
    _numbers: dict[str, Numbers] = field(default_factory=dict, repr=False)
    complete: bool = True
    """Whether all that was there at the last call is read."""
    _saved: int = 0
    """Rows in the cache."""

    def __post_init__(self) -> None:
        """Take what is cached; ``refresh`` takes the rest."""
        if not self._load():
            self._empty()

    def __len__(self) -> int:
        return int(self.columns["source"].size)

    def _empty(self) -> None:
        import numpy as np

        self.names = IndexNames(VERSION, [str(path) for path in self.paths])
        self.columns = {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}
        self._number_names()

    def _number_names(self) -> None:
        self._numbers = {name: Numbers(zip(getattr(self.names, name), count())) for name in NUMBERED}

    def _name_numbers(self) -> None:
        """Enter the names that were numbered since."""
        for name, kind in NUMBERED.items():
            known: list[Any] = getattr(self.names, name)
            known += [kind(one) for one in islice(self._numbers[name], len(known), None)]

    def refresh(self, seconds: float = INFINITY) -> bool:
        """Take in what was written since; whether there was anything. A file that was replaced is read anew.

        Args:
            seconds: to stop after, with ``complete`` saying so; the next call goes on.
        """
        import numpy as np

        until = time.monotonic() + seconds
        if any(_changed(state) for state in self.names.files):
            self._empty()
        parts: list[dict[str, npt.NDArray[Any]]] = []
        self.complete = True
        for number, state in enumerate(self._states()):
            if os.stat(state.path).st_size == state.end:
                continue
            if time.monotonic() > until:
                self.complete = False
                break
            parts += self._read(state, number, until)
        if parts:
            self._name_numbers()
            columns = {name: [self.columns[name], *(part[name] for part in parts)] for name in COLUMNS}
            self.columns = {name: np.concatenate(several) for name, several in columns.items()}
            self.version += 1
        if self.complete and len(self) > 1.2 * self._saved:  # what a run adds is soon read again
            self._save()
        return bool(parts)

    def _states(self) -> list[FileState]:
        """The files there are now, those that were read before in their places."""
        known = {state.path: state for state in self.names.files}
        for root, path in enumerate(self.paths):
            for file in judgment_files([path]):
                if str(file) not in known:
                    stat = file.stat()
                    known[str(file)] = FileState(str(file), root, inode=stat.st_ino, size=stat.st_size)
                    self.names.files.append(known[str(file)])
        return self.names.files

    def _read(self, state: FileState, number: int, until: float) -> list[dict[str, npt.NDArray[Any]]]:
        """Columns of the lines of a file beyond those known, until a time."""
        enabled = gc.isenabled()
        gc.disable()  # no row refers to itself
        parts = []
        try:
            for part in self._lines(state, number):
                parts.append(part)
                if time.monotonic() > until:
                    self.complete = False
                    break
        finally:
            if enabled:
                gc.enable()
        with open(state.path, "rb") as file:
            stat = os.fstat(file.fileno())
            state.inode, state.size, state.head = stat.st_ino, stat.st_size, _head(file.read(512), state.end)
        return parts

    def _lines(self, state: FileState, number: int) -> Iterable[dict[str, npt.NDArray[Any]]]:
        """Columns of the lines of a file, some at a time. Written as one plain loop: it is what opening takes."""
        pending: list[tuple[Any, ...]] = []
        decode, enter = msgspec.json.Decoder(_Row).decode, pending.append
        judges_of, items_of, models_of, shown_by, labels_of, kinds_of = (self._numbers[name] for name in NUMBERED)
        ordered_of: dict[bytes, tuple[int, bool]] = {}
        judge_of: dict[tuple[bytes, str], int] = {}
        at = state.end
        with open(state.path, "rb", 1 << 20) as file:
            file.seek(at)
            for line in file:
                if line[-1:] != b"\n":
                    break  # still being written
                try:
                    row = decode(line)
                    if row.schema != SCHEMA:
                        raise ValueError(f"schema {row.schema!r} where {SCHEMA!r} is expected")
                except (ValueError, RecursionError) as error:
                    raise UsageError(f"{state.path!r}, at byte {at:,}: {error}. Mend or delete that line") from error
                by, models, scores = bytes(row.judge), bytes(row.models), row.scores
                judge = judge_of.get((by, row.protocol))
                if judge is None:
                    who = msgspec.json.decode(by, type=_NamedRef)
                    name = HUMAN if who.fingerprint == HUMAN else who.name
                    judge = judges_of[state.root, name, who.fingerprint, row.protocol]
                    judge_of[by, row.protocol] = judge
                found = ordered_of.get(models)
                if found is None:
                    given = tuple(
                        (one.name, one.fingerprint) for one in msgspec.json.decode(models, type=list[_NamedRef])
                    )
                    ordered = tuple(sorted(given))
                    found = shown_by[tuple([models_of[one] for one in ordered])], ordered != given
                    ordered_of[models] = found
                outcome = NAN if scores is None else scores[0] if scores in PLAIN else None
                if outcome is None or found[1]:
                    outcome = _outcome(scores, found[1])
                enter(
                    (
                        at,
                        int(row.key[:16], 16) if len(row.key) == 32 else _key(row.key),
                        judge,
                        items_of[row.benchmark, row.item, row.category],
                        row.turn,
                        *found,
                        outcome,
                        -1 if row.error is None else kinds_of[row.error.kind],
                        -1 if row.label is None else labels_of[row.label],
                        max(row.lengths, default=0),
                        row.created,
                    )
                )
                at += len(line)
                if len(pending) == CHUNK:
                    state.end = at
                    yield _arrays(pending, number)
        state.end = at
        if pending:
            yield _arrays(pending, number)

    def _load(self) -> bool:
        """Take the cached columns; whether they are of these paths and whole."""
        import numpy as np

        if self.cache is None:
            return False
        try:
            with open(self.cache / NAME, "rb") as file, np.load(file, allow_pickle=False) as stored:
                names = msgspec.json.decode(stored["names"].tobytes(), type=IndexNames)
                columns = {name: stored[name] for name in COLUMNS}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
            return False
        if names.version != VERSION or names.roots != [str(path) for path in self.paths]:
            return False
        self.names, self.columns = names, columns
        self._number_names()
        self._saved = len(self)
        return True

    def _save(self) -> None:
        """Keep the columns for the next time; where that cannot be done, they are made again."""
        import numpy as np

        if self.cache is None:
            return
        with contextlib.suppress(OSError):
            self.cache.mkdir(parents=True, exist_ok=True)
            beside = self.cache / f".{os.getpid()}.{NAME}"
            parts: dict[str, Any] = {"names": np.frombuffer(msgspec.json.encode(self.names), np.uint8), **self.columns}
            np.savez(beside, **parts)
            beside.replace(self.cache / NAME)
            self._saved = len(self)

    @property
    def progress(self) -> float:
        """The share of the files' bytes that is read."""
        return sum(state.end for state in self.names.files) / max(1, sum(state.size for state in self.names.files))


def read_judgment(names: IndexNames, columns: Mapping[str, npt.NDArray[Any]], row: int) -> Judgment:
    """One judgment, read from its file.

    Args:
        names: of the index.
        columns: likewise.
        row: its place in them.

    Raises:
        UsageError: the line is not what it was.
    """
    path = names.files[int(columns["source"][row])].path
    try:
        with open(path, "rb") as file:
            file.seek(int(columns["offset"][row]))
            return msgspec.json.decode(file.readline(), type=Judgment)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path!r} was changed while it was open: {error}. Load the page again") from error


def cache_of(paths: Iterable[Path]) -> Path:
    """Where the columns of these results are kept."""
    from evalkit.core.paths import cache_dir

    return cache_dir() / "view" / digest([str(path) for path in paths])


def _key(key: str) -> int:
    """64 bits of a key, which is a content hash."""
    try:
        return int(key[:16], 16)
    except ValueError:
        return int(digest(key)[:16], 16)


def _outcome(scores: tuple[float, ...] | None, flipped: bool) -> float:
    if scores is None:
        return float("nan")
    if len(scores) == 1:
        return scores[0]
    if len(scores) != 2:
        return float("nan")  # more than two have no one number
    outcome = scores[0] if scores in PLAIN else outcome_of((scores[0], scores[1]))
    return 1.0 - outcome if flipped else outcome


def _arrays(pending: list[tuple[Any, ...]], number: int) -> dict[str, npt.NDArray[Any]]:
    import numpy as np

    kinds = iter(COLUMNS.items())
    name, kind = next(kinds)
    made: dict[str, npt.NDArray[Any]] = {name: np.full(len(pending), number, kind)}
    made |= {
        name: np.array(values, kind) for (name, kind), values in zip(kinds, zip(*pending, strict=True), strict=True)
    }
    pending.clear()
    return made


def _head(content: bytes, end: int) -> str:
    return hashlib.blake2b(content[: min(end, 512)], digest_size=8).hexdigest()


def _changed(state: FileState) -> bool:
    """Whether a file is another one than the one that was read."""
    try:
        with open(state.path, "rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size < state.end or stat.st_ino != state.inode:
                return True
            return state.end > 0 and _head(file.read(512), state.end) != state.head
    except OSError:
        return True
