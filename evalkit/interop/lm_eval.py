"""lm-evaluation-harness samples (lm_eval 0.4, ``--log_samples``): ``<model>/samples_<task>_<date>.jsonl``.

Each metric of a row is a score by a judge of the metric's name. The prompt is the question, and the first response the
answer, where it is text; of multiple choice there is none. The model is named by the folder, the task by the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, files, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref
from evalkit.interop.rows import SourceRows, number_of

_NAME: Final = re.compile(r"samples_(.+?)(?:_\d{4}-\d{2}-\d{2}T.*)?", re.DOTALL)
FIXED: Final = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
    | {"doc_hash", "prompt_hash", "target_hash"}
)


class _SampleRow(Struct):
    doc_id: int | str
    arguments: dict[str, Any] | list[Any]
    resps: list[Any]
    target: Any = None
    filter: str = "none"
    metrics: list[str] | None = None


@dataclass(frozen=True)
class LMEvalFormat(ImportFormat):
    """Logged samples with their metrics."""

    asks: ClassVar = frozenset({"model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every prompt, answer and metric.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, "samples_*.jsonl", "samples_*.jsonl.gz"):
            named = _NAME.fullmatch(stem(file))
            rows = SourceRows(self.benchmark or (named[1] if named else stem(file)), ledger)
            model = self.told.model_of(file, file.resolve().parent.name)
            yield from self.told.rows(records(file), partial(_sample, rows, model))


def _sample(rows: SourceRows, model: str, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _SampleRow)
    prompt, answer = _first(row.arguments), _first(row.resps)
    reference = (str(row.target),) if isinstance(row.target, str | int | float) else ()
    turns = (prompt,) if prompt is not None else ()
    about = yield from rows.item(where, turns, identity=str(row.doc_id), reference=reference if turns else ())
    shown = yield from rows.answer(where, about, model, None if answer is None else (answer,))
    names = row.metrics if row.metrics is not None else [name for name in record if name not in FIXED]
    protocol = "lm_eval" if row.filter == "none" else f"lm_eval_{row.filter}"
    for name in names:
        value = record.get(name)
        if isinstance(value, list | dict):  # what a metric needs to be computed over all rows: no score of this one
            continue
        found = number_of(value)
        verdict = Failure("unparsed", f"the source has {value!r} for {name}") if found is None else found
        yield rows.score(where, about, judge_ref(name, protocol), protocol, shown, verdict, label=str(value))


def _first(value: Any) -> str | None:
    """The first text within lists and objects that begin with it; None where something else comes first.

    Of multiple choice, a response is a list of a likelihood and whether it is the greedy one.
    """
    while isinstance(value, list | dict) and value:
        if isinstance(value, list) and len(value) == 2 and str(value[1]) in ("True", "False"):
            return None
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return value if isinstance(value, str) else None
