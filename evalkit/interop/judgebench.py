"""JudgeBench output files (ScalerLab/JudgeBench, 2024-10): one JSONL a judge, each pair with gold label and two games.

The second game shows the answers the other way round; its ``decision`` is about the order shown. Both answers are
samples of one model. What a reward model says of each answer is a single score, protocol ``judgebench_<judge>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from evalkit.core.schema import Failure, Item, Ref
from evalkit.datasets.data_files import Record, files, records
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, JudgedTurn, judge_ref, model_ref
from evalkit.judges.replies import excerpt

_SCORES: Final = {"A>B": (1.0, 0.0), "B>A": (0.0, 1.0), "A=B": (0.5, 0.5)}


class _JudgeReply(Struct):
    judge_model: str
    response: str = ""
    scores: tuple[float, ...] = ()


class _JudgeBenchGame(Struct):
    judgment: _JudgeReply
    decision: str | None


class _JudgeBenchPair(Struct):
    pair_id: str
    source: str
    question: str
    response_model: str
    response_A: str
    response_B: str
    label: Literal["A>B", "B>A", "A=B"]
    judge_name: str = ""
    judgments: tuple[_JudgeBenchGame | None, ...] = ()


@dataclass(frozen=True)
class JudgeBenchFormat(ImportFormat):
    """Pairs with gold labels, and what judges said of them in both orders."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Every pair once, with its answers and gold label, and the verdicts on it.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, "*.jsonl"):
            yield from self.told.rows(records(file), partial(self._pair, ledger))

    def _pair(self, ledger: ImportLedger, source: Record) -> Iterator[Imported]:
        where, record = source
        row = where.read(record, _JudgeBenchPair)
        item = Item(
            id=row.pair_id, benchmark=self.benchmark or "judgebench", category=row.source, turns=(row.question,)
        )
        asked = JudgedTurn(item.benchmark, item.id, 1, item.category)
        model = model_ref(row.response_model)
        texts = ((row.response_A,), (row.response_B,))
        new = ledger.new(where, item)
        if new:
            yield Imported(item)
            for text in texts:
                answer = ledger.answer(where, asked[:2], model, text)
                if answer is not None:
                    yield Imported(answer)
        shown = [(model, ledger.shown(asked, model, text)) for text in texts]
        if new:
            verdict = _SCORES[row.label]
            yield Imported(ledger.judgment(where, asked, judge_ref("gold"), "gold", shown, verdict, label=row.label))
        yield from _verdicts(source, row, asked, shown, ledger)


def _verdicts(
    source: Record,
    row: _JudgeBenchPair,
    asked: JudgedTurn,
    shown: list[tuple[Ref, tuple[str, int | None]]],
    ledger: ImportLedger,
) -> Iterator[Imported]:
    where = source[0]
    protocol = f"judgebench_{row.judge_name or 'unknown'}"
    rated: set[tuple[int, float]] = set()
    for place, game in enumerate(row.judgments):
        if game is None:
            continue
        said, order = game.judgment, -1 if place % 2 else 1
        judge = judge_ref(said.judge_model, protocol)
        if len(said.scores) not in (0, 2):
            raise where.error(f"field `scores` has {len(said.scores)} numbers for two answers")
        for which, score in enumerate(said.scores[::order]):
            if (which, score) not in rated:  # the second game says the same again
                rated.add((which, score))
                yield Imported(ledger.judgment(where, asked, judge, protocol, shown[which:][:1], (score,)))
        if not said.scores:
            scores = _SCORES.get(game.decision or "")
            nothing = Failure("unparsed", f"no decision in the source: {excerpt(said.response)!r}")
            verdict = nothing if scores is None else scores
            order_shown, label = shown[::order], game.decision
            yield Imported(
                ledger.judgment(where, asked, judge, protocol, order_shown, verdict, label=label, raw=said.response)
            )
