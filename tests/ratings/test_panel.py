"""Judges pooled as a panel: never a narrower interval than what they carry together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.leaderboard import Choices, rate_tables
from evalkit.ratings.panel import PANEL
from tests.ratings.rows import judged


def tables(judges):
    """The same verdicts by each of the judges: one wins two questions of three."""
    rows = [
        judged(*shown, scores, f"q{number}", judge=judge)
        for judge in judges
        for number in range(60)
        for shown, scores in (
            (("one", "two"), (1.0, 0.0) if number % 3 else (0.0, 1.0)),
            (("two", "one"), (0.0, 1.0) if number % 3 else (1.0, 0.0)),
        )
    ]
    return comparisons(rows)


def test_copies_of_a_judge_narrow_nothing():
    choices = Choices(paths=(), method="winrate", baseline="two")
    found = rate_tables(tables(["ann", "ann again", "ann once more"]), choices).standings
    by_judge = {row.judge: row.main for row in found if row.model == "one"}
    pooled, alone = by_judge[PANEL], by_judge["ann"]
    assert pooled is not None
    assert alone is not None
    assert pooled.estimate == pytest.approx(alone.estimate)
    assert pooled.upper - pooled.lower >= 0.99 * (alone.upper - alone.lower)


def test_where_questions_are_not_named_there_is_no_panel_and_it_is_said():
    nameless = [replace(table, questions=()) for table in tables(["ann", "bob"])]
    board = rate_tables(nameless, Choices(paths=(), method="bt"))
    assert {row.judge for row in board.standings} == {"ann", "bob"}
    assert any("'ann', 'bob' are not pooled" in note for note in board.notes)
    assert PANEL in {row.judge for row in rate_tables(tables(["ann", "bob"]), Choices(paths=())).standings}
