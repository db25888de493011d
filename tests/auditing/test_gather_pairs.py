"""Rows of the same pair are found alike, whichever way their keys are sorted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evalkit.auditing.gather_pairs import _grouped


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 2), st.integers(0, 3)), max_size=40))
def test_groups_are_those_of_sorted_keys(keys):
    rows = np.array(keys, dtype=np.int64).reshape(-1, 3)
    expected = sorted(range(len(keys)), key=lambda row: (keys[row], row))
    for wide in (1, 1 << 40):  # too wide for one number a row
        order, group, first = _grouped(rows * wide)
        assert order.tolist() == expected
        assert group.tolist() == [sorted(set(keys)).index(keys[row]) for row in expected]
        assert first.tolist() == [keys.index(key) for key in sorted(set(keys))]
