"""Panels of judges -> a section of the audit page."""

from __future__ import annotations

from evalkit.evidence.findings import Audit
from evalkit.evidence.panels import JudgePanel
from evalkit.reports.audit_parts import NONE, Cell, Section, Table, shade


def panel(audit: Audit) -> Section | None:
    """What several judges of the same pairs are worth together."""
    if not audit.panels:
        return None
    parts = tuple(table for found in audit.panels for table in _tables(found, many=len(audit.panels) > 1))
    says = " ".join(sentence for found in audit.panels[:1] for sentence in found.sentences())
    notes = tuple(
        f"{found.benchmark}, {found.protocol}: {sentence}"
        for found in audit.panels[1:]
        for sentence in found.sentences()
    )
    return Section(id="panel", title="Panel: the judges together", says=says, parts=parts, notes=notes)


def _tables(found: JudgePanel, *, many: bool) -> list[Table]:
    where = f"{found.benchmark}, {found.protocol}: " if many else ""
    same = Table(
        title=f"{where}same verdict, of {found.cases:,} cases on {found.questions:,} questions",
        headers=("", *found.judges),
        rows=tuple(
            (Cell(name), *(NONE if i == j else Cell(f"{share:.1%}", shade=shade(share)) for j, share in enumerate(row)))
            for i, (name, row) in enumerate(zip(found.judges, found.same, strict=True))
        ),
    )
    each = Table(
        title=f"{where}the share of cases that each judge has right",
        headers=("judge", "by labels", "without labels", "if errors were independent", "weight then"),
        rows=tuple(_judge(found, place) for place in range(len(found.judges))),
    )
    errors = Table(
        title=f"{where}who errs with whom",
        headers=("judge", "and", "correlation of errors"),
        left=2,
        rows=tuple(
            (
                Cell(one.judge),
                Cell(one.other),
                Cell(f"{one.correlation.estimate:.2f}", f"{one.correlation.lower:.2f} to {one.correlation.upper:.2f}"),
            )
            for one in sorted(found.errors, key=lambda one: -one.correlation.estimate)
        ),
    )
    told = found.accuracy or found.without_labels
    return [same, *([each] if told else []), *([errors] if found.errors else [])]


def _judge(found: JudgePanel, place: int) -> tuple[Cell, ...]:
    by_labels = Cell(f"{found.accuracy[place]:.1%}") if found.accuracy else NONE
    if not found.without_labels:
        return Cell(found.judges[place]), by_labels, NONE, NONE, NONE
    one = found.without_labels[place]
    return (
        Cell(one.judge),
        by_labels,
        Cell(f"{one.lower:.0%} to {one.upper:.0%}") if found.possible else NONE,
        NONE if one.independent is None else Cell(f"{one.independent:.1%}"),
        NONE if one.weight is None else Cell(f"{one.weight:.2f}"),
    )
