"""What surrounds any asking of models: the folder, the budget, the forecast, the live region, stopping, the record.

The verbs fill it: a run, a re-judging, experiments on a judge. One session asks once::

    async with Session(console, results=..., benchmark=..., config=...) as session:
        if dry_run:
            session.show_forecast(estimates, used)
        await session.open(experiment, used)
        with session.asking(experiment, answers=n, judgments=m) as watch:
            ...  # ask
        session.show_closing()
        return session.exit_code()
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from evalkit.core.files import replace_file
from evalkit.core.paths import shipped
from evalkit.core.protocols import EvalkitError, Misconfigured, UsageError
from evalkit.core.text import plain
from evalkit.engine.experiment import Experiment
from evalkit.engine.forecast import Estimate
from evalkit.engine.manifest import Manifest
from evalkit.engine.progress import Watch, downloads, duration, spent, watching
from evalkit.engine.snapshots import Change, Snapshots
from evalkit.models.budget import Amount
from evalkit.models.client import Clients
from evalkit.models.prices import PriceTable, load_prices
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Store, file_name

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

STOPS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU)
"""Signals that end a run in an orderly way; schedulers send the last two before a job's time is up."""

STOP_WITHIN = 20.0
"""Seconds that what is under way has to finish after a run was told to stop."""

CLOSE_WITHIN = 5.0
"""Seconds that backends have to close after a run that was told to stop."""


@dataclass(frozen=True)
class SessionResult(Generic[T]):
    """What a session produced, and how it ended."""

    value: T | None
    """None after a dry run."""
    folder: Path | None = None
    trouble: BaseException | None = None
    """What ended it early; the value covers what was stored until then."""
    code: int = 0
    """Exit code, where nothing did."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else the record says that it was about."""

    def exit_code(self) -> int:
        """The exit code.

        Raises:
            EvalkitError: that ended it early.
            KeyboardInterrupt: it was interrupted.
        """
        if self.trouble is not None:
            raise self.trouble
        return self.code


def write_or_say(path: Path, content: str, say: Callable[[str], object]) -> None:
    """Write a file of a run in one step; where that fails, say so: what was paid for is stored apart from it."""
    try:
        replace_file(path, content + "\n")
    except OSError as error:  # a full disk, say
        say(f"cannot write {str(path)!r}: {error.strerror}")


class Session:
    """One asking of models, from its forecast to its record. An asynchronous context manager: frees what it opened.

    Args:
        console: for people.
        results: the results folder.
        benchmark: whose results, a folder of ``results``.
        config: what is recorded as config.yaml.
        name: of the run's own folder; None takes the time it begins.
        prices: a price table; None takes the shipped one.
        retry: how patiently models are asked.
        usd: US dollars that the experiment may cost, earlier runs included.
        tokens: that it may use, likewise.
        stop_within: seconds that requests under way have after the run is told to stop; then they are dropped.
    """

    def __init__(
        self,
        console: Console,
        *,
        results: Path,
        benchmark: str,
        config: Mapping[str, Any] | msgspec.Struct,
        name: str | None = None,
        prices: Path | None = None,
        retry: RetryPolicy | None = None,
        usd: float | None = None,
        tokens: int | None = None,
        stop_within: float = STOP_WITHIN,
    ) -> None:
        self.console = console
        self.prices: PriceTable = load_prices(prices or shipped("conf") / "prices.yaml")
        self.clients = Clients(self.prices, retry, usd=usd, tokens=tokens)
        self.store = Store(results, benchmark)
        self.folder = Path()
        """The run's own, once it is open."""
        self.watch = Watch(0, 0)
        self.trouble: EvalkitError | None = None
        """What ended the asking early."""
        self.outcome = ""
        """done, interrupted, budget or error."""
        self.more: Mapping[str, Any] = {}
        self._config = config
        self._name = name
        self._switch: StopSwitch | None = None
        self._stop_within = stop_within

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        limit = CLOSE_WITHIN if self.clients.stopping.is_set() else None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self.clients.close()
        finally:
            self.store.close()

    def new(self, key: str) -> None:
        """The row of this key is being made by this run."""
        self.watch.new(key)

    def say(self, text: str) -> None:
        """Print a line that people should see. Control characters of models and servers do not reach the terminal."""
        soft = not self.console.is_terminal
        self.console.print(plain(text), style="yellow", markup=False, soft_wrap=soft)

    def show_forecast(
        self, estimates: Sequence[Estimate], used: Callable[[], Amount], title: str = "dry run: nothing was asked"
    ) -> None:
        """Print what a run would ask, and whether the budget is enough for it with what was ``used`` before."""
        print_forecast(self.console, estimates, self.prices.as_of, title)
        budget = self.clients.budget
        if not budget.capped:
            return
        taken = sum((one.carried for one in estimates), used())
        usd = taken.usd + sum(one.cost or 0.0 for one in estimates)
        tokens = taken.tokens + sum(one.prompt_tokens + one.completion_tokens for one in estimates)
        for cap, need, unit in ((budget.usd, usd, "${:,.2f}"), (budget.tokens, tokens, "{:,} tokens")):
            if cap is not None and need > cap:
                self.console.print(
                    f"with what is stored, {unit.format(need)}: more than the budget of {unit.format(cap)}; "
                    "the run will stop before it, and can be continued with a higher one",
                    style="yellow",
                    markup=False,
                )

    async def open(self, experiment: Experiment, used: Callable[[], Amount]) -> None:
        """Load or connect everything before anything is asked, and make the run's folder with its config in it.

        What must take turns is loaded when its turn comes. The folder is proof that results can be written.

        Args:
            experiment: whose models and judges.
            used: tells what earlier runs used of the budget.

        Raises:
            UsageError: a model cannot work as configured, or results cannot be written.
        """
        if self.clients.budget.capped:
            self.clients.budget.spent_before(used())
        members = [("model", model) for model in experiment.models]
        members += [("judge", judge.model) for judge in experiment.judges]
        with downloads(self.console):
            for role, model in () if experiment.in_turns else members:
                try:
                    await self.clients.of(model).open()
                except Misconfigured as error:
                    raise Misconfigured(f"{role} {model.name!r}: {error}") from error
        runs = self.store.root / "runs"
        try:
            if self._name is None:
                self.folder = new_folder(runs, datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3] + "Z")
            else:
                self.folder = runs / file_name(self._name)
                if self.folder.is_symlink():
                    raise UsageError(
                        f"{str(self.folder)!r} is a link, perhaps to somebody else's folder; choose another run.name"
                    )
                self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / "config.yaml", msgspec.yaml.encode(self._config))
        except OSError as error:
            raise UsageError(
                f"cannot write results to {str(runs)!r}: {error.strerror}; choose another folder with results_dir=DIR"
            ) from error
        experiment.ready(self.store)

    @contextmanager
    def asking(
        self, experiment: Experiment, *, answers: int, judgments: int, more: Mapping[str, Any] | None = None
    ) -> Iterator[Watch]:
        """Show how the asking inside fares, keep its record, look out for models that change, and stop in order.

        An error that ends it is kept as ``trouble``: what was stored until then still makes a table.

        Args:
            experiment: what is asked.
            answers: how many there are to come.
            judgments: likewise.
            more: what else the record says.

        Raises:
            KeyboardInterrupt: what was under way was dropped.
        """
        self.more = more or {}
        with watching(self.console, self.clients, answers, judgments) as self.watch:
            self.watch.snapshots = Snapshots.beside(experiment, self.store, self._tell_change)
            record = Manifest(self.folder / "manifest.json", experiment, self.clients, self.watch, self.more)
            try:
                with stop_on_interrupt(self.clients, self.console, self._stop_within) as self._switch:
                    yield self.watch
            except EvalkitError as error:
                self.trouble = error
            except KeyboardInterrupt:  # the second one, or what was under way took too long
                record.end("dropped")
                raise
        self.outcome = "error" if self.trouble else self.clients.stopped_by or "done"
        record.end(self.outcome, self.trouble)

    def interrupt(self) -> None:
        """Do as Ctrl-C does, for those who are told of it elsewhere; to be called in the session's event loop."""
        if self._switch is not None:
            self._switch.interrupt()

    def _tell_change(self, change: Change) -> None:
        self.say(f"warning: {change}")

    def write(self, name: str, content: str) -> None:
        """Write a file into the run's folder; where that fails, say so and go on: the same command makes it again."""
        write_or_say(self.folder / name, content, self.say)

    def show_closing(self, ask_again: Set[str]) -> None:
        """Print what failed first of each kind, what else there is to know, what it took, and where everything is."""
        watch = self.watch
        for stage in (watch.answers, watch.judgments):
            for kind, message in stage.examples.items():
                self.say(f"first of the {stage.name} {kind}: {' '.join(message.split())[:240]}")
        failed = {*watch.answers.failed, *watch.judgments.failed}
        if "truncated" in watch.judgments.failed:  # asked as before, it would be cut as before
            self.say(
                "judgments were cut short at the judge's limit, and would be again: raise it, "
                "judge.sampling.max_tokens=N, which makes it another judge, whose judgments are all asked for"
            )
            failed -= {"truncated"} - ask_again - set(watch.answers.failed)
        if final := sorted(failed - ask_again):
            self.say(
                f"the same command does not ask again for what is {' or '.join(final)}; to do so, add "
                f"ask_again={','.join(sorted(failed))}"
            )
        for note in [*self.clients.notes, *watch.notes, *map(str, watch.waiting.values())]:
            self.say(note)
        asked = sum(totals.asked for _, totals in self.clients.traffic)
        took = duration(watch.seconds)
        summary = f"{asked} requests in {took}" if asked else "nothing asked: everything was stored already"
        extra = spent(self.clients)
        self.console.print(f"{summary}{'; ' + extra if extra else ''}", markup=False)
        self.console.print(f"answers and judgments: {self.store.root}/", markup=False, soft_wrap=True)
        self.console.print(f"this run: {self.folder}/", markup=False, soft_wrap=True)

    def exit_code(self) -> int:
        """Tell how it ended: 0 done, 1 something failed, 3 the budget is reached.

        Raises:
            EvalkitError: that ended it early.
            KeyboardInterrupt: it was interrupted.
        """
        if self.trouble is not None:
            raise self.trouble
        if self.clients.stopped_by == "budget":
            soft = not self.console.is_terminal
            self.console.print(self.clients.budget.message(), style="yellow", markup=False, soft_wrap=soft)
            return 3
        if self.clients.stopped_by == "interrupted":
            raise KeyboardInterrupt
        return 1 if self.watch.failed or self.watch.waiting else 0

    def result(self, value: T) -> SessionResult[T]:
        """What was produced, with how it ended."""
        try:
            return SessionResult(value, self.folder, None, self.exit_code(), self.more)
        except (EvalkitError, KeyboardInterrupt) as trouble:
            return SessionResult(value, self.folder, trouble, more=self.more)


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder for one run alone, even if another began in the same millisecond."""
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


class StopSwitch:
    """Stops a run that goes on in this event loop.

    Args:
        clients: they ask nothing new from then on.
        console: for people.
        within: seconds that what is under way has to finish; then it is dropped.
    """

    def __init__(self, clients: Clients, console: Console, within: float) -> None:
        self._stopping = clients.stopping
        self._console = console
        self._within = within
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.dropped = False
        """Whether what was under way was dropped."""

    def stop(self) -> None:
        """Ask nothing new; finish and store what is under way."""
        if self._timer is None:  # also where the budget has stopped it already
            self._timer = self._loop.call_later(self._within, self._too_late)
        if not self._stopping.is_set():
            self._stopping.set()
            self._console.print("stopping: waiting for what is under way; Ctrl-C again drops it", markup=False)

    def interrupt(self) -> None:
        """Stop; the second time, drop what is under way."""
        if self._stopping.is_set():
            self._drop()
        else:
            self.stop()

    def off(self) -> None:
        """Stop watching: no timer drops what is under way any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _too_late(self) -> None:
        text = f"what was under way did not finish within {self._within:g} s and is dropped (run.stop_within=SECONDS)"
        self._console.print(text, markup=False, soft_wrap=not self._console.is_terminal)
        self._drop()

    def _drop(self) -> None:
        self.off()
        self.dropped = True
        for task in asyncio.all_tasks():
            task.cancel()
        self._timer = self._loop.call_later(1.0, self._drop)  # a task may take one cancellation for something else


@contextmanager
def stop_on_interrupt(clients: Clients, console: Console, within: float = STOP_WITHIN) -> Iterator[StopSwitch]:
    """First Ctrl-C: nothing new is asked, what is under way is finished and stored. Second: drop it.

    A scheduler's signals and a lost terminal do as the first Ctrl-C does, however often they come. What has not
    finished ``within`` so many seconds is dropped. Signals reach the main thread alone: elsewhere, only the switch
    stops it.

    Raises:
        KeyboardInterrupt: what was under way was dropped.
    """
    loop, switch = asyncio.get_running_loop(), StopSwitch(clients, console, within)
    handlers = {signal.SIGINT: switch.interrupt}
    handlers |= {one: switch.stop for one in STOPS if signal.getsignal(one) is not signal.SIG_IGN}  # as nohup sets it
    if threading.current_thread() is not threading.main_thread():
        handlers = {}
    for one, handler in handlers.items():
        loop.add_signal_handler(one, handler)
    try:
        yield switch
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None  # dropped
    except RuntimeError:  # a stream that another task, dropped as well, is still leaving cannot be closed
        if not switch.dropped:
            raise
        raise KeyboardInterrupt from None
    finally:
        switch.off()
        for one in handlers:
            loop.remove_signal_handler(one)


def print_forecast(console: Console, estimates: Sequence[Estimate], as_of: str, title: str) -> None:
    """Print a table of what will be asked; ``as_of`` is the date of the prices."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("", "name"):
        table.add_column(column)
    for column in ("calls", "stored", "prompt tokens", "new tokens", "cost", "time"):
        table.add_column(column, justify="right")
    for one in estimates:
        table.add_row(
            one.role,
            Text(plain(one.name)),
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
