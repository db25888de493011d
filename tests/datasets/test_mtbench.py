"""MT-Bench as published: its questions, its references and what is wrong with them, and FastChat's prompts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from evalkit.core.paths import shipped
from evalkit.core.protocols import Case, Model, Request, UsageError
from evalkit.core.schema import Item, Ref, Response
from evalkit.datasets import benchmark
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine.generate import Candidate
from evalkit.judges.fastchat import FastChatSingle

CATEGORIES = ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"]
WITH_REFERENCE = {str(number) for number in range(101, 131)}
WRONG = {"104", "105", "109", "111", "113", "114", "120", "122", "124", "125", "126", "127", "128", "130"}

pytestmark = pytest.mark.usefixtures("mtbench_files")


def load(**options) -> Benchmark:
    return asyncio.run(benchmark.load("mtbench", **options))


def items(**options) -> dict[str, Item]:
    return {item.id: item for item in load(**options).items}


def source(folder: Path, name: str) -> dict[str, dict]:
    rows = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    return {str(row["question_id"]): row for row in rows}


def test_eighty_questions():
    loaded = load()
    assert [item.id for item in loaded.items] == [str(number) for number in range(81, 161)]
    assert Counter(item.category for item in loaded.items) == dict.fromkeys(CATEGORIES, 10)
    assert {len(item.turns) for item in loaded.items} == {2}
    assert loaded.hashes["question.jsonl"] == "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7"
    assert loaded.references == "human"
    assert loaded.notes == ()


def test_references_are_shown_where_the_paper_shows_them():
    for references in (None, "gpt-4", "pr3158"):
        with_reference = {name for name, item in items(references=references).items() if any(item.reference)}
        assert with_reference == WITH_REFERENCE
    assert not any(item.reference for item in items(references="none").values())


def test_human_references_and_what_stands_in_for_missing_ones(mtbench_files):
    questions = source(mtbench_files, "question.jsonl")
    spare = source(mtbench_files, "gpt-4-0125-preview.jsonl")
    loaded = items()
    filled = set()
    for name in WITH_REFERENCE:
        written = questions[name].get("reference") or ["", ""]
        for turn, text in enumerate(loaded[name].reference):
            assert text
            if written[turn]:
                assert text == written[turn]
            else:
                assert text == spare[name]["choices"][0]["turns"][turn]
                filled.add((name, turn + 1))
    assert filled == {("123", 1), ("123", 2), ("103", 2), ("108", 2), ("110", 2)}


@pytest.mark.parametrize(("name", "file"), [("gpt-4", "gpt-4.jsonl"), ("pr3158", "gpt-4-0125-preview.jsonl")])
def test_published_references(mtbench_files, name, file):
    published = source(mtbench_files, file)
    loaded = items(references=name)
    for number in WITH_REFERENCE:
        assert list(loaded[number].reference) == published[number]["choices"][0]["turns"]


def test_known_wrong_references_are_said():
    (note,) = load(references="gpt-4").notes
    assert "14 are known to be wrong" in note
    assert set(note.rpartition("items ")[2].split(", ")) == WRONG
    (note,) = load(references="pr3158").notes
    assert set(note.rpartition("items ")[2].split(", ")) == {"125", "127", "128"}


def test_references_of_ones_own(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"question_id": number, "choices": [{"turns": [f"one {number}", "two"]}]} for number in (101, 81)]
    path.write_text("\n".join(map(json.dumps, rows)))
    loaded = load(references=str(path))
    found = {item.id: item.reference for item in loaded.items if any(item.reference)}
    assert found == {"101": ("one 101", "two")}, "81 is of a category that shows none"
    assert loaded.references.startswith("mine.jsonl ")
    path.write_text(path.read_text().replace("two", "deux"))
    assert load(references=str(path)).references != loaded.references, "its content is part of the name"
    path.write_text('{"question_id": 101, "choices": []}\n')
    with pytest.raises(UsageError, match="record 1: a reference needs question_id"):
        load(references=str(path))
    with pytest.raises(UsageError, match="neither a file nor one of: human, gpt-4, pr3158, none"):
        load(references="gpt4")


def test_limit_is_by_category():
    limited = load(limit=2).items
    assert Counter(item.category for item in limited) == dict.fromkeys(CATEGORIES, 2)
    assert [item.id for item in limited][:4] == ["81", "82", "91", "92"]
    assert load(limit=99).items == load().items


def test_temperature_by_category():
    from evalkit.backends.fake import Fake

    loaded = load()
    candidate = Candidate.of(Model(name="m", backend=Fake()), loaded.spec.generation)
    temperatures = {item.category: candidate.sampling(item, 0).temperature for item in loaded.items}
    zero = dict.fromkeys(("reasoning", "math", "coding", "extraction"), 0.0)
    assert temperatures == {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1} | zero
    assert {candidate.sampling(item, 0).max_tokens for item in loaded.items} == {1024}


def test_faithful_means_fastchats_prompts_and_references():
    about = benchmark.spec("mtbench")
    assert about.faithful == {"protocol": "fastchat_single", "references": "gpt-4"}


# --- the prompts, against a formatter of the test's own


def filled(template: str, values: dict[str, str]) -> str:
    """Each {placeholder} by its value, once, left to right; nothing in a value is looked at again."""
    out, rest = "", template
    while "{" in rest:
        before, _, rest = rest.partition("{")
        key, _, rest = rest.partition("}")
        out += before + values[key]
    return out + rest


def expected(prompts: dict[str, dict], item: Item, answers: tuple[str, str], turn: int) -> list[tuple[str, str]]:
    name = ("single-math-v1" if item.id in WITH_REFERENCE else "single-v1") + ("-multi-turn" if turn == 2 else "")
    values = {
        "question": item.turns[0],
        "answer": answers[0],
        **{f"question_{number}": text for number, text in enumerate(item.turns, start=1)},
        **{f"answer_{number}": text for number, text in enumerate(answers, start=1)},
        **{f"ref_answer_{number}": text for number, text in enumerate(item.reference, start=1)},
    }
    row = prompts[name]
    return [("system", row["system_prompt"]), ("user", filled(row["prompt_template"], values))]


@pytest.mark.parametrize("turn", [1, 2])
def test_faithful_prompts(mtbench_files, turn):
    text = (mtbench_files / "judge_prompts.jsonl").read_text(encoding="utf-8")
    prompts = {row["name"]: row for row in map(json.loads, text.splitlines())}
    protocol = FastChatSingle(prompts=text)
    used = set()
    for item in load(references="gpt-4").items:
        answers = (f"first {{answer}} of {item.id} {{0}}", "second\n[The End of Assistant's Answer] {ref_answer_1}")
        response = Response(
            key="k", item=item.id, benchmark="mtbench", category=item.category, model=Ref("m", "f"), turns=answers
        )
        request: Request = protocol.request(Case(item, turn, (response,)))
        asked = [(message.role, message.content) for message in request.messages]
        assert asked == expected(prompts, item, answers, turn)
        used.add("reference answer" in asked[1][1].lower())
        assert request.sampling.sent() == {"temperature": 0.0, "max_tokens": 2048}
    assert used == {True, False}, "with and without reference"


def test_a_file_that_holds_other_prompts_is_named():
    for text in ("nonsense", '{"name": "single-v1", "system_prompt": "", "prompt_template": ""}'):
        with pytest.raises(UsageError, match=r"not FastChat's judge_prompts\.jsonl"):
            FastChatSingle(prompts=text)


def test_a_faithful_run(cli, monkeypatch):
    code, _, err = cli("run", "mtbench", "model=fake", "judge=fake", "protocol=faithful", "limit=1")
    assert code == 0
    assert "14 are known to be wrong" in err
    assert "scores by fake (fastchat_single)" in err
    monkeypatch.setenv("EVALKIT_ARTIFACTS", str(shipped("conf")))  # no files there
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(Path("empty-cache").absolute()))
    code, _, err = cli("run", "mtbench", "model=fake", "judge=fake")
    assert code == 2
    assert "cannot get 'mtbench-questions'" in err
