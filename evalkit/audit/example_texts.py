"""What belongs beside the examples of an audit: the question, and what the judge wrote. Read when they are chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from evalkit.core.schema import Ref
from evalkit.datasets import benchmark
from evalkit.evidence.findings import Example
from evalkit.storage.items import NAME, Items

LOOK = 200
"""Rows of a file without a word from the judge, after which nothing is looked for in it."""

Questions = Mapping[str, Mapping[str, Sequence[str]]]
"""Turns by benchmark and item."""


class _StoredReply(msgspec.Struct):
    """The fields of a judgment that are needed; the decoder skips the rest."""

    judge: Ref
    protocol: str
    turn: int
    shown: tuple[str, ...]
    repeat: int = 0
    raw: str = ""


_Key = tuple[str, str, int, tuple[str, ...]]


def completed(examples: Sequence[Example], paths: Iterable[Path], questions: Questions | None = None) -> list[Example]:
    """The examples with questions and the judge's own words, where they are at hand.

    Args:
        examples: as chosen.
        paths: judgments files; of several rows on the same showing the last counts.
        questions: of benchmarks that are loaded; for others of ours, those on this machine.
    """
    said = _said({key for example in examples for key in _keys(example)}, paths) if examples else {}
    asked = dict(questions or {})
    for name in dict.fromkeys(example.benchmark for example in examples):
        if name not in asked:
            asked[name] = {item.id: item.turns for item in benchmark.local_items(name)}
    result = []
    for example in examples:
        turns = asked[example.benchmark].get(example.item, ())
        question = turns[example.turn - 1] if example.turn <= len(turns) else None
        raw = tuple(text for key in _keys(example) if (text := said.get(key)))
        result.append(replace(example, question=question, raw=raw))
    return result


def prompt_lengths(name: str, files: Iterable[Path]) -> dict[str, int]:
    """Characters that are asked in all turns of a question, by its id; of those that are at hand.

    Args:
        name: of the benchmark.
        files: judgments files; the questions stored beside them come first.
    """
    items = list(benchmark.local_items(name))
    for root in dict.fromkeys(path.parent.parent for path in files):
        if (root / NAME).is_file():
            items += [item for item in Items(root).known.values() if item.benchmark == name]
    return {item.id: sum(map(len, item.turns)) for item in items}


def _keys(example: Example) -> list[_Key]:
    """What may have been shown: both orders of the pair, or each answer alone."""
    one, other = example.shown
    showings: list[tuple[str, ...]] = [(one, other), (other, one), (one,), (other,)]
    return [(example.judge, example.protocol, example.turn, shown) for shown in showings]


def _said(wanted: set[_Key], paths: Iterable[Path]) -> dict[_Key, str]:
    found: dict[_Key, str] = {}
    decoder = msgspec.json.Decoder(_StoredReply)
    for path in paths:
        silent = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    row = decoder.decode(line)
                except ValueError:  # a torn last line: what counts was checked when the file was read
                    continue
                if not row.raw:
                    silent += 1
                    if silent == LOOK:
                        break
                    continue
                silent = 0
                key = (row.judge.name, row.protocol, row.turn, row.shown)
                if row.repeat == 0 and key in wanted:
                    found[key] = row.raw
    return found
