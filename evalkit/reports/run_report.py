"""report.html of a run: what it asked for, then the audit of what its judges said, with the run's record."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.files import replace_file
from evalkit.core.protocols import EvalkitError, UsageError

if TYPE_CHECKING:
    from evalkit.engine.experiment import Experiment
    from evalkit.ratings.standing import Board
    from evalkit.storage.store import Store

NAME = "report.html"
MARK = "<!-- of the rows {state} -->\n"
"""The last line of a page: which rows it was made of."""
NAMED = 4
"""Models, or judges, that a title names."""
UNFORESEEN = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
"""What a calculation raises on data that nobody thought of: a run that was paid for ends with a message even then."""


def find(results: Path, state: str) -> Path | None:
    """A report of earlier runs that was made of exactly these rows; None if there is none.

    Args:
        results: of the benchmark.
        state: of the rows, as ``Experiment.state`` gives it.
    """
    end = MARK.format(state=state).encode()
    for path in sorted(results.glob(f"runs/*/{NAME}")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(end)))
            if file.read() == end:
                return path
    return None


def write(
    folder: Path, store: Store, experiment: Experiment, state: str, board: Board, notes: Sequence[str] = ()
) -> Path | None:
    """Write the page into the run's folder, which has its manifest.

    Args:
        folder: of the run.
        store: of the benchmark: other judges' rows there are left out, votes of people are compared with.
        experiment: what ran.
        state: of the rows, by which the page can be found.
        board: the ratings.
        notes: what is odd about the answers.

    Returns:
        The page; None where there is nothing to say, as after a run in which every judgment failed to arrive.

    Raises:
        UsageError: the page cannot be written.
        EvalkitError: no page can be made of these judgments.
    """
    from evalkit.stats.errors import StatisticsError

    try:
        return _write(folder, store, experiment, state, board, notes)
    except (StatisticsError, *UNFORESEEN) as error:
        raise EvalkitError(
            f"the run is complete and stored, but its report could not be made ({type(error).__name__}: {error}). That "
            f"is a defect of evalkit; `evalkit audit {store.root}` shows where"
        ) from error


def _write(
    folder: Path, store: Store, experiment: Experiment, state: str, board: Board, notes: Sequence[str]
) -> Path | None:
    from evalkit.audit.analyse import audit
    from evalkit.reports.audit_about import of_run
    from evalkit.reports.audit_page import page
    from evalkit.reports.run_results import results
    from evalkit.storage.run_records import read

    name = experiment.benchmark.spec.name
    questions = {name: {item.id: item.turns for item in experiment.benchmark.items}}
    try:
        found = audit([store.root], questions=questions, only=experiment.owns)
    except UsageError:  # no judgment of this run
        return None
    if not any(row.estimate is not None for row in found.findings):
        return None
    record = read(folder / "manifest.json")
    path = folder / NAME
    try:
        when = f"{record.started[:16].replace('T', ' ')} UTC" if record else ""
        about = of_run(record) if record else ()
        run = results(experiment, store, board, notes)
        text = page(found, title=_title(experiment), when=when, about=about, run=run)
        replace_file(path, f"{text}\n{MARK.format(state=state)}")
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}. Everything judged is stored") from error
    return path


def _title(experiment: Experiment) -> str:
    """What was compared or graded, and by whom, as a person would say it."""
    name = experiment.benchmark.spec.name
    models, judges = experiment.names, [judge.ref.name for judge in experiment.judges]
    answered = f"{'model' if len(models) == 1 else 'models'} {', '.join(models)}"
    return (
        f"{name}: {answered if len(models) <= NAMED else f'{len(models)} models'} judged by "
        f"{', '.join(judges) if len(judges) <= NAMED else f'{len(judges)} judges'}"
    )
