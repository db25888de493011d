"""The verb ``evalkit audit``."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from evalkit.audit.analyse import audited
from evalkit.cli import main
from evalkit.core.schema import Ref
from evalkit.evidence.gather import gather
from evalkit.reports.audit_output import to_json
from evalkit.reports.audit_tables import show
from evalkit.storage.store import Store
from tests.biases.simulated import Study, scored
from tests.ratings.rows import judged


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    kept = Store(folder, "study")
    for row in Study(questions=20, models=4, position=0.8).rows():
        kept.judgments(row.judge.name, row.protocol).append(
            msgspec.structs.replace(row, key=f"{row.key}{row.models[0].name}")
        )
    kept.close()
    return folder


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["audit", *map(str, arguments)])
    return ended.value.code


AUDIT_THREADS = """
import os, sys
from evalkit.cli import main
try:
    main(["audit", sys.argv[1], "--format", "json"])
except SystemExit:
    print(len(os.listdir("/proc/self/task")), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux to count threads")
def test_numpy_starts_no_threads(results):
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", AUDIT_THREADS, str(results)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.stderr.split()[-1] == "1"
    assert json.loads(done.stdout)["findings"]


def test_json_on_stdout_alone(results, capsys):
    assert run(results, "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "evalkit.audit/1"
    logit = next(row for row in data["findings"] if row["metric"] == "position_logit")
    assert {"judge", "metric", "category", "estimate", "lower", "upper", "n", "sentence"} <= set(logit)
    assert "not_measurable" not in logit
    assert logit["lower"] > 0
    lacking = next(row for row in data["findings"] if "not_measurable" in row)
    assert "estimate" not in lacking
    row = data["agreement"][0]
    assert {"judge", "other", "turn", "setup", "category", "agree", "total"} <= set(row)
    assert row["setup"] in ("S1", "S2")


def test_gameability_where_models_have_verbose_and_concise_variants(tmp_path, capsys):
    """Of 20 questions against the same rival, a and b win so many as they are, told to be verbose, and concise."""
    wins = {"a": 10, "a_verbose": 14, "a_concise": 6, "b": 4, "b_verbose": 8, "b_concise": 4}
    kept = Store(tmp_path, "arena")
    rows = [
        judged(model, "rival", (1.0, 0.0) if q < won else (0.0, 1.0), item=f"q{q}")
        for model, won in wins.items()
        for q in range(20)
    ]
    for row in rows:
        kept.judgments(row.judge.name, row.protocol).append(row)
    kept.close()
    assert run(tmp_path, "--format", "json") == 0
    found = {row["metric"]: row for row in json.loads(capsys.readouterr().out)["findings"]}
    for way in ("verbose", "concise"):
        both = np.array([[wins[name] / 20, wins[f"{name}_{way}"] / 20] for name in "ab"])
        row = found[f"length_gameability_{way}"]
        assert row["estimate"] == pytest.approx(100 * np.mean(both.std(axis=1, ddof=1) / both.mean(axis=1)))
        assert row["n"] == 2
        assert f"Told to be {way}, 2 models" in row["sentence"]
        assert row["details"]["models"] == ["a", "b"]


def test_single_grading_alone_measures_length(tmp_path, capsys):
    kept = Store(tmp_path, "study")
    for q in range(40):
        for m in range(4):
            row = scored(f"m{m}", float(1 + (3 * q + 5 * m) % 10), item=f"q{q}", lengths=(100 + (7 * q + 11 * m) % 50,))
            kept.judgments(row.judge.name, row.protocol).append(row)
    kept.close()
    assert run(tmp_path, "--format", "json") == 0
    found = {row["metric"]: row for row in json.loads(capsys.readouterr().out)["findings"]}
    assert (found["length_slope_judge"]["n"], found["length_slope_judge"]["questions"]) == (240, 40)
    assert 0 < found["length_prefer_longer"]["estimate"] < 1
    assert "shows one, which has no position" in found["position_consistency"]["not_measurable"]


def test_a_file_name_says_the_format(results, tmp_path, capsys):
    assert run(results, "-o", tmp_path / "deep" / "audit.json") == 0
    assert json.loads((tmp_path / "deep" / "audit.json").read_text())["schema"] == "evalkit.audit/1"
    assert capsys.readouterr().out == ""
    assert run(results, "-o", tmp_path / "report.html") == 0
    assert "What you may conclude from m0" in capsys.readouterr().out, "a page is for later, the tables for now"
    page = (tmp_path / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert len(page.encode()) < 400_000
    assert run(results, "-o", tmp_path / "audit.txt") == 0
    assert "What you may conclude from m0" in (tmp_path / "audit.txt").read_text()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [80, 140])
def test_the_summary_fits_the_terminal(results, width):
    buffer = io.StringIO()
    show(Console(file=buffer, width=width, highlight=False), audited(gather(Study(questions=20, models=4).rows())))
    text = buffer.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for words in ("What you may conclude from m0", "Measured: m0", "over all pairs", "Agreement: m0 with human"):
        assert words in text
    assert "…" not in text


def test_judges_can_be_chosen(results, capsys):
    assert run(results, "--judge", "nobody") == 2
    assert "there are judgments by: m0" in " ".join(capsys.readouterr().err.split())


def test_human_votes_from_a_file(tmp_path, results, capsys):
    path = tmp_path / "votes.jsonl"
    rows = [
        {"item": f"q{q}", "model_a": "m0", "model_b": "m3", "winner": "model_b", "annotator": "zoe"} for q in range(20)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert run(results, "--human", path, "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert any(row["other"] == "human: others" or row["total"] == 20 for row in data["agreement"])
    assert run(results, "--human", tmp_path / "missing.jsonl") == 2
    assert "cannot read" in capsys.readouterr().err


def test_missing_results(tmp_path, capsys):
    assert run(tmp_path / "nowhere") == 2
    assert "no results at" in capsys.readouterr().err


def test_hostile_names_stay_inert():
    """Model output and names move no cursor and open no markup."""
    name = "\x1b[31mred[/bold][link=http://x]\u202e"
    rows = [msgspec.structs.replace(scored(name, float(i), item=f"q{i}"), judge=Ref(name, "j")) for i in range(4)]
    found = audited(gather(rows))
    buffer = io.StringIO()
    show(Console(file=buffer, width=100, highlight=False), found)
    assert "\x1b" not in buffer.getvalue()
    assert "\u202e" not in buffer.getvalue()
    assert "red[/bold][link=http://x]" in buffer.getvalue().replace("\n", "")
    assert "\x1b" not in to_json(found)
