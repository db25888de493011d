"""PRD files (bcdnlp/PRD, ``data/vicuna80``): every ordered pair of five models, by model judges and by people.

``prompts/`` holds Items, ``generations/answer_<model>.jsonl`` Responses, ``ratings-<judge>/`` one Judgment for each
rating; 1 says the first answer is better, 2 the second, 3 a tie. Ratings of people do not say whose they are: the
first, second and third on a question are taken as three people, by their place. Models and judges keep the short
names of the files (``gpt4``), so that a judge is recognised among the contestants.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Ref
from evalkit.datasets.data_files import Record, files, first, records
from evalkit.interop.records import (
    UNKNOWN,
    Imported,
    ImportFormat,
    ImportLedger,
    JudgedTurn,
    Told,
    judge_ref,
    model_ref,
)
from evalkit.ratings.comparisons import HUMAN

_SCORES: Final = {1: (1.0, 0.0), 2: (0.0, 1.0), 3: (0.5, 0.5)}
_NAME: Final = re.compile(r"answer[_-](?P<one>.+?)-vs-answer[_-](?P<rest>.+-[^-]+)-reviewer", re.DOTALL)
_QUESTION, _ANSWER, _RATING = range(3)


class _PRDQuestion(Struct):
    question_id: int | str
    text: str
    category: str = UNKNOWN


class _PRDAnswer(Struct):
    question_id: int | str
    text: str


class _PRDRating(Struct):
    question_id: int | str
    score: int | tuple[int, ...]
    text: str = ""


@dataclass(frozen=True)
class PRDFormat(ImportFormat):
    """Reads the questions, answers and ratings of PRD."""

    asks: ClassVar = frozenset({"baseline", "judge", "model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Read a folder's files, questions first.

        Raises:
            UsageError: a file is none of these, or a record is malformed.
        """
        found = sorted((_kind(file), file) for file in files(path, "*.jsonl"))
        ledger = ImportLedger()
        rated: set[tuple[str, str, str]] = set()
        benchmark = self.benchmark or "prd"
        models = {file.stem[len("answer_") :] for kind, file in found if kind == _ANSWER}
        for kind, file in found:
            if kind == _RATING:
                pairing = _pairing(file, models, self.told)
                if pairing in rated:
                    continue  # the repository has some files twice, under two spellings
                rated.add(pairing)
                read = partial(_rating, pairing, Counter(), benchmark, ledger)
            else:
                read = partial(_question if kind == _QUESTION else _answer, benchmark, ledger)
            yield from self.told.rows(records(file), read)


def _kind(file: Path) -> int:
    if _NAME.search(file.stem) or "score" in (first(file) or {}):
        return _RATING
    if file.stem.startswith(("answer_", "answer-")):
        return _ANSWER
    if "question" in file.stem:
        return _QUESTION
    raise UsageError(
        f"{str(file)!r} is not a file of PRD: those are called *questions.jsonl, answer_MODEL.jsonl or "
        "answer_MODEL-vs-answer_MODEL-JUDGE-reviewer_threeclass.jsonl"
    )


def _pairing(file: Path, models: Collection[str], told: Told) -> tuple[str, str, str]:
    """The model shown first, the other one and the judge, of a name in which hyphens both part names and stand in them.

    What the user says, the name of the folder (``ratings-JUDGE``) and the models whose answers are there tell where the
    second model ends; where none of them does, it ends at the last hyphen, and that is said.
    """
    match = _NAME.search(file.stem)
    if match is None:
        if told.baseline is None or told.model is None:
            raise UsageError(
                f"{str(file)!r} does not name two models and a judge, as answer_MODEL-vs-answer_MODEL-JUDGE-reviewer "
                "does; say --baseline NAME for the model shown first, --model NAME for the other one, and --judge NAME"
            )
        return told.baseline, told.model, told.judge_of(file, file.stem)
    one, rest = match["one"], match["rest"]
    folder = file.resolve().parent.name
    judges = [name for name in (told.judge, folder.removeprefix("ratings-")) if name]
    for judge in judges:
        if rest.endswith(f"-{judge}") and rest != f"-{judge}":
            return one, rest.removesuffix(f"-{judge}"), judge
    for model in sorted(models, key=len, reverse=True):
        if rest.startswith(f"{model}-") and rest != f"{model}-":
            return one, model, told.judge or rest.removeprefix(f"{model}-")
    two, _, judge = rest.rpartition("-")
    if "-" in two:
        told.assume(
            f"assumed: {file.name} names the models {one!r} and {two!r} and the judge {judge!r} (or --judge NAME)"
        )
    return one, two, told.judge or judge


def _question(benchmark: str, ledger: ImportLedger, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _PRDQuestion)
    item = Item(id=str(row.question_id), benchmark=benchmark, category=row.category, turns=(row.text,))
    if ledger.new(where, item):
        yield Imported(item)


def _answer(benchmark: str, ledger: ImportLedger, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _PRDAnswer)
    model = model_ref(where.path.stem[len("answer_") :])
    answer = ledger.answer(where, (benchmark, str(row.question_id)), model, (row.text,))
    if answer is not None:
        yield Imported(answer)


def _rating(
    pairing: tuple[str, str, str], people: Counter[str], benchmark: str, ledger: ImportLedger, source: Record
) -> Iterator[Imported]:
    where, record = source
    one, two, judge = pairing
    row = where.read(record, _PRDRating)
    identity = str(row.question_id)
    score = row.score if isinstance(row.score, int) else (*row.score, 0)[0]
    if score not in _SCORES:
        raise where.error(f"field `score` is {score}; known are 1, 2 and 3 (a tie)")
    asked = JudgedTurn(benchmark, identity, 1, ledger.categories.get((benchmark, identity), UNKNOWN))
    shown = [(model, ledger.shown(asked, model)) for model in (model_ref(one), model_ref(two))]
    people[identity] += 1
    by_people = judge == "human"
    yield Imported(
        ledger.judgment(
            where,
            asked,
            Ref(f"human_{people[identity]}", HUMAN) if by_people else judge_ref(judge, "prd_pair"),
            "human_pair" if by_people else "prd_pair",
            shown,
            _SCORES[score],
            label=str(score),
            raw="" if by_people else row.text,
        )
    )
