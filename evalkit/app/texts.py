"""Questions and answers beside the judgments: where each answer is, and which hold a text that is looked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from evalkit.app.word_search import needle
from evalkit.core.schema import Item, Response
from evalkit.storage.items import Items
from evalkit.storage.results import answer_logs
from evalkit.storage.store import Log


@dataclass
class Texts:
    """Questions and answers of some results paths.

    Args:
        paths: results folders or judgments files.
    """

    paths: tuple[Path, ...]
    _items: dict[Path, Items] = field(default_factory=dict)
    _answers: dict[Path, Log[Response]] = field(default_factory=dict)
    _keys: dict[tuple[str, str, str], dict[tuple[Path, str], str]] = field(default_factory=dict)
    """Of answers by benchmark, item and model: file and key, and the model's fingerprint."""
    _read: dict[Path, int] = field(default_factory=dict)

    def refresh(self) -> None:
        """Take in what was written since."""
        for log in answer_logs([path for path in self.paths if path.exists()]):
            self._answers.setdefault(log.path, log)
        for path, log in self._answers.items():
            log.refresh()
            if len(log) != self._read.get(path):
                self._read[path] = len(log)
                for row in log:
                    known = self._keys.setdefault((row.benchmark, row.item, row.model.name), {})
                    known[path, row.key] = row.model.fingerprint
        for folder in self._folders():
            if folder in self._items:
                self._items[folder].refresh()
            else:
                self._items[folder] = Items(folder)

    def _folders(self) -> set[Path]:
        """The folders of benchmarks."""
        found = {file.parent.parent for file in self._answers}
        for path in self.paths:
            if path.is_file():
                found.add(path.resolve().parent.parent)
            else:
                found |= {file.resolve().parent for file in path.glob("**/items.jsonl")}
                found |= {file.resolve().parent for file in path.glob("**/judgments")}
        return found

    def question(self, benchmark: str, item: str) -> Item | None:
        """A question, if it is stored beside the results."""
        for items in self._items.values():
            found = items.known.get(item)
            if found is not None and found.benchmark == benchmark:
                return found
        return None

    def questions(self) -> list[Item]:
        """All of them."""
        return [item for items in self._items.values() for item in items.known.values()]

    def answers(self, benchmark: str, item: str, model: str, fingerprint: str | None = None) -> list[Response]:
        """What a model answered to a question; the newest last."""
        rows = [
            self._answers[path].get(key)
            for (path, key), written in self._keys.get((benchmark, item, model), {}).items()
            if fingerprint in (None, written)
        ]
        return [row for row in rows if row is not None]

    def with_text(self, wanted: str) -> set[tuple[str, str, str]]:
        """Benchmark, item and model of answers that hold a text, whatever its case."""
        sought, low, found = needle(wanted), wanted.casefold(), set()
        decode = msgspec.json.Decoder(Response).decode
        for path in self._answers:
            with path.open("rb") as file:
                for line in file:
                    if sought not in line.lower() or not line.endswith(b"\n"):
                        continue
                    row = decode(line)
                    if any(low in turn.casefold() for turn in row.turns):
                        found.add((row.benchmark, row.item, row.model.name))
        return found

    def questions_with(self, wanted: str) -> set[tuple[str, str]]:
        """Benchmark and id of questions that hold a text, in what is asked, the reference or the id."""
        low = wanted.casefold()
        return {
            (item.benchmark, item.id)
            for item in self.questions()
            if any(low in text.casefold() for text in (item.id, *item.turns, *filter(None, item.reference)))
        }
