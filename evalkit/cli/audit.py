"""The verb ``evalkit audit``: stored judgments -> a summary on the terminal, JSON, or a page."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli.arguments import OUTPUT, parse
from evalkit.cli.messages import DONE, console, note
from evalkit.core.protocols import UsageError
from evalkit.datasets.vocabulary import MAP_HELP, parse_map


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to audit, or a file cannot be read or written.
    """
    if asks(arguments):
        from evalkit.cli.probe import main as experiments

        return experiments(arguments)
    parser = argparse.ArgumentParser(prog="evalkit audit")
    add_options(parser)
    given = parse(parser, arguments)
    from evalkit.reports.audit_output import FORMATS, present
    from evalkit.reports.output import FIGURES, figure_of, form_of, one_thread

    form = form_of(given.format, given.output, FORMATS | FIGURES)
    figure_of(given.figure, form, {given.figure or "": ""})  # what there is, is known after the audit
    one_thread()
    from evalkit.audit.analyse import audit
    from evalkit.reports.audit_about import about

    columns, table = parse_map(given.map), None
    if given.against is not None:
        from evalkit.datasets.model_table import read_model_table

        mine = {field: columns.pop(field) for field in ("model",) if field in columns}
        table = read_model_table(given.against, mine, note)
    if columns and given.human is None:
        field, column = next(iter(columns.items()))
        raise UsageError(
            f"--map {field}={column}: {field!r} is a field of votes, and there are none; --human FILE brings some"
            + ("; of --against FILE, --map model=COLUMN names the models" if table is not None else "")
        )
    found = audit(given.paths, given.human, given.judge, columns=columns, table=table, reference=given.reference)
    if form == "figure":
        from evalkit.reports.audit_drawn import figures
        from evalkit.reports.figure_files import save_all

        save_all(figures(given.figure, found), given.output, note)
        return DONE
    told = about(given.paths, given.human, found)
    present(found, form, given.output, console(stderr=False), note, about=told)
    return DONE


def asks(arguments: Sequence[str]) -> bool:
    """Whether there are settings, ``key=value``, for experiments on a live judge; what ``--map`` takes is none."""
    before = ["", *arguments]
    return any(re.match(r"[+~]*[\w.]+=", one) and last != "--map" for last, one in zip(before, arguments, strict=False))


def add_options(audit: argparse.ArgumentParser) -> None:
    """The options of an audit of stored judgments."""
    add = audit.add_argument
    paths = "results folders or judgments files"
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=paths)
    votes = "votes of people: imported results, or a table with item, turn, model_a, model_b, winner, annotator"
    add("--human", type=Path, metavar="FILE", help=votes)
    figures = "figures of the models by automatic benchmarks, to set the ratings beside: a row a model, a column each"
    add("--against", type=Path, metavar="FILE", help=figures)
    add("--map", action="append", metavar="FIELD=COLUMN", help=MAP_HELP)
    add("--judge", metavar="NAME", help="only this judge")
    add("--reference", metavar="JUDGE", help="a judge whose verdicts on criteria of a rubric stand in people's place")
    add("--format", choices=["table", "json", "html", "md", "latex"], help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    kinds = "agreement, ratings, scores, position, length, or another topic"
    add("--figure", metavar="KIND", help=f"what FILE.svg, .pdf or .png shows: {kinds} (default: the first there is)")
    audit.epilog = "Experiments on a live judge: `evalkit audit judge=NAME probes=position,...`; add -h for its keys."
