"""What a run leaves for whoever reads its results later: what ran, on what, with which data, and what came of it."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from evalkit import __version__
from evalkit.core.files import remedy, replace_file
from evalkit.core.protocols import Judge, UsageError
from evalkit.core.schema import digest
from evalkit.engine.experiment import Experiment
from evalkit.engine.progress import Watch
from evalkit.models.client import Clients
from evalkit.storage.store import NotStored

SCHEMA = "evalkit.manifest/1"

PACKAGES = ("openai", "anthropic", "xllamacpp", "vllm", "torch", "numpy", "scipy", "hydra-core", "msgspec")


CARRIED = ("started", "seconds", "outcome", "exit", "error", "stages", "traffic", "snapshots")
"""What the manifest of a run says of earlier ones that had the same name."""


class Manifest:
    """manifest.json of one run: written when it begins, with outcome ``running``, and replaced when it ends.

    A run that was killed so leaves a record too. Either write is whole or not there at all.

    Args:
        path: the file; config.yaml is beside it.
        experiment: what runs.
        clients: for usage and cost.
        watch: for counts and snapshots.
        more: what else is known when it begins.
    """

    def __init__(
        self, path: Path, experiment: Experiment, clients: Clients, watch: Watch, more: Mapping[str, Any]
    ) -> None:
        self._path = path
        self._clients = clients
        self._watch = watch
        self._fixed: dict[str, Any] = {
            "schema": SCHEMA,
            "evalkit": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {name: found for name in PACKAGES if (found := _version(name))},
            "git": _git_state(),
            "config": _config_hash(path.parent / "config.yaml"),
            "benchmark": experiment.benchmark.spec.name,
            "items": len(experiment.benchmark.items),
            "references": experiment.benchmark.references,
            "data": dict(experiment.benchmark.hashes),
            "models": {
                one.model.name: {"fingerprint": one.ref.fingerprint, **one.model.identity()}
                for one in experiment.candidates
            },
            "judges": {judge.name: _judge(judge) for judge in experiment.judges},
            "kin": {
                model.name: {"family": model.family, "trained_on": list(model.trained_on)}
                for model in (*(judge.model for judge in experiment.judges), *experiment.models)
                if model.family or model.trained_on
            },
            "started": datetime.fromtimestamp(watch.started, UTC).isoformat(timespec="seconds"),
            **more,
        }
        self._earlier = _earlier(path)
        self._write("running", None, None)

    def end(self, outcome: str, error: Exception | None = None) -> None:
        """Write what came of the run.

        Args:
            outcome: done, interrupted, dropped (by a second Ctrl-C), budget or error.
            error: what ended it early.
        """
        try:
            self._write(outcome, error, _exit(outcome, error, self._watch))
        except NotStored:
            if error is None:  # else that is the news, and the record of the beginning stands
                raise

    def _write(self, outcome: str, error: Exception | None, code: int | None) -> None:
        watch = self._watch
        manifest = self._fixed | {
            "seconds": round(watch.seconds, 3),
            "outcome": outcome,
            "exit": code,
            "error": str(error) if error else None,
            "stages": {
                stage.name: {
                    "total": stage.total,
                    "done": stage.done,
                    "stored": stage.stored,
                    "failed": dict(stage.failed),
                }
                for stage in (watch.answers, watch.judgments)
            },
            "traffic": _by_name(self._clients),
            "snapshots": watch.snapshots.table(),
            "warnings": [*map(str, watch.snapshots.changes), *watch.notes],
            "earlier": self._earlier,
        }
        try:
            replace_file(self._path, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        except OSError as trouble:
            raise NotStored(
                f"cannot write {str(self._path)!r}: {trouble.strerror}. Answers and judgments are stored apart from it "
                f"and are safe; {remedy(trouble)}"
            ) from trouble


def _by_name(clients: Clients) -> dict[str, Any]:
    """Totals by client; a model and a judge may share a name and not a client."""
    result: dict[str, Any] = {}
    for name, totals in clients.traffic:
        alike = sum(known == name or known.startswith(f"{name} (") for known in result)
        result[f"{name} ({alike + 1})" if alike else name] = msgspec.to_builtins(totals)
    return result


def _exit(outcome: str, error: Exception | None, watch: Watch) -> int:
    """The exit code of a run that ended so."""
    if error is not None:
        return 2 if isinstance(error, UsageError) else 1
    return {"interrupted": 130, "dropped": 130, "budget": 3}.get(outcome, 1 if watch.failed or watch.waiting else 0)


def _judge(judge: Judge) -> dict[str, Any]:
    return {
        "fingerprint": judge.ref.fingerprint,
        "protocol": judge.protocol.name,
        "parser": judge.protocol.parser,
        "prompts": digest(judge.protocol.identity()),
        "references": judge.references,
        **judge.model.identity(),
    }


def _config_hash(path: Path) -> str | None:
    """SHA-256 of the resolved configuration; None where there is none."""
    import hashlib

    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _earlier(path: Path) -> list[dict[str, Any]]:
    """What came of earlier runs that had the same name, oldest first; those that can still be read."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        before = msgspec.convert(found.get("earlier", []), list[dict[str, Any]])
    except (OSError, ValueError, RecursionError):
        return []
    return [*before, {name: found.get(name) for name in CARRIED}]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """Commit of the working folder and whether it has changes; None outside a repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changes)}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=5)
    return done.stdout.strip()
