"""The verb ``evalkit judges``: every judge on every labelled set, and which one to choose."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, RESULTS, parse
from evalkit.datasets.vocabulary import MAP_HELP, parse_map
from evalkit.reports.output import FIGURES, form_of, one_thread, write


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to show, or a file cannot be read or written.
    """
    from evalkit.cli.leaderboard import FORMATS, show_grids

    parser = argparse.ArgumentParser(prog="evalkit judges")
    add_options(parser)
    given = parse(parser, arguments)
    form = form_of(given.format, given.output, FORMATS | FIGURES)
    one_thread()
    from evalkit.audit.judged_sets import board_of
    from evalkit.reports import judges_grids, judges_output
    from evalkit.reports.judges_words import answer

    board, notes = board_of(
        given.paths,
        given.human,
        parse_map(given.map),
        category=given.category,
        judge=given.judge,
        orders=given.aggregate,
    )
    if form == "figure":
        from evalkit.reports.figure_files import save_all

        save_all(judges_grids.figures(board), given.output, messages.note)
        return messages.DONE
    if form in ("json", "csv"):
        for text in notes if form == "csv" else ():
            messages.note(text)
        text = judges_output.to_json(board, notes) if form == "json" else judges_output.to_csv(board)
        write(text, given.output, messages.note)
        return messages.DONE
    if form == "html":
        write(judges_output.page(board, notes), given.output, messages.note)
        return messages.DONE
    tables = judges_grids.grids(board, by_category=given.by is not None, matrices=form == "latex")
    first = [answer(table) for table in board.tables]
    shown = show_grids(tables, notes, form, given.output, messages.console(stderr=False), messages.note, first=first)
    if shown is not None:
        write(shown, given.output, messages.note)
    return messages.DONE


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a board of judges."""
    from evalkit.cli.leaderboard import FORMATS

    add = parser.add_argument
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    which = "only labels of questions of this category (or whose category holds this word; several with commas)"
    add("--category", metavar="NAME", help=which)
    add("--by", choices=["category"], help="also judges by category")
    add("--judge", metavar="NAME", help="only this judge, beside rules and people")
    orders = "what verdicts in the two orders come to (default: average); judgebench: where one failed, the other "
    orders += "decides; each: every order by itself"
    add("--aggregate", choices=["average", "judgebench", "consistent", "each"], default="average", help=orders)
    add("--human", type=Path, metavar="FILE", help="more labels by people: imported results, or a table of votes")
    add("--map", action="append", metavar="FIELD=COLUMN", help=MAP_HELP)
    add("--format", choices=list(dict.fromkeys(FORMATS.values())), help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=f"{OUTPUT}; FILE.svg, .pdf or .png: a figure of every set")
