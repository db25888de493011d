"""The verb ``evalkit claim MODEL [PATH ...]``: a card of one number that others can check."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import OUTPUT, parse


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is no such number, or it is not clear which is meant.
    """
    parser = argparse.ArgumentParser(prog="evalkit claim", epilog="`evalkit verify CARD [PATH ...]` checks a card.")
    add = parser.add_argument
    add("model", metavar="MODEL", help="the model that the claim is about")
    where = "results folders, runs' folders or judgments files (default: results)"
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=where)
    add("--over", metavar="MODEL", help="claim the difference from this model, paired by question")
    add("--method", choices=["score", "winrate", "lc", "bt", "elo"], help="how models are rated (default: what fits)")
    add("--benchmark", metavar="NAME", help="on this benchmark, where there are several")
    add("--judge", metavar="NAME", help="by this judge, where there are several")
    add("--protocol", metavar="NAME", help="under this protocol, where there are several")
    add("--category", metavar="NAME", help="on this category of questions alone")
    add("--baseline", metavar="MODEL", help="of win rates: the model to compare with")
    add("--human", type=Path, metavar="FILE", help="votes of people, for the audit of the judge")
    add("-o", "--output", type=Path, metavar="CARD", help=OUTPUT)
    options = parse(parser, arguments)
    from evalkit.reports.output import one_thread

    one_thread()
    from evalkit.core.text import plain
    from evalkit.publish.claim_card import claim
    from evalkit.reports.output import write

    card = claim(
        options.model,
        options.paths,
        over=options.over,
        method=options.method,
        judge=options.judge,
        protocol=options.protocol,
        benchmark=options.benchmark,
        category=options.category,
        baseline=options.baseline,
        human=options.human,
    )
    messages.note(plain(card.sentence))
    write(card.to_json(), options.output, messages.note)
    return messages.DONE
