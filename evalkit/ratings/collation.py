"""Rows in columns -> pairs of answers with the verdicts of both orders, and votes of people on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from evalkit.ratings.judgment_columns import ANONYMOUS_RATERS, HUMAN, BenchmarkRows, RowBuffer, groups_of_people

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

    Array = TypeVar("Array", IntArray, FloatArray)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """One row for each pair of answers and repeat; a and b in an order that does not depend on what was shown."""

    a: IntArray
    """[N] models."""
    b: IntArray
    response_a: IntArray
    """[N] the very answers; -1 where unknown."""
    response_b: IntArray
    question: IntArray
    category: IntArray
    turn: IntArray
    repeat: IntArray
    plain: FloatArray
    """[N] outcome with a shown first."""
    swapped: FloatArray
    """[N] outcome with b shown first."""
    asked: IntArray
    """[N] showings, failed ones included: bit 1 a first, bit 2 b first."""
    inconsistent: BoolArray
    """[N] the source says that two orders disagreed, and no more than that."""
    length_a: FloatArray
    """[N] characters; NaN where unknown."""
    length_b: FloatArray

    def __len__(self) -> int:
        return int(self.a.size)

    @cached_property
    def both(self) -> BoolArray:
        """[N] judged in both orders, with a verdict each."""
        import numpy as np

        return np.isfinite(self.plain) & np.isfinite(self.swapped)

    @cached_property
    def failed(self) -> BoolArray:
        """[N] some showing has no verdict."""
        import numpy as np

        result: BoolArray = ((self.asked & 1 > 0) & np.isnan(self.plain)) | (
            (self.asked & 2 > 0) & np.isnan(self.swapped)
        )
        return result

    @cached_property
    def outcome(self) -> FloatArray:
        """[N] mean over the orders that have a verdict."""
        return mean_of_orders(self.plain, self.swapped)

    @cached_property
    def verdict(self) -> FloatArray:
        """[N] 1, 0 or .5 as MT-Bench has it: a tie unless both orders name the same winner. NaN where one failed."""
        import numpy as np

        one, other = np.sign(self.plain - 0.5), np.sign(self.swapped - 0.5)
        said = np.where(np.isnan(one), other, np.where(np.isnan(other) | (one == other), one, 0.0))
        result: FloatArray = np.where(self.failed, np.nan, 0.5 + said / 2)
        return result

    def points_of_the_first(self) -> FloatArray:
        """[2 N] what the answer shown first got in either order; NaN where it was not shown, or has no verdict."""
        import numpy as np

        return np.concatenate([self.plain, 1 - self.swapped])


@dataclass(frozen=True, eq=False, kw_only=True)
class Votes:
    """What people, or gold labels, say of pairs; a and b as in ``Pairs``."""

    pair: IntArray
    """[V] row of ``Pairs``; -1 where this judge has no verdict on the pair."""
    a: IntArray
    b: IntArray
    key: IntArray
    """[V, 4] question, turn and contestants: the same for votes on the same pair."""
    response_a: IntArray
    """[V] -1 where a vote names models only."""
    response_b: IntArray
    question: IntArray
    category: IntArray
    turn: IntArray
    outcome: FloatArray
    voter: IntArray
    first: BoolArray
    """[V] the answer of a stood first where they voted, as far as the source says."""
    strength: IntArray
    """[V] by how much one answer is preferred, 1 to 4 (preference_strength.py); 0 where nothing says it."""

    def __len__(self) -> int:
        return int(self.a.size)

    def points_of_the_first(self) -> FloatArray:
        """[V] what the answer shown first got."""
        import numpy as np

        result: FloatArray = np.where(self.first, self.outcome, 1 - self.outcome)
        return result

    def where(self, keep: BoolArray | IntArray) -> Votes:
        """The rows of the given kind only."""
        return Votes(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """Single grading, one row a judgment."""

    model: IntArray
    response: IntArray
    question: IntArray
    category: IntArray
    turn: IntArray
    repeat: IntArray
    score: FloatArray
    """NaN where it failed."""
    length: FloatArray
    score_range: tuple[float, float] | None = None
    """Lowest and highest possible score, where all rows say it."""
    share: bool = False
    """Whether scores are shares of points, whose mean is clipped to 0 and 1."""


def mean_of_orders(plain: FloatArray, swapped: FloatArray) -> FloatArray:
    """[N] mean of the two values that are there; NaN where neither is."""
    import numpy as np

    one, other = np.isfinite(plain), np.isfinite(swapped)
    total = np.where(one, plain, 0.0) + np.where(other, swapped, 0.0)
    count = one.astype(np.int64) + other
    result: FloatArray = np.divide(total, count, out=np.full(plain.size, np.nan), where=count > 0)
    return result


@dataclass(frozen=True, eq=False)
class Collation:
    """Showings of two answers put together by pair: what ``collate`` makes."""

    pairs: Pairs
    keys: IntArray
    """[N, 4] what makes two rows the same pair."""
    first: IntArray
    """[N] the first showing of each pair, a row of what was collated."""
    plain_row: IntArray
    """[N] the showing that ``pairs.plain`` is of; -1 where there is none."""
    swapped_row: IntArray


def collate(
    models: int, codes: IntArray, numbers: FloatArray, inconsistent: BoolArray, *, apart: bool = False
) -> Collation:
    """Put showings together: one row a pair and repeat. Of several rows on one pair in the same order the last counts.

    Args:
        models: how many are numbered.
        codes: [N, 10] as in ``RowBuffer``.
        numbers: [N, 3].
        inconsistent: [N] as in ``Pairs``.
        apart: one row for each order.
    """
    import numpy as np

    question, category, turn, repeat, first, _, one, second, _, other = codes.T
    keys, flipped = pair_keys(models, question, turn, (first, second), (one, other))
    order, group, rows = grouped(np.stack([*keys.T, repeat, *([flipped] if apart else [])]).T)
    count, turned = len(rows), flipped[rows]

    def side(plain: Array, swapped: Array) -> Array:
        return np.where(turned, swapped[rows], plain[rows])

    places = np.full((2, count), -1, dtype=np.int64)
    unsure = np.zeros(count, dtype=bool)
    turns = flipped[order]
    places[0, group[~turns]] = order[~turns]
    places[1, group[turns]] = order[turns]
    unsure[group[inconsistent[order]]] = True
    outcome = np.r_[numbers[:, 0], np.nan]  # place -1 has no verdict
    pairs = Pairs(
        a=side(first, second),
        b=side(second, first),
        response_a=side(one, other),
        response_b=side(other, one),
        question=question[rows],
        category=category[rows],
        turn=turn[rows],
        repeat=repeat[rows],
        plain=outcome[places[0]],
        swapped=1 - outcome[places[1]],
        asked=(places[0] >= 0) + 2 * (places[1] >= 0),
        inconsistent=unsure,
        length_a=side(numbers[:, 1], numbers[:, 2]),
        length_b=side(numbers[:, 2], numbers[:, 1]),
    )
    return Collation(pairs, keys[rows], rows, places[0], places[1])


def votes_of(
    models: int, codes: IntArray, outcome: FloatArray, voter: IntArray, strength: IntArray | None = None
) -> Votes:
    """Votes of people, or gold labels, not matched to a judge's pairs.

    Args:
        models: how many are numbered.
        codes: [V, 10] as in ``RowBuffer``.
        outcome: [V] for the first side.
        voter: [V] who says so.
        strength: [V] by how much, 1 to 4; 0 where nothing says it, which is so of all without it.
    """
    import numpy as np

    question, category, turn, _, first, _, one, second, _, other = codes.T
    keys, flipped = pair_keys(models, question, turn, (first, second), (one, other))
    return Votes(
        pair=np.full(len(codes), -1, dtype=np.int64),
        a=np.where(flipped, second, first),
        b=np.where(flipped, first, second),
        key=keys,
        response_a=np.where(flipped, other, one),
        response_b=np.where(flipped, one, other),
        question=question,
        category=category,
        turn=turn,
        outcome=np.where(flipped, 1 - outcome, outcome),
        voter=voter,
        first=~flipped,
        strength=np.zeros(len(codes), dtype=np.int64) if strength is None else strength,
    )


def last_votes(votes: Votes, raters: Sequence[str]) -> BoolArray:
    """[V] whether a vote counts: of a person's votes on the same two answers, in whichever order, the last does.

    Args:
        votes: in the order stored.
        raters: names, by code; votes of those who are not named all count.
    """
    import numpy as np

    named = np.array([name not in ANONYMOUS_RATERS for name in raters], dtype=bool)
    shown = np.column_stack([votes.key, votes.response_a + 1, votes.response_b + 1, votes.voter])
    order, group, _ = grouped(shown)
    keep: BoolArray = ~named[votes.voter]
    keep[order[np.diff(group, append=-1) != 0]] = True
    return keep


class Group(NamedTuple):
    """People who belong together, as the part of their names before a number says."""

    name: str
    votes: Votes
    voters: tuple[str, ...]
    """Names; ``votes.voter`` are positions here."""


class People(NamedTuple):
    """Everybody who voted on pairs of answers on one benchmark."""

    groups: tuple[Group, ...]
    """The one with most votes first: it is called human, and others count apart."""
    repeated: int
    """Votes that do not count, as the same person was asked again."""
    replaced: int
    """Votes on earlier configurations of models."""

    def sentences(self) -> list[str]:
        """What a reader must know of whose votes count."""
        said = []
        if self.repeated:
            votes = "1 vote repeats" if self.repeated == 1 else f"{self.repeated:,} votes repeat"
            said.append(
                f"{votes} what the same person was asked before, the same pair on the same turn; "
                "only the last answer counts"
            )
        if len(self.groups) > 1:
            main, *others = self.groups
            told = ", ".join(
                f"{len(votes):,} vote{'s' * (len(votes) != 1)} of {len(voters):,} "
                f"{'person' if len(voters) == 1 else 'people'} ({name or 'unnamed'})"
                for name, votes, voters in others
            )
            said.append(
                f"`{HUMAN}` is the group with most votes ({main.name or 'unnamed'}: {len(main.votes):,} votes of "
                f"{len(main.voters)} people); counted apart: {told}"
            )
        return said


def people_of(rows: BenchmarkRows) -> People:
    """Everybody's votes on pairs, of all protocols, by group."""
    import numpy as np

    buffers = [buffer for (_, shows), buffer in rows.people.items() if shows == 2]
    if not buffers:
        return People((), 0, 0)
    codes, outcome = joined(buffers)
    voter = np.concatenate([np.frombuffer(buffer.raters, dtype=np.int32) for buffer in buffers]).astype(np.int64)
    current = np.concatenate([buffer.current(len(rows.models)) for buffer in buffers])
    raters = list(rows.raters)
    codes_of, first = np.unique(voter, return_index=True)
    names = [raters[code] for code in codes_of[np.argsort(first)].tolist()]
    keep = current & np.isfinite(outcome)
    votes = votes_of(len(rows.models), codes[keep], outcome[keep], voter[keep], strengths_of(buffers)[keep])
    last = last_votes(votes, raters)
    votes, repeated = votes.where(last), int((~last).sum())
    found = []
    for stem, members in groups_of_people(names):
        place = np.full(len(raters), -1, dtype=np.int64)
        place[[rows.raters[name] for name in members]] = np.arange(len(members))
        voters = place[votes.voter]
        order = np.argsort(voters, kind="stable")
        order = order[voters[order] >= 0]
        found.append(Group(stem, replace(votes.where(order), voter=voters[order]), tuple(members)))
    return People(tuple(sorted(found, key=lambda group: -len(group.votes))), repeated, int((~current).sum()))


def joined(buffers: Sequence[RowBuffer]) -> tuple[IntArray, FloatArray]:
    """The rows of several buffers of pairs: codes [N, 10], and outcomes [N]."""
    import numpy as np

    tables = [buffer.table() for buffer in buffers]
    codes = np.concatenate([np.zeros((0, 10), dtype=np.int64), *(codes for codes, _ in tables)]).astype(np.int64)
    return codes, np.concatenate([np.zeros(0), *(numbers[:, 0] for _, numbers in tables)])


def strengths_of(buffers: Sequence[RowBuffer]) -> IntArray:
    """[N] by how much one answer is preferred, of the rows of several buffers as ``joined`` has them."""
    import numpy as np

    return np.concatenate([np.zeros(0, dtype=np.int64), *(buffer.strengths() for buffer in buffers)])


def pair_keys(
    models: int,
    question: IntArray,
    turn: IntArray,
    sides: tuple[IntArray, IntArray],
    responses: tuple[IntArray, IntArray],
) -> tuple[IntArray, BoolArray]:
    """[N, 4] what makes two rows the same pair, and [N] whether the first side is the one with the higher code.

    Models make the pair; two answers of one model are told apart by the answer.
    """
    import numpy as np

    itself = sides[0] == sides[1]
    one, other = (np.where(itself, models + r, side) for side, r in zip(sides, responses, strict=True))
    flipped: BoolArray = one > other
    return np.stack([question, turn, np.minimum(one, other), np.maximum(one, other)]).T, flipped


def grouped(keys: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Sorting order of the rows [N, K], stable; the group of each in that order; and the first row of each group."""
    import numpy as np

    spans = [int(column.max(initial=0)) + 1 for column in keys.T]
    if math.prod(spans) < 1 << 62 and keys.min(initial=0) >= 0:  # one number a row, which sorts faster
        code = np.zeros(len(keys), dtype=np.int64)
        for column, span in zip(keys.T, spans, strict=True):
            code = code * span + column
        order = np.argsort(code, kind="stable")
        ordered = code[order][:, None]
    else:
        order = np.lexsort(keys.T[::-1])
        ordered = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return order, np.cumsum(new) - 1, order[new]
