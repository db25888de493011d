"""The verb ``evalkit cite``: a methods paragraph and BibTeX for stored judgments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, parse

FORMATS = {".txt": "text", ".md": "text", ".tex": "latex", ".bib": "bibtex", ".json": "json"}


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to cite, or a file cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="evalkit cite", epilog="Every sentence is of stored facts; what is not stored is said not to be."
    )
    add = parser.add_argument
    where = "results folders, runs' folders (results/NAME/runs/ID) or judgments files (default: results)"
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=where)
    add("--method", choices=["score", "winrate", "lc", "bt", "elo"], help="how models are rated (default: what fits)")
    add("--judge", metavar="NAME", help="only this judge")
    add("--format", choices=list(dict.fromkeys(FORMATS.values())), help="default: text, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    options = parse(parser, arguments)
    from evalkit.reports.output import form_of, one_thread, write

    form = form_of(options.format, options.output, FORMATS)
    one_thread()
    from evalkit.publish import methods
    from evalkit.publish.bibliography import bibtex

    found = methods.cite(options.paths, method=options.method, judge=options.judge)
    if form == "bibtex":
        text = bibtex(work for one in found for work in one.works)
    else:
        text = {"latex": methods.to_latex, "json": methods.to_json}.get(form, methods.to_text)(found)
    write(text, options.output, messages.note)
    return messages.DONE
