"""Arena-Hard-Auto files: v0.1 as published (2971e34) and since April 2025 (196f6b8).

``question.jsonl`` holds Items, ``model_answer/*.jsonl`` Responses, ``model_judgment/<judge>/*.jsonl`` one Judgment for
each game, protocol ``arena_hard``. Game 1 shows the baseline first, game 2 the model. The five-step verdict is the
label; the scores say only who won, since the triple weight of A>>B belongs to the rating.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Item, Judgment, Response
from evalkit.datasets.data_files import Record, files, first, records
from evalkit.interop.outputs import Outputs, RowAssembler, judgments, remembered
from evalkit.interop.records import (
    API_FAILED,
    NO_REASON,
    UNKNOWN,
    ExportFormat,
    Imported,
    ImportLedger,
    JudgedTurn,
    difference,
    joined,
    judge_ref,
    model_ref,
    restored,
)
from evalkit.judges.replies import excerpt

PROTOCOL: Final = "arena_hard"
BASELINE: Final = "gpt-4-0314"
"""What v0.1 as published compares with; its files do not say. Forks use others, so this is announced where assumed."""

SCORES: Final = {
    **dict.fromkeys(("A>>B", "A>B", "B<A", "B<<A"), (1.0, 0.0)),
    **dict.fromkeys(("A=B", "B=A"), (0.5, 0.5)),
    **dict.fromkeys(("B>>A", "B>A", "A<B", "A<<B"), (0.0, 1.0)),
}
"""Scores in the order shown, by label; which are all that Arena-Hard itself can count."""

_QUESTION, _ANSWER, _JUDGMENT = range(3)


class _ArenaHardContent(Struct):
    content: str


class _ArenaHardQuestion(Struct):
    uid: str = ""
    question_id: str = ""
    category: str = UNKNOWN
    prompt: str = ""
    turns: tuple[_ArenaHardContent, ...] = ()


class _ArenaHardMessage(Struct):
    role: str
    content: str | dict[str, Any]


class _ArenaHardChoice(Struct):
    turns: tuple[_ArenaHardContent, ...]


class _ArenaHardAnswer(Struct):
    uid: str = ""
    question_id: str = ""
    model: str = ""
    model_id: str = ""
    messages: tuple[_ArenaHardMessage, ...] = ()
    choices: tuple[_ArenaHardChoice, ...] = ()
    tstamp: float = 0.0


class _ArenaHardGame(Struct):
    score: str | None = None
    judgment: str | dict[str, Any] | None = None


class _ArenaHardJudged(Struct):
    model: str
    judge: str
    baseline: str
    games: tuple[_ArenaHardGame | None, ...]
    uid: str = ""
    question_id: str = ""
    category: str = ""


@dataclass(frozen=True)
class ArenaHardFormat(ExportFormat):
    """Questions, answers and judgments of both layouts."""

    asks: ClassVar = frozenset({"baseline", "judge", "model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Read a folder's files, questions first.

        Raises:
            UsageError: a file is none of these, or a record is malformed.
        """
        found = sorted((_kind(file), file) for file in files(path, "*.jsonl"))
        benchmark = self.benchmark or _version(found[0][1])
        ledger = ImportLedger()
        prompts: dict[str, tuple[str, ...]] = {}
        for kind, file in found:
            if kind == _QUESTION:
                read = partial(_question, benchmark, ledger, prompts)
            elif kind == _ANSWER:
                read = partial(_answer, benchmark, ledger, prompts, self._unsaid_of_answers(file))
            else:
                read = partial(_games, benchmark, ledger, self._unsaid_of_judgments(file))
            yield from self.told.rows(records(file), read)

    def _unsaid_of_answers(self, file: Path) -> dict[str, str]:
        """The model's name, where the file has none."""
        said = first(file) or {}
        return {} if "model" in said or "model_id" in said else {"model": self.told.model_of(file, file.stem)}

    def _unsaid_of_judgments(self, file: Path) -> dict[str, str]:
        """The names that the file does not have: of the judge, the model and the baseline."""
        said = first(file) or {}
        unsaid = {}
        if "judge" not in said:
            folder = file.resolve().parent
            name = folder.name if folder.parent.name == "model_judgment" else file.stem
            unsaid["judge"] = self.told.judge_of(file, name)
        if "model" not in said:
            unsaid["model"] = self.told.model_of(file, file.stem)
        # the rows of one file were judged against one baseline, which some of them may name
        named = (record["baseline"] for _, record in records(file) if isinstance(record.get("baseline"), str))
        baseline = next(named, None)
        unsaid["baseline"] = self.told.baseline_of(file, BASELINE) if baseline is None else baseline
        return unsaid

    def write(self, rows: Iterable[Imported], out: Path) -> Counter[str]:
        """The newer layout below ``out/<benchmark>/``; rows that came in the older one go back to it.

        A judgment of our own needs the one in the other order. The baseline is the model shown first.
        """
        written: Counter[str] = Counter()
        items: dict[tuple[str, str], Item] = {}
        whole = RowAssembler()
        with Outputs(out) as outputs:
            for row in remembered(rows, items):
                if isinstance(row.record, Judgment) and len(row.record.shown) != 2:
                    written["left out: judgments that are not of two answers"] += 1
                elif isinstance(row.record, Response) and not row.record.turns:
                    written["left out: failed answers"] += 1
                elif parts := whole.add(row, pairs=True):
                    kind, place, line = _foreign(parts, items)
                    outputs.row((row.record.benchmark, *place), restored(line, parts[0].extra))
                    written[kind] += len(parts)
        if whole.incomplete:
            written["left out: judgments of one order only"] = whole.incomplete
        return written


def _kind(file: Path) -> int:
    record = first(file)
    if record is None or "prompt" in record or "turns" in record:
        return _QUESTION
    if "games" in record:
        return _JUDGMENT
    if "messages" in record or "choices" in record:
        return _ANSWER
    raise UsageError(
        f"{str(file)!r} is not a file of Arena-Hard: its records have the fields {', '.join(list(record)[:12])}"
    )


def _version(file: Path) -> str:
    """The benchmark's name with us: v2.0 has ids of 16 digits, v0.1 of 32."""
    return "arena_hard_v2" if len(str((first(file) or {}).get("uid"))) == 16 else "arena_hard"


def _question(
    benchmark: str, ledger: ImportLedger, prompts: dict[str, tuple[str, ...]], source: Record
) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _ArenaHardQuestion)
    turns = tuple(turn.content for turn in row.turns) if row.turns else (row.prompt,)
    meta: dict[str, Any] = {name: record[name] for name in ("cluster", "subcategory") if name in record}
    if not any(turns):
        raise where.error("field `prompt` is missing or empty")
    item = Item(id=_identity(source, row), benchmark=benchmark, category=row.category, turns=turns, meta=meta)
    prompts[item.id] = item.turns
    if ledger.new(where, item):
        yield Imported(item, difference(record, _question_row(item)))


def _identity(source: Record, row: _ArenaHardQuestion | _ArenaHardAnswer | _ArenaHardJudged) -> str:
    if identity := row.uid or row.question_id:
        return identity
    raise source[0].error("neither field `uid` nor `question_id` is there")


def _question_row(item: Item) -> dict[str, Any]:
    return {"uid": item.id, "category": item.category, **item.meta, "prompt": item.turns[0] if item.turns else ""}


def _answer(
    benchmark: str, ledger: ImportLedger, prompts: dict[str, tuple[str, ...]], unsaid: dict[str, str], source: Record
) -> Iterator[Imported]:
    where, record = source
    row = where.read({**unsaid, **record}, _ArenaHardAnswer)
    identity = _identity(source, row)
    if row.messages:
        turns = tuple(_text(message.content) for message in row.messages if message.role == "assistant")
    else:
        turns = tuple(turn.content for turn in row.choices[0].turns) if row.choices else ()
    if not turns:
        raise where.error("there is no answer in field `messages` or `choices`")
    model = model_ref(row.model or row.model_id)
    asked = tuple(_text(message.content) for message in row.messages if message.role == "user")
    if identity not in prompts and len(asked) == len(turns) and all(asked):  # no file of questions; this is one
        item = Item(id=identity, benchmark=benchmark, category=UNKNOWN, turns=asked)
        if ledger.new(where, item):
            yield Imported(item)
    response = ledger.answer(where, (benchmark, identity), model, turns, created=row.tstamp, marked=True)
    if response is not None:
        yield Imported(response, difference(record, _answer_row(response, prompts.get(identity, ()))))


def _text(content: str | dict[str, Any] | None) -> str:
    return content if isinstance(content, str) else str((content or {}).get("answer") or "")


def _answer_row(response: Response, prompts: tuple[str, ...]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for place, answer in enumerate(response.turns):
        messages.append({"role": "user", "content": prompts[place] if place < len(prompts) else ""})
        messages.append({"role": "assistant", "content": {"answer": answer}})
    return {
        "uid": response.item,
        "ans_id": response.key[:22],
        "model": response.model.name,
        "messages": messages,
        "tstamp": response.created,
    }


def _games(benchmark: str, ledger: ImportLedger, unsaid: dict[str, str], source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read({**unsaid, **record}, _ArenaHardJudged)
    identity = _identity(source, row)
    if not row.games:
        raise where.error("field `games` is empty")
    asked = JudgedTurn(benchmark, identity, 1, row.category or ledger.categories.get((benchmark, identity), UNKNOWN))
    models = (model_ref(row.baseline), model_ref(row.model))
    games = []
    for place, game in enumerate(row.games):
        shown = [(model, ledger.shown(asked, model)) for model in (models if place % 2 == 0 else models[::-1])]
        raw = _text(game.judgment) if game else ""
        label = game.score if game else None
        verdict: tuple[float, ...] | Failure | None = SCORES.get(label or "")
        if verdict is None and raw.strip() == API_FAILED:
            verdict = Failure("transport", "the judge could not be reached")
        elif verdict is None and not raw.strip():
            verdict = Failure("unparsed", NO_REASON)
        elif verdict is None:
            verdict = Failure("unparsed", f"no verdict that counts (score {label!r}) in the reply: {excerpt(raw)!r}")
        judge = judge_ref(row.judge, PROTOCOL)
        games.append(ledger.judgment(where, asked, judge, PROTOCOL, shown, verdict, label=label, raw=raw))
    yield from joined(games, difference(record, _judged_row(games)))


def _judged_row(games: list[Judgment]) -> dict[str, Any]:
    head = games[0]
    return {
        "uid": head.item,
        "category": head.category,
        "judge": head.judge.name,
        "model": head.models[1].name,
        "baseline": head.models[0].name,
        "games": [
            {"score": _label(game) if game.scores else None, "judgment": {"answer": game.raw}, "prompt": []}
            for game in games
        ],
    }


def _label(game: Judgment) -> str:
    if game.label in SCORES:
        return game.label
    one, two = game.scores or (0.5, 0.5)
    return "A=B" if one == two else "A>B" if one > two else "B>A"


def _foreign(parts: list[Imported], items: dict[tuple[str, str], Item]) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """Kind, file and row in the newer layout."""
    record = parts[0].record
    if isinstance(record, Item):
        return "questions", ("question.jsonl",), _question_row(record)
    if isinstance(record, Response):
        item = items.get((record.benchmark, record.item))
        row = _answer_row(record, item.turns if item else ())
        return "answers", ("model_answer", f"{record.model.name}.jsonl"), row
    row = _judged_row(judgments(parts))
    return "judgments", ("model_judgment", record.judge.name, f"{row['model']}.jsonl"), row
