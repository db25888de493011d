"""Files of equal verdicts: reruns stay reruns, one by one, as a folder or read directly; the same file adds none."""

import csv
import io
import itertools
import json
import random

import pytest

from evalkit.interop.importing import import_results
from evalkit.interop.records import Told
from tests.interop.files import save

BOARD = ("lead", "lead_lower", "lead_upper", "wins", "losses", "ties", "n")
RUNS = {
    "first": ("a", "a", "tie", "b", "a"),
    "second": ("a", "a", "tie", "b", "a"),  # word for word as the first
    "third": ("a", "b", "tie", "b", "b"),
}


def runs(folder):
    for name, winners in RUNS.items():
        rows = ({"question_id": i, "model_a": "x", "model_b": "y", "winner": w} for i, w in enumerate(winners))
        save(folder / f"{name}.jsonl", rows)
    return folder


def bring(path, into):
    return import_results("battles", path, into, "b", Told(judge="j")).added.get("judgments", 0)


def board(cli, *paths):
    (table,) = (cli("leaderboard", *map(str, paths), "--method", "winrate", "--format", "csv").out,)
    return {
        row["model"]: tuple(row[name] for name in ("wins", "losses", "ties", "n", "win_rate"))
        for row in csv.DictReader(io.StringIO(table))
    }


@pytest.mark.parametrize("order", list(itertools.permutations(RUNS)), ids="-".join)
def test_one_by_one_is_as_a_folder_in_every_order(cli, tmp_path, order):
    source = runs(tmp_path / "in")
    assert bring(source, tmp_path / "whole") == 15
    for name in order:
        assert bring(source / f"{name}.jsonl", tmp_path / "parts") == 5
        assert bring(source / f"{name}.jsonl", tmp_path / "parts") == 0
    assert bring(source, tmp_path / "parts") == 0
    for name in RUNS:
        assert bring(source / f"{name}.jsonl", tmp_path / "whole") == 0
    assert board(cli, tmp_path / "parts") == board(cli, tmp_path / "whole")
    wins = {model: row[:4] for model, row in board(cli, tmp_path / "parts").items()}
    assert wins == {"x": ("7", "5", "3", "15"), "y": ("5", "7", "3", "15")}


def test_read_directly_the_numbers_are_the_same(cli, tmp_path):
    source = runs(tmp_path / "in")
    for name in RUNS:
        bring(source / f"{name}.jsonl", tmp_path / "parts")
    found = {}
    table = cli(
        "leaderboard", *(str(source / f"{name}.jsonl") for name in RUNS), "--method", "winrate", "--format", "csv"
    )
    for row in csv.DictReader(io.StringIO(table.out)):
        if row["judge"] in RUNS:
            wins = found.setdefault(row["model"], [0, 0, 0])
            found[row["model"]] = [
                had + int(row[name]) for had, name in zip(wins, ("wins", "losses", "ties"), strict=True)
            ]
    assert {model: list(map(int, row[:3])) for model, row in board(cli, tmp_path / "parts").items()} == found


def test_a_file_that_grew_or_moved_adds_what_is_new(tmp_path):
    source = runs(tmp_path / "in")
    assert bring(source / "first.jsonl", tmp_path / "out") == 5
    with (source / "first.jsonl").open("a") as file:
        file.write('{"question_id": 9, "model_a": "x", "model_b": "y", "winner": "a"}\n')
    assert bring(source / "first.jsonl", tmp_path / "out") == 1
    moved = (source / "first.jsonl").rename(tmp_path / "moved.jsonl")
    assert bring(moved, tmp_path / "out") == 0
    assert bring(source / "second.jsonl", tmp_path / "out") == 5


def texts(folder):
    """Two files on the same questions: in the second, x has other answers, and loses."""
    for name, said, winner in (("one", "right", "a"), ("two", "wrong", "b")):
        save(
            folder / f"{name}.jsonl",
            (
                {"id": i, "question": f"Question {i}?", "model_a": a, "model_b": b, "winner": won}
                | {"answer_a": f"{said} {i}" if a == "x" else "so", "answer_b": f"{said} {i}" if b == "x" else "so"}
                for i in range(4)
                for a, b, won in (("x", "y", winner), ("y", "x", "b" if winner == "a" else "a"))
            ),
        )
    return folder


@pytest.mark.parametrize("names", [(), ("one", "two"), ("two", "one")], ids=lambda names: "-".join(names) or "folder")
def test_verdicts_on_both_texts_count_where_a_second_file_has_another_answer(cli, tmp_path, names):
    source = texts(tmp_path / "in")
    for path in [source / f"{name}.jsonl" for name in names] or [source]:
        import_results("table", path, tmp_path / "out", "b", Told(judge="j"))
        assert import_results("table", path, tmp_path / "out", "b", Told(judge="j")).added.get("judgments", 0) == 0
    found = board(cli, tmp_path / "out")
    assert {model: row[:4] for model, row in found.items()} == {"x": ("4", "4", "0", "8"), "y": ("4", "4", "0", "8")}
    told = cli("audit", str(tmp_path / "out"), "--format", "json").out
    consistent = [row for row in json.loads(told)["findings"] if row["metric"] == "position_consistency"]
    assert [row["estimate"] for row in consistent if row["category"] is None] == [1.0]


@pytest.mark.slow
def test_thousands_of_voters_are_the_same_read_and_imported(cli, tmp_path):
    """6,000 votes of 2,295 people, as an arena publishes them."""
    draw = random.Random(1)
    rows = []
    for number in range(6000):
        one, other = draw.sample("abcdefgh", 2)
        winner = draw.choice(["model_a", "model_b", "tie", "tie (bothbad)"])
        who = f"arena_user_{number % 2295}"
        rows.append({"question_id": f"q{number}", "model_a": one, "model_b": other, "winner": winner, "judge": who})
    save(tmp_path / "votes.jsonl", rows)
    assert bring(tmp_path / "votes.jsonl", tmp_path / "in") == 6000
    tables = []
    for path in (tmp_path / "in", tmp_path / "votes.jsonl"):
        out = cli("leaderboard", str(path), "--method", "bt", "--format", "csv").out
        table = {row["model"]: row for row in csv.DictReader(io.StringIO(out))}
        tables.append({model: [float(row[name] or "nan") for name in BOARD] for model, row in table.items()})
    assert len(tables[0]) == 8
    assert {model: pytest.approx(row, abs=1e-9, nan_ok=True) for model, row in tables[1].items()} == tables[0]
