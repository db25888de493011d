"""Position bias: does the verdict depend on which answer is shown first?

Each pair is judged in both orders. Written in slots, a judge is consistent if it names the same answer (or a tie)
twice; otherwise it leans to the first slot (primacy) or to the second (recency). Zheng et al. 2023
(arXiv:2306.05685); preference fairness of Shi et al. 2024 (arXiv:2406.07791), which is (recency - primacy) / n exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from evalkit.evidence.evidence import Evidence, Pairs, percent, signed
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import LOGITS, POSITION, Metric, Unit, share
from evalkit.evidence.position_effect import logit, penalised, showings, within_pairs

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.resample import Interval

ALONE = "needs two answers in one prompt; single grading shows one, which has no position"
BOTH = "needs verdicts in both orders of the same pair"
JOINED = "needs the verdict of each order; these rows join two orders into one"
ORDER_RISK = "That a verdict given in one order would stand with the answers swapped; show both and average them."
ORDER_SAFE = "The order in which answers are shown matters little:"
ZHENG = "Zheng et al. 2023, arXiv:2306.05685"
CONSISTENCY = Metric(
    name="position_consistency",
    label="Same verdict in both orders",
    unit=share("pairs"),
    topic=POSITION,
    question="How often does the judge say the same when the two answers change places?",
    needs="verdicts in both orders of a pair",
    source=ZHENG,
    axis="share of pairs",
)
LOGIT = Metric(
    name="position_logit",
    label="Advantage of the first place, over all pairs",
    unit=LOGITS,
    topic=POSITION,
    question="Given how strong two models are, how much does being shown first add to the odds of winning?",
    unbiased=0.0,
    risk=ORDER_RISK,
    safe=ORDER_SAFE,
    needs="verdicts in varying orders",
    source="Bradley-Terry with an order effect; Davidson & Beaver 1977",
    axis="logits; above 0 favours the first",
)
FAIRNESS = Metric(
    name="position_fairness",
    label="Preference fairness",
    unit=Unit("-1 always first, +1 always second", "signed", "from -1 to +1", small=0.3),
    topic=POSITION,
    question="Over all pairs, do verdicts go to the second place more often than to the first?",
    unbiased=0.0,
    risk=ORDER_RISK,
    safe=ORDER_SAFE,
    stands_in_for=(LOGIT.name,),
    needs="verdicts in both orders of a pair",
    source="Shi et al. 2024, arXiv:2406.07791",
)
FIRST = Metric(
    name="position_first",
    label="Leans first, if inconsistent",
    unit=share("inconsistent pairs"),
    topic=POSITION,
    question="Of the pairs whose verdict changes with the order, how many go to the answer shown first?",
    unbiased=0.5,
    risk=ORDER_RISK,
    safe=ORDER_SAFE,
    stands_in_for=(LOGIT.name, FAIRNESS.name),
    needs="verdicts in both orders of a pair, some of them inconsistent",
    source=ZHENG,
    axis="share of pairs",
)
LAST = replace(
    FIRST,
    name="position_last",
    label="Leans second, if inconsistent",
    question="Of the pairs whose verdict changes with the order, how many go to the answer shown second?",
    stands_in_for=(LOGIT.name, FAIRNESS.name, FIRST.name),
)
WITHIN_PAIRS = Metric(
    name="position_logit_within_pairs",
    label="Advantage of the first place, within pairs",
    unit=LOGITS,
    topic=POSITION,
    question="On one and the same pair, how much does being shown first add to the odds of winning?",
    unbiased=0.0,
    risk=ORDER_RISK,
    safe=ORDER_SAFE,
    stands_in_for=(LOGIT.name, FAIRNESS.name, FIRST.name),
    needs="pairs that went to the first answer in both orders, and some to the second",
    source="Conditional logistic regression; Andersen 1970, JRSS B 32:283",
    axis="logits; above 0 favours the first",
)
BY_GAP = Metric(
    name="position_logit_by_gap",
    label="Its change with the gap in quality",
    unit=Unit("logits per logit", "signed", "logits per logit"),
    topic=POSITION,
    question="Does the place decide less the further apart two models are in quality?",
    unbiased=0.0,
    risk=ORDER_RISK,
    safe=ORDER_SAFE,
    stands_in_for=(LOGIT.name, FAIRNESS.name, FIRST.name),
    needs="three models or more, in varying orders",
    source="Order effect that changes with the gap in quality; Shi et al. 2024, arXiv:2406.07791",
)
STABILITY = Metric(
    name="position_repeat_stability",
    label="Same verdict when asked again",
    unit=share("repeats"),
    topic=POSITION,
    question="Asked the very same thing again, how often does the judge repeat its most frequent verdict?",
    needs="repeats of the same showing (repeats=3)",
    source="Repetition stability; Shi et al. 2024, arXiv:2406.07791",
)
SHARES = (CONSISTENCY, FIRST, LAST, FAIRNESS)
EFFECTS = (*SHARES, LOGIT, WITHIN_PAIRS)
ON_AVERAGE, BY_CATEGORY = "on_average_only", "between_categories"
"""Details of a finding about all pairs: why finding no effect is no good news, and how the lean differs."""
STEADY = 0.9
"""Position consistency at which one order would nearly do."""
NEAR = 0.05
"""How far consistency between orders may lie below the agreement of repeats and still be noise."""
FEWEST_EACH = 4
"""Questions of a category from which it is compared with others."""
FEWEST = 8
"""Questions of a category from which its position effect is given; below, the limits of so few are too narrow."""


class Lean(NamedTuple):
    """Pairs with a verdict in both orders."""

    lean: FloatArray
    """[N] 1 to the first slot, -1 to the second, 0 consistent."""
    question: IntArray
    category: IntArray
    lost: int
    """Pairs shown in both orders, of which one or both have no verdict."""


@dataclass(frozen=True)
class Position:
    """Consistency over the two orders, and where an inconsistent judge leans."""

    metrics: ClassVar[tuple[Metric, ...]] = (*EFFECTS, BY_GAP, STABILITY)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Shares first, then the effect in logits, over all pairs and within them, then what moves it."""
        if evidence.shows != 2:
            for metric in EFFECTS:
                yield evidence.lacking(metric, ALONE)
            return
        if evidence.joint:
            yield from _joined(evidence)
            return
        lean = leaning(evidence)
        whole = {ON_AVERAGE: _on_average_only(evidence, lean), BY_CATEGORY: _between_categories(evidence, lean)}
        for finding in (*_shares(evidence, lean, None), *_effect(evidence)):
            judged = finding.metric in (LOGIT.name, FAIRNESS.name, FIRST.name) and finding.estimate is not None
            yield replace(finding, details={**finding.details, **whole}) if judged else finding
        yield _within(evidence)
        yield from _stability(evidence)
        for code, category in enumerate(evidence.categories):
            inside = lean.category == code
            if inside.any() and len(evidence.categories) > 1:
                part = Lean(lean.lean[inside], lean.question[inside], lean.category[inside], 0)
                yield from _shares(evidence, part, category)
                yield _category_effect(evidence, code)


def leaning(evidence: Evidence) -> Lean:
    """How each pair with two verdicts leans: to the first, to the last, or to neither."""
    import numpy as np

    pairs = evidence.pairs
    keep = pairs.both
    slots = np.sign(pairs.plain[keep] - 0.5) + np.sign(0.5 - pairs.swapped[keep])
    lost = int(((pairs.asked == 3) & ~keep).sum())
    return Lean(np.sign(slots), pairs.question[keep], pairs.category[keep], lost)


def _on_average_only(evidence: Evidence, lean: Lean) -> str | None:
    """Why finding neither place favoured on average does not show that order matters little; None where it does.

    Verdicts that follow the order may lean either way equally often. They are harmless only as far as the judge, asked
    the very same thing again, changes its verdict as often.
    """
    import numpy as np

    from evalkit.stats.shares import clustered_share

    if not lean.lean.size:
        return "no pair was judged in both orders, so how many verdicts survive the swap is not known"
    same = clustered_share((lean.lean == 0).astype(np.float64), lean.question)
    again = _repeated(evidence)
    floor = STEADY if again is None else again[1].estimate - NEAR
    if same.estimate >= floor:
        return None
    beside = (
        "" if again is None else f"; asked the very same thing again, it agrees with itself in {again[1].estimate:.1%}"
    )
    return f"only {same.estimate:.1%} of verdicts survive the swap{beside}"


def _between_categories(evidence: Evidence, lean: Lean) -> dict[str, Any] | None:
    """Whether the lean differs between categories by more than chance, and which way each leans.

    A permutation test of the questions' mean leans, so that its level is exact however few pairs are inconsistent.
    Categories of fewer than ``FEWEST_EACH`` questions take no part.
    """
    import numpy as np

    from evalkit.stats.arrays import totals
    from evalkit.stats.heterogeneity import exchanged

    question, place = np.unique(lean.question, return_inverse=True)
    if not question.size:
        return None
    mean = totals(place, lean.lean, question.size) / np.bincount(place)
    category = np.zeros(question.size, dtype=np.int64)
    category[place] = lean.category
    used = np.flatnonzero(np.bincount(category, minlength=len(evidence.categories)) >= FEWEST_EACH)
    keep = np.isin(category, used)
    if used.size < 2 or np.ptp(mean[keep]) == 0:
        return None
    mean, category = mean[keep], np.searchsorted(used, category[keep])
    means = totals(category, mean, used.size) / np.bincount(category)
    return {
        "p_value": exchanged(mean, category),
        "questions": int(mean.size),
        "leans": {evidence.categories[code]: float(value) for code, value in zip(used, means, strict=True)},
    }


def _joined(evidence: Evidence) -> Iterator[Finding]:
    """Rows that stand for two orders say whether they agreed, not who leant where."""
    from evalkit.stats.shares import clustered_share

    pairs = evidence.pairs
    keep = ~pairs.failed
    if not pairs.inconsistent.any() or not keep.any():
        yield evidence.lacking(CONSISTENCY, JOINED)
    else:
        parts = [(None, keep)] + [
            (name, keep & (pairs.category == code)) for code, name in enumerate(evidence.categories)
        ]
        for category, inside in parts:
            if not inside.any():
                continue
            same = (~pairs.inconsistent[inside]).astype(float)
            interval = clustered_share(same, pairs.question[inside])
            yield evidence.finding(
                CONSISTENCY,
                interval,
                f"{_on(category)}The source calls {int((same == 0).sum())} of {same.size} pairs inconsistent between "
                f"the two orders, so {percent(interval)} are consistent.",
                category=category,
                inconsistent=int((same == 0).sum()),
            )
    for metric in EFFECTS[1:]:
        yield evidence.lacking(metric, JOINED)


def _shares(evidence: Evidence, lean: Lean, category: str | None) -> Iterator[Finding]:
    import numpy as np

    from evalkit.stats.flips import sign_flip
    from evalkit.stats.resample import Interval, wilson
    from evalkit.stats.shares import clustered_mean, clustered_share

    n = int(lean.lean.size)
    if not n:
        for metric in SHARES:
            yield evidence.lacking(metric, BOTH, category=category, lost=lean.lost)
        return
    first, last = int((lean.lean > 0).sum()), int((lean.lean < 0).sum())
    moved = first + last
    counts = {"consistent": n - moved, "first": first, "last": last, "without_verdict": lean.lost}
    interval = clustered_share((lean.lean == 0).astype(np.float64), lean.question)
    lost = f" {lean.lost} more without a verdict in one order or both, not counted." if lean.lost else ""
    yield evidence.finding(
        CONSISTENCY,
        interval,
        f"{_on(category)}{evidence.judge} gave the same verdict in both orders for {n - moved} of "
        f"{counted(n, 'pair')}: "
        f"{percent(interval)}.{lost}",
        category=category,
        counts=counts,
        with_failures=(n - moved) / (n + lean.lost),
        by_chance=_same_by_chance(evidence.pairs),
    )
    p = sign_flip(lean.lean, lean.question)
    for metric, sign, word in ((FIRST, 1, "first"), (LAST, -1, "second")):
        if category is not None and sign < 0:
            continue  # what is left of the first
        if not moved:
            yield evidence.lacking(metric, "needs inconsistent pairs; there is none", category=category)
            continue
        share = clustered_share((lean.lean[lean.lean != 0] == sign).astype(np.float64), lean.question[lean.lean != 0])
        yield evidence.finding(
            metric,
            share,
            f"{_on(category)}Of {counted(moved, 'inconsistent pair')}, {first if sign > 0 else last} went to the "
            f"answer shown {word}: {percent(share)}; a judge without position bias has 50%.",
            category=category,
            p_value=p,
            counts=counts,
        )
    fair = clustered_mean(-lean.lean, lean.question, limits=(-1.0, 1.0))
    if not moved:
        reach = wilson(0, n).upper or 0.0
        fair = Interval(0.0, -reach, reach, n, 0.95, None, fair.clusters)
    fair = _as_wide_as_independent(fair, first, last)
    yield evidence.finding(
        FAIRNESS,
        fair,
        f"{_on(category)}Fairness is {signed(fair, 3)} on a scale from -1 (always the first) to +1 (always the "
        f"second): {counted(first, 'pair')} went to the first answer, {last} to the second. "
        f"Test of no preference, signs of questions exchanged: p = {p:.2g}.",
        category=category,
        p_value=p,
        counts=counts,
    )


def _same_by_chance(pairs: Pairs) -> float:
    """The least share of pairs with one verdict in both orders that noise leaves, given how many verdicts are ties.

    Two verdicts on one pair that know nothing of each other, and nothing of the order, are the same at least so often.
    """
    import numpy as np

    said = np.concatenate([pairs.plain[pairs.both], pairs.swapped[pairs.both]])
    ties = float((said == 0.5).mean()) if said.size else 0.0
    return ties**2 + (1 - ties) ** 2 / 2


def _times(odds: float) -> str:
    return f"{odds:.2f}" if odds < 10 else f"{odds:,.0f}"


def _as_wide_as_independent(fair: Interval, first: int, last: int) -> Interval:
    """A bootstrap of three questions is too narrow: never narrower than score limits of independent pairs.

    Source: the difference of two shares of one sample from the limits of each (Newcombe 1998, Statistics in Medicine
    17:2635), their correlation as in a multinomial sample.
    """
    from evalkit.stats.resample import wilson

    n = fair.n
    p, q = first / n, last / n
    one, two = wilson(first, n), wilson(last, n)
    if one.lower is None or one.upper is None or two.lower is None or two.upper is None:
        return fair
    if fair.lower is None or fair.upper is None:
        return fair
    under, over = (q - two.lower, two.upper - q), (p - one.lower, one.upper - p)
    alike = -((p * q / ((1 - p) * (1 - q))) ** 0.5) if 0 < p < 1 and 0 < q < 1 else 0.0
    down = (under[0] ** 2 + over[1] ** 2 - 2 * alike * under[0] * over[1]) ** 0.5
    up = (under[1] ** 2 + over[0] ** 2 - 2 * alike * under[1] * over[0]) ** 0.5
    low, high = max(-1.0, q - p - down), min(1.0, q - p + up)
    return replace(fair, lower=min(fair.lower, low), upper=max(fair.upper, high))


def _category_effect(evidence: Evidence, code: int) -> Finding:
    """The position effect in one category."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable

    category = evidence.categories[code]
    shown = showings(evidence.pairs, evidence.pairs.category == code)
    questions = int(np.unique(shown.question).size)
    try:
        if questions < FEWEST:
            raise NotMeasurable(f"needs {FEWEST} questions; there {'is' if questions == 1 else 'are'} {questions}")
        interval, fitted = logit(shown)
    except NotMeasurable as error:
        return evidence.lacking(LOGIT, error.reason, category=category, n=int(shown.outcome.size))
    return evidence.finding(
        LOGIT,
        interval,
        f"{_on(category)}Over these pairs, being shown first adds {signed(interval)} logits, given the two models."
        f"{penalised(fitted)}",
        category=category,
        ridge=fitted.ridge if fitted is not None else 0.0,
    )


def _effect(evidence: Evidence) -> Iterator[Finding]:
    """The logit of the first slot given the two models, and how it changes with the gap in quality."""
    import numpy as np

    from evalkit.evidence.joint_ratings import fit
    from evalkit.stats.errors import NotMeasurable, StatisticsError

    shown = showings(evidence.pairs)
    try:
        interval, fitted = logit(shown)
    except NotMeasurable as error:
        yield evidence.lacking(LOGIT, error.reason)
        return
    share = float(shown.outcome.mean())
    odds = float(np.exp(abs(interval.estimate)))
    way = "first" if interval.estimate > 0 else "second"
    yield evidence.finding(
        LOGIT,
        interval,
        f"Over the pairs as they are, given how strong the two models are, being shown {way} multiplies the odds of "
        f"winning by {_times(odds)} (logit {signed(interval)}; above 0 favours the first); between two answers of "
        f"equal quality it is more. Over all showings the first answer gets {100 * share:.1f}% of the wins."
        f"{penalised(fitted)}",
        first_slot_share=share,
        ridge=fitted.ridge if fitted is not None else 0.0,
    )
    if fitted is None or fitted.used.size < 3:
        return
    apart = shown.first != shown.second
    first, second, outcome, question = (column[apart] for column in shown)
    ability = np.zeros(len(evidence.models))
    ability[fitted.used] = fitted.ratings.ratings
    gap = np.abs(ability[first] - ability[second])
    if np.ptp(gap) < 1e-9:
        return
    with_gap = np.column_stack([np.ones(gap.size), gap - gap.mean()])
    try:
        slope = fit(first, second, outcome, with_gap, question).ratings.coefficient(1)
    except StatisticsError:
        return
    yield evidence.finding(
        BY_GAP,
        slope,
        f"For each logit by which two models differ in quality, the position effect changes by {signed(slope)}; "
        "a change towards 0 means that position decides mainly between models of similar quality.",
        by_gap=_by_gap(evidence, ability),
    )


def _within(evidence: Evidence) -> Finding:
    """The logit of the first slot on one and the same pair."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable

    metric = WITHIN_PAIRS
    try:
        interval, first, second = within_pairs(evidence.pairs)
    except NotMeasurable as error:
        return evidence.lacking(metric, error.reason)
    way = "first" if interval.estimate > 0 else "second"
    return evidence.finding(
        metric,
        interval,
        f"On one and the same pair, whatever its answers are worth, being shown {way} multiplies the odds of winning "
        f"by {_times(float(np.exp(abs(interval.estimate))))} (logit {signed(interval)}): {counted(first, 'pair')} went "
        f"to the first answer in both orders, {second} to the second.",
        counts={"first": first, "last": second},
    )


def _by_gap(evidence: Evidence, ability: FloatArray) -> list[dict[str, Any]]:
    """Consistency and fairness in thirds of the gap in quality, with their limits."""
    import numpy as np

    from evalkit.stats.shares import clustered_mean, clustered_share

    pairs = evidence.pairs
    keep = pairs.both & (pairs.a != pairs.b)
    lean = leaning(evidence).lean[(pairs.a != pairs.b)[pairs.both]]
    question = pairs.question[keep]
    gap = np.abs(ability[pairs.a[keep]] - ability[pairs.b[keep]])
    if not gap.size:
        return []
    edges = np.quantile(gap, [1 / 3, 2 / 3])
    third = np.searchsorted(edges, gap, side="left")
    result = []
    for inside in (third == part for part in range(3) if (third == part).any()):
        same = clustered_share((lean[inside] == 0).astype(np.float64), question[inside])
        fair = clustered_mean(-lean[inside], question[inside], limits=(-1.0, 1.0))
        fair = _as_wide_as_independent(fair, int((lean[inside] > 0).sum()), int((lean[inside] < 0).sum()))
        result.append(
            {
                "gap": float(gap[inside].mean()),
                "n": same.n,
                "questions": same.clusters,
                "consistency": same.estimate,
                "consistency_limits": [same.lower, same.upper],
                "fairness": fair.estimate,
                "fairness_limits": [fair.lower, fair.upper],
            }
        )
    return result


def _stability(evidence: Evidence) -> Iterator[Finding]:
    """Share of repeats of one showing that say what most repeats say: the noise floor of consistency."""
    found = _repeated(evidence)
    if found is None:
        yield evidence.lacking(STABILITY, "needs repeats of the same showing (`evalkit run ... repeats=3`)")
        return
    most, alike = found
    yield evidence.finding(
        STABILITY,
        most,
        f"Asked the very same thing again, the judge repeats its most frequent verdict in {percent(most)} of "
        "cases: inconsistency between orders up to that noise is not position bias.",
        agreement_of_repeats=alike.estimate,
    )


def _repeated(evidence: Evidence) -> tuple[Interval, Interval] | None:
    """Over repeats of one showing: the share of the most frequent verdict, and how often two repeats say the same."""
    import numpy as np

    from evalkit.stats.shares import clustered_mean

    pairs = evidence.pairs
    if not (pairs.repeat > 0).any():
        return None
    keys = np.stack([pairs.question, pairs.turn, pairs.a, pairs.b, pairs.response_a, pairs.response_b], axis=1)
    cell = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    place = np.zeros(int(cell.max()) + 1, dtype=np.int64)
    place[cell] = pairs.question
    most, alike, questions = [], [], []
    for said in (pairs.plain, pairs.swapped):
        has = np.isfinite(said)
        letters = (np.sign(said[has] - 0.5) + 1).astype(np.int64)
        table = np.zeros((place.size, 3))
        np.add.at(table, (cell[has], letters), 1)
        several = table.sum(axis=1) > 1
        table, n = table[several], table[several].sum(axis=1)
        most.append(table.max(axis=1) / n)
        alike.append((table * (table - 1)).sum(axis=1) / (n * (n - 1)))
        questions.append(place[several])
    values, same, question = np.concatenate(most), np.concatenate(alike), np.concatenate(questions)
    if not values.size:
        return None
    return clustered_mean(values, question, limits=(0.0, 1.0)), clustered_mean(same, question, limits=(0.0, 1.0))


def _on(category: str | None) -> str:
    return f"On {category}: " if category else ""
