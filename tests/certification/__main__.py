"""Coverage, false warnings and power of the statistics, as a Markdown table.

python -m tests.certification --repetitions 200 --into docs/certification.md
"""

from __future__ import annotations

import argparse
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.certification.metrics import UNMEASURED, Metric, certified, warnings

QUESTIONS = (8, 20, 80)


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


def table(repetitions: int, seed: int, only: str = "", questions: tuple[int, ...] = QUESTIONS) -> str:
    """The whole table."""
    lines = [
        "# Certification of the statistics",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {repetitions} repetitions a cell (fewer for costly ones; last "
        "column). Made by `python -m tests.certification`.",
        "",
        "Coverage of a nominal 95%, of the intervals that are given; in brackets the share of data sets that give one "
        "(else a reason), where that is below 1. The Monte-Carlo error of .95 is "
        f"{np.sqrt(0.95 * 0.05 / repetitions):.3f}. Near the edges few outcomes are possible, "
        "and no limits cover between 93% and 98% of them: there more are covered.",
        "",
        "| metric | setting | " + " | ".join(f"Q={q}" for q in questions) + " | least width | repetitions |",
        "|---|---|" + "---|" * (len(questions) + 2),
    ]
    for metric in certified():
        if only not in f"{metric.name} {metric.setting}":
            continue
        number = max(20, round(repetitions * metric.repetitions))
        cells = [covered(metric, q, number, seed) for q in questions]
        shown = [f"{c['coverage']:.3f}" + (f" ({c['given']:.2f})" if c["given"] < 1 else "") for c in cells]
        least = np.nanmin([c["least"] for c in cells])
        lines.append(f"| {metric.name} | {metric.setting} | " + " | ".join(shown) + f" | {least:.2g} | {number} |")
        print(lines[-1], flush=True)
    lines += [
        "",
        "| statement | planted | " + " | ".join(f"Q={q}" for q in questions) + " |",
        "|---|---|" + "---|" * len(questions),
    ]
    for metric in warnings():
        if only in f"{metric.name} {metric.setting}":
            shown = [f"{said(metric, q, repetitions, seed):.3f}" for q in questions]
            lines.append(f"| {metric.name} | {metric.setting} | " + " | ".join(shown) + " |")
            print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.certification", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="metrics whose name and setting contain this")
    parser.add_argument("--questions", type=int, nargs="+", default=QUESTIONS)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    text = table(options.repetitions, options.seed, options.only, tuple(options.questions))
    if options.into:
        options.into.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
