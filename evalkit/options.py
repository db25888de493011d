"""What each verb takes: argparse options, and the help of ``evalkit run``."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evalkit import __version__
from evalkit.vocabulary import COLUMNS

Verb = Callable[[argparse.Namespace], int]
"""Carries out a parsed command line; returns the exit code."""

RUN_HELP = """\
usage: evalkit run BENCHMARK [key=value ...] [-m] [--cfg job]

Answer a benchmark, judge the answers, print the scores. What is stored in results/ is not asked again.

  evalkit run mtbench model=zephyr                     vLLM on the local GPU, judged by gpt4
  evalkit run mtbench model=smollm2 judge=smollm2      no GPU and no key: inside this program
  evalkit run pocket model=[a,b] judge=[gpt4,claude]   several models, a panel of judges
  evalkit run mtbench model=smollm2 model.smollm2.sampling.temperature=0      a setting of one model
  evalkit run mtbench model=[a,b] model.sampling.temperature=0                of all models

keys:
  model=NAME | [NAME,...]     who answers               evalkit list models
  judge=NAME | [NAME,...]     who judges                evalkit list judges
  protocol=NAME | faithful    how it is judged          evalkit list protocols
  references=NAME | PATH      reference answers shown to the judge
  questions=NAME | FILE       questions for an arena: of a benchmark, or your own file
  fields.turns=NAME           the field of that file with the question; likewise fields.id, .category, .reference
  baseline=NAME               pairwise: compare every model with this one; default: all with all
  limit=N                     only the first N items of each category
  repeats=N                   put each case to each judge N times
  dry_run=true                print calls, tokens, cost and time; ask nothing
  budget=USD                  stop before the request that could pass it (exit code 3); budget.tokens=N likewise
  judge.batch=true            use the provider's batch API, at half the price
  backend=ray                 spread engines of this program over a Ray cluster
  ask_again=[KIND,...]        failures of earlier runs to ask again (default: transport)
  results_dir=DIR  run.name=NAME  prices=FILE

Everything else of Hydra works: -m for several jobs, --cfg job for the composed config, --config-dir for your own YAML.
"""


RESULTS = "results folders (default: results)"
RESULTS_DIR = "where results go, to see that they can be written (default: results)"
MAP = "where a table has a field: " + ", ".join(COLUMNS) + "; may be given several times"
OUTPUT = "write to this file (default: standard output)"


def parse(verbs: Mapping[str, Verb], arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line of any verb but ``run`` and ``rejudge``. Ends the process over one that cannot be read.

    Args:
        verbs: the functions that carry verbs out, by name.
        arguments: the command line.
    """
    top = argparse.ArgumentParser(
        prog="evalkit",
        description="LLM-as-judge evaluation: how good is this model, and how far can the judge be trusted?",
        allow_abbrev=False,
    )
    known = _add_verbs(top, verbs, arguments[:1] == ["import"])
    parsed, rest = top.parse_known_args(arguments)
    if rest:
        verb = known.get(arguments[0], top)
        options = [name for name in verb._option_string_actions if name.startswith("--")]
        close = difflib.get_close_matches(rest[0].partition("=")[0], options, n=1)
        verb.error(f"unrecognized arguments: {' '.join(rest)}" + (f"; did you mean {close[0]}?" if close else ""))
    return parsed


def _add_verbs(
    top: argparse.ArgumentParser, verbs: Mapping[str, Verb], importing: bool
) -> Mapping[str, argparse.ArgumentParser]:
    """Add every verb to the parser. Returns the verbs' own parsers, by name."""
    top.add_argument("--version", action="version", version=f"evalkit {__version__}")
    add = top.add_subparsers(title="verbs", required=True, metavar="VERB")
    add.add_parser("run", help="answer a benchmark, judge the answers, print the scores", add_help=False)

    add.add_parser("rejudge", help="put stored answers to another judge, and report the drift", add_help=False)

    board = add.add_parser("leaderboard", help="rate models from stored judgments or battle tables")
    _leaderboard_options(board)
    board.set_defaults(verb=verbs["leaderboard"])

    audit = add.add_parser("audit", help="how far can the judges of stored judgments be trusted?")
    _audit_options(audit)
    audit.set_defaults(verb=verbs["audit"])

    bring = add.add_parser("import", help="read another tool's results")
    bring.add_argument("format", metavar="FORMAT", help=", ".join(_formats()) if importing else None)
    bring.add_argument("path", type=Path, metavar="PATH", help="a file, or a folder to be imported whole")
    bring.add_argument("--into", type=Path, default=Path("results"), metavar="DIR", help="results folder (results)")
    bring.add_argument("--benchmark", metavar="NAME", help="what to call the benchmark, where the files do not say")
    bring.add_argument("--judge", metavar="NAME", help="what to call a judge, where the files do not say")
    bring.add_argument("--baseline", metavar="NAME", help="the model all others were compared with, likewise")
    bring.add_argument("--model", metavar="NAME", help="who answered, likewise")
    bring.add_argument("--map", action="append", metavar="FIELD=COLUMN", help=MAP)
    bring.set_defaults(verb=verbs["import"])

    lost = (
        "Files hold what their tool has a field for. Those of alpaca_eval and arena_hard name neither benchmark nor "
        "protocol: import each benchmark's by itself, with --benchmark NAME; the protocol comes back as the tool's."
    )
    give = add.add_parser("export", help="write results as another tool's files", epilog=lost)
    give.add_argument("format", metavar="FORMAT", help="fastchat, alpaca_eval, arena_hard, battles")
    give.add_argument("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=RESULTS)
    give.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write to")
    give.set_defaults(verb=verbs["export"])

    listing = add.add_parser("list", help="what there is to choose from")
    listing.add_argument("what", choices=["models", "judges", "benchmarks", "protocols"])
    listing.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder of your own YAML: list what it adds")
    listing.set_defaults(verb=verbs["list"])

    doctor = add.add_parser("doctor", help="what is installed, which keys are set, what can run here")
    doctor.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help=RESULTS_DIR)
    doctor.set_defaults(verb=verbs["doctor"])
    return add.choices


def _formats() -> list[str]:
    """The formats of import; looking for them takes too long for the help of other verbs."""
    from evalkit.interop import names

    return names()


def _leaderboard_options(board: argparse.ArgumentParser) -> None:
    add = board.add_argument
    paths = "results folders, judgments files, or tables with model_a, model_b, winner (CSV, XLSX, JSON, Parquet, ...)"
    add("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH", help=paths)
    methods = "mean scores; win rates; length-controlled win rates; Bradley-Terry; online Elo (default: what fits)"
    add("--method", choices=["score", "winrate", "lc", "bt", "elo"], help=methods)
    add("--by", choices=["category"], help="one table for each category of questions")
    add("--judge", metavar="NAME", help="only this judge; human: all people together")
    orders = "what verdicts in the two orders come to (default: average); each: every showing counts by itself"
    add("--aggregate", choices=["average", "consistent", "probability", "each"], help=orders)
    add("--baseline", metavar="NAME", help="winrate, lc: the model to compare with")
    add("--ties", choices=["half", "davidson", "rao_kupper", "drop"], help="bt: what a tie is (default: half a win)")
    add("--style", action="store_true", help="bt: also ratings at equal length and markdown, from the answers' texts")
    add("--strong-weight", type=float, metavar="W", help="how often A>>B counts (default: 1; Arena-Hard: 3)")
    add("--difficulties", type=Path, metavar="CSV", help="lc: difficulty of each instruction, by item id or text")
    add("--gamed", type=Path, metavar="CSV", help="lc: the baseline against longer and shorter versions of itself")
    add("--permutations", type=int, metavar="N", help="elo: random orders (default: 1000; 0: the order stored)")
    forms = ["table", "json", "csv", "md", "html", "latex"]
    add("--format", choices=forms, help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    add("--map", action="append", metavar="FIELD=COLUMN", help=MAP)
    add("--all", action="store_true", help="also configurations that a newer one of the name replaced")


def _audit_options(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument
    add(
        "paths",
        nargs="*",
        type=Path,
        default=[Path("results")],
        metavar="PATH",
        help="results folders or judgments files",
    )
    votes = "votes of people: imported results, or a table with item, turn, model_a, model_b, winner, annotator"
    add("--human", type=Path, metavar="FILE", help=votes)
    add("--map", action="append", metavar="FIELD=COLUMN", help=MAP)
    add("--judge", metavar="NAME", help="only this judge")
    add("--format", choices=["table", "json", "html"], help="default: table, or what FILE ends in")
    add("-o", "--output", type=Path, metavar="FILE", help=OUTPUT)
    audit.epilog = "Experiments on a live judge: `evalkit audit judge=NAME probes=[position,...]`; add -h for its keys."
