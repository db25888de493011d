"""How much of what the SDK alone does is left when answers are also judged, parsed and stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "perf" / "harness_throughput.py"


@pytest.mark.slow
def test_the_harness_keeps_up_with_the_sdk():
    """With room for a busy machine; the figures proper come from running the script on a quiet one."""
    command = [sys.executable, str(SCRIPT), "--judgments", "600", "--target", "400", "--share", "0.6"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ours / sdk" in ended.stdout


@pytest.mark.slow
def test_grading_by_a_rubric_keeps_up_with_single_grading():
    """Requests per CPU second, all criteria in one call and one call each; the figures proper come from the script."""
    command = [sys.executable, str(SCRIPT.with_name("rubric_throughput.py")), "--requests", "600", "--repeats", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "criterion:" in ended.stdout
