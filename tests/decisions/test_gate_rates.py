"""The gate's error rates on models against themselves, from public data where these are at hand."""

import numpy as np
import pytest

from tests.certification.gates import power, rates, sources

DRAWS = 2000
SURE = 3.5 * (0.05 * 0.95 / DRAWS) ** 0.5
"""Beyond alpha, what chance allows one share in some thousands."""


@pytest.mark.slow
def test_false_passes_and_false_failures_are_alpha_at_most():
    rng = np.random.default_rng(0)
    for name, values, span in sources():
        for one in rates(values, span, DRAWS, rng):
            assert one.passed <= 0.05 + SURE, (name, one.design)
            assert one.failed <= 0.05 + SURE, (name, one.design)
            assert one.usual is None or one.usual[1] <= one.failed, (name, one.design)


@pytest.mark.slow
def test_the_fixed_gate_loses_little_of_a_paired_t_tests_power():
    for one in power(1000, np.random.default_rng(0)):
        assert one.fixed > one.paired_t - 0.1, one
        assert one.sequential <= one.fixed + 0.05, one
