"""Bradley-Terry ratings together with the effect of what else differs between two responses.

logit P(a beats b) = rating_a - rating_b + covariates @ coefficients, ties half a win. With standardised differences
of style as covariates this is style control; with a column of ones (a is shown first) it is the position effect of
a judge; with a's minus b's ownership it is self-preference.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, floats, indices, renumbered, sigmoid, totals
from evalkit.stats.battles import compress, require_connected
from evalkit.stats.bradley_terry import laplacian
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.newton import minimise
from evalkit.stats.resample import Interval, stratum_of
from evalkit.stats.sandwich import clustered_meat, contrast_interval, held_fixed, inverse

LEVELS = 1000
"""Values of one covariate up to which equal rows are looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class CovariateRatings:
    """Ratings and coefficients fitted together.

    Attributes:
        ratings: [M] logits at covariates 0, mean 0.
        coefficients: [F] logits per unit of each covariate.
        covariance: [M+F, M+F] sandwich covariance of ratings and coefficients, clustered by question where clusters
            were given; None for a single cluster.
        covariance_unclustered: [M+F, M+F] the same with every battle independent, for comparison only.
        n: Battles.
        clusters: Questions, None where battles were taken as independent.
        ridge: Penalty on the coefficients (0: plain maximum likelihood).
        ridge_ratings: Penalty on the ratings.
        iterations: Newton steps.
        tolerance: Largest last step allowed, in logits.
        strata: Categories held fixed behind the covariance; 1: questions vary as a whole.
    """

    ratings: FloatArray
    coefficients: FloatArray
    covariance: FloatArray | None
    covariance_unclustered: FloatArray
    n: int
    clusters: int | None
    ridge: float
    ridge_ratings: float
    iterations: int
    tolerance: float
    strata: int = 1

    def coefficient(self, index: int, *, level: float = 0.95) -> Interval:
        """One coefficient, in logits per unit of its covariate."""
        return self._interval([(self.ratings.size + index, 1.0)], level)

    def difference(self, a: int, b: int, *, level: float = 0.95) -> Interval:
        """Rating of a minus rating of b at equal covariates, in logits."""
        return self._interval([(a, 1.0), (b, -1.0)], level)

    def contrast(self, contrast: FloatArray, *, level: float = 0.95) -> Interval:
        """Linear combination [M] of ratings at equal covariates, by the sandwich covariance."""
        return self._interval(list(enumerate(contrast.tolist())), level)

    def _interval(self, terms: list[tuple[int, float]], level: float) -> Interval:
        estimates = np.concatenate([self.ratings, self.coefficients])
        contrast = np.zeros(estimates.size)
        for position, weight in terms:
            contrast[position] += weight
        return contrast_interval(
            estimates, self.covariance, contrast, n=self.n, clusters=self.clusters, level=level, strata=self.strata
        )


@dataclass(frozen=True, slots=True, eq=False)
class _CovariateRows:
    """Battles as rows: the penalised logistic loss and its derivatives."""

    a: IntArray
    b: IntArray
    outcome: FloatArray
    covariates: FloatArray
    weights: FloatArray
    models: int
    ridge: float
    ridge_ratings: float

    def residual(self, x: FloatArray) -> FloatArray:
        """[N] outcome minus its expectation at parameters [M+F]."""
        ratings, coefficients = x[: self.models], x[self.models :]
        return self.outcome - sigmoid(ratings[self.a] - ratings[self.b] + self.covariates @ coefficients)

    def derivatives(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient [M+F] and Hessian [M+F, M+F] of the loss, anchored at mean rating 0."""
        size, rows = self.models, self.covariates
        residual = self.residual(x)
        p = self.outcome - residual
        score, curve = self.weights * residual, self.weights * p * (1 - p)
        penalty = np.full(x.size, self.ridge)
        penalty[:size] = self.ridge_ratings
        gradient = penalty * x
        gradient[:size] += totals(self.b, score, size) - totals(self.a, score, size)
        gradient[size:] -= rows.T @ score
        ratings = laplacian(self.a, self.b, curve, size)
        hessian = np.diag(penalty)
        hessian[:size, :size] += ratings + (np.trace(ratings) + self.ridge_ratings) / size**2
        weighted = rows * curve[:, None]
        hessian[size:, size:] += rows.T @ weighted
        for column, values in enumerate(weighted.T, start=size):
            cross = totals(self.a, values, size) - totals(self.b, values, size)
            hessian[:size, column] = hessian[column, :size] = cross
        return gradient, hessian

    def reach(self, _: FloatArray, step: FloatArray) -> float:
        """Largest move of a logit by a step [M+F]."""
        size = self.models
        return float(np.abs(step[self.a] - step[self.b] + self.covariates @ step[size:]).max())


def rate_with_covariates(
    a: IntArray,
    b: IntArray,
    outcome: FloatArray,
    covariates: FloatArray,
    *,
    models: int,
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    weights: FloatArray | None = None,
    ridge: float = 0.0,
    ridge_ratings: float = 0.0,
    tolerance: float = 1e-9,
    max_iterations: int = 100,
) -> CovariateRatings:
    """Maximum-likelihood ratings and coefficients by Newton's method.

    Args:
        a: [N] index of the first model.
        b: [N] index of the second model.
        outcome: [N] score of the first model: 1 won, 0 lost, .5 tied, or a soft preference in [0, 1].
        covariates: [N, F] what speaks for the first model; swapping a and b must flip its sign (a column of ones,
            "shown first", means that a row is not to be swapped).
        models: Number of models M.
        clusters: [N] question of each battle, whole numbers from 0.
        strata: [N] category of each battle's question, where the benchmark fixes the categories; needs `clusters`.
        weights: [N] positive weight of each battle; 1 if not given.
        ridge: Adds `ridge / 2 * sum(coefficients ** 2)` to the negative log likelihood.
        ridge_ratings: Adds `ridge_ratings / 2 * sum(ratings ** 2)`.
        tolerance: Largest last Newton step.
        max_iterations: Newton steps before giving up.

    Raises:
        Disconnected: If `ridge_ratings` is 0 and no finite ratings exist.
        NotMeasurable: If covariates are collinear with each other or with the models, or there are no battles.
        NotConverged: If the fit does not reach the tolerance, as when a covariate predicts every outcome.
        ValueError: On input out of range or not finite.
    """
    battles = compress(a, b, outcome, models=models)  # checks the input
    if strata is not None and clusters is None:
        raise ValueError("strata are categories of questions: they need clusters")
    by_question = None if strata is None or clusters is None else stratum_of(strata, clusters)
    if ridge_ratings == 0:
        require_connected(battles)
    if ridge < 0 or ridge_ratings < 0:
        raise ValueError(f"ridge must not be negative but is {min(ridge, ridge_ratings)}")
    x_rows = floats(covariates, "covariates", ndim=2)
    n = battles.n
    if len(x_rows) != n:
        raise ValueError(f"covariates must have {n} rows but has {len(x_rows)}")
    mass = np.ones(n) if weights is None else floats(weights, "weights")
    if mass.size != n or mass.min() <= 0:
        raise ValueError("weights must be positive, one a battle")
    rows = _CovariateRows(
        indices(a, "a"), indices(b, "b"), floats(outcome, "outcome"), x_rows, mass, models, ridge, ridge_ratings
    )
    cells, cell = _merged(rows)
    _require_identified(cells)
    x, iterations = minimise(
        cells.derivatives,
        np.zeros(models + x_rows.shape[1]),
        what="Bradley-Terry fit with covariates",
        reach=cells.reach,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    parameters = np.concatenate([x[:models] - x[:models].mean(), x[models:]])
    covariance, unclustered, used = _covariances(rows, cells, cell, parameters, clusters, by_question)
    return CovariateRatings(
        parameters[:models],
        parameters[models:],
        covariance,
        unclustered,
        n,
        used,
        ridge,
        ridge_ratings,
        iterations,
        tolerance,
        held_fixed(None if by_question is None else by_question[np.unique(np.asarray(clusters))]),
    )


def _merged(rows: _CovariateRows) -> tuple[_CovariateRows, IntArray]:
    """Rows of the same models and covariates as one, of their weight and mean outcome: the loss is the same.

    Returns:
        The merged rows, and [N] which of them each row is in; all rows as they are where few are alike.
    """
    n = rows.outcome.size
    apart = rows, np.arange(n)
    key, space = rows.a * rows.models + rows.b, rows.models**2
    for column in rows.covariates.T:
        if np.unique(column[: 10 * LEVELS]).size > LEVELS or (levels := np.unique(column)).size > LEVELS:
            return apart
        space *= levels.size
        if space >= 1 << 62:
            return apart
        key = key * levels.size + np.searchsorted(levels, column)
    distinct, cell = renumbered(key)
    if distinct.size > n // 2:
        return apart
    one = np.zeros(distinct.size, dtype=np.int64)
    one[cell] = np.arange(n)  # any of them
    mass = totals(cell, rows.weights, distinct.size)
    outcome = totals(cell, rows.weights * rows.outcome, distinct.size) / mass
    merged = _CovariateRows(
        rows.a[one], rows.b[one], outcome, rows.covariates[one], mass, rows.models, rows.ridge, rows.ridge_ratings
    )
    return merged, cell


def _require_identified(rows: _CovariateRows) -> None:
    """Refuse covariates that some combination of models and other covariates reproduces."""
    if rows.ridge > 0:
        return
    start = np.zeros(rows.models + rows.covariates.shape[1])
    hessian = rows.derivatives(start)[1]
    scale = np.sqrt(np.diag(hessian))
    if (scale == 0).any() or np.linalg.cond(hessian / np.outer(scale, scale)) > 1e12:
        raise NotMeasurable(
            "needs covariates that vary and that neither each other nor the models reproduce (collinear)"
        )


def _covariances(
    rows: _CovariateRows,
    cells: _CovariateRows,
    cell: IntArray,
    x: FloatArray,
    clusters: IntArray | None,
    strata: IntArray | None,
) -> tuple[FloatArray | None, FloatArray, int | None]:
    """Sandwich by question, sandwich by battle, and the number of questions; from the rows and the merged ones."""
    size, n = rows.models, rows.outcome.size
    centre = np.eye(x.size)
    centre[:size, :size] -= 1 / size
    bread = centre @ inverse(cells.derivatives(x)[1], "Bradley-Terry fit with covariates") @ centre
    score = rows.weights * (rows.outcome - (cells.outcome - cells.residual(x))[cell])
    squares = totals(cell, score**2, cells.outcome.size)
    weighted = cells.covariates * squares[:, None]
    square = np.zeros((x.size, x.size))
    square[:size, :size] = laplacian(cells.a, cells.b, squares, size)
    square[size:, size:] = cells.covariates.T @ weighted
    for column, values in enumerate(weighted.T, start=size):
        square[:size, column] = totals(cells.a, values, size) - totals(cells.b, values, size)
        square[column, :size] = square[:size, column]
    unclustered = bread @ square @ bread
    if clusters is None:
        return unclustered, unclustered, None
    used, cluster = renumbered(indices(clusters, "clusters", length=n))
    by_column = [(np.full(n, size + column), score * values) for column, values in enumerate(rows.covariates.T)]
    entries = [(rows.a, score), (rows.b, -score), *by_column]
    meat = clustered_meat(entries, cluster, used.size, x.size, None if strata is None else strata[used])
    return None if meat is None else bread @ meat @ bread, unclustered, int(used.size)
