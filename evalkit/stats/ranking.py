"""Rankings: how well a benchmark separates models, and how alike two rankings are; ranges: `paired_differences`."""

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, same_length
from evalkit.stats.errors import NotMeasurable

CHUNK = 1 << 20


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
