"""The verb's work: judge answers that are stored already, as a run would, asking no model for one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item
from evalkit.datasets import benchmark
from evalkit.datasets.benchmark import Benchmark, first_of_each
from evalkit.engine.baselines import bring_baselines
from evalkit.engine.experiment import Experiment
from evalkit.engine.forecast import forecast
from evalkit.engine.given import GivenAnswers
from evalkit.engine.judge import CaseBuilder
from evalkit.engine.progress import downloads
from evalkit.engine.session import Session, SessionResult
from evalkit.engine.spending import used_before
from evalkit.models.budget import Amount
from evalkit.ratings.standing import Board
from evalkit.runs.difference_forecast import show_difference_forecast
from evalkit.runs.labelled import show_judges
from evalkit.runs.run import Members, carry_out, prompt_languages, show_models
from evalkit.settings import assembly
from evalkit.settings.config import Config
from evalkit.storage.items import Items
from evalkit.storage.store import Store

if TYPE_CHECKING:
    from rich.console import Console


def judge(settings: Config, given: GivenAnswers, console: Console) -> int:
    """Judge the answers as the configuration describes. Returns the exit code."""
    return asyncio.run(judge_async(settings, given, console)).exit_code()


async def judge_async(
    settings: Config,
    given: GivenAnswers,
    console: Console,
    members: Members | None = None,
    began: Callable[[Session], None] | None = None,
) -> SessionResult[Board]:
    """Judge the answers as the configuration describes.

    Args:
        settings: of the run.
        given: the answers.
        console: for people.
        members: more judges than the settings name.
        began: is told of the session before it asks anything, so that it can be interrupted.
    """
    with downloads(console):
        loaded, notes = await _questions(settings, given)
        experiment = await assembly.experiment(settings, loaded)
    pairing = dataclasses.replace(experiment.pairing, labelled=given.labelled)
    experiment = dataclasses.replace(experiment, models=(), given=given.models, pairing=pairing)
    experiment = (members or Members()).joined(experiment)
    _check(experiment, settings.baseline)
    for note in (*loaded.notes, *prompt_languages(experiment), *notes, *given.notes(pairwise=experiment.pairwise)):
        console.print(note, style="yellow", markup=False, soft_wrap=not console.is_terminal)
    results = given.root.parent
    async with assembly.session(settings, console, results, given.root.name) as session:
        if began is not None:
            began(session)

        def used() -> Amount:
            return used_before(experiment, session.clients, session.store)

        if settings.dry_run:
            estimates = await forecast(experiment, session.clients, session.store)
            session.show_forecast(estimates, used)
            if settings.detect is not None:
                show_difference_forecast(console, experiment, estimates, results, settings.detect)
            return SessionResult(None)
        with downloads(console):
            session.store = await bring_baselines(experiment, session.store, results)
        expected = _cases(experiment, session.store)
        if not expected:
            raise UsageError(_nothing(experiment))
        await session.open(experiment, used)
        show = show_judges if given.labelled else show_models
        return await carry_out(session, experiment, judgments=expected, show=show)


async def _questions(settings: Config, given: GivenAnswers) -> tuple[Benchmark, list[str]]:
    """The questions that were answered: of the benchmark, and those stored beside the answers, which come first.

    Raises:
        UsageError: none is known.
    """
    stored, name = Items(given.root).known, given.root.name
    loaded, known = None, dict[str, Item]()
    shipped = settings.benchmark in benchmark.names()
    spare = shipped and benchmark.spec(settings.benchmark).references is None and given.items <= stored.keys()
    if settings.questions is not None or (shipped and not spare) or settings.benchmark != name:
        loaded = await assembly.load_benchmark(settings)
        known = {item.id: item for item in loaded.items}
    own = {item.id: item for item in stored.values() if item.id not in known or item.turns != known[item.id].turns}
    found = {**known, **own}
    items = [replace(item, benchmark=name) for item in found.values() if item.id in given.items]
    if not items:
        raise UsageError(
            f"the questions that these answers are to are not known: {name!r} has none, and the answers bring none; "
            "give questions=FILE or benchmark=NAME, or import the questions too"
        )
    spec = loaded.spec if loaded is not None else benchmark.spec(settings.benchmark if shipped else "arena")
    notes = []
    if missing := len(given.items) - len(items):
        notes.append(f"{missing:,} of {len(given.items):,} questions that were answered are not known, and left out")
    chosen = tuple(first_of_each(items, settings.limit))
    about = Benchmark(
        spec=replace(spec, name=name, categories=() if own else spec.categories),
        items=chosen,
        references=loaded.references if loaded is not None else "stored" if _referenced(chosen) else "none",
        hashes=loaded.hashes if loaded is not None else {},
        notes=loaded.notes if loaded is not None else (),
    )
    return about, notes


def _referenced(items: Iterable[Item]) -> bool:
    return any(any(item.reference) for item in items)


def _cases(experiment: Experiment, store: Store) -> int:
    """How many cases there are to judge."""
    items = {item.id: item for item in experiment.benchmark.items}
    total = 0
    for member in experiment.judges:
        builder = CaseBuilder(
            items,
            shows=member.protocol.shows,
            pairing=experiment.pairing,
            repeats=experiment.repeats,
            turns=experiment.turns,
        )
        total += sum(1 for _ in builder.of(experiment.answered(store)))
    return total


def _check(experiment: Experiment, baseline: str | None) -> None:
    """Refuse what would leave a judge nothing to compare.

    Raises:
        UsageError: it compares and there is one model, or a baseline is given and it does not compare.
    """
    protocol = experiment.judges[0].protocol.name
    if baseline is not None and not experiment.pairwise:
        raise UsageError(
            f"baseline={baseline}: protocol {protocol} grades each answer by itself; leave the baseline out, or choose "
            "a protocol that compares, as protocol=pairwise"
        )
    alone = len(experiment.names) == 1 and not experiment.only_stored and not experiment.pairing.labelled
    if experiment.pairwise and alone:
        raise UsageError(
            f"protocol {protocol} compares the answers of two models, and these are all by {experiment.names[0]!r}; "
            "name the answers of another too, or grade answers by themselves: protocol=single"
        )


def _nothing(experiment: Experiment) -> str:
    if experiment.pairwise:
        return (
            f"nothing to judge: no two of these models ({', '.join(experiment.names)}) answered the same question, "
            "whole. Answers belong together by the question's id or text"
        )
    return "nothing to judge: every answer is a failure, or has fewer turns than its question"
