"""Online Elo over random orders: what the table says, and not how its rows came to be in some order."""

import numpy as np
import pytest

from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.elo import EloRatings
from tests.ratings.rows import judged

OUTCOMES = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]


def rows(votes):
    """Votes on six models; about two on each question."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(votes):
        a, b = rng.choice(6, 2, replace=False)
        scores = OUTCOMES[int(rng.choice(3, p=[0.55, 0.3, 0.15]))]
        found.append(judged(f"m{a}", f"m{b}", scores, item=f"q{number // 2}", repeat=number))
    return found


def rated(votes):
    (table,) = comparisons(votes)
    return {row.model: row.estimates for row in EloRatings(200).rate(table)}


@pytest.mark.parametrize("seed", range(3))
def test_ratings_and_limits_are_the_same_in_whatever_order_the_rows_are_stored(seed):
    votes = rows(150)
    first = rated(votes)
    again = rated([votes[place] for place in np.random.default_rng(seed).permutation(len(votes)).tolist()])
    assert first.keys() == again.keys()
    for model, estimates in first.items():
        for name, one in estimates.items():
            other = again[model][name]
            assert (one.estimate, one.lower, one.upper) == pytest.approx((other.estimate, other.lower, other.upper))


def test_the_order_of_the_table_counts_where_it_is_asked_for():
    votes = rows(150)
    ends = []
    for order in (votes, votes[::-1]):
        (table,) = comparisons(order)
        ends.append({row.model: row.main.estimate for row in EloRatings(0).rate(table)})
    assert any(abs(ends[0][model] - ends[1][model]) > 0.1 for model in ends[0])
