"""What a paired difference varies with (questions, judges, repeats), and how many of each show one of a given size."""

import math
from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, floats, indices, same_length
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import normal_quantile, t_quantile


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variances of one verdict's difference between two models.

    Attributes:
        questions: Between questions; holds those below as well where they are not known.
        judges: Of a judge's leaning on one question, beyond what it leans on all; None with one judge a question.
        repeats: Of asking the same judge again; None where nothing was asked again.
        n: Questions behind them.
    """

    questions: float
    judges: float | None
    repeats: float | None
    n: int

    def of_mean(self, judges: int, repeats: int) -> float:
        """Variance of a question's difference, as the mean of so many judges and repeats of each.

        Components that are not known cannot be made smaller: they stay with the questions.
        """
        return self.questions + (self.judges or 0.0) / judges + (self.repeats or 0.0) / (judges * repeats)


def variance_components(
    values: FloatArray, pairs: IntArray, questions: IntArray, judges: IntArray
) -> VarianceComponents:
    """Components by the method of moments, from the means of nested groups.

    Args:
        values: [N] difference by one verdict (of each of the two).
        pairs: [N] which two models; their own means are taken out.
        questions: [N] question.
        judges: [N] judge; each judge's mean on a pair is taken out. Rows alike in all three are repeats.

    Raises:
        NotMeasurable: With fewer than 4 questions.

    Source: Searle, Casella & McCulloch 1992, Variance Components, chapter 3.
    """
    values = floats(values, "values")
    columns = [indices(part, name) for part, name in ((pairs, "pairs"), (questions, "questions"), (judges, "judges"))]
    same_length(values=values, pairs=columns[0], questions=columns[1], judges=columns[2])
    count = int(np.unique(columns[1]).size)
    if count < 4:
        raise NotMeasurable("needs at least 4 questions")
    cells, cell = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    mean, within, size = _grouped(values, cell.reshape(-1))
    repeats = _pooled(within, size)
    # Each judge's lean on all questions of a pair is no noise between questions: it is taken out.
    leaning = np.unique(cells[:, [0, 2]], axis=0, return_inverse=True)[1].reshape(-1)
    lean, _, members = _grouped(mean, leaning)
    scale = np.sqrt(members / np.maximum(members - 1, 1))[leaning]
    centred = (mean - lean[leaning]) * scale
    about, unit = np.unique(cells[:, :2], axis=0, return_inverse=True)
    level, between, panel = _grouped(centred, unit.reshape(-1))
    by_judges = _pooled(between, panel)
    asked = float(len(cells) / (1 / size).sum())  # harmonic means: what a mean of means divides by
    seated = float(len(about) / (1 / panel).sum())
    noise = 0.0 if repeats is None else repeats / asked
    own = None if by_judges is None else max(0.0, by_judges - noise)
    total = float((level**2).mean())
    left = total - ((own or 0.0) + noise) / seated
    return VarianceComponents(max(0.0, left), own, repeats, count)


def _grouped(values: FloatArray, group: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, sum of squares about it, and size of each group."""
    size = np.bincount(group).astype(np.float64)
    mean = np.bincount(group, values) / size
    squares = np.bincount(group, (values - mean[group]) ** 2)
    return mean, squares.astype(np.float64), size


def _pooled(squares: FloatArray, size: FloatArray) -> float | None:
    """Variance within groups; None where none has two."""
    free = float((size - 1).sum())
    return float(squares.sum()) / free if free > 0 else None


def questions_to_detect(variance: float, size: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """Questions on which a paired t test of this level finds a difference of this size with this power.

    Args:
        variance: Of a question's difference.
        size: Of the difference, above 0.
        power: Chance to find it.
        level: Of the interval that leaves out 0.

    Raises:
        ValueError: On a size or power that is none.
    """
    if not 0 < size < math.inf or not 0 < power < 1 or not 0 < level < 1:
        raise ValueError(f"size must be positive, power and level between 0 and 1, not {size}, {power}, {level}")
    tail = 0.5 + level / 2
    n = max(4.0, variance * ((normal_quantile(tail) + normal_quantile(power)) / size) ** 2)
    for _ in range(20):  # Student's quantiles depend on the number they give
        free = max(n - 1, 3.0)
        n = max(4.0, variance * ((t_quantile(tail, free) + t_quantile(power, free)) / size) ** 2)
    return math.ceil(n)


def size_to_detect(variance: float, questions: int, *, power: float = 0.8, level: float = 0.95) -> float:
    """Size of the difference that a paired t test of this level finds on so many questions with this power.

    Args:
        variance: Of a question's difference.
        questions: How many; with fewer than 4, what 4 would find.
        power: Chance to find it.
        level: Of the interval that leaves out 0.
    """
    n = max(4, questions)
    quantiles = t_quantile(0.5 + level / 2, n - 1.0) + t_quantile(power, n - 1.0)
    return quantiles * math.sqrt(variance / n)
