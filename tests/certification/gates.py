"""A gate's error rates on judgments of models against themselves, and its power beside a paired t test's.

python -m tests.certification.gates --draws 10000 --into gates.md     (a minute of processor time)

A/A data are differences that are 0 in truth. With the margin at 0, that is the boundary: shares of passes and of
failures are both errors, and both should be alpha = 0.05 at most. With the margin that a gate has unless told, a
failure is an error, and what is not passed is undecided. Public data are looked for in ``../shared/data``; rows of
missing data are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy import stats

from evalkit.decisions.gate import MARGIN, MARGINS, fixed_limits
from evalkit.decisions.pairing import SCORE
from evalkit.stats.arrays import FloatArray
from evalkit.stats.confidence_sequence import log_e_values

ALPHA = 0.05
QUESTIONS = (20, 80, 200, 800)
LOOKS_TO = 400
"""Questions after each of which the sequential gate looks."""
DATA = Path(os.environ.get("EVALKIT_SHARED_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")


def sources() -> Iterator[tuple[str, FloatArray, float]]:
    """Name, differences by question of something against itself, and the length of the scale."""
    for model in ("gemma-7b-it", "gpt-3.5-turbo-0125", "reka-flash-20240226"):
        dates = [DATA / "wildbench" / f"{model}.gpt-4o-2024-05-13.{date}.jsonl" for date in ("0522", "0625")]
        if all(path.exists() for path in dates):
            one, other = (_wildbench(path) for path in dates)
            both = [float(one[key] - other[key]) for key in one if key in other]
            yield f"WildBench, {model}, one judge on two dates", np.array(both), 9.0
    folder = DATA / "alpacaeval" / "weighted_alpaca_eval_gpt4_turbo"
    files = sorted(folder.rglob("*.json"))
    if len(files) > 1:
        points = [_alpaca(path) for path in files[:2]]
        common = sorted(points[0].keys() & points[1].keys())
        gaps = np.array([points[0][key] - points[1][key] for key in common])
        yield "AlpacaEval, annotations of two models, split at random", gaps, 100.0
    rng = np.random.default_rng(5)
    yield "simulated judge, two verdicts 1-10", np.diff(_grades(rng, 4000), axis=1)[:, 0], 9.0
    yield "simulated pairs, both orders", rng.choice([-100.0, 0.0, 100.0], p=[0.2, 0.6, 0.2], size=4000), 100.0
    yield "simulated pairs, no ties", rng.choice([-100.0, 100.0], size=4000), 100.0


def _grades(rng: np.random.Generator, size: int) -> FloatArray:
    level = rng.normal(7, 2, size=(size, 1))
    grades: FloatArray = np.clip((level + rng.normal(0, 0.8, size=(size, 2))).round(), 1, 10)
    return grades


def _wildbench(path: Path) -> dict[str, float]:
    rows = map(json.loads, path.read_text().splitlines())
    return {str(row["session_id"]): float(row["score"]) for row in rows if _is_number(row.get("score"))}


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False


def _alpaca(path: Path) -> dict[str, float]:
    rows = json.loads(path.read_text())
    return {row["instruction"]: 100 * (row["preference"] - 1) for row in rows if _is_number(row.get("preference"))}


def sampled(values: FloatArray, questions: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """[questions, draws] differences, each with a random sign, so that the truth is 0."""
    chosen = rng.choice(values, size=(questions, draws))
    result: FloatArray = chosen * rng.choice([-1.0, 1.0], size=chosen.shape)
    return result


@dataclass(frozen=True)
class GateRates:
    """Shares of draws, of models that do not differ."""

    design: str
    passed: float
    """With the margin at 0: false passes."""
    failed: float
    """False failures."""
    usual: tuple[float, float] | None = None
    """Passes and failures with the margin that is usual; None of a sequential gate."""


def rates(values: FloatArray, span: float, draws: int, rng: np.random.Generator) -> Iterator[GateRates]:
    """Error rates of fixed gates of several sizes, then of a sequential one that looks after every question."""
    margin = MARGINS[SCORE] if span < 100 else MARGIN
    for n in QUESTIONS:
        columns = sampled(values, n, draws, rng)
        parts = np.array_split(columns, max(1, n * draws // 2_000_000), axis=1)
        found = [fixed_limits(part, np.ones(n), span, None, ALPHA, preferences=span >= 100) for part in parts]
        lower, upper = (np.concatenate([one[side] for one in found if one]) for side in (0, 1))
        usual = float((lower > -margin).mean()), float((upper < -margin).mean())
        yield GateRates(f"fixed, {n}", float((lower > 0).mean()), float((upper < 0).mean()), usual)
    ever = np.zeros(2)
    batches = np.array_split(np.arange(draws), max(1, draws // 500))
    for batch in batches:
        sequences = sampled(values, LOOKS_TO, batch.size, rng).T
        ever += [_ever(sequences, span, above=above) * batch.size for above in (True, False)]
    yield GateRates(f"sequential, up to {LOOKS_TO}", *(ever / draws).tolist())


def _ever(sequences: FloatArray, span: float, *, above: bool) -> float:
    """Share of sequences whose evidence ever reaches what a sequential gate asks for."""
    evidence = log_e_values(sequences, 0.0, above=above, limits=(-span, span))
    return float((evidence.max(axis=1) >= math.log(1 / ALPHA)).mean())


@dataclass(frozen=True)
class GatePower:
    """Shares of passes where the new model is better by a difference, with the margin at 0."""

    size: float
    paired_t: float
    """By theory: the limit of a paired, one-sided t test."""
    fixed: float
    sequential: float


def power(draws: int, rng: np.random.Generator) -> Iterator[GatePower]:
    """Power on 200 questions whose differences have the standard deviation 1, on a scale from 1 to 10."""
    n, deviation, span = 200, 1.0, 9.0
    for size in (0.0, 0.1, 0.15, 0.2, 0.3, 0.5):
        columns = np.clip(rng.normal(size, deviation, size=(n, draws)), -span, span)
        found = fixed_limits(columns, np.ones(n), span, None, ALPHA)
        assert found is not None
        theory = 1 - stats.nct.cdf(stats.t.ppf(1 - ALPHA, n - 1), n - 1, size / deviation * math.sqrt(n))
        ever = _ever(columns[:, : min(draws, 1000)].T, span, above=True)
        yield GatePower(size, float(theory), float((found[0] > 0).mean()), ever)


RATES = """\
# The gate, against itself

{date}, {draws:,} draws a row. Made by `python -m tests.certification.gates`; docs/gate.md explains. Chance alone moves
a share of 5% by {error:.1%} or so.

| two verdicts on the same answers | equal | gate, questions | false PASS | false FAIL | usual margin: PASS, FAIL |
| --- | --- | --- | --- | --- | --- |
"""
POWER = """
Power on 200 questions whose differences have the standard deviation 1, with the margin at 0: shares of PASS.

| difference | limit of a paired t test | fixed | sequential |
| --- | --- | --- | --- |
"""


def report(draws: int) -> Iterator[str]:
    """The tables, line by line as they are measured."""
    rng = np.random.default_rng(0)
    error = math.sqrt(ALPHA * (1 - ALPHA) / draws)
    yield RATES.format(date=f"{datetime.now(UTC):%Y-%m-%d}", draws=draws, error=error)
    for name, values, span in sources():
        for one in rates(values, span, draws, rng):
            usual = "" if one.usual is None else "{:.1%}, {:.1%}".format(*one.usual)
            errors = f"{one.passed:.1%} | {one.failed:.1%}"
            yield f"| {name} | {np.mean(values == 0):.0%} | {one.design} | {errors} | {usual} |\n"
    yield POWER
    for row in power(min(draws, 5000), rng):
        yield f"| {row.size:.2f} | {row.paired_t:.1%} | {row.fixed:.1%} | {row.sequential:.1%} |\n"


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    lines = []
    for line in report(options.draws):
        print(line, end="", flush=True)
        lines.append(line)
    if options.into:
        options.into.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
