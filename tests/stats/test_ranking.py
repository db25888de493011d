import numpy as np
import pytest
from scipy import stats

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.ranking import (
    confidence_agreement,
    kendall,
    rank_correlations,
    separability,
    spearman,
)


def test_benchmark_separation():
    lower, upper = np.array([3.0, 1.0, 0.0]), np.array([4.0, 2.0, 1.5])
    assert separability(lower, upper) == pytest.approx(2 / 3)
    assert confidence_agreement(lower, upper, lower, upper) == pytest.approx(2 / 3)
    assert confidence_agreement(lower, upper, -upper, -lower) == pytest.approx(-2 / 3)
    assert confidence_agreement(lower, upper, np.zeros(3), np.ones(3)) == 0


def test_rank_correlations():
    rng = np.random.default_rng(1)
    x, y = rng.integers(6, size=30).astype(float), rng.integers(6, size=30).astype(float)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)
    assert spearman(x, 2 * x + 1) == pytest.approx(1)
    assert kendall(x, -x) == pytest.approx(-1)


def test_many_rank_correlations_are_those_of_each(monkeypatch):
    monkeypatch.setattr("evalkit.stats.ranking.CHUNK", 40)  # three at a time
    rng = np.random.default_rng(2)
    first, second = rng.integers(4, size=(2, 50, 3)).astype(float)
    first[0] = 1.0
    got = rank_correlations(first, second)
    for one, (x, y) in enumerate(zip(first, second, strict=True)):
        for correlation, values in zip((spearman, kendall), got, strict=True):
            if np.ptp(x) == 0 or np.ptp(y) == 0:
                assert np.isnan(values[one])
            else:
                assert values[one] == pytest.approx(correlation(x, y))
    assert np.isnan(got[0][0])


def test_raises():
    with pytest.raises(NotMeasurable, match="2 models"):
        spearman(np.ones(1), np.ones(1))
    with pytest.raises(NotMeasurable, match="differ"):
        kendall(np.ones(3), np.arange(3.0))
