"""Scores of single answers as comparisons of two, by a temperature: as stored, so that every method rates them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judged
from evalkit.ratings.judgment_columns import rater_kind


def scores_as_pairs(judgments: Iterable[Judged], temperature: float) -> Iterator[Judged]:
    """Every two scores of one judge on the same question and turn as a soft preference; other judgments as they are.

    Of a difference of d points the preference is 1/(1 + exp(-d/T)), which counts ties as half
    (``stats.preference_scale``). A score that failed makes its comparisons fail.

    Args:
        judgments: in the order stored; of several on the same answer the last one counts.
        temperature: T, in points of the judge's scale.

    Raises:
        UsageError: the temperature is not above 0.
    """
    if not 0 < temperature < math.inf:
        raise UsageError(
            f"--temperature {temperature:g}: must be above 0, in points of the judge's scale; `evalkit audit` fits one "
            "on labels"
        )
    answers: dict[tuple[object, ...], dict[tuple[str, str], Judged]] = defaultdict(dict)
    for row in judgments:
        if len(row.shown) != 1 or rater_kind(row.judge) != "judge":
            yield row
            continue
        place = (row.benchmark, row.judge, row.protocol, row.item, row.turn, row.repeat)
        answers[place][row.models[0].name, row.shown[0]] = row
    for rows in answers.values():
        listed = list(rows.values())
        for number, second in enumerate(listed):
            for first in listed[:number]:
                if first.models[0].name != second.models[0].name:
                    yield _pair(first, second, temperature)


def _pair(first: Judged, second: Judged, temperature: float) -> Judged:
    """Two scored answers as one comparison."""
    failed = first.error or second.error
    scores = None
    if first.scores is not None and second.scores is not None:
        x = max(-700.0, min(700.0, (first.scores[0] - second.scores[0]) / temperature))
        preferred = 1 / (1 + math.exp(-x))
        scores = (preferred, 1 - preferred)
    return Judged(
        item=first.item,
        benchmark=first.benchmark,
        category=first.category,
        turn=first.turn,
        judge=first.judge,
        protocol=first.protocol,
        shown=first.shown + second.shown,
        models=first.models + second.models,
        lengths=first.lengths + second.lengths if first.lengths and second.lengths else (),
        repeat=first.repeat,
        scores=scores,
        error=failed,
        created=max(first.created, second.created),
    )
