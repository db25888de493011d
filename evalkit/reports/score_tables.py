"""Scores of single grading on a terminal: for each benchmark and judge a table of models, then one of categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.core.schema import Ref
from evalkit.core.text import plain
from evalkit.datasets import benchmark
from evalkit.ratings.scores import Score, overall
from evalkit.reports import terminal
from evalkit.reports.leaderboard_grid import NONE, OF_QUESTIONS, Cell, Grid, interval

if TYPE_CHECKING:
    from rich.console import Console


def show(console: Console, table: Sequence[Score]) -> None:
    """Print the tables, and below each what failed."""
    from rich.text import Text

    if not table:
        console.print("no scores: not one answer was judged", style="yellow")
    groups = dict.fromkeys((score.benchmark, score.judge, score.protocol) for score in table)
    for group in groups:
        mine = [score for score in table if (score.benchmark, score.judge, score.protocol) == group]
        judge = _label(
            group[1], [judge for benchmark_, judge, protocol in groups if (benchmark_, protocol) == group[::2]]
        )
        title = f"{group[0]}: scores by {judge} ({group[2]}), with 95% intervals"
        console.print(Text(plain(title), style="bold"))
        grids = [_models(mine)]
        if len({score.category for score in mine}) > 2:
            grids.append(_categories(mine))
        for grid in grids:
            for part in terminal.tables(grid, console.width):
                console.print(part)
        for score in overall(mine):
            if score.failed:
                name = _label(score.model, [other.model for other in overall(mine)])
                console.print(f"{plain(name)}: {_failures(score)}", style="yellow", markup=False, highlight=False)
        if any(score.uneven for score in overall(mine)):
            console.print(OF_QUESTIONS, style="dim", markup=False, highlight=False)


def _models(mine: Sequence[Score]) -> Grid:
    turns = max(len(score.turns) for score in mine)
    models = [score.model for score in overall(mine)]
    rows = []
    for score in overall(mine):
        estimates = [score.score, *score.turns] + [None] * (turns - len(score.turns))
        counts = (Cell(str(score.n)), Cell(str(sum(score.failed.values()))))
        rows.append((Cell(_label(score.model, models)), *(interval(one, 2) for one in estimates), *counts))
    headers = ("model", "score", *(f"turn {turn}" for turn in range(1, turns + 1)), "n", "failed")
    return Grid("", headers, tuple(rows))


def _categories(mine: Sequence[Score]) -> Grid:
    models = list(dict.fromkeys(score.model for score in mine))
    found = {(score.category, score.model): interval(score.score, 2) for score in mine}
    categories = {score.category for score in mine if score.category is not None}
    rows = tuple(
        (Cell(category), *(found.get((category, model), NONE) for model in models))
        for category in benchmark.in_order(mine[0].benchmark, categories)
    )
    return Grid("", ("category", *(_label(model, models) for model in models)), rows)


def _label(ref: Ref, others: Sequence[Ref]) -> str:
    """A name; with the beginning of its fingerprint where another configuration has the same one."""
    alike = any(other.name == ref.name and other != ref for other in others)
    return f"{ref.name} #{ref.fingerprint[:6]}" if alike else ref.name


def _failures(score: Score) -> str:
    """How many judgments and answers came to nothing, and why."""
    answers = {
        kind.removeprefix("answer "): count for kind, count in score.failed.items() if kind.startswith("answer ")
    }
    judged = {kind: count for kind, count in score.failed.items() if not kind.startswith("answer ")}
    parts = []
    if answers:
        parts.append(f"{sum(answers.values())} without an answer ({_counts(answers)})")
    if judged:
        total = score.n + sum(judged.values())
        parts.append(f"{sum(judged.values())} of {total} judgments without a verdict ({_counts(judged)})")
    return "; ".join(parts)


def _counts(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
