"""PRD files (bcdnlp/PRD, ``data/vicuna80``): every ordered pair of five models, by model judges and by people.

``prompts/`` holds Items, ``generations/answer_<model>.jsonl`` Responses, ``ratings-<judge>/`` one Judgment for each
rating; 1 says the first answer is better, 2 the second, 3 a tie. Ratings of people do not say whose they are: the
first, second and third on a question are taken as three people, by their place. Models and judges keep the short
names of the files (``gpt4``), so that a judge is recognised among the contestants.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Ref
from evalkit.datasets.data_files import Record, files, records
from evalkit.interop.records import UNKNOWN, Asked, Imported, Ledger, judge_ref, model_ref
from evalkit.ratings.comparisons import HUMAN

_SCORES: Final = {1: (1.0, 0.0), 2: (0.0, 1.0), 3: (0.5, 0.5)}
_NAME: Final = re.compile(r"answer[_-](?P<one>.+?)-vs-answer[_-](?P<two>.+?)-(?P<judge>[^-]+)-reviewer", re.DOTALL)


class _Question(Struct):
    question_id: int | str
    text: str
    category: str = UNKNOWN


class _Answer(Struct):
    question_id: int | str
    text: str


class _Rating(Struct):
    question_id: int | str
    score: int | tuple[int, ...]
    text: str = ""


@dataclass(frozen=True)
class Format:
    """Questions, answers and ratings."""

    benchmark: str | None = None

    def read(self, path: Path) -> Iterator[Imported]:
        """Everything, questions first.

        Raises:
            UsageError: a file is none of these, or a record is malformed.
        """
        found = sorted((_kind(file), file) for file in files(path, "*.jsonl"))
        ledger = Ledger()
        rated: set[tuple[str, str, str]] = set()
        benchmark = self.benchmark or "prd"
        for kind, file in found:
            if kind == 2:
                one, two, judge = _pairing(file)
                if (one, two, judge) in rated:
                    continue  # the repository has some files twice, under two spellings
                rated.add((one, two, judge))
                yield from _ratings(file, benchmark, ledger)
                continue
            for source in records(file):
                yield from (_question if kind == 0 else _answer)(source, benchmark, ledger)


def _kind(file: Path) -> int:
    if _NAME.search(file.stem):
        return 2
    if file.stem.startswith(("answer_", "answer-")):
        return 1
    if "question" in file.stem:
        return 0
    raise UsageError(
        f"{str(file)!r} is not a file of PRD: those are called *questions.jsonl, answer_MODEL.jsonl or "
        "answer_MODEL-vs-answer_MODEL-JUDGE-reviewer_threeclass.jsonl"
    )


def _pairing(file: Path) -> tuple[str, str, str]:
    match = _NAME.search(file.stem)
    if match is None:
        raise UsageError(f"{str(file)!r} does not name two models and a judge")
    return match["one"], match["two"], match["judge"]


def _question(source: Record, benchmark: str, ledger: Ledger) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _Question)
    item = Item(id=str(row.question_id), benchmark=benchmark, category=row.category, turns=(row.text,))
    if ledger.new(where, item):
        yield Imported(item)


def _answer(source: Record, benchmark: str, ledger: Ledger) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _Answer)
    model = model_ref(where.path.stem[len("answer_") :])
    answer = ledger.answer(where, (benchmark, str(row.question_id)), model, (row.text,))
    if answer is not None:
        yield Imported(answer)


def _ratings(file: Path, benchmark: str, ledger: Ledger) -> Iterator[Imported]:
    one, two, judge = _pairing(file)
    people: Counter[str] = Counter()
    for where, record in records(file):
        row = where.read(record, _Rating)
        identity = str(row.question_id)
        score = row.score if isinstance(row.score, int) else (*row.score, 0)[0]
        if score not in _SCORES:
            raise where.error(f"field `score` is {score}; known are 1, 2 and 3 (a tie)")
        asked = Asked(benchmark, identity, 1, ledger.categories.get((benchmark, identity), UNKNOWN))
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
