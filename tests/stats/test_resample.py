import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.question_draws import question_counts
from evalkit.stats.resample import (
    Interval,
    cluster_mean,
    paired_difference,
    percentile_limits,
    question_bootstrap,
    wilson,
)

VALUES = hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-10, 10, width=32))


def test_estimates_by_question_and_pooled():
    sums, counts = np.array([1.0, 4.0, 0.0]), np.array([1.0, 2.0, 0.0])
    assert question_bootstrap(sums, counts).estimate == 1.5
    pooled = question_bootstrap(sums, counts, pooled=True)
    assert pooled.estimate == pytest.approx(5 / 3)
    assert (pooled.n, pooled.clusters) == (3, 2)


def test_result_carries_its_parameters():
    got = question_bootstrap(np.arange(9.0), np.ones(9), resamples=50, level=0.9, seed=7)
    assert (got.level, got.resamples, got.seed) == (0.9, 50, 7)
    assert got == question_bootstrap(np.arange(9.0), np.ones(9), resamples=50, level=0.9, seed=7)
    assert got != question_bootstrap(np.arange(9.0), np.ones(9), resamples=50, level=0.9, seed=8)


def test_one_question_has_no_interval():
    got = question_bootstrap(np.array([3.0]), np.array([4.0]))
    assert (got.estimate, got.lower, got.upper, got.standard_error) == (0.75, None, None, None)


def test_affine():
    got = question_bootstrap(np.arange(5.0), np.ones(5), resamples=50)
    moved = got.affine(2, 1)
    assert (moved.estimate, moved.lower) == pytest.approx((2 * got.estimate + 1, 2 * got.lower + 1))
    assert moved.standard_error == pytest.approx(2 * got.standard_error)
    assert question_bootstrap(np.ones(1), np.ones(1)).affine(2).lower is None
    with pytest.raises(ValueError, match="positive"):
        got.affine(-1)


@pytest.mark.parametrize(
    ("sums", "counts", "error", "words"),
    [
        ([], [], NotMeasurable, "needs at least one question"),
        ([0.0], [0.0], NotMeasurable, "needs at least one question"),
        ([np.nan], [1.0], ValueError, "finite"),
        ([1.0], [0.0], ValueError, "where counts is 0"),
        ([1.0], [-1.0], ValueError, "negative"),
        ([1.0, 2.0], [1.0], ValueError, "same length"),
    ],
)
def test_bad_input_raises(sums, counts, error, words):
    with pytest.raises(error, match=words):
        question_bootstrap(np.array(sums), np.array(counts))


def test_clustered_standard_error_is_the_textbook_one():
    rng = np.random.default_rng(1)
    clusters = rng.integers(30, size=200)
    values = rng.normal(size=200) + rng.normal(size=30)[clusters]
    got = cluster_mean(values, clusters)
    sums = np.bincount(clusters, values - values.mean())
    assert got.standard_error == pytest.approx(np.sqrt((sums**2).sum() * 30 / 29) / 200)
    assert (got.upper - got.lower) / 2 == pytest.approx(2.045 * got.standard_error, rel=0.12)


def test_bootstrap_matches_copying_rows():
    rng = np.random.default_rng(2)
    sums, counts = rng.normal(size=40) * 3, rng.integers(1, 5, 40).astype(float)
    got = question_bootstrap(sums, counts, pooled=True, resamples=20_000)
    draws = rng.integers(40, size=(20_000, 40))
    slow = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    assert (got.lower, got.upper) == pytest.approx(percentile_limits(slow, 0.95, clusters=40), abs=0.02)


@given(VALUES, st.floats(-5, 5), st.floats(0.1, 5))
@settings(max_examples=30, deadline=None)
def test_shift_and_scale(values, shift, scale):
    base = question_bootstrap(values, np.ones(values.size), resamples=200)
    moved = question_bootstrap(values * scale + shift, np.ones(values.size), resamples=200)
    assert moved.estimate == pytest.approx(base.estimate * scale + shift, abs=1e-6)
    if base.reason or moved.reason:  # all alike, or so nearly that a shift rounds the rest away
        assert np.ptp(values) < 1e-6
        return
    assert moved.lower == pytest.approx(base.lower * scale + shift, abs=1e-6)
    assert moved.lower <= moved.estimate + 1e-9
    assert moved.upper >= moved.estimate - 1e-9


@given(VALUES)
@settings(max_examples=20, deadline=None)
def test_difference_of_a_system_with_itself_is_zero(values):
    ones = np.ones(values.size)
    got = paired_difference(values, ones, values, ones, resamples=100)
    assert (got.estimate, got.lower, got.upper) == (0, None, None)
    assert "known scale" in got.reason
    known = paired_difference(values, ones, values, ones, limits=(-10, 10), resamples=100)
    assert -20 <= known.lower < 0 < known.upper <= 20
    assert known.upper - known.lower > 10 / values.size


def test_pairing_removes_question_difficulty():
    rng = np.random.default_rng(3)
    hard = rng.normal(size=80) * 5
    a, b, ones = hard + 1 + rng.normal(size=80) * 0.1, hard + rng.normal(size=80) * 0.1, np.ones(80)
    paired = paired_difference(a, ones, b, ones)
    pooled = paired_difference(a, ones, b, ones, pooled=True)
    assert paired.lower == pytest.approx(pooled.lower)
    assert 0.9 < paired.lower < 1 < paired.upper < 1.1
    assert question_bootstrap(a, ones).standard_error > 20 * paired.standard_error


def test_paired_difference_uses_shared_questions_only():
    a = paired_difference(np.array([1.0, 5, 0]), np.array([1.0, 1, 0]), np.array([0.0, 0, 9]), np.array([2.0, 0, 1]))
    assert (a.estimate, a.clusters, a.n) == (1.0, 1, 3)
    with pytest.raises(NotMeasurable, match="both systems"):
        paired_difference(np.ones(1), np.ones(1), np.zeros(1), np.zeros(1))


@pytest.mark.parametrize(
    ("successes", "n", "lower", "upper"),
    [(2, 23, 0.0242, 0.2680), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (886, 1343, 0.6340, 0.6846)],
)
def test_wilson(successes, n, lower, upper):
    got = wilson(successes, n)
    assert (got.lower, got.upper) == pytest.approx((lower, upper), abs=1e-4)


def test_wilson_raises():
    with pytest.raises(NotMeasurable):
        wilson(0, 0)
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="level"):
        wilson(1, 2, level=95)


def test_question_counts_are_multinomial():
    counts = np.concatenate(list(question_counts(7, 40_000, seed=0)))
    assert counts.shape == (40_000, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.03)
    assert counts.var(axis=0) == pytest.approx(np.full(7, 6 / 7), abs=0.03)


def coverage(questions: int, runs: int, resamples: int) -> float:
    """Share of 95% intervals that hold the truth, two correlated rows a question."""
    rng = np.random.default_rng(5)
    hits = 0
    for run in range(runs):
        shared = rng.normal(size=questions)
        sums = 2 * shared + rng.normal(size=(2, questions)).sum(axis=0)
        got = question_bootstrap(sums, np.full(questions, 2.0), resamples=resamples, seed=run)
        hits += got.lower <= 0 <= got.upper
    return hits / runs


@pytest.mark.parametrize("questions", [10, 80])
def test_coverage(questions):
    assert 0.93 <= coverage(questions, 800, 500) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("questions", [10, 20, 80, 500])
def test_coverage_in_full(questions):
    assert 0.935 <= coverage(questions, 4000, 1000) <= 0.965


def test_imports_numpy_and_scipy_only_and_scipy_late():
    code = (
        "import sys, pkgutil, importlib, evalkit.stats as s\n"
        "for m in pkgutil.iter_modules(s.__path__): importlib.import_module(f'evalkit.stats.{m.name}')\n"
        "bad = {'scipy', 'pandas', 'sklearn', 'msgspec', 'hydra'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("clusters", "errors"), [(2, 14.0826), (6, 3.4901), (10_000, 2.8020)])
def test_the_smallest_detectable_effect_allows_for_few_questions(clusters, errors):
    """Student's t: 12.706 + 1.376 with one degree of freedom, 2.571 + .920 with five, 1.960 + .842 in the end."""
    found = Interval(0.0, -1.0, 1.0, 50, 0.95, 0.1, clusters)
    assert found.detectable() == pytest.approx(0.1 * errors, abs=1e-4)


def test_nothing_is_said_to_be_detectable_without_a_standard_error():
    assert Interval(0.0, None, None, 5, 0.95, None, 1).detectable() is None
    assert Interval(0.0, 0.0, 0.0, 5, 0.95, 0.0, 9).detectable() is None
