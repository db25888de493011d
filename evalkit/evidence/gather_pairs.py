"""Scores of single answers -> pairs of answers, and which vote is on which pair."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.ratings.collation import Pairs, Scores, Votes, grouped

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

TIE = 0.1
"""Scores on a 1-10 scale no further apart than this make a tie (FastChat llm_judge/common.py, TIE_DELTA)."""

MOST = 200_000
"""Pairs made of scores; more cost seconds and tell little more, as the number of questions decides."""


def pairs_by_question(scores: Scores) -> tuple[Pairs, int]:
    """Scores of two models on the same question and turn, and how many such pairs there are: all, or ``MOST`` drawn.

    Each answer has its mean score over repeats. Pairs share answers, so whatever is made of them must be clustered by
    question. The sample takes one pair at random of each of ``MOST`` equal stretches, so every question has its share.
    """
    import numpy as np

    has = np.isfinite(scores.score)
    listed = (scores.question, scores.turn, scores.model, scores.response)
    order, group, rows = grouped(np.stack([column[has] for column in listed], axis=1))
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
        plain=winners(gap, scores.score[has]),
        swapped=np.full(gap.size, np.nan),
        asked=np.ones(gap.size, dtype=np.int64),
        inconsistent=np.zeros(gap.size, dtype=bool),
        length_a=length[one],
        length_b=length[other],
    )
    return pairs, total - int((itself * (itself - 1) // 2).sum())


def winners(gap: FloatArray, scores: FloatArray) -> FloatArray:
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
        plain=winners(gap, scores.score[has]),
        swapped=np.full(len(rows), np.nan),
        asked=np.ones(len(rows), dtype=np.int64),
        inconsistent=np.zeros(len(rows), dtype=bool),
        length_a=np.array([row[2] for row in sides[0]], dtype=np.float64),
        length_b=np.array([row[2] for row in sides[1]], dtype=np.float64),
    )
    return pairs, keys


def matched_votes(votes: Votes, keys: IntArray, pairs: Pairs, known: BoolArray) -> tuple[Votes, int]:
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
    order, group, _ = grouped(np.concatenate([keys, votes.key]))
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
    return replace(votes, pair=pair), int(strange.sum())
