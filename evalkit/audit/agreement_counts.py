"""How often a judge says what people, or gold labels, say: the two setups of MT-Bench, by turn and by category.

S1 takes every vote, a tie being a verdict; a judge that names different winners in the two orders says tie. S2 takes
only votes where neither side says tie. Every vote counts once; among people every pair of votes on the same pair of
answers does (Zheng et al. 2023, arXiv:2306.05685; FastChat llm_judge/compute_agreement.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.evidence.evidence import Evidence, Votes
from evalkit.evidence.findings import AgreementRow, Setup
from evalkit.evidence.gather import BenchmarkEvidence
from evalkit.ratings.collation import Group

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval

SMALL = 50
"""Categories with fewer votes are also shown shrunk."""

HUMAN, MAJORITY, GOLD = "human", "human majority", "gold"


@dataclass(frozen=True, eq=False)
class PairedVerdicts:
    """What two sides said, one row a vote (or cell of votes), ready to be counted."""

    agree: FloatArray
    """[N] agreeing pairs of verdicts in this row."""
    total: FloatArray
    question: IntArray
    category: IntArray
    turn: IntArray
    decided: FloatArray | None = None
    """[N] in how many of these the other side names a winner."""
    correct: FloatArray | None = None
    """[N] in how many of those this side names the same."""
    one: FloatArray | None = None
    """[N] verdicts of each side, where a row is one pair of verdicts."""
    other: FloatArray | None = None
    longer: FloatArray | None = None
    """[N] what a rule says that prefers the longer answer; NaN where unknown."""
    longer_agree: FloatArray | None = None
    """[N] how often that rule would agree in the judge's place, out of ``total``; NaN where unknown. Where it stands in
    for one of several people, its agreement with each of the others is averaged."""

    def where(self, keep: BoolArray) -> PairedVerdicts:
        """The paired verdicts of the given rows only."""
        chosen: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[keep] for name in self.__annotations__
        }
        return PairedVerdicts(**chosen)


def agreement_rows(gathered: BenchmarkEvidence) -> list[AgreementRow]:
    """Judges with people, with their majority and with gold labels; then people among themselves.

    Rows of S2 say how many votes there are in all: a judge that seldom names a winner may look best in S2.
    """
    rows = list(_agreement_rows(gathered))
    every = {_place(row): row.total for row in rows if row.setup == "S1"}
    return [replace(row, out_of=every.get(_place(row))) if row.setup == "S2" else row for row in rows]


def _place(row: AgreementRow) -> tuple[object, ...]:
    return row.benchmark, row.judge, row.protocol, row.other, row.turn, row.category


def _agreement_rows(gathered: BenchmarkEvidence) -> Iterator[AgreementRow]:
    for evidence in gathered.evidence:
        about = AgreementRow(
            judge=evidence.judge,
            other="",
            turn=None,
            setup="S1",
            category=None,
            agree=0,
            total=0,
            benchmark=gathered.benchmark,
            protocol=evidence.protocol,
        )
        for other, votes in ((HUMAN, evidence.votes), (GOLD, evidence.gold)):
            for setup in _SETUPS:
                row = replace(about, other=other, setup=setup)
                rows = _counted(with_votes(evidence, votes, setup), row, evidence.categories)
                for whole in itertools.islice(rows, 1):
                    yield replace(whole, alike=_alike(evidence, row) if other == HUMAN else None)
                yield from rows
        for setup in _SETUPS:
            row = replace(about, other=MAJORITY, setup=setup)
            yield from _counted(_with_majority(evidence, setup), row, evidence.categories, by_category=False)
            for group, votes in evidence.other_votes.items():
                row = replace(about, other=f"{HUMAN}: {group}", setup=setup)
                yield from _counted(with_votes(evidence, votes, setup), row, evidence.categories, by_category=False)
    yield from _among_people(gathered)


_SETUPS: tuple[Setup, ...] = ("S1", "S2")


def with_votes(evidence: Evidence, votes: Votes, setup: Setup) -> PairedVerdicts:
    """The judge's verdict beside each vote."""
    import numpy as np

    pairs = evidence.pairs
    used = np.flatnonzero(votes.pair >= 0)
    used = used[np.isfinite(pairs.verdict[votes.pair[used]])]
    pair = votes.pair[used]
    judge, said = pairs.verdict[pair], 0.5 + np.sign(votes.outcome[used] - 0.5) / 2
    longer = 0.5 + np.sign(pairs.length_a[pair] - pairs.length_b[pair]) / 2
    keep = np.ones(used.size, dtype=bool) if setup == "S1" else (judge != 0.5) & (said != 0.5)
    verdicts = PairedVerdicts(
        agree=(judge == said).astype(np.float64),
        total=np.ones(used.size),
        question=votes.question[used],
        category=votes.category[used],
        turn=votes.turn[used],
        decided=(said != 0.5).astype(np.float64),
        correct=((said != 0.5) & (judge == said)).astype(np.float64),
        one=judge,
        other=said,
        longer=longer,
        longer_agree=np.where(np.isfinite(longer), longer == said, np.nan),
    )
    return verdicts.where(keep)


def _alike(evidence: Evidence, about: AgreementRow) -> tuple[AgreementRow, AgreementRow] | None:
    """See ``AgreementRow.alike``. Pairs with a single vote tell nothing of people, and may be harder or easier."""
    import numpy as np

    pairs, votes = evidence.pairs, evidence.votes.where(evidence.votes.pair >= 0)
    votes = votes.where(np.isfinite(pairs.verdict[votes.pair]))
    votes = votes.where(np.bincount(votes.pair, minlength=len(pairs))[votes.pair] > 1)
    unknown = np.zeros((0, 4), dtype=np.int64), np.zeros(0)
    mine, theirs = with_votes(evidence, votes, about.setup), within_group(votes, about.setup, unknown)
    if not mine.total.any() or not theirs.total.any():
        return None
    return _row(mine, about), _row(theirs.where(theirs.total > 0), replace(about, judge=HUMAN, protocol=""))


def _with_majority(evidence: Evidence, setup: Setup) -> PairedVerdicts:
    """The judge beside the most frequent vote on each pair; several modes share the credit evenly."""
    import numpy as np

    pairs, votes = evidence.pairs, evidence.votes
    used = votes.pair >= 0
    cells, place = np.unique(votes.pair[used], return_inverse=True)
    counts = _tally(place, votes.outcome[used], cells.size)
    judge = pairs.verdict[cells]
    modes = counts == counts.max(axis=1, keepdims=True, initial=0)
    keep = np.isfinite(judge)
    if setup == "S2":
        keep &= (judge != 0.5) & ~(modes[:, 1] & (modes.sum(axis=1) == 1))
        modes = modes & np.array([True, False, True])
    said = np.zeros(cells.size, dtype=np.int64)
    said[keep] = np.rint(judge[keep] * 2).astype(np.int64)
    share = modes / np.maximum(modes.sum(axis=1, keepdims=True), 1)
    credit = share[np.arange(cells.size), said]
    verdicts = PairedVerdicts(
        agree=credit,
        total=np.ones(cells.size),
        question=pairs.question[cells],
        category=pairs.category[cells],
        turn=pairs.turn[cells],
        longer_agree=_at(share, np.sign(pairs.length_a[cells] - pairs.length_b[cells])),
    )
    return verdicts.where(keep)


def _at(table: FloatArray, sign: FloatArray) -> FloatArray:
    """[N] of each row for b, a tie and a, [N, 3], what the sign points at; NaN where it is NaN."""
    import numpy as np

    found = table[np.arange(len(table)), np.nan_to_num(1 + sign, nan=1).astype(np.int64)]
    return np.where(np.isfinite(sign), found, np.nan)


def _among_people(gathered: BenchmarkEvidence) -> Iterator[AgreementRow]:
    """Within each group, and between the main group and every other, on the pairs that a judge judged too.

    Only so is their agreement a yardstick for a judge's: other pairs may be harder or easier.
    """
    if not gathered.people or not gathered.evidence:
        return
    categories = gathered.evidence[0].categories
    main, *others = (on_judged_pairs(gathered, group) for group in gathered.people)
    longer = _longer(gathered)
    for group in (main, *others):
        name = HUMAN if group is main else f"{HUMAN}: {group.name or 'others'}"
        for setup in _SETUPS:
            about = AgreementRow(judge=name, other=name, turn=None, setup=setup, category=None, agree=0, total=0)
            about = replace(about, benchmark=gathered.benchmark)
            yield from _counted(within_group(group.votes, setup, longer), about, categories, by_category=group is main)
            if group is not main:
                row = replace(about, other=HUMAN)
                yield from _counted(_between(group, main, setup, longer), row, categories, by_category=False)


def on_judged_pairs(gathered: BenchmarkEvidence, group: Group) -> Group:
    """The group with only its votes on pairs that some judge judged too: what a judge may be held against."""
    import numpy as np

    judged = np.zeros(len(group.votes), dtype=bool)
    main = group.name == gathered.people[0].name
    for evidence in gathered.evidence:
        votes = evidence.votes if main else evidence.other_votes[group.name or "others"]
        judged |= votes.pair >= 0
    return group._replace(votes=group.votes.where(judged))


Longer = tuple["IntArray", "FloatArray"]
"""What votes name, [C, 4] as in ``Votes.key``, and the sign of a's length less b's."""


def _longer(gathered: BenchmarkEvidence) -> Longer:
    """Which answer is longer, for every pair that people voted on and some judge judged, as far as lengths go."""
    import numpy as np

    keys, signs = [], []
    for evidence in gathered.evidence:
        pairs = evidence.pairs
        for votes in (evidence.votes, *evidence.other_votes.values()):
            used = votes.where(votes.pair >= 0)
            sign = np.sign(pairs.length_a[used.pair] - pairs.length_b[used.pair])
            keys.append(used.key[np.isfinite(sign)])
            signs.append(sign[np.isfinite(sign)])
    cells, first = np.unique(np.concatenate(keys), axis=0, return_index=True)
    return cells, np.concatenate(signs)[first]


def _signs(cells: IntArray, longer: Longer) -> FloatArray:
    """[N] the sign of each of these keys; NaN where lengths are unknown."""
    import numpy as np

    known, sign = longer
    _, place = np.unique(np.concatenate([known, cells]), axis=0, return_inverse=True)
    place = place.reshape(-1)
    result = np.full(int(place.max(initial=-1)) + 1, np.nan)
    result[place[: len(known)]] = sign
    return result[place[len(known) :]]


def within_group(votes: Votes, setup: Setup, longer: Longer) -> PairedVerdicts:
    """Every two votes of a group on the same pair, one row a pair; ``longer`` says which answer is, as far as known."""
    import numpy as np

    cells, first, place = np.unique(votes.key, axis=0, return_index=True, return_inverse=True)
    counts = _tally(place.reshape(-1), votes.outcome, len(cells))
    if setup == "S2":
        counts = counts * np.array([1.0, 0.0, 1.0])
    n = counts.sum(axis=1)
    agree, total = (counts * (counts - 1) / 2).sum(axis=1), n * (n - 1) / 2
    winners = counts * np.array([1.0, 0.0, 1.0])
    return PairedVerdicts(
        agree,
        total,
        votes.question[first],
        votes.category[first],
        votes.turn[first],
        decided=winners.sum(axis=1) * (n - 1) / 2,  # either of two may be the other side
        correct=(winners * (counts - 1)).sum(axis=1) / 2,
        longer_agree=_at(counts * (n[:, None] - 1) / 2, _signs(cells, longer)),  # either of two may be replaced
    )


def _between(one: Group, other: Group, setup: Setup, longer: Longer) -> PairedVerdicts:
    import numpy as np

    keys = np.concatenate([one.votes.key, other.votes.key])
    outcome = np.concatenate([one.votes.outcome, other.votes.outcome])
    cells, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    ours = np.arange(len(keys)) < len(one.votes)
    counts = [_tally(place[side], outcome[side], len(cells)) for side in (ours, ~ours)]
    if setup == "S2":
        counts = [table * np.array([1.0, 0.0, 1.0]) for table in counts]
    category = np.concatenate([one.votes.category, other.votes.category])
    return PairedVerdicts(
        agree=(counts[0] * counts[1]).sum(axis=1),
        total=counts[0].sum(axis=1) * counts[1].sum(axis=1),
        question=cells[:, 0],
        category=category[first],
        turn=cells[:, 1],
        longer_agree=_at(counts[0].sum(axis=1, keepdims=True) * counts[1], _signs(cells, longer)),
    )


def _tally(place: IntArray, outcome: FloatArray, cells: int) -> FloatArray:
    """[cells, 3] votes for b, for a tie, for a."""
    import numpy as np

    code = (1 + np.sign(outcome - 0.5)).astype(np.int64)
    return np.bincount(place * 3 + code, minlength=cells * 3).reshape(cells, 3).astype(np.float64)


def _counted(
    verdicts: PairedVerdicts, about: AgreementRow, categories: Sequence[str], *, by_category: bool = True
) -> Iterator[AgreementRow]:
    """All together, then by turn where there are several, then by category."""
    import numpy as np

    verdicts = verdicts.where(verdicts.total > 0)
    if not verdicts.total.size:
        return
    yield _row(verdicts, about)
    turns = np.unique(verdicts.turn).tolist()
    for turn in turns if len(turns) > 1 else ():
        yield _row(verdicts.where(verdicts.turn == turn), replace(about, turn=int(turn)))
    if not by_category or len(categories) < 2:
        return
    rows = [
        _row(verdicts.where(verdicts.category == code), replace(about, category=name))
        for code, name in enumerate(categories)
        if (verdicts.category == code).any()
    ]
    yield from _shrunk(rows)


def _row(verdicts: PairedVerdicts, about: AgreementRow) -> AgreementRow:
    import numpy as np

    agree, total = float(verdicts.agree.sum()), float(verdicts.total.sum())
    interval = limits_of(verdicts)
    rule = verdicts.longer_agree
    size = 0.0 if rule is None else float(verdicts.total[np.isfinite(rule)].sum())
    if about.setup == "S1" and verdicts.decided is not None and verdicts.correct is not None and verdicts.decided.any():
        named = replace(verdicts, agree=verdicts.correct, total=verdicts.decided).where(verdicts.decided > 0)
        right = limits_of(named)
        about = replace(
            about,
            correct=float(named.agree.sum() / named.total.sum()),
            correct_lower=right.lower,
            correct_upper=right.upper,
            correct_total=round(float(named.total.sum())),
        )
    return replace(
        about,
        agree=agree,
        total=round(total),
        lower=interval.lower,
        upper=interval.upper,
        questions=interval.clusters,
        kappa=_kappa(verdicts.one, verdicts.other),
        undecided=None if verdicts.one is None else int((verdicts.one == 0.5).sum()),
        length_only=float(np.nansum(rule)) / size if rule is not None and size else None,
        length_only_total=round(size) if size else None,
        length_only_kappa=length_kappa(verdicts)[0],
        beyond_length=_beyond_length(verdicts) if about.category is None and about.turn is None else None,
    )


def _beyond_length(verdicts: PairedVerdicts) -> tuple[float, float, float] | None:
    """Agreement less that of the rule that goes by length, on the same votes, with limits clustered by question."""
    import numpy as np

    from evalkit.stats.resample import question_bootstrap

    if verdicts.longer_agree is None:
        return None
    both = verdicts.where(np.isfinite(verdicts.longer_agree))
    if both.longer_agree is None or not both.total.any():
        return None
    cluster = np.unique(both.question, return_inverse=True)[1]
    more, votes = (
        np.bincount(cluster, part).astype(np.float64) for part in (both.agree - both.longer_agree, both.total)
    )
    found = question_bootstrap(more, votes, pooled=True, limits=(-1.0, 1.0), resamples=2000)
    return None if found.lower is None or found.upper is None else (found.estimate, found.lower, found.upper)


def length_kappa(verdicts: PairedVerdicts) -> tuple[float | None, int]:
    """Cohen's kappa of a rule that prefers the longer answer, on the votes where both lengths are known; how many."""
    import numpy as np

    if verdicts.longer is None:
        return None, 0
    same = verdicts.where(np.isfinite(verdicts.longer))
    return _kappa(same.longer, same.other), same.total.size


def limits_of(verdicts: PairedVerdicts) -> Interval:
    """Clustered by question; never narrower than those of independent votes."""
    import numpy as np

    from evalkit.stats.resample import question_bootstrap, wilson

    agree, total = float(verdicts.agree.sum()), float(verdicts.total.sum())
    cluster = np.unique(verdicts.question, return_inverse=True)[1]
    sums, counts = (np.bincount(cluster, part).astype(np.float64) for part in (verdicts.agree, verdicts.total))
    inner = question_bootstrap(sums, counts, pooled=True, limits=(0.0, 1.0), resamples=2000)
    outer = wilson(agree, total)
    if inner.lower is None or inner.upper is None or outer.lower is None or outer.upper is None:
        return replace(outer, clusters=inner.clusters)
    return replace(inner, lower=max(0.0, min(inner.lower, outer.lower)), upper=min(1.0, max(inner.upper, outer.upper)))


def _kappa(one: FloatArray | None, other: FloatArray | None) -> float | None:
    """Cohen's kappa with each row counted both ways round."""
    import numpy as np

    if one is None or other is None or not one.size:
        return None
    table = np.zeros((3, 3))
    np.add.at(table, (np.rint(one * 2).astype(np.int64), np.rint(other * 2).astype(np.int64)), 1)
    table = table + table[::-1, ::-1]
    share = table / table.sum()
    chance = float(share.sum(axis=1) @ share.sum(axis=0))
    return (float(share.trace()) - chance) / (1 - chance) if chance < 1 else None


def _shrunk(rows: list[AgreementRow]) -> Iterator[AgreementRow]:
    """Small categories drawn towards the others by a beta prior fitted to all (method of moments)."""
    import numpy as np

    n = np.array([row.total for row in rows], dtype=np.float64)
    p = np.array([row.agree for row in rows]) / n
    if len(rows) < 3:
        yield from rows
        return
    mean = float((p * n).sum() / n.sum())
    noise = mean * (1 - mean)
    between = float(((p - mean) ** 2 * n).sum() / n.sum()) - noise * len(rows) / float(n.sum())
    strength = max(0.0, noise / between - 1) if between > 0 else float("inf")
    for row, count, share in zip(rows, n, p, strict=True):
        if count >= SMALL:
            yield row
            continue
        shrunk = mean if strength == float("inf") else (share * count + mean * strength) / (count + strength)
        yield replace(row, shrunk=float(shrunk))
