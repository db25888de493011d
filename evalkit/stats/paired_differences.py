"""Differences between all pairs of models on the same questions, with limits that hold for all pairs at once.

Two models that answer the same questions share their difficulty, which cancels in the difference: its interval is
narrower than two separate intervals suggest (Miller 2024, arXiv:2411.00640). A pair is compared on what
both have a verdict on, and on nothing else.

Limits are Student's with errors clustered by question, within categories where a benchmark fixes them, at the level at
which all of them hold together: the quantile of the largest studentized difference (max-t; Hothorn, Bretz & Westfall
2008, Biometrical Journal 50:346) by normal multipliers, one a question (Chernozhukov, Chetverikov & Kato 2013, Annals
of Statistics 41:2786), carried over to each pair's degrees of freedom by its tail probability. Of one pair that is the
paired t test. On a known scale an interval has the floor that comes from the number of questions (see `bounded`).
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, indices
from evalkit.stats.bounded import FEWEST, ROUNDING, kurtosis, widened
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, Limits, clustered_errors

DRAWS = 4000
"""Normal multipliers behind the level that holds for all pairs at once."""
ALIKE = "needs questions that differ, or a known scale: all have the same value"


@dataclass(frozen=True, slots=True, eq=False)
class PairedDifferences:
    """The difference of every pair of M models, and the ranks that these do not rule out.

    Attributes:
        a: [K] first model of each pair.
        b: [K] second model.
        intervals: [K] first minus second; the limits of all pairs hold at once with probability `level`. None where the
            two have nothing in common. `clusters` counts the common questions, `n` the common verdicts.
        best: [M] 1 + number of models that are better by an interval without 0. All true ranks lie within `best` and
            `worst` with probability `level` (Mogstad et al. 2024, Review of Economic Studies 91:476).
        worst: [M] M - number of models that are worse by one.
        level: Coverage of all pairs at once.
        pairwise: Level of each interval taken by itself, from `level` for one pair upwards.
        draws: Draws behind `pairwise`, 0 for one pair.
        seed: Their seed.
    """

    a: IntArray
    b: IntArray
    intervals: tuple[Interval | None, ...]
    best: IntArray
    worst: IntArray
    level: float
    pairwise: float
    draws: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """What an interval of each pair [K] is made of."""

    estimate: FloatArray
    error: FloatArray
    degrees: FloatArray
    units: FloatArray
    rows: FloatArray
    kurtosis: FloatArray
    span: FloatArray
    """Size of the values, to tell an error from a rounding error."""


def paired_differences(
    values: FloatArray,
    questions: IntArray,
    *,
    strata: IntArray | None = None,
    pooled: bool = False,
    limits: Limits | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedDifferences:
    """Differences of means of verdicts between all models, each pair on the cells that both have.

    Args:
        values: [C, M] verdict on each cell (a question's turn) for each model; NaN where there is none.
        questions: [C] question of each cell: what varies.
        strata: [C] category of each cell's question, where the benchmark fixes the categories.
        pooled: True weights cells alike, False questions.
        limits: Ends of the scale of the values, which give the intervals their floor.
        level: Coverage of all intervals at once.
        draws: Normal multipliers.
        seed: Their seed.

    Raises:
        NotMeasurable: With fewer than two models.
        ValueError: On infinite values, a level outside (0, 1), or arrays that do not fit.

    Source: see the module text.
    """
    values, order, label, stratum = _checked(values, questions, strata, level)
    models = values.shape[1]
    a, b = np.triu_indices(models, 1)
    values, starts = values[order], np.flatnonzero(np.diff(label[order], prepend=-1))
    by_question = None if stratum is None else stratum[order][starts][:, None]
    sums, counts = _by_question(values, starts)
    partial, cells, cell_starts = _partial(values, starts)
    parts = []
    for model in range(models - 1):  # a sum of differences is a difference of sums where no cell is missing
        sum_of, count_of = sums[:, [model]] - sums[:, model + 1 :], counts[:, model + 1 :].copy()
        sum_of[partial], count_of[partial] = _by_question(cells[:, [model]] - cells[:, model + 1 :], cell_starts)
        parts.append(_pairs(sum_of, count_of, by_question, pooled))
    pairs = _Pairs(*(np.concatenate([getattr(one, name) for one in parts]) for name in _Pairs.__slots__))
    usable = _usable(pairs)
    pairwise, used = level, 0
    if usable.sum() > 1:
        moved, _, _ = _moments(sums, counts, by_question, pooled)
        rng = np.random.default_rng(seed)
        drawn = rng.standard_normal((draws, len(sums))) @ moved
        pairwise, used = _together(drawn, moved.T @ moved, usable, level), draws
    return _finished(pairs, a, b, models, limits, level, pairwise, used, seed)


def differences_of_estimates(
    estimates: FloatArray,
    covariance: FloatArray | None,
    *,
    clusters: int,
    n: int,
    degrees: FloatArray | None = None,
    influence: FloatArray | None = None,
    limits: Limits | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedDifferences:
    """Differences of estimates whose joint covariance is known: ratings, or replicates of one resampling.

    Args:
        estimates: [M].
        covariance: [M, M] of the estimates; None (not identified) leaves pairs without limits.
        clusters: Questions behind it.
        n: Verdicts behind it.
        degrees: [M] of freedom, of which a pair has the lower; clusters less one unless given.
        influence: [Q, M] what each question adds to each estimate, where a scale is known; its kurtosis counts.
        limits: Ends of the scale of an estimate.
        level: Coverage of all intervals at once.
        draws: Normal draws.
        seed: Their seed.

    Raises:
        NotMeasurable: With fewer than two models.
        ValueError: On shapes that do not fit or values that are not finite.
    """
    estimates = floats(estimates, "estimates")
    if estimates.size < 2:
        raise NotMeasurable("needs at least 2 models")
    a, b = np.triu_indices(estimates.size, 1)
    size = a.size
    known = (
        np.zeros((estimates.size, estimates.size)) if covariance is None else floats(covariance, "covariance", ndim=2)
    )
    if known.shape != (estimates.size, estimates.size):
        raise ValueError(f"covariance must be {estimates.size} by {estimates.size} but has shape {known.shape}")
    variance = known[a, a] + known[b, b] - 2 * known[a, b]
    peak = np.full(size, 3.0)
    if influence is not None:
        peak = np.concatenate(
            [kurtosis(influence[:, [model]] - influence[:, model + 1 :]) for model in range(estimates.size - 1)]
        )
    units = np.full(size, float(clusters if covariance is not None else 0))
    pairs = _Pairs(
        estimates[a] - estimates[b],
        np.sqrt(variance.clip(min=0.0)),
        np.full(size, float(max(clusters - 1, 1))) if degrees is None else np.minimum(degrees[a], degrees[b]),
        units,
        np.full(size, float(n)),
        peak,
        np.sqrt(known[a, a] + known[b, b]) + 1e-300,
    )
    usable = _usable(pairs)
    pairwise, used = level, 0
    if usable.sum() > 1:
        values, vectors = np.linalg.eigh(known)
        root = vectors * np.sqrt(values.clip(min=0))
        drawn = np.random.default_rng(seed).standard_normal((draws, estimates.size)) @ root.T
        pairwise, used = _together(drawn, known, usable, level), draws
    return _finished(pairs, a, b, estimates.size, limits, level, pairwise, used, seed)


def _checked(
    values: FloatArray, questions: IntArray, strata: IntArray | None, level: float
) -> tuple[FloatArray, IntArray, IntArray, IntArray | None]:
    """The values, the order of cells by question, the question of each, and its stratum."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"values must have 2 axes but has shape {values.shape}")
    if np.isinf(values).any():
        raise ValueError("values must be numbers, or NaN where there is no verdict, but some are infinite")
    if values.shape[1] < 2:
        raise NotMeasurable("needs at least 2 models")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1 but is {level}")
    label = indices(questions, "questions", length=len(values))
    stratum = None if strata is None else indices(strata, "strata", length=len(values))
    return values, np.argsort(label, kind="stable"), label, stratum


def _by_question(cells: FloatArray, starts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Sum and number [Q, K] of the numbers among cells [C, K], which are sorted by question."""
    there = np.isfinite(cells)
    if len(starts) == len(cells):
        return np.where(there, cells, 0.0), there.astype(np.float64)
    if not len(cells):
        return cells, cells
    sums = np.add.reduceat(np.where(there, cells, 0.0), starts, axis=0)
    return sums, np.add.reduceat(there.astype(np.float64), starts, axis=0)


def _partial(values: FloatArray, starts: IntArray) -> tuple[IntArray, FloatArray, IntArray]:
    """Questions of which some model lacks a cell, their cells, and where each question begins among those."""
    if not len(values):
        return np.zeros(0, dtype=np.int64), values, np.zeros(0, dtype=np.int64)
    sizes = np.diff(starts, append=len(values))
    lacking = np.add.reduceat(np.isnan(values).any(axis=1), starts, dtype=np.int64) > 0
    partial = np.flatnonzero(lacking)
    return partial, values[np.repeat(lacking, sizes)], np.cumsum(sizes[partial]) - sizes[partial]


def _moments(
    sums: FloatArray, counts: FloatArray, strata: IntArray | None, pooled: bool
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray]]:
    """Residuals of questions [Q, K], 0 where there is none; means [K]; standard errors and degrees of freedom [K]."""
    there = counts > 0
    units = there.sum(axis=0)
    if pooled:
        total = np.maximum(counts.sum(axis=0), 1.0)
        mean = sums.sum(axis=0) / total
        influence = (sums - mean * counts) * (units / total)
    else:
        each = np.divide(sums, counts, out=np.zeros_like(sums), where=there)
        mean = each.sum(axis=0) / np.maximum(units, 1)
        influence = np.where(there, each - mean, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):  # of fewer than two questions, which have no error
        residual, error, degrees = clustered_errors(influence, strata, None if there.all() else there)
    enough = units >= FEWEST
    return residual, mean, (np.where(enough, error, 0.0), np.where(enough, degrees, 1.0))


def _pairs(sums: FloatArray, counts: FloatArray, strata: IntArray | None, pooled: bool) -> _Pairs:
    """What the intervals of pairs are made of, from sums and numbers [Q, K] of their differences by question."""
    there = counts > 0
    residual, mean, (error, degrees) = _moments(sums, counts, strata, pooled)
    peak = kurtosis(residual if there.all() else np.where(there, residual, np.nan))
    size = np.abs(sums).max(axis=0, initial=0.0)
    units = there.sum(axis=0).astype(np.float64)
    return _Pairs(mean, error, degrees, units, counts.sum(axis=0), peak, np.maximum(size, 1e-300))


def _usable(pairs: _Pairs) -> BoolArray:
    """[K] whether a pair varies."""
    usable: BoolArray = (pairs.units >= FEWEST) & (pairs.error > ROUNDING * pairs.span)
    return usable


def _together(drawn: FloatArray, gram: FloatArray, usable: BoolArray, level: float) -> float:
    """Level of each pair at which all hold at once, from draws [B, M] of estimates with this covariance [M, M].

    Args:
        drawn: [B, M].
        gram: [M, M].
        usable: [K] which pairs count.
        level: Of all together.
    """
    from scipy.special import ndtr

    a, b = np.triu_indices(len(gram), 1)
    size = np.sqrt(np.maximum(gram[a, a] + gram[b, b] - 2 * gram[a, b], 0.0))
    varies = usable & (size > ROUNDING * np.sqrt(gram[a, a] + gram[b, b]))
    if not varies.any():
        return level
    weight = np.divide(1.0, size, out=np.zeros_like(size), where=varies).astype(np.float32)
    paths = np.ascontiguousarray(drawn.T, dtype=np.float32)
    largest = np.zeros(paths.shape[1], dtype=np.float32)
    start = 0
    for model in range(len(paths) - 1):
        rest = paths[model + 1 :] - paths[model]
        np.abs(rest, out=rest)
        rest *= weight[start : start + len(rest), None]
        np.maximum(largest, rest.max(axis=0), out=largest)
        start += len(rest)
    tail = 2 * float(ndtr(-np.quantile(largest.astype(np.float64), level)))
    return 1 - min(1 - level, max(tail, (1 - level) / int(varies.sum())))  # no worse than Bonferroni


def _finished(
    pairs: _Pairs,
    a: IntArray,
    b: IntArray,
    models: int,
    limits: Limits | None,
    level: float,
    pairwise: float,
    draws: int,
    seed: int,
) -> PairedDifferences:
    from scipy.special import stdtrit

    reach = stdtrit(pairs.degrees, 0.5 + pairwise / 2) * pairs.error
    lower, upper, error = pairs.estimate - reach, pairs.estimate + reach, pairs.error
    enough = pairs.units >= FEWEST
    told = enough & (error > ROUNDING * pairs.span)
    if limits is not None and enough.any():
        span = limits[1] - limits[0]
        floor = [pairs.estimate[enough].clip(-span, span), error[enough]]
        inner = lower[enough], upper[enough]
        found = widened(
            floor[0], floor[1], inner, pairs.units[enough], pairs.kurtosis[enough], (-span, span), level=pairwise
        )
        lower[enough], upper[enough], error[enough] = found
        told = enough & (lower < upper)
    reasons = np.where(enough, ALIKE, f"needs at least {FEWEST} questions")
    intervals: list[Interval | None] = []
    for k in range(a.size):
        units, n = int(pairs.units[k]), round(float(pairs.rows[k]))
        if not n:
            intervals.append(None)
            continue
        middle = float(pairs.estimate[k])
        if told[k]:
            ends = float(lower[k]), float(upper[k]), n, level, float(error[k]), units, draws, seed
            intervals.append(Interval(middle, *ends))
        else:
            intervals.append(Interval(middle, None, None, n, level, None, units, draws, seed, str(reasons[k])))
    above, below = told & (lower > 0), told & (upper < 0)
    better = np.bincount(b[above], minlength=models) + np.bincount(a[below], minlength=models)
    worse = np.bincount(a[above], minlength=models) + np.bincount(b[below], minlength=models)
    return PairedDifferences(a, b, tuple(intervals), 1 + better, models - worse, level, pairwise, draws, seed)
