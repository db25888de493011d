"""Files and limits at their worst get a message, never a traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault_server import FaultServer

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


@pytest.mark.slow
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


LIMITED = """
import contextlib, io, json, os, resource, sys
from evalkit.cli.main import main
ends = []
for most in range(4, 40):
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:  # a process of its own, which has loaded no more than a command that starts
        os.dup2(theirs, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.closerange(3, 64)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        sys.argv = ["evalkit", *json.loads(os.environ["COMMAND"])]
        try:
            code = main()
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            import traceback
            traceback.print_exc()
            code = 99
        sys.stderr.flush()
        os._exit(code or 0)
    os.close(theirs)
    with open(ours, "rb") as said:
        err = said.read().decode()
    ends.append((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), err))
    if ends[-1][0] in (0, 4, 5):
        break
print(json.dumps(ends))
"""
RUN = ("run", "pocket", "model=fake", "judge=fake", "limit=1")
VOTE = "item,turn,model_a,model_b,winner\nquestion,1,one,two,model_a\n"
ANSWERS = "question,model,answer\nWhy?,one,Because.\nWhy?,two,No.\n"
ANY = {
    "run": RUN,
    "questions": (*RUN, "questions=own.csv", "dry_run=true"),
    "arena": ("run", "arena", "questions=pocket", "model=[fake,poor]", "judge=fake", "limit=1", "--config-dir=conf"),
    "leaderboard": ("leaderboard", "results"),
    "audit": ("audit", "results"),
    "human": ("audit", "results", "--human", "votes.csv"),
    "probes": ("audit", "probes=position", "judge=fake", "questions=pocket", "model=fake", "limit=1"),
    "rejudge": ("rejudge", "results/pocket", "judge=fake", "as=again"),
    "judge": ("judge", "answers.csv", "judge=fake"),
    "export": ("export", "fastchat", "results", "-o", "exported"),
    "import": ("import", "battles", "votes.csv", "--into", "imported"),
    "compare": ("compare", "poor", "fake", "results"),
    "gate": ("gate", "poor", "fake", "results"),
    "plan": ("plan", "results", "--detect", "1"),
    "view": ("view", "results", "--export", "pages"),
    "label": ("label", "results", "--votes", "given.csv"),
}
SPEAKS = {"gate": {0, 4, 5}}
"""Exit codes that are answers."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in ANY])
def test_too_few_file_descriptors(tmp_path, cli, monkeypatch, name):
    """From too few to open anything to enough: a message each time, and what was stored before is used again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("id,turns\na,Why?\n")
    (tmp_path / "votes.csv").write_text(VOTE)
    (tmp_path / "answers.csv").write_text(ANSWERS)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    poor = "poor:\n  price: free\n  backend: {_target_: evalkit.backends.fake.Fake, model: poor, skill: 2.0}\n"
    (tmp_path / "conf" / "model" / "poor.yaml").write_text(poor)
    if name not in ("run", "questions", "arena", "import", "judge", "probes"):
        assert cli("run", "pocket", "model=[fake,poor]", "judge=fake", "limit=1", "--config-dir=conf").code == 0
    if name == "label":
        (tmp_path / "people.csv").write_text(
            VOTE.replace("winner\n", "winner,judge\n").replace("_a\n", "_a,expert_1\n")
        )
        assert cli("import", "battles", "people.csv", "--into", "results").code == 0
    environment = os.environ | {"COMMAND": json.dumps(ANY[name])}
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    *few, (code, err) = json.loads(ended.stdout)
    assert code in SPEAKS.get(name, {0}), err
    assert few or name == "import", "which has one file open at a time"
    for code, err in few:
        assert code in (1, 2), err
        assert "Traceback" not in err
        assert "Too many open files" in err
        assert "ulimit -n" in err


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


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_run_of_nothing_but_malformed_replies_stops(cli, wire, monkeypatch):
    monkeypatch.setenv(f"{wire.upper()}_API_KEY", "k")
    with FaultServer() as server:
        server.provoke(*["json"] * 100)
        url = server.url + ("/v1" if wire == "openai" else "")
        backend = (f"model.m.backend.base_url={url}", "model.m.backend.concurrency=2")
        code, _, err = cli("run", "pocket", f"model={wire}/m", "judge=fake", *backend)
        assert code == 1
        assert "'m' is asked no more: all of its first " in err
        assert "the server's answer is not a chat completion" in err
        assert 20 <= len(server.seen) <= 20 + 2
        assert cli("run", "pocket", f"model={wire}/m", "judge=fake", *backend, "retry.give_up_malformed=2").code == 1
        assert len(server.seen) <= 20 + 2 + 2 + 2
