"""What a format yields, and how foreign rows become ours with nothing lost.

A record of ours has no room for a source's own extras (answer ids, prompts as sent, prices by other names). What
cannot be rebuilt from it goes beside it as ``extra``: the difference between the source's row and the row a format
would write without it. So import and export are exact by construction, and a row without extras exports as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Finish, Item, Judgment, Ref, Response, digest
from evalkit.datasets.data_files import Record, Where

UNKNOWN = "unknown"
"""The category, or the judge, where the source names none."""

API_FAILED = "$ERROR$"
"""What FastChat and Arena-Hard write for text when the model could not be reached."""


NO_REASON = "the source has neither a verdict nor a reply, and does not say why"
"""Of such a row nobody knows whether anything was asked; it counts as a reply without a verdict."""

NOT_ANSWERED = Failure("transport", "the source has its error mark for an answer")


@dataclass(frozen=True)
class Told:
    """What a user says of files that do not say it themselves; what had to be assumed, and what was left out."""

    judge: str | None = None
    baseline: str | None = None
    model: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns of a table, by field."""
    skip_bad: bool = False
    """Leave out records that cannot be read, and count them, where the import would end otherwise."""
    assumed: dict[str, None] = field(default_factory=dict, compare=False)
    skipped: dict[str, str] = field(default_factory=dict, compare=False)
    """The complaint about each record that was left out, by file and number."""
    repeated: dict[str, int] = field(default_factory=dict, compare=False)
    """How many records are there again word for word, by file."""
    reading: list[Path] = field(default_factory=list, compare=False)
    """The file whose record is being read, alone in the list."""

    def assume(self, text: str) -> None:
        """Keep a line that tells the user what was assumed, once."""
        self.assumed[text] = None

    def judge_of(self, file: Path, otherwise: str) -> str:
        """The judge's name where ``file`` has none: what the user says, else ``otherwise``, which is announced."""
        return self._named(self.judge, file, "judge", otherwise)

    def model_of(self, file: Path, otherwise: str) -> str:
        """The model's name where ``file`` has none, likewise."""
        return self._named(self.model, file, "model", otherwise)

    def baseline_of(self, file: Path, otherwise: str) -> str:
        """The baseline's name where ``file`` has none, likewise."""
        return self._named(self.baseline, file, "baseline", otherwise)

    def _named(self, said: str | None, file: Path, what: str, otherwise: str) -> str:
        if said is None:
            place = f"{file.parent.name}/{file.name}".lstrip("/")
            self.assume(f"assumed: {place} names no {what}; it is taken for {otherwise!r} (or --{what} NAME)")
        return said or otherwise

    def notes(self) -> list[str]:
        """What was assumed, left out, or is there twice: a line each."""
        said = list(self.assumed)
        if self.skipped:
            said.append(f"{len(self.skipped):,} records left out; the first: {next(iter(self.skipped.values()))}")
        said += [
            f"{name}: {count:,} rows are there again, word for word; each counts, but of a person's votes on the same "
            "two answers only the last"
            for name, count in self.repeated.items()
        ]
        return said

    def rows(self, source: Iterable[Record], read: Callable[[Record], Iterable[Imported]]) -> Iterator[Imported]:
        """What ``read`` makes of each record; with ``skip_bad``, without those it complains about.

        Raises:
            UsageError: a record is malformed and is not to be skipped, or the file ends in the middle.
        """
        seen: set[int] = set()
        for number, record in enumerate(source, 1):
            self.reading[:] = [record[0].path]
            seen.add(int(digest(record[1])[:16], 16))
            if len(seen) < number:
                self.repeated[record[0].path.name] = number - len(seen)
            try:
                yield from list(read(record)) if self.skip_bad else read(record)
            except UsageError as error:
                if not self.skip_bad:
                    raise
                where = record[0]
                self.skipped[f"{where.path} {where.number}"] = str(error)


class Imported(Struct, frozen=True):
    """One record, and what its source says beyond it."""

    record: Item | Response | Judgment
    extra: dict[str, Any] = {}
    """Empty where the record says it all. ``row``, ``part`` and ``of`` join several records of one source row."""


class Foreign(Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="evalkit.foreign/1"):
    """The extras of one record, as stored in ``foreign/<format>.jsonl``."""

    key: str
    extra: dict[str, Any]


@dataclass(frozen=True)
class ImportFormat(ABC):
    """A format of results. The class of a module in ``evalkit/interop`` that derives from this one is its format."""

    asks: ClassVar[frozenset[str]] = frozenset()
    """What a user may say of its files: ``judge``, ``baseline``, ``model``, ``columns``."""

    benchmark: str | None = None
    """What the rows' benchmark is to be called; None: what the source suggests."""
    told: Told = field(default_factory=Told)

    @abstractmethod
    def read(self, path: Path) -> Iterator[Imported]:
        """Everything in a file or folder: items, then answers, then judgments; same input, same order.

        Raises:
            UsageError: a file is not of this format, or a record is malformed.
        """


class ExportFormat(ImportFormat):
    """A format that results can be written in, too."""

    @abstractmethod
    def write(self, rows: Iterable[Imported], out: Path) -> Counter[str]:
        """Write files of this format below ``out``; how many rows of each kind, and what was left out."""


def key(record: Item | Response | Judgment) -> str:
    """The key under which a record's extras are stored."""
    return f"item {record.id}" if isinstance(record, Item) else record.key


def canonical(value: object) -> bytes:
    """JSON with sorted keys; tells 8 from 8.0."""
    return msgspec.json.encode(value, order="sorted")


def difference(original: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> dict[str, Any]:
    """What must be known besides ``rebuilt`` to give ``original``, down to fields of objects within lists."""
    changed: dict[str, Any] = {}
    within: dict[str, Any] = {}
    for name, value in original.items():
        if name not in rebuilt:
            changed[name] = value
        elif canonical(rebuilt[name]) != canonical(value):
            if isinstance(value, dict) and isinstance(rebuilt[name], dict):
                within[name] = difference(value, rebuilt[name])
            elif _alike(value, rebuilt[name]):
                within[name] = [difference(one, other) for one, other in zip(value, rebuilt[name], strict=True)]
            else:
                changed[name] = value
    absent = [name for name in rebuilt if name not in original]
    return {name: part for name, part in (("set", changed), ("drop", absent), ("in", within)) if part}


def restored(rebuilt: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The row as the source file had it."""
    row = {name: value for name, value in rebuilt.items() if name not in extra.get("drop", ())}
    row |= extra.get("set", {})
    for name, part in extra.get("in", {}).items():
        if isinstance(part, list):
            row[name] = [restored(inner, change) for inner, change in zip(row[name], part, strict=True)]
        else:
            row[name] = restored(row[name], part)
    return row


def _alike(one: object, other: object) -> bool:
    """Whether both are lists of as many objects."""
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return False
    return all(isinstance(inner, dict) for inner in (*one, *other))


def joined(records: Sequence[Response | Judgment], extra: dict[str, Any]) -> Iterator[Imported]:
    """The records of one source row; the first carries the extras."""
    if len(records) == 1 and isinstance(records[0], Response):
        yield Imported(records[0], extra)
        return
    for part, record in enumerate(records):
        place = {"row": records[0].key, "part": part, "of": len(records)}
        yield Imported(record, place | (extra if part == 0 else {}))


def model_ref(name: str, known: object = None) -> Ref:
    """A model of which only the name is known, and perhaps a version."""
    return Ref(name, f"imported:{digest('model', name, known)[:16]}")


def judge_ref(name: str, *known: object) -> Ref:
    """A judge of which only the name is known, and perhaps how it was asked."""
    return Ref(name, f"imported:{digest('judge', name, *known)[:16]}")


def finite(value: float) -> float:
    """The value, or 0 for what JSON cannot hold."""
    return value if isfinite(value) else 0.0


def usable_name(where: Where, field: str, name: str) -> str:
    """A name, or a complaint that there is none."""
    if not name.strip():
        raise where.error(f"field `{field}` is empty")
    return name


class JudgedTurn(NamedTuple):
    """The item, turn and answers that a judgment is about."""

    benchmark: str
    item: str
    turn: int
    category: str


class Seen(NamedTuple):
    """An answer that was read, without its text."""

    id: str
    text: str
    """Hash of its turns."""
    lengths: tuple[int, ...]


class ImportLedger:
    """What has been read so far, by hash and length, never by text; makes records and their keys."""

    def __init__(self) -> None:
        self.categories: dict[tuple[str, str], str] = {}
        self._asked: dict[tuple[str, str], str] = {}
        self._answers: dict[tuple[str, str, str], list[Seen]] = {}
        self._judged: dict[str, int] = {}
        self._alike: dict[tuple[Path, str, str], int] = {}

    def new(self, where: Where, item: Item) -> bool:
        """Enter an item; False if it was there, a complaint if its id stands for another question."""
        asked = item.asked()
        known = self._asked.setdefault((item.benchmark, item.id), asked)
        if known != asked:
            raise where.error(f"id {item.id[:80]!r} was there before, with another question")
        new = (item.benchmark, item.id) not in self.categories
        self.categories.setdefault((item.benchmark, item.id), item.category)
        return new

    def answer(
        self,
        where: Where,
        asked: tuple[str, str],
        model: Ref,
        turns: tuple[str, ...],
        *,
        created: float = 0.0,
        category: str | None = None,
        again: bool = True,
        marked: bool = False,
    ) -> Response | None:
        """An answer as a Response; another one of the same model to the same item counts as a further sample.

        Args:
            where: the source record.
            asked: benchmark and item id.
            model: who answered.
            turns: what it said.
            created: when.
            category: None: that of the item.
            marked: the source marks answers that failed with ``$ERROR$``.
            again: also make a Response of an answer that is word for word known.
        """
        usable_name(where, "model", model.name)
        seen = self._answers.setdefault((*asked, model.name), [])
        text = digest(turns)
        stop: Finish = "stop"
        if not again and any(answer.text == text for answer in seen):
            return None
        answer = Response(
            key=_asked_key(asked, model, len(seen)),
            item=asked[1],
            benchmark=asked[0],
            category=category or self.categories.get(asked, UNKNOWN),
            model=model,
            sample=len(seen),
            turns=turns,
            finish=(stop,) * len(turns),
            created=finite(created),
            error=NOT_ANSWERED if API_FAILED in turns and marked else None,
        )
        seen.append(Seen(answer.id, text, tuple(map(len, turns))))
        return answer

    def shown(self, asked: JudgedTurn, model: Ref, turns: tuple[str, ...] | None = None) -> tuple[str, int | None]:
        """Id and length of the answer a judge saw: the one with this text if given, else the latest read.

        Where no answer was read, the id is a stable stand-in, and the length unknown without a text.
        """
        seen = self._answers.get((asked.benchmark, asked.item, model.name), [])
        chosen = seen[-1] if seen else None
        if turns is not None:
            text = digest(turns)
            stand_in = Seen(digest(_asked_key(asked[:2], model, 0), turns), text, tuple(map(len, turns)))
            chosen = next((answer for answer in seen if answer.text == text), stand_in)
        if chosen is None:
            return digest("unseen", asked.benchmark, asked.item, model.name), None
        return chosen.id, chosen.lengths[asked.turn - 1] if asked.turn <= len(chosen.lengths) else None

    def judgment(
        self,
        where: Where,
        asked: JudgedTurn,
        judge: Ref,
        protocol: str,
        shown: Sequence[tuple[Ref, tuple[str, int | None]]],
        verdict: tuple[float, ...] | Failure,
        *,
        label: str | None = None,
        raw: str = "",
        parser: str = "imported/1",
        created: float = 0.0,
        logprobs: dict[str, float] | None = None,
        cost: float | None = None,
        latency: float = 0.0,
        finish: Finish = "stop",
    ) -> Judgment:
        """One showing. Its key covers what was said, and how often before in the file: asked twice, it is two."""
        usable_name(where, "judge", judge.name)
        models = tuple(model for model, _ in shown)
        ids = tuple(identity for _, (identity, _) in shown)
        lengths = tuple(length for _, (_, length) in shown if length is not None)
        about = digest("imported", asked[:3], judge, protocol, models, ids)
        content = digest(raw, label, verdict)
        earlier = self._judged.get(about, 0)
        self._judged[about] = earlier + 1
        alike = self._alike.get((where.path, about, content), 0)
        self._alike[where.path, about, content] = alike + 1
        failed = isinstance(verdict, Failure)
        if not isinstance(verdict, Failure) and not all(map(isfinite, verdict)):
            raise where.error(f"a score is not a finite number: {verdict}")
        return Judgment(
            key=digest(about, content, alike),
            item=asked.item,
            benchmark=asked.benchmark,
            category=asked.category,
            turn=asked.turn,
            judge=judge,
            protocol=protocol,
            parser=parser,
            shown=ids,
            models=models,
            lengths=lengths if len(lengths) == len(ids) else (),
            repeat=earlier,
            scores=None if isinstance(verdict, Failure) else verdict,
            label=None if failed else label,
            error=verdict if isinstance(verdict, Failure) else None,
            raw=raw,
            finish=finish,
            logprobs=logprobs,
            latency=finite(latency),
            cost=None if cost is None else finite(cost),
            created=finite(created),
        )


def _asked_key(asked: tuple[str, str], model: Ref, sample: int) -> str:
    return digest("imported", *asked, model.fingerprint, sample)
