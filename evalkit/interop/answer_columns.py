"""What tables and annotation tools call a question and two answers to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from evalkit.core.schema import Failure, Item, Ref, digest
from evalkit.datasets.data_files import Where
from evalkit.datasets.vocabulary import outcome
from evalkit.interop.records import UNKNOWN, Imported, ImportLedger, JudgedTurn, model_ref, usable_name
from evalkit.ratings.comparisons import HUMAN

QUESTION: Final = ("question", "prompt", "instruction", "input", "text")
PAIRS: Final = (
    ("answer_a", "answer_b"),
    ("response_a", "response_b"),
    ("completion_a", "completion_b"),
    ("output_1", "output_2"),
    ("answer1", "answer2"),
    ("response1", "response2"),
    ("response-1", "response-2"),
    ("response_1", "response_2"),
    ("chosen", "rejected"),
)
"""Columns that hold two answers; the first pair there counts."""


class AskedPair(NamedTuple):
    """A question and two answers, with the columns that the answers stand in."""

    question: str
    columns: tuple[str, str]
    answers: tuple[str, str]
    models: tuple[str, str]
    """What ``model_a`` and ``model_b`` say; otherwise ``answer_a`` and ``answer_b``, as in any table, or chosen and
    rejected."""


def asked_pair(record: Mapping[str, Any]) -> AskedPair | None:
    """The question and the two answers of a record; None where it lacks one."""
    asked = next((column for column in QUESTION if isinstance(record.get(column), str)), None)
    pair = next((both for both in PAIRS if all(isinstance(record.get(column), str) for column in both)), None)
    if asked is None or pair is None:
        return None
    unnamed = pair if pair == PAIRS[-1] else PAIRS[0]
    one, two = (str(record.get(name) or other) for name, other in zip(("model_a", "model_b"), unnamed, strict=True))
    return AskedPair(str(record[asked]), pair, (str(record[pair[0]]), str(record[pair[1]])), (one, two))


def lacking(record: Mapping[str, Any]) -> str:
    """What a record without them is told."""
    return (
        f"a question ({', '.join(QUESTION)}) and two answers ({'; '.join(' and '.join(both) for both in PAIRS)}) are "
        f"needed; here are: {', '.join(map(str, record))[:200]}"
    )


def said_of(word: object, pair: AskedPair) -> float | Failure:
    """The outcome for the first answer that an annotator's choice stands for: a column, a model, or a winner's word."""
    text = str(word).strip()
    for place, names in enumerate(zip(pair.columns, pair.models, strict=True)):
        if text in names:
            return 1.0 - place
    try:
        known = outcome(text)
    except KeyError:
        known = None
    return known if known is not None else Failure("unparsed", f"the source has {text[:200]!r} for a choice")


def annotated(
    where: Where,
    ledger: ImportLedger,
    benchmark: str,
    pair: AskedPair,
    votes: Iterable[tuple[str, float | Failure, str]],
) -> Iterator[Imported]:
    """The item, the answers and the votes of one annotated pair.

    Args:
        where: the source record.
        ledger: of what was read.
        benchmark: they belong to.
        pair: what was compared.
        votes: annotator, outcome for the first answer, and its label.
    """
    item = Item(id=digest((pair.question,))[:16], benchmark=benchmark, category=UNKNOWN, turns=(pair.question,))
    if ledger.new(where, item):
        yield Imported(item)
    models = [model_ref(usable_name(where, "model", name)) for name in pair.models]
    texts = [(text,) for text in pair.answers]
    for model, turns in zip(models, texts, strict=True):
        row = ledger.answer(where, (benchmark, item.id), model, turns, again=False)
        if row is not None:
            yield Imported(row)
    asked = JudgedTurn(benchmark, item.id, 1, UNKNOWN)
    shown = [(model, ledger.shown(asked, model, turns)) for model, turns in zip(models, texts, strict=True)]
    for annotator, said, label in votes:
        verdict = said if isinstance(said, Failure) else (said, 1.0 - said)
        judge = Ref(annotator, HUMAN)
        yield Imported(ledger.judgment(where, asked, judge, "human_pair", shown, verdict, label=label))
