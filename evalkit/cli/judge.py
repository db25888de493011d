"""The verb ``evalkit judge PATH judge=NAME``: answers that are there already -> judgments and tables."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.cli import messages
from evalkit.core.protocols import UsageError

if TYPE_CHECKING:
    from evalkit.engine.given import GivenAnswers

HELP = """\
usage: evalkit judge PATH [PATH ...] judge=NAME [protocol=NAME] [key=value ...] [--model NAME] [--map FIELD=COLUMN]

Judge answers that are there already, as `evalkit run` would; no model is asked for one.

  evalkit judge answers.csv judge=gpt4                     a table of questions and answers
  evalkit judge a.jsonl b.jsonl judge=gpt4 protocol=pairwise       one file a model: who won?
  evalkit judge data/mt_bench judge=gpt4                   FastChat's folder, with question.jsonl and model_answer/
  evalkit judge model_outputs.json judge=gpt4 protocol=alpaca_eval_weighted orders=seeded    AlpacaEval's
  evalkit judge results/mtbench judge=gpt4o                answers of a run or an import, and more judges

PATH is a results folder of one benchmark, or answers: CSV, XLSX, JSON, JSON Lines or Parquet with a question (or its
id), an answer, and the model's name, which is the file's where no column has it; FastChat's model_answer; AlpacaEval's
model_outputs. They are imported first, as `evalkit import` would.

keys:
  judge=NAME | [NAME,...]     who judges                evalkit list judges
  protocol=NAME | faithful    how it is judged          default: the benchmark's, pairwise with a baseline, else single
  of=NAME,NAME                only these models' answers
  baseline=NAME               pairwise: compare every model with this one; default: the benchmark's, else all with all
  benchmark=NAME              what the answers are answers to, where they do not say
  questions=FILE              the questions, where the answers name ids alone
  limit=N  repeats=N  dry_run=true  budget=USD  results_dir=DIR, and the other keys of `evalkit run --help`

options:
  --model NAME                who answered, where neither the rows nor file names say
  --map FIELD=COLUMN          where a table has a field: question, item, answer, model, category, reference, ...
  --format FORMAT             read the files as this format; default: by their fields
  --skip-bad                  leave out rows that cannot be read, and count them
"""

OURS = ("of",)
"""Keys that a run does not take."""
FIXED = {"model": "no model is asked; of=NAME,NAME chooses whose answers are judged"}
SETTING = re.compile(r"[+~]*[\w.@/-]+=")


@dataclass(frozen=True)
class JudgeArguments:
    """A command line, read, and the answers that it is about."""

    arguments: list[str]
    """For Hydra."""
    given: GivenAnswers

    def run(self, composed: Mapping[str, Any]) -> int:
        """Carry it out. Returns the exit code."""
        from evalkit.runs.judge import judge
        from evalkit.settings.config import parse

        return judge(parse(composed), self.given, messages.console())


def main(arguments: list[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        sys.stdout.write(HELP)
        return messages.DONE if arguments else messages.USAGE
    read = asked(arguments)
    from evalkit.settings import compose

    return compose.jobs(read.arguments, read.run, failed=messages.failed, also=OURS)


def asked(arguments: list[str]) -> JudgeArguments:
    """Read the command line, and bring the answers into a results folder where they are not in one.

    Raises:
        UsageError: a path or judge is missing, a key makes no sense here, or there are no answers.
    """
    from evalkit.datasets.vocabulary import parse_map
    from evalkit.engine.given import given_answers
    from evalkit.interop.answers import find_answers
    from evalkit.interop.records import Told
    from evalkit.settings.compose import split
    from evalkit.settings.overrides import quoted
    from evalkit.settings.verb_settings import judge_settings

    parser = argparse.ArgumentParser(prog="evalkit judge", add_help=False, allow_abbrev=False)
    parser.add_argument("--model")
    parser.add_argument("--format")
    parser.add_argument("--benchmark")
    parser.add_argument("--map", action="append")
    parser.add_argument("--skip-bad", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    flags, rest = split(rest)
    settings = [one for one in rest if SETTING.match(one) and not os.path.exists(one)]
    paths = [Path(one) for one in rest if one not in settings]
    given = dict(one.lstrip("+~").split("=", 1) for one in settings)
    if options.benchmark:
        given["benchmark"] = options.benchmark
    if not paths:
        raise UsageError("`evalkit judge` needs answers: a results folder, or files; see `evalkit judge --help`")
    if not given.get("judge"):
        raise UsageError("`evalkit judge` needs a judge: judge=NAME; see `evalkit list judges`")
    for key, why in FIXED.items():
        if key in given:
            raise UsageError(f"{key}={given[key]}: {why}")
    told = Told(model=options.model, columns=parse_map(options.map), skip_bad=options.skip_bad)
    into = Path(given["results_dir"]) if given.get("results_dir") else None
    root, models = find_answers(paths, told, into=into, benchmark=given.get("benchmark"), format_name=options.format)
    for text in told.notes():
        messages.note(text)
    wanted = [name.strip() for name in given.get("of", "").strip("[]").split(",") if name.strip()]
    passed = [*flags] + [one for one in settings if one.lstrip("+~").split("=", 1)[0] not in (*OURS, "benchmark")]
    passed += ["model=fake"] + ([f"results_dir={quoted(str(root.parent))}"] if "results_dir" not in given else [])
    return JudgeArguments(judge_settings(passed, given, root.name), given_answers(root, wanted or models))
