"""One run as a person starts it: its folder, the dry run, the live region, Ctrl-C, the tables, the manifest."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import benchmark, config, pipeline, report
from evalkit.baselines import bring_baselines
from evalkit.budget import Amount
from evalkit.client import Clients
from evalkit.experiment import Experiment
from evalkit.forecast import Estimate, forecast
from evalkit.items import Items
from evalkit.leaderboard import side_by_side
from evalkit.manifest import Manifest
from evalkit.pipeline import Ratings
from evalkit.prices import load_prices
from evalkit.progress import Watch, downloads, duration, spent, watching
from evalkit.protocols import EvalkitError, Misconfigured, UsageError
from evalkit.reports import leaderboard_tables, run_report, score_tables
from evalkit.reports.leaderboard_grid import all_grids
from evalkit.shipped import shipped
from evalkit.snapshots import Change, Snapshots
from evalkit.spending import used_before
from evalkit.store import Store, file_name

if TYPE_CHECKING:
    from rich.console import Console

STOPS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a run in an orderly way."""


def run(settings: config.Config, console: Console) -> int:
    """Run what the configuration describes. Returns the exit code."""
    return asyncio.run(_run(settings, console))


async def _run(settings: config.Config, console: Console) -> int:
    prices = load_prices(Path(settings.prices) if settings.prices else shipped("conf") / "prices.yaml")
    with downloads(console):
        loaded = await benchmark.load(
            settings.benchmark,
            questions=settings.questions,
            fields=settings.fields,
            references=settings.references,
            limit=settings.limit,
        )
        experiment = await config.experiment(settings, loaded)
    check_pairs(experiment, settings.baseline)
    for note in loaded.notes:
        console.print(note, style="yellow", markup=False)
    clients = Clients(prices, settings.retry, usd=settings.budget.usd, tokens=settings.budget.tokens)
    store = Store(Path(settings.results_dir), loaded.spec.name)
    try:
        if settings.dry_run:
            estimates = await forecast(experiment, clients, store)
            print_forecast(console, estimates, prices.as_of)
            if clients.budget.capped:
                print_shortfall(console, estimates, used_before(experiment, clients, store), settings.budget)
            return 0
        with downloads(console):
            store = await bring_baselines(experiment, store, Path(settings.results_dir))
        if clients.budget.capped:
            clients.budget.spent_before(used_before(experiment, clients, store))
        await open_all(experiment, clients, console)
        folder = run_folder(experiment, store, settings)
        keep_questions(loaded, store, console)
        return await _carry_out(experiment, clients, store, folder, console)
    finally:
        await clients.close()
        store.close()


def keep_questions(loaded: benchmark.Benchmark, store: Store, console: Console) -> None:
    """Leave the questions beside the results; tell where one has other words than an earlier run's of the same id."""
    there = Items(store.root)
    changed = [item.id for item in loaded.items if item.id in there.known and item.turns != there.known[item.id].turns]
    there.keep(loaded.items)
    if changed:
        text = report.plain(
            f"{len(changed)} of {len(loaded.items)} questions differ from what an earlier run asked under the same id "
            f"({', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''}): answers to either are in {store.root}/, "
            "and exports show the new question; to keep them apart, give questions new ids, or their file a new name"
        )
        console.print(text, style="yellow", markup=False, soft_wrap=not console.is_terminal)


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
            f"add a model, model=[{names[0]},NAME], choose another to compare it with, baseline=NAME, or grade answers "
            "by themselves, protocol=single"
        )
    if baseline is not None and not any(judge.protocol.shows == 2 for judge in experiment.judges):
        raise UsageError(
            f"baseline={baseline}: protocol {protocols} grades each answer by itself and compares it with none; leave "
            "the baseline out, or choose a protocol that compares, as protocol=pairwise"
        )


async def open_all(experiment: Experiment, clients: Clients, console: Console) -> None:
    """Load or connect everything before anything is asked; what must take turns is loaded when its turn comes."""
    if experiment.in_turns:
        return
    members = [("model", model) for model in experiment.models]
    members += [("judge", judge.model) for judge in experiment.judges]
    with downloads(console):
        for role, model in members:
            try:
                await clients.of(model).open()
            except Misconfigured as error:
                raise Misconfigured(f"{role} {model.name!r}: {error}") from error


async def _carry_out(experiment: Experiment, clients: Clients, store: Store, folder: Path, console: Console) -> int:
    answers = len(experiment.benchmark.items) * len(experiment.models)
    trouble: EvalkitError | None = None
    with watching(console, clients, answers, experiment.cases) as watch:
        record = begin(folder, experiment, clients, store, watch, console)
        try:
            with stop_on_interrupt(clients, console):
                ratings = await pipeline.run(experiment, clients, store, watch)
        except EvalkitError as error:
            trouble = error
        except KeyboardInterrupt:  # the second one
            record.end("dropped")
            raise
    outcome = "error" if trouble else clients.stopped_by or "done"
    record.end(outcome, trouble)
    if trouble is not None:  # what was stored until then still makes a table
        try:
            ratings = pipeline.rated(experiment, store)
        except EvalkitError:
            raise trouble from None
    _show(console, ratings, folder / "leaderboard.json")
    page = None
    if outcome in ("done", "budget") and watch.judgments.done > watch.judgments.stored:
        try:
            page = run_report.write(folder, store.root, experiment)
        except EvalkitError as error:
            trouble = error
    print_closing(console, store, folder, clients, watch, experiment.ask_again)
    if page is not None:
        console.print(f"report: {page}", markup=False, soft_wrap=True)
    if trouble is not None:
        raise trouble
    return exit_code(clients, watch, console)


def begin(
    folder: Path,
    experiment: Experiment,
    clients: Clients,
    store: Store,
    watch: Watch,
    console: Console,
    *,
    more: Mapping[str, Any] | None = None,
) -> Manifest:
    """Leave the run's record, with ``more`` in it, and look out for models that change behind their name."""

    def tell(change: Change) -> None:
        text = report.plain(f"warning: {change}")
        console.print(text, style="yellow", markup=False, soft_wrap=not console.is_terminal)

    watch.snapshots = Snapshots.beside(experiment, store, tell)
    return Manifest(folder / "manifest.json", experiment, clients, watch, more or {})


def exit_code(clients: Clients, watch: Watch, console: Console) -> int:
    """What the run came to: 0 done, 1 something failed, 3 the budget is reached.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    if clients.stopped_by == "budget":
        console.print(clients.budget.message(), style="yellow", markup=False, soft_wrap=not console.is_terminal)
        return 3
    if clients.stopped_by == "interrupted":
        raise KeyboardInterrupt
    return 1 if watch.failed or watch.waiting else 0


def _show(console: Console, ratings: Ratings, path: Path) -> None:
    """Print the ratings, and leave them as JSON."""
    standings = ratings.board.standings
    content = report.to_json(report.rows(ratings.scores))
    if standings:
        content = leaderboard_tables.to_json(standings, ratings.board.notes)
        leaderboard_tables.show(console, all_grids(standings, side_by_side(standings)))
    else:
        score_tables.show(console, ratings.scores)
    try:
        path.write_text(content + "\n", encoding="utf-8")
    except OSError as error:  # a full disk, and `evalkit leaderboard` makes the file again
        text = report.plain(f"cannot write {str(path)!r}: {error.strerror}")
        console.print(text, style="yellow", markup=False, soft_wrap=not console.is_terminal)


def run_folder(experiment: Experiment, store: Store, settings: config.Config) -> Path:
    """The run's folder with its config in it: proof, before anything is paid for, that results can be written."""
    runs = store.root / "runs"
    try:
        if settings.run.name is None:
            folder = _new_folder(runs, datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3] + "Z")
        else:
            folder = runs / file_name(settings.run.name)
            folder.mkdir(parents=True, exist_ok=True)
        config.dump(settings, folder / "config.yaml")
    except OSError as error:
        raise UsageError(
            f"cannot write results to {str(runs)!r}: {error.strerror}; choose another folder with results_dir=DIR"
        ) from error
    experiment.ready(store)
    return folder


def _new_folder(parent: Path, name: str) -> Path:
    """A folder for this run alone, even if another began in the same millisecond."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, number = parent / name, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = parent / f"{name}-{number}"
        else:
            return folder


@contextmanager
def stop_on_interrupt(clients: Clients, console: Console) -> Iterator[None]:
    """First Ctrl-C: nothing new is asked, what is under way is finished and stored. Second: drop it.

    SIGTERM (a scheduler) and SIGHUP (a lost terminal) do as the first Ctrl-C does, however often they come.
    """
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not clients.stopping.is_set():
            clients.stopping.set()
            console.print("stopping: waiting for what is under way; Ctrl-C again drops it", markup=False)

    def interrupt() -> None:
        if clients.stopping.is_set():
            for task in asyncio.all_tasks():
                task.cancel()
        stop()

    handlers = {signal.SIGINT: interrupt}
    handlers |= {one: stop for one in STOPS if signal.getsignal(one) is not signal.SIG_IGN}  # as nohup sets it
    for one, handler in handlers.items():
        loop.add_signal_handler(one, handler)
    try:
        yield
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None  # dropped
    finally:
        for one in handlers:
            loop.remove_signal_handler(one)


def print_closing(
    console: Console, store: Store, folder: Path, clients: Clients, watch: Watch, ask_again: Set[str]
) -> None:
    """What failed first of each kind, what else there is to know, what it took, and where everything is."""
    for stage in (watch.answers, watch.judgments):
        for kind, message in stage.examples.items():
            text = report.plain(f"first of the {stage.name} {kind}: {' '.join(message.split())[:240]}")
            console.print(text, style="yellow", markup=False, soft_wrap=not console.is_terminal)
    failed = {*watch.answers.failed, *watch.judgments.failed}
    if final := sorted(failed - ask_again):
        text = (
            f"the same command does not ask again for what is {' or '.join(final)}; to do so, add "
            f"ask_again=[{','.join(sorted(failed))}]"
        )
        console.print(text, style="yellow", markup=False, soft_wrap=not console.is_terminal)
    for note in (*clients.notes, *watch.notes):
        console.print(report.plain(note), style="yellow", markup=False, soft_wrap=not console.is_terminal)
    for waiting in watch.waiting.values():
        console.print(report.plain(str(waiting)), style="yellow", markup=False, soft_wrap=not console.is_terminal)
    asked = sum(totals.asked for _, totals in clients.traffic)
    took = duration(time.time() - watch.started)
    summary = f"{asked} requests in {took}" if asked else "nothing asked: everything was stored already"
    extra = spent(clients)
    console.print(f"{summary}{'; ' + extra if extra else ''}", markup=False)
    console.print(f"answers and judgments: {store.root}/", markup=False, soft_wrap=True)
    console.print(f"this run: {folder}/", markup=False, soft_wrap=True)


def print_shortfall(
    console: Console, estimates: Sequence[Estimate], before: Amount, budget: config.BudgetConfig
) -> None:
    """Say so where the budget will not suffice."""
    taken = sum((one.carried for one in estimates), before)
    usd = taken.usd + sum(one.cost or 0.0 for one in estimates)
    tokens = taken.tokens + sum(one.prompt_tokens + one.completion_tokens for one in estimates)
    for cap, need, unit in ((budget.usd, usd, "${:,.2f}"), (budget.tokens, tokens, "{:,} tokens")):
        if cap is not None and need > cap:
            console.print(
                f"with what is stored, {unit.format(need)}: more than the budget of {unit.format(cap)}; "
                "the run will stop before it, and can be continued with a higher one",
                style="yellow",
                markup=False,
            )


def print_forecast(console: Console, estimates: Sequence[Estimate], as_of: str) -> None:
    """The dry run's table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="dry run: nothing was asked", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("", "name"):
        table.add_column(column)
    for column in ("calls", "stored", "prompt tokens", "new tokens", "cost", "time"):
        table.add_column(column, justify="right")
    for one in estimates:
        table.add_row(
            one.role,
            Text(report.plain(one.name)),
            f"{one.calls:,}",
            f"{one.stored:,}" + (f" + {one.pending:,} pending" if one.pending else ""),
            f"{one.prompt_tokens:,}",
            f"{one.completion_tokens:,}",
            "unknown" if one.cost is None else f"${one.cost:,.2f}",
            "unknown" if one.seconds is None else duration(one.seconds),
        )
    known = [one.cost for one in estimates if one.cost is not None]
    at_least = "at least " if len(known) < len(estimates) else ""
    console.print(table)
    console.print(f"total {at_least}${sum(known):,.2f} at list prices of {as_of}; tokens are estimates", markup=False)
