"""Judges put to a set with labels: what is shown at the end is how often each is right, not who of the models wins."""

from __future__ import annotations

from pathlib import Path

from evalkit.audit.judge_board import judge_board
from evalkit.audit.judged_sets import judged_sets
from evalkit.core.protocols import EvalkitError
from evalkit.engine.experiment import Experiment
from evalkit.engine.session import Session
from evalkit.ratings.standing import Board
from evalkit.reports import judges_output, leaderboard_tables
from evalkit.reports.judges_grids import grids
from evalkit.reports.judges_words import answer


def show_judges(session: Session, board: Board, experiment: Experiment) -> Path | None:
    """Print the board of all judges of the set, and leave it as JSON and as a page. Returns the page."""
    del board, experiment  # ratings of chosen and rejected answers say nothing of a judge
    try:
        found, costs, notes = judged_sets([session.store.root])
        judges = judge_board(found, costs=costs)
    except EvalkitError as error:
        session.trouble = session.trouble or error
        return None
    leaderboard_tables.say(session.console, [answer(table) for table in judges.tables])
    leaderboard_tables.show(session.console, grids(judges, by_category=False, matrices=False))
    session.write("judges.json", judges_output.to_json(judges, [*notes, *judges.notes]))
    session.write("judges.html", judges_output.page(judges, [*notes, *judges.notes]))
    return session.folder / "judges.html"
