"""Temperature and ties of differences of scores: planted truths are recovered, and what cannot be told is not."""

import numpy as np
import pytest
from scipy.optimize import minimize

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.preference_scale import PreferenceScale, preference_scale


def labels(difference, temperature, eta, rng):
    win, tie, _ = PreferenceScale.stated(temperature, eta).probabilities(difference)
    drawn = rng.random(difference.size)
    return np.where(drawn < win, 1.0, np.where(drawn < win + tie, 0.5, 0.0))


@pytest.mark.parametrize(("temperature", "eta"), [(0.02, 0.0), (2.5, 0.0), (2.5, 0.5), (300.0, 1.5)])
def test_planted_temperature_and_ties_are_recovered(temperature, eta):
    inside, expected = 0, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        difference = rng.normal(0, 1.6 * temperature, 600)
        fitted = preference_scale(difference, labels(difference, temperature, eta, rng), np.arange(600) // 3)
        inside += fitted.temperature.lower < temperature < fitted.temperature.upper
        truth = PreferenceScale.stated(temperature, eta).probabilities(difference)[1].mean()
        expected.append(fitted.ties - truth)
        if eta:
            assert fitted.margin / temperature == pytest.approx(eta, rel=0.35)
        else:
            assert (fitted.ties, fitted.margin) == (pytest.approx(0.0, abs=1e-12), 0.0)
    assert inside >= 52  # of 60; 51 or fewer would happen once in 300
    assert abs(np.mean(expected)) < 0.01


def test_the_fit_is_the_likeliest():
    rng = np.random.default_rng(5)
    difference = rng.normal(0, 3, 200)
    said = labels(difference, 2.0, 0.4, rng)
    fitted = preference_scale(difference, said, np.arange(200))

    def loss(x):
        scale = PreferenceScale.stated(np.exp(x[0]), np.exp(x[1]))
        win, tie, lost = scale.probabilities(difference)
        return -np.log(np.where(said == 1, win, np.where(said == 0.5, tie, lost))).sum()

    best = minimize(loss, [0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}).x
    assert fitted.temperature.estimate == pytest.approx(np.exp(best[0]), rel=1e-5)
    assert fitted.eta == pytest.approx(np.exp(best[1]), rel=1e-5)


def test_probabilities_are_symmetric_and_whole():
    scale = PreferenceScale.stated(2.0, 0.7)
    win, tie, loss = scale.probabilities([-3.0, 0.0, 3.0, 1.4])
    np.testing.assert_allclose(win + tie + loss, 1.0)
    np.testing.assert_allclose(win[:3], loss[2::-1])
    assert scale.margin == pytest.approx(1.4)
    assert win[3] == pytest.approx(0.5)
    far = scale.probabilities([1e6])
    assert (far[0][0], far[1][0], far[2][0]) == (1.0, 0.0, 0.0)


def test_which_answer_comes_first_does_not_matter():
    rng = np.random.default_rng(2)
    difference, questions = rng.normal(0, 2, 90), np.arange(90) // 2
    said = labels(difference, 1.0, 0.3, rng)
    turned = rng.random(90) < 0.5
    one = preference_scale(difference, said, questions)
    other = preference_scale(np.where(turned, -difference, difference), np.where(turned, 1 - said, said), questions)
    assert other.slope.estimate == pytest.approx(one.slope.estimate)
    assert other.slope.standard_error == pytest.approx(one.slope.standard_error)
    assert other.eta == pytest.approx(one.eta)


def test_copies_of_questions_add_nothing():
    rng = np.random.default_rng(3)
    difference, questions = rng.normal(0, 2, 100), np.arange(100)
    said = labels(difference, 1.0, 0.3, rng)
    once = preference_scale(difference, said, questions)
    twice = preference_scale(np.tile(difference, 2), np.tile(said, 2), np.tile(questions, 2))
    assert twice.slope.standard_error == pytest.approx(once.slope.standard_error)


@pytest.mark.parametrize(
    ("difference", "outcome", "says"),
    [
        ([], [], "name the better answer"),
        ([1.0, -2.0], [0.5, 0.5], "name the better answer"),
        ([0.0, 0.0], [1.0, 0.0], "different scores"),
        ([1.0, -2.0, 3.0], [1.0, 0.0, 1.0], "do not part altogether"),
        ([2.0, -2.0, 0.1], [1.0, 0.0, 0.5], "do not part altogether"),
    ],
)
def test_what_labels_cannot_tell(difference, outcome, says):
    with pytest.raises(NotMeasurable, match=says):
        preference_scale(difference, outcome, np.arange(len(outcome)))


def test_scores_that_say_nothing_have_no_temperature():
    rng = np.random.default_rng(1)
    fitted = preference_scale(rng.normal(size=80), (rng.random(80) < 0.5) * 1.0, np.arange(80))
    with pytest.raises(NotMeasurable, match="tell the labelled answers apart"):
        _ = fitted.temperature
    against = preference_scale([3.0, 2.0, 1.0, -1.0, 0.5], [0.0, 0.0, 1.0, 1.0, 0.0], [0, 1, 2, 3, 4])
    with pytest.raises(NotMeasurable, match="tell the labelled answers apart"):
        _ = against.temperature


def test_few_questions_have_no_limits():
    fitted = preference_scale([1.0, 2.0, -1.0, 1.5, 0.2], [1.0, 1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1, 2])
    assert fitted.slope.lower is None
    assert fitted.temperature.lower is None


@pytest.mark.parametrize(("temperature", "eta"), [(0.0, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (1.0, -0.1)])
def test_stated_ones_must_make_sense(temperature, eta):
    with pytest.raises(ValueError, match="temperature"):
        PreferenceScale.stated(temperature, eta)


def test_outcomes_are_three():
    with pytest.raises(ValueError, match="outcomes"):
        preference_scale([1.0, 2.0], [0.7, 1.0], [0, 1])
