"""A rate of right answers from a judge whose error rates are known from a calibration sample (Rogan & Gladen 1978).

A judge that passes a share `specificity` of truly negative rows as negative and `sensitivity` of truly positive ones as
positive calls p = rate * sensitivity + (1 - rate) * (1 - specificity) of the rows positive; solved for the rate. Two
things are asked for. The judge must be clearly better than a coin: the estimate divides by Youden's
J = sensitivity + specificity - 1, and with J near 0 the interval is wide beyond use or nonsense. And the calibration
rows must be judged as the others are; error rates found on other models or harder questions do not carry over, nor does
anything in the interval warn of it. `ppi` needs less; this serves where labels come from elsewhere.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, same_length
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, cluster_sums, normal_quantile, wilson

LEAST_YOUDEN = 0.2


@dataclass(frozen=True, slots=True)
class AdjustedRate:
    """A rate adjusted for the judge's errors.

    Attributes:
        interval: The rate; `n` counts the rows judged, without labels.
        youden: J with its interval.
        sensitivity: Share called positive of the truly positive calibration rows.
        specificity: Share called negative of the truly negative ones.
        naive: Share that the judge calls positive.
    """

    interval: Interval
    youden: Interval
    sensitivity: float
    specificity: float
    naive: float


def adjusted_rate(
    naive: float,
    n: float,
    *,
    specificity: float,
    negatives: float,
    sensitivity: float,
    positives: float,
    least_youden: float = LEAST_YOUDEN,
    level: float = 0.95,
) -> AdjustedRate:
    """Rate of positives with the interval of Lee et al., which covers in small samples and at the edges.

    Args:
        naive: Share of rows that the judge calls positive.
        n: Rows; less than their number where they are clustered, see `effective_count`.
        specificity: Share called negative of the truly negative calibration rows.
        negatives: Truly negative calibration rows.
        sensitivity: Share called positive of the truly positive ones.
        positives: Truly positive calibration rows.
        least_youden: The lower limit of J must not be below this.
        level: Coverage of the interval.

    Raises:
        NotMeasurable: Without calibration rows of both kinds, or if J is not clearly above `least_youden`.
        ValueError: On shares outside 0 to 1 or negative counts.

    Source: Lee et al. 2025, arXiv:2511.21140: pseudo-counts of Wilson for the judged rows and of Laplace for
    the calibration rows, with a second-order shift of the centre.
    """
    for name, share in (("naive", naive), ("specificity", specificity), ("sensitivity", sensitivity)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be between 0 and 1 but is {share}")
    if not n > 0:
        raise NotMeasurable("needs judged rows outside the calibration sample")
    if not (negatives > 0 and positives > 0):
        raise NotMeasurable("needs rows that people call positive, and some that they call negative")
    j = youden(specificity, negatives, sensitivity, positives, level=level)
    if j.lower is None or not j.lower >= least_youden:
        raise NotMeasurable(
            f"needs a judge clearly better than chance: J = {sensitivity:.2f} + {specificity:.2f} - 1 = "
            f"{j.estimate:.2f}, lower {level:.0%} limit {j.lower:.2f} is below {least_youden:g}"
        )
    z = normal_quantile(0.5 + level / 2)
    estimate = float(np.clip((naive + specificity - 1) / j.estimate, 0, 1))
    p, rows = (n * naive + z * z / 2) / (n + z * z), n + z * z
    q0, m0 = (negatives * specificity + 1) / (negatives + 2), negatives + 2
    q1, m1 = (positives * sensitivity + 1) / (positives + 2), positives + 2
    gap = q0 + q1 - 1
    rate = float(np.clip((p + q0 - 1) / gap, 0, 1))
    wrong0, wrong1 = q0 * (1 - q0) / m0, q1 * (1 - q1) / m1
    shift = 2 * z * z * (rate * wrong1 - (1 - rate) * wrong0)
    error = float(np.sqrt(p * (1 - p) / rows + (1 - rate) ** 2 * wrong0 + rate**2 * wrong1)) / gap
    lower, upper = (float(np.clip(rate + shift + side * z * error, 0, 1)) for side in (-1, 1))
    count = int(np.rint(n))
    interval = Interval(estimate, min(lower, estimate), max(upper, estimate), count, level, error, count)
    return AdjustedRate(interval, j, sensitivity, specificity, naive)


def youden(
    specificity: float, negatives: float, sensitivity: float, positives: float, *, level: float = 0.95
) -> Interval:
    """Youden's J = sensitivity + specificity - 1, its limits combined from Wilson's of the two shares.

    Args:
        specificity: Share called negative of truly negative rows.
        negatives: Truly negative rows.
        sensitivity: Share called positive of truly positive rows.
        positives: Truly positive rows.
        level: Coverage of the interval.

    Raises:
        NotMeasurable: If there are none of either kind.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10, on the difference sensitivity - (1 - specificity).
    """
    down = up = error = 0.0
    for share, m in ((specificity, negatives), (sensitivity, positives)):
        one = wilson(share * m, m, level=level)
        lower, upper = one.lower or 0.0, 1.0 if one.upper is None else one.upper
        down += (share - lower) ** 2
        up += (upper - share) ** 2
        error += share * (1 - share) / m
    j = specificity + sensitivity - 1
    n = int(np.rint(negatives + positives))
    return Interval(j, j - down**0.5, j + up**0.5, n, level, error**0.5, n)


def calibrated_rate(
    truth: BoolArray,
    judge: BoolArray,
    unlabelled: BoolArray,
    *,
    clusters: IntArray | None = None,
    unlabelled_clusters: IntArray | None = None,
    least_youden: float = LEAST_YOUDEN,
    level: float = 0.95,
) -> AdjustedRate:
    """`adjusted_rate` of rows, each count reduced to what clustered rows are worth.

    Args:
        truth: [n] whether people call each calibration row positive.
        judge: [n] whether the judge does.
        unlabelled: [N] whether the judge calls each other row positive.
        clusters: [n] question of each calibration row, whole numbers from 0; each row its own if not given.
        unlabelled_clusters: [N] question of each other row.
        least_youden: The lower limit of J must not be below this.
        level: Coverage of the interval.

    Raises:
        NotMeasurable: As `adjusted_rate`.
        ValueError: On unequal lengths.
    """
    n = same_length(truth=truth, judge=judge)
    own = np.arange(n) if clusters is None else np.asarray(clusters)
    other = np.arange(len(unlabelled)) if unlabelled_clusters is None else np.asarray(unlabelled_clusters)
    same_length(truth=truth, clusters=own)
    said, negative = judge.astype(np.float64), ~truth
    if not len(unlabelled):
        raise NotMeasurable("needs judged rows without a human label")
    if truth.all() or negative.all():
        raise NotMeasurable("needs rows that people call positive, and some that they call negative")
    return adjusted_rate(
        float(unlabelled.mean()),
        effective_count(unlabelled.astype(np.float64), other),
        specificity=float(1 - said[negative].mean()),
        negatives=effective_count(said[negative], own[negative]),
        sensitivity=float(said[truth].mean()),
        positives=effective_count(said[truth], own[truth]),
        least_youden=least_youden,
        level=level,
    )


def effective_count(values: FloatArray, clusters: IntArray) -> float:
    """Independent rows that would give the mean of these clustered ones its variance; at most their number.

    Args:
        values: [N] one number a row.
        clusters: [N] the question of each row, whole numbers from 0.

    Raises:
        NotMeasurable: Without rows.

    Source: Kish's design effect, as Korn & Graubard 1998 (Survey Methodology 24:193) use it for intervals of shares.
    """
    values = floats(values, "values")
    n = values.size
    if n == 0:
        raise NotMeasurable("needs at least one row")
    sums, counts = cluster_sums(values, np.unique(np.asarray(clusters), return_inverse=True)[1])
    residual = sums - values.mean() * counts
    units = sums.size
    independent = float(values.var()) * n
    if units == 1 or independent == 0:  # no variation to tell: as if questions were rows
        return float(units)
    effect = float(residual @ residual) / independent * units / (units - 1) * (n - 1) / n
    return n / max(effect, 1.0)


def allocate(labels: int, naive: float, *, specificity: float, sensitivity: float, pilot: int) -> tuple[int, int]:
    """How to split calibration labels between truly negative and truly positive rows.

    Args:
        labels: Calibration labels in all.
        naive: Share of rows that the judge calls positive.
        specificity: Guess, from a pilot.
        sensitivity: Guess, from a pilot.
        pilot: Pilot rows of each kind behind the guesses; each kind gets at least as many.

    Returns:
        Truly negative and truly positive rows to label.

    Raises:
        ValueError: If there are fewer labels than pilot rows of both kinds, or no pilot.

    Source: Lee et al. 2025, arXiv:2511.21140, the ratio that about minimises the interval's width.
    """
    if not 0 < 2 * pilot <= labels:
        raise ValueError(f"pilot must be at least 1 and 2 * pilot at most the {labels} labels, but is {pilot}")
    if not 0 <= naive <= 1:
        raise ValueError(f"naive must be between 0 and 1 but is {naive}")
    if naive == 0:
        return labels - pilot, pilot
    worse = (pilot * (1 - specificity) + 1) / (pilot * (1 - sensitivity) + 1)
    positives = labels / (1 + (1 / naive - 1) * worse**0.5)
    positives = max(pilot, round(min(labels - pilot, positives)))
    return labels - positives, positives
