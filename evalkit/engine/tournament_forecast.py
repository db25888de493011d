"""What a tournament is likely to take: played with judges made of ratings, before anybody is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.engine.experiment import Experiment
from evalkit.ratings.tournament import Tournament, TournamentOutcome

if TYPE_CHECKING:
    import numpy as np

    from evalkit.stats.arrays import FloatArray

GAPS = (0.55, 0.65, 0.75)
"""How often each model beats the next, where nothing is known of it."""
PLAYED = 11
"""Tournaments that are played; fewer of many models."""
OF_MANY = 200
"""Models times tournaments that are played."""
FEWEST_UNITS = 50
"""Stored units from which ratings are taken."""
DISCORDANT = 0.3
"""Part of units that are a tie over both orders, as judges of similar answers have it."""
AT_ONCE = 16
"""Units of one pair or several that are played between two choices."""


@dataclass(frozen=True)
class TournamentForecast:
    """What tournaments that were played took."""

    assumed: str
    """In words, what of the models."""
    played: int
    reached: int
    """How many of them reached the goal."""
    median: int
    """Judgments."""
    low: int
    high: int
    """Those of the shortest and longest ones."""
    all_pairs: int

    def sentence(self) -> str:
        """The forecast in words."""
        return (
            f"{self.assumed}: about {self.median:,} of {self.all_pairs:,} judgments "
            f"({1 - self.median / self.all_pairs:.0%} fewer than all pairs; {self.low:,} to {self.high:,}), and the "
            f"goal is reached in {self.reached} of {self.played} tournaments played"
        )


def tournament_forecast(experiment: Experiment, stored: TournamentOutcome) -> list[TournamentForecast]:
    """What the tournament is likely to take, by what is stored of it, by a stated gap, or for several gaps.

    Args:
        experiment: with a stopping rule.
        stored: how it stands.
    """
    rule = experiment.rule
    assert rule is not None
    size = len(experiment.models)
    known = sum(pair.units for pair in stored.pairs)
    if rule.gap is not None:
        wanted = [(f"if each model beats the next in {rule.gap:.0%}", _ladder(size, rule.gap))]
    elif known >= max(FEWEST_UNITS, 3 * size):
        wanted = [(f"if win rates are those of the {known:,} units that are stored", _rated(experiment, stored))]
    else:
        wanted = [(f"if each model beats the next in {gap:.0%}", _ladder(size, gap)) for gap in GAPS]
    return [_played(experiment, stored, ratings, words) for words, ratings in wanted]


def _ladder(size: int, gap: float) -> FloatArray:
    import numpy as np

    ratings: FloatArray = -np.log(gap / (1 - gap)) * np.arange(size)
    return ratings


def _rated(experiment: Experiment, stored: TournamentOutcome) -> FloatArray:
    """Shrunk ratings by what is stored."""
    import numpy as np

    place = {model.name: i for i, model in enumerate(experiment.models)}
    ratings = np.zeros(len(place))
    for _ in range(200):
        slope, curve = -0.5 * ratings, np.full(len(place), 0.5)
        for pair in stored.pairs:
            if pair.win_rate is None:
                continue
            i, j = place[pair.first], place[pair.second]
            rate = 1 / (1 + np.exp(ratings[j] - ratings[i]))
            surprise = pair.units * (pair.win_rate - rate)
            slope[i] += surprise
            slope[j] -= surprise
            curve[[i, j]] += pair.units * 2 * rate * (1 - rate)
        ratings = ratings + slope / curve
    return ratings


def _played(experiment: Experiment, stored: TournamentOutcome, ratings: FloatArray, words: str) -> TournamentForecast:
    import numpy as np

    played = max(3, min(PLAYED, OF_MANY // len(experiment.models)))
    lengths, reached = [], 0
    for seed in range(played):
        outcome = _one(experiment, stored, ratings, np.random.default_rng(seed))
        lengths.append(outcome.judgments)
        reached += outcome.reached
    lengths.sort()
    return TournamentForecast(
        words, played, reached, lengths[len(lengths) // 2], lengths[0], lengths[-1], stored.all_pairs
    )


def _one(
    experiment: Experiment, stored: TournamentOutcome, ratings: FloatArray, rng: np.random.Generator
) -> TournamentOutcome:
    """One tournament, played from its beginning with verdicts drawn from ratings."""
    rule, names = experiment.rule, [model.name for model in experiment.models]
    assert rule is not None
    play = Tournament.begun(names, len(experiment.benchmark.items), rule)
    place = {name: i for i, name in enumerate(names)}
    while chosen := play.choose(_room(play, stored, AT_ONCE)):
        for pair in chosen:
            first, second = play.names(pair)
            play.add(pair, _drawn(ratings[place[first]] - ratings[place[second]], rng), judgments=stored.of_a_unit)
    return play.outcome(stored.all_pairs, stored.of_a_unit)


def _room(play: Tournament, stored: TournamentOutcome, most: int) -> int:
    if stored.max_judgments is None:
        return most
    return max(0, min(most, (stored.max_judgments - play.judgments) // stored.of_a_unit))


def _drawn(difference: float, rng: np.random.Generator) -> float:
    """A unit: a tie over both orders, or else a win for one; its mean is the win rate that the ratings say."""
    import numpy as np

    rate = 1 / (1 + np.exp(-difference))
    ties = min(DISCORDANT, 2 * min(rate, 1 - rate))
    draw = rng.random()
    return 0.5 if draw < ties else float(draw < ties + rate - ties / 2)
