"""Which results files there are at or below the paths that a command is given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from evalkit.core.schema import Item, Judged, Judgment, Response
from evalkit.storage.items import Items
from evalkit.storage.store import Log, Rows, StoreError, first_row


def judgment_files(paths: Iterable[Path]) -> list[Path]:
    """Every judgments file at or below the given files and folders.

    Raises:
        StoreError: a path does not exist.
    """
    return _files(paths, "judgments")


def judgment_logs(paths: Iterable[Path]) -> list[Log[Judgment]]:
    """Every judgments file at or below the given files and folders.

    Raises:
        StoreError: a path does not exist.
    """
    return [Log(path, Judgment) for path in _files(paths, "judgments")]


def judged_rows(paths: Iterable[Path]) -> list[Rows[Judged]]:
    """The same files, of which only what was judged is read."""
    return [Rows(path, Judged) for path in _files(paths, "judgments")]


def first_judged(paths: Iterable[Path]) -> Iterator[Judged]:
    """The first row of each of the same files, without a look at the rest."""
    rows = (first_row(path, Judged) for path in _files(paths, "judgments"))
    return (row for row in rows if row is not None)


def answer_logs(paths: Iterable[Path]) -> list[Log[Response]]:
    """The answers that belong to the same results."""
    near = (path.parent.parent / "answers" if path.is_file() else path for path in paths)
    return [Log(path, Response) for path in _files((path for path in near if path.exists()), "answers")]


def known_items(paths: Iterable[Path]) -> dict[str, dict[str, Item]]:
    """The questions that lie beside the same results, by benchmark and id."""
    found: dict[str, dict[str, Item]] = {}
    for folder in dict.fromkeys(path.parent.parent for path in _files(paths, "judgments")):
        for item in Items(folder).known.values():
            found.setdefault(item.benchmark, {})[item.id] = item
    return found


def _files(paths: Iterable[Path], kind: str) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if not os.path.exists(path):  # Path.exists raises for a name that is too long
            raise StoreError(f"no results at {str(path)!r}; `evalkit run <benchmark>` makes some, or name another path")
        alone = path.name == kind and not _is_benchmark(path)
        inside = path.glob("*.jsonl") if alone else path.glob(f"**/{kind}/*.jsonl")
        matches = [path] if path.is_file() else sorted(match for match in inside if not _is_benchmark(match.parent))
        found.update(dict.fromkeys(match.resolve() for match in matches))
    return list(found)


def _is_benchmark(folder: Path) -> bool:
    """Whether it is a benchmark's results folder, which may be called ``answers`` or ``judgments`` itself."""
    return any((folder / kind).is_dir() for kind in ("answers", "judgments"))
