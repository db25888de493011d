"""Trackers get the leaderboard's numbers, through their real clients where these are installed."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit as ek
from evalkit.publish.numbers import rated_models
from evalkit.trackers.tracked import TRACKERS, TrackedModel, plain_key, tracked, tracker
from tests.publish import planted


def models(folder: Path) -> dict[str, TrackedModel]:
    return {one.name: one for one in tracked(rated_models([planted.singles(folder)]))}


def test_a_run_is_a_model_with_the_numbers_of_every_judge(tmp_path):
    found = models(tmp_path)
    assert sorted(found) == ["a", "b"]
    row = ek.load(tmp_path).leaderboard().frame.set_index("model").loc["b"]
    metrics = found["b"].metrics
    assert metrics["strict.single/score"] == row.score
    assert metrics["strict.single/score_lower"] == row.lower
    assert metrics["strict.single/score_upper"] == row.upper
    assert (metrics["strict.single/n"], metrics["strict.single/failed"]) == (11.0, 1.0)
    assert "strict.single/c1/score" in metrics
    config = found["b"].config
    assert config["benchmark"] == "own"
    assert config["model.revision"] == "abc123"
    assert config["strict.single.model"] == "strict-latest"
    assert config["strict.single.prompts"] == "f" * 32


def test_what_has_no_number_is_left_out(tmp_path):
    found = tracked(rated_models([planted.singles(tmp_path, questions=1)]))
    assert "strict.single/score" in found[0].metrics
    assert "strict.single/score_lower" not in found[0].metrics


def test_names_are_what_every_tracker_takes():
    for name in ("gpt-4 (judge)\x1b[31m.x/é", "a:b|c", "\ud800", "评测"):
        assert re.fullmatch(r"[\w\-. /]+", plain_key(name), re.ASCII), name
    assert plain_key("gpt-4.single/score") == "gpt-4.single/score"
    assert plain_key("") == "_"


def test_a_client_that_is_not_installed_is_named(tmp_path, monkeypatch):
    for name in TRACKERS:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ek.UsageError, match=rf"{name} is not installed: pip install 'evalkit\[{name}\]'"):
            tracker(name, "p", tmp_path / "out").log([])
    with pytest.raises(ek.UsageError, match="no tracker 'neptune'; there are: mlflow, wandb, trackio"):
        tracker("neptune", "p", None)


def exported(tmp_path: Path, name: str) -> Path:
    """The verb in a process of its own, as clients keep global state and threads."""
    pytest.importorskip(name)
    planted.singles(tmp_path / "results")
    told = [sys.executable, "-m", "evalkit", "export", name, "results", "--project", "demo", "-o", "kept"]
    home = {"HOME": str(tmp_path), "WANDB_MODE": "offline", "DO_NOT_TRACK": "1", "TRACKIO_DIR": ""}
    done = subprocess.run(told, cwd=tmp_path, env=os.environ | home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 runs" in done.stderr
    return tmp_path / "kept"


@pytest.mark.slow
def test_mlflow(tmp_path):
    kept = exported(tmp_path, "mlflow")
    with sqlite3.connect(kept / "mlflow.db") as base:
        names = {row[0] for row in base.execute("select name from runs")}
        values = dict(base.execute("select key, value from latest_metrics where run_uuid = (select run_uuid from runs "
                                   "where name = 'a')").fetchall())  # fmt: skip
        told = dict(base.execute("select key, value from params").fetchall())
        experiment = {row[0] for row in base.execute("select name from experiments")}
    assert names == {"a", "b"}
    assert values["strict.single/score"] == 8.0
    assert told["strict.single.prompts"] == "f" * 32
    assert "demo" in experiment


@pytest.mark.slow
def test_wandb(tmp_path):
    kept = exported(tmp_path, "wandb")
    runs = list(kept.glob("wandb/offline-run-*/*.wandb"))
    assert len(runs) == 2
    content = b"".join(path.read_bytes() for path in runs)
    assert b"strict.single/score" in content
    assert b"strict-latest" in content


@pytest.mark.slow
def test_trackio(tmp_path):
    kept = exported(tmp_path, "trackio")
    with sqlite3.connect(kept / "demo.db") as base:
        found = base.execute("select run_name, metrics from metrics").fetchall()
        told = base.execute("select run_name, config from configs").fetchall()
    values = {name: json.loads(metrics) for name, metrics in found}
    assert values["a"]["strict.single/score"] == 8.0
    assert values["b"]["strict.single/failed"] == 1.0
    assert {name for name, _ in told} == {"a", "b"}
