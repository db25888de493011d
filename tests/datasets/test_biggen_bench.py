"""BiGGen Bench: pinned, read as its file is, and every item graded from 1 to 5 by its own five descriptions."""

from __future__ import annotations

import asyncio
import json

import pytest

from evalkit.core.protocols import Case, UsageError
from evalkit.core.schema import Criterion, Ref, Response
from evalkit.datasets import benchmark
from evalkit.datasets.artifacts import registry
from evalkit.judges.rubric import Rubric

CAPABILITIES = benchmark.spec("biggen_bench").categories
GRADES = {
    f"score{grade}_description": f"It is {word}."
    for grade, word in enumerate(("bad", "weak", "fair", "good", "best"), 1)
}


def rows(**changed):
    """Two items of every capability, with the fields of the published file."""
    return {
        f"{capability}_toy_{place}": {
            "id": f"{capability}_toy_{place}",
            "capability": capability,
            "task": "toy",
            "instance_idx": place,
            "system_prompt": f"You know all about {capability}.",
            "input": f"Say {place} of {capability}.",
            "reference_answer": f"{place}, said well.",
            "score_rubric": {"criteria": f"Does it say {place} of {capability}?", **GRADES},
            "response": "Hello World!",
            "response_model_name": "sample-model",
            **changed,
        }
        for capability in CAPABILITIES
        for place in range(2)
    }


@pytest.fixture
def questions(tmp_path, monkeypatch):
    """The pinned file, in small: a JSON object that holds each item under its id."""
    path = tmp_path / "sample_responses.json"
    path.write_text(json.dumps(rows(), indent=4))

    async def fetch(artifact):
        assert registry()[artifact].size
        assert registry()[artifact].file == path.name
        return path

    monkeypatch.setattr(benchmark, "fetch", fetch)
    return path


def test_items_are_as_the_file_has_them(questions):
    loaded = asyncio.run(benchmark.load("biggen_bench"))
    assert len(loaded.items) == 18
    assert len(CAPABILITIES) == 9
    first = loaded.items[0]
    assert (first.id, first.category) == ("grounding_toy_0", "grounding")
    assert (first.system, first.turns) == ("You know all about grounding.", ("Say 0 of grounding.",))
    assert first.reference == ("0, said well.",)
    assert first.rubric == (
        Criterion(
            id="1",
            text="Does it say 0 of grounding?",
            kind="1-5",
            anchors={"1": "It is bad.", "2": "It is weak.", "3": "It is fair.", "4": "It is good.", "5": "It is best."},
        ),
    )


def test_the_judge_is_shown_system_prompt_reference_and_all_five_descriptions(questions):
    protocol = Rubric(calls="criterion", formula="mean")
    item = asyncio.run(benchmark.load("biggen_bench")).items[0]
    answer = Response(key="k", item=item.id, benchmark="b", category="c", model=Ref("m", "f"), turns=("Nought.",))
    (part,) = protocol.parts(Case(item, 1, (answer,)))
    shown = protocol.request(part).messages[-1].content
    for said in (item.system, item.turns[0], item.reference[0], "Nought.", item.rubric[0].text, "Hello World"):
        assert (said in shown) == (said != "Hello World"), "the sample's own response is nobody's answer"
    places = [shown.index(f"   {grade}: It is {word}.") for grade, word in ((1, "bad"), (3, "fair"), (5, "best"))]
    assert places == sorted(places)
    assert protocol.score_range(item) == (1.0, 5.0)


def test_a_run_has_grades_from_1_to_5_by_capability(questions, cli):
    ended = cli("run", "biggen_bench", "model=fake", "judge=fake")
    assert ended.code == 0, ended.err
    rows = json.loads(cli("leaderboard", "--by", "category", "--format", "json").out)["rows"]
    assert {row["category"] for row in rows} == set(CAPABILITIES)
    (whole,) = json.loads(cli("leaderboard", "--format", "json").out)["rows"]
    assert 1 <= whole["lower"] <= whole["score"] <= whole["upper"] <= 5
    assert (whole["n"], whole["failed"]) == (18, 0)


def test_a_row_that_is_not_as_it_should_be_is_named(questions):
    questions.write_text(json.dumps(rows(score_rubric={"score1_description": "It is bad."})))
    with pytest.raises(UsageError, match=r"record 1.*has no text"):
        asyncio.run(benchmark.load("biggen_bench"))
