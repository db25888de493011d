"""A board of judges as data (JSON, CSV) and as a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.audit.judge_board import BoardRow, BoardTable, JudgeBoard
from evalkit.core.text import plain
from evalkit.reports import web
from evalkit.reports.judges_grids import figure, grids
from evalkit.reports.judges_words import answer, remarks
from evalkit.reports.leaderboard_page import shown
from evalkit.reports.leaderboard_tables import csv_of, pair_data

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

SCHEMA = "evalkit.judges/1"
TEMPLATE = "judges.html.j2"


def to_json(board: JudgeBoard, notes: Sequence[str]) -> str:
    """The board as data, schema ``evalkit.judges/1``."""
    content = {
        "schema": SCHEMA,
        "orders": board.orders,
        "tables": [_table(table) for table in board.tables],
        "notes": list(notes),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _table(table: BoardTable) -> dict[str, Any]:
    needed, found = table.needed, table.differences
    return {
        "benchmark": table.benchmark,
        "measure": table.measure,
        "labels_by": table.source,
        "category": table.category,
        "labels": table.labels,
        "questions": table.questions,
        "answer": answer(table),
        "leaders": [row.name for row in table.leaders],
        "labels_to_tell_apart": None if needed is None else needed.estimate,
        "labels_in_common": None if needed is None else needed.n,
        "rows": [
            {
                **_fields(row),
                "categories": {name: _interval(value) for name, value in row.categories.items()},
                "by_strength": {name: _interval(value) for name, value in row.strengths.items()},
                "without_verdict": list(row.items),
            }
            for row in table.rows
        ],
        "differences": [] if found is None else [pair_data(pair) for pair in found.pairs],
        "notes": list(remarks(table)),
    }


def _interval(value: Interval | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"estimate": value.estimate, "lower": value.lower, "upper": value.upper, "n": value.n}


def _fields(row: BoardRow) -> dict[str, Any]:
    best, worst = row.ranks or (None, None)
    return {
        "name": row.name,
        "judge": row.judge,
        "protocol": row.protocol,
        "kind": row.kind,
        "right": _interval(row.right),
        "right_failed_as_not": row.strict,
        "labels": row.labels,
        "decided": row.decided,
        "tied": row.tied,
        "failed": row.failed,
        "best_rank": best,
        "worst_rank": worst,
        "same_in_both_orders": _interval(row.same_in_both),
        "shown_first": _interval(row.position),
        "longer": _interval(row.length),
        "own_family": _interval(row.family),
        "stronger": _interval(row.stronger),
        "ties_score": row.ties,
        "judgments": row.cost.judgments,
        "usd_each": row.cost.usd_each,
        "seconds_each": row.cost.seconds_each,
    }


def to_csv(board: JudgeBoard) -> str:
    """One line a judge and set, in full precision; each interval in three columns."""
    return csv_of(flat(board))


def flat(board: JudgeBoard) -> list[dict[str, Any]]:
    """One row a judge and set; each interval is three values, ``NAME, NAME_lower, NAME_upper``."""
    listed = []
    for table in board.tables:
        about = {
            "benchmark": table.benchmark,
            "measure": table.measure,
            "labels_by": table.source,
            "category": table.category,
        }
        for row in table.rows:
            flat: dict[str, Any] = dict(about)
            for name, value in _fields(row).items():
                if name in INTERVALS:
                    found = value or {}
                    flat |= {name: found.get("estimate")}
                    flat |= {f"{name}_{end}": found.get(end) for end in ("lower", "upper")}
                else:
                    flat[name] = value
            flat["without_verdict"] = json.dumps(list(row.items), ensure_ascii=False)
            listed.append(flat)
    return listed


INTERVALS = ("right", "same_in_both_orders", "shown_first", "longer", "own_family", "stronger")
"""Fields that have limits."""


def page(board: JudgeBoard, notes: Sequence[str], *, title: str = "Which judge?") -> str:
    """The board as one page: answers, a figure of all sets, then the tables."""
    tables = [replace(grid, points=()) for grid in grids(board, by_category=True, matrices=True)]  # one figure for all
    rows = sum(row.right is not None for table in board.tables for row in table.rows)
    return web.render(
        TEMPLATE,
        title=plain(title),
        answers=[plain(answer(table)) for table in board.tables],
        picture=web.picture(figure(board.tables)) if rows > 1 else None,
        grids=[shown(grid) for grid in tables],
        notes=[plain(note) for note in notes],
    )
