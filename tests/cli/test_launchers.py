"""Several jobs by one of Hydra's launchers: other processes, other machines, one results folder."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalkit.core.schema import Judgment, Response
from evalkit.engine.session import new_folder
from evalkit.settings.compose import JobFailed
from evalkit.storage.store import Log

ROOT = Path(__file__).parents[2]
PLUGINS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "ray": "hydra_plugins.hydra_ray_launcher",
}
"""Launchers that need no cluster, and where their packages put them."""


def launched(launcher, folder, *settings):
    """One command in a process of its own; its exit code, and what it wrote for people."""
    pytest.importorskip(PLUGINS[launcher])
    command = [sys.executable, "-c", "from evalkit.cli import main; main()", "run", "pocket", "-m", *settings]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # So that no cluster of another test's is found; sockets in there need a short path.
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as ray_folder:
        environment |= {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": ray_folder}
        done = subprocess.run(
            [*command, f"hydra/launcher={launcher}", "judge=fake", "limit=1"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done.returncode, done.stderr


def member(folder, name, skill):
    (folder / "own" / "model").mkdir(parents=True, exist_ok=True)
    text = (
        f"{name}:\n  backend: {{_target_: evalkit.backends.fake.Fake, model: {name}, skill: {skill}}}\n  price: free\n"
    )
    (folder / "own" / "model" / f"{name}.yaml").write_text(text)


@pytest.mark.ray
@pytest.mark.parametrize("launcher", PLUGINS)
def test_jobs_share_one_results_folder(launcher, tmp_path):
    for name, skill in (("weak", 3), ("middling", 5), ("strong", 8)):
        member(tmp_path, name, skill)
    code, said = launched(launcher, tmp_path, "model=weak,middling,strong", "--config-dir", str(tmp_path / "own"))
    assert code == 0, said
    results = tmp_path / "results" / "pocket"
    assert sorted(path.stem for path in results.glob("answers/*")) == ["middling", "strong", "weak"]
    (judgments,) = results.glob("judgments/*")
    rows = list(Log(judgments, Judgment))
    assert len(rows) == len(judgments.read_bytes().splitlines()) == 3 * 8 * 2
    assert not any(row.error for row in rows)
    for path in results.glob("answers/*"):
        assert len(list(Log(path, Response))) == 8
    runs = list(results.glob("runs/[!.]*"))
    assert len(runs) == 3
    assert all((run / "manifest.json").exists() and (run / "config.yaml").exists() for run in runs)


@pytest.mark.ray
@pytest.mark.parametrize("launcher", PLUGINS)
def test_a_mistake_in_one_job_is_a_message_and_the_others_go_on(launcher, tmp_path):
    code, said = launched(launcher, tmp_path, "model=fake", "repeats=0,1", "run.name=mine")
    assert code == 2
    assert "evalkit: job 0 (repeats=0): repeats=0: must be at least 1" in said
    assert [path.name for path in (tmp_path / "results" / "pocket" / "runs").glob("[!.]*")] == ["mine-1"]


@pytest.mark.ray
def test_items_that_fail_in_one_job_decide_the_exit_code(tmp_path):
    code, said = launched("joblib", tmp_path, "model=fake", "judge.fake.backend.mumble=0,1.0")
    assert code == 1
    assert "evalkit: job 1 (judge.fake.backend.mumble=1.0): some items failed" in said


def test_a_failed_job_survives_the_way_home():
    again = pickle.loads(pickle.dumps(JobFailed("job 1: why", 3)))  # noqa: S301 - our own
    assert (str(again), again.code) == ("job 1: why", 3)


def test_runs_that_begin_together_have_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: new_folder(tmp_path / "runs", "now"), range(64)))
    assert len(set(made)) == 64
    assert {path.name for path in made} == {"now", *(f"now-{number}" for number in range(2, 65))}


@pytest.mark.slow
def test_one_name_for_several_jobs_is_numbered(cli, tmp_path):
    assert cli("run", "pocket", "model=fake", "judge=fake", "limit=1", "-m", "repeats=1,2", "run.name=mine").code == 0
    runs = tmp_path / "results" / "pocket" / "runs"
    assert sorted(path.name for path in runs.glob("[!.]*")) == ["mine-0", "mine-1"]
    assert cli("run", "pocket", "model=fake", "judge=fake", "limit=1", "-m", "run.name=a,b").code == 0
    assert cli("run", "pocket", "model=fake", "judge=fake", "limit=1", "run.name=alone").code == 0
    assert {path.name for path in runs.glob("[!.]*")} == {"mine-0", "mine-1", "a", "b", "alone"}
