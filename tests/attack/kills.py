"""Commands killed by SIGKILL at random moments and started again, until they end: nothing is lost, doubled or repaid.

Each verb is one entry of ``VERBS``: what it works on, its command, and the server it asks. ``run`` has a campaign of
its own, which knows call by call what was asked (tests/kill_runs.py).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from evalkit.core.schema import Judgment, Response
from evalkit.storage.store import Log, TornLine
from tests import kill_runs
from tests.batch_server import BatchServer, Mess
from tests.fault_server import FaultServer

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
"""Requests that a judge has under way."""
GIVE_UP = 600.0
"""Seconds after which a command is taken to hang."""
KINDS: dict[str, type[Any]] = {"answers": Response, "judgments": Judgment}
JUDGE = """\
one:
  backend: {_target_: evalkit.backends.openai.OpenAI, model: judge, base_url: "%s/v1", concurrency: %d}
  sampling: {max_tokens: 64}
"""
WRITER = "{0}:\n  backend: {{_target_: evalkit.backends.fake.Fake, model: {0}, skill: {1}}}\n  price: free\n"
WRITERS = {"poor": 4.0, "good": 7.0}


class Asked(Protocol):
    """What a command asks: nothing, a server, or a provider of batches."""

    url: str

    def moments(self) -> int:
        """Calls so far; the first is when a command has started."""
        ...

    def paid(self) -> Counter[str]:
        """How often each request was answered."""
        ...


class _Live:
    """A judge that answers at once."""

    def __init__(self, server: FaultServer) -> None:
        self.server, self.url = server, server.url

    def moments(self) -> int:
        return self.server.count.total()

    def paid(self) -> Counter[str]:
        return Counter(json.dumps(seen["body"], sort_keys=True) for seen in self.server.seen)


class _Batched:
    """A provider of batches, some of whose requests expire the first time."""

    def __init__(self, server: BatchServer) -> None:
        self.server, self.url = server, server.url
        server.mess = Mess(duplicate=True, shuffle=True, strangers=True)

    def moments(self) -> int:
        return self.server.calls.total()

    def paid(self) -> Counter[str]:
        return Counter(self.server.paid)


@dataclass(frozen=True)
class Verb:
    """A command that is killed."""

    name: str
    command: Callable[[Path, Path], list[str]]
    """From the folder with what is there, and the results folder."""
    before: Callable[[Path, Path], list[str]] | None = None
    """A command whose results it works on."""
    server: type[FaultServer] | type[BatchServer] = FaultServer
    asks: bool = True
    said: str | None = None
    """What the judge replies to everything; None: a rating."""


def _judged(folder: Path, results: Path, *more: str) -> list[str]:
    models = f"model=[{','.join(WRITERS)}]"
    return ["run", "pocket", models, f"--config-dir={folder / 'conf'}", f"results_dir={results}", *more]


def _arena(folder: Path, results: Path) -> list[str]:
    _, _, *rest = _judged(folder, results, "judge=one", "questions=pocket")
    return ["run", "arena", *rest]


def _rejudge(folder: Path, results: Path) -> list[str]:
    return ["rejudge", str(results / "pocket"), "judge=one", f"--config-dir={folder / 'conf'}"]


def _probes(folder: Path, results: Path) -> list[str]:
    chosen = ("probes=[position,verbosity]", "judge=one", "questions=pocket", "model=fake")
    return ["audit", *chosen, f"--config-dir={folder / 'conf'}", f"results_dir={results}"]


def _batch(folder: Path, results: Path) -> list[str]:
    more = ("judge=one", "judge.one.batch=true", "batch.poll=0.1", "batch.requests=6")
    return _judged(folder, results, *more, "retry.first_wait=0.02", "retry.longest_wait=0.1")


def _import(folder: Path, results: Path) -> list[str]:
    return ["import", "battles", str(folder / "battles.csv"), "--into", str(results)]


VERBS = {
    verb.name: verb
    for verb in (
        Verb("arena", _arena, said="Verdict: [[A]]"),
        Verb("rejudge", _rejudge, before=lambda folder, results: _judged(folder, results, "judge=fake")),
        Verb("probes", _probes, said="Verdict: [[A]]"),
        Verb("batch", _batch, server=BatchServer),
        Verb("import", _import, asks=False),
    )
}


@dataclass
class Killed:
    """What a campaign came to; anything wrong is an AssertionError instead."""

    kills: int = 0
    too_late: int = 0
    """Commands that were over before the kill."""
    requests: int = 0
    """Those of an uninterrupted run."""
    asked: int = 0
    rows: int = 0


def campaign(name: str, folder: Path, kills: int, seed: int) -> Killed:
    """Kill a verb so many times; after the last, and whenever one ended, all is as if nothing had been killed."""
    if name == "run":
        report = kill_runs.campaign(folder, kills, questions=max(12, 2 * kills), seed=seed)
        return Killed(report.kills.total(), report.too_late, report.calls, report.asked, report.calls)
    verb = VERBS[name]
    options = {"delay": 0.3, "page": 2} if verb.server is BatchServer else {"latency": 0.03}
    with verb.server(**options) as server:  # type: ignore[arg-type]
        if isinstance(server, FaultServer):
            server.text = verb.said
        asked: Asked = _Batched(server) if isinstance(server, BatchServer) else _Live(server)
        return _Campaign(verb, folder, asked, random.Random(seed)).carried_out(kills)


class _Campaign:
    """One verb, its server, and what there was before."""

    def __init__(self, verb: Verb, folder: Path, asked: Asked, moments: random.Random) -> None:
        self.verb, self.folder, self.asked, self.moments = verb, folder, asked, moments
        for group, texts in (
            ("judge", {"one": JUDGE % (asked.url, AT_ONCE)}),
            ("model", {name: WRITER.format(name, skill) for name, skill in WRITERS.items()}),
        ):
            (folder / "conf" / group).mkdir(parents=True)
            for member, text in texts.items():
                (folder / "conf" / group / f"{member}.yaml").write_text(text)
        battles = (f"m{n % 7},m{n % 7 + 1},model_{'ab'[n % 2]},q{n},judge" for n in range(5000))
        head = "model_a,model_b,winner,question_id,judge\n"
        (folder / "battles.csv").write_text(head + "\n".join(battles) + "\n")
        self.before = folder / "before"
        self.before.mkdir()
        if verb.before is not None:
            self.finish(verb.before(folder, self.before))
        self.results = folder / "results"
        self.seconds = self.first = 0.0
        """What the whole command takes, and how long until it has asked something."""

    def start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        with (self.folder / "errors.txt").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-c", "from evalkit.cli import main; main()", *arguments],
                cwd=self.folder, env=environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip

    def finish(self, arguments: list[str]) -> None:
        """Run a command to its end, and take the times."""
        started, before, first = time.monotonic(), self.asked.moments(), None
        process = self.start(arguments)
        while process.poll() is None:
            assert time.monotonic() - started < GIVE_UP, "the command hangs"
            if first is None and self.asked.moments() > before:
                first = time.monotonic() - started
            time.sleep(0.002)
        assert process.returncode == 0, (self.folder / "errors.txt").read_text()
        self.seconds = time.monotonic() - started
        self.first = first or 0.0

    def begin_anew(self) -> None:
        shutil.rmtree(self.results, ignore_errors=True)
        shutil.copytree(self.before, self.results)

    def carried_out(self, kills: int) -> Killed:
        report = Killed()
        self.begin_anew()
        start = self.asked.paid()
        self.finish(self.verb.command(self.folder, self.results))
        whole, once = rows(self.results), self.asked.paid() - start
        report.rows, report.requests = len(whole), once.total()
        assert whole
        assert bool(once) == self.verb.asks
        asking = self.seconds - self.first
        while report.kills < kills and report.too_late < 2 * kills + 5:
            self.begin_anew()
            start, killed = self.asked.paid(), 0
            each = min(kills - report.kills, self.moments.randint(3, 6))
            while killed < each:
                if not self.kill(asking / each):
                    report.too_late += 1
                    break
                killed += 1
            report.kills += killed
            self.check(whole, once, start, killed)
        report.asked = self.asked.paid().total() - once.total()
        return report

    def kill(self, longest: float) -> bool:
        """Kill the command while it starts, or some time after its first request. Whether it was still running."""
        before, started = self.asked.moments(), time.monotonic()
        process = self.start(self.verb.command(self.folder, self.results))
        if not self.verb.asks or self.moments.random() < 0.15:
            time.sleep(self.moments.uniform(0.0, self.seconds if not self.verb.asks else self.first))
        else:
            while self.asked.moments() == before and process.poll() is None:
                assert time.monotonic() - started < GIVE_UP, "the command hangs"
                time.sleep(0.002)
            time.sleep(self.moments.uniform(0.0, longest))
        process.kill()
        code = process.wait()
        assert code in (0, -signal.SIGKILL), (self.folder / "errors.txt").read_text()
        return code != 0

    def check(self, whole: dict[Any, Any], once: Counter[str], start: Counter[str], killed: int) -> None:
        """Let the command end; then every row is there, once, and nothing was paid for that was stored already."""
        time.sleep(0.1)  # what is under way at the server arrives in its books
        stored, so_far = rows(self.results), self.asked.paid()
        self.finish(self.verb.command(self.folder, self.results))
        last = self.asked.paid() - so_far
        found = rows(self.results)
        assert found == whole, f"{len(found)} rows where there are {len(whole)}"
        doubled(self.results)
        asked = self.asked.paid() - start
        assert last.total() <= len(whole) - len(stored), "something stored was asked again"
        assert last <= once, "something was asked twice"
        if self.verb.server is BatchServer:  # a batch is found again, whatever was killed
            assert set(asked.values()) <= {1}
        else:
            assert set(asked) == set(once)
            assert asked.total() <= once.total() + killed * 2 * AT_ONCE


def rows(results: Path) -> dict[Any, Any]:
    """The latest row of every key of every file; a torn last line is what a kill may leave."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TornLine)
        for part, kind in KINDS.items():
            for path in sorted(results.glob(f"*/{part}/*.jsonl")):
                for row in Log(path, kind):
                    found[path.relative_to(results), row.key] = replace(row, created=0.0, latency=0.0)
    return found


def doubled(results: Path) -> None:
    """No judgment was stored twice."""
    for path in results.glob("*/judgments/*.jsonl"):
        seen = Counter(json.loads(line)["key"] for line in path.read_bytes().splitlines())
        assert set(seen.values()) <= {1}, path
