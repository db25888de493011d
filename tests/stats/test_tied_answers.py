"""The score of questions with several right answers: its ends, and what moves it."""

import math

import pytest

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.tied_answers import ties_score


def test_a_perfect_judge_has_all_of_it():
    single, tied = {"1": ([9.0], [1.0])}, {"1": ([9.0, 9.0], [1.0, 0.0])}
    assert ties_score(single, tied) == pytest.approx(1.0 + 0.01 * 1.0)  # no spread: as wide a margin as there is


def test_a_judge_that_is_always_wrong_has_nothing_but_a_small_deduction():
    single, tied = {"1": ([1.0], [9.0])}, {"1": ([1.0, 2.0], [9.0])}
    assert ties_score(single, tied) == pytest.approx(0.01 * math.tanh(-8.0 / 1.0 - 1))


def test_right_answers_that_lie_far_apart_cost_two_fifths():
    single, tied = {"1": ([9.0], [8.0])}, {"1": ([20.0, 9.0], [8.0])}
    assert ties_score(single, tied) == pytest.approx(0.6 + 0.01 * math.tanh(1 / 11 - 1))


def test_the_twin_with_one_right_answer_counts_in_the_hard_share():
    single, tied = {"1": ([5.0], [4.5])}, {"1": ([9.0, 8.0], [4.0])}
    assert ties_score(single, tied) == pytest.approx(0.8 + 0.01 * math.tanh(0.5 - 1))


def test_questions_in_one_form_only_are_nothing():
    with pytest.raises(NotMeasurable, match="one right answer"):
        ties_score({"1": ([1.0], [0.0])}, {"2": ([1.0], [0.0])})
