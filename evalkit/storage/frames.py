"""Stored rows -> pandas DataFrames: one row a judgment, or one row an answered turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.core.schema import Failure, Judged, Judgment, Response
from evalkit.storage.row_chunks import RowChunks, UnusualRows
from evalkit.storage.store import Log, Rows

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CHUNK = 20_000
"""Rows that are turned into columns at once: rows are ten times as large as what is kept of them."""

Values = list[Any]


@dataclass(frozen=True)
class _Column:
    name: str
    read: Callable[[Sequence[Any]], Values]
    """Of many rows at once: a call for each would take longer than all the rest."""
    kind: Literal["category", "integer", "number", "object"] = "object"
    shows: int | None = None
    """The number of answers shown by the rows that have it, ``LISTED`` for more than two; None: every row has it."""


SINGLE, PAIR, LISTED = 1, 2, 3


def _shows(row: Any) -> int:
    return min(len(row.models), LISTED)


def _score(place: int) -> Callable[[Sequence[Any]], Values]:
    return lambda rows: [None if (given := row.scores) is None else given[place] for row in rows]


def _length(place: int) -> Callable[[Sequence[Any]], Values]:
    return lambda rows: [known[place] if (known := row.lengths) else None for row in rows]


def _model(place: int) -> Callable[[Sequence[Any]], Values]:
    return lambda rows: [row.models[place].name for row in rows]


def _winner(row: Any) -> str | None:
    """The model with the higher score, or ``tie``; None where there is no verdict."""
    if row.scores is None:
        return None
    first, second = row.scores
    if first == second:
        return "tie"
    name: str = row.models[0 if first > second else 1].name
    return name


JUDGED = (
    _Column("benchmark", lambda rows: [row.benchmark for row in rows], "category"),
    _Column("item", lambda rows: [row.item for row in rows], "category"),
    _Column("category", lambda rows: [row.category for row in rows], "category"),
    _Column("turn", lambda rows: [row.turn for row in rows], "integer"),
    _Column("judge", lambda rows: [row.judge.name for row in rows], "category"),
    _Column("protocol", lambda rows: [row.protocol for row in rows], "category"),
    _Column("model", _model(0), "category", SINGLE),
    _Column("score", _score(0), "number", SINGLE),
    _Column("length", _length(0), "number", SINGLE),
    _Column("model_a", _model(0), "category", PAIR),
    _Column("model_b", _model(1), "category", PAIR),
    _Column("winner", lambda rows: list(map(_winner, rows)), "category", PAIR),
    _Column("score_a", _score(0), "number", PAIR),
    _Column("score_b", _score(1), "number", PAIR),
    _Column("length_a", _length(0), "number", PAIR),
    _Column("length_b", _length(1), "number", PAIR),
    _Column("models", lambda rows: [tuple(model.name for model in row.models) for row in rows], shows=LISTED),
    _Column("scores", lambda rows: [row.scores for row in rows], shows=LISTED),
    _Column("verdict", lambda rows: [row.label for row in rows], "category"),
    _Column("failed", lambda rows: [error.kind if (error := row.error) else None for row in rows], "category"),
    _Column("failure", lambda rows: [error.message if (error := row.error) else None for row in rows]),
    _Column("repeat", lambda rows: [row.repeat for row in rows], "integer"),
    _Column("created", lambda rows: [row.created for row in rows], "number"),
)
WRITTEN = (
    _Column("raw", lambda rows: [row.raw for row in rows]),
    _Column("prompt_tokens", lambda rows: [row.usage.prompt_tokens for row in rows], "integer"),
    _Column("completion_tokens", lambda rows: [row.usage.completion_tokens for row in rows], "integer"),
    _Column("cost", lambda rows: [row.cost for row in rows], "number"),
    _Column("latency", lambda rows: [row.latency for row in rows], "number"),
    _Column("key", lambda rows: [row.key for row in rows]),
)


def _each(read: Callable[[Response, int], Any]) -> Callable[[Sequence[Any]], Values]:
    """What to read of each answered turn."""
    return lambda pairs: [read(*pair) for pair in pairs]


ANSWERED = (
    _Column("benchmark", _each(lambda row, _: row.benchmark), "category"),
    _Column("item", _each(lambda row, _: row.item), "category"),
    _Column("category", _each(lambda row, _: row.category), "category"),
    _Column("model", _each(lambda row, _: row.model.name), "category"),
    _Column("turn", _each(lambda _, turn: turn + 1), "integer"),
    _Column("answer", _each(lambda row, turn: _at(row.turns, turn))),
    _Column("thinking", _each(lambda row, turn: _at(row.thinking, turn))),
    _Column("finish", _each(lambda row, turn: _at(row.finish, turn)), "category"),
    _Column("failed", _each(lambda row, turn: error.kind if (error := _error(row, turn)) else None), "category"),
    _Column("failure", _each(lambda row, turn: error.message if (error := _error(row, turn)) else None)),
    _Column(
        "completion_tokens",
        _each(lambda row, turn: getattr(_at(row.usage, turn), "completion_tokens", None)),
        "number",
    ),
    _Column("cost", _each(lambda row, _: row.cost), "number"),
    _Column("latency", _each(lambda row, _: row.latency), "number"),
    _Column("created", _each(lambda row, _: row.created), "number"),
    _Column("key", _each(lambda row, _: row.key)),
)
"""Of pairs of a response and a turn, counted from 0."""


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def _error(row: Response, turn: int) -> Failure | None:
    """Why there is no answer on a turn; turns before it have one."""
    return row.error if turn == len(row.turns) else None


def _nothing(kind: str, rows: int) -> Any:
    """A column's part where no row has a value."""
    import numpy as np

    return np.full(rows, -1, dtype=np.int32) if kind == "category" else np.full(rows, np.nan)


def _numbers_of(values: Values, kind: str) -> Any:
    """A column's part of numbers; a missing one is NaN."""
    import numpy as np

    dtype = np.int64 if kind == "integer" else np.float64
    try:
        return np.fromiter(values, dtype=dtype, count=len(values))
    except TypeError:  # there is a None: this takes three times as long
        return np.array(values, dtype=dtype)


class _Numbers(dict[str | None, int]):
    """Numbers the values of a column in order of appearance; a missing one is -1."""

    def __missing__(self, value: str | None) -> int:
        self[value] = number = -1 if value is None else len(self) - (None in self)
        return number


class _Growing:
    """One column while rows stream by."""

    def __init__(self, column: _Column) -> None:
        self._column = column
        self._parts: list[Any] = []
        self._numbers = _Numbers()

    def extend(self, rows: Sequence[Any], widths: Set[int]) -> None:
        import numpy as np

        read, shows, kind = self._column.read, self._column.shows, self._column.kind
        if shows is None or widths == {shows}:
            values = read(rows)
        elif shows in widths:
            found = iter(read([row for row in rows if _shows(row) == shows]))
            values = [next(found) if _shows(row) == shows else None for row in rows]
        elif kind == "object":
            values = [None] * len(rows)
        else:
            self._parts.append(_nothing(kind, len(rows)))
            return
        if kind == "category":
            if values[0] == values[-1] and values.count(values[0]) == len(values):  # as of a judge, whose file it is
                self._parts.append(np.full(len(values), self._numbers[values[0]], dtype=np.int32))
                return
            codes = map(self._numbers.__getitem__, values)
            self._parts.append(np.fromiter(codes, dtype=np.int32, count=len(values)))
        elif kind == "object":
            self._parts.append(values)
        else:
            self._parts.append(_numbers_of(values, kind))

    def series(self, kept: Sequence[int] | None) -> Series[Any] | None:
        """The column, or these rows of it; None where no row has a value."""
        import numpy as np
        from pandas import Categorical, Index, Series

        kind = self._column.kind
        if kind == "category":
            known = [value for value in self._numbers if value is not None]
            if not known:
                return None
            codes = np.concatenate(self._parts)
            return Series(Categorical.from_codes(codes if kept is None else codes[kept], categories=Index(known)))
        if kind == "object":
            values = list(chain.from_iterable(self._parts))
            values = values if kept is None else [values[place] for place in kept]
            return Series(values, dtype=object) if values.count(None) < len(values) else None
        numbers = np.concatenate(self._parts) if self._parts else np.zeros(0)
        numbers = numbers if kept is None else numbers[kept]
        return None if not numbers.size or np.isnan(numbers).all() else Series(numbers)


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Let the garbage collector rest: no row refers to itself, and looking for cycles among millions takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _table(
    chunks: Iterable[Sequence[Any]],
    columns: Sequence[_Column],
    *,
    widths_of: Callable[[Sequence[Any]], Set[int]] = lambda _: set(),
    latest: Callable[[], Sequence[int] | None] = lambda: None,
) -> DataFrame:
    """A table of rows that come in chunks.

    Args:
        chunks: of rows; none is empty.
        columns: the columns; those without any value are left out.
        widths_of: how many answers the rows of a chunk show.
        latest: which of all rows are kept, asked when they have all come; None: all.
    """
    from pandas import DataFrame

    growing = {column.name: _Growing(column) for column in columns}
    with _no_cycles():
        for chunk in chunks:
            widths = widths_of(chunk)
            for column in growing.values():
                column.extend(chunk, widths)
    kept = latest()
    found = {name: growing.pop(name).series(kept) for name in list(growing)}
    return DataFrame({name: series for name, series in found.items() if series is not None}, copy=False)


def _chunks(rows: Iterable[Any]) -> Iterator[Sequence[Any]]:
    stream = iter(rows)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk


def _widths(chunk: Sequence[Any]) -> Set[int]:
    return {min(width, LISTED) for width in set(map(len, [row.models for row in chunk]))}


def judgments(files: Iterable[Path], *, words: bool = True) -> DataFrame:
    """Tabulate the judgments of some files, in the order stored, the latest of each key.

    Columns: ``benchmark, item, category, turn, judge, protocol``; of single grading ``model, score, length``; of
    pairs, in the order shown, ``model_a, model_b, winner`` (a model, or ``tie``), ``score_a, score_b, length_a,
    length_b``; of longer lists ``models, scores`` as tuples; ``verdict``, as the judge gave it; ``failed`` and
    ``failure``, the kind and the message where there is no verdict; ``repeat``; ``created`` (Unix time). With words
    also ``raw``, the judge's, ``prompt_tokens, completion_tokens, cost`` (US dollars), ``latency`` (seconds) and
    ``key``. A failed judgment has missing values for scores and winner. A column without any value is left out.
    Lengths are in characters.

    Raises:
        StoreError: a file cannot be read, or a line is no judgment.
    """
    listed = list(files)
    columns = (*JUDGED, *WRITTEN) if words else JUDGED
    rows = RowChunks(listed, words=words)
    try:
        return _table(rows, columns, widths_of=_widths, latest=rows.latest)
    except UnusualRows:
        logs: list[Any] = [Log(path, Judgment) if words else Rows(path, Judged) for path in listed]
        return _table(_chunks(row for log in logs for row in log), columns, widths_of=_widths)


def answers(rows: Iterable[Response]) -> DataFrame:
    """Tabulate answers, one row a turn, in the order stored; one row of a response that failed before its first.

    Columns: ``benchmark, item, category, model, turn, answer, thinking, finish, failed, failure, completion_tokens,
    cost`` (US dollars, of all turns), ``latency`` (seconds, of all turns), ``created`` (Unix time), ``key``. A turn
    that failed has no answer. A column without any value is left out.
    """

    def turns() -> Iterator[tuple[Response, int]]:
        for row in rows:
            failed = 1 if row.error is not None else 0
            for turn in range(len(row.turns) + failed):
                yield row, turn

    return _table(_chunks(turns()), ANSWERED)
