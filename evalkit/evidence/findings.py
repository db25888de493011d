"""What an audit says: findings about a judge, counts of how often it agrees with others, and what shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.evidence.metrics import Metric
from evalkit.evidence.panels import JudgePanel

Setup = Literal["S1", "S2"]
"""MT-Bench's two ways to count: S1 all votes, a tie being a verdict; S2 only where neither side calls it a tie."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things, for a sentence: ``1 pair``, ``1,200 pairs``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


ROUNDING = 1e-9
"""Limits that differ by less are equal: what is left is rounding, on which no statement may hang."""


def excluded(value: float, lower: float | None, upper: float | None) -> bool:
    """Whether a value lies outside an interval by more than rounding; never of an interval without limits or width."""
    if lower is None or upper is None:
        return False
    slack = ROUNDING * max(1.0, abs(value))
    return upper - lower > slack and (value < lower - slack or value > upper + slack)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing measured about one judge. Either an estimate with its interval, or why there is none."""

    judge: str
    protocol: str
    benchmark: str
    measure: Metric
    """What it measures; never what that should be."""
    category: str | None = None
    """None: over all categories."""
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    """95% limits, questions resampled or clustered."""
    n: int = 0
    """Pairs, judgments or votes behind the estimate."""
    questions: int = 0
    sentence: str = ""
    """The finding in plain words, with its numbers."""
    not_measurable: str | None = None
    """``needs ...``: what the data lack."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers, JSON-like."""

    def __post_init__(self) -> None:
        """An estimate or a reason, never both."""
        if (self.estimate is None) == (self.not_measurable is None):
            raise ValueError(f"finding {self.metric!r} must have an estimate or say what it needs, and not both")

    @property
    def metric(self) -> str:
        """The metric's name, such as ``position_consistency``."""
        return self.measure.name


@dataclass(frozen=True, kw_only=True)
class AgreementRow:
    """How often two judges, or a judge and people, said the same about the same pair."""

    judge: str
    other: str
    """A judge, ``human``, or ``gold``."""
    turn: int | None
    """None: all turns together."""
    setup: Setup
    category: str | None
    agree: float
    """Votes that agree; fractional where several majority verdicts share one."""
    total: int
    out_of: int | None = None
    """In rows of S2: votes in all, with ties, of which ``total`` have a winner on either side. S2 alone says little."""
    lower: float | None = None
    upper: float | None = None
    """95% limits of ``agree / total``, clustered by question."""
    kappa: float | None = None
    """Chance-corrected (Cohen), each pair counted both ways round, as which answer is called a is arbitrary."""
    length_only: float | None = None
    """Agreement of a rule that always prefers the longer answer, on those of the votes where both lengths are known.

    None where there are none. Among people it stands in for either of two.
    """
    length_only_total: int | None = None
    """How many those are."""
    length_only_kappa: float | None = None
    """Kappa of that rule."""
    beyond_length: tuple[float, float, float] | None = None
    """By how much the judge agrees with people more often than that rule, on the same votes, and its 95% limits."""
    correct: float | None = None
    """Where the other side names a winner, ties of the judge included: the share of verdicts that name the same one.

    A judge that often names no winner, or another in each order, gains nothing by it, as it does in S2. In rows of S1.
    """
    correct_lower: float | None = None
    correct_upper: float | None = None
    """95% limits of ``correct``, clustered by question."""
    correct_total: int | None = None
    """Votes of the other side that name a winner; among people, each of two votes is the other side by half."""
    undecided: int | None = None
    """On how many of the votes the judge names no winner, or another in each order."""
    shrunk: float | None = None
    """Where the total is small: the share drawn towards that of the other categories (beta-binomial)."""
    questions: int = 0
    """Questions behind the limits; 0 where they are not known."""
    benchmark: str = ""
    protocol: str = ""
    alike: tuple[AgreementRow, AgreementRow] | None = None
    """This judge with people, and people with one another, counted on the same pairs: those that it has a verdict on
    and that have two votes or more. Only these two may be compared. None without such pairs, and by turn or category.
    """


@dataclass(frozen=True, kw_only=True)
class Rating:
    """One model as one rater sees it: ratings by a judge stand beside those by people."""

    benchmark: str
    rater: str
    """A judge, or ``human``."""
    protocol: str
    model: str
    rating: float
    """Bradley-Terry, in logits, mean 0 over the models of this rater; of single grading, the mean score."""
    lower: float | None
    upper: float | None
    n: int
    """Comparisons, or scores, behind it."""
    kind: Literal["logit", "score"] = "logit"
    elo: float | None = None
    """The same on the Elo scale: 400 points are odds of 10, the mean of the models is 1000. None for scores."""
    elo_lower: float | None = None
    elo_upper: float | None = None


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How often a judge, or people, gave each score; or, of pairs, each number of points to the answer shown first."""

    benchmark: str
    judge: str
    """Or ``human``."""
    protocol: str
    scores: tuple[float, ...]
    """Ascending."""
    counts: tuple[int, ...]
    of: Literal["scores", "places"] = "scores"
    """Of places, 1 is a win of the answer shown first, and 0 one of the second."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One pair worth looking at, both answers side by side. All text is untrusted."""

    kind: Literal["inconsistent", "human_disagrees", "gold_disagrees"]
    benchmark: str
    judge: str
    protocol: str
    item: str
    category: str
    turn: int
    model_a: str
    model_b: str
    answer_a: str | None
    """None where the text is not stored."""
    answer_b: str | None
    judge_says: tuple[str, ...]
    """In words, one for each order shown: ``first: gpt-4``, ``tie``, ..."""
    shown: tuple[str, str] = ("", "")
    """Ids of the two answers."""
    question: str | None = None
    """What was asked on this turn, where the questions are at hand."""
    others_say: tuple[str, ...] = ()
    """Votes of people, or the gold label."""
    raw: tuple[str, ...] = ()
    """What the judge wrote, where kept."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One judge under one protocol on one benchmark, and what there is of it."""

    benchmark: str
    judge: str
    protocol: str
    shows: int
    """1: single grading, 2: pairwise."""
    judgments: int
    failed: Mapping[str, int]
    """Judgments without a verdict, by kind of error."""
    models: tuple[str, ...]
    questions: int
    votes: int
    """Votes of people on pairs this judge judged too."""
    grades: int = 0
    """Scores of people of answers this judge scored too."""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    """Answers that failed and were never judged, by model."""
    failed_by_model: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Judgments without a verdict, and all judgments, that each model is in."""
    conclusions: tuple[str, ...] = ()
    """What may be concluded from this judge, each a sentence."""
    cautions: tuple[str, ...] = ()
    """What may not."""
    unknown: tuple[str, ...] = ()
    """What the data are too few to say."""


@dataclass(frozen=True)
class Correlation:
    """A correlation, with 95% limits over models where there are any."""

    estimate: float
    lower: float | None
    upper: float | None
    reason: str | None = None
    """Why there are no limits."""


@dataclass(frozen=True, kw_only=True)
class FiguresCompared:
    """How alike two figures of the same models are: a judge's ratings, an automatic benchmark, lengths of answers."""

    benchmark: str
    judge: str
    protocol: str
    first: str
    second: str
    fixed: str = ""
    """A third figure that is held fixed."""
    within: str = ""
    """The part of the questions that the first figure is of; empty for all."""
    n: int
    """Models, or questions, that have both."""
    each: str
    """``models`` or ``questions``."""
    rank: Correlation | None
    """Spearman's; None where it is not measurable."""
    linear: Correlation | None
    """Pearson's."""
    sentence: str
    not_measurable: str | None = None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything an audit says. Lists are in the order in which they are to be read."""

    subjects: tuple[Subject, ...] = ()
    findings: tuple[Finding, ...] = ()
    agreement: tuple[AgreementRow, ...] = ()
    ratings: tuple[Rating, ...] = ()
    rating_notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By benchmark, what a reader must know of its ratings: who could not be rated and why."""
    histograms: tuple[Histogram, ...] = ()
    examples: tuple[Example, ...] = ()
    panels: tuple[JudgePanel, ...] = ()
    """Of judges that have verdicts on the same pairs."""
    against: tuple[FiguresCompared, ...] = ()
    """Judges' ratings beside automatic benchmarks, where a table of these was given."""
    notes: tuple[str, ...] = ()
    dated: tuple[float, float] | None = None
    """Unix times of the first and the last judgment; None where none has a date."""
