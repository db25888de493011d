"""Limits of bounded quantities that also hold at the edges of the scale and for few questions.

A standard error of rows that are (nearly) all alike says little of what was not seen: ten wins in ten leave it at 0.
Limits here are therefore of two kinds.

1. The usual ones: Student's t with the clustered standard error, or percentiles of a bootstrap.
2. Beta limits with one half of an unseen question at the edge of the scale. Of n questions with weights drawn from a
   Dirichlet distribution, and weight W for the edge, the mean is matched in mean and variance by a beta distribution;
   for questions that are won or lost with W = 1 that is Clopper and Pearson's interval, with W = 1/2 one between it and
   that of Jeffreys (Brown, Cai & DasGupta 2001, Statistical Science 16:101; of 8 questions Jeffreys' covers some rates
   in 88%, this one in 92%), and for scores of any kind nearly the bound of Gaffke (Learned-Miller & Thomas 2019,
   arXiv:1905.06208).

The unseen question counts as far as the sample may hide it: fully where its kurtosis is above 4 or where all values are
equal, and not at all where it is below 2.5; few questions close to one end of the scale may hide the other one whatever
their kurtosis, as 1 in 12 fails, and in one of six samples of 20 none does. So
intervals in the middle of a scale are the usual ones to the digit. tests/certification measures the coverage.

Of means of questions, which the beta distribution is made for, the beta limits take the place of the usual ones as far
as the question counts: of 78 wins in 80, percentiles reach 100% and beta limits 99.5%, and the wider of the two covers
a true 99.7% always. They do, too, as far as few questions (up to 8) are won or lost entirely: Student's t allows for a
standard error that is estimated apart from the mean, but theirs follows from it. Limits of Elo, kappa and alpha
do the same. Of what is no mean, or does not lie amid its limits (length-controlled win rates), beta limits are a floor,
and the wider of the two counts.

Scores have a third bound (`unseen_limits`): a judge that gives nearly every question the same score leaves the sample,
whatever its shape, silent on the one question in twenty that is far off. Of n questions without one at an end of the
scale, a share of 1 - .05^(1/n) may be there, about 3/n (the rule of three: Hanley & Lippman-Hand 1983, JAMA 249:1743).
Scores that spread over the scale show how far off they are: the share counts fully up to a standard deviation of 7% of
the scale (0.63 from 1 to 10) and not at all from 14%.
"""

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray

EDGE = 0.5
"""Questions assumed at the edge of the scale, unseen."""
RARE = 0.75
"""Further ones where outcomes are rare and each limit has to hold by itself: with them it is about Clopper's and
Pearson's, by which 20 ties leave one question lost in 7 possible (tests/decisions/test_gate.py)."""
FEWEST = 4
"""Questions below which scores have no interval: of 3, a nominal 95% covers 73%."""
SMALL = 8
"""Questions up to which limits are Student's, as resampling cannot leave the range of so few means."""
NEAR = 24
"""Questions up to which a mean near one end of the scale may hide the other end fully."""
NARROW, BROAD = 0.07, 0.14
"""Standard deviations of questions, as parts of the scale, that hide far ones fully and not at all."""
ROUNDING = 1e-9
"""Standard errors below this part of the scale are rounding errors."""
ONE_VALUE = 0.02
"""Part of the range of all values by which two that count as one value may differ."""


def kurtosis(influence: FloatArray) -> FloatArray:
    """Fourth moment over the squared second one, of each column [Q, K] of question residuals; infinite without spread.

    Rows of residual 0 that only pad a column must be NaN.
    """
    size = np.isfinite(influence).sum(axis=0)
    square = np.nan_to_num(influence) ** 2
    second = square.sum(axis=0)
    none = second <= (ROUNDING**2) * size * np.maximum(square.max(axis=0, initial=0.0), 1e-30)
    result: FloatArray = np.where(none, np.inf, size * (square**2).sum(axis=0) / np.where(none, 1.0, second) ** 2)
    return result


def edge_limits(
    estimate: FloatArray,
    standard_error: FloatArray,
    units: FloatArray,
    kurtosis: FloatArray,
    limits: tuple[FloatArray | float, FloatArray | float],
    *,
    level: float = 0.95,
    rare: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """Beta limits [K] with half an unseen question at either edge (see the module text).

    Args:
        estimate: [K] means, within the limits.
        standard_error: [K] their standard errors, clustered by question.
        units: [K] questions.
        kurtosis: [K] of the questions' residuals, infinite where they are all alike.
        limits: Ends of the scale; of each quantity, where they differ.
        level: Coverage.
        rare: Further questions assumed unseen where few differ from the rest: all of them from a kurtosis of 8, none
            up to 4. Half a question covers on average, more of one always.

    Returns:
        Lower and upper limits; +inf and -inf where the sample has nothing to hide, so that the usual limits stand.
    """
    low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), estimate.shape) for end in limits)
    below, above = estimate - low, high - estimate
    tail = (1 - level) / 2
    down = _distance(below, above, standard_error, units, kurtosis, tail, rare)
    up = _distance(above, below, standard_error, units, kurtosis, tail, rare)
    return low + down, high - up


def unseen_limits(
    estimate: FloatArray,
    standard_error: FloatArray,
    units: FloatArray,
    limits: tuple[FloatArray | float, FloatArray | float],
    *,
    level: float = 0.95,
) -> tuple[FloatArray, FloatArray]:
    """Limits [K] of means if as many questions as n of them can hide lie at an end of the scale.

    Args:
        estimate: [K] means, within the limits.
        standard_error: [K] their standard errors.
        units: [K] questions.
        limits: Ends of the scale.
        level: Chance that a larger share would have shown at least one.
    """
    low, high = limits
    part = standard_error * np.sqrt(units) / (high - low)
    alike = np.clip((BROAD - part) / (BROAD - NARROW), 0.0, 1.0)
    share = -np.expm1(np.log1p(-level) * alike / units)
    return estimate - share * (estimate - low), estimate + share * (high - estimate)


def _distance(
    mine: FloatArray,
    other: FloatArray,
    error: FloatArray,
    units: FloatArray,
    kurtosis: FloatArray,
    tail: float,
    rare: float,
) -> FloatArray:
    """How far from an edge [K] the limit on its side lies: a beta quantile."""
    from scipy.special import betaincinv

    span = np.maximum(mine + other, 1e-300)
    extra = EDGE * _hidden(mine, other, error, units, kurtosis) + rare * np.clip((kurtosis - 4.0) / 4.0, 0.0, 1.0)
    total = units + extra
    mean = mine * units / total
    spread = error**2 * np.maximum(units - 1, 0) * units / total + extra * units / total**2 * mine**2
    m, v = np.clip(mean / span, 0.0, 1.0), spread / (total + 1) / span**2
    use = (extra > 0) & (m > 0) & (m < 1) & (v > 0)
    v = np.where(use, np.minimum(v, 0.999999 * m * (1 - m)), 0.1)
    k = np.where(use, m * (1 - m) / np.where(use, v, 1.0) - 1, 1.0)
    quantile = betaincinv(np.where(use, m * k, 1.0), np.where(use, (1 - m) * k, 1.0), tail)
    # At the edge itself, there is nothing beyond.
    result: FloatArray = np.where(use, quantile * span, np.where(mine <= ROUNDING * span, 0.0, np.inf))
    return result


def _hidden(
    mine: FloatArray, other: FloatArray, error: FloatArray, units: FloatArray, kurtosis: FloatArray
) -> FloatArray:
    """How far a sample may hide a question at the edge of the scale [K]: 0 not at all, 1 fully."""
    span = np.maximum(mine + other, 1e-300)
    by_shape = np.where(error <= ROUNDING * span, 1.0, np.clip((kurtosis - 2.5) / 1.5, 0.0, 1.0))
    # Few questions near one end may hide the far end whatever their kurtosis says.
    near = np.clip((mine / np.maximum(other, 1e-12 * span) - 2) / 4, 0.0, 1.0) * np.minimum(1.0, NEAR / units)
    result: FloatArray = np.maximum(by_shape, near)
    return result


def _in_place(
    estimate: FloatArray,
    standard_error: FloatArray,
    inner: tuple[FloatArray, FloatArray],
    units: FloatArray,
    kurtosis: FloatArray,
    limits: tuple[FloatArray | float, FloatArray | float],
    level: float,
) -> tuple[FloatArray, FloatArray]:
    """The usual limits [K], or beta limits in their place as far as the sample may hide a question at either edge.

    Or as far as few questions are at one edge or the other, which their variance tells: at most it is that of a share.
    """
    below, above = estimate - limits[0], limits[1] - estimate
    entire = standard_error**2 * (units - 1) / np.maximum(below * above, 1e-300)
    part = np.maximum(
        _hidden(below, above, standard_error, units, kurtosis), _hidden(above, below, standard_error, units, kurtosis)
    )
    part = np.where(units <= SMALL, np.maximum(part, np.minimum(entire, 1.0)), part)
    full = np.maximum(kurtosis, 4.0)
    low, high = edge_limits(estimate, standard_error, units, full, limits, level=level)
    return inner[0] + part * (low - inner[0]), inner[1] + part * (high - inner[1])


def widened(
    estimate: FloatArray,
    standard_error: FloatArray,
    inner: tuple[FloatArray, FloatArray],
    units: FloatArray,
    kurtosis: FloatArray,
    limits: tuple[FloatArray | float, FloatArray | float],
    *,
    unseen: bool = False,
    instead: bool = False,
    level: float = 0.95,
    rare: float = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lower and upper limits and standard errors [K]: the usual ones, with the floor that comes from n.

    The standard error is that of the interval beside it: where the floor makes an interval more than half as wide again
    as its analytic standard error would, it is the half width over the t quantile.

    Args:
        estimate: [K] estimates.
        standard_error: [K] analytic standard errors.
        inner: [K] usual limits, of a bootstrap or of Student's t.
        units: [K] questions, at least 2.
        kurtosis: [K] of the questions' residuals.
        limits: Ends of the scale.
        unseen: Whether limits hold `unseen_limits`, too.
        instead: Whether beta limits take the place of the usual ones, rather than the wider of the two.
        level: Coverage.
        rare: As in ``edge_limits``.
    """
    from scipy.special import stdtrit

    if instead:
        low, high = _in_place(estimate, standard_error, inner, units, kurtosis, limits, level)
    else:
        low, high = edge_limits(estimate, standard_error, units, kurtosis, limits, level=level, rare=rare)
        low, high = np.minimum(inner[0], low), np.maximum(inner[1], high)
    if unseen:
        far = unseen_limits(estimate, standard_error, units, limits, level=level)
        low, high = np.minimum(low, far[0]), np.maximum(high, far[1])
    lower, upper = np.maximum(low, limits[0]), np.minimum(high, limits[1])
    implied = (upper - lower) / (2 * stdtrit(units - 1, 0.5 + level / 2))
    reach: BoolArray = (implied > 1.5 * standard_error) & ((low < inner[0]) | (high > inner[1]))
    return lower, upper, np.where(reach, implied, standard_error)


def half_step(values: FloatArray) -> FloatArray:
    """Half the distance between two means that the questions of each column [Q, K] can have: [K], in their unit.

    Verdicts take few values, and so does the mean of a few of them. Limits of Student's t then fall between two means,
    and are missed more often than they should be wherever the nearer one happens to lie beyond them: of 20 verdicts for
    one side or the other, a limit of 5% by 5.8%. Wider by half a step they are not (Yates's correction for continuity,
    1934). Where values form no steps it is next to nothing. The step is that from a question's value to the nearest one
    that differs, averaged over questions.
    """
    size = len(values)
    ordered = np.sort(values, axis=0)
    gaps = np.pad(np.diff(ordered, axis=0), ((1, 1), (0, 0)), constant_values=np.inf)
    apart = gaps > ONE_VALUE * (ordered[-1] - ordered[0])
    place = np.arange(size + 1)[:, None]
    below = np.maximum.accumulate(np.where(apart, place, 0), axis=0)[:-1]
    above = np.minimum.accumulate(np.where(apart, place, size)[::-1], axis=0)[::-1][1:]
    nearest = np.minimum(np.take_along_axis(gaps, below, axis=0), np.take_along_axis(gaps, above, axis=0))
    result: FloatArray = np.where(np.isfinite(nearest), nearest, 0.0).mean(axis=0) / (2 * size)
    return result
