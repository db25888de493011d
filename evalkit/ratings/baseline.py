"""Which model all others were compared with, and each model's comparisons with it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.core.protocols import UsageError
from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.standing import named

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray

Baseline = str | Mapping[str, str] | None
"""One model, one for each category, or None: the one that takes part in every pair."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Comparisons with the baseline, seen from the other model."""

    model: IntArray
    """[N] position of the model."""
    preference: FloatArray
    """[N] 1 where the model is better than the baseline, 0 where it is worse."""
    length: FloatArray
    """[N] characters of the baseline's answer minus those of the model's; NaN where unknown."""
    rows: IntArray
    """[N] positions in the table."""
    baseline: str
    """Name, or names with their categories."""
    baselines: frozenset[int]
    left_out: int
    """Comparisons between two other models."""


def matches(table: Comparisons, baseline: Baseline) -> Matches | None:
    """The comparisons with the baseline; None where no model takes part in every pair and none was named.

    Raises:
        UsageError: the named baseline is not in the table.
    """
    import numpy as np

    chosen = _by_category(table, baseline)
    if chosen is None:
        return None
    base = np.array([chosen.get(name, -1) for name in table.categories] or [-1])[table.category]
    is_a, is_b = table.a == base, table.b == base
    rows = np.flatnonzero(is_a | is_b)
    flipped = is_a[rows]
    length = (table.length_a - table.length_b)[rows]
    return Matches(
        model=np.where(flipped, table.b[rows], table.a[rows]),
        preference=np.where(flipped, 1 - table.outcome[rows], table.outcome[rows]),
        length=np.where(flipped, length, -length),
        rows=rows,
        baseline=_described(table, chosen),
        baselines=frozenset(chosen.values()),
        left_out=len(table) - rows.size,
    )


def by_the_data(table: Comparisons, usual: Baseline) -> Baseline:
    """The baseline where nobody names one: who takes part in every pair, whatever the benchmark's usual one is.

    Where the data leave it open (there are two models, or all met all), it is the usual one, if that met every model.

    Args:
        table: the comparisons.
        usual: the benchmark's; None if it has none.
    """
    found = _found(table)
    if found is not None:
        return {category: table.models[place] for category, place in found.items()}
    if usual is None:
        return None
    by_category = dict.fromkeys(table.categories, usual) if isinstance(usual, str) else dict(usual)
    chosen = {
        name: table.models.index(by_category[name])
        for name in table.categories
        if by_category.get(name) in table.models
    }
    return usual if chosen and _met_all(table, chosen) else None


def _met_all(table: Comparisons, chosen: Mapping[str, int]) -> bool:
    """Whether every model that was compared at all was compared with the baseline of some category."""
    import numpy as np

    base = np.array([chosen.get(name, -1) for name in table.categories])[table.category]
    mine = (table.a == base) | (table.b == base)
    return set(np.unique(np.r_[table.a, table.b]).tolist()) == set(
        np.unique(np.r_[table.a[mine], table.b[mine]]).tolist()
    )


def _by_category(table: Comparisons, baseline: Baseline) -> dict[str, int] | None:
    """Position of the baseline in each category of the table."""
    if baseline is None:
        return _found(table)
    named_ones = {baseline} if isinstance(baseline, str) else set(baseline.values())
    for name in named_ones - set(table.models):
        if isinstance(baseline, str):
            raise UsageError(_unknown(name, table))
    if isinstance(baseline, str):
        return dict.fromkeys(table.categories, table.models.index(baseline))
    found = {
        category: table.models.index(baseline[category])
        for category in table.categories
        if baseline.get(category) in table.models
    }
    return found or None


def _found(table: Comparisons) -> dict[str, int] | None:
    """The one model that takes part in every pair, of all or at least of each category."""
    import numpy as np

    size = len(table.models)

    def always(rows: IntArray | slice) -> list[int]:
        a, b = table.a[rows], table.b[rows]
        met = np.bincount(a, minlength=size) + np.bincount(b, minlength=size)
        return list(np.flatnonzero((met == a.size) & (met > 0)).tolist())

    overall = always(slice(None))
    if overall:
        return dict.fromkeys(table.categories, overall[0]) if len(overall) == 1 else None
    if len(table.categories) < 2:
        return None
    result = {}
    for position, name in enumerate(table.categories):
        candidates = always(np.flatnonzero(table.category == position))
        if len(candidates) != 1:
            return None
        result[name] = candidates[0]
    return result


def _described(table: Comparisons, chosen: dict[str, int]) -> str:
    names = list(dict.fromkeys(table.models[i] for i in chosen.values()))
    if len(names) == 1:
        return names[0]
    parts = [
        f"{name} ({', '.join(category for category, i in chosen.items() if table.models[i] == name)})" for name in names
    ]
    return "; ".join(parts)


def _unknown(name: str, table: Comparisons) -> str:
    near = difflib.get_close_matches(name, table.models, n=3)
    hint = f"; did you mean {named(near)}?" if near else f"; there are: {named(table.models, 12)}"
    return f"no comparisons by {table.judge!r} with a baseline {name!r}{hint}"
