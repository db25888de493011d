"""A judge's shares of refusals and compliance, corrected by people's labels of some of the same answers, or of others.

Where people labelled some of a model's answers, both together give the share (PPI++), right if those are a random part.
Where they labelled all, their own share stands. Where they labelled none of this model's but some of others', the
judge's error rates there are taken to hold here (Rogan-Gladen), which nothing in the data can show. An answer without a
verdict counts by its label alone, if it has one: for the correction it is as if the judge had said nothing that tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.resample import Interval

FEWEST: Final = 10
"""Labelled answers without which nothing is corrected by them."""
UNLIKE: Final = 2.58
"""Standard errors between the judge's shares with and without labels that chance exceeds 1 time in 100."""
BY_PEOPLE, BY_BOTH, BY_OTHERS = "people", "ppi", "rogan_gladen"


@dataclass(frozen=True, eq=False)
class AnswerShares:
    """Answers of one model, or of several; of each, which share of verdicts and of people's labels is a certain one."""

    judge: FloatArray
    """[N] NaN without a verdict."""
    people: FloatArray
    """[N] NaN without a label."""
    question: IntArray
    """[N] numbered alike for all models."""
    category: IntArray
    """[N]"""

    def plain(self, *, strata: bool) -> Interval | None:
        """The judge's own share; None where it has no verdict.

        Args:
            strata: whether categories are fixed, and only questions within them vary.
        """
        import numpy as np

        return self._share(self.judge, strata=strata) if np.isfinite(self.judge).any() else None

    def of_people(self, *, strata: bool) -> Interval:
        """The share by people, of what they labelled; likewise."""
        return self._share(self.people, strata=strata)

    def _share(self, values: FloatArray, *, strata: bool) -> Interval:
        import numpy as np

        from evalkit.stats.shares import clustered_share

        known = np.isfinite(values)
        by = self.category[known] if strata and np.unique(self.category[known]).size > 1 else None
        return clustered_share(values[known], self.question[known], strata=by)


@dataclass(frozen=True)
class CorrectedShare:
    """A share after correction."""

    interval: Interval | None
    """None where it could not be corrected."""
    way: str | None
    """``people``, ``ppi`` or ``rogan_gladen``."""
    doubt: str = ""
    """What a reader must know of it."""


def correct(own: AnswerShares, others: AnswerShares, *, strata: bool = False) -> CorrectedShare:
    """The share that people would find.

    Args:
        own: the model's answers.
        others: answers of other models to the same kind of prompt.
        strata: whether categories are fixed, where people's own share stands.
    """
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.ppi import ppi_mean

    labelled = np.isfinite(own.people)
    count = int(labelled.sum())
    if count == len(own.people) and count:
        return CorrectedShare(own.of_people(strata=strata), BY_PEOPLE)
    if not count:
        return _by_others(own, others)
    if count < FEWEST:
        return CorrectedShare(
            None,
            None,
            f"is not corrected: people labelled {count} of {len(own.people)} answers; label {FEWEST} or more",
        )
    known = np.isfinite(own.judge)
    neutral = float(own.judge[known].mean()) if known.any() else 0.0
    said = np.where(known, own.judge, neutral)
    try:
        found = ppi_mean(
            own.people[labelled],
            said[labelled],
            said[~labelled],
            clusters=own.question[labelled],
            unlabelled_clusters=own.question[~labelled],
            limits=(0.0, 1.0),
        )
    except NotMeasurable as error:
        return CorrectedShare(None, None, f"is not corrected: {error.reason}")
    return CorrectedShare(found.interval, BY_BOTH, _unlike(said, labelled, own.question))


def _by_others(own: AnswerShares, others: AnswerShares) -> CorrectedShare:
    """Correct by the judge's error rates on other models' answers."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.rogan_gladen import calibrated_rate

    both = np.isfinite(others.people) & np.isfinite(others.judge)
    known = np.isfinite(own.judge)
    if both.sum() < FEWEST or not known.any():
        return CorrectedShare(None, None)
    try:
        found = calibrated_rate(
            others.people[both] > 0.5,
            others.judge[both] > 0.5,
            own.judge[known] > 0.5,
            clusters=others.question[both],
            unlabelled_clusters=own.question[known],
        )
    except NotMeasurable as error:
        return CorrectedShare(None, None, f"is not corrected by labels of other models: {error.reason}")
    return CorrectedShare(
        found.interval,
        BY_OTHERS,
        f"is corrected by the judge's errors on {int(both.sum())} labelled answers of other models, taken to be the "
        "same here",
    )


def _unlike(said: FloatArray, labelled: FloatArray, question: IntArray) -> str:
    """A warning where the judge speaks otherwise of labelled answers than of the rest."""
    import numpy as np

    from evalkit.stats.shares import clustered_difference

    found = clustered_difference(said, labelled.astype(bool), np.asarray(question))
    error = found.standard_error
    if error is not None and found.clusters > 10 and abs(found.estimate) > UNLIKE * error:
        return (
            "is corrected by labels of answers that are not a random part of all: the judge's share differs by "
            f"{100 * found.estimate:+.0f} points from the rest's"
        )
    return ""
