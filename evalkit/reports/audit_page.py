"""An audit as one self-contained web page without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from evalkit.core.text import plain
from evalkit.evidence.findings import Audit, Example
from evalkit.reports import web
from evalkit.reports.audit_against import against
from evalkit.reports.audit_agreement import agreement
from evalkit.reports.audit_limits import detectable, lacking
from evalkit.reports.audit_metrics import judge_key, judge_labels
from evalkit.reports.audit_panel import panel
from evalkit.reports.audit_parts import Cell, Section, Table, finite
from evalkit.reports.audit_sections import failures, histograms, places, provenance, ratings, with_failures
from evalkit.reports.audit_topics import sections
from evalkit.reports.audit_verdict import looked_at, verdict

TEMPLATE = "audit.html.j2"
LABEL, SENTENCE = 160, 1200
"""Characters of a name and of a sentence that are shown."""

KINDS = {
    "inconsistent": "The verdict changed with the order",
    "human_disagrees": "People say otherwise",
    "gold_disagrees": "The gold label says otherwise",
}


class PageLimits(NamedTuple):
    """How much a page shows of what may be long, so that it stays readable and below two megabytes."""

    judges: int = 20
    parts: int = 20
    """Tables and figures of a section."""
    figures: int = 40
    """Figures of the page."""
    rows: int = 100
    """Rows of a table."""
    characters: int = 700_000
    """Characters of all tables of the page together; the first table of a section is always shown."""
    examples: int = 9
    text: int = 3000
    """Characters of an answer."""


LIMITS = PageLimits()


def page(
    audit: Audit,
    *,
    title: str = "How far can this judge be trusted?",
    when: str = "",
    about: Iterable[tuple[str, str]] = (),
    run: Mapping[str, Any] | None = None,
) -> str:
    """The page. Everything that comes from data is escaped, and no script may run.

    Args:
        audit: what was found.
        title: heading of the page.
        when: the date beside it.
        about: configuration, versions, costs and the like, as names and values.
        run: what a run asked for, as ``run_results.results`` gives it; the audit is folded below that.
    """
    audit = finite(audit)
    labels = judge_labels(audit)
    listed: list[Section | None] = [
        agreement(audit),
        panel(audit),
        ratings(audit) if run is None else None,
        against(audit),
        *with_failures(sections(audit, labels), failures(audit, labels)),
        places(audit),
        histograms(audit),
        _examples(audit),
        lacking(audit, labels),
        detectable(audit, labels),
        provenance(audit, labels, list(about)),
    ]
    space = _Space()
    shown = [_section(section, space) for section in listed if section is not None]
    return web.render(
        TEMPLATE,
        title=_name(title),
        when=_name(when),
        verdicts=[
            {
                "judge": _name(labels[judge_key(subject)]),
                "facts": _name(f"{subject.benchmark}, {subject.protocol}", SENTENCE),
                "judgments": f"{subject.judgments:,}",
                "questions": f"{subject.questions:,}",
                "votes": f"{subject.votes:,}",
                "grades": f"{subject.grades:,}" if subject.grades else "",
                "said": {name: [_name(text, SENTENCE) for text in said] for name, said in result.said.items()},
                "looked_at": looked_at(result),
            }
            for subject in audit.subjects[: LIMITS.judges]
            for result in (verdict(audit, subject),)
        ],
        more_judges=max(0, len(audit.subjects) - LIMITS.judges),
        notes=[_name(note, SENTENCE) for note in audit.notes[: LIMITS.rows]],
        sections=shown,
        run=run,
    )


@dataclass
class _Space:
    """What is left of the page for tables and figures."""

    characters: int = LIMITS.characters
    figures: int = LIMITS.figures


def _section(section: Section, space: _Space) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for part in section.parts[: LIMITS.parts]:
        if isinstance(part, Table):
            table = _table(part)
            size = sum(len(cell["text"]) + len(cell["small"]) + 40 for row in table["rows"] for cell in row)
            size += sum(map(len, table["under"]))
            if size > space.characters and parts:
                continue
            space.characters -= size
            parts.append({"kind": "table", "table": table})
        elif space.figures:
            space.figures -= 1
            parts.append({"kind": "figure", "picture": web.picture(part)})
    left = len(section.parts) - len(parts)
    more = [f"{left} more tables and plots: see the JSON form of this audit"] if left > 0 else []
    return {
        "id": section.id,
        "title": _name(section.title),
        "says": _name(section.says, SENTENCE),
        "parts": parts,
        "examples": [_example(example) for example in section.examples],
        "notes": [*(_name(note, SENTENCE) for note in section.notes), *more],
    }


def _table(table: Table) -> dict[str, Any]:
    left = len(table.rows) - LIMITS.rows
    more = [f"{left:,} more rows: see the JSON form of this audit"] if left > 0 else []
    return {
        "title": _name(table.title),
        "headers": [_name(header) for header in table.headers],
        "rows": [[_cell(cell) for cell in row] for row in table.rows[: LIMITS.rows]],
        "left": table.left,
        "breaks": table.breaks,
        "notes": [*(_name(note, SENTENCE) for note in table.notes), *more],
        "under": [_name(text, SENTENCE) for text in table.under[: LIMITS.rows]],
        "folded": table.folded,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "text": _name(cell.text, SENTENCE),
        "limits": _name(cell.limits),
        "shade": cell.shade,
        "small": _name(cell.small, SENTENCE),
    }


def _name(text: str, most: int = LABEL) -> str:
    """One line, cut where it is too long for what it is."""
    return plain(text if len(text) <= most else text[: most - 1] + "…")


def _examples(audit: Audit) -> Section | None:
    """Some of each kind, in the order of the audit."""
    kinds: dict[str, list[Example]] = {}
    for example in audit.examples:
        kinds.setdefault(example.kind, []).append(example)
    each = max(1, LIMITS.examples // max(1, len(kinds)))
    chosen = tuple(example for found in kinds.values() for example in found[:each])
    if not chosen:
        return None
    says = "Chosen because they tell most, so they are not typical. Nobody's text is rendered or run here."
    return Section(id="examples", title="Telling examples", says=says, examples=chosen)


def _example(example: Example) -> dict[str, Any]:
    return {
        "kind": KINDS[example.kind],
        "where": _name(
            f"{example.benchmark}, {example.category}, question {example.item}, turn {example.turn}", SENTENCE
        ),
        "question": excerpt(example.question, LIMITS.text // 2),
        "judge": _name(example.judge),
        "judge_says": [_name(text, SENTENCE) for text in example.judge_says[:6]],
        "others_say": [_name(text, SENTENCE) for text in example.others_say[:12]],
        "sides": [
            {"model": _name(model), **excerpt(answer, LIMITS.text)}
            for model, answer in ((example.model_a, example.answer_a), (example.model_b, example.answer_b))
        ],
        "raw": [excerpt(text, LIMITS.text // 2) for text in example.raw[:2]],
    }


FIRST = 500
"""Characters of an answer that are seen without asking for more."""


def excerpt(text: str | None, most: int) -> dict[str, Any]:
    """Beginning of a text, what follows on demand, and how much is not on the page at all."""
    if text is None:
        return {"known": False, "begin": "", "rest": "", "cut": 0}
    lines = re.split(r"\r\n|\r|\n", text[:most])
    shown = "\n".join(plain(line.replace("\t", "    ")) for line in lines)
    end = len(shown)
    if end > FIRST + 100:
        end = max(shown.rfind(" ", FIRST - 80, FIRST), shown.rfind("\n", FIRST - 80, FIRST)) + 1 or FIRST
    return {"known": True, "begin": shown[:end], "rest": shown[end:], "cut": max(0, len(text) - most)}
