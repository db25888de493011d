"""Which format a file of labelled answers is in, by the fields of its first record."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from evalkit.core.protocols import UsageError
from evalkit.datasets.data_files import PATTERNS, files, first

FIELDS: Final = {
    frozenset({"pair_id", "response_A", "response_B", "label"}): "judgebench",
    frozenset({"input", "output_1", "output_2", "label"}): "llmbar",
    frozenset({"problem", "eval_solution", "solution_type"}): "rewardmath",
    frozenset({"problem", "eval_solution_A", "eval_solution_B"}): "rewardmath",
}
"""What tells a format from preferences, which are of many shapes."""


def format_of(path: Path) -> str:
    """The format of a file, or of the first file in a folder.

    Raises:
        UsageError: it holds results of judges without the answers.
    """
    found = next((record for file in files(path, *PATTERNS) if (record := first(file)) is not None), {})
    if {"solution_reference", "score"} <= found.keys():
        raise UsageError(
            f"{str(path)!r} holds scores without the solutions, so no judge can be put to them; `evalkit import "
            "rewardmath` brings the scores"
        )
    return next((name for fields, name in FIELDS.items() if fields <= found.keys()), "preferences")
