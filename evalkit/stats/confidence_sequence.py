"""Confidence sequences: intervals for a mean that hold at all times at once, so that looking early costs nothing.

A gambler bets on every value that the mean is above m. Each value x of [0, 1] multiplies the capital 1 by
1 + c (x / m - 1), 0 <= c < 1, whose expectation is at most 1 if the mean is at most m; so the capital is an e-value at
every time, and by Ville's inequality it ever reaches 1/alpha with probability alpha at most. What is refuted so is the
lower end of an interval, and by bets on 1 - x the upper end. The stakes c are not estimated: the capital is spread over
a grid of them and left there (Waudby-Smith & Ramdas 2024, JRSS B 86:1, "diversified Kelly betting"; Robbins 1970).

That holds whatever decides when to stop or to go on, other data included, as long as the order of the values was fixed
before they were seen. It needs values that are bounded, with one mean given those before (independent draws), or drawn
without replacement from a population of known size, whose own mean the interval is then for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, floats, indices

STAKES: FloatArray = 0.98 * 2.0 ** (-np.arange(16) / 2)
"""Fractions c of the greatest bet that are tried, with equal shares of the capital: 0.98 to 0.005."""
ROUNDING = 1e-9
"""Part of the scale by which sums of values may be off."""
CHUNK = 1 << 22
"""Numbers held at once while limits are searched."""


@dataclass(frozen=True)
class ConfidenceSequence:
    """Limits of a mean that hold at all the times at once, each with what was seen by then."""

    times: IntArray
    """[K] numbers of values seen."""
    estimate: FloatArray
    """[K] means so far."""
    lower: FloatArray
    """[K] in the values' unit; never falls."""
    upper: FloatArray
    """[K] never rises."""
    level: float
    """Probability that the mean is within the limits at every time."""
    limits: tuple[float, float]
    """What the values were bounded by."""
    population: int | None
    """Size of the population whose mean it is; None: the mean of what the values are drawn from."""


def confidence_sequence(
    values: npt.ArrayLike,
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    times: npt.ArrayLike | None = None,
    population: int | None = None,
    stakes: FloatArray = STAKES,
) -> ConfidenceSequence:
    """Limits for the mean of bounded values at given times, valid at all of them at once (see the module text).

    Where the limits cross, which has probability 1 - level at most, both are the last that did not.

    Args:
        values: [N] in an order that was fixed before they were seen.
        limits: What no value can lie outside of.
        level: Coverage over all times together, half of the rest on each side.
        times: [K] numbers of values, rising, at which limits are wanted; every one from 1 to N if None.
        population: Size of the population that was drawn from without replacement.
        stakes: Fractions of the greatest bet, between 0 and 1.

    Raises:
        ValueError: a value outside the limits, a level outside (0, 1), or times that are none.
    """
    low, high = limits
    x = _scaled(values, limits, ndim=1)
    _check_population(population, len(x))
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1 but is {level}")
    at = np.arange(1, len(x) + 1) if times is None else indices(times, "times", size=len(x) + 1)
    if at.size and (at.min() < 1 or (np.diff(at) <= 0).any()):
        raise ValueError(f"times must rise from 1 at least but are {at.tolist()}")
    threshold = float(-np.log((1 - level) / 2))
    below = _refuted(x, at, threshold, population, stakes)
    above = 1 - _refuted(1 - x, at, threshold, population, stakes)
    below, above = np.maximum.accumulate(below), np.minimum.accumulate(above)
    crossed = int(np.argmax(below > above)) if (below > above).any() else len(at)
    kept = np.minimum(np.arange(len(at)), max(crossed - 1, 0))
    span = high - low
    mean = np.cumsum(x)[at - 1] / at
    return ConfidenceSequence(
        at, low + span * mean, low + span * below[kept], low + span * above[kept], level, limits, population
    )


def log_e_values(
    values: npt.ArrayLike,
    mean: npt.ArrayLike,
    *,
    above: bool = True,
    limits: tuple[float, float] = (0.0, 1.0),
    population: int | None = None,
    stakes: FloatArray = STAKES,
) -> FloatArray:
    """Logarithm of the evidence, after each value, that a mean is above (or below) a given one.

    Where it is not, the e-value ever reaches 1/alpha with probability alpha at most. Infinite where a whole population
    excludes it.

    Args:
        values: [N] or [S, N] sequences, each in an order that was fixed before it was seen.
        mean: The mean tested, of each sequence where they differ, within the limits.
        above: The side that the evidence is for.
        limits: What no value can lie outside of.
        population: Size of the population that each sequence was drawn from without replacement.
        stakes: Fractions of the greatest bet, between 0 and 1.

    Returns:
        Logarithms in the shape of the values.
    """
    array = np.asarray(values, dtype=np.float64)
    x = _scaled(array, limits, ndim=array.ndim)
    m = (np.asarray(mean, dtype=np.float64) - limits[0]) / (limits[1] - limits[0])
    if not ((m >= 0) & (m <= 1)).all():
        raise ValueError(f"mean must be within {limits} but is {mean!r}")
    _check_population(population, x.shape[-1])
    x, m = (x, m) if above else (1 - x, 1 - m)
    means = _means(x, np.broadcast_to(m, x.shape[:-1]), population)
    capital = np.full(x.shape, -np.inf)
    for stake in stakes:  # one at a time: memory stays that of the values
        capital = np.logaddexp(capital, np.cumsum(_gains(x, means, stake), axis=-1))
    result: FloatArray = np.where(_certain(x, m, population), np.inf, capital - np.log(len(stakes)))
    return np.maximum.accumulate(result, axis=-1) if population is not None and np.isinf(result).any() else result


@dataclass(frozen=True)
class CapitalProcess:
    """Evidence of many sequences that grow value by value, that each one's mean is above or below a given one.

    Each value costs the same however many were before it. Values lie in [0, 1].
    """

    mean: float
    """The mean tested."""
    population: int | None
    """Size of the population that each sequence is drawn from without replacement; None: independent draws."""
    stakes: FloatArray
    """[D] fractions of the greatest bet."""
    count: IntArray
    """[S] values so far."""
    total: FloatArray
    """[S, 2] sums of the values, and of what they lack of 1."""
    log_capital: FloatArray
    """[S, 2, D] of the bets that the mean is above, and below, at each stake."""
    log_evidence: FloatArray
    """[S, 2] logarithms of the e-values now, that each mean is above and below."""
    log_peak: FloatArray
    """[S, 2] highest logarithm of an e-value so far: what was once shown stays shown."""

    @classmethod
    def begun(
        cls, sequences: int, *, mean: float = 0.5, population: int | None = None, stakes: FloatArray = STAKES
    ) -> CapitalProcess:
        """Sequences of which nothing was seen."""
        return cls(
            mean,
            population,
            stakes,
            np.zeros(sequences, dtype=np.int64),
            np.zeros((sequences, 2)),
            np.zeros((sequences, 2, len(stakes))),
            np.zeros((sequences, 2)),
            np.zeros((sequences, 2)),
        )

    def after(self, sequences: IntArray, least: FloatArray, most: FloatArray | None = None) -> CapitalProcess:
        """The process after further values of some different sequences.

        Args:
            sequences: [k] which.
            least: [k] the next value of each, or [k, L] its next values in their order, NaN behind the last where it
                has fewer; where a value is not known, the least that it can be, by which the mean is above.
            most: likewise the most that it can be, by which the mean is below; None: the same.
        """
        x = np.stack((least, 1 - (least if most is None else most)), axis=-1)
        if x.ndim == 2:
            x = x[:, None]  # [k, L, side]
        there = np.isfinite(x[..., 0])
        x = np.where(there[..., None], x, 0.0)
        tested = np.array((self.mean, 1 - self.mean))
        sums = _running(self.total[sequences], x)
        means = np.broadcast_to(tested, x.shape)
        if self.population is not None:
            left = self.population - self.count[sequences][:, None] - np.arange(x.shape[1])
            if (there & (left <= 0)).any():
                raise ValueError(f"a population of {self.population} does not yield {self.population + 1} values")
            means = (self.population * tested - sums[:, :-1]) / np.maximum(left, 1)[..., None]
        gains = np.where(there[..., None, None], _gains(x[..., None], means[..., None], self.stakes), 0.0)
        capital = _running(self.log_capital[sequences], gains)[:, 1:]
        evidence = np.logaddexp.reduce(capital, axis=-1) - np.log(len(self.stakes))  # [k, L, side]
        if self.population is not None:
            evidence = np.where(sums[:, 1:] > self.population * (tested + ROUNDING), np.inf, evidence)
        count, total = self.count.copy(), self.total.copy()
        log_capital, now, peak = self.log_capital.copy(), self.log_evidence.copy(), self.log_peak.copy()
        count[sequences] += there.sum(axis=1)
        total[sequences] = sums[:, -1]
        log_capital[sequences] = capital[:, -1]
        now[sequences] = evidence[:, -1]
        peak[sequences] = np.maximum(peak[sequences], evidence.max(axis=1))
        return CapitalProcess(self.mean, self.population, self.stakes, count, total, log_capital, now, peak)


def _running(start: FloatArray, steps: FloatArray) -> FloatArray:
    """Sums [k, 1 + L, ...] of what each sequence began with [k, ...] and its steps [k, L, ...] so far."""
    result: FloatArray = np.cumsum(np.concatenate((start[:, None], steps), axis=1), axis=1)
    return result


def _scaled(values: npt.ArrayLike, limits: tuple[float, float], *, ndim: int) -> FloatArray:
    """The values on [0, 1]."""
    low, high = limits
    if not low < high:
        raise ValueError(f"limits must be two numbers that rise but are {limits}")
    x = floats(values, "values", ndim=ndim)
    outside = (x < low) | (x > high)
    if outside.any():
        raise ValueError(f"values must be within {limits} but one is {x[outside][0]}")
    return (x - low) / (high - low)


def _check_population(population: int | None, drawn: int) -> None:
    if population is not None and population < drawn:
        raise ValueError(f"a population of {population} does not yield {drawn} values")


def _means(x: FloatArray, mean: FloatArray, population: int | None) -> FloatArray:
    """What each value's expectation is, given those before it, if the mean is as stated."""
    if population is None:
        return np.broadcast_to(mean[..., None], x.shape)
    before = np.cumsum(x, axis=-1) - x
    left = population - np.arange(x.shape[-1])
    result: FloatArray = (population * mean[..., None] - before) / left
    return result


def _gains(x: FloatArray, mean: FloatArray, stake: FloatArray | float) -> FloatArray:
    """Log of what a bet multiplies the capital by; infinite where a value cannot be under the mean, 0 where it must."""
    possible = mean > ROUNDING
    ratio = np.where(possible, x / np.where(possible, mean, 1.0), np.where(x > ROUNDING, np.inf, 1.0))
    result: FloatArray = np.log1p(stake * (ratio - 1))
    return result


def _certain(x: FloatArray, mean: FloatArray, population: int | None) -> BoolArray:
    """Where the values so far exceed what a population of that mean holds in all."""
    if population is None:
        return np.zeros(x.shape, dtype=np.bool_)
    result: BoolArray = np.cumsum(x, axis=-1) > population * (mean[..., None] + ROUNDING)
    return result


def _refuted(x: FloatArray, at: IntArray, threshold: float, population: int | None, stakes: FloatArray) -> FloatArray:
    """The greatest mean [K] that is refuted from below at each time; capital falls in the mean, so halving finds it."""
    if not at.size:
        return np.zeros(0)
    if population is not None:
        return np.array([_refuted_of_population(x[:time], threshold, population, stakes) for time in at])
    distinct, place = np.unique(x, return_inverse=True)
    pieces = np.array_split(at, max(1, -(-at.size * distinct.size * len(stakes) // CHUNK)))
    return np.concatenate([_refuted_together(distinct, place, piece, threshold, stakes) for piece in pieces])


def _refuted_together(
    distinct: FloatArray, place: IntArray, at: IntArray, threshold: float, stakes: FloatArray
) -> FloatArray:
    """Largest mean that independent draws refute; only the number of each distinct value counts."""
    counts = np.array([np.bincount(place[:time], minlength=distinct.size) for time in at]).reshape(-1, distinct.size)
    low, high = np.zeros(len(at)), counts @ distinct / np.maximum(at, 1)
    for _ in range(44):
        middle = (low + high) / 2
        safe = np.maximum(middle, 1e-300)[:, None, None]
        growth = np.log1p(stakes[:, None] * (distinct / safe - 1))  # [K, D, V]
        capital = np.logaddexp.reduce(np.einsum("kdv,kv->kd", growth, counts), axis=1) - np.log(len(stakes))
        refuted = capital >= threshold
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low


def _refuted_of_population(x: FloatArray, threshold: float, population: int, stakes: FloatArray) -> float:
    """Largest mean that draws without replacement refute; expectations change with what was drawn."""
    certain = float(x.sum()) / population
    if len(x) == population:
        return certain
    low, high = certain, float(x.mean())
    for _ in range(44):
        middle = (low + high) / 2
        means = _means(x, np.asarray(middle), population)
        capital = np.logaddexp.reduce(_gains(x, means, stakes[:, None]).sum(axis=1)) - np.log(len(stakes))
        low, high = (middle, high) if capital >= threshold else (low, middle)
    return low
