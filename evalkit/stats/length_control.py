"""Length-controlled win rates: what a model's win rate would be at answers as long as the baseline's.

logit P(model preferred) = w_length tanh(length difference / sd) + w_difficulty difficulty + w_constant, fitted for one
model; the controlled win rate is the mean prediction with the length term at 0.

Source: Dubois et al. 2024, arXiv:2404.04475, section 3; alpaca_eval 0.6.6, `metrics/glm_winrate.py`.
"""

from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, floats, indices, same_length, sigmoid, totals
from evalkit.stats.bounded import FEWEST
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.l1_logistic import cross_validate, solve
from evalkit.stats.question_draws import question_counts
from evalkit.stats.resample import Interval, floored, percentile_limits, stratum_of

FOLDS = 5
CHUNK = 8  # replicates at a time
WEAK = 100.0  # inverse penalty C that moves the constant by .001 of a logit among 40 instructions
APART = 1e-3  # least part of the length column that the other columns do not explain


@dataclass(frozen=True, slots=True, eq=False)
class GamedBaseline:
    """Rows of the baseline against verbose and concise versions of itself, which keep the fit near "no effect".

    Attributes:
        preference: [G] preference in [0, 1] for the gamed version.
        length: [G] standardised length difference.
        difficulty: [G] difficulty of the instruction.
        question: [G] instruction, whole numbers from 0 (only the bootstrap reads it).
        weight: Weight of a row; alpaca_eval has .2 shared by two gamed versions.
    """

    preference: FloatArray
    length: FloatArray
    difficulty: FloatArray
    question: IntArray
    weight: float = 0.1


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """Length-controlled win rate, in points (0 to 100).

    Attributes:
        win_rate: Mean prediction at equal length.
        standard_error: Standard error of the mean of the predictions, as alpaca_eval prints it. It ignores that the
            coefficients are estimated; the bootstrap does not. None for one instruction.
        coefficients: (length, difficulty, constant); difficulty is 0 in a minimal fit.
        strength: Inverse L1 penalty C chosen by cross-validation; None where coefficients were given.
        length_scale: Standard deviation that length differences were divided by; None where not used.
        n: Instructions predicted.
    """

    win_rate: float
    standard_error: float | None
    coefficients: tuple[float, float, float]
    strength: float | None
    length_scale: float | None
    n: int


def predict(
    coefficients: tuple[float, float, float],
    difficulty: FloatArray,
    *,
    baseline: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> LengthControlled:
    """Controlled win rate from fitted coefficients.

    Args:
        coefficients: (length, difficulty, constant) of the model.
        difficulty: [N] instruction difficulties.
        baseline: Coefficients of another model to compare with; zeros are the baseline of the fit, so that
            `predict(a, baseline=b)` and `predict(b, baseline=a)` add up to 100.

    Raises:
        NotMeasurable: Without instructions.
    """
    difficulty = floats(difficulty, "difficulty")
    if difficulty.size == 0:
        raise NotMeasurable("needs at least one instruction")
    slope, constant = (coefficients[i] - baseline[i] for i in (1, 2))
    p = sigmoid(slope * difficulty + constant)
    error = float(100 * p.std(ddof=1) / p.size**0.5) if p.size > 1 else None
    return LengthControlled(float(100 * p.mean()), error, coefficients, None, None, p.size)


def fit(
    preference: FloatArray,
    length_difference: FloatArray,
    difficulty: FloatArray | None = None,
    *,
    gamed: GamedBaseline | None = None,
    length_scale: float | None = None,
    predict_difficulty: FloatArray | None = None,
) -> LengthControlled:
    """Fit one model and predict its controlled win rate, as alpaca_eval does (`length_controlled_v1`).

    Without `difficulty` and `gamed` this is `length_controlled_minimal`, the fit for instruction sets that have no
    published difficulties.

    Args:
        preference: [N] preference in [0, 1] for the model, rows in the order of the instruction set (the order
            decides the cross-validation folds).
        length_difference: [N] characters of the baseline's answer minus characters of the model's.
        difficulty: [N] difficulty of each instruction, or None for a minimal fit.
        gamed: Regularising rows; needs `difficulty`.
        length_scale: Divisor of the length differences; their sample standard deviation if not given. Give that of
            all rows where some judgments failed.
        predict_difficulty: [K] difficulties to predict for; those of the fitted rows if not given. Give all where
            some judgments failed.

    Raises:
        NotMeasurable: With fewer rows than folds, or lengths that never differ, or never enough to tell a length
            effect from the constant.
        NotConverged: If the fit does not reach its tolerance.
        ValueError: On preferences outside [0, 1] or values that are not finite.
    """
    design = _design(preference, length_difference, difficulty, gamed, length_scale)
    copies = np.ones((1, design.labels.size))
    found = cross_validate(design.features, design.labels, design.weights, copies, design.fold)
    w = design.named(found.coefficients[0])
    targets = design.difficulty if predict_difficulty is None else predict_difficulty
    result = predict(w, targets)
    return LengthControlled(result.win_rate, result.standard_error, w, float(found.strength[0]), design.scale, result.n)


@dataclass(frozen=True, slots=True, eq=False)
class ResampledWinRate:
    """A controlled win rate with its bootstrap.

    Attributes:
        interval: In points.
        replicates: [B] controlled win rates of resampled instructions.
        influence: [Q] mean preference of each instruction less the mean of all, in points.
    """

    interval: Interval
    replicates: FloatArray
    influence: FloatArray


def resampled(
    preference: FloatArray,
    length_difference: FloatArray,
    question: IntArray,
    difficulty: FloatArray | None = None,
    *,
    gamed: GamedBaseline | None = None,
    length_scale: float | None = None,
    strata: IntArray | None = None,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> ResampledWinRate:
    """Interval of the controlled win rate: the fit repeated, all but without penalty, on resampled instructions.

    The estimate is that of `fit`, penalty and all; the limits are not. The penalty pulls predictions to 50, up to
    exactly 50 where cross-validation chooses a strong one. Percentiles of penalised replicates stop there and look
    like a difference from 50 that is none: in simulations with 40 and 100 instructions a limit was exactly 50 in up to
    64% of them, and where the truth was 55, 12% of the 95% intervals of 40 instructions lay below it (3% should).
    Percentiles of replicates all but without penalty had no such limit and covered the truth in 90 to 97%. The limits
    are those, moved where need be to hold the estimate.

    An instruction that is drawn k times has weight k in the model's rows, in its gamed rows and in the prediction.

    Args:
        preference: [N] preference in [0, 1] for the model.
        length_difference: [N] characters of the baseline's answer minus characters of the model's.
        question: [N] instruction of each row, whole numbers from 0.
        difficulty: [N] difficulty of each instruction, or None for a minimal fit.
        gamed: Regularising rows.
        length_scale: Divisor of the length differences, held fixed.
        strata: [N] category of each row's instruction, where the benchmark fixes the categories.
        resamples: Bootstrap replicates.
        level: Coverage of the interval.
        seed: Seed of the draws.

    Returns:
        Interval in points, whose `standard_error` is the standard deviation of the replicates, and these: those
        of two models that have the same questions and seed are of the same draws.

    Raises:
        NotMeasurable: With fewer than 4 questions, or where `fit` would.
        NotConverged: If a fit does not reach its tolerance.
    """
    design = _design(preference, length_difference, difficulty, gamed, length_scale)
    once = np.ones((1, design.labels.size))
    full = cross_validate(design.features, design.labels, design.weights, once, design.fold)
    estimate = predict(design.named(full.coefficients[0]), design.difficulty).win_rate
    labels, weights = _less_biased(design)
    question = indices(question, "question", length=len(preference))
    rows = question if gamed is None else np.concatenate([gamed.question, question])
    levels, own = np.unique(question, return_inverse=True)
    if levels.size < FEWEST or resamples < 2:
        raise NotMeasurable(f"needs at least {FEWEST} questions and 2 resamples")
    position = np.searchsorted(levels, rows).clip(max=levels.size - 1)
    known = levels[position] == rows
    replicates = []
    by_question = None if strata is None else stratum_of(strata, own)
    for counts in question_counts(levels.size, resamples, seed, strata=by_question):
        for start in range(0, len(counts), CHUNK):
            drawn = counts[start : start + CHUNK]
            copies = np.where(known, drawn[:, position], 1.0)
            origin = np.zeros((len(drawn), design.features.shape[1]))
            found, _ = solve(design.features, labels, copies * weights, origin)
            w = np.array([design.named(row) for row in found])
            p = sigmoid(w[:, 1:2] * design.difficulty + w[:, 2:])
            weight = drawn[:, own]
            replicates.append(100 * (weight * p).sum(axis=1) / weight.sum(axis=1))
    values = np.concatenate(replicates)
    lower, upper = percentile_limits(values, level, clusters=levels.size)
    error = float(values.std(ddof=1))
    n = design.difficulty.size
    exact = _of_a_share(values, levels.size, design.features.shape[1], level)
    lower, upper = min(lower, exact[0], estimate), max(upper, exact[1], estimate)
    interval = Interval(estimate, lower, upper, n, level, error, levels.size, resamples, seed)
    # Near the top, replicates that are won throughout leave too little below: preferences as they are have the floor.
    means = totals(own, design.labels[-own.size :], levels.size) / np.bincount(own)
    influence = 100 * (means - means.mean())
    return ResampledWinRate(floored(interval, influence, (0.0, 100.0)), values, influence)


def _of_a_share(values: FloatArray, questions: int, coefficients: int, level: float) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share that varies as these replicates do, in points.

    Percentiles of a share near the top are too short below: a sample that happens to hold few losses also says that
    shares like its own hardly vary.
    """
    from scipy.special import betaincinv

    middle = float(np.clip(np.median(values) / 100, 0.5 / questions, 1 - 0.5 / questions))
    spread = max(float(values.var(ddof=1)) / 100**2 * questions / (questions - coefficients), 1e-9)
    alike = min(middle * (1 - middle) / spread, 4.0 * questions)
    won, lost, tail = alike * middle, alike * (1 - middle), (1 - level) / 2
    return 100 * float(betaincinv(won, lost + 1, tail)), 100 * float(betaincinv(won + 1, lost, 1 - tail))


def _less_biased(design: "_Design") -> tuple[FloatArray, FloatArray]:
    """Labels and weights of the replicates' fit, whose coefficients are not too far from 0 as those of few rows are.

    Every row of the model counts, besides, as half of its leverage for either outcome, the leverage being the mean one:
    Firth's correction of maximum likelihood (1993, Biometrika 80:27) as data (Puhr et al. 2017, Statistics in Medicine
    36:2302). Without it, the truth lay below the interval in 10% of samples of 20 instructions with a rate of 85.
    """
    own = design.difficulty.size
    extra = np.zeros(design.labels.size)
    extra[-own:] = design.features.shape[1] / own
    return (design.labels + extra / 2) / (1 + extra), design.weights * (1 + extra) * WEAK


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    features: FloatArray  # gamed rows first, then the model's
    labels: FloatArray
    weights: FloatArray
    fold: IntArray
    difficulty: FloatArray  # of the model's rows, zeros in a minimal fit
    scale: float
    minimal: bool

    def named(self, w: FloatArray) -> tuple[float, float, float]:
        """(length, difficulty, constant) of a coefficient vector."""
        return (float(w[0]), 0.0 if self.minimal else float(w[1]), float(w[-1]))


def _design(
    preference: FloatArray,
    length_difference: FloatArray,
    difficulty: FloatArray | None,
    gamed: GamedBaseline | None,
    length_scale: float | None,
) -> _Design:
    labels = floats(preference, "preference")
    lengths = floats(length_difference, "length_difference")
    minimal = difficulty is None
    levels = np.zeros(labels.size) if difficulty is None else floats(difficulty, "difficulty")
    same_length(preference=labels, length_difference=lengths, difficulty=levels)
    if labels.size < FOLDS:
        raise NotMeasurable(f"needs at least {FOLDS} judged rows")
    if minimal and gamed is not None:
        raise ValueError("gamed rows need difficulty")
    scale = float(lengths.std(ddof=1)) if length_scale is None else length_scale
    if not scale > 0:
        raise NotMeasurable("needs answers that differ in length from the baseline's by varying amounts")
    features = [np.tanh(lengths / scale), levels, np.ones(labels.size)]
    weights = np.ones(labels.size)
    if gamed is not None:
        extra = [np.tanh(gamed.length), gamed.difficulty, np.zeros(len(gamed.length))]
        features = [np.concatenate(pair) for pair in zip(extra, features, strict=True)]
        labels = np.concatenate([floats(gamed.preference, "gamed preference"), labels])
        weights = np.concatenate([np.full(len(gamed.length), gamed.weight), weights])
    if labels.min() < 0 or labels.max() > 1:
        raise ValueError("preference must be between 0 (baseline) and 1 (model)")
    columns = floats(np.column_stack([features[0], features[2]] if minimal else features), "features", ndim=2)
    _require_apart(columns * np.sqrt(weights)[:, None])
    return _Design(
        columns,
        labels,
        weights,
        group_folds(labels.size),
        levels,
        scale,
        minimal,
    )


def _require_apart(columns: FloatArray) -> None:
    """Whether the first column, that of lengths, says something that the others do not.

    Raises:
        NotMeasurable: If it does not: a coefficient of it could be exchanged for theirs.
    """
    length, others = columns[:, 0], columns[:, 1:]
    own = length - others @ np.linalg.lstsq(others, length, rcond=None)[0]
    if np.linalg.norm(own) < APART * np.linalg.norm(length):
        raise NotMeasurable(
            "needs answers that are not all longer, or all shorter, than the baseline's by about as much; here what "
            "length does cannot be told from what the model does"
        )


def group_folds(rows: int, folds: int = FOLDS) -> IntArray:
    """Fold of each row as scikit-learn's GroupKFold deals groups of equal size: from the last row backwards."""
    return (rows - 1 - np.arange(rows)) % folds
