"""Replays of full designs: how often a tournament claims something wrong, and what it saves.

python -m tests.certification.tournaments --replays 1000 --only prd --state replays.jsonl

With ``--state`` what was replayed is kept in a file, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from evalkit.core.schema import Judgment
from evalkit.interop.prd import PRDFormat
from evalkit.stats.adaptive_ranking import AdaptiveRanking, Goal
from tests.shared_data import shared_data

AT_ONCE, SHARE, PARTS = 32, 8, 256
"""Units between two choices: 32, those of 64 requests in flight with both orders; of very many, an eighth of the pairs
or a part of all units in 256."""
CHUNK = 50
"""Replays after which they are written down."""


@dataclass(frozen=True)
class Design:
    """A full design: what each unit of each pair would say."""

    name: str
    models: int
    units: np.ndarray
    """[P, Q]; NaN where a unit has no value."""

    @property
    def means(self) -> np.ndarray:
        """[P] what the whole design says of each pair; 1/2 where it says nothing."""
        known = np.isfinite(self.units)
        return np.where(known.any(axis=1), np.nansum(self.units, axis=1) / np.maximum(known.sum(axis=1), 1), 0.5)


@dataclass(frozen=True)
class Replay:
    """What one tournament over a design came to."""

    asked: float
    """Part of all units."""
    reached: bool
    wrong: bool
    """Whether any claim on a pair contradicts the design."""
    follows_wrong: int
    """Pairs that follow from others, and that the design has the other way round."""
    milliseconds: float
    """Of choosing and learning, a unit."""


def replay(design: Design, goal: str, rng: np.random.Generator, *, whole: bool) -> Replay:
    """One tournament: questions in a random order, or drawn anew from the design as from a population."""
    pairs, questions = design.units.shape
    if whole:
        order = np.tile(rng.permutation(questions), (pairs, 1))
    else:
        drawn = rng.integers(0, questions, questions)
        # Where a pair lacks a question, one that it has is drawn in its place: its mean is that of those it has.
        order = np.stack([_present(row, drawn, rng) for row in design.units])
    ranking = AdaptiveRanking(design.models, questions, Goal.read(goal), whole=whole)
    coming = [iter(row) for row in np.take_along_axis(design.units, order, axis=1).tolist()]
    asked, began = 0, time.process_time()
    while chosen := ranking.choose(max(AT_ONCE, pairs // SHARE, design.units.size // PARTS)):
        for pair in chosen:
            value = next(coming[pair])
            ranking.add(pair, None if math.isnan(value) else value)
        asked += len(chosen)
    seconds = time.process_time() - began
    found = ranking.ranking()  # peaks of e-values stay: what was ever claimed is claimed still
    lead = np.zeros((design.models, design.models))
    lead[ranking.first, ranking.second] = design.means - 0.5
    lead -= lead.T
    against = lead <= 1e-12
    return Replay(
        asked / design.units.size,
        found.reached,
        bool((found.beats & against).any()),
        int((found.before & ~found.beats & ~found.beats.T & (lead < -1e-12)).sum()),
        1000 * seconds / max(1, asked),
    )


def _present(row: np.ndarray, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    missing = np.isnan(row[drawn])
    if np.isnan(row).all():
        return drawn
    return np.where(missing, rng.choice(np.flatnonzero(~np.isnan(row)), drawn.size), drawn) if missing.any() else drawn


def prd(judge: str = "gpt4") -> Design:
    """PRD: five models, 80 questions, both orders by GPT-4 or Claude."""
    scores: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for found in PRDFormat().read(shared_data("prd_vicuna80")):
        row = found.record
        if isinstance(row, Judgment) and row.judge.name == judge and row.scores is not None:
            (one, other), first = (model.name for model in row.models), row.scores[0]
            pair, value = ((one, other), first) if one < other else ((other, one), 1 - first)
            scores[pair][row.item].append(value)
    return _of(f"PRD, judged by {judge}", scores)


def mtbench(file: str) -> Design:
    """MT-Bench: six models, 80 questions, both turns: GPT-4's verdicts over both orders, or people's votes."""
    scores: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in shared_data("mtbench_votes", file).read_text().splitlines():
        row = json.loads(line)
        won = {"model_a": 1.0, "model_b": 0.0}.get(row["winner"], 0.5)
        one, other = row["model_a"], row["model_b"]
        pair, value = ((one, other), won) if one < other else ((other, one), 1 - won)
        scores[pair][str(row["question_id"])].append(value)
    return _of(f"MT-Bench, {'votes of people' if file.startswith('human') else 'judged by GPT-4'}", scores)


def llmfao() -> Design:
    """LLMFAO: 59 models, 13 prompts, people's votes, not on every pair and prompt."""
    scores: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with shared_data("llmfao", "llmfao.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            won = {"left": 1.0, "right": 0.0}.get(row["winner"], 0.5)
            one, other = row["left"], row["right"]
            pair, value = ((one, other), won) if one < other else ((other, one), 1 - won)
            scores[pair][row["prompt"]].append(value)
    return _of("LLMFAO, votes of people", scores)


def alpaca_eval() -> Design:
    """AlpacaEval: nine models, 805 questions, compared through the baseline that each met."""
    folder = shared_data("alpacaeval", "weighted_alpaca_eval_gpt4_turbo")
    rates: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob("*/annotations.json")):
        rows = json.loads(path.read_text())
        rates[path.parent.name] = {row["instruction"]: min(1.0, max(0.0, row["preference"] - 1)) for row in rows}
    common = sorted(set.intersection(*(set(rows) for rows in rates.values())))
    value = np.array([[rows[question] for question in common] for rows in rates.values()])
    first, second = np.triu_indices(len(rates), 1)
    return Design("AlpacaEval, through the baseline", len(rates), 0.5 + (value[first] - value[second]) / 2)


def simulated(models: int = 50, gap: float = 0.6, questions: int = 60) -> Design:
    """Models each ``gap`` logits above the next, questions that favour some, judges that err in either order."""
    rng = np.random.default_rng(models)
    first, second = np.triu_indices(models, 1)
    skill = -gap * np.arange(models)[:, None] + rng.normal(0, 0.5, (models, questions))
    rate = 1 / (1 + np.exp(skill[second] - skill[first]))
    draws = rng.random((2, *rate.shape)) < rate
    return Design(f"simulated, {models} models", models, draws.mean(axis=0))


def even(models: int = 6, questions: int = 60) -> Design:
    """Models of which none is better: every claim is wrong."""
    rng = np.random.default_rng(0)
    row = np.tile(np.repeat([0.0, 0.5, 1.0], questions // 3), (models * (models - 1) // 2, 1))
    return Design("simulated, no model better", models, rng.permuted(row, axis=1))


def _of(name: str, scores: dict[tuple[str, str], dict[str, list[float]]]) -> Design:
    names = sorted({model for pair in scores for model in pair})
    questions = sorted({question for rows in scores.values() for question in rows})
    first, second = np.triu_indices(len(names), 1)
    units = np.full((first.size, len(questions)), np.nan)
    for number, (i, j) in enumerate(zip(first, second, strict=True)):
        for place, question in enumerate(questions):
            if values := scores.get((names[i], names[j]), {}).get(question):
                units[number, place] = np.mean(values)
    return Design(name, len(names), units)


DESIGNS: dict[str, Callable[[], Design]] = {
    "prd gpt4": prd,
    "prd claude": lambda: prd("claude"),
    "mtbench gpt4": lambda: mtbench("gpt4_pair.jsonl"),
    "mtbench people": lambda: mtbench("human.jsonl"),
    "llmfao": llmfao,
    "alpacaeval": alpaca_eval,
    "simulated 50": simulated,
    "even": even,
}
GOALS = ("order", "top1")


def summary(design: Design, goal: str, replays: int, *, whole: bool, state: State | None = None) -> dict[str, float]:
    """Means over replays, each with a seed of its own."""
    kept = State(None) if state is None else state
    key = design.name, goal, whole
    while (number := len(kept.replays[key])) < replays:
        seeds = range(number, min(replays, number + CHUNK))
        kept.keep(key, [replay(design, goal, np.random.default_rng([1, seed]), whole=whole) for seed in seeds])
    found = kept.replays[key][:replays]
    return {
        "replays": replays,
        "wrong": float(np.mean([one.wrong for one in found])),
        "follows_wrong": float(np.mean([one.follows_wrong > 0 for one in found])),
        "reached": float(np.mean([one.reached for one in found])),
        "saved": 1 - float(np.mean([one.asked for one in found])),
        "milliseconds": float(np.mean([one.milliseconds for one in found])),
    }


class State:
    """Replays so far, by design, goal and what claims are about, in a file of JSON lines or in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self.replays: dict[tuple[str, str, bool], list[Replay]] = defaultdict(list)
        self._path = path
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self.replays[row["design"], row["goal"], row["whole"]] += [Replay(*one) for one in row["replays"]]

    def keep(self, key: tuple[str, str, bool], found: list[Replay]) -> None:
        """Add replays, and write them down."""
        self.replays[key] += found
        if self._path is not None:
            row = dict(zip(("design", "goal", "whole"), key, strict=True))
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row | {"replays": [astuple(one) for one in found]}) + "\n")


HEADER = """\
# Tournaments, replayed

{date}, {replays:,} replays a row. Made by `python -m tests.certification.tournaments`; docs/tournaments.md explains.
Wrong: replays in which any claim on a pair, at any time, contradicts the whole design; at most 5% are promised.
Follows wrong: replays in which a pair that follows by transitivity is the other way round in the whole design, which no
claim on a pair is: there the design is not transitive. Saved: judgments of all pairs that were not asked. Time: of
processor, of choosing and learning, a unit, with {at_once} units between two choices, or an eighth of the pairs, or one
in 256 of all units.

| design | models x questions | claims about | until | wrong | follows wrong | goal reached | saved | ms a unit |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def row(design: Design, goal: str, replays: int, *, whole: bool, state: State) -> str:
    """One row of the table."""
    got = summary(design, goal, replays, whole=whole, state=state)
    about = "these questions" if whole else "questions like these"
    return (
        f"| {design.name} | {design.models} x {design.units.shape[1]} | {about} | {goal} | {got['wrong']:.1%} | "
        f"{got['follows_wrong']:.1%} | {got['reached']:.0%} | {got['saved']:.0%} | {got['milliseconds']:.2f} |\n"
    )


def main() -> None:
    """Replay and print, or write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--only", default="", help="designs whose name holds this")
    parser.add_argument("--goals", default=",".join(GOALS))
    parser.add_argument("--state", type=Path, help="file in which replays are kept, to go on from")
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    state = State(options.state)
    chosen = [make for name, make in DESIGNS.items() if options.only in name]
    text = HEADER.format(date=f"{datetime.now(UTC):%Y-%m-%d}", replays=options.replays, at_once=AT_ONCE)
    print(text, end="", flush=True)
    for goal in options.goals.split(","):
        for make in chosen:
            design = make()
            for whole in (False, True):
                line = row(design, goal, options.replays, whole=whole, state=state)
                print(line, end="", flush=True)
                text += line
    if options.into:
        options.into.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
