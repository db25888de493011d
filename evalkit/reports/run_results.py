"""The beginning of a run's page: what the run asked for. Tables and figures of its ratings, best and worst answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.core.schema import Judgment, Response
from evalkit.core.text import plain
from evalkit.ratings.beside import side_by_side
from evalkit.ratings.refusals import METHOD
from evalkit.ratings.standing import Board
from evalkit.reports.audit_page import LIMITS, excerpt
from evalkit.reports.leaderboard_grid import all_grids
from evalkit.reports.leaderboard_page import shown
from evalkit.reports.leaderboard_tables import ALONE

if TYPE_CHECKING:
    from evalkit.engine.experiment import Experiment
    from evalkit.storage.store import Store

EACH = 2
"""Best examples of a judge, and as many of the worst."""


def results(experiment: Experiment, store: Store, board: Board, notes: Sequence[str]) -> dict[str, Any]:
    """What the page shows before any audit of the judge, for its template. Text is harmless, and not yet escaped.

    Args:
        experiment: what ran.
        store: its rows.
        board: its ratings.
        notes: what is odd about its answers.
    """
    standings = board.standings
    compared = any(row.method not in ALONE for row in standings)
    refused = bool(standings) and all(row.method == METHOD for row in standings)
    grids = all_grids(standings, side_by_side(standings), matrices=True)
    return {
        "title": "Ratings" if compared else "Refusals" if refused else "Scores",
        "tables": [shown(grid) for grid in grids[: LIMITS.parts]],
        "notes": [plain(note) for note in (*board.notes, *notes)],
        "examples_title": "Clear wins"
        if compared
        else "Full compliance and full refusals"
        if refused
        else "Best and worst",
        "examples": [_example(*found, experiment=experiment) for found in _found(experiment, store)],
    }


Found = tuple[str, Judgment, Sequence[Response]]
"""In words what it is an example of, the judgment, and the answers shown."""


def _found(experiment: Experiment, store: Store) -> Iterator[Found]:
    """The examples whose answers are stored, judge by judge."""
    by_judge: dict[str, list[Judgment]] = {}
    for row in experiment.judgments(store):
        if row.scores is not None and row.repeat == 0:
            by_judge.setdefault(row.judge.fingerprint, []).append(row)
    chosen = [one for rows in by_judge.values() for one in (*_graded(rows), *_compared(rows))][: LIMITS.examples]
    wanted = {answer for _, row in chosen for answer in row.shown}
    items = {row.item for _, row in chosen}
    names = dict.fromkeys(ref.name for _, row in chosen for ref in row.models)
    stored = (answer for name in names for answer in store.responses(name) if answer.item in items)
    answers = {answer.id: answer for answer in stored if answer.id in wanted}
    for why, row in chosen:
        if all(answer in answers for answer in row.shown):
            yield why, row, [answers[answer] for answer in row.shown]


def _graded(rows: Iterable[Judgment]) -> Iterator[tuple[str, Judgment]]:
    """The highest and the lowest score of a judge, no question twice."""
    single = [row for row in rows if len(row.shown) == 1]
    ordered = sorted(single, key=lambda row: (_score(row), row.item, row.turn))
    taken: set[str] = set()
    for why, listed in (("Among the best", reversed(ordered)), ("Among the worst", iter(ordered))):
        left = EACH
        for row in listed:
            if left and row.item not in taken and (why, _score(row)) not in _middle(ordered):
                taken.add(row.item)
                left -= 1
                yield f"{why}: {_score(row):g}", row


def _middle(ordered: Sequence[Judgment]) -> set[tuple[str, float]]:
    """What is no example: where all scores are alike, none is among the worst."""
    alike = bool(ordered) and _score(ordered[0]) == _score(ordered[-1])
    return {("Among the worst", _score(ordered[0]))} if alike else set()


def _score(row: Judgment) -> float:
    return row.scores[0] if row.scores else 0.0


def _compared(rows: Iterable[Judgment]) -> Iterator[tuple[str, Judgment]]:
    """Wins of each model whichever answer was shown first; models in turn, no question twice."""
    pairs: dict[tuple[str, int, frozenset[str]], list[Judgment]] = {}
    for row in rows:
        if len(row.shown) == 2 and len({ref.name for ref in row.models}) == 2:
            pairs.setdefault((row.item, row.turn, frozenset(ref.name for ref in row.models)), []).append(row)
    wins: dict[str, list[Judgment]] = {}
    for both in pairs.values():
        winners = {_winner(row) for row in both}
        if len(both) == 2 and len(winners) == 1 and (winner := winners.pop()) is not None:
            wins.setdefault(winner, []).append(both[0])
    taken: set[str] = set()
    for place in range(EACH):
        for name, won in sorted(wins.items()):
            found = next((row for row in won[place:] if row.item not in taken), None)
            if found is not None and len(taken) < 2 * EACH:
                taken.add(found.item)
                yield f"{name} won, whichever was shown first", found


def _winner(row: Judgment) -> str | None:
    first, second = row.scores or (0.5, 0.5)
    return None if first == second else row.models[0 if first > second else 1].name


def _example(why: str, row: Judgment, answers: Sequence[Response], *, experiment: Experiment) -> Mapping[str, Any]:
    questions = {item.id: item.turns for item in experiment.benchmark.items}
    return {
        "kind": plain(why),
        "where": plain(f"{row.category}, question {row.item}, turn {row.turn}"),
        "question": excerpt(questions[row.item][row.turn - 1], LIMITS.text // 2),
        "judge": f"judge {plain(row.judge.name)}",
        "judge_says": [plain(_winner(row) or "a tie") if len(row.shown) == 2 else plain(row.label or "")[:150]],
        "others_say": [],
        "sides": [
            {"model": plain(ref.name), **excerpt(answer.turns[row.turn - 1], LIMITS.text)}
            for ref, answer in zip(row.models, answers, strict=True)
        ],
        "raw": [excerpt(row.raw, LIMITS.text // 2)] if row.raw.strip() else [],
        "open": True,
    }
