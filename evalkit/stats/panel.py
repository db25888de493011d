"""Panels of judges: how many independent votes they carry, who errs with whom, how good each may be without labels.

Votes are [N, K]: what each of K judges says of each of N cases, 1 where the first answer is better, 0 where the second
is, between them a tie or two orders that disagree. Only cases on which all judges have a verdict count. Cases of one
question are one unit of resampling. Where cases have labels, how wrong a vote is, |vote - label|, takes its place.

Of K votes with variances and covariances S, the mean is worth K trace(S) / sum(S) independent votes (Kish 1965, the
design effect): K where they are not correlated, 1 where they are all alike. Of verdicts, that is what an average win
rate gains by the panel; of errors, what the judges' being right or wrong gains by being averaged.

Without labels, the covariance of two judges' votes is the product of how far each follows the truth, plus what they
have in common beside it. Dawid & Skene (1979, Applied Statistics 28:20) take the latter to be nothing; real judges
share errors, and their accuracies come out too high. Bounds therefore let any two judges correlate, given the truth, up
to a stated amount, on the one-factor model of Spearman (1904) that Parisi et al. (2014, PNAS 111:1253) rank judges by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, indices, renumbered
from evalkit.stats.errors import NotConverged, NotMeasurable
from evalkit.stats.resample import Interval, normal_quantile

FEWEST = 8
"""Questions below which nothing of a panel is told."""
RESAMPLES = 1000
ALIKE = 0.3
"""Correlation of two judges' votes, given the truth, that bounds of accuracy allow for unless told otherwise."""
MOST_JUDGES = 12
"""Judges of which all sub-panels are tried."""
STEPS = 80
"""Steps of the grid on which bounds are searched."""


@dataclass(frozen=True, eq=False)
class Correlations:
    """Correlations between judges, with limits for all pairs of judges at once."""

    estimate: FloatArray
    """[K, K] of diagonal 1; 0 with a judge whose values do not vary."""
    lower: FloatArray
    upper: FloatArray
    level: float
    n: int
    clusters: int


@dataclass(frozen=True, eq=False)
class DawidSkene:
    """Accuracies that explain the votes, if judges err independently of each other."""

    accuracy: FloatArray
    """[K] probability that a vote names the better answer, a tie being half."""
    weight: FloatArray
    """[K] log odds of the accuracy: what a vote weighs in the verdict that is most probable."""
    truth: FloatArray
    """[N] probability that the first answer is the better one."""
    iterations: int


@dataclass(frozen=True, eq=False)
class AccuracyBounds:
    """Accuracies [K] that the votes do not exclude."""

    lower: FloatArray
    upper: FloatArray
    alike: float
    """Correlation of two judges, given the truth, that was allowed for."""
    level: float
    possible: bool
    """False where no accuracies fit: two judges must correlate by more than that."""


@dataclass(frozen=True, eq=False)
class SubPanel:
    """The cheapest judges whose mean is as precise as wanted."""

    judges: tuple[int, ...]
    """Positions; all of them where none are precise enough."""
    cost: float
    half_width: float
    """95% half width of the win rate by these judges on as many cases."""
    reached: bool


def effective_votes(
    values: FloatArray, clusters: IntArray, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Independent votes that the mean of the judges is worth, with percentile limits over resampled questions.

    Args:
        values: [N, K] votes; or how wrong each is.
        clusters: [N] question of each case.
        level: Coverage.
        resamples: Bootstrap replicates.
        seed: Of the replicates.

    Raises:
        NotMeasurable: fewer than 2 judges or 8 questions, or no vote varies.
    """
    values, place, number = _checked(values, clusters)
    if np.trace(_covariance(*_moments(values, place, number), np.ones((1, number)))[0]) <= 0:
        raise NotMeasurable("needs verdicts that differ between cases")
    moments = _moments(values, place, number)
    estimate = float(_worth(_covariance(*moments, np.ones((1, number))))[0])
    drawn = _worth(_covariance(*moments, _draws(number, resamples, seed)))
    lower, upper = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2))
    return Interval(
        estimate,
        float(min(lower, estimate)),
        float(max(upper, estimate)),
        len(values),
        level,
        float(drawn.std()),
        number,
        resamples,
        seed,
    )


def correlations(
    values: FloatArray, clusters: IntArray, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Correlations:
    """Correlations of judges' values, with limits over resampled questions for all pairs of judges together.

    Args:
        values: [N, K] votes; or how wrong each is.
        clusters: [N] question of each case.
        level: Coverage of all pairs at once (Bonferroni, on Fisher's scale).
        resamples: Bootstrap replicates, for the standard errors.
        seed: Of the replicates.

    Raises:
        NotMeasurable: fewer than 2 judges or 8 questions.
    """
    values, place, number = _checked(values, clusters)
    moments = _moments(values, place, number)
    estimate = _correlation(_covariance(*moments, np.ones((1, number))))[0]
    drawn = _correlation(_covariance(*moments, _draws(number, resamples, seed)))
    judges = values.shape[1]
    reach = normal_quantile(1 - (1 - level) / (judges * (judges - 1)))
    centre = np.arctanh(np.clip(estimate, -0.999, 0.999))
    error = np.arctanh(np.clip(drawn, -0.999, 0.999)).std(axis=0)
    lower, upper = np.tanh(centre - reach * error), np.tanh(centre + reach * error)
    for part in (lower, upper):
        np.fill_diagonal(part, 1.0)
    return Correlations(estimate, lower, upper, level, len(values), number)


def same_verdict(votes: FloatArray) -> FloatArray:
    """Share of cases [K, K] on which two judges name the same winner, or both none; 1/2 splits winner and tie."""
    winner = np.sign(np.round(votes - 0.5, 9))
    result: FloatArray = (winner[:, :, None] == winner[:, None, :]).mean(axis=0)
    return result


def dawid_skene(votes: FloatArray, *, tolerance: float = 1e-8, most: int = 5000) -> DawidSkene:
    """Accuracies by expectation and maximisation, judges erring independently, both answers alike likely to be better.

    Each case counts both ways round, as which answer is called the first is arbitrary; so a judge has one accuracy, and
    a tie, or two orders that disagree, is half a vote for each.

    Args:
        votes: [N, K].
        tolerance: Largest change of an accuracy at which it has converged.
        most: Iterations.

    Raises:
        NotMeasurable: fewer than 3 judges, with which accuracies cannot be told apart.
        NotConverged: it did not.
    """
    votes = floats(votes, "votes", ndim=2)
    if votes.shape[1] < 3:
        raise NotMeasurable("needs at least 3 judges")
    signed = 2 * votes - 1
    accuracy = np.full(votes.shape[1], 0.7)
    change = np.inf
    for step in range(1, most + 1):
        weight = np.log(accuracy) - np.log1p(-accuracy)
        lean = np.tanh(signed @ weight / 2)  # 2 P(first is better) - 1
        new = np.clip(0.5 + (lean[:, None] * signed).mean(axis=0) / 2, 1e-3, 1 - 1e-3)
        change = float(np.abs(new - accuracy).max())
        accuracy = new
        if change < tolerance:
            return DawidSkene(accuracy, np.log(accuracy) - np.log1p(-accuracy), (1 + lean) / 2, step)
    raise NotConverged("Dawid-Skene", iterations=most, residual=change, tolerance=tolerance)


def accuracy_bounds(
    votes: FloatArray,
    clusters: IntArray,
    *,
    alike: float = ALIKE,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AccuracyBounds:
    """Accuracies that the votes do not exclude, where judges' votes may correlate given the truth, up to ``alike``.

    Taken for granted: no judge is worse than chance, either answer is the better one equally often (who calls which
    the first must not depend on the answers), and given the truth no two judges correlate by less than 0 or more than
    ``alike``. Covariances are known to within their simultaneous limits over questions, so sampling is allowed for.

    Args:
        votes: [N, K], the first answer drawn at random or as shown.
        clusters: [N] question of each case.
        alike: Greatest correlation of two judges given the truth.
        level: Coverage, if what is taken for granted holds.
        resamples: Bootstrap replicates.
        seed: Of the replicates.

    Raises:
        NotMeasurable: fewer than 3 judges or 8 questions.
    """
    values, place, number = _checked(votes, clusters)
    judges = values.shape[1]
    if judges < 3:
        raise NotMeasurable("needs at least 3 judges")
    moments = _moments(2 * values - 1, place, number)
    covariance = _covariance(*moments, np.ones((1, number)))[0]
    error = _covariance(*moments, _draws(number, resamples, seed)).std(axis=0)
    slack = normal_quantile(1 - (1 - level) / (judges * (judges + 1))) * error
    lower, upper, possible = np.zeros(judges), np.ones(judges), True
    for three in combinations(range(judges), 3):
        found = _of_three(covariance[np.ix_(three, three)], slack[np.ix_(three, three)], alike)
        if not found.any():
            possible = False
            continue
        grid = np.linspace(0, 1, STEPS + 1)
        for axis, judge in enumerate(three):
            there = np.flatnonzero(found.any(axis=tuple(other for other in range(3) if other != axis)))
            lower[judge] = max(lower[judge], grid[max(there[0] - 1, 0)])
            upper[judge] = min(upper[judge], grid[min(there[-1] + 1, STEPS)])
    possible = possible and bool((lower <= upper).all())
    if not possible:
        lower, upper = np.zeros(judges), np.ones(judges)
    return AccuracyBounds(0.5 + lower / 2, 0.5 + upper / 2, alike, level, possible)


def cheapest_sub_panel(
    votes: FloatArray, clusters: IntArray, half_width: float, costs: Sequence[float] | None = None
) -> SubPanel:
    """The cheapest judges whose mean win rate is known to within ``half_width``, on as many cases as these.

    Args:
        votes: [N, K].
        clusters: [N] question of each case: errors are clustered.
        half_width: Wanted of a 95% interval.
        costs: [K] of a case; 1 each if None. Of equally dear sub-panels the most precise is taken.

    Raises:
        NotMeasurable: fewer than 2 judges or 8 questions.
        ValueError: more than 12 judges, or a wrong number of costs.
    """
    values, place, number = _checked(votes, clusters)
    judges = values.shape[1]
    price = floats([1.0] * judges if costs is None else list(costs), "costs")
    if judges > MOST_JUDGES or price.size != judges:
        raise ValueError(f"needs at most {MOST_JUDGES} judges and a cost for each, not {judges} and {price.size}")
    spread = _spread_of_means(values, place, number)

    def width(chosen: tuple[int, ...]) -> float:
        return _half_width(spread[np.ix_(chosen, chosen)])

    every = [chosen for size in range(1, judges + 1) for chosen in combinations(range(judges), size)]
    fits = [chosen for chosen in every if width(chosen) <= half_width]
    if fits:
        best = min(fits, key=lambda chosen: (round(float(price[list(chosen)].sum()), 12), width(chosen)))
    else:
        best = min(every, key=width)
    return SubPanel(best, float(price[list(best)].sum()), width(best), bool(fits))


def mean_half_width(votes: FloatArray, clusters: IntArray) -> float:
    """Half width of a 95% interval for the mean vote of all judges, clustered by question.

    Args:
        votes: [N, K].
        clusters: [N] question of each case.
    """
    return _half_width(_spread_of_means(*_checked(votes, clusters)))


def _spread_of_means(values: FloatArray, place: IntArray, number: int) -> FloatArray:
    """Covariances [K, K] of the judges' means, clustered."""
    sums = np.zeros((number, values.shape[1]))
    np.add.at(sums, place, values - values.mean(axis=0))
    result: FloatArray = sums.T @ sums / len(values) ** 2 * number / (number - 1)
    return result


def _half_width(spread: FloatArray) -> float:
    return float(1.96 * np.sqrt(max(spread.sum(), 0.0)) / len(spread))


def _of_three(covariance: FloatArray, slack: FloatArray, alike: float) -> BoolArray:
    """Which of a grid of three judges' informedness [S, S, S] fit their covariances."""
    grid = np.linspace(0, 1, STEPS + 1)
    axes = np.meshgrid(grid, grid, grid, indexing="ij", sparse=True)
    spread = [np.minimum(covariance[i, i] + slack[i, i], 1.0) for i in range(3)]
    fits = np.ones((grid.size,) * 3, dtype=np.bool_)
    for i in range(3):
        fits &= axes[i] ** 2 <= spread[i] + 1e-9
    for i, j in ((0, 1), (0, 2), (1, 2)):
        by_truth = axes[i] * axes[j]
        rest = np.sqrt(np.maximum(spread[i] - axes[i] ** 2, 0) * np.maximum(spread[j] - axes[j] ** 2, 0))
        fits &= covariance[i, j] + slack[i, j] >= by_truth - 1 / STEPS
        fits &= covariance[i, j] - slack[i, j] <= by_truth + alike * rest + 1 / STEPS
    return fits


def _checked(values: FloatArray, clusters: IntArray) -> tuple[FloatArray, IntArray, int]:
    values = floats(values, "votes", ndim=2)
    _, place = renumbered(indices(clusters, "clusters", length=len(values)))
    number = int(place.max(initial=-1)) + 1
    if values.shape[1] < 2:
        raise NotMeasurable("needs at least 2 judges")
    if number < FEWEST:
        raise NotMeasurable(f"needs at least {FEWEST} questions on which all judges have a verdict")
    return values, place, number


def _moments(values: FloatArray, place: IntArray, number: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cases, sums [Q, K] and sums of products [Q, K, K] of each question."""
    judges = values.shape[1]
    sums, products = np.zeros((number, judges)), np.zeros((number, judges, judges))
    np.add.at(sums, place, values)
    np.add.at(products, place, values[:, :, None] * values[:, None, :])
    return np.bincount(place, minlength=number).astype(np.float64), sums, products


def _draws(number: int, resamples: int, seed: int) -> FloatArray:
    """How often each replicate [R, Q] draws each question."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(number, np.full(number, 1 / number), size=resamples).astype(np.float64)


def _covariance(counts: FloatArray, sums: FloatArray, products: FloatArray, drawn: FloatArray) -> FloatArray:
    """Covariances [R, K, K] of the judges' values in each replicate."""
    total = drawn @ counts
    mean = drawn @ sums / total[:, None]
    square = np.tensordot(drawn, products, axes=1) / total[:, None, None]
    result: FloatArray = square - mean[:, :, None] * mean[:, None, :]
    return result


def _worth(covariance: FloatArray) -> FloatArray:
    """Independent votes [R] that the mean is worth: from 1 up, above K where errors cancel."""
    trace = np.trace(covariance, axis1=1, axis2=2)
    total = covariance.sum(axis=(1, 2))
    judges = covariance.shape[1]
    result: FloatArray = np.minimum(judges * trace / np.maximum(total, trace * 1e-6 + 1e-300), judges**2)
    return result


def _correlation(covariance: FloatArray) -> FloatArray:
    spread = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0))
    scale = spread[:, :, None] * spread[:, None, :]
    result: FloatArray = np.where(scale > 1e-12, covariance / np.where(scale > 1e-12, scale, 1.0), 0.0)
    index = np.arange(covariance.shape[1])
    result[:, index, index] = 1.0
    clipped: FloatArray = np.clip(result, -1.0, 1.0)
    return clipped
