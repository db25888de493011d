"""Judges' ratings beside automatic benchmarks: the table of correlations, for the terminal and the page."""

from __future__ import annotations

from evalkit.evidence.findings import Audit, Correlation, FiguresCompared
from evalkit.reports.audit_parts import NONE, Cell, Section, Table

TITLE = "Beside automatic benchmarks"
SAYS = (
    "Correlations over models, which are few, with 95% limits (Fisher's z). A judge and a benchmark that measure the "
    "same thing go together; where they do only until the length of answers is held fixed, length is what they share."
)
HEADERS = ("", "n", "rank (Spearman)", "linear (Pearson)")


def against(audit: Audit) -> Section | None:
    """One table for each judge; None where no table of benchmarks was given."""
    tables = [
        Table(
            title=f"{judge} ({protocol}) on {benchmark}",
            headers=HEADERS,
            rows=tuple((Cell(named(row)), Cell(f"{row.n:,}"), _cell(row.rank), _cell(row.linear)) for row in rows),
            under=tuple(row.sentence for row in rows),
        )
        for (benchmark, judge, protocol), rows in by_judge(audit).items()
    ]
    return Section(id="against", title=TITLE, says=SAYS, parts=tuple(tables)) if tables else None


def by_judge(audit: Audit) -> dict[tuple[str, str, str], list[FiguresCompared]]:
    """The rows of each judge, by benchmark, judge and protocol."""
    found: dict[tuple[str, str, str], list[FiguresCompared]] = {}
    for row in audit.against:
        found.setdefault((row.benchmark, row.judge, row.protocol), []).append(row)
    return found


def named(row: FiguresCompared) -> str:
    """What a row compares, in a line."""
    first = (
        row.first.partition(f" by {row.judge}")[0] if row.first.startswith(("ratings", "mean scores")) else row.first
    )
    text = f"{first} – {row.second}"
    if row.within:
        text += f", {row.within}"
    return text + (f", {row.fixed} held fixed" if row.fixed else "")


def figure(value: Correlation | None) -> tuple[str, str]:
    """A correlation and its limits as they are printed."""
    if value is None:
        return "–", ""
    limits = "" if value.lower is None or value.upper is None else f"{value.lower:+.2f} to {value.upper:+.2f}"
    return f"{value.estimate:+.2f}", limits


def _cell(value: Correlation | None) -> Cell:
    if value is None:
        return NONE
    text, limits = figure(value)
    return Cell(text, limits)
