"""Two judges of pairs beside each other: whom each prefers more often, and how often each agrees with people.

Both are compared on the pairs of answers that both judged. A judge's verdicts on a pair in both orders are one verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from evalkit.decisions.pairing import AGREEMENT, WINS, CommonVerdicts
from evalkit.ratings.comparisons import Comparisons, is_people

if TYPE_CHECKING:
    from evalkit.stats.agreement import Agreement

EVEN = 1e-9
"""Outcomes this close to 1/2 are ties."""


class AnswerPair(NamedTuple):
    """One pair of answers: to one turn of a question, by two models in alphabetical order."""

    question: str
    turn: int
    first: str
    second: str


PeoplesOutcome = Callable[[AnswerPair], float | None]
"""What people say of a pair, 1 where the first is better; None where they say nothing."""


@dataclass(frozen=True)
class _Outcomes:
    """What one judge says, under one protocol."""

    table: Comparisons
    values: dict[AnswerPair, float]
    """1 where the first is better, 0 where the second is."""
    failed: frozenset[AnswerPair]
    """Pairs without any verdict."""
    categories: dict[str, str]
    """By question."""


def pair_judges(
    tables: Sequence[Comparisons], a: str, b: str, people: PeoplesOutcome | None = None
) -> Iterator[CommonVerdicts]:
    """What two judges say of the same pairs: a comparison for each model, and one with people where these voted.

    Of two models there is one comparison, as what one wins the other loses.

    Args:
        tables: of all judges, people too.
        a: the first judge.
        b: the second one.
        people: what people say beyond what is stored.
    """
    for one, other in _of_both(tables, a, b):
        pairs = sorted(one.values.keys() | other.values.keys() | one.failed | other.failed)
        models = sorted({name for pair in pairs for name in pair[2:]})
        for model in models if len(models) > 2 else models[:1]:
            mine = [pair for pair in pairs if model in pair[2:]]
            sides = [[_flipped(side.values.get(pair), pair.first != model) for pair in mine] for side in (one, other)]
            yield _verdicts(one, other, mine, sides, WINS, model)
        stored = _stored(tables, one.table.benchmark)
        said = {pair: outcome for pair in pairs if (outcome := _by_people(pair, people, stored)) is not None}
        clear = [pair for pair in pairs if pair in said and abs(said[pair] - 0.5) > EVEN]
        if clear:
            sides = [[_agrees(side.values.get(pair), said[pair]) for pair in clear] for side in (one, other)]
            yield _verdicts(one, other, clear, sides, AGREEMENT, "people")


def agreement_of(tables: Sequence[Comparisons], a: str, b: str) -> Iterator[tuple[str, str, Agreement, float, float]]:
    """How often two judges give the same verdict: benchmark, protocol, the share, and either judge's share of ties."""
    import numpy as np

    from evalkit.stats.agreement import agreement

    for one, other in _of_both(tables, a, b):
        pairs = sorted(one.values.keys() & other.values.keys())
        if not pairs:
            continue
        labels = [[_label(side.values[pair]) for pair in pairs] for side in (one, other)]
        clusters = np.unique([pair.question for pair in pairs], return_inverse=True)[1].reshape(-1)
        ties = [side.count("tie") / len(side) for side in labels]
        found = agreement(*labels, clusters=clusters)
        yield one.table.benchmark, _protocols(one, other), found, ties[0], ties[1]


def _of_both(tables: Sequence[Comparisons], a: str, b: str) -> Iterator[tuple[_Outcomes, _Outcomes]]:
    """The two judges' outcomes on the same benchmark, under the same protocol if the second has several."""
    usable = [table for table in tables if table.questions]
    mine, others = ([_outcomes(table) for table in usable if table.judge == name] for name in (a, b))
    for one in mine:
        near = [other for other in others if other.table.benchmark == one.table.benchmark]
        for other in near:
            if len(near) > 1 and other.table.protocol != one.table.protocol:
                continue
            if (one.values.keys() | one.failed) & (other.values.keys() | other.failed):
                yield one, other


def _outcomes(table: Comparisons) -> _Outcomes:
    totals: dict[AnswerPair, list[float]] = {}
    categories: dict[str, str] = {}
    columns = zip(
        table.question.tolist(),
        table.turn.tolist(),
        table.a.tolist(),
        table.b.tolist(),
        table.outcome.tolist(),
        table.weight.tolist(),
        table.category.tolist(),
        strict=True,
    )
    for question, turn, first, second, outcome, weight, category in columns:
        pair, turned = _pair(table, question, turn, first, second)
        total = totals.setdefault(pair, [0.0, 0.0])
        total[0] += weight * (1 - outcome if turned else outcome)
        total[1] += weight
        categories[pair.question] = table.categories[category] if table.categories else ""
    failed = set()
    for row in table.failed:
        if min(row.question, row.a, row.b) >= 0:
            pair, _ = _pair(table, row.question, row.turn, row.a, row.b)
            failed.add(pair)
            if table.categories and row.category >= 0:
                categories.setdefault(pair.question, table.categories[row.category])
    values = {pair: total / weight for pair, (total, weight) in totals.items() if weight > 0}
    return _Outcomes(table, values, frozenset(failed - values.keys()), categories)


def _pair(table: Comparisons, question: int, turn: int, first: int, second: int) -> tuple[AnswerPair, bool]:
    """The pair with its models in alphabetical order, and whether that turns them round."""
    one, other = table.models[first], table.models[second]
    turned = other < one
    return AnswerPair(str(table.questions[question]), turn, *((other, one) if turned else (one, other))), turned


def _stored(tables: Sequence[Comparisons], benchmark: str) -> dict[AnswerPair, float]:
    """What people's stored votes say, all of them together where they are."""
    found = [table for table in tables if is_people(table.judge) and table.benchmark == benchmark and table.questions]
    result: dict[AnswerPair, float] = {}
    for table in sorted(found, key=lambda one: one.judge):
        for pair, value in _outcomes(table).values.items():
            result.setdefault(pair, value)
    return result


def _by_people(pair: AnswerPair, told: PeoplesOutcome | None, stored: dict[AnswerPair, float]) -> float | None:
    found = told(pair) if told is not None else None
    return stored.get(pair) if found is None else found


def _flipped(outcome: float | None, turned: bool) -> float | None:
    return None if outcome is None else 1 - outcome if turned else outcome


def _agrees(outcome: float | None, people: float) -> float | None:
    """1 where a judge prefers whom people prefer, 1/2 where it sees a tie."""
    if outcome is None:
        return None
    return 0.5 if abs(outcome - 0.5) <= EVEN else float((outcome > 0.5) == (people > 0.5))


def _label(outcome: float) -> str:
    return "tie" if abs(outcome - 0.5) <= EVEN else "first" if outcome > 0.5 else "second"


def _protocols(one: _Outcomes, other: _Outcomes) -> str:
    return ", ".join(dict.fromkeys((one.table.protocol, other.table.protocol)))


def _verdicts(
    one: _Outcomes,
    other: _Outcomes,
    pairs: Sequence[AnswerPair],
    sides: Sequence[Sequence[float | None]],
    kind: str,
    about: str,
) -> CommonVerdicts:
    """Both judges' values on these pairs, in percentage points."""
    import numpy as np

    points = [np.array([np.nan if value is None else 100 * value for value in side]) for side in sides]
    questions = list(dict.fromkeys(pair.question for pair in pairs))
    known = other.categories | one.categories
    categories = sorted({known.get(question, "") for question in questions})
    question = {name: place for place, name in enumerate(questions)}
    category = {name: place for place, name in enumerate(categories)}
    return CommonVerdicts(
        one.table.benchmark,
        "",
        _protocols(one, other),
        one.table.judge,
        other.table.judge,
        kind,
        points[0],
        points[1],
        np.array([[pair in one.failed, pair in other.failed] for pair in pairs]).reshape(len(pairs), 2),
        np.array([question[pair.question] for pair in pairs], dtype=np.int64),
        np.array([pair.turn for pair in pairs], dtype=np.int64),
        np.array([category[known.get(pair.question, "")] for pair in pairs], dtype=np.int64),
        tuple(questions),
        tuple(categories),
        (0.0, 100.0),
        pooled=True,
        about=about,
    )
