"""One vocabulary: the same file means the same to import, leaderboard and audit, whatever kind of file it is."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets.data_files import columns, records
from evalkit.datasets.vocabulary import outcome, outcomes, parse_map
from evalkit.evidence.labels import read_votes
from evalkit.interop import load
from evalkit.judges.replies import FIVE, MARGIN, SCALE8
from evalkit.ratings import battle_table
from tests.shared_data import shared_data

ROWS = [
    {"prompt": "q1", "model_1": "x", "model_2": "y", "winner": "model_1", "worker": "ann"},
    {"prompt": "q1", "model_1": "y", "model_2": "x", "winner": "y", "worker": "bob"},
    {"prompt": "q2", "model_1": "x", "model_2": "z", "winner": "draw", "worker": "ann"},
    {"prompt": "q2", "model_1": "x", "model_2": "z", "winner": "error", "worker": "bob"},
]
POINTS = [1.0, 1.0, 0.5]


def as_csv(rows, delimiter=","):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_xlsx(rows, path: Path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(path)


def save(folder: Path, name: str, rows) -> Path:
    path = folder / name
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind == "xlsx":
        as_xlsx(rows, path)
        return path
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        import pandas as pd

        pd.DataFrame(rows).to_parquet(path)
        return path
    text = {
        "csv": as_csv(rows),
        "tsv": as_csv(rows, "\t"),
        "jsonl": "\n".join(map(json.dumps, rows)),
        "json": json.dumps({"rows": rows}, indent=1),
    }[kind]
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


NAMES = ("v.csv", "v.csv.gz", "v.tsv", "v.xlsx", "v.jsonl", "v.jsonl.gz", "v.json", "v.json.gz", "v.parquet")


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_reads_every_kind_of_file_alike(name, tmp_path):
    path = save(tmp_path, name, ROWS)
    assumed = []
    (table,) = battle_table.read([path], note=assumed.append)
    assert (table.judge, table.benchmark, table.outcome.tolist()) == ("human", "v", POINTS)
    assert (len(table.questions), len(table.failed)) == (2, 1)
    judgments = [row.record for row in load("battles").read(path)]
    assert [row.scores[0] for row in judgments if row.scores] == POINTS
    assert [row.item for row in judgments] == ["q1", "q1", "q2", "q2"]
    assert {row.judge.fingerprint for row in judgments} == {"human"}
    votes, _ = read_votes(path)
    assert [vote.outcome for vote in votes] == POINTS
    assert [vote.annotator for vote in votes] == ["ann", "bob", "ann"]
    assert assumed == [
        f"assumed: in {name}, model_a is 'model_1', model_b is 'model_2', question is 'prompt', judge is 'worker'"
    ]


def test_semicolons_lists_and_encodings(tmp_path):
    path = tmp_path / "v.csv"
    for content in (
        as_csv(ROWS, ";").encode(),
        as_csv(ROWS, "\t").encode("utf-16"),
        b"\xef\xbb\xbf" + as_csv(ROWS).encode(),
    ):
        path.write_bytes(content)
        assert columns(path) == tuple(ROWS[0])
        assert [row for _, row in records(path)] == ROWS
        assert battle_table.read([path])[0].outcome.tolist() == POINTS
    listed = tmp_path / "v.json"
    for text in (json.dumps(ROWS), "\n".join(map(json.dumps, ROWS)) + "\n"):
        listed.write_text(text)
        assert [row for _, row in records(listed)] == ROWS


@pytest.mark.parametrize("name", ["v.csv", "v.jsonl"])
def test_another_encoding_is_a_message(name, tmp_path):
    (tmp_path / name).write_bytes(as_csv([ROWS[0] | {"winner": "Zoë"}]).encode("latin-1"))
    for read in (lambda path: list(records(path)), lambda path: battle_table.read([path]), read_votes):
        with pytest.raises(UsageError, match=rf"{name}' is not UTF-8 text \(byte 0xeb\).*WINDOWS-1252"):
            read(tmp_path / name)


def test_one_column_for_each_winner(tmp_path):
    rows = [
        {"id": n, "model_a": "x", "model_b": "y", "winner_model_a": a, "winner_model_b": b, "winner_tie": tie}
        for n, (a, b, tie) in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)])
    ]
    path = save(tmp_path, "train.csv", rows)
    assert battle_table.read([path])[0].outcome.tolist() == [1, 0, 0.5]
    assert [row.record.scores[0] for row in load("battles").read(path)] == [1, 0, 0.5]
    path = save(tmp_path, "train.csv", [*rows, rows[0] | {"winner_tie": 1}])
    for read in (lambda: battle_table.read([path]), lambda: list(load("battles").read(path))):
        with pytest.raises(UsageError, match=r"record 4: of 'winner_model_a'.* one must be 1"):
            read()


def test_words_mean_what_they_mean_of_judges():
    for form in (FIVE, MARGIN):
        assert {label: outcome(label) for label in form.scores} == form.scores
    scale = outcomes(SCALE8.scores, Path("f"))
    assert scale.points == pytest.approx(dict(SCALE8.scores))
    assert "from 1" in scale.assumed[0]
    assert outcome("a-is-slightly-better") == outcome("Model_A") == 1
    assert outcome("Error") is None
    for side, swapped in (("model_a", "model_b"), ("left", "right"), ("Assistant A", "Assistant B"), ("A", "B")):
        for word in ("significantly", "better", "slightly", "negligibly"):
            assert outcome(f"{side}:{word}") == MARGIN.scores[f"A:{word}"]
            assert outcome(f"{side}: {word.removesuffix('better')} better".replace("  ", " ")) == outcome(
                f"{side}:{word}"
            )
            assert outcome(f"{swapped}:{word}") == MARGIN.scores[f"B:{word}"]
        assert (outcome(f"{side} is much better"), outcome(f"{swapped} is slightly better")) == (1, 0)


@pytest.mark.parametrize(
    ("words", "points"),
    [
        (("1", "0", "0.5"), (1, 0, 0.5)),
        (("1", "2", "1.5"), (1, 0, 0.5)),
        (("-3", "0", "3", "2"), (1, 0.5, 0, 1 / 6)),
        (("tie", "1", "0"), (0.5, 1, 0)),
    ],
)
def test_numbers(words, points):
    found = outcomes(words, Path("f"))
    assert [found.points[word] for word in words] == pytest.approx(list(points))
    assert len(found.assumed) == 1


@pytest.mark.parametrize("words", [("0", "1", "2"), ("-1", "0", "1"), ("1", "5"), ("9",)])
def test_numbers_that_can_be_read_in_several_ways(words):
    with pytest.raises(UsageError, match="several ways"):
        outcomes(words, Path("f"))


def test_columns_can_be_named(tmp_path):
    rows = [{"first": "x", "second": "y", "outcome": "a", "ask": "q"}]
    path = save(tmp_path, "v.csv", rows)
    with pytest.raises(UsageError, match="no column `model_a`, `model_b`, `winner`"):
        battle_table.read([path])
    given = parse_map(["model_a=first", "model_b=second", "winner=outcome", "question_id=ask"])
    assert battle_table.read([path], given)[0].models == ("x", "y")
    with pytest.raises(UsageError, match=r"winner=outcom.*did you mean 'outcome'"):
        battle_table.read([path], given | {"winner": "outcom"})
    for bad in ("x", "=x", "winner="):
        with pytest.raises(UsageError, match="is not FIELD=COLUMN"):
            parse_map([bad])


def test_an_import_is_all_or_nothing(cli, tmp_path):
    save(tmp_path, "v.csv", [*ROWS, ROWS[0] | {"winner": "perhaps"}])
    done = cli("import", "battles", "v.csv", "--into", "out")
    assert (done.code, (tmp_path / "out").exists()) == (2, False)
    assert "record 5: field `winner` is 'perhaps'; known are model_a" in done.err


@pytest.mark.slow
def test_llmfao_is_the_same_read_and_imported(cli, tmp_path):
    path = shared_data("llmfao", "llmfao.csv")
    assert cli("import", "battles", str(path), "--into", "out").code == 0
    direct, stored = (
        {row["model"]: row for row in csv.DictReader(io.StringIO(cli("leaderboard", where, "--format", "csv").out))}
        for where in (str(path), "out")
    )
    assert len(direct) == 59
    for name, row in direct.items():
        for field in ("rating", "lower", "upper", "wins", "n"):
            assert float(row[field]) == pytest.approx(float(stored[name][field]), rel=1e-6), (name, field)
