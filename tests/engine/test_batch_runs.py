"""`evalkit run ... judge.batch=true` as people run it: interrupted, left alone, killed anywhere, picked up again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest

from evalkit.core.schema import Judgment
from evalkit.storage.store import Log, TornLine
from tests.batch_server import BatchServer, Mess

ROOT = Path(__file__).parents[2]
PRICES = "as_of: 2026-06\nmodels:\n  judge: {input: 1000.0, output: 2000.0}\n"
JUDGE = """\
remote:
  backend:
    _target_: evalkit.backends.%s
    model: judge
    base_url: %s
  sampling: {max_tokens: 64}
"""
TARGETS = {"openai": "openai.OpenAI", "anthropic": "anthropic.Anthropic"}
BOTH = pytest.mark.parametrize("wire", ["openai", pytest.param("anthropic", marks=pytest.mark.slow)])
N = 48
"""Two judgments of each of pocket's questions."""


def settings(folder, server, wire):
    """Overrides of a run on pocket whose judge is behind the server."""
    (folder / "conf" / "judge").mkdir(parents=True, exist_ok=True)
    url = server.url + ("/v1" if wire == "openai" else "")
    (folder / "conf" / "judge" / "remote.yaml").write_text(JUDGE % (TARGETS[wire], url))
    (folder / "prices.yaml").write_text(PRICES)
    return [
        *("run", "pocket", "model=fake", "judge=remote", f"--config-dir={folder / 'conf'}"),
        *(f"prices={folder / 'prices.yaml'}", "retry.first_wait=0.02", "retry.longest_wait=0.1", "batch.poll=0.1"),
    ]


def judgments(results):
    """Lines by key, and latest rows by key."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TornLine)
        (path,) = results.glob("pocket/judgments/remote.*.jsonl")
        rows = {row.key: row for row in Log(path, Judgment)}
    lines = Counter(line.split(b'"key":"')[1][:32] for line in path.read_bytes().splitlines())
    return lines, rows


def verdicts(results):
    return {key: (row.scores, row.label, row.raw) for key, row in judgments(results)[1].items()}


@pytest.mark.slow
@pytest.mark.parametrize("wire", TARGETS)
def test_a_batch_run_costs_half_and_says_the_same(wire, cli, tmp_path):
    with BatchServer(delay=0.3) as server:
        command = [*settings(tmp_path, server, wire), "batch.requests=20"]
        dry_live = cli(*command, "dry_run=true")
        dry = cli(*command, "judge.batch=true", "dry_run=true")
        whole, half = (float(ended.err.split("total $")[1].split()[0].replace(",", "")) for ended in (dry_live, dry))
        assert half == pytest.approx(whole / 2, abs=0.01)
        assert not server.calls

        live = cli(*command, "results_dir=live")
        assert live.code == 0, live.err
        assert server.live[wire] == N
        batch = cli(*command, "judge.batch=true", "results_dir=batch")
        assert batch.code == 0, batch.err
        assert server.live[wire] == N
        assert len(server.batches) == 3
    assert verdicts(Path("batch")) == verdicts(Path("live"))
    cost = [sum(row.cost for row in judgments(Path(name))[1].values()) for name in ("batch", "live")]
    assert cost[0] == pytest.approx(cost[1] / 2)
    assert f"{N * 2} requests" in batch.err


@pytest.mark.slow
@BOTH
def test_without_waiting(wire, cli, tmp_path):
    with BatchServer(delay=1e6) as server:
        command = [*settings(tmp_path, server, wire), "judge.batch=true", "batch.wait=false", "batch.requests=20"]
        ended = cli(*command)
        assert ended.code == 1, ended.err
        name = "OpenAI" if wire == "openai" else "Anthropic"
        for batch, n in zip(server.batches, (20, 20, 8), strict=True):
            assert f"{n} requests are with {name} in batch {batch}; the same command picks them up" in ended.err
        live = cli(*command, "judge.batch=false")  # would pay for them again
        assert live.code == 2
        assert "'remote' was asked already: 20 requests are with" in live.err
        assert server.live.total() == 0
        dry = cli(*command, "dry_run=true")
        assert "0 + 48 pending" in " ".join(dry.err.split())
        assert "total $0.00" in dry.err
        end(server)
        ended = cli(*command)
        assert ended.code == 0, ended.err
        assert "the same command" not in ended.err
        assert len(judgments(tmp_path / "results")[1]) == N
        assert set(server.paid.values()) == {1}


def test_backends_without_a_batch_api(cli):
    ended = cli("run", "pocket", "model=fake", "judge=fake", "judge.batch=true", "limit=1")
    assert ended.code == 2
    assert "'fake' cannot have batch=true" in ended.err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("batch.poll=0", "batch.poll=0"),
        ("batch.requests=0", "batch.requests=0"),
        ("batch=true", "batch=True: set one of batch.poll=, batch.wait=, batch.requests="),
        ("batch.every=5", "batch: unknown key 'every'; there are: poll, requests, wait"),
    ],
)
def test_settings_are_checked(setting, said, cli):
    ended = cli("run", "pocket", "model=fake", "judge=fake", setting)
    assert ended.code == 2
    assert said in ended.err


class Process:
    """Real runs over one folder."""

    def __init__(self, folder, command, name="run"):
        self._folder = folder
        self._command = [sys.executable, "-c", "from evalkit.cli import main; main()", *command]
        self._errors = folder / f"{name}-errors.txt"

    def start(self, batch=True):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "ANTHR"))}
        with self._errors.open("wb") as errors:
            return subprocess.Popen(
                [*self._command, *([] if batch is None else [f"judge.batch={str(batch).lower()}"])],
                cwd=self._folder,
                env=environment | {"PYTHONPATH": str(ROOT)},
                stderr=errors,
            )

    def complete(self):
        assert self.start().wait(600) == 0, self.said()

    def said(self):
        return self._errors.read_text()


def test_probes_are_never_asked_live_where_a_batch_was_wanted(cli, tmp_path):
    with BatchServer() as server:
        settings(tmp_path, server, "openai")
        command = ["audit", "judge=remote", "model=fake", "probes=all", "judge.batch=true"]
        ended = cli(*command, f"--config-dir={tmp_path / 'conf'}")
        assert ended.code == 2
        assert "'remote' cannot have batch=true here" in ended.err
        assert server.live.total() == 0


@pytest.mark.parametrize("batch", ["false", "true"])
@BOTH
def test_replies_whose_tokens_nobody_counted_are_within_the_budget_of_later_runs_too(wire, batch, cli, tmp_path):
    with BatchServer(counts_tokens=False) as server:
        command = [*settings(tmp_path, server, wire), f"judge.batch={batch}", "batch.requests=4"]
        assert cli(*command, "budget.tokens=40000").code == 3
        asked = server.live.total() + server.paid.total()
        assert 0 < asked < N
        again = cli(*command, "budget.tokens=40000")
        assert again.code == 3
        assert server.live.total() + server.paid.total() == asked


def test_a_live_rejudge_does_not_pay_for_what_a_batch_holds(cli, tmp_path):
    with BatchServer(delay=60.0) as server:
        given = settings(tmp_path, server, "openai")[4:]
        assert cli("run", "pocket", "model=fake", "judge=fake").code == 0
        again = ["rejudge", "results/pocket", "judge=remote", *given]
        assert cli(*again, "judge.batch=true", "batch.wait=false").code == 1
        live = cli(*again)
        assert live.code == 2
        assert "'remote' was asked already: 48 requests are with" in live.err
        assert server.live.total() == 0


@pytest.mark.slow
@pytest.mark.parametrize("head_start", [0.0, 0.15])
@pytest.mark.parametrize("first", ["live", "batch"])
def test_a_live_run_and_a_batch_run_at_once_pay_once(first, head_start, cli, tmp_path):
    with BatchServer(delay=1.0) as server:
        command = settings(tmp_path, server, "openai")
        assert cli(*command, "judge=fake").code == 0  # so that both judges begin at once
        runs = {name: Process(tmp_path, command, name) for name in ("live", "batch")}
        orders = ["live", "batch"] if first == "live" else ["batch", "live"]
        processes = {}
        for name in orders:
            processes[name] = runs[name].start(batch=name == "batch")
            time.sleep(head_start)
        assert processes["batch"].wait(600) == 0, runs["batch"].said()
        assert processes["live"].wait(600) in (0, 2), runs["live"].said()
        assert server.live.total() + server.paid.total() == N
        lines, rows = judgments(tmp_path / "results")
        assert len(rows) == N
        assert set(lines.values()) == {1}


@pytest.fixture
def panel(tmp_path):
    """Settings for a batched judge and a live one, both at 1 dollar or more a judgment at the longest."""

    def given(server):
        command = settings(tmp_path, server, "openai")
        text = JUDGE % (TARGETS["openai"], server.url + "/v1")
        folder = tmp_path / "conf" / "judge"
        (folder / "live.yaml").write_text(text.replace("remote:", "live:").replace("model: judge", "model: judge2"))
        (folder / "remote.yaml").write_text(text + "  batch: true\n")
        prices = "  judge: {input: 1000.0, output: 2000.0}\n"
        (tmp_path / "prices.yaml").write_text(PRICES + prices.replace("judge:", "judge2:"))
        both = [one if one != "judge=remote" else "judge=[live,remote]" for one in command]
        return command, [*both, "batch.requests=4"]

    return given


def looked_at_twice(server, process, before):
    """Wait until a run has asked for the state of every batch, twice."""
    limit = time.monotonic() + 600
    while server.calls["retrieve"] < before + 2 * len(server.batches):
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.05)


def end(server):
    """All batches are done from now on."""
    for batch in server.batches.values():
        batch.ends = 0.0
    server.delay = 0.0


@pytest.mark.slow
def test_batches_of_an_earlier_run_are_within_the_budget_before_others_spend_it(cli, tmp_path, panel):
    with BatchServer(delay=1e6) as server:
        alone, both = panel(server)
        assert cli(*alone, "batch.requests=4", "batch.wait=false", "budget=1000").code == 1
        run = Process(tmp_path, [*both, "budget=66"])
        asked = server.calls["retrieve"]
        process = run.start(batch=None)
        try:
            looked_at_twice(server, process, asked)
            assert server.live.total() == 0, "the batches may come to nearly all of it"
            end(server)
            assert process.wait(600) == 0, run.said()  # they came to less
        finally:
            process.kill()
            process.wait()
        assert server.live.total() == N
        assert set(server.paid.values()) == {1}


@pytest.mark.slow
def test_a_model_that_costs_money_waits_for_the_budget_of_batches_of_an_earlier_run(cli, tmp_path, panel):
    with BatchServer(delay=1e6) as server:
        command = [*panel(server)[0], "batch.requests=4"]
        (tmp_path / "conf" / "model").mkdir()
        text = JUDGE % (TARGETS["openai"], server.url + "/v1")
        (tmp_path / "conf" / "model" / "dear.yaml").write_text(
            text.replace("remote:", "dear:").replace("model: judge", "model: judge2")
        )
        assert cli(*command, "batch.wait=false", "budget=1000").code == 1
        run = Process(tmp_path, [*command, "model=[fake,dear]", "budget=60"])
        asked = server.calls["retrieve"]
        process = run.start(batch=None)
        try:
            looked_at_twice(server, process, asked)
            assert server.live.total() == 0
            end(server)
            assert process.wait(600) == 0, run.said()
        finally:
            process.kill()
            process.wait()
        assert server.live.total() == N
        assert set(server.paid.values()) == {1}


@pytest.mark.slow
def test_a_panel_does_not_wait_for_the_budget_of_batches_left_to_a_later_run(tmp_path, panel):
    with BatchServer(delay=60.0) as server:
        run = Process(tmp_path, [*panel(server)[1], "batch.wait=false", "budget=60"])
        process = run.start(batch=None)
        try:
            assert process.wait(600) == 3, run.said()
        finally:
            process.kill()
            process.wait()
        assert "budget reached" in run.said()
        assert " set aside for batches that are not collected, the next request could cost $" in run.said()
        assert server.batches


CLAIM = """\
import asyncio, sys, time
from pathlib import Path
from evalkit.storage.claims import Claims

async def main():
    async with Claims(Path(sys.argv[1])).hold(sys.argv[2]):
        print("held", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


@pytest.mark.slow
def test_what_another_run_is_asking_right_now_is_left_to_it(cli, tmp_path):
    with BatchServer(delay=0.3) as server:
        command = settings(tmp_path, server, "openai")
        assert cli(*command, "results_dir=live").code == 0
        key = min(judgments(Path("live"))[1])
        other = subprocess.Popen(
            [sys.executable, "-c", CLAIM, "results/pocket/runs/.claims", key],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert other.stdout.readline() == b"held\n"
        run = Process(tmp_path, command)
        process = run.start()
        limit = time.monotonic() + 600
        while server.paid.total() < N - 1:
            assert time.monotonic() < limit, run.said()
            time.sleep(0.05)
        time.sleep(0.8)
        assert process.poll() is None
        assert [len(batch.requests) for batch in server.batches.values()] == [N - 1]
        other.communicate()  # it dies, and has stored nothing
        assert process.wait(600) == 0, run.said()
        assert [len(batch.requests) for batch in server.batches.values()] == [N - 1, 1]
        assert set(server.paid.values()) == {1}
        assert set(judgments(tmp_path / "results")[1]) == set(judgments(tmp_path / "live")[1])


@pytest.mark.slow
@BOTH
def test_interrupted_while_waiting(wire, tmp_path):
    with BatchServer(delay=3.0) as server:
        runs = Process(tmp_path, [*settings(tmp_path, server, wire), "batch.requests=20"])
        process = runs.start()
        limit = time.monotonic() + 600
        while server.calls["retrieve"] < 4:
            assert time.monotonic() < limit, runs.said()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(600) == 130, runs.said()
        said = runs.said()
        for batch in server.batches:
            assert f"in batch {batch}; the same command picks them up" in said
        assert "Traceback" not in said
        assert server.calls["cancel"] == 0
        runs.complete()
        assert set(server.paid.values()) == {1}
        lines, rows = judgments(tmp_path / "results")
        assert len(rows) == N
        assert set(lines.values()) == {1}


@BOTH
@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.slow), pytest.param(25, marks=pytest.mark.full)])
def test_killed_at_random_moments(wire, kills, cli, tmp_path):
    """SIGKILL anywhere between the first upload and the last row: the rows of a live run, nothing paid twice."""
    moments = random.Random(kills)
    with BatchServer(delay=0.4, page=2) as server:
        longest, requests = (0.25, 20) if kills == 3 else (0.12, 2)
        server.fates = lambda key, before: "expired" if before == 0 and int(key, 16) % 3 == 0 else "ok"
        server.mess = Mess(duplicate=True, shuffle=True, strangers=True)
        live = cli(*settings(tmp_path, server, wire), "results_dir=live")
        assert live.code == 0, live.err
        server.provoke("create", *(moments.choice(["good", "good", "lost"]) for _ in range(2 * kills)))
        runs = Process(tmp_path, [*settings(tmp_path, server, wire), f"batch.requests={requests}"])
        killed = 0
        for _ in range(kills):
            before, process = server.calls.total(), runs.start()
            limit = time.monotonic() + 600
            while server.calls.total() == before and process.poll() is None:
                assert time.monotonic() < limit, runs.said()
                time.sleep(0.002)
            time.sleep(moments.uniform(0.0, longest))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        runs.complete()
        assert killed >= min(2, kills // 2)
        assert verdicts(tmp_path / "results") == verdicts(tmp_path / "live")
        assert set(server.paid.values()) == {1}
        lines, rows = judgments(tmp_path / "results")
        assert len(rows) == N
        assert set(lines.values()) == {1}
        print(f"{wire}: {killed} of {kills} killed, {len(server.batches)} batches, {server.calls}")
