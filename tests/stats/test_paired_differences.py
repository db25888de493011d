"""Differences of all pairs: against a paired t test, all pairs at once, on common cells, never without width."""

import numpy as np
import pytest
from scipy import stats

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.paired_differences import differences_of_estimates, paired_differences


def test_one_pair_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    values = rng.normal(5, 1, size=(40, 1)) + rng.normal([0.4, 0.0], 0.6, size=(40, 2))
    found = paired_differences(values, np.arange(40)).intervals[0]
    test = stats.ttest_rel(values[:, 0], values[:, 1])
    limits = test.confidence_interval()
    assert found.estimate == pytest.approx((values[:, 0] - values[:, 1]).mean())
    assert (found.lower, found.upper) == pytest.approx((limits.low, limits.high))
    assert found.estimate / found.standard_error == pytest.approx(test.statistic)


def test_turns_of_a_question_are_one_unit():
    rng = np.random.default_rng(2)
    by_question = rng.normal(size=(30, 2))
    cells = np.repeat(by_question, 2, axis=0)  # both turns alike: no more is known than from one
    one = paired_differences(by_question, np.arange(30)).intervals[0]
    two = paired_differences(cells, np.repeat(np.arange(30), 2)).intervals[0]
    assert (two.lower, two.upper) == pytest.approx((one.lower, one.upper))
    assert (two.clusters, two.n) == (30, 60)


def test_fixed_categories_leave_out_what_differs_between_them():
    rng = np.random.default_rng(3)
    strata = np.repeat(np.arange(4), 20)
    gap = np.array([2.0, -2.0, 1.0, -1.0])[strata] + rng.normal(0, 0.3, 80)
    values = np.column_stack([5 + gap, np.full(80, 5.0)])
    free = paired_differences(values, np.arange(80)).intervals[0]
    fixed = paired_differences(values, np.arange(80), strata=strata).intervals[0]
    assert fixed.estimate == pytest.approx(free.estimate)
    assert fixed.upper - fixed.lower < 0.35 * (free.upper - free.lower)


def test_a_pair_is_compared_on_what_both_have():
    values = np.array([[5.0, 4, np.nan], [6, 4, 1], [7, 5, 2], [8, 8, 3], [np.nan, 1, 9], [5, 4, 2]])
    found = {(a, b): one for a, b, one in zip(*_columns(paired_differences(values, np.arange(6))), strict=True)}
    assert found[0, 1].estimate == pytest.approx(np.mean([1, 2, 2, 0, 1]))
    assert found[0, 1].clusters == 5
    assert found[1, 2].estimate == pytest.approx(np.mean([3, 3, 5, -8, 2]))


def _columns(found):
    return found.a.tolist(), found.b.tolist(), found.intervals


@pytest.mark.parametrize("pooled", [False, True])
def test_missing_cells_change_nothing_for_pairs_that_lack_none(pooled):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(60, 3))
    question, strata = np.repeat(np.arange(20), 3), np.repeat(np.arange(4), 15)
    alone = paired_differences(values[:, :2], question, strata=strata, pooled=pooled).intervals[0]
    values[::7, 2] = np.nan
    among = paired_differences(values, question, strata=strata, pooled=pooled).intervals[0]
    assert among.estimate == pytest.approx(alone.estimate)
    assert among.standard_error == pytest.approx(alone.standard_error)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("lacking", [0.0, 0.01, 0.3, 0.9])
def test_a_pair_among_many_is_what_it_is_alone_whatever_is_missing(lacking, pooled):
    rng = np.random.default_rng(7)
    values, question = rng.normal(size=(90, 5)), rng.integers(0, 30, 90)
    values[rng.random(values.shape) < lacking] = np.nan
    for a, b, among in zip(*_columns(paired_differences(values, question, pooled=pooled)), strict=True):
        alone = paired_differences(values[:, [a, b]], question, pooled=pooled).intervals[0]
        assert (among is None) == (alone is None)
        if among is not None:
            assert (among.n, among.clusters) == (alone.n, alone.clusters)
            assert among.estimate == pytest.approx(alone.estimate)
            assert among.standard_error == pytest.approx(alone.standard_error)


def test_few_questions_have_no_interval_and_say_why():
    found = paired_differences(np.array([[1.0, 2], [1, 3], [2, 2]]), np.arange(3), limits=(1, 10)).intervals[0]
    assert (found.lower, found.upper) == (None, None)
    assert "at least 4 questions" in found.reason


def test_nothing_in_common_is_no_difference():
    values = np.array([[1.0, np.nan], [np.nan, 2.0]] * 5)
    found = paired_differences(values, np.arange(10))
    assert found.intervals == (None,)
    assert (found.best.tolist(), found.worst.tolist()) == ([1, 1], [2, 2])


@pytest.mark.parametrize("gap", [0.0, 3.0, -9.0])
def test_no_interval_is_without_width_where_all_questions_are_alike(gap):
    values = np.column_stack([np.full(20, 10.0 + min(gap, 0)), np.full(20, 10.0 - max(gap, 0))])
    found = paired_differences(values, np.arange(20), limits=(1, 10)).intervals[0]
    assert found.estimate == pytest.approx(gap)
    assert found.upper - found.lower > 0.2
    unknown = paired_differences(values, np.arange(20)).intervals[0]
    assert unknown.lower is None
    assert "known scale" in unknown.reason


@pytest.mark.slow
def test_all_pairs_hold_at_once():
    """Of 8 equal models, a pair is called different in 5% of tables, not in most of them."""
    rng = np.random.default_rng(5)
    wrong = by_itself = 0
    for _ in range(400):
        values = rng.normal(size=(30, 1)) + rng.normal(size=(30, 8))
        found = paired_differences(values, np.arange(30), draws=1000)
        wrong += bool((found.best > 1).any() or (found.worst < 8).any())
        by_itself += any(abs(one.estimate) > 2.045 * one.standard_error for one in found.intervals)
    assert 0.02 < wrong / 400 < 0.085
    assert by_itself / 400 > 0.3


def test_ranks_hold_every_true_rank():
    rng = np.random.default_rng(6)
    level = np.array([3.0, 2.0, 1.9, 0.0])
    values = level + rng.normal(size=(60, 1)) + rng.normal(0, 0.8, size=(60, 4))
    found = paired_differences(values, np.arange(60))
    assert (found.best.tolist(), found.worst.tolist()) == ([1, 2, 2, 4], [1, 3, 3, 4])


def test_known_covariance_gives_the_same_as_the_questions_it_is_of():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(50, 3)) + np.array([0.5, 0.0, 0.0])
    direct = paired_differences(values, np.arange(50))
    other = differences_of_estimates(values.mean(axis=0), np.cov(values, rowvar=False) / 50, clusters=50, n=50)
    for one, two in zip(direct.intervals, other.intervals, strict=True):
        assert one.estimate == pytest.approx(two.estimate)
        assert one.standard_error == pytest.approx(two.standard_error)
        assert one.lower == pytest.approx(two.lower, abs=0.02)  # both levels are simulated


def known(estimates, covariance, **more):
    return differences_of_estimates(np.array(estimates), covariance, **({"clusters": 10**6, "n": 1} | more))


def test_ranks_of_estimates():
    got = known([2.0, 0.05, 0.0, -2.0], 0.01 * np.eye(4))
    assert got.best.tolist() == [1, 2, 2, 4]
    assert got.worst.tolist() == [1, 3, 3, 4]


def test_simultaneous_quantile_is_tukeys():
    got = known(np.zeros(5), np.eye(5), draws=100_000)
    critical = stats.norm.ppf(0.5 + got.pairwise / 2)
    assert critical == pytest.approx(stats.studentized_range.ppf(0.95, 5, np.inf) / 2**0.5, abs=0.02)
    assert known(np.zeros(2), np.eye(2)).pairwise == 0.95
    assert (got.best.tolist(), got.worst.tolist()) == ([1] * 5, [5] * 5)


def test_simultaneous_coverage_of_ranks():
    rng = np.random.default_rng(0)
    truth, rank = np.array([1.0, 0.8, 0.5, 0.0]), np.array([1, 2, 3, 4])
    hits = 0
    for _ in range(400):
        got = known(truth + rng.normal(size=4) * 0.2, 0.04 * np.eye(4), draws=1000)
        hits += ((got.best <= rank) & (rank <= got.worst)).all()
    assert hits / 400 > 0.93


def test_differences_use_the_correlation():
    near = np.array([[1.0, 0.99], [0.99, 1.0]])
    assert known([0.5, 0.0], near).best.tolist() == [1, 2]
    assert known([0.5, 0.0], np.eye(2)).best.tolist() == [1, 1]


def test_no_covariance_is_no_limits():
    found = differences_of_estimates(np.array([1.0, 0.0]), None, clusters=1, n=3).intervals
    assert found[0] is None or found[0].lower is None


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(NotMeasurable, match="2 models"):
        paired_differences(np.ones((5, 1)), np.arange(5))
    with pytest.raises(ValueError, match="infinite"):
        paired_differences(np.array([[1.0, np.inf]] * 5), np.arange(5))
    with pytest.raises(NotMeasurable, match="2 models"):
        known([1.0], np.eye(1))
    with pytest.raises(ValueError, match="2 by 2"):
        known([1.0, 1.0], np.eye(3))
    with pytest.raises(ValueError, match="level"):
        paired_differences(np.ones((5, 2)), np.arange(5), level=1.0)
