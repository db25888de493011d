"""The verb ``evalkit export FORMAT [PATH ...] -o DIR``: results as another tool's files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit import interop
from evalkit.cli.arguments import RESULTS, parse
from evalkit.cli.messages import DONE, note
from evalkit.interop.exporting import export_results

if TYPE_CHECKING:
    from evalkit.core.schema import Item

LOST = (
    "Files hold what their tool has a field for. Those of alpaca_eval and arena_hard name neither benchmark nor "
    "protocol: import each benchmark's by itself, with --benchmark NAME; the protocol comes back as the tool's."
)


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="evalkit export", epilog=LOST)
    add = parser.add_argument
    add("format", metavar="FORMAT", help=", ".join(interop.exportable()))
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write to")
    given = parse(parser, arguments)
    items = [item for path in given.paths for item in _questions_of(path)]
    for kind, count in export_results(given.format, given.paths, given.output, items).items():
        note(f"{count:,} {kind}")
    note(f"in {given.output}/")
    return DONE


def _questions_of(path: Path) -> Iterator[Item]:
    """Items of our own benchmarks with results here; fetched only where the results have no questions with them."""
    import asyncio

    from evalkit.datasets import benchmark
    from evalkit.storage.items import NAME

    for name in benchmark.names():
        folder = path if path.name == name else path / name
        if folder.is_dir() and benchmark.spec(name).has_questions:
            stored = (folder / NAME).exists()
            yield from benchmark.at_hand(name) if stored else asyncio.run(benchmark.load(name)).items
