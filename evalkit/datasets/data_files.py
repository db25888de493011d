"""Files of data that people bring: CSV, TSV, XLSX, JSON, JSON Lines and Parquet, and each of them compressed (.gz).

Read one record at a time, or by chunks of columns; every complaint names the file, the record and the field.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import msgspec

from evalkit.core.protocols import UsageError

T = TypeVar("T")

CHUNK = 1 << 18
"""Characters read at once from a JSON array."""

ROWS = 250_000
"""Rows in one chunk of columns."""

LOOK = 100
"""Records of a JSON file that are looked at to learn which fields there are."""

KINDS = (".csv", ".tsv", ".xlsx", ".json", ".jsonl", ".ndjson", ".parquet")
PATTERNS = tuple(f"*{kind}{gz}" for kind in KINDS for gz in ("", ".gz"))
"""What the names of such files end in, as patterns."""

BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

Chunks = Generator[tuple[int, dict[str, Any]], None, None]
"""Number of the first row, and columns of texts by field; None or NaN where a cell is empty."""


class CutLine(UserWarning):
    """The last line of a file was incomplete and was left out."""


class OtherSheets(CutLine):
    """A workbook has more sheets than the one that is read."""


class Where(NamedTuple):
    """One record of one file."""

    path: Path
    number: int
    """1-based; in JSON Lines the line number, in a table the row after the header."""

    def error(self, what: str) -> UsageError:
        """A message about this record."""
        return UsageError(f"{str(self.path)!r}, record {self.number}: {what}")

    def read(self, record: object, kind: type[T], *, strict: bool = True) -> T:
        """The record as a typed struct; fields the struct does not name are ignored."""
        try:
            return msgspec.convert(record, kind, strict=strict)
        except msgspec.ValidationError as error:
            raise self.error(f"{error}") from error


Record = tuple[Where, dict[str, Any]]


def kind(path: Path) -> str:
    """The ending that says what a file holds, as ``.csv`` of ``votes.csv.gz``."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def stem(path: Path) -> str:
    """A file's name without its endings."""
    name = path.stem if path.suffix.lower() == ".gz" else path.name
    return Path(name).stem if kind(path) in KINDS else name


def files(path: Path, *patterns: str) -> list[Path]:
    """The file itself, or every matching file below a folder, in one fixed order; hidden ones do not count.

    Raises:
        UsageError: there is nothing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no file or folder {str(path)!r}")
    found = {file for pattern in patterns for file in path.rglob(pattern) if file.is_file()}
    shown = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not shown:
        raise UsageError(f"nothing to import in {str(path)!r}: no {' or '.join(patterns)} there or below")
    return sorted(shown)


def records(path: Path, *, lenient: bool = True) -> Iterator[Record]:
    """The rows of a file of any kind, streamed; what has no known ending is read as JSON.

    JSON is one object a line, a list of objects, an object with such a list as ``rows``, or an object that holds each
    row under its id. A last line that was cut short is left out with a warning.

    Args:
        path: the file.
        lenient: read NaN and infinities, which some tools write and JSON does not have, as null, and half a surrogate
            pair as U+FFFD; otherwise either is an error.
    """
    reader = {".csv": _csv_records, ".tsv": _csv_records, ".xlsx": _xlsx_records, ".parquet": _parquet_records}
    if kind(path) in reader:
        return reader[kind(path)](path)
    return _json_records(path, lenient)


def first(path: Path) -> dict[str, Any] | None:
    """The first record, to tell what kind of file this is; None if the file is empty."""
    return next((record for _, record in records(path)), None)


def columns(path: Path) -> tuple[str, ...]:
    """The names of a file's columns; of JSON, the fields of its first records."""
    if kind(path) in (".csv", ".tsv"):
        with _text(path, newline="") as text:
            return tuple(csv.DictReader(text, delimiter=_delimiter(path, text)).fieldnames or ())
    if kind(path) == ".xlsx":
        with _sheet(path) as rows:
            return _header(next(rows, ()))
    if kind(path) == ".parquet":
        with _parquet(path) as file:
            return tuple(file.schema_arrow.names)
    return tuple(dict.fromkeys(name for _, record in islice(records(path), LOOK) for name in record))


def chunks(path: Path, wanted: Mapping[str, str], distinct: Iterable[str] = ()) -> Chunks:
    """Some columns of a file, many rows at a time, so that ten million rows fit in memory.

    Args:
        path: the file.
        wanted: the columns to read, by what they are to be called.
        distinct: those in which nearly every row has a value of its own.
    """
    if kind(path) in (".csv", ".tsv"):
        return _csv_chunks(path, wanted, frozenset(distinct))
    if kind(path) == ".parquet":
        return _parquet_chunks(path, wanted)
    if kind(path) in (".jsonl", ".ndjson"):
        return _jsonl_chunks(path, wanted)
    return _record_chunks(path, wanted)


@contextmanager
def _binary(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]  # a GzipFile has all of IO[bytes] that is used here
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"cannot read {str(path)!r}: it is no complete gzip file ({error})") from error
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


@contextmanager
def _text(path: Path, newline: str = "\n") -> Iterator[IO[str]]:
    """The file as text: UTF-8, or UTF-16 with a byte order mark."""
    with _binary(path) as file:
        head: bytes = file.peek(4)  # type: ignore[attr-defined]
        encoding = next((name for mark, name in BOMS.items() if head.startswith(mark)), "utf-8")
        try:
            with io.TextIOWrapper(file, encoding, newline=newline) as text:
                yield text
        except UnicodeError as error:
            raise UsageError(_not_utf8(path, encoding, error)) from error


def _not_utf8(path: Path, encoding: str, error: UnicodeError) -> str:
    if encoding != "utf-8":
        return f"{str(path)!r} begins as {encoding} text and does not go on as such ({error}); save it as UTF-8"
    byte = f"byte 0x{error.object[error.start]:02x}" if isinstance(error, UnicodeDecodeError) else str(error)
    return (
        f"{str(path)!r} is not UTF-8 text ({byte}); it is perhaps Windows-1252, which "
        "`iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW` converts, or a spreadsheet: save it as CSV UTF-8"
    )


def _delimiter(path: Path, text: IO[str]) -> str:
    """What separates the fields of a table: comma, semicolon or tab, whichever the header has most of."""
    header = text.readline(CHUNK)
    text.seek(0)
    counts = {mark: len(next(csv.reader([header], delimiter=mark), [])) for mark in ",;\t"}
    return "\t" if kind(path) == ".tsv" else max(counts, key=lambda mark: counts[mark])


def _csv_records(path: Path) -> Iterator[Record]:
    number = 0
    try:
        with _text(path, newline="") as text:
            for number, row in enumerate(csv.DictReader(text, delimiter=_delimiter(path, text), strict=True), 1):
                where = Where(path, number)
                if None in row or None in row.values():
                    raise where.error("has more or fewer fields than the header")
                yield where, row
    except csv.Error as error:
        raise Where(path, number + 1).error(f"is not CSV: {error}") from error


def _csv_chunks(path: Path, wanted: Mapping[str, str], distinct: frozenset[str]) -> Chunks:
    import pandas as pd

    start = 1
    try:
        with (
            _text(path, newline="") as text,
            pd.read_csv(
                text,
                sep=_delimiter(path, text),
                usecols=list(dict.fromkeys(wanted.values())),
                dtype={column: "object" if name in distinct else "category" for name, column in wanted.items()},
                keep_default_na=False,
                na_values=[""],
                chunksize=ROWS,
            ) as frames,
        ):
            for frame in frames:
                yield start, {name: frame[column] for name, column in wanted.items()}
                start += len(frame)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UsageError(f"cannot read {str(path)!r} as CSV: {' '.join(str(error).split())}") from error


@contextmanager
def _sheet(path: Path) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows of a workbook's first sheet."""
    try:
        openpyxl = importlib.import_module("openpyxl")
    except ImportError as error:
        raise UsageError(
            f"reading {str(path)!r} needs openpyxl: pip install openpyxl (or save the sheet as CSV UTF-8)"
        ) from error
    with _binary(path) as file:
        try:
            book = openpyxl.load_workbook(io.BytesIO(file.read()), read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise UsageError(f"cannot read {str(path)!r} as XLSX: {error}") from error
        if len(book.worksheets) > 1:
            said = f"{path.name} has {len(book.worksheets)} sheets; the first, {book.worksheets[0].title!r}, is read"
            warnings.warn(said, OtherSheets, 1)
        try:
            yield book.worksheets[0].iter_rows(values_only=True)
        finally:
            book.close()


def _header(cells: Iterable[Any]) -> tuple[str, ...]:
    return tuple("" if cell is None else str(cell) for cell in cells)


def _xlsx_records(path: Path) -> Iterator[Record]:
    with _sheet(path) as rows:
        header = _header(next(rows, ()))
        for number, cells in enumerate(rows, 1):
            if row := {name: _plain(cell) for name, cell in zip(header, cells, strict=False) if cell is not None}:
                yield Where(path, number), row


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        arrow = importlib.import_module("pyarrow")
    except ImportError as error:
        raise UsageError(
            f"reading {str(path)!r} needs pyarrow: pip install pyarrow (or save the table as CSV)"
        ) from error
    with _binary(path) as file:
        try:
            yield parquet.ParquetFile(io.BytesIO(file.read()) if path.suffix.lower() == ".gz" else file)
        except arrow.ArrowException as error:
            raise UsageError(f"cannot read {str(path)!r} as Parquet: {error}") from error


def _parquet_records(path: Path) -> Iterator[Record]:
    with _parquet(path) as file:
        numbers = count(1)
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                found = {name: _plain(value) for name, value in row.items() if not _missing(value)}
                yield Where(path, next(numbers)), found


def _parquet_chunks(path: Path, wanted: Mapping[str, str]) -> Chunks:
    with _parquet(path) as file:
        start = 1
        for batch in file.iter_batches(batch_size=ROWS, columns=list(dict.fromkeys(wanted.values()))):
            frame = batch.to_pandas()
            yield start, {name: frame[column] for name, column in wanted.items()}
            start += len(frame)


def _plain(value: Any) -> Any:
    """A value that JSON has no name for, as text."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _missing(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124  (NaN)


def _json_records(path: Path, lenient: bool) -> Iterator[Record]:
    number = 0
    with _text(path) as file:
        start = file.readline(CHUNK)
        while start and not start.strip():
            number += 1
            start = file.readline(CHUNK)
        if start.lstrip().startswith("["):
            yield from _array(path, start.lstrip()[1:], file, lenient)
            return
        whole = start if start.endswith("\n") else start + file.readline()
        if whole.strip() == "{" or (kind(path) == ".json" and whole.lstrip().startswith("{")):
            lines = _one_object(path, whole + file.read(), lenient)
            if lines is not None:
                yield from lines
                return
            file.seek(0)  # objects line by line, in a file called .json
            number, whole = 0, file.readline()
        for line in chain((whole,), file):
            number += 1
            if not line.strip():
                continue
            where = Where(path, number)
            try:
                value = parsed(where, line, lenient)
            except UsageError as error:
                if number == 1 or line.endswith("\n") or "is not JSON" not in str(error):
                    raise
                warnings.warn(f"{str(path)!r}: left out an incomplete last line ({len(line)} characters)", CutLine, 2)
                return
            yield _object(where, value)


def _one_object(path: Path, text: str, lenient: bool) -> Iterator[Record] | None:
    """The rows of a file that is one object; None if it is not that."""
    try:
        whole = parsed(Where(path, 1), text, lenient)
    except UsageError as error:
        if "Extra data" in str(error):
            return None
        raise
    rows = whole.get("rows") if isinstance(whole, dict) else None
    if not isinstance(rows, list):
        rows = list(whole.values()) if isinstance(whole, dict) and _rows_by_id(whole) else [whole]
    return (_object(Where(path, number), row) for number, row in enumerate(rows, 1))


def _rows_by_id(whole: dict[str, object]) -> bool:
    """Whether an object holds each row under its id: objects with the same fields. Columns by row number are none."""
    rows = [row for row in whole.values() if isinstance(row, dict) and row]
    if len(rows) < max(2, len(whole)):
        return False
    fields = rows[0].keys()
    return all(row.keys() == fields for row in rows) and not all(name.isdecimal() for name in fields)


def parsed(where: Where, line: str, lenient: bool = True) -> object:
    """What a text of JSON says; ``lenient`` as in ``records``.

    Raises:
        UsageError: it is not JSON, or nested too deeply.
    """
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        pass  # the more lenient reader below takes it, or says better what is wrong
    try:
        value = (_LENIENT if lenient else _STRICT).decode(line)
    except RecursionError as error:
        raise where.error("is nested too deeply") from error
    except ValueError as error:
        raise where.error(f"is not JSON: {error}") from error
    return _clean(value) if lenient else _whole(where, value)


def _array(path: Path, text: str, file: IO[str], lenient: bool) -> Iterator[Record]:
    """Elements of a JSON array, from just after its bracket."""
    at = number = 0
    decoder = _LENIENT if lenient else _STRICT
    while True:
        where = Where(path, number + 1)
        at, text = _skipped(at, text, file)
        if text[at : at + 1] == "]":
            _ended(where, *_skipped(at + 1, text, file))
            return
        if number:
            if text[at : at + 1] != ",":
                raise where.error("a comma or the closing bracket of the list is missing; is the file cut short?")
            at, text = _skipped(at + 1, text, file)
        if text[at : at + 1] != "{":
            raise where.error(f"an object is expected where the file has {text[at : at + 20]!r}")
        while True:
            try:
                value, at = decoder.raw_decode(text, at)
                break
            except RecursionError as error:
                raise where.error("is nested too deeply") from error
            except ValueError as error:
                more = file.read(max(CHUNK, len(text) - at))
                if not more:
                    raise where.error(f"is not JSON: {error}") from error
                text, at = text[at:] + more, 0
        number += 1
        yield _object(where, _clean(value) if lenient else _whole(where, value))


def _ended(where: Where, at: int, text: str) -> None:
    if text:
        raise where.error(f"the list ends before it, but the file goes on with {text[at : at + 20]!r}")


def _skipped(at: int, text: str, file: IO[str]) -> tuple[int, str]:
    """Past white space, reading on where the text ends."""
    while True:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if at < len(text):
            return at, text
        at, text = 0, file.read(CHUNK)
        if not text:
            return at, text


def _object(where: Where, value: object) -> Record:
    if not isinstance(value, dict):
        raise where.error(f"an object is expected, not {type(value).__name__}")
    return where, value


def _nothing(constant: str) -> None:
    """NaN, Infinity and -Infinity are read as null."""


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


_LENIENT = json.JSONDecoder(parse_constant=_nothing)
_STRICT = json.JSONDecoder(parse_constant=_refused)


def _whole(where: Where, value: Any) -> Any:
    """The value, if UTF-8 can hold all of its text."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start : error.start + 1])[1:-1]
        raise where.error(
            f"{half} is half of a surrogate pair, which stands for no character; remove or mend it"
        ) from error
    return value


def _clean(value: Any) -> Any:
    """The value with all its text such that UTF-8 can hold it."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return value


def _jsonl_chunks(path: Path, wanted: Mapping[str, str]) -> Chunks:
    """JSON Lines at full speed, by a decoder that knows the fields; any other file by the slower reader of records."""
    fields = [(f"column_{i}", str | int | float | bool | None, None) for i in range(len(wanted))]
    names = {f"column_{i}": column for i, column in enumerate(wanted.values())}
    decoder = msgspec.json.Decoder(msgspec.defstruct("Battle", fields, rename=names))
    start = 1
    with _binary(path) as file:
        while block := list(islice(file, ROWS)):
            if start == 1 and block[0].startswith(tuple(BOMS)):
                break
            try:
                rows = decoder.decode_lines(b"".join(block))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                break
            if rows:
                yield (
                    start,
                    {name: _texts(getattr(row, f"column_{i}") for row in rows) for i, name in enumerate(wanted)},
                )
            start += len(rows)
        else:
            return
    yield from _record_chunks(path, wanted, start)


def _record_chunks(path: Path, wanted: Mapping[str, str], start: int = 1) -> Chunks:
    """Columns of records, from the one on that comes so many places after the first."""
    rows = islice(records(path), start - 1, None)
    while block := list(islice(rows, ROWS)):
        for where, row in block:
            for column in wanted.values():
                if not isinstance(row.get(column), str | int | float | None):
                    raise where.error(f"field `{column}` is {type(row[column]).__name__}, where text is expected")
        yield start, {name: _texts(row.get(column) for _, row in block) for name, column in wanted.items()}
        start += len(block)


def _texts(values: Iterable[object]) -> Any:
    import numpy as np

    texts = [value if value is None or type(value) is str else str(value) for value in values]
    return np.array([None if text == "" else text for text in texts], dtype=object)
