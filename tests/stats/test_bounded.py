"""Steps between the means that few values leave."""

import numpy as np
import pytest

from evalkit.stats.bounded import half_step


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
