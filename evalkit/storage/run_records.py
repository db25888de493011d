"""What runs left beside the results: their manifests, read as records. Nothing in them is ever built or asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec


class Relative(msgspec.Struct):
    """Who a model is related to, as the run's configuration said."""

    family: str | None = None
    trained_on: tuple[str, ...] = ()


class StageRecord(msgspec.Struct):
    """What came of the answers, or of the judgments."""

    total: int = 0
    done: int = 0
    stored: int = 0
    failed: Mapping[str, int] = {}


class Tokens(msgspec.Struct):
    """The tokens of all requests to one model."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class TrafficRecord(msgspec.Struct):
    """What one model was asked in a run."""

    asked: int = 0
    usage: Tokens = msgspec.field(default_factory=Tokens)
    cost: float | None = None
    unpriced: int = 0


class RunRecord(msgspec.Struct):
    """One manifest.json: what is read of it. Fields of other versions are passed over."""

    benchmark: str
    evalkit: str = ""
    python: str = ""
    items: int = 0
    references: str = ""
    packages: Mapping[str, str] = {}
    git: Mapping[str, Any] | None = None
    data: Mapping[str, str] = {}
    models: Mapping[str, Mapping[str, Any]] = {}
    judges: Mapping[str, Mapping[str, Any]] = {}
    kin: Mapping[str, Relative] = {}
    """By model or judge."""
    started: str = ""
    seconds: float = 0.0
    outcome: str = ""
    stages: Mapping[str, StageRecord] = {}
    traffic: Mapping[str, TrafficRecord] = {}
    warnings: tuple[str, ...] = ()
    tournament: Mapping[str, str] = {}
    """Of a tournament: ``until`` what, and its ``guarantee``."""


def run_records(paths: Iterable[Path]) -> list[RunRecord]:
    """The manifests that belong to results folders or judgments files, oldest run first; unreadable ones are none."""
    found: dict[Path, None] = {}
    for path in paths:
        root = path.parent.parent if path.is_file() else path.parent if path.name == "judgments" else path
        pattern = "runs/*/manifest.json" if path.is_file() or path.name == "judgments" else "**/runs/*/manifest.json"
        found.update(dict.fromkeys(one.resolve() for one in sorted(root.glob(pattern))))
    records = [record for one in found if (record := read(one)) is not None]
    return sorted(records, key=lambda record: record.started)


def tournaments(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """Benchmarks of which pairs were chosen by what was seen, and until what, by the runs' records."""
    found = ((record.benchmark, record.tournament.get("until")) for record in run_records(paths))
    return [(name, until) for name, until in dict.fromkeys(found) if until]


def read(path: Path) -> RunRecord | None:
    """One manifest.json; None where there is none, or half of one, or another program's."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunRecord)
    except (OSError, ValueError, RecursionError):
        return None
