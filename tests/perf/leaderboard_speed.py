"""Measures CPU time and peak memory of leaderboards: a million single scores, and Bradley-Terry of 300 models.

Run by hand: ``python tests/perf/leaderboard_speed.py``; prints medians of three runs, each in a process of its own.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from evalkit.core.schema import Judgment, Ref

JUDGE = Ref("judge", "j1")


def single_scores(folder: Path, models: int = 100, questions: int = 5000) -> None:
    """Store a million judgments of single grading, two turns a question; one in 500 failed to be one."""
    rng = np.random.default_rng(0)
    path = folder / "own" / "judgments" / "judge.single.jsonl"
    path.parent.mkdir(parents=True)
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as out:
        for m in range(models):
            level = rng.normal(6, 1)
            grades = np.clip(rng.normal(level, 2, size=(questions, 2)).round(), 1, 10)
            for q in np.flatnonzero(rng.random(questions) > 0.002).tolist():
                for turn in (1, 2):
                    row = Judgment(
                        key=f"{m}-{q}-{turn}", item=f"q{q}", benchmark="own", category=f"c{q % 8}", turn=turn,
                        judge=JUDGE, protocol="single", parser="p/1", shown=(f"{m}-{q}",),
                        models=(Ref(f"model-{m}", "1"),), scores=(float(grades[q, turn - 1]),),
                    )  # fmt: skip
                    out.write(encode(row) + b"\n")


def comparisons(folder: Path, models: int = 300, rows: int = 300_000) -> None:
    """Write a battle table."""
    rng = np.random.default_rng(0)
    strength = rng.normal(size=models)
    a = rng.integers(models, size=rows)
    b = (a + rng.integers(1, models, size=rows)) % models
    won = rng.random(rows) < 1 / (1 + np.exp(strength[b] - strength[a]))
    sides = enumerate(zip(a, b, won, strict=True))
    lines = (f"m{i},m{j},{'model_a' if w else 'model_b'},q{n % 3000}" for n, (i, j, w) in sides)
    (folder / "battles.csv").write_text("model_a,model_b,winner,question_id\n" + "\n".join(lines) + "\n")


def measured(path: Path, method: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of one leaderboard."""
    code = f"from evalkit.cli.main import main; import sys; sys.exit(main(['leaderboard', {str(path)!r}, '--method', " \
        f"{method!r}, '--format', 'json']))"  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, after.ru_maxrss / 1024


def main() -> None:
    """Print a line for each leaderboard."""
    for method, make in (("bt", comparisons), ("score", single_scores)):  # the larger last: peaks only grow
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make(folder)
            path = folder / "battles.csv" if method == "bt" else folder
            started = time.perf_counter()
            found = [measured(path, method) for _ in range(3)]
            wall = (time.perf_counter() - started) / 3
            seconds, memory = (statistics.median(column) for column in zip(*found, strict=True))
            print(f"{method}: {seconds:.1f} s of CPU, {wall:.1f} s of wall clock, {memory:.0f} MiB")


if __name__ == "__main__":
    main()
