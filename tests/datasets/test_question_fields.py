"""A user's own questions: fields are found one by one, used, said, or refused; never dropped in silence."""

import asyncio
import json

import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets import benchmark
from evalkit.datasets.question_fields import Fields
from tests.interop.files import save

ROWS = [{"id": n, "kind": "support", "prompt": f"How {n}?"} for n in range(1, 4)]


def load(path, fields=None, **more):
    return asyncio.run(benchmark.load("arena", questions=str(path), fields=fields, **more))


def test_given_fields_override_one_by_one_and_ids_stay(tmp_path):
    save(tmp_path / "q.jsonl", ROWS)
    guessed = load(tmp_path / "q.jsonl")
    ids = [item.id for item in guessed.items]
    assert ids == ["1", "2", "3"]
    for fields in (Fields(turns="prompt"), Fields(category="kind"), Fields(turns="prompt", category="kind")):
        found = load(tmp_path / "q.jsonl", fields)
        assert [item.id for item in found.items] == ids
        assert {item.category for item in found.items} == ({"support"} if fields.category else {"all"})
    assert "the question is 'prompt', its id is 'id'; not used: 'kind'" in guessed.notes[0]
    with pytest.raises(UsageError, match=r"fields.category=kin: 'q.jsonl' has no such field; did you mean 'kind'\?"):
        load(tmp_path / "q.jsonl", Fields(category="kin"))


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ({"instruction": "Add", "input": "1 and 2"}, "Add\n\n1 and 2"),
        ({"instruction": "Add", "input": ""}, "Add"),
        ({"question": "Who?", "context": "A tale."}, "Who?\n\nA tale."),
        ({"prompt": "Who?", "Context": "A tale.", "input": "x"}, "Who?\n\nx\n\nA tale."),
        ({"input": "alone"}, "alone"),
    ],
)
def test_context_is_part_of_the_question(tmp_path, row, asked):
    save(tmp_path / "q.jsonl", [row])
    assert load(tmp_path / "q.jsonl").items[0].turns == (asked,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("4", ("4",)), (4, ("4",)), (["4", "four"], ("4\n\nor:\n\nfour",)), ("", ()), (None, ())],
)
def test_references_of_own_questions_are_shown(tmp_path, value, expected):
    save(tmp_path / "q.jsonl", [{"question": "2+2?", "reference": value}, {"question": "3?", "reference": "r"}])
    found = load(tmp_path / "q.jsonl")
    assert found.items[0].reference == expected
    assert (found.items[1].reference, found.references) == (("r",), "own")
    assert load(tmp_path / "q.jsonl", references="none").items[1].reference == ()


@pytest.mark.parametrize("name", ["messages", "history", "images", "tools"])
def test_what_would_be_dropped_is_refused_by_name(tmp_path, name):
    save(tmp_path / "q.jsonl", [{"prompt": "a", name: None}, {"prompt": "b", name: ["x"]}])
    with pytest.raises(UsageError, match=f"record 2: field '{name}' would change what is asked"):
        load(tmp_path / "q.jsonl")


def test_a_system_prompt_and_a_rubric_are_the_questions_own(tmp_path):
    rows = [{"prompt": "Who?", "system": "Be brief.", "rubric": [{"criterion": "Is brief", "points": 2}]}]
    save(tmp_path / "q.jsonl", rows)
    found = load(tmp_path / "q.jsonl")
    assert found.items[0].system == "Be brief."
    assert found.items[0].rubric[0].text == "Is brief"
    assert "the system prompt is 'system', its rubric is 'rubric'" in found.notes[0]


def test_a_conversation_is_a_question(tmp_path):
    said = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"}]
    save(tmp_path / "q.jsonl", [{"id": "1", "messages": said}])
    save(tmp_path / "p.jsonl", [{"id": "1", "prompt": said}])
    for name in ("q.jsonl", "p.jsonl"):
        (item,) = load(tmp_path / name).items
        assert (item.system, item.turns) == ("Be kind.", ("Who?",))


def test_the_same_text_twice(tmp_path):
    save(tmp_path / "q.jsonl", [{"id": "a", "prompt": "Who?"}, {"id": "b", "prompt": "Who?"}])
    assert any(
        "1 questions are there under several ids, with the same text" in note
        for note in load(tmp_path / "q.jsonl").notes
    )
    save(tmp_path / "q.jsonl", [{"prompt": "Who?"}, {"prompt": "Who?"}])
    with pytest.raises(UsageError, match="record 2: the same question occurs twice, as in record 1"):
        load(tmp_path / "q.jsonl")


def test_a_file_that_is_not_utf_8_is_a_message(tmp_path):
    (tmp_path / "q.jsonl").write_bytes(json.dumps({"prompt": "Zoë"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(UsageError, match=r"q.jsonl' is not UTF-8 text \(byte 0xeb\)"):
        load(tmp_path / "q.jsonl")


def test_questions_asked_before_under_another_id_are_said(cli, tmp_path):
    save(tmp_path / "q.jsonl", ROWS)
    assert cli("run", "arena", "questions=q.jsonl", "model=fake", "judge=fake", "protocol=single").code == 0
    save(tmp_path / "q.jsonl", [{"id": f"n{row['id']}", "prompt": row["prompt"]} for row in ROWS])
    done = cli("run", "arena", "questions=q.jsonl", "model=fake", "judge=fake", "protocol=single")
    assert "3 of 3 questions were asked here before under another id (1 is now n1)" in " ".join(done.err.split())
