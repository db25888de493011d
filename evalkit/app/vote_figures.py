"""What votes come to: ratings by people beside those by judges, corrected win rates, agreement, precision."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalkit.app.vote_statistics import Number, agreement_lines, precisions
from evalkit.app.vote_tasks import task_id
from evalkit.app.voting import Voting
from evalkit.core.protocols import EvalkitError
from evalkit.core.schema import Judged, Judgment
from evalkit.ratings.judgment_columns import outcome_of, rater_kind
from evalkit.storage.results import judged_rows

if TYPE_CHECKING:
    from evalkit.reports.grid import Grid

REST: Final = 4.0
"""Times as long as figures took to work out, nobody's look has them worked out again: votes come first."""


@dataclass(frozen=True)
class VoteFigureSet:
    """Figures as of some votes."""

    stored: int
    """As of which row."""
    votes: int
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]
    corrected: tuple[str, ...]
    agreement: tuple[str, ...]
    precision: tuple[str, ...]


@dataclass
class VoteFigures:
    """The figures of some votes, which are worked out beside the pages, so that nobody waits for them.

    Args:
        voting: takes the votes.
        paths: results, for the judges' verdicts and ratings.
        wanted: the number asked for.
        until: half of the width that it is to be known to, in points.
    """

    voting: Voting
    paths: tuple[Path, ...]
    wanted: Number = "winrate"
    until: float = 5.0
    _latest: VoteFigureSet | None = None
    _again_from: float = 0.0
    """Before this time nothing is worked out again."""
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _verdicts: dict[str, dict[str, float]] | None = None

    def latest(self) -> VoteFigureSet | None:
        """The newest figures there are, at once; newer ones are worked out beside where votes have come since."""
        shown = self._latest
        if shown is None or (self.more(shown) and time.monotonic() > self._again_from):
            self._begin()
        return shown

    def _begin(self) -> None:
        if self._busy.acquire(blocking=False):
            threading.Thread(target=self._beside, daemon=True).start()

    def more(self, shown: VoteFigureSet) -> int:
        """How many votes have come or changed since."""
        return self.voting.stored - shown.stored

    def _beside(self) -> None:
        try:
            self._work_out()
        finally:
            self._busy.release()

    def _work_out(self) -> None:
        began = time.monotonic()
        self._latest = self._rated(*self.voting.snapshot())
        self._again_from = time.monotonic() + REST * (time.monotonic() - began)

    def _rated(self, stored: int, votes: Mapping[str, Mapping[str, Judgment]]) -> VoteFigureSet:
        """Tables of ratings by people beside those by judges, corrected win rates, agreement."""
        from evalkit.ratings import leaderboard
        from evalkit.ratings.beside import side_by_side
        from evalkit.reports import leaderboard_grid
        from evalkit.reports.grid import Grid

        grids, notes = list[Grid](), list[str]()
        pairs = self.voting.scale.shows == 2
        try:
            choices = leaderboard.Choices(paths=self.paths, method="elo" if pairs else "score", permutations=200)
            board = leaderboard.rate(choices)
            beside = side_by_side(board.standings)
            grids = [grid for table in beside for grid in leaderboard_grid.beside(table)]
            grids = grids or leaderboard_grid.all_grids(board.standings, [])
            notes += board.notes
            corrected, agreement = _against_judges(self.paths)
        except EvalkitError as error:
            notes.append(str(error))
            corrected, agreement = [], []
        return VoteFigureSet(
            stored=stored,
            votes=sum(map(len, votes.values())),
            grids=tuple(grids),
            notes=tuple(notes),
            corrected=tuple(corrected),
            agreement=(*agreement, *agreement_lines(votes, self.voting.scale)),
            precision=tuple(self.precision(votes)),
        )

    def precision(self, votes: Mapping[str, Mapping[str, Judgment]]) -> list[str]:
        """How well the number asked for is known by these votes."""
        if self.voting.scale.shows != 2:
            return []
        judges = self.verdicts()
        main = max(judges, key=lambda judge: len(judges[judge]), default="")
        found = precisions(votes, judges.get(main, {}), self.wanted, self.until, len(self.voting.plan.tasks))
        if self.wanted == "agreement" and not main:
            return ["No judge judged these pairs, so there is no agreement to estimate."]
        return [one.sentence for one in found]

    def verdicts(self) -> dict[str, dict[str, float]]:
        """What judges say of each task: a grade, or the mean outcome for the model first by name."""
        with self._reading:
            if self._verdicts is None:
                self._verdicts = self._read_verdicts()
            return self._verdicts

    def _read_verdicts(self) -> dict[str, dict[str, float]]:
        sums: dict[str, dict[str, list[float]]] = {}
        known = {task.id for task in self.voting.plan.tasks}
        for log in judged_rows(self.paths):
            for row in log:
                if rater_kind(row.judge) != "judge" or row.scores is None:
                    continue
                named = task_id((row.benchmark, row.item), row.turn, row.shown)
                if named in known:
                    sums.setdefault(row.judge.name, {}).setdefault(named, []).append(_first_score(row))
        return {
            judge: {task: sum(values) / len(values) for task, values in tasks.items()} for judge, tasks in sums.items()
        }


def _against_judges(paths: tuple[Path, ...]) -> tuple[list[str], list[str]]:
    """Win rates of judges corrected by people's votes, and how often judges and people agree, in sentences."""
    from evalkit.audit import corrections
    from evalkit.audit.agreement_counts import agreement_rows
    from evalkit.evidence.gather import gather

    corrected, agreement = [], []
    for gathered in gather(row for log in judged_rows(paths) for row in log):
        for evidence in gathered.evidence:
            corrected += [
                f"{evidence.judge}: {one.sentence}"
                for one in corrections.findings(evidence)
                if one.metric == corrections.CORRECTED.name and one.estimate is not None
            ]
        for row in agreement_rows(gathered):
            if row.category is None and row.turn is None and row.setup == "S1" and row.total:
                agreement.append(
                    f"{row.judge} and {row.other}: {row.agree / row.total:.0%} the same verdict (ties counted), "
                    f"on {row.total:g} comparisons"
                )
    return corrected, agreement


def _first_score(row: Judged) -> float:
    assert row.scores is not None
    if len(row.scores) == 1:
        return float(row.scores[0])
    outcome = outcome_of(row.scores)
    names = [model.name for model in row.models]
    return outcome if names == sorted(names) else 1 - outcome
