"""The formulas of rubrics, against those of their sources, and what a score rests on."""

from __future__ import annotations

import random

import msgspec
import pytest

from evalkit.core.rubric_score import rests_on, rubric_score, score_range
from evalkit.core.schema import BOUNDS, CriterionVerdict, Failure


def verdict(points, value, kind="yes_no", name="1"):
    error = Failure("unparsed", "?") if value is None else None
    return CriterionVerdict(id=name, points=points, kind=kind, value=value, error=error)


def healthbench(points, met):
    """simple-evals, healthbench_eval.py: points achieved over points possible; None where none are possible."""
    possible = sum(one for one in points if one > 0)
    return None if possible == 0 else sum(one for one, is_met in zip(points, met, strict=True) if is_met) / possible


def test_share_is_healthbenchs_score():
    draw = random.Random(0)
    for _ in range(200):
        points = [draw.choice([-10, -5, -1, 1, 3, 7, 10]) for _ in range(draw.randint(1, 20))]
        met = [draw.random() < 0.5 for _ in points]
        found = rubric_score([verdict(p, float(m)) for p, m in zip(points, met, strict=True)], "share")
        assert found == (None if healthbench(points, met) is None else pytest.approx(healthbench(points, met)))


def test_mean_is_writingbenchs_mean():
    grades = [7, 3, 10, 1, 8]
    assert rubric_score([verdict(1, g, "1-10") for g in grades], "mean") == pytest.approx(sum(grades) / 5)
    assert rubric_score([verdict(3, 5, "1-5"), verdict(1, 1, "1-5")], "mean") == pytest.approx(4)


def test_kinds_that_differ_are_put_on_one_scale_and_faults_are_turned_round():
    mixed = [verdict(1, 1.0), verdict(1, 3, "1-5"), verdict(-2, 1.0)]
    assert rubric_score(mixed, "mean") == pytest.approx((1 + 0.5 + 0) / 4)


def test_a_criterion_without_a_verdict_is_no_fault_and_no_merit():
    verdicts = [verdict(5, 1.0), verdict(5, None), verdict(-5, None)]
    assert rubric_score(verdicts, "share") == 1.0, "of what was judged"
    assert rests_on(verdicts) == "1 of 3 criteria, 5 of 15 points"
    assert rubric_score([verdict(5, None), verdict(-5, 1.0)], "share") is None
    assert rubric_score([verdict(5, None)], "mean") is None


@pytest.mark.parametrize(
    ("verdicts", "formula", "ends"),
    [
        ([verdict(1, 5, "1-5"), verdict(2, 1, "1-5")], "mean", (1.0, 5.0)),
        ([verdict(1, 5, "1-10")], "mean", (1.0, 10.0)),
        ([verdict(1, 5, "1-10"), verdict(1, 1.0)], "mean", (0.0, 1.0)),
        ([verdict(1, 5, "1-10"), verdict(-1, 5, "1-10")], "mean", (0.0, 1.0)),
        ([verdict(1, 1.0), verdict(2, 3, "1-5")], "share", (0.0, 1.0)),
        ([verdict(1, 1.0), verdict(-2, 1.0)], "share", (-2.0, 1.0)),
        ([verdict(3, 1.0), verdict(5, 4, "1-5"), verdict(-3, 1.0), verdict(-1, 1.0)], "share", (-0.5, 1.0)),
        ([verdict(1, 0.0, name="refused"), verdict(1, 3, "1-5", name="use")], "harm", (0.0, 1.0)),
    ],
    ids=str,
)
def test_a_score_lies_within_what_its_formula_allows(verdicts, formula, ends):
    assert score_range(verdicts, formula) == ends
    low, high = ends or (-float("inf"), 1.0)
    for extreme in (0, 1):
        every = [
            msgspec.structs.replace(one, value=BOUNDS[one.kind][extreme if one.points > 0 else 1 - extreme])
            for one in verdicts
        ]
        assert low <= rubric_score(every, formula) <= high
        if ends and formula != "harm":
            assert rubric_score(every, formula) == ends[extreme], "and reaches it"
