"""EvalScope reviews (evalscope 1.x): ``reviews/<model>/<dataset>_<subset>.jsonl``.

Each value of a row's score is one by a judge of its name. A status other than success is a failure, with its words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, files, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref
from evalkit.interop.rows import SourceRows, number_of, system_of, texts_of


class _ReviewScore(Struct):
    value: dict[str, Any]
    prediction: str | None = None
    explanation: str | None = None
    status: str = "success"


class _SampleScore(Struct):
    score: _ReviewScore
    group_id: str | int | None = None
    """Of the question, where several answers to it were sampled; ``index`` is one of the answer then."""


class _Review(Struct):
    index: int
    sample_score: _SampleScore
    messages: list[dict[str, Any]] = []
    input: str = ""
    target: list[str] | str | None = None


@dataclass(frozen=True)
class EvalScopeFormat(ImportFormat):
    """Reviews of single answers."""

    asks: ClassVar = frozenset({"model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every question, answer and score.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, "*.jsonl"):
            rows = SourceRows(self.benchmark or stem(file), ledger)
            model = self.told.model_of(file, file.resolve().parent.name)
            yield from self.told.rows(records(file), partial(_review, rows, model))


def _review(rows: SourceRows, model: str, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _Review)
    said = texts_of(row.messages, where, "messages") if row.messages else texts_of(row.input, where, "input")
    asked = tuple(text for role, text in said if role == "user")
    given = [text for role, text in said if role == "assistant"]
    score = row.sample_score.score
    if len(given) < len(asked) and score.prediction is not None:
        given.append(score.prediction)
    targets = [row.target] if isinstance(row.target, str) else row.target or []
    reference = ("\n\nor:\n\n".join(targets),) if targets and len(asked) == 1 else ()
    group = row.sample_score.group_id
    about = yield from rows.item(
        where,
        asked,
        identity=str(row.index if group is None else group),
        reference=reference,
        turn=max(len(asked), 1),
        system=system_of(row.messages),
    )
    whole = tuple(given) if len(given) == len(asked) else None
    shown = yield from rows.answer(where, about, model, whole)
    values = score.value or {"score": None}
    for name, value in values.items():
        found = number_of(value)
        verdict: float | Failure = Failure("unparsed", f"the source has {value!r} for {name} (status {score.status})")
        if found is not None and score.status == "success":
            verdict = found
        raw = score.explanation or ""
        yield rows.score(
            where, about, judge_ref(name, "evalscope"), "evalscope", shown, verdict, label=str(value), raw=raw
        )
