"""Scales as people write them, and texts that contradict theirs."""

from __future__ import annotations

import pytest

from evalkit.core.protocols import UsageError, Verdict
from evalkit.judges.replies import FIVE, RatingScale
from evalkit.judges.scales import YES_NO, Levels, ListRanking, Pick, WholeNumbers, check_agrees, read_scale, schema_of


@pytest.mark.parametrize(
    ("written", "shows", "listed", "scale"),
    [
        ("1-5", 1, False, WholeNumbers(1, 5)),
        (" 0 to 100 ", 1, False, WholeNumbers(0, 100)),
        ("1–10", 1, False, WholeNumbers(1, 10)),
        ("yes/no", 1, False, YES_NO),
        ({True: 1, False: 0}, 1, False, YES_NO),
        (["poor", "fair"], 1, False, Levels({"poor": 1.0, "fair": 2.0})),
        ({"poor": -1, "good": 2.5}, 1, False, Levels({"poor": -1.0, "good": 2.5})),
        ("five", 2, False, FIVE),
        ("rank", 3, True, ListRanking("ABC")),
        ("pick", 2, True, Pick("AB")),
    ],
    ids=str,
)
def test_scales_are_read(written, shows, listed, scale):
    assert read_scale(written, shows=shows, listed=listed) == scale


@pytest.mark.parametrize(
    ("written", "shows", "says"),
    [
        *(("5-1", 1, "lower one"), ("1-1", 1, "lower one"), ("good", 1, "write a range"), (7, 1, "write a range")),
        *(([], 1, "write a range"), ({"a": "b"}, 1, "give a number"), ({"a": 1, "A": 2}, 1, "twice")),
        *(({"a": 1, "b": 1}, 1, "the same"), ({"a[": 1, "b": 2}, 1, "brackets"), ({"a": float("nan")}, 1, "number")),
        *(("1-5", 2, "A/B"), ("A/B", 1, "write a range"), ("rank", 1, "answers"), ("1-5", 3, "rank and pick")),
    ],
    ids=str,
)
def test_what_is_no_scale_is_refused_with_the_value(written, shows, says):
    with pytest.raises(UsageError, match=says):
        read_scale(written, shows=shows, listed=shows == 3)


CONTRADICTIONS = [
    "Rate it from 1 to 5.",
    "from 1 to 5",
    "On a scale of 1-5, how kind is it?",
    "Score it between 0 and 100.",
    "Give a rating, 1 (bad) to 5 (good).",
    "Your rating is out of 5.",
    "Grade it from one to five.",
    "Rate politeness on a scale\nof 1 to 5, please.",
    "Score: 7/100",
    "Answer yes or no: is it polite?",
]


@pytest.mark.parametrize("text", CONTRADICTIONS)
@pytest.mark.parametrize(
    "scale", [WholeNumbers(1, 10), RatingScale(1, 10), Levels({"poor": 1, "good": 2}), FIVE], ids=repr
)
def test_a_text_that_names_another_scale_is_refused_with_both(text, scale):
    with pytest.raises(UsageError, match=r"protocol\.user says .*its scale is"):
        check_agrees(text, scale, "protocol.user")


@pytest.mark.parametrize(
    "text",
    [
        "Rate it from 1 to 10.",
        "Give 1 (worst) to 10 (best), out of 10.",
        "The conversation has from 1 to 3 turns.",
        "Rate answers of 1 to 3 sentences like longer ones.",
        "Add 1 to 2 points for structure.",
        "Compare answers 1 and 5 before you rate.",
        "See pages 1-5 of the manual.",
        "Say whether it is good; the year was 2024.",
        "In version 1.5 to 2.0 the score changed.",
    ],
)
def test_a_text_that_agrees_or_speaks_of_something_else_passes(text):
    check_agrees(text, WholeNumbers(1, 10), "protocol.user")


def test_names_agree_with_their_numbers():
    check_agrees("Rate from 0 to 2.", Levels({"poor": 0, "fair": 1, "good": 2}), "protocol.user")
    check_agrees("Answer yes or no.", YES_NO, "protocol.user")


@pytest.mark.parametrize(
    ("scale", "stated", "label"),
    [
        *((WholeNumbers(1, 5), "4", "4"), (WholeNumbers(1, 5), "4/5", "4"), (WholeNumbers(1, 5), "4.5", None)),
        *((WholeNumbers(1, 5), "6", None), (WholeNumbers(1, 5), "nan", None), (YES_NO, " **Yes** ", "yes")),
        *((YES_NO, "verdict: no", "no"), (YES_NO, "maybe", None), (ListRanking("ABC"), "b>A > c", "B > A > C")),
        *(
            (ListRanking("ABC"), "A > B", None),
            (ListRanking("ABC"), "A > A > B", None),
            (ListRanking("ABC"), "A=B>C", None),
        ),
        *((Pick("ABC"), "answer b", "B"), (Pick("ABC"), "D", None), (Pick("ABC"), "", None)),
    ],
    ids=str,
)
def test_labels(scale, stated, label):
    assert scale.label(stated) == label


def test_scores_of_a_list_are_in_the_order_shown():
    assert ListRanking("ABC").verdict("B > A > C") == Verdict((0.5, 1.0, 0.0), "B > A > C")
    assert Pick("ABC").verdict("C") == Verdict((0.0, 0.0, 1.0), "C")


def test_schemas():
    assert schema_of(WholeNumbers(1, 3)) == {"type": "integer", "enum": [1, 2, 3]}
    assert schema_of(WholeNumbers(0, 1000)) == {"type": "integer", "minimum": 0, "maximum": 1000}
    assert schema_of(YES_NO) == {"type": "string", "enum": ["yes", "no"]}
    assert schema_of(ListRanking("AB"))["maxItems"] == 2
