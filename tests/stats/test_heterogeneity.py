"""Whether groups share one rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.heterogeneity import PERMUTATIONS, exchanged, heterogeneity


def drawn(rng, shares, questions=12, votes=8, spread=0.0):
    """Votes of questions in groups, whose questions differ by this standard deviation."""
    groups = np.repeat(np.arange(len(shares)), questions * votes)
    clusters = np.repeat(np.arange(len(shares) * questions), votes)
    chance = np.clip(np.repeat(shares, questions) + spread * rng.normal(size=len(shares) * questions), 0.01, 0.99)
    return (rng.random(groups.size) < chance[clusters]).astype(float), np.ones(groups.size), groups, clusters


def test_near_the_textbook_where_votes_are_independent():
    rng = np.random.default_rng(3)
    values, weights, groups, _ = drawn(rng, [0.7, 0.8, 0.6], questions=200, votes=1)
    got = heterogeneity(values, weights, groups, np.arange(values.size))
    table = np.array([np.bincount(groups, values), np.bincount(groups, 1 - values)])
    assert got.chi_square == pytest.approx(chi2_contingency(table, correction=False).statistic, rel=0.06)
    assert (got.degrees, got.n, got.clusters) == (2, 600, 600)


def test_silent_on_equal_groups_however_much_questions_differ():
    rng = np.random.default_rng(0)
    found = [heterogeneity(*drawn(rng, [0.7] * 6, spread=0.15)) for _ in range(400)]
    assert np.mean([one.p_value < 0.05 for one in found]) < 0.08
    assert np.mean([one.lower > 0 for one in found]) < 0.08


def test_finds_the_spread_there_is():
    rng = np.random.default_rng(1)
    shares = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.7])
    found = [heterogeneity(*drawn(rng, shares, questions=40)) for _ in range(60)]
    assert np.mean([one.spread for one in found]) == pytest.approx(shares.std(ddof=1), abs=0.01)
    assert all(one.lower <= one.spread <= one.upper for one in found)
    assert np.mean([one.p_value < 0.05 for one in found]) == 1


def test_the_estimate_is_that_of_paule_and_mandel():
    """At the estimate, the groups' distance is what chance expects; DerSimonian and Laird's lies elsewhere."""
    rng = np.random.default_rng(5)
    values, weights, groups, clusters = drawn(rng, [0.2, 0.9, 0.6, 0.7], questions=30, votes=1)
    got = heterogeneity(values, weights, groups, clusters)
    share = np.bincount(groups, values) / 30
    cautious = (30 * share + 1) / 32
    variance = 30 / 29 * cautious * (1 - cautious) / 30
    weight = 1 / (variance + got.spread**2)
    assert weight @ (share - weight @ share / weight.sum()) ** 2 == pytest.approx(3, rel=1e-6)
    assert got.lower < got.spread < got.upper


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(0.02, 0.98), min_size=2, max_size=6),
    st.integers(2, 12),
    st.integers(1, 6),
    st.floats(0, 0.4),
    st.integers(0, 999),
)
def test_the_estimate_is_between_its_limits(shares, questions, votes, spread, seed):
    got = heterogeneity(*drawn(np.random.default_rng(seed), shares, questions, votes, spread))
    assert got.lower <= got.spread <= got.upper
    assert (got.spread == 0) == (got.chi_square <= got.degrees)
    if got.upper:
        assert got.spread < got.upper
    if got.spread:
        assert got.lower < got.spread


def test_groups_that_agree_throughout_are_not_certain():
    groups = np.repeat([0, 1], 10)
    values = np.where(groups == 0, 1.0, np.tile([1.0, 0.9], 10))
    got = heterogeneity(values, np.ones(20), groups, np.arange(20))
    assert got.p_value > 0.05


def test_needs_groups_of_questions():
    one = np.zeros(4, dtype=np.int64)
    with pytest.raises(NotMeasurable, match="two categories"):
        heterogeneity(np.ones(4), np.ones(4), one, np.arange(4))
    with pytest.raises(NotMeasurable, match="two categories"):
        heterogeneity(np.ones(4), np.ones(4), np.arange(4), np.arange(4))


def test_exchanged_units_of_equal_groups_are_as_far_apart_as_often_as_promised():
    """With few values other than 0, as leans are, and groups of unequal size."""
    rng, groups = np.random.default_rng(1), np.repeat([0, 1, 2, 3], [4, 8, 12, 16])
    p = np.array([exchanged(rng.choice([-1.0, 0, 0, 0, 1], 40), groups, seed=seed) for seed in range(300)])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 3 * (level * (1 - level) / 300) ** 0.5
    assert (p <= 0.5).mean() > 0.35


@pytest.mark.parametrize("shift", [(3, 0, 0, 0, 0, 0, 0, 0), (1, 1, 1, 1, -1, -1, -1, -1)])
def test_one_group_apart_is_found_and_so_are_all(shift):
    rng, groups = np.random.default_rng(2), np.arange(80) % 8
    assert exchanged(np.array(shift)[groups] + rng.normal(size=80), groups) < 0.01


def test_exchanging_two_groups_by_hand():
    """Of the 70 ways to choose four of eight, two are as far apart as the lowest four and the highest."""
    values, groups = np.arange(8.0), np.repeat([0, 1], 4)
    assert exchanged(values, groups) == pytest.approx(2 / 70, rel=0.25)
    assert exchanged(values[::-1].copy(), groups) == pytest.approx(2 / 70, rel=0.25)


def test_what_no_permutation_reaches_is_as_rare_as_they_are_many():
    values = np.repeat([0.0, 1.0], 100)
    assert exchanged(values, np.repeat([0, 1], 100)) == pytest.approx(1 / (PERMUTATIONS + 1))
    assert exchanged(np.zeros(10), np.arange(10) % 2) == 1


def test_exchanged_needs_groups():
    with pytest.raises(ValueError, match="two groups"):
        exchanged(np.ones(3), np.zeros(3, dtype=np.int64))
