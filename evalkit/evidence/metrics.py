"""What an audit can measure: each metric with its label, unit, heading, unbiased value and the claim that it threatens.

A ``Metric`` is declared beside the code that measures it (every bias lists its own in ``metrics``) and travels with
each ``Finding``. Tables, pages and the box of conclusions read it there; none of them knows a metric by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

Form = Literal["share", "signed", "number"]
"""How a value is printed. share: a percentage; signed: an effect, with its sign; number: anything else."""
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Unit:
    """What the values of a metric are counted in."""

    name: str
    """As a reader is told it: ``logits``, ``share of pairs``, ``0 by chance``."""
    form: Form
    after: str = ""
    """What follows a value in a sentence; empty where the value speaks for itself, as a percentage does."""
    small: float | None = None
    """An effect of this size is small: where it would have been found and was not, that is good news.

    None: nobody can say what is small, so that finding nothing is never good news.
    """


def share(of: str) -> Unit:
    """Percentages of something: ``share("pairs")``."""
    return Unit(f"share of {of}", "share", small=0.3)


LOGITS = Unit("logits", "signed", "logits", small=0.3)
LOGITS_PER_SD = Unit("logits/SD", "signed", "logits/SD", small=0.3)
DIFFERENCE = Unit("difference", "signed", small=0.3)
BEYOND_CHANCE = Unit("0 by chance", "number")
CORRELATION = Unit("correlation", "number")
POINTS = Unit("points of its scale", "number", "points")
POINTS_APART = Unit("points of its scale", "signed", "points")


@dataclass(frozen=True)
class Topic:
    """A heading of the audit, under which metrics stand."""

    name: str
    """For links; lower case."""
    title: str
    says: str = ""
    """What to know before reading the numbers."""
    by_model: bool = False
    """Whether findings about single models have a table of their own, models down."""


POSITION = Topic(
    "position",
    "Position",
    "Does the verdict change when the two answers change places? Only inconsistent pairs show a preference for a "
    "place; a judge that is merely noisy prefers neither.",
)
LENGTH = Topic(
    "length",
    "Length",
    "Longer answers are often better, and a sharper judge shows every slope larger. What counts is the slope in "
    "excess of people's on the same pairs, at the judge's own sharpness.",
)
FORMAT = Topic(
    "format",
    "Format and vocabulary",
    "Effects per standard deviation of the difference between two answers, with the models' abilities held fixed.",
)
SELF = Topic(
    "self",
    "Its own family",
    "Does the judge prefer models that are its kin, beyond what people say of them? Compare with the placebo: how "
    "far it is from people on models that are not.",
)
SCALE = Topic(
    "scale",
    "How it uses the scale",
    "A judge that gives nearly everything the same score cannot tell answers apart.",
)
CORRECTION = Topic(
    "correction",
    "Corrected with human labels",
    "Win rates that use people's votes to correct the judge, and how many more votes would help.",
    by_model=True,
)
HYGIENE = Topic(
    "hygiene",
    "Failed and suspicious verdicts",
    "Failed judgments are never counted as a score, a loss or a tie.",
)
PEOPLE = Topic(
    "people",
    "More on agreement",
    "Chance-corrected agreement, rankings of models, and what a rule that looks at nothing but length achieves.",
)
EXPERIMENTS = Topic("probe", "Experiments", "Answers rewritten, and judged again.")

TOPICS = (POSITION, LENGTH, FORMAT, SELF, SCALE, CORRECTION, HYGIENE, PEOPLE, EXPERIMENTS)
"""In the order in which they are read. A metric may come with a topic of its own, which follows these."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One thing an audit can measure, or, with ``{parts}`` in its name, a family of such things.

    A member of a family is made by ``of``: ``Metric(name="format_{feature}_effect", ...).of(feature="lists")``.
    """

    name: str
    """In JSON; it never changes. Unique among all metrics."""
    label: str
    """In tables, without the unit."""
    unit: Unit
    topic: Topic
    question: str
    """What the metric answers, a full sentence that ends with a question mark."""
    unbiased: float | None = None
    """The value for a judge without this bias; None where a value by itself accuses nobody."""
    risk: str = ""
    """The claim that is at risk where the interval excludes the unbiased value: ``That ... .``, below "You may not".

    Metrics with the same risk are concluded from together.
    """
    safe: str = ""
    """What may be said where no bias is found, up to a colon; the topic's title unless given."""
    stands_in_for: tuple[str, ...] = ()
    """Names of better metrics of the same risk: where one of them is measured, this one is not concluded from."""
    chance: float | None = None
    """The value for a judge that guesses, where that is known."""
    needs: str = ""
    """The data it takes."""
    source: str = ""
    """Where it is defined."""
    axis: str = ""
    """The axis on which it is drawn, with all metrics of its topic that have the same; not drawn unless given."""
    as_sentence: bool = False
    """Whether readers are told its sentence, and never the bare number: of a plan, say, that means little without."""
    names_models: bool = False
    """Whether ``details["models"]`` are whom the finding is about."""
    pattern: Metric | None = None
    """The family it belongs to."""

    def __post_init__(self) -> None:
        """Check what an author is likely to forget.

        Raises:
            ValueError: the name cannot be a name, or an unbiased value comes without the claim that is at risk.
        """
        if not NAME.fullmatch(re.sub(r"\{[a-z_]+\}", "x", self.name)):
            raise ValueError(f"metric {self.name!r}: a name is of lower-case letters, digits and underscores")
        if self.unbiased is not None and not self.risk:
            raise ValueError(
                f"metric {self.name!r} has an unbiased value ({self.unbiased:g}): give `risk` too, the claim that is "
                "at risk where a judge's value is another, such as 'That a longer answer is no better for it.'"
            )

    def of(self, **parts: str) -> Metric:
        """The member of this family with these parts in its name and texts.

        Raises:
            KeyError: a part is missing.
        """
        filled: dict[str, Any] = {"pattern": self}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                filled[field.name] = value.format_map(parts)
            elif isinstance(value, tuple):
                filled[field.name] = tuple(text.format_map(parts) for text in value)
        return replace(self, **filled)


def topics_of(metrics: Iterable[Metric]) -> list[Topic]:
    """The topics of these metrics, in the order in which they are read."""
    found: Mapping[str, Topic] = {metric.topic.name: metric.topic for metric in metrics}
    known = [topic for topic in TOPICS if topic.name in found]
    return known + [topic for name, topic in found.items() if name not in {one.name for one in TOPICS}]
