"""LLMBar files (princeton-nlp/LLMBar, 2023-10): ``dataset.json``, and ``<judge>/<method>/result.json`` with verdicts.

Gold labels are judgments of a judge named ``gold``; a judge's last verdict in each order is one Judgment, protocol
``llmbar_<method>``. The pairs have no ids, so an item is known by its texts; it is not told who wrote the outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Literal

from msgspec import Struct, field

from evalkit.core.schema import Failure, Item, Response, digest
from evalkit.datasets.data_files import Record, files, records
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, JudgedTurn, judge_ref, model_ref
from evalkit.judges.replies import excerpt

_SCORES: Final[dict[int | str, tuple[float, float]]] = {
    1: (1.0, 0.0),
    2: (0.0, 1.0),
    "1": (1.0, 0.0),
    "2": (0.0, 1.0),
    "tie": (0.5, 0.5),
}
"""For output_1 and output_2."""


class _Showing(Struct):
    winner: str | int | None = None
    completion: tuple[str | None, ...] = ()


class _Step(Struct):
    plain: _Showing | None = field(default=None, name="swap = False")
    swapped: _Showing | None = field(default=None, name="swap = True")


class _LLMBarPair(Struct):
    input: str
    output_1: str
    output_2: str
    label: Literal[1, 2]
    results: tuple[_Step, ...] = ()


@dataclass(frozen=True)
class LLMBarFormat(ImportFormat):
    """Pairs with gold labels, and what judges said of them in both orders."""

    asks: ClassVar = frozenset({"judge"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every pair once, with its outputs and gold label, and the verdicts on it.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, "result.json", "dataset.json"):
            yield from self.told.rows(records(file), partial(self._pair, ledger))

    def _pair(self, ledger: ImportLedger, source: Record) -> Iterator[Imported]:
        where, record = source
        row = where.read(record, _LLMBarPair)
        subset, judge, method = _place(where.path)
        judge = self.told.judge or judge
        item = Item(
            id=digest(row.input, row.output_1, row.output_2)[:16],
            benchmark=self.benchmark or "llmbar",
            category=subset,
            turns=(row.input,),
        )
        asked = JudgedTurn(item.benchmark, item.id, 1, subset)
        models = (model_ref("output_1"), model_ref("output_2"))
        outputs = ((row.output_1,), (row.output_2,))
        if ledger.new(where, item):
            yield Imported(item)
            answers = [ledger.answer(where, asked[:2], *each) for each in zip(models, outputs, strict=True)]
            yield from (Imported(answer) for answer in answers if isinstance(answer, Response))
            shown = [(model, ledger.shown(asked, model)) for model in models]
            gold, verdict = judge_ref("gold"), _SCORES[row.label]
            yield Imported(ledger.judgment(where, asked, gold, "gold", shown, verdict, label=str(row.label)))
        for name, order in (("plain", 1), ("swapped", -1)) if row.results else ():
            showing: _Showing | None = getattr(row.results[-1], name)
            if showing is None:
                continue
            raw = (showing.completion[0] if showing.completion else None) or ""
            scores = _SCORES.get(showing.winner or "")
            verdict_or_not = (
                Failure("unparsed", f"no winner in the source: {excerpt(raw)!r}") if scores is None else scores
            )
            shown = [(model, ledger.shown(asked, model)) for model in models[::order]]
            yield Imported(
                ledger.judgment(
                    where,
                    asked,
                    judge_ref(judge, method),
                    f"llmbar_{method.lower()}",
                    shown,
                    verdict_or_not if isinstance(verdict_or_not, Failure) else verdict_or_not[::order],
                    label=str(showing.winner),
                    raw=raw,
                )
            )


def _place(file: Path) -> tuple[str, str, str]:
    """Subset, judge and method, which the path says: .../Natural/GPT-4/Swap/result.json."""
    folders = file.resolve().parent.parts
    if file.name == "dataset.json":
        return folders[-1], "", ""
    subset, judge, method = ("unknown", "unknown", "unknown", *folders)[-3:]
    return subset, judge, method
