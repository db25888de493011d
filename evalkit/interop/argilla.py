"""Argilla's records as JSON: two answers in ``fields``, and what people responded to one question about them.

Both shapes are read: responses by question (2.x: ``{question: [{value, user_id}]}``) and by user (1.x: ``[{values:
{question: {value}}, user_id, status}]``). A value is a label (a field's name, or a winner's word) or a ranking of the
two fields. Names of fields are those of answer_columns.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, files, records, stem
from evalkit.interop.answer_columns import AskedPair, annotated, asked_pair, lacking, said_of
from evalkit.interop.records import Imported, ImportFormat, ImportLedger


class _ArgillaRecord(Struct):
    fields: dict[str, Any]
    responses: dict[str, tuple[dict[str, Any], ...]] | list[dict[str, Any]]
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class ArgillaFormat(ImportFormat):
    """Pairs of answers, and what people responded."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Every pair, and a Judgment for each person's response.

        Raises:
            UsageError: a file is none of these, or a record lacks a question or answers.
        """
        ledger = ImportLedger()
        for file in files(path, "*.json", "*.jsonl"):
            benchmark = self.benchmark or stem(file)
            yield from self.told.rows(records(file), partial(_record, ledger, benchmark))


def _record(ledger: ImportLedger, benchmark: str, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _ArgillaRecord)
    pair = asked_pair({**(row.metadata or {}), **row.fields})
    if pair is None:
        raise where.error(f"in field `fields`, {lacking(row.fields)}")
    votes = [(user, *_choice(value, status, pair)) for user, value, status in _responses(row)]
    yield from annotated(where, ledger, benchmark, pair, votes)


def _responses(row: _ArgillaRecord) -> Iterator[tuple[str, Any, str]]:
    """User, value and status of every response; of several questions, the first that a user responded to."""
    seen: set[str] = set()
    if isinstance(row.responses, dict):
        for several in row.responses.values():
            for one in several:
                user = str(one.get("user_id") or "unknown")
                if user not in seen:
                    seen.add(user)
                    yield user, one.get("value"), str(one.get("status") or "submitted")
        return
    for one in row.responses:
        values = one.get("values")
        first = next(iter(values.values()), None) if isinstance(values, dict) else None
        value = first.get("value") if isinstance(first, dict) else first
        yield str(one.get("user_id") or "unknown"), value, str(one.get("status") or "submitted")


def _choice(value: Any, status: str, pair: AskedPair) -> tuple[float | Failure, str]:
    """Outcome for the first answer, and the word it was read from."""
    if status == "discarded":
        return Failure("refused", "the annotator discarded it"), ""
    if isinstance(value, list):
        ranks = {one.get("value"): one.get("rank") for one in value if isinstance(one, dict)}
        one, two = (ranks.get(column) for column in pair.columns)
        if isinstance(one, int) and isinstance(two, int):
            return 0.5 if one == two else float(one < two), f"ranked {one} and {two}"
        return Failure("unparsed", "the ranking does not name both answers"), ""
    if not isinstance(value, str):
        return Failure("unparsed", "the response holds no choice between two answers"), ""
    return said_of(value, pair), value
