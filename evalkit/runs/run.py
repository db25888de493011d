"""The verb's work: answer a benchmark, judge the answers, rate the models, and leave the tables and the report."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.protocols import EvalkitError, Judge, Model, UsageError
from evalkit.core.schema import Criterion
from evalkit.core.text import plain
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine import pipeline
from evalkit.engine.baselines import bring_baselines
from evalkit.engine.experiment import Experiment
from evalkit.engine.forecast import forecast
from evalkit.engine.pair_choice import outcome
from evalkit.engine.preview import prompts
from evalkit.engine.progress import downloads
from evalkit.engine.session import Session, SessionResult
from evalkit.engine.spending import used_before
from evalkit.engine.tournament_forecast import tournament_forecast
from evalkit.judges.declared import Declared
from evalkit.models.budget import Amount
from evalkit.ratings.answer_languages import LANGUAGES
from evalkit.ratings.beside import side_by_side
from evalkit.ratings.standing import Board
from evalkit.ratings.tournament import TournamentOutcome, after_choosing
from evalkit.reports import leaderboard_tables, run_report, tournament_table
from evalkit.reports.leaderboard_grid import all_grids
from evalkit.runs.difference_forecast import show_difference_forecast
from evalkit.settings import assembly, rubrics
from evalkit.settings.config import Config
from evalkit.storage.items import Items

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Members:
    """Models and judges that take part beside those of the configuration, made by a program that calls this one."""

    models: tuple[Model, ...] = ()
    judges: tuple[Judge, ...] = ()

    def joined(self, experiment: Experiment) -> Experiment:
        """The experiment with them.

        Raises:
            UsageError: two of one group go by the same name.
        """
        models, judges = (*experiment.models, *self.models), (*experiment.judges, *self.judges)
        for group, names in (("model", [one.name for one in models]), ("judge", [one.name for one in judges])):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise UsageError(f"two {group}s are called {twice[0]!r}; give each a name of its own")
        return replace(experiment, models=models, judges=judges)


def run(settings: Config, console: Console) -> int:
    """Run what the configuration describes. Returns the exit code."""
    return asyncio.run(run_async(settings, console)).exit_code()


async def run_async(
    settings: Config,
    console: Console,
    members: Members | None = None,
    began: Callable[[Session], None] | None = None,
) -> SessionResult[Board]:
    """Run what the configuration describes.

    Args:
        settings: of the run.
        console: for people.
        members: more models and judges than the settings name.
        began: is told of the session before it asks anything, so that it can be interrupted.
    """
    with downloads(console):
        loaded = await assembly.load_benchmark(settings, limit=settings.limit)
        experiment = await assembly.experiment(settings, loaded)
    experiment = (members or Members()).joined(experiment)
    check_pairs(experiment, settings.baseline)
    for note in [*loaded.notes, *rubric_doubts(experiment), *prompt_languages(experiment)]:
        console.print(note, style="yellow", markup=False)
    results = Path(settings.results_dir)
    async with assembly.session(settings, console, results, loaded.spec.name) as session:
        if began is not None:
            began(session)

        def used() -> Amount:
            return used_before(experiment, session.clients, session.store)

        if settings.show is not None:
            print_prompts(experiment, session)
            if not settings.dry_run:
                return SessionResult(None)
        if settings.dry_run:
            estimates = await forecast(experiment, session.clients, session.store)
            title = "dry run: nothing was asked" + ("; if all pairs met" if experiment.rule else "")
            session.show_forecast(estimates, used, title)
            _show_tournament_forecast(experiment, session)
            if settings.detect is not None:
                show_difference_forecast(console, experiment, estimates, results, settings.detect)
            return SessionResult(None)
        with downloads(console):
            session.store = await bring_baselines(experiment, session.store, results)
        await session.open(experiment, used)
        keep_questions(loaded, session)
        return await carry_out(session, experiment, judgments=experiment.cases)


def show_models(session: Session, board: Board, experiment: Experiment) -> Path | None:
    """Print the ratings, leave them as JSON, and a page where the run came to its end. Returns the page."""
    _show(session, board, experiment)
    return _report(experiment, session, board) if session.outcome in ("done", "budget") else None


async def carry_out(
    session: Session,
    experiment: Experiment,
    *,
    judgments: int,
    show: Callable[[Session, Board, Experiment], Path | None] = show_models,
) -> SessionResult[Board]:
    """Ask, rate, print the tables and leave the report, in an open session.

    Args:
        session: that is open.
        experiment: who answers, and who judges.
        judgments: how many there are to come.
        show: prints what came of it, and says where a page about it is.
    """
    answers = len(experiment.benchmark.items) * len(experiment.models)
    rule, more = experiment.rule, None
    if rule is not None:
        judgments = min(judgments, rule.max_judgments or judgments)
        more = {"tournament": {"until": rule.until, "guarantee": rule.guarantee(len(experiment.benchmark.items))}}
    with session.asking(experiment, answers=answers, judgments=judgments, more=more) as watch:
        board = await pipeline.run(experiment, session.clients, session.store, watch)
    if session.trouble is not None:  # what was stored until then still makes a table
        try:
            board = pipeline.rated(experiment, session.store)
        except EvalkitError:
            raise session.trouble from None
    page = show(session, board, experiment)
    session.show_closing(experiment.ask_again)
    if page is not None:
        session.console.print(f"report: {page}", markup=False, soft_wrap=True)
    return session.result(board)


def rubric_doubts(experiment: Experiment) -> list[str]:
    """What looks like a mistake in the rubric of a judge."""
    found: dict[str, None] = {}
    for judge in experiment.judges:
        criteria: tuple[Criterion, ...] = getattr(judge.protocol, "rubric", ())
        found.update((f"rubric of {judge.protocol.name}: {doubt}", None) for doubt in rubrics.doubts(criteria))
    return list(found)


def prompt_languages(experiment: Experiment) -> list[str]:
    """Notes that judges are spoken to in English about answers in another language, where it is so."""
    spec = experiment.benchmark.spec
    if spec.language in (None, "en"):
        return []
    wanted, faithful = LANGUAGES.get(spec.language, spec.language), spec.faithful.get("protocol", "")
    other = f"; protocol={faithful} has one in {wanted}" if faithful.endswith(f"_{spec.language}") else ""
    found = dict.fromkeys(
        f"questions are in {wanted}, and the judge's prompt ({judge.protocol.name}) is in English{other}"
        for judge in experiment.judges
        if not isinstance(judge.protocol, Declared) and getattr(judge.protocol, "language", "en") == "en"
    )
    return list(found)


def print_prompts(experiment: Experiment, session: Session) -> None:
    """Print one prompt of each judge to stdout, as it would be sent. Control characters do not reach the terminal."""
    for shown in prompts(experiment, session.clients, session.store):
        sys.stdout.write("\n".join(map(plain, shown.split("\n"))) + "\n")


def _report(experiment: Experiment, session: Session, board: Board) -> Path | None:
    """The page about the rows there are: of an earlier run, or else made now, whichever run asked for them.

    A run that was killed before it made its page leaves that to the next.
    """
    state = experiment.state(session.store)
    page = run_report.find(session.store.root, state)
    if page is None:
        try:
            page = run_report.write(session.folder, session.store, experiment, state, board, session.watch.notes)
        except EvalkitError as error:
            session.trouble = error
    return page


def keep_questions(loaded: Benchmark, session: Session) -> None:
    """Leave the questions beside the results; tell where one has other words than an earlier run's of the same id."""
    there = Items(session.store.root)
    changed = [item.id for item in loaded.items if item.id in there.known and item.turns != there.known[item.id].turns]
    ids = {item.id for item in loaded.items}
    before = {item.turns: item.id for item in there.known.values() if item.id not in ids}
    renamed = [(before[item.turns], item.id) for item in loaded.items if item.turns in before]
    there.keep(loaded.items)
    if renamed:
        session.say(
            f"{len(renamed)} of {len(loaded.items)} questions were asked here before under another id ({renamed[0][0]} "
            f"is now {renamed[0][1]}): they are asked again, and `evalkit leaderboard {session.store.root}` counts "
            "either as a question of its own, which narrows its intervals. Give the ids of before (fields.id=NAME), or "
            "another results_dir"
        )
    if changed:
        session.say(
            f"{len(changed)} of {len(loaded.items)} questions differ from what an earlier run asked under the same id "
            f"({', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''}): answers to either are in "
            f"{session.store.root}/, and exports show the new question; to keep them apart, give questions new ids, or "
            "their file a new name"
        )


def check_pairs(experiment: Experiment, baseline: str | None) -> None:
    """Refuse, before anything is asked, a run whose judges would have nothing to compare.

    Raises:
        UsageError: they compare, and there are no two answers to meet; or a baseline was given, and they do not.
    """
    names = [model.name for model in experiment.models]
    protocols = ", ".join(sorted({judge.protocol.name for judge in experiment.judges}))
    if not experiment.cases:
        itself = ", which is the baseline itself" if experiment.pairing.baseline else ""
        raise UsageError(
            f"protocol {protocols} compares the answers of two models, and there is only {names[0]!r}{itself}; "
            f"add a model, model={names[0]},NAME, choose another to compare it with, baseline=NAME, or grade answers "
            "by themselves, protocol=single"
        )
    if baseline is not None and not any(judge.protocol.shows == 2 for judge in experiment.judges):
        raise UsageError(
            f"baseline={baseline}: protocol {protocols} grades each answer by itself and compares it with none; leave "
            "the baseline out, or choose a protocol that compares, as protocol=pairwise"
        )


def _show_tournament_forecast(experiment: Experiment, session: Session) -> None:
    """Print what a tournament is likely to take of all that."""
    if experiment.rule is not None:
        stored = outcome(experiment, session.clients, session.store)
        session.console.print(f"until={experiment.rule.until}", style="bold", markup=False)
        for one in tournament_forecast(experiment, stored):
            session.console.print(one.sentence(), markup=False, soft_wrap=not session.console.is_terminal)


def _show_tournament(experiment: Experiment, session: Session) -> TournamentOutcome:
    """Print what the tournament shows, and leave it as JSON."""
    assert experiment.rule is not None
    found = outcome(experiment, session.clients, session.store)
    guarantee = experiment.rule.guarantee(len(experiment.benchmark.items))
    judges = ", ".join(judge.name for judge in experiment.judges)
    tournament_table.show_tournament(session.console, found, f"{experiment.benchmark.spec.name} by {judges}", guarantee)
    content = {**found.to_dict(), "guarantee": guarantee, "sentences": found.sentences()}
    session.write("tournament.json", json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
    return found


def _show(session: Session, board: Board, experiment: Experiment) -> None:
    """Print the ratings, and leave them as JSON."""
    standings = board.standings
    if experiment.rule is not None:
        standings = after_choosing(standings, _show_tournament(experiment, session))
    if not standings:
        session.console.print("no scores: not one answer was judged", style="yellow")
    leaderboard_tables.show(session.console, all_grids(standings, side_by_side(standings)))
    session.write("leaderboard.json", leaderboard_tables.to_json(standings, board.notes))
