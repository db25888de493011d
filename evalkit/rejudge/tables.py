"""Drift -> what a person or a program reads: a summary on the terminal, Markdown, LaTeX, JSON."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.core.text import plain
from evalkit.datasets.benchmark import in_order
from evalkit.rejudge.drift import FIRST, SECOND, TIE, Drift, JudgeSummary, Part
from evalkit.reports import leaderboard_tables
from evalkit.reports.grid import NONE, Grid, GridCell, number
from evalkit.reports.output import write

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.stats.resample import Interval

SCHEMA = "evalkit.rejudge/1"

FORMATS = {".txt": "table", ".json": "json", ".md": "md", ".tex": "latex"}
"""What a file's name says of its format."""


def present(drift: Drift, form: str, output: Path | None, note: Callable[[str], None]) -> None:
    """Print a drift report or write it, in this form: table, md, latex or json.

    Raises:
        UsageError: the file cannot be written.
    """
    from evalkit.core.console import Output, on_paper

    if form == "table" and output is None:
        show(Output(highlight=False), drift)
        return
    if form == "table":
        buffer = io.StringIO()
        show(on_paper(buffer, 140), drift)
        text = buffer.getvalue().rstrip("\n")
    else:
        forms = {"json": to_json, "md": to_markdown, "latex": to_latex}
        text = forms[form](drift)
    write(text, output, note)


def to_markdown(drift: Drift) -> str:
    """The verdict and the tables as Markdown."""
    return f"{leaderboard_tables.markdown_text(drift.verdict)}\n\n{leaderboard_tables.to_markdown(grids(drift))}"


def to_latex(drift: Drift) -> str:
    """The tables in the style of the booktabs package."""
    return leaderboard_tables.to_latex(grids(drift))


def to_json(drift: Drift) -> str:
    """The comparison as data, schema ``evalkit.rejudge/1``; ``lower`` and ``upper`` are null without a number."""
    parts = [drift.overall, *drift.categories] if drift.overall else []
    data = {
        "schema": SCHEMA,
        "verdict": drift.verdict,
        "benchmark": drift.benchmark,
        "protocol": drift.protocol,
        "old": _side(drift.old),
        "new": _side(drift.new),
        "coverage": dataclasses.asdict(drift.coverage),
        "rows": [_part(drift, part) for part in parts],
        "models": [
            {
                "model": row.model,
                "n": row.n,
                "old": row.old,
                "new": row.new,
                **_interval("difference", row.difference),
                "old_rank": row.old_rank,
                "new_rank": row.new_rank,
            }
            for row in drift.models
        ],
        "changes": [
            {"old": old, "new": new, "n": count} for old, row in drift.changes.items() for new, count in row.items()
        ],
    }
    return msgspec.json.format(msgspec.json.encode(data), indent=1).decode()


def _side(side: JudgeSummary) -> dict[str, Any]:
    data = dataclasses.asdict(side)
    return data | {"judge": side.judge.name, "fingerprint": side.judge.fingerprint}


def _part(drift: Drift, part: Part) -> dict[str, Any]:
    data: dict[str, Any] = {"category": part.category, "n": part.n, "questions": part.questions}
    data |= _interval("shift" if drift.shows == 1 else "first_shift", part.shift)
    data |= _interval("exact" if drift.shows == 1 else "agreement", part.agreement)
    if drift.shows == 1:
        return data | {"correlation": part.correlation}
    return data | _interval("kappa", part.kappa)


def _interval(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {name: None, f"{name}_lower": None, f"{name}_upper": None}
    return {name: interval.estimate, f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}


def show(console: Console, drift: Drift) -> None:
    """Print the report. Names come from files: they are made inert."""
    from rich.panel import Panel
    from rich.text import Text

    title = Text(plain(f"{drift.benchmark}, {drift.protocol}: {drift.new.judge.name} re-judges {drift.old.judge.name}"))
    console.print(Panel(Text(plain(drift.verdict)), title=title, title_align="left", padding=(0, 1)))
    leaderboard_tables.show(console, grids(drift))


def grids(drift: Drift) -> list[Grid]:
    """The tables of the report: judges, drift, changed verdicts, models."""
    found = [_sides(drift)]
    if drift.overall is not None:
        found.append(_parts(drift, [drift.overall, *_ordered(drift)]))
        found += [_changes(drift)] if drift.shows == 2 else []
        found += [_models(drift)] if drift.models else []
    return found


def _ordered(drift: Drift) -> list[Part]:
    """Categories as the benchmark has them; one alone is the whole."""
    parts = {part.category or "": part for part in drift.categories}
    return [parts[name] for name in in_order(drift.benchmark, parts)] if len(parts) > 1 else []


def _sides(drift: Drift) -> Grid:
    lines = []
    for name, side in (("old", drift.old), ("new", drift.new)):
        failed = ", ".join(f"{count} {kind}" for kind, count in side.failed.items()) or "0"
        ids = ", ".join(f"{one} ({count:,})" for one, count in side.snapshots.items()) or "not known"
        cells = (name, side.judge.name, ids, _day(side.first), _day(side.last), f"{side.verdicts:,}", failed)
        lines.append(tuple(map(GridCell, cells)))
    headers = ("", "judge", "answered as", "from", "to", "verdicts", "failed")
    return Grid("The judges", headers, tuple(lines), left=5, notes=tuple(_lacking(drift)))


def _day(time: float | None) -> str:
    try:
        return "-" if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):  # a time from a file
        return "-"


def _lacking(drift: Drift) -> list[str]:
    """Which of the old judge's rows have no counterpart, and why; and what else tells against comparing."""
    counts = drift.coverage
    reasons = (
        (counts.beyond_limit, "beyond limit"),
        (counts.no_question, "about questions that are not known"),
        (counts.no_answer, "of answers that are not stored"),
        (counts.pending, "not asked yet: the same command goes on"),
    )
    said = [f"{count:,} of {counts.rows:,} judgments {why}" for count, why in reasons if count]
    if drift.old.protocol != drift.new.protocol:
        old, new = drift.old.protocol, drift.new.protocol
        said.append(f"the judges were asked differently: the old one by {old}, the new one by {new}")
    elif drift.old.parsers and drift.new.parsers and set(drift.old.parsers) != set(drift.new.parsers):
        old, new = (", ".join(side.parsers) for side in (drift.old, drift.new))
        said.append(f"verdicts were read differently: the old ones by {old}, the new ones by {new}")
    return said


def _parts(drift: Drift, parts: Sequence[Part]) -> Grid:
    single = drift.shows == 1
    columns = ("shift", "same score", "correlation") if single else ("agreement", "kappa", "first wins: shift")
    lines = []
    for part in parts:
        shift, same = _shown(part.shift, "{:+z.2f}"), _shown(part.agreement, "{:.0%}")
        correlation = number(part.correlation, 2)
        kappa = NONE if part.kappa is None else number(part.kappa.estimate, 2)
        cells = (shift, same, correlation) if single else (same, kappa, shift)
        lines.append((GridCell(part.category or "all"), GridCell(f"{part.n:,}"), *cells))
    title = f"New against old, on {parts[0].questions:,} questions, with 95% intervals"
    return Grid(title, ("category", "n", *columns), tuple(lines), breaks=frozenset({1} if len(lines) > 1 else ()))


def _changes(drift: Drift) -> Grid:
    labels = (FIRST, SECOND, TIE)
    lines = tuple(
        (GridCell(old), *(GridCell(f"{drift.changes.get(old, {}).get(new, 0):,}") for new in labels)) for old in labels
    )
    return Grid("Showings by verdict: the better one is", ("old", *(f"now {label}" for label in labels)), lines)


def _models(drift: Drift) -> Grid:
    single = drift.shows == 1
    form, change = ("{:z.2f}", "{:+z.2f}") if single else ("{:.1%}", "{:+z.1%}")
    lines = []
    for row in drift.models:
        rank = f"{row.old_rank} → {row.new_rank}" if row.old_rank != row.new_rank else str(row.old_rank)
        texts = (row.model, f"{row.n:,}", form.format(row.old), form.format(row.new))
        lines.append((*map(GridCell, texts), _shown(row.difference, change), GridCell(rank)))
    title = "Models, mean score" if single else "Models, share of wins"
    return Grid(title, ("model", "n", "old", "new", "difference", "rank"), tuple(lines))


def _shown(interval: Interval | None, form: str) -> GridCell:
    if interval is None:
        return NONE
    text = form.format(interval.estimate)
    if interval.lower is None or interval.upper is None:
        return GridCell(text)
    lower, upper = (form.format(limit).rstrip("%") for limit in (interval.lower, interval.upper))
    return GridCell(text, f"{lower} to {upper}")
