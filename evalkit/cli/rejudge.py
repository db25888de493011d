"""The verb ``evalkit rejudge PATH judge=NAME``: stored answers before another judge -> a drift report."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.cli import messages
from evalkit.core.protocols import UsageError

if TYPE_CHECKING:
    from evalkit.rejudge.source import SourceJudgments

HELP = """\
usage: evalkit rejudge PATH judge=NAME [of=NAME] [key=value ...] [--format table|md|latex|json] [-o FILE]

Put stored answers to another judge, case by case as the old one saw them, and report how the verdicts drift.

  evalkit rejudge results/mtbench judge=gpt4o of=gpt4      every case that gpt4 judged, now by gpt4o
  evalkit rejudge results/mtbench judge=gpt4 as=gpt4-may   the same judge again: has the model behind it changed?
  evalkit rejudge results/mtbench judge=gpt4o limit=2 dry_run=true

PATH is the results folder of one benchmark, or one of its judgments files; imported results will do.

keys:
  judge=NAME                  who judges now
  of=NAME                     whose judgments are re-judged; default: the only other judge there is
  as=NAME                     what the new judge is called in the results; default: its own name
  protocol=NAME               which, where the old judge judged under several; default: the same. Another one than
                              the old judge's will do, and is noted; its settings as protocol.KEY=VALUE
  benchmark=NAME | FOLDER     where the questions are, if not in a benchmark of that name or with the results
  limit=N  dry_run=true  budget=USD, and the other keys of `evalkit run --help`
"""

OURS = ("of", "as")
"""Keys that a run does not take."""
FIXED = {
    "show": "`evalkit run ... show=prompt` shows prompts",
    "judged_turns": "the turns that the old judge saw are judged",
    "model": "no model is asked",
    "repeats": "each case is put as often as it was",
    "baseline": "the pairs are those that were judged",
    "orders": "the orders are those that were shown",
    "results_dir": "the results go beside those in PATH",
}
SETTING = re.compile(r"[+~]*[\w.@/]+=")


@dataclass(frozen=True)
class RejudgeArguments:
    """A command line, read, and the judgments that it is about."""

    arguments: list[str]
    """For Hydra."""
    old: SourceJudgments
    name: str | None
    form: str
    output: Path | None

    def run(self, composed: Mapping[str, Any]) -> int:
        """Judge again. Returns the exit code."""
        from evalkit.engine.session import write_or_say
        from evalkit.rejudge.run import rejudge
        from evalkit.rejudge.tables import present, to_json
        from evalkit.settings import config

        if self.old.replaced:
            messages.note(f"{self.old.replaced:,} judgments of earlier configurations of the old judge are left out")
        found = asyncio.run(rejudge(config.parse(composed), self.old, messages.console(), name=self.name))
        if found.value is not None and found.folder is not None:
            write_or_say(found.folder / "rejudge.json", to_json(found.value), messages.note)
            present(found.value, self.form, self.output, messages.note)
        if found.trouble is not None:
            raise found.trouble
        return found.code


def main(arguments: list[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        sys.stdout.write(HELP)
        return messages.DONE if arguments else messages.USAGE
    read = asked(arguments)
    from evalkit.settings import compose

    return compose.jobs(read.arguments, read.run, failed=messages.failed, also=OURS)


def asked(arguments: Sequence[str]) -> RejudgeArguments:
    """Read the command line, and find what it is about.

    Raises:
        UsageError: a path or judge is missing, there is nothing to re-judge, or a key makes no sense here.
    """
    from evalkit.rejudge.source import old
    from evalkit.rejudge.tables import FORMATS
    from evalkit.reports.output import form_of
    from evalkit.settings.compose import split
    from evalkit.settings.ids import name_of
    from evalkit.settings.overrides import quoted

    parser = argparse.ArgumentParser(prog="evalkit rejudge", add_help=False, allow_abbrev=False)
    parser.add_argument("--format", choices=list(dict.fromkeys(FORMATS.values())))
    parser.add_argument("-o", "--output", type=Path)
    options, rest = parser.parse_known_args(list(arguments))
    flags, rest = split(rest)
    settings = [one for one in rest if SETTING.match(one) and not os.path.exists(one)]
    paths = [one for one in rest if one not in settings]
    given = dict(one.lstrip("+~").split("=", 1) for one in settings)
    if len(paths) != 1:
        named = f"{len(paths)} were given: {', '.join(paths)}" if paths else "none was given"
        raise UsageError(f"a rejudge takes one results folder, and {named}; see `evalkit rejudge --help`")
    if not given.get("judge"):
        raise UsageError("a rejudge needs the new judge: judge=NAME; see `evalkit list judges`")
    for key, why in FIXED.items():
        if key in given:
            raise UsageError(f"{key}={given[key]}: {why}")
    name = given.get("as") or None
    wanted = given.get("protocol")
    found = old(
        Path(paths[0]),
        of=given.get("of") or None,
        new=name or name_of(given["judge"], "judge"),
        protocol=_stored_name(wanted, given.get("rubric")) if wanted else None,
    )
    passed = [*flags] + [one for one in rest if one not in paths and one.lstrip("+~").split("=", 1)[0] not in OURS]
    passed += ["model=fake", f"results_dir={quoted(str(found.root.parent))}"]
    if "benchmark" not in given:
        passed.append(f"benchmark={quoted(found.benchmark)}")
    if wanted is None:
        passed.append(f"protocol={_file_name(found)}")
    form = form_of(options.format, options.output, FORMATS)
    return RejudgeArguments(passed, found, name, form, options.output)


def _protocols() -> dict[str, tuple[str, int]]:
    """Protocols by name on the command line: name in the results, and how many answers are shown at once."""
    import msgspec

    from evalkit.core.paths import shipped
    from evalkit.core.protocols import JudgeProtocol
    from evalkit.settings import targets

    names = {}
    for path in sorted((shipped("conf") / "protocol").glob("*.yaml")):
        node = targets.named_protocol(msgspec.yaml.decode(path.read_bytes()), path.stem)
        module, _, kind = str(node["_target_"]).rpartition(".")
        protocol = getattr(import_module(module), kind)
        if node["_target_"] == targets.DECLARED:  # how many it shows is in its text
            protocol = targets.build(node, f"protocol {path.stem}", JudgeProtocol)
        names[path.stem] = (str(node.get("name") or protocol.name), int(protocol.shows))
    return names


def _stored_name(protocol: str, rubric: str | None) -> str:
    """What judgments under a protocol, and a rubric if any, say; one of the user's own is taken by its name."""
    name = _protocols().get(protocol, (protocol, 0))[0]
    return f"{name}-{Path(rubric).stem}" if rubric else name


def _file_name(found: SourceJudgments) -> str:
    """The protocol to choose so that the new judge is asked as the old one was."""
    files = [name for name, (stored, _) in _protocols().items() if stored == found.protocol]
    if not files:
        fitting = [name for name, (_, shows) in _protocols().items() if shows == found.shows]
        raise UsageError(
            f"{found.judge.name!r} judged under {found.protocol!r}, which evalkit can only import; name the protocol "
            f"for the new judge: protocol={'|'.join(fitting)}, or one of your own"
        )
    if len(files) > 1:
        raise UsageError(f"{found.protocol!r} comes in several forms; say which: protocol={'|'.join(files)}")
    return files[0]
