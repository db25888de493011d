"""The verb ``evalkit export FORMAT [PATH ...] -o DIR``: results as another tool's files."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit import interop
from evalkit.cli.arguments import RESULTS, parse
from evalkit.cli.messages import DONE, note
from evalkit.core.protocols import UsageError
from evalkit.interop.exporting import export_results

if TYPE_CHECKING:
    from evalkit.core.schema import Item

ONE_WAY = ("every_eval_ever", "eval_results", "inspect_ai", "parquet")
"""Formats that are written and not read back as results: evalkit.publish.exports has them."""
TRACKERS = ("mlflow", "wandb", "trackio")
_NUMBERS = ("every_eval_ever", "eval_results", *TRACKERS)
CHOICES = {
    "judge": (*_NUMBERS, "inspect_ai"),
    "protocol": (*_NUMBERS, "inspect_ai"),
    "method": _NUMBERS,
    "organization": ("every_eval_ever",),
    "relationship": ("every_eval_ever",),
    "dataset": ("eval_results",),
    "task": ("eval_results",),
    "source": ("eval_results",),
    "project": TRACKERS,
}
"""The formats that each option means something to."""
LOST = (
    "Files hold what their tool has a field for. Those of alpaca_eval and arena_hard name neither benchmark nor "
    "protocol: import each benchmark's by itself, with --benchmark NAME; the protocol comes back as the tool's."
)


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="evalkit export", epilog=LOST)
    add = parser.add_argument
    names = ", ".join([*interop.exportable(), *ONE_WAY])
    add("format", metavar="FORMAT", help=f"{names}; or a tracker: {', '.join(TRACKERS)}")
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    where = "the folder to write to; a tracker keeps its runs there, offline (default: where it is set up to)"
    add("-o", "--output", type=Path, metavar="DIR", help=where)
    add("--judge", metavar="NAME", help="only by this judge")
    add("--protocol", metavar="NAME", help="only under this protocol")
    add("--method", choices=["score", "winrate", "lc", "bt", "elo"], help="how models are rated (default: what fits)")
    add("--organization", metavar="NAME", help="every_eval_ever: who provides the numbers")
    relationship = "every_eval_ever: of who evaluates to who made the models: first_party, third_party, collaborative"
    add("--relationship", metavar="WORD", help=f"{relationship} or other (default)")
    add("--dataset", metavar="ORG/NAME", help="eval_results: the benchmark's dataset on the hub")
    add("--task", metavar="ID", help="eval_results: the task within it (default: the benchmark's name)")
    add("--source", metavar="URL", help="eval_results: where the results can be seen")
    add("--project", metavar="NAME", help="a tracker's project or experiment (default: evalkit)")
    given = parse(parser, arguments)
    if given.format in TRACKERS:
        return _tracked(given)
    if given.output is None:
        raise UsageError(f"export {given.format} needs a folder to write to: -o DIR")
    items = [item for path in given.paths for item in _questions_of(path)]
    for kind, count in _exported(given, items).items():
        note(f"{count:,} {kind}")
    note(f"in {given.output}/")
    return DONE


def _tracked(given: argparse.Namespace) -> int:
    """Tell a tracker's client of every model."""
    from evalkit.publish.numbers import rated_models
    from evalkit.reports.output import one_thread
    from evalkit.trackers.tracked import tracked, tracker

    _check_options(given)
    one_thread()
    models = tracked(rated_models(given.paths, method=given.method, judge=given.judge, protocol=given.protocol))
    where = tracker(given.format, given.project or "evalkit", given.output).log(models)
    note(f"{len(models):,} runs")
    note(f"in {where}")
    return DONE


def _check_options(given: argparse.Namespace) -> dict[str, str]:
    """The options that were given.

    Raises:
        UsageError: one has no meaning for the format.
    """
    told = {name: value for name in CHOICES if (value := getattr(given, name)) is not None}
    for name in told:
        if given.format not in CHOICES[name]:
            raise UsageError(f"--{name} has no meaning for {given.format}; it goes with: {', '.join(CHOICES[name])}")
    return told


def _exported(given: argparse.Namespace, items: list[Item]) -> Counter[str]:
    """Write the files. How many records of each kind."""
    told = _check_options(given)
    if given.format not in ONE_WAY:
        try:
            return export_results(given.format, given.paths, given.output, items)
        except UsageError as error:
            if given.format in interop.names():
                raise
            known = ", ".join([*interop.exportable(), *ONE_WAY, *TRACKERS])
            raise UsageError(f"there is no format {given.format!r}; formats that can: {known}") from error
    import time

    from evalkit.publish.exports import EXPORTS, ExportChoices

    choices = ExportChoices(**told, now=time.time(), items=items)
    return EXPORTS[given.format].write(given.paths, given.output, choices)


def _questions_of(path: Path) -> Iterator[Item]:
    """Items of our own benchmarks with results here; fetched only where the results have no questions with them."""
    import asyncio

    from evalkit.datasets import benchmark
    from evalkit.storage.items import NAME

    for name in benchmark.names():
        folder = path if path.name == name else path / name
        if folder.is_dir() and benchmark.spec(name).has_questions:
            stored = (folder / NAME).exists()
            yield from benchmark.local_items(name) if stored else asyncio.run(benchmark.load(name)).items
