"""The tests behind the warnings of one box, held together: an unbiased judge gets any of them in at most 5% of audits.

Each possible warning that chance could bring about is a candidate with the p-value of what it denies. Holm's procedure
holds them together (Holm 1979, Scandinavian Journal of Statistics 6:65). The level is first shared among claims, then
among the rows of a claim, so that many rows about one thing, such as a share for each category, take nothing from the
power of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from evalkit.reports.audit_metrics import p_value

LEVEL = 0.05
"""Of all warnings of a box together."""


class PossibleWarning(NamedTuple):
    """A warning that might be given."""

    key: Hashable
    """What it is asked for by."""
    claim: str
    """What it says may not be concluded; others of the same claim share its part of the level."""
    p: float


class Warnings:
    """Warnings of a box that hold, together.

    Attributes:
        looked_at: Candidates.
    """

    def __init__(self, candidates: Iterable[PossibleWarning]) -> None:
        from evalkit.stats.flips import holm

        listed = list({one.key: one for one in candidates}.values())
        rows = Counter(one.claim for one in listed)
        weights = [1 / rows[one.claim] for one in listed]
        self._adjusted = dict(zip((one.key for one in listed), holm([one.p for one in listed], weights), strict=True))
        self.looked_at = len(listed)

    def hold(self, key: Hashable) -> bool:
        """Whether this warning may be given; not if it was no candidate."""
        return self._adjusted.get(key, 1.0) < LEVEL


def p_below(bound: float, estimate: float, lower: float, upper: float, questions: int) -> float:
    """One-sided p of a quantity of at least this size, as its 95% interval implies it (see ``p_value``)."""
    p = p_value(estimate, lower, upper, bound, questions)
    return p / 2 if estimate < bound else 1 - p / 2
