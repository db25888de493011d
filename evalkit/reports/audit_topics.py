"""Findings -> sections: one a topic, with a plot of intervals, a table of everything measured, and one by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.auditing.findings import Audit, Finding, counted
from evalkit.reports.audit_figures import SHARES, Figure, Forest, Mark
from evalkit.reports.audit_metrics import TOPICS, Key, Look, key, label, limits, look, names, number, topic
from evalkit.reports.audit_metrics import models as models_of
from evalkit.reports.audit_parts import NONE, Cell, Section, Table

PLOTTED: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "position": (
        ("share of pairs", "share", ("position_consistency", "position_first", "position_last")),
        ("logits; above 0 favours the first", "signed", ("position_logit",)),
    ),
    "length": (("logits per SD of length", "signed", ("length_slope",)),),
    "format": (("logits per SD", "signed", ("",)),),
}
"""By topic: unit, look, and the metrics (or how they begin) of each plot."""

BY_MODEL = ("correction",)
"""Topics whose findings about single models have a table of their own."""

ANOTHER_QUANTITY = frozenset({"win_rate_rogan_gladen"})
"""Of other pairs, and of outright wins: it must not be plotted on one axis with win rates of all pairs."""

METRICS = 8
"""Columns of a table by category."""

GAPS = {1: ("all pairs",), 2: ("closer", "farther apart"), 3: ("closest third", "middle third", "farthest third")}
"""By how many groups the pairs fall into."""


def sections(audit: Audit) -> list[Section]:
    """Every topic something was measured in."""
    called = names(audit)
    result = []
    for one in TOPICS:
        found = [row for row in audit.findings if row.estimate is not None and topic(row.metric) == one.name]
        if not found:
            continue
        apart = [row for row in found if one.name in BY_MODEL and isinstance(row.details.get("model"), str)]
        found = [row for row in found if row not in apart]
        whole = [row for row in found if row.category is None]
        lost = [row for row in audit.findings if row.estimate is None and topic(row.metric) == one.name]
        parts: list[Table | Figure] = [
            *(kin(found, called) if one.name == "self" else figures(one.name, found, called)),
            *everything(one.title, whole, called),
            *gaps(whole, called),
            *categories(one.title, [*found, *lost], called),
            *models(one.title, [row for row in apart if row.category is None], called),
        ]
        result.append(Section(id=one.name, title=one.title, says=one.says, parts=tuple(parts)))
    return result


def estimate(row: Finding) -> Cell:
    """The estimate with its interval, or why there is none."""
    if row.estimate is None:
        return replace(NONE, small=row.not_measurable or "")
    how = look(row)
    return Cell(number(row.estimate, how), limits(row.lower, row.upper, how))


def everything(title: str, rows: Sequence[Finding], called: dict[Key, str]) -> list[Table]:
    """What was measured over all categories, in plain words; a table a judge."""
    result = []
    many = len({key(row) for row in rows}) > 1
    for who, name in called.items():
        mine = [row for row in rows if key(row) == who]
        if mine:
            result.append(
                Table(
                    title=f"{title}: everything measured" + (f", {name}" if many else ""),
                    headers=("measured", "estimate, 95% interval", "n"),
                    rows=tuple((Cell(subject(row)), estimate(row), _count(row)) for row in mine),
                    under=tuple(row.sentence for row in mine),
                )
            )
    return result


def subject(row: Finding) -> str:
    """What was measured, and of which model where it is about one."""
    about = models_of(row)
    more = f" and {len(about) - 3} more" if len(about) > 3 else ""
    return label(row.metric) + (f": {', '.join(about[:3])}{more}" if about else "")


def _count(row: Finding) -> Cell:
    questions = counted(row.questions, "question") if row.questions else ""
    return Cell(f"{row.n:,}", questions) if row.n else NONE


def gaps(rows: Sequence[Finding], called: dict[Key, str]) -> list[Table]:
    """A table a judge: position where the two models are close, and where they are far apart."""
    result = []
    for row in rows:
        thirds = row.details.get("by_gap")
        if not isinstance(thirds, Sequence) or not thirds:
            continue
        many = len({key(other) for other in rows}) > 1
        lines = []
        for name, third in zip(GAPS[len(thirds)], thirds, strict=True):
            cells = [Cell(name, small=f"{third['gap']:.2f} logits apart on average")]
            looks: tuple[tuple[str, Look], ...] = (("consistency", "share"), ("fairness", "signed"))
            for what, how in looks:
                low, high = third[f"{what}_limits"]
                cells.append(Cell(number(third[what], how), limits(low, high, how)))
            cells.append(Cell(f"{third['n']:,}", counted(third["questions"], "question")))
            lines.append(tuple(cells))
        result.append(
            Table(
                title="Position by quality gap" + (f", {called[key(row)]}" if many else ""),
                headers=("quality of the two models", *map(label, ("position_consistency", "position_fairness")), "n"),
                rows=tuple(lines),
                notes=("Fairness runs from -1, always the first, to +1, always the second.",),
            )
        )
    return result


def categories(title: str, rows: Sequence[Finding], called: dict[Key, str]) -> list[Table]:
    """One table a judge: categories down, metrics across."""
    result = []
    many = len({key(row) for row in rows if row.category is not None}) > 1
    for who, name in called.items():
        mine = [row for row in rows if key(row) == who and row.category is not None]
        metrics = list(dict.fromkeys(row.metric for row in mine))[:METRICS]
        if all(row.estimate is None for row in mine):
            continue
        cells = {(row.category, row.metric): row for row in mine}
        lines = []
        for category in dict.fromkeys(row.category for row in mine):
            found = [cells.get((category, metric)) for metric in metrics]
            lines.append((Cell(category or ""), *(NONE if row is None else estimate(row) for row in found)))
        result.append(
            Table(
                title=f"{title} by category" + (f", {name}" if many else ""),
                headers=("category", *(label(metric) for metric in metrics)),
                rows=tuple(lines),
                folded=len(metrics) > 4,
            )
        )
    return result


def models(title: str, rows: Sequence[Finding], called: dict[Key, str]) -> list[Table | Figure]:
    """Findings about single models: a plot and a table a judge, models down, metrics across."""
    result: list[Table | Figure] = []
    for judge, name in called.items():
        cells = {(str(row.details["model"]), row.metric): row for row in rows if key(row) == judge}
        listed = list(dict.fromkeys(model for model, _ in cells))
        metrics = list(dict.fromkeys(metric for _, metric in cells))[:METRICS]
        if not cells:
            continue
        how = look(next(iter(cells.values())))
        alike = [metric for metric in metrics if _look(cells, metric) == how and metric not in ANOTHER_QUANTITY][:4]
        share = how == "share"
        forest = Forest(
            alt=f"{title} of {len(listed)} models, by {name}; the table below has the numbers",
            unit=f"{'win rate' if alike[0].startswith('win_rate') else title.lower()}, {name}",
            rows=tuple(listed[:40]),
            series={label(metric): [mark(cells.get((model, metric))) for model in listed[:40]] for metric in alike},
            null=None if share else 0.0,
            span=SHARES if share else None,
        )
        lines = []
        for model in listed:
            found = [cells.get((model, metric)) for metric in metrics]
            lines.append((Cell(model), *(NONE if row is None else estimate(row) for row in found)))
        headers = ("model", *(label(metric) for metric in metrics))
        words = tuple((Cell(model), Cell(row.sentence)) for (model, _), row in cells.items())
        result += [
            forest,
            Table(title=f"{title}, {name}, by model", headers=headers, rows=tuple(lines)),
            Table(title=f"{title}, {name}, in words", headers=("model", ""), rows=words, left=2, folded=True),
        ]
    return result


def _look(cells: Mapping[tuple[str, str], Finding], metric: str) -> Look:
    return next(look(row) for (_, one), row in cells.items() if one == metric)


def figures(name: str, rows: Sequence[Finding], called: dict[Key, str]) -> list[Forest]:
    """Intervals of one topic: rows are metrics, judges or, for a single judge and metrics that compare, categories."""
    result = []
    for unit, how, metrics in PLOTTED.get(name, ()):
        mine = [row for row in rows if row.metric.startswith(metrics) and look(row) == how]
        mine = [row for row in mine if not row.metric.endswith("_by_gap")]  # another unit
        if how == "share":
            result += _shares(unit, mine, called)
        else:
            result += _effects(unit, mine, called)
    return result


def mark(row: Finding | None) -> Mark | None:
    """As a plot has it."""
    return None if row is None or row.estimate is None else Mark(row.estimate, row.lower, row.upper)


def kin(rows: Sequence[Finding], called: dict[Key, str]) -> list[Forest]:
    """One plot a judge: its own kin, and below them the models that are none."""
    result = []
    many = len({key(row) for row in rows}) > 1
    for who, name in called.items():
        mine = [row for row in rows if key(row) == who and isinstance(row.details.get("placebo"), Mapping)]
        if not mine:
            continue
        marks = {subject(row): mark(row) for row in mine}
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


def _shares(unit: str, rows: Sequence[Finding], called: dict[Key, str]) -> list[Forest]:
    """One row a judge, or one a category where there is one judge only."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    judges = list(dict.fromkeys(key(row) for row in rows))
    cells = {(key(row), row.category, row.metric): row for row in rows}
    if not metrics:
        return []
    lines: list[tuple[str, Key, str | None]] = [(called[who], who, None) for who in judges]
    if len(judges) == 1:
        listed = dict.fromkeys(row.category for row in rows if row.category is not None)
        lines = [("all", judges[0], None), *((one, judges[0], one) for one in listed)]
    series = {label(m): [mark(cells.get((who, category, m))) for _, who, category in lines] for m in metrics}
    return [
        Forest(
            alt=f"{unit}: {', '.join(series)}; the table below has the numbers",
            unit=unit,
            rows=tuple(text for text, _, _ in lines[:30]),
            series={name: marks[:30] for name, marks in series.items()},
            span=SHARES,
        )
    ]


def _effects(unit: str, rows: Sequence[Finding], called: dict[Key, str]) -> list[Forest]:
    """One row a metric, one series a judge; of a single metric, one row a judge."""
    whole = [row for row in rows if row.category is None]
    metrics = list(dict.fromkeys(subject(row) for row in whole))[:30]
    judges = list(dict.fromkeys(key(row) for row in whole))[: 4 if len(metrics) > 1 else 30]
    if len(metrics) * len(judges) < 2:
        return []
    cells = {(key(row), subject(row)): row for row in whole}
    lines, series = metrics, {called[who]: [mark(cells.get((who, metric))) for metric in metrics] for who in judges}
    if len(metrics) == 1:
        lines = [called[who] for who in judges]
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
