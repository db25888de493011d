"""Exports of numbers and logs: what they hold, and that the real clients read it."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from importlib import resources
from pathlib import Path

import msgspec
import pytest
import yaml

import evalkit as ek
from evalkit.core.schema import Failure
from evalkit.interop.importing import import_results
from evalkit.publish.exports import EXPORTS, ExportChoices
from evalkit.storage.items import Items
from evalkit.storage.results import judgment_logs
from evalkit.storage.store import Store
from tests.publish import planted


def export(name: str, results: Path, out: Path, **told) -> Counter[str]:
    return EXPORTS[name].write([results], out, ExportChoices(now=1_700_000_000.0, **told))


def records(folder: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    return {one["model_info"]["name"]: one for one in found}


def test_every_eval_ever_has_the_leaderboard_and_where_it_comes_from(tmp_path):
    planted.singles(tmp_path / "results")
    counts = export("every_eval_ever", tmp_path / "results", tmp_path / "out", organization="lab")
    assert counts == {"records": 2, "judgments": 23, "left out: judgments that failed": 1}
    found = records(tmp_path / "out")["b"]
    assert found["schema_version"] == "0.3.0"
    assert found["retrieved_timestamp"] == "1700000000"
    assert found["source_metadata"]["source_organization_name"] == "lab"
    assert found["eval_library"] == {"name": "evalkit", "version": ek.__version__}
    assert found["model_info"]["id"] == "org/b"
    assert found["model_info"]["developer"] == "org"
    assert found["model_info"]["additional_details"]["revision"] == "abc123"
    assert found["model_info"]["additional_details"]["deployment_type"] == "self_deployed"
    whole, *parts = found["evaluation_results"]
    row = ek.load(tmp_path / "results").leaderboard().frame.set_index("model").loc["b"]
    assert whole["score_details"]["score"] == row.score
    limits = whole["score_details"]["uncertainty"]["confidence_interval"]
    assert (limits["lower"], limits["upper"]) == (row.lower, row.upper)
    assert whole["score_details"]["details"]["failed: unparsed"] == "1"
    metric = whole["metric_config"]
    assert (metric["min_score"], metric["max_score"], metric["lower_is_better"]) == (1.0, 10.0, False)
    judge = metric["llm_scoring"]["judges"][0]
    assert judge["model_info"]["id"] == "strict-latest"
    assert judge["temperature"] == 0.0
    assert "f" * 32 in metric["llm_scoring"]["input_prompt"]
    assert [one["evaluation_name"] for one in parts] == ["own/c0", "own/c1"]
    assert whole["generation_config"]["generation_args"] == {"temperature": 0.5}


def test_ratings_have_no_ends_of_a_scale(tmp_path):
    export("every_eval_ever", planted.pairs(tmp_path / "results"), tmp_path / "out", organization="lab")
    metric = records(tmp_path / "out")["a"]["evaluation_results"][0]["metric_config"]
    assert (metric["min_score"], metric["max_score"]) == ("-Infinity", "Infinity")
    assert metric["metric_kind"] == "bradley_terry"


def samples(folder: Path) -> dict[str, list[dict]]:
    found = [path.read_text().splitlines() for path in folder.rglob("*_samples.jsonl")]
    return {rows[0]["model_id"]: rows for lines in found for rows in [[json.loads(line) for line in lines]]}


def test_every_judgment_is_a_row_of_its_model_s_record_and_a_failed_one_is_counted(tmp_path):
    planted.singles(tmp_path / "results")
    export("every_eval_ever", tmp_path / "results", tmp_path / "out", organization="lab")
    record = records(tmp_path / "out")["b"]
    about = record["detailed_evaluation_results"]
    content = (tmp_path / "out" / about["file_path"]).read_bytes()
    assert about["checksum"] == hashlib.sha256(content).hexdigest()
    assert about["additional_details"] == {"left out: judgments that failed": "1"}
    rows = samples(tmp_path / "out")["org/b"]
    assert len(rows) == about["total_rows"] == 11
    assert {row["evaluation_id"] for row in rows} == {record["evaluation_id"]}
    whole = record["evaluation_results"][0]
    assert {row["evaluation_result_id"] for row in rows} == {whole["evaluation_result_id"]}
    scores = [row["evaluation"]["score"] for row in rows]
    assert sum(scores) / len(scores) == pytest.approx(whole["score_details"]["score"])
    one = next(row for row in rows if row["sample_id"] == "q4")
    assert one["interaction_type"] == "single_turn"
    assert one["input"] == {"raw": "question 4", "reference": []}
    assert one["output"] == {"raw": ["answer 4 of b"]}
    assert one["metadata"]["judge"] == "strict"
    assert not any(row["evaluation"]["is_correct"] for row in rows), "no grade is the best of its scale"


def played(folder: Path) -> Path:
    """Pairs whose answers and questions are stored: two turns, the second judged."""
    store = Store(folder, "own", durable=False)
    asked = [
        msgspec.structs.replace(
            planted.item(number), turns=("one", "two"), reference=(None, "right"), system="Be brief."
        )
        for number in range(6)
    ]
    Items(store.root).keep(asked)
    for number in range(6):
        rows = {name: planted.answer(number, name, turns=(f"first {name}", f"second {name}")) for name in "ab"}
        for name, row in rows.items():
            store.responses(name).append(row)
        for order in ("ab", "ba"):
            scores = (1.0, 0.0) if (order == "ab") == (number % 3 > 0) else (0.0, 1.0)
            row = planted.judgment(number, order, (0.5, 0.5) if number == 5 else scores)
            shown = tuple(rows[name].id for name in order)
            store.judgments("strict", "pairwise").append(msgspec.structs.replace(row, turn=2, shown=shown))
    store.close()
    planted.manifest(folder)
    return folder


def test_comparisons_are_rows_of_both_models(tmp_path):
    export("every_eval_ever", played(tmp_path / "results"), tmp_path / "out", organization="lab")
    mine, other = samples(tmp_path / "out").values()
    assert len(mine) == len(other) == 12
    for row, against in zip(mine, other, strict=True):
        score, theirs = row["evaluation"]["score"], against["evaluation"]["score"]
        assert score + theirs == 1
        assert row["evaluation"]["is_correct"] is (score == 1)
        assert row["interaction_type"] == "multi_turn"
        assert [one["role"] for one in row["messages"]] == ["system", "user", "assistant", "user", "assistant"]
        assert row["messages"][-1]["content"] == row["answer_attribution"][0]["extracted_value"]
        assert row["input"]["reference"] == ["right"]
        assert {row["metadata"]["shown"], against["metadata"]["shown"]} == {"first", "second"}


def test_judgments_without_their_answers_are_counted(tmp_path):
    counts = export("every_eval_ever", planted.pairs(tmp_path / "results"), tmp_path / "out", organization="lab")
    assert counts == {"records": 2, "left out: judgments of answers that are not stored": 48, "judgments": 0}
    assert "detailed_evaluation_results" not in records(tmp_path / "out")["a"]
    assert samples(tmp_path / "out") == {}


def test_records_keep_to_the_collection_s_own_schemas(tmp_path):
    pytest.importorskip("every_eval_ever")  # needs Python 3.12
    jsonschema = pytest.importorskip("jsonschema")

    def validator(name):
        text = (resources.files("every_eval_ever") / "schemas" / name).read_text()
        return jsonschema.Draft7Validator(json.loads(text))

    whole, single = validator("eval.schema.json"), validator("instance_level_eval.schema.json")
    for results in (planted.singles(tmp_path / "one"), planted.pairs(tmp_path / "two"), played(tmp_path / "three")):
        export("every_eval_ever", results, tmp_path / "out" / results.name, organization="lab")
    files = list((tmp_path / "out").rglob("*.json"))
    assert len(files) == 6
    for path in files:
        assert [error.message for error in whole.iter_errors(json.loads(path.read_text()))] == []
    rows = [row for name in ("one", "three") for part in samples(tmp_path / "out" / name).values() for row in part]
    assert len(rows) == 23 + 24
    assert [error.message for row in rows for error in single.iter_errors(row)] == []


def test_eval_results_are_read_by_the_hub_s_client(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    parse = getattr(hub, "parse_eval_result_entries", None)
    if parse is None:
        pytest.skip("this huggingface_hub knows no eval results")
    told = {"dataset": "org/bench", "source": "https://example.org/run"}
    planted.singles(tmp_path / "results")
    assert export("eval_results", tmp_path / "results", tmp_path / "out", **told) == {"entries": 2}
    content = yaml.safe_load((tmp_path / "out/a/.eval_results/own.yaml").read_text())
    (entry,) = parse(content)
    assert (entry.dataset_id, entry.task_id, entry.value) == ("org/bench", "own", 8.0)
    assert entry.source_url == "https://example.org/run"
    assert entry.date == "2026-01-02T03:04:05+00:00"
    assert entry.notes.startswith("score by strict (single): 8, 95% interval ")
    assert entry.notes.endswith("12 questions, 0 failed")
    assert hub.eval_result_entries_to_yaml([entry]) == content


def test_a_hub_shows_one_value(tmp_path):
    planted.singles(tmp_path / "results")
    store = Store(tmp_path / "results", "own", durable=False)
    for number in range(12):
        row = planted.judgment(number, "a", (5.0,), key=f"x{number}", protocol="grade")
        store.judgments("strict", "grade").append(row)
    store.close()
    with pytest.raises(ek.UsageError, match="rated several times on own"):
        export("eval_results", tmp_path / "results", tmp_path / "out", dataset="org/bench")
    told = {"dataset": "org/bench", "protocol": "grade"}
    assert export("eval_results", tmp_path / "results", tmp_path / "out", **told) == {"entries": 1}


@pytest.mark.parametrize(
    ("name", "told", "said"),
    [
        ("every_eval_ever", {}, "--organization NAME"),
        ("every_eval_ever", {"organization": "x", "relationship": "friend"}, "one of first_party"),
        ("eval_results", {}, "--dataset ORG/NAME"),
        ("eval_results", {"dataset": "bench"}, "the hub names datasets as ORG/NAME"),
        ("eval_results", {"dataset": "org/bench", "judge": "nobody"}, "no judgments of 'nobody'"),
        ("every_eval_ever", {"organization": "x", "method": "bt"}, "nothing is rated in .* that fits"),
    ],
)
def test_what_is_missing_is_asked_for(tmp_path, name, told, said):
    with pytest.raises(ek.UsageError, match=said):
        export(name, planted.singles(tmp_path / "results"), tmp_path / "out", **told)
    assert not (tmp_path / "out").exists()


def log_of(tmp_path: Path) -> Path:
    planted.singles(tmp_path / "results")
    store = Store(tmp_path / "results", "own", durable=False)
    lost = planted.answer(50, "a", turns=(), finish=(), error=Failure("refused", "no"))
    store.responses("a").append(lost)
    store.judgments("strict", "pairwise").append(planted.judgment(1, "ab", (1.0, 0.0)))
    store.close()
    counts = export("inspect_ai", tmp_path / "results", tmp_path / "out")
    assert counts == {"answers": 25, "judgments": 24, "left out: judgments of several answers": 1, "logs": 2}
    return tmp_path / "out"


def test_a_log_of_inspect_comes_back_as_it_was(tmp_path):
    out = log_of(tmp_path)
    summary = import_results("inspect_ai", out / "own", tmp_path / "again")
    assert summary.failed == {"answers malformed": 1, "judgments unparsed": 1}
    scores = {(row.models[0].name, row.item, row.scores) for log in judgment_logs([tmp_path / "again"]) for row in log}
    wanted = {
        (row.models[0].name, row.item, row.scores)
        for log in judgment_logs([tmp_path / "results"])
        for row in log
        if len(row.shown) == 1
    }
    assert len(scores) == 24
    assert {(model, score) for model, _, score in scores} == {(model, score) for model, _, score in wanted}


def test_a_log_is_read_by_inspect_itself(tmp_path):
    inspect_log = pytest.importorskip("inspect_ai.log")
    out = log_of(tmp_path)
    log = inspect_log.read_eval_log(str(out / "own" / "b.json"))
    assert log.status == "success"
    assert log.eval.model == "b"
    samples = {sample.id: sample for sample in log.samples}
    assert samples["q1"].scores["strict.single"].value == 7.0
    assert samples["q1"].input[-1].text == "question 1"
    assert samples["q1"].output.completion == "answer 1 of b"
    lost = samples["q3"].scores["strict.single"]
    assert math.isnan(lost.value)
    assert lost.reason == "invalid_response_format"
    (score,) = log.results.scores
    assert (score.scored_samples, score.unscored_samples) == (11, 1)
    assert score.metrics["mean"].value == pytest.approx(7.0, abs=0.2)


def test_several_turns_are_a_conversation(tmp_path):
    store = Store(tmp_path / "results", "own", durable=False)
    store.responses("a").append(planted.answer(1, "a", turns=("one", "two"), finish=("stop", "length")))
    store.close()
    export("inspect_ai", tmp_path / "results", tmp_path / "out")
    (sample,) = json.loads((tmp_path / "out/own/a.json").read_text())["samples"]
    assert [one["role"] for one in sample["input"]] == ["user", "assistant", "user"]
    assert sample["input"][0]["content"] == "(question q1 is not stored)"
    assert sample["output"]["choices"][0]["stop_reason"] == "max_tokens"


def test_parquet_has_the_rows(tmp_path):
    pytest.importorskip("pyarrow")
    import pandas

    planted.singles(tmp_path / "results")
    assert export("parquet", tmp_path / "results", tmp_path / "out") == {"judgments": 24, "answers": 24}
    table = pandas.read_parquet(tmp_path / "out/judgments.parquet")
    assert table.score.mean() == pytest.approx(ek.load(tmp_path / "results").judgments().score.mean())
    assert table.failed.notna().sum() == 1
    (tmp_path / "none").mkdir()
    with pytest.raises(ek.UsageError, match="no results to export"):
        export("parquet", tmp_path / "none", tmp_path / "out2")


def test_the_verb(cli, tmp_path):
    planted.singles(tmp_path / "results")
    assert cli("export", "eval_results", "--dataset", "org/bench", "-o", "out").code == 0
    assert (tmp_path / "out/b/.eval_results/own.yaml").exists()
    done = cli("export", "parquet", "--dataset", "org/bench", "-o", "out")
    assert (done.code, "--dataset has no meaning for parquet" in done.err) == (2, True)
    done = cli("export", "nix", "-o", "out")
    assert (done.code, "every_eval_ever, eval_results, inspect_ai, parquet" in done.err) == (2, True)
