"""An audit as one self-contained web page. Everything but the plots' interaction works without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from evalkit.auditing.findings import Audit, Example
from evalkit.report import plain
from evalkit.reports import web
from evalkit.reports.audit_agreement import agreement
from evalkit.reports.audit_figures import Figure, height, plotly
from evalkit.reports.audit_limits import detectable, lacking
from evalkit.reports.audit_metrics import judge_key, judge_labels
from evalkit.reports.audit_parts import Cell, Section, Table, finite
from evalkit.reports.audit_sections import failures, histograms, provenance, ratings, with_failures
from evalkit.reports.audit_svg import svg
from evalkit.reports.audit_topics import sections
from evalkit.reports.audit_verdict import verdict

TEMPLATE = "audit.html.j2"
SCRIPT = "audit.js"
LIMIT = 6_000_000
"""Bytes of a page, Plotly included."""
LABEL, SENTENCE = 160, 1200
"""Characters of a name and of a sentence that are shown."""

KINDS = {
    "inconsistent": "The verdict changed with the order",
    "human_disagrees": "People say otherwise",
    "gold_disagrees": "The gold label says otherwise",
}


class Room(NamedTuple):
    """How much is shown of what may be long."""

    judges: int
    parts: int
    """Tables and figures of a section."""
    rows: int
    """Of a table."""
    examples: int
    text: int
    """Characters of an answer."""


ROOMS = (Room(40, 40, 250, 16, 3000), Room(12, 12, 80, 8, 1500), Room(4, 4, 25, 3, 500))
"""The roomiest that keeps the page below its limit."""


def page(
    audit: Audit,
    *,
    title: str = "How far can this judge be trusted?",
    when: str = "",
    about: Iterable[tuple[str, str]] = (),
    ratings_first: bool = False,
) -> str:
    """The page. Everything that comes from data is escaped; only the two scripts named by their hash may run.

    Args:
        audit: what was found.
        title: heading of the page.
        when: the date beside it.
        about: configuration, versions, costs and the like, as names and values.
        ratings_first: how the models did comes before what may be concluded from the judges.
    """
    facts = list(about)
    text = ""
    for room in ROOMS:
        text = _page(finite(audit), (title, when), facts, room, ratings_first)
        if len(text.encode()) < LIMIT:
            break
    return text


def _page(
    audit: Audit, heading: tuple[str, str], about: Sequence[tuple[str, str]], room: Room, ratings_first: bool
) -> str:
    labels = judge_labels(audit)
    listed: list[Section | None] = [
        agreement(audit),
        ratings(audit),
        *with_failures(sections(audit, labels), failures(audit, labels)),
        histograms(audit),
        _examples(audit, room),
        lacking(audit, labels),
        detectable(audit, labels),
        provenance(audit, labels, about),
    ]
    figures: list[Figure] = []
    shown = [_section(section, room, figures) for section in listed if section is not None]
    return web.render(
        TEMPLATE,
        SCRIPT,
        [{"height": height(figure), **_plain(plotly(figure))} for figure in figures],
        title=_name(heading[0]),
        when=_name(heading[1]),
        verdicts=[
            {
                "judge": _name(labels[judge_key(subject)]),
                "facts": _name(f"{subject.benchmark}, {subject.protocol}", SENTENCE),
                "judgments": f"{subject.judgments:,}",
                "questions": f"{subject.questions:,}",
                "votes": f"{subject.votes:,}",
                "grades": f"{subject.grades:,}" if subject.grades else "",
                "said": {
                    name: [_name(text, SENTENCE) for text in said]
                    for name, said in vars(verdict(audit, subject)).items()
                },
            }
            for subject in audit.subjects[: room.judges]
        ],
        more_judges=max(0, len(audit.subjects) - room.judges),
        notes=[_name(note, SENTENCE) for note in audit.notes[: room.rows]],
        above=[one for one in shown if ratings_first and one["id"] == "ratings"],
        sections=[one for one in shown if not (ratings_first and one["id"] == "ratings")],
    )


def _section(section: Section, room: Room, figures: list[Figure]) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for part in section.parts[: room.parts]:
        if isinstance(part, Table):
            parts.append({"kind": "table", "table": _table(part, room)})
        else:
            parts.append({"kind": "figure", "number": len(figures), "alt": _name(part.alt), "still": _still(part)})
            figures.append(part)
    left = len(section.parts) - room.parts
    more = [f"{left} more tables and plots: see the JSON form of this audit"] if left > 0 else []
    return {
        "id": section.id,
        "title": _name(section.title),
        "says": _name(section.says, SENTENCE),
        "parts": parts,
        "examples": [_example(example, room) for example in section.examples],
        "notes": [*(_name(note, SENTENCE) for note in section.notes), *more],
    }


def _table(table: Table, room: Room) -> dict[str, Any]:
    left = len(table.rows) - room.rows
    more = [f"{left:,} more rows: see the JSON form of this audit"] if left > 0 else []
    return {
        "title": _name(table.title),
        "headers": [_name(header) for header in table.headers],
        "rows": [[_cell(cell) for cell in row] for row in table.rows[: room.rows]],
        "left": table.left,
        "breaks": table.breaks,
        "notes": [*(_name(note, SENTENCE) for note in table.notes), *more],
        "under": [_name(text, SENTENCE) for text in table.under[: room.rows]],
        "folded": table.folded,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "text": _name(cell.text, SENTENCE),
        "limits": _name(cell.limits),
        "shade": cell.shade,
        "small": _name(cell.small, SENTENCE),
    }


def _still(figure: Figure) -> Any:
    from markupsafe import Markup

    return Markup(plain(svg(figure)))


def _plain(value: Any) -> Any:
    """The same with every string made safe to look at."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return _name(value, 3 * LABEL) if isinstance(value, str) else value


def _name(text: str, most: int = LABEL) -> str:
    """One line, cut where it is too long for what it is."""
    return plain(text if len(text) <= most else text[: most - 1] + "…")


def _examples(audit: Audit, room: Room) -> Section | None:
    """Some of each kind, in the order of the audit."""
    kinds: dict[str, list[Example]] = {}
    for example in audit.examples:
        kinds.setdefault(example.kind, []).append(example)
    each = max(1, room.examples // max(1, len(kinds)))
    chosen = tuple(example for found in kinds.values() for example in found[:each])
    if not chosen:
        return None
    says = "Chosen because they tell most, so they are not typical. Nobody's text is rendered or run here."
    return Section(id="examples", title="Telling examples", says=says, examples=chosen)


def _example(example: Example, room: Room) -> dict[str, Any]:
    return {
        "kind": KINDS[example.kind],
        "where": _name(
            f"{example.benchmark}, {example.category}, question {example.item}, turn {example.turn}", SENTENCE
        ),
        "question": _text(example.question, room.text // 2),
        "judge": _name(example.judge),
        "judge_says": [_name(text, SENTENCE) for text in example.judge_says[:6]],
        "others_say": [_name(text, SENTENCE) for text in example.others_say[:12]],
        "sides": [
            {"model": _name(model), **_text(answer, room.text)}
            for model, answer in ((example.model_a, example.answer_a), (example.model_b, example.answer_b))
        ],
        "raw": [_text(text, room.text // 2) for text in example.raw[:2]],
    }


FIRST = 500
"""Characters of an answer that are seen without asking for more."""


def _text(text: str | None, most: int) -> dict[str, Any]:
    """Its beginning, what follows on demand, and how much is not on the page at all."""
    if text is None:
        return {"known": False, "begin": "", "rest": "", "cut": 0}
    lines = re.split(r"\r\n|\r|\n", text[:most])
    shown = "\n".join(plain(line.replace("\t", "    ")) for line in lines)
    end = len(shown)
    if end > FIRST + 100:
        end = max(shown.rfind(" ", FIRST - 80, FIRST), shown.rfind("\n", FIRST - 80, FIRST)) + 1 or FIRST
    return {"known": True, "begin": shown[:end], "rest": shown[end:], "cut": max(0, len(text) - most)}
