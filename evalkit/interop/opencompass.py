"""OpenCompass subjective results: ``results/<model>_judged-by--<judge>/<dataset>.json``, single scores and pairs.

A file is one object, or several (``<dataset>_0.json``, ...), of judged cases by number: what the judge replied
(``prediction``) and what was judged (``gold``: ``answer1`` and ``answer2`` name the models of a pair, in the order
shown). OpenCompass reads the replies anew each time; here a rating or verdict in double brackets is read, as
MT-Bench's and Arena-Hard's prompts ask for, CompassArena's choice, and AlignBench's overall score; any other reply is
kept as unparsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from msgspec import Struct

from evalkit.core.protocols import Completion, UsageError
from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, Where, files, records, stem
from evalkit.interop.arena_hard import SCORES
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref
from evalkit.interop.rows import SourceRows
from evalkit.judges.fastchat import published_rating
from evalkit.judges.replies import excerpt

_JUDGED: Final = re.compile(r"(.+?)_?(?:summarized-by--[^/]*)?_?judged-by--(.+)", re.DOTALL)
_WINNER: Final = re.compile(r"\[\[\s*([ABC](?:[<>=]{1,2}[AB])?)\s*\]\]")
_CHOICE: Final = re.compile(r"(?:选择：|Choice: )([ABC])")
"""CompassArena's, of which the first counts there."""
_OVERALL: Final = re.compile(r"'(?:综合得分|Overall Score)': (\d{1,2})(?![\d.])")
"""AlignBench's, 0 to 10, in the dictionary that its reply ends in."""
_PART: Final = re.compile(r"(.+)_\d+", re.DOTALL)
_POINTS: Final = {"A": 1.0, "B": 0.0, "C": 0.5}


class _Case(Struct):
    prediction: str
    gold: dict[str, Any] | str | None = None


@dataclass(frozen=True)
class OpenCompassFormat(ImportFormat):
    """What a judge replied, case by case. Read only."""

    asks: ClassVar = frozenset({"judge", "model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every judged case.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, "*.json"):
            folder = file.resolve().parent.name
            named = _JUDGED.fullmatch(folder)
            judge = self.told.judge or (named[2] if named else self.told.judge_of(file, folder))
            model = self.told.model or (named[1] if named else folder)
            part = _PART.fullmatch(stem(file))
            rows = SourceRows(self.benchmark or (part[1] if part else stem(file)), ledger)
            yield from self.told.rows(_cases(file), partial(_case, rows, judge, model))


def _cases(file: Path) -> Iterator[Record]:
    for where, record in records(file):
        if "prediction" in record:  # a list of cases
            yield where, record
            continue
        for number, (name, case) in enumerate(record.items(), 1):
            if not isinstance(case, dict):
                raise UsageError(
                    f"{str(file)!r} is not a file of OpenCompass's judged cases: {name[:40]!r} is "
                    f"{type(case).__name__}, where a case with `prediction` and `gold` is expected"
                )
            yield Where(file, number), case


def _case(rows: SourceRows, judge: str, model: str, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _Case)
    gold = row.gold if isinstance(row.gold, dict) else {}
    question = gold.get("question")
    known = gold.get("question_id", gold.get("index", gold.get("id")))
    identity = str(known) if isinstance(known, str | int) else "" if isinstance(question, str) else str(where.number)
    turns = (question,) if isinstance(question, str) and question else ()
    category = gold.get("capability", gold.get("category"))
    about = yield from rows.item(
        where, turns, identity=identity, category=category if isinstance(category, str) else ""
    )
    raw = row.prediction
    pair = [gold.get(name) for name in ("answer1", "answer2")]
    by = judge_ref(judge, "opencompass")
    if all(isinstance(name, str) and name for name in pair):
        shown = []
        for side, name in enumerate(pair, 1):
            text = gold.get(f"prediction{side}")
            shown.append((yield from rows.answer(where, about, str(name), (text,) if isinstance(text, str) else None)))
        said = _WINNER.findall(raw) or _CHOICE.findall(raw)[:1]
        points = None
        if said and len(set(said)) == 1:
            points = _POINTS.get(said[0], SCORES.get(said[0], (None,))[0])
        verdict = Failure("unparsed", f"no verdict in the reply: {excerpt(raw)!r}") if points is None else points
        label = said[0] if points is not None else None
        yield rows.pair(where, about, by, "opencompass_pair", shown, verdict, label=label, raw=raw)
        return
    shown_one = yield from rows.answer(where, about, model, None)
    read = published_rating(Completion(raw))
    rated = read if isinstance(read, Failure) else read.scores[0]
    label = None if isinstance(read, Failure) else read.label
    overall = _OVERALL.findall(raw) if isinstance(read, Failure) else []
    if overall and int(overall[-1]) <= 10:
        rated, label = float(overall[-1]), overall[-1]
    yield rows.score(where, about, by, "opencompass", shown_one, rated, label=label, raw=raw)
