"""A plan -> a table with its sentences, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evalkit.decisions.plan import StudyPlan
from evalkit.reports.grid import NONE, Grid, GridCell

SCHEMA = "evalkit.plan/1"


def to_json(found: Sequence[StudyPlan]) -> str:
    """Plans as data, schema ``evalkit.plan/1``; designs the cheapest first."""
    rows = [
        {
            "benchmark": one.benchmark,
            "protocol": one.protocol,
            "detect": one.detect,
            "power": one.power,
            "unit": one.unit,
            "judges": list(one.judges),
            "model_pairs": one.pairs,
            "n": one.components.n,
            "variance_questions": one.components.questions,
            "variance_judges": one.components.judges,
            "variance_repeats": one.components.repeats,
            "designs": [
                {
                    "judges": design.judges,
                    "repeats": design.repeats,
                    "questions": design.questions,
                    "judgments": design.judgments,
                    "cost": design.cost,
                }
                for design in one.designs
            ],
            "sentences": one.sentences(),
        }
        for one in found
    ]
    return json.dumps({"schema": SCHEMA, "rows": rows}, indent=2, ensure_ascii=False, allow_nan=False)


def grids(found: Sequence[StudyPlan]) -> list[Grid]:
    """A table for each benchmark and protocol."""
    result = []
    for one in found:
        lines = [
            (
                GridCell(str(design.judges)),
                GridCell(str(design.repeats)),
                GridCell(f"{design.questions:,}"),
                GridCell(f"{design.judgments:,}"),
                NONE if design.cost is None else GridCell(f"{design.cost:.2f}"),
            )
            for design in one.designs
        ]
        parts = one.components
        known = [("questions", parts.questions), ("judges", parts.judges), ("repeats", parts.repeats)]
        varies = ", ".join(f"{value:.3g} between {name}" for name, value in known if value is not None)
        title = f"{one.benchmark} ({one.protocol}): to find a difference of {one.detect:g} {one.unit}"
        headers = ("judges", "repeats", "questions", "judgments", "US dollars")
        notes = (
            *one.sentences(),
            f"variance of a difference: {varies} ({parts.n} questions, model pairs: {one.pairs})",
        )
        result.append(Grid(title, headers, tuple(lines), left=0, notes=notes))
    return result
