"""`evalkit import`: foreign results into a results folder. What is there already is left alone."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response, digest
from evalkit.datasets.data_files import CutLine
from evalkit.interop import load
from evalkit.interop.records import UNKNOWN, Foreign, Imported, Told, key
from evalkit.interop.sources import Sources
from evalkit.storage.items import Items
from evalkit.storage.store import Log, Store, file_name

TOGETHER = 16_000_000
"""Bytes that are written at once: an arena has more judges than a process may have files open, or would open often."""


@dataclass(frozen=True)
class Summary:
    """The counts of one import."""

    benchmarks: tuple[str, ...]
    read: dict[str, int]
    """Records by kind: items, answers, judgments."""
    added: dict[str, int]
    """Those of them that were not there before."""
    failed: dict[str, int]
    """Records that hold a failure, as ``judgments unparsed``."""
    models: tuple[str, ...] = ()
    """Who answered."""


def foreign_log(folder: Path, format_name: str) -> Log[Any]:
    """The extras of one format, beside the answers and judgments of one benchmark."""
    return Log(folder / "foreign" / f"{file_name(format_name)}.jsonl", Foreign)


def _showing(judged: Judgment) -> str:
    """What a judge was asked, and who it is: several judgments of it are repeats.

    Of two models other texts of theirs are further ones, too: verdicts on either count.
    """
    apart = () if len(set(judged.models)) == 2 else judged.shown
    return digest(judged.item, judged.turn, judged.judge, judged.models, apart)


class _Results:
    """Writes rows where they belong: those of one file together, with few files open at a time."""

    def __init__(self, into: Path, format_name: str, reading: Sequence[Path]) -> None:
        self._into = into
        self._reading = reading
        self._sources: dict[str, Sources] = {}
        self._owners: dict[str, str] = {}
        """The file that each judgment of this import is from, by its key."""
        self._repeats: dict[Path, Counter[str]] = {}
        """How many judgments there are on the same showing, by file of judgments."""
        self._format = format_name
        self._stores: dict[str, Store] = {}
        self._items: dict[str, Items] = {}
        self._logs: dict[Path, Log[Any]] = {}
        self._foreign: dict[Path, Log[Any]] = {}
        self._waiting: dict[Path, dict[str, Any]] = {}
        """Rows that are not written yet, by file and key."""
        self._questions: dict[str, dict[str, Item]] = {}
        """Likewise, by benchmark and id."""
        self._bytes = 0
        self._encode = msgspec.json.Encoder().encode

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks that were written to."""
        return tuple(self._stores)

    def add(self, row: Imported) -> bool:
        """Write a record and its extras; False if both are there."""
        record = row.record
        store = self._stores.get(record.benchmark)
        if store is None:
            store = self._stores[record.benchmark] = Store(self._into, record.benchmark, durable=False)
            self._items[record.benchmark] = Items(store.root)
            self._sources[record.benchmark] = Sources(store.root)
        if isinstance(record, Judgment) and self._reading:
            return self._judgment(store, row, record)
        if row.extra:  # first, so that a record that is there never lacks its extras
            self._append(self._extras(store), Foreign(key(record), row.extra))
        if isinstance(record, Item):
            return self._item(record)
        if isinstance(record, Response):
            return self._append(store.responses(record.model.name), record)
        return self._append(store.judgments(record.judge.name, record.protocol), record)

    def _item(self, item: Item) -> bool:
        """Write a question, with what is known of it already, unless that is all there is."""
        waiting = self._questions.setdefault(item.benchmark, {})
        known = waiting.get(item.id) or self._items[item.benchmark].known.get(item.id)
        completed = _completed(item, known)
        if completed == known:
            return False
        waiting[item.id] = completed
        self._waits(completed)
        return True

    def _extras(self, store: Store) -> Log[Any]:
        if store.root not in self._foreign:
            self._foreign[store.root] = foreign_log(store.root, self._format)
        return self._foreign[store.root]

    def _judgment(self, store: Store, row: Imported, judged: Judgment) -> bool:
        """Write a judgment, unless it is there from the same file. Equal ones of another file are further ones."""
        source = self._sources[judged.benchmark].of(self._reading[0])
        log, extras = store.judgments(judged.judge.name, judged.protocol), self._extras(store)
        showings = self._showings(log)
        name = judged.key
        if self._owner(name, log, extras) not in (None, source):
            name = digest(name, source)
        self._owners[name] = source
        if name in self._waiting.get(log.path, {}) or log.entry(name) is not None:
            return False
        about = _showing(judged)
        repeat, showings[about] = showings[about], showings[about] + 1
        extra = {**row.extra, "source": source}
        if "row" in extra:
            extra["row"] = digest(extra["row"], source)
        self._append(extras, Foreign(name, extra))
        return self._append(log, replace(judged, key=name, repeat=repeat))

    def _owner(self, name: str, log: Log[Any], extras: Log[Any]) -> str | None:
        """The file that a judgment is from; None where there is none of this key, or nobody noted it."""
        if name in self._owners:
            return self._owners[name]
        if log.entry(name) is None:
            return None
        found = extras.get(name)
        return found.extra.get("source") if found is not None else None

    def _showings(self, log: Log[Judgment]) -> Counter[str]:
        if log.path not in self._repeats:
            self._repeats[log.path] = Counter(map(_showing, log))
        return self._repeats[log.path]

    def _append(self, log: Log[Any], row: Any) -> bool:
        waiting = self._waiting.setdefault(log.path, {})
        known = waiting.get(row.key)
        if known is None and log.entry(row.key) is not None:
            known = row if isinstance(row, Judgment) else log.get(row.key)
        if known is not None and (isinstance(row, Judgment) or known == row):
            return False
        self._logs[log.path] = log
        waiting.pop(row.key, None)
        waiting[row.key] = row
        self._waits(row)
        return True

    def _waits(self, row: Any) -> None:
        self._bytes += len(self._encode(row))
        if self._bytes >= TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what waits, extras first, then questions, and release every file."""
        extras = [path for path in self._waiting if path.parent.name == "foreign"]
        self._write(extras)
        for benchmark, waiting in self._questions.items():
            self._items[benchmark].keep(waiting.values())
        self._write(path for path in self._waiting if path not in extras)
        self._waiting.clear()
        self._questions.clear()
        self._bytes = 0

    def _write(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if rows := list(self._waiting[path].values()):
                self._logs[path].extend(rows)
                self._logs[path].close()


def _completed(item: Item, known: Item | None) -> Item:
    """An item with what is known of it from elsewhere: a file that lacks references takes none away."""
    if known is None or known.turns != item.turns:
        return item
    return replace(
        item,
        reference=item.reference if any(item.reference) else known.reference,
        category=known.category if item.category == UNKNOWN else item.category,
        meta={**known.meta, **item.meta},
    )


def import_results(
    format_name: str,
    path: Path,
    into: Path,
    benchmark: str | None = None,
    told: Told | None = None,
    *,
    judgments: bool = True,
) -> Summary:
    """Read foreign results and store them as ``into/<benchmark>/{items.jsonl,answers,judgments,foreign}``.

    All of it or nothing: everything is read once before anything is stored.

    Args:
        format_name: one of ``interop.names()``.
        path: a file or a folder, which is imported whole.
        into: a results folder.
        benchmark: what to call the benchmark; None leaves it to the format.
        told: what the user says of the files; keeps what had to be assumed.
        judgments: False takes questions and answers alone.

    Raises:
        UsageError: no such format, nothing there, or a record is malformed; nothing is stored then.
    """
    plugin = load(format_name, benchmark, told)
    reading = plugin.told.reading

    def read() -> Iterable[Imported]:
        rows = plugin.read(path)
        return rows if judgments else (row for row in rows if not isinstance(row.record, Judgment))

    kept: list[tuple[Imported, list[Path]]] | None = [] if _bytes(path) <= TOGETHER else None
    _check(read() if kept is None else _keeping(read(), reading, kept), into)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CutLine)  # said already
        summary = store(read() if kept is None else _again(kept, reading), into, format_name, reading)
    if not summary.read:
        raise UsageError(f"nothing to import in {str(path)!r}: its files are empty")
    return summary


def _bytes(path: Path) -> int:
    """Size of a file, or of all in a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def _keeping(
    rows: Iterable[Imported], reading: list[Path], kept: list[tuple[Imported, list[Path]]]
) -> Iterator[Imported]:
    """Rows as they come, each kept with the file it is from."""
    for row in rows:
        kept.append((row, list(reading)))
        yield row


def _again(kept: Iterable[tuple[Imported, list[Path]]], reading: list[Path]) -> Iterator[Imported]:
    """Rows that were kept, as if they were read once more."""
    for row, files in kept:
        reading[:] = files
        yield row


def _check(rows: Iterable[Imported], into: Path) -> None:
    """Read everything once; raise UsageError where the results hold another question under an item's id."""
    stored: dict[str, Items] = {}
    for row in rows:
        if not isinstance(item := row.record, Item):
            continue
        folder = into / file_name(item.benchmark)
        if item.benchmark not in stored:
            stored[item.benchmark] = Items(folder)
        known = stored[item.benchmark].known.get(item.id)
        if known is not None and known.turns != item.turns:
            raise UsageError(
                f"{str(folder)!r} has another question with the id {item.id[:80]!r}: {_begin(known)}, and here "
                f"{_begin(item)}. A benchmark that was translated or changed is one of its own: name it with "
                "--benchmark NAME, or import into another folder with --into DIR"
            )


def _begin(item: Item) -> str:
    return repr(" ".join(item.turns)[:60])


def store(rows: Iterable[Imported], into: Path, format_name: str, reading: Sequence[Path] = ()) -> Summary:
    """Store rows as they come; ``reading`` holds the file that each is from."""
    read: Counter[str] = Counter()
    added: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    models: dict[str, None] = {}
    results = _Results(into, format_name, reading)
    try:
        for row in rows:
            kind = {Item: "items", Response: "answers", Judgment: "judgments"}[type(row.record)]
            read[kind] += 1
            added[kind] += results.add(row)
            if isinstance(row.record, Response):
                models[row.record.model.name] = None
            if not isinstance(row.record, Item) and row.record.error is not None:
                failed[f"{kind} {row.record.error.kind}"] += 1
    finally:
        results.flush()
    new = {kind: count for kind, count in added.items() if count}
    return Summary(results.benchmarks, dict(read), new, dict(failed), tuple(models))
