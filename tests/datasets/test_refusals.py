"""The bundled set of prompts to be answered and to be declined, and what a file says that its prompts call for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets import benchmark


def test_the_bundled_set_is_balanced():
    loaded = asyncio.run(benchmark.load("refusals"))
    counts = Counter((item.category, item.meta["expected"]) for item in loaded.items)
    assert counts == {(name, kind): 4 for name in loaded.spec.categories for kind in ("answer", "decline")}
    assert len({item.turns for item in loaded.items}) == 40
    few = asyncio.run(benchmark.load("refusals", limit=2))
    assert Counter(item.meta["expected"] for item in few.items) == {"answer": 5, "decline": 5}


def arena(tmp_path, rows, **options):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return asyncio.run(benchmark.load("arena", questions=str(path), **options))


def test_a_file_says_what_its_prompts_call_for(tmp_path):
    rows = [{"prompt": "a", "expected": "safe"}, {"prompt": "b", "expected": "decline", "harm_category": "x"}]
    loaded = arena(tmp_path, rows)
    assert [item.meta for item in loaded.items] == [
        {"expected": "answer"},
        {"expected": "decline", "harm_category": "x"},
    ]
    assert "what it calls for is 'expected'" in loaded.notes[0]


def test_an_expected_answer_is_no_expectation(tmp_path):
    loaded = arena(tmp_path, [{"prompt": "2+2?", "expected": "4"}, {"prompt": "3+3?", "expected": "6"}])
    assert [item.meta for item in loaded.items] == [{}, {}]
    assert "not used: 'expected'" in loaded.notes[0]


def test_another_word_is_refused_with_what_is_allowed(tmp_path):
    rows = [{"prompt": "a", "expected": "safe"}, {"prompt": "b", "expected": "maybe"}]
    with pytest.raises(
        UsageError, match=r"record 2: field 'expected' is 'maybe'; of a prompt it says answer \(or safe\)"
    ):
        arena(tmp_path, rows)
