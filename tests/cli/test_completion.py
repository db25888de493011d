"""`evalkit completion`: what is offered, and that real shells complete with it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalkit.cli import candidates, grammar
from evalkit.cli.arguments import VERBS
from evalkit.core.paths import cache_dir
from evalkit.settings.config import Config

# ruff: noqa: E501
# --- what is offered


def offered(*words: str) -> list[str]:
    return [word for word, _ in candidates.offer(words).words]


@pytest.fixture(scope="module", autouse=True)
def one_cache(tmp_path_factory):
    """Help texts are read once for all these tests."""
    patch = pytest.MonkeyPatch()
    patch.setenv("EVALKIT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    yield os.environ["EVALKIT_CACHE_DIR"]
    patch.undo()


@pytest.fixture(autouse=True)
def cached(monkeypatch, one_cache, environment):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", one_cache)


def test_verbs_are_offered_first():
    assert {*VERBS, "--help", "--version"} == set(offered(""))
    assert offered("re") == ["rejudge"]
    assert offered("nonsense", "") == []


OFFERED = [
    (("run", ""), {"mtbench", "pocket", "arena"}),
    (("run", "mtb"), {"mtbench"}),
    (("run", "mtbench", "mod"), {"model=", "model."}),
    (("run", "mtbench", "model=smol"), {"model=smollm2", "model=smollm2_terse"}),
    (("run", "mtbench", "model=smollm2,f"), {"model=smollm2,fake"}),
    (("run", "mtbench", "judge=gpt4"), {"judge=gpt4", "judge=gpt4o"}),
    (("run", "mtbench", "protocol=pair"), {"protocol=pairwise"}),
    (("run", "mtbench", "rubric=he"), {"rubric=helpful"}),
    (("run", "mtbench", "references="), {"references=none", "references=human", "references=gpt-4", "references=pr3158"}),
    (("run", "x", "model=fake,a@openai/b", "model."), {"model.fake.", "model.a.", "model.sampling."}),
    (("run", "x", "model=openai/gpt-4o", "model.gpt-4o.samp"), {"model.gpt-4o.sampling."}),
    (("run", "x", "model=openai/gpt-4o", "model.gpt-4o.sampling.temp"), {"model.gpt-4o.sampling.temperature="}),
    (("run", "x", "model=fake", "model.fake.system_role="), {"model.fake.system_role=system", "model.fake.system_role=user"}),
    (("run", "x", "model=fake", "model.fake.backend.api"), {"model.fake.backend.api_key_env="}),
    (("run", "x", "dry"), {"dry_run="}),
    (("run", "x", "dry_run="), {"dry_run=true", "dry_run=false"}),
    (("run", "x", "until=top"), {"until=top1", "until=top3"}),
    (("run", "x", "ask_again=refused,un"), {"ask_again=refused,unparsed"}),
    (("run", "x", "budget"), {"budget=", "budget.usd=", "budget.tokens="}),
    (("run", "x", "--cfg", "j"), {"job"}),
    (("judge", "answers.csv", "judge=gpt4o"), {"judge=gpt4o"}),
    (("judge", "answers.csv", "--skip"), {"--skip-bad"}),
    (("rejudge", "results/x", "--format", ""), {"table", "json"}),
    (("audit", "jud"), {"judge="}),
    (("audit", "judge=fake", "probes=position,verb"), {"probes=position,verbosity"}),
    (("audit", "--hum"), {"--human"}),
    (("leaderboard", "--method", ""), {"score", "winrate", "lc", "bt", "elo"}),
    (("leaderboard", "--by=cat"), {"--by=category"}),
    (("label", "--for", "r"), {"ranking"}),
    (("list", "pro"), {"protocols"}),
    (("import", "arena_"), {"arena_hard"}),
    (("export", "fast"), {"fastchat"}),
    (("completion", ""), {"bash", "zsh", "fish"}),
    (("gate", "a", "b", "--seq"), {"--sequential"}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "wanted"), OFFERED, ids=[" ".join(words) for words, _ in OFFERED])
def test_what_fits_is_offered(words, wanted):
    found = offered(*words)
    assert wanted <= set(found)
    assert all(one.startswith(words[-1]) for one in found)
    assert len(found) == len(set(found))


def test_every_key_of_a_run_is_offered():
    keys = {word.rstrip("=").partition(".")[0] for word in offered("run", "pocket", "")}
    assert set(Config.__struct_fields__) - {"benchmark"} <= keys


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_the_help_is_offered(verb):
    text = grammar.help_text(verb)
    assert text.startswith("usage: evalkit"), text
    shown = set(re.findall(r"^  (?:-\w[^,]*, )?(--[a-z][\w-]*)", text, re.MULTILINE))
    assert shown <= set(offered(verb, "--"))


def test_names_that_are_stored_and_ones_own_are_offered(cli, tmp_path):
    cli("run", "pocket", "model=fake,other@fake", "judge=fake", "limit=1")
    cli("run", "pocket", "model=fake", "judge=fake", "limit=1")
    assert offered("compare", "f") == ["fake"]
    assert offered("gate", "fake", "f") == ["fake"]
    assert offered("leaderboard", "--judge", "") == ["fake"]
    assert offered("judge", "results/pocket", "of=") == ["of=fake"]
    cli("init")
    assert "model=candidate" in offered("run", "arena", "--config-dir", "conf", "model=c")
    assert "judge=grader" in offered("run", "arena", "--config-dir=conf", "judge=g")
    assert "rubric=answers" in offered("run", "arena", "--config-dir", "conf", "rubric=")


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (("view", ""), True),
        (("judge", "an"), True),
        (("run", "arena", "questions=my"), True),
        (("leaderboard", "-o", ""), True),
        (("run", "pocket", "model="), False),
        (("leaderboard", "--method", ""), False),
        (("run", "pocket", "limit="), False),
    ],
    ids=str,
)
def test_files_are_offered_where_they_fit(words, files):
    assert candidates.offer(words).files == files


@pytest.mark.slow
def test_a_broken_cache_is_made_anew(one_cache):
    before = candidates.offer(("leaderboard", "--m"))
    path = cache_dir() / "completion" / "leaderboard.json"
    for broken in ("", "{", "[]", json.dumps({"stamp": [], "grammar": {}})):
        path.write_text(broken)
        assert candidates.offer(("leaderboard", "--m")) == before


def test_a_cache_that_cannot_be_written_does_no_harm(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "file"))
    assert offered("list", "mod") == ["models"]


def test_what_is_asked_while_somebody_waits_loads_little():
    """Its time, in starts of a bare interpreter, is measured by tests/perf/start_up.py."""
    offered("run", "pocket", "model=")
    code = (
        "import sys\nfrom evalkit.cli import main\ntry: main(['completion', '--candidates', 'run', 'pocket', 'model=s'])\n"
        "finally: print(*sorted(name for name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert "model=smollm2" in done.stdout.splitlines()
    heavy = {"asyncio", "msgspec", "yaml", "hydra", "rich", "numpy", "evalkit.core.protocols", "subprocess"}
    assert heavy.isdisjoint(done.stderr.split())


def test_the_script_and_mistakes(cli):
    for shell in ("bash", "zsh", "fish"):
        ended = cli("completion", shell)
        assert ended.code == 0
        assert "completion --candidates" in ended.out
    assert cli("completion").code == 2
    assert cli("completion", "tcsh").code == 2
    for shell in ("bash", "zsh", "fish"):
        assert f"evalkit completion {shell}" in cli("completion", "--help").out


# --- real shells

STAND_IN = """#!/bin/sh
[ "$1" = completion ] && exec {python} -m evalkit "$@"
printf 'GOT'
printf '<%s>' "$@"
printf '.\\n'
"""
"""evalkit as far as completion goes; for the rest, a command that shows its arguments."""
START = {
    "bash": 'bind "set bell-style none"; eval "$(evalkit completion bash)"; echo READY-$((1+1))',
    "zsh": 'unsetopt zle_bracketed_paste 2>/dev/null; eval "$(evalkit completion zsh)"; echo READY-$((1+1))',
    "fish": "evalkit completion fish | source; echo READY-(math 1+1)",
}
OPTIONS = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i"), "fish": ("--no-config", "-i")}


class Shell:
    """An interactive shell on a terminal of its own, with evalkit's completion loaded."""

    def __init__(self, name: str, folder: Path) -> None:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"no {name} here")
        command = folder / "bin" / "evalkit"
        command.parent.mkdir()
        command.write_text(STAND_IN.format(python=sys.executable))
        command.chmod(0o755)
        (folder / "myquestions.jsonl").write_text("")
        (folder / "with space.csv").write_text("")
        (folder / "outcomes").mkdir()
        env = {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "xterm",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "EVALKIT_CACHE_DIR": os.environ["EVALKIT_CACHE_DIR"],
        }
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(program, [program, *OPTIONS[name]], env)
        self.said = ""
        self.type(f"{START[name]}\r")
        self.until("READY-2")

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def until(self, wanted: str, seconds: float = 120) -> str:
        """What it prints before a text. The limit only ends a test that hangs."""
        end = time.monotonic() + seconds
        while wanted not in self.said:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {wanted!r} in {self.said!r}"
            chunk = os.read(self.terminal, 65536).decode(errors="replace")
            self.said += chunk
            if "\x1b[c" in chunk or "\x1b[0c" in chunk:  # fish asks what kind of terminal this is
                os.write(self.terminal, b"\x1b[?62c")
        before, _, self.said = self.said.partition(wanted)
        return before

    def completed(self, line: str) -> list[str]:
        """The arguments that come of a line when Tab is typed after it, and then END."""
        self.type(f"{line}\tEND\r")
        self.until("GOT<")
        return self.until(">.").split("><")

    def close(self) -> None:
        os.close(self.terminal)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request, tmp_path):
    offered("run", "pocket", "")  # the cache is there
    opened = Shell(request.param, tmp_path)
    yield opened
    opened.close()


LINES = [
    ("evalkit leaderb", ["leaderboard", "END"]),
    ("evalkit run pock", ["run", "pocket", "END"]),
    ("evalkit run mtbench dry", ["run", "mtbench", "dry_run=END"]),
    ("evalkit run mtbench model=smollm2_", ["run", "mtbench", "model=smollm2_terse", "END"]),
    ("evalkit run mtbench model=fake,smollm2_", ["run", "mtbench", "model=fake,smollm2_terse", "END"]),
    ("evalkit run mtbench until=ranks", ["run", "mtbench", "until=ranks:1", "END"]),
    ("evalkit run mtbench model=fake model.fake.sampling.temp", ["run", "mtbench", "model=fake", "model.fake.sampling.temperature=END"]),
    ("evalkit leaderboard --method wi", ["leaderboard", "--method", "winrate", "END"]),
    ("evalkit leaderboard --agg", ["leaderboard", "--aggregate", "END"]),
    ("evalkit run arena questions=myq", ["run", "arena", "questions=myquestions.jsonl", "END"]),
    ("evalkit judge with", ["judge", "with space.csv", "END"]),
    ("evalkit view outc", ["view", "outcomes/END"]),
]  # fmt: skip


@pytest.mark.slow
def test_a_real_shell_completes(shell):
    got = {line: shell.completed(line) for line, _ in LINES}
    assert got == dict(LINES)


@pytest.mark.slow
def test_where_several_fit_they_are_listed(shell):
    shell.type("evalkit list \t\t")
    before = shell.until("rubrics")
    assert "benchmarks" in before + shell.said
