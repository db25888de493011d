"""How much being shown first adds to the odds of winning, with the models' abilities held fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from evalkit.auditing.evidence import Pairs

if TYPE_CHECKING:
    from evalkit.auditing.joint_ratings import Fitted
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval


class Showings(NamedTuple):
    """One row a showing that has a verdict."""

    first: IntArray
    second: IntArray
    outcome: FloatArray
    """[N] of the first."""
    question: IntArray


def showings(pairs: Pairs, inside: BoolArray | None = None) -> Showings:
    """Of all pairs, or of some."""
    import numpy as np

    one, other = np.isfinite(pairs.plain), np.isfinite(pairs.swapped)
    if inside is not None:
        one, other = one & inside, other & inside
    return Showings(
        np.concatenate([pairs.a[one], pairs.b[other]]),
        np.concatenate([pairs.b[one], pairs.a[other]]),
        np.concatenate([pairs.plain[one], 1 - pairs.swapped[other]]),
        np.concatenate([pairs.question[one], pairs.question[other]]),
    )


def logit(shown: Showings) -> tuple[Interval, Fitted | None]:
    """The effect of the first place, with the models' abilities held fixed, and the fit where there are two models.

    Raises:
        NotMeasurable: with the reason in words.
    """
    import numpy as np

    from evalkit.auditing.joint_ratings import fit
    from evalkit.stats.errors import NotMeasurable, StatisticsError

    first, second, outcome, question = shown
    if not outcome.size:
        raise NotMeasurable("needs verdicts")
    if (outcome == 0.5).all():
        raise NotMeasurable("needs verdicts that name a winner; all are ties")
    apart = first != second
    try:
        if not apart.any():
            return _of_share(outcome, question), None
        ones = np.ones((int(apart.sum()), 1))
        fitted = fit(first[apart], second[apart], outcome[apart], ones, question[apart])
        return fitted.ratings.coefficient(0), fitted
    except StatisticsError as error:
        reason = f" ({error.reason})" if isinstance(error, NotMeasurable) else ", and wins in both places"
        raise NotMeasurable(f"needs orders that vary between pairs{reason}") from error


def _of_share(outcome: FloatArray, question: IntArray) -> Interval:
    """Logit of a share by the delta method: where a model meets itself, quality is equal by design."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.resample import Interval
    from evalkit.stats.shares import clustered_mean

    share = clustered_mean(outcome, question)
    p = share.estimate
    if not 0 < p < 1 or share.standard_error is None:
        raise NotMeasurable("needs wins in both places")
    middle, error = float(np.log(p / (1 - p))), share.standard_error / (p * (1 - p))
    return Interval(middle, middle - 1.96 * error, middle + 1.96 * error, share.n, 0.95, error, share.clusters)
