"""The scale figures in small: tests/perf/store_scale.py and memory_flat.py measure them in full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PERF = Path(__file__).parents[1] / "perf"


def measured(script, *options):
    command = [sys.executable, str(PERF / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_large_file_opens_quickly(tmp_path):
    """A tenth of the rows within the time allowed for all of them: for busy machines."""
    out = measured("store_scale.py", "--rows", "100000", "--appended", "5000", "--folder", str(tmp_path))
    assert "100,000 keys" in out
    assert "1 writes a row" in out


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["single", "pairwise"])
def test_memory_stays_flat(protocol):
    assert "judgments/s" in measured("memory_flat.py", "--judgments", "40000", "--protocol", protocol)
