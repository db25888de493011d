"""Judges beside each other on sets with labels, as Python sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.api.notebook import grids_of, text_of
from evalkit.api.plots import drawn
from evalkit.audit.judge_board import JudgeBoard
from evalkit.reports import judges_grids, judges_output, leaderboard_tables
from evalkit.reports.judges_words import answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

    from evalkit.reports.grid import Grid


@dataclass(frozen=True)
class RankedJudges:
    """Every judge on every set with labels: how often it is right; `Results.judges` makes it."""

    board: JudgeBoard
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> DataFrame:
        """One row a judge and set, best first: ``right, right_lower, right_upper``, labels, ranks, ..."""
        from pandas import DataFrame

        return DataFrame(judges_output.flat(self.board))

    @property
    def sentences(self) -> tuple[str, ...]:
        """Which judge to choose on each set, in one line."""
        return tuple(answer(table) for table in self.board.tables)

    def to_json(self) -> str:
        """The board as JSON, schema ``evalkit.judges/1``."""
        return judges_output.to_json(self.board, self.notes)

    def to_html(self) -> str:
        """The board as one page, which needs no network."""
        return judges_output.page(self.board, self.notes)

    def to_latex(self) -> str:
        """The tables in the style of the booktabs package."""
        return leaderboard_tables.to_latex(self._grids(matrices=True))

    def to_markdown(self) -> str:
        """The tables as Markdown."""
        return leaderboard_tables.to_markdown(self._grids())

    def plot(self, *, number: int | None = None) -> Drawing:
        """Draw how often each judge is right as a Matplotlib figure.

        Args:
            number: which set, from 1, where there are several.

        Raises:
            UsageError: there is nothing to draw, or there are several figures.
        """
        return drawn(judges_grids.figures(self.board), number)

    def _grids(self, *, matrices: bool = False) -> Sequence[Grid]:
        return judges_grids.grids(self.board, by_category=False, matrices=matrices)

    def _repr_html_(self) -> str:
        """The answers and the tables as a notebook shows them."""
        return text_of(self.sentences) + grids_of(self._grids())
