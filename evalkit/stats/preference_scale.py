"""From scores of two answers to a preference between them: a temperature, and how near scores must be for a tie.

With d the first score minus the second, P(first wins) = s(d/T - eta), P(second wins) = s(-d/T - eta), and the rest are
ties: Rao & Kupper (1967, JASA 62:194) with d/T in place of a difference of ratings, which is Bradley-Terry without
ties. T is in points of the scores: so many make odds of e.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.stats.arrays import FloatArray, floats, indices, renumbered, same_length, sigmoid
from evalkit.stats.errors import NotConverged, NotMeasurable
from evalkit.stats.newton import minimise
from evalkit.stats.resample import Interval
from evalkit.stats.sandwich import clustered_meat, contrast_interval, inverse
from evalkit.stats.ties import rao_kupper_terms

FEWEST = 4
"""Questions, below which there are no limits."""


@dataclass(frozen=True, slots=True, eq=False)
class PreferenceScale:
    """A fitted or stated way from scores to preferences.

    Attributes:
        slope: Logits for each point of difference, with limits clustered by question; 1/T.
        eta: Rao and Kupper's; 0 where nothing ties. A difference of eta T has an even chance to be a win.
        ties: Share of ties that it expects of the pairs it was fitted on; None where it was stated.
    """

    slope: Interval
    eta: float
    ties: float | None = None

    @classmethod
    def stated(cls, temperature: float, eta: float = 0.0) -> PreferenceScale:
        """One that nothing was fitted for.

        Raises:
            ValueError: the temperature is not above 0, or eta below it.
        """
        if not (0 < temperature < np.inf and 0 <= eta < np.inf):
            raise ValueError(f"temperature {temperature} must be above 0, and eta {eta} not below")
        return cls(Interval(1 / temperature, None, None, 0, 0.95, None, 0), eta)

    @property
    def temperature(self) -> Interval:
        """T in points, with the limits that those of the slope come to.

        Raises:
            NotMeasurable: the slope is not clearly above 0, so that T may be anything.
        """
        value, low, high = self.slope.estimate, self.slope.lower, self.slope.upper
        if value <= 0 or (low is not None and low <= 0):
            limits = "" if low is None or high is None else f" (95% {low:+.3g} to {high:+.3g})"
            raise NotMeasurable(
                f"needs scores that tell the labelled answers apart: a point more changes the odds by {value:+.3g} "
                f"logits{limits}"
            )
        lower, upper = (None, None) if low is None or high is None else (1 / high, 1 / low)
        return Interval(1 / value, lower, upper, self.slope.n, self.slope.level, None, self.slope.clusters)

    @property
    def margin(self) -> float:
        """Points of difference at which the better one has an even chance to win."""
        return self.eta / self.slope.estimate

    def probabilities(self, difference: npt.ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """P of a win, a tie and a loss [N] for differences [N] of scores, the first minus the second."""
        gap = floats(difference, "difference") * self.slope.estimate
        win, loss = sigmoid(gap - self.eta), sigmoid(-gap - self.eta)
        return win, np.maximum(1.0 - win - loss, 0.0), loss


def preference_scale(
    difference: npt.ArrayLike, outcome: npt.ArrayLike, questions: npt.ArrayLike, *, level: float = 0.95
) -> PreferenceScale:
    """Fit temperature and ties on labelled pairs, by Newton's method.

    Args:
        difference: [N] score of the first answer minus that of the second.
        outcome: [N] label: 1 the first is better, 0 the second is, .5 neither.
        questions: [N] question of each pair; limits are clustered by it (Liang & Zeger 1986), with a t quantile.
        level: Of the limits.

    Raises:
        NotMeasurable: Every label is a tie, no two scores differ, or the scores part all labels, so that any small
            temperature fits.
        ValueError: An outcome is none of the three, or lengths differ.
    """
    gap, label = floats(difference, "difference"), floats(outcome, "outcome")
    cluster = renumbered(indices(questions, "questions"))[1]
    same_length(difference=gap, outcome=label, questions=cluster)
    if not np.isin(label, (0.0, 0.5, 1.0)).all():
        raise ValueError("outcomes must be 0, .5 (a tie) or 1")
    tied = label == 0.5
    if not gap.size or tied.all():
        raise NotMeasurable("needs labels that name the better answer")
    spread = float(np.sqrt((gap**2).mean()))
    if spread == 0:
        raise NotMeasurable("needs answers with different scores")
    if _parted(gap, label):
        raise NotMeasurable("needs labels that the scores do not part altogether: any small temperature fits these")
    unit = gap / spread
    try:
        x = _with_ties(unit, label) if tied.any() else _without_ties(unit, label)
    except NotConverged as error:
        raise NotMeasurable(f"needs labels that tell temperature and ties apart: {error}") from None
    eta = float(x[1]) if x.size > 1 else 0.0
    covariance = _covariance(unit, label, cluster, x)
    contrast = np.zeros(x.size)
    contrast[0] = 1 / spread
    clusters = int(cluster.max()) + 1
    limits = None if clusters < FEWEST else covariance
    interval = contrast_interval(x, limits, contrast, n=gap.size, clusters=clusters, level=level)
    ties = PreferenceScale(interval, eta).probabilities(gap)[1]
    return PreferenceScale(interval, eta, float(ties.mean()))


def _parted(gap: FloatArray, label: FloatArray) -> bool:
    """Whether some threshold puts wins above, losses below and ties between."""
    signed = np.where(label == 0.0, -gap, gap)[label != 0.5]
    widest = float(np.abs(gap[label == 0.5]).max(initial=0.0))
    return bool(signed.min() > widest or (not (label == 0.5).any() and (signed > 0).all()))


def _derivatives(unit: FloatArray, label: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    if x.size == 1:
        p = sigmoid(unit * x[0])
        return np.array([unit @ (p - label)]), np.array([[unit**2 @ (p * (1 - p))]])
    cell = rao_kupper_terms(unit * x[0], label, float(x[1]))
    gradient = -np.array([unit @ cell.gap, cell.tie.sum()])
    cross = unit @ cell.gap_tie
    hessian = np.array([[unit**2 @ cell.gap_gap, cross], [cross, cell.tie_tie.sum()]])
    return gradient, hessian


def _without_ties(unit: FloatArray, label: FloatArray) -> FloatArray:
    most = float(np.abs(unit).max())
    return minimise(
        lambda x: _derivatives(unit, label, x),
        np.zeros(1),
        what="fit of a temperature",
        reach=lambda _, step: most * float(np.abs(step[0])),
    )[0]


def _with_ties(unit: FloatArray, label: FloatArray) -> FloatArray:
    most = float(np.abs(unit).max())
    share = float((label == 0.5).mean())
    return minimise(
        lambda x: _derivatives(unit, label, x),
        np.array([0.0, 2 * np.arctanh(share)]),
        what="fit of temperature and ties",
        # eta must stay positive
        reach=lambda x, step: most * float(np.abs(step[0])) + float(np.abs(step[1])) * (1 + 2 / float(x[1])),
    )[0]


def _covariance(
    unit: FloatArray, label: FloatArray, cluster: npt.NDArray[np.int64], x: FloatArray
) -> FloatArray | None:
    bread = inverse(_derivatives(unit, label, x)[1], "fit of a temperature")
    if x.size == 1:
        scores = [(np.zeros(unit.size, dtype=np.int64), unit * (label - sigmoid(unit * x[0])))]
    else:
        cell = rao_kupper_terms(unit * x[0], label, float(x[1]))
        scores = [
            (np.zeros(unit.size, dtype=np.int64), unit * cell.gap),
            (np.ones(unit.size, dtype=np.int64), cell.tie),
        ]
    meat = clustered_meat(scores, cluster, int(cluster.max()) + 1, x.size)
    return None if meat is None else bread @ meat @ bread
