"""The verb ``evalkit view``: stored judgments in the browser, or as a folder of pages."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli.arguments import parse
from evalkit.cli.messages import DONE, note
from evalkit.core.protocols import UsageError


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to view, or a port or folder cannot be used.
    """
    parser = argparse.ArgumentParser(prog="evalkit view")
    add_options(parser)
    given = parse(parser, arguments)
    from evalkit.app import server

    server.require()
    from evalkit.app.case_page import CaseReader
    from evalkit.app.judgment_index import cache_of
    from evalkit.app.prompts import PromptRebuilder
    from evalkit.app.results import OpenResults
    from evalkit.storage.results import judgment_files

    paths = tuple(dict.fromkeys(path.resolve() for path in given.paths))
    if not judgment_files(given.paths):
        where = ", ".join(map(str, given.paths))
        raise UsageError(
            f"no judgments in {where}; `evalkit run <benchmark>` makes some, `evalkit import` takes others'"
        )
    results = OpenResults(paths, cache_of(paths))
    reader = CaseReader(results, PromptRebuilder(paths))
    if given.export is not None:
        from evalkit.app.export import export

        written = export(results, reader, given.export)
        note(f"{written.cases:,} cases on {written.pages:,} pages: {given.export / 'index.html'}")
        return DONE
    from evalkit.app.view_pages import ViewPages
    from evalkit.cli.pages import open_pages

    open_pages(ViewPages(results, reader).routes(), given)
    return DONE


def add_options(view: argparse.ArgumentParser) -> None:
    """The options of viewing."""
    from evalkit.cli.pages import add_server_options

    add = view.add_argument
    paths = "results folders or judgments files (default: results); several are runs to compare"
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=paths)
    add("--export", type=Path, metavar="DIR", help="write the pages as a folder of files, and end")
    add_server_options(view)
