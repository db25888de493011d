"""An audit as it leaves the program: a summary on the terminal, JSON, or a page."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.core.text import plain
from evalkit.evidence.findings import Audit, Finding
from evalkit.reports import leaderboard_tables
from evalkit.reports.grid import Grid, GridCell
from evalkit.reports.output import write

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = {".txt": "table", ".json": "json", ".html": "html", ".htm": "html", ".md": "md", ".tex": "latex"}
"""What a file's name says of its format."""


def present(
    found: Audit,
    form: str,
    output: Path | None,
    console: Console,
    note: Callable[[str], None],
    *,
    about: Sequence[tuple[str, str]] = (),
) -> None:
    """Print an audit or write it, in this form: table, json, html, md or latex.

    Where a page is written, the tables are printed as well. The page also says what it is ``about``: configuration,
    costs and the like, as names and values.
    """
    if form != "html" or output is not None:
        for text in found.notes:
            note(plain(text))
    if form == "json":
        write(to_json(found), output, note)
    elif form in ("md", "latex"):
        write(to_markdown(found) if form == "md" else to_latex(found), output, note)
    elif form == "html":
        from evalkit.reports.audit_page import page

        write(page(found, about=about), output, note)
        if output is not None:
            _summary(found, console)
    elif output is None:
        _summary(found, console)
    else:
        from rich.console import Console as Captured

        buffer = io.StringIO()
        _summary(found, Captured(file=buffer, width=140, highlight=False))
        write(buffer.getvalue().rstrip("\n"), output, note)


def to_json(found: Audit) -> str:
    """The audit as data, schema ``evalkit.audit/1``."""
    data: dict[str, Any] = {
        "schema": "evalkit.audit/1",
        "findings": [_finding(row) for row in found.findings],
        "agreement": [vars(row) for row in found.agreement],
        "subjects": [asdict(row) for row in found.subjects],
        "ratings": [vars(row) for row in found.ratings],
        "rating_notes": {name: list(notes) for name, notes in found.rating_notes.items()},
        "histograms": [vars(row) for row in found.histograms],
        "examples": [vars(row) for row in found.examples],
        "panels": [
            {
                **asdict(row),
                "votes": row.votes._asdict(),
                "error_votes": row.error_votes._asdict() if row.error_votes else None,
                "errors": [{**one._asdict(), "correlation": one.correlation._asdict()} for one in row.errors],
                "without_labels": [one._asdict() for one in row.without_labels],
                "enough": row.enough._asdict() if row.enough else None,
                "sentences": row.sentences(),
            }
            for row in found.panels
        ],
        "against": [asdict(row) for row in found.against],
        "notes": list(found.notes),
    }
    try:
        return msgspec.json.format(msgspec.json.encode(data, enc_hook=_json), indent=1).decode()
    except UnicodeEncodeError:  # half a surrogate pair, which only escapes can spell
        return json.dumps(data, default=_json, indent=1)


def to_markdown(found: Audit) -> str:
    """Every table of the audit's page as Markdown."""
    return leaderboard_tables.to_markdown(grids(found))


def to_latex(found: Audit) -> str:
    """Every table of the audit's page as LaTeX, in the style of booktabs."""
    return leaderboard_tables.to_latex(grids(found))


def grids(found: Audit) -> list[Grid]:
    """Every table of the audit's page, in its order: agreement, panels, ratings, topics, failures, scores given."""
    from evalkit.reports.audit_agreement import agreement
    from evalkit.reports.audit_metrics import judge_labels
    from evalkit.reports.audit_panel import panel
    from evalkit.reports.audit_parts import Table, finite
    from evalkit.reports.audit_sections import failures, histograms, places, ratings
    from evalkit.reports.audit_topics import sections

    shown = finite(found)
    labels = judge_labels(shown)
    listed = [
        agreement(shown),
        panel(shown),
        ratings(shown),
        *sections(shown, labels),
        failures(shown, labels),
        places(shown),
        histograms(shown),
    ]
    parts = (part for section in listed if section is not None for part in section.parts)
    return [
        Grid(
            title=part.title,
            headers=part.headers,
            rows=tuple(tuple(GridCell(cell.text, cell.limits) for cell in row) for row in part.rows),
            left=part.left,
            breaks=part.breaks,
            notes=part.notes,
        )
        for part in parts
        if isinstance(part, Table)
    ]


_EITHER = ("estimate", "not_measurable")
"""A finding has the one or the other."""


def _finding(row: Finding) -> dict[str, Any]:
    """A finding, its metric by name, and what that is called, counted in and compared with."""
    fields = {"metric" if name == "measure" else name: value for name, value in vars(row).items()}
    fields |= {"metric": row.metric, "label": row.measure.label, "unit": row.measure.unit.name}
    fields |= {"unbiased": row.measure.unbiased, "chance": row.measure.chance}
    return {name: value for name, value in fields.items() if name not in _EITHER or value is not None}


def _json(value: object) -> object:
    """NumPy's numbers and arrays, and read-only mappings, as JSON has them."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"no JSON for {type(value).__name__}")


def _summary(found: Audit, console: Console) -> None:
    from evalkit.reports.audit_tables import show

    show(console, found)
