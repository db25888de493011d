"""`evalkit export`: results, of our own or imported, as another tool's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response
from evalkit.interop import exportable, load, names
from evalkit.interop.importing import foreign_log
from evalkit.interop.records import ExportFormat, Imported, key
from evalkit.storage.items import NAME, Items
from evalkit.storage.results import answer_logs, judgment_logs
from evalkit.storage.store import Log


def export_results(format_name: str, paths: Iterable[Path], out: Path, items: Iterable[Item] = ()) -> Counter[str]:
    """Write results as files of a format.

    Args:
        format_name: one of ``interop.names()``.
        paths: results folders, or judgments files.
        out: the folder to write below; files there with the same names are replaced.
        items: questions where the results have no ``items.jsonl``, or not all of theirs in it.

    Returns:
        Records written, by kind, as an import counts them; what the format cannot hold, as ``left out: ...``.

    Raises:
        UsageError: the format cannot be exported, or there are no results.
    """
    plugin = load(format_name) if format_name in names() else None
    if not isinstance(plugin, ExportFormat):
        why = f"{format_name} cannot be exported" if plugin else f"there is no format {format_name!r}"
        raise UsageError(f"{why}; formats that can: {', '.join(exportable())}")
    places = list(paths)
    answers, judged = answer_logs(places), judgment_logs(places)
    asked = [path.parent for place in places for path in sorted(place.rglob(NAME))]
    if not answers and not judged and not asked:
        raise UsageError(f"there are no results to export in {', '.join(map(repr, map(str, places)))}")
    folders = [folder.resolve() for folder in asked]
    folders += [log.path.parent.parent for log in answers] + [log.path.parent.parent for log in judged]
    foreign = {folder: foreign_log(folder, format_name) for folder in dict.fromkeys(folders)}
    return plugin.write(_rows(foreign, answers, judged, items), out)


def _rows(
    foreign: dict[Path, Log[Any]], answers: list[Log[Response]], judged: list[Log[Judgment]], items: Iterable[Item]
) -> Iterator[Imported]:
    """Items, answers, judgments, each with its extras."""
    asked = {(item.benchmark, item.id): Imported(item) for item in items}
    for folder, log_of_extras in foreign.items():
        for item in Items(folder).known.values():
            asked[item.benchmark, item.id] = _with_extra(item, log_of_extras)
    yield from asked.values()
    for answered in answers:
        for response in answered:
            yield _with_extra(response, foreign[answered.path.parent.parent])
    for log in judged:
        for judgment in log:
            yield _with_extra(judgment, foreign[log.path.parent.parent])


def _with_extra(record: Item | Response | Judgment, foreign: Log[Any]) -> Imported:
    found = foreign.get(key(record))
    return Imported(record) if found is None else Imported(record, found.extra)
