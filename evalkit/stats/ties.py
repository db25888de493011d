"""Bradley-Terry models in which ties are outcomes of their own.

Davidson (1970, JASA 65:317): P(a wins) : P(b wins) : P(tie) = exp(d/2) : exp(-d/2) : v, with d the rating gap.
Rao & Kupper (1967, JASA 62:194): P(a wins) = s(d - eta), P(b wins) = s(-d - eta), the rest ties; theta = exp(eta).
Both are Bradley-Terry when nothing tied (v = 0, eta = 0).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from evalkit.stats.arrays import FloatArray, sigmoid, totals
from evalkit.stats.battles import Battles, require_connected
from evalkit.stats.bradley_terry import bradley_terry, laplacian
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.newton import minimise
from evalkit.stats.resample import Interval
from evalkit.stats.sandwich import clustered_meat, contrast_interval, held_fixed, inverse


@dataclass(frozen=True, slots=True, eq=False)
class TieRatings:
    """Fitted ratings with a tie parameter.

    Attributes:
        model: "davidson" or "rao_kupper".
        ratings: [M] logits, mean 0.
        tie: Davidson's v (0: no ties) or Rao and Kupper's theta = exp(eta) (1: no ties).
        covariance: [M, M] of the ratings, clustered by question where the battles have clusters; None for a single
            cluster.
        covariance_model: [M, M] of the ratings from the inverse Hessian: right if the model is and battles are
            independent.
        log_likelihood: At the optimum, without the multinomial constant.
        n: Battles.
        clusters: Questions, None where battles were taken as independent.
        iterations: Newton steps.
        tolerance: Largest last step allowed, in logits.
        strata: Categories held fixed behind the covariance; 1: questions vary as a whole.
    """

    model: Literal["davidson", "rao_kupper"]
    ratings: FloatArray
    tie: float
    covariance: FloatArray | None
    covariance_model: FloatArray
    log_likelihood: float
    n: int
    clusters: int | None
    iterations: int
    tolerance: float
    strata: int = 1

    def difference(self, a: int, b: int, *, level: float = 0.95) -> Interval:
        """Rating of a minus rating of b, in logits."""
        contrast = np.zeros(self.ratings.size)
        contrast[a] += 1.0
        contrast[b] -= 1.0
        return self.contrast(contrast, level=level)

    def contrast(self, contrast: FloatArray, *, level: float = 0.95) -> Interval:
        """Linear combination [M] of ratings, by the sandwich covariance."""
        return contrast_interval(
            self.ratings, self.covariance, contrast, n=self.n, clusters=self.clusters, level=level, strata=self.strata
        )


class TieTerms(NamedTuple):
    """Of each cell: log likelihood, its slopes in (gap, tie parameter), and minus its second derivatives."""

    value: FloatArray
    gap: FloatArray
    tie: FloatArray
    gap_gap: FloatArray
    gap_tie: FloatArray
    tie_tie: FloatArray


def davidson(battles: Battles, *, tolerance: float = 1e-10, max_iterations: int = 100) -> TieRatings:
    """Davidson's model by Newton's method.

    Args:
        battles: Compressed battles whose outcomes are 0, .5 or 1.
        tolerance: Largest last Newton step, in logits.
        max_iterations: Newton steps before giving up.

    Raises:
        Disconnected: If no finite ratings exist.
        NotMeasurable: If every battle tied.
        NotConverged: If Newton's method does not reach the tolerance.
        ValueError: On soft outcomes.
    """
    return _fit("davidson", battles, tolerance, max_iterations)


def rao_kupper(battles: Battles, *, tolerance: float = 1e-10, max_iterations: int = 100) -> TieRatings:
    """Rao and Kupper's model by Newton's method; arguments and errors as for `davidson`."""
    return _fit("rao_kupper", battles, tolerance, max_iterations)


def _fit(
    model: Literal["davidson", "rao_kupper"], battles: Battles, tolerance: float, max_iterations: int
) -> TieRatings:
    if not np.isin(battles.outcome, (0.0, 0.5, 1.0)).all():
        bad = battles.outcome[~np.isin(battles.outcome, (0.0, 0.5, 1.0))][0]
        raise ValueError(f"outcomes must be 0, .5 (a tie) or 1 but has {bad}; use bradley_terry for soft ones")
    tied = float(battles.mass[battles.outcome == 0.5].sum() / battles.mass.sum())
    if tied == 1:
        raise NotMeasurable("needs a battle that is not a tie")
    require_connected(battles)
    if tied == 0:
        return _without_ties(model, battles, tolerance, max_iterations)
    size = battles.models
    terms = _davidson_terms if model == "davidson" else _rao_kupper_terms

    def reach(x: FloatArray, step: FloatArray) -> float:
        moved = float(np.ptp(step[:size]) + np.abs(step[size]))
        if model == "rao_kupper":  # eta must stay positive
            moved += 2 * float(np.abs(step[size]) / x[size])
        return moved

    start = np.zeros(size + 1)
    start[size] = np.log(2 * tied / (1 - tied)) if model == "davidson" else 2 * np.arctanh(tied)
    x, iterations = minimise(
        lambda x: _derivatives(terms, battles, x),
        start,
        what=f"{model} fit",
        reach=reach,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    ratings, tie = x[:size] - x[:size].mean(), float(np.exp(x[size]))
    cell = terms(battles, ratings, x[size])
    bread = inverse(_derivatives(terms, battles, x)[1], f"{model} fit")
    centre = np.eye(size + 1)
    centre[:size, :size] -= 1 / size
    bread = centre @ bread @ centre
    meat, clusters, strata = _meat(battles, cell)
    return TieRatings(
        model,
        ratings,
        tie,
        None if meat is None else (bread @ meat @ bread)[:size, :size],
        bread[:size, :size],
        float(battles.mass @ cell.value),
        battles.n,
        clusters,
        iterations,
        tolerance,
        strata,
    )


def _meat(battles: Battles, cell: TieTerms) -> tuple[FloatArray | None, int | None, int]:
    """Clustered meat [M+1, M+1], the numbers of questions and of fixed categories; without clusters, by battle."""
    size, cells = battles.models, np.arange(battles.count.size)
    tie = np.full(cells.size, size)
    if battles.clusters is None:
        mass = battles.weight * np.sqrt(battles.count)
        entries = [(battles.a, mass * cell.gap), (battles.b, -mass * cell.gap), (tie, mass * cell.tie)]
        meat = clustered_meat(entries, cells, cells.size, size + 1)
        return None if meat is None else meat * (1 - 1 / cells.size), None, 1
    mass = battles.mass
    entries = [(battles.a, mass * cell.gap), (battles.b, -mass * cell.gap), (tie, mass * cell.tie)]
    meat = clustered_meat(entries, battles.cluster, battles.clusters, size + 1, battles.strata)
    used = np.unique(battles.cluster)
    return meat, int(used.size), held_fixed(None if battles.strata is None else battles.strata[used])


def _without_ties(
    model: Literal["davidson", "rao_kupper"], battles: Battles, tolerance: float, max_iterations: int
) -> TieRatings:
    fit = bradley_terry(battles, tolerance=tolerance, max_iterations=max_iterations)
    p = sigmoid(fit.ratings[battles.a] - fit.ratings[battles.b])
    likelihood = battles.mass @ np.log(np.where(battles.outcome == 1, p, 1 - p))
    hessian = laplacian(battles.a, battles.b, battles.mass * p * (1 - p), battles.models)
    return TieRatings(
        model,
        fit.ratings,
        0.0 if model == "davidson" else 1.0,
        fit.covariance,
        np.linalg.pinv(hessian, hermitian=True).astype(np.float64, copy=False),
        float(likelihood),
        fit.n,
        fit.clusters,
        fit.iterations,
        tolerance,
        fit.strata,
    )


def _derivatives(
    terms: Callable[[Battles, FloatArray, float], TieTerms], battles: Battles, x: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gradient [M+1] and Hessian [M+1, M+1] of the negative log likelihood, anchored at mean 0."""
    size = battles.models
    cell = terms(battles, x[:size], x[size])
    mass, a, b = battles.mass, battles.a, battles.b
    gradient = np.empty(size + 1)
    gradient[:size] = totals(b, mass * cell.gap, size) - totals(a, mass * cell.gap, size)
    gradient[size] = -(mass @ cell.tie)
    cross = totals(a, mass * cell.gap_tie, size) - totals(b, mass * cell.gap_tie, size)
    ratings = laplacian(a, b, mass * cell.gap_gap, size)
    hessian = np.empty((size + 1, size + 1))
    hessian[:size, :size] = ratings + np.trace(ratings) / size**2
    hessian[:size, size] = hessian[size, :size] = cross
    hessian[size, size] = mass @ cell.tie_tie
    return gradient, hessian


def _davidson_terms(battles: Battles, ratings: FloatArray, log_v: float) -> TieTerms:
    half = 0.5 * (ratings[battles.a] - ratings[battles.b])
    log_total = np.logaddexp(np.logaddexp(half, -half), log_v)
    win, loss, tie = np.exp(half - log_total), np.exp(-half - log_total), np.exp(log_v - log_total)
    tied = battles.outcome == 0.5
    balance = 2 * battles.outcome - 1
    return TieTerms(
        value=np.where(tied, log_v, balance * half) - log_total,
        gap=0.5 * (balance - (win - loss)),
        tie=tied - tie,
        gap_gap=0.25 * (win + loss - (win - loss) ** 2),
        gap_tie=-0.5 * tie * (win - loss),
        tie_tie=tie * (1 - tie),
    )


def _rao_kupper_terms(battles: Battles, ratings: FloatArray, eta: float) -> TieTerms:
    return rao_kupper_terms(ratings[battles.a] - ratings[battles.b], battles.outcome, eta)


def rao_kupper_terms(gap: FloatArray, outcome: FloatArray, eta: float) -> TieTerms:
    """Likelihood terms of Rao and Kupper's model for gaps [N] in logits and outcomes [N] of 0, .5 or 1; eta > 0.

    A tie has P = (exp(2 eta) - 1) P(a wins) P(b wins): it counts as a win of both, times that factor.
    """
    win, loss = sigmoid(gap - eta), sigmoid(-gap - eta)
    tied = outcome == 0.5
    won, lost = outcome >= 0.5, outcome <= 0.5
    log_win, log_loss = -np.logaddexp(0, eta - gap), -np.logaddexp(0, eta + gap)
    curve_win, curve_loss = won * win * (1 - win), lost * loss * (1 - loss)
    return TieTerms(
        value=won * log_win + lost * log_loss + tied * np.log(np.expm1(2 * eta)),
        gap=won * (1 - win) - lost * (1 - loss),
        tie=tied * 2 / -np.expm1(-2 * eta) - won * (1 - win) - lost * (1 - loss),
        gap_gap=curve_win + curve_loss,
        gap_tie=-curve_win + curve_loss,
        tie_tie=tied / np.sinh(eta) ** 2 + curve_win + curve_loss,
    )
