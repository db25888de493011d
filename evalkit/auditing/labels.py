"""What people say, in our plain format: JSONL, one vote on a pair of answers, or one score of an answer, a line.

    {"item": "81", "turn": 1, "model_a": "gpt-4", "model_b": "claude-v1", "winner": "model_a", "annotator": "ann"}
    {"item": "81", "turn": 1, "model": "gpt-4", "score": 8, "annotator": "ann"}

``winner`` is model_a, model_b (or the model's name) or tie. ``score`` is on the scale of the judges that grade single
answers. ``turn`` is 1 and ``annotator`` "human" unless given. Of the votes that one named annotator gives on the same
pair and turn, the last one counts.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import msgspec

from evalkit.auditing.gather import Grade, Vote
from evalkit.protocols import UsageError


class _Row(msgspec.Struct):
    item: str | int
    model_a: str | None = None
    model_b: str | None = None
    winner: str | None = None
    model: str | None = None
    score: float | None = None
    turn: int = 1
    annotator: str | int = "human"
    category: str | None = None


def read_votes(path: Path) -> tuple[list[Vote | Grade], list[Path]]:
    """Votes and scores of the plain format; or the path itself, where it holds judgments that were imported.

    Raises:
        UsageError: the file is missing or malformed, with the line.
    """
    if path.is_dir():
        return [], [path]
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error
    if lines and b'"evalkit.judgment/' in lines[0]:
        return [], [path]
    decoder = msgspec.json.Decoder(_Row)
    votes: list[Vote | Grade] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except ValueError as error:
            raise UsageError(
                f"{str(path)!r}, line {number}: {error}. {PLAIN}; other tools' files go through `evalkit import`"
            ) from error
        votes.append(_said(row, f"{str(path)!r}, line {number}"))
    if not votes:
        raise UsageError(f"{str(path)!r} holds no votes")
    return votes, []


PLAIN = (
    "A vote is a JSON object with item, model_a, model_b and winner, a score one with item, model and score; "
    "both may have turn, annotator, category"
)


def _said(row: _Row, where: str) -> Vote | Grade:
    if not 1 <= row.turn < 100:
        raise UsageError(f"{where}: turn is {row.turn}; turns count from 1")
    pair = row.model_a is not None and row.model_b is not None and row.winner is not None
    graded = row.model is not None and row.score is not None
    if pair == graded:
        raise UsageError(f"{where}: has {'both a vote and a score' if pair else 'neither a vote nor a score'}. {PLAIN}")
    return _vote(row, where) if pair else _grade(row, where)


def _grade(row: _Row, where: str) -> Grade:
    assert row.model is not None
    assert row.score is not None
    if not isfinite(row.score):
        raise UsageError(f"{where}: score is {row.score}; a score is a finite number")
    return Grade(str(row.item), row.turn, row.model, row.score, str(row.annotator), row.category)


def _vote(row: _Row, where: str) -> Vote:
    assert row.model_a is not None
    assert row.model_b is not None
    assert row.winner is not None
    outcomes = {row.model_a: 1.0, row.model_b: 0.0, "model_a": 1.0, "model_b": 0.0, "a": 1.0, "b": 0.0, "tie": 0.5}
    outcome = outcomes.get(row.winner, outcomes.get(row.winner.strip().lower()))
    if outcome is None:
        raise UsageError(f"{where}: winner is {row.winner[:60]!r}; known are model_a, model_b and tie")
    if row.model_a == row.model_b:
        raise UsageError(f"{where}: model_a and model_b are both {row.model_a[:60]!r}")
    return Vote(str(row.item), row.turn, row.model_a, row.model_b, outcome, str(row.annotator), row.category)
