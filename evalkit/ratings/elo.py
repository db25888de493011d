"""Online Elo ratings (K 4, from 1000), as the median over random orders: they depend on the order of comparisons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.links import rows_of
from evalkit.ratings.standing import Standing, TableInfo, count_outcomes, with_info

if TYPE_CHECKING:
    from evalkit.ratings.links import Rows
    from evalkit.stats.resample import Interval

MOST_STEPS = 200_000_000
"""Comparisons times orders: beyond it, fewer orders."""

MOST_COMPARISONS = 2_000_000

REPLICATES, STEPS_OF_REPLICATES = 200, 10_000_000


@dataclass(frozen=True)
class Elo:
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
        every = self._fit(rows_of(table, None))
        orders = self._orders(len(table))
        if orders:
            notes.append(
                f"Elo is order-dependent: median over {orders} random orders; limits are over {REPLICATES} resamples "
                "of questions, each in a random order. --method bt does not depend on order"
            )
        else:
            notes.append("Elo is order-dependent: this is after the comparisons in the order of the table")
        without = self._fit(rows_of(table, decided)) if 0 < decided.size < len(table) else every
        if decided.size == 0:
            without = {}
        standings = [
            replace(
                standing,
                estimates={
                    "rating": every[standing.model][0] if standing.model in every else None,
                    "rating_without_ties": without[standing.model][0] if standing.model in without else None,
                },
                columns=every[standing.model][1] if standing.model in every else {},
            )
            for standing in count_outcomes(table, self.name)
        ]
        return with_info(standings, TableInfo(notes=tuple(notes)))

    def _orders(self, n: int) -> int:
        return min(self.permutations, max(11, MOST_STEPS // max(n, 1))) if self.permutations else 0

    def _fit(self, rows: Rows) -> dict[str, tuple[Interval, dict[str, float | int | str | None]]]:
        """By model: rating with its interval, and the range over orders."""
        from evalkit.stats.elo import elo, elo_over_orders
        from evalkit.stats.resample import Interval

        size = len(rows.models)
        orders = self._orders(rows.a.size)
        if orders == 0:
            once = elo(rows.a, rows.b, rows.outcome, models=size).ratings
            n = rows.a.size
            return {
                name: (Interval(float(once[i]), None, None, n, 0.95, None, n), {}) for i, name in enumerate(rows.models)
            }
        found = elo_over_orders(rows.a, rows.b, rows.outcome, models=size, permutations=orders, seed=self.seed)
        assert found.lower is not None and found.upper is not None  # noqa: PT018
        intervals = self._intervals(rows, found.ratings.tolist())
        return {
            name: (
                intervals[i],
                {"order_lower": float(found.lower[i]), "order_upper": float(found.upper[i])},
            )
            for i, name in enumerate(rows.models)
        }

    def _intervals(self, rows: Rows, estimates: list[float]) -> list[Interval]:
        """Limits over resampled questions, each replicate in a random order of its own."""
        import numpy as np

        from evalkit.stats.elo import elo
        from evalkit.stats.resample import Interval, percentile_limits

        n = rows.a.size
        question = np.arange(n) if rows.clusters is None else np.unique(rows.clusters, return_inverse=True)[1]
        units = int(question.max()) + 1
        replicates = min(REPLICATES, STEPS_OF_REPLICATES // n)
        if units < 2 or replicates < 50:
            return [Interval(value, None, None, n, 0.95, None, units) for value in estimates]
        by_question = np.split(np.argsort(question, kind="stable"), np.cumsum(np.bincount(question))[:-1])
        rng = np.random.default_rng(self.seed)
        drawn = []
        for _ in range(replicates):
            chosen = np.concatenate([by_question[q] for q in rng.integers(units, size=units)])
            order = rng.permutation(chosen)
            drawn.append(elo(rows.a[order], rows.b[order], rows.outcome[order], models=len(rows.models)).ratings)
        values = np.array(drawn)
        result = []
        for i, estimate in enumerate(estimates):
            lower, upper = percentile_limits(values[:, i], 0.95, clusters=units)
            error = float(values[:, i].std(ddof=1))
            result.append(Interval(estimate, lower, upper, n, 0.95, error, units, replicates, self.seed))
        return result
