"""Files and limits at their worst get a message, never a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

DEEP = '{"id": "a", "turns": ' + "[" * 200_000 + "]" * 200_000 + "}\n"


@pytest.mark.parametrize("verb", ["leaderboard", "audit"])
@pytest.mark.parametrize("content", [DEEP.encode() * 2, b"\xff\xfe\n\xff\n"], ids=["nested without end", "not UTF-8"])
def test_results_that_cannot_be_read(cli, tmp_path, verb, content):
    path = tmp_path / "r" / "judgments" / "a.single.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    code, _, err = cli(verb, "r")
    assert code in (1, 2)
    assert "a.single.jsonl', line 1: " in err


@pytest.mark.parametrize("content", [DEEP.encode(), b'{"id": "a", "turns": "\xff\xfe"}\n'], ids=["deep", "not UTF-8"])
def test_questions_and_votes_that_cannot_be_read(cli, tmp_path, content):
    (tmp_path / "odd.jsonl").write_bytes(content)
    run = ("run", "pocket", "model=fake", "judge=fake", "limit=1")
    assert "odd.jsonl'" in cli(*run, "dry_run=true", "questions=odd.jsonl").err
    assert cli(*run).code == 0
    for arguments in (("audit", "results", "--human", "odd.jsonl"), ("leaderboard", "odd.jsonl")):
        code, _, err = cli(*arguments)
        assert code in (1, 2)
        assert "odd.jsonl'" in err


def test_too_few_file_descriptors(tmp_path):
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8)); from evalkit.cli import main; main()"
    settings = ("run", "pocket", "model=fake", "judge=fake", "limit=1")
    ended = subprocess.run([sys.executable, "-c", code, *settings], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Too many open files" in ended.stderr
    assert "ulimit -n" in ended.stderr
