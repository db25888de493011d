"""What a person sees while a run goes on: one live region on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from evalkit.core.schema import Judgment, Response
from evalkit.datasets.artifacts import showing
from evalkit.engine.snapshots import Snapshots
from evalkit.ratings.answer_checks import AnswerChecks

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.progress import TaskID

    from evalkit.engine.batches.scheduler import Waiting
    from evalkit.models.client import Clients

PLAIN_INTERVAL = 10.0
"""Seconds between two plain progress lines."""
NOTEBOOK_INTERVAL = 0.5
"""Seconds between two states of a notebook's live region."""


@dataclass
class Stage:
    """The counts of one stage of a run."""

    name: str
    total: int
    done: int = 0
    stored: int = 0
    """Of those done, how many an earlier run had stored."""
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    """The first message of each kind of failure."""
    began: float = field(default_factory=time.monotonic)
    last: float = 0.0
    """Monotonic time of the latest new row."""

    def count(self, row: Response | Judgment, *, new: bool) -> None:
        """One more row is final; ``new``: this run made it."""
        self.done += 1
        if new:
            self.last = time.monotonic()
        else:
            self.stored += 1
        if row.error:
            self.failed[row.error.kind] += 1
            self.examples.setdefault(row.error.kind, row.error.message)

    @property
    def rate(self) -> float | None:
        """New rows a second since the run began; None before the first."""
        new = self.done - self.stored
        return new / (self.last - self.began) if new and self.last > self.began else None

    def summary(self, *, ended: bool = False) -> str:
        """The stage's progress, in a few words."""
        parts = [f"{self.stored} stored"] if self.stored else []
        if rate := self.rate:
            parts.append(f"{rate:.2g}/s" if rate < 10 else f"{rate:.0f}/s")
            if self.done < self.total and not ended:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        parts += [f"{count} {kind}" for kind, count in self.failed.items()]
        return ", ".join(parts)

    def line(self, *, ended: bool = False) -> str:
        """The stage as a line of text."""
        summary = self.summary(ended=ended)
        return f"{self.name} {self.done}/{self.total}{f' ({summary})' if summary else ''}"


class Watch:
    """Counts what happens. This one shows nothing; ``watching`` gives the one that fits the terminal."""

    def __init__(self, answers: int, judgments: int) -> None:
        self.started = time.time()
        self._began = time.monotonic()
        self.answers = Stage("answers", answers)
        self.judgments = Stage("judgments", judgments)
        self.snapshots = Snapshots()
        self.waiting: dict[str, Waiting] = {}
        """Batches that providers are at work on."""
        self._checks = AnswerChecks()
        self._new: set[str] = set()
        """Keys of rows that this run made and that are not counted yet. No clock could tell: clocks are set anew."""

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self._began

    def new(self, key: str) -> None:
        """The row of this key is being made by this run; it is counted when it is final."""
        self._new.add(key)

    def _is_new(self, row: Response | Judgment) -> bool:
        new = row.key in self._new
        self._new.discard(row.key)
        return new

    def answered(self, response: Response) -> None:
        """Count a response that is final."""
        new = self._is_new(response)
        self.answers.count(response, new=new)
        self._checks.add(response)
        if new:
            self.snapshots.add(response)

    def judged(self, judgment: Judgment) -> None:
        """Count a judgment that is final."""
        new = self._is_new(judgment)
        self.judgments.count(judgment, new=new)
        if new:
            self.snapshots.add(judgment)

    def waits(self, key: str, waiting: Waiting | None) -> None:
        """How a batch fares; None when it is done with."""
        if waiting is not None:
            self.waiting[key] = waiting
        else:
            self.waiting.pop(key, None)

    def batches(self) -> str:
        """How far the batches are, in a few words."""
        done = sum(batch.done for batch in self.waiting.values())
        total = sum(batch.n for batch in self.waiting.values())
        return f"batch {done}/{total}" if self.waiting else ""

    @property
    def failed(self) -> int:
        """The number of rows without a result."""
        return self.answers.failed.total() + self.judgments.failed.total()

    @property
    def notes(self) -> list[str]:
        """What is no failure, and a reader of the results should know."""
        return self._checks.notes()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class PlainWatch(Watch):
    """A line now and then, for logs and pipes."""

    interval = PLAIN_INTERVAL

    def __init__(self, console: Console, clients: Clients, answers: int, judgments: int) -> None:
        super().__init__(answers, judgments)
        self._console = console
        self._clients = clients
        self._next = time.monotonic() + self.interval

    def answered(self, response: Response) -> None:
        """Count, and print if a line is due."""
        super().answered(response)
        self._tick()

    def judged(self, judgment: Judgment) -> None:
        """Count, and print if a line is due."""
        super().judged(judgment)
        self._tick()

    def waits(self, key: str, waiting: Waiting | None) -> None:
        """Take note, and print if a line is due."""
        super().waits(key, waiting)
        self._tick()

    def _tick(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.interval
            self._print()

    def _line(self) -> str:
        parts = [self.answers.line(), self.judgments.line(), self.batches(), spent(self._clients), pace(self._clients)]
        return "; ".join(part for part in parts if part)

    def _print(self) -> None:
        self._console.print(self._line(), markup=False, soft_wrap=True)

    def __exit__(self, *_: object) -> None:
        _print_ends(self._console, self)


class NotebookWatch(PlainWatch):
    """One live region in a notebook's cell. Rich's own needs the package ipywidgets there."""

    interval = NOTEBOOK_INTERVAL

    def __enter__(self) -> NotebookWatch:
        from IPython import display

        show: Any = display.display  # without types
        self._shown: Any = show(self._state(), raw=True, display_id=True)
        return self

    def _state(self) -> dict[str, str]:
        """The state as text and as HTML with bars."""
        stages = [stage for stage in (self.answers, self.judgments) if stage.total or stage.done]
        bars = "".join(
            f"<tr><td>{stage.name}</td><td><progress value='{stage.done}' max='{max(1, stage.total)}'></progress></td>"
            f"<td>{stage.done}/{stage.total}</td><td>{escape(stage.summary())}</td></tr>"
            for stage in stages
        )
        more = (self.batches(), spent(self._clients), pace(self._clients))
        below = escape(", ".join(part for part in more if part))
        return {"text/plain": self._line(), "text/html": f"<table>{bars}</table><small>{below}</small>"}

    def _print(self) -> None:
        if self._shown is not None:
            self._shown.update(self._state(), raw=True)

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.update({"text/plain": "", "text/html": ""}, raw=True)
        super().__exit__()


class LiveWatch(Watch):
    """One live region: a bar for each stage, with rate, time left, failures, and the cost so far."""

    def __init__(self, console: Console, clients: Clients, answers: int, judgments: int) -> None:
        super().__init__(answers, judgments)
        from rich.live import Live

        self._console = console
        self._clients = clients
        self._live: Live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveWatch:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        _print_ends(self._console, self)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        for stage in (self.answers, self.judgments):
            if not stage.total and not stage.done:
                continue
            bar = ProgressBar(total=max(1, stage.total), completed=stage.done, width=24)
            grid.add_row(stage.name, bar, f"{stage.done}/{stage.total}", Text(stage.summary()))
        parts = (self.batches(), spent(self._clients), pace(self._clients))
        known = ", ".join(part for part in parts if part)
        return Group(grid, Text(known, style="dim"))


def watching(console: Console, clients: Clients, answers: int, judgments: int) -> Watch:
    """The watch that fits the console."""
    kind = LiveWatch if console.is_terminal else NotebookWatch if console.is_jupyter else PlainWatch
    return kind(console, clients, answers, judgments)


@contextmanager
def downloads(console: Console) -> Iterator[None]:
    """Show the downloads that happen inside: a bar on a terminal, a line for each elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    bars = Progress(
        TextColumn("fetching {task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int | None) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=total)
            if not console.is_terminal:
                console.print(f"fetching {name}", markup=False)
        bars.update(tasks[name], completed=done, total=total)

    with bars, showing(show):
        yield


def _print_ends(console: Console, watch: Watch) -> None:
    """What remains on the screen of the live region."""
    for stage in (watch.answers, watch.judgments):
        if stage.total or stage.done:
            console.print(stage.line(ended=True), markup=False)


def spent(clients: Clients) -> str:
    """Tokens, money and retries so far, of all clients together."""
    traffic = [totals for _, totals in clients.traffic]
    prompt = sum(totals.usage.prompt_tokens for totals in traffic)
    completion = sum(totals.usage.completion_tokens for totals in traffic)
    parts = [f"{prompt:,} + {completion:,} tokens"] if prompt or completion else []
    if cost := sum(totals.cost for totals in traffic):
        parts.append(f"${cost:.2f}" if cost >= 0.995 else f"${cost:.4f}")
    if unpriced := sum(totals.unpriced for totals in traffic):
        parts.append(f"{unpriced} of unknown price")
    if retries := sum(totals.retries for totals in traffic):
        parts.append(f"{retries} retries")
    return ", ".join(parts)


def pace(clients: Clients) -> str:
    """How many requests are in flight, of how many the providers take just now."""
    return ", ".join(str(one) for one in clients.paces)


def duration(seconds: float) -> str:
    """A length of time as people say it: 42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
