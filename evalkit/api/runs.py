"""Runs from Python: the settings, the engine and the folders of ``evalkit run`` and ``evalkit judge``."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from evalkit.api.overrides import chosen, setting
from evalkit.api.results import Results
from evalkit.api.tables import on_disk
from evalkit.core.protocols import Judge, Model
from evalkit.engine.given import GivenAnswers, given_answers
from evalkit.engine.session import Session, SessionResult
from evalkit.interop.answers import find_answers
from evalkit.interop.records import Told
from evalkit.ratings.standing import Board
from evalkit.runs.judge import judge_async
from evalkit.runs.run import Members, run_async
from evalkit.settings import compose, config
from evalkit.settings.verb_settings import judge_settings, run_settings

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.api.tables import TableLike

Began: TypeAlias = Callable[[Session], None]
Named: TypeAlias = str | Mapping[str, Any]
"""A name or an id; or names with settings: ``{"smollm2": {"sampling": {"temperature": 0}}}``."""


@dataclass(frozen=True)
class Run(Results):
    """A run that ended, and the results of its benchmark; `run` makes it."""

    folder: Path | None = None
    """The run's own, with its config, manifest, leaderboard and report; None after a dry run."""
    exit_code: int = 0
    """0 done, 1 some items failed, 3 the budget is reached: the same call goes on from there."""
    told: str = field(default="", repr=False)
    """What the run said to people."""

    @property
    def report(self) -> Path | None:
        """The page about this run, where one was written."""
        page = self.folder / "report.html" if self.folder else None
        return page if page and page.exists() else None


def run(
    benchmark: str,
    *,
    model: Named | Model | Sequence[Named | Model],
    judge: Named | Judge | Sequence[Named | Judge],
    questions: str | Path | TableLike | None = None,
    results_dir: str | Path = "results",
    config_dir: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Answer a benchmark, judge the answers and rate the models. What is stored is not asked again.

    Works where an event loop is running, too, as in a notebook: the run then has a thread of its own. Ctrl-C ends it
    in order, and the same call goes on from there.

    Args:
        benchmark: its name, as in ``evalkit list benchmarks``.
        model: who answers: names, ids, or a `Model` of your own, or several.
        judge: who judges: names, ids, or a `Judge` of your own, or several.
        questions: of an arena: a file, or a table in memory (pandas, polars, pyarrow, or a list of dicts).
        results_dir: where results are kept.
        config_dir: a folder of your own YAML.
        progress: show how it goes, on standard error.
        **settings: other keys of ``evalkit run``, such as ``limit=1``, ``protocol="pairwise"``, ``budget=5``; inner
            ones as dicts, ``retry={"attempts": 3}``, or with dots, ``**{"retry.attempts": 3}``.

    Raises:
        UsageError: a setting is wrong.
        EvalkitError: the run could not go on; what was answered is stored.
        KeyboardInterrupt: it was interrupted; likewise.
    """
    with on_disk(questions, name="questions") as path:
        prepared = _for_benchmark(benchmark, model, judge, path, results_dir, config_dir, settings)
        return _finish(lambda began: prepared.carry_out(progress, began))


async def arun(
    benchmark: str,
    *,
    model: Named | Model | Sequence[Named | Model],
    judge: Named | Judge | Sequence[Named | Judge],
    questions: str | Path | TableLike | None = None,
    results_dir: str | Path = "results",
    config_dir: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Do what `run` does, within a running event loop."""
    with on_disk(questions, name="questions") as path:
        prepared = _for_benchmark(benchmark, model, judge, path, results_dir, config_dir, settings)
        return await prepared.carry_out(progress, lambda _: None)


def _for_benchmark(
    benchmark: str,
    model: Named | Model | Sequence[Named | Model],
    judge: Named | Judge | Sequence[Named | Judge],
    questions: Path | None,
    results_dir: str | Path,
    config_dir: str | Path | None,
    settings: Mapping[str, Any],
) -> _Prepared:
    places = {"results_dir": results_dir, **({"questions": questions} if questions else {})}
    return _prepare(partial(run_settings, [benchmark]), model, judge, config_dir, {**settings, **places})


def judge(
    answers: str | Path | Sequence[str | Path] | TableLike,
    *,
    judge: Named | Judge | Sequence[Named | Judge],
    questions: str | Path | TableLike | None = None,
    results_dir: str | Path | None = None,
    config_dir: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Judge answers that are there already, and rate their models; no model is asked for one.

    Args:
        answers: a table in memory (pandas, polars, pyarrow, or a list of dicts) with ``question`` (or ``item``),
            ``answer`` and ``model``; files of answers; or a results folder.
        judge: who judges: names, ids, or a `Judge` of your own, or several.
        questions: where the answers name ids alone.
        results_dir: where results are kept, ``results`` unless given; of a results folder, beside its answers.
        config_dir: a folder of your own YAML.
        progress: show how it goes, on standard error.
        **settings: other keys of ``evalkit judge``, such as ``protocol="pairwise"``, ``baseline="gpt-4"``,
            ``benchmark="mine"``, ``limit=10``.

    Raises:
        UsageError: a setting is wrong, or there are no answers.
        EvalkitError: the judging could not go on; what was judged is stored.
        KeyboardInterrupt: it was interrupted; likewise.
    """
    with ExitStack() as stack:
        asked = stack.enter_context(on_disk(questions, name="questions"))
        paths = _paths(answers, stack)
        told = Told()
        into = Path(results_dir) if results_dir is not None else None
        name = settings.pop("benchmark", None)
        root, models = find_answers(paths, told, into=into, benchmark=name, format_name=None)

        def complete(given: list[str]) -> list[str]:
            known = dict(one.split("=", 1) for one in given) | ({"benchmark": name} if name else {})
            return judge_settings(given, known, root.name)

        places = {"results_dir": root.parent, **({"questions": asked} if asked else {})}
        prepared = _prepare(complete, "fake", judge, config_dir, {**settings, **places})
        found = given_answers(root, models)
        return _finish(lambda began: prepared.carry_out(progress, began, found, told.notes()))


def _paths(answers: str | Path | Sequence[str | Path] | TableLike, stack: ExitStack) -> list[Path]:
    """Files and folders as they are; a table in memory as a file, until the stack is left."""
    if isinstance(answers, Sequence) and not isinstance(answers, str):
        files = [Path(one) for one in answers if isinstance(one, str | Path)]
        if len(files) == len(answers):
            return files
    given: Any = answers
    path = stack.enter_context(on_disk(given, name="answers"))
    return [path] if path is not None else []


@dataclass(frozen=True)
class _Prepared:
    """A run that is ready to go."""

    settings: config.Config
    members: Members

    async def carry_out(
        self, progress: bool, began: Began, given: GivenAnswers | None = None, notes: Sequence[str] = ()
    ) -> Run:
        """Ask, judge, rate; judge the given answers, where there are some."""
        console, heard = _console(progress)
        for note in notes:
            console.print(note, style="dim", markup=False)
        root = Path(self.settings.results_dir)

        def begin(session: Session) -> None:
            nonlocal root
            root = session.store.root
            began(session)

        ended: SessionResult[Board]
        if given is None:
            ended = await run_async(self.settings, console, self.members, begin)
        else:
            ended = await judge_async(self.settings, given, console, self.members, begin)
        return Run((root,), ended.folder, ended.exit_code(), heard())


def _prepare(
    complete: Callable[[list[str]], list[str]],
    model: Named | Model | Sequence[Named | Model],
    judge: Named | Judge | Sequence[Named | Judge],
    config_dir: str | Path | None,
    settings: Mapping[str, Any],
) -> _Prepared:
    """Compose and check the settings of one run.

    Args:
        complete: adds the settings that follow from those given, such as the benchmark's protocol.
        model: who answers.
        judge: who judges.
        config_dir: a folder of the user's own YAML.
        settings: other keys.

    Raises:
        UsageError: a setting is wrong.
    """
    models, own_models = chosen("model", model, Model)
    judges, own_judges = chosen("judge", judge, Judge)
    given = [*models, *judges]
    for key, value in settings.items():
        given += setting(key, value)
    folder = ["--config-dir", str(config_dir)] if config_dir is not None else []
    composed = compose.composed([*folder, *complete(given)])
    own = Members(models=own_models, judges=own_judges)
    without = [group for group, members in (("model", own_models), ("judge", own_judges)) if members]
    return _Prepared(config.parse(composed, without=without), own)


def _console(progress: bool) -> tuple[Console, Callable[[], str]]:
    """Where the run tells people how it goes, and what it has told so far."""
    from evalkit.core.console import Output, on_paper

    if progress:
        shown = Output(stderr=True, highlight=False, record=True)
        return shown, lambda: shown.export_text(clear=False)
    buffer = io.StringIO()
    return on_paper(buffer, 120), buffer.getvalue


def _finish(start: Callable[[Began], Coroutine[Any, Any, Run]]) -> Run:
    """Carry a run out to its end; in a thread of its own where this one has an event loop that is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(start(lambda _: None))
    sessions: list[tuple[asyncio.AbstractEventLoop, Session]] = []

    def began(session: Session) -> None:
        sessions.append((asyncio.get_running_loop(), session))

    with ThreadPoolExecutor(1, thread_name_prefix="evalkit") as pool:
        running = pool.submit(lambda: asyncio.run(start(began)))
        while True:
            try:
                return running.result()
            except KeyboardInterrupt:
                if running.done():
                    raise
                for loop, session in sessions:
                    loop.call_soon_threadsafe(session.interrupt)
