"""Files and limits at their worst get a message, never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

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


LIMITED = (
    "import resource, sys; most = int(sys.argv.pop(1)); resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)); "
    "from evalkit.cli import main; main()"
)
RUN = ("run", "pocket", "model=fake", "judge=fake", "limit=1")
VOTE = "item,turn,model_a,model_b,winner\nquestion,1,one,two,model_a\n"
ANY = {
    "run": RUN,
    "questions": (*RUN, "questions=own.csv", "dry_run=true"),
    "leaderboard": ("leaderboard", "results"),
    "audit": ("audit", "results"),
    "human": ("audit", "results", "--human", "votes.csv"),
    "export": ("export", "fastchat", "results", "-o", "exported"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in ANY])
def test_too_few_file_descriptors(tmp_path, cli, monkeypatch, name):
    """From too few to open anything to enough: a message each time, and what was stored before is used again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("id,turns\na,Why?\n")
    (tmp_path / "votes.csv").write_text(VOTE)
    if name not in ("run", "questions"):
        assert cli(*RUN).code == 0
    refused = 0
    for most in range(4, 40):
        command = [sys.executable, "-c", LIMITED, str(most), *ANY[name]]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert "Traceback" not in ended.stderr, ended.stderr
        if ended.returncode == 0:
            break
        assert ended.returncode == 2, ended.stderr
        assert "Too many open files" in ended.stderr
        assert "ulimit -n" in ended.stderr
        refused += 1
    assert ended.returncode == 0
    assert refused


def test_a_file_that_cannot_be_opened_for_the_limit(cli, tmp_path, monkeypatch):
    """Wherever the limit is met, and whatever error of ours it became."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "votes.csv").write_text(VOTE)
    assert cli(*RUN).code == 0
    opened = Path.open

    def full(path, *arguments, **options):
        if path.name in ("votes.csv", "fake.single.jsonl"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    for arguments in (("leaderboard", "results"), ("audit", "results"), ("audit", "results", "--human", "votes.csv")):
        code, _, err = cli(*arguments)
        assert code == 2
        assert "ulimit -n" in err
