"""How findings are told to readers: what a judge and a metric are called, and how numbers look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evalkit.core.text import limit_digits
from evalkit.evidence.findings import ROUNDING, Audit, Finding, Subject, excluded
from evalkit.evidence.metrics import Form, Metric, Topic, topics_of
from evalkit.reports.audit_parts import who

JudgeKey = tuple[str, str, str]
"""Benchmark, judge and protocol."""


def display_name(metric: Metric) -> str:
    """The label, with the unit where numbers do not show it, such as ``Judge's length slope (logits/SD)``."""
    return metric.label if metric.unit.form == "share" else f"{metric.label} ({metric.unit.name})"


def models(row: Finding) -> list[str]:
    """Whom it is about, where it is about one model or names some."""
    one = row.details.get("model")
    if isinstance(one, str):
        return [one]
    return [str(name) for name in row.details.get("models") or ()] if row.measure.names_models else []


def subject_name(row: Finding, *, unit: bool = True) -> str:
    """What was measured, with or without its unit, and of which models where it is about some."""
    about = models(row)
    more = f" and {len(about) - 3} more" if len(about) > 3 else ""
    name = display_name(row.measure) if unit else row.measure.label
    return name + (f": {', '.join(about[:3])}{more}" if about else "")


def topics(audit: Audit) -> list[Topic]:
    """The headings under which this audit has something to say, in their order."""
    return topics_of(row.measure for row in audit.findings)


def null_of(row: Finding) -> float | None:
    """The value that the estimate is compared with: an unbiased judge's, or a guesser's."""
    null = row.details.get("null", row.measure.unbiased)
    return float(null) if isinstance(null, int | float) else None


def excludes_null(row: Finding) -> bool:
    """Whether the interval by itself excludes the value without a bias."""
    null = null_of(row)
    return null is not None and excluded(null, row.lower, row.upper)


def p_value(estimate: float, lower: float, upper: float, null: float, questions: int) -> float:
    """Two-sided p of the null value, as the interval of 95% implies it: below 5% where the interval leaves it out.

    Args:
        estimate: The estimate.
        lower: Its lower limit.
        upper: Its upper limit.
        null: The value to test.
        questions: Clusters behind the limits, whose number less one is that of the degrees of freedom; 0: very many.
    """
    from scipy.special import stdtr, stdtrit

    reach = estimate - lower if estimate > null else upper - estimate
    if reach <= ROUNDING * max(1.0, abs(estimate)):
        return 1.0
    free = max(questions - 1, 1) if questions else 1_000_000
    return 2 * float(stdtr(free, -abs(estimate - null) / reach * stdtrit(free, 0.975)))


def placebo_spread(row: Finding) -> float:
    """How far models that are no kin are off."""
    placebo = row.details.get("placebo")
    rows = placebo.values() if isinstance(placebo, Mapping) else ()
    return max((abs(one.get("estimate") or 0.0) for one in rows), default=0.0)


def number(value: float, form: Form) -> str:
    """A number in a metric's own unit."""
    if form == "share":
        return f"{100 * value:.1f}%"
    whole = abs(value) >= 10 and value == int(value)
    digits = 0 if abs(value) >= 1000 or whole else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    value = round(value, digits) or 0.0  # no -0.000
    return f"{value:+.{digits}f}" if form == "signed" and value else f"{value:,.{digits}f}"


def limits(lower: float | None, upper: float | None, form: Form, neutral: float | None = None) -> str:
    """An interval; nothing where there is none, or no width to it. No limit rounds to a neutral value it leaves out."""
    if lower is None or upper is None or lower == upper:
        return ""
    between = " to " if form == "signed" else "–"
    if form == "share" and neutral is not None:
        low, high = limit_digits(100 * lower, 100 * upper, 100 * neutral, 1)
        return f"{100 * lower:.{low}f}%{between}{100 * upper:.{high}f}%"
    return f"{number(lower, form)}{between}{number(upper, form)}"


def unbiased(row: Finding) -> str:
    """What an unbiased judge has, or one that guesses, where that is known."""
    value, words = row.measure.unbiased, ""
    if value is None:
        value, words = row.measure.chance, " by chance"
    if value is None:
        return ""
    return (f"{100 * value:g}%" if row.measure.unit.form == "share" else f"{value:g}") + words


def counts(row: Finding) -> str:
    """How many rows are behind it, and of how many in all where others were left out."""
    every = row.details.get("out_of")
    return f"{row.n:,} of {every:,}" if isinstance(every, int) else f"{row.n:,}"


def judge_key(row: Finding | Subject) -> JudgeKey:
    """The judge and protocol that a finding is about."""
    return row.benchmark, row.judge, row.protocol


def judge_labels(audit: Audit) -> dict[JudgeKey, str]:
    """What to call each judge, with protocol and benchmark only where they tell two apart, in the audit's order."""
    rows: Iterable[Finding | Subject] = (*audit.subjects, *audit.findings)
    every = list(dict.fromkeys(judge_key(row) for row in rows))
    benchmarks = {benchmark for benchmark, _, _ in every}
    result = {}
    for one in every:
        benchmark, judge, protocol = one
        twins = [other for other in every if other[:2] == one[:2]]
        extra = [benchmark] if len(benchmarks) > 1 else []
        extra += [protocol] if len(twins) > 1 else []
        result[one] = f"{who(judge)} ({', '.join(extra)})" if extra else who(judge)
    return result
