"""The models by a judge and by people, on the same pairs or the same answers: outcomes, and the ratings they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.evidence.evidence import Evidence

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray

FEW = "needs at least three models that people compared or scored too"
DIGITS = 8
"""Ratings that differ by less are equal: fits are no more exact, and ranks of rounding errors mean nothing."""


@dataclass(frozen=True, eq=False)
class RatedTwice:
    """The same models as a judge and as people rate them."""

    judge: FloatArray
    """[M] each."""
    people: FloatArray
    influence: FloatArray
    """[Q, 2M] what each question adds to both."""
    n: int
    what: str
    """What they are of, for a sentence."""
    ridge: float = 0.0
    """The penalty that keeps ratings finite where a model wins or loses everything; 0 where none does."""


def rated_twice(evidence: Evidence) -> RatedTwice:
    """Rate models by both: Bradley-Terry of pairs that both judged; without any, mean scores of answers both scored.

    Raises:
        NotMeasurable: fewer than three models, or a side rates all alike.
        StatisticsError: there is no fit.
    """
    import numpy as np

    from evalkit.stats.errors import NotMeasurable

    model, question, judge, people = outcomes(evidence)
    if np.unique(model).size < 3:
        raise NotMeasurable(FEW)
    voted = _voted(evidence)
    found = _fitted_twice(evidence, voted) if voted.size else _mean_twice(model, question, judge, people)
    for who, ratings in (("the judge tells", found.judge), ("people tell", found.people)):
        if np.ptp(ratings) == 0:
            raise NotMeasurable(f"needs models that {who} apart: the ratings are all equal")
    return found


def _fitted_twice(evidence: Evidence, used: IntArray) -> RatedTwice:
    from evalkit.evidence.joint_ratings import fit_twice, rows

    votes = evidence.votes
    a, b, question = votes.a[used], votes.b[used], votes.question[used]
    judge = evidence.pairs.outcome[votes.pair[used]]
    fitted = fit_twice(rows(a, b, judge, question), rows(a, b, votes.outcome[used], question))
    both = fitted.both
    ranked = both.first.round(DIGITS), both.second.round(DIGITS)
    return RatedTwice(*ranked, both.influence, both.n, "ratings", fitted.ridge)


def _mean_twice(model: IntArray, question: IntArray, judge: FloatArray, people: FloatArray) -> RatedTwice:
    import numpy as np

    from evalkit.stats.arrays import totals

    used, place = np.unique(model, return_inverse=True)
    about, asked = np.unique(question, return_inverse=True)
    models, count = used.size, np.bincount(place)
    means, influence = [], []
    for said in (judge, people):
        mean = totals(place, said, models) / count
        cells = totals(asked * models + place, said - mean[place], about.size * models)
        means.append(mean.round(DIGITS))
        influence.append(cells.reshape(about.size, models) / count)
    return RatedTwice(means[0], means[1], np.hstack(influence), model.size, "mean scores")


def _voted(evidence: Evidence) -> IntArray:
    """Votes on pairs of two models on which the judge has a verdict too."""
    import numpy as np

    votes, pairs = evidence.votes, evidence.pairs
    used = np.flatnonzero((votes.pair >= 0) & (votes.a != votes.b))
    return used[np.isfinite(pairs.outcome[votes.pair[used]])]


def outcomes(evidence: Evidence) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """What both said of a model on a question: model, question, the judge's outcome and people's."""
    import numpy as np

    votes, pairs, used = evidence.votes, evidence.pairs, _voted(evidence)
    if not used.size and evidence.grades is not None:
        judge, people, question, model = evidence.grades.both
        return model, question, judge, people
    judge, people = pairs.outcome[votes.pair[used]], votes.outcome[used]
    return (
        np.concatenate([votes.a[used], votes.b[used]]),
        np.tile(votes.question[used], 2),
        np.concatenate([judge, 1 - judge]),
        np.concatenate([people, 1 - people]),
    )
