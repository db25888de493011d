"""Thinking and answers, in the spellings of today's models."""

from __future__ import annotations

import pytest

from evalkit.backends.fake import Fake
from evalkit.core.protocols import Completion, Message, Model, Request
from evalkit.core.schema import Item, Usage
from evalkit.core.thinking import MARKS, part
from evalkit.datasets.benchmark import Generation
from evalkit.engine.generate import Candidate, _extended
from evalkit.models.client import Answer

HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>"


@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize("marks", MARKS, ids=lambda marks: marks[0])
def test_every_spelling_is_thinking(marks, anywhere):
    begin, end = marks
    for text in (f"{begin}t{end}A", f"\n {begin.upper()}\nt\n{end.upper()}\n\nA", f"t\n{end}\nA", f"t{end}A"):
        parted = part(text, anywhere=anywhere)
        assert (parted.answer, parted.thinking, parted.ended) == ("A", "t", True), text
    cut = part(f"{begin}it may be", anywhere=anywhere)
    assert (cut.answer, cut.thinking, cut.ended) == ("", "it may be", False)


@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        HARMONY.format("t", "A"),
        "t<|end|><|start|>assistant<|channel|>final<|message|>A",
        "analysist assistantfinalA",
        "<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>A",
    ],
)
def test_harmony_channels(text, anywhere):
    parted = part(text, anywhere=anywhere)
    assert (parted.answer, parted.ended) == ("A", True)
    assert "t" in parted.thinking


def test_harmony_without_an_answer_has_not_ended():
    assert part("<|channel|>analysis<|message|>it may be").ended is False


@pytest.mark.parametrize(
    "text",
    [
        "A plain answer.",
        "  Indented, and nothing is stripped. ",
        "Put `<think>` before and `</think>` after it.",
        "Write:\n```\n<think>\nsteps\n</think>\n```\nThat is all.",
        "The model writes <think>steps</think> and then answers.",
        "This line shows the mark:\n<think>\nand never ends it.",
        'It says "</think>" at the end.',
        "",
    ],
)
def test_an_answer_about_thinking_stays_whole(text):
    assert part(text).answer == text
    assert part(text).ended


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Sure.\n<think>\nt\n</think>\nA", "Sure.\n\nA"),
        ("<think>a</think><think>b</think>A", "A"),
        ("<think>use <reasoning>x</reasoning> tags</think><reasoning>r</reasoning>A", "A"),
        ("<think>a</think>A mentions </think> too.", "A mentions </think> too."),
        ("<think></think>\n\nA", "A"),
        ("<thinking>t</think>A", "A"),
    ],
)
def test_what_follows_is_the_answer(text, answer):
    assert part(text).answer == answer


def test_further_marks_are_a_models_own():
    assert part("<plan>p</plan>A").answer == "<plan>p</plan>A"
    assert part("<plan>p</plan>A", [("<plan>", "</plan>")]).answer == "A"


ITEM = Item(id="1", benchmark="b", category="c", turns=("One?", "Two?"))


def extended(*completions: Completion):
    candidate = Candidate.of(Model(name="m", backend=Fake()), Generation(max_tokens=9))
    row = candidate.begin(ITEM)
    for completion in completions:
        request = candidate.request(ITEM, row.turns)
        row = _extended(row, candidate, Answer(completion, 0.1, None), request)
    return row, candidate


def test_a_candidates_thinking_is_no_part_of_answer_or_history():
    row, candidate = extended(Completion("<think>t</think>A"))
    assert (row.turns, row.thinking) == (("A",), ("t",))
    assert Message("assistant", "A") in candidate.request(ITEM, row.turns).messages
    row, _ = extended(Completion("A"), Completion("B", thinking="t"))
    assert (row.turns, row.thinking) == (("A", "B"), ("", "t"))


@pytest.mark.parametrize(
    "completion", [Completion("<think>t", "length", Usage(5, 9)), Completion("", thinking="t"), Completion("[THINK]t")]
)
def test_thinking_that_never_ends_is_a_truncated_answer(completion):
    row, _ = extended(completion)
    assert (row.turns, row.thinking) == ((), ("t",))
    assert row.error is not None
    assert row.error.kind == "truncated"
    assert "still thinking" in row.error.message


def test_half_a_surrogate_pair_never_leaves_the_client():
    assert Request((Message("user", "half \ud83d"),)).encodable().messages[0].content == "half \ufffd"
    whole = Request((Message("user", "whole 😀"),))
    assert whole.encodable() is whole
