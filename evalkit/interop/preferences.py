"""Preference data: answers of which some are better than others, as reward models are trained and tested on.

What a row prefers is a judgment by ``gold``, or by a person where a column names one. Where nobody says who wrote the
answers, their models are called chosen and rejected, or by their place. The shapes are those of preference_shapes.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evalkit.core.schema import Ref, digest
from evalkit.datasets.data_files import PATTERNS, Record, files, records, stem
from evalkit.datasets.vocabulary import PEOPLE
from evalkit.interop.preference_shapes import LabelledAnswers, PreferenceRows
from evalkit.interop.records import Imported, ImportFormat, ImportLedger
from evalkit.interop.rows import SourceRows, gold, person


@dataclass(frozen=True)
class PreferencesFormat(ImportFormat):
    """Answers of which some are better than others."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Every question, its answers, and a judgment for each two of which one is better.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, *PATTERNS):
            rows = SourceRows(self.benchmark or stem(file) or "preferences", ledger)
            yield from self.told.rows(records(file), partial(_labelled, rows, PreferenceRows()))


def _labelled(rows: SourceRows, shapes: PreferenceRows, source: Record) -> Iterator[Imported]:
    for found in shapes.of(source):
        yield from _judgments(rows, source, found)


def _judgments(rows: SourceRows, source: Record, found: LabelledAnswers) -> Iterator[Imported]:
    where, record = source
    asked = found.asked
    identity = found.identity or digest(asked, found.before)[:16]
    about = yield from rows.item(where, asked, identity=identity, category=found.category, turn=len(asked))
    earlier = tuple(text for role, text in found.before if role == "assistant")[: len(asked) - 1]
    shown = []
    for name, text in found.answers:
        shown.append((yield from rows.answer(where, about, name, (*earlier, text))))
    judge = person(found.annotator) if found.annotator else _judge(record)
    protocol = "gold" if judge.name == "gold" else "human_pair"
    for one, other, points in found.labels:
        label = "tie" if points == 0.5 else found.strength or "chosen"
        yield rows.pair(where, about, judge, protocol, (shown[one], shown[other]), points, label=label)


def _judge(record: dict[str, Any]) -> Ref:
    named = next((record[name] for name in PEOPLE if isinstance(record.get(name), str) and record[name]), None)
    return gold() if named is None else person(str(named))
