"""What agreement with people, and with gold labels, lets one conclude from a judge: rules of ``audit_verdict``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.auditing.findings import AgreementRow, Audit, Subject
from evalkit.reports.audit_parts import PEOPLE

MARGIN = 0.05
CHANCE = 0.5
"""Agreement by chance where both sides see a winner."""
WEAKEST = 2
"""Categories that are named."""


@dataclass
class Verdict:
    """Sentences for one judge."""

    may: list[str] = field(default_factory=list)
    may_not: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def people(result: Verdict, audit: Audit, subject: Subject) -> None:
    """Does it vote like one more person, in every category, and does it see more than length?"""
    rows = [row for row in audit.agreement if row.total]
    rows = [row for row in rows if row.benchmark in ("", subject.benchmark)]
    rows = [row for row in rows if row.judge != subject.judge or row.protocol in ("", subject.protocol)]
    every = {
        (row.judge, row.turn): row
        for row in rows
        if row.setup == "S1" and row.category is None and row.other == PEOPLE and row.judge in (subject.judge, PEOPLE)
    }
    rows = [row for row in rows if row.setup == "S2"]
    ours = [row for row in rows if row.judge == subject.judge and row.other == PEOPLE]
    whole = [row for row in ours if row.category is None]
    theirs = [row for row in rows if (row.judge, row.other, row.category) == (PEOPLE, PEOPLE, None)]
    turns: Sequence[int | None] = [None] if any(row.turn is None for row in whole) else [row.turn for row in whole]
    for turn in turns:
        mine = next((row for row in whole if row.turn == turn), None)
        if mine is None or mine.lower is None or mine.upper is None:
            continue
        when = "" if turn is None else f" on turn {turn}"
        among = {row.category: row for row in rows if (row.judge, row.other, row.turn) == (PEOPLE, PEOPLE, turn)}
        result.may_not += _weak(mine, [row for row in ours if row.turn == turn and row.category is not None], among)
        if mine.length_only is not None and mine.length_only >= mine.lower:
            result.may_not.append(
                f"That it sees more than length{when}: always preferring the longer answer agrees with people in "
                f"{mine.length_only:.1%} of {_known(mine)}, the judge in {_share(mine)}."
            )
        them = next((row for row in theirs if row.turn == turn), None)
        _one_more(result, when, mine, them, (every.get((subject.judge, turn)), every.get((PEOPLE, turn))))


def _known(row: AgreementRow) -> str:
    if row.length_only_total in (None, row.total):
        return "the same votes"
    return f"the {row.length_only_total:,} of these votes where both lengths are known"


def _one_more(
    result: Verdict,
    when: str,
    mine: AgreementRow,
    them: AgreementRow | None,
    every: tuple[AgreementRow | None, AgreementRow | None],
) -> None:
    """As good as a person? Where both see a winner, and, lest a judge look better for being seldom sure, at all."""
    assert mine.lower is not None
    assert mine.upper is not None
    said = f"where both see a winner{when}, it agrees with people in {_share(mine)}"
    if them is None:
        result.unknown.append(f"Whether it is as good as a person: {said}; how often people agree is not known.")
        return
    bar, beside = them.agree / them.total - MARGIN, f"people agree with one another in {_share(them)}"
    if mine.upper < bar:
        result.may_not.append(f"That it could take a person's place: {said}; {beside}.")
        return
    if mine.lower < bar or mine.lower <= CHANCE:
        coin = " A coin agrees in 50%: is it better?" if mine.lower >= bar else ""
        result.unknown.append(f"Whether it is as good as a person: {said}; {beside}.{coin}")
        return
    ours, theirs = every
    if ours is None or theirs is None or ours.lower is None or ours.upper is None:
        result.unknown.append(f"Whether it is as good as a person: {said}; {beside}. Votes for a tie are not known.")
        return
    bar = theirs.agree / theirs.total - MARGIN
    if ours.lower >= bar:
        shares = f"{ours.agree / ours.total:.1%} and {theirs.agree / theirs.total:.1%}"
        result.may.append(f"It votes like one more person: {said}; {beside}. With ties: {shares}.")
        return
    silent = f"names no winner on {ours.undecided or 0:,} of {ours.total:,} votes{when}"
    told = (
        f"it {silent}. With ties, it agrees with people in {_percent(ours)}, they with one another in "
        f"{_percent(theirs)}."
    )
    if ours.upper < bar:
        result.may_not.append(f"That it could take a person's place: {told}")
    else:
        result.unknown.append(f"Whether it is as good as a person: {told}")


def gold(result: Verdict, audit: Audit, subject: Subject) -> None:
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
            said = f"of the winners it names, right are {_share(row)}; a coin has 50%"
            if every is not None and every.total > row.total:
                said += (
                    f"; it names none, or another in each order, on {every.total - row.total:,} of {every.total:,} "
                    f"pairs, so that it is right on {every.agree / every.total:.1%} of all"
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
    said = {row.category: f"{row.category}: {_share(row)}" for row in weak[:WEAKEST]}
    for category in said.keys() & people.keys():
        said[category] += f" (people among themselves {people[category].agree / people[category].total:.1%})"
    listed = "; ".join(said.values()) + (f"; and {len(weak) - WEAKEST} more" if len(weak) > WEAKEST else "")
    return [f"That its agreement with people ({every:.0%} over all) holds in every category. {listed}."]


def _share(row: AgreementRow) -> str:
    return f"{_percent(row)}, n={row.total:,}"


def _percent(row: AgreementRow) -> str:
    limits = "" if row.lower is None or row.upper is None else f" (95% {row.lower:.0%}–{row.upper:.0%})"
    return f"{row.agree / row.total:.1%}{limits}"
