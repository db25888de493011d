"""Rows of preference data, in the schema of each published set, written by us: which answers are better than which."""

from __future__ import annotations

from collections import Counter

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response
from evalkit.interop import load
from tests.interop.files import save
from tests.shared_data import shared_data


def imported(folder, *rows, name="set.jsonl"):
    save(folder / name, rows)
    return [row.record for row in load("preferences").read(folder / name)]


def labels(found):
    """Better and worse answer, with the points of the better one, by question id."""
    texts = {row.id: row.turns[-1] for row in found if isinstance(row, Response)}
    listed = []
    for row in found:
        if isinstance(row, Judgment):
            one, other = (texts[identity] for identity in row.shown)
            listed.append((one, other, row.scores[0]))
    return listed


REWARDBENCH_2 = {
    "id": "tied:3",
    "prompt": "Name a primary colour.",
    "chosen": ["Red.", "Blue.", "Yellow."],
    "rejected": ["Seven.", "Tall."],
    "num_correct": 3,
    "num_incorrect": 2,
    "num_rejected": 2,
    "total_completions": 5,
    "models": ["m1", "m2", "m2", "m3", "m1"],
    "subset": "Ties",
    "additional_metadata": None,
}


def test_rewardbench_2_has_lists_and_every_chosen_one_is_better_than_every_rejected_one(tmp_path):
    found = imported(tmp_path, REWARDBENCH_2)
    assert len(labels(found)) == 6
    assert {better for better, _, _ in labels(found)} == {"Red.", "Blue.", "Yellow."}
    assert {worse for _, worse, _ in labels(found)} == {"Seven.", "Tall."}
    assert [row.model.name for row in found if isinstance(row, Response)] == ["m1", "m2", "m2 (2)", "m3", "m1 (2)"]
    (item,) = (row for row in found if isinstance(row, Item))
    assert (item.id, item.category, item.turns) == ("tied:3", "Ties", ("Name a primary colour.",))
    assert {row.judge.name for row in found if isinstance(row, Judgment)} == {"gold"}


def test_one_chosen_and_three_rejected_are_best_of_four(tmp_path):
    row = REWARDBENCH_2 | {"id": "7", "chosen": ["Yes."], "rejected": ["a", "b", "c"], "models": ["x", "y", "z"]}
    found = imported(tmp_path, row)
    assert labels(found) == [("Yes.", other, 1.0) for other in "abc"]
    names = [row.model.name for row in found if isinstance(row, Response)]
    assert names == ["chosen 1", "rejected 1", "rejected 2", "rejected 3"]  # three names are not of four answers


@pytest.mark.parametrize(("label", "better"), [(1, "Use salt."), (0, "Use sugar.")])
def test_shp(tmp_path, label, better):
    row = {
        "post_id": "x1",
        "domain": "askculinary_test",
        "history": "How do I cure fish?",
        "human_ref_A": "Use salt.",
        "human_ref_B": "Use sugar.",
        "labels": label,
        "score_A": 5,
        "score_B": 2,
        "score_ratio": 2.5,
    }
    ((one, _, points),) = labels(imported(tmp_path, row))
    assert (one, points) == (better, 1.0)


@pytest.mark.parametrize("choice", [0, 1])
def test_summarize_from_feedback_names_who_chose(tmp_path, choice):
    row = {
        "info": {"id": "t3_a", "post": "A long story.", "title": "Advice", "subreddit": "AskReddit"},
        "summaries": [
            {"text": " First.", "policy": "sup1", "note": None},
            {"text": " Second.", "policy": "ref", "note": None},
        ],
        "choice": choice,
        "worker": "w1",
        "batch": "b",
        "split": "valid1",
        "extra": {"confidence": 5},
    }
    found = imported(tmp_path, row)
    assert labels(found)[0][0] == ("First.", "Second.")[choice]
    assert [(row.judge.name, row.protocol) for row in found if isinstance(row, Judgment)] == [("w1", "human_pair")]
    (item,) = (row for row in found if isinstance(row, Item))
    assert "A long story." in item.turns[0]
    assert item.category == "AskReddit"


def test_ultrafeedback_binarized_and_whole(tmp_path):
    binarized = {
        "prompt": "Hi?",
        "prompt_id": "p1",
        "chosen": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}],
        "rejected": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "No."}],
        "messages": [],
        "score_chosen": 8.0,
        "score_rejected": 3.0,
    }
    assert labels(imported(tmp_path, binarized)) == [("Hello.", "No.", 1.0)]
    whole = {
        "source": "evol_instruct",
        "instruction": "Hi?",
        "models": ["a", "b", "c"],
        "completions": [
            {"model": "a", "response": "one", "overall_score": 7.5},
            {"model": "b", "response": "two", "overall_score": 9.0},
            {"model": "c", "response": "three", "overall_score": 7.5},
        ],
    }
    found = labels(imported(tmp_path, whole, name="whole.jsonl"))
    assert sorted(found) == [("two", "one", 1.0), ("two", "three", 1.0)]  # two alike are no label


def test_helpsteer_grades_of_one_prompt_are_compared(tmp_path):
    rows = [
        {
            "prompt": "Hi?",
            "response": "a",
            "helpfulness": 4,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 1,
        },
        {
            "prompt": "Hi?",
            "response": "b",
            "helpfulness": 2,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 1,
        },
        {
            "prompt": "Hi?",
            "response": "c",
            "helpfulness": 4,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 1,
        },
        {
            "prompt": "Else?",
            "response": "d",
            "helpfulness": 0,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 1,
        },
    ]
    assert sorted(labels(imported(tmp_path, *rows))) == [("a", "b", 1.0), ("a", "c", 0.5), ("c", "b", 1.0)]


@pytest.mark.parametrize(("strength", "expected"), [(-2, ("a", 1.0)), (3, ("b", 1.0)), (0, ("a", 0.5))])
def test_helpsteer_preferences_are_below_0_where_the_first_is_better(tmp_path, strength, expected):
    second = {"prompt": "Hi?", "response_1": "a", "response_2": "b", "preference_strength": strength, "split": "val"}
    third = {
        "context": [{"role": "user", "content": "Hi?"}],
        "response1": "a",
        "response2": "b",
        "overall_preference": strength,
        "domain": "code",
        "language": "python",
    }
    for name, row in (("two.jsonl", second), ("three.jsonl", third)):
        ((one, _, points),) = labels(imported(tmp_path, row, name=name))
        assert (one, points) == expected


def reply(text, rank=None, replies=(), role="assistant"):
    return {"message_id": text, "text": text, "role": role, "rank": rank, "replies": list(replies), "lang": "en"}


def test_open_assistant_ranks_siblings_also_deep_in_a_tree(tmp_path):
    deeper = reply("and then?", None, [reply("x", 1), reply("y", 0)], role="prompter")
    tree = {
        "message_tree_id": "t",
        "tree_state": "ready_for_export",
        "prompt": reply(
            "how?", None, [reply("best", 0, [deeper]), reply("worst", 2), reply("mid", 1)], role="prompter"
        ),
    }
    found = imported(tmp_path, tree)
    assert sorted(labels(found)) == [
        ("best", "mid", 1.0),
        ("best", "worst", 1.0),
        ("mid", "worst", 1.0),
        ("y", "x", 1.0),
    ]
    later = next(row for row in found if isinstance(row, Item) and row.id == "and then?")
    assert later.turns == ("how?", "and then?")
    assert {row.turns for row in found if isinstance(row, Response) and row.item == "and then?"} == {
        ("best", "x"),
        ("best", "y"),
    }


def test_replies_without_a_rank_or_of_one_rank_are_no_labels(tmp_path):
    tree = {"message_tree_id": "t", "prompt": reply("how?", None, [reply("a", 0), reply("b", 0), reply("c")])}
    assert labels(imported(tmp_path, tree)) == []


def test_open_assistant_pairs():
    found = [row.record for row in load("preferences").read(shared_data("preferences", "oasst_en_100_tree.jsonl"))]
    kinds = Counter(type(row) for row in found)
    assert kinds[Judgment] == 754
    for row in found:
        if isinstance(row, Judgment):
            assert row.scores == (1.0, 0.0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a"}, "is no preference: it has prompt. A row has one of: `chosen`, `rejected`"),
        ({"prompt": "a", "chosen": ["x"], "rejected": []}, "field `rejected` is an empty list"),
        ({"chosen": ["x"], "rejected": ["y"]}, "lists of answers need their question in `prompt`"),
        ({"history": "a", "human_ref_A": "x", "human_ref_B": "y", "labels": 2}, "field `labels` is 2"),
        ({"info": {}, "summaries": [{"text": "a"}], "choice": 0}, "has 1 summaries"),
        (
            {"prompt": "a", "chosen": ["x", {"role": "user", "content": "b"}], "rejected": "c"},
            "mixes texts and messages",
        ),
    ],
)
def test_a_row_of_no_known_shape_says_what_is_wrong(tmp_path, row, said):
    with pytest.raises(UsageError) as raised:
        imported(tmp_path, row)
    assert said in str(raised.value)
    assert "record 1" in str(raised.value)
