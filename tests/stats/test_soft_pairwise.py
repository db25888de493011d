from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.soft_pairwise import permutation_p_values, soft_pairwise_accuracy

SCORES = hnp.arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(1, 12)), elements=st.integers(0, 4).map(float))


def exact(x, y):
    """p over all 2^N swaps of the items that both have, ties half."""
    d = x - y
    d = d[np.isfinite(d)]
    swaps = np.array(list(product([1, -1], repeat=d.size))) @ d
    return (swaps > d.sum() + 1e-9).mean() + (abs(swaps - d.sum()) <= 1e-9).mean() / 2


def test_close_to_all_permutations():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, size=(4, 10)).astype(float)
    scores[1] += 0.7
    scores[2, 3] = scores[0, 0] = np.nan
    got = permutation_p_values(scores, permutations=20_000)
    for a, b in product(range(4), repeat=2):
        if a != b:
            assert got[a, b] == pytest.approx(exact(scores[a], scores[b]), abs=0.015)


def test_small_p_for_the_better_model():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(2, 100)) + np.array([[1.0], [0.0]])
    got = permutation_p_values(scores)
    assert got[0, 1] < 0.001
    assert got[1, 0] > 0.999


@settings(max_examples=60, deadline=None)
@given(SCORES)
def test_properties(scores):
    p = permutation_p_values(scores, permutations=100)
    assert p + p.T == pytest.approx(np.ones_like(p))
    assert (np.diag(p) == 0.5).all()
    order = np.random.default_rng(0).permutation(len(scores))
    assert permutation_p_values(scores[order], permutations=100) == pytest.approx(p[np.ix_(order, order)])
    assert soft_pairwise_accuracy(scores, scores, permutations=100).accuracy == 1
    assert soft_pairwise_accuracy(scores, 3 * scores + 1, permutations=100).accuracy == pytest.approx(1)
    other = scores[::-1]
    one, two = (soft_pairwise_accuracy(*pair, permutations=100).accuracy for pair in ((scores, other), (other, scores)))
    assert one == pytest.approx(two)
    assert 0 <= one <= 1


def test_opposite_rankings():
    scores = np.arange(4.0)[:, None] + np.zeros(20)
    got = soft_pairwise_accuracy(scores, -scores)
    assert got.accuracy == pytest.approx(0, abs=0.01)
    assert got.pairs == 6


def test_a_judge_that_cannot_tell():
    scores = np.arange(4.0)[:, None] + np.zeros(20)
    assert soft_pairwise_accuracy(scores, np.zeros((4, 20))).accuracy == pytest.approx(0.5, abs=0.01)


def test_near_ties_cost_little():
    """Kendall's tau would take off two for the pair; here people did not know either."""
    rng = np.random.default_rng(2)
    human = rng.normal(size=(3, 200)) + np.array([[0.0], [0.02], [2.0]])
    judge = rng.normal(size=(3, 200)) + np.array([[0.02], [0.0], [2.0]])
    assert soft_pairwise_accuracy(human, judge).accuracy > 0.7


def test_scores_of_a_question_are_permuted_together():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(3, 15)) + np.array([[0.0], [0.3], [0.5]])
    order = rng.permutation(60)
    many = scores.repeat(4, axis=1)[:, order]
    question = np.arange(15).repeat(4)[order]
    alone = permutation_p_values(scores)
    assert permutation_p_values(many, clusters=question) == pytest.approx(alone)
    assert abs(permutation_p_values(many)[0, 2] - 0.5) > abs(alone[0, 2] - 0.5)


def test_missing_scores():
    scores = np.array([[1.0, 2.0, np.nan, np.nan], [np.nan, np.nan, 1.0, 2.0], [0.0, 0.0, 5.0, 5.0]])
    got = soft_pairwise_accuracy(scores, scores)
    assert np.isnan(got.human[0, 1])
    assert (got.pairs, got.accuracy) == (2, 1)
    with pytest.raises(NotMeasurable, match="common items"):
        soft_pairwise_accuracy(scores[:2], scores[:2])


def test_a_hundred_models_and_500_items():
    rng = np.random.default_rng(4)
    human = rng.normal(size=(100, 500)) + rng.normal(size=(100, 1)) / 4
    got = soft_pairwise_accuracy(human, human + rng.normal(size=human.shape))
    assert got.pairs == 4950
    assert got.accuracy > 0.8


def test_raises():
    two = np.zeros((2, 3))
    with pytest.raises(ValueError, match="same shape"):
        soft_pairwise_accuracy(two, two[:, :2])
    with pytest.raises(ValueError, match="2 axes"):
        permutation_p_values(np.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        permutation_p_values(np.full((2, 3), np.inf))
    with pytest.raises(ValueError, match="even"):
        permutation_p_values(two, permutations=99)
    with pytest.raises(NotMeasurable, match="two models"):
        soft_pairwise_accuracy(two[:1], two[:1])
