"""No key ever reaches a file, the terminal or a foreign server: real commands, and a search of all they wrote."""

from __future__ import annotations

import base64
import os
import re
import signal
import string
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.backends.chat_completions import without
from evalkit.core import secrets
from tests.batch_server import BatchServer
from tests.fault_server import FaultServer
from tests.own_benchmark import benchmark_yaml

ROOT = Path(__file__).parents[2]
KEYS = {
    "OPENAI_API_KEY": "sk-proj-0PLANTED1openai2key3AbCdEf",
    "ANTHROPIC_API_KEY": "sk-ant-0PLANTED1anthropic2key3AbCdEf",
    "HF_TOKEN": "hf_0PLANTED1hub2token3AbCdEf",
    "OPENAI_CUSTOM_HEADERS": "X-Gateway: 0PLANTED1custom2header3AbCdEf",
}
GATEWAY = "0PLANTED1gate/way+key=4&Xy%z"
"""With characters that change when encoded; from the .env file."""
GIVEN = "sk-0PLANTED1given2by3mistake4AbCdEf"
"""In the configuration, where it does not belong."""
SECRETS = [*(value.rpartition(" ")[2] for value in KEYS.values()), GATEWAY, GIVEN]

MEMBER = """\
one:
  backend: {_target_: evalkit.backends.%s, model: m, base_url: "%s", api_key_env: MY_GATEWAY_KEY, concurrency: 2}
"""
LEAKY = """
import asyncio, base64, os
from dataclasses import dataclass
from evalkit.backends.fake import Fake
from evalkit.core.protocols import Malformed, Rejected, Transport

@dataclass
class Leaky(Fake):
    how: str = "crash"

    async def complete(self, request):
        key = os.environ["MY_GATEWAY_KEY"]
        coded = base64.b64encode(f"user:{key}".encode()).decode()
        if self.how == "crash":
            try:
                {}[key]
            except KeyError as error:
                raise RuntimeError(f"login with {key!r} ({coded}) failed") from error
        if self.how == "task":
            async def forgotten():
                raise RuntimeError(f"login with {key!r} ({coded}) failed")
            asyncio.create_task(forgotten())
            await asyncio.sleep(0.01)
            return await super().complete(request)
        if self.how == "transport":
            raise Transport(f"login with {key!r} ({coded}) failed")
        if self.how == "rejected":
            raise Rejected(f"login with {key!r} ({coded}) failed")
        raise Malformed(f"login with {key!r} failed", body=f"echo: {coded}")
"""


def forms(secret):
    """The secret as it is, URL-encoded, and in base64 on its own and behind what usually stands before it."""
    raw = secret.encode()
    yield from (raw, quote(secret, safe="").encode(), quote_plus(secret).encode())
    for before in (b"", b":", b"user:", b"Bearer "):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(before + raw)[len(before) + 4 :].rstrip(b"=")[:-2]


class Place:
    """A working folder with planted keys, and commands run in it."""

    def __init__(self, folder, url, wire="openai"):
        self.folder = folder
        self.kept = {folder / ".env"}
        (folder / ".env").write_text(f"MY_GATEWAY_KEY='{GATEWAY}'\nOPENAI_API_KEY=from-the-file\nPATH=/nowhere\n")
        bench = folder / "planted"
        bench.mkdir()
        (bench / "benchmark.yaml").write_text(benchmark_yaml("planted"))
        (bench / "questions.jsonl").write_text("".join(f'{{"id": "{n}", "turns": "Why {n}?"}}\n' for n in range(6)))
        target = "anthropic.Anthropic" if wire == "anthropic" else "openai.OpenAI"
        for group in ("model", "judge"):
            self.member(group, "one", MEMBER % (target, url))
        # An installed plug-in package, as its entry point declares it.
        (folder / "site").mkdir()
        (folder / "site" / "leaky.py").write_text(LEAKY)
        info = folder / "site" / "leaky-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[evalkit]\nleaky = leaky\n")
        self.member("model", "leaky", "leaky:\n  backend: {_target_: leaky.Leaky, how: crash}\n  price: free\n")
        self.printed = b""

    def member(self, group, name, yaml):
        path = self.folder / "conf" / group / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml)
        self.kept.add(path)

    def start(self, *arguments, environ=None):
        hidden = ("OPENAI_", "ANTHROPIC_", "HF_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        paths = os.pathsep.join([str(ROOT), str(self.folder / "site")])
        return subprocess.Popen(
            [sys.executable, "-c", "from evalkit.cli import main; main()", *arguments],
            cwd=self.folder,
            env=inherited | KEYS | {"PYTHONPATH": paths, "COLUMNS": "300"} | (environ or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self, process, code):
        out, err = process.communicate(timeout=600)
        self.printed += out + err
        assert code is None or process.returncode == code, err.decode()
        return (out + err).decode()

    def run(self, *settings, code=0, model="one", judge="one", environ=None):
        retry = ("retry.attempts=1", "retry.give_up_after=100")
        arguments = ("run", "planted", f"model={model}", f"judge={judge}", "--config-dir=conf", *retry, *settings)
        return self.end(self.start(*arguments, environ=environ), code)

    def check(self):
        """Nothing written or printed holds a secret in any form."""
        written = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        assert any("results" in path.parts for path in written) or self.printed
        for path, content in {**written, "the terminal": self.printed}.items():
            if path in self.kept:
                continue
            for secret in SECRETS:
                for form in forms(secret):
                    assert form not in content, f"{form!r} in {path}"


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def place(tmp_path, server):
    yield (made := Place(tmp_path, f"{server.url}/v1"))
    made.check()


# Runs that end in all ways.


@pytest.mark.slow
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_run_and_its_reports(tmp_path, server, wire):
    place = Place(tmp_path, server.url + ("/v1" if wire == "openai" else ""), wire)
    place.run("run.name=good")
    sent = str([dict(seen["headers"]) for seen in server.seen])
    assert GATEWAY in sent, "the key of the .env file is used"
    assert not any(secret in sent for secret in SECRETS if secret != GATEWAY)
    assert "dry run" in place.run("dry_run=true", "results_dir=elsewhere")
    place.end(place.start("doctor"), 0)
    for arguments in (("leaderboard", "-o", "board.html"), ("audit", "-o", "audit.html"), ("leaderboard",)):
        place.end(place.start(*arguments), 0)
    assert (tmp_path / "audit.html").exists()
    place.check()
    assert (tmp_path / ".env").read_text().startswith(f"MY_GATEWAY_KEY='{GATEWAY}'\nOPENAI_API_KEY=from-the-file")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("situation", "code"), [("echo", 2), ("echo200", 1), ("parrot", 0), ("401", 2), ("redirect", 2), ("reset", 1)]
)
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_server_that_repeats_the_key(tmp_path, server, wire, situation, code):
    """In an error, in what is no answer, in an answer, and in the address it points to."""
    with FaultServer() as other:
        server.location = f"{other.url}/v1/chat/completions?key={quote(GATEWAY, safe='')}"
        url = f"{server.url}/do/{situation}" + ("/v1" if wire == "openai" else "")
        place = Place(tmp_path, url, wire)
        place.run(code=code)
        assert GATEWAY in str(server.seen[0]["headers"])
        assert other.seen == [], "a redirect is not followed"
    place.check()


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["ok", "refusal", "400", "401", "500", "expired"])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_batch_that_repeats_the_key(tmp_path, wire, fate):
    with BatchServer(fates=lambda *_: fate, echo=f"Your key: {GATEWAY}") as server:
        place = Place(tmp_path, server.url + ("/v1" if wire == "openai" else ""), wire)
        said = place.run("judge.batch=true", "batch.poll=0.05", model="fake", code=None)
        assert server.batches, said
        assert any(GATEWAY in key for key in server.keys)
    place.check()


@pytest.mark.slow
def test_a_server_that_is_not_there(place):
    place.run("model.one.backend.base_url=http://127.0.0.1:9/v1", code=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code"), [("crash", 1), ("task", 0), ("transport", 1), ("rejected", 1), ("malformed", 1)]
)
def test_a_plug_in_that_tells(place, how, code):
    said = place.run(f"model.leaky.backend.how={how}", model="leaky", code=code)
    assert ("Traceback" in said) == (how in ("crash", "task"))
    if how == "crash":
        assert "leaky.py" in said, "the traceback is there for whoever must mend it"
        assert "RuntimeError: login with '***'" in said
    rows = [line for path in place.folder.glob("results/planted/answers/*") for line in path.read_text().splitlines()]
    if how not in ("crash", "task"):
        assert len(rows) == 6
        assert all("login with '***'" in row for row in rows)


@pytest.mark.slow
def test_jobs_that_crash(place):
    place.run("model.leaky.backend.how=crash,rejected", "-m", model="leaky", code=1)


@pytest.mark.slow
def test_an_interrupted_run(place, server):
    server.latency = 0.5
    arguments = ("run", "planted", "model=one", "judge=one", "--config-dir=conf")
    process = place.start(*arguments)
    while not server.count.total():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert "interrupted" in place.end(process, 130)


@pytest.mark.slow
def test_a_vendor_key_stays_at_home(place, server):
    """The address comes from the environment, as many gateways' instructions have it."""
    yaml = "plain:\n  backend: {_target_: evalkit.backends.openai.OpenAI, model: m}\n"
    place.member("model", "plain", yaml)
    place.run(model="plain", environ={"OPENAI_BASE_URL": f"{server.url}/v1?key={GIVEN}"})
    assert server.seen
    assert not any(KEYS["OPENAI_API_KEY"] in str(seen["headers"]) for seen in server.seen)
    place.run("results_dir=b", model="plain", environ={"OPENAI_BASE_URL": f"http://me:{GIVEN}@127.0.0.1:9/v1"}, code=2)


# Keys where they do not belong.


@pytest.mark.parametrize(
    "setting",
    [
        f"model.one.backend.api_key={GIVEN}",
        f"+model.one.backend.api_key={GIVEN}",
        f"++judge.one.backend.token={GIVEN}",
        f"model.one.backend.api_key_env={GIVEN}",
        f"model.one.backend.headers.Authorization=Bearer {GIVEN}",
        f"model.one.backend.headers={{Authorization: 'Bearer {GIVEN}'}}",
        f"model.one.backend.headers={{X-Team: {GIVEN}}}",
        f"judge.one.sampling.extra={{api_key: {GIVEN}}}",
        f"model.one.backend.base_url=http://me:{GIVEN}@127.0.0.1:9/v1",
        f"model.one.backend.base_url=http://{GIVEN}@127.0.0.1:9/v1",
        f"model.one.backend.base_url=http://127.0.0.1:9/v1?key={GIVEN}",
        f"model.one.backend.base_url='http://127.0.0.1:9/v1?a=b&api-key={GIVEN}'",
        f"api_key={GIVEN}",
        f"OPENAI_API_KEY={GIVEN}",
        f"model.one.system_prompt={KEYS['ANTHROPIC_API_KEY']}",
        f"model.one.system_prompt=Use {GIVEN} to log in",
        f"model.one.backend.base_url=http://127.0.0.1:9/{GIVEN}/v1",
        f"model.one.backend.base_url=http://127.0.0.1:9/v1?team={GIVEN}",
    ],
    ids=lambda setting: re.sub(r"sk-\w+[\w-]*", "KEY", setting),
)
def test_a_key_on_the_command_line_is_refused(place, setting):
    said = place.run(setting, "--cfg", "job", code=2)
    assert "holds a credential" in said
    assert "api_key_env" in said
    assert setting.partition("=")[0].lstrip("+") in said
    assert not (place.folder / "results").exists()


@pytest.mark.parametrize(
    "field",
    [
        f"api_key: {GIVEN}",
        "api_key_env: ${oc.env:OPENAI_API_KEY}",
        *(
            pytest.param(field, marks=pytest.mark.slow)
            for field in (
                f"base_url: http://127.0.0.1:9/{GIVEN}/v1",
                f"headers: {{Authorization: Bearer {GIVEN}}}",
                f"headers: {{X-Anything: {GIVEN}}}",
                f"base_url: http://me:{GIVEN}@127.0.0.1:9/v1",
                f"base_url: http://127.0.0.1:9/v1?key={GIVEN}",
                f"headers: {{X-Anything: 'a {GIVEN} b'}}",
                "headers: {X-Anything: 'a ${oc.env:OPENAI_API_KEY} b'}",
            )
        ),
    ],
    ids=lambda field: field.partition(GIVEN)[0],
)
def test_a_key_in_yaml_is_refused_and_not_printed(place, field):
    place.member(
        "model", "bad", f"bad:\n  backend:\n    _target_: evalkit.backends.openai.OpenAI\n    model: m\n    {field}\n"
    )
    said = place.run(model="bad", code=2)
    assert "holds a credential" in said
    assert "model.bad.backend." in said
    assert not (place.folder / "results").exists()
    printed = place.run("--cfg", "job", model="bad")
    assert "_target_: evalkit.backends.openai.OpenAI" in printed
    assert "***" in printed or "oc.env" in printed
    assert "***" in place.run("--cfg", "job", "--resolve", model="bad")


def test_settings_that_only_look_like_credentials():
    harmless = [
        "model.one.backend.api_key_env=MY_KEY",
        "model.one.sampling.max_tokens=64",
        "model.one.backend.api_key=null",
        "budget.tokens=100000",
        "fields.id=key",
        "results_dir=sk-learn-benchmark-results",
        "model.one.backend.base_url=http://localhost:8000/v1?api-version=2024-10-21",
        "model.one.backend.model=hf_internal_testing_tiny_random",
        "protocol.task=Rate it. Tokens: few; the key: be fair",
        "limit=2",
        "model.one.system_prompt=Basic knowledge will do; Bearer bonds: 5",
    ]
    for setting in harmless[:8] + harmless[9:]:
        assert secrets.credential_in_arguments([setting]) is None, setting
    assert secrets.credential_in_config({"protocol": {"task": "Rate it. The key: be fair", "max_tokens": 5}}) is None


# .env.


def test_env_file(tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", "mine")
    for name in ("B_KEY", "C_TOKEN", "D_BASE_URL", "LD_PRELOAD", "EMPTY_KEY", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "x")  # so that what is set below is taken back
        monkeypatch.delenv(name)
    path = tmp_path / ".env"
    path.write_text(
        "A_KEY=the file's\n# a comment\nexport B_KEY='quoted # ${A_KEY}'\nC_TOKEN=token\nEMPTY_KEY=\n"
        'D_BASE_URL="http://localhost:1/v1"\nLD_PRELOAD=evil.so\nPIP_INDEX_URL=http://evil\nPATH=/nowhere\n'
    )
    before = path.read_bytes()
    secrets.load_env_file(path)
    assert os.environ["A_KEY"] == "mine", "the environment wins"
    assert os.environ["B_KEY"] == "quoted # ${A_KEY}"
    assert os.environ["C_TOKEN"] == "token"
    assert os.environ["D_BASE_URL"] == "http://localhost:1/v1"
    assert not {"LD_PRELOAD", "EMPTY_KEY", "PIP_INDEX_URL"} & os.environ.keys()
    assert os.environ["PATH"] != "/nowhere"
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"A_KEY=\xff\xfe\n", b"A_KEY=a\x00b\n"], ids=["not UTF-8", "null byte"])
def test_an_env_file_that_cannot_be_read(content, cli, tmp_path):
    (tmp_path / ".env").write_bytes(content)
    code, _, err = cli("list", "models")
    assert code == 2
    assert "cannot read .env" in err


def test_a_variable_of_any_name_is_a_secret_once_api_key_env_names_it(tmp_path, monkeypatch):
    for name in ("TEAM_LOGIN", "LD_PRELOAD", "EVALKIT_SECRET_VARIABLES"):
        monkeypatch.setenv(name, "x")  # so that what is set below is taken back
        monkeypatch.delenv(name)
    path = tmp_path / ".env"
    path.write_text("TEAM_LOGIN=correct-horse-battery\nLD_PRELOAD=evil.so.of.somebody\n")
    secrets.load_env_file(path)
    assert "TEAM_LOGIN" not in os.environ
    secrets.keep_named(
        {"model": {"a": {"backend": {"api_key_env": "TEAM_LOGIN"}}, "b": [{"api_key_env": "LD_PRELOAD"}]}}, path
    )
    assert os.environ["TEAM_LOGIN"] == "correct-horse-battery"
    assert "LD_PRELOAD" not in os.environ
    assert secrets.scrub("it said correct-horse-battery") == "it said ***"
    assert secrets.credential_in_config({"system_prompt": "say correct-horse-battery"}) == "system_prompt"


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda key: base64.b64encode(f"me:{key}".encode()).decode(),
        lambda key: quote(key, safe=""),
        lambda key: quote(key, safe="").lower(),
        lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    ],
    ids=["plain", "base64", "percent", "lower percent", "all percent"],
)
def test_a_reply_is_stored_without_the_key_in_any_spelling(spell):
    key = "0planted1gate/way+key=4&xy%z"
    said = without(key, f'{{"content": "it is {spell(key)}"}}'.encode())
    assert spell(key).encode() not in said
    assert b"***" in said


# Scrubbing.

KEY = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=12, max_size=60)


@given(KEY, st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_is_found_in_every_coat(key, before, after):
    environ = {"SOME_API_KEY": key}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        for text in (key, quote(key, safe=""), quote_plus(key), repr(key)[1:-1]):
            assert secrets.scrub(f"<{text}>") == f"<{secrets.HIDDEN}>"
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(before + key.encode() + after).decode()
            assert secrets.HIDDEN in secrets.scrub(text)


def test_what_is_no_secret_stays(monkeypatch):
    for name, value in {
        "GIT_AUTHOR_NAME": "Some Body",
        "TOKENIZERS_PARALLELISM": "sequential",
        "A_KEY": "short",
    }.items():
        monkeypatch.setenv(name, value)
    text = f"Some Body is short on sequential {string.ascii_letters}"
    assert secrets.scrub(text) == text
