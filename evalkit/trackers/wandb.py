"""Weights & Biases: one run a model, benchmarks as groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.trackers.tracked import TrackedModel, client, plain_key


@dataclass(frozen=True)
class WandbTracker:
    """Runs of a wandb project; with a folder they are kept there offline, until ``wandb sync``."""

    project: str
    folder: Path | None = None

    def log(self, models: Sequence[TrackedModel]) -> str:
        """Make a run of each model."""
        wandb = client("wandb")
        more: dict[str, Any] = {}
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            more = {"mode": "offline", "dir": str(self.folder)}
        quiet = wandb.Settings(silent=True, console="off")
        try:
            for model in models:
                run = wandb.init(
                    project=self.project,
                    name=model.name,
                    group=model.benchmark,
                    config=dict(model.config),
                    reinit="finish_previous",
                    settings=quiet,
                    **more,
                )
                run.log({plain_key(name): value for name, value in model.metrics.items()})
                run.finish()
        except wandb.Error as error:
            hint = "`wandb login` says who you are, -o DIR keeps runs offline"
            raise UsageError(f"wandb refused: {error}; {hint}") from error
        if self.folder is not None:
            return f"{self.folder / 'wandb'}; `wandb sync` sends it"
        return f"project {self.project}"
