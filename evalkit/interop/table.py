"""Any table of answers, of scores, or of pairs, in every kind of file and by the words that vocabulary.py knows.

=========  ==============================================================================================
answers    a question or its id, an answer, and who gave it, or that is the file's name
scores     the same with a score, with or without the answer; who judged, or that is the file's name
pairs      model_a, model_b and a winner, or two answers, with a winner or without; with or without the question's text
=========  ==============================================================================================

A file may hold answers and their scores, or pairs with their answers. Questions without an id have one by their text,
so that several files speak of the same question. ``item``, ``context`` and ``reference`` are as in question files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from evalkit.core.protocols import UsageError
from evalkit.core.refusal import COMPLIANCE, refusal_label
from evalkit.core.schema import Failure, Ref
from evalkit.datasets import question_fields
from evalkit.datasets.conversations import Conversation
from evalkit.datasets.data_files import PATTERNS, Record, Where, columns, files, first, records, stem
from evalkit.datasets.question_fields import Fields, QuestionFields, assumption, reach, texts, written_list
from evalkit.datasets.vocabulary import (
    ANSWERS,
    COLUMNS,
    BattleFile,
    columns_of,
    one_hot_columns,
    people_among,
    pooling,
    spelt,
    turn_of,
)
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref
from evalkit.interop.rows import SourceRows, number_of, person

FIELDS: Final = COLUMNS | ANSWERS
"""What --map may name, besides those of a question."""
QUESTION: Final = {
    **{"question": "turns", "item": "id", "question_id": "id", "harm_category": "harm"},
    **{name: name for name in ("reference", "context", "messages", "system", "expected")},
}
"""What it calls the fields of a question, and what question files call them."""
OBVIOUS: Final = ("the question is 'question'", "the question is 'prompt'", "its id is 'id'", "its id is 'question_id'")
"""Guesses that nobody need be told."""
IDS: Final = tuple(name for name in COLUMNS["question"] if name.endswith("_id"))
"""Columns that are ids of questions and of nothing else."""
CONVERSATIONS: Final = question_fields.NAMES["messages"]
"""Columns that hold a conversation whole, whose last words are the answer where no column has it."""
PAIR: Final = ("model_a", "model_b", "winner", "answer_a", "answer_b")
FAILED: Final = ("", "nan", "null", "none", "error", "n/a", "-1")
"""What stands for a score that failed."""
MOST_MODELS: Final = 2
"""Models that are looked for in the first rows of a file, to tell whether it is about one or several."""
LOOK: Final = 1000


@dataclass(frozen=True)
class _Layout:
    """What the columns of one file are."""

    where: Mapping[str, str]
    """Column by field."""
    question: QuestionFields | None
    pairs: bool
    """Whether each row is about two answers."""
    verdicts: bool
    """Whether each row of two says which is better."""
    assumed: tuple[str, ...] = ()

    def get(self, record: Mapping[str, Any], name: str) -> Any:
        """The value of a field, None where there is none."""
        return record.get(self.where[name]) if name in self.where else None

    def listed(self, record: Mapping[str, Any]) -> bool:
        """Whether the turns of a question are a list written as text."""
        return self.question is not None and written_list(reach(record, self.question.turns or "")) is not None


@dataclass(frozen=True)
class TableFormat(ImportFormat):
    """A table of answers, scores or pairs."""

    asks: ClassVar = frozenset({"columns", "judge", "model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every row of every file: its question, its answers, its score or verdict, as far as it has them.

        Raises:
            UsageError: the columns are none of the three kinds, or a row is malformed.
        """
        ledger = ImportLedger()
        found = files(path, *PATTERNS)
        for file in found:
            names = columns(file)
            if not names:
                continue
            layout = _layout(names, file, self.told.columns)
            for text in layout.assumed:
                self.told.assume(text)
            if layout.pairs:
                yield from self._pairs(file, path, layout, ledger, names)
            else:
                yield from self._answers(file, path, layout, ledger)

    def _named(self, file: Path, path: Path, otherwise: str) -> str:
        return self.benchmark or (path.resolve().name if path.is_dir() else otherwise) or "table"

    def _answers(self, file: Path, path: Path, layout: _Layout, ledger: ImportLedger) -> Iterator[Imported]:
        one = "model" not in layout.where or len(_models(file, layout)) < MOST_MODELS
        name = self._named(file, path, file.resolve().parent.name if one else stem(file))
        if one and not path.is_dir() and self.benchmark is None:
            self.told.assume(
                f"assumed: {file.name} is about one model, so the benchmark is called {name!r}, after its folder (or "
                "--benchmark NAME)"
            )
        model = "" if "model" in layout.where else self.told.model_of(file, stem(file))
        judge, people = self.told.judge or stem(file), frozenset[str]()
        if "score" in layout.where and "judge" not in layout.where:
            judge = self.told.judge_of(file, judge)
        elif "score" in layout.where:
            column = layout.where["judge"]
            people = people_among(sorted({str(record.get(column) or "") for _, record in records(file)} - {""}), column)
            for text in pooling(file, column, people):
                self.told.assume(text)
        rows = SourceRows(name, ledger)
        yield from self.told.rows(records(file), partial(self._answer, rows, layout, model, judge, people))

    def _answer(
        self, rows: SourceRows, layout: _Layout, unnamed: str, judge: str, people: frozenset[str], source: Record
    ) -> Iterator[Imported]:
        where, record = source
        said = _conversation(layout, where, record)
        about = yield from _question(rows, layout, where, record, said)
        model = _text(layout, record, "model", where) or unnamed
        if not model.strip():
            raise where.error(f"field `{layout.where['model']}` is empty")
        turns = None
        if "answer" in layout.where:
            turns = _answer_texts(layout, record, "answer", where)
        elif said is not None:
            if not said.reference:
                raise where.error("the conversation ends with the user; an answer to judge must be the last thing said")
            turns = (said.reference[-1] or "",)
        shown = yield from rows.answer(where, about, model, turns)
        if "score" not in layout.where:
            return
        name = _text(layout, record, "judge", where)
        who = person(name) if name in people else judge_ref(name or judge, "scores")
        score = layout.get(record, "score")
        verdict: float | Failure | None = number_of(score)
        if (word := refusal_label(score)) is not None:
            verdict = COMPLIANCE[word]
        if score is None or str(score).strip().lower() in FAILED:
            verdict = Failure("unparsed", f"the source has {score!r} for a score, and no reason")
        if verdict is None:
            raise where.error(
                f"field `{layout.where['score']}` is {str(score)[:60]!r}; a score is a number, as 7, 7.5 or 7,5, and "
                "empty, null or error where there is none"
            )
        label = None if score is None else str(score)
        yield rows.score(where, about, who, _protocol(who, "scores"), shown, verdict, label=label)

    def _pairs(
        self, file: Path, path: Path, layout: _Layout, ledger: ImportLedger, names: tuple[str, ...]
    ) -> Iterator[Imported]:
        sides = {side: layout.where.get(f"model_{side}", "") for side in "ab"}
        added = {f"model_{side}": f"answer_{side}" for side, column in sides.items() if not column}
        source = SourceRows(self._named(file, path, stem(file)), ledger)
        if added:
            self.told.assume(f"assumed: {file.name} names no models; they are called {' and '.join(added.values())}")
        if not layout.verdicts:
            yield from self.told.rows(records(file), partial(self._two_answers, source, layout, added))
            return

        def rows() -> Iterator[Record]:
            return ((where, {**added, **record}) for where, record in records(file))

        given = {name: column for name, column in layout.where.items() if name in COLUMNS and name != "question"}
        battles = BattleFile(file, rows, (*names, *added), given | {name: name for name in added})
        for text in battles.assumed[len(battles.columns.assumed) :]:  # of columns, ours says it all
            self.told.assume(text)
        judge = self.told.judge or stem(file)
        if "judge" not in layout.where:
            judge = self.told.judge_of(file, judge)
        yield from self.told.rows(rows(), partial(self._pair, source, layout, battles, judge))

    def _two_answers(
        self, rows: SourceRows, layout: _Layout, unnamed: Mapping[str, str], source: Record
    ) -> Iterator[Imported]:
        """The question and the answers of a row that says nothing of which is better."""
        where, record = source
        about = yield from _question(rows, layout, where, record)
        names = [unnamed.get(side) or _text(layout, record, side, where).strip() for side in ("model_a", "model_b")]
        if not all(names) or names[0] == names[1]:
            raise where.error(
                f"the answers are by {names[0]!r} and {names[1]!r}; model_a and model_b must be two names"
            )
        for model, side in zip(names, ("answer_a", "answer_b"), strict=True):
            yield from rows.answer(where, about, model, _answer_texts(layout, record, side, where))

    def _pair(
        self, rows: SourceRows, layout: _Layout, battles: BattleFile, unnamed: str, source: Record
    ) -> Iterator[Imported]:
        where, record = source
        row = battles.row(where, record)
        about = yield from _question(rows, layout, where, record)
        shown = []
        for side, model in (("answer_a", row.model_a), ("answer_b", row.model_b)):
            there = layout.get(record, side) is not None
            turns = _answer_texts(layout, record, side, where) if there else None
            shown.append((yield from rows.answer(where, about, model, turns)))
        who = person(row.judge) if row.judge in battles.people else judge_ref(row.judge or unnamed, "battles")
        verdict: float | Failure | None = row.points
        if verdict is None:
            verdict = Failure("unparsed", f"the source has {row.winner!r} for a winner")
        yield rows.pair(where, about, who, _protocol(who, "battles"), shown, verdict, label=row.winner)


def _protocol(judge: Ref, otherwise: str) -> str:
    """Protocol under which verdicts are kept: those of people apart."""
    from evalkit.ratings.comparisons import HUMAN

    people = {"scores": "human_scores", "battles": "human_pair"}
    return people[otherwise] if judge.fingerprint == HUMAN else otherwise


def _layout(names: tuple[str, ...], file: Path, given: Mapping[str, str]) -> _Layout:
    """Find out what a file holds.

    Raises:
        UsageError: none of the three kinds.
    """
    wanted = {name: aliases for name, aliases in FIELDS.items() if name != "question"}
    fixed = {name: column for name, column in given.items() if name not in QUESTION}
    talk = given.get("messages") or next((name for name in names if spelt(name) in CONVERSATIONS), None)
    found = columns_of(names, file, wanted, fixed)
    if found["winner"] and found["winner"] in (found["score"], found["answer"]):
        found["winner"] = None
    winners = [found["winner"]] if found["winner"] else list(one_hot_columns(names).values())
    both = bool(found["answer_a"] and found["answer_b"])
    verdicts = bool(winners and ((found["model_a"] and found["model_b"]) or both))
    pair = verdicts or (both and not found["answer"])
    graded = found["score"] is not None and found["model"] is not None
    if not pair and not found["answer"] and not graded and not talk:
        hint = ""
        if {"chosen", "rejected"} <= {spelt(name) for name in names}:
            hint = " Chosen and rejected answers are read by `evalkit import preferences`."
        raise UsageError(
            f"{str(file)!r} is not a file with answers, scores or pairs. Answers: a question and an answer (and "
            "model); scores: a question or its id, model and score; pairs: model_a, model_b and winner, or answer_a "
            f"and answer_b, with a winner or without. --map FIELD=COLUMN names a column.{hint} This file has: "
            f"{', '.join(map(repr, names[:12])) or 'none'}"
        )
    kept = PAIR if pair else ("model", "answer", "score")
    where = {name: column for name, column in found.items() if column and name in (*kept, "judge", "category", "turn")}
    taken = {*(column for name, column in where.items() if name != "category"), *(winners if pair else ())}
    asked = Fields(**{QUESTION[name]: column for name, column in given.items() if name in QUESTION})
    if asked.id is None and found["judge"] and "id" in map(spelt, names):  # beside a question's id, that of a verdict
        others = (name for alias in IDS for name in names if spelt(name) == alias)
        asked = replace(asked, id=next(others, None))
    question: QuestionFields | None = None
    guessed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    try:
        question, guessed, unused = question_fields.find(names, file, asked, taken, first(file))
    except UsageError:
        if asked.turns or asked.id:
            raise
    if question is None and (item := next((name for name in names if spelt(name) in COLUMNS["question"]), None)):
        question = QuestionFields("", item)
    if question is None:
        raise UsageError(
            f"{str(file)!r}: no column says what was asked; name it with --map question=COLUMN, or its id with --map "
            f"item=COLUMN. This file has: {', '.join(map(repr, names[:12]))}"
        )
    said = [
        f"{name} is {column!r}"
        for name, column in where.items()
        if name not in given and name in ANSWERS and spelt(column) != name
    ]
    said += [text for text in guessed if text not in OBVIOUS]
    how = "--map FIELD=COLUMN says otherwise"
    assumed = (assumption(file, said or guessed, unused, how),) if said or unused else ()
    return _Layout(where, question, pair, verdicts, assumed)


def _models(file: Path, layout: _Layout) -> set[str]:
    """Who answers in the first rows."""
    return {str(layout.get(record, "model")) for _, record in islice(records(file), LOOK)}


def _conversation(layout: _Layout, where: Where, record: Mapping[str, Any]) -> Conversation | None:
    """A whole conversation, where a row holds one in place of a question."""
    fields = layout.question
    if fields is None or not fields.messages:
        return None
    return fields.conversation_of(record, f"{str(where.path)!r}, record {where.number}")


def _question(
    rows: SourceRows,
    layout: _Layout,
    where: Where,
    record: Mapping[str, Any],
    said: Conversation | None = None,
) -> Any:
    fields = layout.question
    assert fields is not None
    at = f"{str(where.path)!r}, record {where.number}"
    known = record.get(fields.id) if fields.id else None
    turns: tuple[str, ...] = said.turns if said is not None else ()
    if said is None and fields.turns and record.get(fields.turns) not in (None, ""):
        turns = fields.turns_of(record, at)
    if known in (None, "") and not turns:
        raise where.error(f"field `{fields.turns or fields.id}` is empty, so nothing says what was asked")
    if isinstance(known, list | dict):
        raise where.error(f"field `{fields.id}` is {type(known).__name__}, where text is expected")
    return (
        yield from rows.item(
            where,
            turns,
            identity="" if known in (None, "") else str(known),
            category=_text(layout, record, "category", where),
            reference=fields.reference_of(record, len(turns), at),
            meta=fields.meta_of(record, at),
            system=said.system if said is not None else None,
            messages=said.messages if said is not None else (),
            turn=turn_of(_text(layout, record, "turn", where), where),
        )
    )


def _answer_texts(layout: _Layout, record: Mapping[str, Any], name: str, where: Where) -> tuple[str, ...]:
    """An answer, or one for each turn; a number is one, too. An empty text is an empty answer.

    A list written as text is a list where the question's turns are one: alone, such a text may well be an answer.
    """
    value, what = layout.get(record, name), f"field `{layout.where[name]}`"
    if value is None:
        raise where.error(f"{what} is missing")
    if isinstance(value, bool | int | float):
        value = str(value)
    if value == "":
        return ("",)
    if (turns := written_list(value)) and layout.listed(record):
        return tuple(turn or "" for turn in turns)
    return texts(value, f"{str(where.path)!r}, record {where.number}: {what}")


def _text(layout: _Layout, record: Mapping[str, Any], name: str, where: Where) -> str:
    value = layout.get(record, name)
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise where.error(f"field `{layout.where[name]}` is {type(value).__name__}, where text is expected")
    return str(value)
