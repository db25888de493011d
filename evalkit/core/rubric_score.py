"""From verdicts on criteria to the score of an answer: the named formulas, and what a score rests on."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Literal

from evalkit.core.schema import CriterionVerdict

Formula = Literal["share", "mean"]
"""share  points met over positive points; below 0 where faults outweigh (HealthBench; the mean over items is clipped).
mean   weighted mean of the grades as they are given (WritingBench); of yes and no, the share of weight met."""


def rubric_score(verdicts: Sequence[CriterionVerdict], formula: Formula) -> float | None:
    """The score of one answer by the criteria that have a verdict; None where they allow none.

    Args:
        verdicts: one for each criterion.
        formula: how they are put together.

    Returns:
        ``share``: sum of points times level over the sum of the positive points, at most 1; HealthBench's
        ``calculate_score`` where criteria are met or not. ``mean``: mean of the values, weighted by points where these
        are positive; criteria of different kinds are put on 0 to 1 first, and one with negative points counts turned
        round.
    """
    judged = [one for one in verdicts if one.value is not None]
    if formula == "share":
        positive = fsum(one.points for one in judged if one.points > 0)
        return fsum(one.points * (one.level or 0.0) for one in judged) / positive if positive > 0 else None
    weight = fsum(abs(one.points) for one in judged)
    if not weight > 0:
        return None
    alike = len({one.kind for one in verdicts}) == 1 and all(one.points > 0 for one in verdicts)
    values = [
        (one.value if alike else one.level if one.points > 0 else 1.0 - (one.level or 0.0)) or 0.0 for one in judged
    ]
    return fsum(abs(one.points) * value for one, value in zip(judged, values, strict=True)) / weight


def rests_on(verdicts: Sequence[CriterionVerdict]) -> str:
    """How many of the criteria and of their points have a verdict: ``9 of 12 criteria, 31 of 40 points``."""
    judged = [one for one in verdicts if one.value is not None]
    points, every = (fsum(abs(one.points) for one in some) for some in (judged, verdicts))
    return f"{len(judged)} of {len(verdicts)} criteria, {points:g} of {every:g} points"
