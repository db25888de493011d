"""The verb ``evalkit plan``: how many questions, repeats and judges show a difference of a given size?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, RESULTS, parse
from evalkit.cli.leaderboard import show_grids
from evalkit.reports.output import form_of, write

FORMATS = {".txt": "table", ".json": "json", ".md": "md", ".tex": "latex"}


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to plan from, or a file cannot be written.
    """
    parser = argparse.ArgumentParser(prog="evalkit plan")
    add = parser.add_argument
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    size = "size of the difference: points of a score, or percentage points of preference"
    add("--detect", type=float, required=True, metavar="D", help=size)
    add("--power", type=float, default=0.8, metavar="P", help="chance to find it (default: 0.8)")
    add("--judge", metavar="NAME", help="only by this judge")
    add("--format", choices=list(dict.fromkeys(FORMATS.values())), help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    options = parse(parser, arguments)
    form = form_of(options.format, options.output, FORMATS)
    from evalkit.decisions import plan_output
    from evalkit.decisions.plan import plan

    found = plan(options.paths, options.detect, power=options.power, judge=options.judge)
    if form == "json":
        write(plan_output.to_json(found), options.output, messages.note)
        return messages.DONE
    grids = plan_output.grids(found)
    shown = show_grids(grids, [], form, options.output, messages.console(stderr=False), messages.note)
    if shown is not None:
        write(shown, options.output, messages.note)
    return messages.DONE
