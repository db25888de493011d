"""What people are asked: answers or pairs of answers out of results, or out of a table with answers in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Criterion, Item, Response, digest
from evalkit.datasets.data_files import columns, kind, stem
from evalkit.datasets.vocabulary import ANSWERS, columns_of, spelt
from evalkit.interop.answer_columns import lacking
from evalkit.interop.importing import import_results
from evalkit.interop.records import Told
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.storage.items import Items
from evalkit.storage.results import answer_logs, judged_rows
from evalkit.storage.store import file_name

ENDINGS: Final = (".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet")


@dataclass(frozen=True)
class VoteTask:
    """One thing to vote on: a turn of an item, and one answer or two, in no particular order."""

    id: str
    item: Item
    turn: int
    answers: tuple[Response, ...]
    folder: Path
    """Results of the benchmark, where votes go."""

    def shown(self, annotator: str) -> tuple[Response, ...]:
        """The answers in the order that an annotator sees them, which is drawn once and for all."""
        turned = int(digest("sides", annotator, self.id)[:8], 16) % 2
        return self.answers[::-1] if turned else self.answers

    @property
    def models(self) -> tuple[str, ...]:
        """Who wrote the answers, in alphabetical order."""
        return tuple(sorted(answer.model.name for answer in self.answers))

    def criteria(self) -> tuple[Criterion, ...]:
        """Criteria of the item's own rubric, or of the one that takes its place."""
        return self.item.rubric

    def judged_by(self, criteria: tuple[Criterion, ...]) -> VoteTask:
        """The task with other criteria to judge by."""
        return replace(self, item=msgspec.structs.replace(self.item, rubric=criteria))


def task_id(place: tuple[str, str], turn: int, answers: Iterable[str]) -> str:
    """The id of what is asked about some answers, in whatever order they are shown.

    Args:
        place: benchmark and item.
        turn: from 1.
        answers: their ids.
    """
    return digest(place, turn, sorted(answers))[:20]


def tasks_of(paths: Iterable[Path], shows: int) -> list[VoteTask]:
    """Everything that can be voted on, in the order stored: the pairs that judges judged, else all pairs.

    Args:
        paths: results folders.
        shows: 1 for single answers, 2 for pairs.

    Raises:
        UsageError: there are no questions with enough answers.
    """
    listed = list(paths)
    items: dict[tuple[str, str], tuple[Item, Path]] = {}
    for folder in _folders(listed):
        items |= {(item.benchmark, item.id): (item, folder) for item in Items(folder).known.values()}
    answers: dict[tuple[str, str], dict[str, Response]] = {}
    for log in answer_logs(listed):
        for row in log:
            if row.error is None and (row.benchmark, row.item) in items:
                answers.setdefault((row.benchmark, row.item), {})[row.model.name] = row
    judged = _judged_pairs(listed) if shows == 2 else set()
    found = []
    for place, (item, folder) in items.items():
        several = list(answers.get(place, {}).values())
        for group in itertools.combinations(several, shows):
            if judged and (*place, *sorted(one.model.name for one in group)) not in judged:
                continue
            turns = min(len(item.turns), *(len(one.turns) for one in group))
            for turn in range(1, turns + 1):
                named = task_id(place, turn, (one.id for one in group))
                found.append(VoteTask(named, item, turn, group, folder))
    if not found:
        what = "a question with answers of two models" if shows == 2 else "a question with an answer"
        raise UsageError(
            f"nothing to vote on in {', '.join(map(str, listed))}: there must be {what}. `evalkit run <benchmark> "
            "model=a,b` makes answers; a table needs the columns question, answer_a and answer_b"
        )
    return found


def _folders(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is nothing at {str(path)!r}; name a results folder, or a table with answers")
        if path.is_file():
            raise UsageError(f"{str(path)!r} is neither a results folder nor a table ({', '.join(ENDINGS)})")
        found.update(dict.fromkeys(file.resolve().parent for file in sorted(path.glob("**/items.jsonl"))))
    return list(found)


def _judged_pairs(paths: Iterable[Path]) -> set[tuple[str, ...]]:
    """Benchmark, item and both models of what judges compared."""
    return {
        (row.benchmark, row.item, *sorted(model.name for model in row.models))
        for log in judged_rows(paths)
        for row in log
        if len(row.models) == 2 and rater_kind(row.judge) == "judge"
    }


def is_table(path: Path) -> bool:
    """Whether a path is a table with questions and answers, and not results."""
    return path.is_file() and kind(path) in ENDINGS


def from_table(path: Path, into: Path, told: Told | None = None) -> Path:
    """Store the questions and answers of a table as results; the folder of the benchmark, called as the file.

    As `evalkit import table` and `evalkit judge` store them, so that votes and verdicts are on the same pairs.

    Args:
        path: of the table.
        into: a results folder.
        told: keeps what had to be assumed.

    Raises:
        UsageError: the table lacks a column, or a row is malformed.
    """
    names = columns(path)
    found = columns_of(names, path, ANSWERS, {})
    if found["answer_a"] and found["answer_b"]:
        format_name = "table"
    elif {"chosen", "rejected"} <= {spelt(name) for name in names}:
        format_name = "preferences"
    else:
        raise UsageError(f"{str(path)!r}: of a table to vote on, {lacking(dict.fromkeys(names))}")
    summary = import_results(format_name, path, into, stem(path), told, judgments=False)
    return into / file_name(summary.benchmarks[0])


@dataclass(frozen=True)
class VotePlan:
    """Who is asked what, and in which order.

    Args:
        tasks: all there are.
        overlap: share of them that every annotator is asked; the others are asked once.
        seed: of the draws.
    """

    tasks: tuple[VoteTask, ...]
    overlap: float = 0.2
    seed: int = 0

    @cached_property
    def shared(self) -> frozenset[str]:
        """The tasks that every annotator is asked."""
        if self.overlap <= 0:
            return frozenset()
        ranked = sorted(self.tasks, key=lambda task: digest("overlap", self.seed, task.id))
        return frozenset(task.id for task in ranked[: max(1, round(self.overlap * len(ranked)))])

    @cached_property
    def _once(self) -> tuple[VoteTask, ...]:
        """What is asked once, in one order: whoever comes next takes the next, so that votes are a random sample."""
        others = (task for task in self.tasks if task.id not in self.shared)
        return tuple(sorted(others, key=lambda task: digest("order", self.seed, task.id)))

    def order(self, annotator: str) -> Iterator[VoteTask]:
        """All tasks in an annotator's own order, those that everybody is asked spread among the first."""
        draw = Random(f"{self.seed} {annotator}")
        common = [task for task in self.tasks if task.id in self.shared]
        draw.shuffle(common)
        step = max(1, round(1 / self.overlap)) if 0 < self.overlap < 1 else 1
        once = iter(self._once)
        for task in reversed(common):
            yield task
            yield from itertools.islice(once, step - 1)
        yield from once
