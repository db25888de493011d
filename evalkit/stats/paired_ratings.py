"""Two raters of the same battles, each with Bradley-Terry ratings and covariate effects, compared with one another.

A sharper rater has larger effects of everything. So effects of two raters are compared after scaling one by
k = <theta_1, theta_2> / <theta_2, theta_2>, how much sharper the first is on the models. Both fits use the same
questions; limits of any function of both come from leaving out each question in turn (one Newton step each, as in
CR3 of Bell & McCaffrey 2002), or, where questions are many, from the delta method, which is the same then.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, sigmoid, totals
from evalkit.stats.bradley_terry import laplacian
from evalkit.stats.covariates import rate_with_covariates
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, t_quantile

MANY = 1000
"""Questions from which the delta method does."""
CELLS = 20_000_000
"""Numbers held to leave out questions exactly; beyond that, or of many questions, their own weight in the information
is neglected."""

Statistic = Callable[[FloatArray, FloatArray], float]
"""Of the parameters of both raters, each [M + F]: ratings, then coefficients."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedRatings:
    """The ratings of both raters, fitted on the same resamples.

    Attributes:
        first: [M + F] ratings and coefficients of the first rater.
        second: [M + F] of the second.
        influence: [Q, 2(M + F)] what each question adds to both fits: how they would change without it, in one Newton
            step.
        models: M.
        n: Battles of the second rater.
    """

    first: FloatArray
    second: FloatArray
    influence: FloatArray
    models: int
    n: int

    def interval(self, statistic: Statistic, *, level: float = 0.95) -> Interval:
        """A function of both fits, with its limits by the jackknife over questions.

        Raises:
            NotMeasurable: If it is not finite.
        """
        at = np.concatenate([self.first, self.second])
        half = self.first.size

        def value(x: FloatArray) -> float:
            return float(statistic(x[:half], x[half:]))

        estimate = value(at)
        questions = len(self.influence)
        if not np.isfinite(estimate):
            raise NotMeasurable("needs models that differ in rating")
        if questions < 2:
            return Interval(estimate, None, None, self.n, level, None, questions)
        if questions <= MANY:
            moves = np.array([value(at - moved) for moved in self.influence])
            moves = (moves - moves.mean()) * ((questions - 1) / questions) ** 0.5
        else:
            step = np.eye(at.size) * 1e-5
            gradient = np.array([(value(at + move) - value(at - move)) / 2e-5 for move in step])
            moves = self.influence @ gradient * (questions / (questions - 1)) ** 0.5
        free = max(questions - (half - 1), 1)  # what one fit leaves of the questions; without, 7% of unbiased judges
        error = float(np.sqrt(moves @ moves * questions / free))  # are called biased instead of 5% (simulated)
        if not np.isfinite(error):
            raise NotMeasurable("needs models that differ in rating on more questions")
        reach = t_quantile(0.5 + level / 2, questions - 1) * error
        return Interval(estimate, estimate - reach, estimate + reach, self.n, level, error, questions)

    def sharpness(self) -> Interval:
        """k: how much larger the rating differences of the first rater are."""
        return self.interval(lambda one, other: ratio(one[: self.models], other[: self.models]))

    def excess(self, coefficient: int) -> Interval:
        """A coefficient of the first rater minus k times that of the second."""
        size = self.models

        def statistic(one: FloatArray, other: FloatArray) -> float:
            return float(one[size + coefficient] - ratio(one[:size], other[:size]) * other[size + coefficient])

        return self.interval(statistic)

    def coefficient(self, index: int, *, second: bool = False) -> Interval:
        """A coefficient of one rater."""
        size = self.models
        return self.interval(lambda one, other: float((other if second else one)[size + index]))


def ratio(one: FloatArray, other: FloatArray) -> float:
    """Slope through the origin of the ratings [M] of one rater on those of another, both of mean 0."""
    one, other = one - one.mean(), other - other.mean()
    square = float(other @ other)
    return float(one @ other) / square if square > 0 else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The comparisons of one rater.

    Attributes:
        a: [N] index of the first model.
        b: [N] index of the second model.
        outcome: [N] score of a, in [0, 1].
        covariates: [N, F], as for `rate_with_covariates`; F may be 0.
        clusters: [N] question of each battle, 0..Q-1, numbered alike for both raters.
    """

    a: IntArray
    b: IntArray
    outcome: FloatArray
    covariates: FloatArray
    clusters: IntArray


def paired_ratings(first: Side, second: Side, *, models: int, ridge_ratings: float = 0.0) -> PairedRatings:
    """Fit both raters, on the same battles or at least the same questions.

    Args:
        first: what the first rater said.
        second: what the second rater said.
        models: Number of models M.
        ridge_ratings: Penalty on the ratings.

    Raises:
        Disconnected: If `ridge_ratings` is 0 and no finite ratings exist.
        NotMeasurable: If covariates are collinear.
        NotConverged: If a fit does not reach its tolerance.
    """
    questions = 1 + max(int(side.clusters.max(initial=-1)) for side in (first, second))
    parameters, moves = [], []
    for side in (first, second):
        fitted = rate_with_covariates(
            side.a, side.b, side.outcome, side.covariates, models=models, ridge_ratings=ridge_ratings
        )
        x = np.concatenate([fitted.ratings, fitted.coefficients])
        parameters.append(x)
        moves.append(_influence(side, x, models, questions, ridge_ratings))
    influence = np.hstack(moves)
    return PairedRatings(parameters[0], parameters[1], influence[influence.any(axis=1)], models, second.a.size)


def _influence(side: Side, x: FloatArray, models: int, questions: int, ridge: float) -> FloatArray:
    """[Q, M + F] score of each question times the inverse information; ratings of mean 0."""
    a, b, covariates, clusters = side.a, side.b, side.covariates, side.clusters
    size = x.size
    p = sigmoid(x[a] - x[b] + covariates @ x[models:])
    residual, curve = side.outcome - p, p * (1 - p)
    hessian = np.zeros((size, size))
    hessian[:models, :models] = laplacian(a, b, curve, models) + ridge * np.eye(models)
    score = np.zeros((questions, size))
    cells = clusters * models
    score[:, :models] = (
        totals(cells + a, residual, questions * models) - totals(cells + b, residual, questions * models)
    ).reshape(questions, models)
    for column, values in enumerate(covariates.T, start=models):
        cross = totals(a, curve * values, models) - totals(b, curve * values, models)
        hessian[:models, column] = hessian[column, :models] = cross
        hessian[column, models:] = covariates.T @ (curve * values)
        score[:, column] = totals(clusters, residual * values, questions)
    if questions > MANY or side.a.size * size * size > CELLS:
        result: FloatArray = score @ np.linalg.pinv(hessian, rcond=1e-12, hermitian=True)
        return result
    design = np.zeros((side.a.size, size))
    rows = np.arange(side.a.size)
    design[rows, a] += 1
    design[rows, b] -= 1
    design[:, models:] = covariates
    order = np.argsort(clusters, kind="stable")
    used, starts = np.unique(clusters[order], return_index=True)
    weighted = (design * curve[:, None])[order][:, :, None] * design[order][:, None, :]
    parts = np.add.reduceat(weighted, starts, axis=0)
    rest = np.linalg.pinv(hessian - parts, rcond=1e-9, hermitian=True)
    moved = np.zeros((questions, size))
    moved[used] = np.einsum("qij,qj->qi", rest, score[used])
    return moved
