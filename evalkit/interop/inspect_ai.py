"""Inspect logs (inspect_ai 0.3): ``.json``, and ``.eval``, a ZIP of one JSON file a sample.

Each scorer is a judge. C, P, I and N are 1, 0.5, 0 and 0, as Inspect has them; a value that is an object is a score by
each of its names. A sample that ended in an error is a failed answer.
"""

from __future__ import annotations

import importlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any, ClassVar, Final

from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure
from evalkit.datasets.data_files import Record, Where, files, parsed, records, stem
from evalkit.interop.records import Imported, ImportFormat, ImportLedger, judge_ref
from evalkit.interop.rows import SourceRows, number_of, system_of, text_of, texts_of

GRADES: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
LETTERS: Final = (*ascii_uppercase, *map(str, range(1, 1000)))
"""How Inspect names the choices of a question."""
HEADERS: Final = ("header.json", "_journal/start.json")
ZSTANDARD: Final = 93
"""How newer logs are compressed, in a way that Python's ``zipfile`` does not know before 3.14."""


class _ScoreValue(Struct):
    value: Any
    explanation: str | None = None


class _EvalSample(Struct):
    id: int | str
    input: str | list[dict[str, Any]]
    epoch: int = 1
    target: str | list[str] = ""
    choices: list[str] | None = None
    output: dict[str, Any] = {}
    scores: dict[str, _ScoreValue] | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class InspectFormat(ImportFormat):
    """Logs of evaluations, with their samples."""

    asks: ClassVar = frozenset({"model"})

    def read(self, path: Path) -> Iterator[Imported]:
        """Every sample of every log, with its scores.

        Raises:
            UsageError: there is nothing, or a record is malformed.
        """
        ledger = ImportLedger()
        for file in files(path, "*.json", "*.eval"):
            about, samples = _log(file)
            task = about.get("task")
            model = self.told.model or about.get("model") or self.told.model_of(file, stem(file))
            rows = SourceRows(self.benchmark or (task if isinstance(task, str) and task else stem(file)), ledger)
            yield from self.told.rows(samples, partial(_sample, rows, str(model)))


def _log(file: Path) -> tuple[dict[str, Any], Iterator[Record]]:
    """What a log says of itself, and its samples."""
    if file.suffix == ".eval":
        return _zipped(file)
    where, log = next(records(file), (Where(file, 1), {}))
    about, samples = log.get("eval"), log.get("samples")
    if not isinstance(about, dict) or not isinstance(samples, list | None):
        raise where.error("is not a log of Inspect: it has no object `eval` with a list of `samples` beside it")
    return about, ((Where(file, number), sample) for number, sample in enumerate(samples or (), 1))


def _zipped(file: Path) -> tuple[dict[str, Any], Iterator[Record]]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(f"cannot read {str(file)!r} as a log of Inspect: {error}") from error
    names = archive.namelist()
    header = next((name for name in HEADERS if name in names), None)
    about = _member(file, archive, header, 0).get("eval") if header else None
    if not isinstance(about, dict):
        raise UsageError(f"{str(file)!r} is not a log of Inspect: neither of {', '.join(HEADERS)} in it has `eval`")
    inside = [name for name in names if name.startswith("samples/") and name.endswith(".json")]
    return about, ((Where(file, number), _member(file, archive, name, number)) for number, name in enumerate(inside, 1))


def _member(file: Path, archive: zipfile.ZipFile, name: str, number: int) -> dict[str, Any]:
    info = archive.getinfo(name)
    try:
        content = _zstandard(file, info) if info.compress_type == ZSTANDARD else archive.read(info)
        text = content.decode("utf-8")
    except (UnicodeDecodeError, zipfile.BadZipFile, zlib.error, OSError) as error:
        raise Where(file, number).error(f"{name} is not JSON, or damaged: {error}") from error
    found = parsed(Where(file, number), text)
    if not isinstance(found, dict):
        raise Where(file, number).error(f"{name} is {type(found).__name__}, where an object is expected")
    return found


def _zstandard(file: Path, info: zipfile.ZipInfo) -> bytes:
    """A member's content: what follows its name and extra field."""
    try:
        library = importlib.import_module("zstandard")
    except ImportError as error:
        raise UsageError(
            f"reading {str(file)!r} needs zstandard: pip install zstandard (or `inspect log convert --to json` it)"
        ) from error
    with file.open("rb") as opened:
        opened.seek(info.header_offset)
        head = opened.read(30)
        opened.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
        packed = opened.read(info.compress_size)
    try:
        content: bytes = library.ZstdDecompressor().decompressobj().decompress(packed)
    except library.ZstdError as error:
        raise OSError(str(error)) from error
    return content


def _sample(rows: SourceRows, model: str, source: Record) -> Iterator[Imported]:
    where, record = source
    row = where.read(record, _EvalSample)
    said = texts_of(row.input, where, "input")
    asked = tuple(text for role, text in said if role == "user")
    if not asked:
        raise where.error("field `input` has no message of a user")
    targets = [row.target] if isinstance(row.target, str) else row.target
    reference = ("\n\nor:\n\n".join(filter(None, targets)),) if any(targets) and len(asked) == 1 else ()
    if row.choices:
        options = [f"{letter}) {text}" for letter, text in zip(LETTERS, row.choices, strict=False)]
        asked = (*asked[:-1], "\n".join([asked[-1], "", *options]))
    system = None if isinstance(row.input, str) else system_of(row.input)
    about = yield from rows.item(
        where, asked, identity=str(row.id), reference=reference, turn=len(asked), system=system
    )
    earlier = tuple(text for role, text in said if role == "assistant")[: len(asked) - 1]
    answer = _completion(row.output)
    if row.error is not None or answer is None:
        why = (
            f"the source has an error for an answer: {str((row.error or {}).get('message') or 'no reason given')[:300]}"
        )
        yield from rows.answer(where, about, model, (*earlier, answer or ""), Failure("malformed", why))
        return
    shown = yield from rows.answer(where, about, model, (*earlier, answer))
    for name, score in (row.scores or {}).items():
        values = score.value if isinstance(score.value, dict) else {"": score.value}
        for part, value in values.items():
            found = GRADES.get(value) if isinstance(value, str) and value in GRADES else number_of(value)
            verdict = Failure("unparsed", f"the source has {value!r} for a score") if found is None else found
            judge = judge_ref(f"{name}/{part}" if part else name, "inspect")
            raw = score.explanation or ""
            yield rows.score(where, about, judge, "inspect", shown, verdict, label=str(value), raw=raw)


def _completion(output: dict[str, Any]) -> str | None:
    choices = output.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        if isinstance(message, dict):
            return text_of(message.get("content")) or ""
    found = output.get("completion")
    return found if isinstance(found, str) else None
