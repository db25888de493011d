"""Findings -> sections: one a topic, with a plot of intervals, a table of everything measured, and one by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.biases.position import CONSISTENCY, FAIRNESS
from evalkit.evidence.findings import Audit, Finding, counted
from evalkit.evidence.metrics import Form
from evalkit.reports.audit_figures import SHARES, Figure, Forest, Mark
from evalkit.reports.audit_metrics import (
    JudgeKey,
    counts,
    display_name,
    judge_key,
    limits,
    number,
    subject_name,
    topics,
    unbiased,
)
from evalkit.reports.audit_parts import NONE, Cell, Section, Table

METRICS = 8
"""Columns of a table by category."""

GAPS = {1: ("all pairs",), 2: ("closer", "farther apart"), 3: ("closest third", "middle third", "farthest third")}
"""By how many groups the pairs fall into."""


def sections(audit: Audit, labels: Mapping[JudgeKey, str]) -> list[Section]:
    """Every topic something was measured in."""
    result = []
    for topic in topics(audit):
        mine = [row for row in audit.findings if row.measure.topic.name == topic.name]
        found = [row for row in mine if row.estimate is not None]
        if not found:
            continue
        apart = [row for row in found if topic.by_model and isinstance(row.details.get("model"), str)]
        told = [row for row in found if row.measure.as_sentence]
        found = [row for row in found if row not in apart and row not in told]
        whole = [row for row in found if row.category is None]
        lost = [row for row in mine if row.estimate is None]
        parts: list[Table | Figure] = [
            *kin(found, labels),
            *figures(found, labels),
            *everything(topic.title, whole, labels),
            *gaps(whole, labels),
            *categories(topic.title, [*found, *lost], labels),
            *models(topic.title, [row for row in apart if row.category is None], labels),
        ]
        many = len({judge_key(row) for row in told}) > 1
        notes = tuple((f"{labels[judge_key(row)]}: " if many else "") + row.sentence for row in told)
        result.append(Section(id=topic.name, title=topic.title, says=topic.says, parts=tuple(parts), notes=notes))
    return result


def estimate(row: Finding) -> Cell:
    """The estimate with its interval, or why there is none."""
    if row.estimate is None:
        return replace(NONE, small=row.not_measurable or "")
    how = row.measure.unit.form
    return Cell(number(row.estimate, how), limits(row.lower, row.upper, how, row.measure.unbiased))


def everything(title: str, rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Table]:
    """What was measured over all categories, in plain words; a table a judge."""
    result = []
    many = len({judge_key(row) for row in rows}) > 1
    for who, name in labels.items():
        mine = [row for row in rows if judge_key(row) == who]
        if mine:
            result.append(
                Table(
                    title=f"{title}: everything measured" + (f", {name}" if many else ""),
                    headers=("measured", "estimate, 95% interval", "unbiased", "n"),
                    rows=tuple((Cell(subject_name(row)), estimate(row), _null(row), _count(row)) for row in mine),
                    under=tuple(row.sentence for row in mine),
                )
            )
    return result


def _null(row: Finding) -> Cell:
    return Cell(unbiased(row)) if unbiased(row) else NONE


def _count(row: Finding) -> Cell:
    questions = counted(row.questions, "question") if row.questions else ""
    return Cell(counts(row), questions) if row.n else NONE


def gaps(rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Table]:
    """A table a judge: position where the two models are close, and where they are far apart."""
    result = []
    for row in rows:
        thirds = row.details.get("by_gap")
        if not isinstance(thirds, Sequence) or not thirds:
            continue
        many = len({judge_key(other) for other in rows}) > 1
        lines = []
        for name, third in zip(GAPS[len(thirds)], thirds, strict=True):
            cells = [Cell(name, small=f"{third['gap']:.2f} logits apart on average")]
            looks: tuple[tuple[str, Form], ...] = (("consistency", "share"), ("fairness", "signed"))
            for what, how in looks:
                low, high = third[f"{what}_limits"]
                cells.append(Cell(number(third[what], how), limits(low, high, how)))
            cells.append(Cell(f"{third['n']:,}", counted(third["questions"], "question")))
            lines.append(tuple(cells))
        result.append(
            Table(
                title="Position by quality gap" + (f", {labels[judge_key(row)]}" if many else ""),
                headers=("quality of the two models", display_name(CONSISTENCY), FAIRNESS.label, "n"),
                rows=tuple(lines),
                notes=("Fairness runs from -1, always the first, to +1, always the second.",),
            )
        )
    return result


def categories(title: str, rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Table]:
    """One table a judge: categories down, metrics across."""
    result = []
    many = len({judge_key(row) for row in rows if row.category is not None}) > 1
    for who, name in labels.items():
        mine = [row for row in rows if judge_key(row) == who and row.category is not None]
        metrics = list({row.metric: row.measure for row in mine}.values())[:METRICS]
        if all(row.estimate is None for row in mine):
            continue
        cells = {(row.category, row.metric): row for row in mine}
        lines = []
        for category in dict.fromkeys(row.category for row in mine):
            found = [cells.get((category, metric.name)) for metric in metrics]
            lines.append((Cell(category or ""), *(NONE if row is None else estimate(row) for row in found)))
        result.append(
            Table(
                title=f"{title} by category" + (f", {name}" if many else ""),
                headers=("category", *map(display_name, metrics)),
                rows=tuple(lines),
                folded=len(metrics) > 4,
            )
        )
    return result


def models(title: str, rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Table | Figure]:
    """Findings about single models: a plot and a table a judge, models down, metrics across."""
    result: list[Table | Figure] = []
    for judge, name in labels.items():
        cells = {(str(row.details["model"]), row.metric): row for row in rows if judge_key(row) == judge}
        listed = list(dict.fromkeys(model for model, _ in cells))
        metrics = list({row.metric: row.measure for row in cells.values()}.values())[:METRICS]
        axis = next((metric.axis for metric in metrics if metric.axis), "")
        alike = [metric for metric in metrics if axis and metric.axis == axis][:4]
        if alike:
            share = alike[0].unit.form == "share"
            result.append(
                Forest(
                    alt=f"{title} of {len(listed)} models, by {name}; the table below has the numbers",
                    unit=f"{axis}, {name}",
                    rows=tuple(listed[:40]),
                    series={one.label: [mark(cells.get((model, one.name))) for model in listed[:40]] for one in alike},
                    null=None if share else 0.0,
                    span=SHARES if share else None,
                )
            )
        if not cells:
            continue
        lines = []
        for model in listed:
            found = [cells.get((model, metric.name)) for metric in metrics]
            lines.append((Cell(model), *(NONE if row is None else estimate(row) for row in found)))
        headers = ("model", *map(display_name, metrics))
        words = tuple((Cell(model), Cell(row.sentence)) for (model, _), row in cells.items())
        result += [
            Table(title=f"{title}, {name}, by model", headers=headers, rows=tuple(lines)),
            Table(title=f"{title}, {name}, in words", headers=("model", ""), rows=words, left=2, folded=True),
        ]
    return result


def figures(rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Forest]:
    """Intervals of one topic, one figure an axis.

    Rows are metrics, judges or, for a single judge and metrics that compare, categories.
    """
    result = []
    for axis in dict.fromkeys(row.measure.axis for row in rows if row.measure.axis):
        mine = [row for row in rows if row.measure.axis == axis]
        drawn = _shares if mine[0].measure.unit.form == "share" else _effects
        result += drawn(axis, mine, labels)
    return result


def mark(row: Finding | None) -> Mark | None:
    """A finding as one mark of a plot."""
    return None if row is None or row.estimate is None else Mark(row.estimate, row.lower, row.upper)


def kin(rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Forest]:
    """One plot a judge: its own kin, and below them the models that are none."""
    result = []
    many = len({judge_key(row) for row in rows}) > 1
    for who, name in labels.items():
        mine = [row for row in rows if judge_key(row) == who and isinstance(row.details.get("placebo"), Mapping)]
        if not mine:
            continue
        marks = {subject_name(row, unit=False): mark(row) for row in mine}
        for model, value in mine[0].details["placebo"].items():
            if isinstance(value, Mapping) and isinstance(value.get("estimate"), float):
                marks[f"placebo: {model}"] = Mark(value["estimate"], value.get("lower"), value.get("upper"))
        result.append(
            Forest(
                alt=f"How much higher {name} rates its kin than people do, beside models that are no kin",
                unit="logits above what people say" + (f", {name}" if many else ""),
                rows=tuple(marks)[:30],
                series={name: list(marks.values())[:30]},
                null=0.0,
            )
        )
    return result


def _shares(unit: str, rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Forest]:
    """One row a judge, or one a category where there is one judge only."""
    declared = {row.metric: row.measure for row in rows}
    judges = list(dict.fromkeys(judge_key(row) for row in rows))
    cells = {(judge_key(row), row.category, row.metric): row for row in rows}
    lines: list[tuple[str, JudgeKey, str | None]] = [(labels[who], who, None) for who in judges]
    if len(judges) == 1:
        listed = dict.fromkeys(row.category for row in rows if row.category is not None)
        lines = [("all", judges[0], None), *((one, judges[0], one) for one in listed)]
    series = {
        metric.label: [mark(cells.get((who, category, name))) for _, who, category in lines]
        for name, metric in declared.items()
    }
    return [
        Forest(
            alt=f"{unit}: {', '.join(series)}; the table below has the numbers",
            unit=unit,
            rows=tuple(text for text, _, _ in lines[:30]),
            series={name: marks[:30] for name, marks in series.items()},
            span=SHARES,
        )
    ]


def _effects(unit: str, rows: Sequence[Finding], labels: Mapping[JudgeKey, str]) -> list[Forest]:
    """One row a metric, one series a judge; of a single metric, one row a judge."""
    whole = [row for row in rows if row.category is None]
    metrics = list(dict.fromkeys(subject_name(row, unit=False) for row in whole))[:30]
    judges = list(dict.fromkeys(judge_key(row) for row in whole))[: 4 if len(metrics) > 1 else 30]
    if len(metrics) * len(judges) < 2:
        return []
    cells = {(judge_key(row), subject_name(row, unit=False)): row for row in whole}
    lines, series = metrics, {labels[who]: [mark(cells.get((who, metric))) for metric in metrics] for who in judges}
    if len(metrics) == 1:
        lines = [labels[who] for who in judges]
        series = {metrics[0]: [mark(cells.get((who, metrics[0]))) for who in judges]}
    return [
        Forest(
            alt=f"{unit}, with 95% intervals; the table below has the numbers",
            unit=unit,
            rows=tuple(lines),
            series=series,
            null=0.0,
        )
    ]
