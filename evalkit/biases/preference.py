"""From scores on a scale of the judge's own to preferences: a temperature, ties, and the best of several answers.

Reward models, and whatever else scores answers without a known scale: what a difference of so many points means is
told by labels alone. The fit is in ``stats.preference_scale``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from evalkit.evidence.evidence import Evidence, percent, within
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import PEOPLE, POINTS, Metric, share

if TYPE_CHECKING:
    from evalkit.ratings.collation import Scores, Votes
    from evalkit.stats.arrays import FloatArray, IntArray

KNOWN = frozenset({"single", "fastchat_single"})
"""Protocols whose scale is known: 1 to 10, in words that the judge is told."""
LABELS = "needs votes of people or gold labels on pairs of answers that this judge scored"
TEMPERATURE = Metric(
    name="preference_temperature",
    label="Points that make odds of e (temperature)",
    unit=POINTS,
    topic=PEOPLE,
    question="By how many points must the scores of two answers differ for odds of e (2.7 to 1) that labels agree?",
    needs="labels of pairs of answers scored on a scale of the judge's own",
    source="Rao & Kupper 1967, JASA 62:194, on differences of scores",
)
MARGIN = Metric(
    name="preference_tie_margin",
    label="Points at which a label is as likely a win as not",
    unit=POINTS,
    topic=PEOPLE,
    question="Where labels have ties, by how much must scores differ for an even chance that the label names a winner?",
    needs="labels of pairs of answers scored on a scale of the judge's own, some of them ties",
    source="eta T of Rao & Kupper 1967, JASA 62:194",
)
BEST = Metric(
    name="best_of_n",
    label="Right answer scored highest (best of n)",
    unit=share("questions"),
    topic=PEOPLE,
    question="Of all answers to a question, how often does the one that labels call best have the highest score alone?",
    needs="gold labels that name one answer of three or more as better than each other one",
    source="best of n, strictly: a shared highest score is not right; RewardMATH, Kim et al. 2024, arXiv:2410.01729",
)


class _Labelled(NamedTuple):
    """One row a label on two answers that have scores."""

    difference: FloatArray
    outcome: FloatArray
    question: IntArray


@dataclass(frozen=True)
class Preference:
    """Temperature, ties and best of n of scores without a known scale."""

    metrics: ClassVar[tuple[Metric, ...]] = (TEMPERATURE, MARGIN, BEST)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield what differences of scores say of preferences; nothing for a judge with a known scale."""
        if evidence.scores is None or evidence.protocol in KNOWN:
            return
        means = _means(evidence.scores, (evidence.gold, evidence.votes))
        yield from _scale(evidence, means)
        yield from _best(evidence, means)


def _means(scores: Scores, labels: tuple[Votes, ...]) -> dict[tuple[int, int, int], float]:
    """Mean score over repeats by question, turn and answer, of labelled questions; without one, it is not there."""
    import numpy as np

    has = np.isfinite(scores.score) & np.isin(scores.question, np.concatenate([votes.question for votes in labels]))
    columns = (scores.question[has], scores.turn[has], scores.response[has])
    keys, place = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    means = np.bincount(place, scores.score[has]) / np.maximum(np.bincount(place), 1)
    return {
        (question, turn, response): mean
        for (question, turn, response), mean in zip(keys.tolist(), means.tolist(), strict=True)
    }


def _labelled(evidence: Evidence, votes: Votes, means: dict[tuple[int, int, int], float]) -> _Labelled:
    import numpy as np

    pairs = evidence.pairs
    rows = []
    for vote in np.flatnonzero(votes.pair >= 0).tolist():
        pair = int(votes.pair[vote])
        place = int(votes.question[vote]), int(votes.turn[vote])
        one = means.get((*place, int(pairs.response_a[pair])))
        other = means.get((*place, int(pairs.response_b[pair])))
        if one is not None and other is not None:
            said = float(votes.outcome[vote])
            rows.append((one - other, 0.5 + (said > 0.5) / 2 - (said < 0.5) / 2, place[0]))
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return _Labelled(table[:, 0], table[:, 1], table[:, 2].astype(np.int64))


def _scale(evidence: Evidence, means: dict[tuple[int, int, int], float]) -> Iterator[Finding]:
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.preference_scale import preference_scale

    gold = _labelled(evidence, evidence.gold, means)
    rows, whose = (gold, "gold labels") if gold.outcome.size else (_labelled(evidence, evidence.votes, means), "people")
    if not rows.outcome.size:
        yield evidence.lacking(TEMPERATURE, LABELS)
        yield evidence.lacking(MARGIN, LABELS)
        return
    try:
        fitted = preference_scale(rows.difference, rows.outcome, rows.question)
        temperature = fitted.temperature
    except NotMeasurable as error:
        yield evidence.lacking(TEMPERATURE, error.reason, n=int(rows.outcome.size))
        yield evidence.lacking(MARGIN, error.reason, n=int(rows.outcome.size))
        return
    yield evidence.finding(
        TEMPERATURE,
        temperature,
        f"A difference of {temperature.estimate:.3g} points ({within(temperature)}) between two of {evidence.judge}'s "
        f"scores makes odds of e, 2.7 to 1, that {whose} call the higher one better (fitted on "
        f"{counted(temperature.n, 'label')}).",
        slope=fitted.slope.estimate,
        eta=fitted.eta,
        labels=whose,
    )
    ties = int((rows.outcome == 0.5).sum())
    if not ties:
        yield evidence.lacking(MARGIN, "needs labels of which some are ties", n=int(rows.outcome.size))
        return
    from evalkit.stats.resample import Interval

    margin = Interval(fitted.margin, None, None, temperature.n, 0.95, None, temperature.clusters, reason=NO_LIMITS)
    yield evidence.finding(
        MARGIN,
        margin,
        f"Where scores differ by {fitted.margin:.3g} points, {whose} name the higher one as better as often as not; "
        f"ties are {100 * ties / rows.outcome.size:.1f}% of these labels, and the fit expects "
        f"{100 * (fitted.ties or 0.0):.1f}%.",
        ties=ties / rows.outcome.size,
        expected_ties=fitted.ties,
    )


NO_LIMITS = "no interval: it is the product of two fitted numbers"


def _best(evidence: Evidence, means: dict[tuple[int, int, int], float]) -> Iterator[Finding]:
    """How often the answer that gold labels set above all others of its question alone scores highest."""
    import numpy as np

    from evalkit.stats.shares import clustered_share

    gold, pairs = evidence.gold, evidence.pairs
    won: dict[tuple[int, int], set[int]] = {}
    lost: dict[tuple[int, int], set[int]] = {}
    for vote in np.flatnonzero((gold.pair >= 0) & (gold.outcome != 0.5)).tolist():
        pair, place = int(gold.pair[vote]), (int(gold.question[vote]), int(gold.turn[vote]))
        sides = int(pairs.response_a[pair]), int(pairs.response_b[pair])
        better, worse = sides if gold.outcome[vote] > 0.5 else sides[::-1]
        won.setdefault(place, set()).add(better)
        lost.setdefault(place, set()).add(worse)
    right: list[float] = []
    questions: list[int] = []
    most = 0
    for place, winners in won.items():
        others = lost[place]
        best = winners - others
        scores = [means.get((*place, other)) for other in sorted(others)]
        if len(best) != 1 or len(others) < 2 or any(score is None for score in scores):
            continue  # no one best answer, or just a pair, or a rival whose score failed
        own = means.get((*place, next(iter(best))))
        if own is None:
            continue
        right.append(float(all(own > score for score in scores if score is not None)))
        questions.append(place[0])
        most = max(most, 1 + len(others))
    if not right:
        yield evidence.lacking(BEST, "needs gold labels that name one answer of three or more as the best")
        return
    interval = clustered_share(np.array(right), np.array(questions, dtype=np.int64))
    yield evidence.finding(
        BEST,
        interval,
        f"On {counted(len(right), 'question')} with up to {most} answers, {evidence.judge} gives the right answer the "
        f"highest score, and no other as high, in {percent(interval)}.",
        answers=most,
    )
