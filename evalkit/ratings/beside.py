"""The same models as rated by several judges, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evalkit.ratings.comparisons import is_people
from evalkit.ratings.panel import PANEL
from evalkit.ratings.refusals import METHOD
from evalkit.ratings.standing import Standing


@dataclass(frozen=True)
class JudgesSideBySide:
    """The same models as rated by several judges."""

    benchmark: str
    category: str | None
    method: str
    judges: tuple[tuple[str, str], ...]
    """Judge and protocol."""
    models: tuple[str, ...]
    cells: dict[tuple[str, tuple[str, str]], Standing]
    """By model and judge."""


def side_by_side(standings: Iterable[Standing]) -> list[JudgesSideBySide]:
    """One table for each benchmark (and category) that several judges rated, of models rated more than once."""
    groups: dict[tuple[str, str | None, str], list[Standing]] = {}
    for standing in standings:
        if standing.main is not None and standing.method != METHOD:  # its table has all judges already
            groups.setdefault((standing.benchmark, standing.category, standing.method), []).append(standing)
    result = []
    for (name, category, method), rows in groups.items():
        judges = tuple(sorted({(row.judge, row.protocol) for row in rows}, key=_people_first))
        cells = {(row.model, (row.judge, row.protocol)): row for row in rows}
        models = [
            model
            for model in dict.fromkeys(row.model for row in rows)
            if sum((model, judge) in cells for judge in judges) > 1
        ]
        if len(judges) > 1 and models:
            result.append(JudgesSideBySide(name, category, method, judges, tuple(models), cells))
    return result


def _people_first(judge: tuple[str, str]) -> tuple[int, str, str]:
    return 0 if is_people(judge[0]) else 2 if judge[0] == PANEL else 1, *judge
