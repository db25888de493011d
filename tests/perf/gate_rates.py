"""Measures a gate's error rates on judgments of models against themselves, and its power beside a paired t test's.

Run by hand: ``python tests/perf/gate_rates.py [DRAWS]``; takes a minute for 10,000 draws. A/A data are differences that
are 0 in truth, with the margin at 0, which is the boundary: shares of passes and of failures are both errors, and both
should be alpha = 0.05 at most. Public data are looked for in ``../shared/data``; rows of missing data are left out.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from evalkit.decisions.gate import fixed_limits
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


def rates(values: FloatArray, span: float, draws: int, rng: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Design, share of false passes and share of false failures."""
    for n in QUESTIONS:
        columns = sampled(values, n, draws, rng)
        parts = np.array_split(columns, max(1, n * draws // 2_000_000), axis=1)
        found = [fixed_limits(part, np.ones(n), span, None, ALPHA) for part in parts]
        lower, upper = (np.concatenate([one[side] for one in found if one]) for side in (0, 1))
        yield f"fixed, {n}", float((lower > 0).mean()), float((upper < 0).mean())
    threshold = math.log(1 / ALPHA)
    ever = [0, 0]
    for _ in range(max(1, draws // 500)):
        sequences = sampled(values, LOOKS_TO, min(500, draws), rng).T
        for side, above in enumerate((True, False)):
            evidence = log_e_values(sequences, 0.0, above=above, limits=(-span, span))
            ever[side] += int((evidence.max(axis=1) >= threshold).sum())
    total = max(1, draws // 500) * min(500, draws)
    yield f"sequential, up to {LOOKS_TO}", ever[0] / total, ever[1] / total


def power(draws: int, rng: np.random.Generator) -> Iterator[tuple[float, float, float, float]]:
    """Difference, and shares of passes by theory (one-sided paired t), by the fixed gate and by the sequential one."""
    n, deviation, span = 200, 1.0, 9.0
    for size in (0.0, 0.1, 0.15, 0.2, 0.3, 0.5):
        columns = np.clip(rng.normal(size, deviation, size=(n, draws)), -span, span)
        found = fixed_limits(columns, np.ones(n), span, None, ALPHA)
        assert found is not None
        theory = 1 - stats.nct.cdf(stats.t.ppf(1 - ALPHA, n - 1), n - 1, size / deviation * math.sqrt(n))
        evidence = log_e_values(columns[:, : min(draws, 1000)].T, 0.0, limits=(-span, span))
        yield size, float(theory), float((found[0] > 0).mean()), float((evidence.max(axis=1) >= math.log(20)).mean())


def main() -> None:
    """Print a line a design."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rng = np.random.default_rng(0)
    for name, values, span in sources():
        print(f"{name} ({len(values)} questions, {np.mean(values == 0):.0%} without a difference)")
        for design, passed, failed in rates(values, span, draws, rng):
            print(f"  {design:22} false pass {passed:.4f}  false failure {failed:.4f}")
    print("power on 200 questions, standard deviation 1 (paired t, fixed gate, sequential gate)")
    for size, theory, fixed, sequential in power(min(draws, 5000), rng):
        print(f"  {size:.2f}  {theory:.3f}  {fixed:.3f}  {sequential:.3f}")


if __name__ == "__main__":
    main()
