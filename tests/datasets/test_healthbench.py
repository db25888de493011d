"""HealthBench: its pinned file, and a slice of it graded by the embedded model in JSON that a grammar enforces."""

from __future__ import annotations

import asyncio
import json

import pytest

from evalkit.datasets import artifacts, benchmark

pytestmark = [pytest.mark.slow, pytest.mark.downloads]


@pytest.fixture
def rows():
    """The rows of the pinned file."""
    path = asyncio.run(artifacts.fetch("healthbench-questions"))
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_the_pinned_file_has_500_conversations_with_5965_criteria(rows):
    loaded = asyncio.run(benchmark.load("healthbench"))
    assert len(loaded.items) == len(rows) == 500
    assert sum(len(item.rubric) for item in loaded.items) == 5965
    for item, row in zip(loaded.items, rows, strict=True):
        said = [message.content for message in item.messages] + list(item.turns)
        assert said == [message["content"] for message in row["prompt"]]
        assert [one.points for one in item.rubric] == [one["points"] for one in row["rubrics"]]


def test_the_embedded_model_grades_a_slice_without_an_unreadable_verdict(rows, monkeypatch, tmp_path, cli):
    """Three of the shortest conversations of different themes that have six criteria or more."""
    pytest.importorskip("xllamacpp")
    short = sorted((row for row in rows if len(row["rubrics"]) >= 6), key=lambda row: len(json.dumps(row)))
    chosen = list({row["example_tags"][0]: row for row in reversed(short)}.values())
    chosen = sorted(chosen, key=lambda row: len(json.dumps(row)))[:3]
    path = tmp_path / "healthbench_eval.jsonl"
    path.write_text("\n".join(map(json.dumps, chosen)), encoding="utf-8")

    async def fetch(_):
        return path

    monkeypatch.setattr(benchmark, "fetch", fetch)
    brief = ("model.smollm2.sampling.max_tokens=48", "model.smollm2.backend.slots=1")
    assert cli("run", "healthbench", "model=smollm2", "judge=smollm2", *brief).code == 0
    stored = (tmp_path / "results" / "healthbench" / "judgments" / "smollm2.rubric.jsonl").read_text().splitlines()
    judged = {row["item"]: row for row in map(json.loads, stored)}
    assert judged.keys() == {row["prompt_id"] for row in chosen}
    scores = []
    for row in chosen:
        verdicts = judged[row["prompt_id"]]["criteria"]
        assert judged[row["prompt_id"]]["sampling"]["reply"] == "json"
        assert [one.get("points", 1.0) for one in verdicts] == [one["points"] for one in row["rubrics"]]
        assert all(one.get("error") is None and one["value"] in (0, 1) for one in verdicts)
        # as simple-evals has it: points met over points that can be had
        met = sum(one["points"] for one, said in zip(row["rubrics"], verdicts, strict=True) if said["value"])
        scores.append(met / sum(one["points"] for one in row["rubrics"] if one["points"] > 0))
        assert judged[row["prompt_id"]]["scores"] == [pytest.approx(scores[-1])]
    (shown,) = json.loads(cli("leaderboard", "--format", "json").out)["rows"]
    assert shown["score"] == pytest.approx(min(1.0, max(0.0, sum(scores) / 3))), "and the mean clipped"
    assert (shown["n"], shown["failed"]) == (3, 0)
