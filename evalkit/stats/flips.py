"""Verdicts that a cue turns: towards it less away from it, beside a control, questions as clusters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray
from evalkit.stats.resample import Interval, wilson
from evalkit.stats.shares import MANY, clustered_mean


def turned(before: FloatArray, after: FloatArray) -> FloatArray:
    """Direction of each verdict's change: +1 towards, -1 away, 0 none.

    Args:
        before: [N] share of the win, 0 to 1, that the target had.
        after: [N] what it has now. A verdict is a win, a tie (one half) or a loss; how clear it is does not count.
    """
    result: FloatArray = np.sign(side(after) - side(before))
    return result


def side(share: FloatArray) -> FloatArray:
    """+1 where the target is preferred, -1 where the other is, 0 for a tie."""
    result: FloatArray = np.sign(np.where(np.abs(share - 0.5) < 1e-9, 0.0, share - 0.5))
    return result


@dataclass(frozen=True, slots=True)
class Effect(Interval):
    """A mean of signed values that is zero where nothing has an effect.

    Attributes:
        p: Two-sided p of no effect (`sign_flip`).
    """

    p: float = 1.0


def effect(values: FloatArray, questions: IntArray, *, bound: float = 1.0, seed: int = 0) -> Effect:
    """Mean of signed values with 95% limits clustered by question, also where few or none of the values differ.

    Where few verdicts turn, a bootstrap takes too little for certain: four that all turned one way, among many that
    did not, leave it away from zero, and would be seen by chance one time in eight. So the limits reach zero wherever
    the exact test does not reject it. A bootstrap of values that are all alike has no width; the limits then are those
    of an event not seen in as many questions (Wilson 1927).

    Args:
        values: [N] one number a verdict.
        questions: [N] question of each.
        bound: the largest size an effect can have.
        seed: of the bootstrap.

    Raises:
        NotMeasurable: without values.
    """
    found = clustered_mean(values, questions, seed=seed)
    p = sign_flip(values, questions)
    low, high, error = found.lower, found.upper, found.standard_error
    reach = 2 * (wilson(0, found.clusters).upper or 0.0) * bound
    if low is None or high is None or high - low < 1e-12:
        low, high, error = max(-bound, found.estimate - reach), min(bound, found.estimate + reach), reach / 4
    if p >= 1 - found.level:
        low, high = min(low, 0.0), max(high, 0.0)
    return Effect(
        found.estimate, low, high, found.n, found.level, error, found.clusters, found.resamples, found.seed, p=p
    )


def sign_flip(values: FloatArray, questions: IntArray) -> float:
    """Two-sided p of no effect: how often a sum as large comes of question totals with signs drawn at random.

    Without an effect a question's total is as likely to be so much below zero as above (Fisher's randomisation test).
    Exact where totals are halves or whole numbers and questions at most ``MANY``; Student's t else.

    Args:
        values: [N] one number a verdict.
        questions: [N] question of each.
    """
    totals: FloatArray = np.bincount(np.unique(questions, return_inverse=True)[1], weights=values).astype(np.float64)
    halves = np.abs(np.rint(2 * totals)).astype(np.int64)
    if totals.size > MANY or np.abs(2 * np.abs(totals) - halves).max(initial=0.0) > 1e-9:
        return _student(totals)
    reach = int(halves.sum())
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for step in halves[halves > 0]:
        chances = (np.roll(chances, step) + np.roll(chances, -step)) / 2  # nothing gets as far as the ends before
    seen = round(abs(2 * float(totals.sum())))
    return float(min(1.0, chances[: reach - seen + 1].sum() + chances[reach + seen :].sum())) if seen else 1.0


def _student(totals: FloatArray) -> float:
    from scipy.special import stdtr

    error = float(totals.std(ddof=1)) * totals.size**0.5 if totals.size > 1 else 0.0
    return float(2 * stdtr(totals.size - 1, -abs(float(totals.sum())) / error)) if error else 1.0


def mcnemar(one: int, other: int) -> float:
    """Exact two-sided p of so uneven a split of discordant pairs, were either side as likely."""
    from scipy.special import bdtr

    n = one + other
    return 1.0 if n == 0 else float(min(1.0, 2 * bdtr(min(one, other), n, 0.5)))


def holm(values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """p-values that allow for how many there are (Holm 1979, Scandinavian Journal of Statistics 6:65).

    Args:
        values: p-values, however they depend on each other.
        weights: Part of the level that each starts with, positive; all alike unless given.
    """
    weight = [1.0] * len(values) if weights is None else list(weights)
    result, highest, left = [0.0] * len(values), 0.0, sum(weight)
    for at in sorted(range(len(values)), key=lambda index: values[index] / weight[index]):
        highest = max(highest, min(1.0, left / weight[at] * values[at]))
        result[at] = highest
        left -= weight[at]
    return result
