"""Sandwich covariance of maximum-likelihood fits, and intervals for contrasts of their parameters.

V = H^-1 (sum over clusters of g_c g_c') H^-1 Q/(Q-1), with g_c the score of question c (Liang & Zeger 1986).
"""

from collections.abc import Sequence

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, floats, totals
from evalkit.stats.bounded import EDGE
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, normal_quantile, t_quantile

Entry = tuple[IntArray, FloatArray]


def clustered_meat(entries: Sequence[Entry], cluster: IntArray, clusters: int, size: int) -> FloatArray | None:
    """Sum over questions of the outer product of their scores, times Q/(Q-1).

    Args:
        entries: Each (parameter index [C], score of that parameter [C]), a sparse way to write the score of C
            cells; the scores of one cluster are added up.
        cluster: [C] question of each cell.
        clusters: Q; questions without a cell do not count.
        size: K parameters.

    Returns:
        [K, K], or None for fewer than two questions with data, which identify no variance.
    """
    used = int(np.count_nonzero(np.bincount(cluster, minlength=clusters)))
    if used < 2:
        return None
    scores = np.zeros(clusters * size)
    for parameter, score in entries:
        scores += totals(cluster * size + parameter, score, clusters * size)
    by_cluster = scores.reshape(clusters, size)
    meat: FloatArray = by_cluster.T @ by_cluster * (used / (used - 1))
    return meat


def floored_covariance(covariance: FloatArray, bread: FloatArray, repeats: float, questions: int) -> FloatArray:
    """The covariance of ratings [M, M], in no direction below the floor that comes from the number of questions.

    Battles that all tie leave residuals of 0, and so no variance; how a further question would come out is not known
    for that. The floor is what half a question more, lost or won as its ratings expect, would add (see `bounded`).

    Args:
        covariance: [M, M] sandwich covariance.
        bread: [M, M] inverse information with battles independent.
        repeats: Weight of the battles that a pair of models has on a question, on average: these may be copies.
        questions: Q.
    """
    least = bread * (repeats * EDGE / (questions + EDGE + 1))
    values, vectors = np.linalg.eigh(least)
    known = values > 1e-9 * values.max(initial=0.0)
    root = vectors[:, known] * np.sqrt(values[known])
    back = vectors[:, known] / np.sqrt(values[known])
    ratio, axes = np.linalg.eigh(back.T @ covariance @ back)
    short = ratio < 1
    lift = (root @ axes)[:, short]
    result: FloatArray = covariance + (lift * (1 - ratio[short])) @ lift.T
    return result


def contrast_interval(
    estimates: FloatArray,
    covariance: FloatArray | None,
    contrast: FloatArray,
    *,
    n: int,
    clusters: int | None,
    level: float,
) -> Interval:
    """Interval of a linear combination of estimates.

    Args:
        estimates: [K] parameters.
        covariance: [K, K], or None if it is not identified; the limits are then None.
        contrast: [K] weights of the combination.
        n: Rows behind the fit.
        clusters: Questions behind the covariance: a t quantile with Q-1 degrees of freedom; None: normal.
        level: Coverage.
    """
    contrast = floats(contrast, "contrast")
    value = float(contrast @ estimates)
    units = n if clusters is None else clusters
    if covariance is None:
        return Interval(value, None, None, n, level, None, units)
    variance = float(contrast @ covariance @ contrast)
    error = max(0.0, variance) ** 0.5
    tail = 0.5 + level / 2
    reach = error * (normal_quantile(tail) if clusters is None else t_quantile(tail, clusters - 1))
    return Interval(value, value - reach, value + reach, n, level, error, units)


def inverse(hessian: FloatArray, what: str) -> FloatArray:
    """Inverse of an information matrix.

    Raises:
        NotMeasurable: If it is singular: the data do not identify every parameter.
    """
    try:
        return np.linalg.inv(hessian).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        raise NotMeasurable(f"{what} needs data that identify every parameter") from None
