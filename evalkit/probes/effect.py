"""An effect of a probe as a Finding: estimate, interval, what could have been seen, and how to say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evalkit.evidence.findings import Finding
from evalkit.evidence.metrics import Metric, Unit

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.flips import Effect
    from evalkit.stats.resample import Interval

TURNED = Unit("net share of verdicts", "signed")
SMALL = 0.2
"""A net effect that should not go unseen before a judge is said to withstand a probe."""
LEAST = 5
"""Questions with verdicts on both sides of a comparison, below which nothing is said."""


@dataclass(frozen=True)
class ProbedJudge:
    """The judge and protocol that findings are about."""

    judge: str
    protocol: str
    benchmark: str


def effect(values: FloatArray, items: Sequence[str]) -> Effect:
    """Mean of signed values, questions as clusters.

    Args:
        values: [N] between -1 and 1.
        items: question of each.
    """
    import numpy as np

    from evalkit.stats import flips

    questions: IntArray = np.unique(items, return_inverse=True)[1]
    return flips.effect(values, questions)


def missing(items: Iterable[str]) -> str | None:
    """What is missing if verdicts are there for these questions only; None if nothing."""
    found = len(set(items))
    there = "there is 1" if found == 1 else f"there are {found}"
    return None if found >= LEAST else f"needs verdicts with and without it on {LEAST} questions: {there}"


def unmeasured(subject: ProbedJudge, metric: Metric, why: str) -> Finding:
    """A finding that says why an effect was not measured."""
    return Finding(**vars(subject), measure=metric, not_measurable=why)


def finding(
    subject: ProbedJudge, metric: Metric, found: Interval, details: Mapping[str, Any], sentence: str
) -> Finding:
    """An effect that a probe had."""
    return Finding(
        **vars(subject),
        measure=metric,
        estimate=found.estimate,
        lower=found.lower,
        upper=found.upper,
        n=found.n,
        questions=found.clusters,
        sentence=sentence,
        details={
            "null": metric.unbiased,
            "excludes_null": None if metric.unbiased is None else not includes_zero(found),
            "detectable": found.detectable(),
            "p_clustered": getattr(found, "p", None),
            **details,
        },
    )


def includes_zero(found: Interval) -> bool:
    """Whether the effect's interval holds zero."""
    return found.lower is None or found.upper is None or found.lower <= 0 <= found.upper


def format_effect(found: Interval) -> str:
    """The effect in figures, with its sign and limits."""
    if found.lower is None or found.upper is None:
        return _figure(found.estimate)
    return f"{_figure(found.estimate)} (95% {_figure(found.lower)} to {_figure(found.upper)})"


def _figure(value: float) -> str:
    return f"{value:+z.2f}"


def fixed(leans: Iterable[float]) -> bool:
    """Whether every verdict went to one and the same place."""
    values = list(leans)
    return bool(values) and abs(sum(values)) == len(values)


def capital(text: str) -> str:
    """The text with a capital, as a sentence begins."""
    return text[0].upper() + text[1:]


@dataclass
class Conclusions:
    """Sentences about a judge: what may be concluded, what may not, and what is not known."""

    may: list[str] = field(default_factory=list)
    may_not: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def concluded(effects: Sequence[tuple[str, Finding]]) -> Conclusions:
    """What the effects of probes come to.

    An effect is called one only if it stands when the number of probes is allowed for (Holm): of a dozen intervals, one
    or another misses zero by chance.

    Args:
        effects: what must not be taken for granted (``padding an answer changes nothing``), and the effect measured.
    """
    from evalkit.stats.flips import holm

    adjusted = holm([float(row.details["p_clustered"]) for _, row in effects])
    told = Conclusions()
    for (risk, row), p in zip(effects, adjusted, strict=True):
        blind, brief = row.details["detectable"], row.details.get("brief", row.sentence)
        if row.details["excludes_null"] and p < 0.05:
            told.may_not.append(f"That {risk}. {brief}")
        elif row.details["excludes_null"]:
            told.unknown.append(f"Whether {risk}: it may be chance (adjusted p={p:.2g}). {brief}")
        elif blind is not None and blind <= SMALL and not row.details.get("fixed"):
            told.may.append(f"That {risk}, as far as can be seen: more than {blind:.2f} would have been. {brief}")
        else:
            missed = "an effect of any size" if blind is None else f"an effect below {blind:.2f}"
            told.unknown.append(f"Whether {risk}: {missed} could be missed. {brief}")
    return told
