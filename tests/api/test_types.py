"""What a type checker makes of programs that use evalkit: it finds mistakes, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """\
import evalkit as ek

run: ek.Run = ek.run("pocket", model="fake", judge="fake", limit=1, progress=False)
latex: str = run.leaderboard("score").to_latex()
judges: ek.RankedJudges = ek.load("results").judges()
holds: bool = ek.verify("card.json", "results").holds
paragraph: str = run.cite()[0].paragraph
wrong: int = run.leaderboard().to_latex()
ek.load("results").leaderbord()
"""


@pytest.mark.slow
def test_types_reach_programs_that_use_it(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    wrong = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [line.split(":")[1] for line in wrong] == ["8", "9"], done.stdout
