"""Votes as they come in: each is a row of results at once, under a key by which a vote sent twice is one vote."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from evalkit.app.vote_scales import VoteScale, criterion_values
from evalkit.app.vote_tasks import VotePlan, VoteTask, task_id
from evalkit.core.protocols import UsageError
from evalkit.core.rubric_score import rubric_score
from evalkit.core.schema import CriterionVerdict, Failure, Judgment, Ref, digest
from evalkit.ratings.judgment_columns import ANONYMOUS_RATERS, GOLD, HUMAN
from evalkit.storage.store import Log, file_name

PARSER: Final = "vote/1"
LEASE: Final = 600.0
"""Seconds that something asked once is kept for the annotator it was shown to."""
SKIPS: Final = ("cannot tell", "not my field", "answer is broken or cut", "harmful or private", "other")
LONGEST_COMMENT: Final = 5000


@dataclass(frozen=True)
class VoteForm:
    """What a person sent."""

    choice: str = ""
    skip: str = ""
    """Why there is no vote."""
    comment: str = ""
    acceptable: tuple[bool | None, ...] = ()
    """Of each answer, in the order shown; None where nothing was said."""
    criteria: Mapping[str, str] = field(default_factory=dict)
    """Value by criterion."""


def check_annotator(name: str) -> str:
    """A name that votes can be stored under.

    Raises:
        UsageError: it is none, or stands for nobody in particular.
    """
    if not name.strip() or len(name) > 80 or not name.isprintable():
        raise UsageError(f"--annotator {name!r} is no name: give 1 to 80 printable characters")
    if name in ANONYMOUS_RATERS or name == GOLD:
        raise UsageError(f"--annotator {name!r} does not say who votes: {name!r} stands for labels without a name")
    return name


KnownPairs = Callable[[Mapping[str, Mapping[str, Judgment]]], Collection[tuple[str, ...]]]
"""Pairs of models, each in alphabetical order, whose number is known well enough; by votes of annotators on tasks."""


@dataclass
class Voting:
    """The votes of some annotators on a plan's tasks.

    Args:
        plan: who is asked what.
        scale: how they vote.
        known: tells which pairs of models need no more votes but those that everybody is asked; None: nobody tells.
    """

    plan: VotePlan
    scale: VoteScale
    known: KnownPairs | None = None
    votes: dict[str, dict[str, Judgment]] = field(default_factory=dict)
    """By annotator and task; skips among them."""
    stored: int = 0
    """Rows stored so far by this server: what was worked out of fewer is out of date."""
    _logs: dict[tuple[Path, str], Log[Judgment]] = field(default_factory=dict)
    _tasks: dict[str, VoteTask] = field(default_factory=dict)
    _voted: set[str] = field(default_factory=set)
    """Tasks that anybody voted on."""
    _shown: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a task was last shown to an annotator."""
    _orders: dict[str, tuple[VoteTask, ...]] = field(default_factory=dict)
    _busy: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Read the votes there are."""
        self._tasks = {task.id: task for task in self.plan.tasks}
        ending = f".{file_name(self.scale.protocol)}.jsonl"
        for folder in dict.fromkeys(task.folder for task in self.plan.tasks):
            for path in sorted((folder / "judgments").glob(f"*{ending}")):
                for row in Log(path, Judgment):
                    if row.judge.fingerprint == HUMAN and (task := self._task_of(row)) is not None:
                        self.votes.setdefault(row.judge.name, {})[task] = row
                        self._voted.add(task)

    def _task_of(self, row: Judgment) -> str | None:
        named = task_id((row.benchmark, row.item), row.turn, row.shown)
        return named if named in self._tasks else None

    def task(self, named: str) -> VoteTask:
        """A task by its id.

        Raises:
            UsageError: there is none.
        """
        if named not in self._tasks:
            raise UsageError("that question is not among those to vote on; go on with the next")
        return self._tasks[named]

    def next_task(self, annotator: str) -> VoteTask | None:
        """What an annotator is asked next; None where nothing is left for them."""
        with self._busy:
            own, now, shared = self.votes.get(annotator, {}), time.monotonic(), self.plan.shared
            if annotator not in self._orders:
                self._orders[annotator] = tuple(self.plan.order(annotator))
            known = self.known(self.votes) if self.known is not None else ()
            held = {task for (name, task), shown in self._shown.items() if name != annotator and now - shown < LEASE}
            for task in self._orders[annotator]:
                taken = task.id in self._voted or task.id in held or task.models in known
                if task.id in own or (task.id not in shared and taken):
                    continue
                self._shown[annotator, task.id] = now
                return task
        return None

    def snapshot(self) -> tuple[int, dict[str, dict[str, Judgment]]]:
        """``stored`` and the votes as they are now, by annotator and task: these do not change while they are read."""
        with self._busy:
            return self.stored, {name: dict(several) for name, several in self.votes.items()}

    def is_shared(self, task: VoteTask) -> bool:
        """Whether every annotator is asked this."""
        return task.id in self.plan.shared

    def left(self, annotator: str) -> int:
        """How many are left for an annotator, if nobody else votes meanwhile and no further pair becomes known."""
        with self._busy:
            own = self.votes.get(annotator, {})
            known = self.known(self.votes) if self.known is not None else ()
            shared = len(self.plan.shared - own.keys())
            if not known:
                return shared + len(self._tasks) - len(self.plan.shared | self._voted)
            return shared + sum(
                name not in self.plan.shared and name not in self._voted and task.models not in known
                for name, task in self._tasks.items()
            )

    def record(self, annotator: str, task: VoteTask, form: VoteForm) -> Judgment:
        """Store a vote; the same one again is not stored again, another one takes its place.

        Raises:
            UsageError: the form is not filled in as it must be.
            NotStored: the disk did not take it.
        """
        with self._busy:
            row = self._row(annotator, task, form)
            log = self._log(task.folder, annotator)
            log.refresh()
            known = log.get(row.key)
            if known is not None and _said(known) == _said(row):
                row = known
            else:
                log.append(row)
                self.stored += 1
            self.votes.setdefault(annotator, {})[task.id] = row
            self._voted.add(task.id)
            self._shown.pop((annotator, task.id), None)
            return row

    def _log(self, folder: Path, annotator: str) -> Log[Judgment]:
        place = (folder, annotator)
        if place not in self._logs:
            name = f"{file_name(annotator)}.{file_name(self.scale.protocol)}.jsonl"
            self._logs[place] = Log(folder / "judgments" / name, Judgment)
        return self._logs[place]

    def _row(self, annotator: str, task: VoteTask, form: VoteForm) -> Judgment:
        shown = task.shown(annotator)
        began = self._shown.get((annotator, task.id))
        told = {
            "choice": form.choice,
            "skip": form.skip,
            "comment": form.comment[:LONGEST_COMMENT],
            "acceptable": list(form.acceptable),
            "asked": "all" if self.is_shared(task) else "one",
            "chosen": "" if self.known is None else "undecided",
        }
        row = Judgment(
            key=digest("vote", annotator, self.scale.protocol, task.id),
            item=task.item.id,
            benchmark=task.item.benchmark,
            category=task.item.category,
            turn=task.turn,
            judge=Ref(annotator, HUMAN),
            protocol=self.scale.protocol,
            parser=PARSER,
            shown=tuple(answer.id for answer in shown),
            models=tuple(answer.model for answer in shown),
            lengths=tuple(len(answer.turns[task.turn - 1]) for answer in shown),
            raw=json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=False),
            latency=round(time.monotonic() - began, 2) if began is not None else 0.0,
            created=time.time(),
            error=Failure("refused", form.skip or "no vote"),
        )
        if form.skip:
            if form.skip not in SKIPS:
                raise UsageError(f"{form.skip[:40]!r} is no reason to skip; there are: {', '.join(SKIPS)}")
            return row
        if self.scale.name == "rubric":
            verdicts = _criteria(task, form)
            graded = rubric_score(verdicts, self.scale.formula)
            if graded is None:
                raise UsageError("these criteria have no positive points, so they allow no score")
            return replace(row, error=None, scores=(graded,), label=f"{graded:.4g}", criteria=verdicts)
        verdict = self.scale.verdict(form.choice)
        return replace(row, error=None, scores=verdict.scores, label=verdict.label)

    def close(self) -> None:
        """Sync and release every file."""
        with self._busy:
            for log in self._logs.values():
                log.close()


def _said(row: Judgment) -> tuple[object, ...]:
    return row.scores, row.label, row.error, row.raw, row.criteria, row.shown


def _criteria(task: VoteTask, form: VoteForm) -> tuple[CriterionVerdict, ...]:
    """A verdict on each criterion.

    Raises:
        UsageError: one is missing or not possible.
    """
    found = []
    for criterion in task.criteria():
        value = form.criteria.get(criterion.id, "")
        allowed = [one for one, _ in criterion_values(criterion)]
        if value not in allowed:
            raise UsageError(f"criterion {criterion.id!r} has no verdict yet; choose one of: {', '.join(allowed)}")
        found.append(
            CriterionVerdict(
                id=criterion.id,
                points=criterion.points,
                kind=criterion.kind,
                value=float(value),
                axis=criterion.axis,
                tags=criterion.tags,
            )
        )
    return tuple(found)


def comment_of(row: Judgment) -> str:
    """What a person wrote beside a vote."""
    told = told_of(row)
    return str(told.get("comment", ""))


def told_of(row: Judgment) -> Mapping[str, object]:
    """Everything a person said beside the vote."""
    try:
        told = json.loads(row.raw)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def first_votes(votes: Mapping[str, Mapping[str, Judgment]]) -> list[tuple[str, Judgment]]:
    """The first vote on each task that has one, in the order in which they were given; skips are none."""
    rows = sorted(
        ((task, row) for several in votes.values() for task, row in several.items() if row.scores is not None),
        key=lambda one: one[1].created,
    )
    first: dict[str, Judgment] = {}
    for task, row in rows:
        first.setdefault(task, row)
    return list(first.items())


def outcomes(rows: Iterable[Judgment], model: str) -> list[float]:
    """The outcome of each vote on a pair for one of its models."""
    found = []
    for row in rows:
        names = [one.name for one in row.models]
        if row.scores is not None and model in names:
            found.append(row.scores[names.index(model)])
    return found


def sides(rows: Sequence[Judgment]) -> tuple[int, int]:
    """How many votes chose the answer on the left, and how many one of the two."""
    decided = [
        row.scores for row in rows if row.scores is not None and len(row.scores) == 2 and row.scores[0] != row.scores[1]
    ]
    return sum(first > second for first, second in decided), len(decided)
