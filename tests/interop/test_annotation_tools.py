"""What people chose in Label Studio and Argilla, in every shape of a choice."""

from __future__ import annotations

import json

import pytest

from evalkit import interop
from evalkit.core.schema import Judgment, Response

DATA = {"prompt": "Q", "response_1": "x", "response_2": "y"}
FIELDS = {"prompt": "Q", "response-1": "x", "response-2": "y"}


def votes(name, path, rows):
    path.write_text(json.dumps(rows))
    rows = [row.record for row in interop.load(name).read(path)]
    return [row for row in rows if isinstance(row, Judgment)]


@pytest.mark.parametrize(
    ("value", "scores"),
    [
        ({"selected": "right"}, (0.0, 1.0)),
        ({"choices": ["response_1"]}, (1.0, 0.0)),
        ({"choices": ["A is slightly better"]}, (1.0, 0.0)),
        ({"choices": ["both bad"]}, (0.5, 0.5)),
        ({"choices": ["one", "two"]}, None),
        ({"rating": 4}, None),
    ],
)
def test_label_studio(tmp_path, value, scores):
    annotation = {"completed_by": 3, "result": [{"type": "x", "value": value}]}
    (vote,) = votes("label_studio", tmp_path / "p.json", [{"data": DATA, "annotations": [annotation]}])
    assert vote.scores == scores
    assert (vote.error is None) == (scores is not None)
    assert (vote.judge.name, vote.judge.fingerprint) == ("annotator_3", "human")


RANKED = [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}]


@pytest.mark.parametrize(
    ("responses", "scores"),
    [
        ({"q": [{"value": "response-1", "user_id": "u"}]}, (1.0, 0.0)),
        ({"q": [{"value": RANKED, "user_id": "u"}]}, (0.0, 1.0)),
        ({"q": [{"value": RANKED[:1], "user_id": "u"}]}, None),
        ([{"user_id": "u", "status": "submitted", "values": {"q": {"value": "tie"}}}], (0.5, 0.5)),
        ([{"user_id": "u", "status": "discarded", "values": {"q": {"value": "tie"}}}], None),
        ([{"user_id": "u", "values": None}], None),
    ],
)
def test_argilla(tmp_path, responses, scores):
    (vote,) = votes("argilla", tmp_path / "p.json", [{"fields": FIELDS, "responses": responses}])
    assert vote.scores == scores
    assert vote.judge.name == "u"


@pytest.mark.parametrize("models", [{}, {"model_a": "m", "model_b": "n"}])
def test_votes_are_on_the_pairs_that_a_judge_reads_from_the_same_table(tmp_path, models):
    annotation = {"completed_by": 3, "result": [{"type": "x", "value": {"selected": "right"}}]}
    responses = {"q": [{"value": "response-1", "user_id": "u"}]}
    files = {
        "label_studio": [{"data": DATA | models, "annotations": [annotation]}],
        "argilla": [{"fields": FIELDS | models, "responses": responses}],
        "table": [DATA | models],
    }
    found = {}
    for name, rows in files.items():
        path = tmp_path / name / "pairs.json"
        path.parent.mkdir()
        path.write_text(json.dumps(rows))
        records = [row.record for row in interop.load(name, "pairs").read(path)]
        found[name] = {(row.item, row.model, row.turns, row.key) for row in records if isinstance(row, Response)}
    assert found["label_studio"] == found["argilla"] == found["table"]
    assert len(found["table"]) == 2
