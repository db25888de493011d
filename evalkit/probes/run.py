"""Experiments on a live judge: answers to each question, what probes make of them, the judge's verdicts, the findings.

Resumes like any run: answers, rewritten answers and verdicts are stored as they arrive, and nothing is asked twice.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from evalkit.core.protocols import Judge, Model, Sampling, UsageError
from evalkit.core.schema import Judgment, Response
from evalkit.core.streams import each, of
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine.experiment import Experiment
from evalkit.engine.forecast import Estimate, count_case, expected, mean_usage, priced
from evalkit.engine.generate import answers
from evalkit.engine.progress import Watch, downloads
from evalkit.engine.session import SessionResult
from evalkit.evidence.findings import Audit, Finding, Subject
from evalkit.judges.rubric import Rubric
from evalkit.models.budget import Amount
from evalkit.models.client import Clients
from evalkit.probes.effect import ProbedJudge
from evalkit.probes.library import PROBES
from evalkit.probes.pair_study import TEMPERATURE, PairStudy, single_of
from evalkit.probes.rubric_library import RUBRIC_NAMES, RUBRIC_PROBES
from evalkit.probes.rubric_study import RubricStudy
from evalkit.probes.study import Study
from evalkit.probes.trials import Trial, Turns, chosen
from evalkit.settings import assembly
from evalkit.settings.config import Config
from evalkit.storage.store import Store

if TYPE_CHECKING:
    from rich.console import Console


async def run(
    settings: Config, probes: Sequence[str], console: Console, *, turns: Turns = "first"
) -> SessionResult[Audit]:
    """Run the experiments and store what the judges say.

    Args:
        settings: as for a run; its benchmark gives the questions.
        probes: names of those that are wanted; without any, all that there are for the judges' way to judge.
        console: for people.
        turns: whether second turns are judged too.
    """
    with downloads(console):
        loaded = await assembly.load_benchmark(settings, limit=settings.limit)
        study = study_of(await assembly.experiment(settings, _questions(loaded, turns)), probes, turns, settings)
    experiment = study.experiment
    record = {"probes": list(study.names), "turns": turns}
    name = experiment.benchmark.spec.name
    async with assembly.session(settings, console, Path(settings.results_dir), name, record) as session:
        clients, store = session.clients, session.store

        def used() -> Amount:
            return study.used_before(clients, store)

        title = "dry run: nothing was asked" if settings.dry_run else "forecast: what this asks"
        session.show_forecast(forecast(study, clients, store), used, title)
        if settings.dry_run:
            return SessionResult(None)
        await session.open(experiment, used)
        total = study.judged_turns * study.calls * len(experiment.judges)
        heard: dict[str, list[tuple[Trial, Judgment]]] = {judge.name: [] for judge in experiment.judges}
        expected_answers, design = study.answers * len(experiment.benchmark.items), {"probes": _design(study)}
        with session.asking(experiment, answers=expected_answers, judgments=total, more=design) as watch:
            shown = await _answers(experiment, clients, store, watch)
            for judge in experiment.judges:
                await _verdicts(study, judge, shown, clients, store, watch, heard[judge.name])
        audit = audited(study, heard)
        session.show_closing(experiment.ask_again)
        return session.result(audit)


def study_of(experiment: Experiment, probes: Sequence[str], turns: Turns, settings: Config) -> Study:
    """The experiments for the judges' way to judge.

    Raises:
        UsageError: several models, judges of several kinds, a protocol that no probe is made for, or a probe that there
            is not for it.
    """
    if len(experiment.models) != 1:
        raise UsageError("an audit takes one model, whose answers are shown to the judge; give model=NAME")
    for judge in experiment.judges:
        if judge.batch:
            raise UsageError(
                f"judge {judge.name!r} cannot have batch=true here: probes are asked one by one, at the full price; "
                "leave it out, and see what they cost with dry_run=true"
            )
    if any(isinstance(judge.protocol, Rubric) for judge in experiment.judges):
        return _of_rubrics(experiment, probes, turns)
    wrong = [name for name in probes if name in RUBRIC_NAMES]
    if wrong:
        raise UsageError(f"the probe {wrong[0]!r} is about rubrics: give rubric=NAME or rubric=FILE.yaml with it")
    tried = chosen(probes, PROBES)
    for judge in experiment.judges:
        if judge.protocol.shows != 2:
            raise UsageError(
                "probes need a judge that compares two answers, or one that grades by a rubric; "
                f"protocol={judge.protocol.name} does not"
            )
        if judge.protocol.identical_is_tie:
            raise UsageError(f"probes need every pair to be asked; protocol={judge.protocol.name} skips some")
    singles = {judge.name: single_of(judge, settings.judge[judge.name]) for judge in experiment.judges}
    model = experiment.models[0]
    twice = dataclasses.replace(experiment, models=(_seeded(model, 0), _seeded(model, 1)))
    return PairStudy(twice, turns, tried, singles)


def _of_rubrics(experiment: Experiment, probes: Sequence[str], turns: Turns) -> RubricStudy:
    pairwise = [name for name in probes if name in {probe.name for probe in PROBES}]
    if pairwise:
        raise UsageError(
            f"the probe {pairwise[0]!r} is about comparing two answers; of a rubric there are: "
            f"{', '.join(RUBRIC_NAMES)}"
        )
    for judge in experiment.judges:
        if not isinstance(judge.protocol, Rubric):
            raise UsageError(f"judge {judge.name!r} has protocol={judge.protocol.name}, and others grade by a rubric")
    return RubricStudy(experiment, turns, chosen(probes, RUBRIC_PROBES))


def _questions(loaded: Benchmark, turns: Turns) -> Benchmark:
    """A benchmark's questions under a name of their own, first turns only unless more are asked for."""
    spec = replace(loaded.spec, name=f"audit-{loaded.spec.name}" + ("-turns" if turns == "both" else ""), baseline=None)
    most = 1 if turns == "first" else None
    items = tuple(
        replace(item, benchmark=spec.name, turns=item.turns[:most], reference=item.reference[:most])
        for item in loaded.items
    )
    return replace(loaded, spec=spec, items=items)


def _seeded(model: Model, step: int) -> Model:
    sampling = Sampling(temperature=TEMPERATURE, seed=(model.sampling.seed or 0) + step).over(model.sampling)
    return dataclasses.replace(model, name=model.name + ("+second" if step else ""), sampling=sampling)


def _design(study: Study) -> dict[str, Any]:
    """What was tried and how the answers were drawn; which is rewritten, and how, the question alone decides."""
    return {
        "names": list(study.names),
        "turns": study.turns,
        "repeats": study.experiment.repeats,
        "temperature": study.experiment.models[0].sampling.temperature,
        "seeds": [model.sampling.seed for model in study.experiment.models],
    }


async def _answers(
    experiment: Experiment, clients: Clients, store: Store, watch: Watch
) -> dict[str, Sequence[Response]]:
    """The answers to each question; a question that lacks one takes no part."""
    rows: dict[str, list[Response]] = {}
    items = experiment.benchmark.items
    for candidate in experiment.candidates:
        stream = answers(candidate, items, clients, store, watch, ask_again=experiment.ask_again)
        async with aclosing(stream):
            async for row in stream:
                if row.error is None:
                    rows.setdefault(row.item, []).append(row)
    if experiment.in_turns:
        await clients.of(experiment.models[0]).close()
    return {item: found for item, found in rows.items() if len(found) == len(experiment.models)}


async def _verdicts(
    study: Study,
    judge: Judge,
    answered: Mapping[str, Sequence[Response]],
    clients: Clients,
    store: Store,
    watch: Watch,
    heard: list[tuple[Trial, Judgment]],
) -> None:
    runners = study.runners(judge, clients, store, watch.new)
    planned = [one for one in study.planned(judge, answered) if one.variant in runners]
    _keep(planned, store)
    watch.judgments.total -= study.judged_turns * study.calls - len(planned)

    async def ask(trial: Trial) -> tuple[Trial, Judgment]:
        return trial, await runners[trial.variant].judgment(trial.case)

    client = clients.of(judge.model)
    async with aclosing(each(of(planned), ask, workers=client.backend.concurrency)) as stream:
        async for trial, judgment in stream:
            watch.judged(judgment)
            heard.append((trial, judgment))
    if study.experiment.in_turns:
        await client.close()


def _keep(planned: Iterable[Trial], store: Store) -> None:
    """Store the rewritten answers before anyone is shown them."""
    for trial in planned:
        for row in trial.case.shown:
            log = store.responses(row.model.name)
            if log.entry(row.key) is None:
                log.append(replace(row, created=time.time()))


def audited(study: Study, heard: Mapping[str, Sequence[tuple[Trial, Judgment]]]) -> Audit:
    """The audit of the verdicts that were given."""
    experiment = study.experiment
    subjects: list[Subject] = []
    rows: list[Finding] = []
    for judge in experiment.judges:
        about = ProbedJudge(judge.name, judge.protocol.name, experiment.benchmark.spec.name)
        mine = study.findings(about, judge, heard[judge.name])
        said = study.conclusions(mine)
        failed: Counter[str] = Counter(row.error.kind for _, row in heard[judge.name] if row.error is not None)
        rows += mine
        subjects.append(
            Subject(
                **vars(about),
                shows=judge.protocol.shows,
                judgments=len(heard[judge.name]),
                failed=dict(failed),
                models=(experiment.models[0].name,),
                questions=len({row.item for _, row in heard[judge.name]}),
                votes=0,
                conclusions=tuple(said.may),
                cautions=tuple(said.may_not),
                unknown=tuple(said.unknown),
            )
        )
    return Audit(subjects=tuple(subjects), findings=tuple(rows), notes=(study.note,))


def forecast(study: Study, clients: Clients, store: Store) -> list[Estimate]:
    """What it would ask, with what is stored taken off."""
    experiment = study.experiment
    result: list[Estimate] = []
    answered: dict[str, list[Response]] = {}
    for candidate in experiment.candidates:
        log = store.responses(candidate.model.name)
        estimate, habits = Estimate("model", candidate.model.name), mean_usage((row.usage, row.latency) for row in log)
        for item in experiment.benchmark.items:
            row = expected(item, candidate, log, habits, experiment, estimate)
            if row.error is None:
                answered.setdefault(item.id, []).append(row)
        result.append(priced(estimate, candidate.model, clients, habits))
    complete = {item: rows for item, rows in answered.items() if len(rows) == study.answers}
    for judge in experiment.judges:
        runners = study.runners(judge, clients, store)
        estimate = Estimate("judge", judge.name)
        habits = mean_usage(((row.usage,), row.latency) for row in runners[""].log)
        for trial in study.planned(judge, complete):
            if trial.variant in runners:
                for runner, case in runners[trial.variant].calls(trial.case):
                    count_case(case, runner, habits, estimate)
        result.append(priced(estimate, judge.model, clients, habits))
    return result
