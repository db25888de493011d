"""How many human labels: what a judge saves, and how many more would narrow an interval (see `ppi`).

All from the variance of a prediction-powered mean at its best power, with n labels, N rows judged only, and a label
variance s2 that the judge explains to a share r2: s2 * ((1 - r2) / n + r2 / (n + N)).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, renumbered, totals
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.jackknife import jackknife
from evalkit.stats.resample import Interval, normal_quantile

FEWEST = 6
"""Questions with labels below which there is no plan: of 4, limits of nominally 95% cover 90%."""
MANY_GROUPS = 40
"""Of questions that are left out in turn: a variance is less sure than a mean."""


def effective_labels(labels: float, unlabelled: float, correlation: float) -> float:
    """Labels that would do without a judge what these do with it, at the best power.

    Args:
        labels: n, rows with a label.
        unlabelled: N, rows with the judge's verdict alone.
        correlation: Of label and verdict; a negative one is of no use to a power between 0 and 1.

    Source: arXiv:2311.01453, from the variance at the optimal power.
    """
    useful = max(correlation, 0.0) ** 2
    return labels * (labels + unlabelled) / (labels + (1 - useful) * unlabelled)


def labels_for(labels: int, unlabelled: int, correlation: float, *, shrink: float = 2.0) -> int | None:
    """Further labels, of rows judged already, that would make the interval `shrink` times as narrow.

    Args:
        labels: n, rows with a label.
        unlabelled: N, rows with the judge's verdict alone.
        correlation: Of label and verdict.
        shrink: 2 halves the interval.

    Returns:
        Further labels; None if labelling every row there is would not do: it takes new questions.
    """
    useful, total = max(correlation, 0.0) ** 2, labels + unlabelled
    wanted = shrink**2 * effective_labels(labels, unlabelled, correlation)
    if shrink <= 1:
        return 0
    if wanted > total or useful == 1:
        return None
    # variance / variance of one label: (1 - useful) / n + useful / total == 1 / wanted
    needed = (1 - useful) / max(1 / wanted - useful / total, (1 - useful) / total)
    return max(0, int(np.ceil(needed - 1e-9)) - labels)


def classical_labels(half_width: float, *, variance: float = 0.25, level: float = 0.95) -> float:
    """Labels for an interval of this half width without a judge; variance .25 is the worst of a win rate."""
    if not half_width > 0:
        raise ValueError(f"half_width must be positive but is {half_width}")
    return normal_quantile(0.5 + level / 2) ** 2 * variance / half_width**2


def cheapest_split(classical: float, correlation: float, cost_ratio: float) -> tuple[float, float]:
    """Labels and further judged rows that cost least for the precision of `classical` labels without a judge.

    Args:
        classical: n0, as of `classical_labels`.
        correlation: Of label and verdict.
        cost_ratio: Cost of a verdict / cost of a label. Labelled rows are judged too.

    Returns:
        n labels and N rows judged only; (classical, 0) where the judge does not pay.
    """
    if not cost_ratio > 0:
        raise ValueError(f"cost_ratio must be positive but is {cost_ratio}")
    useful = min(max(correlation, 0.0), 1.0) ** 2
    labels = classical * (1 - useful + float(np.sqrt(cost_ratio * useful * (1 - useful))))
    if labels >= classical or useful == 1:
        return (classical, 0.0) if labels >= classical else (0.0, classical)
    return labels, labels * (classical - labels) / (labels - (1 - useful) * classical)


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Rows of one mean that have a label and the judge's verdict.

    Attributes:
        label: [n] labels.
        judge: [n] the judge's verdicts on the same rows.
        question: [n] the question of each row, whole numbers from 0 that mean the same in all means.
        unlabelled: Rows judged but not labelled.
    """

    label: FloatArray
    judge: FloatArray
    question: IntArray
    unlabelled: int


def labels_needed(means: Sequence[Labelled], half_width: float, *, level: float = 0.95) -> Interval:
    """Labels, in all, of one mean, for an interval of this half width; further ones on further questions like these.

    Means are those of several models on the same questions: what a label is worth is estimated over all of them,
    clustered by question. As long as the rows judged already do, the judge helps; beyond them it takes new rows, with
    labels. Limits are those of the logarithm, by the jackknife over questions.

    Args:
        means: One or more.
        half_width: Wanted, on the scale of the labels.
        level: Of the interval wanted, and of the limits.

    Raises:
        NotMeasurable: With fewer than 6 questions, labels that do not vary, or a judge that never differs from them.
        ValueError: Without means.
    """
    if not means:
        raise ValueError("means must hold at least one mean")
    label, judge = (np.concatenate([getattr(one, name) for one in means]) for name in ("label", "judge"))
    question = np.concatenate([one.question for one in means])
    mean = np.repeat(np.arange(len(means)), [one.label.size for one in means])
    rows = float(np.mean([one.label.size + one.unlabelled for one in means]))
    if np.unique(question).size < FEWEST:
        raise NotMeasurable(f"needs labels on at least {FEWEST} questions")
    cell = renumbered(mean * (int(question.max()) + 1) + question)[1]
    one_label = half_width**2 / normal_quantile(0.5 + level / 2) ** 2

    def logarithm(keep: BoolArray) -> float:
        size = np.maximum(np.bincount(mean[keep], minlength=len(means)), 1)
        sums = []
        for values in (label[keep], judge[keep]):
            middle = totals(mean[keep], values, len(means)) / size
            sums.append(totals(cell[keep], values - middle[mean[keep]], int(cell.max()) + 1))
        used = renumbered(question[keep])[0].size
        n = keep.sum() * (used - 1) / used
        variance, own, both = (float(one @ other) / n for one, other in ((sums[0],) * 2, (sums[1],) * 2, sums))
        if not variance > 0:
            raise NotMeasurable("needs labels that vary")
        useful = max(both, 0.0) ** 2 / (variance * own) if own > 0 else 0.0
        precision = one_label / variance  # of this many labels the reciprocal
        if precision * rows <= 1:  # more than are judged
            return float(np.log(1 / precision))
        return float(np.log(max((1 - useful) / (precision - useful / rows), 1.0)))

    found = jackknife(logarithm, question, groups=MANY_GROUPS, level=level)
    if found.lower is not None and found.upper is not None and not found.lower < found.upper:
        raise NotMeasurable("needs labels from some of which the judge differs")
    ends = [None if end is None else float(np.exp(end)) for end in (found.lower, found.upper)]
    estimate = float(np.exp(found.estimate))
    error = None if found.standard_error is None else estimate * found.standard_error
    return replace(found, estimate=estimate, lower=ends[0], upper=ends[1], standard_error=error)


def labels_to_tell_apart(difference: Interval, *, power: float = 0.8) -> tuple[float, float, float | None]:
    """Labels at which a difference of this size would be found with this power, and its limits.

    Args:
        difference: Of two judges, say, on the same labels, with its standard error and limits.
        power: Chance to find it.

    Returns:
        Labels if the difference is the estimate; if it is the farther of its limits; and if it is the nearer one, None
        where the interval holds 0, so that no number of labels is sure to tell the two apart.

    Raises:
        NotMeasurable: Without a difference, or a standard error.
    """
    error, low, high = difference.standard_error, difference.lower, difference.upper
    if not error or low is None or high is None:
        raise NotMeasurable("needs labels on at least 2 questions on which the two differ")
    if difference.estimate == 0:
        raise NotMeasurable("needs a difference: both are the same on the labels there are")
    reach = normal_quantile(0.5 + difference.level / 2) + normal_quantile(power)

    def labels(size: float) -> float:
        return difference.n * (reach * error / size) ** 2

    near, far = sorted((abs(low), abs(high)))
    return labels(difference.estimate), labels(far), None if low <= 0 <= high else labels(near)
