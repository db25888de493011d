"""Rankings: how sure each rank is, how well a benchmark separates models, and how alike two rankings are."""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, same_length
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import normal_quantile

CHUNK = 1 << 20
CELLS = 1 << 22
"""Draws times models held in memory at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class RankRanges:
    """Ranks that the data do not rule out, 1 the best.

    Attributes:
        rank: [M] 1 + number of models with a higher estimate; ties share the better rank.
        best: [M] 1 + number of models significantly better.
        worst: [M] M - number of models significantly worse.
        separated: Share of model pairs whose difference is significant.
        critical: Standard errors that a difference must exceed.
        level: Coverage, of all ranges at once if simultaneous.
        simultaneous: Whether `critical` allows for all pairs at once.
        draws: Normal draws behind `critical`, 0 for a closed form.
        seed: Seed of the draws.
    """

    rank: IntArray
    best: IntArray
    worst: IntArray
    separated: float
    critical: float
    level: float
    simultaneous: bool
    draws: int
    seed: int


def rank_ranges(
    estimates: FloatArray,
    covariance: FloatArray | None,
    *,
    level: float = 0.95,
    simultaneous: bool = True,
    draws: int = 10_000,
    seed: int = 0,
) -> RankRanges:
    """Range of ranks of each model, from intervals of all pairwise differences.

    Simultaneous intervals use the quantile of the largest standardised difference, by simulation (Mogstad et al.
    2024, Review of Economic Studies 91:476): then all true ranks lie in their ranges with probability `level`. This
    is the "approximate rank" of Chiang et al. 2024, arXiv:2403.04132, section 4.1, on differences rather than on
    marginal intervals, which are wider.

    Args:
        estimates: [M] ratings, higher is better.
        covariance: [M, M] of the estimates; None (not identified) is not measurable.
        level: Coverage.
        simultaneous: False for each pair on its own.
        draws: Normal draws for the simultaneous quantile.
        seed: Seed of the draws.

    Raises:
        NotMeasurable: With fewer than two models, or without a covariance.
        ValueError: On shapes that do not fit or values that are not finite.
    """
    if covariance is None:
        raise NotMeasurable("needs at least 2 questions")
    estimates, covariance = floats(estimates, "estimates"), floats(covariance, "covariance", ndim=2)
    size = estimates.size
    if size < 2:
        raise NotMeasurable("needs at least 2 models")
    if covariance.shape != (size, size):
        raise ValueError(f"covariance must be {size} by {size} but has shape {covariance.shape}")
    a, b = np.triu_indices(size, 1)
    variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
    if (variance <= 0).any():
        raise NotMeasurable("needs a positive variance of every difference")
    error = np.sqrt(variance)
    critical = normal_quantile(0.5 + level / 2)
    if simultaneous:
        critical = _largest_difference(covariance, level, draws, seed)
    gap = estimates[a] - estimates[b]
    above, below = gap > critical * error, gap < -critical * error
    better = np.bincount(b[above], minlength=size) + np.bincount(a[below], minlength=size)
    worse = np.bincount(a[above], minlength=size) + np.bincount(b[below], minlength=size)
    rank = 1 + (estimates[:, None] < estimates).sum(axis=1)
    return RankRanges(
        rank,
        1 + better,
        size - worse,
        float((above | below).mean()),
        critical,
        level,
        simultaneous,
        draws if simultaneous else 0,
        seed,
    )


def separability(lower: FloatArray, upper: FloatArray) -> float:
    """Share of model pairs whose intervals do not overlap (Li et al. 2024, arXiv:2406.11939, section 3).

    Args:
        lower: [M] lower limits.
        upper: [M] upper limits.

    Raises:
        NotMeasurable: With fewer than two models.
    """
    a, b, apart = _apart(lower, upper)
    return float(((apart[a, b]) | (apart[b, a])).mean())


def confidence_agreement(
    lower: FloatArray, upper: FloatArray, reference_lower: FloatArray, reference_upper: FloatArray
) -> float:
    """Mean over model pairs of 1 (both separate them alike), -1 (oppositely) or 0 (one does not separate them).

    Args:
        lower: [M] lower limits of the benchmark.
        upper: [M] upper limits of the benchmark.
        reference_lower: [M] lower limits of the reference, same models.
        reference_upper: [M] upper limits of the reference.

    Raises:
        NotMeasurable: With fewer than two models.

    Source: Li et al. 2024, arXiv:2406.11939, section 3.
    """
    a, b, ours = _apart(lower, upper)
    _, _, theirs = _apart(reference_lower, reference_upper)
    if len(ours) != len(theirs):
        raise ValueError(f"both must have as many models but have {len(ours)} and {len(theirs)}")
    sign_ours = ours[a, b].astype(np.int64) - ours[b, a]
    sign_theirs = theirs[a, b].astype(np.int64) - theirs[b, a]
    return float((sign_ours * sign_theirs).mean())


def spearman(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rank correlation of two ratings [M] of the same models; ties share their mean rank.

    Raises:
        NotMeasurable: With fewer than two models, or one constant rating.
    """
    x, y = (_mean_ranks(values) for values in _pair(first, second))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def kendall(first: FloatArray, second: FloatArray) -> float:
    """Kendall's tau-b of two ratings [M] of the same models.

    Raises:
        NotMeasurable: With fewer than two models, or one constant rating.
    """
    x, y = _pair(first, second)
    a, b = np.triu_indices(x.size, 1)
    sign_x, sign_y = np.sign(x[a] - x[b]), np.sign(y[a] - y[b])
    return float(sign_x @ sign_y / np.sqrt((sign_x @ sign_x) * (sign_y @ sign_y)))


def rank_correlations(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``spearman`` and ``kendall`` of each of many pairs of ratings of a few models.

    Args:
        first: [B, M] ratings.
        second: [B, M] other ratings of the same models.

    Returns:
        [B] Spearman's and [B] Kendall's correlations; NaN where a rating is constant.
    """
    count, models = first.shape
    found = np.full((2, count), np.nan)
    rows = max(1, CHUNK // models**2)
    for part in (slice(start, start + rows) for start in range(0, count, rows)):
        x, y = (np.sign(side[part, :, None] - side[part, None, :]) for side in (first, second))
        ranks = x.sum(axis=2), y.sum(axis=2)  # models below minus models above: twice the mean rank, centred
        signs = x.reshape(len(x), -1), y.reshape(len(y), -1)
        for result, (one, other) in zip(found, (ranks, signs), strict=True):
            size = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
            np.divide((one * other).sum(axis=1), size, out=result[part], where=size > 0)
    return found[0], found[1]


def _largest_difference(covariance: FloatArray, level: float, draws: int, seed: int) -> float:
    """Quantile of the largest |standardised difference| of normal estimates with this covariance.

    Most pairs cannot be the largest of a draw: no difference of a model exceeds its distance from the farther extreme,
    in the smallest of its standard errors. Only models for which that is more than the largest known are looked at.
    """
    size, own = len(covariance), np.diag(covariance)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(min=0))
    variance = own[:, None] + own - 2 * covariance
    np.fill_diagonal(variance, np.inf)  # a model does not differ from itself
    precision = 1 / np.sqrt(variance)
    sharpest = precision.max(axis=1)
    rng = np.random.default_rng(seed)
    largest = []
    rows = max(1, CELLS // size)
    for start in range(0, draws, rows):
        z = rng.standard_normal((min(rows, draws - start), size)) @ root.T
        top, bottom, each = z.argmax(axis=1), z.argmin(axis=1), np.arange(len(z))
        high, low = z[each, top], z[each, bottom]
        most = (high - low) * precision[top, bottom]
        reach = np.maximum(high[:, None] - z, z - low[:, None]) * sharpest
        for model in range(size):
            chosen = np.flatnonzero(reach[:, model] > most)
            gap = np.abs(z[chosen] - z[chosen, model, None]) * precision[model]
            most[chosen] = np.maximum(most[chosen], gap.max(axis=1))
        largest.append(most)
    return float(np.quantile(np.concatenate(largest), level))


def _apart(lower: FloatArray, upper: FloatArray) -> tuple[IntArray, IntArray, BoolArray]:
    """Pair indices, and whether [i, j] i's interval lies above j's."""
    lower, upper = floats(lower, "lower"), floats(upper, "upper")
    if same_length(lower=lower, upper=upper) < 2:
        raise NotMeasurable("needs at least 2 models")
    a, b = np.triu_indices(lower.size, 1)
    return a, b, lower[:, None] > upper


def _pair(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    x, y = floats(first, "first"), floats(second, "second")
    if same_length(first=x, second=y) < 2:
        raise NotMeasurable("needs at least 2 models")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise NotMeasurable("needs ratings that differ")
    return x, y


def _mean_ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    result: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return result
