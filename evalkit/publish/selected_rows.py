"""The rows that a claim is about, copied into results of their own, with hashes of what they hold."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from evalkit.core.schema import Item, Judgment, Ref, Response
from evalkit.publish.facts import MANIFEST, ResultPlaces
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.storage.items import Items
from evalkit.storage.results import answer_logs, judgment_logs
from evalkit.storage.store import Log, Store

Row = TypeVar("Row", Judgment, Response)
TOGETHER = 1000
"""Rows written at once."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selected rows: those of one judge in one configuration, about models in one configuration each."""

    benchmark: str
    judge: Ref
    protocol: str
    models: Mapping[str, str]
    """Fingerprint by name."""

    def judged(self, row: Judgment) -> bool:
        """Whether a judgment is meant."""
        mine = row.judge == self.judge and row.protocol == self.protocol and row.benchmark == self.benchmark
        return mine and all(self.models.get(model.name) == model.fingerprint for model in row.models)

    def voted(self, row: Judgment) -> bool:
        """Whether it is a person's verdict, or a label known to be right, about the same models."""
        asked = row.benchmark == self.benchmark and rater_kind(row.judge) != "judge"
        return asked and all(model.name in self.models for model in row.models)

    def answered(self, row: Response) -> bool:
        """Whether an answer is one of these models'."""
        return row.benchmark == self.benchmark and self.models.get(row.model.name) == row.model.fingerprint


class RowHash:
    """A hash of rows that does not depend on the order in which they are stored."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._encode = msgspec.json.Encoder(order="deterministic").encode

    def add(self, row: Judgment | Response | Item) -> None:
        """Take in one row, with everything that it says."""
        self._rows.append(hashlib.sha256(self._encode(row)).digest())

    def __len__(self) -> int:
        return len(self._rows)

    def hexdigest(self) -> str:
        """SHA-256 over the sorted hashes of the rows."""
        return hashlib.sha256(b"".join(sorted(self._rows))).hexdigest()


@dataclass(frozen=True)
class SelectedRows:
    """Results that hold nothing but the selected rows, for as long as the context lasts."""

    root: Path
    judgments: RowHash
    votes: RowHash
    answers: RowHash
    questions: RowHash


@contextmanager
def selected(where: ResultPlaces, selection: Selection) -> Iterator[SelectedRows]:
    """Copy the rows, their questions and the manifests of their runs to results of their own, and remove these after.

    Raises:
        UsageError: a path does not exist, or a file cannot be read.
    """
    judgments, votes, answers, questions = RowHash(), RowHash(), RowHash(), RowHash()
    with tempfile.TemporaryDirectory(prefix="evalkit-claim-") as folder:
        store = Store(Path(folder), selection.benchmark, durable=False)
        asked: set[str] = set()
        logs = judgment_logs(where.roots)
        homes = dict.fromkeys(log.path.parent.parent for log in logs)
        mine = store.judgments(selection.judge.name, selection.protocol)
        for log in logs:
            for row in _kept(log, mine, lambda row: selection.judged(row) and where.holds(row)):
                judgments.add(row)
                asked.add(row.item)
        for log in logs:
            copied = store.judgments(f"people {len(votes)}", log.path.stem)
            for row in _kept(log, copied, lambda row: selection.voted(row) and row.item in asked):
                votes.add(row)
        for answered in answer_logs(where.roots):
            into = store.responses(answered.path.stem)
            for response in _kept(answered, into, lambda row: selection.answered(row) and row.item in asked):
                answers.add(response)
        for home in homes:
            items = [item for item in Items(home).known.values() if item.id in asked]
            for item in items:
                questions.add(item)
            Items(store.root).keep(items)
            _copy_manifests(home, store.root)
        store.close()
        yield SelectedRows(store.root, judgments, votes, answers, questions)


def _kept(log: Log[Row], into: Log[Row], wanted: Callable[[Row], bool]) -> Iterator[Row]:
    """The wanted rows, each of which is copied."""
    rows: Iterable[Row] = (row for row in log if wanted(row))
    stream = iter(rows)
    while some := list(islice(stream, TOGETHER)):
        into.extend(some)
        yield from some


def _copy_manifests(home: Path, root: Path) -> None:
    """What runs say of judges and models, such as who is related to whom, which an audit reads."""
    for number, manifest in enumerate(sorted(home.glob(f"runs/*/{MANIFEST}"))):
        folder = root / "runs" / f"{home.name}-{number}-{manifest.parent.name}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest, folder / MANIFEST)
