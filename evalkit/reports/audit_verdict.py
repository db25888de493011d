"""The box at the top of an audit: what may be concluded from a judge, what may not, and what is not known.

Where the audit itself says what to conclude, that is what stands there. Otherwise these rules decide, each on an
interval and never on a point estimate:

- as good as one more person: the lower limit of S2 agreement with people is not below people's agreement with one
  another by more than ``MARGIN``; not as good: its upper limit is.
  Nor is it where a coin would agree as often.
- right answers: the interval of S2 agreement with gold labels is above, below or on both sides of one half.
- more than length: a rule that prefers the longer answer stays below the lower limit of the same agreement.
- an annotator's place: as the alternative annotator test says; where it does not pass, but the judge is mostly at
  least as good as the person left out, it is not known.
- ranks alike: the interval of Spearman's correlation is above ``ALIKE``.
- a bias: the interval excludes what an unbiased judge would have. None found counts as good news only where an effect
  of ``SMALL`` would have been found; otherwise it is not known.
- a category: its upper limit of S2 agreement is below that of all categories together.
- a flat scale: two models get equal scores on more than ``OFTEN`` of questions.
- failures: more than ``LOST`` of judgments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from evalkit.auditing.findings import AgreementRow, Audit, Finding, Subject, counted
from evalkit.reports.audit_metrics import TOPICS, key, topic
from evalkit.reports.audit_parts import PEOPLE

MARGIN = 0.05
CHANCE = 0.5
"""Agreement by chance where both sides see a winner."""
SMALL = 0.3
"""Logits."""
LOST = 0.02
OFTEN = 0.5
"""Share of pairs with equal scores from which a scale says little."""
ALIKE = 0.8
"""Rank correlation from which two rankings are much the same."""
POWER = (1.96 + 0.84) / 1.96
"""Of half an interval of 95%: what is found four times in five."""
STEADY = 0.9
"""Position consistency at which one order would nearly do."""

HEADLINES = {
    "position": ("position_logit", "position_fairness", "position_first"),
    "length": ("length_slope_excess",),
    "format": (),
    "self": ("self_preference_residual", "self_family_residual", "self_trained_on_residual", "self_preference"),
}
"""The metrics that stand for a bias, best first; without a name, all that have an unbiased value."""

RISK = {
    "position": "That a verdict given in one order would stand with the answers swapped; show both and average them.",
    "length": "That a model that writes at another length is better, unless length is controlled for.",
    "format": "That a model that formats differently is better, unless format is controlled for.",
    "self": "That its own kin are as good as it says.",
}
TITLES = {one.name: one.title for one in TOPICS}
SAFE = {
    "position": "The order in which answers are shown matters little:",
    "length": "Length matters to it no more than to people:",
    "format": "Format matters little to it:",
    "self": "It favours its own kin little:",
}


@dataclass
class Verdict:
    """Sentences for one judge."""

    may: list[str] = field(default_factory=list)
    may_not: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def verdict(audit: Audit, subject: Subject) -> Verdict:
    """What to say of one judge."""
    result = Verdict()
    mine = [row for row in audit.findings if key(row) == key(subject)]
    if subject.conclusions or subject.cautions or subject.unknown:
        result.may, result.may_not = list(subject.conclusions), list(subject.cautions)
        result.unknown = list(subject.unknown)
        _failures(result, subject)
    else:
        _people(result, audit, subject)
        _gold(result, audit, subject)
        _stand_in(result, mine)
        _ranking(result, mine)
        _flat(result, mine)
        for name in RISK:
            _bias(result, name, mine)
        _steadiness(result, mine)
        _failures(result, subject)
    result.unknown += _unmeasured(mine)
    return result


def _share(row: AgreementRow) -> str:
    limits = "" if row.lower is None or row.upper is None else f" (95% {row.lower:.0%}–{row.upper:.0%})"
    return f"{row.agree / row.total:.1%}{limits}, n={row.total:,}"


def _people(result: Verdict, audit: Audit, subject: Subject) -> None:
    rows = [row for row in audit.agreement if row.setup == "S2" and row.total]
    rows = [row for row in rows if row.benchmark in ("", subject.benchmark)]
    rows = [row for row in rows if row.judge != subject.judge or row.protocol in ("", subject.protocol)]
    ours = [row for row in rows if row.judge == subject.judge and row.other == PEOPLE]
    whole = [row for row in ours if row.category is None]
    theirs = [row for row in rows if (row.judge, row.other, row.category) == (PEOPLE, PEOPLE, None)]
    turns: Sequence[int | None] = [None] if any(row.turn is None for row in whole) else [row.turn for row in whole]
    for turn in turns:
        mine = next((row for row in whole if row.turn == turn), None)
        if mine is None or mine.lower is None or mine.upper is None:
            continue
        when = "" if turn is None else f" on turn {turn}"
        said = f"where both see a winner{when}, it agrees with people in {_share(mine)}"
        among = {row.category: row for row in rows if (row.judge, row.other, row.turn) == (PEOPLE, PEOPLE, turn)}
        result.may_not += _weak(mine, [row for row in ours if row.turn == turn and row.category is not None], among)
        if mine.length_only is not None and mine.length_only >= mine.lower:
            result.may_not.append(
                f"That it sees more than length{when}: always preferring the longer answer agrees with people in "
                f"{mine.length_only:.1%} of the same votes, the judge in {_share(mine)}."
            )
        them = next((row for row in theirs if row.turn == turn), None)
        if them is None:
            result.unknown.append(f"Whether it is as good as a person: {said}; how often people agree is not known.")
            continue
        bar, beside = them.agree / them.total - MARGIN, f"people agree with one another in {_share(them)}"
        if mine.lower >= bar and mine.lower <= CHANCE:
            result.unknown.append(
                f"Whether it is as good as a person: {said}; {beside}. A coin agrees in 50%: is it better?"
            )
        elif mine.lower >= bar:
            result.may.append(f"It votes like one more person: {said}; {beside}.")
        elif mine.upper < bar:
            result.may_not.append(f"That it could take a person's place: {said}; {beside}.")
        else:
            result.unknown.append(f"Whether it is as good as a person: {said}; {beside}.")


def _gold(result: Verdict, audit: Audit, subject: Subject) -> None:
    """Against right answers: better than a coin? A judge that is seldom sure must not look better for it."""
    rows = [
        row
        for row in audit.agreement
        if (row.judge, row.other, row.category, row.turn) == (subject.judge, "gold", None, None)
        and row.benchmark in ("", subject.benchmark)
        and row.protocol in ("", subject.protocol)
    ]
    every = next((row for row in rows if row.setup == "S1" and row.total), None)
    for row in rows:
        if row.setup == "S2" and row.total and row.lower is not None and row.upper is not None:
            said = f"where it names a winner, it is the right one in {_share(row)}; a coin has 50%"
            if every is not None and every.total > row.total:
                said += (
                    f"; it names none, or another in each order, on {every.total - row.total:,} of {every.total:,} "
                    f"pairs, so that it finds the right one in {every.agree / every.total:.1%} of all"
                )
            if row.lower > 0.5:
                result.may.append(f"It tells better answers from worse: {said}.")
            elif row.upper < 0.5:
                result.may_not.append(f"That the answer it prefers is the better one: {said}.")
            else:
                result.unknown.append(f"Whether it tells better answers from worse: {said}.")


def _weak(whole: AgreementRow, rows: Sequence[AgreementRow], people: Mapping[str | None, AgreementRow]) -> list[str]:
    """Categories below the rest, beside how often people agree there: some are hard for everybody."""
    every = whole.agree / whole.total
    weak = [row for row in rows if row.upper is not None and row.upper < every]
    if not weak:
        return []
    said = {row.category: f"{row.category}: {_share(row)}" for row in weak[:4]}
    for category in said.keys() & people.keys():
        said[category] += f" (people among themselves {people[category].agree / people[category].total:.1%})"
    listed = "; ".join(said.values())
    return [f"That its agreement with people ({every:.0%} over all) holds in every category. {listed}."]


def _stand_in(result: Verdict, mine: Sequence[Finding]) -> None:
    """The alternative annotator test, which decides by itself."""
    measured = {row.metric: row for row in mine if row.estimate is not None}
    found, by_item = (measured.get(f"alt_test_{name}") for name in ("winning_rate", "advantage"))
    if found is None:
        return
    if found.details.get("passed"):
        result.may.append(f"It may take an annotator's place in a panel. {found.sentence}")
    elif by_item is not None and by_item.lower is not None and by_item.lower > 0.5:  # as good, but on too few items
        result.unknown.append(f"Whether it may take an annotator's place in a panel. {found.sentence}")
    else:
        result.may_not.append(f"That it may take an annotator's place in a panel. {found.sentence}")


def _ranking(result: Verdict, mine: Sequence[Finding]) -> None:
    ranked = [row for row in mine if "spearman" in row.metric and row.metric != "agreement_scores_spearman"]
    found = next((row for row in ranked if row.category is None and row.estimate), None)
    if found is None or found.lower is None:
        return
    if found.lower >= ALIKE:
        result.may.append(f"It ranks these models much as people do. {found.sentence}")
    elif found.upper is not None and found.upper < ALIKE:
        result.may_not.append(f"That people would rank the models as it does. {found.sentence}")
    else:
        result.unknown.append(f"Whether people would rank the models as it does. {found.sentence}")


def _flat(result: Verdict, mine: Sequence[Finding]) -> None:
    for row in mine:
        if row.metric == "scale_ties" and row.category is None and row.lower is not None and row.lower > OFTEN:
            result.may_not.append(f"That answers with the same score are equally good. {row.sentence}")


def _bias(result: Verdict, name: str, mine: Sequence[Finding]) -> None:
    rows = [
        row
        for row in mine
        if row.category is None and topic(row.metric) == name and row.details.get("excludes_null") is not None
    ]
    preferred = HEADLINES[name]
    if preferred:
        rows = sorted((row for row in rows if row.metric in preferred), key=lambda row: preferred.index(row.metric))
        rows = rows if name == "self" else rows[:1]
    found = [row for row in rows if row.details["excludes_null"]]
    if found:
        result.may_not.append(f"{RISK[name]} {' '.join(row.sentence for row in found[:3])}")
    elif rows:
        blind = max((_detectable(row) for row in rows), default=0.0)
        missed = f"An effect below {blind:.2f}" if isfinite(blind) else "An effect of any size"
        said = f"{' '.join(row.sentence for row in rows[:2])} {missed} could have been missed."
        if blind <= SMALL:
            result.may.append(f"{SAFE[name]} no bias was found. {said}")
        else:
            result.unknown.append(f"{TITLES[name]}: no bias was found, but these data are coarse. {said}")


def _detectable(row: Finding) -> float:
    """The smallest effect that would probably have been found; where nobody says, from the width of the interval."""
    value = row.details.get("detectable")
    if isinstance(value, int | float):
        return float(value)
    if row.lower is None or row.upper is None or row.lower == row.upper:
        return float("inf")
    return POWER * (row.upper - row.lower) / 2


def _steadiness(result: Verdict, mine: Sequence[Finding]) -> None:
    for row in mine:
        if row.metric == "position_consistency" and row.category is None and row.estimate is not None:
            if row.lower is not None and row.lower >= STEADY:
                result.may.append(f"Its verdicts mostly hold in both orders. {row.sentence}")
            elif row.upper is not None and row.upper < STEADY:
                result.may_not.append(f"Much from a single pair. {row.sentence}")


def _failures(result: Verdict, subject: Subject) -> None:
    lost = sum(subject.failed.values())
    if subject.judgments and lost / subject.judgments > LOST:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in subject.failed.items())
        share = f"{lost:,} of {counted(subject.judgments, 'judgment')} ({lost / subject.judgments:.1%})"
        result.may_not.append(f"That what failed is like the rest: {share} have no verdict ({kinds}).")


def _unmeasured(mine: Sequence[Finding]) -> Iterator[str]:
    """Topics of which nothing could be measured over all categories."""
    for one in TOPICS:
        preferred = HEADLINES.get(one.name)
        rows = [row for row in mine if topic(row.metric) == one.name and row.category is None]
        rows = [row for row in rows if row.metric in preferred] if preferred else rows
        if rows and all(row.estimate is None for row in rows):
            needs = list(dict.fromkeys(row.not_measurable or "" for row in rows))
            yield f"{one.title}: {'; '.join(needs[:2])}."
