"""Conversations and rubrics that questions bring, in the forms that files have them."""

from __future__ import annotations

import asyncio
import json

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import ChatTurn, Criterion
from evalkit.datasets import benchmark
from evalkit.datasets.conversations import Conversation, read_conversation
from evalkit.datasets.item_rubrics import read_rubric


def said(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


CALL = {"function": {"name": "sky", "arguments": {"x": 1}}}
HISTORY = (ChatTurn("user", "Hi"), ChatTurn("assistant", "Hello"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (said(("user", "Hi")), Conversation(None, (), ("Hi",))),
        (said(("user", "Hi"), ("user", "Still there?")), Conversation(None, (), ("Hi", "Still there?"))),
        (
            said(("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")),
            Conversation("Be kind.", HISTORY, ("Why?",)),
        ),
        (
            said(("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"), ("assistant", "So.")),
            Conversation(None, HISTORY, ("Why?",), ("So.",)),
        ),
        (
            [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}, {"from": "human", "value": "Why?"}],
            Conversation(None, HISTORY, ("Why?",)),
        ),
        (
            [{"user": "Hi", "bot": "Hello"}, {"user": "Why?", "bot": "So."}],
            Conversation(None, HISTORY, ("Why?",), ("So.",)),
        ),
        (
            [
                {"role": "user", "content": [{"type": "text", "text": "Weather?"}, {"type": "image_url"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"function": {"name": "sky", "arguments": {"x": 1}}}],
                },
                {"role": "tool", "content": "rain", "tool_call_id": "1"},
                {"role": "user", "content": "So?"},
            ],
            Conversation(
                None,
                (
                    ChatTurn("user", "Weather?\n[image_url]"),
                    ChatTurn("assistant", '[calls sky with {"x": 1}]'),
                    ChatTurn("tool", "rain"),
                ),
                ("So?",),
            ),
        ),
    ],
)
def test_forms(value, expected):
    assert read_conversation(value, "row 1") == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        *(
            (None, "list of messages"),
            ([], "list of messages"),
            ("Hi", "list of messages"),
            (["Hi"], "role and content"),
        ),
        *((said(("narrator", "Once")), "role 'narrator'"), (said(("assistant", "Hello")), "must end with the user")),
        (said(("system", "Be kind.")), "must end with the user"),
        ([{"role": "user", "content": 7}], "must be text"),
    ],
    ids=str,
)
def test_what_is_no_conversation_is_refused(value, says):
    with pytest.raises(UsageError, match=says):
        read_conversation(value, "row 1")


def test_rubrics_of_published_sets():
    healthbench = [{"criterion": "Names it.", "points": -4, "tags": ["level:example", "axis:accuracy"]}]
    assert read_rubric(healthbench, "r") == (
        Criterion(id="1", text="Names it.", points=-4.0, axis="accuracy", tags=("level:example",)),
    )
    writingbench = [{"name": "Form", "criteria_description": "Has it form?", "1-2": "none", "9-10": "all"}]
    assert read_rubric(writingbench, "r") == (
        Criterion(id="Form", text="Has it form?", kind="1-10", anchors={"1-2": "none", "9-10": "all"}),
    )
    biggen = {"criteria": "Is it safe?", "score1_description": "no", "score5_description": "yes"}
    assert read_rubric(biggen, "r") == (
        Criterion(id="1", text="Is it safe?", kind="1-5", anchors={"1": "no", "5": "yes"}),
    )
    assert [one.id for one in read_rubric([{"name": "a", "text": "x"}, {"name": "a", "text": "y"}], "r")] == [
        "a",
        "a (2)",
    ]


@pytest.mark.parametrize("value", [[], [7], [{"points": 1}], [{"text": "a", "points": "x"}], [{"text": ""}]], ids=str)
def test_what_is_no_rubric_is_refused(value):
    with pytest.raises(UsageError, match="r"):
        read_rubric(value, "r")


def test_a_questions_file_of_messages_with_rubrics(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [
        {
            "messages": said(("system", "Be kind."), ("user", "Hi")),
            "rubric": ["It is kind."],
            "category": ["theme:tone"],
        },
        {"messages": said(("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"))},
        {"messages": said(("user", "Why?"))},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    loaded = asyncio.run(benchmark.load("arena", questions=str(path)))
    one, two, three = loaded.items
    assert (one.system, one.turns, one.category) == ("Be kind.", ("Hi",), "tone")
    assert one.rubric == (Criterion(id="1", text="It is kind."),)
    assert (two.messages, two.turns) == (HISTORY, ("Why?",))
    assert len({one.id, two.id, three.id}) == 3, "the history is part of what a question is"
