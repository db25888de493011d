"""benchmark.yaml and its questions become items whose ids last."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import msgspec
import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets import benchmark
from evalkit.datasets.benchmark import Benchmark

SPEC = {
    "name": "own",
    "title": "Own",
    "description": "d",
    "source": "s",
    "licence": "l",
    "questions": {"path": "q.jsonl", "fields": {"turns": "turns", "id": "id", "category": "kind", "reference": "ref"}},
    "categories": ["a", "b"],
    "protocol": "single",
    "generation": {"max_tokens": 10},
    "references": {"default": "own", "categories": ["a"], "sets": {"own": {}}},
}


def make(folder: Path, rows: list[dict], **changed: object) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "benchmark.yaml").write_bytes(msgspec.yaml.encode({**SPEC, **changed}))
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(folder)


def load(name: str, **options) -> Benchmark:
    return asyncio.run(benchmark.load(name, **options))


def test_fields_go_where_the_map_says(tmp_path):
    rows = [
        {"id": 7, "kind": "a", "turns": ["one", "two"], "ref": ["r1", "r2"], "more": 1},
        {"id": "x", "kind": "b", "turns": "only", "ref": "hidden"},
    ]
    loaded = load(make(tmp_path / "own", rows))
    first, second = loaded.items
    assert (first.id, first.category, first.turns, first.reference) == ("7", "a", ("one", "two"), ("r1", "r2"))
    assert (second.id, second.turns, second.reference) == ("x", ("only",), ()), "category b shows no reference"
    assert first.benchmark == "own"
    assert list(loaded.hashes) == ["q.jsonl"]


def test_ids_are_content_where_the_source_has_none(tmp_path):
    rows = [{"kind": "a", "turns": f"question {number}"} for number in range(20)]
    ids = {item.turns: item.id for item in load(make(tmp_path / "own", rows)).items}
    random.Random(0).shuffle(rows)
    again = {item.turns: item.id for item in load(make(tmp_path / "own", rows[:9])).items}
    assert again.items() <= ids.items()
    assert len(set(ids.values())) == 20


def test_no_references_asked_for(tmp_path):
    rows = [{"id": 1, "kind": "a", "turns": "t", "ref": "r"}]
    assert load(make(tmp_path / "own", rows), references="none").items[0].reference == ()
    bare = make(tmp_path / "bare", rows, references=None)
    assert load(bare).references == "none"
    with pytest.raises(UsageError, match="has no reference answers"):
        load(bare, references="own")


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_is_at_least_one(tmp_path, limit):
    with pytest.raises(UsageError, match=f"limit={limit}: must be at least 1"):
        load(make(tmp_path / "own", [{"id": 1, "kind": "a", "turns": "t"}]), limit=limit)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 1, "kind": "c", "turns": "t"}, "record 1: category 'c' is not one of a, b"),
        ({"id": 1, "kind": "a"}, "record 1: field 'turns'"),
        ({"id": 1, "kind": "a", "turns": [1]}, "record 1: field 'turns'"),
        ({"id": 1, "kind": "a", "turns": "t", "ref": {"x": 1}}, "record 1"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, message):
    with pytest.raises(UsageError, match=message):
        load(make(tmp_path / "own", [row]))


@pytest.mark.parametrize(
    "name", ["", "x" * 400, "~nobody-here/x", "a\x00b", "\udcff", "pocket/", "Pocket", "../nowhere"]
)
def test_a_name_that_is_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        load(name)


def test_near_names():
    with pytest.raises(UsageError, match=r"no benchmark 'mtbnch'\. Did you mean 'mtbench'\? There are: .*pocket"):
        benchmark.spec("mtbnch")


def test_a_set_that_is_a_json_list(tmp_path):
    folder = make(tmp_path / "own", [])
    (tmp_path / "own" / "q.jsonl").write_text(json.dumps([{"id": 1, "kind": "a", "turns": "t"}], indent=1))
    assert [item.id for item in load(folder).items] == ["1"]
    (tmp_path / "own" / "q.jsonl").write_text(
        json.dumps([{"id": 1, "kind": "a", "turns": "t"}, {"id": 2, "kind": "c"}])
    )
    with pytest.raises(UsageError, match="record 2"):
        load(folder)


def own(path: Path, content: bytes) -> Benchmark:
    path.write_bytes(content)
    return load("arena", questions=str(path))


@pytest.mark.parametrize("content", [b'{"prompt": "Why?"}\r\n', b'[{"prompt": "Why?"}]'])
def test_a_byte_order_mark_is_passed_over(tmp_path, content):
    plain, marked = (own(tmp_path / "mine.jsonl", mark + content).items for mark in (b"", b"\xef\xbb\xbf"))
    assert marked == plain
    assert plain[0].turns == ("Why?",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"mine.jsonl' holds no questions$"),
        (b"\xef\xbb\xbf\n \n", r"mine.jsonl' holds no questions$"),
        (b"[]", r"mine.jsonl' holds no questions$"),
        (b'{"prompt": "a"}\n{"prompt": "a \\ud800 b"}', r"record 2: \\ud800 is half of a surrogate pair"),
        (b'[{"prompt": "a \\udc00"}]', r"mine.jsonl', record 1: \\udc00 is half of a surrogate pair"),
        (b'{"prompt": "a', r"record 1: is not JSON: Unterminated string"),
        (b'{"prompt": nope}', r"record 1: is not JSON: Expecting value"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        own(tmp_path / "mine.jsonl", content)
