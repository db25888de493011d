"""Online Elo ratings, which depend on the order of battles; for display, not for inference.

Update: r_a += k (y - 1 / (1 + base ** ((r_b - r_a) / scale))), and r_b the opposite (Elo 1978; constants of
Zheng et al. 2023, arXiv:2306.05685, and FastChat's `rating_systems.py`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.stats.arrays import FloatArray, IntArray, floats, indices, same_length
from evalkit.stats.bounded import FEWEST
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.question_draws import question_counts
from evalkit.stats.resample import Interval, Limits, floored, percentile_limits_of, stratum_of, t_quantile
from evalkit.stats.sandwich import held_fixed

CHUNK = 1 << 24  # battles times orders held in memory


@dataclass(frozen=True, slots=True, eq=False)
class Elo:
    """Elo ratings, of one order of battles or the median over many.

    Attributes:
        ratings: [M] rating after the last battle; over permutations the median.
        lower: [M] lower percentile over permutations of the order, None for the given order alone. It measures
            dependence on order, not uncertainty.
        upper: [M] upper percentile.
        k: Largest change by one battle.
        base: Odds at a difference of `scale`.
        scale: Points.
        initial: Rating before the first battle.
        permutations: Random orders; 0 for the given order alone.
        level: Share of the permutations between `lower` and `upper`.
        seed: Seed of the orders.
    """

    ratings: FloatArray
    lower: FloatArray | None
    upper: FloatArray | None
    k: float
    base: float
    scale: float
    initial: float
    permutations: int = 0
    level: float = 0.95
    seed: int = 0


def elo(
    a: IntArray,
    b: IntArray,
    outcome: FloatArray,
    *,
    models: int,
    k: float = 4.0,
    base: float = 10.0,
    scale: float = 400.0,
    initial: float = 1000.0,
) -> Elo:
    """Ratings after the battles in the given order.

    Args:
        a: [N] index of the first model.
        b: [N] index of the second model.
        outcome: [N] score of the first model in [0, 1]; a tie is .5.
        models: Number of models M.
        k: Largest change by one battle.
        base: Odds at a difference of `scale`.
        scale: Points.
        initial: Rating before the first battle.

    Raises:
        NotMeasurable: Without battles.
        ValueError: On an outcome outside [0, 1] or indices out of range.
    """
    a, b, outcome = _checked(a, b, outcome, models)
    ratings = [initial] * models
    for i, j, y in zip(a.tolist(), b.tolist(), outcome.tolist(), strict=True):
        change = k * (y - 1.0 / (1.0 + base ** ((ratings[j] - ratings[i]) / scale)))
        ratings[i] += change
        ratings[j] -= change
    return Elo(np.array(ratings), None, None, k, base, scale, initial)


def elo_over_orders(
    a: IntArray,
    b: IntArray,
    outcome: FloatArray,
    *,
    models: int,
    permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    k: float = 4.0,
    base: float = 10.0,
    scale: float = 400.0,
    initial: float = 1000.0,
) -> Elo:
    """Median rating over random orders of the battles; all orders advance together, one battle a step.

    Args:
        a: [N] index of the first model.
        b: [N] index of the second model.
        outcome: [N] score of the first model in [0, 1]; a tie is .5.
        models: Number of models M.
        permutations: Random orders.
        level: Share of the orders between the limits.
        seed: Seed of the orders.
        k: Largest change by one battle.
        base: Odds at a difference of `scale`.
        scale: Points.
        initial: Rating before the first battle.

    Raises:
        NotMeasurable: Without battles.
        ValueError: On an outcome outside [0, 1] or indices out of range.
    """
    a, b, outcome = _checked(a, b, outcome, models)
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1 but is {permutations}")
    rng = np.random.default_rng(seed)
    rate = float(np.log(base) / scale)
    rows = max(1, CHUNK // a.size)
    parts = []
    for start in range(0, permutations, rows):
        size = min(rows, permutations - start)
        orders = rng.permuted(np.tile(np.arange(a.size, dtype=np.int32), (size, 1)), axis=1)
        parts.append(_advance(a, b, outcome, orders, models, k, rate))
    replicates = initial + np.concatenate(parts)
    lower, median, upper = np.quantile(replicates, [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0)
    return Elo(median, lower, upper, k, base, scale, initial, permutations, level, seed)


@dataclass(frozen=True, slots=True, eq=False)
class ResampledElo:
    """Elo ratings with their bootstrap.

    Attributes:
        intervals: [M].
        replicates: [B, M] ratings after resampled questions, each in a random order; None for fewer than 4 questions.
        questions: How many were resampled.
        influence: [Q, M] what each question adds to a model's points; where there are replicates.
        limits: From where the weakest would stand after losing each battle to where the strongest would after winning
            each; where there are replicates.
    """

    intervals: list[Interval]
    replicates: FloatArray | None
    questions: int
    influence: FloatArray | None = None
    limits: Limits | None = None


def elo_intervals(
    a: IntArray,
    b: IntArray,
    outcome: FloatArray,
    *,
    models: int,
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    estimates: FloatArray | None = None,
    replicates: int = 500,
    level: float = 0.95,
    seed: int = 0,
    k: float = 4.0,
    base: float = 10.0,
    scale: float = 400.0,
    initial: float = 1000.0,
) -> ResampledElo:
    """Limits of Elo ratings over resampled questions, each replicate in a random order of its own.

    They are percentiles of the replicates; within categories that are fixed, Student's by their standard deviation.

    The scale of a rating, which gives the floor of its interval (see `bounded`), reaches from where the model would
    stand after losing each of its battles to where it would after winning each.

    Args:
        a: [N] index of the first model.
        b: [N] index of the second model.
        outcome: [N] score of the first model in [0, 1]; a tie is .5.
        models: Number of models M.
        clusters: [N] question of each battle, whole numbers from 0; each battle its own if not given.
        strata: [N] category of each battle's question, where the benchmark fixes the categories.
        estimates: [M] ratings to set limits to; medians over 100 random orders if not given.
        replicates: Bootstrap replicates.
        level: Coverage of the intervals.
        seed: Seed of questions and orders.
        k: Largest change by one battle.
        base: Odds at a difference of `scale`.
        scale: Points.
        initial: Rating before the first battle.

    Returns:
        [M] intervals, without limits, but with a reason, for fewer than 4 questions; and the replicates behind them.

    Raises:
        NotMeasurable: Without battles.
        ValueError: On an outcome outside [0, 1], or indices out of range.
    """
    a, b, outcome = _checked(a, b, outcome, models)
    n, rate = a.size, float(np.log(base) / scale)
    question = np.arange(n) if clusters is None else indices(clusters, "clusters", length=n)
    question = np.unique(question, return_inverse=True)[1]
    units = int(question.max()) + 1

    def after(won: FloatArray, orders: npt.NDArray[np.int32]) -> FloatArray:
        # A last row, of a model that does not exist against itself, fills orders up and changes nothing.
        first, second = np.append(a, models), np.append(b, models)
        found = _advance(first, second, np.append(won, 0.5), orders, models + 1, k, rate)
        return initial + found[:, :models]

    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(np.arange(n, dtype=np.int32), (100, 1)), axis=1)
    middle = np.median(after(outcome, shuffled), axis=0) if estimates is None else floats(estimates, "estimates")
    if units < FEWEST:
        reason = f"needs at least {FEWEST} questions"
        without = [Interval(float(one), None, None, n, level, None, units, 0, seed, reason) for one in middle]
        return ResampledElo(without, None, units)
    by_question = np.split(np.argsort(question, kind="stable"), np.cumsum(np.bincount(question))[:-1])
    by_stratum = None if strata is None else stratum_of(indices(strata, "strata", length=n), question)
    drawn = np.concatenate(list(question_counts(units, replicates, seed, strata=by_stratum)))
    # Within strata n / (n - 1) of a question are drawn; battles come whole.
    copies = (
        np.floor(drawn + rng.random(drawn.shape)).astype(np.int64) if strata is not None else drawn.astype(np.int64)
    )
    values = np.empty((replicates, models))
    chosen = [
        np.concatenate([np.zeros(0, np.int64), *(by_question[q] for q in np.repeat(np.arange(units), row))])
        for row in copies
    ]
    rows = max(1, CHUNK // max(one.size for one in chosen))
    for start in range(0, replicates, rows):
        part = chosen[start : start + rows]
        orders = np.full((len(part), max(one.size for one in part)), n, dtype=np.int32)
        for place, one in enumerate(part):
            orders[place, : one.size] = rng.permutation(one)
        values[start : start + rows] = after(outcome, orders)
    lower, upper = percentile_limits_of(values, level, clusters=units)
    error = values.std(axis=0, ddof=1)
    if by_stratum is not None:  # of two questions a category, replicates take too few values for percentiles
        reach = t_quantile(0.5 + level / 2, max(1, units - held_fixed(by_stratum))) * error
        lower, upper = middle - reach, middle + reach
    size = np.bincount(question).astype(np.float64)
    result, influence, scale_ends = [], np.zeros((units, models)), np.tile(middle, (2, 1))
    for model in range(models):
        mine = (a == model) | (b == model)
        points = np.where(a == model, outcome, 1 - outcome)
        lost = np.where(a == model, 0.0, np.where(b == model, 1.0, outcome))
        won = np.where(a == model, 1.0, np.where(b == model, 0.0, outcome))
        ends = [float(np.median(after(one, shuffled[:11])[:, model])) for one in (lost, won)]
        at = float(middle[model])
        low, high = min(at, float(lower[model])), max(at, float(upper[model]))
        found = Interval(at, low, high, n, level, float(error[model]), units, replicates, seed)
        own = np.bincount(question[mine], points[mine] - points[mine].mean(), units) / size if mine.any() else size * 0
        influence[:, model] = own
        scale_ends[:, model] = min(ends[0], at), max(ends[1], at)
        result.append(floored(found, own, (min(ends[0], at), max(ends[1], at)), instead=True))
    limits = float(scale_ends[0].min()), float(scale_ends[1].max())
    return ResampledElo(result, values, units, influence, limits)


def _advance(
    a: IntArray, b: IntArray, outcome: FloatArray, orders: npt.NDArray[np.int32], models: int, k: float, rate: float
) -> FloatArray:
    """Ratings [B, M] relative to the initial one after the battles in each of the orders [B, N]."""
    ratings = np.zeros(len(orders) * models)
    offset = np.arange(len(orders)) * models
    for battle in np.ascontiguousarray(orders.T):
        i, j = offset + a.take(battle), offset + b.take(battle)
        expected = 0.5 + 0.5 * np.tanh(0.5 * rate * (ratings.take(i) - ratings.take(j)))
        change = k * (outcome.take(battle) - expected)
        ratings[i] += change
        ratings[j] -= change
    return ratings.reshape(len(orders), models)


def _checked(a: IntArray, b: IntArray, outcome: FloatArray, models: int) -> tuple[IntArray, IntArray, FloatArray]:
    outcome = floats(outcome, "outcome")
    a, b = indices(a, "a", size=models), indices(b, "b", size=models)
    if same_length(a=a, b=b, outcome=outcome) == 0:
        raise NotMeasurable("needs at least one battle")
    if outcome.min() < 0 or outcome.max() > 1:
        raise ValueError("outcome must be between 0 (a lost) and 1 (a won), .5 a tie")
    if (a == b).any():
        raise ValueError("a model cannot battle itself")
    return a, b, outcome
