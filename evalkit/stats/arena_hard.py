"""Arena-Hard-Auto scores: win rate against one baseline, from two games a question with graded verdicts.

A verdict such as A>>B counts three times. Without style control all models meet the one baseline only, so the
Bradley-Terry win rate is the weighted mean outcome in closed form.

Source: Li et al. 2024, arXiv:2406.11939; arena-hard-auto `show_result.py` (v2, 196f6b8).
"""

from typing import Final

from evalkit.stats.arrays import FloatArray, IntArray, floats
from evalkit.stats.resample import Interval, cluster_sums, question_bootstrap, stratum_of

STRONG_WEIGHT = 3.0
VERDICTS: Final[dict[str, tuple[float, float]]] = {
    "A>>B": (1.0, STRONG_WEIGHT),
    "A>B": (1.0, 1.0),
    "A=B": (0.5, 1.0),
    "B=A": (0.5, 1.0),
    "B>A": (0.0, 1.0),
    "A<B": (0.0, 1.0),
    "B>>A": (0.0, STRONG_WEIGHT),
    "A<<B": (0.0, STRONG_WEIGHT),
    "B<A": (1.0, 1.0),
    "B<<A": (1.0, STRONG_WEIGHT),
}


def verdict_outcome(label: str, *, model_is_a: bool) -> tuple[float, float]:
    """Outcome of the model (1 won, .5 tied, 0 lost) and weight of a verdict label.

    Raises:
        ValueError: On an unknown label.
    """
    if label not in VERDICTS:
        raise ValueError(f"unknown verdict {label!r}; allowed are {', '.join(VERDICTS)}")
    outcome, weight = VERDICTS[label]
    return (outcome if model_is_a else 1 - outcome), weight


def arena_hard_score(
    outcome: FloatArray,
    weights: FloatArray,
    clusters: IntArray,
    *,
    strata: IntArray | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Score of one model: weighted mean outcome of its games, questions resampled.

    The published scorer prints percentiles 5 to 95 of rows resampled without a seed: pass `level=.9` and
    `clusters=np.arange(N)` to get that interval up to its noise.

    Args:
        outcome: [N] outcome of the model in each game, from `verdict_outcome`.
        weights: [N] weight of each game.
        clusters: [N] question of each game, whole numbers from 0.
        strata: [N] category of each game's question, where the benchmark fixes the categories.
        level: Coverage of the interval.
        resamples: Bootstrap replicates.
        seed: Seed of the draws.

    Returns:
        The score in [0, 1]; `n` is the total weight, as the published scorer counts rows.

    Raises:
        NotMeasurable: Without games.
        ValueError: On input out of range or not finite.
    """
    outcome, weights = _checked(outcome, weights)
    sums, _ = cluster_sums(outcome * weights, clusters)
    counts, _ = cluster_sums(weights, clusters)
    fixed = None if strata is None else stratum_of(strata, clusters)
    return question_bootstrap(sums, counts, pooled=True, strata=fixed, resamples=resamples, level=level, seed=seed)


def _checked(outcome: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    outcome, weights = floats(outcome, "outcome"), floats(weights, "weights")
    if outcome.size and (outcome.min() < 0 or outcome.max() > 1):
        raise ValueError("outcome must be between 0 (lost) and 1 (won)")
    if weights.size != outcome.size or (weights <= 0).any():
        raise ValueError("weights must be positive, one a game")
    return outcome, weights
