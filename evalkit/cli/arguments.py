"""The grammar of the command line: which verbs there are, and how options are read. Loads no verb."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from evalkit import __version__

VERBS = {
    "run": "answer a benchmark, judge the answers, print the scores",
    "judge": "judge answers that are there already: files or stored ones",
    "rejudge": "put stored answers to another judge, and report the drift",
    "leaderboard": "rate models from stored judgments or battle tables",
    "compare": "is A better than B? models, runs, folders or judges, paired by question",
    "gate": "may NEW ship in OLD's place? passes, fails or is undecided (exit codes 0, 4, 5)",
    "plan": "how many questions, repeats and judges show a difference of a given size?",
    "audit": "how far can the judges of stored judgments be trusted?",
    "judges": "which judge? every judge on every set with labels, and which are told apart",
    "cite": "a methods paragraph and BibTeX for a paper, of stored facts",
    "claim": "a card of one number, with hashes of everything that it rests on",
    "verify": "compute a claim card's number from the rows again, or refuse it (exit code 4)",
    "view": "browse questions, answers and judgments in the browser",
    "label": "people vote, blind, in the browser",
    "import": "read another tool's results",
    "export": "write results as another tool's files",
    "init": "write a commented project to start from: models, judge, rubric, questions, CI",
    "list": "what there is to choose from",
    "doctor": "what is installed, which keys are set, what can run here",
    "completion": "complete commands by the Tab key: bash, zsh, fish",
}
"""What each verb is for."""

RESULTS = "results folders (default: results)"
OUTPUT = "write to this file (default: standard output)"


def parse_top(arguments: Sequence[str]) -> None:
    """Read a command line that does not begin with a verb. Ends the process: over help, the version, or an error."""
    top = argparse.ArgumentParser(
        prog="evalkit",
        description="LLM-as-judge evaluation: how good is this model, and how far can the judge be trusted?",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"evalkit {__version__}")
    verbs = top.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, about in VERBS.items():
        verbs.add_parser(name, help=about, add_help=False)
    if not arguments:
        top.print_help()
        raise SystemExit(2)
    _, rest = top.parse_known_args(arguments)
    top.error(f"unrecognized arguments: {' '.join(rest or arguments)}")


def parse(verb: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Read a verb's options. Ends the process over one that cannot be read, and names one that is like it."""
    parsed, rest = verb.parse_known_intermixed_args(arguments)
    if rest:
        import difflib

        options = [name for name in verb._option_string_actions if name.startswith("--")]
        close = difflib.get_close_matches(rest[0].partition("=")[0], options, n=1)
        verb.error(f"unrecognized arguments: {' '.join(rest)}" + (f"; did you mean {close[0]}?" if close else ""))
    return parsed
