"""Win rates by a judge, corrected with the votes of people on some of the pairs it judged.

For each model: its win rate by the judge alone, by people alone, and by both together (PPI++, the default, with the
post-stratified one beside it), and what the judge was worth in votes. The corrected rate is right whatever the judge's
errors, on one condition: the pairs people voted on are a random part of those it judged. Rogan-Gladen's rate assumes
instead that the judge's error rates are the same on both, and is given only for a judge clearly better than chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.evidence.evidence import Evidence, percent
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import CORRECTION, Metric, share

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.ppi import Corrected

JUDGE = Metric(
    name="win_rate_judge",
    label="By the judge alone",
    unit=share("pairs"),
    topic=CORRECTION,
    question="How often does a model win by the judge alone?",
    needs="verdicts on pairs",
    axis="win rate",
    source="Share, limits clustered by question; Miller 2024, arXiv:2411.00640",
)
HUMAN = Metric(
    name="win_rate_human",
    label="By people alone",
    unit=share("pairs"),
    topic=CORRECTION,
    question="How often does a model win by people alone?",
    needs="votes of people on some of the pairs judged",
    axis="win rate",
    source="Share, limits clustered by question; Miller 2024, arXiv:2411.00640",
)
CORRECTED = Metric(
    name="win_rate_corrected",
    label="By both (PPI++)",
    unit=share("pairs"),
    topic=CORRECTION,
    question="How often does a model win, the judge's errors corrected by people's votes?",
    needs="votes of people on a random part of the pairs judged",
    source="Angelopoulos et al. 2023, arXiv:2311.01453",
    axis="win rate",
)
ROGAN_GLADEN = Metric(  # of other pairs, and of outright wins: never on one axis with win rates of all pairs
    name="win_rate_rogan_gladen",
    label="Rogan-Gladen: outright wins, pairs without votes",
    unit=share("pairs without votes"),
    topic=CORRECTION,
    question="How often does a model win outright where people did not vote, given the judge's error rates?",
    needs="votes of people on some of the pairs judged, and a judge clearly better than chance",
    source="Rogan & Gladen 1978, American Journal of Epidemiology 107:71",
)
METRICS = (JUDGE, HUMAN, CORRECTED, ROGAN_GLADEN)
UNLIKE = 2.58
"""Standard errors between the judge's rates with and without votes that a random choice exceeds 1 time in 100."""


@dataclass(frozen=True, eq=False)
class ModelRecord:
    """Pairs of one model, each once however often it was judged or voted on; outcomes are those of the model."""

    judge: FloatArray
    """[n] mean over orders and repeats, where people voted."""
    people: FloatArray
    """[n] mean over votes."""
    question: IntArray
    rest: FloatArray
    """[N] by the judge, where nobody voted."""
    rest_question: IntArray


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Yield the win rate of every model, naive and corrected.

    Without any vote there is one finding that says so; models that nobody voted on have one each.
    """
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.ppi import ppi_mean

    records = records_of(evidence)
    if not any(record.judge.size for record in records):
        yield evidence.lacking(CORRECTED, "votes of people on a random part of the pairs this judge judged")
        return
    for model, record in zip(evidence.models, records, strict=True):
        if not record.judge.size:
            if record.rest.size:
                needs = f"votes of people on a random part of the {record.rest.size} judged pairs of {model}"
                yield evidence.lacking(CORRECTED, needs, model=model)
            continue
        classical = ppi_mean(
            record.people,
            record.judge,
            record.rest,
            clusters=record.question,
            unlabelled_clusters=record.rest_question,
            power=0,
            limits=(0, 1),
        ).interval
        yield _naive(evidence, model, record)
        sentence = f"People alone: {model} wins {percent(classical)}, by votes on {counted(classical.n, 'pair')}."
        yield evidence.finding(HUMAN, classical, sentence, model=model)
        try:
            yield _corrected(evidence, model, record)
        except NotMeasurable as error:
            reason = f"{error.reason}: people voted on all {classical.n} of {model}, and their own win rate stands"
            yield evidence.lacking(CORRECTED, reason, n=classical.n, model=model)
        yield _rogan_gladen(evidence, model, record)


def _naive(evidence: Evidence, model: str, record: ModelRecord) -> Finding:
    import numpy as np

    from evalkit.stats.ppi import ppi_mean

    outcome = np.concatenate([record.judge, record.rest])
    question = np.concatenate([record.question, record.rest_question])
    nothing = np.zeros(0)
    interval = ppi_mean(
        outcome,
        outcome,
        nothing,
        clusters=question,
        unlabelled_clusters=nothing.astype(np.int64),
        power=0,
        limits=(0, 1),
    ).interval
    sentence = (
        f"The judge alone: {model} wins {percent(interval)} of {counted(interval.n, 'pair')}; the judge's errors "
        "uncorrected."
    )
    return evidence.finding(JUDGE, interval, sentence, model=model)


def _corrected(evidence: Evidence, model: str, record: ModelRecord) -> Finding:
    from evalkit.stats.label_budget import labels_for
    from evalkit.stats.ppi import post_stratified_mean, ppi_mean

    arguments = (record.people, record.judge, record.rest)
    got = ppi_mean(*arguments, clusters=record.question, unlabelled_clusters=record.rest_question, limits=(0, 1))
    other = post_stratified_mean(
        *arguments, clusters=record.question, unlabelled_clusters=record.rest_question, limits=(0, 1)
    ).interval
    useful = _useful(got)
    more = None if useful is None else labels_for(got.labelled, got.unlabelled, useful)
    drift, unlike = _drift(record)
    low, high = got.interval.lower, got.interval.upper
    outside = None if low is None or high is None else not low <= got.naive <= high
    return evidence.finding(
        CORRECTED,
        got.interval,
        _sentence(model, got, more, unlike),
        model=model,
        naive=got.naive,
        naive_outside=outside,
        people=got.classical.estimate,
        labelled=got.labelled,
        unlabelled=got.unlabelled,
        effective_labels=got.effective,
        labels_to_halve=more,
        power=got.power,
        correlation=got.correlation,
        post_stratified={"estimate": other.estimate, "lower": other.lower, "upper": other.upper},
        drift=drift,
        voted_pairs_unlike_the_rest=unlike,
    )


def _sentence(model: str, got: Corrected, more: int | None, unlike: bool) -> str:
    parts = [
        f"People and judge together: {model} wins {percent(got.interval)}; the judge alone says {100 * got.naive:.1f}%."
    ]
    if got.effective is not None:
        parts.append(f"With the judge, votes on {counted(got.labelled, 'pair')} do the work of {got.effective:.0f}.")
    if more is not None:
        parts.append(f"Votes on {more} more would halve the interval.")
    elif got.effective is not None:
        parts.append("Votes on every pair would not halve the interval: that takes more questions.")
    if unlike:
        parts.append("The pairs voted on are not a random part of all (the judge says otherwise of the rest): beware.")
    else:
        parts.append("This is right if the pairs voted on are a random part of all.")
    return " ".join(parts)


def _useful(got: Corrected) -> float | None:
    """Correlation of votes and judge that accounts for the interval, clusters and all."""
    if got.effective is None or not got.unlabelled:
        return None
    total = got.labelled + got.unlabelled
    share = max(0.0, 1 - got.labelled / got.effective) * total / got.unlabelled
    return math.sqrt(min(share, 1.0))


def _drift(record: ModelRecord) -> tuple[float, bool]:
    """Judge's rate where people voted minus elsewhere, and whether chance accounts for it."""
    import numpy as np

    from evalkit.stats.arrays import totals

    means = record.judge.mean(), record.rest.mean()
    size = int(max(record.question.max(), record.rest_question.max())) + 1
    influence = totals(record.question, record.judge - means[0], size) / record.judge.size
    influence -= totals(record.rest_question, record.rest - means[1], size) / record.rest.size
    drift = float(means[0] - means[1])
    units = np.count_nonzero(np.bincount(record.question, minlength=size))
    error = float(np.sqrt(influence @ influence))
    return drift, bool(units > 10 and abs(drift) > UNLIKE * error)


def _rogan_gladen(evidence: Evidence, model: str, record: ModelRecord) -> Finding:
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.rogan_gladen import calibrated_rate

    try:
        got = calibrated_rate(
            record.people > 0.5,
            record.judge > 0.5,
            record.rest > 0.5,
            clusters=record.question,
            unlabelled_clusters=record.rest_question,
        )
    except NotMeasurable as error:
        return evidence.lacking(ROGAN_GLADEN, error.reason, n=record.judge.size, model=model)
    sentence = (
        f"By the judge's error rates (Rogan-Gladen): {model} wins outright {percent(got.interval)} of the "
        f"{counted(record.rest.size, 'pair')} without votes, ties not counted; the judge alone says "
        f"{100 * got.naive:.1f}%. It finds {100 * got.sensitivity:.0f}% of the wins that people see, and "
        f"{100 * got.specificity:.0f}% of the rest."
    )
    return evidence.finding(
        ROGAN_GLADEN,
        got.interval,
        sentence,
        model=model,
        naive=got.naive,
        sensitivity=got.sensitivity,
        specificity=got.specificity,
        youden=got.youden.estimate,
        youden_lower=got.youden.lower,
        labelled=record.judge.size,
    )


def records_of(evidence: Evidence) -> list[ModelRecord]:
    """Pairs of each model, in the order of models."""
    import numpy as np

    from evalkit.stats.arrays import totals

    pairs, votes = evidence.pairs, evidence.votes
    if not len(pairs):
        return []
    group, first = _groups(evidence)
    size = first.size
    judged = np.isfinite(pairs.outcome)
    verdicts = np.bincount(group[judged], minlength=size)
    said = totals(group[judged], pairs.outcome[judged], size) / np.maximum(verdicts, 1)
    cast = (votes.pair >= 0) & np.isfinite(votes.outcome)
    at = group[votes.pair[cast]]
    voted = np.bincount(at, minlength=size)
    people = totals(at, votes.outcome[cast], size) / np.maximum(voted, 1)
    a, b, question = pairs.a[first], pairs.b[first], pairs.question[first]

    def record(model: int) -> ModelRecord:
        with_votes, without = (
            np.flatnonzero(((a == model) | (b == model)) & (verdicts > 0) & chosen)
            for chosen in (voted > 0, voted == 0)
        )

        def of(outcome: FloatArray, rows: IntArray) -> FloatArray:
            return np.where(a[rows] == model, outcome[rows], 1 - outcome[rows])

        return ModelRecord(
            of(said, with_votes), of(people, with_votes), question[with_votes], of(said, without), question[without]
        )

    return [record(model) for model in range(len(evidence.models))]


def _groups(evidence: Evidence) -> tuple[IntArray, IntArray]:
    """[N] number of each row's pair of answers, repeats of one alike, and the first row of each."""
    import numpy as np

    pairs = evidence.pairs
    once: BoolArray = pairs.repeat == 0
    if once.all():
        rows = np.arange(len(pairs))
        return rows, rows
    columns = (pairs.a, pairs.b, pairs.question, pairs.turn, pairs.response_a, pairs.response_b)
    key = np.zeros(len(pairs), dtype=np.int64)
    for column in columns:
        code = np.unique(column, return_inverse=True)[1]
        key = np.unique(key * (int(code.max()) + 1) + code, return_inverse=True)[1]
    first = np.unique(key, return_index=True)[1]
    return key, first.astype(np.int64)
