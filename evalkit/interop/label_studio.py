"""Label Studio's JSON export: tasks with two answers in ``data``, and the pairs that people chose between.

A choice is read from results of the types ``pairwise`` (left or right) and ``choices``; a cancelled annotation is a
failure. Names of fields are those of answer_columns.py.
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


class _LabelStudioResult(Struct):
    value: dict[str, Any] = {}
    type: str = ""


class _LabelStudioAnnotation(Struct):
    result: tuple[_LabelStudioResult, ...] = ()
    completed_by: int | str | dict[str, Any] | None = None
    was_cancelled: bool = False


class _LabelStudioTask(Struct):
    data: dict[str, Any]
    annotations: tuple[_LabelStudioAnnotation, ...]


@dataclass(frozen=True)
class LabelStudioFormat(ImportFormat):
    """Pairs of answers, and what people chose."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Every pair, and a Judgment for each annotation.

        Raises:
            UsageError: a file is none of these, or a task lacks a question or answers.
        """
        ledger = ImportLedger()
        for file in files(path, "*.json", "*.jsonl"):
            benchmark = self.benchmark or stem(file)
            yield from self.told.rows(records(file), partial(_task, ledger, benchmark))


def _task(ledger: ImportLedger, benchmark: str, source: Record) -> Iterator[Imported]:
    where, record = source
    task = where.read(record, _LabelStudioTask)
    pair = asked_pair(task.data)
    if pair is None:
        raise where.error(f"in field `data`, {lacking(task.data)}")
    votes = [(_annotator(one.completed_by), *_choice(one, pair)) for one in task.annotations]
    yield from annotated(where, ledger, benchmark, pair, votes)


def _annotator(who: int | str | dict[str, Any] | None) -> str:
    named = (who.get("email") or who.get("username") or who.get("id")) if isinstance(who, dict) else who
    return "unknown" if named in (None, "") else f"annotator_{named}" if isinstance(named, int) else str(named)


def _choice(annotation: _LabelStudioAnnotation, pair: AskedPair) -> tuple[float | Failure, str]:
    """Outcome for the first answer, and the word it was read from."""
    if annotation.was_cancelled:
        return Failure("refused", "the annotator skipped it"), ""
    for result in annotation.result:
        chosen = result.value.get("selected") or result.value.get("choices")
        word = chosen[0] if isinstance(chosen, list) and len(chosen) == 1 else chosen
        if isinstance(word, str):
            return said_of(word, pair), word
    return Failure("unparsed", "the annotation holds no choice between two answers"), ""
