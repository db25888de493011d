"""Preference data: a chosen and a rejected answer a row, as reward models are trained and tested on.

==============  ============================================================================================
HH-RLHF         ``chosen`` and ``rejected`` are transcripts, in which Human and Assistant take turns
UltraFeedback   ``prompt``; ``chosen`` and ``rejected`` are messages (role, content), or texts
RewardBench     ``prompt``, ``chosen``, ``rejected``, ``chosen_model``, ``rejected_model``, ``subset``, ``id``
==============  ============================================================================================

What the row prefers is a judgment by ``gold``, or by a person where a column names one. Where nobody says who wrote
the answers, their models are called chosen and rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from evalkit.core.schema import Ref, digest
from evalkit.datasets.data_files import PATTERNS, Record, Where, files, records, stem
from evalkit.datasets.vocabulary import PEOPLE
from evalkit.interop.records import Imported, ImportFormat, ImportLedger
from evalkit.interop.rows import SourceRows, gold, person, texts_of

_SPEAKER: Final = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")

Messages = tuple[tuple[str, str], ...]
"""Who speaks, ``user`` or ``assistant``, and what."""


class _Preference(Struct):
    chosen: str | list[dict[str, Any]]
    rejected: str | list[dict[str, Any]]
    prompt: str | list[dict[str, Any]] = ""
    chosen_model: str = ""
    rejected_model: str = ""
    subset: str = ""
    id: str | int | None = None
    prompt_id: str | int | None = None


@dataclass(frozen=True)
class PreferencesFormat(ImportFormat):
    """Chosen and rejected answers."""

    def read(self, path: Path) -> Iterator[Imported]:
        """Each pair once: its question, both answers, and that the chosen one is better.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, *PATTERNS):
            rows = SourceRows(self.benchmark or stem(file) or "preferences", ledger)
            yield from self.told.rows(records(file), partial(_pair, rows))


def _pair(rows: SourceRows, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _Preference)
    before = texts_of(row.prompt, where, "prompt") if row.prompt else ()
    sides = [_said(getattr(row, name), name, before, where) for name in ("chosen", "rejected")]
    same = 0
    while same < min(map(len, sides)) and sides[0][same] == sides[1][same]:
        same += 1
    while same and sides[0][same - 1][0] == "assistant":  # an answer, though both gave the same
        same -= 1
    shared = sides[0][:same]
    asked = _turns(shared, "user")
    if not asked:
        raise where.error("field `chosen` shares no question with `rejected`: give one in `prompt`")
    known = row.id if row.id is not None else row.prompt_id
    identity = digest(asked, shared)[:16] if known is None else str(known)
    about = yield from rows.item(where, asked, identity=identity, category=row.subset, turn=len(asked))
    names = (row.chosen_model or "chosen", row.rejected_model or "rejected")
    if names[0] == names[1]:  # two answers of one model
        names = (f"{names[0]} (chosen)", f"{names[1]} (rejected)")
    earlier = _turns(shared, "assistant")[: len(asked) - 1]
    shown = []
    for name, side in zip(names, sides, strict=True):
        last = side[same:]
        text = last[0][1] if len(last) == 1 else "\n\n".join(f"{role.title()}: {said}" for role, said in last)
        shown.append((yield from rows.answer(where, about, name, (*earlier, text))))
    judge = _judge(record)
    yield rows.pair(where, about, judge, "gold" if judge.name == "gold" else "human_pair", shown, 1.0, label="chosen")


def _judge(record: dict[str, Any]) -> Ref:
    named = next((record[name] for name in PEOPLE if isinstance(record.get(name), str) and record[name]), None)
    return gold() if named is None else person(str(named))


def _turns(messages: Messages, role: str) -> tuple[str, ...]:
    return tuple(text for speaker, text in messages if speaker == role)


def _said(value: str | list[dict[str, Any]], name: str, before: Messages, where: Where) -> Messages:
    """A side as messages, the prompt's first where the side does not begin with them."""
    if isinstance(value, str) and not before and (parts := _SPEAKER.split(value))[1:]:
        roles = {"Human": "user", "Assistant": "assistant"}
        return tuple((roles[role], text.strip()) for role, text in zip(parts[1::2], parts[2::2], strict=True))
    if isinstance(value, str):
        return (*before, ("assistant", value))
    found = texts_of(value, where, name)
    return found if found[: len(before)] == before else (*before, *found)
