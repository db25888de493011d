"""What people say of the same two models: the labels that correct a judge's difference, and whether they carry over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.decisions.pairing import PREFERENCE, SCORE, CommonVerdicts
from evalkit.evidence.gather import Grade, Vote
from evalkit.ratings.judgment_columns import ANONYMOUS_RATERS, groups_of_people

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.resample import Interval

FEWEST_LABELLED = 10
"""Questions with labels below which a judge is not corrected: two in ten that contradict it are chance."""
UNLIKE = 2.58
"""Standard errors between the judge's differences with and without labels that a random choice exceeds 1 in 100."""


@dataclass(frozen=True)
class PeopleSaid:
    """Differences between two models as people see them, by question and turn."""

    kind: str
    """Of points, or of grades on the people's own scale."""
    by_cell: dict[tuple[str, int], float]
    limits: tuple[float, float] | None
    """Of a difference."""
    apart: tuple[str, ...] = ()
    """Groups of people who are not counted with the largest one."""


@dataclass(frozen=True)
class CorrectedDifference:
    """A judge's difference after correction by people's labels, or why there is none.

    Attributes:
        interval: First minus second as people would see it; None where the labels do not carry over.
        classical: By the labels alone.
        naive: By the judge alone, on all questions.
        labelled: Cells with labels.
        unlabelled: Cells with a verdict of the judge alone.
        power: How far the judge was believed, 0 to 1.
        refused: Why there is no correction; None where there is one.
        apart: Groups of people whose labels are not counted.
    """

    kind: str
    interval: Interval | None
    classical: Interval | None
    naive: float
    labelled: int
    unlabelled: int
    power: float | None = None
    refused: str | None = None
    apart: tuple[str, ...] = ()


def stored_labels(found: Sequence[CommonVerdicts], of: CommonVerdicts) -> PeopleSaid | None:
    """What people said of the same two on the same benchmark; grades where there are both."""
    import numpy as np

    for kind in (SCORE, PREFERENCE):
        for one in found:
            if not (one.people and one.judge == "human" and one.kind == kind and one.benchmark == of.benchmark):
                continue
            if (one.a, one.b) != (of.a, of.b):
                continue
            gap = one.first - one.second
            cells = {
                (one.questions[question], turn): value
                for question, turn, value in zip(one.question.tolist(), one.turn.tolist(), gap.tolist(), strict=True)
                if np.isfinite(value)
            }
            if cells:
                span = None if one.limits is None else one.limits[1] - one.limits[0]
                others = (other for other in found if other.people and other.benchmark == of.benchmark)
                apart = {other.judge.removeprefix("human: "): None for other in others if other.judge != "human"}
                return PeopleSaid(kind, cells, None if span is None else (-span, span), tuple(apart))
    return None


def counted_labels(rows: Iterable[Vote | Grade]) -> tuple[list[Vote | Grade], tuple[str, ...]]:
    """The labels of a file that count, as of stored ones, and the groups of people whose labels do not.

    The largest group counts, of each person the last word. Names that differ only in a number at the end are one group;
    of people without a name every label counts.
    """
    last: dict[tuple[object, ...], Vote | Grade] = {}
    for number, row in enumerate(rows):
        about = (row.model,) if isinstance(row, Grade) else (frozenset((row.model_a, row.model_b)),)
        alone = number if row.annotator in ANONYMOUS_RATERS else -1
        last[(row.annotator, row.item, row.turn, *about, alone)] = row
    by_person = Counter(row.annotator for row in last.values())
    groups = dict(groups_of_people(by_person))
    sizes = {stem: sum(by_person[name] for name in members) for stem, members in groups.items()}
    largest, *others = sorted(sizes, key=lambda stem: -sizes[stem]) or [""]
    members = set(groups.get(largest, ()))
    return [row for row in last.values() if row.annotator in members], tuple(stem or "others" for stem in others)


def file_labels(votes: Iterable[Vote | Grade], a: str, b: str) -> PeopleSaid | None:
    """What the votes or grades of a file say of these two; grades where there are both."""
    points: dict[tuple[str, int], list[float]] = {}
    grades: dict[tuple[str, int, str], list[float]] = {}
    for row in votes:
        if isinstance(row, Grade):
            grades.setdefault((row.item, row.turn, row.model), []).append(row.score)
        elif {row.model_a, row.model_b} == {a, b}:
            outcome = row.outcome if row.model_a == a else 1 - row.outcome
            points.setdefault((row.item, row.turn), []).append(200 * outcome - 100)
    both = {
        key[:2]: _mean(values) - _mean(grades[(*key[:2], b)])
        for key, values in grades.items()
        if key[2] == a and (*key[:2], b) in grades
    }
    if both:
        return PeopleSaid(SCORE, both, None)
    return PeopleSaid(PREFERENCE, {key: _mean(one) for key, one in points.items()}, (-100.0, 100.0)) if points else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def corrected(verdicts: CommonVerdicts, people: PeopleSaid) -> CorrectedDifference:
    """The difference that people would see over all questions, from their labels and the judge's verdicts.

    Refused where fewer than 10 questions have labels, where whole declared categories have none, and where the judge's
    own difference on the labelled questions is unlike that on the rest: then the labels are no random part of them.
    """
    import numpy as np

    from evalkit.stats.ppi import ppi_mean

    gap = verdicts.first - verdicts.second
    there = np.isfinite(gap)
    keys = [
        (verdicts.questions[question], turn)
        for question, turn in zip(verdicts.question.tolist(), verdicts.turn.tolist(), strict=True)
    ]
    label = np.array([people.by_cell.get(key, np.nan) for key in keys])
    with_label, without = there & np.isfinite(label), there & np.isnan(label)
    naive = float(gap[there].mean()) if there.any() else 0.0
    counts = int(with_label.sum()), int(without.sum())
    reason = _refusal(verdicts, gap, with_label, without)
    if reason is not None:
        return CorrectedDifference(people.kind, None, None, naive, *counts, refused=reason, apart=people.apart)
    limits = people.limits
    question = verdicts.question
    alone = ppi_mean(
        label[with_label], gap[with_label], gap[without], clusters=question[with_label],
        unlabelled_clusters=question[without], power=0, limits=limits,
    ).interval  # fmt: skip
    if not without.any():
        return CorrectedDifference(people.kind, alone, alone, naive, *counts, power=0.0, apart=people.apart)
    got = ppi_mean(
        label[with_label], gap[with_label], gap[without], clusters=question[with_label],
        unlabelled_clusters=question[without], limits=limits,
    )  # fmt: skip
    return CorrectedDifference(people.kind, got.interval, alone, naive, *counts, power=got.power, apart=people.apart)


def _refusal(verdicts: CommonVerdicts, gap: FloatArray, with_label: FloatArray, without: FloatArray) -> str | None:
    import numpy as np

    question = verdicts.question
    labelled = np.unique(question[with_label]).size
    if labelled < FEWEST_LABELLED:
        return f"people's labels are on {labelled} questions that the judge judged; it takes at least {FEWEST_LABELLED}"
    if not without.any():
        return None
    missing = sorted(set(verdicts.category[without].tolist()) - set(verdicts.category[with_label].tolist()))
    if verdicts.declared and missing:
        names = ", ".join(verdicts.categories[code] for code in missing)
        return f"no question of {names} has a label, so nothing is known of the judge's error there"
    means = float(gap[with_label].mean()), float(gap[without].mean())
    size = int(question.max()) + 1
    moved = _influence(question[with_label], gap[with_label] - means[0], size)
    moved -= _influence(question[without], gap[without] - means[1], size)
    error = float(np.sqrt(moved @ moved))
    if abs(means[0] - means[1]) > UNLIKE * error:
        return (
            f"the questions with labels are no random part of all: by the judge, the difference is {means[0]:.2f} "
            f"there and {means[1]:.2f} elsewhere; label questions chosen at random"
        )
    return None


def _influence(question: IntArray, residual: FloatArray, size: int) -> FloatArray:
    import numpy as np

    result: FloatArray = np.bincount(question, residual, size) / max(len(residual), 1)
    return result
