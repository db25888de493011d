"""Rankings from pairs that are chosen by what is still undecided, with claims that no choosing can spoil.

One *unit* is what one question says of one pair: 1 where the first is better, 0 where the second is, between them what
is between. Each pair goes through the questions in an order fixed beforehand, and bets on either of the two being the
better one (``evalkit.stats.confidence_sequence``). Its e-values depend on its own units alone, and what they show holds
at every number of units at once: so whatever decides which pair goes on, ratings, luck or other pairs on the same
questions, the probability that any of all claims "i beats j" is ever wrong is at most 1 - level (by the union over the
pairs and directions). Further claims follow by transitivity alone: i before k, as i beats j and j beats k. Claims that
contradict each other show that there is no order.

Which pair is asked next is only a matter of cost. Ratings with a little shrinkage (Bradley & Terry 1952) tell which
pairs are likely to follow from others and need not be asked, as in active ranking (Heckel et al. 2019, Annals of
Statistics 47:3099; Jamieson & Nowak 2011), and of the rest which will be decided soonest.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evalkit.stats.arrays import BoolArray, FloatArray, IntArray, sigmoid, totals
from evalkit.stats.bradley_terry import ELO_PER_LOGIT
from evalkit.stats.confidence_sequence import CapitalProcess, confidence_sequence

STAKES: FloatArray = 0.97 * 2.0 ** (-np.arange(9) / 2)
"""Fractions of the greatest bet: the best ones for win rates of 53% to 98%."""
SHRINKAGE = 0.5
"""Precision of the ratings that guide the choice, towards equal ones, in units of 1 / logit squared."""
BELIEF = 4.0
"""Units that the ratings count as, beside a pair's own, when its win rate is guessed."""
START_UP = 1.5
"""Logarithm of capital that bets at the wrong stakes cost."""
SHARE = 4
"""A round asks of one pair at most this part of the units that it is thought to need."""

Why = Literal["open", "all asked", "out of reach", "cycle"]
"""Why a pair is undecided: it may go on; no question is left; those left cannot decide it; claims contradict."""


@dataclass(frozen=True)
class Goal:
    """What must be known before a ranking is complete."""

    kind: Literal["order", "top", "ranks", "elo"]
    amount: float = 0.0
    """Of ``top`` how many; of ``ranks`` the widest range; of ``elo`` the largest half width."""

    @classmethod
    def read(cls, text: str) -> Goal:
        """A goal as written: order, top1, top3, ranks:1, elo:20.

        Raises:
            ValueError: it is none; the message says what is allowed.
        """
        if text == "order":
            return cls("order")
        if found := re.fullmatch(r"top([1-9][0-9]{0,3})", text):
            return cls("top", int(found[1]))
        if found := re.fullmatch(r"ranks:([0-9]{1,4})", text):
            return cls("ranks", int(found[1]))
        if (found := re.fullmatch(r"elo:([0-9]{1,5}(?:\.[0-9]{1,3})?)", text)) and float(found[1]) > 0:
            return cls("elo", float(found[1]))
        raise ValueError(
            f"{text!r} is no goal; give order (every pair of models decided), topN (which N models are best: top1, "
            "top3), ranks:N (the range of each model's ranks at most N wide), or elo:N (each rating to within N points)"
        )

    def __str__(self) -> str:
        return {"order": "order", "top": f"top{self.amount:g}"}.get(self.kind, f"{self.kind}:{self.amount:g}")


@dataclass(frozen=True, eq=False)
class Ranking:
    """What units show of M models, at any time."""

    beats: BoolArray
    """[M, M] whether the first beats the second by their own units."""
    before: BoolArray
    """[M, M] likewise, or by transitivity; in both directions where claims contradict each other."""
    best: IntArray
    """[M] the best rank, 1 the highest, that is not excluded."""
    worst: IntArray
    """[M] the worst one."""
    ratings: FloatArray
    """[M] in logits, of mean 0, shrunk: a guess that guides the choice, and nothing that is claimed."""
    needed: BoolArray
    """[M, M] upper triangle: pairs that the goal needs and that are undecided."""
    why: dict[tuple[int, int], Why]
    """Of each needed pair, why it is undecided."""
    reached: bool
    """Whether the goal is reached."""
    level: float
    elo: FloatArray | None = None
    """[M, 2] limits of ratings on the Elo scale, of mean 0, under the Bradley-Terry model; crossed where no ratings fit
    all win rates; None: not asked for."""


class AdaptiveRanking:
    """A ranking under way: takes units as they come, says what they show, and which pairs to go on with.

    Args:
        models: how many, at least 2.
        questions: units that each pair has.
        goal: when it is complete.
        level: probability that no claim is ever wrong.
        whole: the questions are all that claims are about, drawn without replacement; else, they are a sample.
    """

    def __init__(self, models: int, questions: int, goal: Goal, *, level: float = 0.95, whole: bool = False) -> None:
        if models < 2 or questions < 1:
            raise ValueError(f"a ranking needs 2 models and 1 question, not {models} and {questions}")
        self.goal = goal
        self.models = models
        self.level = level
        self.first, self.second = np.triu_indices(models, 1)
        self.left: IntArray = np.full(self.first.size, questions)
        """[P] units of each pair that were not asked."""
        self.failed = np.zeros(self.first.size, dtype=np.int64)
        """[P] units that yielded nothing."""
        self.threshold = math.log(2 * self.first.size / (1 - level))
        self._whole = whole
        self._population = questions if whole else None
        self._process = CapitalProcess.begun(self.first.size, population=self._population, stakes=STAKES)
        self._waiting: dict[int, list[tuple[float, float]]] = {}
        self._values: list[list[tuple[float, float]]] = [[] for _ in range(self.first.size)]
        self._won = np.zeros(self.first.size)
        self._units = np.zeros(self.first.size)
        self._squares = 0.0
        self._ratings = np.zeros(models)
        self._rated = 0.0
        """How many units the ratings are of."""
        self._limits = np.tile((-np.inf, np.inf), (self.first.size, 1))
        self._stale: set[int] = set()
        self._opening = _opening(models)
        self._known: tuple[BoolArray, BoolArray, BoolArray] | None = None
        """[P, 2] which pairs were decided, and what followed."""

    def pair(self, first: int, second: int) -> int:
        """Number of a pair, ``first`` < ``second``."""
        return first * (2 * self.models - first - 1) // 2 + second - first - 1

    def add(self, pair: int, value: float | None) -> None:
        """Take a pair's next unit: a value of [0, 1], or None where it failed.

        A failed one counts as no value. Where claims are about these questions alone, it is one of them nonetheless,
        and counts as whatever speaks most against a claim.
        """
        self.left[pair] -= 1
        if value is None:
            self.failed[pair] += 1
            if not self._whole:
                return
        least, most = (0.0, 1.0) if value is None else (value, value)
        self._waiting.setdefault(pair, []).append((least, most))
        self._values[pair].append((least, most))
        self._stale.add(pair)
        if value is not None:
            self._won[pair] += value
            self._units[pair] += 1
            self._squares += (value - 0.5) ** 2

    @property
    def process(self) -> CapitalProcess:
        """The bets on each pair, [P] sequences, after all units so far."""
        if self._waiting:
            pairs = np.array(list(self._waiting))
            most = max(map(len, self._waiting.values()))
            values = np.array([rows + [(np.nan, np.nan)] * (most - len(rows)) for rows in self._waiting.values()])
            self._process = self._process.after(pairs, values[..., 0], values[..., 1])
            self._waiting = {}
        return self._process

    @property
    def units(self) -> FloatArray:
        """[P] units with a value."""
        return self._units

    def win_rate(self, pair: int) -> tuple[float, float, float] | None:
        """Share of wins of a pair's first model with limits, all pairs and times at once; None before any unit."""
        if not self._units[pair]:
            return None
        self._refresh([pair])
        return float(self._won[pair] / self._units[pair]), float(self._limits[pair, 0]), float(self._limits[pair, 1])

    def ranking(self) -> Ranking:
        """What the units so far show."""
        beats, before = self._claims()
        needed = self._needed(before)
        elo = self._elo() if self.goal.kind == "elo" else None
        fits = elo is None or bool((elo[:, 0] <= elo[:, 1]).all())
        if elo is not None and fits and (elo[:, 1] - elo[:, 0] <= 2 * self.goal.amount).all():
            needed[:] = False
        above, below = before.sum(axis=0), before.sum(axis=1)
        both = (before & before.T).sum(axis=0)  # in a cycle: neither excludes a rank
        reach = self._in_reach()
        why: dict[tuple[int, int], Why] = {}
        for i, j in np.argwhere(needed).tolist():
            pair = self.pair(i, j)
            cyclic = before[i, j] and before[j, i] if elo is None else not fits
            why[i, j] = (
                "cycle" if cyclic else "all asked" if not self.left[pair] else "open" if reach[pair] else "out of reach"
            )
        return Ranking(
            beats,
            before,
            1 + above - both,
            self.models - below + both,
            self._fitted(),
            needed,
            why,
            not needed.any(),
            self.level,
            elo,
        )

    def choose(self, most: int) -> list[int]:
        """Up to ``most`` pairs whose next units to ask, one pair several times where that is worth while.

        Empty once the goal is reached, or where no unit that is left could bring it nearer.
        """
        _, before = self._claims()
        needed = self._needed(before)[self.first, self.second]
        needed &= (self.left > 0) & self._in_reach()
        if self.goal.kind != "elo":
            needed &= ~(before & before.T)[self.first, self.second]
        elif needed.any() and set(self.ranking().why.values()) <= {"cycle"}:  # reached, or no ratings fit
            return []
        if not needed.any():
            return []
        if (new := np.flatnonzero(self._opening & (self._units + self.failed == 0) & (self.left > 0))).size:
            return [int(pair) for pair in new[:most]]
        if most < 1:
            return []
        expected = self._expected()
        if self.goal.kind == "elo":
            order = np.argsort(-self._gains(needed), kind="stable")
        else:
            asked = needed & ~self._implied(before, self._hopeful(before, needed, expected))
            needed = asked if asked.any() else needed
            order = np.lexsort((expected, expected > self.left))
        chosen: list[int] = []
        for pair in order[needed[order]].tolist():
            share = max(1, min(int(self.left[pair]), math.ceil(min(expected[pair], 1e6) / SHARE)))
            chosen += [pair] * min(share, most - len(chosen))
            if len(chosen) >= most:
                break
        return chosen

    def _claims(self) -> tuple[BoolArray, BoolArray]:
        """Who beats whom, and who is before whom as it follows; worked out anew only when a pair was decided."""
        peak = self.process.log_peak >= self.threshold
        if self._known is None or not np.array_equal(self._known[0], peak):
            self._known = peak, *self._following(peak)
        return self._known[1:]

    def _following(self, peak: BoolArray) -> tuple[BoolArray, BoolArray]:
        """[M, M] who beats whom, and who is before whom as it follows, where [P, 2] of the pairs are decided."""
        beats = np.zeros((self.models, self.models), dtype=np.bool_)
        beats[self.first, self.second] = peak[:, 0]
        beats[self.second, self.first] = peak[:, 1]
        before = beats.astype(np.float32)
        for _ in range(max(1, math.ceil(math.log2(self.models)))):
            before = np.minimum(before + before @ before, 1.0)
        closed: BoolArray = before > 0
        np.fill_diagonal(closed, False)
        return beats, closed

    def _needed(self, before: BoolArray) -> BoolArray:
        """Undecided pairs [M, M], upper triangle, of which the goal needs some or all."""
        undecided = np.triu(~(before ^ before.T), 1)
        if self.goal.kind == "order":
            return undecided
        if self.goal.kind == "elo":
            return np.triu(np.ones_like(before), 1)
        either = undecided | undecided.T
        if self.goal.kind == "ranks":
            wide = either.sum(axis=0) > self.goal.amount
            result: BoolArray = undecided & (wide[:, None] | wide)
            return result
        size = min(int(self.goal.amount), self.models)
        clear = before & ~before.T
        # By what is claimed, then by what is thought.
        order = np.lexsort((-self._fitted(), clear.sum(axis=0) - clear.sum(axis=1)))
        inside = np.zeros(self.models, dtype=np.bool_)
        inside[order[:size]] = True
        return undecided & (inside[:, None] ^ inside)

    def _in_reach(self) -> BoolArray:
        """[P] whether the questions left could decide a pair, if one of the two won all of them."""
        if self._whole:
            return self.left > 0
        cost = math.log(len(STAKES))
        surely = self.process.log_capital[:, :, 0].max(axis=1) + self.left * math.log1p(STAKES[0]) - cost
        reached: BoolArray = (surely >= self.threshold) & (self.left > 0)
        rest = np.flatnonzero(~reached & (self.left > 0))
        best = self.process.log_capital[rest] + self.left[rest, None, None] * np.log1p(STAKES)
        reached[rest] = (np.logaddexp.reduce(best, axis=-1) - cost >= self.threshold).any(axis=1)
        return reached

    def _fitted(self) -> FloatArray:
        """Shrunk Bradley-Terry ratings [M] in logits, two steps from those of before the last units."""
        if self._rated == (seen := self._units.sum()):
            return self._ratings
        self._rated, size = seen, self.models
        for _ in range(2):
            rate = sigmoid(self._ratings[self.first] - self._ratings[self.second])
            slope = self._won - self._units * rate
            weight = self._units * rate * (1 - rate)
            gradient = totals(self.first, slope, size) - totals(self.second, slope, size) - SHRINKAGE * self._ratings
            curve = np.zeros((size, size))
            curve[self.first, self.second] = curve[self.second, self.first] = -weight
            curve[np.diag_indices(size)] = SHRINKAGE - curve.sum(axis=1)
            self._ratings = self._ratings + np.linalg.solve(curve, gradient)
        self._ratings -= self._ratings.mean()
        return self._ratings

    def _expected(self) -> FloatArray:
        """[P] units that each pair is thought to need until it is decided."""
        ratings = self._fitted()
        belief = sigmoid(ratings[self.first] - ratings[self.second])
        rate = (self._won + BELIEF * belief) / (self._units + BELIEF)
        square = (rate - 0.5) ** 2
        # A pair's variance is the pooled mean square around 1/2 less its own distance from there.
        spread = np.maximum((self._squares + 0.25 * BELIEF) / (self._units.sum() + BELIEF) - square, 0.02)
        growth = square / (2 * (spread + square))
        evidence = self.process.log_evidence
        towards = np.where(rate >= 0.5, evidence[:, 0], evidence[:, 1])
        needed: FloatArray = np.maximum(self.threshold + START_UP - towards, 0.1) / np.maximum(growth, 1e-9)
        if self._whole:  # each draw says more, the fewer are left
            needed = 1 / (1 / needed + 1 / np.maximum(self.left, 1))
        return np.maximum(needed, 1.0)

    def _hopeful(self, before: BoolArray, needed: BoolArray, expected: FloatArray) -> BoolArray:
        """[P] undecided pairs that may be asked and are thought to be decided by the units they have left."""
        asked = needed if self.goal.kind == "top" else ~(before | before.T)[self.first, self.second]
        result: BoolArray = asked & (expected <= self.left)
        return result

    def _implied(self, before: BoolArray, hopeful: BoolArray) -> BoolArray:
        """[P] pairs that will follow from two others that are decided, or are thought to be soon."""
        ahead = np.zeros((self.models, self.models), dtype=np.bool_)
        first_ahead = self._ratings[self.first] >= self._ratings[self.second]
        ahead[self.first, self.second] = hopeful & first_ahead
        ahead[self.second, self.first] = hopeful & ~first_ahead
        steps = (ahead | (before & ~before.T)).astype(np.float32)
        through = steps @ steps > 0
        result: BoolArray = (through | through.T)[self.first, self.second]
        return result

    def _refresh(self, pairs: list[int]) -> None:
        """Limits of win rates, of pairs that had units since."""
        level = 1 - (1 - self.level) / self.first.size
        for pair in pairs:
            if pair not in self._stale:
                continue
            least, most = (np.array(side) for side in zip(*self._values[pair], strict=True))
            now = [len(least)]
            found = (
                confidence_sequence(x, level=level, times=now, population=self._population, stakes=STAKES)
                for x in ((least,) if (least == most).all() else (least, most))
            )
            both = list(found)
            lower, upper = both[0].lower[0], both[-1].upper[0]
            self._limits[pair] = max(self._limits[pair][0], lower), min(self._limits[pair][1], upper)
            self._stale.discard(pair)

    def _bounds(self) -> FloatArray:
        """[M, M] upper limits of rating differences in logits: of pairs, and over all chains of pairs."""
        self._refresh(list(self._stale))
        lower = np.clip(np.where(np.isfinite(self._limits[:, 0]), self._limits[:, 0], 0.0), 0.0, 1.0)
        upper = np.clip(np.where(np.isfinite(self._limits[:, 1]), self._limits[:, 1], 1.0), 0.0, 1.0)
        bound = np.full((self.models, self.models), np.inf)
        with np.errstate(divide="ignore"):
            bound[self.first, self.second] = np.log(upper) - np.log1p(-upper)
            bound[self.second, self.first] = np.log1p(-lower) - np.log(lower)
        np.fill_diagonal(bound, 0.0)
        for middle in range(self.models):  # Floyd and Warshall
            bound = np.minimum(bound, bound[:, middle, None] + bound[middle])
        return bound

    def _elo(self) -> FloatArray:
        """[M, 2] limits of each rating less the mean one, on the Elo scale; crossed where no ratings fit all pairs."""
        bound = self._bounds()
        if (np.diag(bound) < -1e-9).any():  # around a circle, one would be better than itself
            return np.tile((np.inf, -np.inf), (self.models, 1))
        result: FloatArray = np.stack((-bound.mean(axis=0), bound.mean(axis=1)), axis=1) * ELO_PER_LOGIT
        return result

    def _gains(self, needed: BoolArray) -> FloatArray:
        """[P] how much one more unit is thought to narrow the limits of the models that are known least."""
        bound = self._bounds()
        width = bound + bound.T
        wide = np.where(np.isfinite(width), width, 20.0).mean(axis=1)
        rate = sigmoid(self._ratings[self.first] - self._ratings[self.second])
        own = 1 / np.sqrt(np.maximum(rate * (1 - rate), 1e-3) * (self._units + 1))
        narrowed = own * (1 - np.sqrt((self._units + 1) / (self._units + 2)))
        result: FloatArray = np.where(needed, narrowed * (wide[self.first] + wide[self.second]), -np.inf)
        return result


def _opening(models: int) -> BoolArray:
    """[P] pairs that are asked once before anything is guessed: each model with those 1, 2, 4, ... places on."""
    first, second = np.triu_indices(models, 1)
    apart = np.minimum(second - first, models - (second - first))
    result: BoolArray = (apart & (apart - 1)) == 0
    return result
