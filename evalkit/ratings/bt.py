"""Bradley-Terry ratings on the Elo scale, ties as half a win and without ties side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from evalkit.core.protocols import UsageError
from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.differences import ModelDifferences, of_pairs
from evalkit.ratings.links import connected, linked, not_rated, rows_of
from evalkit.ratings.standing import Standing, TableInfo, count_outcomes, how_drawn, with_differences, with_info

if TYPE_CHECKING:
    from evalkit.ratings.links import LinkedComparisons
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.resample import Interval

Ties = Literal["half", "davidson", "rao_kupper", "drop"]
"""What a tie is: half a win each; an outcome of its own (Davidson 1970; Rao & Kupper 1967); or left out."""

STYLE_FEATURES = ("length", "headers", "lists", "bold")


@dataclass(frozen=True)
class BradleyTerryRatings:
    """Maximum-likelihood ratings with question-clustered intervals; 400 points are odds of 10, the mean is 1000."""

    ties: Ties = "half"
    style: bool = False
    """Also ratings at equal style, from the style columns of the table."""

    name = "bt"

    def rate(self, table: Comparisons) -> list[Standing]:
        """Ratings of the models that the comparisons link; a note names those they do not."""
        import numpy as np

        standings = count_outcomes(table, self.name)
        decided = np.flatnonzero(table.outcome != 0.5)
        everything = None if self.ties != "drop" else decided
        main = fit_ratings(table, everything, self.ties)
        notes = list(main.notes)
        estimates: list[tuple[str, FittedRatings | None]] = [("rating", main)]
        if self.ties != "drop":
            estimates.append(("rating_without_ties", self._without_ties(table, decided, main, notes)))
        controlled = self._style_controlled(table, notes) if self.style else None
        if self.style:
            estimates.append(("rating_style_controlled", controlled))
        rated = [
            replace(
                standing,
                estimates={name: fit.interval(standing.model) if fit else None for name, fit in estimates},
                columns={},
            )
            for standing in standings
        ]
        ranked = _ranked(with_info(rated, TableInfo()), main, notes)
        notes += how_drawn(table, within=True)
        return [
            replace(
                row,
                about=replace(
                    row.about,
                    notes=tuple(dict.fromkeys(notes)),
                    tie=getattr(main.fit, "tie", None),
                    coefficients=controlled.coefficients if controlled else {},
                ),
            )
            for row in ranked
        ]

    def _without_ties(
        self, table: Comparisons, decided: IntArray, main: FittedRatings, notes: list[str]
    ) -> FittedRatings | None:
        from evalkit.stats.errors import StatisticsError

        if decided.size == len(table) and self.ties == "half":
            return main
        try:
            fit = fit_ratings(table, decided, "half")
        except StatisticsError as error:
            notes.append(f"not rated without ties: {_reason(error)}")
            return None
        notes.extend(f"without ties, {note}" for note in fit.notes if note not in main.notes)
        return fit

    def _style_controlled(self, table: Comparisons, notes: list[str]) -> FittedRatings | None:
        from evalkit.stats.errors import StatisticsError

        try:
            return _fit_style(table, notes)
        except StatisticsError as error:
            notes.append(f"not rated at equal style: {_reason(error)}")
            return None


@dataclass(frozen=True, eq=False)
class FittedRatings:
    """Ratings of some of a table's models."""

    models: tuple[str, ...]
    fit: Any
    """BradleyTerry, TieRatings or CovariateRatings: logits and their covariance."""
    notes: tuple[str, ...] = ()
    coefficients: dict[str, Interval] = field(default_factory=dict)

    def logit(self, model: str) -> Interval:
        """Rating in logits, against the mean of all."""
        return self._contrast({model: 1.0})

    def interval(self, model: str) -> Interval | None:
        """Rating on the Elo scale, against the mean of all; None if the model is not among them."""
        from evalkit.stats.bradley_terry import ELO_PER_LOGIT

        if model not in self.models:
            return None
        return self.logit(model).affine(float(ELO_PER_LOGIT), 1000.0)

    def lead(self, model: str, other: str) -> Interval:
        """Rating of one minus rating of the other, on the Elo scale."""
        from evalkit.stats.bradley_terry import ELO_PER_LOGIT

        return self._contrast({model: 1.0, other: -1.0}).affine(float(ELO_PER_LOGIT))

    def differences(self, order: Sequence[str]) -> ModelDifferences | None:
        """Every pair of models of this order on the Elo scale; None where there are fewer than two."""
        import numpy as np

        from evalkit.stats.bradley_terry import ELO_PER_LOGIT
        from evalkit.stats.paired_differences import differences_of_estimates

        if len(order) < 2:
            return None
        place = [self.models.index(name) for name in order]
        covariance = None if self.fit.covariance is None else self.fit.covariance[np.ix_(place, place)]
        clusters, fixed = self.fit.n if self.fit.clusters is None else self.fit.clusters, self.fit.strata
        found = differences_of_estimates(
            self.fit.ratings[place] * ELO_PER_LOGIT,
            None if covariance is None else covariance * ELO_PER_LOGIT**2,
            clusters=clusters,
            n=self.fit.n,
            degrees=None if fixed == 1 else np.full(len(order), max(1.0, clusters - fixed)),
        )
        return of_pairs(found, order)

    def _contrast(self, weights: dict[str, float]) -> Interval:
        import numpy as np

        from evalkit.stats.bounded import FEWEST

        contrast = np.zeros(len(self.models))
        for model, weight in weights.items():
            contrast[self.models.index(model)] = weight
        found: Interval = self.fit.contrast(contrast)
        if found.limited and found.clusters < FEWEST:
            reason = f"needs at least {FEWEST} questions"
            return replace(found, lower=None, upper=None, standard_error=None, reason=reason)
        return found


def fit_ratings(table: Comparisons, keep: IntArray | None = None, ties: Ties = "half") -> FittedRatings:
    """Rate all models, or the largest group of them that has finite ratings, for a leaderboard as for an audit.

    Args:
        table: comparisons of one judge.
        keep: positions of the comparisons to use; None: all.
        ties: what a tie is.

    Raises:
        StatisticsError: there is no fit, or nothing to fit; the message says what is missing.
    """
    from evalkit.stats.battles import Disconnected, compress
    from evalkit.stats.bradley_terry import bradley_terry
    from evalkit.stats.errors import NotConverged, NotMeasurable
    from evalkit.stats.ties import davidson, rao_kupper

    if ties in ("davidson", "rao_kupper"):
        _require_verdicts(table, ties)
    method = {"davidson": davidson, "rao_kupper": rao_kupper}.get(ties, bradley_terry)

    def fitted(rows: LinkedComparisons) -> Any:
        battles = compress(
            rows.a, rows.b, rows.outcome, models=len(rows.models), clusters=rows.units, weights=rows.weights,
            strata=rows.strata,
        )  # fmt: skip
        try:
            return method(battles)
        except NotConverged as error:
            if ties not in ("davidson", "rao_kupper"):
                raise
            words = f"needs more outright wins and losses: {error}. --ties half rates ties as half a win each"
            raise NotMeasurable(words) from error

    rows = rows_of(table, keep)
    try:
        return FittedRatings(rows.models, fitted(rows))
    except Disconnected as error:
        inner = rows.among(linked(error, rows.models))
        note = not_rated(error, rows.models)
    return FittedRatings(inner.models, fitted(inner), (note,))


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error))


def _require_verdicts(table: Comparisons, ties: str) -> None:
    import numpy as np

    soft = np.flatnonzero(~np.isin(table.outcome, (0.0, 0.5, 1.0)))
    if soft.size:
        raise UsageError(
            f"--ties {ties} takes wins, losses and ties, but {soft.size} of {len(table)} comparisons by "
            f"{table.judge!r} come to something between, such as {table.outcome[soft[0]]:g}; add --aggregate "
            "consistent or --aggregate probability"
        )


def _ranked(standings: list[Standing], main: FittedRatings, notes: list[str]) -> list[Standing]:
    """Add ranks, the ranks that the data do not rule out, and the lead over the next model."""
    result = []
    for place, standing in enumerate(standings):
        after = standings[place + 1] if place + 1 < len(standings) else None
        both = after is not None and standing.main is not None and after.main is not None
        lead = main.lead(standing.model, after.model) if both and after is not None else None
        result.append(replace(standing, estimates=standing.estimates | {"lead": lead}))
    found = main.differences([row.model for row in standings if row.main is not None])
    ranked = with_differences(result, found)
    if ranked and ranked[0].about.separability is None:
        reason = next((pair.interval.reason for pair in found.pairs if pair.interval), None) if found else None
        notes.append(f"no range of ranks: {reason or 'needs at least 2 models'}")
    return ranked


def _usable(more: FloatArray, won: FloatArray, notes: list[str]) -> IntArray:
    """Features whose effect is finite: of answers that differ in one, those with more of it both win and lose."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable

    result = []
    for place, name in enumerate(STYLE_FEATURES):
        apart = np.flatnonzero(more[:, place])
        ways = set((more[apart, place] * won[apart]).tolist())
        if not apart.size:
            notes.append(f"style control without {name}: no two compared answers differ in it")
        elif ways in ({1.0}, {-1.0}):
            word = "won" if ways == {1.0} else "lost"
            notes.append(
                f"style control without {name}: the answer with more {word} all {apart.size} comparisons that differ"
            )
        else:
            result.append(place)
    if not result:
        raise NotMeasurable("needs compared answers that differ in length or markdown")
    return np.array(result, dtype=np.int64)


def _fit_style(table: Comparisons, notes: list[str]) -> FittedRatings:
    """Ratings at equal style, from the comparisons whose two texts are known."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.style_control import style_controlled_ratings

    if table.style_a is None or table.style_b is None:
        raise NotMeasurable("needs the texts of the answers, beside the judgments in answers/")
    known = np.flatnonzero(~np.isnan(table.style_a + table.style_b).any(axis=1))
    if known.size == 0:
        raise NotMeasurable("needs the texts of the answers, beside the judgments in answers/; none was found")
    if known.size < len(table):
        notes.append(
            f"style control leaves out {len(table) - known.size} of {len(table)} comparisons: no text of an answer"
        )
    differ = _usable(np.sign(table.style_a[known] - table.style_b[known]), np.sign(table.outcome[known] - 0.5), notes)
    rows = connected(rows_of(table, known))
    kept = rows.places
    fit = style_controlled_ratings(
        rows.a,
        rows.b,
        rows.outcome,
        table.style_a[np.ix_(kept, differ)],
        table.style_b[np.ix_(kept, differ)],
        models=len(rows.models),
        clusters=rows.units,
        strata=rows.strata,
        weights=rows.weights,
    )
    effects = {STYLE_FEATURES[i]: fit.coefficient(k) for k, i in enumerate(differ)}
    return FittedRatings(rows.models, fit, coefficients=effects)
