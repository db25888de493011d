"""Tables as text and as data."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata

import pytest
from rich.console import Console

from evalkit.core.schema import Ref, digest
from evalkit.core.text import plain
from evalkit.ratings.beside import side_by_side
from evalkit.ratings.scores import scores
from evalkit.reports import leaderboard_tables
from evalkit.reports.leaderboard_grid import Grid, all_grids
from tests.ratings.test_scores import answer, row


def grids(*rows, answers=(), by_category=False) -> list[Grid]:
    standings = scores(rows, answers).standings
    return all_grids(standings, side_by_side(standings), by_category=by_category)


def shown(*rows, answers=(), width=200, by_category=False) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    leaderboard_tables.show(console, grids(*rows, answers=answers, by_category=by_category))
    return console.file.getvalue()  # type: ignore[attr-defined]


def data(*rows, by_category=False) -> list[dict]:
    return leaderboard_tables.rows(scores(rows).standings, by_category=by_category)


def test_every_table_says_what_failed():
    text = shown(row("1", 5), row("2", "unparsed"), row("3", "refused"), answers=[answer("4", "truncated")])
    assert "1 without an answer (1 truncated); 2 of 3 judgments without a verdict (1 refused, 1 unparsed)" in text
    assert "nan" not in text.lower()


def test_nothing_failed():
    assert "without a verdict" not in shown(row("1", 5))


def test_what_a_score_is_a_mean_of_is_said_where_it_matters():
    whole = [row("1", 4), row("1", 8, turn=2), row("2", 9)]
    assert "mean of question means" in shown(*whole, row("2", "unparsed", turn=2))
    assert "mean of question means" not in shown(*whole, row("2", 9, turn=2))


def test_many_models_by_category_keep_their_numbers_whole():
    models = [Ref(f"model-{number}-instruct", digest(str(number))) for number in range(9)]
    rows = [
        row(f"{name}{item}", item + 1, model=model, category=name)
        for model in models
        for name in ("math", "writing", "coding")
        for item in range(3)
    ]
    text = shown(*rows, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert len(re.findall(r"(?<![\d.])2\.00(?!\d)", text)) == 9 * 5


def test_a_table_without_a_number():
    text = shown(row("1", "unparsed"))
    assert "1 of 1 judgments without a verdict (1 unparsed)" in text
    assert "None" not in text


def test_two_decimals_and_the_interval():
    text = shown(*(row(str(item), item) for item in range(1, 10)))
    (score,) = [s for s in scores([row(str(item), item) for item in range(1, 10)]).standings if not s.category]
    assert score.main is not None
    assert f"5.00 {score.main.lower:.2f}–{score.main.upper:.2f}" in text


def as_json(*rows) -> str:
    return leaderboard_tables.to_json(scores(rows).standings, [])


def test_json_has_full_precision_and_no_nan():
    text = as_json(row("1", 1), row("2", 1), row("3", 2))
    parsed = json.loads(text, parse_constant=pytest.fail)
    assert parsed["rows"][0]["score"] == pytest.approx(4 / 3, abs=1e-15)
    assert json.loads(as_json(row("1", "unparsed")))["rows"][0]["score"] is None


def test_csv_is_the_same_data():
    stored = [row("1", 1), row("2", 1), row("3", 2), row("4", "refused")]
    rows = data(*stored)
    (read,) = csv.DictReader(io.StringIO(leaderboard_tables.to_csv(scores(stored).standings)))
    assert list(read) == list(rows[0])
    assert float(read["score"]) == rows[0]["score"]
    assert json.loads(read["failed_by_kind"]) == {"refused": 1}


def test_csv_of_models_with_different_turns():
    models = [Ref(name, digest(name)) for name in ("one", "two")]
    rows = [row("1", 1, model=models[0]), row("1", 1, model=models[1]), row("1", 2, turn=2, model=models[1])]
    read = {
        line["model"]: line for line in csv.DictReader(io.StringIO(leaderboard_tables.to_csv(scores(rows).standings)))
    }
    assert read["one"]["turn_2"] == ""
    assert float(read["two"]["turn_2"]) == 2


def test_markdown_and_latex_escape_names():
    found = grids(row("1", 1, model=Ref("a_|b&", "f")), row("2", 2, model=Ref("a_|b&", "f")))
    lines = leaderboard_tables.to_markdown(found).splitlines()[2:]
    assert [line.replace("\\|", "").count("|") for line in lines] == [lines[0].count("|")] * 3
    assert lines[2].startswith(r"| a\_\|b&amp; | 1.50")
    latex = leaderboard_tables.to_latex(found).splitlines()
    assert [line for line in latex if line.startswith(r"a\_\textbar{}b\& & 1.50")]
    assert latex[-1] == r"\end{table}"


@pytest.mark.parametrize(
    "char",
    ["\x1b", "\x07", "\r", "\n", "\t", "\x9b", "\u202e", "\u2066", "\u200b", "\ud800", "\u2028", "\u2029", "\ufeff"],
)
def test_plain_text_controls_nothing(char):
    assert plain(f"a{char}b") == "a\ufffdb"


def test_plain_keeps_what_can_be_read():
    text = "Ünïcode 日本語 عربى 😀 a-b_c/d [red]x[/red] “q”"
    assert plain(text) == text
    assert all(unicodedata.category(char) != "Cc" for char in plain("".join(map(chr, range(0x250)))))
