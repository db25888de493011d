"""Correlations over a few models: planted truths lie within the limits, and too few models have none."""

import numpy as np
import pytest
from scipy import stats

from evalkit.stats.correlations import linear_correlation, rank_correlation
from evalkit.stats.errors import NotMeasurable


@pytest.mark.parametrize("models", [5, 6, 12, 40])
@pytest.mark.parametrize("truth", [0.0, 0.6, -0.9])
def test_limits_hold_a_planted_correlation(models, truth):
    """Of 400 data sets from a bivariate normal at least 92% hold it, by ranks at least 90%."""
    rng = np.random.default_rng(models)
    ranks = 6 / np.pi * np.arcsin(truth / 2)  # of an endless population (Pearson 1907)
    inside = np.zeros(2)
    for _ in range(400):
        x = rng.normal(size=models)
        y = truth * x + np.sqrt(1 - truth**2) * rng.normal(size=models)
        linear, rank = linear_correlation(x, y), rank_correlation(x, y)
        inside[0] += linear.lower < truth < linear.upper
        inside[1] += rank.lower is None or rank.lower < ranks < rank.upper
    assert inside[0] >= 0.92 * 400
    assert inside[1] >= 0.90 * 400


def test_estimates_are_scipys():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 9))
    y[3] = y[4]
    assert linear_correlation(x, y).estimate == pytest.approx(stats.pearsonr(x, y).statistic)
    assert rank_correlation(x, y).estimate == pytest.approx(stats.spearmanr(x, y).statistic)
    slopes = [np.polyfit(z, figure, 1) for figure in (x, y)]
    rest = [figure - np.polyval(slope, z) for figure, slope in zip((x, y), slopes, strict=True)]
    assert linear_correlation(x, y, z).estimate == pytest.approx(stats.pearsonr(*rest).statistic)


def test_limits_are_fishers_z():
    x, y = np.arange(8.0), np.array([0.0, 2, 1, 3, 5, 4, 7, 6])
    found = linear_correlation(x, y)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert (found.lower, found.upper) == (pytest.approx(expected.low), pytest.approx(expected.high))
    fixed = linear_correlation(x, y, np.array([1.0, 0, 0, 1, 0, 1, 1, 0]))
    assert np.arctanh(fixed.upper) - np.arctanh(fixed.estimate) == pytest.approx(1.959964 / 2)  # 8 - 3 - 1


@pytest.mark.parametrize("correlation", [rank_correlation, linear_correlation])
def test_few_models_have_no_limits_and_say_why(correlation):
    four = correlation([1.0, 2, 3, 5], [1.0, 3, 2, 4])
    assert four.lower is None
    assert "needs at least 5 models; with 4" in four.reason
    five = correlation([1.0, 2, 3, 5, 6], [1.0, 3, 2, 4, 5], [3.0, 1, 2, 5, 4])
    assert "needs at least 6 models; with 5" in five.reason
    whole = correlation([1.0, 2, 3, 4, 5, 6], [2.0, 4, 6, 8, 10, 12])
    assert whole.estimate == pytest.approx(1.0)
    assert whole.lower is None
    assert "no spread" in whole.reason


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        (([1.0, 2.0], [1.0, 2.0]), "at least 3 models that have both figures; there are 2"),
        (([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 5.0]), "at least 4 models"),
        (([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), "differ between models"),
        (([1.0, 2.0, 3.0, 5.0], [1.0, 3.0, 2.0, 7.0], [1.0, 2.0, 3.0, 5.0]), "does not determine"),
    ],
)
def test_what_cannot_be_told(figures, says):
    with pytest.raises(NotMeasurable, match=says):
        linear_correlation(*figures)
