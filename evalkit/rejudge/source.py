"""What there is to re-judge: one judge's stored judgments under one protocol, the answers it saw, the questions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Ref, Response
from evalkit.ratings.comparisons import HUMAN
from evalkit.rejudge.drift import CompactJudgment
from evalkit.storage.items import Items
from evalkit.storage.results import answer_logs, judgment_logs
from evalkit.storage.store import Log


@dataclasses.dataclass(frozen=True)
class SourceJudgments:
    """The judgments of one judge, in the configuration that judged last."""

    root: Path
    """The results folder of the benchmark."""
    benchmark: str
    judge: Ref
    protocol: str
    rows: tuple[CompactJudgment, ...]
    """In the order stored; the latest of each case."""
    replaced: int
    """Rows of its earlier configurations, left out."""

    @property
    def shows(self) -> int:
        """The number of answers the judge saw at once."""
        return len(self.rows[0].shown)

    @cached_property
    def items(self) -> frozenset[str]:
        """The items whose answers were judged."""
        return frozenset(row.item for row in self.rows)


def old(path: Path, *, of: str | None, new: str, protocol: str | None) -> SourceJudgments:
    """Find the judgments to re-judge.

    Args:
        path: the results folder of one benchmark, a folder with one in it, or a judgments file.
        of: the judge's name; None: the only one there is beside the new one.
        new: the new judge's name.
        protocol: as stored, where the judge judged under several; None: the only one.

    Raises:
        UsageError: there are none, or several and it is not said which.
    """
    logs = {log.path: found for log in judgment_logs([path]) if (found := _kind(log)) is not None}
    roots = sorted({file.parent.parent for file in logs})
    if not roots:
        raise UsageError(f"no judge's judgments in {str(path)!r}")
    if len(roots) > 1:
        raise UsageError(f"{str(path)!r} holds several benchmarks; name one: {', '.join(map(str, roots))}")
    judges = sorted({name for name, _ in logs.values()})
    wanted = [name for name in judges if (name == of if of is not None else name != new)]
    if not wanted and of is None:
        raise UsageError(f"{new!r} is the only judge that judged here; to ask it again, give it another name: as=NAME")
    if not wanted:
        raise UsageError(f"no judgments by {of!r}; there are: {', '.join(judges)}")
    if len(wanted) > 1:
        raise UsageError(f"{len(wanted)} judges judged here; say whose judgments: of={'|'.join(wanted)}")
    protocols = sorted({kind for name, kind in logs.values() if name == wanted[0]})
    chosen = protocols if len(protocols) == 1 else [kind for kind in protocols if protocol == kind]
    if not chosen:
        raise UsageError(
            f"{wanted[0]!r} judged under {', '.join(protocols)}; say which with protocol=NAME, or name the file"
        )
    file = next(file for file, kind in logs.items() if kind == (wanted[0], chosen[0]))
    root = roots[0] if path.is_absolute() else Path(os.path.relpath(roots[0]))  # as the user writes it
    return _read(Log(file, Judgment), root)


def _kind(log: Log[Judgment]) -> tuple[str, str] | None:
    """Judge and protocol of a file; None for people's votes, gold labels, and an empty file."""
    row = next(iter(log), None)
    if row is None or row.judge.fingerprint == HUMAN or row.protocol == "gold":
        return None
    return row.judge.name, row.protocol


def _read(log: Log[Judgment], root: Path) -> SourceJudgments:
    """The rows of the configuration that judged last, without the judge's texts."""
    by_judge: dict[Ref, dict[object, CompactJudgment]] = {}
    newest: Judgment | None = None
    for row in log:
        said = CompactJudgment.of(row)
        by_judge.setdefault(row.judge, {})[said.case] = said
        newest = row
    assert newest is not None
    rows = tuple(by_judge[newest.judge].values())
    replaced = sum(map(len, by_judge.values())) - len(rows)
    return SourceJudgments(root, newest.benchmark, newest.judge, newest.protocol, rows, replaced)


class Answers:
    """Stored answers by id: where they are, not what they say.

    Args:
        root: the results folder of the benchmark.
        wanted: ids; others are passed over.
    """

    def __init__(self, root: Path, wanted: Collection[str]) -> None:
        self._at: dict[str, tuple[Log[Response], str]] = {}
        logs: Iterable[Log[Response]] = answer_logs([root])
        for log in logs:
            for row in log:
                if row.error is None and row.id in wanted:
                    self._at[row.id] = (log, row.key)

    def __contains__(self, identity: str) -> bool:
        return identity in self._at

    def get(self, identity: str) -> Response | None:
        """Read one answer; None if it was replaced since."""
        log, key = self._at[identity]
        row = log.get(key)
        return row if row is not None and row.id == identity else None


def questions_in(root: Path) -> dict[str, Item]:
    """Questions that runs and imports left beside the results, by id."""
    return Items(root).known
