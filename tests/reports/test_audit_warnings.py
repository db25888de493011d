"""Warnings of one box hold together."""

import numpy as np
import pytest

from evalkit.reports.audit_warnings import PossibleWarning, Warnings, p_below


def test_rows_of_one_claim_share_its_part_of_the_level():
    """Two claims have .025 each, of which eight rows of one have an eighth each."""
    many = [PossibleWarning(f"row {number}", "many", 1.0) for number in range(7)]
    assert Warnings([PossibleWarning("one", "alone", 0.024), PossibleWarning("row 7", "many", 1.0), *many]).hold("one")
    assert not Warnings([PossibleWarning("one", "alone", 0.026), PossibleWarning("row 7", "many", 1.0), *many]).hold(
        "one"
    )
    assert Warnings([PossibleWarning("one", "alone", 1.0), PossibleWarning("row 7", "many", 0.003), *many]).hold(
        "row 7"
    )
    assert not Warnings([PossibleWarning("one", "alone", 1.0), PossibleWarning("row 7", "many", 0.004), *many]).hold(
        "row 7"
    )


def test_what_was_no_candidate_does_not_hold_and_the_same_counts_once():
    found = Warnings([PossibleWarning("one", "alone", 0.01), PossibleWarning("one", "alone", 0.01)])
    assert found.hold("one")
    assert not found.hold("other")
    assert found.looked_at == 1
    assert Warnings([]).looked_at == 0


def test_any_of_many_is_given_by_chance_as_seldom_as_promised():
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(2000):
        made = Warnings(PossibleWarning(number, str(number % 5), p) for number, p in enumerate(rng.random(14).tolist()))
        false += any(made.hold(number) for number in range(14))
    assert 0.03 < false / 2000 < 0.066


def test_p_of_a_bound_is_what_its_limit_says():
    assert p_below(0.6, 0.5, 0.4, 0.6, 0) == pytest.approx(0.025)
    assert p_below(0.4, 0.5, 0.4, 0.6, 0) == pytest.approx(0.975)
    assert p_below(0.5, 0.5, 0.4, 0.6, 20) == pytest.approx(0.5)
