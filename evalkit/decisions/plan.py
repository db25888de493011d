"""How many questions, repeats and judges show a difference of a given size, by what stored verdicts vary with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judgment
from evalkit.ratings.battle_table import is_battle_table
from evalkit.ratings.judgment_columns import outcome_of, rater_kind
from evalkit.ratings.standing import named
from evalkit.storage.results import judgment_logs

if TYPE_CHECKING:
    from evalkit.stats.variance_components import VarianceComponents

MODELS = 8
"""Models whose pairs are looked at: those judged most."""
REPEATS, JUDGES = (1, 2, 3, 5), (1, 2, 3)
"""What is tried."""


@dataclass(frozen=True)
class Design:
    """One way to see the difference."""

    judges: int
    repeats: int
    questions: int
    judgments: int
    """For both models, or of both orders, of all questions."""
    cost: float | None
    """US dollars of judging; None where stored judgments have no price."""


@dataclass(frozen=True)
class StudyPlan:
    """What a difference of a size takes, on one benchmark under one protocol."""

    benchmark: str
    protocol: str
    detect: float
    power: float
    unit: str
    components: VarianceComponents
    pairs: int
    """Pairs of models behind the components."""
    judges: tuple[str, ...]
    designs: tuple[Design, ...]
    """The cheapest first."""

    @property
    def best(self) -> Design:
        """The cheapest; of equal cost that with fewer judges and repeats."""
        return self.designs[0]

    def sentences(self) -> list[str]:
        """What it takes, and what is not known."""
        best, known = self.best, self.components
        verdicts = "1 verdict" if best.judges * best.repeats == 1 else (
            f"{best.judges} judge{'s' * (best.judges > 1)}, {best.repeats} verdict{'s' * (best.repeats > 1)} of each"
        )  # fmt: skip
        more = best.questions - known.n
        have = f"there are {known.n}, so {more:,} more" if more > 0 else f"the {known.n} there are suffice"
        price = "" if best.cost is None else f", about ${best.cost:.2f} of judging"
        said = [
            f"To find a difference of {self.detect:g} {self.unit} {self.power:.0%} of the time (95% interval, paired): "
            f"{best.questions:,} questions, {verdicts} on each ({have}); {best.judgments:,} judgments{price}."
        ]
        if known.repeats is None:
            said.append("Not known: what asking again would gain, as no verdict was repeated (`repeats=2` does).")
        if known.judges is None:
            said.append("Not known: what more judges would gain, as no question was judged by two.")
        return said


def plan(
    paths: Iterable[Path], detect: float, *, power: float = 0.8, judge: str | None = None, price: float | None = None
) -> list[StudyPlan]:
    """A plan for each benchmark and protocol that is stored.

    Args:
        paths: results.
        detect: size of the difference: points of a score, or percentage points of preference.
        power: chance to find it.
        judge: only by this judge.
        price: US dollars of a judgment; as stored judgments cost unless given.

    Raises:
        UsageError: nothing to plan from, or options that make no sense.
    """
    from evalkit.stats.errors import NotMeasurable

    if not 0 < detect < float("inf"):
        raise UsageError(f"--detect is the size of a difference, above 0, not {detect:g}")
    if not 0 < power < 1:
        raise UsageError(f"--power must be between 0 and 1, not {power:g}")
    listed = list(paths)
    if tables := [str(path) for path in listed if is_battle_table(path)]:
        raise UsageError(
            f"{named(tables)}: a table of battles does not say what repeats and judges add; take it in with `evalkit "
            "import battles FILE`, and name the results folder"
        )
    result, reasons = [], []
    for (benchmark, protocol, shows), stored in sorted(_read(listed, judge).items()):
        try:
            result.append(_planned(benchmark, protocol, shows, stored, detect, power, price))
        except NotMeasurable as error:
            reasons.append(f"{benchmark} ({protocol}): {error.reason}")
    if not result:
        why = "; ".join(reasons) or "no judgments of two models on the same questions"
        raise UsageError(f"nothing to plan from in {', '.join(map(str, listed))}: {why}")
    return result


@dataclass
class _Stored:
    """Verdicts under one protocol."""

    values: dict[tuple[str, str, str, int], dict[tuple[str, int], list[float]]]
    """By judge, question, model or pair of models and repeat: by turn (and order) the verdicts."""
    costs: list[float]
    rows: int = 0


def _read(paths: list[Path], judge: str | None) -> dict[tuple[str, str, int], _Stored]:
    found: dict[tuple[str, str, int], _Stored] = {}
    for log in judgment_logs(paths):
        for row in log:
            if row.scores is None or rater_kind(row.judge) != "judge" or judge not in (None, row.judge.name):
                continue
            key = (row.benchmark, row.protocol, len(row.shown))
            if key[2] in (1, 2):
                _enter(found.setdefault(key, _Stored({}, [])), row)
    return found


def _enter(stored: _Stored, row: Judgment) -> None:
    names = tuple(model.name for model in row.models)
    assert row.scores is not None
    if len(names) == 1:
        about, value = names[0], row.scores[0]
    else:
        if names[0] == names[1]:
            return
        points = 200 * outcome_of((row.scores[0], row.scores[1])) - 100
        first, second = sorted(names)
        about, value = f"{first}\n{second}", points if names[0] == first else -points
    key = (row.judge.name, row.item, about, row.repeat)
    stored.values.setdefault(key, {}).setdefault((row.shown[0] if len(names) == 2 else "", row.turn), []).append(value)
    stored.rows += 1
    if row.cost is not None:
        stored.costs.append(row.cost)


def _differences(stored: _Stored, shows: int) -> Iterator[tuple[float, str, str, str]]:
    """Difference, pair, question and judge: a row for each repeat."""
    means = {key: [sum(one) / len(one) for one in turns.values()] for key, turns in stored.values.items()}
    level = {key: sum(values) / len(values) for key, values in means.items()}
    if shows == 2:
        yield from ((value, about, item, judge) for (judge, item, about, _), value in level.items())
        return
    counts: dict[str, int] = {}
    for _, _, model, _ in level:
        counts[model] = counts.get(model, 0) + 1
    models = sorted(counts, key=lambda name: (-counts[name], name))[:MODELS]
    for judge, item, repeat in dict.fromkeys((judge, item, repeat) for judge, item, _, repeat in level):
        for a, b in itertools.combinations(models, 2):
            one, other = level.get((judge, item, a, repeat)), level.get((judge, item, b, repeat))
            if one is not None and other is not None:
                yield one - other, f"{a}\n{b}", item, judge


def _planned(
    benchmark: str, protocol: str, shows: int, stored: _Stored, detect: float, power: float, price: float | None
) -> StudyPlan:
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.variance_components import questions_to_detect, variance_components

    rows = list(_differences(stored, shows))
    if not rows:
        raise NotMeasurable("needs two models judged on the same questions")
    values = np.array([row[0] for row in rows])
    codes = [np.unique([row[place] for row in rows], return_inverse=True) for place in (1, 2, 3)]
    found = variance_components(values, *(code[1].reshape(-1) for code in codes))
    judges = tuple(str(name) for name in codes[2][0])
    # Judgments of one question by one judge once: of a pair both orders, of scores both models and all turns.
    once = sum(len(turns) for turns in stored.values.values()) / len(stored.values) * (1 if shows == 2 else 2)
    if price is None and stored.costs:
        price = sum(stored.costs) / len(stored.costs)
    designs = []
    for count in JUDGES if found.judges is not None else (1,):
        for repeats in REPEATS if found.repeats is not None else (1,):
            questions = questions_to_detect(found.of_mean(count, repeats), detect, power=power)
            asked = round(questions * once * count * repeats)
            designs.append(Design(count, repeats, questions, asked, None if price is None else asked * price))
    designs.sort(key=lambda one: (one.judgments, one.judges, one.repeats))
    unit = "points" if shows == 1 else "percentage points"
    return StudyPlan(benchmark, protocol, detect, power, unit, found, len(codes[0][0]), judges, tuple(designs))
