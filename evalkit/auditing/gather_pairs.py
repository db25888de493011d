"""Showings, scores and votes as columns -> pairs, and which vote is on which pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.auditing.evidence import Pairs, Scores, Votes

if TYPE_CHECKING:
    from evalkit.auditing.gather import Columns, Gathering
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

    Array = TypeVar("Array", IntArray, FloatArray)

TIE = 0.1
"""Scores on a 1-10 scale no further apart than this make a tie (FastChat llm_judge/common.py, TIE_DELTA)."""

MOST = 200_000
"""Pairs made of scores; more cost seconds and tell little more, as the number of questions decides."""


def pairs_of_showings(
    models: int, codes: IntArray, numbers: FloatArray, inconsistent: BoolArray
) -> tuple[Pairs, IntArray]:
    """One row a pair and repeat, and its key [N, 4]."""
    import numpy as np

    question, category, turn, repeat, first, _, one, second, _, other = codes.T
    keys, flipped = _keys(models, question, turn, (first, second), (one, other))
    full = np.column_stack([keys, repeat])
    order, group, rows = _grouped(full)
    count, turned = len(rows), flipped[rows]

    def side(plain: Array, swapped: Array) -> Array:
        return np.where(turned, swapped[rows], plain[rows])

    plain, swapped = np.full(count, np.nan), np.full(count, np.nan)
    asked, unsure = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
    turns, outcome = flipped[order], numbers[order, 0]
    plain[group[~turns]] = outcome[~turns]  # of several rows the last counts
    swapped[group[turns]] = 1 - outcome[turns]
    asked[group[~turns]] |= 1
    asked[group[turns]] |= 2
    unsure[group[inconsistent[order]]] = True
    pairs = Pairs(
        a=side(first, second),
        b=side(second, first),
        response_a=side(one, other),
        response_b=side(other, one),
        question=question[rows],
        category=category[rows],
        turn=turn[rows],
        repeat=repeat[rows],
        plain=plain,
        swapped=swapped,
        asked=asked,
        inconsistent=unsure,
        length_a=side(numbers[:, 1], numbers[:, 2]),
        length_b=side(numbers[:, 2], numbers[:, 1]),
    )
    return pairs, keys[rows]


def scores_of(codes: IntArray, numbers: FloatArray) -> Scores:
    """Single grading as it is."""
    question, category, turn, repeat, model, _, response = codes.T
    return Scores(
        model=model,
        response=response,
        question=question,
        category=category,
        turn=turn,
        repeat=repeat,
        score=numbers[:, 0],
        length=numbers[:, 1],
    )


def pairs_by_question(scores: Scores) -> tuple[Pairs, int]:
    """Scores of two models on the same question and turn, and how many such pairs there are: all, or ``MOST`` drawn.

    Each answer has its mean score over repeats. Pairs share answers, so whatever is made of them must be clustered by
    question. The sample takes one pair at random of each of ``MOST`` equal stretches, so every question has its share.
    """
    import numpy as np

    has = np.isfinite(scores.score)
    listed = (scores.question, scores.turn, scores.model, scores.response)
    order, group, rows = _grouped(np.stack([column[has] for column in listed], axis=1))
    answers = len(rows)
    mean = np.bincount(group, scores.score[has][order], answers) / np.maximum(np.bincount(group, minlength=answers), 1)
    question, turn, model, response = (column[has][rows] for column in listed)
    new = np.ones(answers, dtype=bool)
    new[1:] = (question[1:] != question[:-1]) | (turn[1:] != turn[:-1])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.r_[starts, answers])
    ends = np.cumsum(sizes * (sizes - 1) // 2)
    total = int(ends[-1]) if ends.size else 0
    drawn = np.arange(min(total, MOST))
    if total > MOST:
        edges = np.arange(MOST + 1) * total // MOST
        drawn = np.random.default_rng(0).integers(edges[:-1], edges[1:])
    cell = np.searchsorted(ends, drawn, side="right")
    within = drawn - (ends - sizes * (sizes - 1) // 2)[cell]
    high = ((1 + np.sqrt(1 + 8 * within)) / 2).astype(np.int64)  # pair i < j has the number j (j - 1) / 2 + i
    high -= high * (high - 1) // 2 > within
    high += high * (high + 1) // 2 <= within
    one, other = starts[cell] + within - high * (high - 1) // 2, starts[cell] + high
    apart = model[one] != model[other]
    one, other = one[apart], other[apart]
    itself = np.bincount(np.cumsum(new | np.r_[True, model[1:] != model[:-1]][:answers]) - 1)
    length, category = scores.length[has][rows], scores.category[has][rows]
    gap = mean[one] - mean[other]
    pairs = Pairs(
        a=model[one],
        b=model[other],
        response_a=response[one],
        response_b=response[other],
        question=question[one],
        category=category[one],
        turn=turn[one],
        repeat=np.zeros(gap.size, dtype=np.int64),
        plain=_winner(gap, scores.score[has]),
        swapped=np.full(gap.size, np.nan),
        asked=np.ones(gap.size, dtype=np.int64),
        inconsistent=np.zeros(gap.size, dtype=bool),
        length_a=length[one],
        length_b=length[other],
    )
    return pairs, total - int((itself * (itself - 1) // 2).sum())


def _winner(gap: FloatArray, scores: FloatArray) -> FloatArray:
    """[N] outcome by the difference of two mean scores; on a coarse scale, FastChat's tie."""
    import numpy as np

    halves = bool((scores * 2 == np.rint(scores * 2)).all())
    coarse = scores.size > 0 and scores.min() >= 0 and scores.max() <= 10 and halves
    result: FloatArray = np.where(np.abs(gap) <= (TIE if coarse else 0.0), 0.5, (gap > 0).astype(np.float64))
    return result


def pairs_of_scores(scores: Scores, wanted: tuple[Votes, ...], models: int) -> tuple[Pairs, IntArray]:
    """The pairs that people or gold labels compare, decided by mean scores, and their keys."""
    import numpy as np

    has = np.isfinite(scores.score)
    keep = has & np.isin(scores.question, np.concatenate([votes.question for votes in wanted]))
    listed = (scores.question, scores.turn, scores.model, scores.response, scores.score, scores.length)
    given: dict[tuple[int, int, int], list[float]] = {}
    about: dict[tuple[int, int, int], tuple[int, int, float]] = {}
    for question, turn, model, response, score, length in zip(*(c[keep].tolist() for c in listed), strict=True):
        for contestant in (model, models + response):
            given.setdefault((question, turn, contestant), []).append(score)
            about[question, turn, contestant] = (model, response, length)
    rows: dict[tuple[int, int, int, int], int] = {}
    for votes in wanted:
        for key, category in zip(votes.key.tolist(), votes.category.tolist(), strict=True):
            question, turn, low, high = key
            if (question, turn, low) in given and (question, turn, high) in given:
                rows[question, turn, low, high] = category
    keys = np.array(list(rows), dtype=np.int64).reshape(-1, 4)
    sides = [[about[key[0], key[1], key[at]] for key in rows] for at in (2, 3)]
    means = [np.array([np.mean(given[key[0], key[1], key[at]]) for key in rows], dtype=np.float64) for at in (2, 3)]
    gap = means[0] - means[1]

    def codes(side: int, field: int) -> IntArray:
        return np.array([row[field] for row in sides[side]], dtype=np.int64)

    pairs = Pairs(
        a=codes(0, 0),
        b=codes(1, 0),
        response_a=codes(0, 1),
        response_b=codes(1, 1),
        question=keys[:, 0],
        category=np.array(list(rows.values()), dtype=np.int64),
        turn=keys[:, 1],
        repeat=np.zeros(len(rows), dtype=np.int64),
        plain=_winner(gap, scores.score[has]),
        swapped=np.full(len(rows), np.nan),
        asked=np.ones(len(rows), dtype=np.int64),
        inconsistent=np.zeros(len(rows), dtype=bool),
        length_a=np.array([row[2] for row in sides[0]], dtype=np.float64),
        length_b=np.array([row[2] for row in sides[1]], dtype=np.float64),
    )
    return pairs, keys


def votes_of(gathering: Gathering, voters: Mapping[str, Columns]) -> Votes:
    """Every vote with a verdict, not yet matched to a judge's pairs."""
    import numpy as np

    tables = [columns.table(2) for columns in voters.values()]
    codes = np.concatenate([table[0] for table in tables]).astype(np.int64)
    numbers = np.concatenate([table[1] for table in tables])
    voter = np.repeat(np.arange(len(tables)), [len(table[0]) for table in tables])
    keep = np.isfinite(numbers[:, 0])
    codes, outcome, voter = codes[keep], numbers[keep, 0], voter[keep]
    question, category, turn, _, first, _, one, second, _, other = codes.T
    keys, flipped = _keys(len(gathering.models), question, turn, (first, second), (one, other))
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
    )


def once(votes: Votes, named: BoolArray) -> Votes:
    """Without the votes that a person gave again on the same two answers, in whichever order; the last one counts.

    Args:
        votes: of several people.
        named: by voter, whether the name stands for one person; votes of others all count.
    """
    import numpy as np

    shown = np.column_stack([votes.key, votes.response_a + 1, votes.response_b + 1, votes.voter])
    order, group, _ = _grouped(shown)
    keep = ~named[votes.voter]
    keep[order[np.diff(group, append=-1) != 0]] = True
    return votes.where(keep)


def no_votes() -> Votes:
    """Nobody said anything."""
    import numpy as np

    empty: dict[str, Any] = {name: np.zeros(0, dtype=np.int64) for name in Votes.__dataclass_fields__}
    return Votes(**(empty | {"key": np.zeros((0, 4), dtype=np.int64), "outcome": np.zeros(0)}))


def matched(votes: Votes, keys: IntArray, pairs: Pairs, known: BoolArray) -> tuple[Votes, int]:
    """Votes with the pair each is on, first repeat; and how many are on answers other than those judged.

    Args:
        votes: not matched yet.
        keys: [N, 4] of the pairs.
        pairs: of one judge.
        known: [R + 1] whether an answer's text is stored; position -1 is an unknown answer.
    """
    import numpy as np

    if not len(votes) or not len(pairs):
        return votes, 0
    order, group, _ = _grouped(np.concatenate([keys, votes.key]))
    count = int(group[-1]) + 1
    best = np.full(count, -1, dtype=np.int64)
    mine = order < len(keys)
    rows, groups = order[mine], group[mine]
    latest_first = np.argsort(-pairs.repeat[rows], kind="stable")
    best[groups[latest_first]] = rows[latest_first]  # the first repeat is written last
    pair = np.full(len(votes), -1, dtype=np.int64)
    pair[order[~mine] - len(keys)] = best[group[~mine]]
    has = pair >= 0
    strange = np.zeros(len(votes), dtype=bool)
    for voted, judged in ((votes.response_a, pairs.response_a[pair]), (votes.response_b, pairs.response_b[pair])):
        strange |= has & (voted != judged) & known[voted] & known[judged]
    pair[strange] = -1
    columns = {name: getattr(votes, name) for name in Votes.__dataclass_fields__}
    return Votes(**(columns | {"pair": pair})), int(strange.sum())


def _keys(
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
    return np.stack([question, turn, np.minimum(one, other), np.maximum(one, other)], axis=1), flipped


def _grouped(keys: IntArray) -> tuple[IntArray, IntArray, IntArray]:
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
