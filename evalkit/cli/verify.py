"""The verb ``evalkit verify CARD [PATH ...]``: a claim is computed from the rows again, or refused."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import RESULTS, parse


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code: 0 the claim holds, 4 it is refused.

    Raises:
        UsageError: the card cannot be read, or there are no results.
    """
    parser = argparse.ArgumentParser(prog="evalkit verify", epilog="Exit codes: 0 the claim holds; 4 it is refused.")
    add = parser.add_argument
    add("card", type=Path, metavar="CARD", help="a file that `evalkit claim` wrote")
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    add("--human", type=Path, metavar="FILE", help="the votes of people that the card's audit was given")
    options = parse(parser, arguments)
    from evalkit.core.text import plain
    from evalkit.reports.output import one_thread, write

    one_thread()
    from evalkit.publish.verification import verify

    found = verify(options.card, options.paths, human=options.human)
    for text in found.notes:
        messages.note(text)
    if found.holds:
        write(plain(f"verified: {found.claim}"), None, messages.note)
        return messages.DONE
    write(plain(f"refused: {found.claim}"), None, messages.note)
    for one in found.differences:
        write(f"  {plain(one.sentence())}", None, messages.note)
    return messages.GATE
