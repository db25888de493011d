"""Studies whose truth is known: models on questions, judged in both orders and voted on, with planted effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import sigmoid


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What a study is drawn from; effects are in logits of the judge."""

    abilities: tuple[float, ...] = (0.4, -0.4)
    question_effect: float = 0.7
    """Standard deviation of an answer's quality around its model's ability, shared by all pairs of the question."""
    categories: int = 1
    sharpness: float = 2.0
    ties: float = 0.1
    position: float = 0.0
    position_by_category: tuple[float, ...] = (0.0,)
    position_by_gap: float = 0.0
    """Favours the first answer only where quality differs by less than .5."""
    position_by_question: float = 0.0
    """Standard deviation of the favour of the first answer between questions."""
    length: float = 0.0
    own: float = 0.0
    """What the judge adds to answers of model 0."""
    missing: float = 0.0
    missing_worst: float = 0.0
    """Share of each model's worst answers that are not there."""
    annotators: tuple[float, ...] = (1.5, 1.5, 1.5)
    """Sharpness of each."""


@dataclass(frozen=True, eq=False)
class Study:
    """Battles, one row each: question, models a and b in the order shown, the judge's outcome and people's."""

    question: np.ndarray
    category: np.ndarray
    a: np.ndarray
    b: np.ndarray
    outcome: np.ndarray
    votes: np.ndarray
    """[N, annotators] outcome by each person."""
    length: np.ndarray
    """[N] standardised length difference."""


def study(rng: np.random.Generator, planted: Planted, questions: int) -> Study:
    """Draw a study: every pair of models on every question, in both orders."""
    models = len(planted.abilities)
    category = np.arange(questions) % planted.categories
    good = np.array(planted.abilities) + planted.question_effect * rng.normal(size=(questions, models))
    length = rng.normal(size=(questions, models))
    there = rng.random((questions, models)) >= planted.missing
    worst = np.quantile(good, planted.missing_worst, axis=0) if planted.missing_worst else np.full(models, -np.inf)
    there &= good >= worst
    favour = planted.position + np.array(planted.position_by_category)[category % len(planted.position_by_category)]
    favour = favour + planted.position_by_question * rng.normal(size=questions)
    first, second = np.array([(i, j) for i in range(models) for j in range(models) if i != j]).T
    question = np.repeat(np.arange(questions), first.size)
    a, b = np.tile(first, questions), np.tile(second, questions)
    keep = there[question, a] & there[question, b]
    question, a, b = question[keep], a[keep], b[keep]
    gap, longer = good[question, a] - good[question, b], length[question, a] - length[question, b]
    said = planted.sharpness * gap + planted.length * longer + planted.own * ((a == 0) * 1.0 - (b == 0))
    said = said + favour[question] + planted.position_by_gap * (np.abs(gap) < 0.5)

    def verdict(logit: np.ndarray) -> np.ndarray:
        won = (rng.random(logit.size) < sigmoid(logit)).astype(float)
        return np.where(rng.random(logit.size) < planted.ties, 0.5, won)

    votes = np.column_stack([verdict(sharp * gap) for sharp in planted.annotators])
    return Study(question, category, a, b, verdict(said), votes, longer)


ADVANTAGE = np.array([-1.8, -0.6, 0.6, 1.8])
"""Of model 0 in each category, in logits: it is good at some of them."""


def battles_by_category(
    rng: np.random.Generator, questions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Models a and b of three, outcome, question and category of battles, two a pair and question [N each]."""
    best, second = np.triu_indices(3, 1)
    category = np.arange(questions) % ADVANTAGE.size
    good = np.array([0.3, 0.0, -0.3]) + 0.5 * rng.normal(size=(questions, 3))
    good[:, 0] += ADVANTAGE[category]
    a, b = np.tile(np.repeat(best, 2), questions), np.tile(np.repeat(second, 2), questions)
    question = np.repeat(np.arange(questions), 2 * best.size)
    won = rng.random(a.size) < sigmoid(good[question, a] - good[question, b])
    return a, b, won.astype(float), question, category[question]


def scores(rng: np.random.Generator, setting: str, questions: int, turns: int = 2) -> np.ndarray:
    """[Q, turns] scores from 1 to 10 that share the question's difficulty."""
    return np.clip(SHAPES[setting](rng, (questions, turns), rng.normal(size=(questions, 1))), 1, 10)


Size = tuple[int, int]


def _whole(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 1, 10)


def _skewed(rng: np.random.Generator, size: Size, hard: np.ndarray) -> np.ndarray:
    return np.where(rng.random(size) < sigmoid(hard * 1.5 - 1.9), 3.0, 8.0)


def _ceiling(rng: np.random.Generator, size: Size, hard: np.ndarray) -> np.ndarray:
    return np.where(rng.random(size) < 0.06, rng.integers(2, 6, size), 10).astype(float)


def _high(rng: np.random.Generator, size: Size, hard: np.ndarray) -> np.ndarray:
    bad = np.clip(np.round(rng.uniform(1, 5, size)), 1, 5)
    return np.where(rng.random(size) < 0.1, bad, _whole(9 + 0.7 * rng.normal(size=size)))


def _refusals(rng: np.random.Generator, size: Size, hard: np.ndarray) -> np.ndarray:
    good = _whole(8.5 + 0.8 * rng.normal(size=size))
    return np.where(rng.random((size[0], 1)) < 0.05, 1.0, good)


def _low(rng: np.random.Generator, size: Size, hard: np.ndarray) -> np.ndarray:
    return _whole(1 + rng.exponential(0.8, (size[0], 1)) + rng.exponential(0.6, size))


def _one_in_twelve(rng: np.random.Generator, size: Size, hard: np.ndarray) -> np.ndarray:
    return np.where(rng.random((size[0], 1)) < 1 / 12, rng.integers(1, 5, size), 9) + rng.random(size)


SHAPES: dict[str, Callable[[np.random.Generator, Size, np.ndarray], np.ndarray]] = {
    "mid-scale": lambda rng, size, hard: 5.5 + 1.5 * hard + rng.normal(size=size),
    "whole numbers": lambda rng, size, hard: _whole(6.5 + 1.2 * hard + 1.2 * rng.normal(size=size)),
    "skewed": _skewed,
    "ceiling": _ceiling,
    "high": _high,
    "two humps": lambda rng, size, hard: np.where(hard + rng.normal(size=size) > 0, 9.0, 1.0),
    "lone ones": lambda rng, size, hard: np.where(rng.random(size) < 0.04, 1.0, 10.0),
    "refusals": _refusals,
    "one in twelve fails": _one_in_twelve,
    "long tail": lambda rng, size, hard: _whole(10 - np.exp(-0.5 + hard + 0.5 * rng.normal(size=size))),
    "low": _low,
    "heavy tails": lambda rng, size, hard: 6 + rng.standard_t(3, size=(size[0], 1)) + 0.5 * rng.normal(size=size),
    "seven to nine": lambda rng, size, hard: _whole(8 + 0.6 * hard + 0.4 * rng.normal(size=size)),
    "one in thirty fails": lambda rng, size, hard: np.where(rng.random((size[0], 1)) < 1 / 30, 2.0, 7.5 + 0.8 * hard),
    "either end": lambda rng, size, hard: np.where(rng.random(size) < 0.5 + 0.3 * np.tanh(hard), 9.5, 1.5),
    "one question of many": lambda rng, size, hard: 4 + 0.3 * hard + 5 * (rng.random((size[0], 1)) < 0.1),
    "one question in fifty": lambda rng, size, hard: np.where(rng.random((size[0], 1)) < 0.02, 10.0, 3 + 0.2 * hard),
    "one answer in twenty": lambda rng, size, hard: np.where(rng.random(size) < 0.05, 1.0, 6 + 0.2 * hard),
    "one question in seven": lambda rng, size, hard: np.where(rng.random((size[0], 1)) < 1 / 7, 1.5, 5.5 + 0.3 * hard),
}
"""Scores of a question's turns, before they are cut to the scale, by what they look like."""


def wins(rng: np.random.Generator, rate: float, questions: int, rows: int = 1, alike: float = 0.5) -> np.ndarray:
    """[Q, rows] outcomes of 0 or 1; this part of the rows is a copy of the question's own outcome."""
    own = rng.random((questions, 1)) < rate
    return np.where(rng.random((questions, rows)) < alike, own, rng.random((questions, rows)) < rate).astype(float)
