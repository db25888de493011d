"""Measures differences and rank ranges of 100 models on 1,000 questions: complete, in categories, and with failures.

Run by hand: ``python tests/perf/differences_speed.py``; prints the median CPU time of three: below 2 s.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from evalkit.stats.paired_differences import paired_differences

MODELS, QUESTIONS, TURNS = 100, 1000, 2


def main() -> None:
    """Print a line a case."""
    rng = np.random.default_rng(0)
    strata = np.arange(QUESTIONS) % 8
    level = rng.normal(0, 0.3, size=(1, MODELS))
    scores = np.clip(6 + level + rng.normal(size=(QUESTIONS, 1)) + rng.normal(size=(QUESTIONS, MODELS)), 1, 10)
    lost = np.where(rng.random(scores.shape) < 0.02, np.nan, scores)
    question = np.arange(QUESTIONS)
    turns = np.repeat(scores, TURNS, axis=0), np.repeat(question, TURNS)
    cases = {
        "complete": (scores, question, None),
        "within categories": (scores, question, strata),
        "2% failed, within categories": (lost, question, strata),
        "two turns": (*turns, None),
    }
    for name, (values, questions, label) in cases.items():
        taken = []
        for _ in range(3):
            start = time.process_time()
            found = paired_differences(values, questions, strata=label, limits=(1.0, 10.0))
            taken.append(time.process_time() - start)
        apart = sum(one is not None and one.lower is not None and one.lower * one.upper > 0 for one in found.intervals)
        print(f"{name}: {statistics.median(taken):.2f} s for {found.a.size} pairs, {apart} told apart")


if __name__ == "__main__":
    main()
