"""When a tournament is over, and what its claims are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.core.protocols import Judge, UsageError

About = Literal["questions_like_these", "these_questions"]
"""What claims hold for: the questions are a sample of others like them, or all there is to it."""


@dataclass(frozen=True)
class StoppingRule:
    """What must be known, how much may be asked for it, and what is claimed."""

    until: str
    """order, top1, top3, ranks:1, elo:20; see ``evalkit.stats.adaptive_ranking.Goal``."""
    max_judgments: int | None = None
    """Judgments that the whole tournament may take, earlier runs included."""
    about: About = "questions_like_these"
    gap: float | None = None
    """For a forecast: how often each model is thought to beat the next."""

    def check(self, models: Sequence[str], judges: Sequence[Judge], *, baseline: bool) -> None:
        """Refuse what no tournament can be made of.

        Raises:
            UsageError: it cannot stop early as set up; the message says why and what to change.
        """
        from evalkit.stats.adaptive_ranking import Goal

        try:
            goal = Goal.read(self.until)
        except ValueError as error:
            raise UsageError(f"until={error}") from error
        where = f"until={self.until}"
        if baseline:
            raise UsageError(
                f"{where} chooses among all pairs of models, and here each meets the baseline only; leave out either "
                "baseline or until"
            )
        if single := [judge for judge in judges if judge.protocol.shows != 2]:
            name, protocol = single[0].name, single[0].protocol.name
            raise UsageError(
                f"{where} chooses pairs, and "
                + (
                    f"judge {name!r} is a reward model, which scores each answer by itself; leave it or until out"
                    if protocol == "reward"
                    else f"protocol {protocol} grades each answer by itself; add protocol=pairwise"
                )
            )
        if batch := [judge.name for judge in judges if judge.batch]:
            raise UsageError(
                f"{where} chooses the next pairs by what was said of the last ones, and judge {batch[0]!r} is asked in "
                "batches that take hours; leave judge.batch out, or leave until out and ask all pairs"
            )
        exclusive = {id(judge.model.backend): judge.name for judge in judges if judge.model.backend.exclusive}
        if len(exclusive) > 1:
            raise UsageError(
                f"{where} asks all judges in every round, and {' and '.join(map(repr, exclusive.values()))} each need "
                "the accelerator alone; choose one of them, or serve them as servers of their own"
            )
        if goal.kind == "top" and goal.amount >= len(models):
            raise UsageError(f"{where} needs more than {goal.amount:g} models, and there are {len(models)}")

    def guarantee(self, items: int) -> str:
        """What the claims of the tournament hold for, and how surely."""
        about = {
            "questions_like_these": f"questions like these {items:,}, taken as a random sample of them",
            "these_questions": f"these {items:,} questions: what asking every pair on each of them would show",
        }[self.about]
        return (
            "The probability that any claim of this tournament, on any pair and at whatever time it is read, is wrong "
            f"is at most 5%, for {about}. Pairs were chosen by what was seen, which cannot raise it: each pair is "
            "tested by a betting e-value of its own units, corrected for all pairs (Bonferroni). A unit is one "
            "question's verdicts on a pair in both orders, by all judges; win rates are per unit. Ranks follow "
            "from claims on pairs by transitivity."
        )
