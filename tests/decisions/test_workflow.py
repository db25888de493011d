"""The workflow of docs/gate.md, step by step as GitHub's runner does it, from an environment that has nothing.

Packages come from the index that pip is set up with, and evalkit itself from this checkout.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[2]
JOB = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/gate.md").read_text(), re.DOTALL)[0])["jobs"][
    "gate"
]
STEPS = [step["run"] for step in JOB["steps"] if "run" in step]
KEPT = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_CONFIG_FILE",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
)
"""Of this machine's environment: how it reaches its package index."""
UNREACHABLE = r"Could not find a version|No matching distribution|ConnectionError|NewConnectionError|timed out"
CODES = {"pass": 0, "fail": 4, "inconclusive": 5}


def step(command: str, where: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """One step of a job: GitHub runs it by bash, and ends it at the first command that fails."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.full
def test_the_workflow_from_a_fresh_machine(tmp_path, capsys):
    job, home = tmp_path / "job", tmp_path / "home"
    for folder in (job, home):
        folder.mkdir()
    (job / "evalkit").symlink_to(ROOT)  # the second checkout
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    summary = tmp_path / "summary.md"
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "PATH": f"{tmp_path / 'python' / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": str(home),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    began, told = time.monotonic(), []
    *before, last = STEPS
    for command in before:
        done = step(command, job, environment)
        if "pip install" in command and done.returncode and re.search(UNREACHABLE, done.stderr):
            pytest.skip(f"no package index is reached: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        told.append(f"{time.monotonic() - began:.0f} s: {command}")
    done = step(last, job, environment)
    told.append(f"{time.monotonic() - began:.0f} s: {last}\n{done.stdout}")
    with capsys.disabled():
        print("\n" + "\n".join(told))
    assert done.returncode in CODES.values(), done.stderr
    said = re.match(r"PASS|FAIL|INCONCLUSIVE", done.stdout)
    assert said is not None
    assert CODES[said[0].lower()] == done.returncode
    suite = ElementTree.parse(job / "gate.xml").getroot().find("testsuite")
    assert suite is not None
    problems = [int(suite.get(name, "-1")) for name in ("failures", "errors")]
    assert problems == [int(done.returncode == 4), int(done.returncode == 5)]
    assert said[0].lower() in summary.read_text()
    manifest = json.loads(next(job.glob("results/pocket/runs/*/manifest.json")).read_text())
    assert manifest["outcome"] == "done"


def test_the_workflow_is_one_that_github_reads():
    assert JOB["runs-on"] == "ubuntu-latest"
    assert all(("run" in step) != ("uses" in step) for step in JOB["steps"])
    assert [command.split()[0] for command in STEPS] == ["pip", "evalkit", "evalkit"]
    assert next(one for one in JOB["steps"] if "upload-artifact" in one.get("uses", ""))["if"] == "always()"
