"""Two models, or two runs of one, question by question: the paired difference, and what got worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.app.case_table import case_query
from evalkit.app.filters import CaseFilter
from evalkit.app.results import OpenResults
from evalkit.core.protocols import UsageError

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval

MOST = 500
"""Questions listed for a judge."""


@dataclass(frozen=True)
class ComparedModel:
    """What is compared: a model, in one run or in all of them."""

    model: str
    run: str = ""

    @property
    def label(self) -> str:
        """What the model is called on the page."""
        return f"{self.model} (run {self.run})" if self.run else self.model


@dataclass(frozen=True)
class QuestionChange:
    """One question, under one judge."""

    item: str
    turn: int
    category: str
    old: str
    new: str
    difference: float
    href: str


@dataclass(frozen=True)
class JudgedDifference:
    """What one judge, or people, say of the two."""

    judge: str
    interval: Interval
    better: int
    worse: int
    equal: int
    changes: tuple[QuestionChange, ...]
    """Worst first."""
    unit: str


def compared(
    results: OpenResults, old: ComparedModel, new: ComparedModel, wanted: CaseFilter
) -> list[JudgedDifference]:
    """What each judge says of both sides.

    Raises:
        UsageError: a side is not there.
    """
    import numpy as np

    cases, names = results.cases, results.cases.names
    keep = np.zeros(len(cases), dtype=bool)
    keep[results.chooser.chosen(wanted)] = True
    keep &= np.isfinite(cases.value)
    found = []
    judges = sorted({(judge.name, judge.protocol) for judge in names.judges})
    for name, protocol in judges:
        there = keep & cases.by_judge((judge.name, judge.protocol) == (name, protocol) for judge in names.judges)
        for pair in (False, True):
            difference = _pairs if pair else _singles
            one = difference(results, there & (cases.pair == pair), old, new)
            if one is not None:
                found.append(_comparison(results, f"{name} ({protocol})", *one, (old, new), wanted, pair=pair))
    return found


def _is(results: OpenResults, side: ComparedModel) -> BoolArray:
    """Cases of one answer that is a side's."""
    names = results.cases.names
    of_model = results.cases.by_shown(
        any(side.model in (names.models[one].name, results.model_label(names.models[one])) for one in several)
        for several in names.shown
    )
    if not of_model.any():
        known = sorted({results.model_label(model) for model in names.models})
        raise UsageError(f"no judgment is about {side.model[:100]!r}; there are: {', '.join(known[:30])}")
    if not side.run:
        found: BoolArray = of_model
        return found
    run = results.chooser.run(side.run)
    inside: BoolArray = of_model & results.cases.by_judge(judge.root == run for judge in names.judges)
    return inside


def _singles(
    results: OpenResults, there: BoolArray, old: ComparedModel, new: ComparedModel
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray] | None:
    """A case of each shared question and turn; old, new and the difference of their grades."""
    import numpy as np

    cases = results.cases
    both = []
    for side in (old, new):
        chosen = np.flatnonzero(there & _is(results, side))
        key = cases.item[chosen] * 1000 + cases.turn[chosen]
        codes, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        means = np.bincount(inverse, weights=cases.value[chosen]) / np.maximum(np.bincount(inverse), 1)
        both.append((codes, chosen[first], means))
    (codes_a, places, a), (codes_b, _, b) = both
    shared, in_a, in_b = np.intersect1d(codes_a, codes_b, return_indices=True)
    if not shared.size:
        return None
    return places[in_a], a[in_a], b[in_b], b[in_b] - a[in_a]


def _pairs(
    results: OpenResults, there: BoolArray, old: ComparedModel, new: ComparedModel
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray] | None:
    """A case of each question and turn on which the two met; wins of the new one less wins of the old one."""
    import numpy as np

    if old.model == new.model:
        return None
    cases, names = results.cases, results.cases.names
    chosen = np.flatnonzero(there & _is(results, old) & _is(results, new))
    if not chosen.size:
        return None
    second = cases.by_shown(
        len(several) == 2
        and new.model in (names.models[several[1]].name, results.model_label(names.models[several[1]]))
        for several in names.shown
    )
    for_new = np.where(second, 1 - cases.value, cases.value)[chosen]
    return chosen, 1 - for_new, for_new, 2 * for_new - 1


def _comparison(
    results: OpenResults,
    judge: str,
    places: IntArray,
    old: FloatArray,
    new: FloatArray,
    difference: FloatArray,
    sides: tuple[ComparedModel, ComparedModel],
    wanted: CaseFilter,
    *,
    pair: bool,
) -> JudgedDifference:
    import numpy as np

    from evalkit.stats.resample import cluster_mean

    cases, names = results.cases, results.cases.names
    question = np.unique(cases.item[places], return_inverse=True)[1].astype(np.int64)
    limits = (-1.0, 1.0) if pair else None
    interval = cluster_mean(difference, question, limits=limits, resamples=2000)
    order = np.argsort(difference, kind="stable")[:MOST]
    changes = []
    for at in order.tolist():
        asked = names.questions[int(cases.item[places[at]])]
        models = dict.fromkeys((sides[0].model, sides[1].model))
        changes.append(
            QuestionChange(
                item=asked.item,
                turn=int(cases.turn[places[at]]),
                category=asked.category,
                old=f"{old[at]:.3g}",
                new=f"{new[at]:.3g}",
                difference=float(difference[at]),
                href=case_query(asked.benchmark, asked.item, models, wanted),
            )
        )
    return JudgedDifference(
        judge=judge,
        interval=interval,
        better=int((difference > 1e-9).sum()),
        worse=int((difference < -1e-9).sum()),
        equal=int((np.abs(difference) <= 1e-9).sum()),
        changes=tuple(changes),
        unit="preference, from -1 to 1" if pair else "points",
    )
