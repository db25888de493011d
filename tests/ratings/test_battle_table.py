import json

import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets import data_files
from evalkit.ratings import battle_table
from tests.shared_data import shared_data


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_csv(tmp_path):
    path = write(
        tmp_path / "b.csv",
        "winner,model_b,model_a,question_id,category,comment\n"
        'model_a,y,"x, the ""first""",1,art,"two\nlines"\nmodel_b,y,z,1,math,\ntie (bothbad),z,y,2,art,\n',
    )
    (table,) = battle_table.read([path])
    assert table.models == ('x, the "first"', "z", "y")
    assert table.outcome.tolist() == [1, 0, 0.5]
    assert table.question.tolist() == [0, 0, 1]
    assert table.categories == ("art", "math")
    assert (table.judge, table.benchmark) == ("b", "b")
    assert table.weights is None


def test_jsonl_equals_csv(tmp_path):
    rows = [{"model_a": "x", "model_b": "y", "winner": "model_a", "question_id": 81, "turn": 2, "text": "…"}]
    path = write(tmp_path / "b.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n\n")
    other = write(tmp_path / "c.csv", "model_a,model_b,winner,question_id,turn\nx,y,model_a,81,2\n")
    (one,), (two,) = battle_table.read([path]), battle_table.read([other])
    assert one.models == two.models
    assert one.turn.tolist() == two.turn.tolist() == [2]
    assert len(one.questions) == len(two.questions) == 1


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd

    path = tmp_path / "b.parquet"
    pd.DataFrame({"model_a": ["x", "y"], "model_b": ["y", "x"], "winner": ["tie", "model_a"]}).to_parquet(path)
    (table,) = battle_table.read([path])
    assert table.outcome.tolist() == [0.5, 1]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match="pip install pyarrow"):
        battle_table.read([write(tmp_path / "b.parquet", "PAR1")])


def test_people_are_pooled_and_judges_kept_apart():
    tables = battle_table.read([shared_data("mtbench_votes", f) for f in ("human.jsonl", "gpt4_pair.jsonl")])
    assert [(table.judge, len(table)) for table in tables] == [("gpt4_pair", 2400), ("human", 3355)]
    assert {table.benchmark for table in tables} == {"battles"}


def test_questions_are_shared_by_judges(tmp_path):
    path = write(
        tmp_path / "b.csv", "judge,model_a,model_b,winner,question_id\ng,x,y,tie,q7\nh,x,y,tie,q9\nh,x,y,tie,q7\n"
    )
    g, h = battle_table.read([path])
    assert g.question.tolist() == [h.question[1]]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_unknown_winner_names_file_and_row(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(data_files, "ROWS", 2)
    rows = [{"model_a": "x", "model_b": "y", "winner": w} for w in ("tie", "model_a", "y", "z")]
    path = tmp_path / f"b.{suffix}"
    if suffix == "csv":
        write(path, "model_a,model_b,winner\n" + "\n".join(",".join(row.values()) for row in rows))
    else:
        write(path, "\n".join(json.dumps(row) for row in rows))
    with pytest.raises(UsageError, match=rf"b\.{suffix}', record 4: field `winner` is 'z'; known are model_a"):
        battle_table.read([path])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model_a,winner\nx,tie\n", r"no column `model_b`.*has: 'model_a', 'winner'"),
        ("model_a,model_b,winner\nx,y,\n", "record 1: field `winner` is empty"),
        ("model_a,model_b,winner\n,y,tie\n", "record 1: field `model_a` is empty"),
        ("model_a,model_b,winner,question_id\nx,y,tie,\n", "record 1: field `question_id` is empty"),
        ("model_a,model_b,winner\n", "no rows"),
        ("", "no column"),
    ],
)
def test_bad_files(tmp_path, text, words):
    with pytest.raises(UsageError, match=words):
        battle_table.read([write(tmp_path / "b.csv", text)])


def test_a_line_that_is_not_json_is_named(tmp_path):
    good = json.dumps({"model_a": "x", "model_b": "y", "winner": "tie"})
    with pytest.raises(UsageError, match=r"b\.jsonl', record 3: "):
        battle_table.read([write(tmp_path / "b.jsonl", f"{good}\n\nnonsense\n{good}\n")])
    with pytest.raises(UsageError, match=r"record 2: .*is list"):
        battle_table.read([write(tmp_path / "b.jsonl", f'{good}\n{{"model_a": [1]}}\n')])


def test_a_model_against_itself_does_not_count(tmp_path):
    (table,) = battle_table.read([write(tmp_path / "b.csv", "model_a,model_b,winner\nx,x,tie\nx,y,tie\n")])
    assert (len(table), table.itself) == (1, 1)


def test_our_own_files_are_not_battle_tables(tmp_path):
    ours = write(tmp_path / "j.jsonl", '{"schema":"evalkit.judgment/1"}\n')
    theirs = write(tmp_path / "b.jsonl", '{"model_a":"x"}\n')
    assert not battle_table.is_battle_table(ours)
    assert battle_table.is_battle_table(theirs)
    assert not battle_table.is_battle_table(tmp_path)


def test_memory_is_a_few_numbers_a_row(tmp_path):
    rng = np.random.default_rng(0)
    names = rng.integers(9, size=(50_000, 2))
    lines = [f"m{a},n{b},tie,q{i}" for i, (a, b) in enumerate(names)]
    (table,) = battle_table.read([write(tmp_path / "b.csv", "model_a,model_b,winner,question_id\n" + "\n".join(lines))])
    kept = [table.a, table.b, table.outcome, table.question, table.category, table.turn]
    assert sum(column.nbytes for column in kept) <= 33 * len(table)
    assert all(column.strides == (0,) for column in (table.weight, table.length_a, table.length_b, table.orders))
