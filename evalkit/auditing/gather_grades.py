"""Scores that people gave single answers, and the judge's scores of the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.auditing.evidence import Grades, Scores
from evalkit.auditing.gather import Gathering

if TYPE_CHECKING:
    from evalkit.stats.arrays import IntArray


@dataclass(frozen=True, eq=False)
class Given:
    """Scores by people, and which answer each is of."""

    grades: Grades
    response: IntArray
    """[G] -1 where a score names a model only."""


def grades_of(gathering: Gathering) -> Given | None:
    """Every score by people; None where there is none."""
    import numpy as np

    tables = [columns.table(1) for columns in gathering.grades.values()]
    if not tables:
        return None
    codes = np.concatenate([table[0] for table in tables]).astype(np.int64)
    score = np.concatenate([table[1][:, 0] for table in tables])
    grader = np.repeat(np.arange(len(tables)), [len(table[0]) for table in tables])
    keep = np.isfinite(score)
    question, category, turn, _, model, _, response = codes[keep].T
    answer = np.unique(np.stack([question, turn, model, response], axis=1), axis=0, return_inverse=True)[1]
    grades = Grades(
        answer=answer.reshape(-1),
        model=model,
        question=question,
        category=category,
        turn=turn,
        grader=grader[keep],
        score=score[keep],
        judged=np.full(int(keep.sum()), np.nan),
    )
    return Given(grades, response) if len(grades) else None


def graded(given: Given, scores: Scores, responses: Sequence[str], texts: Mapping[str, tuple[str, ...]]) -> Grades:
    """The same with the judge's scores: of the very answer, or of the model's where one side names no stored answer."""
    import numpy as np

    order = np.argsort(-scores.repeat, kind="stable")  # the first repeat is written last
    order = order[np.isfinite(scores.score[order])]
    listed = (scores.question, scores.turn, scores.model, scores.response, scores.score)
    exact: dict[tuple[int, int, int], float] = {}
    by_model: dict[tuple[int, int, int], tuple[int, float]] = {}
    for question, turn, model, response, score in zip(*(column[order].tolist() for column in listed), strict=True):
        exact[question, turn, response] = score
        by_model[question, turn, model] = response, score

    def stored(response: int) -> bool:
        return response >= 0 and responses[response] in texts

    grades = given.grades
    judged = np.full(len(grades), np.nan)
    asked = (grades.question, grades.turn, grades.model, given.response)
    for row, (question, turn, model, response) in enumerate(zip(*(column.tolist() for column in asked), strict=True)):
        other = by_model.get((question, turn, model))
        if (question, turn, response) in exact:
            judged[row] = exact[question, turn, response]
        elif other is not None and not (stored(response) and stored(other[0])):
            judged[row] = other[1]
    return replace(grades, judged=judged)
