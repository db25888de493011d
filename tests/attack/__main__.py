"""Attacks on evalkit by own servers and harnesses: what was done, and that nothing was lost, doubled or set off.

    python -m tests.attack --into docs/attack.md [--missing] [--minutes 4] [--scale 1.0] [--only NAME ...] [--seed 1]

Takes about a quarter of an hour on two cores that do nothing else. Each attack is made in portions, and its line is
written after each; ``--missing`` goes on where the file ends, and ``--minutes`` begins no portion later than that. An
attack that succeeds ends it with an AssertionError. To add a verb to the kills, add an entry to ``VERBS`` in kills.py
and a line to ``ATTACKS`` here; ``label``, where people ask, has a campaign of its own in votes.py.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.attack import kills, outside, records, votes

Attack = Callable[[Path, int, int], dict[str, int]]


def _killed(verb: str, folder: Path, amount: int, seed: int) -> dict[str, int]:
    return asdict(kills.campaign(verb, folder, amount, seed))


@dataclass(frozen=True)
class Planned:
    """One attack, how much of it the long form does, how much at once, and what held."""

    attack: Attack
    amount: int
    portion: int
    short: int
    held: str


ATTACKS = {
    **{
        f"kill -9 of {verb}": Planned(partial(_killed, verb), amount, 4, 2, "every row once, none asked again")
        for verb, amount in {"run": 40, "arena": 12, "rejudge": 12, "probes": 12, "batch": 14, "import": 12}.items()
    },
    "kill -9 of label": Planned(votes.campaign, 12, 4, 2, "every confirmed vote once, none asked again"),
    "torn lines": Planned(
        records.torn_lines, 3000, 3000, 100, "every whole row is read, the cut one can be stored again"
    ),
    "full disk": Planned(records.full_disk, 8, 4, 1, "said in words; the next run ends whole, with its report"),
    "clock jumps": Planned(records.clock_jumps, 6, 6, 1, "the same rows, no duration below zero"),
    "fuzzed replies": Planned(records.fuzzed_replies, 30_000, 5000, 300, "a verdict or a failure, in linear time"),
    "wire faults": Planned(
        outside.wire_faults, 200, 200, 12, "an answer or a named error, and the next answer arrives"
    ),
    "hostile pages": Planned(outside.hostile_pages, 100, 100, 100, "shown as they are; nothing is run or loaded"),
}
"""By name, in the order of the table."""


@dataclass(frozen=True)
class Done:
    """What of an attack was carried out so far."""

    amount: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def line(self, name: str) -> str:
        """Of the table."""
        done = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in self.counts.items())
        part = f"{self.amount:,} of {ATTACKS[name].amount:,}"
        return (
            f"| {name} | {datetime.now(UTC):%Y-%m-%d} | {part} | {done} | {ATTACKS[name].held} | {self.seconds:.0f} |"
        )


def done(line: str) -> Done | None:
    """What a line of the table tells; None where it is of another form."""
    found = re.fullmatch(r"\| [^|]+ \| [\d-]+ \| ([\d,]+) of [\d,]+ \| ([^|]+) \| [^|]+ \| (\d+) \|", line)
    if found is None:
        return None
    counts = Counter({what: _whole(count) for count, what in re.findall(r"(\d[\d,]*) ([^,]+)", found[2])})
    return Done(_whole(found[1]), counts, float(found[3]))


def _whole(text: str) -> int:
    return int(text.replace(",", ""))


def portion(name: str, amount: int, before: Done, seed: int) -> Done:
    """Carry out so much more of an attack."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        counts = ATTACKS[name].attack(Path(folder), amount, seed + before.amount)
    more = {what.replace("_", " "): count for what, count in counts.items()}
    all_counts = Counter({what: before.counts[what] + more.get(what, 0) for what in {**before.counts, **more}})
    return Done(before.amount + amount, all_counts, before.seconds + time.monotonic() - began)


def table(lines: dict[str, str]) -> str:
    """The note, in Markdown."""
    so_far = {name: found for name, line in lines.items() if (found := done(line)) is not None}
    killed = sum(found.counts["kills"] for found in so_far.values())
    text = [
        *("# Attacks", ""),
        f"Made by `python -m tests.attack --into docs/attack.md`, which stops at the first thing that goes wrong, on "
        f"Python {platform.python_version()}; {killed} kills.",
        *(
            "",
            "| attack | date | how much | what was done | what held | seconds |",
            "| --- | --- | --- | --- | --- | ---: |",
        ),
        *(lines[name] for name in ATTACKS if name in lines),
        "",
        "Of kills: `requests` and `rows` are those of runs that nobody kills, one for each portion of the attack,",
        "`asked` is what all killed runs and those that finished their work asked together; `too late` are commands",
        "that were over before the kill. Kills come while a command starts, asks, judges or writes. What a kill costs",
        "is what was under way at the time: two requests of each model and judge.",
    ]
    if missing := [name for name in ATTACKS if name not in so_far or so_far[name].amount < ATTACKS[name].amount]:
        text += ["", f"Not carried out to the end here: {', '.join(missing)}; `--missing` goes on with them."]
    return "\n".join(text) + "\n"


def main() -> int:
    """Carry out all attacks, or some, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, help="a Markdown file; standard output unless given")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the long form (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), default=list(ATTACKS), metavar="NAME")
    parser.add_argument("--missing", action="store_true", help="go on where the file ends")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no portion later than that")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began, lines = time.monotonic(), {}
    if options.into is not None and options.into.exists():  # what it says of other attacks stays
        there = options.into.read_text(encoding="utf-8").splitlines()
        lines = {name: line for name in ATTACKS for line in there if line.startswith(f"| {name} |")}
    for name in options.only:
        so_far = (done(lines.get(name, "")) if options.missing else None) or Done()
        most = max(1, round(ATTACKS[name].amount * options.scale))
        while so_far.amount < most and time.monotonic() - began < 60 * options.minutes:
            so_far = portion(name, min(ATTACKS[name].portion, most - so_far.amount), so_far, options.seed)
            lines[name] = so_far.line(name)
            print(lines[name], file=sys.stderr, flush=True)
            if options.into is not None:
                options.into.write_text(table(lines), encoding="utf-8")
    if options.into is None:
        print(table(lines), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
