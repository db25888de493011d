"""The verb ``evalkit leaderboard``: what was asked for -> tables on stdout or in a file, notes on stderr."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, parse
from evalkit.core.protocols import UsageError
from evalkit.datasets.vocabulary import MAP_HELP, parse_map
from evalkit.ratings import battle_table, leaderboard
from evalkit.ratings.beside import side_by_side
from evalkit.ratings.criteria import BY
from evalkit.reports import leaderboard_figures, leaderboard_grid, leaderboard_page, leaderboard_tables
from evalkit.reports.grid import Grid
from evalkit.reports.leaderboard_figures import KINDS
from evalkit.reports.output import FIGURES, figure_of, form_of, one_thread, write

if TYPE_CHECKING:
    from rich.console import Console

Note = Callable[[str], None]

FORMATS = {
    ".txt": "table",
    ".json": "json",
    ".csv": "csv",
    ".md": "md",
    ".tex": "latex",
    ".html": "html",
    ".htm": "html",
}
"""The format that the ending of a file's name asks for."""


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="evalkit leaderboard")
    add_options(parser)
    run(parse(parser, arguments), messages.console(stderr=False), messages.note)
    return messages.DONE


def add_options(board: argparse.ArgumentParser) -> None:
    """The options of a leaderboard."""
    add = board.add_argument
    paths = "results folders, judgments files, or tables with model_a, model_b, winner (CSV, XLSX, JSON, Parquet, ...)"
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=paths)
    methods = (
        "mean scores; win rates; length-controlled win rates; Bradley-Terry; online Elo; over-refusal and harm "
        "(default: what fits)"
    )
    add("--method", choices=["score", "winrate", "lc", "bt", "elo", "refusal"], help=methods)
    by = "one table by category of questions; of rubrics, also by axis, tag or criterion"
    add("--by", choices=["category", *BY], help=by)
    add("--judge", metavar="NAME", help="only this judge; human: all people together")
    orders = "what verdicts in the two orders come to (default: average); each: every showing counts by itself"
    add("--aggregate", choices=["average", "consistent", "probability", "each"], help=orders)
    add("--baseline", metavar="NAME", help="winrate, lc: the model to compare with")
    add("--ties", choices=["half", "davidson", "rao_kupper", "drop"], help="bt: what a tie is (default: half a win)")
    add("--style", action="store_true", help="bt: also ratings at equal length and markdown, from the answers' texts")
    add("--strong-weight", type=float, metavar="W", help="how often A>>B counts (default: 1; Arena-Hard: 3)")
    add("--difficulties", type=Path, metavar="CSV", help="lc: difficulty of each instruction, by item id or text")
    add("--gamed", type=Path, metavar="CSV", help="lc: the baseline against longer and shorter versions of itself")
    points = (
        "also compare answers by their scores: points of difference that make odds of e (`evalkit audit` fits them)"
    )
    add("--temperature", type=float, metavar="T", help=points)
    add("--permutations", type=int, metavar="N", help="elo: random orders (default: 1000; 0: the order stored)")
    add("--format", choices=list(dict.fromkeys(FORMATS.values())), help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    add("--figure", metavar="KIND", help=f"what FILE.svg, .pdf or .png shows: {', '.join(KINDS)} (default: ratings)")
    add("--map", action="append", metavar="FIELD=COLUMN", help=MAP_HELP)
    add("--all", action="store_true", help="also configurations that a newer one of the name replaced")


def run(options: argparse.Namespace, console: Console, note: Note) -> None:
    """Print or write the leaderboard.

    Args:
        options: as parsed by the command line.
        console: where tables go.
        note: says something to the user beside the data.

    Raises:
        UsageError: nothing to show, or options that do not fit each other.
    """
    form = form_of(options.format, options.output, FORMATS | FIGURES)
    kind = figure_of(options.figure, form, KINDS)
    one_thread()
    found = leaderboard.kinds(options.paths, options.judge)
    usual = leaderboard_figures.method_of(kind, found) if options.temperature is None else "bt"
    method = options.method or usual
    for name, methods in leaderboard.APPLIES_TO.items():
        if getattr(options, name) not in (None, False) and method not in methods:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} has no meaning for --method {method}; it goes with: {', '.join(methods)}")
    if options.by in BY and method != "score":
        raise UsageError(f"--by {options.by} has no meaning for --method {method}; it goes with scores of a rubric")
    if method in ("score", "refusal") and (
        tables := [path for path in options.paths if battle_table.is_battle_table(path)]
    ):
        raise UsageError(
            f"{tables[0]} holds comparisons, which have no {method}s; --method bt, winrate or elo rates them"
        )
    if kind is not None:
        from evalkit.reports.figure_files import save_all

        save_all(leaderboard_figures.figures(kind, _choices(options, method)), options.output, note)
        return
    text = _ratings(options, method, form, console, note, found.judges)
    if text is not None:
        write(text, options.output, note)
    if options.method is None and options.temperature is None and found.single and found.pairwise:
        note("there are pairwise judgments too; --method bt, winrate, lc or elo rates those")


def _choices(options: argparse.Namespace, method: str) -> leaderboard.Choices:
    given = {name: getattr(options, name) for name in leaderboard.APPLIES_TO if getattr(options, name) is not None}
    return leaderboard.Choices(
        paths=tuple(options.paths),
        method=method,
        judge=options.judge,
        by_category=bool(options.by),
        by=options.by if options.by in BY else None,
        every_configuration=options.all,
        apart=options.method is None,
        columns=parse_map(options.map),
        **given,
    )


def _ratings(
    options: argparse.Namespace, method: str, form: str, console: Console, note: Note, judges: Iterable[str]
) -> str | None:
    choices = _choices(options, method)
    board = leaderboard.rate(choices)
    if not board.standings:
        raise UsageError(leaderboard.why_nothing(choices, judges))
    standings = board.standings
    if form in ("json", "csv"):
        for about in leaderboard_tables.tables(standings, by_category=choices.by_category):
            for text in about["notes"]:
                note(f"{about['benchmark']}, {about['judge']}: {text}")
        for text in board.notes:
            note(text)
        if form == "csv":
            return leaderboard_tables.to_csv(standings, by_category=choices.by_category)
        return leaderboard_tables.to_json(standings, board.notes, by_category=choices.by_category)
    if method == "score" and form in ("md", "latex"):  # one kind of table, as it is asked for
        standings = [row for row in standings if (row.category is not None) == choices.by_category]
    beside, matrices = side_by_side(standings), form in ("md", "latex", "html")
    grids = leaderboard_grid.all_grids(standings, beside, by_category=choices.by_category, matrices=matrices)
    if choices.by is not None:
        grids = [leaderboard_grid.grouped_by(grid, choices.by) for grid in grids]
    return show_grids(grids, board.notes, form, options.output, console, note)


def show_grids(
    grids: list[Grid],
    notes: list[str],
    form: str,
    output: Path | None,
    console: Console,
    note: Note,
    title: str = "Leaderboard",
    first: Sequence[str] = (),
) -> str | None:
    """Tables for people in this form: printed where it is a table for the terminal, and else returned as text.

    Args:
        grids: the tables.
        notes: said beside them, or on the page.
        form: table, md, latex or html.
        output: the file that it is for, if any.
        console: where tables go.
        note: says something to the user beside the data.
        title: of a page.
        first: sentences that stand before the tables on a terminal, and are said beside Markdown and LaTeX.
    """
    if form == "html":
        return leaderboard_page.page(grids, notes, title=title)
    for text in notes:
        note(text)
    if form in ("md", "latex"):
        for text in (*first, *(text for grid in grids for text in grid.notes)):
            note(text)
        return leaderboard_tables.to_markdown(grids) if form == "md" else leaderboard_tables.to_latex(grids)
    with _Captured(console, output) as shown:
        leaderboard_tables.say(shown.console, first)
        leaderboard_tables.show(shown.console, grids)
    return shown.text


WIDE = 10_000
"""Width in columns of text where no terminal limits it."""


class _Captured:
    """A place to print tables: the terminal, or text as wide as the tables are where a file or a pipe takes them."""

    def __init__(self, console: Console, output: Path | None) -> None:
        self.console = console
        self.text: str | None = None
        self._buffer = io.StringIO() if output else None

    def __enter__(self) -> _Captured:
        if self._buffer is not None:
            from evalkit.core.console import on_paper

            self.console = on_paper(self._buffer, WIDE)
        elif not self.console.is_terminal and "COLUMNS" not in os.environ:
            self.console.width = WIDE
        return self

    def __exit__(self, *_: object) -> None:
        if self._buffer is not None:
            self.text = self._buffer.getvalue().rstrip("\n")
