"""Correcting a cheap judge with few human labels: prediction-powered estimates of a mean or win rate.

Some rows have a human label Y and a verdict F of the judge, many more have F alone. The judge's own mean is biased by
however it differs from people; the mean of the labels is not, and F tells which rows the labels happened to miss:

    estimate = mean(Y) - power * (mean(F where labelled) - mean(F where not labelled))

Whatever the judge is worth, this is right on average if the labelled rows are a *random* part of all rows. power 0 is
the classical mean of the labels, 1 is prediction-powered inference (Angelopoulos et al. 2023, arXiv:2301.09633), and
the power with the least variance (PPI++, Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453) is asymptotically never
worse than either. Power 1 made the interval *wider* than no judge at all in every real case that was tried.

Three things differ from the textbook, as labels are few. The power of a row is fitted on other questions
(cross-fitting), so that the estimate stays unbiased; limits are Student's t; and labels that happen to agree with the
judge throughout do not pass for certainty. Errors are clustered by question, whose rows share its difficulty.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, indices, renumbered, same_length, totals
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, t_quantile

FOLDS = 10
FEWEST = 5  # labels without which no mean of a stratum, and no power, is fitted


@dataclass(frozen=True, slots=True)
class Corrected:
    """A mean estimated from labels and judge together.

    Attributes:
        interval: The estimate; `n` counts the labels, `clusters` their questions.
        classical: The mean of the labels alone.
        naive: Mean of the judge over all rows, labelled or not.
        labelled: Labels.
        unlabelled: Rows judged but not labelled.
        power: How far the judge was believed, 0 to 1; the mean over folds. None if post-stratified.
        correlation: Pearson's, of label and judge; None where one of them is constant.
        effective: Labels that would give the classical mean this variance; None where there is no variance.
    """

    interval: Interval
    classical: Interval
    naive: float
    labelled: int
    unlabelled: int
    power: float | None
    correlation: float | None
    effective: float | None


@dataclass(frozen=True, slots=True)
class _Sample:
    """Checked input. Questions are numbered 0..size-1 over labelled and unlabelled rows together."""

    label: FloatArray
    judge: FloatArray
    rest: FloatArray
    question: IntArray
    rest_question: IntArray
    size: int
    level: float
    limits: tuple[float, float] | None


def ppi_mean(
    labels: FloatArray,
    judge: FloatArray,
    unlabelled: FloatArray,
    *,
    clusters: IntArray | None = None,
    unlabelled_clusters: IntArray | None = None,
    power: float | None = None,
    limits: tuple[float, float] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Corrected:
    """Mean of what people would say over all rows, from a few labels and a judge.

    Args:
        labels: [n] human labels of a random part of the rows.
        judge: [n] the judge's verdicts on the same rows.
        unlabelled: [N] the judge's verdicts on the other rows.
        clusters: [n] question of each labelled row, whole numbers from 0; each row its own if not given.
        unlabelled_clusters: [N] question of each other row, in the same numbering.
        power: Between 0 (labels only) and 1 (plain PPI); None fits it, cross-fitted over questions.
        limits: Range of possible labels, (0, 1) for win rates: estimate and interval are kept inside, and have width.
        level: Coverage of the interval.
        seed: Seed of the folds.

    Raises:
        NotMeasurable: Without labels, or without unlabelled rows while the power is not 0.
        ValueError: On values that are not finite or outside the limits, unequal lengths, a power outside 0 to 1, or
            clusters of one kind of row only.

    Source: statistic and tuning of arXiv:2311.01453; cross-fitting of Zrnic & Candès 2024,
    arXiv:2309.16598, applied to the power alone.
    """
    rows = _checked(labels, judge, unlabelled, clusters, unlabelled_clusters, limits, level)
    if power is not None and not 0 <= power <= 1:
        raise ValueError(f"power must be between 0 and 1 but is {power}")
    if rows.rest.size == 0 and power != 0:
        raise NotMeasurable("needs judged rows without a human label")
    powers = _cross_fitted(rows, seed) if power is None else np.full(rows.label.size, power)
    return _summary(rows, _interval(rows, powers), float(powers.mean()))


def post_stratified_mean(
    labels: FloatArray,
    judge: FloatArray,
    unlabelled: FloatArray,
    *,
    clusters: IntArray | None = None,
    unlabelled_clusters: IntArray | None = None,
    limits: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Corrected:
    """Mean by post-stratification: the labels' within each verdict, weighted by how often the judge gives that verdict.

    For a judge with few distinct verdicts this is the efficient estimator (its influence function is the efficient
    one) and about equal to `ppi_mean`. Neighbouring verdicts with fewer than `FEWEST` labels are joined.

    Args:
        labels: [n] human labels of a random part of the rows.
        judge: [n] the judge's verdicts on the same rows.
        unlabelled: [N] the judge's verdicts on the other rows.
        clusters: [n] question of each labelled row, whole numbers from 0; each row its own if not given.
        unlabelled_clusters: [N] question of each other row, in the same numbering.
        limits: Range of possible labels, as `ppi_mean`.
        level: Coverage of the interval.

    Raises:
        NotMeasurable: Without labels or unlabelled rows.
        ValueError: As `ppi_mean`.

    Source: Chen et al. 2026, arXiv:2601.05420; variance by the delta method.
    """
    rows = _checked(labels, judge, unlabelled, clusters, unlabelled_clusters, limits, level)
    if rows.rest.size == 0:
        raise NotMeasurable("needs judged rows without a human label")
    cuts = _strata(rows.judge)
    stratum = np.searchsorted(cuts, rows.judge, side="right")
    rest_stratum = np.searchsorted(cuts, rows.rest, side="right")
    size = cuts.size + 1
    n, everything = rows.label.size, rows.label.size + rows.rest.size
    count = np.bincount(stratum, minlength=size)
    share = (count + np.bincount(rest_stratum, minlength=size)) / everything
    mean = totals(stratum, rows.label, size) / count
    estimate = float(share @ mean)
    shrink = np.sqrt(count / np.maximum(count - 1, 1))
    residual = (share / count * shrink)[stratum] * (rows.label - mean[stratum])
    spread = (mean - estimate) / everything
    within = totals(rows.question, residual, rows.size)
    between = totals(rows.question, spread[stratum], rows.size)
    between += totals(rows.rest_question, spread[rest_stratum], rows.size)
    units = np.unique(rows.question).size
    both = within * _inflation(units) / _inflation(n) + between
    variance = max(float(both @ both), _floor(rows, rows.label - mean[stratum], units))
    interval = _limits(rows, estimate, variance, max(1, units - size), units)
    return _summary(rows, interval, None)


def _interval(rows: _Sample, powers: FloatArray) -> Interval:
    """Estimate and clustered t interval for given powers [n] of the labelled rows."""
    n, rest = rows.label.size, rows.rest.size
    believed = float(powers.mean())
    centre = float(rows.rest.mean()) if rest else 0.0
    adjusted = rows.label - powers * (rows.judge - centre)
    estimate = float(adjusted.mean())
    units, rest_units = renumbered(rows.question)[0].size, renumbered(rows.rest_question)[0].size
    own = totals(rows.question, adjusted - estimate, rows.size) * (_inflation(units) / n)
    variance, least = float(own @ own), _floor(rows, adjusted - estimate, units)
    degrees = float(max(units - 1, 1))
    if rest and believed > 0:
        other = totals(rows.rest_question, rows.rest - centre, rows.size) * (believed * _inflation(rest_units) / rest)
        elsewhere = float(other @ other)
        doubt = variance**2 / degrees + elsewhere**2 / max(rest_units - 1, 1)  # Welch-Satterthwaite
        degrees = max(degrees, (variance + elsewhere) ** 2 / doubt) if doubt > 0 else degrees
        variance = float(((own + other) ** 2).sum())
        least += elsewhere if least else 0.0
    return _limits(rows, estimate, max(variance, least), degrees, units)


def _limits(rows: _Sample, estimate: float, variance: float, degrees: float, units: int) -> Interval:
    n = rows.label.size
    if rows.limits is not None:
        estimate = float(np.clip(estimate, *rows.limits))
    if units == 1:
        return Interval(estimate, None, None, n, rows.level, None, 1)
    half = t_quantile(0.5 + rows.level / 2, degrees) * variance**0.5
    lower, upper = estimate - half, estimate + half
    if rows.limits is not None:
        lower, upper = (float(np.clip(limit, *rows.limits)) for limit in (lower, upper))
    return Interval(estimate, lower, upper, n, rows.level, variance**0.5, units)


def _floor(rows: _Sample, residuals: FloatArray, units: int) -> float:
    """Least variance to admit where the labels of a known range hardly contradict what is expected of them.

    Less than two contradictions' worth of residuals say little of how many there are. One either way in two more
    questions is then assumed, which gives about the width of the rule of three.
    """
    if rows.limits is None:
        return 0.0
    span = (rows.limits[1] - rows.limits[0]) ** 2
    return 2 * span / ((units + 2) * units) if residuals @ residuals < 2 * span else 0.0


def _inflation(units: int) -> float:
    """Factor for residuals' variance, for the mean that was fitted."""
    return float(np.sqrt(units / (units - 1))) if units > 1 else 1.0


def _cross_fitted(rows: _Sample, seed: int) -> FloatArray:
    """The best power for each labelled row [n], fitted on the labels of other questions; 0 with few labels."""
    present = np.unique(rows.question)
    folds = min(FOLDS, present.size)
    if folds < 2:
        return np.zeros(rows.label.size)
    fold = np.full(rows.size, -1)
    fold[present] = np.random.default_rng(seed).permutation(present.size) % folds
    own, other = fold[rows.question], fold[rows.rest_question]
    powers = [_power(rows, own != which, other != which) for which in range(folds)]
    return np.array(powers, dtype=np.float64).take(own)


def _power(rows: _Sample, use: BoolArray, use_rest: BoolArray) -> float:
    """Power of least variance, from the labelled rows [n] and the others [N] in use."""
    label, judge, question = rows.label[use], rows.judge[use], rows.question[use]
    rest, rest_question = rows.rest[use_rest], rows.rest_question[use_rest]
    if label.size < FEWEST or not rest.size:
        return 0.0
    error = totals(question, label - label.mean(), rows.size) / label.size
    drift = totals(question, judge - judge.mean(), rows.size) / label.size
    drift -= totals(rest_question, rest - rest.mean(), rows.size) / rest.size
    noise = float(drift @ drift)
    return float(np.clip(error @ drift / noise, 0, 1)) if noise > 0 else 0.0


def _strata(judge: FloatArray) -> FloatArray:
    """Lower ends of all strata but the first, such that each has `FEWEST` labels, or all are one."""
    values, counts = np.unique(judge, return_counts=True)
    cuts, gathered = [], 0
    for value, count in zip(values, counts, strict=True):
        if gathered >= FEWEST:
            cuts.append(value)
            gathered = 0
        gathered += count
    return np.array(cuts if gathered >= FEWEST else cuts[:-1], dtype=np.float64)


def _summary(rows: _Sample, interval: Interval, power: float | None) -> Corrected:
    classical = _interval(rows, np.zeros(rows.label.size))
    y, f = rows.label - rows.label.mean(), rows.judge - rows.judge.mean()
    scale = float(np.sqrt((y @ y) * (f @ f)))
    effective = None
    if interval.standard_error and classical.standard_error:
        effective = rows.label.size * (classical.standard_error / interval.standard_error) ** 2
    return Corrected(
        interval=interval,
        classical=classical,
        naive=float(np.concatenate([rows.judge, rows.rest]).mean()),
        labelled=rows.label.size,
        unlabelled=rows.rest.size,
        power=power,
        correlation=float(y @ f) / scale if scale > 0 else None,
        effective=effective,
    )


def _checked(
    labels: FloatArray,
    judge: FloatArray,
    unlabelled: FloatArray,
    clusters: IntArray | None,
    unlabelled_clusters: IntArray | None,
    limits: tuple[float, float] | None,
    level: float,
) -> _Sample:
    y, f, rest = floats(labels, "labels"), floats(judge, "judge"), floats(unlabelled, "unlabelled")
    n = same_length(labels=y, judge=f)
    if n == 0:
        raise NotMeasurable("needs rows with a human label and a verdict of the judge")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1 but is {level}")
    if limits is not None and (y.min() < limits[0] or y.max() > limits[1]):
        raise ValueError(f"labels must be between {limits[0]:g} and {limits[1]:g} but reach {y.min():g} to {y.max():g}")
    if (clusters is None) != (unlabelled_clusters is None):
        raise ValueError("clusters must be given for labelled and unlabelled rows, or for neither")
    if clusters is None or unlabelled_clusters is None:
        question = np.arange(n + rest.size)
    else:
        own = indices(clusters, "clusters", length=n)
        other = indices(unlabelled_clusters, "unlabelled_clusters", length=rest.size)
        question = renumbered(np.concatenate([own, other]))[1]
    return _Sample(y, f, rest, question[:n], question[n:], int(question.max()) + 1, level, limits)
