"""Several judges as one: a panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalkit.ratings.comparisons import COLUMNS, Comparisons, Failed

if TYPE_CHECKING:
    from evalkit.stats.arrays import IntArray

PANEL = "pooled"
"""What several judges together are called."""


def pooled(tables: list[Comparisons], judge: str) -> Comparisons:
    """The comparisons of several judges as those of one: every judge's verdict on a comparison weighs the same.

    Args:
        tables: of one protocol, each with its questions named: they are what intervals are clustered by.
        judge: what they are called together.
    """
    import numpy as np

    models = _union([table.models for table in tables])
    categories = _union([table.categories for table in tables])
    questions = _union([table.questions for table in tables])
    parts: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    failed: list[Failed] = []
    for table in tables:
        model, category = _places(table.models, models), _places(table.categories, categories)
        question = _places(table.questions, questions)
        maps = {"a": model, "b": model, "question": question, "category": category}
        for name in COLUMNS:
            values = getattr(table, name)
            parts[name].append(maps[name][values] if name in maps else values)
        failed += [
            row._replace(
                a=int(model[row.a]),
                b=int(model[row.b]) if row.b >= 0 else -1,
                category=int(category[row.category]),
                question=int(question[row.question]) if row.question >= 0 else -1,
            )
            for row in table.failed
        ]
    columns: dict[str, Any] = {name: np.concatenate(values) for name, values in parts.items()}
    first = tables[0]
    return Comparisons(
        first.benchmark,
        judge,
        first.protocol,
        tuple(models),
        questions,
        tuple(categories),
        **columns,
        failed=tuple(failed),
        **_styles(tables),
    )


def _styles(tables: list[Comparisons]) -> dict[str, Any]:
    """Style columns, where every table has them."""
    import numpy as np

    if any(table.style_a is None or table.style_b is None for table in tables):
        return {}
    return {name: np.concatenate([getattr(table, name) for table in tables]) for name in ("style_a", "style_b")}


def _union(lists: list[Sequence[str]]) -> Sequence[str]:
    """Names of all lists, each once; the list itself where all are the same object."""
    if all(names is lists[0] for names in lists):
        return lists[0]
    return tuple(dict.fromkeys(name for names in lists for name in names))


def _places(names: Sequence[str], joint: Sequence[str]) -> IntArray:
    """Where the names of one table are in the joint list."""
    import numpy as np

    if names is joint:
        return np.arange(max(len(names), 1))
    place = {name: i for i, name in enumerate(joint)}
    return np.array([place[name] for name in names] or [0], dtype=np.int64)
