"""Bootstrap of Bradley-Terry ratings: every replicate is a converged maximum-likelihood fit.

Replicates resample whole questions, or single battles where there are no questions; either way as counts, so a
replicate costs as much as the number of distinct pairs, not of battles. Replicates start at the full-data optimum
and iterate with its Hessian ("chord" steps: matrix products over many replicates at once); the few that such steps
do not settle are finished by Newton's method.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
from evalkit.stats.battles import Battles, strong_components
from evalkit.stats.bradley_terry import BradleyTerry, PairTotals, loss_derivatives, pair_totals
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.newton import minimise
from evalkit.stats.poisson import PoissonSampler
from evalkit.stats.question_draws import question_counts
from evalkit.stats.resample import Interval, percentile_limits
from evalkit.stats.sandwich import inverse

EXACT_BATTLES = 10_000  # from here on the number of battles in a replicate is Poisson, not fixed
CHORD_STEPS = 40
MOST_DENSE = 1 << 24
CHUNK = 1 << 18  # elements of one working array, so that it stays in the cache


@dataclass(frozen=True, slots=True, eq=False)
class BootstrapRatings:
    """Ratings of bootstrap replicates.

    Attributes:
        estimate: [M] ratings of the full data, logits with mean 0.
        replicates: [B', M] ratings of each replicate that has finite ones, logits with mean 0.
        undefined: Replicates that were left out because their win graph fell apart.
        unit: What was resampled.
        units: How many of them.
        n: Battles.
        resamples: Replicates drawn, B' + undefined.
        seed: Seed of the draws.
        tolerance: Largest last step of every fit, in logits.
    """

    estimate: FloatArray
    replicates: FloatArray
    undefined: int
    unit: Literal["question", "battle"]
    units: int
    n: int
    resamples: int
    seed: int
    tolerance: float

    @property
    def covariance(self) -> FloatArray:
        """[M, M] covariance of the replicates."""
        return np.cov(self.replicates, rowvar=False)

    def interval(self, model: int, *, level: float = 0.95) -> Interval:
        """Rating of a model against the mean of all, in logits."""
        return self._interval(self.estimate[model], self.replicates[:, model], level)

    def difference(self, a: int, b: int, *, level: float = 0.95) -> Interval:
        """Rating of a minus rating of b, in logits: the interval to read when two models are compared."""
        replicates = self.replicates[:, a] - self.replicates[:, b]
        return self._interval(self.estimate[a] - self.estimate[b], replicates, level)

    def _interval(self, estimate: float, replicates: FloatArray, level: float) -> Interval:
        if self.undefined > (1 - level) / 2 * self.resamples:
            share = self.undefined / self.resamples
            raise NotMeasurable(
                f"needs more battles: {share:.0%} of bootstrap replicates have no finite ratings; "
                "the sandwich interval of the fit remains, or pass ridge="
            )
        lower, upper = percentile_limits(replicates, level, clusters=self.units)
        error = float(replicates.std(ddof=1))
        return Interval(float(estimate), lower, upper, self.n, level, error, self.units, self.resamples, self.seed)


def bootstrap_ratings(
    battles: Battles, fit: BradleyTerry, *, resamples: int = 1000, seed: int = 0, tolerance: float = 1e-8
) -> BootstrapRatings:
    """Refit on resampled questions, or on resampled battles where the battles have no clusters.

    With 10,000 battles or more and no clusters, a replicate's cell counts are independent Poisson draws (Hanley &
    MacGibbon 2006): given their total, the same multinomial distribution, and ratings do not depend on the total.

    Args:
        battles: Compressed battles.
        fit: Their fit; its ridge is used again.
        resamples: Replicates.
        seed: Seed of the draws; the result is a function of the arguments alone.
        tolerance: Largest last step of each replicate, in logits (1e-8 is 2e-6 Elo points).

    Raises:
        NotMeasurable: With fewer than two questions, or if no replicate has finite ratings.
        NotConverged: If a replicate with finite ratings is not found.
    """
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2 but is {resamples}")
    units = fit.clusters if fit.clusters is not None else battles.n
    if units < 2:
        raise NotMeasurable("needs at least 2 questions")
    problem = _problem(battles, fit, tolerance)
    chunk = int(np.clip(CHUNK // problem.pairs.mass.size, 16, 1024))
    parts = [_refit(problem, counts) for counts in _replicate_counts(battles, resamples, seed, chunk)]
    ratings = np.concatenate(parts, axis=1).T
    defined = np.isfinite(ratings[:, 0])
    if not defined.any():
        raise NotMeasurable("needs more battles: no bootstrap replicate has finite ratings")
    return BootstrapRatings(
        fit.ratings,
        ratings[defined],
        int((~defined).sum()),
        "battle" if battles.clusters is None else "question",
        units,
        battles.n,
        resamples,
        seed,
        tolerance,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _BootstrapProblem:
    """What all replicates share: units are questions, or cells of like battles."""

    battles: Battles
    fit: BradleyTerry
    tolerance: float
    pairs: PairTotals
    unit: IntArray  # [C] unit of each cell
    mass_of: Any  # sparse or dense [P, U] weight that one unit adds to a pair
    surplus_of: Any  # sparse or dense [M, U] surplus that one unit adds to a model
    incidence: Any  # sparse [M, P] +1 for the first and -1 for the second model of a pair
    chord: FloatArray  # [M, M] inverse of the full-data Hessian


def _problem(battles: Battles, fit: BradleyTerry, tolerance: float) -> _BootstrapProblem:
    from scipy.sparse import csr_array

    pairs = pair_totals(battles)
    if battles.clusters is None:
        unit, mass = np.arange(battles.count.size), battles.weight
    else:
        unit, mass = np.unique(battles.cluster, return_inverse=True)[1], battles.mass
    units, models, size = int(unit.max()) + 1, battles.models, pairs.mass.size
    mass_of = _dense_if_full(csr_array((mass, (pairs.of_cell, unit)), shape=(size, units)))
    half = mass * (battles.outcome - 0.5)
    both, rows = np.concatenate([half, -half]), np.concatenate([battles.a, battles.b])
    columns = np.concatenate([unit, unit])
    surplus_of = _dense_if_full(csr_array((both, (rows, columns)), shape=(models, units)))
    pair, signs = np.arange(size), np.repeat([1.0, -1.0], size)
    columns = np.concatenate([pair, pair])
    incidence = csr_array((signs, (np.concatenate([pairs.a, pairs.b]), columns)), shape=(models, size))
    chord = inverse(loss_derivatives(pairs, fit.ratings, fit.ridge)[1], "Bradley-Terry bootstrap")
    return _BootstrapProblem(battles, fit, tolerance, pairs, unit, mass_of, surplus_of, incidence, chord)


def _dense_if_full(matrix: Any) -> Any:
    """A dense copy where it is small and mostly filled, as with every pair on every question."""
    cells = matrix.shape[0] * matrix.shape[1]
    return matrix.toarray() if matrix.nnz > cells / 8 and cells < MOST_DENSE else matrix


def _replicate_counts(battles: Battles, resamples: int, seed: int, chunk: int) -> Iterator[FloatArray]:
    """Yield [U, B'] how often each unit occurs in each replicate."""
    if battles.clusters is not None:
        used = np.unique(battles.cluster)
        units, strata = used.size, None if battles.strata is None else battles.strata[used]
        for counts in question_counts(units, resamples, seed, strata=strata):
            for start in range(0, len(counts), chunk):
                yield np.ascontiguousarray(counts[start : start + chunk].T)
        return
    rng = np.random.default_rng(seed)
    sampler = PoissonSampler(battles.count)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        if battles.n < EXACT_BATTLES:
            draws = rng.multinomial(battles.n, battles.count / battles.n, size=size)
            yield np.ascontiguousarray(draws.T, dtype=np.float64)
        else:
            yield sampler.draw(rng, size)


def _refit(problem: _BootstrapProblem, counts: FloatArray) -> FloatArray:
    """Ratings [M, B'] of the replicates with unit counts [U, B']; a column of NaN has no finite ratings."""
    pairs, fit = problem.pairs, problem.fit
    mass, surplus = problem.mass_of @ counts, problem.surplus_of @ counts
    half_mass = 0.5 * mass
    gap, other = np.empty_like(mass), np.empty_like(mass)
    ratings = np.repeat(fit.ratings[:, None], counts.shape[1], axis=1)
    for _ in range(CHORD_STEPS):
        np.take(ratings, pairs.a, axis=0, out=gap, mode="clip")
        np.take(ratings, pairs.b, axis=0, out=other, mode="clip")
        gap -= other
        gap *= 0.5
        np.tanh(gap, out=gap)  # twice P(a wins) - 1/2
        gap *= half_mass
        step = problem.chord @ (surplus - problem.incidence @ gap - fit.ridge * ratings)
        ratings += step
        last = np.abs(step).max(axis=0)
        if last.max() <= problem.tolerance:
            break
    unsettled = ~(last <= problem.tolerance)
    for column in np.flatnonzero(unsettled | (mass == 0).any(axis=0)):
        if fit.ridge == 0 and not _connected(problem.battles, counts[problem.unit, column] > 0):
            ratings[:, column] = np.nan
        elif unsettled[column]:
            totals = replace(pairs, mass=mass[:, column], surplus=surplus[:, column])
            ratings[:, column] = _newton(totals, fit, problem.tolerance)
    result: FloatArray = ratings - ratings.mean(axis=0)
    return result


def _connected(battles: Battles, present: BoolArray) -> bool:
    """Whether the win graph of the cells that are present [C] is strongly connected."""
    beat = np.zeros((battles.models, battles.models), dtype=bool)
    won, lost = present & (battles.outcome > 0), present & (battles.outcome < 1)
    beat[battles.a[won], battles.b[won]] = True
    beat[battles.b[lost], battles.a[lost]] = True
    return bool(strong_components(beat).max() == 0)


def _newton(pairs: PairTotals, fit: BradleyTerry, tolerance: float) -> FloatArray:
    """Ratings [M] of one replicate."""
    ratings, _ = minimise(
        lambda x: loss_derivatives(pairs, x, fit.ridge),
        fit.ratings,
        what="Bradley-Terry fit of a bootstrap replicate",
        reach=lambda _, step: float(np.ptp(step)),
        tolerance=tolerance,
    )
    return ratings
