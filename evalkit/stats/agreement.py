"""Agreement of raters (judges, people) on the same items: raw, and beyond chance.

Chance-corrected coefficients depend on how often each label occurs, so they are reported beside the raw share, never
in its place. Missing ratings are None in label sequences, or masked; they are left out, never counted as a label.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, floats, indices
from evalkit.stats.bounded import FEWEST, SMALL
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.question_draws import question_counts
from evalkit.stats.resample import (
    Interval,
    cluster_mean,
    floored,
    percentile_limits,
    stratum_of,
    t_quantile,
    wilson,
)

Label: TypeAlias = Hashable
Scale: TypeAlias = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share of pairs of ratings that agree.

    Attributes:
        agree: Pairs that agree.
        total: Pairs.
        wilson: Share with the Wilson interval, right if pairs are independent.
        clustered: Share with the interval from resampled questions; None if no questions were given.
    """

    agree: int
    total: int
    wilson: Interval
    clustered: Interval | None


def agreement(
    first: Sequence[Label | None],
    second: Sequence[Label | None],
    *,
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Agreement:
    """Share of items to which two raters give the same label.

    Args:
        first: [N] labels of one rater, None where missing.
        second: [N] labels of the other.
        clusters: [N] question of each item, whole numbers from 0.
        strata: [N] category of each item, where the benchmark fixes the categories.
        level: Coverage of the intervals.
        resamples: Bootstrap replicates of the clustered interval.
        seed: Seed of the draws.

    Raises:
        NotMeasurable: If no item has both labels.
    """
    both = _both(first, second)
    same = np.array([first[i] == second[i] for i in both], dtype=np.float64)
    clustered = None
    if clusters is not None:
        cluster = indices(clusters, "clusters", length=len(first))[both]
        own = None if strata is None else indices(strata, "strata", length=len(first))[both]
        cluster = np.unique(cluster, return_inverse=True)[1]
        clustered = cluster_mean(
            same, cluster, limits=(0.0, 1.0), strata=own, level=level, resamples=resamples, seed=seed
        )
    agree = int(same.sum())
    return Agreement(agree, same.size, wilson(agree, same.size, level=level), clustered)


def cohen_kappa(
    first: Sequence[Label | None],
    second: Sequence[Label | None],
    *,
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Cohen's kappa of two raters (Cohen 1960), with items or questions resampled.

    Args:
        first: [N] labels of one rater, None where missing.
        second: [N] labels of the other.
        clusters: [N] question of each item; each item its own if not given.
        strata: [N] category of each item, where the benchmark fixes the categories.
        level: Coverage of the interval.
        resamples: Bootstrap replicates. Those in which chance agreement is certain are left out of the limits.
        seed: Seed of the draws.

    Raises:
        NotMeasurable: If no item has both labels, or both raters use one and the same label throughout.
    """
    both = _both(first, second)
    values = _codes([first[i] for i in both] + [second[i] for i in both])
    size = int(values.max()) + 1
    cells = values[: both.size] * size + values[both.size :]
    units, by_stratum = _units(clusters, strata, len(first), both)
    count = int(units.max()) + 1
    table = np.bincount(units * size * size + cells, minlength=count * size * size)
    by_unit = table.reshape(count, size * size).astype(np.float64)

    def kappa(tables: FloatArray) -> tuple[FloatArray, FloatArray]:
        share = (tables / tables.sum(axis=1, keepdims=True)).reshape(-1, size, size)
        observed = share.trace(axis1=1, axis2=2)
        chance = (share.sum(axis=2) * share.sum(axis=1)).sum(axis=1)
        return _beyond_chance(observed, chance)

    return _resampled(kappa, by_unit, n=both.size, level=level, resamples=resamples, seed=seed, strata=by_stratum)


def fleiss_kappa(
    counts: FloatArray,
    *,
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Fleiss' kappa of items rated by equally many raters (Fleiss 1971), with items or questions resampled.

    Args:
        counts: [N, L] how many raters gave each label to each item.
        clusters: [N] question of each item; each item its own if not given.
        strata: [N] category of each item, where the benchmark fixes the categories.
        level: Coverage of the interval.
        resamples: Bootstrap replicates. Those in which chance agreement is certain are left out of the limits.
        seed: Seed of the draws.

    Returns:
        Kappa; `n` counts the ratings.

    Raises:
        NotMeasurable: With fewer than 2 raters, or one label throughout.
        ValueError: If items have different numbers of raters (use `krippendorff_alpha`).
    """
    counts = floats(counts, "counts", ndim=2)
    raters = counts.sum(axis=1)
    if counts.shape[0] == 0 or raters[0] < 2:
        raise NotMeasurable("needs items with at least 2 ratings each")
    if (raters != raters[0]).any() or counts.min() < 0:
        raise ValueError("every item must have the same number of raters; krippendorff_alpha allows missing ones")
    n = raters[0]
    agreeing = ((counts**2).sum(axis=1) - n) / (n * (n - 1))
    units, by_stratum = _units(clusters, strata, len(counts), np.arange(len(counts)))
    by_unit = np.zeros((int(units.max()) + 1, 1 + counts.shape[1]))
    np.add.at(by_unit, units, np.column_stack([agreeing, counts]))

    def kappa(tables: FloatArray) -> tuple[FloatArray, FloatArray]:
        ratings = tables[:, 1:].sum(axis=1)
        observed = tables[:, 0] * n / ratings
        chance = ((tables[:, 1:] / ratings[:, None]) ** 2).sum(axis=1)
        return _beyond_chance(observed, chance)

    return _resampled(
        kappa, by_unit, n=int(counts.sum()), level=level, resamples=resamples, seed=seed, strata=by_stratum
    )


def krippendorff_alpha(
    ratings: Sequence[Sequence[Label | None]],
    *,
    scale: Scale = "nominal",
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Krippendorff's alpha, 1 - observed / expected disagreement, with items or questions resampled.

    Args:
        ratings: [N][R] rating of each rater for each item, None where missing; numbers unless `scale` is nominal.
            Items with fewer than two ratings take no part.
        scale: How far two labels are apart: "nominal" 0 or 1, "ordinal" by the ranks between, "interval" by the
            squared difference.
        clusters: [N] question of each item; each item its own if not given.
        strata: [N] category of each item, where the benchmark fixes the categories.
        level: Coverage of the interval.
        resamples: Bootstrap replicates. Those without variation are left out of the limits.
        seed: Seed of the draws.

    Returns:
        Alpha; `n` counts the ratings that could be paired.

    Raises:
        NotMeasurable: If no item has two ratings, or one label is used throughout.
        ValueError: On a label that is no number where the scale needs one.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections C and D.
    """
    present = [[r for r in item if r is not None] for item in ratings]
    kept = [i for i, item in enumerate(present) if len(item) > 1]
    if not kept:
        raise NotMeasurable("needs an item with at least 2 ratings")
    pooled = [r for i in kept for r in present[i]]
    if scale == "nominal":
        codes, levels = _codes(pooled), np.zeros(0)
    else:
        if not all(isinstance(r, int | float | np.number) for r in pooled):
            raise ValueError(f"ratings must be numbers on the {scale} scale")
        levels, codes = np.unique(floats(np.array(pooled, dtype=np.float64), "ratings"), return_inverse=True)
    size = int(codes.max()) + 1
    item = np.repeat(np.arange(len(kept)), [len(present[i]) for i in kept])
    counts = np.bincount(item * size + codes, minlength=len(kept) * size)
    units, by_stratum = _units(clusters, strata, len(ratings), np.array(kept))
    pairs = _coincidences(counts.reshape(len(kept), size).astype(np.float64))
    by_unit = np.zeros((int(units.max()) + 1, size * size))
    np.add.at(by_unit, units, pairs)

    def alpha(tables: FloatArray) -> tuple[FloatArray, FloatArray]:
        coincidence = tables.reshape(-1, size, size)
        margin = coincidence.sum(axis=2)
        total = margin.sum(axis=1)
        distance = _distances(scale, levels, margin)
        observed = (coincidence * distance).sum(axis=(1, 2))
        expected = (margin[:, :, None] * margin[:, None, :] * distance).sum(axis=(1, 2)) / (total - 1)
        result = np.full(len(tables), np.nan)
        np.divide(observed, expected, out=result, where=expected > 0)
        worst = np.full(len(tables), np.nan)
        np.divide(total * distance.max(axis=(1, 2)), expected, out=worst, where=expected > 0)
        return 1 - result, 1 - worst

    return _resampled(alpha, by_unit, n=len(pooled), level=level, resamples=resamples, seed=seed, strata=by_stratum)


def _coincidences(counts: FloatArray) -> FloatArray:
    """[N, L*L] ordered pairs of labels within each item [N, L], each item weighing as many as it has ratings."""
    raters = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    result: FloatArray = (pairs / (raters - 1)[:, None, None]).reshape(len(counts), -1)
    return result


def _distances(scale: Scale, levels: FloatArray, margin: FloatArray) -> FloatArray:
    """[B, L, L] squared distance of two labels; ordinal ones depend on the label counts [B, L]."""
    size = margin.shape[1]
    if scale == "nominal":
        return np.broadcast_to(1.0 - np.eye(size), (len(margin), size, size))
    if scale == "interval":
        return np.broadcast_to((levels[:, None] - levels) ** 2, (len(margin), size, size))
    middle = np.cumsum(margin, axis=1) - margin / 2
    result: FloatArray = (middle[:, :, None] - middle[:, None, :]) ** 2
    return result


def _both(first: Sequence[Label | None], second: Sequence[Label | None]) -> IntArray:
    """Positions where both raters gave a label."""
    if len(first) != len(second):
        raise ValueError(f"both raters must have as many items but have {len(first)} and {len(second)}")
    both = [i for i, pair in enumerate(zip(first, second, strict=True)) if None not in pair]
    if not both:
        raise NotMeasurable("needs an item that both raters labelled")
    return np.array(both, dtype=np.int64)


def _codes(labels: Sequence[Label]) -> IntArray:
    """Number the labels in order of appearance."""
    numbers: dict[Label, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)


def _beyond_chance(observed: FloatArray, chance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Kappa [B], NaN where chance agreement is certain, and the kappa of no agreement at all at the same chance."""
    kappa, worst = np.full(len(observed), np.nan), np.full(len(observed), np.nan)
    np.divide(observed - chance, 1 - chance, out=kappa, where=chance < 1)
    np.divide(-chance, 1 - chance, out=worst, where=chance < 1)
    return kappa, worst


def _units(
    clusters: IntArray | None, strata: IntArray | None, length: int, kept: IntArray
) -> tuple[IntArray, IntArray | None]:
    """What is resampled: the question of each item kept, numbered, and the stratum of each question."""
    units: IntArray = np.arange(kept.size)
    if clusters is not None:
        units = np.unique(indices(clusters, "clusters", length=length)[kept], return_inverse=True)[1]
    return units, None if strata is None else stratum_of(indices(strata, "strata", length=length)[kept], units)


def _resampled(
    statistic: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    by_unit: FloatArray,
    *,
    n: int,
    level: float,
    resamples: int,
    seed: int,
    strata: IntArray | None,
) -> Interval:
    """Interval of a statistic of summed tables [B, K] -> [B] whose units [U, K] are resampled.

    The statistic comes with its value for items that do not agree at all, which an unseen question might have: the
    floor of the interval (see `bounded`) is that of this scale. Up to `SMALL` questions limits are Student's, with the
    standard error of the jackknife.
    """
    whole = by_unit.sum(axis=0, keepdims=True)
    value, worst = statistic(whole)
    estimate, units = float(value[0]), len(by_unit)
    if not np.isfinite(estimate):
        raise NotMeasurable("needs at least two labels in use")
    if units < FEWEST:
        return Interval(estimate, None, None, n, level, None, units, 0, seed, f"needs at least {FEWEST} questions")
    with np.errstate(invalid="ignore", divide="ignore"):  # without its last rating that differs, nothing is left
        moves = (units - 1) * (estimate - statistic(whole - by_unit)[0])
    moves = np.where(np.isfinite(moves), moves, 0.0)
    if units <= SMALL:
        error, resamples = float(np.sqrt(moves @ moves / (units * (units - 1)))), 0
        reach = t_quantile(0.5 + level / 2, units - 1) * error
        lower, upper = estimate - reach, estimate + reach
    else:
        counts = question_counts(units, resamples, seed, strata=strata)
        replicates = np.concatenate([statistic(drawn @ by_unit)[0] for drawn in counts])
        replicates = replicates[np.isfinite(replicates)]
        lower, upper = percentile_limits(replicates, level, clusters=units)
        error = float(replicates.std(ddof=1))
    found = Interval(estimate, lower, upper, n, level, error, units, resamples, seed)
    return floored(found, moves, (min(float(worst[0]), estimate), 1.0), instead=True)
