"""May NEW ship in OLD's place? Passed, failed or undecided, with how many more questions would decide.

NEW passes if it is not worse than OLD by more than a margin M: if the lower end of the interval of the difference lies
above -M. It fails if the upper end lies below -M, and is undecided otherwise. Each end is missed with probability alpha
at most, so a model exactly M worse passes, and fails, with probability alpha at most each.

A fixed gate looks once, with the limits of `evalkit compare`, wider by half the step between two means that verdicts of
few values leave: else a model on the margin passes, of 20 verdicts on pairs, in 5.8% in place of 5%. A sequential one
may look after every question: its limits are a confidence sequence, valid at all times at once, which needs the known
scale and about twice the questions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.core.protocols import UsageError
from evalkit.decisions.pairing import SCORE, CommonVerdicts, judged_twice, pairings
from evalkit.decisions.sources import Sides, check_judge, copied, sides
from evalkit.ratings.standing import named

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray

GateVerdict = Literal["pass", "fail", "inconclusive"]

MARGINS = {SCORE: 0.25}
"""Margin unless given, of scores in points of their scale; elsewhere ``MARGIN`` percentage points."""
MARGIN = 5.0
POWER = 0.8
"""Chance of a decision that the questions still needed are counted for."""
MOST = 1_000_000
"""Questions beyond which a difference is called too close to the margin to be decided."""
SWAPS, SEQUENCES = 2000, 500
"""Draws behind the measured A/A rates, of a fixed gate and of a sequential one."""


@dataclass(frozen=True)
class AgainstItself:
    """What the gate would say of two models that do not differ, measured on the verdicts at hand.

    Attributes:
        source: "repeats": the judge's repeated verdicts on one answer; "split": NEW and OLD swapped at random.
        passed: Shares of draws.
        failed: Of these, false ones.
        undecided: The rest.
        draws: How many.
        n: Questions of each draw.
    """

    source: Literal["repeats", "split"]
    passed: float
    failed: float
    undecided: float
    draws: int
    n: int


@dataclass(frozen=True)
class GateDecision:
    """What a gate says, and on what."""

    verdict: GateVerdict
    verdicts: CommonVerdicts
    """First is NEW, second OLD."""
    difference: float | None
    lower: float | None
    upper: float | None
    margin: float
    alpha: float
    n: int
    """Questions that both have."""
    more_items: int | None
    """Further questions after which 8 of 10 such gates are decided; None where decided, or no number is enough."""
    failed: tuple[int, int]
    sequential: bool
    against_itself: AgainstItself | None
    reason: str | None = None
    """Why there are no limits."""

    def line(self) -> str:
        """The decision in one line."""
        new, old = self.verdicts.a, self.verdicts.b
        unit = "points" if self.verdicts.kind == SCORE else "percentage points"
        if self.difference is None or self.lower is None or self.upper is None:
            return f"INCONCLUSIVE: {new} against {old} on {count(self.n)}: {self.reason or 'no verdict in common'}"
        level = f"{100 - 200 * self.alpha:g}%"
        seen = (
            f"difference {self.difference:+z.3g} {unit}, {level} {self._figure(self.lower)} to "
            f"{self._figure(self.upper)}, margin {self.margin:g}, {count(self.n)}"
        )
        if self.verdict == "pass":
            return f"PASS: {new} is not worse than {old} by more than {self.margin:g} ({seen})"
        if self.verdict == "fail":
            return f"FAIL: {new} is worse than {old} by more than {self.margin:g} ({seen})"
        more = (
            f"about {self.more_items:,} more question{'' if self.more_items == 1 else 's'} would decide"
            if self.more_items is not None
            else "no number of questions in reach would decide: the difference lies too close to the margin"
        )
        return f"INCONCLUSIVE: {new} may or may not be worse than {old} by more than {self.margin:g}; {more} ({seen})"

    def _figure(self, limit: float) -> str:
        """A limit in three digits, or in as many as tell it from the margin."""
        texts = (f"{limit:+z.{digits}g}" for digits in range(3, 8))
        return next((text for text in texts if float(text) != -self.margin), f"{limit:+z.3g}")


def count(questions: int) -> str:
    """A number of questions in words."""
    return f"{questions:,} question{'' if questions == 1 else 's'}"


def gate(
    new: str,
    old: str,
    paths: Iterable[Path],
    *,
    margin: float | None = None,
    at_most: int | None = None,
    alpha: float = 0.05,
    sequential: bool = False,
    judge: str | None = None,
) -> tuple[GateDecision, Sides]:
    """Decide from stored judgments.

    Args:
        new: a model or a place.
        old: the baseline: a model, or a place such as a results file kept in the repository.
        paths: where names are looked for.
        margin: how much worse NEW may be; 0.25 points of a score, 5 percentage points of preference unless given.
        at_most: questions that are used, in the order stored.
        alpha: largest probability of a false pass, and of a false failure.
        sequential: limits hold at every look.
        judge: only this one.

    Raises:
        UsageError: there is nothing to decide on, or several things; or an option makes no sense.
    """
    if not 0 < alpha < 0.5:
        raise UsageError(f"--alpha must be above 0 and below 0.5, not {alpha:g}; 0.05 is usual")
    if margin is not None and not 0 <= margin < math.inf:
        raise UsageError(f"--margin is how much worse NEW may be, 0 or more, not {margin:g}")
    if at_most is not None and at_most < 1:
        raise UsageError(f"--at-most must be at least 1 question, not {at_most}")
    what = sides(new, old, paths)
    if what.judges:
        raise UsageError(f"{new!r} and {old!r} are judges; a gate compares models. `evalkit compare` compares judges")
    found = [one for one in pairings(what, judge)]
    found = [one for one in found if not one.people] or found
    if not found:
        check_judge(what, judge)
        raise UsageError(f"no judge judged both {new!r} and {old!r} in {_places(what)}")
    if len(found) > 1:
        listed = [f"{one.benchmark}: {one.judge} ({one.protocol}), {one.a} and {one.b}" for one in found]
        raise UsageError(
            f"{len(found)} comparisons to decide on: {named(listed)}. A gate decides one: name NEW and OLD as models, "
            "the judge with --judge, or the benchmark's folder as PATH"
        )
    if what.renamed and (same := [name for name in copied(what) if found[0].a == f"{name}@{what.places[0].label}"]):
        text = (
            f"{new} and {old} hold the same judgments of {same[0]}, copied and not asked again, so that a pass says "
            "nothing: name the model that may ship, or a folder with its judgments alone"
        )
        what = replace(what, notes=(*what.notes, text))
    decision = decide(found[0], margin=margin, at_most=at_most, alpha=alpha, sequential=sequential)
    again = judged_twice(what, decision.verdicts)
    return decision if again is None else _with_repeats(decision, again), what


def _with_repeats(decision: GateDecision, again: CommonVerdicts) -> GateDecision:
    """The decision with A/A rates from the judge's repeated verdicts on one model's answers, on as many questions."""
    import numpy as np

    values, weights, strata = by_question(again.where(np.isin(again.question, _order(again)[: decision.n])))
    span = None if again.limits is None else again.limits[1] - again.limits[0]
    found = against_itself(
        values, weights, span, strata, decision.margin, decision.alpha, sequential=decision.sequential
    )
    return decision if found is None else replace(decision, against_itself=replace(found, source="repeats"))


def _places(what: Sides) -> str:
    return ", ".join(str(place.path) for place in what.places)


def decide(
    verdicts: CommonVerdicts,
    *,
    margin: float | None = None,
    at_most: int | None = None,
    alpha: float = 0.05,
    sequential: bool = False,
) -> GateDecision:
    """Decide on these verdicts; arguments are those of ``gate``."""
    import numpy as np

    least = MARGINS.get(verdicts.kind, MARGIN) if margin is None else margin
    if at_most is not None:
        verdicts = verdicts.where(np.isin(verdicts.question, _order(verdicts)[:at_most]))
    both = np.column_stack([verdicts.first, verdicts.second])
    lost = verdicts.failed & np.isnan(both)
    failed = int(lost[:, 0].sum()), int(lost[:, 1].sum())
    values, weights, strata = by_question(verdicts)
    n = values.size

    def undecided(reason: str) -> GateDecision:
        middle = float(values.mean()) if n else None
        return GateDecision(
            "inconclusive", verdicts, middle, None, None, least, alpha, n, None, failed, sequential, None, reason
        )

    span = None if verdicts.limits is None else verdicts.limits[1] - verdicts.limits[0]
    if sequential:
        weights = np.ones(n)  # whose mean its limits are for
        if span is None:
            return undecided("a sequential gate needs a known scale")
        if not n:
            return undecided("no verdict in common")
        limits = anytime_limits(values, span, alpha)
    else:
        found = fixed_limits(values[:, None], weights, span, strata, alpha, preferences=verdicts.kind != SCORE)
        if found is None:
            return undecided("needs at least 4 questions, which differ or are on a known scale")
        limits = float(found[0][0]), float(found[1][0])
    lower, upper = limits
    verdict: GateVerdict = "pass" if lower > -least else "fail" if upper < -least else "inconclusive"
    middle = float((values * weights).sum() / weights.sum())
    itself = against_itself(
        values, weights, span, strata, least, alpha, preferences=verdicts.kind != SCORE, sequential=sequential
    )
    more = None
    if verdict == "inconclusive":
        more = questions_needed(values, middle - lower if middle > -least else upper - middle, abs(middle + least))
    return GateDecision(verdict, verdicts, middle, lower, upper, least, alpha, n, more, failed, sequential, itself)


def _order(verdicts: CommonVerdicts) -> IntArray:
    """Questions in the order stored, which is that of their numbers."""
    import numpy as np

    return np.unique(verdicts.question)


def by_question(verdicts: CommonVerdicts) -> tuple[FloatArray, FloatArray, IntArray | None]:
    """Difference [Q] on each question that both have, in the order stored, its weight, and its category."""
    import numpy as np

    gap = verdicts.first - verdicts.second
    there = np.isfinite(gap)
    names, first, label = np.unique(verdicts.question[there], return_index=True, return_inverse=True)
    counts = np.bincount(label.reshape(-1), minlength=names.size).astype(np.float64)
    values = np.bincount(label.reshape(-1), gap[there], names.size) / np.maximum(counts, 1)
    strata = verdicts.category[there][first] if verdicts.declared else None
    return values, counts if verdicts.pooled else np.ones(names.size), strata


def fixed_limits(
    values: FloatArray,
    weights: FloatArray,
    span: float | None,
    strata: IntArray | None,
    alpha: float,
    *,
    preferences: bool = False,
) -> tuple[FloatArray, FloatArray] | None:
    """Lower and upper limits [R] of means of many samples [Q, R], each missed with probability alpha at most.

    None where there are none: fewer than 4 questions, or all alike on an unknown scale. Of ``preferences`` the ends of
    the scale are what a question is worth that is lost, so that they are reckoned with even where none was seen.
    """
    import numpy as np

    from evalkit.stats.bounded import RARE, half_step
    from evalkit.stats.resample import question_means

    counts = np.broadcast_to(weights[:, None], values.shape).astype(np.float64)
    limits = None if span is None else (-span, span)
    found = question_means(
        values * counts,
        counts,
        pooled=True,
        limits=limits,
        strata=strata,
        resamples=0,
        level=1 - 2 * alpha,
        rare=RARE if preferences else 0.0,
    )
    ends = [(one.lower, one.upper) for one in found if one is not None]
    if len(ends) < values.shape[1] or any(lower is None or upper is None for lower, upper in ends):
        return None
    lower, upper = np.array(ends, dtype=np.float64).T
    step = half_step(values)
    lower, upper = lower - step, upper + step
    return (lower, upper) if span is None else (np.maximum(lower, -span), np.minimum(upper, span))


def anytime_limits(values: FloatArray, span: float, alpha: float) -> tuple[float, float]:
    """Limits after the last of these values [Q] that hold at all times at once, each with probability 1 - alpha."""
    from evalkit.stats.confidence_sequence import confidence_sequence

    times = sorted({*range(1, min(len(values), 20)), *range(20, len(values), max(1, len(values) // 40)), len(values)})
    found = confidence_sequence(values, limits=(-span, span), level=1 - 2 * alpha, times=times)
    return float(found.lower[-1]), float(found.upper[-1])


def against_itself(
    values: FloatArray,
    weights: FloatArray,
    span: float | None,
    strata: IntArray | None,
    margin: float,
    alpha: float,
    *,
    preferences: bool = False,
    sequential: bool = False,
    seed: int = 0,
) -> AgainstItself | None:
    """How often the gate would say what of two models that do not differ: NEW and OLD swapped question by question.

    A sequential one looks after every question. None where it has no limits.
    """
    import numpy as np

    n, draws = values.size, SEQUENCES if sequential else SWAPS
    swapped = values[:, None] * np.random.default_rng(seed).choice([-1.0, 1.0], size=(n, draws))
    if sequential:
        if span is None or not n:
            return None
        passed, failed = _ever_decided(swapped.T, span, margin, alpha)
    else:
        found = fixed_limits(swapped, weights, span, strata, alpha, preferences=preferences)
        if found is None:
            return None
        passed, failed = float((found[0] > -margin).mean()), float((found[1] < -margin).mean())
    return AgainstItself("split", passed, failed, 1 - passed - failed, draws, n)


def _ever_decided(sequences: FloatArray, span: float, margin: float, alpha: float) -> tuple[float, float]:
    """Shares of sequences [S, Q] that a gate passes, and fails, which looks after every question until decided."""
    import numpy as np

    from evalkit.stats.confidence_sequence import log_e_values

    if margin > span:  # nothing can be so much worse
        return 1.0, 0.0
    sides = (log_e_values(sequences, -margin, above=above, limits=(-span, span)) for above in (True, False))
    size = sequences.shape[1]
    passes, fails = (
        np.where((seen := side >= -math.log(alpha)).any(axis=1), seen.argmax(axis=1), size) for side in sides
    )
    return float((passes < fails).mean()), float((fails < passes).mean())


def questions_needed(values: FloatArray, reach: float, gap: float) -> int | None:
    """How many more questions decide 8 times in 10, if difference and variance stay as they are; None: too many.

    Args:
        values: [Q] differences by question.
        reach: from their mean to the limit that has to clear the margin; it shrinks with the root of their number.
        gap: from their mean to the margin.
    """
    from evalkit.stats.resample import normal_quantile

    if values.size < 2 or gap <= 0:
        return None
    chance = normal_quantile(POWER) * float(values.std(ddof=1))
    needed = ((reach * math.sqrt(values.size) + chance) / gap) ** 2
    more = math.ceil(needed) - values.size
    return max(1, more) if more <= MOST else None
