"""`evalkit import`: foreign results into a results folder. What is there already is left alone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.interop import load
from evalkit.interop.records import Foreign, Imported, key
from evalkit.items import Items
from evalkit.protocols import UsageError
from evalkit.schema import Item, Judgment, Response
from evalkit.store import Log, Store, file_name

OPEN_LOGS = 64
"""An arena has more judges than a process may have files open."""


@dataclass(frozen=True)
class Summary:
    """What an import found."""

    benchmarks: tuple[str, ...]
    read: dict[str, int]
    """Records by kind: items, answers, judgments."""
    added: dict[str, int]
    """Those of them that were not there before."""
    failed: dict[str, int]
    """Records that hold a failure, as ``judgments unparsed``."""


def foreign_log(folder: Path, format_name: str) -> Log[Any]:
    """The extras of one format, beside the answers and judgments of one benchmark."""
    return Log(folder / "foreign" / f"{file_name(format_name)}.jsonl", Foreign)


class _Results:
    """Writes rows where they belong, with few files open."""

    def __init__(self, into: Path, format_name: str) -> None:
        self._into = into
        self._format = format_name
        self._stores: dict[str, Store] = {}
        self._items: dict[str, Items] = {}
        self._foreign: dict[str, Log[Any]] = {}
        self._open: OrderedDict[Path, Log[Any]] = OrderedDict()

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """What was written to."""
        return tuple(self._stores)

    def add(self, row: Imported) -> bool:
        """Write a record and its extras; False if both are there."""
        record = row.record
        store = self._stores.get(record.benchmark)
        if store is None:
            store = self._stores[record.benchmark] = Store(self._into, record.benchmark)
            self._items[record.benchmark] = Items(store.root)
            self._foreign[record.benchmark] = foreign_log(store.root, self._format)
        if row.extra:  # first, so that a record that is there never lacks its extras
            self._append(self._foreign[record.benchmark], Foreign(key(record), row.extra))
        if isinstance(record, Item):
            return self._items[record.benchmark].keep((record,)) > 0
        if isinstance(record, Response):
            return self._append(store.responses(record.model.name), record)
        return self._append(store.judgments(record.judge.name, record.protocol), record)

    def _append(self, log: Log[Any], row: Any) -> bool:
        if log.entry(row.key) is not None and (isinstance(row, Judgment) or log.get(row.key) == row):
            return False
        log.append(row)
        self._open[log.path] = log
        self._open.move_to_end(log.path)
        if len(self._open) > OPEN_LOGS:
            self._open.popitem(last=False)[1].close()
        return True

    def close(self) -> None:
        """Sync and release every file."""
        for log in self._open.values():
            log.close()


def import_results(format_name: str, path: Path, into: Path, benchmark: str | None = None) -> Summary:
    """Read foreign results and store them as ``into/<benchmark>/{items.jsonl,answers,judgments,foreign}``.

    Args:
        format_name: one of ``interop.names()``.
        path: a file or a folder, which is imported whole.
        into: a results folder.
        benchmark: what to call the benchmark; None leaves it to the format.

    Raises:
        UsageError: no such format, nothing there, or a record is malformed; rows before it are stored.
    """
    summary = store(load(format_name, benchmark).read(path), into, format_name)
    if not summary.read:
        raise UsageError(f"nothing to import in {str(path)!r}: its files are empty")
    return summary


def store(rows: Iterable[Imported], into: Path, format_name: str) -> Summary:
    """Store rows as they come."""
    read: Counter[str] = Counter()
    added: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    results = _Results(into, format_name)
    try:
        for row in rows:
            kind = {Item: "items", Response: "answers", Judgment: "judgments"}[type(row.record)]
            read[kind] += 1
            added[kind] += results.add(row)
            if not isinstance(row.record, Item) and row.record.error is not None:
                failed[f"{kind} {row.record.error.kind}"] += 1
    finally:
        results.close()
    return Summary(
        results.benchmarks, dict(read), {kind: count for kind, count in added.items() if count}, dict(failed)
    )
