"""One process at a time asks for a row, and a dead one keeps nothing."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evalkit.core.schema import digest
from evalkit.storage.claims import Claims
from evalkit.storage.store import Store
from tests.storage.test_store import judgment

KEY, OTHER = digest("one"), digest("other")
HOLD = """
import asyncio, sys
from pathlib import Path
from evalkit.storage.claims import Claims

async def hold():
    async with Claims(Path(sys.argv[1])).hold(sys.argv[2]):
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(hold())
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds KEY until it reads a line, or dies."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".claims"), KEY],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def taken(path, key, stopping=lambda: False, meanwhile=None, seconds=60.0):
    """Whether the claim was had within the time; ``meanwhile`` is called while it is waited for."""

    async def take():
        async with Claims(path).hold(key, stopping):
            return True

    async def run():
        waiting = asyncio.create_task(take())
        await asyncio.sleep(0.2)
        if meanwhile:
            assert not waiting.done()
            meanwhile()
        try:
            return await asyncio.wait_for(waiting, seconds)
        except TimeoutError:
            return False

    return asyncio.run(run())


def refused(path):
    """Whether another process cannot have KEY now."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), KEY],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as child:
        try:
            return bool(child.wait(2.0))
        except subprocess.TimeoutExpired:
            return True
        finally:
            child.kill()


def test_a_held_key_is_waited_for(tmp_path, holder):
    path = tmp_path / ".claims"
    assert taken(path, OTHER), "another key is free"
    assert not taken(path, KEY, seconds=0.5)
    assert taken(path, KEY, meanwhile=lambda: holder.communicate(b"\n"))


def test_the_dead_hold_nothing(tmp_path, holder):
    assert taken(tmp_path / ".claims", KEY, meanwhile=holder.kill)


def test_a_stopping_run_does_not_wait(tmp_path, holder):
    stopping = threading.Event()
    assert taken(tmp_path / ".claims", KEY, stopping=stopping.is_set, meanwhile=stopping.set)


def test_tasks_of_one_process_do_not_wait_for_each_other(tmp_path):
    async def run():
        claims = Claims(tmp_path / "runs" / ".claims")
        async with claims.hold(KEY), claims.hold(OTHER), claims.hold(KEY):
            claims.close()
        async with claims.hold(KEY):
            pass
        claims.close()

    asyncio.run(asyncio.wait_for(run(), 600))


@pytest.mark.slow
def test_others_are_kept_out_until_the_last_task_of_this_process_is_done(tmp_path):
    """Two judges of one panel may ask the same model the same thing."""

    async def run():
        claims = Claims(path := tmp_path / ".claims")
        async with claims.hold(KEY):
            async with claims.hold(KEY):
                pass
            with claims.free([KEY]) as free:
                assert free == {KEY}
            assert refused(path)
        assert not refused(path)
        claims.close()

    asyncio.run(run())


@pytest.mark.slow
def test_who_went_on_without_a_claim_gives_nothing_back(tmp_path, holder):
    async def run():
        claims = Claims(path := tmp_path / ".claims")
        without, mine = claims.hold(KEY, lambda: True), claims.hold(KEY)
        await without.__aenter__()
        holder.communicate(b"\n")
        await mine.__aenter__()
        await without.__aexit__()
        assert refused(path)
        await mine.__aexit__()
        claims.close()

    asyncio.run(run())


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert taken(tmp_path / ".claims", KEY)
    monkeypatch.undo()
    assert taken(Path("/proc/none/.claims"), KEY), "nor where no file can be made: writing rows will say so"


def test_a_claim_sees_what_another_run_stored(tmp_path):
    mine, theirs = (Store(tmp_path, "b") for _ in range(2))
    log = mine.judgments("judge", "single")

    async def run():
        async with log.claim(KEY):
            assert log.entry(KEY) is None
        theirs.judgments("judge", "single").append(judgment(KEY))
        assert log.entry(KEY) is None
        async with log.claim(KEY):
            log.refresh()
            assert log.get(KEY) == judgment(KEY)

    asyncio.run(run())
    mine.close()
    theirs.close()
    assert (tmp_path / "b" / "runs" / ".claims").stat().st_size == 0
