"""Confidence sequences: closed forms, symmetries, and that they ever miss at most as often as they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evalkit.stats.confidence_sequence import (
    STAKES,
    CapitalProcess,
    confidence_sequence,
    log_e_values,
)


def values_of(kind: str, rng: np.random.Generator, size: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Draws, and their mean."""
    if kind.startswith("coin"):
        p = float(kind.removeprefix("coin "))
        return (rng.random(size) < p).astype(float), p
    if kind == "mostly ties":
        return rng.choice([0.0, 0.5, 1.0], size, p=[0.1, 0.85, 0.05]), 0.475
    if kind == "two orders":
        return rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], size, p=[0.1, 0.1, 0.2, 0.2, 0.4]), 0.675
    return rng.beta(0.3, 1.2, size), 0.2


KINDS = ["coin 0.5", "coin 0.9", "coin 0.02", "mostly ties", "two orders", "skewed"]


def test_one_stake_and_a_run_of_wins_have_a_closed_form():
    # (1 - c + c/m)^n = 1/alpha  <=>  m = c / (alpha^(-1/n) - 1 + c)
    n, stake, side = 12, 0.5, 0.025
    found = confidence_sequence(np.ones(n), stakes=np.array([stake]), times=[n])
    assert found.lower[0] == pytest.approx(stake / (side ** (-1 / n) - 1 + stake), abs=1e-9)
    assert found.upper[0] == 1


def test_evidence_of_a_few_values_by_hand():
    evidence = np.exp(log_e_values([1.0, 0.0, 0.5], 0.5, stakes=np.array([0.2, 0.8])))
    assert evidence == pytest.approx([(1.2 + 1.8) / 2, (1.2 * 0.8 + 1.8 * 0.2) / 2, (1.2 * 0.8 + 1.8 * 0.2) / 2])


def test_draws_of_a_population_by_hand():
    # Of 4 with mean 1/2, after a 1 the other three have the mean 1/3.
    evidence = np.exp(log_e_values([1.0, 1.0], 0.5, population=4, stakes=np.array([0.5])))
    assert evidence == pytest.approx([1.5, 1.5 * (0.5 + 0.5 * 3)])
    assert log_e_values([1.0, 1.0, 1.0], 0.5, population=4)[-1] == np.inf
    assert np.isfinite(log_e_values([1.0, 1.0, 0.0, 0.0], 0.5, population=4)).all()  # the mean is 1/2 exactly


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_ever_misses_at_most_as_often_as_it_says(kind):
    """At any of 300 times: a lower limit misses where the e-value at the true mean reaches 1/alpha."""
    alpha = 0.1
    values, mean = values_of(kind, np.random.default_rng(1), (1000, 300))
    for above in (True, False):
        ever = log_e_values(values, mean, above=above).max(axis=1) >= np.log(1 / alpha)
        assert ever.mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_it_ever_misses_a_population_at_most_as_often_as_it_says(kind):
    alpha, rng = 0.1, np.random.default_rng(2)
    population, _ = values_of(kind, rng, (80,))
    values = rng.permuted(np.tile(population, (1500, 1)), axis=1)
    for above in (True, False):
        evidence = log_e_values(values, population.mean(), above=above, population=80)
        assert (evidence.max(axis=1) >= np.log(1 / alpha)).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 1500)


def test_an_interval_for_a_fixed_time_would_miss_far_more_often():
    """The tests above can fail: Student's interval, looked at after each of 600 values."""
    values, mean = values_of("coin 0.5", np.random.default_rng(3), (1000, 600))
    n = np.arange(1, 601)
    estimate = np.cumsum(values, axis=1) / n
    outside = np.abs(estimate - mean) > 1.645 * np.sqrt(0.25 / n)
    assert outside[:, 20:].any(axis=1).mean() > 0.3


@pytest.mark.parametrize("population", [None, 60])
def test_limits_are_where_the_evidence_says(population):
    values, _ = values_of("two orders", np.random.default_rng(4), (40,))
    found = confidence_sequence(values, level=0.9, population=population)
    latest = confidence_sequence(values, level=0.9, population=population, times=[40])
    for m, above in ((latest.lower[0], True), (latest.upper[0], False)):
        step = 1e-6 if above else -1e-6
        at = [log_e_values(values, m + shift, above=above, population=population)[-1] for shift in (-step, step)]
        assert at[0] >= np.log(20) >= at[1]
    assert found.lower[-1] >= latest.lower[0]
    assert (np.diff(found.lower) >= 0).all()
    assert (np.diff(found.upper) <= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("population", [None, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_mirrored_and_rescaled_values_have_mirrored_and_rescaled_limits(kind, population):
    values, _ = values_of(kind, np.random.default_rng(5), (50,))
    plain = confidence_sequence(values, population=population)
    mirrored = confidence_sequence(1 - values, population=population)
    assert mirrored.lower == pytest.approx(1 - plain.upper, abs=1e-9)
    rescaled = confidence_sequence(18 * values - 9, limits=(-9, 9), population=population)
    assert rescaled.lower == pytest.approx(18 * plain.lower - 9, abs=1e-7)
    assert rescaled.estimate == pytest.approx(18 * plain.estimate - 9)


def test_a_whole_population_is_known():
    values = np.array([1.0, 0.0, 0.5, 1.0])
    found = confidence_sequence(values, population=4)
    assert (found.lower[-1], found.upper[-1]) == (0.625, 0.625)
    assert found.lower[0] >= 0.25  # what is drawn already
    assert found.upper[1] <= 0.75


def test_draws_of_a_population_say_more_than_independent_ones():
    values, _ = values_of("two orders", np.random.default_rng(6), (60,))
    free, drawn = (confidence_sequence(values, population=size) for size in (None, 80))
    assert drawn.upper[-1] - drawn.lower[-1] < 0.75 * (free.upper[-1] - free.lower[-1])


@pytest.mark.parametrize(("kind", "times"), [("coin 0.5", 2.0), ("two orders", 2.0), ("mostly ties", 2.0)])
def test_it_is_at_most_twice_as_wide_as_an_interval_for_one_time(kind, times):
    values, _ = values_of(kind, np.random.default_rng(7), (400,))
    found = confidence_sequence(values, times=[400])
    assert found.upper[0] - found.lower[0] < times * 2 * 1.96 * values.std() / 20


def test_growing_one_value_at_a_time_is_the_same():
    rng = np.random.default_rng(8)
    values, _ = values_of("two orders", rng, (3, 30))
    for population in (None, 40):
        process = CapitalProcess.begun(3, population=population)
        for column in range(30):
            if column % 2:
                process = process.after(np.arange(3), values[:, column])
            else:
                for row in (2, 0, 1):
                    process = process.after(np.array([row]), values[row : row + 1, column])
        for side, above in enumerate((True, False)):
            whole = log_e_values(values, 0.5, above=above, population=population)
            assert process.log_peak[:, side] == pytest.approx(np.maximum(whole.max(axis=1), 0.0))
        assert process.count.tolist() == [30] * 3
        assert process.total[:, 0] == pytest.approx(values.sum(axis=1))
        assert (process.log_evidence <= process.log_peak + 1e-12).all()


@pytest.mark.parametrize("population", [None, 40])
def test_growing_by_several_values_at_once_is_the_same(population):
    values, _ = values_of("two orders", np.random.default_rng(9), (3, 12))
    single = CapitalProcess.begun(4, population=population)
    for row, size in ((0, 12), (1, 5), (2, 1)):
        for value in values[row, :size]:
            single = single.after(np.array([row]), np.array([value]))
    ragged = np.where(np.arange(12) < np.array([12, 5, 1])[:, None], values, np.nan)
    begun = CapitalProcess.begun(4, population=population)
    for cuts in ([0, 12], [0, 3, 12]):
        several = begun
        for start, stop in itertools.pairwise(cuts):
            several = several.after(np.arange(3), ragged[:, start:stop])
        for name in ("count", "total", "log_capital", "log_evidence", "log_peak"):
            assert getattr(several, name) == pytest.approx(getattr(single, name), rel=1e-12), name
    assert single.count.tolist() == [12, 5, 1, 0]


def test_growing_through_a_whole_population_knows_its_mean():
    process = CapitalProcess.begun(2, population=4)
    for value in (1.0, 0.0, 1.0, 0.5):
        process = process.after(np.arange(2), np.array([value, 0.5]))
    assert process.log_peak[0, 0] == np.inf
    assert process.log_peak[0, 1] < 5
    assert process.log_peak[1].tolist() == [0, 0]  # all ties: neither above nor below
    with pytest.raises(ValueError, match="does not yield 5"):
        process.after(np.arange(1), np.ones(1))


def test_a_value_that_is_not_known_counts_as_the_worst_for_either_side():
    known, unknown = (CapitalProcess.begun(1, population=8) for _ in range(2))
    for value in (1.0, 1.0, 0.5):
        known, unknown = (one.after(np.array([0]), np.array([value])) for one in (known, unknown))
    lost, won = (known.after(np.array([0]), np.array([value])) for value in (0.0, 1.0))
    either = unknown.after(np.array([0]), np.zeros(1), np.ones(1))
    assert either.log_evidence[0, 0] == lost.log_evidence[0, 0]
    assert either.log_evidence[0, 1] == won.log_evidence[0, 1]


def test_what_stopped_the_sequence_does_not_matter():
    """Two sequences that share their questions; the one that is behind goes on, as greedy choice would have it."""
    rng, alpha, wrong = np.random.default_rng(9), 0.1, 0
    for _ in range(300):
        shared = rng.random(60)
        first, second = ((shared < 0.5).astype(float), (shared > 0.5).astype(float))  # one's luck is the other's
        evidence = np.stack([log_e_values(row, 0.5) for row in (first, second)])
        at = [0, 0]
        while max(at) < 59:
            at[int(np.argmax([evidence[i, at[i]] for i in (0, 1)]))] += 1  # go on where it looks best
        wrong += any(evidence[i, : at[i] + 1].max() >= np.log(2 / alpha) for i in (0, 1))
    assert wrong / 300 <= alpha


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([0.2, 1.5], {}, r"within \(0.0, 1.0\) but one is 1.5"),
        ([0.2, np.nan], {}, "must be finite"),
        ([0.2], {"level": 1.0}, "between 0 and 1 but is 1.0"),
        ([0.2], {"limits": (1.0, 1.0)}, "that rise"),
        ([0.2, 0.3], {"times": [2, 1]}, "must rise"),
        ([0.2, 0.3], {"times": [3]}, "below 3"),
        ([0.2, 0.3], {"population": 1}, "does not yield 2"),
    ],
)
def test_what_cannot_be(values, options, message):
    with pytest.raises(ValueError, match=message):
        confidence_sequence(values, **options)


def test_nothing_seen_is_nothing_known():
    assert confidence_sequence([]).lower.size == 0
    assert confidence_sequence([0.5]).lower[0] < 0.1
    assert (STAKES < 1).all()
