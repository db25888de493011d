"""FastChat llm_judge files (fschat 0.2.36, ``fastchat/llm_judge/data/<bench>/``), and the human votes on MT-Bench.

============================  ===========================================================================
``question.jsonl``            one Item each
``model_answer/*.jsonl``      one Response for each choice
``reference_answer/*.jsonl``  in ``meta["reference_answer"]`` of the question's Item, by file name
``*_single.jsonl``            one Judgment each, protocol ``fastchat_single``, or ours if the row names it as its prompt
``*_pair.jsonl``              two Judgments each, one a game, protocol ``fastchat_pair``, or ours likewise
votes                         ``lmsys/mt_bench_human_judgments``: protocol ``human_pair``; those of ``gpt4_pair``,
                              which join two games in one verdict, ``fastchat_pair_aggregated``
============================  ===========================================================================

A file is recognised by its fields, so folders may be arranged otherwise. ``judge_prompts.jsonl`` is passed over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Response
from evalkit.datasets.data_files import Record, files, first, records
from evalkit.interop import fastchat_rows as rows_of
from evalkit.interop.outputs import Outputs, RowAssembler, judgments, responses
from evalkit.interop.records import (
    UNKNOWN,
    ExportFormat,
    Imported,
    ImportLedger,
    JudgedTurn,
    difference,
    joined,
    model_ref,
    restored,
)

FOLDERS: Final = frozenset({"model_answer", "reference_answer", "model_judgment", "votes", "pairwise", "single"})
_JUDGE_IN_NAME: Final = re.compile(r"(.+)_(?:single|pair)", re.DOTALL)
BENCHES: Final = {"mt_bench": "mtbench"}
"""FastChat's name of a benchmark that ships with evalkit, and ours."""

_PROMPTS, _QUESTION, _REFERENCE, _ANSWER, _SINGLE, _PAIR, _VOTE = range(7)
_CATEGORIES: Final = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")


class _FastChatQuestion(Struct):
    question_id: int | str
    category: str
    turns: tuple[str, ...]
    reference: tuple[str | None, ...] = ()


class _FastChatChoice(Struct):
    turns: tuple[str, ...]


class _FastChatAnswer(Struct):
    question_id: int | str
    choices: tuple[_FastChatChoice, ...]
    model_id: str = ""
    answer_id: str = ""
    tstamp: float = 0.0


@dataclass(frozen=True)
class FastChatFormat(ExportFormat):
    """Questions, answers, references, single and pairwise judgments, votes."""

    asks: ClassVar = frozenset({"judge", "model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Everything, questions first. References need the questions beside them.

        Raises:
            UsageError: a file is none of these, or a record is malformed.
        """
        found = sorted((_kind(file), file) for file in files(path, "*.jsonl"))
        voted = {_folder(file) for kind, file in found if kind == _VOTE and _on_mt_bench(file)}
        names = {file: self.benchmark or _bench(file, voted) for _, file in found}
        references: dict[str, dict[str, dict[str, Any]]] = {}
        ledger = ImportLedger()
        kinds = {kind for kind, _ in found}
        if kinds <= {_PROMPTS}:
            raise UsageError(f"nothing to import in {str(path)!r}: only judge prompts")
        if _REFERENCE in kinds and _QUESTION not in kinds:
            raise UsageError(f"{str(path)!r} has reference answers without their question.jsonl: import both together")
        for file in (file for kind, file in found if kind == _REFERENCE):
            for where, record in records(file):
                answer = where.read(record, _FastChatAnswer)
                references.setdefault(f"{names[file]} {answer.question_id}", {})[file.stem] = record
        readers = {_SINGLE: rows_of.single, _PAIR: rows_of.pair, _VOTE: rows_of.vote}
        for kind, file in found:
            if kind in (_PROMPTS, _REFERENCE):
                continue
            if kind == _QUESTION:
                read = partial(_question, names[file], references, ledger)
            elif kind == _ANSWER:
                read = partial(_answer, names[file], self._model(file), ledger)
            else:
                read = partial(_judgment, readers[kind], names[file], self._judge(file), ledger)
            yield from self.told.rows(records(file), read)

    def _model(self, file: Path) -> str | None:
        """The model's name, where the rows have none: that of the file, or of its folder within ``model_answer``."""
        if "model_id" in (first(file) or {}):
            return None
        nested = file.resolve().parent.parent.name == "model_answer"
        return self.told.model_of(file, file.resolve().parent.name if nested else file.stem)

    def _judge(self, file: Path) -> str:
        """The judge's name where rows have none: what the file or its folder is called (``JUDGE_single``)."""
        said = first(file) or {}
        if said.get("judge") or said.get("judge_model"):
            return UNKNOWN  # every row of the file has its own
        folder = file.resolve().parent
        for name in (file.stem, folder.name):
            if match := _JUDGE_IN_NAME.fullmatch(name):
                return self.told.judge_of(file, match[1])
        return self.told.judge_of(file, folder.name if folder.parent.name in FOLDERS else file.stem)

    def write(self, rows: Iterable[Imported], out: Path) -> Counter[str]:
        """Files as above below ``out/<bench>/``; votes in ``votes/``, by kind of judge.

        A pairwise judgment needs the one in the other order; what is left without is counted.
        """
        written: Counter[str] = Counter()
        whole = RowAssembler()
        ours = {name: bench for bench, name in BENCHES.items()}
        with Outputs(out) as outputs:
            for row in rows:
                if (parts := whole.add(row, pairs=rows_of.in_two_games(row.record))) is None:
                    continue
                extra, record = parts[0].extra, parts[0].record
                bench = ours.get(record.benchmark, record.benchmark)
                if isinstance(record, Item):
                    outputs.row((bench, "question.jsonl"), restored(_question_row(record), extra))
                    for name, reference in record.meta.get("reference_answer", {}).items():
                        outputs.row((bench, "reference_answer", f"{name}.jsonl"), reference)
                        written["reference answers"] += 1
                    written["questions"] += 1
                elif isinstance(record, Response):
                    if record.error is not None and not record.turns:
                        written["left out: failed answers"] += 1
                        continue
                    line = restored(_answer_row(responses(parts)), extra)
                    outputs.row((bench, "model_answer", f"{record.model.name}.jsonl"), line)
                    written["answers"] += len(parts)
                else:
                    place, line = rows_of.foreign(judgments(parts))
                    outputs.row((bench, *place), restored(line, extra))
                    written["judgments"] += len(parts)
        if whole.incomplete:
            written["left out: judgments of one order only"] = whole.incomplete
        return written


def _kind(file: Path) -> int:
    """What a file holds, by the fields of its first record."""
    record = first(file)
    if record is None:
        return _PROMPTS
    if "turns" in record:
        return _QUESTION
    if "choices" in record:
        return _REFERENCE if file.parent.name == "reference_answer" else _ANSWER
    if "prompt_template" in record:
        return _PROMPTS
    for field, kind in (("g1_winner", _PAIR), ("score", _SINGLE), ("winner", _PAIR if "model_1" in record else _VOTE)):
        if field in record:
            return kind
    fields = ", ".join(list(record)[:12])
    raise UsageError(f"{str(file)!r} is not a file of FastChat's llm_judge: its records have the fields {fields}")


def _folder(file: Path) -> Path:
    """The folder of a file's benchmark, in which FastChat's own folders are, however deep the file is in those."""
    parents = file.resolve().parents
    for folder in parents[2::-1]:
        if folder.name in FOLDERS or _JUDGE_IN_NAME.fullmatch(folder.name):
            return folder.parent
    return parents[0]


def _on_mt_bench(votes: Path) -> bool:
    identity = (first(votes) or {}).get("question_id")
    return isinstance(identity, int) and 81 <= identity <= 160


def _bench(file: Path, voted: set[Path]) -> str:
    folder = _folder(file)
    if folder in voted:  # human votes were published for MT-Bench only, in files without its name
        return "mtbench"
    return BENCHES.get(folder.name, folder.name) or "fastchat"


def _category(benchmark: str, identity: int | str) -> str:
    """MT-Bench has ten questions of each category in a row; elsewhere it takes the question file to know."""
    if benchmark == "mtbench" and isinstance(identity, int) and 81 <= identity <= 160:
        return _CATEGORIES[(identity - 81) // 10]
    return UNKNOWN


def _question(
    benchmark: str, references: dict[str, dict[str, dict[str, Any]]], ledger: ImportLedger, source: Record
) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _FastChatQuestion)
    known = references.get(f"{benchmark} {row.question_id}")
    item = Item(
        id=str(row.question_id),
        benchmark=benchmark,
        category=row.category,
        turns=row.turns,
        reference=row.reference,
        meta={"reference_answer": known} if known else {},
    )
    if ledger.new(where, item):
        yield Imported(item, difference(record, _question_row(item)))


def _question_row(item: Item) -> dict[str, Any]:
    row = {"question_id": rows_of.number(item.id), "category": item.category, "turns": item.turns}
    return row | ({"reference": item.reference} if any(item.reference) else {})


def _judgment(
    read: Callable[[Record, JudgedTurn, str, ImportLedger], Iterator[Imported]],
    benchmark: str,
    judge: str,
    ledger: ImportLedger,
    source: Record,
) -> Iterator[Imported]:
    yield from read(source, rows_of.asked(*source, benchmark, ledger, _category), judge, ledger)


def _answer(benchmark: str, unnamed: str | None, ledger: ImportLedger, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _FastChatAnswer)
    if "model_id" not in record and unnamed is None:
        raise where.error("field `model_id` is missing")
    model_id = row.model_id if "model_id" in record else unnamed or ""
    identity = str(row.question_id)
    category = ledger.categories.get((benchmark, identity)) or _category(benchmark, row.question_id)
    asked, model, when = (benchmark, identity), model_ref(model_id), row.tstamp
    made = [
        ledger.answer(where, asked, model, choice.turns, created=when, category=category, marked=True)
        for choice in row.choices
    ]
    answers = [answer for answer in made if answer is not None]
    if not answers:
        raise where.error("field `choices` is empty")
    yield from joined(answers, difference(record, _answer_row(answers)))


def _answer_row(answers: list[Response]) -> dict[str, Any]:
    head = answers[0]
    return {
        "question_id": rows_of.number(head.item),
        "answer_id": head.key[:22],
        "model_id": head.model.name,
        "choices": [{"index": index, "turns": answer.turns} for index, answer in enumerate(answers)],
        "tstamp": head.created,
    }
