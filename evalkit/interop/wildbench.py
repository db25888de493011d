"""WildBench scores: one model's answers as one judge scored them, 1 to 10, a row a session.

The same judge on another date (``run``) is another judge, so that the dates stand side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, files, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref, usable_name
from evalkit.interop.rows import SourceRows, number_of


class _Scored(Struct):
    session_id: str
    score: str | float | None
    model: str = ""
    judge: str = ""
    run: str = ""
    length: int | None = None
    model_output: str | None = None


@dataclass(frozen=True)
class WildBenchFormat(ImportFormat):
    """Scores of single answers."""

    asks: ClassVar = frozenset({"judge", "model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every score; answers where a row has the text.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        rows = SourceRows(self.benchmark or "wildbench", ImportLedger())
        for file in files(path, "*.jsonl", "*.json", "*.jsonl.gz", "*.json.gz"):
            said = next((record for _, record in records(file)), {})
            model = "" if "model" in said else self.told.model_of(file, stem(file))
            judge = "" if "judge" in said else self.told.judge_of(file, file.resolve().parent.name)
            yield from self.told.rows(records(file), partial(_score, rows, model, judge))


def _score(rows: SourceRows, model: str, judge: str, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _Scored)
    name = usable_name(where, "model", row.model or model)
    about = yield from rows.item(where, (), identity=row.session_id)
    who, (identity, length) = yield from rows.answer(
        where, about, name, None if row.model_output is None else (row.model_output,)
    )
    value = number_of(row.score)
    verdict = Failure("unparsed", f"the source has {row.score!r} for a score") if value is None else value
    by = usable_name(where, "judge", row.judge or judge)
    by = f"{by} ({row.run})" if row.run else by
    shown = (who, (identity, row.length if length is None else length))
    yield rows.score(where, about, judge_ref(by, "wildbench"), "wildbench", shown, verdict, label=str(row.score))
