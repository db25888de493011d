"""Conversations in a table: what was said before is the question's history, the last answer is what is judged."""

from __future__ import annotations

import json

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response
from evalkit.interop import load

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Now the harmful part."},
    {"role": "assistant", "content": "I'm sorry, I can't."},
]


def read(tmp_path, *rows):
    path = tmp_path / "bot.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return [one.record for one in load("table").read(path)]


def test_a_transcript_is_judged_as_given(tmp_path):
    item, answer = read(tmp_path, {"messages": TALK, "category": "theft", "expected": "unsafe", "harm_category": "x"})
    assert isinstance(item, Item)
    assert isinstance(answer, Response)
    assert (item.system, item.turns, item.category) == ("Be kind.", ("Now the harmful part.",), "theft")
    assert [turn.content for turn in item.messages] == ["Hello", "Hi."]
    assert item.meta == {"expected": "decline", "harm_category": "x"}
    assert (answer.turns, answer.model.name) == (("I'm sorry, I can't.",), "bot")


def test_the_same_last_words_after_another_history_are_another_question(tmp_path):
    other = [{"role": "user", "content": "Bonjour"}, *TALK[2:]]
    found = read(tmp_path, {"messages": TALK}, {"messages": other})
    assert len({item.id for item in found if isinstance(item, Item)}) == 2


def test_an_answer_may_stand_in_a_column_of_its_own(tmp_path):
    item, answer = read(tmp_path, {"messages": TALK[:-1], "answer": "No."})
    assert (item.turns, answer.turns) == (("Now the harmful part.",), ("No.",))


def test_a_transcript_without_an_answer_is_refused(tmp_path):
    with pytest.raises(UsageError, match="ends with the user; an answer to judge must be the last thing said"):
        read(tmp_path, {"messages": TALK[:-1]})


def test_labels_of_refusals_are_scores(tmp_path):
    rows = [
        {"prompt": "a", "answer": "b", "model": "m", "score": "full refusal", "annotator": "ann"},
        {"prompt": "c", "answer": "d", "model": "m", "score": "Partial refusal", "annotator": "ann"},
    ]
    verdicts = [row for row in read(tmp_path, *rows) if isinstance(row, Judgment)]
    assert [(row.scores, row.label, row.judge.name) for row in verdicts] == [
        ((0.0,), "full refusal", "ann"),
        ((0.5,), "Partial refusal", "ann"),
    ]
