"""What files do not say: options, the files' own names, and a line for each assumption."""

import json

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response
from evalkit.interop import load
from evalkit.interop.importing import import_results
from evalkit.interop.records import NO_REASON, Told
from tests.interop.files import save


def read(name, path, benchmark=None, **said):
    told = Told(**said)
    rows = [row.record for row in load(name, benchmark, told).read(path)]
    return rows, list(told.assumed)


def judged(rows):
    return [row for row in rows if isinstance(row, Judgment)]


def arena(**more):
    games = [{"score": "A>B", "judgment": "x"}, {"score": "B>A", "judgment": "x"}]
    return {"question_id": "a" * 32, "model": "mine", "judge": "gpt-4", "games": games} | more


def test_the_baseline_of_arena_hard_is_never_assumed_in_silence(tmp_path):
    file = tmp_path / "mine.jsonl"
    save(file, [arena()])
    rows, assumed = read("arena_hard", file)
    assert {row.models[0].name for row in judged(rows)[:1]} == {"gpt-4-0314"}
    assert len(assumed) == 1
    assert "names no baseline; it is taken for 'gpt-4-0314' (or --baseline NAME)" in assumed[0]
    rows, assumed = read("arena_hard", file, baseline="o3-mini")
    assert (judged(rows)[0].models[0].name, assumed) == ("o3-mini", [])
    save(file, [arena(), arena(question_id="b" * 32, baseline="other")])
    rows, assumed = read("arena_hard", file)
    assert ({row.models[0].name for row in judged(rows)[::2]}, assumed) == ({"other"}, [])


def test_arena_hard_names_come_from_options_or_places(tmp_path):
    file = tmp_path / "model_judgment" / "qwen" / "mine.jsonl"
    row = arena(baseline="b")
    del row["judge"], row["model"]
    save(file, [row])
    rows, assumed = read("arena_hard", tmp_path)
    assert (judged(rows)[0].judge.name, judged(rows)[0].models[1].name) == ("qwen", "mine")
    assert ["names no judge" in line or "names no model" in line for line in assumed] == [True, True]
    rows, assumed = read("arena_hard", tmp_path, judge="j", model="m")
    assert (judged(rows)[0].judge.name, judged(rows)[0].models[1].name, assumed) == ("j", "m", [])


def annotation(i=1, **more):
    two = {"generator_1": "base", "output_1": "x", "generator_2": "mine", "output_2": "y"}
    return {"instruction": f"q{i}", "annotator": "gpt", "preference": 2.0} | two | more


def test_alpaca_eval_names_come_from_options_or_places(tmp_path):
    row = annotation()
    for field in ("annotator", "generator_1", "generator_2"):
        del row[field]
    save(tmp_path / "model" / "judge" / "annotations.json", [row])
    with pytest.raises(UsageError, match=r"generator_1.*--baseline NAME"):
        read("alpaca_eval", tmp_path)
    rows, assumed = read("alpaca_eval", tmp_path, baseline="base")
    (found,) = judged(rows)
    assert ({model.name for model in found.models}, found.judge.name) == ({"base", "model"}, "judge")
    assert len(assumed) == 2
    rows, assumed = read("alpaca_eval", tmp_path, baseline="base", judge="j", model="m")
    (found,) = judged(rows)
    assert ({model.name for model in found.models}, found.judge.name, assumed) == ({"base", "m"}, "j", [])


def single(model="m", score=7, **more):
    return {"question_id": 1, "model": model, "judgment": f"[[{score}]]", "score": score, "turn": 1} | more


def test_judges_without_a_name_do_not_become_one(tmp_path):
    for name in ("first", "second"):
        save(tmp_path / f"{name}.jsonl", [single()])
        summary = import_results("fastchat", tmp_path / f"{name}.jsonl", tmp_path / "out", "b")
        assert summary.added == {"judgments": 1}
    rows, assumed = read("fastchat", tmp_path / "first.jsonl")
    assert (judged(rows)[0].judge.name, len(assumed)) == ("first", 1)
    rows, assumed = read("fastchat", tmp_path / "first.jsonl", judge="claude")
    assert (judged(rows)[0].judge.name, assumed) == ("claude", [])
    with pytest.raises(UsageError, match="--baseline has no meaning for fastchat"):
        read("fastchat", tmp_path, baseline="x")


def test_fastchat_folders_one_level_deeper_are_one_benchmark(tmp_path):
    data = tmp_path / "data" / "bench"
    pair = {"question_id": 1, "model_1": "m", "model_2": "n", "g1_winner": "model_1", "g2_winner": "tie", "turn": 1}
    save(data / "question.jsonl", [{"question_id": 1, "category": "c", "turns": ["q", "r"]}])
    for model in ("m", "n"):
        answer = {"question_id": 1, "choices": [{"index": 0, "turns": ["a", "b"]}]}
        save(data / "model_answer" / model / "results.jsonl", [answer])
    save(data / "reference_answer" / "gpt-4.jsonl", [{"question_id": 1, "choices": [{"index": 0, "turns": ["r"]}]}])
    save(data / "model_judgment" / "gpt-4_single" / "m.jsonl", [single()])
    save(data / "claude_single" / "m.jsonl", [single()])
    save(data / "pairwise" / "qwen" / "m.jsonl", [pair])
    save(data / "model_judgment" / "named.jsonl", [single(judge_model="said")])
    rows, assumed = read("fastchat", tmp_path)
    assert {row.benchmark for row in rows} == {"bench"}
    assert {row.judge.name for row in judged(rows)} == {"gpt-4", "claude", "qwen", "said"}
    assert {row.model.name for row in rows if isinstance(row, Response)} == {"m", "n"}
    assert len(assumed) == 5  # two models, three judges
    known = {row.id for row in rows if isinstance(row, Response)}
    assert all(set(row.shown) <= known for row in judged(rows))
    (item,) = (row for row in rows if isinstance(row, Item))
    assert list(item.meta["reference_answer"]) == ["gpt-4"]


@pytest.mark.parametrize(
    ("folder", "answers", "said", "expected", "lines"),
    [
        ("ratings-gpt-4o", (), {}, ("claude-3", "gpt-4o"), 0),
        ("x", ("claude-3",), {}, ("claude-3", "gpt-4o"), 0),
        ("x", (), {"judge": "gpt-4o"}, ("claude-3", "gpt-4o"), 0),
        ("x", (), {}, ("claude-3-gpt", "4o"), 1),
    ],
)
def test_hyphens_in_the_names_of_prd(tmp_path, folder, answers, said, expected, lines):
    name = "answer_gpt-3.5-turbo-vs-answer_claude-3-gpt-4o-reviewer_threeclass.jsonl"
    save(tmp_path / folder / name, [{"question_id": 1, "score": 1}])
    for model in answers:
        save(tmp_path / f"answer_{model}.jsonl", [{"question_id": 1, "text": "t"}])
    rows, assumed = read("prd", tmp_path, **said)
    (found,) = judged(rows)
    assert found.models[0].name == "gpt-3.5-turbo"
    assert ((found.models[1].name, found.judge.name), len(assumed)) == (expected, lines)


def test_a_file_of_prd_that_names_nobody(tmp_path):
    save(tmp_path / "mine.jsonl", [{"question_id": 1, "score": 2}])
    with pytest.raises(UsageError, match="does not name two models"):
        read("prd", tmp_path)
    rows, assumed = read("prd", tmp_path, baseline="b", model="m")
    (found,) = judged(rows)
    assert ([model.name for model in found.models], found.judge.name) == (["b", "m"], "mine")
    assert len(assumed) == 1


def test_a_translated_benchmark_does_not_replace_the_first(tmp_path):
    for language, text in (("en", "Who?"), ("de", "Wer?")):
        save(tmp_path / language / "question.jsonl", [{"question_id": 1, "category": "c", "turns": [text]}])
    import_results("fastchat", tmp_path / "en", tmp_path / "out", "b")
    before = (tmp_path / "out" / "b" / "items.jsonl").read_bytes()
    with pytest.raises(UsageError, match=r"another question with the id '1': 'Who\?', and here 'Wer\?'.*--benchmark"):
        import_results("fastchat", tmp_path / "de", tmp_path / "out", "b")
    assert (tmp_path / "out" / "b" / "items.jsonl").read_bytes() == before
    assert import_results("fastchat", tmp_path / "de", tmp_path / "out", "b_de").added == {"items": 1}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("fastchat", single(judge="j"), {"question_id": 1}),
        ("arena_hard", arena(baseline="b"), arena(baseline="b", games=[])),
        (
            "battles",
            {"model_a": "a", "model_b": "b", "winner": "tie"},
            {"model_a": "", "model_b": "b", "winner": "tie"},
        ),
    ],
)
def test_skipped_records_are_counted(tmp_path, name, good, bad):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (good, bad, bad)))
    with pytest.raises(UsageError, match="record 2"):
        import_results(name, file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    told = Told(skip_bad=True)
    summary = import_results(name, file, tmp_path / "out", told=told)
    assert summary.read["judgments"] > 0
    assert len(told.skipped) == 2
    assert "record 2" in next(iter(told.skipped.values()))


SILENT = {
    "arena_hard": [arena(baseline="b", games=[{"score": None, "judgment": ""}, None])],
    "fastchat": [single(score=-1, judgment=" "), single(score=-1, judgment="", question_id=2)],
    "alpaca_eval": [annotation(preference=None), annotation(2, preference=None)],
}


@pytest.mark.parametrize("name", SILENT)
def test_a_reason_that_a_source_does_not_give_is_not_made_up(tmp_path, name):
    """What failed without a word may have been lost, cut or never asked: it is none of them, and never a number."""
    places = {"fastchat": "model_judgment/gpt-4_single.jsonl", "alpaca_eval": "annotations.json"}
    save(tmp_path / places.get(name, "m.jsonl"), SILENT[name])
    rows, _ = read(name, tmp_path)
    assert [row.error and (row.error.kind, row.error.message) for row in judged(rows)] == [("unparsed", NO_REASON)] * 2
    assert all(row.scores is None for row in judged(rows))


COMPETITION = {
    "id": 7,
    **{"model_a": "x", "model_b": "y", "prompt": '["Hi?", "And you?"]', "response_a": '["Hi.", null]'},
    **{"response_b": '["Well.", "I am well."]', "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
}


def test_a_table_with_a_column_for_each_winner_and_turns_written_as_lists(tmp_path):
    save(tmp_path / "train.csv", [COMPETITION])
    rows, assumed = read("table", tmp_path / "train.csv")
    (item,) = (row for row in rows if isinstance(row, Item))
    first, second = (row for row in rows if isinstance(row, Response))
    assert (item.id, item.turns) == ("7", ("Hi?", "And you?"))
    assert (first.turns, second.turns) == (("Hi.", ""), ("Well.", "I am well."))
    assert judged(rows)[0].scores == (0, 1)
    assert any("the question is 'prompt', a list of its turns" in line for line in assumed)
    assert not any("winner_" in line for line in assumed)


@pytest.mark.parametrize("answer", ['["a", "b"]', "[1, 2]", "[a]", "[]", '[{"a": 1}]', "[" * 100_000 + "]"])
def test_a_list_as_an_answer_to_a_plain_question_is_that_answer(answer, tmp_path):
    save(tmp_path / "x.jsonl", [{"id": 1, "question": "Name two letters.", "answer": answer, "model": "m"}])
    rows, _ = read("table", tmp_path / "x.jsonl")
    assert next(row for row in rows if isinstance(row, Response)).turns == (answer,)


def test_a_small_import_is_read_once_and_a_large_one_twice(tmp_path, monkeypatch):
    from evalkit.interop import importing

    source = tmp_path / "source"
    source.mkdir()
    save(source / "a.csv", [COMPETITION])
    save(source / "b.csv", [COMPETITION | {"id": 8}])
    folders = []
    for limit in (importing.TOGETHER, 0):
        monkeypatch.setattr(importing, "TOGETHER", limit)
        into = tmp_path / f"results-{limit}"
        assert import_results("table", source, into, "own").added == {"items": 2, "answers": 4, "judgments": 2}
        folders.append({path.relative_to(into): path.read_bytes() for path in into.rglob("*") if path.is_file()})
    assert folders[0] == folders[1]
