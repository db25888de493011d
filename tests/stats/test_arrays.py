import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.arrays import renumbered


@given(st.lists(st.integers(0, 40) | st.integers(0, 2**62), max_size=30))
def test_renumbered_is_numpys_unique(values):
    array = np.array(values, dtype=np.int64)
    distinct, place = renumbered(array)
    expected = np.unique(array, return_inverse=True)
    assert distinct.tolist() == expected[0].tolist()
    assert place.tolist() == expected[1].tolist()
