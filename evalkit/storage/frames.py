"""Stored rows -> pandas DataFrames: one row a judgment, or one row an answered turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from evalkit.core.schema import Failure, Judged, Judgment, Response

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CHUNK = 20_000
"""Rows that are turned into columns at once: rows are ten times as large as what is kept of them."""


@dataclass(frozen=True)
class _Column:
    name: str
    read: Callable[[Any], Any]
    kind: Literal["category", "integer", "number", "object"] = "object"
    shows: int | None = None
    """The number of answers shown by the rows that have it, ``LISTED`` for more than two; None: every row has it."""


SINGLE, PAIR, LISTED = 1, 2, 3


def _shows(row: Any) -> int:
    return min(len(row.shown), LISTED)


def _score(row: Judged, place: int = 0) -> float | None:
    return None if row.scores is None else row.scores[place]


def _length(row: Judged, place: int = 0) -> int | None:
    return row.lengths[place] if row.lengths else None


def _winner(row: Judged) -> str | None:
    """The model with the higher score, or ``tie``; None where there is no verdict."""
    if row.scores is None:
        return None
    first, second = row.scores
    return "tie" if first == second else row.models[0 if first > second else 1].name


JUDGED = (
    _Column("benchmark", attrgetter("benchmark"), "category"),
    _Column("item", attrgetter("item"), "category"),
    _Column("category", attrgetter("category"), "category"),
    _Column("turn", attrgetter("turn"), "integer"),
    _Column("judge", attrgetter("judge.name"), "category"),
    _Column("protocol", attrgetter("protocol"), "category"),
    _Column("model", lambda row: row.models[0].name, "category", SINGLE),
    _Column("score", _score, "number", SINGLE),
    _Column("length", _length, "number", SINGLE),
    _Column("model_a", lambda row: row.models[0].name, "category", PAIR),
    _Column("model_b", lambda row: row.models[1].name, "category", PAIR),
    _Column("winner", _winner, "category", PAIR),
    _Column("score_a", _score, "number", PAIR),
    _Column("score_b", lambda row: _score(row, 1), "number", PAIR),
    _Column("length_a", _length, "number", PAIR),
    _Column("length_b", lambda row: _length(row, 1), "number", PAIR),
    _Column("models", lambda row: tuple(model.name for model in row.models), shows=LISTED),
    _Column("scores", attrgetter("scores"), shows=LISTED),
    _Column("verdict", attrgetter("label"), "category"),
    _Column("failed", lambda row: row.error.kind if row.error else None, "category"),
    _Column("failure", lambda row: row.error.message if row.error else None),
    _Column("repeat", attrgetter("repeat"), "integer"),
    _Column("created", attrgetter("created"), "number"),
)
WRITTEN = (
    _Column("raw", attrgetter("raw")),
    _Column("prompt_tokens", attrgetter("usage.prompt_tokens"), "integer"),
    _Column("completion_tokens", attrgetter("usage.completion_tokens"), "integer"),
    _Column("cost", attrgetter("cost"), "number"),
    _Column("latency", attrgetter("latency"), "number"),
    _Column("key", attrgetter("key")),
)
ANSWERED = (
    _Column("benchmark", lambda pair: pair[0].benchmark, "category"),
    _Column("item", lambda pair: pair[0].item, "category"),
    _Column("category", lambda pair: pair[0].category, "category"),
    _Column("model", lambda pair: pair[0].model.name, "category"),
    _Column("turn", lambda pair: pair[1] + 1, "integer"),
    _Column("answer", lambda pair: _at(pair[0].turns, pair[1])),
    _Column("thinking", lambda pair: _at(pair[0].thinking, pair[1])),
    _Column("finish", lambda pair: _at(pair[0].finish, pair[1]), "category"),
    _Column("failed", lambda pair: error.kind if (error := _error(*pair)) else None, "category"),
    _Column("failure", lambda pair: error.message if (error := _error(*pair)) else None),
    _Column(
        "completion_tokens", lambda pair: getattr(_at(pair[0].usage, pair[1]), "completion_tokens", None), "number"
    ),
    _Column("cost", lambda pair: pair[0].cost, "number"),
    _Column("latency", lambda pair: pair[0].latency, "number"),
    _Column("created", lambda pair: pair[0].created, "number"),
    _Column("key", lambda pair: pair[0].key),
)
"""Of pairs of a response and a turn, counted from 0."""


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def _error(row: Response, turn: int) -> Failure | None:
    """Why there is no answer on a turn; turns before it have one."""
    return row.error if turn == len(row.turns) else None


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
            values = list(map(read, rows))
        elif shows in widths:
            values = [read(row) if _shows(row) == shows else None for row in rows]
        else:
            values = [None] * len(rows)
        if kind == "category":
            codes = map(self._numbers.__getitem__, values)
            self._parts.append(np.fromiter(codes, dtype=np.int32, count=len(values)))
        elif kind == "object":
            self._parts.append(values)
        else:
            self._parts.append(np.array(values, dtype=np.int64 if kind == "integer" else np.float64))

    def series(self) -> Series[Any] | None:
        """The column; None where no row has a value."""
        import numpy as np
        from pandas import Categorical, Index, Series

        kind = self._column.kind
        if kind == "category":
            known = [value for value in self._numbers if value is not None]
            if not known:
                return None
            return Series(Categorical.from_codes(np.concatenate(self._parts), categories=Index(known)))
        if kind == "object":
            values = [value for part in self._parts for value in part]
            return Series(values, dtype=object) if any(value is not None for value in values) else None
        numbers = np.concatenate(self._parts) if self._parts else np.zeros(0)
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
    rows: Iterable[Any], columns: Sequence[_Column], widths_of: Callable[[Sequence[Any]], Set[int]] = lambda _: set()
) -> DataFrame:
    from pandas import DataFrame

    growing = {column.name: _Growing(column) for column in columns}
    stream = iter(rows)
    with _no_cycles():
        while chunk := list(islice(stream, CHUNK)):
            widths = widths_of(chunk)
            for column in growing.values():
                column.extend(chunk, widths)
    found = {name: column.series() for name, column in growing.items()}
    return DataFrame({name: series for name, series in found.items() if series is not None})


def judgments(rows: Iterable[Judged]) -> DataFrame:
    """Tabulate judgments, in the order stored.

    Columns: ``benchmark, item, category, turn, judge, protocol``; of single grading ``model, score, length``; of
    pairs, in the order shown, ``model_a, model_b, winner`` (a model, or ``tie``), ``score_a, score_b, length_a,
    length_b``; of longer lists ``models, scores`` as tuples; ``verdict``, as the judge gave it; ``failed`` and
    ``failure``, the kind and the message where there is no verdict; ``repeat``; ``created`` (Unix time). Rows of
    ``Judgment`` add ``raw``, the judge's words, ``prompt_tokens, completion_tokens, cost`` (US dollars), ``latency``
    (seconds) and ``key``. A failed judgment has missing values for scores and winner. A column without any value is
    left out. Lengths are in characters.
    """
    stream = iter(rows)
    first = next(stream, None)
    columns = (*JUDGED, *WRITTEN) if isinstance(first, Judgment) else JUDGED
    return _table(_chained(first, stream), columns, lambda chunk: set(map(_shows, chunk)))


def _chained(first: Judged | None, rest: Iterator[Judged]) -> Iterator[Judged]:
    if first is not None:
        yield first
        yield from rest


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

    return _table(turns(), ANSWERED)
