"""People's votes as one table, to be read elsewhere, or imported again with ``evalkit import battles``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from evalkit.app.voting import told_of
from evalkit.core.files import replace_file
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judgment
from evalkit.core.text import safe_cell
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.storage.results import judgment_logs

COLUMNS: Final = (
    *("benchmark", "question_id", "category", "turn", "model_a", "model_b", "winner", "score", "annotator", "protocol"),
    *("choice", "skipped", "acceptable_a", "acceptable_b", "comment", "seconds", "when"),
)
"""``model_a`` was on the left; a vote on a single answer has no ``model_b`` and no ``winner``."""


def vote_rows(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """A row for each vote of a person, in the order stored."""
    for log in judgment_logs(paths):
        for row in log:
            if rater_kind(row.judge) == "person":
                yield _row(row)


def _row(row: Judgment) -> dict[str, Any]:
    told = told_of(row)
    given = told.get("acceptable")
    acceptable = [*given, None, None] if isinstance(given, list) else [None, None]
    pair, scores = len(row.models) == 2, row.scores
    winner = ""
    if pair:
        winner = (
            "error" if scores is None else "tie" if scores[0] == scores[1] else f"model_{'ab'[scores[0] < scores[1]]}"
        )
    return {
        "benchmark": row.benchmark,
        "question_id": row.item,
        "category": row.category,
        "turn": row.turn,
        "model_a": row.models[0].name,
        "model_b": row.models[1].name if pair else "",
        "winner": winner,
        "score": scores[0] if scores is not None else "",
        "annotator": row.judge.name,
        "protocol": row.protocol,
        "choice": row.label or "",
        "skipped": row.error.message if row.error else "",
        "acceptable_a": _yes(acceptable[0]),
        "acceptable_b": _yes(acceptable[1]) if pair else "",
        "comment": str(told.get("comment", "")),
        "seconds": row.latency or "",
        "when": datetime.fromtimestamp(row.created, UTC).isoformat(timespec="seconds") if row.created else "",
    }


def _yes(said: object) -> str:
    return {True: "yes", False: "no"}.get(said, "") if isinstance(said, bool) else ""


def write_votes(paths: Iterable[Path], out: Path) -> int:
    """Write all votes to a .csv, .xlsx or .jsonl file; how many.

    Raises:
        UsageError: there are none, the ending is another one, or the file cannot be written.
    """
    writers = {".csv": _csv, ".xlsx": _xlsx, ".jsonl": _jsonl}
    if out.suffix.lower() not in writers:
        raise UsageError(f"{str(out)!r}: votes are written as {', '.join(writers)}; end the name in one of them")
    rows = list(vote_rows(paths))
    if not rows:
        raise UsageError(f"nobody voted in {', '.join(map(str, paths))} yet")
    content = writers[out.suffix.lower()](rows)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, content)
    except OSError as error:
        raise UsageError(f"cannot write {str(out)!r}: {error.strerror}") from error
    return len(rows)


def _csv(rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def _jsonl(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _xlsx(rows: Iterable[dict[str, Any]]) -> bytes:
    try:
        from openpyxl import Workbook  # type: ignore[import-untyped]
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError("writing .xlsx needs openpyxl: pip install 'evalkit[xlsx]', or write .csv") from None
    book = Workbook(write_only=True)
    sheet = book.create_sheet("votes")
    sheet.append(COLUMNS)
    for row in rows:
        cells = (_harmless(row[name]) for name in COLUMNS)
        sheet.append([ILLEGAL_CHARACTERS_RE.sub("�", one)[:32_000] if isinstance(one, str) else one for one in cells])
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def _harmless(value: Any) -> Any:
    return safe_cell(value) if isinstance(value, str) else value
