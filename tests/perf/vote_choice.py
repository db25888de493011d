"""How many votes choosing the next pair by the judge's verdict could save, on public votes: an upper bound.

For each number that votes are collected for, compares the variance of one vote (and so the votes needed for a width)
when pairs are drawn at random and the votes alone count, when the judge's verdict is a control variate, and when pairs
are also drawn in proportion to the true spread of the residuals within what the judge's verdict tells apart: verdict,
consistency and which models. No rule that chooses by those can do better.

``python tests/perf/vote_choice.py VOTES`` with results that hold people's votes and a judge's verdicts;
``python tests/perf/vote_choice.py --replay`` for how often intervals hold where
voting stops, and what leaving out known pairs of models saves, on public votes.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from evalkit.ratings.judgment_columns import outcome_of, rater_kind
from evalkit.storage.results import judged_rows


def replay(draws: int = 4) -> None:
    """How often limits hold where voting stops, and what ``--choose undecided`` saves, on public votes drawn again."""
    from tests.app.test_replays import NUMBERS, REPLAYS, mtbench, replayed, saved, tulu

    for name in NUMBERS:
        covered, used = replayed(name)
        print(f"{name}: the interval holds in {covered:.1%} of {REPLAYS} replays, after {used:.0%} of the votes")
    for votes in (mtbench, tulu):
        for points, decided in ((10.0, False), (5.0, False), (5.0, True)):
            draw = np.random.default_rng(3)
            part = np.mean([saved(votes(), points, draw, decided=decided) for _ in range(draws)])
            print(
                f"{votes.__name__}: {'ranking' if decided else f'win rates within {points:g}'}: {part:.0%} fewer votes"
            )


def main() -> None:
    if sys.argv[1:] == ["--replay"]:
        replay()
        return
    people, judge = defaultdict(list), defaultdict(list)
    for log in judged_rows([Path(sys.argv[1])]):
        for row in log:
            names = [model.name for model in row.models]
            if len(names) == 2 and row.scores is not None:
                order = names == sorted(names)
                outcome = outcome_of(row.scores) if order else 1 - outcome_of(row.scores)
                place = (row.item, row.turn, *sorted(names))
                if rater_kind(row.judge) == "person":
                    people[place].append(outcome)
                else:
                    judge[place].append((outcome, "inconsistent" in (row.label or "")))
    places = sorted(set(people) & set(judge))
    first = np.array([people[place][0] for place in places])
    verdict = np.array([np.mean([one for one, _ in judge[place]]) for place in places])
    unsure = np.array([any(two for _, two in judge[place]) for place in places])
    models = sorted({name for place in places for name in place[2:]})
    agree = (np.sign(first - 0.5) == np.sign(verdict - 0.5)).astype(float)
    kind = np.array([f"{v} {u}" for v, u in zip(verdict, unsure, strict=True)])
    report("agreement with the judge", agree, np.zeros(len(agree)), kind)
    for model in models:
        part = np.array([model in place[2:] for place in places])
        turn = np.array([place[2] == model for place in places])[part]
        y = np.where(turn, first[part], 1 - first[part])
        f = np.where(turn, verdict[part], 1 - verdict[part])
        report(f"win rate of {model}", y, f, np.array([f"{v} {u}" for v, u in zip(f, unsure[part], strict=True)]))


def report(name: str, y: np.ndarray, f: np.ndarray, strata: np.ndarray) -> None:
    """Variance of a vote under each way, and what is saved."""
    power = np.cov(y, f)[0, 1] / f.var(ddof=1) if f.std() else 0.0
    residual = y - power * f
    means = {one: residual[strata == one].mean() for one in np.unique(strata)}
    inside = residual - np.array([means[one] for one in strata])
    spread = {one: inside[strata == one].std() for one in means}
    weight = {one: float((strata == one).mean()) for one in means}
    alone, control = y.var(), residual.var()
    stratified = sum(weight[one] * spread[one] ** 2 for one in means)
    best = sum(weight[one] * spread[one] for one in means) ** 2
    shares = "  ".join(f"{100 * (1 - value / alone):5.1f}%" for value in (control, stratified, best))
    print(f"{name:34} {len(y):5} votes, variance {alone:.3f}; saved by control, strata, best choice: {shares}")


if __name__ == "__main__":
    main()
