"""The results files: what survives torn lines, a second process, a full disk, a bad line, an odd name."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evalkit.core.schema import Failure, Item, Judged, Judgment, Ref, Response, Usage, digest
from evalkit.storage import store as store_module
from evalkit.storage.results import answer_logs, judgment_logs
from evalkit.storage.store import Log, NotStored, Rows, Store, StoreError, TornLine, file_name, first_row

ME = Ref("me", "f" * 32)


def response(key="k", **fields):
    return Response(key=key, item="1", benchmark="b", category="c", model=ME, **fields)


def judgment(key="k", **fields):
    given_fields = {"scores": (7.0,)} if "error" not in fields else {}
    base = {"item": "1", "benchmark": "b", "category": "c", "turn": 1, "judge": ME, "protocol": "single"}
    base |= {"parser": "rating/1", "shown": ("r",), "models": (ME,)}
    return Judgment(key=key, **(base | given_fields | fields))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers" / "me.jsonl"


def opened(path, kind=Response):
    return Log(path, kind)


def written(path, *rows):
    log = opened(path)
    for row in rows:
        log.append(row)
    log.close()
    return path


# Rows in, rows out.


def test_nothing_is_created_before_the_first_row(path):
    log = opened(path)
    assert len(log) == 0
    assert list(log) == []
    assert log.get("k") is None
    assert log.entry("k") is None
    log.close()
    assert not path.parent.exists()


def test_the_latest_row_of_a_key_counts(path):
    log = opened(path)
    first, other, last = response("a", turns=("1",)), response("b"), response("a", turns=("1", "2"))
    for row in (first, other, last):
        log.append(row)
    for reader in (log, opened(path)):
        assert len(reader) == 2
        assert reader.get("a") == last
        assert list(reader) == [other, last]  # in file order, the replaced row gone
    assert path.read_bytes().count(b"\n") == 3  # but nothing is ever overwritten
    log.close()


def test_reading_while_appending(path):
    log = opened(path)
    for number in range(3):
        log.append(response(str(number)))
    seen = []
    for row in log:
        seen.append(row.key)
        log.append(response(f"new{row.key}"))
    assert seen == ["0", "1", "2"]
    assert len(log) == 6
    log.close()


def test_an_entry_knows_error_and_parser(path):
    log = opened(path, Judgment)
    log.append(judgment("good"))
    log.append(judgment("bad", error=Failure("unparsed", "no verdict"), parser="rating/0"))
    for reader in (log, opened(path, Judgment)):
        assert (reader.entry("good").error, reader.entry("good").parser) == (None, "rating/1")
        assert (reader.entry("bad").error, reader.entry("bad").parser) == ("unparsed", "rating/0")
    log.close()


def test_a_row_is_one_write_and_syncs_are_rare(path, monkeypatch):
    calls = {"write": 0, "fsync": 0}
    for name in calls:
        real = getattr(os, name)

        def counted(*arguments, name=name, real=real):
            calls[name] += 1
            return real(*arguments)

        monkeypatch.setattr(os, name, counted)
    clock = count(100.0, 0.01)  # seconds that pass from one look to the next
    monkeypatch.setattr(store_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    log = opened(path)
    for number in range(2000):
        log.append(response(str(number), turns=("x" * 3000,)))
    log.close()
    assert calls["write"] == 2000
    seconds = next(clock) - 100.0
    assert 10 < calls["fsync"] <= seconds + 1, "one a second, and one at the end"


def test_an_index_is_small(path):
    rows = [judgment(digest(number), raw="because " * 150) for number in range(20_000)]
    path.parent.mkdir()
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    tracemalloc.start()
    try:
        log = opened(path, Judgment)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(log) == 20_000
    assert held / 20_000 < 300


def test_snapshots_are_counted_by_who_answered(path):
    other = Ref("me", "e" * 32)
    log = opened(path)
    for number, (model, snapshot) in enumerate([(ME, "a"), (ME, "b"), (other, "c"), (ME, None), (ME, "a")]):
        log.append(replace(response(str(number), snapshot=snapshot), model=model))
    log.append(response("0", snapshot="b"))  # replaced, yet it was one
    for reader in (log, opened(path)):
        assert reader.snapshots(ME) == {"a": 2, "b": 2}
        assert reader.snapshots(other) == {"c": 1}
        assert reader.snapshots(Ref("me", "0")) == {}
    log.close()
    judged = opened(path.parent / "j.jsonl", Judgment)
    judged.append(judgment("k", snapshot="x", models=(other,)))
    assert (judged.snapshots(ME), judged.snapshots(other)) == ({"x": 1}, {})  # of the judge, not of the judged
    judged.close()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.sampled_from("abcde"), max_size=30), cuts=st.sets(st.integers(0, 30)))
def test_an_index_built_in_pieces_is_that_built_at_once(tmp_path_factory, keys, cuts):
    file = tmp_path_factory.mktemp("pieces") / "me.jsonl"
    writer, follower = opened(file), opened(file)
    for number, key in enumerate(keys):
        writer.append(response(key, turns=(str(number),)))
        if number in cuts:
            follower.refresh()
    writer.close()
    follower.refresh()
    latest = {key: number for number, key in enumerate(keys)}
    for reader in (writer, follower, opened(file)):
        assert {row.key: row.turns for row in reader} == {key: (str(n),) for key, n in latest.items()}
        assert [row.key for row in reader] == sorted(latest, key=latest.get)
        assert len(reader) == len(latest)
        assert all(reader.get(key).turns == (str(number),) for key, number in latest.items())


@settings(max_examples=50, deadline=None)
@given(keys=st.lists(st.sampled_from("abcde"), max_size=30), torn=st.booleans())
def test_a_file_that_is_only_read_gives_the_rows_of_its_log(tmp_path_factory, keys, torn):
    path = tmp_path_factory.mktemp("once") / "me.jsonl"
    written(path, *(response(key, turns=(str(number),)) for number, key in enumerate(keys)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TornLine)
        with path.open("ab") as file:
            file.write(b'{"schema":' * torn)
        once, log = Rows(path, Response), Log(path, Response)
    assert list(once) == list(log)
    assert len(once) == len(log) == len(set(keys))


def test_a_file_that_is_only_read_names_its_bad_line_even_if_a_later_row_replaces_it(path):
    written(path, response(), response("l"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0].replace(b'"item"', b'"item') + b"".join(lines))
    with pytest.raises(StoreError, match=r"me\.jsonl', line 1"):
        Rows(path, Response)
    path.write_bytes(lines[0] + lines[1].replace(b"response", b"other"))
    with pytest.raises(StoreError, match=r"line 2: schema 'evalkit.other/1' where 'evalkit.response/1'"):
        Rows(path, Response)


def test_a_closed_log_opens_again(path):
    log = opened(path)
    log.append(response("a"))
    log.close()
    log.close()
    log.append(response("b"))
    log.close()
    assert [row.key for row in opened(path)] == ["a", "b"]


def start(code, *arguments):
    """Code that runs in a process of its own, with this module's names."""
    root = str(Path(__file__).parents[2])
    source = f"import sys; from pathlib import Path; from tests.storage.test_store import *; {code}"
    return subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def child(code, *arguments):
    output, errors = start(code, *arguments).communicate(timeout=600)
    assert output == "done\n", errors


text = st.text(st.characters(exclude_categories=["Cs"]))
usage = st.builds(Usage, *[st.integers(0, 10**9)] * 3)
finite = st.floats(allow_nan=False, allow_infinity=False)
failure = st.builds(Failure, st.sampled_from(["refused", "truncated", "unparsed", "malformed"]), text)
responses = st.builds(
    Response,
    key=text,
    item=text,
    benchmark=text,
    category=text,
    model=st.builds(Ref, text, text),
    turns=st.lists(text).map(tuple),
    finish=st.lists(st.sampled_from(["stop", "length"])).map(tuple),
    usage=st.lists(usage).map(tuple),
    sampling=st.dictionaries(text, st.none() | text | finite),
    snapshot=st.none() | text,
    latency=finite,
    cost=st.none() | finite,
    error=st.none() | failure,
)


@st.composite
def judgments(draw):
    refs = tuple(draw(st.lists(st.builds(Ref, text, text), max_size=3)))
    failed = draw(st.none() | failure)
    return judgment(
        draw(text),
        models=refs,
        shown=tuple(draw(text) for _ in refs),
        scores=None if failed else tuple(draw(finite) for _ in refs),
        error=failed,
        raw=draw(text),
        label=draw(st.none() | text),
        logprobs=draw(st.none() | st.dictionaries(text, finite)),
        usage=draw(usage),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(responses, max_size=4) | st.lists(judgments(), max_size=4))
def test_any_text_comes_back_as_it_was(tmp_path, rows):
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    kind = Judgment if rows and isinstance(rows[0], Judgment) else Response
    log = opened(path, kind)
    for row in rows:
        log.append(row)
        assert log.get(row.key) == row
    log.close()
    latest = {row.key: row for row in rows}
    assert {row.key: row for row in opened(path, kind)} == latest
    assert path.exists() is bool(rows)
    if rows:
        assert path.read_bytes().count(b"\n") == len(rows)


# Damage.


@pytest.mark.parametrize("cut", [1, 20, -1, -2])
def test_a_torn_last_line_is_dropped_and_written_again(path, cut):
    written(path, response("a"), response("b"))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:cut])
    with pytest.warns(TornLine, match=r"me\.jsonl.*incomplete last line"):
        log = opened(path)
    assert list(log) == [response("a")]
    assert path.read_bytes() == lines[0] + lines[1][:cut]  # a reader changes nothing
    log.append(response("b"))  # no second warning
    assert path.read_bytes() == whole
    assert log.get("b") == response("b")
    log.close()


def test_a_file_of_nothing_but_a_torn_line(path):
    path.parent.mkdir()
    path.write_bytes(b'{"schema":"evalk')
    with pytest.warns(TornLine):
        log = opened(path)
    assert len(log) == 0
    log.append(response("a"))
    log.close()
    assert list(opened(path)) == [response("a")]


def test_zeros_left_by_a_power_cut_are_a_torn_line(path):
    written(path, response("a"))
    with path.open("ab") as file:
        file.write(b"\0" * 4096)
    with pytest.warns(TornLine, match="4096 bytes"):
        assert list(opened(path)) == [response("a")]


@pytest.mark.parametrize(
    "bad",
    [b"{not json}\n", b"\n", b'{"schema":"evalkit.response/1"}\n', b"[]\n", b"\xff\xfe\n", b'"\xc3\x28"\n', b"\0\0\n"],
)
def test_a_malformed_line_is_named_and_stops_the_read(path, bad):
    written(path, response("a"), response("b"), response("c"))
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[0] + bad + lines[2]
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"me\.jsonl.*line 2: .*Mend or delete that line"):
        opened(path)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("kind", [Log, Rows])
def test_a_blank_line_is_called_that(path, kind):
    written(path, response("a"), response("b"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\r\n", 1))
    with pytest.raises(StoreError, match=r"line 2: the line is blank\. Mend or delete that line"):
        kind(path, Response)


@pytest.mark.parametrize(
    "damage",
    [
        (b'"item":"1"', b'"item":1'),
        (b'"item":"1"', b'"item":"\xff"'),
        (b'"item":"1"', b'"item":"1","odd":1'),
        (b'"item":"1",', b""),
    ],
)
def test_a_bad_row_behind_a_good_head_is_named_when_it_is_read(path, damage):
    written(path, response("a"), response("b"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(*damage))
    log = opened(path)
    assert log.get("a") == response("a")
    with pytest.raises(StoreError, match="line 2: "):
        log.get("b")
    with pytest.raises(StoreError, match="line 2: "):
        list(log)


def test_a_judgment_that_breaks_its_rules_is_named(path):
    log = opened(path, Judgment)
    log.append(judgment("a"))
    log.close()
    path.write_bytes(path.read_bytes().replace(b'"scores":[7.0]', b'"scores":null'))
    with pytest.raises(StoreError, match=r"line 1: .*scores or an error"):
        list(opened(path, Judgment))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ((b'"scores":[7.0]', b'"scores":null'), "must have scores or an error, and not both"),
        ((b'"error":null', b'"error":{"kind":"unparsed","message":""}'), "must have scores or an error, and not both"),
        ((b'"scores":[7.0]', b'"scores":[7.0,1.0]'), "2 scores for 1 shown"),
        ((b'"shown":["r"]', b'"shown":["r","s"]'), "1 models for 2 responses shown"),
        ((b'"scores":[7.0]', b'"scores":[1e999]'), "Number out of range"),
        ((b'"turn":1', b'"turn":"1"'), "Expected `int`, got `str`"),
    ],
)
@pytest.mark.parametrize("kind", [Judgment, Judged])
def test_among_many_the_one_that_breaks_its_rules_is_named(path, kind, damage, said):
    rows = [judgment("twice"), *(judgment(str(number)) for number in range(150)), judgment("twice")]
    log = opened(path, Judgment)
    log.extend(rows)
    log.close()
    assert [row.item for row in Rows(path, kind)] == ["1"] * 151
    lines = path.read_bytes().splitlines(keepends=True)
    lines[99] = lines[99].replace(*damage)
    path.write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=f"line 100: .*{said}"):
        list(Rows(path, kind))
    path.write_bytes(lines[99] + lines[1])
    with pytest.raises(StoreError, match=f"line 1: .*{said}"):
        first_row(path, kind)


def test_rows_of_another_kind_or_version_are_refused(path):
    written(path, response("a"))
    with pytest.raises(StoreError, match=r"line 1: schema 'evalkit.response/1' where 'evalkit.judgment/1'"):
        opened(path, Judgment)
    path.write_bytes(path.read_bytes().replace(b"response/1", b"response/2"))
    with pytest.raises(StoreError, match="response/2"):
        opened(path)


def test_another_process_appending_garbage_does_not_lose_the_lock(path):
    log = opened(path)
    log.append(response("a"))
    with path.open("ab") as file:
        file.write(b"garbage\n")
    for _ in range(2):
        with pytest.raises(StoreError, match="line 2"):
            log.append(response("b"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0])
    log.append(response("b"))
    log.close()
    assert [row.key for row in opened(path)] == ["a", "b"]


@pytest.mark.parametrize("there", [False, True])
def test_a_file_replaced_under_a_run_gets_the_row_in_hand_and_no_more_is_asked(path, there):
    log = opened(path)
    log.append(response("a"))
    if there:
        path.with_suffix(".new").write_bytes(path.read_bytes())
        path.with_suffix(".new").replace(path)
    else:
        path.unlink()
    with pytest.raises(StoreError, match="replaced or removed"):
        log.append(response("b"))
    log.append(response("c"))
    kept = ["a", "b", "c"] if there else ["b", "c"]
    assert [row.key for row in log] == [row.key for row in opened(path)] == kept
    path.unlink()
    with pytest.raises(StoreError, match="replaced or removed"):
        log.refresh()
    assert not log.refresh()
    assert list(log) == []


def test_ready_makes_no_file_and_tells_what_is_in_the_way(path):
    log = opened(path)
    log.ready()
    assert not path.exists()
    path.symlink_to(path.parent / "other")
    with pytest.raises(StoreError, match="it is a link"):
        log.ready()
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("in the way")
    with pytest.raises(StoreError, match="its folder is a file"):
        log.ready()
    with pytest.raises(StoreError, match=r"cannot read .*Not a directory"):
        log.refresh()


def test_a_file_that_shrinks_under_a_run_is_not_filled_with_zeros(path):
    log = opened(path)
    log.append(response("a"))
    log.append(response("b"))
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"shrank from .* to 0 bytes"):
        log.append(response("c"))
    assert path.read_bytes() == b""
    log.close()


def test_a_file_that_goes_away_under_a_run(path):
    log = opened(path)
    log.append(response("a"))
    path.unlink()
    with pytest.raises(StoreError, match="cannot read"):
        log.get("a")
    log.close()


# Several processes.


def append_rows(path, name):
    log = Log(path, Response)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(300):
        log.append(response(f"{name}/{number}", turns=(name * (3000 + number % 7),)))
        if number % 20 == 0:
            time.sleep(0.005)  # let the others in, on few cores too
    log.close()


def test_processes_appending_to_one_file_at_once(path):
    workers = [start("append_rows(Path(sys.argv[1]), sys.argv[2])", path, name) for name in "xyz"]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        _, errors = worker.communicate(timeout=600)
        assert worker.returncode == 0, errors
    rows = {row.key: row for row in opened(path)}
    assert len(rows) == 900
    assert all(row.turns == (key[0] * (3000 + int(key[2:]) % 7),) for key, row in rows.items())
    lines = path.read_bytes().splitlines()
    assert len(lines) == 900
    owners = [msgspec.json.decode(line)["key"][0] for line in lines]
    assert sum(one != other for one, other in pairwise(owners)) > 2  # or they took turns, and nothing was tested


def test_rows_of_a_second_process_are_seen_after_an_append(path):
    mine, other = opened(path), opened(path)
    mine.append(response("mine"))
    other.append(response("other"))
    assert mine.get("other") is None
    mine.append(response("again"))
    assert mine.get("other") == response("other")
    assert {row.key for row in mine} == {"mine", "other", "again"}
    mine.close()
    other.close()


def test_a_second_process_that_died_within_a_line_is_cleaned_up(path):
    log = opened(path)
    log.append(response("a"))
    with path.open("ab") as file:
        file.write(b'{"schema":"evalkit.resp')
    with pytest.warns(TornLine):
        log.append(response("b"))
    log.close()
    assert list(opened(path)) == [response("a"), response("b")]


# Places that cannot be written.


def fill_up(path):
    """Append until the limit on file size strikes within a row, then once more with room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = Log(path, Response)
    log.append(response("a"))
    before = path.read_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    for _ in range(2):
        with pytest.raises(NotStored, match=r"cannot write .*me\.jsonl.*too large.*free space") as caught:
            log.append(response("b"))
        assert not isinstance(caught.value, StoreError)
        assert path.read_bytes() == before
        assert log.get("b") is None
    assert log.get("a") == response("a")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log.append(response("b"))
    log.close()
    assert list(Log(path, Response)) == [response("a"), response("b")]
    print("done")


def test_a_full_disk_leaves_the_file_whole(path):
    child("fill_up(Path(sys.argv[1]))", path)


def unwritable(folder):
    if os.getuid() == 0:  # root may write anywhere
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    log = Log(folder / "answers" / "me.jsonl", Response)
    with pytest.raises(StoreError, match="Permission denied"):
        log.ready()
    with pytest.raises(NotStored, match="Permission denied"):
        log.append(response("a"))
    log.close()
    with pytest.raises(StoreError, match="Permission denied"):
        Log(folder / "closed" / "answers" / "me.jsonl", Response)
    print("done")


def test_folders_that_may_not_be_written_or_read():  # not in tmp_path: only its owner may enter that
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "closed").mkdir(mode=0)
        folder.chmod(0o555)
        child("unwritable(Path(sys.argv[1]))", folder)
        folder.chmod(0o755)


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "answers").write_text("in the way")
    log = opened(tmp_path / "answers" / "me.jsonl")
    with pytest.raises(NotStored, match="cannot write"):
        log.append(response("a"))


def test_a_folder_where_the_file_should_be(path):
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="Is a directory"):
        opened(path)


# Names.

NAMES = [
    "gpt-4o", "org/model:7b", "../../etc/passwd", "..", ".", ".hidden", "a b", "a%2Fb", "a/b", "名" * 80, "é",
    "x" * 300, "x" * 299 + "y", "/" * 200, "tab\tnew\nline", "nul\0", "\\", "a" * 110, "a" * 111, "😀" * 100, "C:",
    "*?<>|\"'",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: digest(name)[:6])
def test_any_name_is_one_safe_file(tmp_path, name):
    safe = file_name(name)
    assert "/" not in safe
    assert "\0" not in safe
    assert not safe.startswith(".")
    store = Store(tmp_path / "results", name)
    store.responses(name).append(response("a"))
    store.judgments(name, name).append(judgment("a"))
    store.close()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == 2
    assert {file.parent.parent for file in files} == {tmp_path / "results" / safe}
    again = Store(tmp_path / "results", name)
    assert again.responses(name).get("a") == response("a")
    assert again.judgments(name, name).get("a") == judgment("a")


def test_different_names_are_different_files():
    assert len({file_name(name) for name in NAMES}) == len(NAMES)
    assert len({file_name(name).casefold() for name in NAMES}) == len(NAMES)


@given(text, text)
def test_names_never_collide(one, other):
    assert (file_name(one) == file_name(other)) == (one == other)


def test_ordinary_names_stay_as_they_are():
    for name in ("gpt-4o-2024-11-20", "zephyr", "Qwen2.5 (4 bit)", "a_b+c@d"):
        assert file_name(name) == name


def test_finding_files(tmp_path):
    for benchmark in ("one", "two"):
        store = Store(tmp_path, benchmark)
        store.responses("m").append(response("a"))
        store.judgments("j", "single").append(judgment("a"))
        store.close()
    (tmp_path / "one" / "judgments" / "notes.txt").write_text("not ours")
    one = tmp_path / "one" / "judgments" / "j.single.jsonl"
    assert [log.path for log in judgment_logs([tmp_path])] == [one, tmp_path / "two" / "judgments" / "j.single.jsonl"]
    assert [log.path for log in judgment_logs([one, tmp_path / "one", one.parent])] == [one]
    assert [log.path for log in answer_logs([one])] == [tmp_path / "one" / "answers" / "m.jsonl"]
    with pytest.raises(StoreError, match="no results at"):
        judgment_logs([tmp_path / "three"])


# The records themselves.


def test_a_judgment_has_scores_or_an_error():
    with pytest.raises(ValueError, match="scores or an error"):
        judgment(scores=None)
    with pytest.raises(ValueError, match="scores or an error"):
        judgment(scores=(1.0,), error=Failure("refused", ""))


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_score_is_a_finite_number(score):
    with pytest.raises(ValueError, match="not a finite number"):
        judgment(scores=(score,))


def test_one_score_and_one_model_for_each_response_shown():
    judgment(shown=("a", "b"), models=(ME, ME), scores=(1.0, 0.0))
    with pytest.raises(ValueError, match="2 scores for 1 shown"):
        judgment(scores=(1.0, 0.0))
    with pytest.raises(ValueError, match="1 models for 2"):
        judgment(shown=("a", "b"), scores=(1.0, 0.0))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


def shuffled(value):
    if isinstance(value, dict):
        return {key: shuffled(inner) for key, inner in reversed(value.items())}
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


@given(json_values, json_values)
def test_a_digest_depends_on_content_alone(one, other):
    assert digest(one) == digest(shuffled(one))
    same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert (digest(one) == digest(other)) == same


def test_a_digest_keeps_parts_apart():
    parts = [("ab", "c"), ("a", "bc"), ("abc",), (["ab", "c"],), ("ab", "c", None), (), (None,), ("",), (0,), (False,)]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert len(digest()) == 32


def test_what_is_asked_is_turns_not_references():
    item = Item(id="1", benchmark="b", category="c", turns=("q",))
    same = Item(id="1", benchmark="b", category="d", turns=("q",), reference=("r",), meta={"x": 1})
    assert item.asked() == same.asked()
    assert item.asked() != Item(id="1", benchmark="b", category="c", turns=("q", "r")).asked()
    assert item.asked() != Item(id="2", benchmark="b", category="c", turns=("q",)).asked()
