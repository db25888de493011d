"""Runs that are told to stop, or that lose their reader or files: what is under way is stored, no more is paid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.fault_server import FaultServer

pytestmark = pytest.mark.slow

SCRIPT = "import signal; signal.signal(signal.SIGHUP, signal.{}); from evalkit.cli import main; main()"
EVALKIT = (sys.executable, "-c", SCRIPT.format("SIG_DFL"))  # whoever runs the tests may ignore it
CALLS = 16
AT_ONCE = 4


@pytest.fixture
def server():
    with FaultServer(latency=0.5) as one:
        yield one


def command(server, *more):
    judge = [f"judge.gpt4.backend.base_url={server.url}/v1", "judge.gpt4.backend.model=j"]
    concurrency = f"judge.gpt4.backend.concurrency={AT_ONCE}"
    return ["run", "pocket", "limit=1", "model=fake", "judge=[gpt4]", *judge, concurrency, "run.name=it", *more]


@contextmanager
def started(server, tmp_path, *more, **options):
    """A run with requests under way."""
    with subprocess.Popen([*EVALKIT, *command(server, *more)], cwd=tmp_path, **options) as running:
        try:
            wait_for(lambda: len(server.seen) >= AT_ONCE)
            yield running
            running.wait(600)
        finally:
            running.kill()


def wait_for(condition):
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def judgments(tmp_path):
    return tmp_path / "results/pocket/judgments/gpt4.single.jsonl"


def stored(tmp_path):
    return len(judgments(tmp_path).read_bytes().splitlines())


def outcome(tmp_path):
    return json.loads((tmp_path / "results/pocket/runs/it/manifest.json").read_bytes())["outcome"]


# The reader.


def test_ctrl_c_where_tee_dies_of_it_too(server, tmp_path):
    tee = subprocess.Popen(["tee", tmp_path / "log"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with started(server, tmp_path, stdout=tee.stdin, stderr=tee.stdin) as running:
        tee.stdin.close()
        tee.send_signal(signal.SIGINT)
        tee.wait(600)
        running.send_signal(signal.SIGINT)
    assert running.returncode == 130
    assert stored(tmp_path) == len(server.seen) < CALLS
    assert outcome(tmp_path) == "interrupted"


@pytest.mark.parametrize("both", [False, True])
def test_a_run_whose_reader_went_away_goes_on_to_its_end(server, tmp_path, both):
    reader, writer = os.pipe()
    with started(server, tmp_path, stdout=writer if both else subprocess.DEVNULL, stderr=writer) as running:
        os.close(writer)
        os.close(reader)
    assert running.returncode == 0
    assert stored(tmp_path) == CALLS
    assert outcome(tmp_path) == "done"


def test_a_run_whose_terminal_went_away_goes_on_to_its_end(server, tmp_path):
    terminal, side = os.openpty()
    with started(server, tmp_path, stdin=subprocess.DEVNULL, stdout=side, stderr=side) as running:
        os.close(side)
        os.close(terminal)
    assert running.returncode == 0
    assert stored(tmp_path) == CALLS
    assert outcome(tmp_path) == "done"


@pytest.mark.parametrize("arguments", [("run", "--help"), ("list", "models"), ("--version",)])
def test_output_that_is_held_back_until_the_end_and_then_wanted_by_nobody(tmp_path, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run([*EVALKIT, *arguments], cwd=tmp_path, env=environment, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


# Signals.


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU])
def test_a_scheduler_or_a_lost_terminal_stops_a_run_in_order(server, tmp_path, which):
    with started(server, tmp_path, stderr=subprocess.DEVNULL) as running:
        for _ in range(2):  # a terminal's end is told by the kernel and by the shell
            running.send_signal(which)
            time.sleep(0.1)
    assert running.returncode == 130
    assert stored(tmp_path) == len(server.seen) < CALLS
    assert outcome(tmp_path) == "interrupted"


def test_what_does_not_finish_in_time_is_dropped_and_what_came_is_stored(cli, tmp_path):
    """A provider that answers some requests and never the others; one signal, as a scheduler sends it."""
    with FaultServer(latency=0.1) as server:
        server.provoke("success", "success", *["hang"] * 30)
        with started(server, tmp_path, "run.stop_within=1", stderr=subprocess.PIPE) as running:
            wait_for(lambda: judgments(tmp_path).exists() and stored(tmp_path) == 2 and len(server.seen) == 2 + AT_ONCE)
            running.send_signal(signal.SIGTERM)
            err = running.stderr.read().decode()
        assert running.returncode == 130, err
        assert "did not finish within 1 s and is dropped" in err
        assert "Traceback" not in err
        assert stored(tmp_path) == 2
        assert outcome(tmp_path) == "dropped"
        server.script.clear()
        assert cli(*command(server)).code == 0
        assert stored(tmp_path) == CALLS


@pytest.mark.parametrize("protocol", ["single", "pairwise"])
def test_answers_that_do_not_finish_in_time_are_dropped_alike(tmp_path, protocol):
    with FaultServer() as server:
        server.provoke(*["hang"] * 100)
        models = ",".join(f"{server.url}/v1#{name}" for name in ("one", "two"))
        asked = ["run", "pocket", f"model={models}", "judge=fake", f"protocol={protocol}", "run.name=it"]
        command = [*EVALKIT, *asked, "run.stop_within=0.2"]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            wait_for(lambda: len(server.seen) >= AT_ONCE)
            running.send_signal(signal.SIGTERM)
            err = running.stderr.read().decode()
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert outcome(tmp_path) == "dropped"


def test_nohup_is_heeded(server, tmp_path):
    whole = [sys.executable, "-c", SCRIPT.format("SIG_IGN"), *command(server)]
    with subprocess.Popen(whole, cwd=tmp_path, stderr=subprocess.DEVNULL) as running:
        wait_for(lambda: server.seen)
        running.send_signal(signal.SIGHUP)
        assert running.wait(600) == 0
    assert stored(tmp_path) == CALLS


# Files.


@pytest.mark.parametrize("all_of_it", [False, True])
def test_results_removed_under_a_run(cli, server, tmp_path, all_of_it):
    with started(server, tmp_path, stderr=subprocess.PIPE) as running:
        wait_for(lambda: judgments(tmp_path).exists())
        time.sleep(0.2)
        before = stored(tmp_path)
        if all_of_it:
            shutil.rmtree(tmp_path / "results")
        else:
            judgments(tmp_path).unlink()
        err = running.stderr.read().decode()
    assert running.returncode == 2, err
    assert "was replaced or removed while a run was using it" in err
    assert before + stored(tmp_path) == len(server.seen) < CALLS, "what was under way is stored, and no more was asked"
    assert cli(*command(server)).code == 0
    assert stored(tmp_path) == CALLS


def test_a_results_file_rewritten_under_a_run(cli, server, tmp_path):
    with started(server, tmp_path, stderr=subprocess.PIPE) as running:
        wait_for(lambda: judgments(tmp_path).exists())
        time.sleep(0.2)
        copy = judgments(tmp_path).with_suffix(".new")
        copy.write_bytes(judgments(tmp_path).read_bytes())
        copy.replace(judgments(tmp_path))
        err = running.stderr.read().decode()
    assert running.returncode == 2, err
    assert outcome(tmp_path) == "error"
    assert stored(tmp_path) == len(server.seen) < CALLS
    assert cli(*command(server)).code == 0
    assert stored(tmp_path) == len(server.seen) == CALLS, "nothing was paid for twice"


def link(path):
    path.parent.mkdir(parents=True)
    path.symlink_to(path.parent.parent.parent.parent / "elsewhere")


def folder_is_a_file(path):
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("in the way")


@pytest.mark.parametrize(
    ("spoil", "why"), [(link, "it is a link"), (folder_is_a_file, "its folder is a file")], ids=["link", "file"]
)
def test_a_file_that_cannot_be_written_is_found_out_before_anything_is_paid(cli, server, tmp_path, spoil, why):
    spoil(judgments(tmp_path))
    ended = cli(*command(server))
    assert ended.code == 2
    assert f"cannot write 'results/pocket/judgments/gpt4.single.jsonl': {why}" in ended.err
    assert not server.seen
