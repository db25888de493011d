"""Correlations of two figures of the same models, with limits over models.

Limits are Fisher's z (Fisher 1921, Metron 1:3) with variance 1/(n - 3 - k); of ranks (1 + r^2/2)/(n - 3 - k) (Bonett &
Wright 2000, Psychometrika 65:23), where k figures are held fixed. They take models as drawn
from a population of models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evalkit.stats.arrays import floats, same_length
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.ranking import spearman
from evalkit.stats.resample import Interval, normal_quantile

FEWEST = 5
"""Models beyond those that a figure held fixed takes, below which there are no limits."""
WHOLE = 1e-9
"""How near 1 a correlation is whole."""


def rank_correlation(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    fixed: npt.ArrayLike | None = None,
    *,
    each: str = "models",
    level: float = 0.95,
) -> Interval:
    """Spearman's correlation of two figures [M], partial where a third [M] is held fixed, with limits over models.

    ``each`` is what there are M of, for messages.

    Raises:
        NotMeasurable: There are fewer than three models, or a figure is the same for all, or it is that of ``fixed``.
    """
    return _limited(first, second, fixed, rank=True, each=each, level=level)


def linear_correlation(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    fixed: npt.ArrayLike | None = None,
    *,
    each: str = "models",
    level: float = 0.95,
) -> Interval:
    """Pearson's correlation; arguments and errors as for ``rank_correlation``."""
    return _limited(first, second, fixed, rank=False, each=each, level=level)


def _limited(
    first: npt.ArrayLike, second: npt.ArrayLike, fixed: npt.ArrayLike | None, *, rank: bool, each: str, level: float
) -> Interval:
    x, y = floats(first, "first"), floats(second, "second")
    figures = [x, y] if fixed is None else [x, y, floats(fixed, "fixed")]
    n = same_length(**{f"figure {place}": figure for place, figure in enumerate(figures)})
    held = len(figures) - 2
    if n < 3 + held:
        raise NotMeasurable(f"needs at least {3 + held} {each} that have both figures; there are {n}")
    for figure in figures:
        if np.ptp(figure) == 0:
            raise NotMeasurable(f"needs figures that differ between {each}")
    correlate = spearman if rank else _pearson
    r = correlate(x, y)
    if held:
        r = _partial(r, correlate(x, figures[2]), correlate(y, figures[2]))
    if n - held < FEWEST:
        few = f"needs at least {FEWEST + held} {each}; with {n} nearly any order comes about by chance"
        return Interval(r, None, None, n, level, None, n, reason=few)
    if 1 - abs(r) < WHOLE:
        alike = f"the two rank all {each} alike" if rank else "the two lie on one line"
        return Interval(r, None, None, n, level, None, n, reason=f"{alike}, which leaves no spread to go by")
    variance = (1 + r**2 / 2 if rank else 1.0) / (n - 3 - held)
    error = float(variance**0.5)
    reach = normal_quantile(0.5 + level / 2) * error
    low, high = (float(np.tanh(np.arctanh(r) + side * reach)) for side in (-1, 1))
    return Interval(r, low, high, n, level, error, n)


def _pearson(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def _partial(xy: float, xz: float, yz: float) -> float:
    """Correlation of x and y with z held fixed."""
    rest = (1 - xz**2) * (1 - yz**2)
    if rest < WHOLE:
        raise NotMeasurable("needs figures that the one held fixed does not determine")
    return float(np.clip((xy - xz * yz) / rest**0.5, -1.0, 1.0))
