"""The texts of questions that stored judgments are about."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from evalkit.datasets import benchmark
from evalkit.decisions.sources import Sides
from evalkit.storage.items import NAME, Items


def asked_in(what: Sides, benchmarks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Turns by question: those kept beside the results, and else those of our benchmarks on this machine."""
    found: dict[str, tuple[str, ...]] = {}
    for name in benchmarks:
        found.update((item.id, item.turns) for item in benchmark.local_items(name))
    for place in what.places:
        for folder in _folders(place.path):
            found.update((item.id, item.turns) for item in Items(folder).known.values())
    return found


def _folders(path: Path) -> list[Path]:
    """Folders with questions at, below or beside a path."""
    if path.is_file():
        near = [path.parent, path.parent.parent]
        return [folder for folder in near if (folder / NAME).is_file()]
    return [one.parent for one in sorted(path.glob(f"**/{NAME}"))]
