"""Coverage, false warnings and power of the statistics, as a Markdown page.

python -m tests.certification --repetitions 200 --seed 20 --state cells.jsonl --into docs/certification.md

What was measured is kept in the state file, so that the command may be stopped and given again; only what is missing is
measured then. After the statistics have changed, begin with a new file.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from tests.certification.floors import UNSHOWN, hidden_share, without_floor
from tests.certification.metrics import SAME, UNMEASURED, Audits, Metric, audits, certified, warnings

HEAD = """\
# Certification of the statistics

{day}, seed {seed}, {repetitions} data sets a cell. Made by
`python -m tests.certification --repetitions {repetitions} --seed {seed} --into docs/certification.md`.

Studies are drawn whose truth is known, and each interval is held against it. A nominal 95% should cover {least} to
{most}; the Monte-Carlo error of a cell is {error}. A cell that covers less, or more, is measured again, on {many:,}
data sets of another seed, and counts as outside if it covers less, or more, there, too. A cell shows the coverage of
the intervals that are given, and in brackets how many data sets give one, where not all do: for the others there is a
reason instead, such as "needs at least 4 questions", or, for ratings, a model that never lost. Cells outside are in
bold and listed below the table. Questions are 8, 20 and 80 unless a row says otherwise. Settings marked as held out
were not used to choose any limits.
"""
DISCRETE = """\
Where outcomes are few, no limits cover between. An interval is read off an estimate, so that it holds the truth for a
range of estimates; these cells have no range of estimates that comes up in {least} to {most} of the data sets, and the
nearest that there are stand beside them."""
FLOOR = """\
Here the floor is needed: of the same data sets, limits without it (of resampling, of Student's t or of the sandwich
alone) cover less than {least}. Nothing between the two is offered, as the floor is a rule and not fitted to a cell."""
ELSEWHERE = """\
Here it is needed because of what the data cannot tell. Without the floor these cells would cover {least} or more, but
not where a few questions lie at the other end of the scale, so many that {parts} of the data sets show none:
these are drawn exactly as this cell's are, and their limits must reach as far. The share of such questions stands
beside each cell, with what limits cover there without the floor and with it."""
ABOVE = """\
These are wider than need be, for all that was looked for: limits without the floor cover {least} or more here, and
where the other end comes up, too (or that was not planted, or not measured yet)."""
STATEMENTS = """\
How often each is made; Q questions, so that 84 questions of four models are 504 pairs. Warnings about what is not there
should be at most .05, those about what was planted as many as possible. A warning is whatever stands below "You may
not", but for "Much from a single pair", which is true of a noisy judge. Where fewer data sets than {repetitions} were
drawn, their number stands in brackets."""
LEAST, MOST = 0.93, 0.98
"""What a nominal 95% must cover."""
ALONE, HIDDEN = "without the floor", "hidden"
"""What else is measured of a cell that covers more."""
TIMES = 5
"""As many data sets where a cell is measured again."""
BELOW, CHANCE, LUCK = "below", "below by chance", "wider by chance"
FEW, NEEDED, UNSEEN = "wider, as outcomes are few", "wider, as the floor is needed", "wider, as the floor is elsewhere"
WIDE = "wider than need be"
KINDS = (BELOW, CHANCE, LUCK, FEW, NEEDED, UNSEEN, WIDE)
"""How a cell can be outside."""


class Cells:
    """What was measured, by cell and part, kept in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, object] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                key, value = json.loads(line)
                self._known[key] = value

    def get(self, *key: object) -> object:
        """What was measured; None where nothing was yet."""
        return self._known.get(json.dumps(key))

    def measure(self, key: tuple[object, ...], how: Callable[[], object]) -> None:
        """Measure and keep it, unless it is known."""
        name = json.dumps(key)
        if name not in self._known:
            self._known[name] = how()
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([name, self._known[name]]) + "\n")


def covered(metric: Metric, questions: int, repetitions: int, seed: int) -> dict[str, float]:
    """Coverage and kin of one metric; misses are shares of the intervals given."""
    rng = np.random.default_rng([seed, questions, zlib.crc32(f"{metric.name} {metric.setting}".encode())])
    found = []
    for _ in range(repetitions):
        try:
            found.append(metric.measure(rng, questions))
        except UNMEASURED:
            found.append(None)
    given = [one for one in found if one is not None and one.lower is not None]
    if not given:
        return {"given": 0.0, "coverage": float("nan"), "below": 0.0, "above": 0.0, "width": 0.0, "least": float("nan")}
    lower, upper, estimate = (np.array([getattr(one, end) for one in given]) for end in ("lower", "upper", "estimate"))
    truth = float(estimate.mean()) if metric.truth is None else metric.truth()
    return {
        "given": len(given) / repetitions,
        "coverage": float(((lower <= truth) & (truth <= upper)).mean()),
        "below": float((truth < lower).mean()),
        "above": float((truth > upper).mean()),
        "width": float(np.mean(upper - lower)),
        "least": float((upper - lower).min()),
        **attainable(estimate),
    }


def attainable(estimates: np.ndarray) -> dict[str, float]:
    """The nearest coverages that limits can have which hold the truth for a range of these estimates; {} if inside.

    Args:
        estimates: [N] of as many data sets.
    """
    counts = np.unique(np.round(estimates, 9), return_counts=True)[1]
    upto = np.concatenate([[0], np.cumsum(counts)])
    shares = np.unique((upto[None] - upto[:, None])[np.triu_indices(upto.size, 1)]) / estimates.size
    if ((shares >= LEAST) & (shares <= MOST)).any():
        return {}
    return {
        "nearest below": float(shares[shares < LEAST].max(initial=0.0)),
        "nearest above": float(shares[shares > MOST].min()),
    }


def said(metric: Metric, questions: int, repetitions: int, seed: int) -> float:
    """How often a statement is made."""
    rng = np.random.default_rng([seed, questions, zlib.crc32(metric.setting.encode())])
    return float(np.mean([bool(metric.measure(rng, questions)) for _ in range(repetitions)]))


def audited(kind: Audits, questions: int, number: int, seed: int) -> dict[str, bool]:
    """Which statements the audit of one data set makes."""
    return kind.made(np.random.default_rng([seed, questions, zlib.crc32(kind.setting.encode()), number]), questions)


def measured(cells: Cells, only: str, repetitions: int, seed: int, until: float = float("inf")) -> None:
    """Measure what is not known yet, until this time of the monotonic clock."""
    for key, how in _parts(cells, only, repetitions, seed):
        if time.monotonic() > until:
            return
        cells.measure(key, how)


def _parts(
    cells: Cells, only: str, repetitions: int, seed: int
) -> Iterator[tuple[tuple[object, ...], Callable[[], object]]]:
    """Coverage and statements, a cell each; then audits, one data set of each cell, then the next."""
    for row in certified():
        for q in row.questions if only in f"{row.name} {row.setting}" else ():
            yield from _of_cell(cells, row, q, repetitions, seed)
    for row in warnings():
        for q in row.questions if only in f"{row.name} {row.setting}" else ():
            yield (row.name, row.setting, q, repetitions, seed), partial(said, row, q, repetitions, seed)
    for number in range(repetitions):
        for kind in audits():
            for q in kind.questions if only in f"audits {kind.setting}" else ():
                yield ("audits", kind.setting, q, number, seed), partial(audited, kind, q, number, seed)


def _of_cell(
    cells: Cells, row: Metric, q: int, repetitions: int, seed: int
) -> Iterator[tuple[tuple[object, ...], Callable[[], object]]]:
    """A cell; if it is outside, once more on more data sets; and if it covers more there, too, why."""
    first, times, other = (row.name, row.setting, q, repetitions, seed), repetitions * TIMES, seed + 1
    yield first, partial(covered, row, q, repetitions, seed)
    if not _low(cells.get(*first)) and not _high(cells.get(*first)):
        return
    again = row.name, row.setting, q, times, other
    yield again, partial(covered, row, q, times, other)
    if _high(cells.get(*first)) and _high(cells.get(*again)):
        yield (*first, ALONE), partial(alone, row, q, repetitions, seed)
        if row.hidden is not None and not _low(cells.get(*first, ALONE)):
            yield (*first, HIDDEN), partial(hidden, row, q, repetitions, seed)


def alone(metric: Metric, questions: int, repetitions: int, seed: int) -> dict[str, float]:
    """Coverage and kin of limits without the floor, of the same data sets."""
    with without_floor():
        return covered(metric, questions, repetitions, seed)


def hidden(metric: Metric, questions: int, repetitions: int, seed: int) -> dict[str, object]:
    """What limits cover where questions are at the other end, of which part of the data sets show none.

    Of the parts that are tried (`UNSHOWN`), it is the one where limits without the floor cover least.

    Raises:
        ValueError: Of a metric without such a world.
    """
    if metric.hidden is None:
        raise ValueError(f"no world with hidden questions for {metric.name}, {metric.setting}")
    tried = []
    for part, unshown in UNSHOWN.items():
        share = hidden_share(questions, unshown)
        there = metric.hidden(share)
        bare = alone(there, questions, repetitions, seed)["coverage"]
        whole = covered(there, questions, repetitions, seed)["coverage"]
        tried.append({"part": part, "share": share, "coverage": bare, "with": whole})
    return min(tried, key=lambda one: one["coverage"])


def _low(cell: object) -> bool:
    return isinstance(cell, dict) and bool(cell["coverage"] < LEAST)


def _high(cell: object) -> bool:
    return isinstance(cell, dict) and bool(cell["coverage"] > MOST)


def page(cells: Cells, only: str, repetitions: int, seed: int) -> str:
    """The whole page, of what was measured."""
    rows = [row for row in certified() if only in f"{row.name} {row.setting}"]
    found = [_row(cells, row, repetitions, seed) for row in rows]
    outside = {kind: [line for row in found for name, line in row[1] if name == kind] for kind in KINDS}
    missing = [
        f"{row.name}, {row.setting} (Q={', '.join(map(str, at[2]))})"
        for row, at in zip(rows, found, strict=True)
        if at[2]
    ]
    head = HEAD.format(
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        seed=seed,
        repetitions=repetitions,
        many=repetitions * TIMES,
        least=f"{LEAST:.0%}",
        most=f"{MOST:.0%}",
        error=f"{np.sqrt(0.95 * 0.05 / repetitions):.3f}",
    )
    number = sum(len(row.questions) - len(at[2]) for row, at in zip(rows, found, strict=True))
    told = [
        f"{number - sum(map(len, outside.values()))} are inside",
        *(f"{len(found)} {kind}" for kind, found in outside.items()),
    ]
    ends = {"least": f"{LEAST:.0%}", "most": f"{MOST:.0%}", "parts": " or ".join(UNSHOWN)}
    above = [(FEW, DISCRETE), (NEEDED, FLOOR), (UNSEEN, ELSEWHERE), (WIDE, ABOVE)]
    parts = [
        head,
        f"## Coverage\n\nOf {number} cells, {', '.join(told)}.\n",
        "| metric | planted | fewest questions | more | most | least width | |\n|---|---|---|---|---|---|---|",
        *(row[0] for row in found),
        *(["\n## Not measured yet\n", *(f"- {line}" for line in missing)] if missing else []),
        f"\n## Cells that cover less than {LEAST:.0%}\n",
        *_listed(outside[BELOW]),
        f"\nOnes that cover {LEAST:.0%} or more of the {repetitions * TIMES:,} data sets of another seed:\n",
        *_listed(outside[CHANCE]),
        f"\n## Cells that cover more than {MOST:.0%}",
        *(line for kind, words in above for line in (f"\n{words.format(**ends)}\n", *_listed(outside[kind]))),
        f"\nOnes that cover {MOST:.0%} or less of the {repetitions * TIMES:,} data sets of another seed:\n",
        *_listed(outside[LUCK]),
        f"\n## Statements\n\n{STATEMENTS.format(repetitions=repetitions)}\n",
        "| statement | planted | made |\n|---|---|---|",
        *_statements(cells, only, repetitions, seed),
    ]
    return "\n".join(parts) + "\n"


def _listed(lines: list[str]) -> list[str]:
    return [f"- {line}" for line in lines] or ["None."]


def _row(cells: Cells, metric: Metric, repetitions: int, seed: int) -> tuple[str, list[tuple[str, str]], list[int]]:
    """A line of the table, its cells outside with how they are, and numbers of questions not measured yet."""
    outside, missing, shown, widths = [], [], [], []
    for q in metric.questions:
        cell = cells.get(metric.name, metric.setting, q, repetitions, seed)
        if not isinstance(cell, dict):
            missing.append(q)
            shown.append("")
            continue
        widths.append(cell["least"])
        shown.append(_coverage(cell))
        again = cells.get(metric.name, metric.setting, q, repetitions * TIMES, seed + 1)
        proofs = [cells.get(metric.name, metric.setting, q, repetitions, seed, what) for what in (ALONE, HIDDEN)]
        kind, why = standing(cell, again, *proofs)
        line = f"{metric.name}, {metric.setting}, Q={q}: {cell['coverage']:.3f} of {round(repetitions * cell['given'])}"
        if isinstance(again, dict):
            line += f"; again {again['coverage']:.3f} of {round(repetitions * TIMES * again['given']):,}"
        if kind:
            outside.append((kind, line + why))
    least = np.nanmin([*widths, np.inf])
    held = "held out" if metric.held_out else ""
    width = f"{least:.2g}" if np.isfinite(least) else ""
    return f"| {metric.name} | {metric.setting} | {' | '.join(shown)} | {width} | {held} |", outside, missing


def standing(cell: dict[str, float], again: object, bare: object, elsewhere: object) -> tuple[str, str]:
    """How a cell is outside, and the figures that prove it; nothing where it is inside, or gives reasons.

    Args:
        cell: Its coverage.
        again: The same on more data sets of another seed.
        bare: The same data sets without the floor.
        elsewhere: Where the other end of the scale comes up, without the floor and with it.
    """
    if _low(cell):
        return (CHANCE if isinstance(again, dict) and not _low(again) else BELOW), ""
    if not _high(cell):
        return "", ""
    if isinstance(again, dict) and not _high(again):
        return LUCK, ""
    few = again if isinstance(again, dict) else cell
    if "nearest above" in few:
        return FEW, f"; nearest {few['nearest below']:.3f} and {few['nearest above']:.3f}"
    why = f"; without the floor {bare['coverage']:.3f}" if isinstance(bare, dict) else ""
    if _low(bare):
        return NEEDED, why
    if isinstance(elsewhere, dict):
        rare = f"with {elsewhere['share']:.0%} of questions at the other end, unseen in {elsewhere['part']}"
        why += f"; {rare} of data sets, {elsewhere['coverage']:.3f}, and {elsewhere['with']:.3f} with the floor"
    return (UNSEEN if _low(elsewhere) else WIDE), why


def _statements(cells: Cells, only: str, repetitions: int, seed: int) -> Iterator[str]:
    for metric in warnings():
        if only in f"{metric.name} {metric.setting}":
            made = {q: cells.get(metric.name, metric.setting, q, repetitions, seed) for q in metric.questions}
            told = ", ".join(f"Q={q}: {share:.3f}" for q, share in made.items() if isinstance(share, float))
            yield f"| {metric.name} | {metric.setting} | {told or 'not measured yet'} |"
    for kind in audits():
        if only in f"audits {kind.setting}":
            for name in (*kind.statements, SAME):
                told = ", ".join(_made(cells, kind, name, q, repetitions, seed) for q in kind.questions)
                yield f"| an audit: {name} | {kind.setting} | {told} |"


def _made(cells: Cells, kind: Audits, name: str, questions: int, repetitions: int, seed: int) -> str:
    """How often audits of this many questions make a statement."""
    found = [cells.get("audits", kind.setting, questions, number, seed) for number in range(repetitions)]
    made = [bool(one[name]) for one in found if isinstance(one, dict)]
    if not made:
        return f"Q={questions}: not measured yet"
    return f"Q={questions}: {np.mean(made):.3f}" + (f" ({len(made)})" if len(made) < repetitions else "")


def _coverage(cell: dict[str, float]) -> str:
    if not cell["given"]:
        return "a reason"
    marked = "**" if not LEAST <= cell["coverage"] <= MOST else ""
    return f"{marked}{cell['coverage']:.3f}{marked}" + (f" ({cell['given']:.2f})" if cell["given"] < 1 else "")


def main() -> None:
    """Measure what is missing, print the page, and write it where asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.certification", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--only", default="", help="metrics whose name and setting contain this")
    parser.add_argument("--state", type=Path, help="a file that keeps what was measured, for the next time")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="measure no longer than this")
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    cells = Cells(options.state)
    until = time.monotonic() + 60 * options.minutes
    measured(cells, options.only, options.repetitions, options.seed, until)
    text = page(cells, options.only, options.repetitions, options.seed)
    print(text, end="")
    if options.into:
        options.into.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
