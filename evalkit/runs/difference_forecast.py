"""What a difference of a stated size takes, in a forecast: by what is stored of this benchmark, or of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.protocols import UsageError
from evalkit.decisions import plan_output
from evalkit.decisions.plan import StudyPlan, plan
from evalkit.engine.experiment import Experiment
from evalkit.engine.forecast import Estimate
from evalkit.reports import leaderboard_tables

if TYPE_CHECKING:
    from rich.console import Console

ASSUMED = {1: (1.0, 1.5, 2.0), 2: (50.0, 65.0, 80.0)}
"""Standard deviations between questions that are tried where nothing is stored, by answers shown: of a difference of
scores 1 to 10, in points, and of preferences, in percentage points. Of public judgments of three models by GPT-4o
(WildBench) they are 1.5 to 1.9, of those by GPT-4 on near models (MT-Bench) 59 to 73."""


def show_difference_forecast(
    console: Console, experiment: Experiment, estimates: Sequence[Estimate], results: Path, detect: float
) -> None:
    """Print how many questions, repeats and judges find a difference of this size, and what this run would find.

    Args:
        console: for people.
        experiment: that is forecast.
        estimates: of its models and judges.
        results: folder of all benchmarks' results.
        detect: points of a score, or percentage points of preference.
    """
    shows = {judge.protocol.name: judge.protocol.shows for judge in experiment.judges}
    price = _price_of_a_judgment(estimates)
    for protocol, answers in shows.items():
        if answers not in ASSUMED:
            console.print(f"detect={detect:g}: not known for {protocol}, which shows {answers} answers", markup=False)
            continue
        found = _stored(experiment.benchmark.spec.name, protocol, results, detect, price)
        if not found:
            for text in _assumed(experiment, protocol, answers, detect):
                console.print(text, markup=False, soft_wrap=not console.is_terminal)
            continue
        leaderboard_tables.show(console, plan_output.grids(found))
        for one in found:
            console.print(_of_this_run(experiment, one), markup=False, soft_wrap=not console.is_terminal)


def _stored(benchmark: str, protocol: str, results: Path, detect: float, price: float | None) -> list[StudyPlan]:
    """Plans from what is stored under this protocol: of this benchmark, or else of all others."""
    for place in (results / benchmark, results):
        if not place.is_dir():
            continue
        try:
            found = plan([place], detect, price=price)
        except UsageError:  # nothing there to plan from
            continue
        if mine := [one for one in found if one.protocol == protocol]:
            return mine
    return []


def _price_of_a_judgment(estimates: Iterable[Estimate]) -> float | None:
    judges = [one for one in estimates if one.role == "judge" and one.calls]
    costs = [one.cost for one in judges if one.cost is not None]
    return sum(costs) / sum(one.calls for one in judges) if costs and len(costs) == len(judges) else None


def _of_this_run(experiment: Experiment, one: StudyPlan) -> str:
    """The smallest difference that the questions of this run find."""
    from evalkit.stats.variance_components import size_to_detect

    questions = len(experiment.benchmark.items)
    variance = one.components.of_mean(len(experiment.judges), experiment.repeats)
    size = size_to_detect(variance, questions, power=one.power)
    source = "" if one.benchmark == experiment.benchmark.spec.name else f", by what is stored of {one.benchmark}"
    return (
        f"This run's {_questions(questions)} would find a difference of {size:.2g} {one.unit} {one.power:.0%} of the "
        f"time{source}."
    )


def _questions(count: int) -> str:
    return f"{count:,} question{'s' * (count != 1)}"


def _assumed(experiment: Experiment, protocol: str, answers: int, detect: float) -> list[str]:
    """Forecasts for a few standard deviations, where nothing is stored."""
    from evalkit.stats.variance_components import questions_to_detect, size_to_detect

    unit = "points" if answers == 1 else "percentage points"
    count = len(experiment.benchmark.items)
    said = [
        f"detect={detect:g}: no judgments of two models under {protocol} are stored, so how much their difference "
        "varies between questions is not known."
    ]
    for deviation in ASSUMED[answers]:
        needed = questions_to_detect(deviation**2, detect)
        size = size_to_detect(deviation**2, count)
        said.append(
            f"With a standard deviation of {deviation:g}, {_questions(needed)} find a difference of {detect:g} {unit} "
            f"80% of the time; this run's {_questions(count)} find one of {size:.2g}."
        )
    return [*said, "A small run first (limit=2) tells which."]
