"""The verb ``evalkit compare``: is A better than B, on the questions that both have?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, RESULTS, parse
from evalkit.cli.leaderboard import FORMATS, show_grids
from evalkit.core.text import plain
from evalkit.datasets.vocabulary import MAP_HELP, parse_map
from evalkit.reports.output import FIGURES, form_of, write


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to compare, or a file cannot be read or written.
    """
    parser = argparse.ArgumentParser(prog="evalkit compare")
    add_options(parser)
    options = parse(parser, arguments)
    form = form_of(options.format, options.output, FORMATS | FIGURES)
    from evalkit.decisions import compare_tables
    from evalkit.decisions.compare import answers_of, compare, labels_of
    from evalkit.decisions.questions import asked_in

    votes, paths = None, list(options.paths)
    if options.human is not None:
        from evalkit.evidence.labels import read_votes
        from evalkit.storage.results import known_items

        places = (path for path in (*paths, Path(options.a), Path(options.b)) if path.exists())
        rows, folders = read_votes(options.human, parse_map(options.map), messages.note, known_items(places))
        votes = labels_of(rows) if rows else None
        paths += folders
    found, what = compare(
        options.a,
        options.b,
        paths,
        by_category=bool(options.by),
        judge=options.judge,
        votes=votes,
        judges=options.judges,
    )
    if form == "figure":
        from evalkit.reports.figure_files import save_all

        save_all(compare_tables.figures(found), options.output, messages.note)
        return messages.DONE
    names = {(name, row.question) for one in found for row in one.moved for name in (one.verdicts.a, one.verdicts.b)}
    answers = answers_of(what, names)
    asked = asked_in(what, {one.verdicts.benchmark for one in found})
    if form == "json":
        write(compare_tables.to_json(found, what.notes, answers, asked), options.output, messages.note)
        return messages.DONE
    if form == "csv":
        from evalkit.reports.leaderboard_tables import csv_of

        for text in what.notes:
            messages.note(text)
        listed = compare_tables.flat(found)  # sentences with names in them: to be read, on a terminal too
        shown_rows = [
            {key: plain(cell) if isinstance(cell, str) else cell for key, cell in row.items()} for row in listed
        ]
        write(csv_of(shown_rows), options.output, messages.note)
        return messages.DONE
    grids = compare_tables.grids(found, answers, asked, full=form == "html")
    title = f"{options.a} and {options.b}"
    console = messages.console(stderr=False)
    shown = show_grids(grids, list(what.notes), form, options.output, console, messages.note, title)
    if shown is not None:
        write(shown, options.output, messages.note)
    return messages.DONE


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a comparison."""
    add = parser.add_argument
    which = "a model, a judge, or a results folder, file or run"
    add("a", metavar="A", help=which)
    add("b", metavar="B", help=f"{which}, of the same kind: the difference is A minus B")
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    add("--by", choices=["category"], help="also on each category of questions")
    add("--judge", metavar="NAME", help="only by this judge")
    add("--judges", action="store_true", help="A and B are judges, where models have these names, too")
    add("--human", type=Path, metavar="FILE", help="people's votes or grades, which correct the judge's difference")
    add("--map", action="append", metavar="FIELD=COLUMN", help=MAP_HELP)
    add("--format", choices=list(dict.fromkeys(FORMATS.values())), help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
