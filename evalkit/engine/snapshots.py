"""Which model the provider says answered, and when that changes under an unchanged configuration.

A name like ``gpt-4o`` is a pointer: the provider may move it any day, and scores before and after are then of different
judges. Every row keeps the id that came with it; here they are counted, and a change is told once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from evalkit.core.schema import Judgment, Response
from evalkit.engine.experiment import Experiment
from evalkit.storage.store import Store

Role = Literal["model", "judge"]


class Change(NamedTuple):
    """An id that is not the one before it."""

    role: Role
    name: str
    now: str
    before: Mapping[str, int]
    """Rows by id."""
    stored: bool
    """Whether those are of earlier runs."""

    def __str__(self) -> str:
        """The change as a sentence for people."""
        ids = ", ".join(f"{name!r} ({count:,} rows)" for name, count in self.before.items())
        advice = "; `evalkit rejudge` measures what that changes" if self.role == "judge" else ""
        when = "in stored rows of the same configuration it was" if self.stored else "earlier in this run it was"
        return f"{self.role} {self.name!r}: {self.now!r} answers now; {when} {ids}. Scores may differ{advice}"


class Snapshots:
    """Counts ids while rows go by; holds a few numbers for each model and judge.

    Args:
        tell: called with each change, once for each model or judge.
    """

    def __init__(self, tell: Callable[[Change], object] = str) -> None:
        self.changes: list[Change] = []
        self._tell = tell
        self._new: dict[tuple[Role, str], Counter[str]] = {}
        self._stored: dict[tuple[Role, str], Counter[str]] = {}

    @classmethod
    def beside(cls, experiment: Experiment, store: Store, tell: Callable[[Change], object]) -> Snapshots:
        """Snapshots beside what is stored of the same models and judges, in the same configuration."""
        found = cls(tell)
        for candidate in experiment.candidates:
            found.know("model", candidate.ref.name, store.responses(candidate.ref.name).snapshots(candidate.ref))
        for judge in experiment.judges:
            found.know("judge", judge.name, store.judgments(judge.name, judge.protocol.name).snapshots(judge.ref))
        return found

    def know(self, role: Role, name: str, stored: Mapping[str, int]) -> None:
        """Enter rows of earlier runs, by id."""
        self._stored[role, name] = Counter(stored)

    def add(self, row: Response | Judgment) -> None:
        """Enter a row that this run asked for."""
        if row.snapshot is None:
            return
        place: tuple[Role, str] = ("judge", row.judge.name) if isinstance(row, Judgment) else ("model", row.model.name)
        seen = self._new.setdefault(place, Counter())
        if row.snapshot not in seen:
            self._compare(place, row.snapshot, seen)
        seen[row.snapshot] += 1

    def _compare(self, place: tuple[Role, str], now: str, seen: Counter[str]) -> None:
        stored = self._stored.get(place, Counter())
        before = seen or stored
        if before and now not in stored:
            change = Change(*place, now, dict(before), stored=not seen)
            if not any((known.role, known.name) == place for known in self.changes):
                self._tell(change)
            self.changes.append(change)

    def table(self) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
        """Rows by role, name, ``new`` or ``stored``, and id; as the manifest has it."""
        result: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
        for role, name in dict.fromkeys([*self._stored, *self._new]):
            result.setdefault(f"{role}s", {})[name] = {
                "stored": dict(self._stored.get((role, name), {})),
                "new": dict(self._new.get((role, name), {})),
            }
        return result
