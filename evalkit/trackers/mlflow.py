"""MLflow: one experiment a project, one run a model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.trackers.tracked import TrackedModel, client, plain_key

TOGETHER = 100
"""Parameters that MLflow takes at once."""
MOST_METRICS = 1000
"""Metrics that it takes at once."""
LONGEST = 6000
"""Characters of a parameter."""


@dataclass(frozen=True)
class MlflowTracker:
    """Runs of an MLflow server, or of a database ``mlflow.db`` in the folder."""

    project: str
    folder: Path | None = None

    def log(self, models: Sequence[TrackedModel]) -> str:
        """Make a run of each model; nothing global of MLflow is changed."""
        mlflow = client("mlflow")
        entities, errors = client("mlflow.entities"), client("mlflow.exceptions")
        uri = None
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{(self.folder / 'mlflow.db').resolve()}"
        try:
            store = mlflow.MlflowClient(tracking_uri=uri)
            known = store.get_experiment_by_name(self.project)
            experiment = known.experiment_id if known else self._created(store)
            for model in models:
                self._run(store, entities, experiment, model)
        except errors.MlflowException as error:
            raise UsageError(f"MLflow refused: {error}; MLFLOW_TRACKING_URI says where its server is") from error
        return f"{uri or mlflow.get_tracking_uri()}, experiment {self.project}"

    def _created(self, store: Any) -> Any:
        where = None if self.folder is None else (self.folder / "mlartifacts").resolve().as_uri()
        return store.create_experiment(self.project, artifact_location=where)

    def _run(self, store: Any, entities: Any, experiment: Any, model: TrackedModel) -> None:
        run = store.create_run(experiment, run_name=model.name, tags={"benchmark": model.benchmark}).info.run_id
        now = int(time.time() * 1000)
        parameters = [entities.Param(plain_key(name), value[:LONGEST]) for name, value in model.config.items()]
        metrics = [entities.Metric(plain_key(name), value, now, 0) for name, value in model.metrics.items()]
        for some in _parts(parameters, TOGETHER):
            store.log_batch(run, params=some)
        for some in _parts(metrics, MOST_METRICS):
            store.log_batch(run, metrics=some)
        store.set_terminated(run)


def _parts(listed: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (listed[start : start + size] for start in range(0, len(listed), size))
