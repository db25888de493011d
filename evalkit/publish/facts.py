"""What is stored of a judging: its rows, counted, and the configuration that the run's manifest has of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judgment, Ref
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.storage.results import answer_logs, judgment_logs
from evalkit.storage.run_records import RunRecord, read, run_records

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class JudgingFacts:
    """One judge under one protocol on one benchmark: the rows that count, and what the manifests say of them."""

    benchmark: str
    judge: Ref
    protocol: str
    shows: int
    """Answers shown at once."""
    models: tuple[Ref, ...]
    questions: int
    judgments: int
    failed: Mapping[str, int]
    """Judgments without a verdict, by kind of error."""
    unanswered: Mapping[str, int]
    """Answers of these models that failed and were never judged, by kind of error."""
    cases: int
    """Sets of answers that were judged on a turn of a question, in whichever order and however often."""
    both_orders: int
    """Cases of two answers that were shown in both orders."""
    most_repeats: int
    """How often one case was judged in one order, at the most."""
    replaced: int
    """Judgments of earlier configurations of the judge or of a model, which do not count."""
    parsers: tuple[str, ...]
    snapshots: tuple[str, ...]
    """Ids under which the provider says that the judge replied."""
    sampling: tuple[Mapping[str, Any], ...]
    """Sampling fields that were sent with the prompts, each form once."""
    asked_with: Mapping[str, Sequence[Mapping[str, Any]]]
    """The same of each model's answers, by name, where these are stored."""
    record: RunRecord | None
    """The newest run that had this judge in this configuration; None where no manifest has."""
    configuration: Mapping[str, Any] | None
    """The judge's, in that run."""
    candidates: Mapping[str, Mapping[str, Any]]
    """Configuration of each model, by name, where a manifest has it."""


@dataclass(frozen=True)
class ResultPlaces:
    """Results to be read: folders and files, of some only what one run was about."""

    roots: tuple[Path, ...]
    runs: tuple[RunRecord, ...] = ()

    def holds(self, row: Judgment) -> bool:
        """Whether a judgment belongs to one of the runs; all do where none is named."""
        return not self.runs or any(_is_of(run, row) for run in self.runs)


def places(paths: Iterable[Path]) -> ResultPlaces:
    """What the paths mean; a run's folder (``results/NAME/runs/ID``) is what that run was about.

    Raises:
        UsageError: a run's folder has no manifest that can be read.
    """
    roots: dict[Path, None] = {}
    runs = []
    for path in paths:
        if path.parent.name == "runs" and path.is_dir():
            record = read(path / MANIFEST)
            if record is None:
                raise UsageError(f"{str(path)!r} is a run without a {MANIFEST} that can be read; name its results")
            runs.append(record)
            roots[path.parent.parent] = None
        else:
            roots[path] = None
    return ResultPlaces(tuple(roots), tuple(runs))


def _is_of(run: RunRecord, row: Judgment) -> bool:
    judges = {str(one.get("fingerprint")) for one in run.judges.values()}
    known = [model for model in row.models if model.name in run.models]
    alike = all(run.models[model.name].get("fingerprint") == model.fingerprint for model in known)
    return row.benchmark == run.benchmark and row.judge.fingerprint in judges and bool(known) and alike


@dataclass
class _Group:
    """Rows of one judge about the same models in the same order."""

    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    items: set[str] = field(default_factory=set)
    cases: Counter[tuple[str, int]] = field(default_factory=Counter)


@dataclass
class _Tally:
    """Rows of one configuration of a judge."""

    last: int = 0
    rows: int = 0
    groups: dict[tuple[Ref, ...], _Group] = field(default_factory=dict)
    parsers: dict[str, None] = field(default_factory=dict)
    snapshots: dict[str, None] = field(default_factory=dict)
    sampling: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, row: Judgment) -> None:
        self.rows += 1
        group = self.groups.setdefault(row.models, _Group())
        group.rows += 1
        group.items.add(row.item)
        group.cases[row.item, row.turn] += 1
        if row.error is not None:
            group.failed[row.error.kind] += 1
        self.parsers[row.parser] = None
        if row.snapshot:
            self.snapshots[row.snapshot] = None
        if row.sampling not in self.sampling:
            self.sampling.append(row.sampling)


_Place = tuple[str, str, str, int]
"""Benchmark, judge's name, protocol, and answers shown."""


def facts(paths: Sequence[Path], judge: str | None = None) -> list[JudgingFacts]:
    """Every judge's judging, people left out; of configurations of one name, the one that judged last.

    Args:
        paths: results folders, runs' folders, or judgments files.
        judge: only this one.

    Raises:
        UsageError: a path does not exist, or there is no judgment of a judge.
    """
    where = places(paths)
    tallies: dict[_Place, dict[Ref, _Tally]] = {}
    latest: dict[tuple[str, str], Ref] = {}
    for number, row in enumerate(_rows(where, judge)):
        place = row.benchmark, row.judge.name, row.protocol, len(row.shown)
        tally = tallies.setdefault(place, {}).setdefault(row.judge, _Tally())
        tally.last = number
        tally.add(row)
        latest.update(((row.benchmark, model.name), model) for model in row.models)
    if not tallies:
        of = f" of {judge!r}" if judge else ""
        raise UsageError(f"no judgments{of} in {', '.join(map(str, paths))}; `evalkit run BENCHMARK` makes some")
    records = list(where.runs) or run_records(where.roots)
    answered = _answered(where, latest)
    found = []
    for place, versions in tallies.items():
        ref = max(versions, key=lambda one: versions[one].last)
        rows = sum(tally.rows for tally in versions.values())
        found.append(_facts(place, ref, versions[ref], rows, latest, answered, records))
    return found


def _rows(where: ResultPlaces, judge: str | None) -> Iterator[Judgment]:
    for log in judgment_logs(where.roots):
        for row in log:
            if judge in (None, row.judge.name) and rater_kind(row.judge) == "judge" and where.holds(row):
                yield row


@dataclass
class _Answered:
    """Answers of one model."""

    failed: Counter[str] = field(default_factory=Counter)
    sampling: list[Mapping[str, Any]] = field(default_factory=list)


def _answered(where: ResultPlaces, latest: Mapping[tuple[str, str], Ref]) -> dict[tuple[str, str], _Answered]:
    """What there is of answers, by benchmark and model, of the configurations that were judged last."""
    found: dict[tuple[str, str], _Answered] = {}
    for log in answer_logs(where.roots):
        for row in log:
            place = row.benchmark, row.model.name
            if latest.get(place) != row.model:
                continue
            mine = found.setdefault(place, _Answered())
            if row.error is not None:
                mine.failed[row.error.kind] += 1
            if row.sampling not in mine.sampling:
                mine.sampling.append(row.sampling)
    return found


def _facts(
    place: _Place,
    judge: Ref,
    tally: _Tally,
    rows: int,
    latest: Mapping[tuple[str, str], Ref],
    answered: Mapping[tuple[str, str], _Answered],
    records: Sequence[RunRecord],
) -> JudgingFacts:
    benchmark, _, protocol, shows = place
    current = {
        models: group
        for models, group in tally.groups.items()
        if all(latest[benchmark, model.name] == model for model in models)
    }
    models = tuple(dict.fromkeys(model for shown in current for model in shown))
    orders: Counter[tuple[frozenset[Ref], tuple[str, int]]] = Counter()
    for shown, group in current.items():
        orders.update((frozenset(shown), case) for case in group.cases)
    record = next((one for one in reversed(records) if _of_judge(one, benchmark, judge) is not None), None)
    failed: Counter[str] = Counter()
    for group in current.values():
        failed.update(group.failed)
    unanswered: Counter[str] = Counter()
    for model in models:
        unanswered.update(answered.get((benchmark, model.name), _Answered()).failed)
    counted = sum(group.rows for group in current.values())
    return JudgingFacts(
        benchmark=benchmark,
        judge=judge,
        protocol=protocol,
        shows=shows,
        models=models,
        questions=len({item for group in current.values() for item in group.items}),
        judgments=counted,
        failed=dict(sorted(failed.items())),
        unanswered=dict(sorted(unanswered.items())),
        cases=len(orders),
        both_orders=sum(shows == 2 and times > 1 for times in orders.values()),
        most_repeats=max((times for group in current.values() for times in group.cases.values()), default=0),
        replaced=rows - counted,
        parsers=tuple(tally.parsers),
        snapshots=tuple(tally.snapshots),
        sampling=tuple(tally.sampling),
        asked_with={
            model.name: answered[benchmark, model.name].sampling
            for model in models
            if (benchmark, model.name) in answered
        },
        record=record,
        configuration=_of_judge(record, benchmark, judge) if record is not None else None,
        candidates={
            model.name: config for model in models if (config := _of_model(records, benchmark, model)) is not None
        },
    )


def _of_judge(record: RunRecord, benchmark: str, judge: Ref) -> Mapping[str, Any] | None:
    found = record.judges.get(judge.name) if record.benchmark == benchmark else None
    return found if found is not None and found.get("fingerprint") == judge.fingerprint else None


def _of_model(records: Sequence[RunRecord], benchmark: str, model: Ref) -> Mapping[str, Any] | None:
    for record in reversed(records):
        found = record.models.get(model.name) if record.benchmark == benchmark else None
        if found is not None and found.get("fingerprint") == model.fingerprint:
            return found
    return None
