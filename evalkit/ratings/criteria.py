"""Verdicts on criteria -> rows by axis, tag or criterion, which are rated as the rows of single grading are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from evalkit.core.rubric_score import Formula, rubric_score, score_range
from evalkit.core.schema import BOUNDS, CriterionVerdict, Judged

By = Literal["axis", "tag", "criterion"]
FEWEST: Final = 10
"""Answers on which criteria must agree before it is said that they always do."""
BY: Final[tuple[By, ...]] = ("axis", "tag", "criterion")
"""What criteria can be grouped by."""


def rows_by(rows: Iterable[Judged], by: By) -> Iterator[Judged]:
    """Each judgment by a rubric once for each axis, tag or criterion that it says something of.

    The group stands in place of the category, and the score is that of the group's criteria alone, by the formula of
    the whole. Where none of them has a verdict, the row is a failure; where none has positive points, the share of
    points says nothing, and there is no row. Other judgments are passed over.

    Args:
        rows: judgments in the order stored.
        by: how criteria are grouped.
    """
    for row in rows:
        if not row.criteria:
            continue
        formula: Formula = "mean" if (row.label or "").startswith("mean") else "share"
        groups: dict[str, list[CriterionVerdict]] = {}
        for one in row.criteria:
            for name in _groups(one, by):
                groups.setdefault(name, []).append(one)
        for name, verdicts in groups.items():
            judged = [one for one in verdicts if one.value is not None]
            if not judged:
                failure = next(one.error for one in verdicts if one.error is not None)
                yield msgspec.structs.replace(row, category=name, scores=None, label=None, error=failure, criteria=())
                continue
            score = judged[0].value if by == "criterion" else rubric_score(verdicts, formula)
            if score is not None:
                share = judged[0].kind == "yes_no" if by == "criterion" else formula == "share"
                ends = BOUNDS[judged[0].kind] if by == "criterion" else score_range(verdicts, formula)
                yield msgspec.structs.replace(
                    row,
                    category=name,
                    scores=(score,),
                    label=f"share of {name}" if share else f"mean of {name}",
                    error=None,
                    criteria=tuple(verdicts),
                    score_range=ends or msgspec.UNSET,
                )


class Sameness:
    """Which criteria tell no answers apart, and which say what another says; fed with judgments as they pass by."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], dict[str, dict[tuple[str, ...], float]]] = {}

    def watch(self, rows: Iterable[Judged]) -> Iterator[Judged]:
        """Pass judgments on, and remember the verdicts on criteria that answers share."""
        for row in rows:
            if row.criteria:
                place = (row.benchmark, row.judge.name, row.protocol)
                answer = (*row.shown, str(row.turn), str(row.repeat))
                for one in row.criteria:
                    if one.value is not None:
                        self._seen.setdefault(place, {}).setdefault(one.id, {})[answer] = one.value
            yield row

    def sentences(self) -> Iterator[str]:
        """What there is to say, about criteria judged on at least ``FEWEST`` answers.

        The last verdict on each answer counts. Criteria that never vary are named alone, not with each other.
        """
        for (benchmark, judge, protocol), criteria in sorted(self._seen.items()):
            who = f"{benchmark}, {judge} ({protocol})"
            varying = {}
            for name, values in criteria.items():
                if len(values) < FEWEST:
                    continue
                if len(set(values.values())) > 1:
                    varying[name] = values
                else:
                    yield (
                        f"{who}: criterion {name!r} got the same verdict on all {len(values)} answers; it tells none "
                        "of them apart"
                    )
            for names, answers in _together(varying):
                listed = f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r}"
                what = (
                    "one of them says nothing that the other does not" if len(names) == 2 else "each says what one does"
                )
                yield f"{who}: criteria {listed} went together on all {answers} answers; {what}"


def _together(varying: Mapping[str, Mapping[tuple[str, ...], float]]) -> Iterator[tuple[list[str], int]]:
    """Groups of criteria of which every two have verdicts that tell each other, and on how many answers at least."""
    groups: list[tuple[list[str], int]] = []
    for name in varying:
        for place, (members, answers) in enumerate(groups):
            shared = [_alike(varying[name], varying[other]) for other in members]
            if all(shared):
                groups[place] = ([*members, name], min(answers, *shared))
                break
        else:
            groups.append(([name], len(varying[name])))
    yield from ((members, answers) for members, answers in groups if len(members) > 1)


def _alike(one: Mapping[tuple[str, ...], float], two: Mapping[tuple[str, ...], float]) -> int:
    """How many answers both have a verdict on, where each verdict of one tells the other's; 0 where it does not."""
    shared = one.keys() & two.keys()
    pairs = {(one[answer], two[answer]) for answer in shared}
    together = 1 < len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    return len(shared) if together and len(shared) >= FEWEST else 0


def _groups(one: CriterionVerdict, by: By) -> tuple[str, ...]:
    if by == "tag":
        return one.tags
    if by == "axis":
        return (one.axis,) if one.axis else ()
    return (one.id,)
