"""Answers that people bring to be judged: which format they are in, and into a results folder with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.datasets.data_files import PATTERNS, files, first, kind, stem
from evalkit.interop import formats
from evalkit.interop.importing import Summary, import_results
from evalkit.interop.records import Told
from evalkit.storage.store import file_name

BESIDE = "question.jsonl"
"""FastChat's file of questions, in a folder above its answers."""


def results_root(path: Path) -> Path | None:
    """The results folder of one benchmark that a path is, is in, or holds; None where it holds no answers of ours.

    Raises:
        UsageError: it holds several.
    """
    inside = [path] if path.is_file() else sorted(path.glob("**/answers/*.jsonl"))
    roots = {file.parent.parent for file in inside if file.parent.name == "answers" and _ours(file)}
    if len(roots) > 1:
        raise UsageError(f"{str(path)!r} holds several benchmarks; name one: {', '.join(map(str, sorted(roots)))}")
    return next(iter(roots), None)


def _ours(file: Path) -> bool:
    try:
        found = first(file)
    except UsageError:
        return False
    return found is not None and str(found.get("schema", "")).startswith("evalkit.response/")


def format_of(path: Path) -> str:
    """The format of a file of answers, or of the files in a folder, by their fields."""
    found = [first(file) or {} for file in files(path, *PATTERNS)]
    if any("choices" in record for record in found):
        return "fastchat"
    if any({"uid", "messages"} <= record.keys() for record in found):
        return "arena_hard"
    listed = kind(path) == ".json" or (path.is_dir() and any(path.rglob("*outputs*.json")))
    if listed and any({"instruction", "output"} <= record.keys() and "model" not in record for record in found):
        return "alpaca_eval"
    return "table"


def find_answers(
    paths: Sequence[Path], told: Told, *, into: Path | None, benchmark: str | None, format_name: str | None
) -> tuple[Path, tuple[str, ...]]:
    """Find the results folder with answers, importing them where they are not in one.

    Args:
        paths: one results folder, or files of answers.
        told: what the user says of the files; keeps what had to be assumed.
        into: a results folder for files; None: ``results``.
        benchmark: what to call it; None leaves it to the format.
        format_name: None: by their fields.

    Returns:
        The folder of the benchmark, and whose answers they are; no names: everybody's there.

    Raises:
        UsageError: there are no answers, they are of several benchmarks, or a results folder is told to be elsewhere.
    """
    own = [root for root in map(results_root, paths) if root is not None]
    if own and (len(set(own)) > 1 or len(own) < len(paths)):
        raise UsageError("name one results folder, or files of answers; not several, nor both together")
    if own and into is not None:
        raise UsageError(f"results_dir={into}: the judgments go beside the answers in {own[0]}/")
    if own:
        return own[0], tuple(path.stem for path in paths if path.is_file())
    return bring(paths, into or Path("results"), benchmark, told, format_name)


def bring(
    paths: Sequence[Path], into: Path, benchmark: str | None, told: Told, format_name: str | None
) -> tuple[Path, tuple[str, ...]]:
    """Import answers; the results folder of their benchmark, and who answered.

    Args:
        paths: files or folders.
        into: a results folder.
        benchmark: what to call it; None leaves it to the format, but files of one folder belong together.
        told: what the user says of the files; keeps what had to be assumed.
        format_name: None: by their fields.

    Raises:
        UsageError: there are no answers, or they are of several benchmarks.
    """
    if format_name is not None and format_name not in formats():
        raise UsageError(f"there is no format {format_name!r}; there are: {', '.join(formats())}")
    names: set[str] = set()
    models: dict[str, None] = {}
    for path in _with_questions(paths):
        chosen = format_name or ("fastchat" if path.name == BESIDE else format_of(path))
        asked = formats()[chosen].asks
        mine = Told(
            model=told.model if "model" in asked else None,
            columns=told.columns if "columns" in asked else {},
            skip_bad=told.skip_bad,
            assumed=told.assumed,
            skipped=told.skipped,
            repeated=told.repeated,
        )
        name = benchmark
        if name is None and chosen == "table" and len(paths) > 1:
            name = path.resolve().parent.name or stem(path)
        summary: Summary = import_results(chosen, path, into, name, mine)
        names |= set(summary.benchmarks)
        models |= dict.fromkeys(summary.models)
    if len(names) > 1:
        raise UsageError(
            f"these answers are of several benchmarks ({', '.join(sorted(names))}); judge them one by one, or say that "
            "they are one: benchmark=NAME"
        )
    if not models:
        raise UsageError(f"no answers in {', '.join(map(repr, map(str, paths)))}: only questions or judgments")
    return into / file_name(names.pop()), tuple(models)


def _with_questions(paths: Sequence[Path]) -> list[Path]:
    """The paths, and before them FastChat's questions that lie beside single files of answers."""
    beside = [
        folder / BESIDE
        for path in paths
        for folder in path.resolve().parents[:3]
        if path.is_file() and "choices" in (first(path) or {}) and (folder / BESIDE).is_file()
    ]
    return [*dict.fromkeys(beside), *paths]
