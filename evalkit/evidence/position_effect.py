"""How much being shown first adds to the odds of winning: over all pairs as they are, and within one and the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from evalkit.evidence.evidence import Pairs
from evalkit.evidence.findings import ROUNDING

if TYPE_CHECKING:
    from evalkit.evidence.joint_ratings import Fitted
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval


class Showings(NamedTuple):
    """Columns with one row for each showing that has a verdict."""

    first: IntArray
    second: IntArray
    outcome: FloatArray
    """[N] of the first."""
    question: IntArray


def showings(pairs: Pairs, inside: BoolArray | None = None) -> Showings:
    """The showings of all pairs, or of some."""
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

    Answers of one model differ in quality too, and over those this is an average: it lies nearer to 0 than the effect
    on a single pair (Neuhaus, Kalbfleisch & Hauck 1991, International Statistical Review 59:25).

    Raises:
        NotMeasurable: with the reason in words.
    """
    import numpy as np

    from evalkit.evidence.joint_ratings import fit
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
        return _with_floor(fitted, Showings(first[apart], second[apart], outcome[apart], question[apart])), fitted
    except StatisticsError as error:
        reason = f" ({error.reason})" if isinstance(error, NotMeasurable) else ", and wins in both places"
        raise NotMeasurable(f"needs orders that vary between pairs{reason}") from error


def penalised(fitted: Fitted | None) -> str:
    """A sentence where only a penalty keeps the ratings beside the effect finite; nothing where none is needed."""
    if fitted is None or not fitted.ridge:
        return ""
    return (
        f" A model wins or loses everything, so that its rating is finite only by a penalty (ridge {fitted.ridge:g}); "
        "the effect is that of the other pairs, drawn a little towards 0."
    )


def _with_floor(fitted: Fitted, shown: Showings) -> Interval:
    """The coefficient with the floor that comes from the number of questions.

    Where every verdict is the same in both orders, nothing is left of the standard error, or only rounding. A question
    that was not seen moves the effect at most as far as one whose showings all go to one place.
    """
    import numpy as np

    from evalkit.stats.arrays import renumbered, sigmoid, totals
    from evalkit.stats.resample import floored

    interval = fitted.ratings.coefficient(0)
    if interval.clusters < 2:
        return interval
    ability = np.zeros(int(fitted.used.max()) + 1)
    ability[fitted.used] = fitted.ratings.ratings
    expected = sigmoid(ability[shown.first] - ability[shown.second] + interval.estimate)
    code = renumbered(shown.question)[1]
    residual = totals(code, shown.outcome - expected, int(code.max()) + 1)
    bend, mean = float((expected * (1 - expected)).mean()), float(expected.mean())
    if np.abs(residual).max() < ROUNDING:
        residual = np.zeros_like(residual)
    span = interval.estimate - mean / bend, interval.estimate + (1 - mean) / bend
    wide = floored(interval, residual, span)
    # the standard error of both is one where the floor adds little; then the usual limits stand
    return interval if wide.standard_error == interval.standard_error else wide


def within_pairs(pairs: Pairs) -> tuple[Interval, int, int]:
    """Position effect at fixed quality of every pair, and how many went twice to the first, and to the second.

    Conditional logistic regression on pairs with a winner in each order (Andersen 1970, Journal of the Royal
    Statistical Society B 32:283): a pair that is for the same answer twice says nothing, and of the others half the
    log odds of those for the first place is the effect, whatever the answers are worth.

    Raises:
        NotMeasurable: with the reason in words.
    """
    import numpy as np

    from evalkit.stats.errors import NotMeasurable

    places = np.sign(pairs.plain - 0.5) + np.sign(0.5 - pairs.swapped)  # NaN where an order has no verdict
    moved = np.abs(places) == 2
    first, second = int((places == 2).sum()), int((places == -2).sum())
    if not first or not second:
        raise NotMeasurable("needs pairs that went to the first answer in both orders, and some to the second")
    odds = _of_share((places[moved] > 0).astype(np.float64), pairs.question[moved])
    return odds.affine(0.5), first, second


def _of_share(outcome: FloatArray, question: IntArray) -> Interval:
    """Logit of a share by the delta method: as where a model meets itself, and quality is equal by design."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.resample import Interval, t_quantile
    from evalkit.stats.shares import clustered_mean

    share = clustered_mean(outcome, question, limits=(0.0, 1.0))
    p = share.estimate
    if share.clusters < 2:
        raise NotMeasurable("needs two questions that say something of it")
    if not 0 < p < 1 or share.standard_error is None:
        raise NotMeasurable("needs wins in both places")
    middle, error = float(np.log(p / (1 - p))), share.standard_error / (p * (1 - p))
    reach = t_quantile(0.975, share.clusters - 1) * error
    return Interval(middle, middle - reach, middle + reach, share.n, 0.95, error, share.clusters)
