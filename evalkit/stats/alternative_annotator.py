"""May a judge stand in for one of the people? The alternative annotator test (Calderon et al. 2025, arXiv:2501.10970).

Each annotator is left out in turn, and the judge and the annotator are compared item by item on how well they agree
with the others. The judge takes the annotator's place if it is the better of the two on enough items; `epsilon` is what
it may fall short for costing less. Two numbers come out: the winning rate, the share of annotators it may replace (one
half passes), and the advantage probability, by which judges are compared with each other.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, indices, same_length, totals
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, t_quantile

EXPERT, SKILLED, CROWD = 0.2, 0.15, 0.1
"""epsilon for annotators of each kind: the dearer the people, the more a judge may fall short."""
PASS = 0.5
TIE = 1e-9  # scores this near to each other are equal


@dataclass(frozen=True, slots=True)
class Contest:
    """The judge against one annotator.

    Attributes:
        annotator: Position of the annotator.
        n: Items that the annotator, at least one other and the judge labelled.
        judge_wins: Share of items on which the judge agrees with the others at least as well as the annotator.
        annotator_wins: The reverse; with ties the two add up to more than 1.
        p_value: One-sided, of the hypothesis that the annotator is better by epsilon or more.
        rejected: Whether that is rejected, given all annotators' p-values.
    """

    annotator: int
    n: int
    judge_wins: float
    annotator_wins: float
    p_value: float
    rejected: bool


@dataclass(frozen=True, slots=True)
class AlternativeAnnotator:
    """The result of the alternative annotator test.

    Attributes:
        winning_rate: Share of annotators whom the judge may replace.
        advantage: Mean over annotators of the share of items on which the judge is at least as good, with limits
            clustered by question (the items' own where they have none).
        passed: Whether the winning rate is at least one half.
        contests: One for each annotator with enough items.
        epsilon: What the judge may fall short.
        rate: False discovery rate.
    """

    winning_rate: float
    advantage: Interval
    passed: bool
    contests: tuple[Contest, ...]
    epsilon: float
    rate: float

    @property
    def p_falls_short(self) -> float:
        """One-sided p of the hypothesis that at least half of the annotators are better by less than epsilon.

        Not to pass the test shows little where items are few; only a small value here shows that the judge falls short.
        That more than half are better by epsilon is a partial conjunction, tested by Bonferroni's rule over the
        annotators that may be left out (Benjamini & Heller 2008, Biometrics 64:1215).
        """
        against = sorted(1 - contest.p_value for contest in self.contests)
        fewest = int(PASS * len(against)) + 1
        return min(1.0, (len(against) - fewest + 1) * against[fewest - 1])


def alternative_annotator(
    judge: Sequence[Hashable | None] | FloatArray,
    annotators: Sequence[Sequence[Hashable | None]] | FloatArray,
    *,
    numeric: bool = False,
    epsilon: float = EXPERT,
    rate: float = 0.05,
    clusters: IntArray | None = None,
    fewest_items: int = 30,
) -> AlternativeAnnotator:
    """Test whether a judge may replace annotators.

    Args:
        judge: [N] the judge's labels, None (in an array, NaN) where missing.
        annotators: [R][N] each annotator's labels, likewise.
        numeric: False counts equal labels; True scores by root mean squared distance, for ratings.
        epsilon: What the judge may fall short: `EXPERT`, `SKILLED` or `CROWD`.
        rate: False discovery rate over annotators (Benjamini & Yekutieli 2001), whose tests share items.
        clusters: [N] question of each item, for a t test clustered by question; each item its own if not given.
        fewest_items: Annotators with fewer take no part. Below 30 items (independent ones) the test is Wilcoxon's.

    Raises:
        NotMeasurable: With fewer than 3 annotators who have enough items that somebody else labelled too.
        ValueError: On unequal lengths.

    Source: definitions of arXiv:2501.10970. Ties count for both sides. The clustered t is ours.
    """
    if len(annotators) < 3:
        raise NotMeasurable(f"needs at least 3 annotators but has {len(annotators)}")
    size = same_length(
        judge=np.empty(len(judge)), **{f"annotator {i}": np.empty(len(a)) for i, a in enumerate(annotators)}
    )
    question = None if clusters is None else indices(clusters, "clusters", length=size)
    ours, theirs = _fits(_numbers(judge, annotators, numeric), numeric)
    contests = []
    units_of = np.arange(size) if question is None else question
    rows: list[tuple[IntArray, FloatArray]] = []
    for who in range(len(annotators)):
        items = np.flatnonzero(np.isfinite(theirs[who]) & np.isfinite(ours[who]))
        if items.size < max(fewest_items, 2):
            continue
        gap = ours[who, items] - theirs[who, items]
        wins, losses = gap >= -TIE, gap <= TIE
        units = None if question is None else question[items]
        p = _p_value(losses.astype(np.float64) - wins, epsilon, units)
        contests.append((who, items.size, float(wins.mean()), float(losses.mean()), p))
        rows.append((units_of[items], wins.astype(np.float64)))
    if len(contests) < 3:
        enough = f"{fewest_items} items or more that somebody else labelled too"
        raise NotMeasurable(f"needs at least 3 annotators with {enough}, but has {len(contests)}")
    rejected = benjamini_yekutieli(np.array([contest[-1] for contest in contests]), rate)
    winning = float(rejected.mean())
    return AlternativeAnnotator(
        winning_rate=winning,
        advantage=_advantage(rows),
        passed=winning >= PASS,
        contests=tuple(Contest(*row, bool(r)) for row, r in zip(contests, rejected, strict=True)),
        epsilon=epsilon,
        rate=rate,
    )


def _advantage(contests: Sequence[tuple[IntArray, FloatArray]]) -> Interval:
    """Mean over contests of their mean [items], clustered: one question may be in all of them."""
    estimate = float(np.mean([wins.mean() for _, wins in contests]))
    n = sum(wins.size for _, wins in contests)
    question = np.unique(np.concatenate([about for about, _ in contests]), return_inverse=True)[1]
    influence = np.concatenate([(wins - wins.mean()) / (wins.size * len(contests)) for _, wins in contests])
    units = int(question.max()) + 1
    if units < 2:
        return Interval(estimate, None, None, n, 0.95, None, units)
    sums = totals(question, influence, units)
    error = float(np.sqrt(sums @ sums * units / (units - 1)))
    reach = t_quantile(0.975, units - 1) * error
    return Interval(estimate, max(0.0, estimate - reach), min(1.0, estimate + reach), n, 0.95, error, units)


def benjamini_yekutieli(p_values: FloatArray, rate: float) -> BoolArray:
    """Which hypotheses [m] to reject at a false discovery rate, however the tests depend on each other."""
    m = p_values.size
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(1, m + 1)
    below = np.flatnonzero(p_values[order] <= steps * rate / (m * (1 / steps).sum()))
    rejected = np.zeros(m, dtype=np.bool_)
    rejected[order[: below[-1] + 1 if below.size else 0]] = True
    return rejected


def _numbers(
    judge: Sequence[Hashable | None] | FloatArray,
    annotators: Sequence[Sequence[Hashable | None]] | FloatArray,
    numeric: bool,
) -> FloatArray:
    """[R + 1, N] labels as numbers, the judge's last; NaN where missing. Labels that are no ratings are numbered."""
    if isinstance(judge, np.ndarray) or isinstance(annotators, np.ndarray):
        given = np.vstack([np.asarray(annotators, dtype=np.float64), np.asarray(judge, dtype=np.float64)])
        if numeric:
            return given
        return np.where(np.isnan(given), np.nan, np.unique(given, return_inverse=True)[1].reshape(given.shape))
    numbers: dict[Hashable, int] = {}

    def number(label: Hashable | None) -> float:
        if label is None:
            return np.nan
        return float(label) if numeric else numbers.setdefault(label, len(numbers))  # type: ignore[arg-type]

    return np.array([[number(label) for label in row] for row in (*annotators, judge)], dtype=np.float64)


def _fits(labels: FloatArray, numeric: bool) -> tuple[FloatArray, FloatArray]:
    """[R, N] how well the judge, and each annotator, agree with the annotators but this one; NaN where unknown."""
    given, judge = labels[:-1], labels[-1]
    people = np.isfinite(given)
    others = people.sum(axis=0) - people
    rows, columns = np.nonzero(people & (others > 0) & np.isfinite(judge))
    ours, theirs = np.full(people.shape, np.nan), np.full(people.shape, np.nan)
    left = others[rows, columns]
    own, machine = given[rows, columns], judge[columns]
    if numeric:
        known = np.where(people, given, 0.0)
        mean = (known.sum(axis=0)[columns] - own) / left
        square = ((known**2).sum(axis=0)[columns] - own**2) / left
        ours[rows, columns] = -np.sqrt(np.maximum(square - 2 * mean * machine + machine**2, 0))
        theirs[rows, columns] = -np.sqrt(np.maximum(square - 2 * mean * own + own**2, 0))
        return ours, theirs
    own, machine = own.astype(np.int64), machine.astype(np.int64)
    kinds = int(np.nanmax(labels, initial=0)) + 1
    where, who = np.nonzero(people.T)
    counts = np.bincount(where * kinds + given.T[where, who].astype(np.int64), minlength=judge.size * kinds)
    counts = counts.reshape(judge.size, kinds)
    ours[rows, columns] = (counts[columns, machine] - (own == machine)) / left
    theirs[rows, columns] = (counts[columns, own] - 1) / left
    return ours, theirs


def _p_value(differences: FloatArray, epsilon: float, question: IntArray | None) -> float:
    """One-sided p-value of a mean difference of epsilon or more."""
    from scipy.special import stdtr

    n = differences.size
    residual = differences - differences.mean()
    if question is None:
        if n < 30:
            from scipy.stats import wilcoxon  # half a second, which most callers need not wait for

            return float(wilcoxon(differences - epsilon, alternative="less").pvalue)
    else:
        places = np.unique(question, return_inverse=True)[1]
        residual = totals(places, residual, int(places.max()) + 1)
    units = residual.size
    if units < 2:
        return 1.0
    error = float(np.sqrt(residual @ residual * units / (units - 1))) / n
    above = float(differences.mean()) - epsilon
    if error == 0:
        return float(above >= 0)
    return float(stdtr(units - 1, above / error))
