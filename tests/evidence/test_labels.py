"""Votes of a table: on the questions that were judged, whether they name them by id or by text."""

import json

import pytest

from evalkit.core.schema import Item
from evalkit.evidence.labels import read_votes
from tests.interop.files import save


def item(name, *turns, benchmark="own"):
    return Item(id=name, benchmark=benchmark, category="c", turns=turns)


KNOWN = {
    "own": {one.id: one for one in (item("7", "Is 7 prime? "), item("8", "Is 8?", "Why?"), item("9", "Is 9?"))},
    "other": {"x9": item("x9", "Is 9?", benchmark="other")},
}


def vote(question, **more):
    return {"question": question, "model_a": "m", "model_b": "n", "winner": "model_a"} | more


@pytest.mark.parametrize(
    ("question", "items"),
    [
        ("7", ["7"]),
        ("Is 7 prime?", ["7"]),
        ('["Is 8?", "Why?"]', ["8"]),
        ("Is 8?", ["8"]),
        ("Is 9?", ["9", "x9"]),
        ("Is 10?", ["Is 10?"]),
    ],
)
@pytest.mark.parametrize("graded", [False, True])
def test_a_question_is_known_by_its_id_or_its_text(tmp_path, question, items, graded):
    row = {"question": question, "model": "m", "score": 3} if graded else vote(question)
    save(tmp_path / "v.jsonl", [row])
    notes = []
    votes, folders = read_votes(tmp_path / "v.jsonl", None, notes.append, KNOWN)
    assert ([one.item for one in votes], folders) == (items, [])
    assert any("1 votes name their question by its text" in note for note in notes) == (items != [question])


def test_the_audit_and_a_comparison_take_votes_by_text(cli, tmp_path):
    rows = [{"id": n, "prompt": f"Is {n} prime?", "answer_a": "Yes.", "answer_b": "No, as it is."} for n in range(12)]
    rows = [row | {"model_a": "m", "model_b": "n"} for row in rows]
    save(tmp_path / "pairs.csv", rows)
    assert cli("judge", "pairs.csv", "judge=fake", "protocol=pairwise").code == 0
    save(tmp_path / "votes.csv", [row | {"winner": "model_b", "annotator": "ann"} for row in rows])
    audit = json.loads(cli("audit", "results/pairs", "--human", "votes.csv", "--format", "json").out)
    assert audit["subjects"][0]["votes"] == 12
    (row,) = json.loads(cli("compare", "m", "n", "results/pairs", "--human", "votes.csv", "--format", "json").out)[
        "rows"
    ]
    assert row["corrected"]["labelled"] == 12
    assert row["corrected"]["difference"] == pytest.approx(-100)
