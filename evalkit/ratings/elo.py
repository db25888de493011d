"""Online Elo ratings (K 4, from 1000), as the median over random orders: they depend on the order of comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.differences import ModelDifferences, of_pairs
from evalkit.ratings.links import apart, rows_of
from evalkit.ratings.standing import (
    Standing,
    TableInfo,
    count_outcomes,
    how_drawn,
    with_differences,
    with_info,
)

if TYPE_CHECKING:
    from evalkit.ratings.links import LinkedComparisons
    from evalkit.stats.arrays import FloatArray
    from evalkit.stats.elo import ResampledElo
    from evalkit.stats.resample import Interval

MOST_STEPS = 200_000_000
"""Comparisons times orders: beyond it, fewer orders."""

MOST_COMPARISONS = 2_000_000

REPLICATES, STEPS_OF_REPLICATES = 200, 10_000_000


@dataclass(frozen=True)
class EloRatings:
    """Online Elo; for display beside Bradley-Terry ratings, which do not depend on order."""

    permutations: int = 1000
    """Random orders; 0: the order of the table, once."""
    seed: int = 0

    name = "elo"

    def rate(self, table: Comparisons) -> list[Standing]:
        """Ratings with every tie as half a win, and with ties left out."""
        import numpy as np

        from evalkit.stats.errors import NotMeasurable

        if len(table) > MOST_COMPARISONS:
            raise NotMeasurable(
                f"online Elo goes through one comparison after another; {len(table)} are too many (at most "
                f"{MOST_COMPARISONS}). Use --method bt, whose ratings do not depend on order"
            )
        decided = np.flatnonzero(table.outcome != 0.5)
        notes = []
        every = self._fit(table, rows_of(table, None))
        orders = self._orders(len(table))
        if orders:
            notes.append(
                f"Elo is order-dependent: median over {orders} random orders; limits are over {REPLICATES} resamples "
                "of questions, each in a random order. --method bt does not depend on order"
            )
        else:
            notes.append("Elo is order-dependent: this is after the comparisons in the order of the table")
        notes += [*how_drawn(table, within=True), *apart(table.models, table.a, table.b)]
        without = self._fit(table, rows_of(table, decided)) if 0 < decided.size < len(table) else every
        untied = {} if decided.size == 0 else without.by_model
        standings = [
            replace(
                standing,
                estimates={
                    "rating": every.by_model[standing.model][0] if standing.model in every.by_model else None,
                    "rating_without_ties": untied[standing.model][0] if standing.model in untied else None,
                },
                columns=dict(every.by_model[standing.model][1]) if standing.model in every.by_model else {},
            )
            for standing in count_outcomes(table, self.name)
        ]
        return with_differences(with_info(standings, TableInfo(notes=tuple(notes))), every.differences())

    def _orders(self, n: int) -> int:
        return min(self.permutations, max(11, MOST_STEPS // max(n, 1))) if self.permutations else 0

    def _fit(self, table: Comparisons, rows: LinkedComparisons) -> _RatedModels:
        from evalkit.stats.elo import elo, elo_over_orders
        from evalkit.stats.resample import Interval

        size = len(rows.models)
        orders = self._orders(rows.a.size)
        if orders == 0:
            once = elo(rows.a, rows.b, rows.outcome, models=size).ratings
            n = rows.a.size
            return _RatedModels(
                {
                    name: (Interval(float(once[i]), None, None, n, 0.95, None, n), {})
                    for i, name in enumerate(rows.models)
                }
            )
        rows = _in_fixed_order(table, rows)
        found = elo_over_orders(rows.a, rows.b, rows.outcome, models=size, permutations=orders, seed=self.seed)
        assert found.lower is not None and found.upper is not None  # noqa: PT018
        resampled = self._resampled(rows, found.ratings)
        ranges = [
            {"order_lower": float(low), "order_upper": float(high)}
            for low, high in zip(found.lower, found.upper, strict=True)
        ]
        by_model = dict(zip(rows.models, zip(resampled.intervals, ranges, strict=True), strict=True))
        return _RatedModels(by_model, resampled, rows.models)

    def _resampled(self, rows: LinkedComparisons, estimates: FloatArray) -> ResampledElo:
        """Limits over resampled questions, each replicate in a random order of its own."""
        from evalkit.stats.elo import ResampledElo, elo_intervals
        from evalkit.stats.resample import Interval

        n = rows.a.size
        replicates = min(REPLICATES, STEPS_OF_REPLICATES // n)
        if replicates < 50:
            reason = f"{n} comparisons are too many to resample"
            without = [Interval(float(value), None, None, n, 0.95, None, n, reason=reason) for value in estimates]
            return ResampledElo(without, None, n)
        return elo_intervals(
            rows.a, rows.b, rows.outcome, models=len(rows.models), clusters=rows.clusters,
            strata=rows.strata, estimates=estimates, replicates=replicates, seed=self.seed,
        )  # fmt: skip


def _in_fixed_order(table: Comparisons, rows: LinkedComparisons) -> LinkedComparisons:
    """The comparisons sorted by what they say, so that random orders are the same however their files were."""
    import numpy as np

    rank = np.empty(len(rows.models), dtype=np.int64)
    rank[np.argsort(rows.models)] = np.arange(len(rows.models))
    a, b = rank[rows.a], rank[rows.b]
    kept = rows.places
    question = np.zeros(kept.size, dtype=np.int64)
    if rows.clusters is not None:
        names, code = np.unique(table.question[kept], return_inverse=True)
        text = np.array([table.questions[name] for name in names.tolist()])
        question = np.unique(text, return_inverse=True)[1][code]
    outcome = np.where(a < b, rows.outcome, 1 - rows.outcome).round(9)
    order = np.lexsort((question, outcome, np.maximum(a, b), np.minimum(a, b)))
    clusters = None
    if rows.clusters is not None:
        _, first, code = np.unique(rows.clusters[order], return_index=True, return_inverse=True)
        clusters = np.argsort(np.argsort(first))[code]  # numbered by first appearance
    return replace(
        rows,
        a=rows.a[order],
        b=rows.b[order],
        outcome=rows.outcome[order],
        clusters=clusters,
        weights=None if rows.weights is None else rows.weights[order],
        kept=kept[order],
        strata=None if rows.strata is None else rows.strata[order],
    )


@dataclass(frozen=True, eq=False)
class _RatedModels:
    """Ratings of the models of a table, and the replicates that they have in common."""

    by_model: Mapping[str, tuple[Interval, Mapping[str, float | int | str | None]]]
    """Rating with its interval, and the range over orders."""
    resampled: ResampledElo | None = None
    models: tuple[str, ...] = ()
    """In the order of the replicates."""

    def differences(self) -> ModelDifferences | None:
        """Every two models, from the same resampled questions in the same order."""
        import numpy as np

        from evalkit.stats.paired_differences import differences_of_estimates

        if self.resampled is None or self.resampled.replicates is None or len(self.models) < 2:
            return None
        ratings = np.array([one.estimate for one in self.resampled.intervals])
        order = np.lexsort((np.array(self.models), -ratings))
        influence = self.resampled.influence
        found = differences_of_estimates(
            ratings[order],
            np.cov(self.resampled.replicates[:, order], rowvar=False),
            clusters=self.resampled.questions,
            n=self.resampled.intervals[0].n,
            influence=None if influence is None else influence[:, order],
            limits=self.resampled.limits,
        )
        return of_pairs(found, [self.models[i] for i in order.tolist()])
