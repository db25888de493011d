"""The verb ``evalkit audit judge=NAME``: experiments on a live judge -> a summary on the terminal, JSON, or a page."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from evalkit.cli import messages
from evalkit.core.protocols import UsageError

OURS = ("probes", "turns")
"""Keys that a run does not take."""
DEFAULTS = {"model": "smollm2", "protocol": "pairwise"}

HELP = """\
usage: evalkit audit judge=NAME [key=value ...] [--format table|json|html|md|latex] [-o FILE]

Experiments on a live judge: two answers of one model to each question, rewritten in ways that should not matter.
What they will ask is printed first.

  evalkit audit judge=smollm2 probes=position,verbosity        no GPU and no key
  evalkit audit judge=gpt4 probes=all dry_run=true             calls, tokens and cost; asks nothing
  evalkit audit judge=smollm2 rubric=helpful probes=all        of a judge that grades by a rubric

keys:
  judge=NAME | ID[,...]       whom to examine
  probes=NAME,... | all       {probes}
  questions=NAME | FILE       default: pocket
  turns=first | both          default: first; with both, second turns are asked too, and judged with the second changed
  model=NAME                  whose answers are shown; default: smollm2
  protocol=NAME               default: pairwise
  limit=N  repeats=N  results_dir=DIR  dry_run=true, and the other keys of `evalkit run --help`

With rubric=NAME or rubric=FILE, {of_rubrics} and
{last} are the probes that there are; the others are about comparing two answers.
"""


@dataclass(frozen=True)
class ProbeArguments:
    """The parsed command line of ``audit judge=...``."""

    arguments: list[str]
    """For Hydra."""
    form: str
    output: Path | None

    def run(self, composed: Mapping[str, Any]) -> int:
        """Run the probes. Returns the exit code."""
        from evalkit.engine.session import write_or_say
        from evalkit.probes import run as probe_run
        from evalkit.probes.library import PROBES
        from evalkit.probes.rubric_library import RUBRIC_NAMES
        from evalkit.probes.trials import Turns
        from evalkit.reports.audit_about import of_run
        from evalkit.reports.audit_output import present, to_json
        from evalkit.settings import config
        from evalkit.storage.run_records import read

        plain = dict(composed)
        turns = plain.pop("turns", "first")
        if turns not in get_args(Turns):
            raise UsageError(f"turns={turns!r}: write turns=first or turns=both")
        named = plain.pop("probes", None)
        if not named:
            raise UsageError(
                f"say which probes to run: probes=NAME,NAME, or probes=all. There are: "
                f"{', '.join(probe.name for probe in PROBES)}; of a rubric (rubric=NAME): {', '.join(RUBRIC_NAMES)}. "
                "With dry_run=true you see what they ask, and ask nothing"
            )
        listed = [named] if isinstance(named, str) else named
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise UsageError(f"probes={named!r}: write probes=NAME,NAME, or probes=all")
        probes = [] if listed == ["all"] else listed
        found = asyncio.run(probe_run.run(config.parse(plain), probes, messages.console(), turns=turns))
        if found.value is not None and found.folder is not None:
            write_or_say(found.folder / "audit.json", to_json(found.value), messages.note)
            record = read(found.folder / "manifest.json")
            design = found.more["probes"]
            about = [
                (f"experiments: {name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value))
                for name, value in design.items()
            ]
            about += of_run(record) if record else []
            present(found.value, self.form, self.output, messages.console(stderr=False), messages.note, about=about)
        if found.trouble is not None:
            raise found.trouble
        return found.code


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(help_text())
        return messages.DONE
    read = asked(arguments)
    from evalkit.settings import compose

    return compose.jobs(read.arguments, read.run, failed=messages.failed, also=OURS)


def asked(arguments: Sequence[str]) -> ProbeArguments:
    """Parse the command line of an audit by probes.

    Raises:
        UsageError: no judge, or a key that has another name here.
    """
    parser = argparse.ArgumentParser(prog="evalkit audit", add_help=False, allow_abbrev=False)
    parser.add_argument("--format", choices=["table", "json", "html", "md", "latex"])
    parser.add_argument("-o", "--output", type=Path)
    options, rest = parser.parse_known_args(list(arguments))
    given = dict(one.lstrip("+~").split("=", 1) for one in rest if "=" in one and not one.startswith("-"))
    if "judge" not in given:
        raise UsageError("experiments need a judge: `evalkit audit judge=NAME`; see `evalkit list judges`")
    if "benchmark" in given:
        raise UsageError(f"an audit takes its questions by questions={given['benchmark']}")
    questions = given.get("questions", "pocket")
    rest = [one for one in rest if not one.startswith("questions=")]
    rest = [f"+{one}" if one.startswith(tuple(f"{key}=" for key in OURS)) else one for one in rest]
    if os.path.isfile(os.path.expanduser(questions.strip("'\""))):
        rest += ["benchmark=arena", f"questions={questions}"]
    else:
        rest.append(f"benchmark={questions}")
    defaults = DEFAULTS | ({"protocol": "rubric"} if "rubric" in given else {})
    rest += [f"{key}={value}" for key, value in defaults.items() if key not in given]
    from evalkit.reports.audit_output import FORMATS
    from evalkit.reports.output import form_of

    return ProbeArguments(rest, form_of(options.format, options.output, FORMATS), options.output)


def help_text() -> str:
    """The help text of an audit by probes."""
    from evalkit.probes.library import PROBES
    from evalkit.probes.rubric_library import RUBRIC_NAMES

    names = [*(probe.name for probe in PROBES), *RUBRIC_NAMES]
    lines = textwrap.wrap(", ".join(names), 84)
    return HELP.format(
        probes=("\n" + " " * 30).join(lines), of_rubrics=", ".join(RUBRIC_NAMES[:-1]), last=RUBRIC_NAMES[-1]
    )
