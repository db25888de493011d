"""Answers of baselines that nobody asks any more: published with the benchmark, fetched and imported when needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Response
from evalkit.datasets.artifacts import fetch
from evalkit.engine.experiment import Experiment
from evalkit.interop import load
from evalkit.interop.importing import store as import_rows
from evalkit.interop.records import Imported
from evalkit.storage.store import Store


async def bring_baselines(experiment: Experiment, store: Store, results: Path) -> Store:
    """See that every baseline which is not asked has its answers stored.

    Returns:
        The store, opened anew if something was added.

    Raises:
        UsageError: a baseline has no answers, here or published.
    """
    published = experiment.benchmark.spec.published
    missing = [name for name in experiment.only_stored if not len(store.responses(name))]
    for name in missing:
        if published is None or name not in published.answers:
            raise UsageError(
                f"the baseline {name!r} has no answers in {str(store.root)!r}; import them (`evalkit import`), add "
                "it to model=NAME,NAME, or choose another with baseline=NAME"
            )
        path = await fetch(published.answers[name])
        import_rows(_answers(path, published.format, experiment, name), results, published.format)
    return Store(results, experiment.benchmark.spec.name) if missing else store


def _answers(path: Path, format_name: str, experiment: Experiment, name: str) -> Iterator[Imported]:
    """The rows of one model's answers to this benchmark's items."""
    for row in load(format_name, experiment.benchmark.spec.name).read(path):
        if isinstance(row.record, Response) and row.record.model.name == name:
            yield row
