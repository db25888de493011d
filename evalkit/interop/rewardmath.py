"""RewardMATH results: a reward model's or judge's scores of ten solutions a problem, or pairwise verdicts against nine.

``solution_reference`` names who wrote each solution; of ten, the first is right. In pairwise files the right one is
compared with each of nine, and ``chosen_position`` says where it stood. Gold labels are judgments by ``gold``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Literal

from msgspec import Struct

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, files, records, stem
from evalkit.interop.preference_shapes import apart
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, JudgedTurn, judge_ref
from evalkit.interop.rows import Shown, SourceRows, gold, number_of

RIGHT: Final = "human_to_GPT-4"
"""Who wrote the right solution, which pairwise files do not name."""


class _Problem(Struct):
    problem: str
    solution_reference: tuple[str, ...]
    score: tuple[float | int | str | None, ...]
    chosen_position: tuple[Literal["A", "B"], ...] | None = None


@dataclass(frozen=True)
class RewardMathFormat(ImportFormat):
    """Scores and pairwise verdicts."""

    asks: ClassVar = frozenset({"judge"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every problem, gold labels, and what was said of each solution. The judge is named by the file.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        labelled: set[tuple[str, str]] = set()
        rows = SourceRows(self.benchmark or "rewardmath", ledger)
        for file in files(path, "*.json", "*.json.gz"):
            judge = self.told.judge or stem(file).removesuffix("_reward").removesuffix("_pairwise")
            yield from self.told.rows(records(file), partial(_problem, rows, judge, labelled))


def _problem(rows: SourceRows, judge: str, labelled: set[tuple[str, str]], source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _Problem)
    pairwise = row.chosen_position is not None
    places = row.chosen_position or row.solution_reference
    if not len(row.score) == len(row.solution_reference) == len(places):
        raise where.error(f"field `score` has {len(row.score)} entries for {len(row.solution_reference)} solutions")
    about = yield from rows.item(where, (row.problem,))
    names = apart(row.solution_reference)
    wrong = names if pairwise else names[1:]
    right = RIGHT if pairwise else names[0]
    shown: dict[str, Shown] = {}
    for name in (right, *wrong):
        shown[name] = yield from rows.answer(where, about, name, None)
    for name in wrong:
        if (about.item, name) not in labelled:
            labelled.add((about.item, name))
            yield rows.pair(where, about, gold(), "gold", (shown[right], shown[name]), 1.0, label="right")
    if pairwise:
        yield from _verdicts(rows, judge, about, (row, names), source, shown)
        return
    for name, score in zip(names, row.score, strict=True):
        value = number_of(score)
        verdict = Failure("unparsed", f"the source has {score!r} for a score") if value is None else value
        yield rows.score(where, about, judge_ref(judge, "rewardmath"), "rewardmath", shown[name], verdict)


def _verdicts(
    rows: SourceRows,
    judge: str,
    about: JudgedTurn,
    problem: tuple[_Problem, tuple[str, ...]],
    source: Record,
    shown: dict[str, Shown],
) -> Iterator[Imported]:
    row, names = problem
    for name, word, right in zip(names, row.score, row.chosen_position or (), strict=True):
        pair = [shown[RIGHT], shown[name]][:: 1 if right == "A" else -1]
        points = {"A": 1.0, "B": 0.0}.get(str(word))
        verdict = Failure("unparsed", f"the source has {word!r} for a verdict") if points is None else points
        yield rows.pair(source[0], about, judge_ref(judge, "pairs"), "rewardmath_pair", pair, verdict, label=str(word))
