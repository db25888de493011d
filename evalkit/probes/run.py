"""Experiments on a live judge: two answers a question, what probes make of them, the judge's verdicts, the findings.

Resumes like any run: answers, rewritten answers and verdicts are stored as they arrive, and nothing is asked twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from evalkit import benchmark, config
from evalkit.auditing.findings import Audit, Finding, Subject
from evalkit.benchmark import Benchmark
from evalkit.client import Clients
from evalkit.experiment import Experiment
from evalkit.forecast import Estimate, count_case, expected, habits_of, priced
from evalkit.generate import respond
from evalkit.prices import load_prices
from evalkit.probes import effect, findings
from evalkit.probes.judges import Study, fixed_in, single_of
from evalkit.probes.library import Probe
from evalkit.probes.table import Outcome
from evalkit.probes.trials import Pair, Trial, Turns, calls, trials
from evalkit.progress import Watch, downloads, watching
from evalkit.protocols import EvalkitError, Judge, Model, Sampling, UsageError
from evalkit.run import (
    begin,
    exit_code,
    open_all,
    print_closing,
    print_forecast,
    print_shortfall,
    run_folder,
    stop_on_interrupt,
)
from evalkit.schema import Judgment, Response
from evalkit.shipped import shipped
from evalkit.store import Store
from evalkit.streams import each, of

if TYPE_CHECKING:
    from rich.console import Console

TEMPERATURE = 0.7
"""Of both answers, as in MT-Bench's study of position bias."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What an experiment came to."""

    audit: Audit | None
    """None after a dry run."""
    folder: Path | None
    trouble: BaseException | None
    """What ended it early; the audit covers what was stored until then."""
    code: int = 0
    """Exit code, where nothing did."""
    about: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What was tried and how it was drawn."""


async def run(settings: config.Config, probes: Sequence[Probe], console: Console, *, turns: Turns = "first") -> Found:
    """Carry out the experiments.

    Args:
        settings: as for a run; its benchmark gives the questions.
        probes: which of them.
        console: for people.
        turns: whether second turns are judged too.
    """
    prices = load_prices(Path(settings.prices) if settings.prices else shipped("conf") / "prices.yaml")
    with downloads(console):
        loaded = await benchmark.load(
            settings.benchmark,
            questions=settings.questions,
            fields=settings.fields,
            references=settings.references,
            limit=settings.limit,
        )
        experiment = _prepared(await config.experiment(settings, _questions(loaded, turns)))
    singles = {judge.name: single_of(judge, settings.judge[judge.name]) for judge in experiment.judges}
    study = Study(experiment, probes, turns, singles)
    clients = Clients(prices, settings.retry, usd=settings.budget.usd, tokens=settings.budget.tokens)
    store = Store(Path(settings.results_dir), experiment.benchmark.spec.name)
    try:
        if settings.dry_run:
            estimates = forecast(study, clients, store)
            print_forecast(console, estimates, prices.as_of)
            if clients.budget.capped:
                print_shortfall(console, estimates, study.used_before(clients, store), settings.budget)
            return Found(None, None, None)
        if clients.budget.capped:
            clients.budget.spent_before(study.used_before(clients, store))
        await open_all(experiment, clients, console)
        folder = run_folder(experiment, store, settings)
        with (folder / "config.yaml").open("ab") as file:
            file.write(msgspec.yaml.encode({"probes": [probe.name for probe in probes], "turns": turns}))
        return await _carry_out(study, clients, store, folder, console)
    finally:
        await clients.close()
        store.close()


def _questions(loaded: Benchmark, turns: Turns) -> Benchmark:
    """The same questions under a name of their own, without what comes after the first turn unless it is asked for."""
    spec = replace(loaded.spec, name=f"audit-{loaded.spec.name}" + ("-turns" if turns == "both" else ""), baseline=None)
    most = 1 if turns == "first" else None
    items = tuple(
        replace(item, benchmark=spec.name, turns=item.turns[:most], reference=item.reference[:most])
        for item in loaded.items
    )
    return replace(loaded, spec=spec, items=items)


def _prepared(experiment: Experiment) -> Experiment:
    """With one model twice: the second time from another seed.

    Raises:
        UsageError: several models, or judges that do not compare.
    """
    if len(experiment.models) != 1:
        raise UsageError("an audit takes one model, whose answers are shown to the judge; give model=NAME")
    for judge in experiment.judges:
        if judge.batch:
            raise UsageError(
                f"judge {judge.name!r} cannot have batch=true here: probes are asked one by one, at the full price; "
                "leave it out, and see what they cost with dry_run=true"
            )
        if judge.protocol.shows != 2:
            raise UsageError(f"probes need a judge that compares two answers; protocol={judge.protocol.name} does not")
        if judge.protocol.identical_is_tie:
            raise UsageError(f"probes need every pair to be asked; protocol={judge.protocol.name} skips some")
    model = experiment.models[0]
    return dataclasses.replace(experiment, models=(_seeded(model, 0), _seeded(model, 1)))


def _seeded(model: Model, step: int) -> Model:
    sampling = Sampling(temperature=TEMPERATURE, seed=(model.sampling.seed or 0) + step).over(model.sampling)
    return dataclasses.replace(model, name=model.name + ("+second" if step else ""), sampling=sampling)


async def _carry_out(study: Study, clients: Clients, store: Store, folder: Path, console: Console) -> Found:
    experiment = study.experiment
    total = study.pairs * calls(study.probes, experiment.repeats) * len(experiment.judges)
    trouble: EvalkitError | None = None
    heard: dict[str, list[tuple[Trial, Judgment]]] = {judge.name: [] for judge in experiment.judges}
    with watching(console, clients, 2 * len(experiment.benchmark.items), total) as watch:
        design = _design(study)
        record = begin(folder, experiment, clients, store, watch, console, more={"probes": design})
        try:
            with stop_on_interrupt(clients, console):
                pairs = await _answers(experiment, clients, store, watch)
                for judge in experiment.judges:
                    await _verdicts(study, judge, pairs, clients, store, watch, heard[judge.name])
        except EvalkitError as error:
            trouble = error
        except KeyboardInterrupt:  # the second one
            record.end("dropped")
            raise
    outcome = "error" if trouble else clients.stopped_by or "done"
    record.end(outcome, trouble)
    audit = audited(study, heard)
    print_closing(console, store, folder, clients, watch, experiment.ask_again)
    about = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in design.items()
    }
    if trouble is not None:
        return Found(audit, folder, trouble, about=about)
    try:
        return Found(audit, folder, None, exit_code(clients, watch, console), about)
    except KeyboardInterrupt as stopped:
        return Found(audit, folder, stopped, about=about)


def _design(study: Study) -> dict[str, Any]:
    """What was tried and how the answers were drawn; which is rewritten, and how, the question alone decides."""
    return {
        "names": [probe.name for probe in study.probes],
        "turns": study.turns,
        "repeats": study.experiment.repeats,
        "temperature": study.experiment.models[0].sampling.temperature,
        "seeds": [model.sampling.seed for model in study.experiment.models],
    }


async def _answers(experiment: Experiment, clients: Clients, store: Store, watch: Watch) -> dict[str, Pair]:
    """Both answers to each question; a question that lacks one takes no part."""
    rows: dict[str, list[Response]] = {}
    for candidate in experiment.candidates:
        client = clients.of(candidate.model)
        log = store.responses(candidate.model.name)
        answer = partial(respond, candidate=candidate, client=client, log=log, ask_again=experiment.ask_again)
        stream = each(of(experiment.benchmark.items), answer, workers=client.backend.concurrency)
        async with aclosing(stream):
            async for row in stream:
                watch.answered(row)
                if row.error is None:
                    rows.setdefault(row.item, []).append(row)
    if experiment.in_turns:
        await clients.of(experiment.models[0]).close()
    return {item: (found[0], found[1]) for item, found in rows.items() if len(found) == 2}


async def _verdicts(
    study: Study,
    judge: Judge,
    pairs: Mapping[str, Pair],
    clients: Clients,
    store: Store,
    watch: Watch,
    heard: list[tuple[Trial, Judgment]],
) -> None:
    benches = study.benches(judge, clients, store)
    planned = [one for one in _planned(study, pairs) if one.variant in benches]
    _keep(planned, store)
    watch.judgments.total -= study.pairs * calls(study.probes, study.experiment.repeats) - len(planned)

    async def ask(trial: Trial) -> tuple[Trial, Judgment]:
        return trial, await benches[trial.variant].judgment(trial.case)

    client = clients.of(judge.model)
    async with aclosing(each(of(planned), ask, workers=client.backend.concurrency)) as stream:
        async for trial, judgment in stream:
            watch.judged(judgment)
            heard.append((trial, judgment))
    if study.experiment.in_turns:
        await client.close()


def _planned(study: Study, pairs: Mapping[str, Pair]) -> list[Trial]:
    return list(trials(study.experiment.benchmark.items, pairs, study.probes, study.experiment.repeats))


def _keep(planned: Iterable[Trial], store: Store) -> None:
    """Store the rewritten answers before anyone is shown them."""
    for trial in planned:
        for row in trial.case.shown:
            log = store.responses(row.model.name)
            if log.entry(row.key) is None:
                log.append(replace(row, created=time.time()))


def audited(study: Study, heard: Mapping[str, Sequence[tuple[Trial, Judgment]]]) -> Audit:
    """The audit of what was heard."""
    experiment, probes = study.experiment, study.probes
    subjects: list[Subject] = []
    rows: list[Finding] = []
    for judge in experiment.judges:
        about = effect.Subject(judge.name, judge.protocol.name, experiment.benchmark.spec.name)
        outcomes = [_outcome(trial, judgment) for trial, judgment in heard[judge.name]]
        mine = list(findings.findings(about, outcomes, probes, beyond=fixed_in(judge.protocol)))
        said = findings.conclusions(mine, probes)
        failed: Counter[str] = Counter(row.error.kind for _, row in heard[judge.name] if row.error is not None)
        rows += mine
        subjects.append(
            Subject(
                **vars(about),
                shows=2,
                judgments=len(outcomes),
                failed=dict(failed),
                models=(experiment.models[0].name,),
                questions=len({row.item for row in outcomes}),
                votes=0,
                conclusions=tuple(said.may),
                cautions=tuple(said.may_not),
                unknown=tuple(said.unknown),
            )
        )
    note = (
        f"{experiment.models[0].name} answered every question twice, at temperature {TEMPERATURE:g}: between answers "
        "that are nearly equally good a judge is moved most easily"
    )
    return Audit(subjects=tuple(subjects), findings=tuple(rows), notes=(note,))


def _outcome(trial: Trial, judgment: Judgment) -> Outcome:
    scores = judgment.scores
    share, first = (scores[trial.slot], scores[0]) if scores is not None else (None, None)
    return Outcome(trial.probe, trial.arm, judgment.item, trial.order, trial.repeat, share, first, judgment.turn)


def forecast(study: Study, clients: Clients, store: Store) -> list[Estimate]:
    """What it would ask, with what is stored taken off."""
    experiment = study.experiment
    result: list[Estimate] = []
    pairs: dict[str, list[Response]] = {}
    for candidate in experiment.candidates:
        log = store.responses(candidate.model.name)
        estimate, habits = Estimate("model", candidate.model.name), habits_of((row.usage, row.latency) for row in log)
        for item in experiment.benchmark.items:
            row = expected(item, candidate, log, habits, experiment, estimate)
            if row.error is None:
                pairs.setdefault(item.id, []).append(row)
        result.append(priced(estimate, candidate.model, clients, habits))
    both = {item: (rows[0], rows[1]) for item, rows in pairs.items() if len(rows) == 2}
    for judge in experiment.judges:
        benches = study.benches(judge, clients, store)
        estimate = Estimate("judge", judge.name)
        habits = habits_of(((row.usage,), row.latency) for row in benches[""].log)
        for trial in _planned(study, both):
            if trial.variant in benches:
                count_case(trial.case, benches[trial.variant], habits, experiment, estimate)
        result.append(priced(estimate, judge.model, clients, habits))
    return result


def go(settings: config.Config, probes: Sequence[Probe], console: Console, *, turns: Turns = "first") -> Found:
    """``run``, for a caller without an event loop."""
    return asyncio.run(run(settings, probes, console, turns=turns))
