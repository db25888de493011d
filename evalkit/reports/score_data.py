"""Scores as data: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from evalkit.ratings.scores import Score

LEADERBOARD_SCHEMA = "evalkit.leaderboard/1"


def rows(table: Iterable[Score], *, by_category: bool = False) -> list[dict[str, Any]]:
    """The leaderboard as plain data; estimates with ``lower`` and ``upper``, None where there is no number."""
    result = []
    for score in table:
        if (score.category is not None) != by_category:
            continue
        row: dict[str, Any] = {"model": score.model.name}
        if by_category:
            row["category"] = score.category
        row |= {
            "score": score.score.estimate if score.score else None,
            "lower": score.score.lower if score.score else None,
            "upper": score.score.upper if score.score else None,
            "n": score.n,
            "failed": sum(score.failed.values()),
            "failed_by_kind": score.failed,
            "questions": score.questions,
        }
        for number, turn in enumerate(score.turns, start=1):
            row |= {
                f"turn_{number}": turn.estimate if turn else None,
                f"turn_{number}_lower": turn.lower if turn else None,
                f"turn_{number}_upper": turn.upper if turn else None,
            }
        row |= {
            "judge": score.judge.name,
            "protocol": score.protocol,
            "benchmark": score.benchmark,
            "model_fingerprint": score.model.fingerprint,
            "judge_fingerprint": score.judge.fingerprint,
        }
        result.append(row)
    return result


def to_json(leaderboard: list[dict[str, Any]]) -> str:
    """As JSON, with its schema."""
    return json.dumps({"schema": LEADERBOARD_SCHEMA, "rows": leaderboard}, indent=2, ensure_ascii=False)


def to_csv(leaderboard: list[dict[str, Any]]) -> str:
    """As CSV, full precision; failures by kind as JSON in one field."""
    out = io.StringIO()
    columns = list(dict.fromkeys(key for row in leaderboard for key in row))
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in leaderboard:
        cells = {**row, "failed_by_kind": json.dumps(row["failed_by_kind"])}
        writer.writerow({key: _safe_cell(value) if isinstance(value, str) else value for key, value in cells.items()})
    return out.getvalue().rstrip("\n")


def _safe_cell(text: str) -> str:
    """A name that a spreadsheet will not run as a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
