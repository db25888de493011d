"""What people say: a table of votes on pairs of answers, or of scores of single ones, of any kind of file.

    {"item": "81", "turn": 1, "model_a": "gpt-4", "model_b": "claude-v1", "winner": "model_a", "annotator": "ann"}
    {"item": "81", "turn": 1, "model": "gpt-4", "score": 8, "annotator": "ann"}

Columns and winners are those of vocabulary.py. ``score`` is on the scale of the judges that grade single answers.
``turn`` is 1 and ``annotator`` "human" unless given. Of the votes that one named annotator gives on the same pair and
turn, the last one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item
from evalkit.datasets.data_files import Record, Where, records
from evalkit.datasets.question_fields import written_list
from evalkit.datasets.vocabulary import COLUMNS, BattleFile, turn_of
from evalkit.evidence.gather import Grade, Vote

PLAIN = (
    "A vote is a row with item, model_a, model_b and winner, a score one with item, model and score; both may have "
    "turn, annotator, category"
)


class _Score(msgspec.Struct):
    model: str
    score: float
    turn: int | str = 1
    category: str | None = None


def read_votes(
    path: Path,
    given: Mapping[str, str] | None = None,
    note: Callable[[str], None] = lambda _: None,
    known: Mapping[str, Mapping[str, Item]] | None = None,
) -> tuple[list[Vote | Grade], list[Path]]:
    """Votes and scores of a table; or the path itself, where it holds judgments that were imported.

    Args:
        path: a file, or a folder of results.
        given: columns by field, where the user names them.
        note: is told what had to be assumed.
        known: the questions that were judged, by benchmark and id; a vote may name one by its text.

    Raises:
        UsageError: the file is missing or malformed, with the row.
    """
    if path.is_dir():
        return [], [path]
    graded: list[Record] = []
    compared: list[Record] = []
    for where, row in records(path):
        if str(row.get("schema", "")).startswith("evalkit.judgment/"):
            return [], [path]
        pair = all(any(name in row for name in COLUMNS[side]) for side in ("model_a", "model_b")) or given
        score = "model" in row and row.get("score") is not None
        if score and pair and not given:
            raise where.error(f"has both a vote and a score. {PLAIN}")
        if not score and not pair:
            raise where.error(f"has neither a vote nor a score. {PLAIN}")
        (graded if score else compared).append((where, row))
    votes: list[Vote | Grade] = [*_votes(path, compared, given, note), *(_grade(*row) for row in graded)]
    if not votes:
        raise UsageError(f"{str(path)!r} holds no votes")
    return list(_on_known_questions(path, votes, known or {}, note)), []


def _on_known_questions(
    path: Path, votes: list[Vote | Grade], known: Mapping[str, Mapping[str, Item]], note: Callable[[str], None]
) -> Iterator[Vote | Grade]:
    """The votes, with the id of each question that they name by its text."""
    items = [item for of_benchmark in known.values() for item in of_benchmark.values()]
    ids = {item.id for item in items}
    if all(vote.item in ids for vote in votes):
        yield from votes
        return
    by_text: dict[tuple[str, ...], set[str]] = {}
    for item in items:
        for turns in {item.turns, item.turns[:1]}:
            by_text.setdefault(tuple(turn.strip() for turn in turns), set()).add(item.id)
    named = 0
    for vote in votes:
        texts = written_list(vote.item) or [vote.item]
        found = () if vote.item in ids else by_text.get(tuple((text or "").strip() for text in texts), ())
        named += bool(found)
        yield from (vote._replace(item=name) for name in sorted(found)) if found else (vote,)
    if named:
        note(f"assumed: in {path.name}, {named:,} votes name their question by its text")


def _votes(
    path: Path, rows: list[Record], given: Mapping[str, str] | None, note: Callable[[str], None]
) -> Iterator[Vote]:
    if not rows:
        return
    battles = BattleFile(path, lambda: rows, dict.fromkeys(name for _, row in rows for name in row), given)
    if "question" not in battles.columns.fields:
        raise UsageError(f"{str(path)!r}: no column `item`, which says what was voted on. {PLAIN}")
    for text in battles.assumed:
        note(text)
    failed = 0
    for where, _, row in battles:
        if not row.question:
            raise where.error(f"field `{battles.columns.fields['question']}` is empty")
        if row.model_a == row.model_b:
            raise where.error(f"model_a and model_b are both {row.model_a[:60]!r}")
        if row.points is None:
            failed += 1
            continue
        voter = row.judge or "human"
        yield Vote(row.question, row.turn, row.model_a, row.model_b, row.points, voter, row.category or None)
    if failed:
        note(f"{path.name}: {failed} votes failed, and do not count")


def _grade(where: Where, row: dict[str, Any]) -> Grade:
    item, voter = (next((row[name] for name in COLUMNS[field] if name in row), "") for field in ("question", "judge"))
    if item in (None, ""):
        raise where.error(f"no column `item`, which says what was graded. {PLAIN}")
    read = where.read({name: value for name, value in row.items() if value != ""}, _Score, strict=False)
    if not abs(read.score) < float("inf"):
        raise where.error(f"score is {read.score}; a score is a finite number")
    turn = turn_of(str(read.turn), where)
    return Grade(str(item), turn, read.model, read.score, str(voter or "human"), read.category)
