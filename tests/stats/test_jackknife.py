"""Limits from leaving out groups of questions."""

import numpy as np
import pytest

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.jackknife import jackknife
from evalkit.stats.resample import cluster_mean


def test_a_mean_has_the_limits_of_the_bootstrap():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(300), 4)
    values = rng.normal(size=1200) + rng.normal(size=300)[clusters]
    got = jackknife(lambda keep: float(values[keep].mean()), clusters, groups=300)
    other = cluster_mean(values, clusters)
    assert got.estimate == pytest.approx(other.estimate)
    assert got.standard_error == pytest.approx(other.standard_error, rel=0.02)
    assert (got.lower, got.upper) == pytest.approx((other.lower, other.upper), abs=0.01)


def test_covers():
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(60), 3)
    inside = 0
    for _ in range(300):
        values = rng.normal(size=180) + rng.normal(size=60)[clusters]
        got = jackknife(lambda keep, values=values: float(values[keep].mean() ** 3 + values[keep].mean()), clusters)
        inside += got.lower <= 0 <= got.upper
    assert inside / 300 > 0.9


def test_stays_within_bounds_and_admits_that_it_cannot_tell():
    clusters = np.arange(10)
    values = np.r_[np.ones(9), 0.0]
    got = jackknife(lambda keep: float(values[keep].mean()), clusters, bounds=(0.0, 1.0))
    assert got.upper == 1.0
    assert jackknife(lambda keep: 1.0, np.zeros(4, dtype=np.int64)).lower is None

    def fragile(keep):
        if not keep.all():
            raise NotMeasurable("needs all")
        return 1.0

    assert jackknife(fragile, clusters).lower is None
