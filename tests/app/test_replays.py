"""Public votes given again in random orders: the interval at the moment of stopping holds what all votes say."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from evalkit.app.vote_statistics import known_well, looks, precision_of
from evalkit.stats.confidence_sequence import confidence_sequence
from tests.shared_data import shared_data

REPLAYS = 500
TULU = {"a-is-better": 1.0, "a-is-slightly-better": 1.0, "tie": 0.5, "b-is-slightly-better": 0.0, "b-is-better": 0.0}


def tulu() -> list[np.ndarray]:
    """First votes on each instance, for each pair of models: the outcome for the first by name."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    with shared_data("tulu_votes", "votes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            pair = tuple(sorted((row["model_a"], row["model_b"])))
            outcome = TULU[row["preference"]]
            found.setdefault(pair, {}).setdefault(
                row["instance_id"], outcome if row["model_a"] == pair[0] else 1 - outcome
            )
    return [np.array(list(votes.values())) for votes in found.values()]


def mtbench() -> list[np.ndarray]:
    found: dict[tuple[str, ...], dict[tuple[object, ...], float]] = {}
    for line in shared_data("mtbench_votes", "human.jsonl").read_text().splitlines():
        row = json.loads(line)
        pair = tuple(sorted((row["model_a"], row["model_b"])))
        outcome = {"model_a": 1.0, "model_b": 0.0}.get(row["winner"], 0.5)
        place = row["question_id"], row["turn"]
        found.setdefault(pair, {}).setdefault(place, outcome if row["model_a"] == pair[0] else 1 - outcome)
    return [np.array(list(votes.values())) for votes in found.values()]


def stopped(values: np.ndarray, points: float, draw: np.random.Generator, *, decided: bool) -> tuple[bool, int]:
    """Whether the interval holds the truth when voting stops by the rule, and after how many votes."""
    times = looks(values.size)
    limits = confidence_sequence(values[draw.permutation(values.size)], times=times, population=values.size)
    for n, lower, upper in zip(times, limits.lower.tolist(), limits.upper.tolist(), strict=True):
        if known_well(lower, upper, points, decided=decided) or n == values.size:
            return lower - 1e-9 <= values.mean() <= upper + 1e-9, n
    raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("votes", "points", "decided"), [(tulu, 10.0, False), (mtbench, 12.0, False), (tulu, 5.0, True)]
)
def test_the_interval_holds_when_voting_stops(votes, points, decided):
    draw = np.random.default_rng(1)
    pairs = votes()
    runs = [stopped(pairs[turn % len(pairs)], points, draw, decided=decided) for turn in range(REPLAYS)]
    covered = np.mean([held for held, _ in runs])
    assert covered >= 0.93
    assert min(n for _, n in runs) < max(values.size for values in pairs)  # it does stop


@pytest.mark.slow
def test_more_votes_are_foretold_about_rightly():
    """Of a replay stopped halfway, what is said to be needed still is right within a factor of two."""
    draw, ratios = np.random.default_rng(2), []
    for values in tulu():
        for _ in range(5):
            order = values[draw.permutation(values.size)].tolist()
            half = precision_of("x", order[:60], values.size, 10.0)
            need = next(
                n for n in range(61, values.size + 1, 3) if precision_of("x", order[:n], values.size, 10.0).reached
            )
            ratios.append((60 + half.more) / need)
    assert 0.5 < float(np.median(ratios)) < 2.0


def needed(values: np.ndarray, points: float, draw: np.random.Generator, *, decided: bool) -> int:
    """Votes on one pair of models until its number is known."""
    most = 4000
    times = [*range(8, 400, 8), *range(400, most, 40)]
    limits = confidence_sequence(draw.choice(values, most), times=times)
    for n, lower, upper in zip(times, limits.lower.tolist(), limits.upper.tolist(), strict=True):
        if known_well(lower, upper, points, decided=decided):
            return n
    return most


def saved(pairs: list[np.ndarray], points: float, draw: np.random.Generator, *, decided: bool) -> float:
    """Part of the votes in random order that leaving out known pairs of models saves; even ones are not ranked."""
    pairs = [values for values in pairs if not decided or abs(values.mean() - 0.5) > 0.04]
    each = np.array([needed(values, points, draw, decided=decided) for values in pairs])
    order = draw.integers(0, len(pairs), 2 * len(pairs) * each.max())
    last = max(np.flatnonzero(order == pair)[count - 1] for pair, count in enumerate(each)) + 1
    return float(1 - each.sum() / last)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("votes", "points", "decided", "least"),
    [(mtbench, 10.0, False, 0.25), (mtbench, 5.0, True, 0.6), (tulu, 5.0, True, 0.3)],
)
def test_leaving_out_known_pairs_saves_votes(votes, points, decided, least):
    draw = np.random.default_rng(3)
    assert np.mean([saved(votes(), points, draw, decided=decided) for _ in range(4)]) >= least
