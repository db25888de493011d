"""Self-preference: does the judge favour its own model, its family, or models trained on its outputs?

A judge that tells good from bad more sharply than people do gives a strong model a larger lead without favouring it,
so raw gaps in win rate overstate. Ratings by the judge are regressed on ratings by people over the *other* models;
what is left of the model in question is its residual, and the residuals of models that are no kin are a placebo.
Raw gap: Zheng et al. 2023 (arXiv:2306.05685). Equal-opportunity form: Wataoka et al. 2024
(arXiv:2410.21819).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.evidence.evidence import Evidence, signed
from evalkit.evidence.findings import Finding
from evalkit.evidence.metrics import DIFFERENCE, LOGITS, SELF, Metric

if TYPE_CHECKING:
    from evalkit.evidence.joint_ratings import FittedTwice
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

FEWEST = 4
"""Models: a line through the others needs three at least."""
KINDS = {
    "self": "is the judge's own model",
    "family": "is of the judge's family",
    "trained_on": "learnt from its family",
}
RESIDUAL = Metric(
    name="self_{kind}_residual",
    label="{label}, in excess",
    unit=LOGITS,
    topic=SELF,
    question="Given how people rate it, does the judge rate a model higher that {means}?",
    unbiased=0.0,
    risk="That its own kin are as good as it says.",
    safe="It favours its own kin little:",
    needs="a contestant that is the judge's own model or its kin, and votes of people on four models or more",
    source="Residual of a line through the other models' ratings, beside theirs as a placebo",
)
RESIDUALS = {
    "self": RESIDUAL.of(kind="preference", label="Own model", means=KINDS["self"]),
    "family": RESIDUAL.of(kind="family", label="Its family", means=KINDS["family"]),
    "trained_on": RESIDUAL.of(kind="trained_on", label="Taught by it", means=KINDS["trained_on"]),
}
GAP = Metric(
    name="self_win_rate_gap",
    label="Win rate above people's",
    unit=DIFFERENCE,
    topic=SELF,
    question="Does a model that is the judge's kin win more often by the judge than by people on the same pairs?",
    needs="votes of people on pairs with the judge's own model or its kin",
    source="Zheng et al. 2023, arXiv:2306.05685",
)
EQUAL_OPPORTUNITY = Metric(
    name="self_equal_opportunity",
    label="Equal opportunity (Wataoka et al.)",
    unit=DIFFERENCE,
    topic=SELF,
    question="Does the judge agree with people more often where they prefer the judge's kin?",
    needs="votes of people on pairs with the judge's own model or its kin",
    source="Wataoka et al. 2024, arXiv:2410.21819",
)


@dataclass(frozen=True)
class SelfPreference:
    """Residuals against people's ratings, with their placebo, and raw gaps."""

    metrics: ClassVar[tuple[Metric, ...]] = (*RESIDUALS.values(), GAP, EQUAL_OPPORTUNITY)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """For each model that is kin; what is lacking otherwise."""
        import numpy as np

        kin = relatives(evidence)
        pairs, votes = evidence.pairs, evidence.votes
        metric = RESIDUALS["self"]
        if not kin:
            yield evidence.lacking(metric, "needs a model among the contestants that is the judge's own or its kin")
            return
        used = np.flatnonzero((votes.pair >= 0) & (votes.a != votes.b))
        used = used[np.isfinite(pairs.outcome[votes.pair[used]])]
        if not used.size:
            yield evidence.lacking(metric, "needs votes of people on the pairs this judge judged")
            return
        a, b, question = votes.a[used], votes.b[used], votes.question[used]
        judge, people = pairs.outcome[votes.pair[used]], votes.outcome[used]
        yield from _residuals(evidence, kin)
        for code, kind in kin.items():
            yield from _gap(evidence, code, kind, a, b, judge, people, question)


def relatives(evidence: Evidence) -> dict[int, str]:
    """Models that are kin of the judge, and how, closest first."""
    found = {}
    family = evidence.judge_lineage.family
    for code, name in enumerate(evidence.models):
        kin = evidence.lineages.get(name)
        if name in evidence.own_models:
            found[code] = "self"
        elif kin is not None and family is not None and kin.family == family:
            found[code] = "family"
        elif kin is not None and family is not None and family in kin.trained_on:
            found[code] = "trained_on"
    return dict(sorted(found.items(), key=lambda item: list(KINDS).index(item[1])))


def residual(model: int) -> Callable[[FloatArray, FloatArray], float]:
    """One model's rating by the judge, less what a line through the other models expects."""

    def statistic(judge: FloatArray, people: FloatArray) -> float:
        import numpy as np

        others = np.arange(judge.size) != model
        k, a = _line(judge[others], people[others])
        return float(judge[model] - a - k * people[model])

    return statistic


def _line(judge: FloatArray, people: FloatArray) -> tuple[float, float]:
    spread = people - people.mean()
    square = float(spread @ spread)
    k = float(spread @ judge) / square if square > 0 else float("nan")
    return k, float(judge.mean() - k * people.mean())


def _sharpness(model: int) -> Callable[[FloatArray, FloatArray], float]:
    """Slope of the line through the other models."""

    def statistic(judge: FloatArray, people: FloatArray) -> float:
        import numpy as np

        others = np.arange(judge.size) != model
        return _line(judge[others], people[others])[0]

    return statistic


def _residuals(evidence: Evidence, kin: Mapping[int, str]) -> Iterator[Finding]:
    import numpy as np

    from evalkit.evidence.joint_ratings import fit_twice, rows
    from evalkit.stats.errors import NotMeasurable, StatisticsError

    pairs, votes = evidence.pairs, evidence.votes
    metric = RESIDUALS["self"]
    voted = np.unique(votes.pair[votes.pair >= 0])
    rated = np.unique(np.concatenate([pairs.a[voted], pairs.b[voted]]))
    mine = np.isfinite(pairs.outcome) & (pairs.a != pairs.b) & np.isin(pairs.a, rated) & np.isin(pairs.b, rated)
    theirs = (votes.a != votes.b) & np.isin(votes.a, rated) & np.isin(votes.b, rated)
    try:
        fitted = fit_twice(
            rows(pairs.a[mine], pairs.b[mine], pairs.outcome[mine], pairs.question[mine]),
            rows(votes.a[theirs], votes.b[theirs], votes.outcome[theirs], votes.question[theirs]),
            penalise=False,
        )
        if fitted.used.size < FEWEST:
            raise NotMeasurable(f"needs at least {FEWEST} models that people compared; there are {fitted.used.size}")
        placebo = _placebo(evidence, fitted, kin)
        for code in sorted(set(fitted.used.tolist()) & set(kin), key=list(kin).index):
            yield _residual(evidence, fitted, fitted.used.tolist().index(code), kin[code], placebo)
    except StatisticsError as error:
        yield evidence.lacking(metric, error.reason if isinstance(error, NotMeasurable) else f"needs a fit: {error}")


def _placebo(evidence: Evidence, fitted: FittedTwice, kin: Mapping[int, str]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for place, code in enumerate(fitted.used.tolist()):
        if code not in kin:
            interval = fitted.both.interval(residual(place))
            found[evidence.models[code]] = {
                "estimate": interval.estimate,
                "lower": interval.lower,
                "upper": interval.upper,
            }
    return found


def _residual(
    evidence: Evidence, fitted: FittedTwice, place: int, kind: str, placebo: Mapping[str, Mapping[str, float | None]]
) -> Finding:
    from evalkit.evidence.joint_ratings import ranked_alike
    from evalkit.stats.errors import NotMeasurable

    metric = RESIDUALS[kind]
    name = evidence.models[int(fitted.used[place])]
    relative = evidence.lineages.get(name)
    about: dict[str, Any] = {
        "model": name,
        "relation": kind,
        "guessed": bool(relative and relative.inferred_from_name) and kind != "self",
    }
    interval = fitted.both.interval(residual(place))
    try:
        others = ranked_alike(fitted.both.interval(_sharpness(place)), "the other models")
    except NotMeasurable as error:
        return evidence.lacking(metric, error.reason, n=interval.n, **about)
    k = fitted.both.sharpness()
    spread = max((abs(row["estimate"] or 0.0) for row in placebo.values()), default=0.0)
    farther = sum(abs(row["estimate"] or 0.0) >= abs(interval.estimate) for row in placebo.values())
    apart = interval.lower is not None and interval.upper is not None and not interval.lower <= 0 <= interval.upper
    beyond = abs(interval.estimate) - (interval.standard_error or 0.0) > spread
    if not apart:
        said = "no preference shows"
    elif beyond:
        said = "clearly more than any model that is no kin"
    else:
        said = "which cannot be told from how far models that are no kin are off"
    finding = evidence.finding(
        metric,
        interval,
        f"{name} {KINDS[kind]}. Given how people rate it, and how the judge rates the others "
        f"({others.estimate:.2f} times as sharply), it is {signed(interval)} logits above what is to "
        f"be expected from {evidence.judge}: {said} (placebo up to {spread:.2f}).",
        **about,
        sharpness={"estimate": k.estimate, "lower": k.lower, "upper": k.upper},
        sharpness_of_others={"estimate": others.estimate, "lower": others.lower, "upper": others.upper},
        placebo=placebo,
        beyond_placebo=beyond,
        placebo_rank_p=(1 + farther) / (1 + len(placebo)),
    )
    details = dict(finding.details)
    details["excludes_null"] = apart and beyond
    from dataclasses import replace

    return replace(finding, details=details)


def _gap(
    evidence: Evidence,
    code: int,
    kind: str,
    a: IntArray,
    b: IntArray,
    judge: FloatArray,
    people: FloatArray,
    question: IntArray,
) -> Iterator[Finding]:
    """Win rate by the judge minus by people on the same pairs, and Wataoka's difference in recall.

    Wataoka's compares how often the judge is with people who prefer this model, and with those who prefer any other.
    """
    import numpy as np

    from evalkit.stats.shares import clustered_difference, clustered_mean

    first: BoolArray = a == code
    mine = first | (b == code)
    if not mine.any():
        return
    name = evidence.models[code]
    by_judge = np.where(first, judge, 1 - judge)[mine]
    by_people = np.where(first, people, 1 - people)[mine]
    gap = clustered_mean(by_judge - by_people, question[mine])
    yield evidence.finding(
        GAP,
        gap,
        f"{name} ({KINDS[kind].removeprefix('is ')}) wins {100 * by_judge.mean():.1f}% by {evidence.judge} and "
        f"{100 * by_people.mean():.1f}% by people on the same {gap.n} votes: {signed(gap, 3)}. Descriptive: a sharper "
        "judge widens the lead of any strong model.",
        model=name,
        relation=kind,
        by_judge=float(by_judge.mean()),
        by_people=float(by_people.mean()),
    )
    decided = (judge != 0.5) & (people != 0.5)
    recalled = np.where(first, (judge > 0.5) & (people > 0.5), (b == code) & (judge < 0.5) & (people < 0.5))[decided]
    preferred = np.where(people > 0.5, first, b == code)[decided]
    if preferred.all() or not preferred.any():
        return
    right = ((judge > 0.5) == (people > 0.5))[decided].astype(np.float64)
    form = clustered_difference(right, preferred, question[decided])
    yield evidence.finding(
        EQUAL_OPPORTUNITY,
        form,
        f"Where people prefer {name}, {evidence.judge} agrees in {100 * right[preferred].mean():.1f}% of votes; where "
        f"they prefer another model, in whichever pair, in {100 * right[~preferred].mean():.1f}%: {signed(form, 3)}. "
        "Descriptive.",
        model=name,
        relation=kind,
        recalled=int(recalled.sum()),
    )
