"""L1-penalised logistic regression with a few coefficients, soft labels, and a cross-validated penalty.

Minimises sum |w_k| + C * sum_i weight_i * (log(1 + exp(z_i)) - y_i z_i), z = features @ w, without intercept: the
objective of LIBLINEAR's L1R_LR (Fan et al. 2008, JMLR 9:1871), where a soft label y is the same as two rows with
labels 1 and 0 and weights y and 1 - y. Many problems that differ in their row weights are solved at a time.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
from evalkit.stats.errors import NotConverged, NotMeasurable

OPTIMAL = 1e-9  # slope, of a penalty of 1, at which a coefficient is where it belongs, however far flat curves reach
RIDGE = 1e-10  # of Newton steps only: it bends their way, and not where they end
STRENGTHS = np.logspace(-4, 4, 10)  # scikit-learn's LogisticRegressionCV(Cs=10)


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidated:
    """Fits at the penalty that predicts held-out rows best.

    Attributes:
        coefficients: [R, K] of the refit on all rows.
        strength: [R] chosen C, the inverse penalty.
        iterations: Newton steps, all paths together.
    """

    coefficients: FloatArray
    strength: FloatArray
    iterations: int


def cross_validate(
    features: FloatArray,
    labels: FloatArray,
    weights: FloatArray,
    copies: FloatArray,
    fold: IntArray,
    *,
    strengths: FloatArray = STRENGTHS,
    tolerance: float = 1e-7,
) -> CrossValidated:
    """Choose C by mean held-out log likelihood over folds, then refit on all rows.

    Args:
        features: [N, K] design matrix.
        labels: [N] soft labels in [0, 1].
        weights: [N] row weights.
        copies: [R, N] how often each row occurs in each problem.
        fold: [N] fold of each row, 0..F-1.
        strengths: [S] values of C to try, ascending.
        tolerance: Largest last Newton step of a coefficient.

    Raises:
        NotConverged: If a fit does not reach the tolerance.
        NotMeasurable: If a fold of some problem is empty.
    """
    folds = int(fold.max()) + 1
    held_out = fold == np.arange(folds)[:, None]
    problems, rows = copies.shape
    tests = copies[:, None, :] * held_out
    sizes = tests.sum(axis=2)
    if (sizes == 0).any():
        raise NotMeasurable(f"needs rows in each of {folds} folds")
    training = (copies[:, None, :] * ~held_out * weights).reshape(-1, rows)
    tests = tests * weights
    start = np.zeros((problems * folds, features.shape[1]))
    scores = np.empty((problems, strengths.size))
    path = np.empty((strengths.size, *start.shape))
    steps = 0
    for position, strength in enumerate(strengths):
        start, taken = solve(features, labels, training * strength, start, tolerance=tolerance)
        path[position] = start
        steps += taken
        z = (start @ features.T).reshape(tests.shape)
        likelihood = labels * z - np.logaddexp(0, z)
        scores[:, position] = ((tests * likelihood).sum(axis=2) / sizes).mean(axis=1)
    best = scores.argmax(axis=1)
    chosen = strengths[best]
    first = path.reshape(strengths.size, problems, folds, -1)[best, np.arange(problems)].mean(axis=1)
    coefficients, taken = solve(features, labels, copies * weights * chosen[:, None], first, tolerance=tolerance)
    return CrossValidated(coefficients, chosen, steps + taken)


def solve(
    features: FloatArray,
    labels: FloatArray,
    weights: FloatArray,
    start: FloatArray,
    *,
    tolerance: float = 1e-7,
    max_iterations: int = 5000,
) -> tuple[FloatArray, int]:
    """Minimise sum |w| plus the weighted logistic loss, by damped Newton steps inside the orthant of w.

    A coefficient at 0 stays there while its slope is within the penalty; where one reaches 0, the whole step ends.

    Args:
        features: [N, K] design matrix.
        labels: [N] soft labels in [0, 1].
        weights: [R, N] row weights of each problem, C included.
        start: [R, K] starting points.
        tolerance: Largest last step of a coefficient, unless all slopes are level with the penalty already.
        max_iterations: Steps before giving up.

    Returns:
        Coefficients [R, K] and the number of steps.

    Raises:
        NotConverged: If a problem is left after `max_iterations`.
    """
    w = start.copy()
    width = w.shape[1]
    products = (features[:, :, None] * features[:, None, :]).reshape(len(features), -1)
    diagonal = np.arange(width)
    z = w @ features.T
    largest = np.inf
    for iteration in range(1, max_iterations + 1):
        half = 0.5 * np.tanh(0.5 * z)  # P - 1/2
        slope = (weights * (half + (0.5 - labels))) @ features
        curve = ((weights * (0.25 - half * half)) @ products).reshape(-1, width, width)
        sign = np.where(w != 0, np.sign(w), -np.sign(slope))
        active = (w != 0) | (np.abs(slope) > 1)
        # Where columns say the same, or every prediction is all but certain, the curve is flat in some direction.
        curve[:, diagonal, diagonal] += RIDGE * (1.0 + curve[:, diagonal, diagonal])
        optimal = (np.abs(slope + sign) <= OPTIMAL) | ~active
        step = _newton(curve, slope + sign, active)
        while (wrong := active & (w == 0) & (step * sign < 0)).any():  # it leaves 0 once the others have settled
            active &= ~wrong
            step = _newton(curve, slope + sign, active)
        move = np.abs(step @ features.T).max(axis=1)
        far = np.abs(step).max(axis=1) / (1.0 + np.abs(w).max(axis=1))
        step /= (1.0 + np.maximum(move, far))[:, None]
        largest = float(np.abs(step[~optimal.all(axis=1)]).max(initial=0.0))
        until = np.divide(-w, step, out=np.full_like(w, np.inf), where=w * (w + step) < 0)  # its share that reaches 0
        first = np.minimum(until.min(axis=1, keepdims=True), 1.0)
        w = np.where(until == first, 0.0, w + step * first)
        if largest <= tolerance:
            return w, iteration
        z = w @ features.T
    raise NotConverged("L1 logistic regression", iterations=max_iterations, residual=largest, tolerance=tolerance)


def _newton(curve: FloatArray, slope: FloatArray, active: BoolArray) -> FloatArray:
    """[R, K] Newton steps of the active coefficients; the others stay."""
    both = active[:, :, None] & active[:, None, :]
    system = np.where(both, curve, np.eye(active.shape[1]) * ~both)
    result: FloatArray = np.linalg.solve(system, np.where(active, -slope, 0.0)[..., None])[..., 0]
    return result
