"""The box at the top of an audit: what may be concluded from a judge, what may not, and what is not known.

Where the audit itself says what to conclude, that is what stands there. Otherwise these rules decide, each on an
interval and never on a point estimate:

- as good as one more person: the lower limits of S2 and of S1 agreement with people are not below people's agreement
  with one another by more than ``MARGIN``; not as good: one of the upper limits is. All on the pairs that have several
  votes, as others tell nothing of people. S2 alone would favour a judge that names a winner only where nobody doubts
  it. Nor is it as good where a coin would agree as often, or where there is no vote on which both see a winner.
- right answers: the interval of S2 agreement with gold labels is above, below or on both sides of one half.
- more than length: a rule that prefers the longer answer stays below the lower limit of the same agreement.
- an annotator's place: as the alternative annotator test says, but only where the judge agrees with people beyond
  chance, and beyond a rule that goes by length, and where people agree beyond chance by more than epsilon.
- ranks alike: the interval of Spearman's correlation is above ``ALIKE``, with ``FEWEST_MODELS`` models or more and most
  verdicts the same in both orders.
- an attack: a candidate gives many questions one text, or bears marks of a judge's prompt (``biases/hygiene``); and the
  judge can be attacked where the lower limit of such a candidate's win rate is above one half.
- a bias: the interval excludes the unbiased value of a metric that says what is then at risk (``Metric.risk``). None
  found counts as good news only where an effect that is small in its unit (``Unit.small``) would have been found;
  otherwise it is not known. Nor is it where the interval excludes it, but models that are no kin are as far off, or so
  many effects were looked at that one would be.
- a category: its upper limit of S2 agreement is below that of all categories together.
- all warnings hold together (``audit_warnings``): a judge that deserves none gets one in at most 5% of audits. What an
  interval alone would deny, but not with all that one box looks at, is not known. ``VerdictBox.looked_at`` says how
  many there were.
- order matters little: no effect is found, nearly all verdicts survive the swap (or as many as survive asking again),
  and the categories do not differ (``biases/position``). Where fewer survive, it is not known: a noisy judge without a
  bias has that too; only where even fewer survive than noise leaves
  is it said not to.
- a flat scale: two models get equal scores on more than ``OFTEN`` of questions.
- failures: more than ``LOST`` of judgments or answers, or unevenly between models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from evalkit.audit.agreement_statistics import KAPPA, WINNING_RATE
from evalkit.audit.rankings_compared import SPEARMAN
from evalkit.biases.hygiene import CONSTANT_ANSWERS, TEMPLATE_MARKERS
from evalkit.biases.position import BY_CATEGORY, CONSISTENCY, ON_AVERAGE, ORDER_RISK, STEADY
from evalkit.biases.scale import TIES
from evalkit.evidence.evidence import UNVARIED
from evalkit.evidence.findings import Audit, Finding, Subject, counted
from evalkit.evidence.metrics import Form
from evalkit.reports.audit_metrics import excludes_null, judge_key, models, null_of, p_value, placebo_spread, topics
from evalkit.reports.audit_verdict_people import AGREES, VerdictBox, gold, gold_candidates, people, people_candidates
from evalkit.reports.audit_warnings import LEVEL, PossibleWarning, Warnings, p_below

LOST = 0.02
SHOWN = 2
"""Effects, or models, that are named in a line: a line is to be read, and the tables have all."""
OFTEN = 0.5
"""Share of pairs with equal scores from which a scale says little."""
ALIKE = 0.8
"""Rank correlation from which two rankings are much the same."""
POWER = (1.96 + 0.84) / 1.96
"""Of half an interval of 95%: what is found four times in five."""
KAPPAS = tuple(KAPPA.of(setup=setup, title=setup.upper()).name for setup in ("s1", "s2"))
SLIGHT = 0.1
"""Kappa below which agreement is hardly beyond chance; people's own with one another may be .2 where pairs are hard."""
FEWEST_MODELS = 5
"""Models from which a ranking like people's is worth saying: of four, one in 24 orders is theirs by chance."""


def verdict(audit: Audit, subject: Subject) -> VerdictBox:
    """The sentences to say of one judge."""
    result = VerdictBox()
    mine = [row for row in audit.findings if judge_key(row) == judge_key(subject)]
    if subject.conclusions or subject.cautions or subject.unknown:
        result.may, result.may_not = list(subject.conclusions), list(subject.cautions)
        result.unknown = list(subject.unknown)
        _failures(result, subject)
    else:
        of_people = [*people_candidates(audit, subject), *gold_candidates(audit, subject)]
        warnings = Warnings([*_bias_candidates(mine), *_other_candidates(mine), *of_people])
        result.looked_at = warnings.looked_at
        _attackers(result, mine)
        people(result, audit, subject, warnings)
        gold(result, audit, subject, warnings)
        _stand_in(result, mine, warnings)
        _ranking(result, mine, warnings)
        _flat(result, mine, warnings)
        neither = _biases(result, mine, warnings)
        _steadiness(result, mine, neither, warnings)
        _failures(result, subject)
    result.unknown += _unmeasured(audit, mine)
    return result


def looked_at(result: VerdictBox) -> str:
    """How many statements the warnings are out of, as a sentence; empty where none was looked at."""
    if not result.looked_at:
        return ""
    return (
        f"{counted(result.looked_at, 'possible warning')} looked at; a judge that deserves none would get any of them "
        "in at most 5% of audits."
    )


def _brief(row: Finding) -> str:
    """Label, estimate and interval; what it means in words stands in the tables."""
    assert row.estimate is not None
    form, after = row.measure.unit.form, f" {row.measure.unit.after}" if row.measure.unit.after else ""
    about = models(row)
    said = row.measure.label + (f", {about[0]}" if about else "") + f": {_figure(row.estimate, form)}{after}"
    if row.lower is None or row.upper is None:
        return f"{said} (no interval)"
    if row.lower == row.upper:
        return f"{said} ({UNVARIED})"
    between = " to " if form == "signed" else "–"
    return f"{said} (95% {_figure(row.lower, form)}{between}{_figure(row.upper, form)})"


def _figure(value: float, form: Form) -> str:
    return f"{value:.1%}" if form == "share" else f"{round(value, 2) + 0.0:{'+' if form == 'signed' else ''}.2f}"


def _claims(mine: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Effects over all categories by the claim that they put at risk, without those that a better one stands for."""
    claims: dict[str, list[Finding]] = {}
    for row in mine:
        if row.category is None and row.estimate is not None and row.measure.risk:
            claims.setdefault(row.measure.risk, []).append(row)
    result = {}
    for risk, measured in claims.items():
        there = {row.metric for row in measured}
        result[risk] = [row for row in measured if there.isdisjoint(row.measure.stands_in_for)]
    return result


def _bias_candidates(mine: Sequence[Finding]) -> Iterator[PossibleWarning]:
    """Warnings of biases, under the identity of their rows; of a lean that differs between categories, of its details.

    Rows of one claim that come with the very same test, as the shares of inconsistent pairs that lean first and second,
    are one test: the larger p-value counts for all.
    """
    for rows in _claims(mine).values():
        same: dict[float, list[Finding]] = {}
        for row in rows:
            claim = row.measure.risk
            between = row.details.get(BY_CATEGORY)
            if between:
                yield PossibleWarning(id(between), BY_CATEGORY, between["p_value"])
            if null_of(row) is None or row.lower is None or row.upper is None:
                continue
            own = row.details.get("p_value")
            if own is None:
                yield PossibleWarning(id(row), claim, _p_of_null(row))
            else:
                same.setdefault(own, []).append(row)
        for alike in same.values():
            p = max(_p_of_null(row) for row in alike)
            for row in alike:
                yield PossibleWarning(id(row), row.measure.risk, p)


def _p_of_null(row: Finding) -> float:
    null = null_of(row)
    assert null is not None
    assert row.lower is not None
    assert row.upper is not None
    return p_value(row.estimate or 0.0, row.lower, row.upper, null, row.questions)


def _other_candidates(mine: Sequence[Finding]) -> Iterator[PossibleWarning]:
    """Warnings about an annotator's place, the ranking, the scale, and an order that decides more than noise would."""
    for row in mine:
        if row.category is not None or row.estimate is None:
            continue
        if row.metric == WINNING_RATE.name and isinstance(row.details.get("p_falls_short"), float):
            yield PossibleWarning(id(row), AGREES, row.details["p_falls_short"])
        if row.lower is None or row.upper is None:
            continue
        limits = row.estimate, row.lower, row.upper, row.questions
        if row.metric in KAPPAS:
            yield PossibleWarning(id(row), AGREES, p_below(SLIGHT, *limits))
        elif row.metric == SPEARMAN.name:
            yield PossibleWarning(id(row), AGREES, p_below(ALIKE, *limits))
        elif row.metric == TIES.name:
            yield PossibleWarning(id(row), TIES.name, 1 - p_below(OFTEN, *limits))
        elif row.metric == CONSISTENCY.name:
            yield PossibleWarning(id(row), ORDER_RISK, p_below(row.details.get("by_chance", 0.0), *limits))


def _stand_in(result: VerdictBox, mine: Sequence[Finding], warnings: Warnings) -> None:
    """The alternative annotator test, and whether it can say anything here."""
    measured = {row.metric: row for row in mine if row.estimate is not None and row.category is None}
    found = measured.get(WINNING_RATE.name)
    if found is None:
        return
    people = found.details.get("contests") or ()
    epsilon = found.details.get("epsilon")
    told = f"Alternative annotator test: it could replace {found.estimate or 0:.0%} of "
    told += f"{len(people)} annotators" if people else "annotators"
    told += f" at epsilon {epsilon:g}" if epsilon is not None else ""
    told += "; 50% passes."
    beyond = [measured[name] for name in KAPPAS if name in measured]
    chance = next((row for row in beyond if row.lower is None or row.lower <= 0), None)
    edge = found.details.get("edge_over_chance")
    if "more than length" in result.denied:
        result.may_not.append(
            "That it may take an annotator's place in a panel: a rule that goes by length agrees with people as well."
        )
    elif chance is not None:
        limits = "" if chance.lower is None else f" (95% {chance.lower:z.2f} to {chance.upper:z.2f})"
        why = f"it does not clearly agree with people beyond chance (kappa {chance.estimate:z.2f}{limits})."
        if warnings.hold(id(chance)) or warnings.hold(id(found)) or chance.lower is None:
            result.may_not.append(f"That it may take an annotator's place in a panel: {why}")
        else:
            result.unknown.append(f"Whether it may take an annotator's place in a panel: {why}")
    elif any(_goes_by_length(row) for row in beyond):
        result.unknown.append(
            "Whether it may take an annotator's place in a panel: a rule that goes by length may agree with people as "
            "well."
        )
    elif isinstance(edge, int | float) and isinstance(epsilon, int | float) and edge <= epsilon:
        result.unknown.append(
            f"Whether it may take an annotator's place in a panel: people agree only {edge:.2f} more often than "
            f"a judge that guesses, and the test allows {epsilon:g}, so that it tells nothing here."
        )
    elif found.details.get("passed"):
        if "as good as a person" in result.denied:
            result.unknown.append(f"Whether it may take an annotator's place in a panel. {told}")
        else:
            result.may.append(f"It may take an annotator's place in a panel. {told}")
    elif warnings.hold(id(found)):
        result.may_not.append(f"That it may take an annotator's place in a panel. {told}")
    else:  # it does not pass, but perhaps for the want of items
        result.unknown.append(f"Whether it may take an annotator's place in a panel. {told}")


def _goes_by_length(row: Finding) -> bool:
    """Whether the kappa of a rule that goes by length may be as high as the judge's."""
    rule = row.details.get("length_only")
    return isinstance(rule, int | float) and row.lower is not None and rule >= row.lower


def _ranking(result: VerdictBox, mine: Sequence[Finding], warnings: Warnings) -> None:
    ranked = [row for row in mine if row.metric == SPEARMAN.name]
    found = next((row for row in ranked if row.category is None and row.estimate is not None), None)
    if found is None or found.lower is None:
        return
    same = next((row.estimate for row in mine if row.metric == CONSISTENCY.name and row.category is None), None)
    compared = found.details.get("models")
    if found.lower >= ALIKE:
        why = ""
        if isinstance(compared, int) and compared < FEWEST_MODELS:
            why = f"of {compared} models, orders are alike by chance"
        elif same is not None and same < 0.5:
            why = f"only {same:.1%} of its verdicts survive the swap of the answers"
        if why:
            result.unknown.append(f"Whether people would rank the models as it does: {why}. {_brief(found)}.")
        else:
            result.may.append(f"It ranks these models much as people do. {_brief(found)}.")
    elif found.upper is not None and found.upper < ALIKE and warnings.hold(id(found)):
        result.may_not.append(f"That people would rank the models as it does. {_brief(found)}.")
    else:
        result.unknown.append(f"Whether people would rank the models as it does. {_brief(found)}.")


def _flat(result: VerdictBox, mine: Sequence[Finding], warnings: Warnings) -> None:
    for row in mine:
        if row.metric == TIES.name and row.category is None and warnings.hold(id(row)):
            result.may_not.append(f"That answers with the same score are equally good. {_brief(row)}.")


def _biases(result: VerdictBox, mine: Sequence[Finding], warnings: Warnings) -> str:
    """What each claim that a bias puts at risk is worth: one line a claim, whichever metrics there are.

    Returns:
        The effect of the place, in words, where none is found but too few verdicts survive the swap.
    """
    neither = ""
    for risk, rows in _claims(mine).items():
        title = rows[0].measure.topic.title
        found = [row for row in rows if row.details.get("excludes_null", excludes_null(row)) and warnings.hold(id(row))]
        between, differs = _between(result, rows, warnings, found=bool(found))
        apart = [row for row in rows if row not in found and excludes_null(row)]
        quiet = [row for row in rows if row not in found and row not in apart]
        if found:
            result.may_not.append(f"{risk} {_listed(found, SHOWN)}.")
            continue
        if apart:
            kin = [row for row in apart if row.details.get("beyond_placebo") is False]
            why = (
                f"models that are no kin are up to {placebo_spread(kin[0]):.2f} off too, and it cannot be told from "
                "that"
                if kin
                else f"of {counted(result.looked_at, 'statement')} looked at, one or another is as large by chance"
            )
            result.unknown.append(f"{title}: {_listed(apart, 1)}; but {why}.")
        if not quiet:
            continue
        coarsest = max(quiet, key=_detectable)
        blind, unit = _detectable(coarsest), coarsest.measure.unit
        if blind == inf:
            result.unknown.append(f"{title}: it cannot be told from so few questions. {_listed(quiet, 1)}.")
            continue
        moved = next((row.details[ON_AVERAGE] for row in quiet if row.details.get(ON_AVERAGE)), None)
        if moved:
            neither = f"It favours neither place on average, but {moved}. {_listed(quiet, 1)}"
            continue
        if differs or between:
            if not differs:
                result.unknown.append(f"{title}: no bias on average, but categories may differ. {_listed(quiet, 1)}.")
            continue
        size = f"{100 * blind:.0f} points" if unit.form == "share" else f"{blind:.2f} {unit.after}".rstrip()
        said = f"{_listed(quiet, 1)}. An effect below {size} could have been missed."
        if apart or unit.small is None or blind > unit.small:
            result.unknown.append(f"{title}: no bias was found, but these data are coarse. {said}")
        else:
            result.may.append(f"{coarsest.measure.safe or f'{title}:'} no bias was found. {said}")
    return neither


def _between(result: VerdictBox, rows: Sequence[Finding], warnings: Warnings, *, found: bool) -> tuple[bool, bool]:
    """Say that an effect differs between categories, if that is news. Returns whether it may, and whether it does."""
    spread = next((row.details[BY_CATEGORY] for row in rows if row.details.get(BY_CATEGORY)), None)
    if spread is None:
        return False, False
    differs = warnings.hold(id(spread))
    values = spread["leans"].values()
    if differs and not (found and (min(values) >= 0 or max(values) <= 0)):  # more here than there says the same
        p = max(spread["p_value"], 0.001)
        result.may_not.append(f"That order matters alike in every category: {_leans(spread['leans'])} (p = {p:.2g}).")
    return spread["p_value"] < LEVEL, differs


def _leans(leans: Mapping[str, float]) -> str:
    """The categories that lean most to either place."""
    told = []
    for place, way in (("first", 1), ("second", -1)):
        names = sorted((name for name, value in leans.items() if way * value > 0), key=lambda name: -way * leans[name])
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            told.append(f"the {place} place gains in {', '.join(names[:SHOWN])}{more}")
    return "; ".join(told)


def _listed(rows: Sequence[Finding], most: int) -> str:
    told = "; ".join(_brief(row) for row in rows[:most])
    return told + (f"; and {len(rows) - most} more" if len(rows) > most else "")


def _detectable(row: Finding) -> float:
    """The smallest effect that would probably have been found; where nobody says, from the width of the interval."""
    value = row.details.get("detectable")
    if isinstance(value, int | float):
        return float(value)
    if row.lower is None or row.upper is None or row.lower == row.upper:
        return inf
    return POWER * (row.upper - row.lower) / 2


def _steadiness(result: VerdictBox, mine: Sequence[Finding], neither: str, warnings: Warnings) -> None:
    for row in mine:
        if row.metric == CONSISTENCY.name and row.category is None and row.estimate is not None:
            if row.lower is not None and row.lower >= STEADY:
                result.may.append(f"Its verdicts mostly hold in both orders. {_brief(row)}, n={row.n:,}.")
            elif row.upper is not None and row.upper < STEADY:
                result.may_not.append(f"Much from a single pair. {_brief(row)}, n={row.n:,}.")
                if neither and warnings.hold(id(row)):
                    result.may_not.append(f"That the order in which answers are shown matters little. {neither}.")
                    return
    if neither:
        result.unknown.append(f"Position: {neither[0].lower()}{neither[1:]}.")


def _attackers(result: VerdictBox, mine: Sequence[Finding]) -> None:
    """Candidates that play the judge: their ratings are not those of answers, and where they win, it can be fooled."""
    caught: dict[str, list[str]] = {}
    standing: dict[str, Mapping[str, Any]] = {}
    for metric, key_, what in (
        (CONSTANT_ANSWERS, "models", "gives one text to many questions"),
        (TEMPLATE_MARKERS, "named", "bears marks of a judge's prompt"),
    ):
        row = next((row for row in mine if row.metric == metric.name and row.category is None), None)
        for model in () if row is None else row.details.get(key_) or ():
            caught.setdefault(model, []).append(what)
            standing[model] = row.details.get("standing", {}).get(model) or {} if row is not None else {}
    told = [f"{model} ({', '.join(marks)})" for model, marks in list(caught.items())[:SHOWN]]
    if told:
        more = f" and {len(caught) - SHOWN} more" if len(caught) > SHOWN else ""
        listed = f"{'; '.join(told)}{more}"
        result.may_not.append(f"Anything from the ratings of {listed}: attacks on the judge, not answers.")
    winners = [model for model in caught if standing[model].get("above")]
    if winners:
        model, how = winners[0], standing[winners[0]]
        wins = (
            f"wins {how['estimate']:.1%} (95% {how['lower']:.1%}–{how['upper']:.1%})"
            if how.get("unit") == "share"
            else f"scores {how['estimate']:+z.2f} (95% {how['lower']:+z.2f} to {how['upper']:+z.2f}) beside the others"
        )
        more = f"; so do {len(winners) - 1} more" if len(winners) > 1 else ""
        result.may_not.append(f"That it cannot be attacked: {model} {wins} by such answers{more}.")


def _failures(result: VerdictBox, subject: Subject) -> None:
    """Failures that are many, and those that are uneven: a model that fails where it is worst looks better for it."""
    lost = sum(subject.failed.values())
    if subject.judgments and lost / subject.judgments > LOST:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in subject.failed.items())
        share = f"{lost:,} of {counted(subject.judgments, 'judgment')} ({lost / subject.judgments:.1%})"
        result.may_not.append(f"That what failed is like the rest: {share} have no verdict ({kinds}).")
    uneven = _uneven(subject.failed_by_model)
    if uneven:
        result.may_not.append(
            f"That all models are compared on the same questions: judgments without a verdict are {uneven}."
        )
    missing = {name: count for name, count in subject.unanswered.items() if count}
    asked = max(subject.questions, 1)
    worst = sorted(missing, key=lambda name: -missing[name])
    if worst and missing[worst[0]] / (asked + missing[worst[0]]) > LOST:
        told = ", ".join(f"{name} {missing[name]:,}" for name in worst[:SHOWN])
        more = f" and {len(worst) - SHOWN} more" if len(worst) > SHOWN else ""
        result.may_not.append(
            f"That all models are compared on the same questions: answers that failed are not judged ({told}{more}). "
            "If they failed where they are worst, these models look better than they are."
        )


def _uneven(by_model: Mapping[str, tuple[int, int]]) -> str:
    """The model whose judgments fail far more often than the others', in words; nothing where none does."""
    if len(by_model) < 2 or not any(lost for lost, _ in by_model.values()):
        return ""
    from scipy.special import bdtrc

    name, (lost, n) = max(by_model.items(), key=lambda item: item[1][0] / max(item[1][1], 1))
    others = [value for model, value in by_model.items() if model != name]
    rest, size = sum(one for one, _ in others), sum(one for _, one in others)
    if not n or not size or lost / n - rest / size <= LOST:
        return ""
    by_chance = float(bdtrc(lost - 1, n, min(0.999, max(rest / size, 1 / (size + 1))))) if lost else 1.0
    if by_chance * len(by_model) >= LEVEL / 10:  # strict, as judgments of one question are alike
        return ""
    return f"{lost / n:.1%} of those with {name} and {rest / size:.1%} of the others"


def _unmeasured(audit: Audit, mine: Sequence[Finding]) -> Iterator[str]:
    """Topics of which nothing that one could conclude from was measured over all categories."""
    for topic in topics(audit):
        rows = [row for row in mine if row.measure.topic.name == topic.name and row.category is None]
        rows = [row for row in rows if row.measure.risk] or rows
        if rows and all(row.estimate is None for row in rows):
            ((needs, _),) = Counter(row.not_measurable or "" for row in rows).most_common(1)
            yield f"{topic.title}: {needs}."
