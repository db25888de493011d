"""The bootstrap of a mean, and of a ratio of totals, without drawing: percentiles from the cumulants of questions."""

from statistics import NormalDist

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray
from evalkit.stats.bounded import ROUNDING

LARGE = 200
"""Questions above which the percentiles of a resampled mean are calculated, unless it is skewed."""
SKEWED = 0.2
"""Skewness of a resampled mean above which its percentiles are drawn, however many questions there are."""
STEPS = 8
"""Steps to a percentile of a ratio; each leaves a small part of the distance."""


def resampled_mean_limits(means: FloatArray, tail: float) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Percentiles of resampled means by their cumulants, and where these are enough.

    What 10,000 replicates come to, without their noise, which is .03 standard errors: the distribution of a resampled
    mean has the skewness and the kurtosis of the questions, divided by the root of Q and by Q (Cornish & Fisher 1938;
    Hall 1992, The Bootstrap and Edgeworth Expansion, section 2.5). Where questions are few, or hardly any of them
    differ from the rest, four cumulants are not enough.

    Args:
        means: [Q, K] columns of questions.
        tail: Share of replicates beyond either limit.

    Returns:
        Lower and upper limits [K], and [K] whether they can be used.
    """
    size, width = means.shape
    if size <= LARGE:
        return np.zeros(width), np.zeros(width), np.zeros(width, dtype=np.bool_)
    centre = means.mean(axis=0)
    residual = means - centre
    square = residual**2
    variance = square.mean(axis=0)
    varies = variance > (ROUNDING * np.maximum(np.abs(means).max(axis=0), 1e-300)) ** 2
    spread = np.where(varies, variance, 1.0)
    skewness = (square * residual).mean(axis=0) / spread**1.5 / np.sqrt(size)
    excess = ((square**2).mean(axis=0) / spread**2 - 3) / size
    close: BoolArray = varies & (np.abs(skewness) <= SKEWED) & (np.abs(excess) <= SKEWED**2)
    limits = []
    for z in (NormalDist().inv_cdf(tail), NormalDist().inv_cdf(1 - tail)):
        bent = (z**2 - 1) * skewness / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
        limits.append(centre + np.sqrt(variance / size) * (z + bent))
    return limits[0], limits[1], close


def resampled_ratio_limits(
    sums: FloatArray, counts: FloatArray, tail: float
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Percentiles of resampled ratios of totals, as ``resampled_mean_limits``.

    A ratio is at most r where the mean of sum - r count is at most 0, as counts are positive: its percentile is the r
    for which that mean's percentile is 0.

    Args:
        sums: [Q, K] columns of questions.
        counts: [Q, K] their weights, none of them 0.
        tail: Share of replicates beyond either limit.

    Returns:
        Lower and upper limits [K], and [K] whether they can be used.
    """
    ratio = sums.sum(axis=0) / counts.sum(axis=0)
    weight = counts.mean(axis=0)
    ends, close = [ratio, ratio], np.ones(ratio.size, dtype=np.bool_)
    for side in (0, 1):
        for _ in range(STEPS):
            found = resampled_mean_limits(sums - ends[side] * counts, tail)
            ends[side] = ends[side] + found[side] / weight
        close &= found[2]
    return ends[0], ends[1], close
