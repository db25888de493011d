"""Comparisons numbered for a fit, and which models they link well enough to have finite ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.standing import named, strata_of

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.battles import Disconnected

MOST_SCORES = 20_000_000
"""Questions times models that a clustered covariance holds in memory."""


@dataclass(frozen=True, eq=False)
class LinkedComparisons:
    """Comparisons among the models that take part, which are numbered anew."""

    models: tuple[str, ...]
    a: IntArray
    b: IntArray
    outcome: FloatArray
    clusters: IntArray | None
    weights: FloatArray | None
    kept: IntArray | None
    """Positions in the table; None: all of it."""
    strata: IntArray | None = None
    """Category of each comparison's question, where the benchmark declares several."""

    @property
    def units(self) -> IntArray | None:
        """What varies: questions; within categories also where each has one comparison only."""
        import numpy as np

        return np.arange(self.a.size) if self.clusters is None and self.strata is not None else self.clusters

    @property
    def places(self) -> IntArray:
        """[N] positions in the table."""
        import numpy as np

        return np.arange(self.a.size) if self.kept is None else self.kept

    def among(self, names: tuple[str, ...]) -> LinkedComparisons:
        """Comparisons in which both models are among the names."""
        import numpy as np

        inside = np.array([name in names for name in self.models])
        keep = np.flatnonzero(inside[self.a] & inside[self.b])
        number = np.cumsum(inside) - 1
        return LinkedComparisons(
            tuple(name for name in self.models if name in names),
            number[self.a[keep]],
            number[self.b[keep]],
            self.outcome[keep],
            None if self.clusters is None else self.clusters[keep],
            None if self.weights is None else self.weights[keep],
            keep if self.kept is None else self.kept[keep],
            None if self.strata is None else self.strata[keep],
        )


def rows_of(table: Comparisons, keep: IntArray | None) -> LinkedComparisons:
    """The chosen comparisons, numbered by the models that occur in them."""
    import numpy as np

    a, b, outcome, clusters, weights = table.a, table.b, table.outcome, table.clusters, table.weights
    if keep is not None:
        a, b, outcome = a[keep], b[keep], outcome[keep]
        clusters = None if clusters is None else clusters[keep]
        weights = None if weights is None else weights[keep]
    size = len(table.models)
    strata = strata_of(table, np.arange(len(table)) if keep is None else keep)
    if clusters is not None and len(table.questions) >= clusters.size and np.bincount(clusters).max(initial=0) <= 1:
        clusters = None  # every question once: comparisons are independent, and no score by question is needed
    groups = max(MOST_SCORES // size, 100)
    if clusters is not None and len(table.questions) > groups:
        clusters = clusters % groups  # unions of independent questions are independent too, so this is still right
        strata = None  # but not of one category
    present = (np.bincount(a, minlength=size) + np.bincount(b, minlength=size)) > 0
    names = tuple(name for name, here in zip(table.models, present, strict=True) if here)
    if len(names) < size:
        number = np.cumsum(present) - 1
        a, b = number[a], number[b]
    return LinkedComparisons(names, a, b, outcome, clusters, weights, keep, strata)


def apart(models: tuple[str, ...], a: IntArray, b: IntArray) -> tuple[str, ...]:
    """A note about groups of models that never met, not even through others; empty where all are linked.

    Args:
        models: names.
        a: [N] positions of the first models of comparisons.
        b: [N] those of the second ones.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(models)
    number, group = connected_components(coo_array((np.ones(a.size), (a, b)), shape=(size, size)), directed=False)
    met = np.zeros(size, dtype=bool)
    met[a], met[b] = True, True
    groups = [[models[i] for i in np.flatnonzero((group == one) & met)] for one in range(number)]
    groups = sorted((members for members in groups if members), key=len, reverse=True)
    if len(groups) < 2:
        return ()
    shown = "; ".join(named(members) for members in groups[:4]) + ("; ..." if len(groups) > 4 else "")
    return (
        f"{len(groups)} groups of models never met, not even through others ({shown}): figures of different groups "
        "cannot be compared, and their order in this table means nothing",
    )


def linked(error: Disconnected, models: tuple[str, ...]) -> tuple[str, ...]:
    """The largest group of models with finite ratings.

    Raises:
        NotMeasurable: no two models are linked both ways.
    """
    from evalkit.stats.errors import NotMeasurable

    largest = error.components[0]
    if len(largest) < 2:
        raise NotMeasurable(
            "needs models that each win (or tie) and lose against others, directly or through further models; here all "
            f"wins between any two go one way ({_sides(error, models)}). Add comparisons, or use --method winrate"
        )
    return tuple(models[i] for i in largest)


def not_rated(error: Disconnected, models: tuple[str, ...]) -> str:
    """The models without a finite rating, and why they have none."""
    rated = set(error.components[0])
    out = [models[i] for i in range(len(models)) if i not in rated]
    return (
        f"not rated: {named(out)} ({_sides(error, models)}): no finite rating, because wins between them and the rated "
        "models go one way only, or they never met. Add comparisons that link them both ways; win rates "
        "(--method winrate) need no link"
    )


def _sides(error: Disconnected, models: tuple[str, ...]) -> str:
    groups = (("unbeaten", error.unbeaten), ("without a win", error.winless))
    words = [f"{word}: {named([models[i] for i in members])}" for word, members in groups if members]
    return "; ".join(words) or f"{len(error.components)} groups of models apart"


def connected(rows: LinkedComparisons) -> LinkedComparisons:
    """The comparisons within the largest group of models that has finite ratings."""
    from evalkit.stats.battles import Disconnected, compress, require_connected

    try:
        require_connected(compress(rows.a, rows.b, rows.outcome, models=len(rows.models)))
    except Disconnected as error:
        return rows.among(linked(error, rows.models))
    return rows
