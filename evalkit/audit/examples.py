"""The pairs most worth looking at: where the orders disagree, and where people or gold labels say the opposite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Literal

from evalkit.evidence.evidence import Evidence, Votes
from evalkit.evidence.findings import Example
from evalkit.ratings.collation import Group

if TYPE_CHECKING:
    from evalkit.stats.arrays import IntArray

EACH = 6
"""Examples of each kind for each judge."""

Kind = Literal["inconsistent", "human_disagrees", "gold_disagrees"]


def examples(evidence: Evidence, people: Sequence[Group]) -> Iterator[Example]:
    """Some of each kind: the most votes against the judge first, no question twice, categories in turn."""
    import numpy as np

    pairs = evidence.pairs
    unsure = pairs.both & (np.sign(pairs.plain - 0.5) != np.sign(pairs.swapped - 0.5))
    opposite = pairs.both & ((pairs.plain - 0.5) * (pairs.swapped - 0.5) < 0)
    strength = np.where(opposite, 2, 1) * np.where(unsure, 1, 0) + pairs.inconsistent
    yield from _picked(evidence, "inconsistent", strength, people)
    for kind, votes in (("human_disagrees", evidence.votes), ("gold_disagrees", evidence.gold)):
        matched = votes.pair >= 0
        if not matched.any():
            continue
        against = (votes.outcome - 0.5) * (np.nan_to_num(pairs.verdict[votes.pair], nan=0.5) - 0.5) < 0
        count = np.bincount(votes.pair[matched & against], minlength=len(pairs))
        agreeing = np.bincount(votes.pair[matched & ~against], minlength=len(pairs))
        yield from _picked(evidence, kind, np.where(count > agreeing, count, 0), people)  # type: ignore[arg-type]


def _picked(evidence: Evidence, kind: Kind, strength: IntArray, people: Sequence[Group]) -> Iterator[Example]:
    import numpy as np

    pairs = evidence.pairs
    known = np.isfinite(pairs.length_a) & np.isfinite(pairs.length_b)
    rows = np.flatnonzero(strength > 0)
    order = rows[np.lexsort((rows, ~known[rows], -strength[rows]))][:2000]
    taken: set[int] = set()
    by_category: dict[int, int] = {}
    chosen: list[int] = []
    for most in range(1, EACH + 1):
        for row in order.tolist():
            question, category = int(pairs.question[row]), int(pairs.category[row])
            if len(chosen) < EACH and question not in taken and by_category.get(category, 0) < most:
                taken.add(question)
                by_category[category] = by_category.get(category, 0) + 1
                chosen.append(row)
    for row in chosen:
        yield _example(evidence, kind, row, people)


def _example(evidence: Evidence, kind: Kind, row: int, people: Sequence[Group]) -> Example:
    pairs = evidence.pairs
    a, b = evidence.models[pairs.a[row]], evidence.models[pairs.b[row]]
    if a == b:
        a, b = f"{a} (one answer)", f"{b} (another)"
    turn = int(pairs.turn[row])
    says = []
    for first, outcome in ((a, float(pairs.plain[row])), (b, float(pairs.swapped[row]))):
        if isfinite(outcome):
            said = "a tie" if outcome == 0.5 else a if outcome > 0.5 else b
            says.append(
                f"inconsistent between the two orders: {said}"
                if pairs.inconsistent[row]
                else said
                if evidence.joint or evidence.shows == 1
                else f"with {first} shown first: {said}"
            )
    others = _votes(evidence.votes, row, a, b, "people" if not people else people[0].name or "people")
    others += _votes(evidence.gold, row, a, b, "gold label")
    return Example(
        kind=kind,
        benchmark=evidence.benchmark,
        judge=evidence.judge,
        protocol=evidence.protocol,
        item=evidence.questions[pairs.question[row]],
        category=evidence.categories[pairs.category[row]],
        turn=turn,
        model_a=a,
        model_b=b,
        answer_a=evidence.text(int(pairs.response_a[row]), turn),
        answer_b=evidence.text(int(pairs.response_b[row]), turn),
        judge_says=tuple(says),
        shown=(_id(evidence, int(pairs.response_a[row])), _id(evidence, int(pairs.response_b[row]))),
        others_say=tuple(others),
    )


def _id(evidence: Evidence, response: int) -> str:
    return evidence.responses[response] if response >= 0 else ""


def _votes(votes: Votes, row: int, a: str, b: str, who: str) -> list[str]:
    mine = votes.outcome[votes.pair == row]
    counts = ((a, int((mine > 0.5).sum())), (b, int((mine < 0.5).sum())), ("a tie", int((mine == 0.5).sum())))
    return [f"{who}: {said} ({count} of {mine.size})" for said, count in counts if count]
