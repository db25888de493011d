import numpy as np
import pytest
from scipy import stats

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.ranking import (
    confidence_agreement,
    kendall,
    rank_correlations,
    rank_ranges,
    separability,
    spearman,
)


def test_rank_ranges():
    got = rank_ranges(np.array([2.0, 0.05, 0.0, -2.0]), 0.01 * np.eye(4))
    assert got.rank.tolist() == [1, 2, 3, 4]
    assert got.best.tolist() == [1, 2, 2, 4]
    assert got.worst.tolist() == [1, 3, 3, 4]
    assert got.separated == pytest.approx(5 / 6)


def test_simultaneous_quantile_is_tukeys():
    got = rank_ranges(np.zeros(5), np.eye(5), draws=100_000)
    assert got.critical == pytest.approx(stats.studentized_range.ppf(0.95, 5, np.inf) / 2**0.5, abs=0.02)
    assert rank_ranges(np.zeros(5), np.eye(5), simultaneous=False).critical == pytest.approx(1.96, abs=1e-3)
    assert got.best.tolist() == [1] * 5
    assert got.worst.tolist() == [5] * 5
    assert got.rank.tolist() == [1] * 5


def test_simultaneous_coverage():
    rng = np.random.default_rng(0)
    truth = np.array([1.0, 0.8, 0.5, 0.0])
    rank = np.array([1, 2, 3, 4])
    hits = 0
    for _ in range(400):
        got = rank_ranges(truth + rng.normal(size=4) * 0.2, 0.04 * np.eye(4), draws=1000)
        hits += ((got.best <= rank) & (rank <= got.worst)).all()
    assert hits / 400 > 0.93


def test_differences_use_the_correlation():
    near = np.array([[1.0, 0.99], [0.99, 1.0]])
    assert rank_ranges(np.array([0.5, 0.0]), near).separated == 1
    assert rank_ranges(np.array([0.5, 0.0]), np.eye(2)).separated == 0


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


@pytest.mark.parametrize("cells", [50, 1 << 22])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_the_largest_difference_is_that_of_all_pairs(monkeypatch, cells, spread):
    """Models that cannot be in the largest difference of a draw are passed over, and no other."""
    monkeypatch.setattr("evalkit.stats.ranking.CELLS", cells)
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(12, 20)) * np.linspace(1, spread, 12)[:, None]
    covariance = factor @ factor.T
    got = rank_ranges(np.zeros(12), covariance, draws=400, seed=5)
    values, vectors = np.linalg.eigh(covariance)
    root, stream = vectors * np.sqrt(values.clip(min=0)), np.random.default_rng(5)
    rows = max(1, cells // 12)
    sizes = [min(rows, 400 - start) for start in range(0, 400, rows)]
    z = np.concatenate([stream.standard_normal((size, 12)) @ root.T for size in sizes])
    a, b = np.triu_indices(12, 1)
    error = np.sqrt(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b])
    largest = (np.abs(z[:, a] - z[:, b]) / error).max(axis=1)
    assert got.critical == pytest.approx(np.quantile(largest, 0.95), rel=1e-9)


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
    with pytest.raises(NotMeasurable, match="2 models"):
        rank_ranges(np.ones(1), np.eye(1))
    with pytest.raises(NotMeasurable, match="positive variance"):
        rank_ranges(np.ones(2), np.zeros((2, 2)))
    with pytest.raises(NotMeasurable, match="2 questions"):
        rank_ranges(np.ones(2), None)
    with pytest.raises(ValueError, match="2 by 2"):
        rank_ranges(np.ones(2), np.eye(3))
