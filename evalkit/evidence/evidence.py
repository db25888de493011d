"""What is known about one judge under one protocol on one benchmark, in columns: the input of every bias.

All codes are positions in the tuples of names. Outcomes are those of ``a``: 1 it is better, 0 ``b`` is, .5 a tie, or a
soft preference. NaN marks a verdict that is missing or failed; it never leaves this module and ``biases/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.core.text import limit_digits
from evalkit.evidence.findings import ROUNDING, Finding, excluded
from evalkit.evidence.metrics import Metric
from evalkit.ratings.collation import Pairs, Scores, Votes

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval

__all__ = [
    "UNVARIED",
    "CriterionLabels",
    "Evidence",
    "Grades",
    "Lineage",
    "Pairs",
    "Scores",
    "Votes",
    "percent",
    "signed",
    "within",
]


class Lineage(NamedTuple):
    """The family a model belongs to, and what taught it."""

    family: str | None = None
    trained_on: tuple[str, ...] = ()
    inferred_from_name: bool = False
    """Read off the name; its YAML says nothing, or there is none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Grades:
    """Scores that people gave single answers, one row a score."""

    answer: IntArray
    """[G] the same for scores of the same answer."""
    model: IntArray
    response: IntArray
    """[G] the very answer; -1 where a score names a model only."""
    question: IntArray
    category: IntArray
    turn: IntArray
    grader: IntArray
    known: BoolArray
    """[G] the score is a label known to be right, and no person's."""
    score: FloatArray
    judged: FloatArray
    """[G] the judge's score of the same answer, of the first repeat that has one; NaN without."""

    def __len__(self) -> int:
        return int(self.score.size)

    @cached_property
    def both(self) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
        """Answers scored by both: the judge's score, people's mean, the question, and the model, [A] each."""
        import numpy as np

        has = np.isfinite(self.judged)
        _, first, place = np.unique(self.answer[has], return_index=True, return_inverse=True)
        means = np.bincount(place, self.score[has]) / np.maximum(np.bincount(place), 1)
        return self.judged[has][first], means, self.question[has][first], self.model[has][first]


@dataclass(frozen=True, eq=False, kw_only=True)
class CriterionLabels:
    """Verdicts of people, or of a reference judge, on criteria that the judge has a verdict on too, one row each.

    Levels are 0 (not met, worst grade) to 1 (met, best grade).
    """

    names: tuple[str, ...]
    """Of criteria."""
    people: tuple[str, ...]
    """Who said so."""
    by_people: bool
    """False: it is a reference judge."""
    criterion: IntArray
    question: IntArray
    person: IntArray
    judged: FloatArray
    """[C] the judge's level."""
    said: FloatArray
    """[C] the person's."""

    def __len__(self) -> int:
        return int(self.said.size)


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Everything a bias may look at. See the module text for how columns are coded."""

    benchmark: str
    judge: str
    protocol: str
    shows: int
    """1: single grading; ``pairs`` are then made of scores, where people or gold labels compare the two answers."""
    joint: bool
    """Rows stand for two orders already joined; which order said what is not known."""
    models: tuple[str, ...]
    questions: tuple[str, ...]
    categories: tuple[str, ...]
    responses: tuple[str, ...]
    """Response ids."""
    pairs: Pairs
    compared: Pairs
    """What tells of the judge's taste: ``pairs``; of single grading, scores of two models on the same question."""
    comparable: int
    """How many of those there are; more than in ``compared`` where that is a sample."""
    scores: Scores | None
    votes: Votes
    """Of the main group of people."""
    gold: Votes
    judgments: int
    failed: Mapping[str, int]
    """Judgments without a verdict, by kind of error."""
    other_votes: Mapping[str, Votes] = field(default_factory=dict)
    """Of the other groups of people, by name."""
    voters: tuple[str, ...] = ()
    """Of the main group; ``votes.voter`` are positions here."""
    people: str = ""
    """What the main group is called."""
    grades: Grades | None = None
    """People's scores of single answers, where there are any."""
    criteria: CriterionLabels | None = None
    """Of grading by a rubric: what people say of its criteria, where they do."""
    failed_by_category: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    judgments_by_category: Mapping[str, int] = field(default_factory=dict)
    failed_by_question: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """By kind of error and question."""
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Answers by response id, turn by turn."""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    """Answers that failed, by kind of error."""
    unanswered_by_model: Mapping[str, int] = field(default_factory=dict)
    lineages: Mapping[str, Lineage] = field(default_factory=dict)
    """By model name."""
    judge_lineage: Lineage = field(default_factory=Lineage)
    own_models: frozenset[str] = frozenset()
    """Names of contestants that are the judge's own model."""

    def text(self, response: int, turn: int) -> str | None:
        """The text of one judged answer."""
        turns = self.texts.get(self.responses[response]) if response >= 0 else None
        return turns[turn - 1] if turns is not None and turn <= len(turns) else None

    def finding(
        self,
        metric: Metric,
        interval: Interval,
        sentence: str,
        *,
        category: str | None = None,
        null: float | None = None,
        **details: Any,
    ) -> Finding:
        """Make a finding about this judge that was measured.

        Args:
            metric: as declared beside the bias.
            interval: estimate, limits, n and number of questions.
            sentence: in plain words.
            category: None for all together.
            null: the value to compare with; the metric's unbiased one unless given. Where there is one, the details say
                whether the interval excludes it, and the smallest effect these data would show.
            details: further numbers.
        """
        null = metric.unbiased if null is None else null
        interval = with_width(interval)
        if null is not None:
            details["null"] = null
            if interval.lower is not None and interval.upper is not None:
                details["excludes_null"] = excluded(null, interval.lower, interval.upper)
            detectable = interval.detectable()
            if detectable is not None:
                details["detectable"] = detectable
        return Finding(
            judge=self.judge,
            protocol=self.protocol,
            benchmark=self.benchmark,
            measure=metric,
            category=category,
            estimate=interval.estimate,
            lower=interval.lower,
            upper=interval.upper,
            n=interval.n,
            questions=interval.clusters,
            sentence=sentence,
            details=details,
        )

    def lacking(
        self, metric: Metric, needs: str, *, category: str | None = None, n: int = 0, **details: Any
    ) -> Finding:
        """A finding that these data do not allow."""
        return Finding(
            judge=self.judge,
            protocol=self.protocol,
            benchmark=self.benchmark,
            measure=metric,
            category=category,
            n=n,
            not_measurable=needs if needs.startswith("needs") else f"needs {needs}",
            sentence=f"Not measurable: {needs if needs.startswith('needs') else 'needs ' + needs}.",
            details=details,
        )


def with_width(interval: Interval) -> Interval:
    """The interval, or, where its limits coincide, the estimate without limits: a width of nothing claims certainty."""
    from dataclasses import replace

    lower, upper = interval.lower, interval.upper
    if lower is None or upper is None or upper - lower > ROUNDING * max(1.0, abs(interval.estimate)):
        return interval
    return replace(interval, lower=None, upper=None, standard_error=None, reason=UNVARIED)


UNVARIED = "no interval: resampled questions give the same figure"
"""Where the limits coincide. The questions may differ all the same, as where four models are ranked alike on each."""


def within(
    interval: Interval, digits: int = 3, scale: float = 1.0, unit: str = "", neutral: float | None = None
) -> str:
    """The limits in words, as ``95% .61 to .72``; a limit never rounds to a neutral value that it leaves out."""
    interval = with_width(interval)
    if interval.lower is None or interval.upper is None:
        return _no_interval(interval)
    lower, upper = interval.lower * scale, interval.upper * scale
    low, high = (digits, digits) if neutral is None else limit_digits(lower, upper, neutral * scale, digits)
    return f"95% {lower:z.{low}f}{unit} to {upper:z.{high}f}{unit}"


def percent(interval: Interval) -> str:
    """A share with its limits, as ``68.9% (95% 64.6% to 73.1%)``."""
    return f"{100 * interval.estimate:.1f}% ({within(interval, 1, 100, '%', 0.5)})"


def signed(interval: Interval, digits: int = 2) -> str:
    """A signed effect with its limits."""
    interval = with_width(interval)
    if interval.lower is None or interval.upper is None:
        return f"{_figure(interval.estimate, digits)} ({_no_interval(interval)})"
    low, high = limit_digits(interval.lower, interval.upper, 0.0, digits)
    lower, upper = _figure(interval.lower, low), _figure(interval.upper, high)
    return f"{_figure(interval.estimate, digits)} (95% {lower} to {upper})"


def _no_interval(interval: Interval) -> str:
    if interval.reason is not None:
        return interval.reason if interval.reason.startswith("no interval") else f"no interval: {interval.reason}"
    return "no interval" if interval.clusters > 1 else "no interval: a single question"


def _figure(value: float, digits: int) -> str:
    """A figure with its sign, unless it rounds to nothing: ``0.00``, as -0.00 reads like a mistake."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"
