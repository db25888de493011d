import csv
import io
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Ref, Response
from evalkit.ratings.beside import side_by_side
from evalkit.ratings.leaderboard import Choices, kinds, rate
from evalkit.ratings.panel import PANEL
from evalkit.reports import leaderboard_tables as tables
from evalkit.reports.leaderboard_grid import GridCell, all_grids, interval, number
from evalkit.reports.leaderboard_page import page
from evalkit.stats.resample import Interval
from tests.ratings.rows import TEXTBOOK, from_wins, judged, mtbench_votes, single
from tests.shared_data import shared_data

HOSTILE = "<script>alert(1)</script>\x1b[31m|=cmd\u202e{{7*7}}"


def store(folder, rows, name="gpt4.pairwise", kind="judgments"):
    path = folder / rows[0].benchmark / kind / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def response(model, item, text=None, category="writing"):
    error = None if text is not None else Failure("refused", "no")
    return Response(
        key=f"{model}{item}", item=item, benchmark="arena", category=category, model=Ref(model, "1"),
        turns=() if text is None else (text,), error=error,
    )  # fmt: skip


@pytest.fixture
def results(tmp_path):
    store(tmp_path / "results", from_wins(TEXTBOOK))
    return tmp_path / "results"


def board(*paths, **choices):
    return rate(Choices(paths=tuple(paths), **choices))


def test_json_has_the_keys_of_the_design(cli, results):
    done = cli("leaderboard", str(results), "--method", "bt", "--format", "json")
    data = json.loads(done.out)
    assert data["schema"] == "evalkit.leaderboard/1"
    for row in data["rows"]:
        assert {"model", "n", "failed", "rating", "lower", "upper", "wins", "losses", "ties"} <= set(row)
        assert row["lower"] <= row["rating"] <= row["upper"]
    assert data["tables"][0]["separability"] is not None
    assert [row["lead"] is None for row in data["rows"]] == [False, False, False, True]


def test_bt_is_the_default_without_scores_and_score_with(cli, results):
    assert "rating" in json.loads(cli("leaderboard", str(results), "--format", "json").out)["rows"][0]
    store(results, [single("A", 7.0), single("B", 5.0)], "gpt4.single")
    done = cli("leaderboard", str(results), "--format", "json")
    assert "score" in json.loads(done.out)["rows"][0]
    assert "--method bt" in done.err


@pytest.mark.parametrize("method", ["score", "winrate", "bt", "elo"])
@pytest.mark.parametrize("form", ["table", "json", "csv", "md", "html"])
def test_every_method_in_every_format(cli, results, tmp_path, method, form):
    store(results, [single("A", 7.0), single("B", 5.0)], "gpt4.single")
    out = tmp_path / "out" / "board"
    arguments = ["leaderboard", str(results), "--method", method, "--by", "category", "--format", form]
    shown, written = cli(*arguments), cli(*arguments, "-o", str(out))
    assert (shown.code, written.code, written.out) == (0, 0, "")
    assert "A" in shown.out
    if form != "table":
        assert out.read_text() == shown.out
    if form == "json":
        rows = json.loads(shown.out)["rows"]
        assert {row["category"] for row in rows} == {"writing"}
    if form == "csv":
        assert len(list(csv.DictReader(io.StringIO(shown.out)))) >= 2


def test_the_file_name_says_the_format(cli, results, tmp_path):
    done = cli("leaderboard", str(results), "-o", str(tmp_path / "b.json"))
    assert (done.out, done.err.splitlines()[-1]) == ("", f"in {tmp_path / 'b.json'}")
    assert json.loads((tmp_path / "b.json").read_text())["rows"]
    cli("leaderboard", str(results), "-o", str(tmp_path / "b.html"))
    assert (tmp_path / "b.html").read_text().startswith("<!doctype html>")


def test_an_unknown_ending_with_a_format(cli, results, tmp_path):
    assert cli("leaderboard", str(results), "-o", str(tmp_path / "b.xyz"), "--format", "csv").code == 0
    assert (tmp_path / "b.xyz").read_text().startswith("model,")


def test_width_without_a_terminal(cli, tmp_path, monkeypatch):
    """A pipe has no width, unless COLUMNS gives it one."""
    monkeypatch.delenv("COLUMNS", raising=False)
    for judge in (f"a_judge_{letter}" for letter in "abcdefgh"):
        store(tmp_path, from_wins(TEXTBOOK, judge=judge), f"{judge}.pairwise")
    done = cli("leaderboard", str(tmp_path))
    assert max(map(len, done.out.splitlines())) > 140
    assert done.out.count("by judge") == 1
    monkeypatch.setenv("COLUMNS", "90")
    assert max(map(len, cli("leaderboard", str(tmp_path)).out.splitlines())) <= 90


def test_nothing_is_not_negative():
    assert interval(Interval(-0.001, -0.002, 0.001, 3, 0.95, None, 3), 2) == GridCell("0.00", "0.00–0.00")
    assert number(-0.0001, 2) == GridCell("0.00")


def test_people_beside_gpt4(tmp_path):
    rows = list(mtbench_votes("human.jsonl")), list(mtbench_votes("gpt4_pair.jsonl"))
    store(tmp_path, rows[0], "human.pairwise")
    store(tmp_path, rows[1], "gpt4.pairwise")
    (beside,) = side_by_side(board(tmp_path).standings)
    assert [judge for judge, _ in beside.judges] == ["human", "human: author", "gpt4_pair"]
    assert not [s for s in board(tmp_path).standings if s.judge == PANEL]
    assert len(beside.models) == 6
    text = shown(board(tmp_path), 80)
    assert "mtbench: Bradley-Terry ratings by judge, ties left out\n" in text


def test_a_panel_of_judges(tmp_path):
    store(tmp_path, from_wins(TEXTBOOK), "gpt4.pairwise")
    store(tmp_path, from_wins({(b, a): n for (a, b), n in TEXTBOOK.items()}, judge="claude"), "claude.pairwise")
    store(tmp_path, from_wins(TEXTBOOK, judge="ann", fingerprint="human"), "human.pairwise")
    standings = board(tmp_path).standings
    panel = [s for s in standings if s.judge == PANEL]
    assert len(panel) == 4
    assert [s.main.estimate for s in panel] == pytest.approx([1000] * 4, abs=1e-6)  # opposite judges cancel
    assert sum(s.n for s in panel) == 2 * 2 * sum(TEXTBOOK.values())
    assert not [s for s in board(tmp_path, judge="gpt4").standings if s.judge != "gpt4"]


def test_judge_names(tmp_path):
    votes = from_wins(TEXTBOOK, judge="ann", fingerprint="human")
    store(tmp_path, votes, "human.pairwise")
    assert {s.judge for s in board(tmp_path, judge="human").standings} == {"human"}
    assert {s.judge for s in board(tmp_path, judge="ann").standings} == {"ann"}
    assert kinds([tmp_path]).judges == {"ann", "human"}


def test_nothing_there(cli, results):
    done = cli("leaderboard", str(results), "--judge", "gtp4")
    assert done.code == 2
    assert "no judgments" in done.err or "no pairwise judgments" in done.err
    assert "gpt4" in done.err
    assert cli("leaderboard", "nowhere").code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "elo", "--ties", "davidson"], "--ties has no meaning for --method elo; it goes with: bt"),
        (["--method", "score", "--baseline", "A"], "--baseline has no meaning for --method score"),
        (["--method", "lc"], "name it with --baseline: 'A', 'B', 'C', 'D'"),
        (["--method", "winrate", "--baseline", "E"], "no comparisons by 'gpt4' with a baseline 'E'"),
        (["--method", "elo", "--permutations", "-1"], "cannot be -1"),
        (["--strong-weight", "0"], "must be a positive number"),
        (["--method", "lc", "--baseline", "A", "--gamed", "g.csv"], "g.csv"),
        (["-o", "/dev/null/x"], "cannot write"),
        (["-o", "b.xyz"], "'b.xyz': no format is called '.xyz'; end the name in .txt, .json, .csv, .md, .tex, .html"),
    ],
)
def test_usage_errors(cli, results, options, words):
    done = cli("leaderboard", str(results), *options)
    assert done.code == 2
    assert words in done.err


def test_scores_of_a_battle_table(cli, tmp_path):
    (tmp_path / "b.csv").write_text("model_a,model_b,winner\nx,y,model_a\ny,x,model_a\n")
    done = cli("leaderboard", "b.csv", "--method", "score")
    assert done.code == 2
    assert "no scores" in done.err
    done = cli("leaderboard", "b.csv")
    assert done.code == 0
    assert "no question_id column" in done.err
    (tmp_path / "b.csv").write_text("model_a,model_b,winner\nx,y,perhaps\n")
    done = cli("leaderboard", "b.csv")
    assert "b.csv', record 1: field `winner` is 'perhaps'; known are model_a" in done.err


def test_style_from_the_answers(tmp_path):
    rows, answers = [], []
    for i in range(40):
        longer, lucky = i % 2, i % 5 == 0  # the longer answer wins four times out of five
        rows += [judged("A", "B", (1.0, 0.0) if bool(longer) != lucky else (0.0, 1.0), item=f"q{i}")]
        answers += [response("A", f"q{i}", "word " * (30 if longer else 9)), response("B", f"q{i}", "w" * (77 + i))]
    store(tmp_path, rows)
    store(tmp_path, [a for a in answers if a.model.name == "A"], "A", "answers")
    missing = board(tmp_path, style=True)
    assert any("none was found" in note for note in missing.standings[0].about.notes)
    store(tmp_path, [a for a in answers if a.model.name == "B"][:30], "B", "answers")
    found = board(tmp_path, style=True)
    notes = found.standings[0].about.notes
    assert any("leaves out 10 of 40" in note for note in notes)
    assert found.standings[0].about.coefficients["length"].estimate > 0


def test_answers_that_never_came_are_counted(tmp_path):
    store(tmp_path, from_wins(TEXTBOOK))
    store(tmp_path, [response("A", "q1"), response("E", "q1"), response("B", "q1", "fine")], "all", "answers")
    rows = {s.model: s for s in board(tmp_path).standings}
    assert rows["A"].failed == {"answer refused": 1}
    assert (rows["E"].n, rows["E"].failed, rows["E"].main) == (0, {"answer refused": 1}, None)
    assert rows["B"].failed == {}


def test_notes_about_the_data(tmp_path):
    rows = [judged("A", "B", (1.0, 0.0)), judged("B", "A", (1.0, 0.0)), judged("A", "B", (1.0, 0.0), item="q2")]
    rows += [judged("A", "A", (1.0, 0.0)), judged("A", "B", (1.0, 0.0), item="q2", versions=("0", "1"))]
    store(tmp_path, [rows[-1], *rows[:-1]])
    notes = "\n".join(board(tmp_path).notes)
    assert "1 of 2 comparisons were judged in one order only" in notes
    assert "1 judgments of a model against itself" in notes
    assert "1 judgments of earlier configurations" in notes


def shown(found, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    tables.show(console, all_grids(found.standings, side_by_side(found.standings)))
    return console.file.getvalue()


def hostile(folder):
    rows = from_wins({(HOSTILE, "B"): 2, ("B", HOSTILE): 1}, judge="j\x1b]0;x\x07", category="<b>")
    store(folder, rows)
    return board(folder, by_category=True)


@pytest.mark.parametrize("width", [80, 140])
def test_hostile_names_in_a_terminal(tmp_path, width):
    text = shown(hostile(tmp_path), width)
    assert not {char for char in text if ord(char) < 32 or char == "\u202e"} - {"\n"}
    assert max(len(line) for line in text.splitlines()) <= width


def test_hostile_names_in_files(tmp_path):
    standings = hostile(tmp_path).standings
    assert json.loads(tables.to_json(standings, []))["rows"][0]["model"] == HOSTILE
    (tmp_path / "more").mkdir()
    store(tmp_path / "more", from_wins({("=1+1", "B"): 2, ("B", "=1+1"): 1}))
    text = tables.to_csv(board(tmp_path / "more").standings)
    assert next(csv.DictReader(io.StringIO(text)))["model"] == "'=1+1"
    markdown = tables.to_markdown(all_grids(standings, []))
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows[:4]}) == 1


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.cells, self.inside = [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "td":
            self.cells.append(data)


def test_the_page_is_self_contained_and_escapes_everything(tmp_path):
    found = hostile(tmp_path)
    text = page(all_grids(found.standings, side_by_side(found.standings)), ["<i>note</i>"])
    reader = Reader()
    reader.feed(text)
    assert "49" not in reader.cells  # the template engine did not run a name
    assert any(cell.startswith("<script>alert(1)</script>") for cell in reader.cells)
    tags = {tag for tag, _ in reader.tags}
    assert "svg" in tags
    assert "script" not in tags
    assert not [attrs for _, attrs in reader.tags if "src" in attrs or "href" in attrs]
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert ("i", {}) not in reader.tags
    assert HOSTILE[:25] not in text
    (policy,) = [attrs["content"] for tag, attrs in reader.tags if tag == "meta" and "http-equiv" in attrs]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_an_empty_leaderboard_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        rate(Choices(paths=(tmp_path / "nowhere",)))


def test_llmfao_needs_no_import(cli):
    path = shared_data("llmfao", "llmfao.csv")
    done = cli("leaderboard", str(path), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 59
    assert rows[0]["model"] == "GPT 4"


def battles(path, *rows):
    path.write_text("model_a,model_b,winner,question_id\n" + "".join(f"{row},{n}\n" for n, row in enumerate(rows)))
    return str(path)


@pytest.mark.parametrize("method", ["elo", "winrate", "bt"])
def test_groups_that_never_met_are_named(cli, tmp_path, method):
    path = battles(tmp_path / "v.csv", "a,b,a", "a,b,b", "c,d,c", "d,c,c")
    done = cli("leaderboard", path, "--method", method, "--format", "json")
    assert "never met" in done.err or "2 groups of models apart" in done.err
    path = battles(tmp_path / "v.csv", "a,b,a", "a,b,b", "c,d,c", "d,c,d", "a,c,a", "a,c,c", "c,d,d", "c,d,c")
    assert "never met" not in cli("leaderboard", path, "--method", method, "--format", "json").err


def test_nothing_but_self_comparisons_is_named(cli, tmp_path):
    path = battles(tmp_path / "v.csv", "a,a,a", "b,b,tie")
    assert cli("import", "battles", path, "--into", "out").code == 0
    for where in (path, "out"):
        done = cli("leaderboard", where)
        assert (done.code, "all 2 judgments show a model against itself" in done.err) == (2, True)


def alpaca_battles(path, *pairs):
    """AlpacaEval's benchmark by name, whose usual baseline is gpt4_1106_preview."""
    path.parent.mkdir()
    rows = [f"{one},{two},{winner}" for one, two in pairs for winner in ("a", "b", "a", "tie")]
    return battles(path, *rows)


@pytest.mark.parametrize(
    ("pairs", "baseline"),
    [
        ([("davinci", "x"), ("davinci", "gpt4_1106_preview"), ("y", "davinci")], "davinci"),
        ([("gpt4_1106_preview", "x")], "gpt4_1106_preview"),
        ([("gpt4_1106_preview", "x"), ("gpt4_1106_preview", "y"), ("x", "y")], "gpt4_1106_preview"),
        ([("x", "y"), ("z", "y"), ("x", "z"), ("x", "gpt4_1106_preview")], None),
    ],
)
def test_the_default_baseline_is_who_takes_part_in_every_pair(cli, tmp_path, pairs, baseline):
    path = alpaca_battles(tmp_path / "in" / "v.csv", *pairs)
    assert cli("import", "battles", path, "--into", "out", "--benchmark", "alpaca_eval").code == 0
    found = json.loads(cli("leaderboard", "out", "--method", "winrate", "--format", "json").out)
    assert found["tables"][0].get("baseline") == baseline
    assert all(row["win_rate"] is not None for row in found["rows"])
