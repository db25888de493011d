"""The verb ``evalkit import FORMAT PATH``: another tool's results into a results folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit import interop
from evalkit.cli.arguments import parse
from evalkit.cli.messages import DONE, note
from evalkit.datasets.vocabulary import MAP_HELP, parse_map
from evalkit.interop.importing import import_results
from evalkit.interop.records import Told


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="evalkit import")
    add = parser.add_argument
    add("format", metavar="FORMAT", help=", ".join(interop.names()))
    add("path", type=Path, metavar="PATH", help="a file, or a folder to be imported whole")
    add("--into", type=Path, default=Path("results"), metavar="DIR", help="results folder (results)")
    add("--benchmark", metavar="NAME", help="what to call the benchmark, where the files do not say")
    add("--skip-bad", action="store_true", help="leave out records that cannot be read, and count them")
    add("--judge", metavar="NAME", help="what to call a judge, where the files do not say")
    add("--baseline", metavar="NAME", help="the model all others were compared with, likewise")
    add("--model", metavar="NAME", help="who answered, likewise")
    add("--map", action="append", metavar="FIELD=COLUMN", help=MAP_HELP)
    given = parse(parser, arguments)
    told = Told(given.judge, given.baseline, given.model, parse_map(given.map), given.skip_bad)
    found = import_results(given.format, given.path, given.into, given.benchmark, told)
    for text in told.notes():
        note(text)
    for kind, count in found.read.items():
        note(f"{count:,} {kind}, {found.added.get(kind, 0):,} of them new")
    for kind, count in found.failed.items():
        note(f"{count:,} {kind}: kept as failures")
    note("in " + ", ".join(f"{given.into / name}/" for name in found.benchmarks))
    return DONE
