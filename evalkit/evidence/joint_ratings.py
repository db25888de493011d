"""Fits of ability together with what else moves a judge: models renumbered, hopeless cases told apart from errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.covariates import CovariateRatings
    from evalkit.stats.paired_ratings import PairedRatings
    from evalkit.stats.resample import Interval

T = TypeVar("T")

RIDGE = 0.5
"""Penalty on ratings where a model won or lost everything: about one tie against the average model."""
SEPARATED = "needs models that each win and lose some; one wins or loses all, and that hides what else moves the judge"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Ratings of a fit beside the models they rate."""

    ratings: CovariateRatings
    used: IntArray
    """[M] codes of the models, in the order of the ratings."""
    ridge: float


@dataclass(frozen=True, eq=False)
class ComparedRows:
    """Comparisons by one rater: codes of models, outcome of a, question, and covariates [N, F]."""

    a: IntArray
    b: IntArray
    outcome: FloatArray
    question: IntArray
    covariates: FloatArray


@dataclass(frozen=True, eq=False)
class FittedTwice:
    """Ratings of the same models by two raters."""

    both: PairedRatings
    used: IntArray
    ridge: float


def fit(
    a: IntArray,
    b: IntArray,
    outcome: FloatArray,
    covariates: FloatArray,
    question: IntArray,
    *,
    penalise: bool = True,
) -> Fitted:
    """Bradley-Terry with covariates [N, F], clustered by question; a little penalised only where it must be.

    A penalty shrinks abilities, and covariates that differ between models, such as length, then stand in for them:
    without ``penalise`` there is no fit where one would be needed.

    Raises:
        StatisticsError: the covariates are not identified, or there is no fit.
    """
    import numpy as np

    from evalkit.stats.arrays import renumbered
    from evalkit.stats.covariates import rate_with_covariates

    used, codes = renumbered(np.concatenate([a, b]))
    first, second = codes[: a.size], codes[a.size :]
    cluster = renumbered(question)[1]

    def rated(ridge: float) -> Fitted:
        ratings = rate_with_covariates(
            first, second, outcome, covariates, models=used.size, clusters=cluster, ridge_ratings=ridge
        )
        return Fitted(ratings, used, ridge)

    return _penalised_where_needed(rated, penalise=penalise)


def fit_twice(judge: ComparedRows, people: ComparedRows, *, penalise: bool = True) -> FittedTwice:
    """Fit one model to a judge's and to people's verdicts; ``penalise`` as in ``fit``.

    Raises:
        StatisticsError: the covariates are not identified, or there is no fit.
    """
    import numpy as np

    from evalkit.stats.arrays import renumbered
    from evalkit.stats.paired_ratings import Side, paired_ratings

    sides = (judge, people)
    models = renumbered(np.concatenate([*(side.a for side in sides), *(side.b for side in sides)]))
    questions = renumbered(np.concatenate([side.question for side in sides]))[1]
    n, m = judge.a.size, people.a.size
    first, second = np.split(models[1][: n + m], [n]), np.split(models[1][n + m :], [n])
    clusters = np.split(questions, [n])
    ready = [Side(first[at], second[at], side.outcome, side.covariates, clusters[at]) for at, side in enumerate(sides)]

    def rated(ridge: float) -> FittedTwice:
        both = paired_ratings(ready[0], ready[1], models=models[0].size, ridge_ratings=ridge)
        return FittedTwice(both, models[0], ridge)

    return _penalised_where_needed(rated, penalise=penalise)


def _penalised_where_needed(rated: Callable[[float], T], *, penalise: bool) -> T:
    """The fit without a penalty; with one, or not at all, where a model won or lost everything."""
    from evalkit.stats.battles import Disconnected
    from evalkit.stats.errors import NotMeasurable

    try:
        return rated(0.0)
    except Disconnected:
        if not penalise:
            raise NotMeasurable(SEPARATED) from None
    return rated(RIDGE)


def ranked_alike(sharpness: Interval, models: str = "the models") -> Interval:
    """The sharpness k, how much larger the judge's differences between models are than people's, if it is one.

    A judge that ranks at random, or the other way round, is not a sharper or blunter rater of the same thing: effects
    that are scaled as if it were mean nothing.

    Args:
        sharpness: with its limits.
        models: which it is of, in words.

    Raises:
        NotMeasurable: k is not clearly above 0.
    """
    from evalkit.stats.errors import NotMeasurable

    k, low, high = sharpness.estimate, sharpness.lower, sharpness.upper
    needs = f"needs people and judge to rank {models} alike beyond chance"
    if low is None or high is None:
        raise NotMeasurable(f"{needs}, which a single question cannot show")
    if not low > 0:
        raise NotMeasurable(f"{needs}: the judge's gaps are {k:.2f} times people's (95% {low:.2f} to {high:.2f})")
    return sharpness


def rows(
    a: IntArray, b: IntArray, outcome: FloatArray, question: IntArray, covariates: FloatArray | None = None
) -> ComparedRows:
    """Comparisons, without covariates unless given."""
    import numpy as np

    return ComparedRows(a, b, outcome, question, np.zeros((a.size, 0)) if covariates is None else covariates)
