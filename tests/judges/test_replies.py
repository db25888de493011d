"""The reader of judges' replies: the documented forms, both orders of a pair, JSON and bare labels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalkit.core.protocols import Completion, Verdict
from evalkit.judges import json_replies, replies
from evalkit.judges.pairwise import FORMS
from evalkit.judges.replies import Form, RatingScale, VerdictLabels

PAGE = (Path(__file__).parents[2] / "docs" / "replies.md").read_text(encoding="utf-8")
SCALE = RatingScale(1, 10)


def read(text: str, labels: VerdictLabels = SCALE) -> str:
    found = replies.tag(Completion(text), labels)
    return found.label if isinstance(found, Verdict) else found.kind


def rows(heading: str) -> list[tuple[str, str]]:
    section = PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| `(.+)` \| ([^|]+) \|$", section, re.MULTILINE)
    assert len(found) == section.count("\n|") - 2, "a row is not in the form of the others"
    return [(text.replace("\\|", "|").replace("\\n", "\n"), expected) for text, expected in found]


@pytest.mark.parametrize(("text", "expected"), rows("Ratings"))
def test_the_table_of_ratings(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(("text", "expected"), rows("Pairs"))
def test_the_table_of_pairs(text, expected):
    assert read(text, FORMS["five"]) == expected


REMARKS = [
    "Verdict: [[{0}]]\n\nHad it cited sources, [[{1}]] would have been right.",
    "I first thought of [[{1}]].\n\n**Verdict: [[{0}]]**",
    "Verdict: [[{0}]]\n\nNote: a verdict of [[{1}]] needs more.",
]


@pytest.mark.parametrize(
    "end",
    [
        *("<|im_end|>\n<|im_start|>user\n", "<|eot_id|><|start_header_id|>user<|end_header_id|>\n", "<|eot|>\n"),
        *("<end_of_turn>\n<start_of_turn>user\n", "<turn|>\n<|turn>user\n", "</s><s>[INST] ", "[|endofturn|]\n"),
        *("<|end|>\n<|user|>\n", "<|assistant_end|><|user_start|>", "<｜end▁of▁sentence｜><｜User｜>"),
        *("\n<|user|>\n", "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>"),
    ],
)
def test_a_dialogue_that_a_judge_makes_up_is_not_read(end):
    assert read(f"Rating: [[6]]{end}And of this one?\nRating: [[1]]") == "6"
    assert read(f"It depends.{end}And of this one?\nRating: [[1]]") == "unparsed"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_remark_never_turns_a_verdict_in_either_order(form: Form):
    labels = list(form.scores)
    for label, other in zip(labels, labels[::-1], strict=True):
        for remark in REMARKS:
            assert read(remark.format(label, other), form) in {label, "unparsed"}
        assert read(REMARKS[0].format(label, other), form) == label


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"why": "clear", "rating": 7}', "7"),
        ('It is clear.\n```json\n{"rating": "8"}\n```', "8"),
        ('It is clear.\n{"rating": 6,\n "why": "x"}', "6"),
        ('{"rating": 11}', "unparsed"),
        ('{"rating": true}', "unparsed"),
        ('{"rating": [7]}', "unparsed"),
        ('{"rating": 7, "rating": 8}', "unparsed"),
        ('<think>{"rating": 2}</think>{"rating": 7}', "7"),
        ("[7]", "unparsed"),
        ("7", "unparsed"),
        ("[" * 100_000, "unparsed"),
    ],
)
def test_a_json_field(text, expected):
    found = json_replies.json_field(Completion(text), SCALE, "rating")
    assert (found.label if isinstance(found, Verdict) else found.kind) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("7", "7"), ("**7**.", "7"), ("Rating: 7", "7"), ("7 or 8", "unparsed"), ("", "unparsed")]
)
def test_a_bare_label(text, expected):
    found = replies.bare_label(Completion(text), SCALE)
    assert (found.label if isinstance(found, Verdict) else found.kind) == expected
