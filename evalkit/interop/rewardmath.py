"""RewardMATH: solutions of which one is right; a reward model's or judge's scores of ten, or verdicts on pairs of them.

``solution_reference`` names who wrote each solution; of ten, the first is right. In pairwise files the right one is
compared with each of nine, and ``chosen_position`` says where it stood. Gold labels are judgments by ``gold``.

A process reward model's scores are those of steps, and become one score by each of four rules, protocols of their own.
Files whose names begin with ``rewardbench_`` are of other solutions to these problems, a set of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Literal

from msgspec import Struct
from msgspec import field as named

from evalkit.core.schema import Failure
from evalkit.datasets.data_files import PATTERNS, Record, Where, files, records, stem
from evalkit.interop.preference_shapes import apart
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, JudgedTurn, judge_ref
from evalkit.interop.rows import Shown, SourceRows, gold, number_of
from evalkit.judges.reward import StepRule, reduced

RIGHT: Final = "human_to_GPT-4"
"""Who wrote the right solution, which pairwise files do not name."""
OTHER: Final = "rewardbench_"
"""What the names of files begin with that are of RewardBench's solutions of the problems."""
RULES: Final[tuple[StepRule, ...]] = ("min", "mean", "last", "product")
"""How scores of steps become one."""

_Score = float | int | str | None


class _Problem(Struct):
    problem: str
    solution_reference: tuple[str, ...]
    score: tuple[_Score | tuple[_Score, ...], ...]
    chosen_position: tuple[Literal["A", "B"], ...] | None = None


class _Output(Struct):
    step_scores: tuple[_Score, ...]


class _Solution(Struct):
    problem: str
    eval_solution: tuple[str, ...]
    solution_type: Literal["chosen", "rejected"]
    solution_reference: str = ""
    subject: str = ""
    output: _Output | None = None


class _TwoSolutions(Struct):
    problem: str
    first: tuple[str, ...] = named(name="eval_solution_A")
    second: tuple[str, ...] = named(name="eval_solution_B")
    position: Literal["A", "B"] = named(name="chosen_position")
    solution_reference: str = ""
    subject: str = ""


@dataclass
class _File:
    """One file: whose scores it holds, and what was read of it so far."""

    judge: str
    rows: SourceRows
    labelled: set[tuple[str, str, str]]
    """Benchmark, problem and wrong solution of each gold label of the whole import."""
    other: bool = False
    """It is of RewardBench's solutions."""
    sides: dict[str, dict[str, list[Shown]]] = field(default_factory=dict)
    """Solutions by problem, and by whether they are right."""


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
        labelled: set[tuple[str, str, str]] = set()
        for file in files(path, *PATTERNS):
            name = stem(file)
            other = name.startswith(OTHER)
            rows = SourceRows(self.benchmark or ("rewardbench_math" if other else "rewardmath"), ledger)
            judge = self.told.judge or name.removeprefix(OTHER).removesuffix("_reward").removesuffix("_pairwise")
            yield from self.told.rows(records(file), partial(_read, _File(judge, rows, labelled, other)))


def _read(file: _File, source: Record) -> Iterator[Imported]:
    where, record = source
    if "eval_solution" in record:
        yield from _solution(file, where, where.read(record, _Solution))
    elif "eval_solution_A" in record:
        yield from _two_solutions(file, where, where.read(record, _TwoSolutions))
    else:
        yield from _problem(file, where, where.read(record, _Problem))


def _solution(file: _File, where: Where, row: _Solution) -> Iterator[Imported]:
    """One solution, compared with those of its problem that came before; of a process reward model, its scores too."""
    about = yield from file.rows.item(where, (row.problem,), category=row.subject)
    sides = file.sides.setdefault(about.item, {"chosen": [], "rejected": []})
    given = row.solution_type if file.other else row.solution_reference or row.solution_type
    name = _new_name(sides, given)
    shown = yield from file.rows.answer(where, about, name, ("\n".join(row.eval_solution),))
    sides[row.solution_type].append(shown)
    for right, wrong in (
        [(shown, one) for one in sides["rejected"]]
        if row.solution_type == "chosen"
        else [(one, shown) for one in sides["chosen"]]
    ):
        yield from _label(file, where, about, right, wrong)
    if row.output is not None:
        yield from _scores(file, where, about, shown, row.output.step_scores)


def _new_name(sides: dict[str, list[Shown]], given: str) -> str:
    """A name that no solution of the problem has: with a number from the second of one author on."""
    before = [who.name.partition(" (")[0] for side in sides.values() for who, _ in side]
    return apart([*before, given])[-1]


def _two_solutions(file: _File, where: Where, row: _TwoSolutions) -> Iterator[Imported]:
    about = yield from file.rows.item(where, (row.problem,), category=row.subject)
    texts = (row.first, row.second)[:: 1 if row.position == "A" else -1]
    sides = file.sides.setdefault(about.item, {"chosen": [], "rejected": []})
    name = _new_name(sides, row.solution_reference or "rejected")
    right = yield from file.rows.answer(where, about, RIGHT, ("\n".join(texts[0]),))
    wrong = yield from file.rows.answer(where, about, name, ("\n".join(texts[1]),))
    sides["rejected"].append(wrong)
    yield from _label(file, where, about, right, wrong)


def _label(file: _File, where: Where, about: JudgedTurn, right: Shown, wrong: Shown) -> Iterator[Imported]:
    """That one solution is right and the other is not, once in an import."""
    key = (about.benchmark, about.item, wrong[0].name)
    if key not in file.labelled:
        file.labelled.add(key)
        yield file.rows.pair(where, about, gold(), "gold", (right, wrong), 1.0, label="right")


def _problem(file: _File, where: Where, row: _Problem) -> Iterator[Imported]:
    pairwise = row.chosen_position is not None
    places = row.chosen_position or row.solution_reference
    if not len(row.score) == len(row.solution_reference) == len(places):
        raise where.error(f"field `score` has {len(row.score)} entries for {len(row.solution_reference)} solutions")
    about = yield from file.rows.item(where, (row.problem,))
    names = apart(row.solution_reference)
    if file.other and not pairwise:
        names = ("chosen", *apart(["rejected"] * (len(names) - 1)))
    wrong = names if pairwise else names[1:]
    right = RIGHT if pairwise else names[0]
    shown: dict[str, Shown] = {}
    for name in (right, *wrong):
        shown[name] = yield from file.rows.answer(where, about, name, None)
    for name in wrong:
        yield from _label(file, where, about, shown[right], shown[name])
    if pairwise:
        yield from _verdicts(file, where, about, (row, names), shown)
        return
    for name, score in zip(names, row.score, strict=True):
        yield from _scores(file, where, about, shown[name], score)


def _scores(
    file: _File, where: Where, about: JudgedTurn, shown: Shown, score: _Score | tuple[_Score, ...]
) -> Iterator[Imported]:
    """One score, or those of steps as one by each rule."""
    if not isinstance(score, tuple):
        value = number_of(score)
        verdict = Failure("unparsed", f"the source has {score!r} for a score") if value is None else value
        yield file.rows.score(where, about, judge_ref(file.judge, "rewardmath"), "rewardmath", shown, verdict)
        return
    steps = [number_of(step) for step in score]
    known = [step for step in steps if step is not None]
    for rule in RULES:
        protocol = f"rewardmath_{rule}"
        verdict = Failure("unparsed", "the source has no number for a step")
        if known and len(known) == len(steps):
            try:
                verdict = reduced(known, rule)
            except ValueError as error:
                verdict = Failure("unparsed", str(error)[:490])
        judge = judge_ref(file.judge, protocol)
        yield file.rows.score(where, about, judge, protocol, shown, verdict, raw=json.dumps(score))


def _verdicts(
    file: _File, where: Where, about: JudgedTurn, problem: tuple[_Problem, tuple[str, ...]], shown: dict[str, Shown]
) -> Iterator[Imported]:
    row, names = problem
    for name, word, right in zip(names, row.score, row.chosen_position or (), strict=True):
        pair = [shown[RIGHT], shown[name]][:: 1 if right == "A" else -1]
        points = {"A": 1.0, "B": 0.0}.get(str(word))
        verdict = Failure("unparsed", f"the source has {word!r} for a verdict") if points is None else points
        judge = judge_ref(file.judge, "pairs")
        yield file.rows.pair(where, about, judge, "rewardmath_pair", pair, verdict, label=str(word))
