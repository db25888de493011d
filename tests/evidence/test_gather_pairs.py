"""Rows of the same pair are found alike; scores of two models on one question make every pair, or a fair sample."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.evidence import gather_pairs
from evalkit.evidence.evidence import Scores
from evalkit.evidence.gather_pairs import pairs_by_question
from evalkit.ratings.collation import grouped


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 2), st.integers(0, 3)), max_size=40))
def test_groups_are_those_of_sorted_keys(keys):
    rows = np.array(keys, dtype=np.int64).reshape(-1, 3)
    expected = sorted(range(len(keys)), key=lambda row: (keys[row], row))
    for wide in (1, 1 << 40):  # too wide for one number a row
        order, group, first = grouped(rows * wide)
        assert order.tolist() == expected
        assert group.tolist() == [sorted(set(keys)).index(keys[row]) for row in expected]
        assert first.tolist() == [keys.index(key) for key in sorted(set(keys))]


def scores_of(rows):
    """From (question, turn, model, which of its answers, score); the score is repeated, None a failure."""
    table = np.array([row[:4] for row in rows], dtype=np.int64).reshape(-1, 4)
    question, turn, model, answer = table.T
    response = ((question * 10 + turn) * 10 + model) * 10 + answer
    return Scores(
        model=model,
        response=response,
        question=question,
        category=question % 2,
        turn=turn,
        repeat=np.zeros(len(rows), dtype=np.int64),
        score=np.array([np.nan if row[4] is None else row[4] for row in rows], dtype=np.float64),
        length=100.0 + response,
    )


places = st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(0, 3), st.integers(0, 1))


@given(st.lists(st.tuples(places, st.sampled_from([None, 1.0, 2.0, 2.5, 9.0])), max_size=40))
def test_scores_on_one_question_make_every_pair_of_two_models(drawn):
    pairs, comparable = pairs_by_question(scores_of([(*place, score) for place, score in drawn]))
    given_: dict[tuple, list[float]] = {}
    for place, score in drawn:
        if score is not None:
            given_.setdefault(place, []).append(score)
    expected = {}
    for one, other in combinations(sorted(given_), 2):
        if one[:2] == other[:2] and one[2] != other[2]:
            gap = np.mean(given_[one]) - np.mean(given_[other])
            expected[one, other] = 0.5 if abs(gap) <= 0.1 else float(gap > 0)
    found = {}
    for q, t, a, b, ra, rb, said in zip(
        *(pairs.question, pairs.turn, pairs.a, pairs.b, pairs.response_a % 10, pairs.response_b % 10, pairs.outcome),
        strict=True,
    ):
        found[(q, t, a, ra), (q, t, b, rb)] = said
    assert found == expected
    assert len(pairs) == comparable == len(expected)
    assert (pairs.length_a == 100.0 + pairs.response_a).all()
    assert (pairs.category == pairs.question % 2).all()


@pytest.mark.parametrize("models", [7, 40])
def test_too_many_pairs_are_sampled_evenly_and_alike_each_time(monkeypatch, models):
    rng = np.random.default_rng(0)
    scores = scores_of([(q, 1, m, 0, float(rng.integers(1, 11))) for q in range(30) for m in range(models)])
    every, total = pairs_by_question(scores)
    assert len(every) == total == 30 * models * (models - 1) // 2
    monkeypatch.setattr(gather_pairs, "MOST", 300)
    some, comparable = pairs_by_question(scores)
    assert comparable == total
    assert len(some) == 300

    def keys(pairs):
        return list(zip(*(c.tolist() for c in (pairs.question, pairs.a, pairs.b, pairs.outcome)), strict=True))

    assert len(set(keys(some))) == 300
    assert set(keys(some)) <= set(keys(every))
    assert keys(some) == keys(pairs_by_question(scores)[0])
    assert set(np.bincount(some.question).tolist()) <= {9, 10, 11}
    assert np.unique(some.a).size > models // 2


def test_an_exact_scale_ties_at_nothing_but_equality():
    pairs, _ = pairs_by_question(scores_of([(0, 1, 0, 0, 0.51), (0, 1, 1, 0, 0.55), (0, 1, 2, 0, 0.55)]))
    assert pairs.outcome.tolist() == [0.0, 0.0, 0.5]
