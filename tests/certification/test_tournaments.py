"""Tournaments over real and simulated designs claim nothing wrong more often than they say, and save what they should.

The long form: `python -m tests.certification.tournaments --replays 1000`.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tests.certification.tournaments import DESIGNS, even, replay, simulated, summary


def allowed(replays: int) -> float:
    """Wrong claims that come by chance in 1 of 1,000 where 5% are promised."""
    return float(binom.ppf(0.999, replays, 0.05)) / replays


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("name", "goal", "saved"), [("prd gpt4", "order", 0.3), ("mtbench gpt4", "top3", 0.5)])
def test_replays_of_real_designs(name, goal, saved, whole):
    got = summary(DESIGNS[name](), goal, 8, whole=whole)
    assert got["wrong"] <= allowed(8)
    assert got["saved"] >= saved


@pytest.mark.parametrize("whole", [False, True])
def test_where_no_model_is_better_nothing_is_claimed(whole):
    got = summary(even(4, 30), "order", 25, whole=whole)
    assert got["wrong"] <= allowed(25)
    if not whole:
        assert got["reached"] == 0


def test_clear_gaps_save_most_judgments():
    got = replay(simulated(12, 1.0, 60), "order", np.random.default_rng(1), whole=True)
    assert got.reached
    assert not got.wrong
    assert 1 - got.asked >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(DESIGNS) - {"simulated 50"}))
def test_replays_of_every_design(name):
    for whole in (False, True):
        got = summary(DESIGNS[name](), "top3", 20, whole=whole)
        assert got["wrong"] <= allowed(20)
