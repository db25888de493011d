"""Bradley-Terry ratings by maximum likelihood, with question-clustered standard errors.

P(a beats b) = 1 / (1 + exp(-(rating_a - rating_b))); a tie is half a win, a soft preference p is p of a win
(Bradley & Terry 1952; Chiang et al. 2024, arXiv:2403.04132, section 4.1). Ratings are logits with mean 0.
No prior is added unless `ridge` asks for one.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, renumbered, sigmoid, totals
from evalkit.stats.battles import Battles, require_connected
from evalkit.stats.newton import minimise
from evalkit.stats.resample import Interval
from evalkit.stats.sandwich import clustered_meat, contrast_interval, floored_covariance, held_fixed, inverse

ELO_PER_LOGIT = 400 / np.log(10)


@dataclass(frozen=True, slots=True, eq=False)
class BradleyTerry:
    """Ratings fitted by maximum likelihood.

    Attributes:
        ratings: [M] logits, mean 0.
        covariance: [M, M] sandwich covariance of the ratings, clustered by question where the battles have
            clusters; None for a single cluster, which identifies no variance.
        covariance_unclustered: [M, M] the same with every battle independent, for comparison only.
        won: [M] wins that each rating rests on, as many as if all battles were independent; ties half.
        lost: [M] losses, likewise.
        n: Battles.
        clusters: Questions, None where battles were taken as independent.
        ridge: Penalty that was added (0: plain maximum likelihood). Above 0 the ratings are shrunk.
        iterations: Newton steps.
        tolerance: Largest last step allowed, in logits.
        strata: Categories held fixed behind the covariance; 1: questions vary as a whole.
    """

    ratings: FloatArray
    covariance: FloatArray | None
    covariance_unclustered: FloatArray
    won: FloatArray
    lost: FloatArray
    n: int
    clusters: int | None
    ridge: float
    iterations: int
    tolerance: float
    strata: int = 1

    def elo(self, *, scale: float = 400.0, base: float = 10.0, origin: float = 1000.0) -> FloatArray:
        """[M] ratings on the Elo scale: `scale` points are odds of `base`, the mean is `origin`."""
        result: FloatArray = origin + self.ratings * (scale / np.log(base))
        return result

    def interval(self, model: int, *, level: float = 0.95) -> Interval:
        """Rating of a model against the mean of all, in logits."""
        contrast = np.zeros(self.ratings.size)
        contrast[model] = 1.0
        return self.contrast(contrast, level=level)

    def difference(self, a: int, b: int, *, level: float = 0.95) -> Interval:
        """Rating of a minus rating of b, in logits: the interval to read when two models are compared."""
        contrast = np.zeros(self.ratings.size)
        contrast[a] += 1.0
        contrast[b] -= 1.0
        return self.contrast(contrast, level=level)

    def contrast(self, contrast: FloatArray, *, level: float = 0.95) -> Interval:
        """Linear combination [M] of ratings, by the sandwich covariance."""
        return contrast_interval(
            self.ratings,
            self.covariance,
            contrast,
            n=self.n,
            clusters=self.clusters,
            level=level,
            strata=self.strata,
            decided=(self.won, self.lost),
        )


def bradley_terry(
    battles: Battles, *, ridge: float = 0.0, tolerance: float = 1e-10, max_iterations: int = 100
) -> BradleyTerry:
    """Maximum-likelihood ratings by Newton's method.

    Args:
        battles: Compressed battles.
        ridge: Adds `ridge / 2 * sum(ratings ** 2)` to the negative log likelihood. 0 adds nothing; a small value
            makes ratings finite where models are unbeaten or winless, at the price of shrinking all.
        tolerance: Largest last Newton step, in logits.
        max_iterations: Newton steps before giving up.

    Raises:
        Disconnected: If `ridge` is 0 and no finite ratings exist.
        NotConverged: If Newton's method does not reach the tolerance.
    """
    if ridge < 0:
        raise ValueError(f"ridge must not be negative but is {ridge}")
    if ridge == 0:
        require_connected(battles)
    pairs = pair_totals(battles)
    size = battles.models

    x, iterations = minimise(
        lambda x: loss_derivatives(pairs, x, ridge),
        np.zeros(size),
        what="Bradley-Terry fit",
        reach=lambda _, step: float(np.ptp(step)),
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    ratings = x - x.mean()
    bread = bread_of(loss_derivatives(pairs, ratings, ridge)[1])
    residual = battles.outcome - sigmoid(ratings[battles.a] - ratings[battles.b])
    score = battles.mass * residual
    independent = laplacian(battles.a, battles.b, battles.count * (battles.weight * residual) ** 2, size)
    unclustered = bread @ independent @ bread
    covariance: FloatArray | None = unclustered
    clusters, strata = None, 1
    if battles.clusters is not None:
        used = renumbered(battles.cluster)[0]
        clusters = used.size
        strata = held_fixed(None if battles.strata is None else battles.strata[used])
        entries = [(battles.a, score), (battles.b, -score)]
        meat = clustered_meat(entries, battles.cluster, battles.clusters, size, battles.strata)
        covariance = None if meat is None else bread @ meat @ bread
    if covariance is not None:
        met = renumbered((battles.cluster * size + battles.a) * size + battles.b)[0].size
        repeats = float(battles.mass.sum()) / met if clusters is not None else 1.0
        covariance = floored_covariance(covariance, bread, repeats, battles.n if clusters is None else clusters)
    # what clustering takes from the rows
    effect = np.ones(size)
    if covariance is not None:
        effect = np.maximum(1.0, np.diag(covariance) / np.maximum(np.diag(bread), 1e-300))
    won = totals(battles.a, battles.mass * battles.outcome, size)
    won += totals(battles.b, battles.mass * (1 - battles.outcome), size)
    lost = totals(battles.a, battles.mass, size) + totals(battles.b, battles.mass, size) - won
    return BradleyTerry(
        ratings, covariance, unclustered, won / effect, lost / effect, battles.n, clusters, ridge, iterations,
        tolerance, strata,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PairTotals:
    """Battles summed by pair of models, which is all that the likelihood depends on.

    Attributes:
        a: [P] lower model index.
        b: [P] higher model index.
        of_cell: [C] pair of each cell of the battles.
        mass: [P] total weight of the pair's battles.
        surplus: [M] wins minus losses, halved: minus the gradient of the loss at equal ratings.
    """

    a: IntArray
    b: IntArray
    of_cell: IntArray
    mass: FloatArray
    surplus: FloatArray


def pair_totals(battles: Battles) -> PairTotals:
    """Sum the battles of each pair, over outcomes and questions."""
    size = battles.models
    keys, of_cell = renumbered(battles.a * size + battles.b)
    won = battles.mass * (battles.outcome - 0.5)
    surplus = totals(battles.a, won, size) - totals(battles.b, won, size)
    return PairTotals(keys // size, keys % size, of_cell, totals(of_cell, battles.mass, keys.size), surplus)


def loss_derivatives(pairs: PairTotals, ratings: FloatArray, ridge: float) -> tuple[FloatArray, FloatArray]:
    """Gradient [M] and Hessian [M, M] of the negative log likelihood, anchored so that it is not singular.

    The likelihood is flat along "all ratings + constant"; the anchor adds curvature in that direction only, in
    which the gradient is 0, so it changes neither the optimum nor the path of Newton's method.
    """
    half = 0.5 * np.tanh(0.5 * (ratings[pairs.a] - ratings[pairs.b]))  # P(a wins) - 1/2
    expected = pairs.mass * half
    size = ratings.size
    gradient = totals(pairs.a, expected, size) - totals(pairs.b, expected, size) - pairs.surplus
    hessian = laplacian(pairs.a, pairs.b, pairs.mass * (0.25 - half**2), size)
    anchor = max(np.trace(hessian), ridge) / size**2
    return gradient + ridge * ratings, hessian + ridge * np.eye(size) + anchor


def laplacian(a: IntArray, b: IntArray, weight: FloatArray, size: int) -> FloatArray:
    """[M, M] sum over pairs of weight * (e_a - e_b)(e_a - e_b)'."""
    cross = totals(a * size + b, weight, size * size).reshape(size, size)
    cross = cross + cross.T
    result: FloatArray = np.diag(cross.sum(axis=1)) - cross
    return result


def bread_of(hessian: FloatArray) -> FloatArray:
    """Inverse [M, M] of an anchored Hessian with the anchored direction (all ratings + constant) removed."""
    size = hessian.shape[0]
    centre = np.eye(size) - 1 / size
    result: FloatArray = centre @ inverse(hessian, "Bradley-Terry fit") @ centre
    return result
