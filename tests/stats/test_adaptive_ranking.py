"""Adaptive rankings: what is claimed, what is asked next, and that choosing does not spoil a claim."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit.stats.adaptive_ranking import STAKES, AdaptiveRanking, Goal
from evalkit.stats.bradley_terry import ELO_PER_LOGIT
from evalkit.stats.confidence_sequence import log_e_values


def played(table: np.ndarray, goal: str, rng: np.random.Generator, *, whole: bool = False, at_once: int = 4):
    """A ranking from a table [P, Q] of units, drawn from it in a random order, or with replacement."""
    pairs, questions = table.shape
    models = int((1 + math.isqrt(1 + 8 * pairs)) / 2)
    order = rng.permutation(questions) if whole else rng.integers(0, questions, questions)
    ranking = AdaptiveRanking(models, questions, Goal.read(goal), whole=whole)
    place = np.zeros(pairs, dtype=int)
    while chosen := ranking.choose(at_once):
        assert len(chosen) <= at_once
        for pair in chosen:
            ranking.add(pair, float(table[pair, order[place[pair]]]))
            place[pair] += 1
    return ranking


def ladder(models: int, gap: float, questions: int, rng: np.random.Generator) -> np.ndarray:
    """Units of models each ``gap`` logits above the next, with questions that favour some."""
    first, second = np.triu_indices(models, 1)
    skill = -gap * np.arange(models)[:, None] + rng.normal(0, 0.5, (models, questions))
    rate = 1 / (1 + np.exp(skill[second] - skill[first]))
    draws = rng.random((2, *rate.shape)) < rate
    return draws.mean(axis=0)


def wrong_claims(ranking: AdaptiveRanking, means: np.ndarray) -> int:
    """Claims by own units that a pair's true mean does not bear out."""
    lead = np.zeros((ranking.models, ranking.models))
    lead[ranking.first, ranking.second] = means - 0.5
    lead[ranking.second, ranking.first] = 0.5 - means
    return int((ranking.ranking().beats & (lead <= 1e-12)).sum())


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("order", "order", 0),
        ("top1", "top", 1),
        ("top12", "top", 12),
        ("ranks:2", "ranks", 2),
        ("elo:20.5", "elo", 20.5),
    ],
)
def test_goals_as_written(text, kind, amount):
    assert Goal.read(text) == Goal(kind, amount)
    assert str(Goal.read(text)) == text


@pytest.mark.parametrize("text", ["", "top", "top0", "top 3", "elo:0", "elo:", "elo:-3", "ranks", "orders", "elo:nan"])
def test_what_is_no_goal(text):
    with pytest.raises(ValueError, match=r"is no goal; give order"):
        Goal.read(text)


def test_numbers_of_pairs_are_those_of_the_triangle():
    ranking = AdaptiveRanking(7, 5, Goal.read("order"))
    for number, (i, j) in enumerate(zip(ranking.first, ranking.second, strict=True)):
        assert ranking.pair(int(i), int(j)) == number


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("goal", ["order", "top1", "top3", "ranks:1"])
def test_models_far_apart_are_told_apart_at_a_fraction_of_all_pairs(goal, whole):
    rng = np.random.default_rng(1)
    table = ladder(8, 1.5, 100, rng)
    ranking = played(table, goal, rng, whole=whole)
    found = ranking.ranking()
    assert found.reached
    assert not found.why
    assert ranking.units.sum() < 0.35 * table.size
    assert wrong_claims(ranking, table.mean(axis=1)) == 0
    if goal == "order":
        assert found.best.tolist() == found.worst.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert found.before[0, 7]
    if goal.startswith("top"):
        inside = int(goal[3:])
        assert (found.worst[:inside] <= inside).all()
    if goal == "ranks:1":
        assert (found.worst - found.best <= 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_equal_models_are_claimed_to_differ_at_most_as_often_as_said(whole):
    """Tables whose every pair is even: half the questions one way, half the other; each claim is wrong."""
    rng = np.random.default_rng(2)
    table = np.tile(np.repeat([0.0, 1.0], 15), (6, 1))
    table = rng.permuted(table, axis=1)
    wrong = sum(wrong_claims(played(table, "order", rng, whole=whole), np.full(6, 0.5)) > 0 for _ in range(40))
    assert wrong / 40 <= 0.05


@pytest.mark.slow
def test_reaching_for_what_looks_best_does_not_spoil_claims():
    """Many looks, and always on with the pair that is nearest to a claim: no more errors than said."""
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(60):
        ranking = AdaptiveRanking(4, 60, Goal.read("order"))
        for _ in range(240):
            evidence = np.where(ranking.left > 0, ranking.process.log_evidence.max(axis=1), -np.inf)
            if not np.isfinite(evidence).any():
                break
            ranking.add(int(np.argmax(evidence)), float(rng.random() < 0.5))
        wrong += bool(ranking.ranking().beats.any())
    assert wrong / 60 <= 0.05


def test_what_follows_is_not_asked():
    ranking = AdaptiveRanking(3, 100, Goal.read("order"))
    for pair in (ranking.pair(0, 1), ranking.pair(1, 2)):
        for _ in range(20):
            ranking.add(pair, 1.0)
    found = ranking.ranking()
    assert found.reached
    assert found.before[0, 2]
    assert not found.beats[0, 2]
    assert ranking.choose(10) == []


def test_a_circle_of_claims_is_no_order():
    ranking = AdaptiveRanking(3, 100, Goal.read("order"))
    for pair, value in ((ranking.pair(0, 1), 1.0), (ranking.pair(1, 2), 1.0), (ranking.pair(0, 2), 0.0)):
        for _ in range(20):
            ranking.add(pair, value)
    found = ranking.ranking()
    assert not found.reached
    assert set(found.why.values()) == {"cycle"}
    assert found.best.tolist() == [1, 1, 1]
    assert found.worst.tolist() == [3, 3, 3]
    assert ranking.choose(10) == []


def test_pairs_that_cannot_be_decided_any_more_are_not_asked():
    ranking = AdaptiveRanking(2, 40, Goal.read("order"))
    asked = 0
    while ranking.choose(1):
        ranking.add(0, 0.5)
        asked += 1
    found = ranking.ranking()
    assert found.why == {(0, 1): "out of reach"}
    in_a_row = log_e_values(np.ones(40), 0.5, stakes=STAKES)
    assert in_a_row[40 - asked - 1] < math.log(2 / 0.05) <= in_a_row[40 - asked]  # all that is left, and one more
    whole = AdaptiveRanking(2, 40, Goal.read("order"), whole=True)
    while whole.choose(1):
        whole.add(0, 0.5)
    assert whole.ranking().why == {(0, 1): "all asked"}


def test_failed_units_are_no_results():
    sample, whole = (AdaptiveRanking(2, 13, Goal.read("order"), whole=flag) for flag in (False, True))
    for ranking in (sample, whole):
        for _ in range(4):
            ranking.add(0, None)
        for _ in range(9):
            ranking.add(0, 1.0)
        assert ranking.units[0] == 9
        assert ranking.failed[0] == 4
        assert not ranking.left.any()
    assert sample.ranking().reached  # 9 of 9
    assert whole.ranking().reached  # 9 of 13, whatever the other four would have been
    tied = AdaptiveRanking(2, 13, Goal.read("order"), whole=True)
    for value in (None,) * 4 + (1.0,) * 6 + (0.0,) * 3:
        tied.add(0, value)
    assert tied.ranking().why == {(0, 1): "all asked"}  # 6 of 9, and 6 of 13 at the worst


def test_elo_limits_hold_the_true_ratings_and_narrow():
    rng = np.random.default_rng(4)
    true = np.array([0.6, 0.0, -0.6])
    ranking = AdaptiveRanking(3, 3000, Goal.read("elo:100"))
    while chosen := ranking.choose(50):
        for pair in chosen:
            gap = true[ranking.first[pair]] - true[ranking.second[pair]]
            ranking.add(pair, float(rng.random() < 1 / (1 + math.exp(-gap))))
    found = ranking.ranking()
    assert found.reached
    assert found.elo is not None
    assert (found.elo[:, 1] - found.elo[:, 0] <= 200).all()
    assert ((found.elo[:, 0] <= true * ELO_PER_LOGIT) & (true * ELO_PER_LOGIT <= found.elo[:, 1])).all()
    assert ranking.units.sum() < 9000


def test_win_rates_that_no_ratings_fit_have_no_elo():
    ranking = AdaptiveRanking(3, 500, Goal.read("elo:50"))
    for pair, value in ((ranking.pair(0, 1), 1.0), (ranking.pair(1, 2), 1.0), (ranking.pair(0, 2), 0.0)):
        for _ in range(60):
            ranking.add(pair, value)
    found = ranking.ranking()
    assert not found.reached
    assert set(found.why.values()) == {"cycle"}
    assert ranking.choose(5) == []


def test_limits_of_win_rates_exclude_a_half_where_a_claim_is_made():
    rng = np.random.default_rng(5)
    ranking = played(ladder(4, 1.2, 60, rng), "order", rng)
    found = ranking.ranking()
    for pair, (i, j) in enumerate(zip(ranking.first, ranking.second, strict=True)):
        rate = ranking.win_rate(pair)
        if found.beats[i, j]:
            assert rate is not None
            assert rate[1] > 0.5 - 1e-9
    assert AdaptiveRanking(2, 3, Goal.read("order")).win_rate(0) is None


def test_too_little_to_rank():
    with pytest.raises(ValueError, match="2 models and 1 question, not 1 and 5"):
        AdaptiveRanking(1, 5, Goal.read("order"))
