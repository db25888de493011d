"""The verb ``evalkit gate``: may NEW ship in OLD's place? Exit code 0: yes, 4: no, 5: not known."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, RESULTS, parse
from evalkit.core.protocols import UsageError
from evalkit.core.text import plain
from evalkit.reports.output import form_of, write

FORMATS = {".txt": "table", ".json": "json", ".md": "md", ".xml": "junit"}
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
    from evalkit.decisions.gate import gate

    found, what = gate(
        options.new,
        options.old,
        options.paths,
        margin=options.margin,
        at_most=options.at_most,
        alpha=options.alpha,
        sequential=options.sequential,
        judge=options.judge,
    )
    for text in what.notes:
        messages.note(text)
    if form == "table":
        text = "\n".join([found.line(), *gate_output.remarks(found)])
    else:
        forms = {"json": gate_output.to_json, "md": gate_output.to_markdown, "junit": gate_output.to_junit}
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
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    margin = "how much worse NEW may be (default: 0.25 points of a score, 5 percentage points of preference)"
    add("--margin", type=float, metavar="M", help=margin)
    add("--at-most", type=int, metavar="N", help="use the first N questions at the most")
    risk = "largest probability of a false pass, and of a false failure (default: 0.05)"
    add("--alpha", type=float, default=0.05, metavar="P", help=risk)
    add("--sequential", action="store_true", help="limits that hold at every look: ask again as judgments arrive")
    add("--judge", metavar="NAME", help="only this judge")
    add("--format", choices=list(dict.fromkeys(FORMATS.values())), help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    add("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
