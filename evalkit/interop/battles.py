"""Bare comparisons, as arenas publish them: files that data_files.py reads, in the words that vocabulary.py knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from evalkit.core.schema import Failure, Judgment, Ref, digest
from evalkit.datasets.data_files import PATTERNS, Record, Where, columns, files, records, stem
from evalkit.datasets.vocabulary import BattleFile, BattleRow, outcome
from evalkit.interop.outputs import Outputs
from evalkit.interop.records import (
    UNKNOWN,
    ExportFormat,
    Imported,
    ImportLedger,
    JudgedTurn,
    difference,
    judge_ref,
    model_ref,
    restored,
)
from evalkit.ratings.comparisons import HUMAN


@dataclass(frozen=True)
class BattlesFormat(ExportFormat):
    """Reads tables of comparisons: two models, and who won."""

    asks: ClassVar = frozenset({"columns", "judge"})

    def read(self, path: Path) -> Iterator[Imported]:
        """One Judgment for each comparison; model_a was shown first.

        Raises:
            UsageError: a file lacks a column, a winner is not known, or a file cannot be read here.
        """
        ledger = ImportLedger()
        for file in files(path, *PATTERNS):
            found = columns(file)
            if not found:
                continue
            battles = BattleFile(file, partial(records, file), found, self.told.columns)
            for text in battles.assumed:
                self.told.assume(text)
            judge = self.told.judge or stem(file)
            if "judge" not in battles.columns.fields:
                judge = self.told.judge_of(file, judge)
            name = self.benchmark or stem(file) or "battles"
            yield from self.told.rows(records(file), partial(_battle, battles, name, judge, ledger))

    def write(self, rows: Iterable[Imported], out: Path) -> Counter[str]:
        """``out/<benchmark>.jsonl``. A soft preference is written as a win; failures and single scores are left out."""
        written: Counter[str] = Counter()
        with Outputs(out) as outputs:
            for row in rows:
                record = row.record
                if not isinstance(record, Judgment):
                    written["left out: questions and answers"] += 1
                elif len(record.shown) != 2:
                    written["left out: judgments that are not of two answers"] += 1
                elif record.error is not None and record.label is None and not row.extra:
                    written["left out: failed judgments"] += 1
                else:
                    outputs.row((f"{record.benchmark}.jsonl",), restored(_row(record), row.extra))
                    written["battles"] += 1
                    if record.scores is not None and set(record.scores) - {0.0, 0.5, 1.0}:
                        written["rounded: soft preferences"] += 1
        return written


def _item(row: BattleRow, where: Where) -> str:
    question = row.question or str(where.number)
    return question if len(question) <= 64 and question.isprintable() else digest(question)[:16]


def _battle(
    battles: BattleFile, benchmark: str, unnamed: str, ledger: ImportLedger, source: Record
) -> Iterator[Imported]:
    where, record = source
    row = battles.row(where, record)
    asked = JudgedTurn(benchmark, _item(row, where), row.turn, row.category or UNKNOWN)
    judge = Ref(row.judge, HUMAN) if row.judge in battles.people else judge_ref(row.judge or unnamed, "battles")
    shown = [(model, ledger.shown(asked, model)) for model in (model_ref(row.model_a), model_ref(row.model_b))]
    failed = Failure("unparsed", f"the source has {row.winner!r} for a winner")
    judged = ledger.judgment(
        where,
        asked,
        judge,
        "human_pair" if judge.fingerprint == HUMAN else "battles",
        shown,
        failed if row.points is None else (row.points, 1 - row.points),
        label=row.winner,
    )
    yield Imported(judged, difference(record, _row(judged)))


def _row(judged: Judgment) -> dict[str, Any]:
    if isinstance(judged.error, Failure) or judged.scores is None:
        winner = judged.label or "error"
    else:
        one, two = judged.scores
        winner = "tie" if one == two else "model_a" if one > two else "model_b"
        winner = judged.label if judged.label is not None and _says(judged.label, one) else winner
    return {
        "question_id": judged.item,
        "model_a": judged.models[0].name,
        "model_b": judged.models[1].name,
        "winner": winner,
        "judge": judged.judge.name,
        "category": judged.category,
        "turn": judged.turn,
    }


def _says(label: str, points: float) -> bool:
    """Whether a verdict's label is a plain winner word of the same meaning."""
    try:
        return outcome(label) == points and not set(label) & set("<>=:")
    except KeyError:
        return False
