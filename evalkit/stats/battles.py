"""Pairwise comparisons as distinct cells with counts.

A million battles among a hundred models have at most 15 thousand distinct (pair, outcome) cells, and every
estimator here depends on the battles through those cells alone.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, indices, totals
from evalkit.stats.errors import NotMeasurable, StatisticsError
from evalkit.stats.resample import stratum_of


class Disconnected(StatisticsError):
    """No finite maximum-likelihood ratings: the win graph is not strongly connected (Ford 1957).

    Attributes:
        components: Strongly connected groups of models, largest first. Between two groups all wins go one way,
            or there are no battles.
        unbeaten: Models that have battles and lost or tied none of them.
        winless: Models that have battles and won or tied none of them.
        idle: Models without a battle.
    """

    def __init__(
        self,
        components: tuple[tuple[int, ...], ...],
        *,
        unbeaten: tuple[int, ...],
        winless: tuple[int, ...],
        idle: tuple[int, ...],
    ) -> None:
        notes = [f"{name} {list(m)}" for name, m in (("unbeaten", unbeaten), ("winless", winless)) if m]
        notes += [f"without battles {list(idle)}"] if idle else []
        shown = ", ".join(str(list(c)) for c in components[:5]) + (", ..." if len(components) > 5 else "")
        super().__init__(
            f"no finite ratings: the win graph falls into {len(components)} groups of models {shown}"
            + (f" ({'; '.join(notes)})" if notes else "")
            + "; rate each group alone, add battles, or pass ridge="
        )
        self.components = components
        self.unbeaten = unbeaten
        self.winless = winless
        self.idle = idle


@dataclass(frozen=True, slots=True, eq=False)
class Battles:
    """Battles counted by distinct (cluster, pair, outcome, weight); made by `compress`.

    Attributes:
        models: Number of models M.
        clusters: Number of questions Q, or None where battles are taken as independent.
        n: Battles.
        a: [C] lower model index of the pair.
        b: [C] higher model index of the pair.
        outcome: [C] score of a: 1 won, 0 lost, .5 tied, or a soft preference between.
        weight: [C] weight of each battle in the cell.
        cluster: [C] question of the cell (0 without clusters).
        count: [C] battles in the cell.
        strata: [Q] category of each question, where the benchmark fixes the categories.
    """

    models: int
    clusters: int | None
    n: int
    a: IntArray
    b: IntArray
    outcome: FloatArray
    weight: FloatArray
    cluster: IntArray
    count: FloatArray
    strata: IntArray | None = None

    @property
    def mass(self) -> FloatArray:
        """[C] total weight of each cell."""
        result: FloatArray = self.weight * self.count
        return result


def compress(
    a: IntArray,
    b: IntArray,
    outcome: FloatArray,
    *,
    models: int,
    clusters: IntArray | None = None,
    weights: FloatArray | None = None,
    strata: IntArray | None = None,
) -> Battles:
    """Count battles into distinct cells.

    Args:
        a: [N] index of the first model.
        b: [N] index of the second model.
        outcome: [N] score of the first model: 1 won, 0 lost, .5 tied, or a soft preference in [0, 1].
        models: Number of models M; indices are below it.
        clusters: [N] question of each battle, whole numbers from 0; the unit of resampling.
        weights: [N] positive weight of each battle; 1 if not given.
        strata: [N] category of each battle's question, where the benchmark fixes the categories; needs `clusters`.

    Raises:
        NotMeasurable: Without battles.
        ValueError: On an outcome outside [0, 1], a model against itself, a weight that is not positive, indices
            out of range or unequal lengths.
    """
    outcome = floats(outcome, "outcome")
    n = outcome.size
    if n == 0:
        raise NotMeasurable("needs at least one battle")
    a = indices(a, "a", size=models, length=n)
    b = indices(b, "b", size=models, length=n)
    if (a == b).any():
        raise ValueError(f"a model cannot battle itself, but battle {int(np.flatnonzero(a == b)[0])} does")
    if outcome.min() < 0 or outcome.max() > 1:
        bad = outcome[(outcome < 0) | (outcome > 1)][0]
        raise ValueError(f"outcome must be between 0 (a lost) and 1 (a won), .5 a tie, but has {bad}")
    swap = a > b
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    values, code = _codes(np.where(swap, 1 - outcome, outcome))
    key = (a * models + b) * values.size + code
    levels = np.ones(1)
    if weights is not None:
        weights = floats(weights, "weights")
        if weights.size != n or weights.min() <= 0:
            raise ValueError("weights must be positive, one a battle")
        levels, code = np.unique(weights, return_inverse=True)
        key = key * levels.size + code
    space = models * models * values.size * levels.size
    questions = by_question = None
    if strata is not None and clusters is None:
        raise ValueError("strata are categories of questions: they need clusters")
    if clusters is not None:
        clusters = indices(clusters, "clusters", length=n)
        by_question = None if strata is None else stratum_of(strata, clusters)
        questions = int(clusters.max()) + 1
        key = key + space * clusters
    keys, count = _tally(key, space * (questions or 1))
    rest, weight_code = np.divmod(keys, levels.size)
    rest, outcome_code = np.divmod(rest, values.size)
    rest, b_cell = np.divmod(rest, models)
    cluster, a_cell = np.divmod(rest, models)
    outcomes, heights = values[outcome_code], levels[weight_code]
    return Battles(models, questions, n, a_cell, b_cell, outcomes, heights, cluster, count, by_question)


def require_connected(battles: Battles) -> None:
    """Check that finite maximum-likelihood ratings exist.

    Raises:
        Disconnected: If the graph "beat or tied with" is not strongly connected.
    """
    size = battles.models
    won = totals(battles.a * size + battles.b, battles.mass * battles.outcome, size * size)
    lost = totals(battles.b * size + battles.a, battles.mass * (1 - battles.outcome), size * size)
    beat = (won + lost).reshape(size, size) > 0
    labels = strong_components(beat)
    groups = [tuple(np.flatnonzero(labels == k).tolist()) for k in range(int(labels.max()) + 1)]
    if len(groups) == 1:
        return
    wins, losses = beat.any(axis=1), beat.any(axis=0)
    raise Disconnected(
        tuple(sorted(groups, key=lambda group: (-len(group), group))),
        unbeaten=tuple(np.flatnonzero(wins & ~losses).tolist()),
        winless=tuple(np.flatnonzero(losses & ~wins).tolist()),
        idle=tuple(np.flatnonzero(~wins & ~losses).tolist()),
    )


def strong_components(beat: BoolArray) -> IntArray:
    """Label [M] of each model's strongly connected component in the graph [M, M] of who beat or tied whom."""
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(beat, directed=True, connection="strong")
    return labels.astype(np.int64)


def _codes(outcome: FloatArray) -> tuple[FloatArray, IntArray]:
    """Distinct outcomes and the index of each battle's; no sort where all are 0, .5 or 1."""
    twice = outcome * 2
    code = twice.astype(np.int64)
    if (code == twice).all():
        return np.array([0.0, 0.5, 1.0]), code
    values, inverse = np.unique(outcome, return_inverse=True)
    return values, inverse


def _tally(key: IntArray, space: int) -> tuple[IntArray, FloatArray]:
    """Distinct keys and how often each occurs; by counting where the key space is small enough."""
    if space <= max(4 * key.size, 1 << 20):
        count = np.bincount(key, minlength=space)
        keys = np.flatnonzero(count)
        return keys, count[keys].astype(np.float64)
    keys, count = np.unique(key, return_counts=True)
    return keys, count.astype(np.float64)
