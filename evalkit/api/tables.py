"""Tables in memory, of whichever library, as records and as files."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from evalkit.core.protocols import UsageError


class PandasLike(Protocol):
    """A pandas DataFrame."""

    def to_dict(self, orient: Any) -> Any:
        """Its rows, given ``records``."""
        ...


class PolarsLike(Protocol):
    """A polars DataFrame."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """Its rows."""
        ...


class ArrowLike(Protocol):
    """A pyarrow Table."""

    def to_pylist(self) -> list[dict[str, Any]]:
        """Its rows."""
        ...


TableLike: TypeAlias = PandasLike | PolarsLike | ArrowLike | Sequence[Mapping[str, Any]]
"""A DataFrame of pandas or polars, a table of pyarrow, or a list of dicts."""


def records(table: TableLike) -> list[dict[str, Any]]:
    """The rows of a table; missing values (NaN, NaT, NA) are None, NumPy's numbers are Python's.

    Raises:
        UsageError: it is no table.
    """
    rows: Any
    if hasattr(table, "to_pylist"):
        rows = table.to_pylist()
    elif hasattr(table, "to_dicts"):
        rows = table.to_dicts()
    elif hasattr(table, "to_dict"):
        rows = table.to_dict("records")
    else:
        rows = table
    listed = isinstance(rows, Sequence) and not isinstance(rows, str | bytes)
    if not listed or not all(isinstance(row, Mapping) for row in rows):
        raise UsageError(
            f"{type(table).__name__} is no table; give a DataFrame of pandas or polars, a pyarrow Table, or a list of "
            "dicts"
        )
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


@contextmanager
def on_disk(table: str | Path | TableLike | None, name: str = "table") -> Iterator[Path | None]:
    """A path as it is; a table in memory as a JSONL file of that name, which is removed afterwards.

    Raises:
        UsageError: it is neither.
    """
    if table is None or isinstance(table, str | Path):
        yield None if table is None else Path(table)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.jsonl"
        encode = msgspec.json.Encoder(enc_hook=str).encode
        path.write_bytes(b"".join(encode(row) + b"\n" for row in records(table)))
        yield path
