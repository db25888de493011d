"""Verdicts on the same questions -> how far every two models differ, and which ranks that leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.paired_differences import PairedDifferences
    from evalkit.stats.resample import Interval

MAX_T = "max-t: the level at which the studentized differences of all pairs hold at once"
PAIRED_T = "paired t"
"""The methods of limits of all pairs at once, and of one pair, as printed."""
SURE = 0.05
"""Largest chance, over all pairs, that failures this uneven are called so where both models fail alike."""


@dataclass(frozen=True, eq=False)
class VerdictCells:
    """What each model got on each cell: one turn of one question."""

    models: tuple[str, ...]
    values: FloatArray
    """[C, M] NaN where there is no verdict."""
    failed: BoolArray
    """[C, M] asked for, and failed."""
    question: IntArray
    """[C] what varies; any whole numbers from 0."""
    turn: IntArray
    """[C]"""
    category: IntArray
    """[C]"""
    declared: bool
    """Whether the benchmark fixes its categories, so that questions vary within them only."""
    limits: tuple[float, float] | None
    """Ends of the scale; None: not known."""
    pooled: bool = False
    """Cells count alike, not questions."""


@dataclass(frozen=True)
class ModelDifference:
    """One model minus another, on what both have a verdict on."""

    a: str
    b: str
    interval: Interval | None
    """Of the difference; None where the two have nothing in common."""
    worst: tuple[float, float] | None = None
    """The difference if every failure of ``a`` were the worst value and every one of ``b`` the best, and the other way
    round. None where neither failed, or the scale is not known."""
    failed: tuple[int, int] = (0, 0)
    """Cells on which ``a`` failed, and ``b``, that the other model has."""

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out 0."""
        found = self.interval
        return found is not None and found.lower is not None and (found.lower > 0 or (found.upper or 0.0) < 0)


@dataclass(frozen=True)
class ModelDifferences:
    """Every pair of models of one table."""

    models: tuple[str, ...]
    """Best first, as in the table."""
    pairs: tuple[ModelDifference, ...]
    """Each model minus every one that stands above it in the table."""
    ranks: dict[str, tuple[int, int]]
    """By model, the best and the worst rank that the data do not rule out."""
    pairwise: float
    """Level of each interval by itself at which all hold at once."""
    level: float = 0.95
    notes: tuple[str, ...] = ()
    """Uneven failures, by name."""

    @property
    def apart(self) -> int:
        """How many pairs are told apart."""
        return sum(pair.apart for pair in self.pairs)


def differences(cells: VerdictCells, order: Sequence[str]) -> ModelDifferences | None:
    """All pairs of the models in this order, best first; None where there are fewer than two of them."""
    import numpy as np

    from evalkit.stats.paired_differences import paired_differences

    chosen = [cells.models.index(name) for name in order if name in cells.models]
    if len(chosen) < 2:
        return None
    values, failed = cells.values[:, chosen], cells.failed[:, chosen]
    found = paired_differences(
        values,
        cells.question,
        strata=cells.category if cells.declared else None,
        pooled=cells.pooled,
        limits=cells.limits,
    )
    counts = _failures(values, failed)
    bounds = {}
    if cells.limits is not None:
        for i, j in zip(*np.nonzero(np.triu(counts + counts.T, 1)), strict=True):
            bounds[int(i), int(j)] = _bounds(cells, values[:, [i, j]], failed[:, [i, j]])
    return of_pairs(found, [cells.models[place] for place in chosen], counts.tolist(), bounds)


def of_pairs(
    found: PairedDifferences,
    models: Sequence[str],
    failed: Sequence[Sequence[int]] | None = None,
    bounds: dict[tuple[int, int], tuple[float, float]] | None = None,
) -> ModelDifferences:
    """Named pairs; in each, the model that stands lower minus the one above it.

    Args:
        found: by position of the models.
        models: best first.
        failed: [M][M] on how many cells a model failed that the other one has.
        bounds: of the upper minus the lower model, by their positions.
    """
    pairs = []
    for above, below, interval in zip(found.a.tolist(), found.b.tolist(), found.intervals, strict=True):
        bound = (bounds or {}).get((above, below))
        pairs.append(
            ModelDifference(
                models[below],
                models[above],
                None if interval is None else turned(interval),
                None if bound is None else (-bound[1], -bound[0]),
                (0, 0) if failed is None else (failed[below][above], failed[above][below]),
            )
        )
    ranks = {name: (int(found.best[i]), int(found.worst[i])) for i, name in enumerate(models)}
    return ModelDifferences(tuple(models), tuple(pairs), ranks, found.pairwise, found.level, tuple(_uneven(pairs)))


def turned(interval: Interval) -> Interval:
    """The interval of the negative."""
    from dataclasses import replace

    lower = None if interval.upper is None else -interval.upper
    return replace(
        interval, estimate=-interval.estimate, lower=lower, upper=None if interval.lower is None else -interval.lower
    )


def _failures(values: FloatArray, failed: BoolArray) -> IntArray:
    """[M, M] cells on which one model failed and the other has a verdict."""
    import numpy as np

    lost = failed & np.isnan(values)
    if not lost.any():
        return np.zeros((values.shape[1],) * 2, dtype=np.int64)
    counts: IntArray = (lost.T.astype(np.float64) @ np.isfinite(values)).astype(np.int64)
    return counts


def _bounds(cells: VerdictCells, values: FloatArray, failed: BoolArray) -> tuple[float, float]:
    """First minus second of two models if each failure were the worst for the first, and the best for it."""
    import numpy as np

    assert cells.limits is not None
    ends = []
    for worst, best in (cells.limits, cells.limits[::-1]):
        filled = [
            np.where(failed[:, side] & np.isnan(values[:, side]), value, values[:, side])
            for side, value in ((0, worst), (1, best))
        ]
        gap = filled[0] - filled[1]
        there = np.isfinite(gap)
        gap, label = gap[there], np.unique(cells.question[there], return_inverse=True)[1]
        each = gap if cells.pooled else np.bincount(label, gap) / np.bincount(label)
        ends.append(float(each.mean()))
    return ends[0], ends[1]


def _uneven(pairs: Iterable[ModelDifference]) -> Iterable[str]:
    """The models whose failures are more than chance would make them, each beside the one that fails least."""
    listed = [pair for pair in pairs if sum(pair.failed)]
    said: dict[str, tuple[float, str]] = {}
    for pair in listed:
        mine, other = pair.failed
        p = sign_test(mine, other)
        if p * len(listed) > SURE:
            continue
        more, less, counts = (pair.a, pair.b, (mine, other)) if mine > other else (pair.b, pair.a, (other, mine))
        text = (
            f"failures are uneven: {more!r} failed on {counts[0]} that {less!r} has, and {less!r} on {counts[1]} that "
            f"{more!r} has; differences are on what both have, and hold beyond it only if failures do not depend on "
            "how good an answer is"
        )
        if more not in said or p < said[more][0]:
            said[more] = (p, text)
    return [text for _, text in said.values()]


def sign_test(one: int, other: int) -> float:
    """Exact two-sided chance of a split at least as uneven, where either side is as likely."""
    from scipy.special import bdtr

    total = one + other
    return min(1.0, 2 * float(bdtr(min(one, other), total, 0.5))) if total else 1.0
