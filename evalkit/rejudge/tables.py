"""Drift -> what a person or a program reads: a summary on the terminal, JSON."""

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
from evalkit.reports.output import write

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evalkit.stats.resample import Interval

SCHEMA = "evalkit.rejudge/1"

FORMATS = {".txt": "table", ".json": "json"}
"""What a file's name says of its format."""


def present(drift: Drift, form: str, output: Path | None, note: Callable[[str], None]) -> None:
    """Print a drift report or write it, in this form: table or json.

    Raises:
        UsageError: the file cannot be written.
    """
    from rich.console import Console

    from evalkit.core.console import Output

    if form == "table" and output is None:
        show(Output(highlight=False), drift)
        return
    text = to_json(drift)
    if form == "table":
        buffer = io.StringIO()
        show(Console(file=buffer, width=140, highlight=False), drift)
        text = buffer.getvalue().rstrip("\n")
    write(text, output, note)


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
    console.print(_sides(drift))
    for sentence in _lacking(drift):
        console.print(plain(sentence), style="yellow", markup=False, highlight=False)
    if drift.overall is None:
        return
    console.print(_parts(drift, [drift.overall, *_ordered(drift)]))
    if drift.shows == 2:
        console.print(_changes(drift))
    if drift.models:
        console.print(_models(drift))


def _ordered(drift: Drift) -> list[Part]:
    """Categories as the benchmark has them; one alone is the whole."""
    parts = {part.category or "": part for part in drift.categories}
    return [parts[name] for name in in_order(drift.benchmark, parts)] if len(parts) > 1 else []


def _table(title: str, columns: Sequence[str]) -> Table:
    """A table whose first column holds names, and the others numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def _sides(drift: Drift) -> Table:
    from rich.text import Text

    table = _table("The judges", ("", "judge", "verdicts", "failed", "answered as", "from", "to"))
    for name, side in (("old", drift.old), ("new", drift.new)):
        failed = ", ".join(f"{count} {kind}" for kind, count in side.failed.items()) or "0"
        ids = ", ".join(f"{one} ({count:,})" for one, count in side.snapshots.items()) or "not known"
        cells = (side.judge.name, f"{side.verdicts:,}", failed, ids, _day(side.first), _day(side.last))
        table.add_row(name, *(Text(plain(cell)) for cell in cells))
    return table


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


def _parts(drift: Drift, parts: Sequence[Part]) -> Table:
    from rich.text import Text

    single = drift.shows == 1
    columns = ("shift", "same score", "correlation") if single else ("agreement", "kappa", "first wins: shift")
    title = f"New against old, on {parts[0].questions:,} questions, with 95% intervals"
    table = _table(title, ("category", "n", *columns))
    for part in parts:
        shift, same = _shown(part.shift, "{:+z.2f}"), _shown(part.agreement, "{:.0%}")
        correlation = "-" if part.correlation is None else f"{part.correlation:z.2f}"
        kappa = "-" if part.kappa is None else f"{part.kappa.estimate:z.2f}"
        cells = (shift, same, correlation) if single else (same, kappa, shift)
        name = Text("all", style="bold") if part.category is None else Text(plain(part.category))
        table.add_row(name, f"{part.n:,}", *cells)
    return table


def _changes(drift: Drift) -> Table:
    table = _table(
        "Showings by verdict: the better one is", ("old", *(f"now {label}" for label in (FIRST, SECOND, TIE)))
    )
    for old in (FIRST, SECOND, TIE):
        row = drift.changes.get(old, {})
        table.add_row(old, *(f"{row.get(new, 0):,}" for new in (FIRST, SECOND, TIE)))
    return table


def _models(drift: Drift) -> Table:
    from rich.text import Text

    single = drift.shows == 1
    number, change = ("{:z.2f}", "{:+z.2f}") if single else ("{:.1%}", "{:+z.1%}")
    table = _table(
        "Models" + (", mean score" if single else ", share of wins"), ("model", "n", "old", "new", "difference", "rank")
    )
    for row in drift.models:
        moved = row.old_rank != row.new_rank
        rank = Text(f"{row.old_rank} → {row.new_rank}" if moved else str(row.old_rank), style="bold" if moved else "")
        old, new = number.format(row.old), number.format(row.new)
        table.add_row(Text(plain(row.model)), f"{row.n:,}", old, new, _shown(row.difference, change), rank)
    return table


def _shown(interval: Interval | None, number: str) -> str:
    if interval is None:
        return "-"
    text = number.format(interval.estimate)
    if interval.lower is None or interval.upper is None:
        return text
    lower, upper = (number.format(limit).rstrip("%") for limit in (interval.lower, interval.upper))
    return f"{text} [{lower}, {upper}]"
