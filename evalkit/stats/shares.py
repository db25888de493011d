"""Means of rows that belong to questions, with intervals that also hold for few rows, all-equal rows, and many rows."""

from dataclasses import replace

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, renumbered
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, Limits, cluster_mean, t_quantile, wilson

MANY = 400
"""Questions from which the bootstrap and the normal limits agree to the digits that are printed."""


def clustered_mean(
    values: FloatArray,
    questions: IntArray,
    *,
    limits: Limits | None = None,
    unseen: bool = False,
    strata: IntArray | None = None,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """Mean with limits clustered by question: bootstrap, or, for many questions, the sandwich with a t quantile.

    Args:
        values: [N] one number a row.
        questions: [N] question of each row, whole numbers from 0.
        limits: Ends of the scale, which give the interval its floor.
        unseen: True for scores, whose floor also allows for the far ones that so few questions may lack.
        strata: [N] category of each row's question, where the benchmark fixes the categories.
        level: Coverage.
        resamples: Bootstrap replicates.
        seed: Seed of the draws.

    Raises:
        NotMeasurable: Without rows.
    """
    if values.size == 0:
        raise NotMeasurable("needs at least one row")
    cluster = renumbered(questions)[1]
    many = int(cluster.max()) + 1 > MANY
    return cluster_mean(
        values, cluster, limits=limits, unseen=unseen, strata=strata, resamples=0 if many else resamples,
        level=level, seed=seed,
    )  # fmt: skip


def clustered_share(
    values: FloatArray,
    questions: IntArray,
    *,
    strata: IntArray | None = None,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """Share of rows with the widest of the clustered limits, the floor of as many questions, and the score limits.

    The score limits (Wilson 1927) are those of independent rows, so the outer limits are never far too narrow; the
    floor (see `bounded`) holds where questions agree throughout, however many rows each has.

    Args:
        values: [N] within 0..1; a tie may count half.
        questions: [N] question of each row, whole numbers from 0.
        strata: [N] category of each row's question, where the benchmark fixes the categories.
        level: Coverage.
        resamples: Bootstrap replicates.
        seed: Seed of the draws.

    Raises:
        NotMeasurable: Without rows.
    """
    inner = clustered_mean(
        values, questions, limits=(0.0, 1.0), strata=strata, level=level, resamples=resamples, seed=seed
    )
    if inner.lower is None or inner.upper is None:  # one question: all rows may be one
        outer = wilson(inner.estimate, 1, level=level)
        return replace(inner, lower=outer.lower, upper=outer.upper)
    outer = wilson(min(float(values.sum()), float(values.size)), values.size, level=level)
    assert outer.lower is not None
    assert outer.upper is not None
    return replace(inner, lower=min(outer.lower, inner.lower), upper=max(outer.upper, inner.upper))


def clustered_difference(values: FloatArray, group: BoolArray, questions: IntArray, *, level: float = 0.95) -> Interval:
    """Mean within a group of rows minus the mean of the others, questions as clusters.

    Args:
        values: [N] one number a row.
        group: [N] True for the rows of the group.
        questions: [N] question of each row.
        level: Coverage.

    Raises:
        NotMeasurable: If either side is empty.
    """
    if not group.any() or group.all():
        raise NotMeasurable("needs rows on both sides")
    cluster = renumbered(questions)[1]
    used = int(cluster.max()) + 1
    inside, outside = float(values[group].mean()), float(values[~group].mean())
    score = np.where(group, (values - inside) / group.sum(), (outside - values) / (~group).sum())
    estimate = inside - outside
    if used < 2:
        return Interval(estimate, None, None, values.size, level, None, used)
    influence = np.bincount(cluster, score)
    error = float(np.sqrt(influence @ influence * used / (used - 1)))
    reach = t_quantile(0.5 + level / 2, used - 1) * error
    return Interval(estimate, estimate - reach, estimate + reach, values.size, level, error, used)
