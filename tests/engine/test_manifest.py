"""The record of a run: what it says, that a killed run leaves one, and that a changed model is noticed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from evalkit.core.schema import Judgment, Ref
from evalkit.engine.snapshots import Snapshots
from evalkit.storage.store import Log
from tests import fault_server
from tests.fault_server import FaultServer

MEMBER = """\
one:
  backend:
    _target_: evalkit.backends.openai.OpenAI
    model: %s
    base_url: %s/v1
    concurrency: 4
"""


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def run(cli, server, tmp_path):
    """Answers and judgments from a server; returns how the command ended and the manifest."""
    for group, model in (("model", "answerer"), ("judge", "grader")):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "one.yaml").write_text(MEMBER % (model, server.url))

    def call(name, *settings):
        options = (f"--config-dir={tmp_path / 'conf'}", f"run.name={name}", "retry.first_wait=0.01")
        ended = cli("run", "pocket", "model=one", "judge=one", *options, *settings)
        return ended, json.loads((tmp_path / f"results/pocket/runs/{name}/manifest.json").read_text())

    return call


def warnings(manifest):
    """Its warnings, but for those of answers: the server answers everybody alike, and as a judge."""
    of_answers = ("hold marks of a chat template", "one and the same text is the answer")
    return [text for text in manifest["warnings"] if not any(words in text for words in of_answers)]


def becomes(name, server, monkeypatch):
    """From now on the server says that it is another model."""
    monkeypatch.setattr(fault_server, "MODEL", name)
    server._fast.clear()


def test_it_says_what_ran_on_what_and_what_came_of_it(run, server, tmp_path):
    server.provoke("500", "refusal")
    ended, manifest = run("first", "limit=1")
    assert ended.code == 1
    assert (manifest["schema"], manifest["outcome"], manifest["exit"]) == ("evalkit.manifest/1", "done", 1)
    assert {"evalkit", "python", "platform", "git", "started"} <= set(manifest)
    assert {"openai", "msgspec", "numpy"} <= set(manifest["packages"])
    config = (tmp_path / "results/pocket/runs/first/config.yaml").read_bytes()
    assert manifest["config"] == hashlib.sha256(config).hexdigest()
    row = next(iter(Log(tmp_path / "results/pocket/judgments/one.single.jsonl", Judgment)))
    assert manifest["judges"]["one"]["fingerprint"] == row.judge.fingerprint
    assert manifest["models"]["one"]["fingerprint"] == row.models[0].fingerprint
    assert len(manifest["judges"]["one"]["prompts"]) == 32
    stages = manifest["stages"]
    assert stages["answers"]["failed"] == {"refused": 1}
    assert stages["judgments"]["done"] == sum(manifest["snapshots"]["judges"]["one"]["new"].values()) == 14
    assert manifest["snapshots"]["models"]["one"]["new"] == {"fault-server-1": 8}
    traffic = list(manifest["traffic"].values())
    assert sum(one["retries"] for one in traffic) == 1
    assert sum(one["usage"]["prompt_tokens"] for one in traffic) > 0
    assert warnings(manifest) == []
    assert manifest["seconds"] > 0


@pytest.mark.slow
def test_a_second_run_of_the_same_name_keeps_what_the_first_said(run):
    _, first = run("same", "limit=1")
    _, second = run("same", "limit=1")
    assert first["earlier"] == []
    (kept,) = second["earlier"]
    assert kept == {name: first[name] for name in kept}
    assert (kept["outcome"], kept["stages"]["answers"]["stored"]) == ("done", 0)
    assert second["stages"]["answers"]["stored"] == 8
    _, third = run("same", "limit=1")
    assert third["earlier"][0] == kept
    assert len(third["earlier"]) == 2


def test_a_record_that_cannot_be_read_is_replaced(run, tmp_path):
    folder = tmp_path / "results/pocket/runs/odd"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"earlier": 5, "outc')
    ended, manifest = run("odd", "limit=1")
    assert ended.code == 0
    assert manifest["earlier"] == []
    assert [path.name for path in folder.glob("*.new")] == []


@pytest.mark.slow
def test_a_killed_run_leaves_a_record(tmp_path):
    code = "from evalkit.cli import main; main()"
    fields = ("model.fake.backend.delay=0.3", "model.fake.backend.concurrency=1", "run.name=killed")
    command = [sys.executable, "-c", code, "run", "pocket", "model=fake", "judge=fake", *fields]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=dict(os.environ))
    answers, deadline = tmp_path / "results/pocket/answers/fake.jsonl", time.monotonic() + 600
    while not answers.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=600)
    manifest = json.loads((tmp_path / "results/pocket/runs/killed/manifest.json").read_text())
    assert (manifest["outcome"], manifest["exit"]) == ("running", None)
    assert manifest["judges"]["fake"]["fingerprint"]


@pytest.mark.slow
def test_a_model_that_changed_since_it_was_stored_is_told_once(run, server, monkeypatch):
    ended, _ = run("before", "limit=1")
    assert "warning" not in ended.err
    becomes("fault-server-2", server, monkeypatch)
    ended, manifest = run("after", "limit=2")
    text = " ".join(ended.err.split())
    assert text.count("judge 'one': 'fault-server-2' answers now; in stored rows of the same configuration it was") == 1
    assert text.count("model 'one': 'fault-server-2' answers now") == 1
    assert "'fault-server-1' (16 rows)" in text
    assert "evalkit rejudge" in text
    assert len(warnings(manifest)) == 2
    judge = manifest["snapshots"]["judges"]["one"]
    assert judge == {"stored": {"fault-server-1": 16}, "new": {"fault-server-2": 16}}


def test_another_configuration_is_not_compared(run, server, monkeypatch):
    run("before", "limit=1")
    becomes("fault-server-2", server, monkeypatch)
    ended, manifest = run(
        "after", "limit=1", "judge.one.sampling.temperature=0.5", "model.one.sampling.temperature=0.5"
    )
    assert "warning" not in ended.err
    assert warnings(manifest) == []


def test_a_model_that_changes_within_a_run(run, server, monkeypatch):
    answer, count = server._judgment, iter(range(1000))

    def judgment(*arguments):
        becomes("one\x1b[31m" if next(count) < 12 else "two", server, monkeypatch)
        return answer(*arguments)

    monkeypatch.setattr(server, "_judgment", judgment)
    ended, manifest = run("turn", "limit=1")
    assert "answers now; earlier in this run it was" in " ".join(ended.err.split())
    assert "\x1b" not in ended.err
    assert warnings(manifest)


def test_ids_are_compared_by_role_and_name():
    told = []
    seen = Snapshots(told.append)
    seen.know("judge", "j", {"a": 3})

    def row(snapshot, name="j"):
        ref = Ref(name, "f")
        return Judgment(
            key="k", item="1", benchmark="b", category="c", turn=1, judge=ref, protocol="single", parser="p",
            shown=("r",), models=(ref,), scores=(1.0,), snapshot=snapshot,
        )  # fmt: skip

    for snapshot in ("a", None, "a", "b", "a", "b", "c"):
        seen.add(row(snapshot))
    seen.add(row("z", name="other"))
    assert [(change.now, dict(change.before), change.stored) for change in told] == [("b", {"a": 2}, False)]
    assert [change.now for change in seen.changes] == ["b", "c"]
    assert seen.table()["judges"]["j"] == {"stored": {"a": 3}, "new": {"a": 3, "b": 2, "c": 1}}
