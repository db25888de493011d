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


def test_a_set_worked_by_hand():
    """Two questions in both forms, and one more in each form only, which counts in its accuracy alone.

    Question 1: right 8 and 6, wrong 3: gap 3, spread 2; alone right 7, wrong 6: gap 1. The gap is wider than the
    spread, but not that of both forms (1 < 2): tanh(1/2 - 1). Question 2: right 4 and 1, wrong 2: gap -1; alone 5
    against 1: gap 4. The narrower one, -1, over a spread of 3: tanh(-1/3 - 1). Alone: 3 of 3 right. Tied: 2 of 3.
    """
    single = {"1": ([7.0], [6.0, 1.0]), "2": ([5.0], [1.0]), "5": ([2.0], [1.0])}
    tied = {"1": ([8.0, 6.0], [3.0, 0.0]), "2": ([4.0, 1.0], [2.0]), "9": ([3.0, 3.0], [1.0])}
    margin = (math.tanh(1 / 2 - 1) + math.tanh(-1 / 3 - 1)) / 2
    assert ties_score(single, tied) == pytest.approx(0.3 * 1 + 0.3 * 2 / 3 + 0.2 * 1 / 2 + 0.2 * 0 + 0.01 * margin)


def test_a_right_answer_level_with_a_wrong_one_is_not_right():
    assert ties_score({"1": ([2.0], [2.0])}, {"1": ([2.0, 2.0], [2.0])}) == 0.0  # no gap, no spread: 0 / 0 counts as 0


def test_right_answers_of_one_score_that_lose_have_the_whole_deduction():
    assert ties_score({"1": ([9.0], [1.0])}, {"1": ([2.0, 2.0], [3.0])}) == pytest.approx(0.3 - 0.01)


def test_a_gap_as_wide_as_the_spread_is_not_wider():
    single, tied = {"1": ([5.0], [1.0])}, {"1": ([6.0, 4.0], [2.0])}
    assert ties_score(single, tied) == pytest.approx(0.6 + 0.01 * math.tanh(0.0))


def test_one_right_answer_in_the_form_for_several_has_no_spread():
    assert ties_score({"1": ([3.0], [1.0])}, {"1": ([3.0], [1.0])}) == pytest.approx(1.01)


def test_the_scale_of_a_reward_model_does_not_matter():
    single, tied = {"1": ([7.0], [6.0])}, {"1": ([8.0, 6.0], [3.0])}
    moved = [{"1": tuple([10 * x - 50 for x in side] for side in form["1"])} for form in (single, tied)]
    assert ties_score(*moved) == pytest.approx(ties_score(single, tied))
