"""Public votes given again in random orders: the interval at the moment of stopping holds what all votes say."""

from __future__ import annotations

import csv
import functools
import json

import numpy as np
import pytest

from evalkit.app.vote_scales import ABT
from evalkit.app.vote_statistics import known_well, looks, precision_of
from evalkit.app.vote_tasks import VotePlan, VoteTask
from evalkit.app.voting import Voting
from evalkit.core.schema import Item, Judgment
from evalkit.stats.confidence_sequence import confidence_sequence
from tests.ratings.rows import judged
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


def agreement() -> list[np.ndarray]:
    """Whether the first vote on each pair of MT-Bench's answers is GPT-4's verdict."""
    said: list[dict[tuple[object, ...], int]] = []
    for name in ("gpt4_pair.jsonl", "human.jsonl"):
        found: dict[tuple[object, ...], int] = {}
        for line in shared_data("mtbench_votes", name).read_text().splitlines():
            row = json.loads(line)
            side = {"model_a": 1, "model_b": -1}.get(row["winner"], 0)
            pair = sorted((row["model_a"], row["model_b"]))
            place = row["question_id"], row["turn"], *pair
            found.setdefault(place, side if row["model_a"] == pair[0] else -side)
        said.append(found)
    judge, people = said
    return [np.array([float(judge[place] == side) for place, side in people.items() if place in judge])]


def looked_at(values: np.ndarray, points: float, *, decided: bool) -> tuple[bool, int]:
    """Whether the interval holds the truth when voting stops by the rule, and after how many of votes in this order."""
    times = looks(values.size)
    for parts in (8, 4, 2, 1):  # most stop early, and the rest is not worked out
        if not (some := [n for n in times if n <= values.size // parts]):
            continue
        limits = confidence_sequence(values[: some[-1]], times=some, population=values.size)
        for n, lower, upper in zip(some, limits.lower.tolist(), limits.upper.tolist(), strict=True):
            if known_well(lower, upper, points, decided=decided) or n == values.size:
                return lower - 1e-9 <= values.mean() <= upper + 1e-9, n
    raise AssertionError


NUMBERS = {
    "Tulu, --for winrate --until 10": (tulu, 10.0, False),
    "Tulu, --for ranking": (tulu, 5.0, True),
    "MT-Bench, --for winrate --until 12": (mtbench, 12.0, False),
    "MT-Bench, --for ranking": (mtbench, 5.0, True),
    "MT-Bench, --for agreement --until 10": (agreement, 10.0, False),
}


def replayed(name: str) -> tuple[float, float]:
    """Share of 500 replays in which the interval held the truth when voting stopped, and share of votes it took."""
    votes, points, decided = NUMBERS[name]
    draw, pairs = np.random.default_rng(1), votes()
    held, used = [], []
    for turn in range(REPLAYS):
        values = pairs[turn % len(pairs)]
        well, n = looked_at(values[draw.permutation(values.size)], points, decided=decided)
        held.append(well)
        used.append(n / values.size)
    return float(np.mean(held)), float(np.mean(used))


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_the_interval_holds_when_voting_stops(name):
    covered, used = replayed(name)
    assert covered >= 0.93
    assert used < 1  # it does stop


def first_votes_of(tasks: tuple[VoteTask, ...], seed: int, annotators: int) -> list[str]:
    """Tasks in the order in which they get their first vote from annotators who come and go as they like."""
    taken = Voting(VotePlan(tasks, 0.2, seed), ABT)
    draw, found = np.random.default_rng(seed), dict[str, None]()
    names = [f"annotator {number}" for number in range(annotators)]
    while names:
        name = names[int(draw.integers(len(names)))]
        task = taken.next_task(name)
        if task is None:
            names.remove(name)
            continue
        taken.votes.setdefault(name, {})[task.id] = pair_vote()
        taken._voted.add(task.id)
        taken._shown.clear()
        found.setdefault(task.id)
    return list(found)


@functools.cache
def pair_vote() -> Judgment:
    return judged("x", "y", (1.0, 0.0), "q", judge="zoe", fingerprint="human")


@pytest.mark.slow
def test_the_interval_holds_in_the_order_in_which_several_annotators_are_asked(tmp_path):
    values = tulu()[0]
    items = [Item(id=str(number), benchmark="b", category="c", turns=("Q",)) for number in range(values.size)]
    tasks = tuple(VoteTask(f"{number:05}", item, 1, (), tmp_path) for number, item in enumerate(items))
    held = []
    for seed in range(REPLAYS):
        order = [int(task) for task in first_votes_of(tasks, seed, 4)]
        assert len(order) == values.size
        held.append(looked_at(values[order], 10.0, decided=False)[0])
    assert np.mean(held) >= 0.93


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
