from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, ttest_1samp

from evalkit.stats.flips import effect, holm, mcnemar, side, sign_flip, turned


def test_a_verdict_turns_whichever_way_its_winner_changes():
    before = np.array([0.0, 0.0, 0.5, 1.0, 1.0, 0.6])
    after = np.array([0.5, 1.0, 0.0, 1.0, 0.0, 0.9])
    assert turned(before, after).tolist() == [1, 1, -1, 0, -1, 0]
    assert side(np.array([0.1, 0.5, 0.500000000001, 0.7])).tolist() == [-1, 0, 0, 1]


def test_values_that_are_all_alike_have_limits_still():
    none = effect(np.zeros(48), np.repeat(np.arange(24), 2))
    assert none.estimate == 0
    assert none.lower < 0 < none.upper
    every = effect(np.ones(24), np.arange(24))
    assert 0.5 < every.lower < every.upper == 1
    assert every.p == 2 * 0.5**24
    assert none.p == 1


def test_one_question_says_little():
    found = effect(np.ones(2), np.zeros(2, dtype=np.int64))
    assert found.lower <= 0 <= found.upper


def test_limits_are_of_questions_not_of_verdicts():
    values = np.array([1.0, -1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    alone = effect(values, np.arange(8))
    copied = effect(np.tile(values, 5), np.tile(np.arange(8), 5))
    assert copied.standard_error == pytest.approx(alone.standard_error)


@pytest.mark.parametrize(("alike", "certain"), [(4, False), (5, False), (6, True), (9, True)])
def test_a_few_verdicts_that_turned_the_same_way_may_be_chance(alike, certain):
    values = np.zeros(20)
    values[:alike] = 1.0
    found = effect(values, np.arange(20))
    assert found.p == pytest.approx(2 * 0.5**alike)
    assert (found.lower > 0) is certain


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_the_sign_flip_test_is_exact(doubled):
    totals = np.array(doubled) / 2
    sums = [
        abs(sum(sign * total for sign, total in zip(signs, totals, strict=True)))
        for signs in product((1, -1), repeat=len(totals))
    ]
    expected = np.mean([one >= abs(totals.sum()) - 1e-12 for one in sums])
    assert sign_flip(totals, np.arange(len(totals))) == pytest.approx(expected)
    assert sign_flip(np.repeat(totals, 2) / 2, np.repeat(np.arange(len(totals)), 2)) <= 1


def test_with_many_questions_or_odds_it_is_students():
    rng = np.random.default_rng(0)
    few = np.rint(rng.normal(0.2, 1, 400))
    shifted = few + 1e-4
    questions = np.arange(400)
    assert sign_flip(few, questions) == pytest.approx(sign_flip(shifted, questions), abs=0.004)
    assert sign_flip(np.tile(few, 2), np.arange(800)) == pytest.approx(ttest_1samp(np.tile(few, 2), 0).pvalue)


@pytest.mark.slow
def test_no_effect_is_called_one_in_twenty_times_at_most():
    """Six designs, sparse to dense, 300 times each: at most 5% of limits leave zero out, as far as 300 can tell."""
    rng = np.random.default_rng(1)
    for rate in (0.05, 0.2, 0.8):
        for questions in (12, 24):
            wrong = 0
            for _ in range(300):
                values = rng.choice([-1.0, 0.0, 1.0], 2 * questions, p=[rate / 2, 1 - rate, rate / 2])
                found = effect(values, np.repeat(np.arange(questions), 2))
                wrong += not found.lower <= 0 <= found.upper
            assert binom.sf(wrong - 1, 300, 0.05) > 0.001, (rate, questions, wrong)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (5, 0), (3, 9), (10, 10), (30, 12)])
def test_mcnemar_is_the_exact_binomial(one, other):
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one, other) == pytest.approx(expected)


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_weighted_holm_by_hand():
    """At weights 2 to 1 to 1, of 4: .01 x 4/2, then .03 x 2/1, then .04 x 1/1, and never less than the one before."""
    assert holm([0.03, 0.01, 0.04], [1, 2, 1]) == pytest.approx([0.06, 0.02, 0.06])
    assert holm([0.01, 0.04, 0.03], [0.5, 0.5, 0.5]) == pytest.approx(holm([0.01, 0.04, 0.03]))


def test_weights_do_not_raise_the_chance_of_a_false_rejection():
    rng, weights = np.random.default_rng(5), [4.0, 1.0, 1.0, 0.5]
    false = [min(holm(rng.random(4).tolist(), weights)) < 0.05 for _ in range(4000)]
    assert 0.035 < np.mean(false) < 0.062
