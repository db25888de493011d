"""Mistakes in data that people bring: the value, what is allowed, what to do next; no traceback, nothing half done."""

import gzip
import io
import json

import pytest

PAIRS = "question_id,model_a,model_b,winner\n1,x,y,model_a\n2,x,y,tie\n"
ONE_HOT = b"model_a,model_b,winner_model_a,winner_model_b,winner_tie\nx,y,1,1,0\n"
GOOD = {"question_id": 1, "model_a": "x", "model_b": "y", "winner": "tie"}


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def workbook(*sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet()
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


REFUSED = {
    "a column is missing": (
        "battles",
        "v.csv",
        b"model_a,winner\nx,tie\n",
        ["no column `model_b`", "--map FIELD=COLUMN"],
    ),
    "nothing is known": ("battles", "v.csv", b"foo,bar\n1,2\n", ["model_a", "'foo', 'bar'"]),
    "a word for the winner that is none": (
        "battles",
        "v.jsonl",
        lines(GOOD, GOOD | {"winner": "perhaps"}),
        ["record 2", "'perhaps'", "known are model_a"],
    ),
    "words and numbers mixed": (
        "battles",
        "v.jsonl",
        lines(GOOD, GOOD | {"winner": "1"}, GOOD | {"winner": "7"}),
        ["winner is a number (1, 7)", "Write words instead"],
    ),
    "a winner that is empty": ("battles", "v.csv", b"model_a,model_b,winner\nx,y,\n", ["record 1", "is empty"]),
    "a model that is empty": (
        "battles",
        "v.csv",
        b"model_a,model_b,winner\n,y,tie\n",
        ["record 1", "`model_a` is empty"],
    ),
    "a turn that is none": ("battles", "v.jsonl", lines(GOOD | {"turn": "first"}), ["'first', which is not a turn"]),
    "an object where text is expected": (
        "battles",
        "v.jsonl",
        lines(GOOD | {"model_a": {"name": "x"}}),
        ["`model_a` is dict, where text is expected"],
    ),
    "a list where text is expected": ("battles", "v.jsonl", lines(GOOD | {"winner": ["tie"]}), ["`winner` is list"]),
    "an empty file": ("battles", "v.csv", b"", ["nothing to import", "empty"]),
    "a header alone": ("battles", "v.csv", b"model_a,model_b,winner\n", ["nothing to import", "empty"]),
    "a JSON file that is cut": (
        "battles",
        "v.json",
        b'[{"model_a": "x", "model_b"',
        ["v.json', record 1: is not JSON"],
    ),
    "a list of numbers": ("battles", "v.json", b"[1, 2]", ["an object is expected", "'1, 2]'"]),
    "text, not JSON": ("battles", "v.jsonl", b"hello\n", ["record 1: is not JSON"]),
    "too many fields": ("battles", "v.csv", b"model_a,model_b,winner\nx,y,tie,1\n", ["more or fewer fields"]),
    "Windows-1252": ("battles", "v.csv", PAIRS.replace("x", "Zo\xeb").encode("latin-1"), ["not UTF-8", "iconv"]),
    "gz that is none": ("battles", "v.csv.gz", PAIRS.encode(), ["no complete gzip file"]),
    "gz that is cut": ("battles", "v.csv.gz", gzip.compress(PAIRS.encode() * 500)[:-12], ["no complete gzip file"]),
    "an XLSX that is none": ("battles", "v.xlsx", b"PK nothing", ["cannot read", "as XLSX"]),
    "a Parquet that is none": ("battles", "v.parquet", b"PAR1 nothing", ["as Parquet"]),
    "two winners in one row": ("battles", "v.csv", ONE_HOT, ["one must be 1, not 2"]),
    "a score in words": (
        "table",
        "s.csv",
        b"item,model,score\n1,m,good\n",
        ["`score` is 'good'", "a score is a number"],
    ),
    "a score with its scale": ("table", "s.csv", b"item,model,score\n1,m,8/10\n", ["`score` is '8/10'"]),
    "a thousand or a decimal comma": ("table", "s.csv", b'item,model,score\n1,m,"1,000"\n', ["`score` is '1,000'"]),
    "no question": (
        "table",
        "a.csv",
        b"answer,model\nx,m\n",
        ["no column says what was asked", "--map question=COLUMN"],
    ),
    "no answer and no score": (
        "table",
        "a.csv",
        b"question,model\nx,m\n",
        ["not a file with answers", "'question', 'model'"],
    ),
    "chosen and rejected": (
        "table",
        "p.jsonl",
        lines({"prompt": "q", "chosen": "a", "rejected": "b"}),
        ["evalkit import preferences"],
    ),
    "an empty question": ("table", "a.csv", b"question,answer,model\n,x,m\n", ["`question` is empty"]),
    "two questions of one id": (
        "table",
        "a.csv",
        b"id,question,answer,model\n1,q,x,m\n1,r,x,m\n",
        ["id '1' was there before, with another question"],
    ),
    "an answer that is an object": (
        "table",
        "a.jsonl",
        lines({"question": "q", "answer": {"a": 1}, "model": "m"}),
        ["`answer`: expected a text or a list of texts"],
    ),
    "a system prompt": (
        "table",
        "a.jsonl",
        lines({"question": "q", "answer": "a", "model": "m", "system": "Be."}),
        ["field 'system' would change what is asked"],
    ),
    "a file of another tool": ("fastchat", "v.jsonl", lines({"foo": 1}), ["is not a file of FastChat"]),
    "numbers beyond a scale": (
        "battles",
        "v.jsonl",
        lines(GOOD | {"winner": 99}),
        ["which can be read in several ways"],
    ),
    "an annotator who says 3": (
        "pandalm",
        "t.json",
        json.dumps([{"instruction": "i", "response1": "a", "response2": "b", "annotator1": 3}]).encode(),
        ["`annotator1` is '3'; it must be 0"],
    ),
    "a log that is none": ("inspect_ai", "l.eval", b"nothing", ["as a log of Inspect"]),
    "a judge's folder that holds none": ("opencompass", "d.json", b'{"accuracy": 50.0}', ["'accuracy' is float"]),
}

UNDERSTOOD = {
    "a byte order mark": ("battles", "v.csv", b"\xef\xbb\xbf" + PAIRS.encode(), 2),
    "UTF-16": ("battles", "v.csv", PAIRS.encode("utf-16"), 2),
    "semicolons and capitals": ("battles", "v.csv", PAIRS.replace(",", ";").upper().encode(), 2),
    "tabs": ("battles", "v.tsv", PAIRS.replace(",", "\t").encode(), 2),
    "blank lines": ("battles", "v.jsonl", b"\n" + lines(GOOD) + b"\n\n" + lines(GOOD | {"question_id": 2}), 2),
    "NaN beside the winner": ("battles", "v.jsonl", lines(GOOD | {"note": float("nan")}), 1),
    "a decimal comma": ("table", "s.csv", b"item;model;score\n1;m;7,5\n2;m;8\n", 2),
    "a score that is not a number": ("table", "s.jsonl", lines({"item": 1, "model": "m", "score": float("nan")}), 1),
    "the same row twice": ("battles", "v.jsonl", lines(GOOD, GOOD), 2),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_is_refused(cli, tmp_path, mistake):
    name, file, content, says = REFUSED[mistake]
    (tmp_path / file).write_bytes(content)
    done = cli("import", name, file, "--into", "out")
    assert done.code == 2, done.err
    told = " ".join(done.err.split())
    assert all(part in told for part in says), told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_what_is_understood(cli, tmp_path, kind):
    name, file, content, judgments = UNDERSTOOD[kind]
    (tmp_path / file).write_bytes(content)
    done = cli("import", name, file, "--into", "out")
    assert done.code == 0, done.err
    assert f"{judgments:,} judgments, {judgments:,} of them new" in done.err


@pytest.mark.filterwarnings("default::evalkit.datasets.data_files.OtherSheets")
def test_a_second_sheet_is_said(cli, tmp_path):
    rows = [["question_id", "model_a", "model_b", "winner"], [1, "x", "y", "tie"]]
    (tmp_path / "v.xlsx").write_bytes(workbook(rows, [["other"], [1]]))
    done = cli("import", "battles", "v.xlsx", "--into", "out")
    assert done.code == 0
    assert "v.xlsx has 2 sheets; the first, 'Sheet', is read" in done.err


def test_folders(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    done = cli("import", "table", "empty", "--into", "out")
    assert (done.code, "nothing to import in 'empty'" in done.err) == (2, True)
    done = cli("import", "table", "nowhere", "--into", "out")
    assert (done.code, "no file or folder 'nowhere'" in done.err) == (2, True)
    done = cli("import", "tabel", "empty")
    assert (done.code, "there is no format 'tabel'; did you mean 'table'" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("winer=winner", "no field 'winer'"),
        ("winner=winer", "did you mean 'winner'"),
        ("winner", "is not FIELD=COLUMN"),
    ],
)
def test_maps(cli, tmp_path, given, says):
    (tmp_path / "v.csv").write_text(PAIRS)
    for name in ("battles", "table"):
        done = cli("import", name, "v.csv", "--map", given)
        assert (done.code, says in done.err) == (2, True), done.err


def test_rows_that_are_there_twice_are_said(cli, tmp_path):
    (tmp_path / "v.jsonl").write_bytes(lines(GOOD, GOOD, GOOD | {"question_id": 2}))
    assert "v.jsonl: 1 rows are there again, word for word" in cli("import", "battles", "v.jsonl").err


@pytest.mark.parametrize("method", ["elo", "bt", "winrate"])
def test_groups_that_never_met_have_no_common_ranking_without_a_word(cli, tmp_path, method):
    rows = [f"q{n},{a},{b},model_{'ab'[n % 2]}" for n in range(8) for a, b in (("a", "b"), ("c", "d"))]
    head = "question,model_a,model_b,winner"
    (tmp_path / "v.csv").write_text("\n".join([head, *rows, "q9,e,e,tie"]) + "\n")
    code, out, err = cli("leaderboard", "v.csv", "--method", method)
    assert code == 0, err
    said = " ".join((out + err).split())
    assert ("they never met" if method == "bt" else "never met, not even through others") in said
    (tmp_path / "self.csv").write_text(f"{head}\nq1,e,e,tie\n")
    code, _, err = cli("leaderboard", "self.csv", "--method", method)
    assert code in (1, 2)
    assert "itself" in err
