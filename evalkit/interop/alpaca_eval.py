"""AlpacaEval files (alpaca_eval 0.6.6): ``model_outputs.json`` and ``annotations.json``.

An output is a Response; an annotation, one Judgment, with the answers in the order the judge saw them. The file does
not hold that order: it follows from the instruction by a seeded draw (processors.RandomSwitchTwoColumnsProcessor). The
stored ``preference`` is 1 + P(output_2 is better); the completion is as it came, before switching back. Fields about
the call were renamed in 2024-08 (commit 73e9c45) to begin with ``preference_``; both kinds are read.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Item, Judgment, Response, digest
from evalkit.datasets.data_files import Record, Where, files, first, records
from evalkit.interop.outputs import Outputs, remembered
from evalkit.interop.records import (
    NO_REASON,
    UNKNOWN,
    ExportFormat,
    Imported,
    ImportLedger,
    JudgedTurn,
    difference,
    judge_ref,
    model_ref,
    restored,
)

PUBLISHED: Final = {
    "weighted_alpaca_eval_gpt4_turbo": "alpaca_eval_weighted",
    "alpaca_eval_gpt4": "alpaca_eval_gpt4",
}
"""Our protocol of the same rules, by annotator; ``alpaca_eval`` for any other."""

_CALL: Final = ("price_per_example", "time_per_example", "raw_completion")
_RENAMED: Final = "preference_"


class _Output(Struct):
    instruction: str
    output: str
    generator: str
    dataset: str = UNKNOWN
    input: str = ""
    """More of the instruction, in files of Alpaca's older format."""


class _Annotation(Struct):
    instruction: str
    output_1: str
    generator_1: str
    output_2: str
    generator_2: str
    annotator: str
    preference: float | None
    dataset: str = UNKNOWN
    input: str = ""


class _Call(Struct):
    price_per_example: float | None = None
    time_per_example: float | None = None
    raw_completion: dict[str, Any] | str | None = None


@dataclass(frozen=True)
class AlpacaEvalFormat(ExportFormat):
    """Outputs and annotations; a folder may hold those of any number of models."""

    asks: ClassVar = frozenset({"baseline", "judge", "model"})

    seed: int = 0
    """The annotator's seed, which decides in which order answers were shown."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Outputs first, then annotations; the answers that annotations quote are answers, too.

        Raises:
            UsageError: a file is neither, or a record is malformed.
        """
        found = sorted((_annotated(file), file) for file in files(path, "*outputs*.json", "*annotations*.json"))
        ledger = ImportLedger()
        for annotated, file in found:
            read = self._annotation if annotated else self._output
            yield from self.told.rows(records(file), partial(read, ledger, self._unsaid(file, annotated)))

    def _unsaid(self, file: Path, annotated: bool) -> dict[str, str]:
        """The names that the file does not have; folders are called results/MODEL/ANNOTATOR."""
        said = first(file) or {}
        folder = file.resolve().parent
        unsaid: dict[str, str] = {}
        if not annotated:
            return unsaid if "generator" in said else {"generator": self.told.model_of(file, folder.name)}
        if "annotator" not in said:
            unsaid["annotator"] = self.told.judge_of(file, folder.name)
        if "generator_2" not in said:
            unsaid["generator_2"] = self.told.model_of(file, folder.parent.name)
        if "generator_1" not in said and self.told.baseline is not None:
            unsaid["generator_1"] = self.told.baseline
        elif "generator_1" not in said:
            raise UsageError(
                f"{str(file)!r} does not say whose answers output_1 are (generator_1); say it: --baseline NAME"
            )
        return unsaid

    def write(self, rows: Iterable[Imported], out: Path) -> Counter[str]:
        """``results/<model>/model_outputs.json`` and ``results/<model>/<annotator>/annotations.json``.

        An own judgment says with its first answer which model is output_1, for all judgments of that pair; the format
        cannot hold in which order the two were shown.
        """
        written: Counter[str] = Counter()
        items: dict[tuple[str, str], Item] = {}
        texts: dict[str, str] = {}
        baselines: dict[frozenset[str], str] = {}
        with Outputs(out, arrays=True) as outputs:
            for row in remembered(rows, items):
                record = row.record
                if isinstance(record, Item):
                    continue
                if isinstance(record, Response) and record.error is not None:
                    written["left out: failed answers"] += 1
                    continue
                item = items.get((record.benchmark, record.item))
                if item is None:
                    raise UsageError(f"cannot export item {record.item!r} of {record.benchmark!r}: its text is unknown")
                if isinstance(record, Response):
                    if len(record.turns) != 1 or len(item.turns) != 1:
                        written["left out: answers of several turns"] += 1
                        continue
                    texts[record.id] = record.turns[0]
                    line = restored(_output_row(record, item), row.extra)
                    outputs.row(("results", record.model.name, "model_outputs.json"), line)
                    written["outputs"] += 1
                elif len(record.shown) != 2 or record.turn != 1 or not texts.keys() >= set(record.shown):
                    written["left out: judgments that are not of two known answers to one question"] += 1
                else:
                    names = [model.name for model in record.models]
                    one = row.extra.get("first", names.index(baselines.setdefault(frozenset(names), names[0])))
                    line = _annotation_row(record, item.turns[0], texts, one, row.extra.get("prefix", _RENAMED))
                    place = ("results", names[1 - one], record.judge.name, "annotations.json")
                    outputs.row(place, restored(line | {"dataset": item.category}, row.extra))
                    written["annotations"] += 1
        return written

    def _item(self, where: Where, instruction: str, dataset: str, ledger: ImportLedger) -> tuple[Item, bool]:
        turns = (instruction,)
        item = Item(id=digest(turns)[:16], benchmark=self.benchmark or "alpaca_eval", category=dataset, turns=turns)
        return item, ledger.new(where, item)

    def _output(self, ledger: ImportLedger, unsaid: dict[str, str], source: Record) -> Iterator[Imported]:
        where, record = source
        row = where.read({**unsaid, **record}, _Output)
        asked = "\n\n".join(part for part in (row.instruction, row.input) if part)
        item, new = self._item(where, asked, row.dataset, ledger)
        if new:
            yield Imported(item)
        response = ledger.answer(where, (item.benchmark, item.id), model_ref(row.generator), (row.output,))
        if response is not None:
            known = ledger.categories[item.benchmark, item.id]
            yield Imported(response, difference(record, _output_row(response, item) | {"dataset": known}))

    def _annotation(self, ledger: ImportLedger, unsaid: dict[str, str], source: Record) -> Iterator[Imported]:
        where, record = source
        row = where.read({**unsaid, **record}, _Annotation)
        prefix = "" if any(name in record for name in _CALL) else _RENAMED
        call = where.read({name: record.get(prefix + name) for name in _CALL}, _Call)
        text = "\n\n".join(part for part in (row.instruction, row.input) if part)
        item, new = self._item(where, text, row.dataset, ledger)
        if new:
            yield Imported(item)
        asked = JudgedTurn(item.benchmark, item.id, 1, ledger.categories[item.benchmark, item.id])
        shown = []
        for generator, output in ((row.generator_1, row.output_1), (row.generator_2, row.output_2)):
            answer = ledger.answer(where, asked[:2], model_ref(generator), (output,), again=False)
            if answer is not None:
                yield Imported(answer)
            shown.append((model_ref(generator), ledger.shown(asked, model_ref(generator), (output,))))
        preference = 1.5 if row.preference == 0 else row.preference  # how draws were once written
        if preference is not None and not 1 <= preference <= 2:
            raise where.error(f"field `preference` is {preference}, which is not between 1 and 2")
        protocol = PUBLISHED.get(row.annotator, "alpaca_eval")
        order = -1 if switched(row.instruction, self.seed) else 1
        raw = call.raw_completion
        verdict: tuple[float, ...] | Failure
        if preference is not None:
            verdict = (2 - preference, preference - 1)[::order]
        elif raw:
            verdict = Failure("unparsed", "no preference was read from the reply")
        else:
            verdict = Failure("unparsed", NO_REASON)
        judged = ledger.judgment(
            where,
            asked,
            judge_ref(row.annotator, protocol),
            protocol,
            shown[::order],
            verdict,
            label=_said(raw),
            raw=raw if isinstance(raw, str) else msgspec.json.encode(raw).decode() if raw is not None else "",
            logprobs=verdict_logprobs(raw) or None,
            cost=call.price_per_example,
            latency=call.time_per_example or 0.0,
        )
        texts = {shown[0][1][0]: row.output_1, shown[1][1][0]: row.output_2}
        one = 0 if order == 1 else 1
        line = _annotation_row(judged, text, texts, one, prefix) | {"dataset": asked.category}
        yield Imported(judged, {"first": one, "prefix": prefix} | difference(record, line))


def switched(instruction: str, seed: int = 0) -> bool:
    """Whether output_2 was shown first (alpaca_eval processors.py; ``random_seed_keys=["instruction"]``)."""
    draw = random.Random(f"is_switched_outputs{instruction}{seed}")
    return draw.choices([False, True], k=1)[0]


def verdict_logprobs(raw: object) -> dict[str, float]:
    """Log-probabilities of the candidates for the first token, by text; empty where the completion has none."""
    try:
        found = msgspec.convert(raw, _AnnotatorCompletion)
    except msgspec.ValidationError:
        return {}
    content = found.logprobs.content if found.logprobs is not None else None
    return {token.token: token.logprob for token in content[0].top_logprobs} if content else {}


class _AnnotatorToken(Struct):
    token: str
    logprob: float


class _AnnotatorPosition(Struct):
    top_logprobs: tuple[_AnnotatorToken, ...] = ()


class _AnnotatorLogprobs(Struct):
    content: tuple[_AnnotatorPosition, ...] | None = None


class _AnnotatorCompletion(Struct):
    logprobs: _AnnotatorLogprobs | None = None


def _said(raw: dict[str, Any] | str | None) -> str | None:
    text = raw.get("text") if isinstance(raw, dict) else raw
    return text if isinstance(text, str) and text else None


def _annotated(file: Path) -> bool:
    """Whether a file holds annotations."""
    record = first(file)
    if record is None or "output" in record:
        return False
    if "preference" in record or "annotator" in record:
        return True
    raise UsageError(
        f"{str(file)!r} is not a file of AlpacaEval: its records have the fields {', '.join(list(record)[:12])}"
    )


def _output_row(response: Response, item: Item) -> dict[str, Any]:
    return {
        "dataset": item.category,
        "instruction": item.turns[0],
        "output": response.turns[0],
        "generator": response.model.name,
    }


def _annotation_row(
    judged: Judgment, instruction: str, texts: Mapping[str, str], one: int, prefix: str
) -> dict[str, Any]:
    """A row of annotations.json; ``one`` is where output_1 was shown."""
    two = 1 - one
    raw: object = judged.raw or None
    if judged.raw.startswith("{"):
        raw = msgspec.json.decode(judged.raw)
    return {
        "instruction": instruction,
        "output_1": texts[judged.shown[one]],
        "generator_1": judged.models[one].name,
        "dataset": judged.category,
        "output_2": texts[judged.shown[two]],
        "generator_2": judged.models[two].name,
        "annotator": judged.judge.name,
        "preference": None if judged.scores is None else 1 + judged.scores[two],
        f"{prefix}price_per_example": judged.cost,
        f"{prefix}time_per_example": judged.latency,
        f"{prefix}raw_completion": raw,
    }
