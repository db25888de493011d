"""What once misled readers of an audit, one by one: each input prints what it should.

Others of the kind are tested where they belong: verdicts that never change or follow the order (`test_claims`),
intervals at the ends of a scale, categories of few questions (`tests/ratings/test_intervals_at_the_ends`), paired
checkpoints (`tests/decisions/test_compare`), audit and leaderboard (`test_ratings_as_on_a_leaderboard`), the same
figures everywhere and S2 with its coverage (`tests/reports/test_same_figures`), coverage of all of these
(`tests/certification`).
"""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.audit.label_budgets import METRICS as BUDGETS
from evalkit.cli.metric_docs import metrics
from evalkit.reports.audit_metrics import display_name
from evalkit.stats.win_rate import win_rate
from tests.audit.test_claims import LITTLE, box, says, showings

MISREAD = ("position effect", "winning rate", "at least as good as a person", "agreement with intervals")
"""What these numbers were called when they were taken for something else."""


def test_rows_that_are_there_twice_narrow_nothing():
    """Four verdicts of a deterministic judge are one: neither the interval nor the error beside it shrinks."""
    outcome = (np.random.default_rng(0).random(40) < 0.7).astype(float)
    question = np.arange(40)
    one = win_rate(outcome, clusters=question).interval
    four = win_rate(np.repeat(outcome, 4), clusters=np.repeat(question, 4)).interval
    assert (four.estimate, four.lower, four.upper) == pytest.approx((one.estimate, one.lower, one.upper), abs=0.5)
    assert four.standard_error == pytest.approx(one.standard_error, rel=0.02)
    assert four.clusters == 40


@pytest.mark.parametrize("seed", range(12))
def test_no_bias_is_never_found_beside_a_p_value_that_says_otherwise(seed):
    """Few pairs that lean, some to the second place: the test of signs and the interval may differ by a little."""
    rng = np.random.default_rng(seed)
    leans = np.where(rng.random(30) < 0.3, rng.choice([1, 1, 1, 1, -1], 30), 0)
    found, said = box(showings(leans))
    tested = [row.details["p_value"] for row in found.findings if row.metric == "position_fairness"]
    assert len(tested) == 1
    if tested[0] < 0.05:
        assert not says(said.may, LITTLE)
        assert not says(said.may, "no bias was found")


def test_names_that_were_misread_are_gone_and_numbers_come_with_their_unit():
    labels = [metric.label.lower() for metric in metrics()]
    assert not [label for label in labels if label.startswith(MISREAD)]
    for metric in metrics():
        shown = display_name(metric)
        assert metric.unit.form == "share" or metric.unit.name in shown
    assert all(metric.as_sentence for metric in BUDGETS), "a plan is a sentence, never a bare number"
