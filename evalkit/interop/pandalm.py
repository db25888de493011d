"""PandaLM's test set and its like: two responses a row, and a column for each annotator (0 a tie, 1 or 2 the better).

Each annotator is a person with a vote of their own. Columns whose names end in ``_result`` hold a model's verdicts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import PATTERNS, Record, files, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref
from evalkit.interop.rows import SourceRows, person

_ANNOTATOR: Final = re.compile(r"annotator[\s_-]?\w+", re.IGNORECASE)
_VERDICT: Final = re.compile(r"(.+)_result", re.DOTALL)
TEXTS: Final = ("instruction", "input", "response1", "response2")
_POINTS: Final = {"0": 0.5, "1": 1.0, "2": 0.0, "tie": 0.5}


class _PandaLMPair(Struct):
    instruction: str
    response1: str
    response2: str
    input: str = ""
    cmp_key: str = ""
    motivation_app: str = ""


@dataclass(frozen=True)
class PandaLMFormat(ImportFormat):
    """Pairs with several annotators."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Every pair, its responses, and a judgment for each annotator.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, *PATTERNS):
            rows = SourceRows(self.benchmark or stem(file) or "pandalm", ledger)
            yield from self.told.rows(records(file), partial(_pair, rows))


def _pair(rows: SourceRows, source: Record) -> Iterator[Imported]:
    where, record = source
    texts = {name: _text(value) for name, value in record.items() if name in TEXTS and (name, value) != ("input", None)}
    row = where.read({**record, "input": "", **texts}, _PandaLMPair)
    votes = [name for name in record if _ANNOTATOR.fullmatch(name)]
    judges = [name for name in record if _VERDICT.fullmatch(name)]
    if not votes and not judges:
        raise where.error("no column of an annotator: annotator1, annotator2, ... or MODEL_result")
    text = "\n\n".join(part for part in (row.instruction, row.input) if part)
    about = yield from rows.item(where, (text,), category=row.motivation_app)
    names = _models(row.cmp_key)
    shown = []
    for name, response in zip(names, (row.response1, row.response2), strict=True):
        shown.append((yield from rows.answer(where, about, name, (response,))))
    for column in (*votes, *judges):
        word = _word(record[column])
        if word not in _POINTS and column in votes:
            raise where.error(f"field `{column}` is {word[:40]!r}; it must be 0 (a tie), 1 or 2 (the better response)")
        verdict: float | Failure = _POINTS.get(word, Failure("unparsed", f"the source has {word[:80]!r} for a verdict"))
        judge = person(column) if column in votes else judge_ref(column.removesuffix("_result"), "pandalm")
        protocol = "human_pair" if column in votes else "pandalm"
        yield rows.pair(where, about, judge, protocol, shown, verdict, label=word)


def _text(value: Any) -> Any:
    """A text that was taken for something else where the file was written: the published set has the answer `true`."""
    return str(value) if isinstance(value, bool | int | float) else value


def _word(value: Any) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()


def _models(key: str) -> tuple[str, str]:
    """The two models that a row's ``cmp_key`` names, or who wrote first and second."""
    parts = [part for part in re.split(r"[\s,'()\"]+|_vs_|-vs-|\|", key) if part]
    if len(parts) == 1 and key.count("_") == 1:
        parts = key.split("_")
    return (parts[0], parts[1]) if len(parts) == 2 and parts[0] != parts[1] else ("response1", "response2")
