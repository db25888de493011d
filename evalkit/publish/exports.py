"""`evalkit export` to what other people's tools read of numbers and rows: their schemas, one way."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec

from evalkit.core.files import replace_file
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, digest
from evalkit.publish import eval_results, every_eval_ever
from evalkit.publish.every_eval_ever_samples import InstanceRows, instance_rows
from evalkit.publish.inspect_log import InspectLogs
from evalkit.publish.numbers import RatedModel, rated_models
from evalkit.storage import frames
from evalkit.storage.items import Items
from evalkit.storage.results import answer_logs, judgment_files, judgment_logs
from evalkit.storage.store import file_name

RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")


@dataclass(frozen=True, kw_only=True)
class ExportChoices:
    """What the user says of an export; each format uses what it has a field for."""

    method: str | None = None
    judge: str | None = None
    protocol: str | None = None
    dataset: str | None = None
    """Of the hub: the benchmark's dataset, ``ORG/NAME``."""
    task: str | None = None
    source: str | None = None
    """Where the results can be seen."""
    organization: str | None = None
    relationship: str = "other"
    now: float = 0.0
    """Unix time of the export."""
    items: Sequence[Item] = ()
    """Questions where the results have none with them."""


class OneWayExport(Protocol):
    """A format that is written and not read back as results."""

    def write(self, paths: Sequence[Path], out: Path, given: ExportChoices) -> Counter[str]:
        """Write the files below a folder. How many records of each kind.

        Raises:
            UsageError: there is nothing to write, or something is not said that the format asks for.
        """
        ...


def _rated(paths: Sequence[Path], given: ExportChoices) -> list[RatedModel]:
    return rated_models(paths, method=given.method, judge=given.judge, protocol=given.protocol)


@dataclass(frozen=True)
class EveryEvalEverRecords:
    """Records of Every Eval Ever: one JSON a model and benchmark, and beside it a row for each of its judgments."""

    def write(self, paths: Sequence[Path], out: Path, given: ExportChoices) -> Counter[str]:
        """Write the files. How many records of each kind."""
        if given.organization is None:
            raise UsageError("every_eval_ever asks who provides the numbers: --organization NAME")
        if given.relationship not in RELATIONSHIPS:
            raise UsageError(f"--relationship {given.relationship}: it is one of {', '.join(RELATIONSHIPS)}")
        rated = _rated(paths, given)
        found = every_eval_ever.records(
            rated, organization=given.organization, relationship=given.relationship, now=given.now
        )
        answers = (row for log in answer_logs(paths) for row in log)
        judgments = (row for log in judgment_logs(paths) for row in log)
        items = [*given.items, *_items(paths)]
        samples = instance_rows(every_eval_ever.targets(rated, found), judgments, answers, items)
        counts = Counter({"records": len(found)})
        for (benchmark, developer, model), record in found.items():
            folder = Path("data", *map(file_name, (benchmark, developer, model)))
            name = UUID(digest(record["evaluation_id"], model), version=4)  # as the collection names its files
            if mine := samples.get((benchmark, model)):
                counts["judgments"] += len(mine.rows)
                counts.update({f"left out: {why}": count for why, count in mine.left_out.items()})
                if mine.rows:
                    record |= {"detailed_evaluation_results": _detailed(out, folder / f"{name}_samples.jsonl", mine)}
            _write(out / folder / f"{name}.json", _json(record))
        return counts


def _detailed(out: Path, path: Path, samples: InstanceRows) -> dict[str, Any]:
    """Write the rows of single judgments below a folder. What their record says of the file."""
    text = "\n".join(_json(row, indent=None) for row in samples.rows)
    _write(out / path, text)
    left_out = {f"left out: {why}": str(count) for why, count in samples.left_out.items()}
    return {
        "format": "jsonl",
        "file_path": path.as_posix(),
        "hash_algorithm": "sha256",
        "checksum": hashlib.sha256((out / path).read_bytes()).hexdigest(),
        "total_rows": len(samples.rows),
        **({"additional_details": left_out} if left_out else {}),
    }


def _items(paths: Sequence[Path]) -> list[Item]:
    """Every question that is stored with the results."""
    files = [*(log.path for log in answer_logs(paths)), *(log.path for log in judgment_logs(paths))]
    folders = dict.fromkeys(path.parent.parent for path in files)
    return [item for folder in folders for item in Items(folder).known.values()]


@dataclass(frozen=True)
class HubResults:
    """The Hugging Face hub's ``.eval_results``, a folder a model."""

    def write(self, paths: Sequence[Path], out: Path, given: ExportChoices) -> Counter[str]:
        """Write the files. How many records of each kind."""
        if given.dataset is None:
            raise UsageError("eval_results asks which dataset of the hub the benchmark is: --dataset ORG/NAME")
        rated = _rated(paths, given)
        found = eval_results.entries(rated, dataset=given.dataset, task=given.task, source=given.source)
        for (model, benchmark), entries in found.items():
            path = out / file_name(model) / eval_results.FOLDER / f"{file_name(benchmark)}.yaml"
            _write(path, msgspec.yaml.encode(entries).decode())
        return Counter({"entries": sum(map(len, found.values()))})


@dataclass(frozen=True)
class InspectLogFiles:
    """Logs of inspect_ai, one JSON a benchmark and model."""

    def write(self, paths: Sequence[Path], out: Path, given: ExportChoices) -> Counter[str]:
        """Write the files. How many records of each kind."""
        answers, judged = answer_logs(paths), judgment_logs(paths)
        gathered = InspectLogs([*given.items, *_items(paths)])
        for answered in answers:
            for response in answered:
                gathered.answer(response)
        for log in judged:
            for judgment in log:
                if given.judge in (None, judgment.judge.name) and given.protocol in (None, judgment.protocol):
                    gathered.judgment(judgment)
        logs = gathered.logs()
        if not logs:
            raise UsageError(
                f"there are no answers in {', '.join(map(str, paths))}, and a log of inspect_ai is about answers"
            )
        for (benchmark, model), content in logs.items():
            _write(out / file_name(benchmark) / f"{file_name(model)}.json", _json(content, not_a_number=True))
        gathered.counts["logs"] = len(logs)
        return gathered.counts


@dataclass(frozen=True)
class ParquetTables:
    """Judgments and answers as two Parquet files."""

    def write(self, paths: Sequence[Path], out: Path, given: ExportChoices) -> Counter[str]:
        """Write the files. How many records of each kind."""
        try:
            import_module("pyarrow")
        except ImportError as error:
            raise UsageError("writing Parquet needs pyarrow: pip install 'evalkit[parquet]'") from error
        tables = {
            "judgments": frames.judgments(judgment_files(paths)),
            "answers": frames.answers(row for log in answer_logs(paths) for row in log),
        }
        tables = {name: table for name, table in tables.items() if len(table)}
        if not tables:
            raise UsageError(f"there are no results to export in {', '.join(map(str, paths))}")
        for name, table in tables.items():
            path = out / f"{name}.parquet"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                table.to_parquet(path, engine="pyarrow", index=False)
            except OSError as error:
                raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error
        return Counter({name: len(table) for name, table in tables.items()})


EXPORTS: Mapping[str, OneWayExport] = {
    "every_eval_ever": EveryEvalEverRecords(),
    "eval_results": HubResults(),
    "inspect_ai": InspectLogFiles(),
    "parquet": ParquetTables(),
}
"""Formats that are written and not read back as results, by name."""


def _json(content: Any, *, not_a_number: bool = False, indent: int | None = 1) -> str:
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=not_a_number)
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is an escape


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error
