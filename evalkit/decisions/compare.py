"""Is A better than B? Paired by question, whole and by category, with what a difference would have to be to be missed.

Every sentence here has a condition under which it is said, and no other is said beside it: see ``Comparison``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.protocols import UsageError
from evalkit.core.text import limit_digits
from evalkit.datasets.benchmark import in_order
from evalkit.decisions.pair_judges import AnswerPair, agreement_of, pair_judges
from evalkit.decisions.pairing import (
    AGAINST_BASELINE,
    AGREEMENT,
    PREFERENCE,
    SCORE,
    WINS,
    CommonVerdicts,
    comparisons_of,
    pairings,
)
from evalkit.decisions.people import (
    CorrectedDifference,
    PeopleSaid,
    corrected,
    counted_labels,
    file_labels,
    stored_labels,
)
from evalkit.decisions.sources import Sides, check_judge, sides
from evalkit.ratings.differences import sign_test

if TYPE_CHECKING:
    from evalkit.ratings.comparisons import Comparisons
    from evalkit.stats.resample import Interval

SAME = 1e-9
"""Differences on a question below this are none."""
MOST_MOVED = 5
"""Questions that are shown with their answers; the JSON form has 20."""
UNEVEN = 0.05


@dataclass(frozen=True)
class Moved:
    """One question on which the two differ much."""

    question: str
    category: str
    first: float
    second: float

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.first - self.second


@dataclass(frozen=True)
class Comparison:
    """Two models by one judge, or two judges, on what both have."""

    verdicts: CommonVerdicts
    category: str | None
    interval: Interval | None
    """First minus second: a score, or points."""
    better: int
    """Questions on which the first is better, worse, and equal to a billionth."""
    worse: int
    equal: int
    failed: tuple[int, int]
    """Cells on which each failed."""
    worst: tuple[float, float] | None
    """The difference if every failure of the first were the worst value and every one of the second the best, and the
    other way round; None where nothing failed, or the scale is not known."""
    corrected: CorrectedDifference | None = None
    moved: tuple[Moved, ...] = ()

    @property
    def questions(self) -> int:
        """How many both have."""
        return self.better + self.worse + self.equal

    @property
    def excluded(self) -> float | None:
        """The size beyond which differences, either way, are outside the interval."""
        found = self.interval
        if found is None or found.lower is None or found.upper is None:
            return None
        return max(abs(found.lower), abs(found.upper))

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out 0."""
        found = self.interval
        return found is not None and found.lower is not None and (found.lower > 0 or (found.upper or 0.0) < 0)

    @property
    def unit(self) -> str:
        """What the difference is counted in."""
        return "points" if self.verdicts.kind == SCORE else "percentage points"

    def sentence(self) -> str:
        """What may be said: better or worse, or no difference found; what is excluded; or why nothing may be said."""
        found, a, b = self.interval, self.verdicts.a, self.verdicts.b
        if found is None:
            return f"{a} and {b} have no question in common."
        topic = self._topic()
        if found.lower is None or found.upper is None or self.excluded is None:
            return f"{a} minus {b}{topic} is {_number(found.estimate, self)}; no interval: {found.reason}."
        beyond = f"Differences larger than {_size(self.excluded, self)} are excluded"
        if self.apart:
            low, high = sorted((abs(found.lower), abs(found.upper)))
            return (
                f"{self._claim(found.estimate > 0)} by {_size(abs(found.estimate), self)} {self.unit} (95% "
                f"{_size(low, self)} to {_size(high, self)}). {beyond}."
            )
        smallest = found.detectable()
        found_if = f"; one of {_size(smallest, self)} would have been found 8 times in 10" if smallest else ""
        return (
            f"No difference was found between {a} and {b}{topic}: {_number(found.estimate, self)} {self.unit} (95% "
            f"{_number(found.lower, self)} to {_number(found.upper, self)}). {beyond}{found_if}."
        )

    def _claim(self, higher: bool) -> str:
        """Which of the two has more of what is compared."""
        a, b, kind = self.verdicts.a, self.verdicts.b, self.verdicts.kind
        often = "more often" if higher else "less often"
        if kind == WINS:
            return f"{a} prefers {self.verdicts.about} {often} than {b} does,"
        if kind == AGREEMENT:
            return f"{a} prefers whom people prefer {often} than {b} does,"
        if not self.verdicts.judge:
            return f"{a} scores {'higher' if higher else 'lower'} than {b}"
        return f"{a} is {'better' if higher else 'worse'} than {b}"

    def _topic(self) -> str:
        """What of two judges of pairs is compared."""
        topics = {WINS: f" in how often they prefer {self.verdicts.about}", AGREEMENT: " in agreement with people"}
        return topics.get(self.verdicts.kind, "")

    def about_failures(self) -> str | None:
        """What failures leave open, by name."""
        mine, other = self.failed
        if not mine and not other:
            return None
        a, b = self.verdicts.a, self.verdicts.b
        uneven = self.verdicts.kind != PREFERENCE and sign_test(mine, other) <= UNEVEN
        if self.verdicts.kind == PREFERENCE:
            text = f"{mine} comparisons failed and do not count"
        else:
            text = f"failed and not compared: {mine} of {a}, {other} of {b}"
        if uneven:
            text += f"; failures are uneven: {a if mine > other else b} fails more often than chance would make it"
        if self.worst is not None and self.verdicts.kind == WINS:
            low, high = sorted(self.worst)
            text += (
                f"; whatever the failed verdicts would have been, the difference would be between "
                f"{_number(low, self)} and {_number(high, self)}"
            )
        elif self.worst is not None:
            low, high = self.worst
            text += (
                f"; if every failure were the worst for {a}, the difference would be {_number(low, self)}, and if "
                f"every one were the worst for {b}, {_number(high, self)}"
            )
        return text

    def about_people(self) -> str | None:
        """The difference as people would see it, or why that is not known."""
        found = self.corrected
        if found is None:
            return None
        whose = f" Labels of other people ({', '.join(found.apart)}) are not counted." if found.apart else ""
        if found.refused is not None:
            return f"Not corrected by people's labels: {found.refused}.{whose}"
        assert found.interval is not None
        unit = "points" if found.kind == SCORE else "percentage points"
        limits = ""
        if found.interval.lower is not None and found.interval.upper is not None:
            lower, upper = found.interval.lower, found.interval.upper
            low, high = limit_digits(lower, upper, 0.0, 2)
            limits = f" (95% {lower:+z.{low}f} to {upper:+z.{high}f})"
        how = (
            "by their labels alone, as every question has some"
            if not found.unlabelled
            else f"from {found.labelled} labels and {found.unlabelled} verdicts more (PPI++)"
        )
        return (
            f"As people would see it, {self.verdicts.a} minus {self.verdicts.b} is "
            f"{found.interval.estimate:+z.2f} {unit}{limits}, {how}; right if the labelled questions are a random part "
            f"of all.{whose}"
        )


def compare(
    a: str,
    b: str,
    paths: Iterable[Path],
    *,
    by_category: bool = False,
    judge: str | None = None,
    votes: Callable[[str, str], PeopleSaid | None] | None = None,
    judges: bool = False,
) -> tuple[list[Comparison], Sides]:
    """Every comparison of A with B that the stored judgments allow.

    Args:
        a: a model, a judge, or a place.
        b: the same.
        paths: where names are looked for.
        by_category: also on every category.
        judge: only this one.
        votes: what people said of two models beyond what is stored.
        judges: A and B are judges, even where models have these names, too.

    Raises:
        UsageError: there is nothing to compare.
    """
    what = sides(a, b, paths, judges_wanted=judges)
    found = list(pairings(what, judge))
    result: list[Comparison] = []
    for one in found:
        alone = all(other.people for other in found)
        if one.people and not alone:
            continue
        people = None
        if one.judge and not one.people:
            people = (votes(one.a, one.b) if votes else None) or stored_labels(found, one)
        result += _with_categories(one, people, by_category=by_category)
    if what.judges:
        tables = comparisons_of(what)
        said = _people_of_file(votes) if votes else None
        for one in pair_judges(tables, a, b, said):
            result += _with_categories(one, None, by_category=by_category)
        what = replace(what, notes=(*what.notes, *_agreements(tables, a, b)))
    if not result:
        check_judge(what, judge)
        kind = (
            "judges have no verdict on the same answers" if what.judges else "models were judged by no judge together"
        )
        raise UsageError(f"{a!r} and {b!r} cannot be compared: the two {kind} in {_where(what)}")
    return result, what


def _with_categories(one: CommonVerdicts, people: PeopleSaid | None, *, by_category: bool) -> Iterator[Comparison]:
    """The comparison on all cells, then on those of each category."""
    yield comparison(one, None, people=people)
    if by_category:
        for name in in_order(one.benchmark, [one.categories[code] for code in sorted(set(one.category.tolist()))]):
            yield comparison(one.where(one.category == one.categories.index(name)), name)


def _people_of_file(votes: Callable[[str, str], PeopleSaid | None]) -> Callable[[AnswerPair], float | None]:
    """What the labels of a file say of a pair of answers: 1 where its first model is better."""
    known: dict[tuple[str, str], PeopleSaid | None] = {}

    def outcome(pair: AnswerPair) -> float | None:
        models = pair.first, pair.second
        if models not in known:
            known[models] = votes(*models)
        said = known[models]
        gap = None if said is None else said.by_cell.get((pair.question, pair.turn))
        return None if gap is None else 0.5 if abs(gap) <= SAME else float(gap > 0)

    return outcome


def _agreements(tables: Sequence[Comparisons], a: str, b: str) -> Iterator[str]:
    """How often two judges of pairs say the same, a sentence for each benchmark."""
    for benchmark, protocol, found, ties_a, ties_b in agreement_of(tables, a, b):
        share = found.clustered
        limits = "" if share is None or share.lower is None else f" (95% {share.lower:.1%} to {share.upper:.1%})"
        yield (
            f"{benchmark} ({protocol}): {a} and {b} give the same verdict on {found.agree / found.total:.1%}{limits} "
            f"of {found.total:,} pairs of answers; {a} sees a tie in {ties_a:.1%}, {b} in {ties_b:.1%}"
        )


def _where(what: Sides) -> str:
    return ", ".join(str(place.path) for place in what.places)


def comparison(verdicts: CommonVerdicts, category: str | None, people: PeopleSaid | None = None) -> Comparison:
    """One comparison, on all cells at hand."""
    import numpy as np

    from evalkit.stats.paired_differences import paired_differences

    gap = verdicts.first - verdicts.second
    there = np.isfinite(gap)
    by_question = np.unique(verdicts.question[there], return_inverse=True)[1].reshape(-1)
    counts = np.bincount(by_question)
    means = np.bincount(by_question, gap[there]) / np.maximum(counts, 1)
    scale = SAME * max(1.0, float(np.abs(gap[there]).max(initial=0.0)))
    strata = verdicts.category if category is None and verdicts.declared else None
    interval = paired_differences(
        np.column_stack([verdicts.first, verdicts.second]),
        verdicts.question,
        strata=strata,
        pooled=verdicts.pooled,
        limits=verdicts.limits,
    ).intervals[0]
    lost = verdicts.failed & np.isnan(np.column_stack([verdicts.first, verdicts.second]))
    return Comparison(
        verdicts,
        category,
        interval,
        int((means > scale).sum()),
        int((means < -scale).sum()),
        int((np.abs(means) <= scale).sum()),
        (int(lost[:, 0].sum()), int(lost[:, 1].sum())),
        _worst(verdicts) if lost.any() else None,
        corrected(verdicts, people) if people is not None else None,
        _moved(verdicts) if category is None else (),
    )


def _worst(verdicts: CommonVerdicts) -> tuple[float, float] | None:
    """The difference with every failure at its worst for the first, then for the second."""
    import numpy as np

    if verdicts.limits is None:
        return None
    result = []
    for worst, best in (verdicts.limits, verdicts.limits[::-1]):
        first = np.where(np.isnan(verdicts.first) & verdicts.failed[:, 0], worst, verdicts.first)
        second = np.where(np.isnan(verdicts.second) & verdicts.failed[:, 1], best, verdicts.second)
        gap = first - second
        there = np.isfinite(gap)
        label = np.unique(verdicts.question[there], return_inverse=True)[1].reshape(-1)
        each = gap[there] if verdicts.pooled else np.bincount(label, gap[there]) / np.bincount(label)
        result.append(float(each.mean()))
    return result[0], result[1]


def _moved(verdicts: CommonVerdicts, most: int = 20) -> tuple[Moved, ...]:
    """The questions on which the two differ most, the largest first; none on which they do not differ."""
    import numpy as np

    gap = verdicts.first - verdicts.second
    there = np.flatnonzero(np.isfinite(gap))
    names, first, label = np.unique(verdicts.question[there], return_index=True, return_inverse=True)
    counts = np.bincount(label.reshape(-1))
    sides = [np.bincount(label.reshape(-1), side[there]) / counts for side in (verdicts.first, verdicts.second)]
    size = np.abs(sides[0] - sides[1])
    order = [place for place in np.argsort(-size, kind="stable").tolist() if size[place] > SAME][:most]
    return tuple(
        Moved(
            verdicts.questions[int(names[place])],
            verdicts.categories[int(verdicts.category[there[first[place]]])] if verdicts.categories else "",
            float(sides[0][place]),
            float(sides[1][place]),
        )
        for place in order
    )


def _digits(one: Comparison) -> int:
    return 3 if one.verdicts.kind == SCORE else 1


def _size(value: float, one: Comparison) -> str:
    return f"{value:z.{_digits(one)}f}"


def _number(value: float, one: Comparison) -> str:
    return f"{value:+z.{_digits(one)}f}"


def labels_of(votes: Sequence[object]) -> Callable[[str, str], PeopleSaid | None]:
    """What the rows of a file of people's labels say of two models."""
    from evalkit.evidence.gather import Grade, Vote

    rows, apart = counted_labels(row for row in votes if isinstance(row, Vote | Grade))

    def said(a: str, b: str) -> PeopleSaid | None:
        found = file_labels(rows, a, b)
        return None if found is None else replace(found, apart=apart)

    return said


Answers = Mapping[tuple[str, str], tuple[str, ...]]
"""Turns by model and question."""


def answers_of(what: Sides, wanted: Iterable[tuple[str, str]]) -> Answers:
    """What these models answered to these questions, by model and question; of several answers the last."""
    keys = set(wanted)
    return {
        (row.model.name, row.item): row.turns
        for row in what.answers()
        if (row.model.name, row.item) in keys and row.sample == 0
    }


__all__ = ["AGAINST_BASELINE", "MOST_MOVED", "Answers", "Comparison", "Moved", "answers_of", "compare", "comparison"]
