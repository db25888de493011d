"""A tournament of named models: an adaptive ranking with what was asked for it, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.ratings.panel import PANEL
from evalkit.ratings.standing import Standing, named

if TYPE_CHECKING:
    from evalkit.stats.adaptive_ranking import AdaptiveRanking, Ranking
    from evalkit.stats.resample import Interval

TOURNAMENT_SCHEMA = "evalkit.tournament/1"
REASONS = {
    "open": "not asked often enough yet",
    "all asked": "every question was asked, and they do not decide it",
    "out of reach": "the questions left cannot decide it any more, whatever they say; more questions can",
    "cycle": "claims contradict each other: no order fits them",
}
"""Why a pair is undecided, in words."""
CHOSEN = (
    "pairs were chosen by what was seen; intervals that allow for that are the tournament's, of ranks and win rates"
)
"""Why ratings fitted to a tournament's judgments have no interval."""
NAMED_PAIRS = 5
"""Undecided pairs that a sentence names."""


class Rule(Protocol):
    """What a tournament needs of its stopping rule."""

    @property
    def until(self) -> str:
        """The goal."""
        ...

    @property
    def max_judgments(self) -> int | None:
        """The most that may be asked."""
        ...

    @property
    def about(self) -> str:
        """these_questions, or questions_like_these."""
        ...


@dataclass(frozen=True)
class PairOutcome:
    """What is known of one pair of models."""

    first: str
    second: str
    win_rate: float | None
    """Of the first; None where no unit has a value."""
    lower: float | None
    upper: float | None
    """Limits for all pairs and times at once."""
    units: int
    failed: int
    winner: str | None
    """Who is before the other; None where that is undecided or contradictory."""
    follows: bool
    """The winner follows from other pairs, not from this one's own units."""
    needed: bool
    """The goal needs it."""
    why: str | None
    """Why a needed pair is undecided: a key of ``REASONS``."""


@dataclass(frozen=True)
class TournamentPlace:
    """Where one model stands."""

    model: str
    best: int
    worst: int
    """Ranks that are not excluded, 1 the highest."""
    elo: tuple[float, float] | None
    """Limits of its rating less the mean of all, where those were the goal."""
    units: int


@dataclass(frozen=True)
class TournamentOutcome:
    """Everything a tournament shows, at any time."""

    until: str
    about: str
    reached: bool
    places: tuple[TournamentPlace, ...]
    """The best first, as far as that is known."""
    pairs: tuple[PairOutcome, ...]
    judgments: int
    """That it took, those of earlier runs included."""
    all_pairs: int
    """That every pair on every question would take."""
    of_a_unit: int
    """That one question of one pair takes."""
    max_judgments: int | None

    @property
    def saved(self) -> float:
        """Part of all judgments that need not be asked."""
        return 1 - self.judgments / self.all_pairs

    @property
    def undecided(self) -> list[PairOutcome]:
        """Pairs that the goal needs and that are not decided."""
        return [pair for pair in self.pairs if pair.why is not None]

    def sentences(self) -> list[str]:
        """What it took, what is decided, what is not, and why."""
        saved = f", {self.saved:.0%} fewer" if self.saved > 0 else ""
        head = "is reached" if self.reached else "is not reached"
        found = [f"until={self.until} {head}: {self.judgments:,} judgments of {self.all_pairs:,} for all pairs{saved}."]
        if follows := sum(pair.follows for pair in self.pairs):
            found.append(
                f"{follows:,} of {len(self.pairs):,} pairs follow from others (A before B before C, so A before C), "
                "which takes for granted that the judge's preferences are transitive."
            )
        if failed := sum(pair.failed for pair in self.pairs):
            treated = (
                "each counts as whatever speaks most against a claim"
                if self.about == "these_questions"
                else "none counts as a result, and the pair's next question took its place"
            )
            found.append(f"{failed:,} units failed, as an answer or a verdict is missing: {treated}.")
        return [*found, *self._undecided()]

    def _undecided(self) -> list[str]:
        by_why: dict[str, list[PairOutcome]] = {}
        for pair in self.undecided:
            by_why.setdefault(pair.why or "", []).append(pair)
        found = []
        for why, pairs in by_why.items():
            reason = REASONS[why]
            if why == "open" and self._at_most():
                reason = f"max_judgments={self.max_judgments} leaves no room for another unit"
            if self.until.startswith("elo") and why == "cycle":
                reason = "no Bradley-Terry ratings fit these win rates, so there are none to be known more closely"
            listed = named([f"{pair.first} / {pair.second}" for pair in pairs], NAMED_PAIRS)
            found.append(f"undecided, as {reason}: {listed}.")
        return found

    def _at_most(self) -> bool:
        """Whether the most that may be asked is reached: one more unit would pass it."""
        return self.max_judgments is not None and self.judgments + self.of_a_unit > self.max_judgments

    def to_dict(self) -> dict[str, Any]:
        """The tournament as JSON, without the rule's guarantee."""
        return {
            "schema": TOURNAMENT_SCHEMA,
            "until": self.until,
            "about": self.about,
            "reached": self.reached,
            "judgments": self.judgments,
            "all_pairs": self.all_pairs,
            "saved": self.saved,
            "rows": [
                {
                    "model": place.model,
                    "rank_best": place.best,
                    "rank_worst": place.worst,
                    "elo_lower": place.elo[0] if place.elo else None,
                    "elo_upper": place.elo[1] if place.elo else None,
                    "units": place.units,
                }
                for place in self.places
            ],
            "pairs": [
                {
                    "a": pair.first,
                    "b": pair.second,
                    "win_rate": pair.win_rate,
                    "lower": pair.lower,
                    "upper": pair.upper,
                    "units": pair.units,
                    "failed": pair.failed,
                    "winner": pair.winner,
                    "follows": pair.follows,
                    "needed": pair.needed,
                    "undecided": REASONS[pair.why] if pair.why else None,
                }
                for pair in self.pairs
            ],
        }


class Tournament:
    """A tournament under way.

    Args:
        models: names, at least 2.
        questions: how many there are.
        rule: when it is over.
    """

    def __init__(self, models: Sequence[str], questions: int, rule: Rule, ranking: AdaptiveRanking) -> None:
        self.models = tuple(models)
        self.judgments = 0
        """That were taken so far."""
        self._questions = questions
        self._rule = rule
        self._ranking = ranking

    @classmethod
    def begun(cls, models: Sequence[str], questions: int, rule: Rule) -> Tournament:
        """One of which nothing was asked."""
        from evalkit.stats.adaptive_ranking import AdaptiveRanking, Goal

        whole = rule.about == "these_questions"
        return cls(models, questions, rule, AdaptiveRanking(len(models), questions, Goal.read(rule.until), whole=whole))

    @property
    def pairs(self) -> int:
        """How many pairs of models there are."""
        return int(self._ranking.first.size)

    def names(self, pair: int) -> tuple[str, str]:
        """The models of a pair."""
        return self.models[int(self._ranking.first[pair])], self.models[int(self._ranking.second[pair])]

    def asked_of(self, pair: int) -> int:
        """Units of a pair so far, failed ones included."""
        return self._questions - int(self._ranking.left[pair])

    def choose(self, most: int) -> list[int]:
        """Pairs whose next units to ask; see ``AdaptiveRanking.choose``."""
        return self._ranking.choose(most)

    def add(self, pair: int, value: float | None, *, judgments: int) -> None:
        """Take a pair's next unit, None where it failed, and what it took."""
        self._ranking.add(pair, value)
        self.judgments += judgments

    def outcome(self, all_pairs: int, of_a_unit: int) -> TournamentOutcome:
        """What the units so far show.

        Args:
            all_pairs: judgments that every pair on every question would take.
            of_a_unit: judgments that one question of one pair takes.
        """
        ranking = self._ranking.ranking()
        pairs = tuple(self._pair(number, ranking) for number in range(self.pairs))
        order = sorted(
            range(len(self.models)), key=lambda i: (ranking.best[i] + ranking.worst[i], -ranking.ratings[i], i)
        )
        units = {name: 0 for name in self.models}
        for pair in pairs:
            units[pair.first] += pair.units
            units[pair.second] += pair.units
        places = tuple(
            TournamentPlace(
                self.models[i], int(ranking.best[i]), int(ranking.worst[i]), _elo(ranking, i), units[self.models[i]]
            )
            for i in order
        )
        return TournamentOutcome(
            self._rule.until,
            self._rule.about,
            ranking.reached,
            places,
            pairs,
            self.judgments,
            all_pairs,
            of_a_unit,
            self._rule.max_judgments,
        )

    def _pair(self, number: int, ranking: Ranking) -> PairOutcome:
        i, j = int(self._ranking.first[number]), int(self._ranking.second[number])
        rate, lower, upper = self._ranking.win_rate(number) or (None, None, None)
        ahead, behind = bool(ranking.before[i, j]), bool(ranking.before[j, i])
        winner = None if ahead == behind else self.models[i] if ahead else self.models[j]
        own = bool(ranking.beats[i, j] or ranking.beats[j, i])
        return PairOutcome(
            self.models[i],
            self.models[j],
            rate,
            lower,
            upper,
            int(self._ranking.units[number]),
            int(self._ranking.failed[number]),
            winner,
            winner is not None and not own,
            bool(ranking.needed[i, j]),
            ranking.why.get((i, j)),
        )


def after_choosing(standings: list[Standing], outcome: TournamentOutcome) -> list[Standing]:
    """Ratings fitted to chosen pairs: without intervals, as theirs hold for designs fixed beforehand only.

    Ranges of ranks are those of the tournament, which hold whatever was chosen: of the only judge, or of the panel.
    """
    place = {one.model: one for one in outcome.places}
    judges = {row.judge for row in standings if row.method == "bt"}

    def ranks(row: Standing) -> dict[str, int | None]:
        if judges > {row.judge} and row.judge != PANEL:
            return {"rank_best": None, "rank_worst": None}
        return {"rank_best": place[row.model].best, "rank_worst": place[row.model].worst}

    return [
        replace(
            row,
            estimates={name: _without_limits(estimate) for name, estimate in row.estimates.items()},
            columns=row.columns | ranks(row),
            about=replace(row.about, separability=None),
        )
        if row.method == "bt" and row.model in place
        else row
        for row in standings
    ]


def caution(until: str) -> str:
    """What a reader of other tables of a tournament's judgments must know."""
    return (
        f"a tournament (until={until}) chose pairs by what was seen: intervals and ranges of ranks here take the pairs "
        "as fixed beforehand and are not guaranteed; those that are stand in the tournament.json of its run"
    )


def _without_limits(estimate: Interval | None) -> Interval | None:
    if estimate is None:
        return None
    return replace(estimate, lower=None, upper=None, standard_error=None, reason=CHOSEN)


def _elo(ranking: Ranking, model: int) -> tuple[float, float] | None:
    """Finite limits of a rating."""
    import numpy as np

    if ranking.elo is None or not np.isfinite(ranking.elo[model]).all():
        return None
    return float(ranking.elo[model, 0]), float(ranking.elo[model, 1])
