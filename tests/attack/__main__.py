"""Attacks on evalkit by own servers and harnesses: what was done, and that nothing was lost, doubled or set off.

    python -m tests.attack --into docs/attack.md [--missing] [--scale 1.0] [--only NAME ...] [--seed 1]

Takes about a quarter of an hour on two cores that do nothing else. Each attack writes its line when it has ended; after
an interruption ``--missing`` goes on, and leaves out the attacks that the file has a line of. An attack that succeeds
ends it with an AssertionError. To add a verb to the kills, add an entry to ``VERBS`` in kills.py and a line to
``ATTACKS`` here; ``label``, where people ask, has a campaign of its own in votes.py.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.attack import kills, outside, records, votes

Attack = Callable[[Path, int, int], dict[str, int]]


def _killed(verb: str, folder: Path, amount: int, seed: int) -> dict[str, int]:
    return asdict(kills.campaign(verb, folder, amount, seed))


@dataclass(frozen=True)
class Planned:
    """One attack, how much of it the long form does, and what held."""

    attack: Attack
    amount: int
    short: int
    held: str


ATTACKS = {
    **{
        f"kill -9 of {verb}": Planned(partial(_killed, verb), amount, 2, "every row once, none asked again")
        for verb, amount in {"run": 40, "arena": 12, "rejudge": 12, "probes": 12, "batch": 14, "import": 12}.items()
    },
    "kill -9 of label": Planned(votes.campaign, 12, 2, "every confirmed vote once, none asked again"),
    "torn lines": Planned(records.torn_lines, 3000, 100, "every whole row is read, the cut one can be stored again"),
    "full disk": Planned(records.full_disk, 8, 1, "said in words; the next run ends whole, with its report"),
    "clock jumps": Planned(records.clock_jumps, 6, 1, "the same rows, no duration below zero"),
    "fuzzed replies": Planned(records.fuzzed_replies, 30_000, 300, "a verdict or a failure, in linear time"),
    "wire faults": Planned(outside.wire_faults, 200, 12, "an answer or a named error, and the next answer arrives"),
    "hostile pages": Planned(outside.hostile_pages, 100, 100, "shown as they are; nothing is run or loaded"),
}
"""By name, in the order of the table."""


def carried_out(planned: Planned, scale: float, seed: int) -> tuple[dict[str, int], float]:
    """Counts and seconds of one attack."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        counts = planned.attack(Path(folder), max(1, round(planned.amount * scale)), seed)
    return counts, time.monotonic() - began


def row_of(name: str, counts: dict[str, int], seconds: float) -> str:
    """The line of one attack."""
    done = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in counts.items())
    return f"| {name} | {datetime.now(UTC):%Y-%m-%d} | {done} | {ATTACKS[name].held} | {seconds:.0f} |"


def table(rows: dict[str, str]) -> str:
    """The note, in Markdown."""
    killed = sum(int(found[1]) for row in rows.values() if (found := re.search(r"\| (\d+) kills", row)))
    lines = [
        *("# Attacks", ""),
        f"Made by `python -m tests.attack --into docs/attack.md`, which stops at the first thing that goes wrong, on "
        f"Python {platform.python_version()}; {killed} kills.",
        *("", "| attack | date | what was done | what held | seconds |", "| --- | --- | --- | --- | ---: |"),
        *(rows[name] for name in ATTACKS if name in rows),
        "",
        "Of kills: `requests` and `rows` are those of one run that nobody kills, `asked` is what all killed runs and",
        "those that finished their work asked together. Kills come while a command starts, asks, judges or writes.",
        "What a kill costs is what was under way at the time: two requests of each model and judge.",
    ]
    planned = sum(attack.amount for name, attack in ATTACKS.items() if name.startswith("kill"))
    if killed < planned:
        lines += ["", f"This is a part: the long form has {planned} kills."]
    if missing := [name for name in ATTACKS if name not in rows]:
        lines += [
            "",
            f"Not carried out here yet, in their long form: {', '.join(missing)}; `--missing` goes on with them.",
        ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Carry out all attacks, or some, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, help="a Markdown file; standard output unless given")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the long form (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), default=list(ATTACKS), metavar="NAME")
    parser.add_argument("--missing", action="store_true", help="only the attacks that the file has no line of")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = {}
    if options.into is not None and options.into.exists():  # what it says of other attacks stays
        lines = options.into.read_text(encoding="utf-8").splitlines()
        rows = {name: line for name in ATTACKS for line in lines if line.startswith(f"| {name} |")}
    for name in options.only:
        if options.missing and name in rows:
            continue
        counts, seconds = carried_out(ATTACKS[name], options.scale, options.seed)
        rows[name] = row_of(name, counts, seconds)
        print(rows[name], file=sys.stderr, flush=True)
        if options.into is not None:
            options.into.write_text(table(rows), encoding="utf-8")
    if options.into is None:
        print(table(rows), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
