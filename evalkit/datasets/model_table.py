"""A table of models and their figures: rows are models, columns automatic benchmarks (ARC, HellaSwag, TruthfulQA)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.datasets.data_files import records
from evalkit.datasets.vocabulary import ANSWERS, columns_of, spelt

MODEL = {"model": (*ANSWERS["model"], "name")}
ABSENT = frozenset({"", "-", "–", "—", "n/a", "na", "none", "null", "nan", "?"})
"""What stands in a cell without a figure."""


@dataclass(frozen=True)
class ModelTable:
    """Figures of models."""

    name: str
    """Of the file."""
    models: tuple[str, ...]
    columns: Mapping[str, Mapping[str, float]]
    """Figure by model, by column; a model without one is not there."""

    def named(self, judged: Collection[str]) -> tuple[dict[str, str], list[str]]:
        """Which row is whose: the table's name by the name of a judged model; and the table's models nobody judged.

        A name counts as the same up to capitals, spaces and hyphens, and with or without an organisation before it.
        """
        rows: dict[str, str] = {}
        for form in (lambda name: name, spelt, lambda name: spelt(name.rpartition("/")[2])):
            listed: dict[str, list[str]] = {}
            for model in self.models:
                listed.setdefault(form(model), []).append(model)
            for model in judged:
                found = listed.get(form(model), [])
                if model not in rows and len(found) == 1 and found[0] not in rows.values():
                    rows[model] = found[0]
        return rows, [model for model in self.models if model not in rows.values()]


def read_model_table(
    path: Path, given: Mapping[str, str] | None = None, note: Callable[[str], None] = lambda _: None
) -> ModelTable:
    """Read a table of models.

    Args:
        path: CSV, TSV, XLSX, JSON, JSONL or Parquet.
        given: the column of the models' names, as ``model``, where the user names it.
        note: is told which columns hold no figures.

    Raises:
        UsageError: there is no column of models' names or of figures, a model is there twice, or a figure is no number.
    """
    rows = list(records(path))
    there = list(dict.fromkeys(str(name) for _, row in rows for name in row))
    column = columns_of(there, path, MODEL, given or {})["model"]
    if column is None:
        raise UsageError(
            f"{str(path)!r}: no column `model`, with a model's name in each row; --map model=COLUMN names it. This "
            f"file has: {', '.join(map(repr, there[:12])) or 'nothing'}"
        )
    models: list[str] = []
    cells: dict[str, dict[str, Any]] = {name: {} for name in there if name != column}
    for where, row in rows:
        name = str(row.get(column) or "").strip()
        if not name:
            raise where.error(f"field `{column}` is empty; it names the model")
        if name in models:
            raise where.error(f"model {name[:60]!r} is there twice; keep one row for each")
        models.append(name)
        for other, values in cells.items():
            if (value := row.get(other)) is not None and str(value).strip().lower() not in ABSENT:
                values[name] = value
    columns = {name: known for name, values in cells.items() if (known := _figures(values, name, path))}
    if not columns:
        raise UsageError(f"{str(path)!r} has no column of figures beside the models' names")
    if without := [name for name in cells if name not in columns]:
        note(f"{path.name}: no figures in {', '.join(map(repr, without[:12]))}, left out")
    return ModelTable(path.name, tuple(models), columns)


def _figures(values: Mapping[str, Any], name: str, path: Path) -> dict[str, float]:
    """The figures of a column by model; none where most of its cells are no numbers, as in one of dates or licences."""
    figures = {model: _figure(value) for model, value in values.items()}
    known = {model: figure for model, figure in figures.items() if figure is not None}
    if len(known) <= len(figures) / 2:
        return {}
    if odd := next((model for model in figures if model not in known), None):
        raise UsageError(
            f"{str(path)!r}: column {name!r} has {str(values[odd])[:40]!r} for model {odd[:60]!r}, which is no number; "
            "leave the cell empty where there is no figure"
        )
    return known


def _figure(value: Any) -> float | None:
    """A number, or a text that is one; a percent sign may follow."""
    if isinstance(value, bool):
        return None
    try:
        number = float(str(value).strip().removesuffix("%").strip())
    except ValueError:
        return None
    return number if isfinite(number) else None
