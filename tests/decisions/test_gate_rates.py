"""The gate's error rates on models against themselves, from public data where these are at hand."""

import numpy as np
import pytest

from tests.perf.gate_rates import power, rates, sources

DRAWS = 2000
SURE = 3.5 * (0.05 * 0.95 / DRAWS) ** 0.5
"""Beyond alpha, what chance allows one share in some thousands."""


@pytest.mark.slow
def test_false_passes_and_false_failures_are_alpha_at_most():
    rng = np.random.default_rng(0)
    for name, values, span in sources():
        for design, passed, failed in rates(values, span, DRAWS, rng):
            assert passed <= 0.05 + SURE, (name, design)
            assert failed <= 0.05 + SURE, (name, design)


@pytest.mark.slow
def test_the_fixed_gate_loses_little_of_a_paired_t_tests_power():
    for size, theory, fixed, sequential in power(1000, np.random.default_rng(0)):
        assert fixed > theory - 0.1, size
        assert sequential <= fixed + 0.05, size
