"""Writing foreign files: many at once, whatever the models are called, and nowhere but below one folder."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response
from evalkit.interop.records import Imported
from evalkit.storage.store import file_name

OPEN_FILES = 64


class Outputs:
    """RowAssembler into files, as JSONL or as one JSON list a file. A file that was there before is replaced.

    Args:
        out: the folder everything goes below.
        arrays: write JSON lists instead of lines.
    """

    def __init__(self, out: Path, *, arrays: bool = False) -> None:
        self.out = out
        self._arrays = arrays
        self._begun: set[Path] = set()
        self._open: OrderedDict[Path, IO[bytes]] = OrderedDict()

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _explained(self.out):
            if self._arrays:
                for path in self._begun:
                    self._file(path).write(b"\n]\n")
            for file in self._open.values():
                file.close()

    def row(self, parts: Iterable[str], row: Mapping[str, Any]) -> None:
        """Add a row to the file with this path; each part is made safe."""
        *folders, name = parts
        stem, dot, suffix = name.rpartition(".")
        path = self.out.joinpath(*map(file_name, folders), file_name(stem) + dot + suffix)
        line = msgspec.json.encode(row)
        with _explained(path):
            if self._arrays:
                line = (b",\n" if path in self._begun else b"[\n") + line
            else:
                line += b"\n"
            self._file(path).write(line)

    def _file(self, path: Path) -> IO[bytes]:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if len(self._open) >= OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path not in self._begun and path.is_symlink():  # what it points to is not ours to replace
            path.unlink()
        file = path.open("ab" if path in self._begun else "wb")
        self._begun.add(path)
        self._open[path] = file
        return file


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error


class RowAssembler:
    """Puts the parts of each row back together, as they come.

    Parts say themselves that they belong together (``row``, ``part``, ``of``) if they were imported; judgments of our
    own do if they show the same two models on the same turn in opposite orders.
    """

    def __init__(self) -> None:
        self._waiting: dict[object, dict[int, Imported]] = {}

    @property
    def incomplete(self) -> int:
        """Records whose other part has not come."""
        return sum(len(parts) for parts in self._waiting.values())

    def add(self, row: Imported, *, pairs: bool) -> list[Imported] | None:
        """The whole row, in order, once its last part is there.

        Args:
            row: one part.
            pairs: a judgment of two answers waits for the one in the other order.
        """
        if "row" in row.extra:
            name: object = row.extra["row"]
            place, expected = row.extra["part"], row.extra["of"]
        elif pairs and isinstance(row.record, Judgment) and len(row.record.models) == 2:
            judged = row.record
            name = (judged.judge, judged.item, judged.turn, judged.protocol, judged.repeat, frozenset(judged.shown))
            parts = self._waiting.get(name, {})
            if parts and parts[0].record.shown == judged.shown:  # type: ignore[union-attr]
                return None  # the same order again
            place, expected = len(parts), 2
        else:
            return [row]
        waiting = self._waiting.setdefault(name, {})
        waiting[place] = row
        if len(waiting) < expected:
            return None
        del self._waiting[name]
        return [waiting[place] for place in sorted(waiting)]


def judgments(rows: list[Imported]) -> list[Judgment]:
    """The judgments among some records."""
    return [row.record for row in rows if isinstance(row.record, Judgment)]


def responses(rows: list[Imported]) -> list[Response]:
    """The answers among some records."""
    return [row.record for row in rows if isinstance(row.record, Response)]


def remembered(rows: Iterable[Imported], items: dict[tuple[str, str], Item]) -> Iterator[Imported]:
    """Pass rows on, noting the items on the way."""
    for row in rows:
        if isinstance(row.record, Item):
            items[row.record.benchmark, row.record.id] = row.record
        yield row
