import numpy as np
import pytest

from evalkit.stats.cumulants import LARGE, resampled_mean_limits, resampled_ratio_limits
from evalkit.stats.question_draws import question_counts
from evalkit.stats.resample import question_means

COLUMNS = {
    "grades": lambda rng, size: np.clip(rng.normal(7, 2, size).round(), 1, 10),
    "skewed": lambda rng, size: rng.gamma(4, size=size),
    "constant but for noise": lambda rng, size: 5 + rng.normal(0, 0.1, size),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("size", [LARGE + 1, 700])
def test_what_is_calculated_is_what_drawing_comes_to(kind, size):
    values = COLUMNS[kind](np.random.default_rng(size), size)
    lower, upper, close = resampled_mean_limits(values[:, None], 0.025)
    assert close.all()
    drawn = np.concatenate([counts @ values / size for counts in question_counts(size, 20_000, 1)])
    error = values.std() / size**0.5
    assert [lower[0], upper[0]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.08 * error)


def test_where_cumulants_are_not_enough_replicates_are_drawn():
    few = np.arange(float(LARGE))[:, None]
    assert not resampled_mean_limits(few, 0.025)[2].any()
    lone = np.r_[1.0, np.zeros(400)][:, None]  # resampled, it is there 0, 1, 2 or 3 times
    alike = np.full((400, 1), 3.0)
    assert not resampled_mean_limits(lone, 0.025)[2].any()
    assert not resampled_mean_limits(alike, 0.025)[2].any()
    both = np.column_stack([lone[:400], np.arange(400.0) % 7])
    found = question_means(both, np.ones_like(both), resamples=500)
    assert [interval.resamples for interval in found] == [500, 0]


def test_a_ratio_is_calculated_where_cumulants_are_enough():
    rng = np.random.default_rng(0)
    sums, uneven = rng.normal(size=(300, 1)), rng.integers(1, 4, size=(300, 1)).astype(float)
    assert question_means(sums, uneven, pooled=True, resamples=500)[0].resamples == 0
    assert question_means(sums[:100], uneven[:100], pooled=True, resamples=500)[0].resamples == 500


@pytest.mark.parametrize("most", [3, 60])
def test_a_ratio_of_totals_has_the_percentiles_of_its_replicates(most):
    rng = np.random.default_rng(0)
    counts = rng.integers(1, most, size=(400, 1)).astype(float)
    sums = rng.binomial(counts.astype(int), rng.beta(2, 1, size=(400, 1))).astype(float)
    lower, upper, close = resampled_ratio_limits(sums, counts, 0.025)
    drawn = rng.integers(400, size=(20_000, 400))
    ratios = sums[drawn, 0].sum(axis=1) / counts[drawn, 0].sum(axis=1)
    error = ratios.std()
    assert close.all()
    assert lower[0] == pytest.approx(np.quantile(ratios, 0.025), abs=0.06 * error)
    assert upper[0] == pytest.approx(np.quantile(ratios, 0.975), abs=0.06 * error)


def test_a_ratio_with_equal_weights_is_a_mean():
    values = np.random.default_rng(1).random((300, 2))
    ratio = resampled_ratio_limits(3 * values, np.full((300, 2), 3.0), 0.025)
    mean = resampled_mean_limits(values, 0.025)
    for ours, theirs in zip(ratio, mean, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)
