"""``evalkit run preferences``: judges put to answers with labels, and how often each is right."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

from evalkit.cli import messages
from evalkit.core.protocols import UsageError

HELP = """\
usage: evalkit run preferences questions=NAME|FILE judge=NAME[,NAME...] [key=value ...]

Put judges to answers of which it is known, or was voted, which are better, in both orders, and print how often each is
right. The set is imported into results/ with its labels; `evalkit judges` shows it beside other sets.

  evalkit run preferences questions=llmbar judge=gpt4,claude          a named set, fetched once
  evalkit run preferences questions=pairs.jsonl judge=smollm2 limit=20     chosen and rejected answers of your own
  evalkit run preferences questions=rb2.parquet judge=gpt4 protocol=single     best of n: each answer by itself

keys:
  questions=NAME|FILE         {names};
                              a file or folder of `evalkit import preferences`, judgebench or llmbar; or on the hub,
                              hub:OWNER/NAME@REVISION/PATH with the 40 digits of a commit
  judge=NAME[,NAME]           who judges                evalkit list judges
  protocol=NAME               how it is judged          default: pairwise; single and others grade each answer
  limit=N                     the first N questions of each category
  repeats=N  dry_run=true  budget=USD  results_dir=DIR, and the other keys of `evalkit run --help`
"""

FIXED: Final = {
    "model": "no model is asked: the answers come with the set",
    "baseline": "the labels say which answers meet",
    "until": "every label is judged, so there is no tournament",
}
"""Keys of a run that make no sense here."""
USUAL: Final = {"protocol": "pairwise", "judged_turns": "last"}
"""What is set unless it is given: a label is about the last answer of a conversation."""


def main(arguments: list[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    from evalkit.datasets.labelled_sets import labelled_sets
    from evalkit.settings import compose

    if not arguments or {"-h", "--help"} & set(arguments):
        sys.stdout.write(HELP.format(names=", ".join(labelled_sets())))
        return messages.DONE if arguments else messages.USAGE
    compose.check_options(arguments)
    flags, settings = compose.split(arguments)
    if "-m" in flags or "--multirun" in flags:
        raise UsageError("`evalkit run preferences` takes several judges with commas, judge=a,b, and not -m")
    given = dict(one.lstrip("+~").split("=", 1) for one in settings if "=" in one)
    for key, why in FIXED.items():
        if key in given:
            raise UsageError(f"{key}={given[key]}: {why}")
    for key, example in (("questions", "llmbar, or a file"), ("judge", "gpt4; see `evalkit list judges`")):
        if not given.get(key):
            raise UsageError(f"`evalkit run preferences` needs {key}=..., as {key}={example}")
    from evalkit.engine.given import labelled_answers
    from evalkit.settings.verb_settings import judge_settings

    results = Path(given.get("results_dir") or "results")
    composed_only = any(
        flag.partition("=")[0] in ("--cfg", "-c") for flag in flags
    )  # shown, and nothing is carried out
    root = results / "preferences" if composed_only else asyncio.run(_imported(given["questions"], results))
    passed = [*flags, "model=fake", *(one for one in settings if one.split("=", 1)[0] != "questions")]
    passed += [
        f"{key}={value}" for key, value in (("protocol", "pairwise"), ("judged_turns", "last")) if key not in given
    ]

    def carry_out(composed: dict[str, Any]) -> int:
        from evalkit.runs.judge import judge
        from evalkit.settings.config import parse

        return judge(parse(composed), labelled_answers(root), messages.console())

    known = USUAL | {key: value for key, value in given.items() if key != "questions"}
    return compose.jobs(judge_settings(passed, known, root.name), carry_out, failed=messages.failed)


async def _imported(which: str, results: Path) -> Path:
    """The results folder of a set, imported now: what is there already is not entered again."""
    from evalkit.datasets.labelled_sets import find_set
    from evalkit.engine.progress import downloads
    from evalkit.interop.importing import import_results
    from evalkit.interop.labelled import format_of
    from evalkit.interop.records import Told
    from evalkit.storage.store import file_name

    with downloads(messages.console()):
        found = await find_set(which)
    told = Told()
    summary = import_results(found.format or format_of(found.path), found.path, results, found.name, told)
    for text in told.notes():
        messages.note(text)
    (name,) = summary.benchmarks or (found.name,)
    return results / file_name(name)
