"""kill -9, a torn write, a full disk, a second run: nothing stored is lost, doubled or paid for again."""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import time
from collections import Counter

import msgspec
import pytest

from tests.fault_server import FaultServer
from tests.kill_runs import AT_ONCE, KINDS, Bench, Runs, call, campaign

# Kills.


@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.full)])
def test_kills_at_random_moments(tmp_path, kills):
    report = campaign(tmp_path, kills, questions=max(12, 2 * kills))
    print(report)
    assert report.kills.total() >= kills / 2  # or there was little to test


# Torn writes.


@pytest.mark.filterwarnings("ignore::evalkit.storage.store.TornLine")
@pytest.mark.parametrize("step", [pytest.param(113, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.full)])
@pytest.mark.parametrize("part", KINDS)
def test_a_row_torn_at_any_byte_is_asked_again_and_nothing_else(cli, tmp_path, part, step):
    """The file ends after each byte of its last row in turn, and the run is resumed."""
    command = ("run", "pocket", "limit=1", "model=fake", "judge=fake")
    assert cli(*command).code == 0
    ((path,), (other,)) = (
        (tmp_path / "results" / "pocket" / kind).glob("*.jsonl")
        for kind in sorted(KINDS, key=lambda kind: kind != part)
    )
    content, beside = path.read_bytes(), other.read_bytes()
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    whole = [_timeless(line) for line in content.splitlines()]
    for end in sorted({*range(start + 1, len(content), step), len(content) - 1}):
        path.write_bytes(content[:end])
        code, _, err = cli(*command)
        assert code == 0
        assert "\n1 requests" in err
        assert [_timeless(line) for line in path.read_bytes().splitlines()] == whole
        assert other.read_bytes() == beside
    shutil.rmtree(tmp_path / "results" / "pocket" / "runs")


def _timeless(line):
    return {**msgspec.json.decode(line), "created": 0, "latency": 0}


# A full disk.


@pytest.fixture(params=["limit on file size", "small file system"])
def cramped(request, tmp_path):
    """A results folder that is soon full, the options of processes that feel it, and how to make room."""
    results = tmp_path / "results"
    results.mkdir()
    if request.param == "limit on file size":

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))

        yield results, {"preexec_fn": limit}, lambda: None
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(results)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")

    def grow():
        subprocess.run(["mount", "-o", "remount,size=64m", str(results)], check=True)

    try:
        yield results, {}, grow
    finally:
        subprocess.run(["umount", str(results)], check=True)


@pytest.mark.slow
def test_a_full_disk(tmp_path, cramped):
    results, options, grow = cramped
    with FaultServer(latency=0.005) as server:
        bench = Bench(tmp_path, 40, server.url)
        runs = Runs(bench, results)
        process = runs.start(**options)
        assert process.wait(600) == 1, process.errors.read_text()
        said = process.errors.read_text()
        assert "cannot write" in said
        assert "What was stored before is safe" in said
        assert "Traceback" not in said
        stored = runs.stored()
        assert 0 < len(stored) < bench.calls
        asked = [call(seen["body"]) for seen in server.seen]
        assert len(asked) <= len(stored) + 2 * AT_ONCE, "no more was lost than was under way"
        server.seen.clear()
        grow()
        runs.complete()
        again = [call(seen["body"]) for seen in server.seen]
    assert Counter(again) == Counter(runs.stored() - stored)
    assert len(runs.stored()) == bench.calls
    runs.check_lines()


# Two runs at once.


@pytest.mark.slow
def test_two_runs_at_once_pay_for_everything_once(tmp_path):
    """The same command twice, in step: each result is asked for by one of the two and used by both."""
    with FaultServer(latency=0.02) as server:
        bench = Bench(tmp_path, 16, server.url)
        runs = Runs(bench, tmp_path / "results")
        both = [runs.start(), runs.start()]
        assert [process.wait(600) for process in both] == [0, 0], (
            both[0].errors.read_text() + both[1].errors.read_text()
        )
        asked = [call(seen["body"]) for seen in server.seen]
    assert Counter(asked) == Counter(runs.stored())
    assert len(asked) == bench.calls
    runs.check_lines()
    for process in both:
        assert f"judgments {bench.calls // 2}/{bench.calls // 2}" in process.errors.read_text()


@pytest.mark.slow
def test_a_run_that_dies_leaves_its_requests_to_the_other(tmp_path):
    with FaultServer(latency=0.03) as server:
        bench = Bench(tmp_path, 16, server.url)
        runs = Runs(bench, tmp_path / "results")
        dying, staying = runs.start(), runs.start()
        while server.count.total() < 20:
            assert dying.poll() is None
            time.sleep(0.01)
        time.sleep(random.Random(3).uniform(0.0, 0.05))
        dying.kill()
        dying.wait()
        assert staying.wait(600) == 0, staying.errors.read_text()
        asked = Counter(call(seen["body"]) for seen in server.seen)
    assert set(asked) == runs.stored()
    assert len(asked) == bench.calls
    assert asked.total() <= bench.calls + 2 * AT_ONCE
    runs.check_lines()
