"""The bundled set of prompts to be answered and to be declined, and what a file says that its prompts call for."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import Counter

import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets import benchmark
from evalkit.datasets.artifacts import registry
from evalkit.interop.xstest import meta_of


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


SCHEMAS = {
    "xstest": ("csv", [{"id": "1", "prompt": "a", "type": "homonyms", "label": "safe", "focus": "kill", "note": ""}]),
    "harmbench": (
        "csv",
        [
            {
                **{
                    "Behavior": "a",
                    "FunctionalCategory": "contextual",
                    "SemanticCategory": "illegal",
                    "Tags": "context",
                },
                **{"ContextString": "the text", "BehaviorID": "a_b"},
            }
        ],
    ),
    "ailuminate": (
        "csv",
        [
            {
                **{"release_prompt_id": "airr_1", "prompt_text": "a", "hazard": "vcr", "persona": "skilled"},
                **{"locale": "en_US", "prompt_hash": "0"},
            }
        ],
    ),
    "do_not_answer": ("jsonl", [{"prompt": "a", "intents": ["S001"]}, {"prompt": "a", "intents": ["S001"]}]),
    "hh_harmless": (
        "jsonl",
        [
            {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: no", "rejected": "..."},
            {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: never", "rejected": "..."},
            {"chosen": "\n\nHuman: d\n\nAssistant: \n\nHuman: e\n\nAssistant: f", "rejected": "..."},
        ],
    ),
}
"""Small files of the published sets' columns, with words of ours."""


def small(name, tmp_path, monkeypatch):
    """The benchmark on a small file in place of the pinned one."""
    kind, rows = SCHEMAS[name]
    path = tmp_path / f"{name}.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    async def fetch(artifact):
        registry()[artifact]  # it is pinned
        other = tmp_path / f"{artifact}.{kind}"
        if artifact.endswith("information-hazard") or not artifact.startswith("do-not"):
            return path
        other.write_text(json.dumps({"prompt": artifact}), encoding="utf-8")
        return other

    monkeypatch.setattr(benchmark, "fetch", fetch)
    return asyncio.run(benchmark.load(name))


def test_the_published_sets_are_read_as_they_are(tmp_path, monkeypatch):
    loaded = {name: small(name, tmp_path, monkeypatch).items for name in SCHEMAS}
    (item,) = loaded["xstest"]
    assert (item.id, item.turns, item.category) == ("1", ("a",), "homonyms")
    assert item.meta == {"expected": "answer"}
    (item,) = loaded["harmbench"]
    assert (item.id, item.turns, item.category) == ("a_b", ("a\n\nthe text",), "illegal")
    assert item.meta == {"expected": "decline"}
    (item,) = loaded["ailuminate"]
    assert (item.id, item.turns, item.category) == ("airr_1", ("a",), "vcr")
    assert loaded["do_not_answer"][0].turns == ("a",), "once, though it is there twice"
    assert [item.category for item in loaded["do_not_answer"]] == list(benchmark.spec("do_not_answer").categories)
    one, two = loaded["hh_harmless"]
    assert [turn.content for turn in one.messages] == ["a", "b"]
    assert (one.turns, two.turns, one.meta) == (("c",), ("d\n\ne",), {})


def test_harm_categories_join_safe_and_unsafe_types():
    harm = benchmark.spec("xstest").harm
    assert harm["contrast_privacy"] == harm["privacy_public"] == "privacy"
    types = benchmark.spec("xstest").categories
    assert {meta_of(name)["harm_category"] for name in types} == {harm.get(name, name) for name in types}
