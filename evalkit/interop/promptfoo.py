"""promptfoo results (``promptfoo eval -o results.json``, versions 2 and 3 of the file; or ``.jsonl``, a result a line).

The rendered prompt is the question, the provider the model, and each assertion that a model graded a judge of the
assertion's kind; what code asserts is one judge, called assertions. A result that is an error is a failed answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, Where, files, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref, usable_name
from evalkit.interop.rows import SourceRows, number_of

GRADED: Final = (
    *("llm-rubric", "g-eval", "factuality", "model-graded-closedqa", "model-graded-factuality", "answer-relevance"),
    *("context-recall", "context-relevance", "context-faithfulness", "select-best", "pi", "moderation"),
)
"""Kinds of assertions that a model judges."""


class _Assertion(Struct):
    type: str = ""


class _Component(Struct):
    score: float | None = None
    reason: str | None = None
    assertion: _Assertion | None = None


class _Grading(Struct):
    score: float | None = None
    reason: str | None = None
    componentResults: list[_Component | None] | None = None


class _Provider(Struct):
    id: str = ""
    label: str | None = None


class _Prompt(Struct):
    raw: str


class _CaseResult(Struct):
    prompt: _Prompt
    provider: _Provider | str
    response: dict[str, Any] | None = None
    error: str | None = None
    score: float | None = None
    gradingResult: _Grading | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class PromptfooFormat(ImportFormat):
    """Results of an eval."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Every prompt, output and grade.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, "*.json", "*.jsonl"):
            rows = SourceRows(self.benchmark or stem(file), ledger)
            yield from self.told.rows(_results(file), partial(_result, rows))


def _results(file: Path) -> Iterator[Record]:
    """The results of a file, whichever version it is."""
    for where, record in records(file):
        inner: Any = record
        while isinstance(inner, dict) and "prompt" not in inner and isinstance(inner.get("results"), dict | list):
            inner = inner["results"]
        if not isinstance(inner, list):
            yield where, inner
            continue
        for number, row in enumerate(inner, 1):
            at = Where(file, number)
            if not isinstance(row, dict):
                raise at.error(f"a result is expected, not {type(row).__name__}")
            yield at, row


def _result(rows: SourceRows, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _CaseResult)
    provider = row.provider if isinstance(row.provider, str) else row.provider.label or row.provider.id
    model = usable_name(where, "provider", provider)
    about = yield from rows.item(where, (row.prompt.raw,))
    output = (row.response or {}).get("output")
    failed = row.error or (row.response or {}).get("error")
    if output is None:
        why = f"the source has an error for an answer: {str(failed or 'no reason given')[:300]}"
        yield from rows.answer(where, about, model, ("",), Failure("malformed", why))
        return
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    shown = yield from rows.answer(where, about, model, (text,))
    grading = row.gradingResult
    components = [one for one in (grading.componentResults or () if grading else ()) if one is not None]
    graded = [one for one in components if one.assertion is not None and one.assertion.type in GRADED]
    for one in graded:
        name = one.assertion.type if one.assertion is not None else ""
        yield _scored(rows, source, about, shown, name, one.score, one.reason)
    if len(graded) < len(components) or not components:
        rest = [one.score for one in components if one not in graded and one.score is not None]
        mean = sum(rest) / len(rest) if rest else row.score if grading is None else grading.score
        yield _scored(rows, source, about, shown, "assertions", mean, grading.reason if grading else None)


def _scored(
    rows: SourceRows, source: Record, about: Any, shown: Any, name: str, score: float | None, reason: str | None
) -> Imported:
    found = number_of(score)
    verdict = Failure("unparsed", f"the source has no score; it says {str(reason)[:200]!r}") if found is None else found
    judge = judge_ref(name, "promptfoo")
    return rows.score(source[0], about, judge, "promptfoo", shown, verdict, label=str(score), raw=reason or "")
