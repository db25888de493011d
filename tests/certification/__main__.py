"""Coverage, false warnings and power of the statistics, as a Markdown table.

python -m tests.certification --repetitions 200 --into docs/certification.md
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.certification.metrics import SAME, UNMEASURED, Audits, Metric, audits, certified, warnings

HEAD = """\
# Certification of the statistics

{day}, seed {seed}, {repetitions} data sets a cell. Made by
`python -m tests.certification --repetitions {repetitions} --seed {seed} --into docs/certification.md`.

Studies are drawn whose truth is known, and each interval is held against it. A nominal 95% should cover {least} to
{most}; the Monte-Carlo error of a cell is {error}. A cell shows the coverage of the intervals that are given, and in
brackets how many data sets give one, where not all do: for the others there is a reason instead, such as "needs at
least 4 questions", or, for ratings, a model that never lost. Cells outside are in bold and listed below the table.
Questions are 8, 20 and 80 unless a row says otherwise. Settings marked as held out were not used to choose any limits.
"""
ABOVE = """\
These intervals are wider than they need be, by design. Where outcomes are few, no limits cover between: of 20 questions
won or lost at a true 95%, limits that hold with 17 wins cover 98.4%, and those that do not, 92.4%. Where few questions
stand near an end of the scale, the floor assumes half a question more at the other end, because a sample that shows
none looks the same whether or not there are any; settings without such questions pay for those that have them. Limits
of few questions (up to 8) are Student's, cut at the ends of the scale, beside that floor. Ratings that are given where
a model nearly never loses are those of the luckier data sets."""
STATEMENTS = """\
How often each is made; Q questions, so that 84 questions of four models are 504 pairs. Warnings about what is not there
should be at most .05, those about what was planted as many as possible. A warning is whatever stands below "You may
not", but for "Much from a single pair", which is true of a noisy judge."""


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
    }


def said(metric: Metric, questions: int, repetitions: int, seed: int) -> float:
    """How often a statement is made."""
    rng = np.random.default_rng([seed, questions, zlib.crc32(metric.setting.encode())])
    return float(np.mean([bool(metric.measure(rng, questions)) for _ in range(repetitions)]))


def audited(kind: Audits, questions: int, repetitions: int, seed: int) -> dict[str, float]:
    """How often audits make each statement."""
    rng = np.random.default_rng([seed, questions, zlib.crc32(kind.setting.encode())])
    made = [kind.made(rng, questions) for _ in range(repetitions)]
    return {name: float(np.mean([one[name] for one in made])) for name in made[0]}


LEAST, MOST = 0.93, 0.98
"""What a nominal 95% must cover."""


def table(repetitions: int, seed: int, only: str = "", questions: tuple[int, ...] = ()) -> str:
    """The whole page.

    Args:
        repetitions: Data sets a cell.
        seed: Of the draws.
        only: Metrics whose name and setting contain this.
        questions: Numbers of questions; those of each metric unless given.
    """
    rows = [row for row in certified() if only in f"{row.name} {row.setting}"]
    found = [_row(row, questions or row.questions, repetitions, seed) for row in rows]
    low, high = ([line for row in found for line in row[place]] for place in (1, 2))
    head = HEAD.format(
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        seed=seed,
        repetitions=repetitions,
        least=f"{LEAST:.0%}",
        most=f"{MOST:.0%}",
        error=f"{np.sqrt(0.95 * 0.05 / repetitions):.3f}",
    )
    cells = sum(len(questions or row.questions) for row in rows)
    parts = [
        head,
        f"## Coverage\n\nOf {cells} cells, {cells - len(low) - len(high)} are inside.\n",
        "| metric | planted | fewest questions | more | most | least width | |\n|---|---|---|---|---|---|---|",
        *(row[0] for row in found),
        f"\n## Cells that cover less than {LEAST:.0%}\n",
        *([f"- {line}" for line in low] or ["None."]),
        f"\n## Cells that cover more than {MOST:.0%}\n\n{ABOVE}\n",
        *([f"- {line}" for line in high] or ["None."]),
        f"\n## Statements\n\n{STATEMENTS}\n\n| statement | planted | made |\n|---|---|---|",
        *_statements(only, questions, repetitions, seed),
    ]
    return "\n".join(parts) + "\n"


def _row(metric: Metric, questions: tuple[int, ...], repetitions: int, seed: int) -> tuple[str, list[str], list[str]]:
    """A line of the table, and its cells that cover too little and too much."""
    low, high, shown, widths = [], [], [], []
    for q in questions:
        cell = covered(metric, q, repetitions, seed)
        widths.append(cell["least"])
        shown.append(_coverage(cell))
        given = round(repetitions * cell["given"])
        about = f"{metric.name}, {metric.setting}, Q={q}: {cell['coverage']:.3f} of {given}"
        about += f" (truth below {cell['below']:.3f}, above {cell['above']:.3f})"
        if cell["coverage"] < LEAST:
            low.append(about + ("" if _by_chance(cell["coverage"], given) else ", beyond chance"))
        if cell["coverage"] > MOST:
            high.append(about)
    least = np.nanmin([*widths, np.inf])
    held = "held out" if metric.held_out else ""
    line = f"| {metric.name} | {metric.setting} | {' | '.join(shown)} | {least:.2g} | {held} |"
    print(line, flush=True)
    return line, low, high


def _statements(only: str, questions: tuple[int, ...], repetitions: int, seed: int) -> Iterator[str]:
    for metric in warnings():
        if only in f"{metric.name} {metric.setting}":
            cells = [(q, said(metric, q, repetitions, seed)) for q in questions or metric.questions]
            told = ", ".join(f"Q={q}: {share:.3f}" for q, share in cells)
            print(line := f"| {metric.name} | {metric.setting} | {told} |", flush=True)
            yield line
    for kind in audits():
        if only in f"audits {kind.setting}":
            made = {q: audited(kind, q, repetitions, seed) for q in questions or kind.questions}
            for name in (*kind.statements, SAME):
                told = ", ".join(f"Q={q}: {shares[name]:.3f}" for q, shares in made.items())
                print(line := f"| an audit: {name} | {kind.setting} | {told} |", flush=True)
                yield line


def _coverage(cell: dict[str, float]) -> str:
    if not cell["given"]:
        return "a reason"
    marked = "**" if not LEAST <= cell["coverage"] <= MOST else ""
    return f"{marked}{cell['coverage']:.3f}{marked}" + (f" ({cell['given']:.2f})" if cell["given"] < 1 else "")


def _by_chance(coverage: float, number: int) -> bool:
    """Whether a coverage of 95% would come out so low in more than 1 of 100."""
    from scipy.special import bdtr

    return bool(bdtr(round(coverage * number), number, 0.95) > 0.01)


def main() -> None:
    """Print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.certification", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="metrics whose name and setting contain this")
    parser.add_argument("--questions", type=int, nargs="+", default=(), help="instead of each metric's own")
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    text = table(options.repetitions, options.seed, options.only, tuple(options.questions))
    if options.into:
        options.into.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
