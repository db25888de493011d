"""The contract every format keeps, run over each class of evalkit/interop that derives from ``ImportFormat``.

Each has a rig in tests/interop/rigs/<format>.py::

    EXPORTS = True            whether it can be written
    MALFORMED = {path: (...)} fields of each file without which a record makes no sense
    COUNTS = {kind: n}        records per built unit (answers and items are counted once)
    WHOLE = True              where a file is one document, so that it is not read row by row; with ``load(path)`` and
                              ``save(path, rows)`` of its rows
    UNNAMED = True            where the rows do not name models
    FAILS = False             where the format has no failed judgments; otherwise ``build`` writes at least one

    def build(folder, n, name, judge, text):   writes files with n units; ``name`` is a model
"""

import dataclasses
import importlib
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from evalkit import interop
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Item, Judgment, Response
from evalkit.datasets.data_files import CutLine
from evalkit.interop.exporting import export_results
from evalkit.interop.importing import import_results
from evalkit.storage.results import answer_logs, judgment_logs
from evalkit.storage.store import file_name
from tests.interop.files import below, canonical, load, save

FORMATS = interop.names()
HOSTILE = [
    "../../../etc/passwd",
    "/absolute",
    "..",
    ".hidden",
    "nul\x00bell\x07esc\x1b[31m",
    "lone \ud800 half",
    "wide 😀 \u2028 \ufeff",
    "=cmd|\"x\", 'y'\r\n--; {0} %s ${HOME} [bold]",
    "a\\b:c*d?",
    "very long " * 40,
]


def rig(name):
    if not (Path(__file__).parent / "rigs" / f"{name}.py").exists():
        pytest.fail(
            f"evalkit/interop/{name}.py has no rig: write tests/interop/rigs/{name}.py as this module's top says"
        )
    return importlib.import_module(f"tests.interop.rigs.{name}")


def loaded(name, path):
    """The rows of a rig's file."""
    return getattr(rig(name), "load", load)(path)


def saved(name, path, rows):
    """Write the rows of a rig's file."""
    getattr(rig(name), "save", save)(path, rows)


EXPORTED = [name for name in FORMATS if rig(name).EXPORTS]


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_a_frozen_dataclass(name):
    plugin = interop.load(name, "x")
    assert plugin.benchmark == "x"
    assert dataclasses.is_dataclass(plugin)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plugin.benchmark = "y"


def test_the_promised_formats_are_there():
    assert set(FORMATS) >= {"alpaca_eval", "arena_hard", "battles", "fastchat", "judgebench", "llmbar", "prd"}
    with pytest.raises(UsageError, match=r"no format 'fastchap'; did you mean 'fastchat'\? There are: alpaca_eval, "):
        interop.load("fastchap")


def test_nothing_heavy_is_imported():
    code = "import sys; from evalkit import interop; interop.names(); print({'pandas', 'numpy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


@pytest.mark.parametrize("name", FORMATS)
def test_everything_arrives_once_and_in_one_order(name, tmp_path):
    source = rig(name).build(tmp_path / "in", n=4)
    rows = list(interop.load(name).read(source))
    assert rows == list(interop.load(name).read(source))
    kinds = {Item: "items", Response: "answers", Judgment: "judgments"}
    counted = Counter(kinds[type(row.record)] for row in rows)
    assert {kind: count / 4 for kind, count in counted.items()} == rig(name).COUNTS
    records = [row.record for row in rows]
    keys = [row.key for row in records if not isinstance(row, Item)]
    assert len(keys) == len(set(keys))
    known = {row.id for row in records if isinstance(row, Response)}
    judged = [row for row in records if isinstance(row, Judgment)]
    if known:
        assert all(row.lengths for row in judged)
        assert sum(set(row.shown) <= known for row in judged) >= len(judged) / 2


@pytest.mark.parametrize("name", FORMATS)
def test_importing_again_changes_nothing(name, tmp_path):
    source = rig(name).build(tmp_path / "in", n=4)
    first = import_results(name, source, tmp_path / "out")
    assert first.added == first.read
    assert (sum(first.failed.values()) > 0) == getattr(rig(name), "FAILS", True)
    before = below(tmp_path / "out")
    again = import_results(name, source, tmp_path / "out")
    assert (again.read, again.failed, again.added) == (first.read, first.failed, {})
    assert below(tmp_path / "out") == before
    stored = sum(len(log) for log in judgment_logs([tmp_path / "out"]))
    assert stored == first.read["judgments"]
    assert sum(len(log) for log in answer_logs([tmp_path / "out"])) == first.read.get("answers", 0)


@pytest.mark.parametrize("name", FORMATS)
def test_an_import_that_was_cut_short_goes_on(name, tmp_path):
    source = rig(name).build(tmp_path / "in", n=4)
    import_results(name, source, tmp_path / "whole")
    import_results(name, source, tmp_path / "torn")
    for path in (tmp_path / "torn").rglob("*.jsonl"):
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="dropped an incomplete last line"):
        import_results(name, source, tmp_path / "torn")
    assert below(tmp_path / "torn") == below(tmp_path / "whole")


@pytest.mark.parametrize("name", FORMATS)
def test_the_benchmark_can_be_named(name, tmp_path):
    summary = import_results(name, rig(name).build(tmp_path / "in"), tmp_path / "out", benchmark="mine")
    assert summary.benchmarks == ("mine",)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_malformed_record_is_named(name, tmp_path):
    for number, (file, fields) in enumerate(rig(name).MALFORMED.items()):
        for field in fields:
            for what in ("missing", "wrong"):
                source = rig(name).build(tmp_path / f"{number}{field}{what}", n=3)
                rows = loaded(name, source / file)
                if what == "wrong" and file.endswith(".csv"):
                    continue
                rows[1] = {key: value for key, value in rows[1].items() if key != field}
                if what == "wrong":
                    rows[1][field] = {"not": "this"}
                saved(name, source / file, rows)
                with pytest.raises(UsageError) as error:
                    list(interop.load(name).read(source))
                message = str(error.value)
                assert f"{source / file}', record 2" in message, message
                assert f"`{field}`" in message or f"`$.{field}" in message or f"$.{field}" in message, message


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[: len(text) // 2], "record 2|more or fewer|record 1: is not JSON"),
        (lambda text: text.replace(b"?", b"\xff\xfe", 1), "UTF-8"),
        (lambda text: b"[" * 100_000, "nested|expected"),
        (lambda text: b"\x00\x01\x02 nothing", "record 1|not a file|no column|no column of"),
        (lambda text: b"[]" + text, "the list ends before|no column"),
    ],
    ids=["cut", "bytes", "deep", "junk", "more"],
)
def test_a_damaged_file_is_named(name, damage, says, tmp_path):
    source = rig(name).build(tmp_path / "in", n=3, text="Who?")
    file = source / next(iter(rig(name).MALFORMED))
    file.write_bytes(damage(file.read_bytes()))
    if file.suffix == ".csv" and says.startswith(("UTF", "nested", "the list")):
        pytest.skip("not the kind of damage a table shows")
    if file.suffix == ".jsonl" and says.startswith("record 2"):  # as of our own files: the last line was cut
        with pytest.warns(CutLine, match=file.name):
            list(interop.load(name).read(source))
        return
    with pytest.raises(UsageError, match=says) as error:
        list(interop.load(name).read(source))
    assert file.name in str(error.value)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_to_import(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README.txt").write_text("no results")
    with pytest.raises(UsageError, match=r"nothing to import in .*empty"):
        import_results(name, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UsageError, match=r"no file or folder .*nowhere"):
        import_results(name, tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_and_texts(name, text, tmp_path):
    source = rig(name).build(tmp_path / "in", n=2, name=text, judge=text, text=text)
    before = below(tmp_path / "in")
    import_results(name, source, tmp_path / "a" / "b" / "out")
    if rig(name).EXPORTS:
        export_results(name, [tmp_path / "a" / "b" / "out"], tmp_path / "a" / "b" / "back")
    assert below(tmp_path / "in") == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "a"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} <= {"out", "back"}
    for log in (*answer_logs([tmp_path / "a"]), *judgment_logs([tmp_path / "a"])):
        assert list(log)
    clean = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if "answers" in rig(name).COUNTS and not getattr(rig(name), "UNNAMED", name in ("llmbar", "prd")):
        names = {path.name for path in (tmp_path / "a" / "b" / "out").rglob("answers/*.jsonl")}
        assert f"{file_name(clean)}.jsonl" in names


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("bad", ["", " \n"])
def test_a_model_needs_a_name(bad, name, tmp_path):
    with pytest.raises(UsageError, match=r"record 1: field `\w+` is empty"):
        import_results(name, rig(name).build(tmp_path / "in", name=bad), tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_reading_streams(name, tmp_path):
    source = rig(name).build(tmp_path / "in", n=300, text="word " * 4000)
    size = sum(len(content) for content in below(source).values())
    assert size > 6_000_000
    for _ in interop.load(name).read(rig(name).build(tmp_path / "warm", n=2)):
        pass
    tracemalloc.start()
    try:
        for _ in interop.load(name).read(source):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    questions = 300 * 20_000 if name == "arena_hard" else 0  # kept, so as not to store each prompt with each answer
    whole = 4 * size if getattr(rig(name), "WHOLE", False) else 0
    assert peak - questions < 4_000_000 + whole


@pytest.mark.parametrize("name", EXPORTED)
def test_round_trip(name, tmp_path):
    source = rig(name).build(tmp_path / "in", n=5, text="Well… \u2028 [[3]] 😀")
    import_results(name, source, tmp_path / "results")
    export_results(name, [tmp_path / "results"], tmp_path / "out")
    original = Counter(dict(sum((canonical(load(path)) for path in source.rglob("*.*") if path.is_file()), Counter())))
    exported = sum((canonical(load(path)) for path in (tmp_path / "out").rglob("*.*") if path.is_file()), Counter())
    assert not original - exported
    if name != "alpaca_eval":  # there, answers that annotations quote become outputs as well
        assert original == exported
    before = below(tmp_path / "out")
    export_results(name, [tmp_path / "results"], tmp_path / "out")
    assert below(tmp_path / "out") == before
    again = import_results(name, tmp_path / "out", tmp_path / "results2", benchmark="b")
    direct = import_results(name, source, tmp_path / "results3", benchmark="b")
    assert again.read["judgments"] == direct.read["judgments"]
    assert again.failed == direct.failed
    keys = [
        {key for log in judgment_logs([tmp_path / results]) for key in (row.key for row in log)}
        for results in ("results2", "results3")
    ]
    if name != "battles":  # a CSV comes back as JSONL, with items of its own kind
        assert keys[0] == keys[1]


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(EXPORTED)))
def test_what_cannot_be_exported_says_so(name, tmp_path):
    import_results(name, rig(name).build(tmp_path / "in"), tmp_path / "results")
    with pytest.raises(UsageError, match=f"{name} cannot be exported; formats that can: {', '.join(EXPORTED)}"):
        export_results(name, [tmp_path / "results"], tmp_path / "out")


def test_nothing_to_export(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(UsageError, match=r"no results to export in .*results"):
        export_results("fastchat", [tmp_path / "results"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numbers_json_cannot_hold(tmp_path):
    row = {"question_id": 1, "model": "m", "judge": ["j", "p"], "user_prompt": "", "judgment": "", "turn": 1}
    path = tmp_path / "j_single.jsonl"
    path.write_text(json.dumps({**row, "score": 1}).replace(": 1}", ": 1e999}") + "\n")
    with pytest.raises(UsageError, match="record 1"):
        import_results("fastchat", path, tmp_path / "out")
    path.write_text(json.dumps({**row, "score": float("nan"), "tstamp": 10**40, "big": 10**40}) + "\n")
    summary = import_results("fastchat", path, tmp_path / "out")
    assert summary.failed == {"judgments unparsed": 1}
    export_results("fastchat", [tmp_path / "out"], tmp_path / "back")
