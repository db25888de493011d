"""``evalkit judges`` as a person types it, on small files and on published sets, whose figures come out exactly."""

from __future__ import annotations

import csv
import io
import json

import pytest

from evalkit.audit.judge_board import judge_board
from evalkit.core.schema import Item, Judgment, Response
from evalkit.evidence.gather import gather
from evalkit.interop import load
from tests.shared_data import shared_data

GOLD = '{"prompt": "%s", "chosen": "a good answer", "rejected": "poor", "id": "%s", "subset": "%s"}\n'


def board_of(name, *parts, **options):
    """The board of files that are imported, without a store."""
    rows = [row.record for row in load(name).read(shared_data(*parts))]
    judgments = [row for row in rows if isinstance(row, Judgment)]
    answers = [row for row in rows if isinstance(row, Response)]
    assert len(rows) >= len(judgments) + len(answers) + sum(isinstance(row, Item) for row in rows)
    return {table.measure: table for table in judge_board(gather(judgments, answers), **options).tables}


def percent(share):
    return round(100 * share, 4)


def row_of(table, judge):
    (row,) = (row for row in table.rows if row.judge == judge)
    return row


@pytest.fixture(scope="module")
def rewardmath():
    return board_of("rewardmath", "rewardmath")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("judge", "best", "of", "tied"),
    [
        ("internlm2", 37.2671, 483, 0),
        ("ArmoRM", 20.4969, 483, 5),
        ("grm_llama3", 24.4306, 483, 2),
        ("skywork_llama3", 22.1532, 483, 0),
        ("gpt4o", 25.9794, 485, 125),
        ("prometheus_7B", 2.2774, 483, 194),
    ],
)
def test_rewardmath_best_of_ten(rewardmath, judge, best, of, tied):
    row = row_of(rewardmath["best of n"], judge)
    assert (percent(row.strict), row.labels, row.tied, row.failed) == (best, of, tied, 0)
    assert rewardmath["best of n"].shown == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("judge", "accuracy", "unreadable", "all_nine"),
    [
        ("gpt4", 77.4557, 35, 29.8137),
        ("chatgpt", 51.2537, 0, 0.2070),
        ("llama3_8B", 43.8233, 621, 0.6211),
        ("sonnet-3-5", 69.6112, 0, 15.3209),
    ],
)
def test_rewardmath_pairs(rewardmath, judge, accuracy, unreadable, all_nine):
    row = row_of(rewardmath["pairs"], judge)
    assert (percent(row.strict), row.failed, row.labels) == (accuracy, unreadable, 4347)
    assert row.right.n == 4347 - unreadable
    assert percent(row_of(rewardmath["best of n"], judge).strict) == all_nine


def test_judgebench_reward_models_and_a_judge_in_both_orders():
    table = board_of("judgebench", "judgebench")["pairs"]
    assert {row.judge: round(100 * row.strict, 2) for row in table.rows if row.kind == "judge"} == {
        "o1-mini-2024-09-12": 65.71,
        "Skywork/Skywork-Reward-Gemma-2-27B": 64.29,
        "Skywork/Skywork-Reward-Llama-3.1-8B": 62.29,
        "internlm/internlm2-7b-reward": 59.43,
    }
    both = row_of(table, "o1-mini-2024-09-12")
    assert round(350 * (1 - both.same_in_both.estimate)) == 110
    assert [row.kind for row in table.rows] == ["judge"] * 4 + ["rule"]


def test_llmbar_counts_each_order_and_both_as_it_publishes():
    each, both = (board_of("llmbar", "llmbar", orders=orders)["pairs"] for orders in ("each", "consistent"))
    for row in each.judges:
        judge, method = row.judge, row.protocol.removeprefix("llmbar_").title()
        known = json.loads(shared_data("llmbar", "Natural", judge, method, "statistics.json").read_text())
        joint = next(one for one in both.judges if one.name == row.name)
        assert f"{100 * row.right.estimate:.1f}%" == known["correct_average"]
        assert known["correct_both"].endswith(f"{100 * joint.right.estimate:.1f}%")
        assert row.stronger is None  # its labels 1 and 2 name the answers
        assert known["equal"].endswith(f"{100 * joint.same_in_both.estimate:.1f}%")


@pytest.mark.parametrize(
    ("model", "gpt4", "rule", "people"),
    [
        ("gpt4", 93.5556, 92.4444, 98.4444),
        ("llama2orig", 77.1111, 80.2222, 96.4444),
        ("mistralinstruct", 74.0, 85.1111, 97.5556),
        ("llama2new", 78.2222, 85.5556, 95.7778),
        ("mistralguard", 76.6667, 76.0, 93.7778),
    ],
)
def test_xstest_labels(model, gpt4, rule, people):
    table = board_of("xstest", "xstest", f"{model}.csv")["answers"]
    shares = {row.kind: row.right.estimate if row.kind == "people" else row.strict for row in table.rows}
    assert {kind: percent(share) for kind, share in shares.items()} == {"judge": gpt4, "rule": rule, "people": people}


def labelled(cli, tmp_path, *, judge="judge", wrong=()):
    """A results folder with gold labels of 20 pairs and a judge's verdicts on them."""
    (tmp_path / "set.jsonl").write_text("".join(GOLD % (f"q {n}?", f"q{n}", "ab"[n % 2]) for n in range(20)))
    assert cli("import", "preferences", str(tmp_path / "set.jsonl"), "--into", str(tmp_path / "r")).code == 0
    lines = ["item,model_a,model_b,winner,judge,category"]
    for number in range(20):
        said = "rejected" if number in wrong else "chosen"
        lines.append(f"q{number},chosen,rejected,{said},{judge},{'ab'[number % 2]}")
    (tmp_path / "battles.csv").write_text("\n".join(lines) + "\n")
    arguments = ("--benchmark", "set", "--into", str(tmp_path / "r"))
    assert cli("import", "battles", str(tmp_path / "battles.csv"), *arguments).code == 0
    return str(tmp_path / "r")


def test_the_board_is_printed_with_its_answer_first(cli, tmp_path):
    results = labelled(cli, tmp_path, wrong={1, 3})
    done = cli("judges", results)
    assert done.code == 0
    assert done.out.startswith("set: one judge only: judge (90.0%, 95% ")
    assert "longer answer" in done.out
    assert "set, by category" not in done.out
    assert "set, by category: % right" in cli("judges", results, "--by", "category").out


def test_one_category_is_one_command_and_one_line(cli, tmp_path):
    results = labelled(cli, tmp_path, wrong={1, 3})
    assert cli("judges", results, "--category", "a").out.startswith("set, a: one judge only: judge (100.0%")
    ended = cli("judges", results, "--category", "coding")
    assert ended.code == 2
    assert "no label is on a question of a category 'coding'; there are: a, b" in ended.err


def test_every_form_holds_the_judge(cli, tmp_path):
    results = labelled(cli, tmp_path, wrong={1})
    data = json.loads(cli("judges", results, "--format", "json").out)
    assert data["tables"][0]["rows"][0]["right"]["estimate"] == 0.95
    (first, *_) = csv.DictReader(io.StringIO(cli("judges", results, "--format", "csv").out))
    assert (first["judge"], first["right"], first["failed"]) == ("judge", "0.95", "0")
    assert r"\toprule" in cli("judges", results, "--format", "latex").out
    assert "| judge |" in cli("judges", results, "--format", "md").out
    assert cli("judges", results, "-o", str(tmp_path / "page.html")).code == 0
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_nothing_with_labels_says_what_brings_some(cli, tmp_path):
    ended = cli("judges", str(tmp_path / "none"))
    assert ended.code == 2
    (tmp_path / "b.csv").write_text("item,model_a,model_b,winner,judge\nq,a,b,a,gpt\n")
    assert cli("import", "battles", str(tmp_path / "b.csv"), "--into", str(tmp_path / "r")).code == 0
    ended = cli("judges", str(tmp_path / "r"))
    assert ended.code == 2
    assert "has both labels and verdicts" in ended.err
    assert "--human" in ended.err
