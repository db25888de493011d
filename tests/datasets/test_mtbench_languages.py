"""MT-Bench in other languages: every set is pinned, read as its files are, and has references where there are such."""

from __future__ import annotations

import asyncio
import json

import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets import benchmark
from evalkit.datasets.artifacts import registry
from evalkit.ratings.answer_languages import LANGUAGES

NAMES = sorted(name for name in benchmark.names() if name.startswith("mtbench_"))


def small(name, tmp_path, monkeypatch, **options):
    """The benchmark on small files of the same fields, in place of the pinned ones."""
    spec = benchmark.spec(name)
    rows = [
        {"question_id": 81 + place, "category": category, "turns": [f"{category} 1", f"{category} 2"]}
        for place, category in enumerate(spec.categories)
    ]
    answers = [
        {"question_id": row["question_id"], "choices": [{"index": 0, "turns": ["r1", "r2"]}], "model_id": "m"}
        for row in rows
    ]

    async def fetch(artifact):
        assert registry()[artifact].size
        path = tmp_path / f"{artifact}.jsonl"
        path.write_text("\n".join(map(json.dumps, answers if "references" in artifact else rows)), encoding="utf-8")
        return path

    monkeypatch.setattr(benchmark, "fetch", fetch)
    return asyncio.run(benchmark.load(name, **options))


def test_there_are_nine():
    assert [benchmark.spec(name).language for name in NAMES] == sorted(set(LANGUAGES) - {"en"})


@pytest.mark.parametrize("name", NAMES)
def test_questions_and_references(name, tmp_path, monkeypatch):
    loaded = small(name, tmp_path, monkeypatch)
    assert len(loaded.items) == len(loaded.spec.categories)
    assert all(len(item.turns) == 2 for item in loaded.items)
    shown = {item.category for item in loaded.items if item.reference == ("r1", "r2")}
    assert shown == ({"reasoning", "math", "coding"} if loaded.spec.references else set())
    assert (name == "mtbench_ru") == (loaded.spec.references is None)


def test_other_references_are_chosen_by_name(tmp_path, monkeypatch):
    assert small("mtbench_ja", tmp_path, monkeypatch).references == "human"
    assert small("mtbench_ja", tmp_path, monkeypatch, references="gpt-4").references == "gpt-4"
    with pytest.raises(UsageError, match="has no reference answers"):
        small("mtbench_ru", tmp_path, monkeypatch, references="gpt-4")
