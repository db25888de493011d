"""promptfoo results (``promptfoo eval -o results.json``, versions 2 and 3 of the file; or ``.jsonl``, a result a line).

The rendered prompt is the question (or the conversation, where it is one of chat messages), the provider the model, and
each assertion that a model graded a judge of the assertion's kind; what code asserts is one judge, called assertions,
and a person's rating in promptfoo's viewer is one by ``human``. A result that is an error is a failed answer, and one
without assertions has no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, Where, files, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref, usable_name
from evalkit.interop.rows import SourceRows, number_of, person, system_of, text_of, texts_of

GRADED: Final = (
    *("llm-rubric", "g-eval", "factuality", "model-graded-closedqa", "model-graded-factuality", "answer-relevance"),
    *("context-recall", "context-relevance", "context-faithfulness", "select-best", "pi", "moderation"),
    *("agent-rubric", "search-rubric", "conversation-relevance", "trajectory:goal-success"),
)
"""Kinds of assertions that a model judges."""
HUMAN_RATED: Final = "human"
"""The kind of a rating that somebody gave in promptfoo's viewer."""
UNASSERTED: Final = "No assertions"
"""The reason of a result that passed as nothing was asserted."""


class _Assertion(Struct):
    type: str = ""
    value: Any = None
    """With the type, it tells one assertion from another."""


class _Component(Struct):
    score: float | None = None
    reason: str | None = None
    assertion: _Assertion | None = None
    componentResults: list[_Component | None] | None = None
    """Of a set of assertions, which are listed beside it as well."""


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
    system, asked, earlier = _conversation(row.prompt.raw, where)
    about = yield from rows.item(where, asked, turn=len(asked), system=system)
    response = row.response or {}
    output = response.get("output")
    if response.get("isRefusal") is True and not output:
        why = "the source says that the model or its provider refused"
        yield from rows.answer(where, about, model, (*earlier, ""), Failure("refused", why))
        return
    if output is None:
        failed = row.error or response.get("error")
        why = f"the source has an error for an answer: {str(failed or 'no reason given')[:300]}"
        yield from rows.answer(where, about, model, (*earlier, ""), Failure("malformed", why))
        return
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    shown = yield from rows.answer(where, about, model, (*earlier, text))
    grading = row.gradingResult
    components = _single(grading.componentResults or ()) if grading else []
    graded = [one for one in components if _kind(one) in (*GRADED, HUMAN_RATED)]
    for one in graded:
        yield _scored(rows, source, about, shown, _kind(one), one.score, one.reason)
    rest = [one.score for one in components if one not in graded and one.score is not None]
    if len(graded) < len(components) or not (components or (grading and grading.reason == UNASSERTED)):
        mean = sum(rest) / len(rest) if rest else row.score if grading is None else grading.score
        yield _scored(rows, source, about, shown, "assertions", mean, grading.reason if grading else None)


def _single(components: Iterable[_Component | None]) -> list[_Component]:
    """Assertions one by one, also those of sets; each once."""
    found: list[_Component] = []
    for one in components:
        if one is None:
            continue
        for single in _single(one.componentResults) if one.componentResults else [one]:
            if single not in found:
                found.append(single)
    return found


def _kind(component: _Component) -> str:
    return component.assertion.type if component.assertion is not None else ""


def _conversation(raw: str, where: Where) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    """System message, questions and earlier answers of a prompt; one that is no list of messages is a question."""
    try:
        messages = msgspec.json.decode(raw, type=list[dict[str, Any]]) if raw.lstrip().startswith("[") else []
    except (msgspec.DecodeError, RecursionError):
        messages = []
    if not messages or any(text_of(message.get("content")) is None for message in messages):
        return None, (raw,), ()
    said = texts_of(messages, where, "prompt")
    asked = tuple(text for role, text in said if role == "user")
    earlier = tuple(text for role, text in said if role == "assistant")
    if [role for role, _ in said] != ["user", "assistant"] * len(earlier) + ["user"]:
        return None, (raw,), ()
    return system_of(messages), asked, earlier


def _scored(
    rows: SourceRows, source: Record, about: Any, shown: Any, name: str, score: float | None, reason: str | None
) -> Imported:
    found = number_of(score)
    verdict = Failure("unparsed", f"the source has no score; it says {str(reason)[:200]!r}") if found is None else found
    judge = person(name) if name == HUMAN_RATED else judge_ref(name, "promptfoo")
    return rows.score(source[0], about, judge, "promptfoo", shown, verdict, label=str(score), raw=reason or "")
