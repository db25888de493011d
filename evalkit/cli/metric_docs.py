"""Every metric that an audit can measure, in one table: the page ``docs/metrics.md``, written from the declarations.

``python -m evalkit.cli.metric_docs > docs/metrics.md`` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from evalkit.audit import agreement_statistics, corrections, label_budgets, rankings_compared
from evalkit.audit.analyse import biases
from evalkit.evidence.metrics import Metric, topics_of
from evalkit.probes import findings, rubric_findings
from evalkit.probes.library import PROBES
from evalkit.probes.rubric_library import RUBRIC_PROBES

HEAD = """\
# What an audit measures

Every number of `evalkit audit`, by the heading under which it stands. A name is the `metric` of the JSON. Where its 95%
interval over questions excludes the unbiased value, the claim below the table stands under "You may not". This page is
written from the declarations beside each bias by `python -m evalkit.cli.metric_docs`: change those instead.
"""
COLUMNS = ("metric", "in tables", "question", "unit", "unbiased", "needs", "source")


def metrics() -> list[Metric]:
    """All metrics there are, those of other packages' biases included."""
    return [
        *(metric for bias in biases() for metric in bias.metrics),
        *corrections.METRICS,
        *label_budgets.METRICS,
        *agreement_statistics.METRICS,
        *rankings_compared.METRICS,
        *findings.metrics(PROBES),
        *rubric_findings.metrics(RUBRIC_PROBES),
    ]


def markdown(declared: Iterable[Metric]) -> str:
    """The page. A family of several metrics has one line, with its members' names."""
    listed = list(declared)
    families: dict[Metric, list[Metric]] = {}
    for metric in listed:
        families.setdefault(metric.pattern or metric, []).append(metric)
    lines = [HEAD]
    for topic in topics_of(listed):
        mine = [members for members in families.values() if members[0].topic.name == topic.name]
        lines += [f"## {topic.title}", "", *((topic.says, "") if topic.says else ())]
        lines += [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
        lines += [_line(members) for members in mine]
        lines.append("")
        risks = dict.fromkeys(_of(members).risk for members in mine)
        lines += [f"- At risk: {risk}" for risk in risks if risk]
        lines += [""] if any(risks) else []
    return "\n".join(lines).rstrip() + "\n"


def _of(members: list[Metric]) -> Metric:
    """The metric itself, or the family, with its parts in braces, where there are several members."""
    return members[0] if len(members) == 1 else members[0].pattern or members[0]


def _line(members: list[Metric]) -> str:
    metric = _of(members)
    names = f"`{metric.name}`"
    if len(members) > 1:
        names += ": " + ", ".join(f"`{member.name}`" for member in members)
    unbiased = "none: descriptive" if metric.unbiased is None else f"{metric.unbiased:g}"
    if metric.chance is not None:
        unbiased = f"{metric.chance:g} by chance"
    source = "; ".join(dict.fromkeys(member.source for member in members))
    cells = (names, metric.label, metric.question, metric.unit.name, unbiased, metric.needs, source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(markdown(metrics()))
