"""Lines of the viewer's table: what a case says, in words, and where it opens."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from evalkit.app.filters import CaseFilter
from evalkit.app.results import OpenResults
from evalkit.app.server import natural
from evalkit.core.text import plain

if TYPE_CHECKING:
    from evalkit.stats.arrays import IntArray

BEGIN = 110
"""Characters of a question in the table."""


@dataclass(frozen=True)
class CaseLine:
    """One line of the table."""

    case: int
    href: str
    benchmark: str
    item: str
    asked: str
    category: str
    turn: int
    models: tuple[str, ...]
    judge: str
    verdict: str
    tone: str
    """good, bad, even, or failed."""
    people: str
    marks: tuple[str, ...]
    judgments: int
    length: int
    change: str = ""
    """Since another run."""


def lines(results: OpenResults, cases: IntArray, wanted: CaseFilter) -> list[CaseLine]:
    """The lines of some cases."""
    earlier = results.cases.elsewhere(results.chooser.run(wanted.moved)) if wanted.moved else None
    found = []
    for case in cases.tolist():
        change = ""
        if earlier is not None and math.isfinite(earlier[case]):
            change = f"{earlier[case]:.3g} → {results.cases.value[case]:.3g}"
        found.append(line(results, case, wanted, change))
    return found


def line(results: OpenResults, case: int, wanted: CaseFilter, change: str = "") -> CaseLine:
    """One line."""
    cases, names = results.cases, results.cases.names
    question = names.questions[int(cases.item[case])]
    models = [names.models[one] for one in names.shown[int(cases.shown[case])]]
    labels = tuple(results.model_label(model) for model in models)
    item = results.texts.question(question.benchmark, question.item)
    asked = " ".join(plain(item.turns[min(int(cases.turn[case]), len(item.turns)) - 1])[:BEGIN].split()) if item else ""
    failed = int(cases.failed[case])
    value = float(cases.value[case])
    marks = []
    if failed:
        marks.append(f"{failed} failed")
    if cases.orders_disagree[case]:
        marks.append("orders disagree")
    if cases.people_disagree[case]:
        marks.append("people disagree")
    verdict, tone = said(
        value, labels, pair=bool(cases.pair[case]), failed=failed, standing=float(cases.standing[case])
    )
    people = ""
    if math.isfinite(cases.people[case]) and not cases.person[case]:
        people = said(float(cases.people[case]), labels, pair=True)[0] if cases.pair[case] else _grade(results, case)
    return CaseLine(
        case=case,
        href=case_query(question.benchmark, question.item, labels, wanted),
        benchmark=question.benchmark,
        item=question.item,
        asked=asked,
        category=question.category,
        turn=int(cases.turn[case]),
        models=labels,
        judge=results.judge_label(names.judges[int(cases.judge[case])]),
        verdict=verdict,
        tone=tone,
        people=people,
        marks=tuple(marks),
        judgments=int(cases.judgments[case]),
        length=int(cases.length[case]),
        change=change,
    )


def _grade(results: OpenResults, case: int) -> str:
    """People's mean grade of the answer that a case is about."""
    cases = results.cases
    there = (cases.match == cases.match[case]) & cases.person
    values = [value for value in cases.value[there].tolist() if math.isfinite(value)]
    return f"{sum(values) / len(values):.3g}" if values else ""


def said(
    value: float, models: tuple[str, ...], *, pair: bool, failed: int = 0, standing: float = 0.5
) -> tuple[str, str]:
    """A value in words, and its tone."""
    if not math.isfinite(value):
        return ("no verdict", "failed") if failed else ("more than two answers", "even")
    if not pair:
        return f"{value:.3g}", "good" if standing > 2 / 3 else "bad" if standing < 1 / 3 else "even"
    if abs(value - 0.5) < 1e-9:
        return "tie", "even"
    winner, share = (models[0], value) if value > 0.5 else (models[1], 1 - value)
    return (f"{winner} wins" if share > 1 - 1e-9 else f"{winner} wins, {share:.2f}"), "good"


def case_query(benchmark: str, item: str, models: Iterable[str], wanted: CaseFilter) -> str:
    """The address at which a case opens, among those that a filter shows."""
    place = urlencode([("of", benchmark), ("item", item), *(("m", model) for model in models)])
    more = wanted.query(page="")
    return f"case?{place}" + (f"&{more}" if more else "")


@dataclass(frozen=True)
class Choice:
    """What a filter may be set to."""

    benchmarks: list[str]
    categories: list[str]
    models: list[str]
    judges: list[str]
    runs: list[str]
    kinds: list[str]
    labels: list[str]


def choices(results: OpenResults) -> Choice:
    """What there is to choose from."""
    names = results.cases.names
    return Choice(
        benchmarks=sorted({question.benchmark for question in names.questions}, key=natural),
        categories=sorted({question.category for question in names.questions}, key=natural),
        models=sorted({model.name for model in names.models}, key=natural),
        judges=sorted({judge.name for judge in names.judges}, key=natural),
        runs=names.roots,
        kinds=names.kinds,
        labels=sorted(names.labels, key=natural)[:60],
    )
