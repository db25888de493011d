"""Floors of intervals: what so few questions leave unseen, what a sample that spreads shows by itself, and steps that
few values leave between means."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta, binom

from evalkit.stats.bounded import half_step, unseen_limits
from evalkit.stats.resample import floored, question_bootstrap, question_means

SCALE = (1.0, 10.0)


def at(estimate, deviation, questions, limits=SCALE):
    error = np.array([deviation / np.sqrt(questions)])
    low, high = unseen_limits(np.array([estimate]), error, np.array([float(questions)]), limits)
    return float(low[0]), float(high[0])


@pytest.mark.parametrize("questions", [4, 8, 20, 80])
@pytest.mark.parametrize("estimate", [1.0, 4.0, 9.5])
def test_a_share_that_would_show_in_all_but_five_percent_may_lie_at_an_end(questions, estimate):
    low, high = at(estimate, 0.3, questions)
    share = 1 - 0.05 ** (1 / questions)
    assert (1 - share) ** questions == pytest.approx(0.05)
    assert low == pytest.approx((1 - share) * estimate + share * 1)
    assert high == pytest.approx((1 - share) * estimate + share * 10)


def test_what_spreads_over_the_scale_hides_nothing_and_the_share_falls_between():
    assert at(5.0, 0.14 * 9, 8) == (5.0, 5.0)
    widths = [high - low for low, high in (at(5.0, part * 9, 8) for part in (0.0, 0.07, 0.09, 0.11, 0.13, 0.2))]
    assert widths[0] == widths[1] > widths[2] > widths[3] > widths[4] > widths[5] == 0


def test_the_floor_is_the_same_on_every_scale():
    low, high = at(4.0, 0.3, 12)
    assert at(40.0, 3.0, 12, (10.0, 100.0)) == pytest.approx((10 * low, 10 * high))


@pytest.mark.parametrize("strata", [None, np.arange(12) % 3])
def test_scores_alike_leave_room_for_a_far_one_and_scores_that_spread_do_not(strata):
    alike, spread = 4 + 0.1 * (np.arange(12) % 4), np.tile([2.0, 5.0, 8.0, 4.0], 3)
    for values, same in ((alike, False), (spread, True)):
        usual, scores = (
            question_means(values[:, None], np.ones((12, 1)), limits=SCALE, unseen=unseen, strata=strata)[0]
            for unseen in (False, True)
        )
        assert ((scores.lower, scores.upper) == (usual.lower, usual.upper)) is same
        if not same:
            assert scores.lower <= values.mean() - (1 - 0.05 ** (1 / 12)) * (values.mean() - 1) + 1e-9
            assert scores.standard_error > 2 * usual.standard_error, "the error beside it is that of the interval"


def test_differences_of_scores_have_no_such_floor():
    alike = 0.1 * (np.arange(12) % 4)
    found = question_bootstrap(alike, np.ones(12), limits=(-9.0, 9.0))
    assert found.upper < 1


def limits_of_wins(questions):
    """Limits [Q + 1] of win rates by how many of the questions were won."""
    every = [
        question_bootstrap((np.arange(questions) < won).astype(float), np.ones(questions), limits=(0, 1), resamples=500)
        for won in range(questions + 1)
    ]
    return np.array([[one.lower, one.upper] for one in every])


@pytest.mark.parametrize(
    ("questions", "rates"),
    [(8, {0.997: 0.976}), (20, {0.5: 0.959, 0.95: 0.984}), (80, {0.8: 0.95, 0.95: 0.965, 0.997: 0.976})],
)
def test_win_rates_are_covered_as_nearly_as_whole_wins_allow(questions, rates):
    """Exactly, by the binomial distribution: the mean over rates is near 95%, and no rate is covered far less."""
    lower, upper = limits_of_wins(questions).T
    won = np.arange(questions + 1)

    def coverage(rate):
        return binom.pmf(won, questions, rate)[(lower <= rate) & (rate <= upper)].sum()

    for rate, expected in rates.items():
        assert coverage(rate) == pytest.approx(expected, abs=0.012)
    every = [coverage(rate) for rate in np.linspace(0.5, 0.9995, 400)]
    assert 0.945 < np.mean(every) < 0.975
    assert min(every) > 0.9


@pytest.mark.parametrize(("questions", "won"), [(8, 5), (8, 7), (20, 19), (80, 78)])
def test_limits_of_wins_are_beta_limits_with_half_a_question_more_at_either_end(questions, won):
    lower, upper = limits_of_wins(questions)[won]
    assert lower == pytest.approx(beta.ppf(0.025, won, questions - won + 0.5), abs=0.01)
    assert upper == pytest.approx(beta.ppf(0.975, won + 0.5, questions - won), abs=0.01)


def test_few_questions_keep_student_s_limits_unless_they_are_won_or_lost_entirely():
    spread = np.array([3.0, 4.0, 5.0, 6.0, 7.0, 4.5, 5.5, 5.0])
    error = spread.std(ddof=1) / np.sqrt(8)
    found = question_bootstrap(spread, np.ones(8), limits=SCALE)
    assert (found.upper - found.lower) / 2 == pytest.approx(2.3646 * error, rel=0.08)
    split = np.repeat([1.0, 10.0], 4)
    found = question_bootstrap(split, np.ones(8), limits=SCALE)
    assert found.upper - found.lower < 0.85 * 2 * 2.3646 * split.std(ddof=1) / np.sqrt(8)


def test_of_what_is_no_mean_of_questions_the_floor_only_widens():
    """Limits that do not lie about their estimate, such as those of a length-controlled win rate, stay as they are."""
    won = np.repeat([0.0, 1.0], [2, 78])
    found = question_bootstrap(won, np.ones(80), limits=(0, 1))
    far = floored(replace(found, lower=0.7, upper=1.0), won - won.mean(), (0, 1))
    assert (far.lower, far.upper) == (0.7, 1.0)
    near = floored(replace(found, lower=0.97, upper=0.98), won - won.mean(), (0, 1))
    assert near.lower < 0.93
    instead = floored(replace(found, lower=0.7, upper=1.0), won - won.mean(), (0, 1), instead=True)
    assert (instead.lower, instead.upper) == pytest.approx((found.lower, found.upper), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([1, -1, -1, 1], 2.0),
        ([1, 0, -1, 0, 0], 1.0),
        ([0.5, 0.5, 0.5], 0.0),
        ([7.0, 3.0], 4.0),
        ([0, 0, 0, 5], 5.0),
        ([1, 1.001, -1, -0.999], 1.999),  # nearly alike is alike
        ([1, 1, 1, 1, -1, -1, -1, 0.5], (4 * 0.5 + 3 * 1.5 + 0.5) / 8),
    ],
)
def test_half_the_distance_between_two_means(values, step):
    column = np.array(values, dtype=np.float64)[:, None]
    assert half_step(column)[0] == pytest.approx(step / (2 * len(values)))
    both = np.column_stack([column, 10 * column - 3])
    assert half_step(both) == pytest.approx([step / (2 * len(values)), 10 * step / (2 * len(values))])


def test_values_that_form_no_steps_have_next_to_none():
    values = np.random.default_rng(0).normal(size=(200, 50))
    assert (half_step(values) < 0.01 * values.std(axis=0, ddof=1) / np.sqrt(200)).all()
