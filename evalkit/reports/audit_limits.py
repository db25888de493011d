"""What an audit could not see: findings that are not measurable, and effects too small to be found."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.evidence.findings import Audit, Finding
from evalkit.evidence.metrics import Form
from evalkit.reports.audit_metrics import JudgeKey, excludes_null, judge_key, null_of, number, subject_name
from evalkit.reports.audit_parts import Cell, Section, Table
from evalkit.reports.audit_topics import estimate


def lacking(audit: Audit, labels: Mapping[JudgeKey, str]) -> Section | None:
    """What these data cannot answer, and what it would take."""
    whole = {(judge_key(row), row.metric) for row in audit.findings if row.category is None}
    rows = [row for row in audit.findings if row.not_measurable is not None]
    # what one category lacks, its own table says
    rows = [row for row in rows if row.category is None or (judge_key(row), row.metric) not in whole]
    if not rows:
        return None
    needs: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        metrics = needs.setdefault((labels[judge_key(row)], row.not_measurable or ""), {})
        metrics[subject_name(row)] = None
    many = len({name for name, _ in needs}) > 1
    cells = [
        (*((Cell(name),) if many else ()), Cell("; ".join(metrics)), Cell(need))
        for (name, need), metrics in needs.items()
    ]
    headers = ("judge", "what", "why not") if many else ("what", "why not")
    table = Table(title="Not measurable from these data", headers=headers, rows=tuple(cells), left=3)
    return Section(id="lacking", title="Not measurable from these data", parts=(table,))


def _not_found(row: Finding) -> str:
    if not excludes_null(row):
        return "not found"
    return "within placebo" if row.details.get("beyond_placebo") is False else "within chance"


def detectable(audit: Audit, labels: Mapping[JudgeKey, str]) -> Section | None:
    """How small an effect these data would show."""
    cells = []
    for row in audit.findings:
        least = row.details.get("detectable")
        if row.category is not None or row.estimate is None or not isinstance(least, int | float):
            continue
        form: Form = "share" if row.measure.unit.form == "share" else "number"
        null = null_of(row)
        outside = row.details.get("excludes_null")
        seen = "" if outside is None else "found" if outside else _not_found(row)
        about = f"± {number(least, form)}" + ("" if null is None else f" around {number(null, form)}")
        cells.append((Cell(labels[judge_key(row)]), Cell(subject_name(row)), Cell(about), estimate(row), Cell(seen)))
    if not cells:
        return None
    table = Table(
        title="Smallest effects these data can show",
        headers=("judge", "effect", "would be found from", "estimate", "verdict"),
        rows=tuple(cells),
        left=2,
    )
    says = (
        "The smallest true effect that this many questions would show four times out of five. "
        "“Not found” below that size says nothing. “Within placebo”: the interval leaves zero out, but models that are "
        "no kin are as far off; “within chance”: it does, but so many effects were looked at that one would."
    )
    return Section(id="detectable", title="Smallest effects these data can show", says=says, parts=(table,))
