"""What is particular to one format."""

import importlib.util
import random

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judgment, Response
from evalkit.interop import alpaca_eval, load
from evalkit.interop.exporting import export_results
from evalkit.interop.importing import import_results
from tests.interop.files import canonical, save
from tests.interop.files import load as rows_in
from tests.interop.rigs import alpaca_eval as alpaca_rig
from tests.interop.rigs import fastchat as fastchat_rig
from tests.interop.rigs import prd as prd_rig


def judgments(name, path):
    return [row.record for row in load(name).read(path) if isinstance(row.record, Judgment)]


# FastChat


def test_fastchat_rows_become_showings(tmp_path):
    rows = judgments("fastchat", fastchat_rig.build(tmp_path, n=1))
    single = [(row.turn, row.scores, row.label, row.error and row.error.kind) for row in rows if len(row.shown) == 1]
    assert single == [
        (1, (7.0,), "7", None),
        (1, (8.5,), "8.5", None),
        (2, None, None, "unparsed"),
        (2, (3.0,), "3", None),
    ]
    assert {row.parser for row in rows if len(row.shown) == 1} == {"fastchat-rating/1"}
    assert {row.protocol for row in rows if len(row.shown) == 1} == {"fastchat_single"}
    one, two = "model/one", "model/one (2)"
    games = [row for row in rows if row.protocol == "fastchat_pair"]
    assert [tuple(model.name for model in row.models) for row in games] == [(one, two), (two, one)] * 2
    assert [row.scores for row in games] == [(1, 0), (1, 0), (0.5, 0.5), None]
    assert [row.label for row in games] == ["A", "A", "tie", None]
    assert games[3].error.kind == "transport"  # $ERROR$ is no reply
    assert games[0].shown == games[1].shown[::-1]
    vote, joint = rows[-2:]
    assert (vote.protocol, vote.judge.name, vote.judge.fingerprint) == ("human_pair", "expert_12", "human")
    assert (joint.protocol, joint.judge.name, joint.label) == (
        "fastchat_pair_aggregated",
        "gpt-4",
        "tie (inconsistent)",
    )
    assert (vote.scores, joint.scores, vote.lengths) == ((0, 1), (0.5, 0.5), (len("Well."), len("Other.")))


def test_a_judge_that_was_run_twice_leaves_both_verdicts(tmp_path):
    source = fastchat_rig.build(tmp_path / "in", n=1)
    file = source / "data/mt/model_judgment/gpt-4_single.jsonl"
    rows = rows_in(file)
    save(file, [*rows, rows[0], rows[0], {**rows[0], "judgment": "[[2]]", "score": 2}])
    again = [row for row in judgments("fastchat", source) if row.turn == 1 and row.models[0].name == "model/one"]
    single = [row for row in again if len(row.shown) == 1]
    assert [(row.scores, row.repeat) for row in single] == [((7.0,), 0), ((7.0,), 1), ((7.0,), 2), ((2.0,), 3)]
    assert len({row.key for row in single}) == 4
    import_results("fastchat", source, tmp_path / "results")
    export_results("fastchat", [tmp_path / "results"], tmp_path / "out")
    assert canonical(rows_in(tmp_path / "out/mt/model_judgment/gpt-4_single.jsonl")) == canonical(rows_in(file))


def test_a_rating_that_the_text_does_not_hold_is_taken_as_stored(tmp_path):
    row = {"question_id": 1, "model": "m", "judge": ["j", "p"], "judgment": "[[7]]", "score": 5, "turn": 1}
    save(tmp_path / "j_single.jsonl", [row, {**row, "score": -1}])
    first, second = judgments("fastchat", tmp_path)
    assert (first.scores, first.label, first.parser) == ((5.0,), "5.0", "imported/1")
    assert (second.error.kind, second.parser, second.raw) == ("unparsed", "imported/1", "[[7]]")


def test_a_pair_file_with_one_final_winner(tmp_path):
    row = {"question_id": 1, "model_1": "a", "model_2": "b", "winner": "model_2", "judge": ["gpt-4", "p"], "turn": 2}
    save(tmp_path / "in" / "gpt-4_pair.jsonl", [row, {**row, "winner": "inconsistent", "turn": 1}])
    one, two = judgments("fastchat", tmp_path / "in")
    assert (one.scores, one.protocol, two.scores) == ((0, 1), "fastchat_pair_aggregated", (0.5, 0.5))
    import_results("fastchat", tmp_path / "in", tmp_path / "results")
    export_results("fastchat", [tmp_path / "results"], tmp_path / "out")
    assert rows_in(tmp_path / "out/in/votes/gpt-4.jsonl") == rows_in(tmp_path / "in/gpt-4_pair.jsonl")


def test_references_need_their_questions(tmp_path):
    answer = {"question_id": 1, "model_id": "gpt-4", "choices": [{"index": 0, "turns": ["42"]}]}
    save(tmp_path / "reference_answer" / "gpt-4.jsonl", [answer])
    with pytest.raises(UsageError, match=r"without their question.jsonl: import both together"):
        list(load("fastchat").read(tmp_path))


def test_several_choices_and_failed_answers(tmp_path):
    answers = [
        {
            "question_id": 1,
            "answer_id": "x",
            "model_id": "m",
            "choices": [{"index": i, "turns": [str(i)]} for i in (0, 1)],
        },
        {"question_id": 2, "answer_id": "y", "model_id": "m", "choices": [{"index": 0, "turns": ["$ERROR$"]}]},
    ]
    save(tmp_path / "in" / "m.jsonl", answers)
    found = [row.record for row in load("fastchat").read(tmp_path / "in")]
    assert [(row.item, row.sample, row.turns) for row in found] == [
        ("1", 0, ("0",)),
        ("1", 1, ("1",)),
        ("2", 0, ("$ERROR$",)),
    ]
    assert [row.error and row.error.kind for row in found] == [None, None, "transport"]
    import_results("fastchat", tmp_path / "in", tmp_path / "results")
    export_results("fastchat", [tmp_path / "results"], tmp_path / "out")
    assert rows_in(tmp_path / "out/in/model_answer/m.jsonl") == answers


# AlpacaEval


def test_alpaca_eval_shows_what_its_seed_says(tmp_path):
    rows = judgments("alpaca_eval", alpaca_rig.build(tmp_path, n=30, judge="weighted_alpaca_eval_gpt4_turbo"))
    older = [row for row in rows if row.judge.name == "weighted_alpaca_eval_gpt4_turbo"]
    assert {row.protocol for row in older} == {"alpaca_eval_weighted"}
    for number, row in enumerate(older):
        instruction = f"Well. {number}?"
        swap = random.Random("is_switched_outputs" + instruction + str(0)).choices([False, True], k=1)[0]
        assert row.models[0].name == ("my model" if swap else "gpt4_turbo")
        if number % 3 == 2:
            assert row.error.kind == "unparsed"
        else:
            assert row.scores[0 if swap else 1] == pytest.approx(1 / (3 + number), abs=1e-15)
            assert sum(row.scores) == 1
            assert row.label == "m"
        assert (row.logprobs, row.cost, row.latency) == ({"m": -0.01, "M": -4.6}, 0.01, 0.5)
    assert len({row.models[0].name for row in older}) == 2


def test_alpaca_eval_replies_without_log_probabilities():
    for raw in (
        None,
        "m",
        {"logprobs": None},
        {"logprobs": {"content": []}},
        {"logprobs": {"content": [{}]}},
        {"logprobs": 3},
    ):
        assert alpaca_eval.verdict_logprobs(raw) == {}


def test_two_models_that_share_a_name_are_told_apart(tmp_path):
    for folder, output in (("one", "Yes."), ("two", "No.")):
        row = {
            "instruction": "Q?",
            "output_1": "base",
            "generator_1": "b",
            "output_2": output,
            "generator_2": "example",
        }
        save(tmp_path / folder / "annotations.json", [{**row, "annotator": "j", "preference": 1.25}])
    rows = [row.record for row in load("alpaca_eval").read(tmp_path)]
    answers = {row.id: row for row in rows if isinstance(row, Response) and row.model.name == "example"}
    assert sorted((row.sample, row.turns) for row in answers.values()) == [(0, ("Yes.",)), (1, ("No.",))]
    shown = [set(row.shown) & set(answers) for row in rows if isinstance(row, Judgment)]
    assert len(shown[0] | shown[1]) == 2


# Arena-Hard


def test_arena_hard_games(tmp_path):
    row = {"uid": "u" * 32, "category": "c", "judge": "j", "model": "m", "baseline": "b"}
    games = [{"score": score, "judgment": {"answer": f"[[{score}]]"}, "prompt": []} for score in ("A>>B", "A")]
    save(tmp_path / "m.jsonl", [{**row, "games": games}, {**row, "uid": "v" * 32, "games": [None, None]}])
    first, second, third, fourth = judgments("arena_hard", tmp_path)
    assert [model.name for model in first.models] == ["b", "m"]
    assert [model.name for model in second.models] == ["m", "b"]
    assert (first.label, first.scores, first.raw, first.benchmark) == ("A>>B", (1, 0), "[[A>>B]]", "arena_hard")
    assert (second.error.kind, third.error.kind, fourth.error.kind) == (
        "unparsed",
        "unparsed",
        "unparsed",
    )  # a null says no reason


def test_arena_hard_as_it_was_before_april_2025(tmp_path):
    data = tmp_path / "in"
    save(
        data / "question.jsonl",
        [{"question_id": "q1", "category": "arena-hard-v0.1", "cluster": "C", "turns": [{"content": "Why?"}]}],
    )
    answer = {
        "question_id": "q1",
        "answer_id": "a1",
        "model_id": "m",
        "choices": [{"index": 0, "turns": [{"content": "Because.", "token_len": 2}]}],
        "tstamp": 1.5,
        "conv_metadata": {"token_len": 2},
    }
    save(data / "model_answer" / "m.jsonl", [answer])
    games = [{"user_prompt": "?", "judgment": f"[[{score}]]", "score": score} for score in ("B>A", "A=B")]
    save(
        data / "model_judgment" / "gpt-4" / "m.jsonl",
        [{"question_id": "q1", "model": "m", "judge": "gpt-4", "games": games}],
    )
    one, two = judgments("arena_hard", data)
    assert ([model.name for model in one.models], one.scores, two.scores) == (["gpt-4-0314", "m"], (0, 1), (0.5, 0.5))
    assert one.category == "arena-hard-v0.1"
    summary = import_results("arena_hard", data, tmp_path / "results")
    assert summary.benchmarks == ("arena_hard",)
    export_results("arena_hard", [tmp_path / "results"], tmp_path / "out")
    for path in ("question.jsonl", "model_answer/m.jsonl", "model_judgment/gpt-4/m.jsonl"):
        assert rows_in(tmp_path / "out/arena_hard" / path) == rows_in(data / path)


def test_arena_hard_v2_is_another_benchmark(tmp_path):
    save(tmp_path / "question.jsonl", [{"uid": "0123456789abcdef", "category": "hard_prompt", "prompt": "Why?"}])
    (row,) = load("arena_hard").read(tmp_path)
    assert row.record.benchmark == "arena_hard_v2"


# PRD


def test_prd_files_that_are_there_twice_count_once(tmp_path):
    source = prd_rig.build(tmp_path, n=2)
    name = prd_rig.PAIR.format("one", "two", "gpt4")
    copy = source / "ratings-gpt4" / name.replace("answer_", "answer-")
    copy.write_bytes((source / "ratings-gpt4" / name).read_bytes())
    assert len(judgments("prd", source)) == 2 * prd_rig.COUNTS["judgments"]


# battles


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_an_unknown_winner_is_named(suffix, tmp_path):
    rows = [{"model_a": "a", "model_b": "b", "winner": winner} for winner in ("tie", "model_c")]
    save(tmp_path / f"x.{suffix}", rows)
    with pytest.raises(
        UsageError, match=rf"x.{suffix}', record 2: field `winner` is 'model_c'; known are model_a, .*tie"
    ):
        list(load("battles").read(tmp_path))


def test_battle_fields(tmp_path):
    rows = [
        {"model_a": "a", "model_b": "NA", "winner": "Model_A", "question_id": "q" * 65, "turn": "2", "category": "c"},
        {"model_a": "a", "model_b": "NA", "winner": "tie (bothbad)", "question_id": "", "turn": "", "category": ""},
    ]
    save(tmp_path / "x.csv", rows)
    first, second = judgments("battles", tmp_path / "x.csv")
    assert (first.scores, first.turn, first.category, first.models[1].name) == ((1, 0), 2, "c", "NA")
    assert (len(first.item), first.protocol, first.judge.name) == (16, "battles", "x")
    assert (second.scores, second.turn, second.item, second.label) == ((0.5, 0.5), 1, "2", "tie (bothbad)")
    save(tmp_path / "y.csv", [{**rows[0], "turn": "0"}])
    with pytest.raises(UsageError, match="field `turn` is '0', which is not a turn"):
        judgments("battles", tmp_path / "y.csv")


def test_parquet_needs_pyarrow(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    says = "cannot read" if importlib.util.find_spec("pyarrow") else "needs pyarrow: pip install pyarrow"
    with pytest.raises(UsageError, match=says):
        list(load("battles").read(tmp_path))


def test_parquet_rows(tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd

    table = pd.DataFrame({"model_a": ["a", "b"], "model_b": ["b", None], "winner": ["tie", "a"], "turn": [1, 2]})
    table.to_parquet(tmp_path / "x.parquet")
    rows = load("battles").read(tmp_path)
    assert next(rows).record.scores == (0.5, 0.5)
    with pytest.raises(UsageError, match=r"x.parquet', record 2: field `model_b` is empty"):
        next(rows)


# items


@pytest.mark.parametrize(("name", "file"), [("fastchat", "question.jsonl"), ("prd", "vicuna_questions.jsonl")])
def test_an_id_stands_for_one_question(name, file, tmp_path):
    row = {"question_id": 1, "category": "c", "turns": ["Why?"], "text": "Why?"}
    save(tmp_path / file, [row, row])
    assert len(list(load(name).read(tmp_path))) == 1
    save(tmp_path / file, [row, {**row, "turns": ["How?"], "text": "How?"}])
    with pytest.raises(UsageError, match="record 2: id '1' was there before, with another question"):
        list(load(name).read(tmp_path))
