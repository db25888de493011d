"""Kill real runs at random moments, over and over, and check that nothing is lost, doubled or paid for twice.

    python tests/kill_runs.py --kills 100 [--seed 1]

Every run is the command line's own process, answering and judging against a loopback server. It is killed by SIGKILL
while it starts, generates, judges or writes; after some kills the last row of a file is cut, as a kill within a write
leaves it. tests/engine/test_kill.py runs a short form.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec.structs import replace

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from evalkit.core.schema import Judgment, Response  # noqa: E402
from evalkit.storage.store import Log, TornLine  # noqa: E402
from tests.fault_server import FaultServer  # noqa: E402
from tests.own_benchmark import benchmark_yaml  # noqa: E402

AT_ONCE = 2
"""Requests each of generator and judge has under way."""
MEMBER = """\
one:
  backend: {_target_: evalkit.backends.openai.OpenAI, model: %s, base_url: "%s/v1", concurrency: %d}
"""
KINDS = {"answers": Response, "judgments": Judgment}


class Bench:
    """A benchmark of two-turn questions, and a model and a judge at a loopback server."""

    def __init__(self, folder: Path, questions: int, url: str) -> None:
        self.folder = folder
        self.calls = 4 * questions
        """Two answers and two judgments of each."""
        (folder / "killed").mkdir(parents=True)
        (folder / "killed" / "benchmark.yaml").write_text(benchmark_yaml("killed"))
        items = [
            {"id": str(number), "turns": [f"Question {number}: why?", f"Question {number}: and then?"]}
            for number in range(questions)
        ]
        (folder / "killed" / "questions.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        for group, model in (("model", "answer"), ("judge", "judge")):
            (folder / "conf" / group).mkdir(parents=True)
            (folder / "conf" / group / "one.yaml").write_text(MEMBER % (model, url, AT_ONCE))
        self.command = ["run", str(folder / "killed"), "model=one", "judge=one", f"--config-dir={folder / 'conf'}"]


class Runs:
    """Runs of one command over one results folder."""

    def __init__(self, bench: Bench, results: Path) -> None:
        self.bench = bench
        self.results = results
        self.results.mkdir(parents=True, exist_ok=True)
        self._errors = 0

    def start(self, *settings: str, **options) -> subprocess.Popen:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        code = "from evalkit.cli import main; main()"
        command = [sys.executable, "-c", code, *self.bench.command, *settings, f"results_dir={self.results}"]
        self._errors += 1
        path = self.bench.folder / f"{self.results.name}.errors{self._errors}.txt"
        with path.open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=self.bench.folder, env=environment | {"PYTHONPATH": str(ROOT)}, stderr=errors, **options
            )
        process.errors = path  # type: ignore[attr-defined]
        return process

    def complete(self) -> None:
        process = self.start()
        assert process.wait(600) == 0, process.errors.read_text()  # type: ignore[attr-defined]

    def rows(self, part: str) -> dict:
        """The latest row of every key; a torn last line is what a kill may leave."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TornLine)
            logs = [Log(path, KINDS[part]) for path in self.results.glob(f"killed/{part}/*.jsonl")]
        return {row.key: replace(row, created=0.0, latency=0.0) for log in logs for row in log}

    def stored(self) -> set:
        """The calls whose results are stored: kind, item, turn."""
        answers = {
            ("answer", row.item, turn) for row in self.rows("answers").values() for turn in range(1, len(row.turns) + 1)
        }
        return answers | {("judge", row.item, row.turn) for row in self.rows("judgments").values()}

    def check_lines(self) -> None:
        """No result was stored twice; an answer's row with both turns follows the one with the first."""
        for path in self.results.glob("killed/*/*.jsonl"):
            lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
            seen = Counter(line["key"] for line in lines)
            if path.parent.name == "judgments":
                assert set(seen.values()) == {1}
            turns: dict[str, list[int]] = {}
            for line in lines:
                assert "error" not in line or line["error"] is None
                turns.setdefault(line["key"], []).append(len(line.get("turns", [0])))
            assert all(count in ([1], [1, 2]) for count in turns.values())

    def tear(self, moments: random.Random) -> bool:
        """Cut the last row of one file somewhere, as a kill within its write leaves it."""
        files = [path for path in self.results.glob("killed/*/*.jsonl") if path.stat().st_size]
        if not files:
            return False
        path = moments.choice(files)
        content = path.read_bytes()
        start = content.rstrip(b"\n").rfind(b"\n") + 1
        os.truncate(path, moments.randrange(start + 1, len(content)))
        return True


def call(body: dict) -> tuple[str, str, int]:
    """Which call a request is: kind, item, turn."""
    said = [message["content"] for message in body["messages"]]
    (item,) = set(re.findall(r"Question (\d+):", str(said)))
    if body["model"] == "judge":
        return "judge", item, 1 if "assistant's first answer" in said[-1] else 2
    return "answer", item, (len(said) + 1) // 2


@dataclass
class Report:
    """What a campaign came to."""

    kills: Counter = field(default_factory=Counter)
    """By what was going on: starting, generating, judging, both, or neither (between requests, writing, ending)."""
    torn: int = 0
    too_late: int = 0
    """Runs that were over before the kill."""
    calls: int = 0
    asked: int = 0
    repeated: int = 0
    """Requests asked though their result was stored. Must be 0."""
    seconds: float = 0.0


def campaign(folder: Path, kills: int, questions: int, seed: int = 1) -> Report:
    """Kill runs until ``kills`` have been killed, let the last one finish, and compare with an uninterrupted one."""
    moments, report, began = random.Random(seed), Report(), time.monotonic()
    with FaultServer(latency=0.02) as server:
        bench = Bench(folder, questions, server.url)
        report.calls = bench.calls
        whole = Runs(bench, folder / "whole")
        whole.complete()
        whole.check_lines()
        assert Counter(call(seen["body"]) for seen in server.seen) == Counter(whole.stored())
        assert len(whole.stored()) == bench.calls
        server.seen.clear()

        runs = Runs(bench, folder / "results")
        while report.kills.total() < kills and report.too_late < kills:
            stored, start = runs.stored(), len(server.seen)
            going = _kill(runs, server, moments, longest=1.2 * bench.calls / 4 * 0.025 / kills + 0.06)
            report.kills.update([going] if going else [])
            report.too_late += not going
            report.repeated += _repeated(stored, server.seen[start:])
            if moments.random() < 0.2:
                report.torn += runs.tear(moments)
        stored, start = runs.stored(), len(server.seen)
        runs.complete()
        report.repeated += _repeated(stored, server.seen[start:])
        asked = [call(seen["body"]) for seen in server.seen]
    report.asked, report.seconds = len(asked), time.monotonic() - began
    assert report.repeated == 0
    assert set(asked) == whole.stored() == runs.stored()
    # What was under way at a kill or torn afterwards, and no more; an answer's torn row held both turns.
    assert len(asked) <= bench.calls + report.kills.total() * 2 * AT_ONCE + 2 * report.torn
    for part in KINDS:
        assert runs.rows(part) == whole.rows(part)
    runs.check_lines()
    return report


def _kill(runs: Runs, server: FaultServer, moments: random.Random, longest: float) -> str | None:
    """Start a run and kill it: while it starts, or some time after its first request. What it was doing; None: done."""
    before = server.count.total()
    process = runs.start()
    limit = time.monotonic() + 600
    if moments.random() < 0.15:
        time.sleep(moments.uniform(0.0, 1.0))
    else:
        while server.count.total() == before and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, longest))
    process.kill()
    code = process.wait()
    assert code in (0, -signal.SIGKILL), process.errors.read_text()  # type: ignore[attr-defined]
    if code == 0:
        return None
    if server.count.total() == before:
        return "starting"
    time.sleep(2 * server.latency)  # what is under way at the server arrives in its books
    lost = Counter(
        call(seen["body"])[0] for seen in server.seen[-2 * AT_ONCE :] if call(seen["body"]) not in runs.stored()
    )
    return {(0, 0): "neither", (1, 0): "generating", (0, 1): "judging", (1, 1): "both"}[
        bool(lost["answer"]), bool(lost["judge"])
    ]


def _repeated(stored: set, seen: list) -> int:
    return sum(call(request["body"]) in stored for request in seen)


def main() -> None:
    """One campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(campaign(Path(folder), options.kills, questions=2 * options.kills, seed=options.seed))


if __name__ == "__main__":
    main()
