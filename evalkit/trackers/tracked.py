"""What a tracker is told of a model on a benchmark: names, configuration, numbers; and the shape of a tracker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from evalkit import __version__
from evalkit.core.protocols import UsageError
from evalkit.core.text import plain
from evalkit.publish.numbers import RatedModel
from evalkit.ratings.standing import Standing

TRACKERS = {
    "mlflow": "evalkit.trackers.mlflow.MlflowTracker",
    "wandb": "evalkit.trackers.wandb.WandbTracker",
    "trackio": "evalkit.trackers.trackio.TrackioTracker",
}
"""The trackers by name; an extra of evalkit has the name of its client."""


@dataclass(frozen=True, kw_only=True)
class TrackedModel:
    """One model on one benchmark: a run of a tracker."""

    name: str
    """The model's."""
    benchmark: str
    config: Mapping[str, str] = field(default_factory=dict)
    """What the model and its judges are, by name of the field."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """By ``JUDGE.PROTOCOL/estimate``, with ``_lower`` and ``_upper`` (95%), ``n`` and ``failed``; of categories,
    ``JUDGE.PROTOCOL/CATEGORY/estimate``. What has no number is left out."""


class Tracker(Protocol):
    """Hands models' numbers to a tracker's own client; a frozen dataclass with the project and, offline, the folder."""

    def log(self, models: Sequence[TrackedModel]) -> str:
        """Make a run of each model. Where they can be seen, in words.

        Raises:
            UsageError: the client is not installed, or refuses.
        """
        ...


def tracker(name: str, project: str, folder: Path | None) -> Tracker:
    """The tracker of a name.

    Args:
        name: one of ``TRACKERS``.
        project: what the tracker calls a project or an experiment.
        folder: where the client keeps what it is told, without a network; None: wherever it is set up to.

    Raises:
        UsageError: there is none.
    """
    if name not in TRACKERS:
        raise UsageError(f"there is no tracker {name!r}; there are: {', '.join(TRACKERS)}")
    module, _, kind = TRACKERS[name].rpartition(".")
    found: Tracker = getattr(import_module(module), kind)(project, folder)
    return found


def client(name: str) -> Any:
    """A tracker's client.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is not installed: pip install 'evalkit[{name}]' ({error})") from error


def tracked(rated: Iterable[RatedModel]) -> list[TrackedModel]:
    """One run for each benchmark and model, with the numbers of all its judges."""
    groups: dict[tuple[str, str], list[RatedModel]] = {}
    for one in rated:
        groups.setdefault((one.standing.benchmark, one.standing.model), []).append(one)
    result = []
    for (benchmark, model), group in groups.items():
        config: dict[str, str] = {"evalkit": __version__, "benchmark": benchmark}
        metrics: dict[str, float] = {}
        for field_name, value in group[0].facts.candidates.get(model, {}).items():
            config |= _told(f"model.{field_name}", value)
        for one in group:
            about = one.facts
            judge = f"{about.judge.name}.{about.protocol}"
            config |= {f"{judge}.fingerprint": about.judge.fingerprint, f"{judge}.parser": ", ".join(about.parsers)}
            for field_name in ("model", "revision", "sha256", "prompts", "references"):
                config |= _told(f"{judge}.{field_name}", (about.configuration or {}).get(field_name))
            for row in (one.standing, *one.categories):
                metrics |= _metrics(judge if row.category is None else f"{judge}/{row.category}", row)
        result.append(TrackedModel(name=model, benchmark=benchmark, config=config, metrics=metrics))
    return result


def _told(name: str, value: Any) -> dict[str, str]:
    return {} if value in (None, "", {}, []) else {name: plain(str(value))}


def _metrics(prefix: str, row: Standing) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, interval in row.estimates.items():
        if interval is None:
            continue
        found[f"{prefix}/{name}"] = interval.estimate
        if interval.lower is not None and interval.upper is not None:
            found |= {f"{prefix}/{name}_lower": interval.lower, f"{prefix}/{name}_upper": interval.upper}
    return found | {f"{prefix}/n": float(row.n), f"{prefix}/failed": float(sum(row.failed.values()))}


def plain_key(name: str) -> str:
    """A name of letters, digits and ``_-. /``, which every tracker takes."""
    return re.sub(r"[^\w\-. /]", "_", plain(name), flags=re.ASCII) or "_"
