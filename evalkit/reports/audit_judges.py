"""Several judges of one audit in one table: what a reader compares before reading of each alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evalkit.audit.agreement_counts import HUMAN
from evalkit.evidence.findings import Audit, Finding, Subject, excluded
from evalkit.reports.audit_metrics import JudgeKey, judge_key, judge_labels, limits, number
from evalkit.reports.grid import NONE, Grid, GridCell

if TYPE_CHECKING:
    from evalkit.reports.audit_verdict_people import VerdictBox

COLUMNS = {
    "gold_accuracy": "right by gold labels",
    "position_consistency": "same in both orders",
    "position_logit": "first place, logits",
    "length_slope_excess": "length beyond people's",
    "length_slope_judge": "length slope",
    "scale_mean": "mean score",
    "scale_top_box": "at its highest score",
}
"""What judges are compared by, where any of them has it; effects of length once, beside people's if these voted."""


def beside(audit: Audit, said: Mapping[JudgeKey, VerdictBox]) -> Grid | None:
    """A row a judge; None where there is only one.

    Args:
        audit: of one judge or several.
        said: what the verdict on each of them is.
    """
    if len(audit.subjects) < 2:
        return None
    found = {(judge_key(row), row.measure.name): row for row in audit.findings if row.category is None}
    measured = {name for (_, name), row in found.items() if row.estimate is not None}
    columns = [name for name in COLUMNS if name in measured]
    if {"length_slope_excess", "length_slope_judge"} <= measured:
        columns.remove("length_slope_judge")
    people = {judge_key(one): _with_people(audit, one) for one in audit.subjects}
    labels = judge_labels(audit)
    rows = []
    for subject in audit.subjects:
        key = judge_key(subject)
        cells = [GridCell(labels[key]), GridCell(f"{subject.judgments:,}"), GridCell(_failed(subject))]
        if any(people.values()):
            cells.append(people[key] or NONE)
        cells += [_cell(found.get((key, name))) for name in columns]
        cells.append(GridCell(str(len(said[key].may_not))))
        rows.append(tuple(cells))
    headers = ("", "judgments", "failed", *(("with people",) if any(people.values()) else ()))
    notes = [
        '*: the interval leaves out what an unbiased judge has; warnings: what stands below "You may not" of each judge'
    ]
    if any(people.values()):
        notes.append("with people: same verdict, ties counted, on what both judged; not the same pairs for every judge")
    return Grid(
        "Judges beside each other",
        (*headers, *(COLUMNS[name] for name in columns), "warnings"),
        tuple(rows),
        notes=tuple(notes),
    )


def _failed(subject: Subject) -> str:
    lost = sum(subject.failed.values())
    return f"{lost:,}" if not lost else f"{lost:,} ({lost / max(1, subject.judgments):.1%})"


def _with_people(audit: Audit, subject: Subject) -> GridCell | None:
    """How often the judge says what people say, all turns together, or each turn's counts added up."""
    mine = [
        row
        for row in audit.agreement
        if (row.benchmark, row.judge, row.protocol) == judge_key(subject)
        and row.other == HUMAN
        and row.setup == "S1"
        and row.category is None
    ]
    rows = [row for row in mine if row.turn is None] or mine
    total = sum(row.total for row in rows)
    if not total:
        return None
    only = rows[0]
    ends = "" if len(rows) > 1 else limits(only.lower, only.upper, "share")
    return GridCell(f"{sum(row.agree for row in rows) / total:.1%}", ends)


def _cell(row: Finding | None) -> GridCell:
    if row is None or row.estimate is None:
        return NONE
    form = row.measure.unit.form
    mark = "*" if row.measure.unbiased is not None and excluded(row.measure.unbiased, row.lower, row.upper) else ""
    return GridCell(number(row.estimate, form) + mark, limits(row.lower, row.upper, form, row.measure.unbiased))
