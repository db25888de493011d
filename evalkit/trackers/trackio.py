"""trackio: one run a model, benchmarks as groups, in a database on this machine."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.trackers.tracked import TrackedModel, client, plain_key

PLACE = "TRACKIO_DIR"


@dataclass(frozen=True)
class TrackioTracker:
    """Runs of a trackio project, in the folder or where trackio keeps them."""

    project: str
    folder: Path | None = None

    def log(self, models: Sequence[TrackedModel]) -> str:
        """Make a run of each model."""
        with _kept_in(self.folder):
            trackio = client("trackio")
            kept = Path(trackio.TRACKIO_DIR)
            if self.folder is not None and kept.resolve() != self.folder.resolve():
                raise UsageError(
                    f"trackio keeps runs in {str(kept)!r} since it was imported; start anew for {self.folder}"
                )
            told = io.StringIO()
            try:
                with contextlib.redirect_stdout(told):  # how to open its dashboard, for every run
                    for model in models:
                        config = dict(model.config)
                        trackio.init(
                            project=self.project, name=model.name, group=model.benchmark, config=config, embed=False
                        )
                        trackio.log({plain_key(name): value for name, value in model.metrics.items()})
                        trackio.finish()
            except (OSError, ValueError, RuntimeError) as error:
                raise UsageError(f"trackio refused: {error}") from error
        where = "" if self.folder is None else f"{PLACE}={self.folder} "
        return f"project {self.project}; `{where}trackio show --project {self.project}` shows it"


@contextlib.contextmanager
def _kept_in(folder: Path | None) -> Iterator[None]:
    """Have trackio, which reads the environment when it is imported, use the folder."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get(PLACE)
    os.environ[PLACE] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[PLACE]
        else:
            os.environ[PLACE] = before
