"""Numbers as the Hugging Face hub has them: ``.eval_results/NAME.yaml`` of a model's repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.publish.numbers import RatedModel

FOLDER = ".eval_results"


def entries(
    rated: Sequence[RatedModel], *, dataset: str, task: str | None, source: str | None
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The entries of each file, by model and benchmark.

    Args:
        rated: models as one judge rates them.
        dataset: the benchmark's dataset on the hub, as ``ORG/NAME``.
        task: the task within it; None: the benchmark's name.
        source: where the results can be seen.

    Raises:
        UsageError: the dataset is no hub id, or several judges rate the same model: a hub's board shows one value.
    """
    if dataset.count("/") != 1 or not all(dataset.split("/")):
        raise UsageError(f"--dataset {dataset}: the hub names datasets as ORG/NAME, such as lmms-lab/bench")
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in rated:
        row = one.standing
        main = row.main
        assert main is not None
        place = row.model, row.benchmark
        if place in found:
            raise UsageError(
                f"{row.model!r} is rated several times on {row.benchmark}, and the hub shows one value; choose by "
                "--judge NAME, --protocol NAME or --method"
            )
        entry: dict[str, Any] = {"dataset": {"id": dataset, "task_id": task or row.benchmark}, "value": main.estimate}
        if one.facts.record is not None and one.facts.record.started:
            entry["date"] = one.facts.record.started
        if source is not None:
            entry["source"] = {"url": source, "name": "evalkit"}
        entry["notes"] = one.summary
        found[place] = [entry]
    return found
