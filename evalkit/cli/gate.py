"""The verb ``evalkit gate``: may NEW ship in OLD's place? Exit code 0: yes, 4: no, 5: not known."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, RESULTS, parse
from evalkit.core.protocols import UsageError
from evalkit.core.text import plain
from evalkit.reports.output import form_of, write

if TYPE_CHECKING:
    from evalkit.decisions.gate import GateDecision
    from evalkit.decisions.sources import Sides

FORMATS = {".txt": "table", ".json": "json", ".md": "md", ".tex": "latex", ".xml": "junit"}
CODES = {"pass": messages.DONE, "fail": messages.GATE, "inconclusive": messages.UNDECIDED}
"""The exit code of each verdict."""


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to decide on, or a file cannot be read or written.
    """
    parser = argparse.ArgumentParser(prog="evalkit gate")
    add_options(parser)
    options = parse(parser, arguments)
    form = form_of(options.format, options.output, FORMATS)
    from evalkit.decisions import gate_output

    found, what = _ask(options) if _asks(options) else _decide(options, options.paths)
    for text in what.notes:
        messages.note(text)
    if form == "table":
        text = "\n".join([found.line(), *gate_output.remarks(found)])
    else:
        forms = {
            "json": gate_output.to_json,
            "md": gate_output.to_markdown,
            "latex": gate_output.to_latex,
            "junit": gate_output.to_junit,
        }
        text = forms[form](found)
    if form == "table" and options.output is None:
        console = messages.console(stderr=False)
        for line in text.split("\n"):
            console.print(plain(line), markup=False, soft_wrap=True)
    else:
        write(text, options.output, messages.note)
    if options.junit is not None:
        write(gate_output.to_junit(found), options.junit, messages.note)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(summary), gate_output.to_markdown(found))
    return CODES[found.verdict]


def _decide(options: argparse.Namespace, paths: Sequence[Path]) -> tuple[GateDecision, Sides]:
    from evalkit.decisions.gate import gate

    return gate(
        options.new,
        options.old,
        paths,
        margin=options.margin,
        at_most=options.at_most,
        alpha=options.alpha,
        sequential=options.sequential,
        judge=options.judge,
    )


def _asks(options: argparse.Namespace) -> bool:
    """Whether a benchmark and settings stand in place of paths, so that judgments are asked for.

    Raises:
        UsageError: settings without a benchmark, or without --sequential.
    """
    from evalkit.datasets import benchmark

    settings = [str(path) for path in options.paths if "=" in str(path)]
    first = str(options.paths[0])
    named = first in benchmark.names() and not options.paths[0].exists()
    if not settings and not named:
        return False
    if not named:
        raise UsageError(
            f"{settings[0]!r} is a setting of a run; name the benchmark before it, as in `pocket judge=NAME`"
        )
    if not options.sequential:
        raise UsageError(f"asking {first!r} in batches takes --sequential; without it, name results folders")
    return True


def _ask(options: argparse.Namespace) -> tuple[GateDecision, Sides]:
    """Run the benchmark on both models in growing batches until the gate is decided, or there is nothing left to ask.

    Raises:
        UsageError: the run's settings are wrong, or it was stopped.
    """
    from evalkit.cli.run import main as run

    benchmark, *settings = (str(path) for path in options.paths)
    given = dict(one.split("=", 1) for one in settings if "=" in one)
    if clash := sorted({"model", "limit"} & given.keys()):
        raise UsageError(f"{clash[0]}= is set by the gate: its models are NEW and OLD, and it asks in growing batches")
    flags = [] if options.config_dir is None else [f"--config-dir={options.config_dir}"]
    folder = Path(given.get("results_dir", "results")) / benchmark
    limit, before = 0, -1
    while True:
        limit = max(limit + 1, limit * 5 // 4)
        code = run([benchmark, f"model=[{options.new},{options.old}]", f"limit={limit}", *settings, *flags])
        if code not in (messages.DONE, messages.FAILED):
            raise UsageError(
                f"the run ended with exit code {code}; the gate is not decided, and the same command goes on"
            )
        found, what = _decide(options, [folder])
        enough = options.at_most is not None and found.n >= options.at_most
        if found.verdict != "inconclusive" or enough or found.n <= before:
            return found, what
        messages.note(f"after {found.n} questions: {found.line()}")
        before = found.n


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as out:
            out.write(f"{text}\n\n")
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r} (GITHUB_STEP_SUMMARY): {error.strerror}") from error


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a gate."""
    add = parser.add_argument
    add("new", metavar="NEW", help="the model that may ship, or a results folder, file or run")
    add("old", metavar="OLD", help="the one it is compared with, such as a results file kept in the repository")
    paths = f"{RESULTS}; or with --sequential a benchmark and a run's settings: both are asked in batches until decided"
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=paths)
    margin = "how much worse NEW may be (default: 0.25 points of a score, 5 percentage points of preference)"
    add("--margin", type=float, metavar="M", help=margin)
    add("--at-most", type=int, metavar="N", help="use the first N questions at the most")
    risk = "largest probability of a false pass, and of a false failure (default: 0.05)"
    add("--alpha", type=float, default=0.05, metavar="P", help=risk)
    add("--sequential", action="store_true", help="limits that hold at every look: ask again as judgments arrive")
    add("--config-dir", type=Path, metavar="DIR", help="your own YAML, for models that are asked")
    add("--judge", metavar="NAME", help="only this judge")
    add("--format", choices=list(dict.fromkeys(FORMATS.values())), help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    add("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
