"""What votes show so far: agreement of people, annotators who vote by side or too fast, and whether to go on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from evalkit.app.vote_scales import VoteScale
from evalkit.app.voting import PARSER, first_votes, outcomes, sides
from evalkit.core.schema import Judgment

FASTEST: Final = 60.0
"""Characters a second of both answers together: three times what people read."""
SURE: Final = 0.01
"""Chance that anybody is ever warned of who does not vote by side, however often somebody looks."""
FEWEST: Final = 10
"""Votes before an annotator is warned of."""
FIRST_LOOK: Final = 8
EVERY: Final = 16
"""Votes between two looks, at the least."""

Number = Literal["winrate", "agreement", "ranking"]


@dataclass(frozen=True)
class AnnotatorSummary:
    """One annotator so far."""

    name: str
    votes: int
    skipped: int
    seconds: float | None
    """Median for one vote."""
    left: float | None
    """Share of decided votes that chose the answer on the left."""
    warnings: tuple[str, ...]


def summary(name: str, rows: Sequence[Judgment], among: int = 1) -> AnnotatorSummary:
    """One annotator's votes in numbers, and what is odd about them.

    Args:
        name: the annotator's.
        rows: their votes and skips; of votes that were made elsewhere, nobody knows how sides were chosen.
        among: how many annotators there are.
    """
    voted = [row for row in rows if row.scores is not None]
    timed = [row for row in voted if row.latency > 0]
    chose_left, decided = sides([row for row in voted if row.parser == PARSER])
    warnings = []
    if decided >= FEWEST and among / SURE <= _evidence_of_sides(chose_left, decided):
        side = "left" if 2 * chose_left > decided else "right"
        count = max(chose_left, decided - chose_left)
        warnings.append(
            f"{name} chose the {side} side in {count} of {decided} decided votes; sides are drawn by lot, so this is "
            f"voting by side (chance below {SURE:.0%})"
        )
    fast = sum(sum(row.lengths) > FASTEST * row.latency for row in timed)
    if len(timed) >= FEWEST and 2 * fast > len(timed):
        warnings.append(
            f"{name} took less time than reading takes in {fast} of {len(timed)} votes (more than {FASTEST:.0f} "
            "characters a second)"
        )
    return AnnotatorSummary(
        name,
        len(voted),
        len(rows) - len(voted),
        median(row.latency for row in timed) if timed else None,
        chose_left / decided if decided else None,
        tuple(warnings),
    )


def _evidence_of_sides(successes: int, n: int) -> float:
    """An e-value against a fair coin: its likelihood under any coin, all alike before, over that under a fair one.

    By Ville's inequality it ever reaches 1/alpha with probability alpha at most, whenever somebody looks.
    """
    log = n * math.log(2) - math.log(n + 1) - math.log(math.comb(n, successes))
    return math.exp(min(log, 700.0))


def agreement_lines(votes: Mapping[str, Mapping[str, Judgment]], scale: VoteScale) -> list[str]:
    """How far annotators agree on what several of them voted on, in sentences."""
    from evalkit.stats.agreement import cohen_kappa, krippendorff_alpha
    from evalkit.stats.errors import NotMeasurable

    names = sorted(votes)
    tasks = sorted({task for several in votes.values() for task in several})
    labels = [[_value(votes[name].get(task), scale) for name in names] for task in tasks]
    both = sum(sum(label is not None for label in row) > 1 for row in labels)
    if not both:
        return ["Agreement of annotators: nobody voted on what another one voted on yet."]
    found = [f"{both} question{'' if both == 1 else 's'} with votes of several annotators."]
    kind: Literal["nominal", "interval"] = "nominal" if scale.name == "abt" else "interval"
    try:
        found.append(f"Krippendorff's alpha ({kind}) {_limits(krippendorff_alpha(labels, scale=kind))}.")
    except NotMeasurable as error:
        found.append(f"Krippendorff's alpha: {error}.")
    if len(names) == 2:
        try:
            first, second = ([row[side] for row in labels] for side in (0, 1))
            found.append(f"Cohen's kappa {_limits(cohen_kappa(first, second))}.")
        except NotMeasurable as error:
            found.append(f"Cohen's kappa: {error}.")
    return found


def _value(row: Judgment | None, scale: VoteScale) -> str | float | None:
    """A vote as it can be compared with another's, whatever side the answers were shown on."""
    if row is None or row.scores is None:
        return None
    if scale.shows == 1:
        return row.scores[0]
    ordered = [score for _, score in sorted(zip(row.shown, row.scores, strict=True))]
    if scale.name != "abt":
        return ordered[0]
    if ordered[0] == ordered[1]:
        return "tie"
    return "first" if ordered[0] > ordered[1] else "second"


def _limits(interval: object) -> str:
    from evalkit.stats.resample import Interval

    assert isinstance(interval, Interval)
    if interval.lower is None or interval.upper is None:
        return f"{interval.estimate:.2f} (no interval: {interval.reason or 'too few questions'})"
    return f"{interval.estimate:.2f}, {interval.lower:.2f} to {interval.upper:.2f}"


@dataclass(frozen=True)
class Precision:
    """How well a number is known, at any time at which somebody looks."""

    name: str
    n: int
    estimate: float
    lower: float
    upper: float
    reached: bool
    more: int | None
    """Votes that are likely still to be needed; None where that cannot be told."""

    @property
    def sentence(self) -> str:
        """The number, its interval, and whether to go on."""
        limits = f"{100 * self.lower:.1f} to {100 * self.upper:.1f}"
        known = f"{self.name}: {100 * self.estimate:.1f}%, {limits} ({self.n} votes)"
        if self.reached:
            return f"{known}; known well enough"
        return known if self.more is None else f"{known}; about {self.more:,} more votes are likely to be needed"


def precisions(
    votes: Mapping[str, Mapping[str, Judgment]],
    verdicts: Mapping[str, float],
    wanted: Number,
    points: float,
    population: int,
) -> list[Precision]:
    """Each number asked for, with limits that hold at all times at once, from the first vote on each question.

    Args:
        votes: by annotator and task.
        verdicts: of the judge, by task: the outcome for the model first by name.
        wanted: ``winrate`` of each pair of models, ``agreement`` of the judge with people, or the ``ranking`` of each
            pair, which is known when even is excluded.
        points: half of the width that is wanted, in percentage points.
        population: how many tasks there are.
    """
    rows = first_votes(votes)
    skipped = len({task for several in votes.values() for task, row in several.items() if row.scores is None})
    found = []
    for name, values, size in _series(rows, verdicts, wanted, population - skipped):
        if len(values) >= 2:
            found.append(precision_of(name, values, size, points, decided=wanted == "ranking"))
    return found


def _series(
    rows: Sequence[tuple[str, Judgment]], verdicts: Mapping[str, float], wanted: Number, population: int
) -> list[tuple[str, list[float], int]]:
    """Names, values in the order given, and how many there can be."""
    if wanted == "agreement":
        agreed = [float(_sign(_first_by_name(row)) == _sign(verdicts[task])) for task, row in rows if task in verdicts]
        return [("people agree with the judge", agreed, max(population, len(agreed)))]
    return [(name, values, size) for name, values, size, _ in _series_of_pairs([row for _, row in rows], population)]


def _series_of_pairs(rows: Sequence[Judgment], population: int) -> list[tuple[str, list[float], int, tuple[str, ...]]]:
    """Name, values, how many there can be and models of each pair of models."""
    pairs: dict[tuple[str, ...], list[Judgment]] = {}
    for row in rows:
        if len(row.models) == 2:
            pairs.setdefault(tuple(sorted(model.name for model in row.models)), []).append(row)
    size = population if len(pairs) == 1 else 0
    return [
        (f"{one} preferred to {other}", outcomes(several, one), size, (one, other))
        for (one, other), several in sorted(pairs.items())
    ]


def precision_of(name: str, values: list[float], population: int, points: float, *, decided: bool = False) -> Precision:
    """A mean of values in [0, 1] with limits that hold whenever somebody looks (confidence_sequence.py).

    Args:
        name: of the number.
        values: in the order in which they were given.
        population: how many there can be; 0 where that is not known.
        points: half of the width that is wanted, in percentage points.
        decided: whether it is enough to know the side of even.
    """
    from evalkit.stats.confidence_sequence import confidence_sequence

    n = len(values)
    size = population if population >= n else None
    limits = confidence_sequence(values, times=looks(n), population=size)
    lower, upper = float(limits.lower[-1]), float(limits.upper[-1])
    reached = known_well(lower, upper, points, decided=decided)
    estimate = sum(values) / n
    target = abs(estimate - 0.5) if decided else points / 100
    more = None
    if not reached and target > 0:
        more = max(1, math.ceil(n * (((upper - lower) / 2 / target) ** 2 - 1)))
        more = min(more, size - n) if size is not None else more
    return Precision(name, n, estimate, lower, upper, reached, more)


@dataclass
class PairsKnownWell:
    """Tells which pairs of models need no more votes, whenever it is asked.

    Votes on a pair stay a random sample of its questions, and its limits hold at all times at once: so it may be left
    as soon as they are narrow enough.
    """

    wanted: Literal["winrate", "ranking"]
    points: float
    """Half of the width that is wanted, in percentage points."""
    _seen: dict[tuple[str, ...], tuple[int, bool]] = field(default_factory=dict)
    """By pair: votes at the last look, and whether it was known."""

    def __call__(self, votes: Mapping[str, Mapping[str, Judgment]]) -> set[tuple[str, ...]]:
        """Pairs that are known well enough, by the first vote on each question."""
        for name, values, _, models in _series_of_pairs([row for _, row in first_votes(votes)], 0):
            seen, known = self._seen.get(models, (0, False))
            if not known and len(values) != seen and len(values) >= FIRST_LOOK:
                found = precision_of(name, values, 0, self.points, decided=self.wanted == "ranking")
                known = found.reached
            self._seen[models] = len(values), known
        return {models for models, (_, known) in self._seen.items() if known}


def looks(n: int) -> list[int]:
    """Numbers of votes at which limits are worked out; what was shown at one is never taken back at a later one."""
    return sorted({*range(min(FIRST_LOOK, n), n, max(EVERY, n // 40)), n})


def known_well(lower: float, upper: float, points: float, *, decided: bool = False) -> bool:
    """Whether it is time to stop: the interval is narrow enough, or excludes even."""
    return lower > 0.5 or upper < 0.5 if decided else (upper - lower) / 2 <= points / 100


def _first_by_name(row: Judgment) -> float:
    assert row.scores is not None
    return sorted(zip((model.name for model in row.models), row.scores, strict=True))[0][1]


def _sign(outcome: float) -> int:
    return (outcome > 0.5 + 1e-9) - (outcome < 0.5 - 1e-9)
