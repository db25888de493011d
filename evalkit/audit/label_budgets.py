"""How many votes of people it takes: for a win rate to within a few points, and to tell two judges apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.audit.agreement_counts import with_votes
from evalkit.audit.corrections import ModelRecord, records_of
from evalkit.evidence.evidence import Evidence
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.gather import BenchmarkEvidence
from evalkit.evidence.metrics import CORRECTION, Metric, Unit

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray
    from evalkit.stats.resample import Interval

PRECISION = 0.05
"""Half the width of the interval that labelling is planned for."""
COST_RATIOS = (0.1, 0.01, 0.001)
"""Cost of a verdict over that of a vote."""
FOR_WIN_RATES = Metric(
    name="labels_needed",
    label="Pairs to vote on for win rates to within 5 points",
    unit=Unit("pairs voted on, in all", "number", "pairs"),
    topic=CORRECTION,
    question="On how many pairs, in all, do people have to vote for the win rates of models to within 5 points?",
    needs="votes of people on pairs judged, of 4 questions or more",
    source="Variance of PPI++ (arXiv:2311.01453), clustered by question; limits by the jackknife of its logarithm",
    as_sentence=True,
)
TO_TELL_APART = Metric(
    name="labels_to_tell_apart",
    label="Votes to tell two judges apart",
    unit=Unit("votes, in all", "number", "votes"),
    topic=CORRECTION,
    question="How many votes show, 4 times in 5, which of two judges agrees more with people, if they differ as here?",
    needs="two judges with verdicts on the same votes, who agree with people unequally often",
    source="Paired difference of agreement, clustered by question; power 80% at a level of 5%",
    as_sentence=True,
)
METRICS = (FOR_WIN_RATES, TO_TELL_APART)


def label_budgets(gathered: BenchmarkEvidence) -> Iterator[Finding]:
    """For every judge how many votes its win rates take, and for every two that are next to each other in agreement."""
    for evidence in gathered.evidence:
        if len(evidence.pairs):
            yield for_win_rates(evidence)
    yield from _between_judges(gathered.evidence)


def without_judge() -> str:
    """How many votes a win rate takes at the least, in words."""
    from evalkit.stats.label_budget import classical_labels

    return (
        f"Without a judge, a win rate to within {100 * PRECISION:.0f} points takes votes on "
        f"{math.ceil(classical_labels(PRECISION))} independent pairs"
    )


def for_win_rates(evidence: Evidence) -> Finding:
    """Pairs to vote on, in all, for the win rates of all models to within a few points, with the judge's help."""
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.label_budget import Labelled, cheapest_split, classical_labels, labels_needed

    known = [record for record in records_of(evidence) if record.judge.size]
    if not known:
        return evidence.lacking(FOR_WIN_RATES, f"some votes of people first. {without_judge()}")
    rows = [Labelled(one.people, one.judge, one.question, one.rest.size) for one in known]
    try:
        of_one = labels_needed(rows, PRECISION)
        alone = labels_needed([replace(one, judge=one.judge * 0) for one in rows], PRECISION).estimate
    except NotMeasurable as error:
        return evidence.lacking(FOR_WIN_RATES, f"{error.reason}. {without_judge()}")
    pairs = len(known) / 2  # a pair is one of either model's
    have, judged = (sum(sizes) / 2 for sizes in zip(*((one.judge.size, _all(one)) for one in known), strict=True))
    correlation, variance = _correlation(known)
    independent = classical_labels(PRECISION, variance=variance)
    found = replace(
        of_one,
        estimate=of_one.estimate * pairs,
        lower=None if of_one.lower is None else of_one.lower * pairs,
        upper=None if of_one.upper is None else of_one.upper * pairs,
        standard_error=None,
        n=round(have),
    )
    return evidence.finding(
        FOR_WIN_RATES,
        found,
        _budget(found, have, judged, alone * pairs, len(known)),
        voted=round(have),
        more=max(0, math.ceil(found.estimate - have)),
        without_judge=alone * pairs,
        correlation=correlation,
        independent_pairs=independent,
        splits={
            f"{ratio:g}": dict(
                zip(("voted", "judged_only"), cheapest_split(independent, correlation, ratio), strict=True)
            )
            for ratio in COST_RATIOS
        },
    )


def _all(record: ModelRecord) -> int:
    return int(record.judge.size + record.rest.size)


def _correlation(known: Sequence[ModelRecord]) -> tuple[float, float]:
    """Correlation of votes and verdicts on the pairs of one model, and the variance of its outcomes."""
    import numpy as np

    judge = np.concatenate([record.judge - record.judge.mean() for record in known])
    people = np.concatenate([record.people - record.people.mean() for record in known])
    size = math.sqrt(float(judge @ judge) * float(people @ people))
    return float(judge @ people) / size if size else 0.0, float(people @ people) / people.size


def _budget(found: Interval, have: float, judged: float, alone: float, models: int) -> str:
    """The plan as a sentence: what there is, what is missing, and what the judge saves."""
    rate = "a model's win rate" if models < 3 else f"the win rates of all {models} models"
    goal = f"{rate} to within {100 * PRECISION:.0f} points"
    said = f"You have votes on {counted(round(have), 'pair')}"
    more = math.ceil(found.estimate - have)
    limits = found.lower, found.upper
    ends: list[int] = [math.ceil(end) for end in limits if end is not None]
    if more > 0:
        said += f"; votes on about {more:,} more, on questions like these, bring {goal}"
        if ends:
            said += " (95% {:,} to {:,} more)".format(*(max(0, end - round(have)) for end in ends))
        if found.estimate > judged > have:
            said += f", {math.ceil(found.estimate - judged):,} of them on pairs that the judge has not judged yet"
    else:
        said += f", which are enough for {goal}: about {math.ceil(found.estimate):,} would be"
        said += f" (95% {ends[0]:,} to {ends[1]:,})" if ends else ""
    saved = math.floor(alone - found.estimate)
    helps = f"Without the judge, it would take about {saved:,} more" if saved >= 1 else "The judge saves none of them"
    return f"{said}. {helps}."


def _between_judges(listed: Sequence[Evidence]) -> Iterator[Finding]:
    """Every judge with the one that agrees with people next less often, on the votes that both have a verdict on."""
    import numpy as np

    able = [one for one in listed if (one.votes.pair >= 0).any()]
    if len(able) < 2:
        return
    said = {id(one): with_votes(one, one.votes, "S1") for one in able}
    ranked = sorted(able, key=lambda one: -float(np.mean(said[id(one)].agree)) if said[id(one)].agree.size else 0.0)
    for first, second in itertools.pairwise(ranked):
        yield _apart(first, second)


def _apart(first: Evidence, second: Evidence) -> Finding:
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.label_budget import labels_to_tell_apart
    from evalkit.stats.shares import clustered_mean

    one, other = (_agrees(evidence) for evidence in (first, second))
    both = np.isfinite(one) & np.isfinite(other)
    name = second.judge if second.judge != first.judge else f"{second.judge} ({second.protocol})"
    about: dict[str, Any] = {"judges": [first.judge, second.judge]}
    if not both.any():
        return first.lacking(TO_TELL_APART, f"votes on which {name} has a verdict too", **about)
    question = first.votes.question[both]
    difference = clustered_mean((one - other)[both], question, limits=(-1.0, 1.0))
    if difference.estimate < 0:  # next by all votes, and ahead on those of both
        return first.lacking(TO_TELL_APART, f"votes that rank it and {name} one way", **about)
    try:
        needed, least, most = labels_to_tell_apart(difference)
    except NotMeasurable as error:
        return first.lacking(TO_TELL_APART, f"{error.reason} ({first.judge} and {name})", **about)
    have = int(both.sum())
    shares = f"{np.mean(one[both]):.1%} and {np.mean(other[both]):.1%}"
    apart = (
        f"{100 * difference.estimate:.1f} points (95% {100 * (difference.lower or 0):z.1f} to "
        f"{100 * (difference.upper or 0):z.1f})"
    )
    who = f"{first.judge} and {name} agree with people in {shares} of the same {counted(have, 'vote')}"
    if most is not None:
        told = f"{who}, which tell the two apart: {apart}. About {math.ceil(needed):,} would have done, 4 times in 5"
        told += f" (95% {math.ceil(least):,} to {math.ceil(most):,})."
    else:
        told = (
            f"{who}; about {max(math.ceil(needed), have + 1):,} votes in all would tell the two apart, 4 times in 5, "
            f"if they differ as they seem to, by {apart}; it takes {math.ceil(least):,} at the least, and as they may "
            "not differ, no number is sure to do."
        )
    lower, upper = (None, None) if most is None else (least, most)
    found = replace(difference, estimate=needed, lower=lower, upper=upper, standard_error=None, n=have)
    return first.finding(
        TO_TELL_APART,
        found,
        told,
        **about,
        voted=have,
        least=least,
        most=most,
        difference={"estimate": difference.estimate, "lower": difference.lower, "upper": difference.upper},
    )


def _agrees(evidence: Evidence) -> FloatArray:
    """[V] of every vote, whether the judge says the same, a tie being a verdict; NaN without a verdict."""
    import numpy as np

    votes, pairs = evidence.votes, evidence.pairs
    verdict = np.where(votes.pair >= 0, pairs.verdict[votes.pair], np.nan)
    said = 0.5 + np.sign(votes.outcome - 0.5) / 2
    return np.where(np.isfinite(verdict), (verdict == said).astype(np.float64), np.nan)
