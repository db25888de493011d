"""How long choosing takes among 100 models: python tests/perf/pair_choice_speed.py."""

from __future__ import annotations

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a second core that waits for the first counts as busy

import numpy as np

from evalkit.stats.adaptive_ranking import AdaptiveRanking, Goal

MODELS, QUESTIONS, ROUNDS = 100, 80, 150


def main() -> None:
    """Print milliseconds of one core for a choice, and for a unit."""
    for goal in ("order", "top3", "ranks:2"):
        for at_once in (1, 16, 64):
            rng = np.random.default_rng(1)
            ranking, seconds = AdaptiveRanking(MODELS, QUESTIONS, Goal.read(goal)), 0.0
            units = 0
            for _ in range(ROUNDS + 1000 // at_once):
                began = time.process_time()
                chosen = ranking.choose(at_once)
                for pair in chosen:
                    gap = 0.1 * (ranking.second[pair] - ranking.first[pair])
                    ranking.add(pair, float(rng.random() < 1 / (1 + np.exp(-gap))))
                seconds += time.process_time() - began
                units += len(chosen)
            print(f"{goal}, {at_once} at once: {1000 * seconds / units:.2f} ms a unit ({units:,} units)", flush=True)


if __name__ == "__main__":
    main()
