"""Limits in words: no limit rounds to a value that its interval leaves out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.text import limit_digits
from evalkit.evidence import evidence
from evalkit.ratings.tournament import PairOutcome
from evalkit.reports import audit_metrics, grid, tournament_table
from evalkit.stats.resample import Interval


@pytest.mark.parametrize(
    ("lower", "upper", "neutral", "digits"),
    [
        (0.004, 0.3, 0.0, (3, 2)),
        (-0.3, -0.0004, 0.0, (2, 4)),
        (-0.004, 0.3, 0.0, (2, 2)),
        (0.0, 0.3, 0.0, (2, 2)),
        (50.04, 58.0, 50.0, (2, 2)),
        (0.02, 0.3, 0.0, (2, 2)),
        (1e-12, 0.3, 0.0, (2, 2)),
    ],
)
def test_further_digits_where_a_limit_would_seem_to_be_what_it_is_not(lower, upper, neutral, digits):
    assert limit_digits(lower, upper, neutral, 2) == digits


@given(st.floats(-1, 1), st.floats(0, 1), st.integers(0, 3))
def test_what_is_printed_leaves_out_what_the_interval_does(lower, width, digits):
    upper = lower + width
    low, high = limit_digits(lower, upper, 0.0, digits)
    assert digits <= low <= digits + 3
    if lower > 10 ** -(digits + 3):
        assert float(f"{lower:.{low}f}") > 0
    if upper < -(10 ** -(digits + 3)):
        assert float(f"{upper:.{high}f}") < 0
    if lower <= 0 <= upper:
        assert (low, high) == (digits, digits)


def test_every_form_of_an_interval_keeps_to_it():
    effect = Interval(0.2, 0.0004, 0.4, 100, 0.95, 0.1, 50)
    share = Interval(0.55, 0.5003, 0.6, 100, 0.95, 0.02, 50)
    assert grid.signed(effect, 2).limits == "+0.0004 to +0.40"
    assert evidence.signed(effect) == "+0.20 (95% +0.0004 to +0.40)"
    assert evidence.percent(share) == "55.0% (95% 50.03% to 60.0%)"
    assert audit_metrics.limits(0.5003, 0.6, "share", 0.5) == "50.03%–60.0%"
    assert audit_metrics.limits(0.4, 0.6, "share", 0.5) == "40.0%–60.0%"
    pair = PairOutcome("a", "b", 0.0, 0.0, 0.49967, 11, 0, "b", follows=False, needed=False, why=None)
    assert tournament_table._limits(pair) == "0.0%–49.97%"
