"""Panels: effective votes, correlated errors and accuracies against planted ones, and against gold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.panel import (
    accuracy_bounds,
    cheapest_sub_panel,
    correlations,
    dawid_skene,
    effective_votes,
    same_verdict,
)
from tests.shared_data import shared_data


def votes_of(rng, accuracy, alike, size, *, shared=None):
    """Votes of judges of these accuracies whose errors share a cause with probability ``alike``, and the truth."""
    truth = (rng.random(size) < 0.5).astype(float)
    common = rng.random(size)
    votes = []
    for place, level in enumerate(accuracy):
        joins = (rng.random(size) < alike) & (shared is None or place in shared)
        right = np.where(joins, common, rng.random(size)) < level
        votes.append(np.where(right, truth, 1 - truth))
    return np.array(votes).T, truth


@pytest.mark.parametrize(("judges", "alike"), [(2, 0.0), (5, 0.0), (5, 0.6), (5, 1.0), (9, 0.5)])
def test_effective_votes_are_those_planted(judges, alike):
    """Pairs share their cause with probability alike^2, which is then the errors' correlation."""
    rng, covered = np.random.default_rng(1), 0
    planted = judges / (1 + (judges - 1) * alike**2)
    for _ in range(25):
        votes, truth = votes_of(rng, [0.7] * judges, alike, 600)
        found = effective_votes(np.abs(votes - truth[:, None]), np.arange(600) // 3, resamples=200)
        covered += found.lower - 1e-9 <= planted <= found.upper + 1e-9
        assert found.estimate == pytest.approx(planted, rel=0.25)
    assert covered >= 20


def test_copies_are_one_vote_and_opposite_errors_more_than_all():
    rng = np.random.default_rng(2)
    one = rng.random(100)
    assert effective_votes(np.column_stack([one] * 4), np.arange(100)).estimate == pytest.approx(1)
    both = np.column_stack([one - 0.5, 0.5 - one + 0.3 * rng.random(100)])
    assert effective_votes(both, np.arange(100)).estimate > 2


def test_questions_are_resampled_whole():
    """Ten copies of each case tell no more than one."""
    rng = np.random.default_rng(3)
    votes, _ = votes_of(rng, [0.7] * 3, 0.5, 60)
    single = effective_votes(votes, np.arange(60))
    copied = effective_votes(np.repeat(votes, 10, axis=0), np.repeat(np.arange(60), 10))
    assert copied.estimate == pytest.approx(single.estimate)
    assert copied.lower == pytest.approx(single.lower)


def test_who_errs_together_is_told_and_who_does_not_is_not():
    rng, told, falsely = np.random.default_rng(4), 0, 0
    for _ in range(30):
        votes, truth = votes_of(rng, [0.7] * 4, 0.7, 400, shared=(1, 2))
        found = correlations(np.abs(votes - truth[:, None]), np.arange(400), resamples=200)
        told += found.lower[1, 2] > 0
        falsely += bool((np.delete(found.lower[np.triu_indices(4, 1)], 3) > 0).any())
        assert found.estimate[1, 2] == pytest.approx(0.49, abs=0.2)
    assert told == 30
    assert falsely <= 5


def test_dawid_skene_recovers_independent_judges_and_weighs_them():
    rng = np.random.default_rng(5)
    accuracy = np.array([0.9, 0.75, 0.6, 0.7])
    votes, truth = votes_of(rng, accuracy, 0.0, 6000)
    found = dawid_skene(votes)
    assert found.accuracy == pytest.approx(accuracy, abs=0.03)
    assert np.argsort(found.weight).tolist() == np.argsort(accuracy).tolist()
    assert (found.truth.round() == truth).mean() >= (votes.mean(axis=1).round() == truth).mean()


def test_both_orders_that_disagree_weigh_nothing():
    rng = np.random.default_rng(6)
    votes, _ = votes_of(rng, [0.8, 0.8, 0.8], 0.0, 3000)
    votes[:, 0] = 0.5
    assert dawid_skene(votes).accuracy[0] == pytest.approx(0.5)


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_bounds_without_labels_hold_the_true_accuracies(alike):
    """0.25 is the correlation where each of two joins the common cause with probability 0.5."""
    rng, covered = np.random.default_rng(7), 0
    accuracy = np.array([0.85, 0.7, 0.6, 0.75])
    for _ in range(10):
        votes, _ = votes_of(rng, accuracy, alike, 1500)
        found = accuracy_bounds(votes, np.arange(1500), resamples=200)
        assert found.possible
        covered += bool(((found.lower <= accuracy) & (accuracy <= found.upper)).all())
    assert covered >= 9


def test_dawid_skene_alone_would_miss_them_where_errors_are_shared():
    rng = np.random.default_rng(8)
    accuracy = np.array([0.85, 0.7, 0.6, 0.75])
    votes, _ = votes_of(rng, accuracy, 0.5, 6000)
    assert (dawid_skene(votes).accuracy - accuracy).max() > 0.05


def test_bounds_are_narrow_where_judges_are_independent_and_said_to_be():
    rng = np.random.default_rng(9)
    votes, _ = votes_of(rng, [0.9, 0.8, 0.7, 0.8], 0.0, 8000)
    strict, lax = (accuracy_bounds(votes, np.arange(8000), alike=alike, resamples=200) for alike in (0.02, 0.3))
    assert (strict.upper - strict.lower < 0.15).all()
    assert (strict.lower >= lax.lower - 1e-9).all()
    assert (strict.upper <= lax.upper + 1e-9).all()


def test_more_agreement_than_any_accuracy_explains_is_said():
    rng = np.random.default_rng(10)
    votes, _ = votes_of(rng, [0.55] * 3, 0.0, 4000)
    votes[:, 1] = votes[:, 0]  # two copies, and a third that agrees with neither
    found = accuracy_bounds(votes, np.arange(4000), alike=0.0, resamples=200)
    assert not found.possible or found.upper[2] < 0.6


def test_the_cheapest_sub_panel_is_precise_enough_and_none_cheaper_is():
    rng = np.random.default_rng(11)
    votes, _ = votes_of(rng, [0.6] * 5, 0.3, 500)
    alone = cheapest_sub_panel(votes, np.arange(500), 1.0)
    assert alone.reached
    assert len(alone.judges) == 1
    best = cheapest_sub_panel(votes, np.arange(500), 0.0)
    assert not best.reached
    wanted = best.half_width * 1.1
    found = cheapest_sub_panel(votes, np.arange(500), wanted)
    assert found.reached
    assert found.half_width <= wanted
    dear = cheapest_sub_panel(votes, np.arange(500), wanted, costs=[9, 1, 1, 1, 1])
    assert dear.cost <= 9 + len(found.judges)
    assert dear.half_width <= wanted


def test_same_verdict_counts_winners_and_ties():
    votes = np.array([[1.0, 0.75, 0.5], [0.0, 0.25, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 0.5]])
    assert same_verdict(votes).tolist() == [[1, 0.75, 0.5], [0.75, 1, 0.25], [0.5, 0.25, 1]]


@pytest.mark.parametrize(
    ("votes", "clusters", "measure", "message"),
    [
        (np.ones((20, 1)), np.arange(20), effective_votes, "2 judges"),
        (np.random.default_rng(0).random((20, 3)), np.arange(20) // 5, effective_votes, "8 questions"),
        (np.full((20, 3), 0.5), np.arange(20), effective_votes, "differ between cases"),
        (np.ones((20, 2)), np.arange(20), accuracy_bounds, "3 judges"),
    ],
)
def test_what_cannot_be_measured(votes, clusters, measure, message):
    with pytest.raises(NotMeasurable, match=message):
        measure(votes, clusters)


def rewardmath():
    """Slot that each of four judges prefers, slot of the right solution, and problem; where all four can be read."""
    names = ("gpt4", "chatgpt", "llama3_8B", "sonnet-3-5")
    rows = [json.loads(shared_data("rewardmath", f"{name}_pairwise_reward.json").read_text()) for name in names]
    by_problem = [{row["problem"]: row for row in one} for one in rows]
    votes, truth, problems = [], [], []
    for number, problem in enumerate(one for one in by_problem[0] if all(one in rest for rest in by_problem[1:])):
        found = [rest[problem] for rest in by_problem]
        for pair, right in enumerate(found[0]["chosen_position"]):
            said = [{"A": 1.0, "B": 0.0}.get(row["score"][pair]) for row in found]
            if None not in said and all(row["chosen_position"][pair] == right for row in found):
                votes.append(said)
                truth.append(float(right == "A"))
                problems.append(number)
    return np.array(votes), np.array(truth), np.array(problems)


def test_bounds_without_labels_hold_the_gold_accuracies_of_rewardmath():
    votes, truth, problems = rewardmath()
    gold = (votes == truth[:, None]).mean(axis=0)
    assert gold == pytest.approx([0.783, 0.510, 0.512, 0.698], abs=0.001)
    found = accuracy_bounds(votes, problems)
    assert found.possible
    assert ((found.lower <= gold) & (gold <= found.upper)).all()
    assert found.lower[[0, 3]].min() > 0.55  # and they tell something: these two are better than chance
    assert found.upper[[1, 2]].max() < 0.9
    assert (dawid_skene(votes).accuracy - gold).max() > 0.1  # which independence would not


def test_the_four_judges_of_rewardmath_carry_about_two_votes():
    votes, truth, problems = rewardmath()
    wrong = (votes != truth[:, None]).astype(float)
    found = effective_votes(wrong, problems)
    assert found.estimate == pytest.approx(2.28, abs=0.01)
    assert 2 < found.lower < found.upper < 2.6
    errors = correlations(wrong, problems)
    assert errors.estimate[1, 2] == pytest.approx(0.52, abs=0.01)
    assert errors.lower[1, 2] > 0
