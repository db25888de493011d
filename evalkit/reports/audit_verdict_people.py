"""What agreement with people, and with gold labels, lets one conclude from a judge: rules of ``audit_verdict``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evalkit.evidence.findings import AgreementRow, Audit, Subject
from evalkit.reports.audit_parts import PEOPLE
from evalkit.reports.audit_warnings import PossibleWarning, Warnings, p_below

MARGIN = 0.05
CHANCE = 0.5
"""Agreement by chance where both sides see a winner."""
WEAKEST = 2
"""Categories that are named."""


Claim = Literal["more than length", "as good as a person"]
LENGTH: Claim = "more than length"
AGREES = "agrees with people"
"""What warnings about its agreement with people have in common: they share one part of the level (audit_warnings)."""


@dataclass
class VerdictBox:
    """The sentences for one judge, by heading."""

    may: list[str] = field(default_factory=list)
    may_not: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    denied: set[Claim] = field(default_factory=set)
    """Claims that a sentence below "You may not" is about, for rules that build on them."""
    looked_at: int = 0
    """Statements that might have been warnings; those that are hold together, at 5% (Holm)."""

    @property
    def said(self) -> dict[str, list[str]]:
        """The sentences by heading."""
        return {"may": self.may, "may_not": self.may_not, "unknown": self.unknown}


def _with_people(audit: Audit, subject: Subject) -> list[AgreementRow]:
    """How often this judge agrees with people, and people with one another, over all turns."""
    rows = [row for row in audit.agreement if row.total and row.turn is None and row.other == PEOPLE]
    rows = [row for row in rows if row.benchmark in ("", subject.benchmark)]
    return [row for row in rows if row.judge != subject.judge or row.protocol in ("", subject.protocol)]


def people_candidates(audit: Audit, subject: Subject) -> Iterator[PossibleWarning]:
    """Warnings about agreement with people, under the identity of their rows; what is more than length, under LENGTH.

    Of categories, whose agreement might be called weak, each with the p-value of its being that of all together.
    """
    ours = [row for row in _with_people(audit, subject) if row.judge == subject.judge]
    whole = {row.setup: row for row in ours if row.category is None}
    for row in whole.values():
        if row.alike is not None and row.alike[0].lower is not None and row.alike[0].upper is not None:
            mine, theirs = row.alike
            yield PossibleWarning(id(mine), AGREES, _p(mine, _bar(theirs)))
    sure = whole.get("S2")
    if sure is None:
        return
    if sure.length_only is not None and sure.beyond_length is not None:
        estimate, lower, upper = sure.beyond_length
        p = p_below(MARGIN, estimate, lower, upper, sure.questions)
        yield PossibleWarning((LENGTH, id(sure)), AGREES, p)
    every = sure.agree / sure.total
    for row in ours:
        known = row.lower is not None and row.upper is not None and row.questions != 1
        if row.setup == "S2" and row.category is not None and known:
            yield PossibleWarning(id(row), "every category", _p(row, every))


def _p(row: AgreementRow, bound: float) -> float:
    assert row.lower is not None
    assert row.upper is not None
    return p_below(bound, row.agree / row.total, row.lower, row.upper, row.questions)


def _bar(theirs: AgreementRow) -> float:
    """Agreement from which a judge is as good as one more person."""
    return theirs.agree / theirs.total - MARGIN


def people(result: VerdictBox, audit: Audit, subject: Subject, warnings: Warnings) -> None:
    """Does it vote like one more person, in every category, and does it see more than length?

    Args:
        result: Where the sentences go.
        audit: All that is known.
        subject: The judge.
        warnings: Which of ``people_candidates`` hold.
    """
    rows = _with_people(audit, subject)
    ours = [row for row in rows if row.judge == subject.judge]
    whole = {row.setup: row for row in ours if row.category is None}
    sure, every = whole.get("S2"), whole.get("S1")
    if sure is not None and sure.lower is not None:
        among = {row.category: row for row in rows if row.judge == PEOPLE and row.setup == "S2"}
        below = [row for row in ours if row.setup == "S2" and row.category and warnings.hold(id(row))]
        result.may_not += _weak(sure, below, among)
        if sure.length_only is not None and sure.length_only >= sure.lower:
            said = (
                f"it sees more than length: always preferring the longer answer agrees with people in "
                f"{sure.length_only:.1%} of {_known(sure)}, the judge in {_share(sure)}."
            )
            if warnings.hold((LENGTH, id(sure))):
                result.may_not.append(f"That {said}")
                result.denied.add(LENGTH)
            else:  # no less often than that rule by more than chance, nor more often
                result.unknown.append(f"Whether {said}")
    _one_more(result, sure, every, warnings)


def _known(row: AgreementRow) -> str:
    if row.length_only_total in (None, row.total):
        return "the same votes"
    return f"the {row.length_only_total:,} of these votes where both lengths are known"


def _one_more(result: VerdictBox, sure: AgreementRow | None, every: AgreementRow | None, warnings: Warnings) -> None:
    """As good as a person? Where both see a winner, and, lest a judge look better for being seldom sure, at all.

    Judge and people are compared on the same pairs, those with several votes.
    """
    if every is None or every.alike is None:
        aside = "" if sure is None or every is None or sure.out_of is not None else f" of {every.total:,}"
        shares = [f"ties aside, in {_share(sure)}{aside}"] if sure is not None else []
        shares += [f"with ties, in {_share(every)}"] if every is not None else []
        if shares:
            said = f"it agrees with people, {'; '.join(shares)}; how often people agree is not known"
            result.unknown.append(f"Whether it is as good as a person: {said}.")
        return
    ours, theirs = every.alike
    told = f"it agrees with people in {_share(ours)} (among people {_plain(theirs)})"
    standing, better = [_standing(ours, theirs, warnings)], False
    if sure is not None and sure.alike is not None:
        mine, them = sure.alike
        told = (
            f"ties aside, it agrees with people in {_share(mine)} of {ours.total:,} (among people {_plain(them)}); "
            f"with ties, {_share(ours)} ({_plain(theirs)})"
        )
        standing.append(_standing(mine, them, warnings))
        better = mine.lower is not None and mine.lower > CHANCE
    said = f"where several voted, {told}."
    if ours.undecided:
        said += f" No winner on {ours.undecided:,}."
    if min(standing) < 0:
        result.may_not.append(f"That it could take a person's place: {said}")
        result.denied.add("as good as a person")
    elif min(standing) > 0 and better:
        result.may.append(f"It votes like one more person: {said}")
    else:
        coin = " A coin agrees in 50%: is it better?" if len(standing) > 1 and standing[1] > 0 and not better else ""
        result.unknown.append(f"Whether it is as good as a person: {said}{coin}")


def _standing(mine: AgreementRow, theirs: AgreementRow, warnings: Warnings) -> int:
    """1: the judge agrees with people about as much as they do with one another, or more; -1: less; 0: not known."""
    if mine.lower is None or mine.upper is None:
        return 0
    return -1 if warnings.hold(id(mine)) else int(mine.lower >= _bar(theirs))


def _with_gold(audit: Audit, subject: Subject) -> list[AgreementRow]:
    return [
        row
        for row in audit.agreement
        if (row.judge, row.other, row.category, row.turn) == (subject.judge, "gold", None, None)
        and row.benchmark in ("", subject.benchmark)
        and row.protocol in ("", subject.protocol)
    ]


def gold_candidates(audit: Audit, subject: Subject) -> Iterator[PossibleWarning]:
    """The warning that what it prefers is the worse answer, under the identity of its row."""
    for row in _with_gold(audit, subject):
        if row.setup == "S2" and row.total and row.lower is not None and row.upper is not None:
            yield PossibleWarning(id(row), "gold", _p(row, CHANCE))


def gold(result: VerdictBox, audit: Audit, subject: Subject, warnings: Warnings) -> None:
    """Against right answers: better than a coin? A judge that is seldom sure must not look better for it."""
    rows = _with_gold(audit, subject)
    every = next((row for row in rows if row.setup == "S1" and row.total), None)
    for row in rows:
        if row.setup == "S2" and row.total and row.lower is not None and row.upper is not None:
            said = f"of the winners it names, right are {_share(row)}; a coin has 50%"
            if every is not None and every.total > row.total:
                said += (
                    f"; it names none, or another in each order, on {every.total - row.total:,} of {every.total:,} "
                    f"pairs, so that it is right on {every.agree / every.total:.1%} of all"
                )
            if row.lower > CHANCE:
                result.may.append(f"It tells better answers from worse: {said}.")
            elif warnings.hold(id(row)):
                result.may_not.append(f"That the answer it prefers is the better one: {said}.")
            else:
                result.unknown.append(f"Whether it tells better answers from worse: {said}.")


def _weak(whole: AgreementRow, rows: Sequence[AgreementRow], people: Mapping[str | None, AgreementRow]) -> list[str]:
    """Categories below the rest, beside how often people agree there: some are hard for everybody."""
    every = whole.agree / whole.total
    weak = [row for row in rows if row.upper is not None and row.upper < every]
    if not weak:
        return []
    said = {row.category: f"{row.category}: {_share(row)}" for row in weak[:WEAKEST]}
    for category in said.keys() & people.keys():
        said[category] += f" (people among themselves {people[category].agree / people[category].total:.1%})"
    listed = "; ".join(said.values()) + (f"; and {len(weak) - WEAKEST} more" if len(weak) > WEAKEST else "")
    return [f"That its agreement with people ({every:.0%} over all) holds in every category. {listed}."]


def _share(row: AgreementRow) -> str:
    """The share with its limits and its votes, in S2 also those of which these are a part."""
    return f"{_percent(row)}, n={row.total:,}" + (f" of {row.out_of:,}" if row.out_of is not None else "")


def _plain(row: AgreementRow) -> str:
    return f"{row.agree / row.total:.1%}"


def _percent(row: AgreementRow) -> str:
    limits = "" if row.lower is None or row.upper is None else f" (95% {row.lower:.0%}–{row.upper:.0%})"
    return f"{row.agree / row.total:.1%}{limits}"
