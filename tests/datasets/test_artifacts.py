"""Pinned files: every path a file can come by, and every way it can fail to. The default tests use no network."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

import evalkit
from evalkit.core import paths as shipped
from evalkit.core.protocols import UsageError
from evalkit.datasets import artifacts, downloads
from evalkit.datasets.artifacts import BadArtifact, artifact, cached, fetch


def fetch_sync(name: str, **options: artifacts.Progress) -> Path:
    """``fetch`` with an event loop of its own."""
    return asyncio.run(fetch(name, **options))


CONTENT = b"".join(b'{"question_id": %d}\n' % number for number in range(5_000))
SHA = hashlib.sha256(CONTENT).hexdigest()
REVISION = "0" * 40
WHEEL = {"package": "toy", "version": "1.0", "path": "toy/data/toy.jsonl"}
OTHER = {"package": "other", "version": "1.0", "path": "toy/data/toy.jsonl"}
HUB = {"repo": "someone/toy", "repo_type": "dataset", "revision": REVISION, "path": "data/toy.jsonl"}


def make_wheel(folder: Path, package: str = "toy", content: bytes = CONTENT, path: str = WHEEL["path"]) -> Path:
    """A wheel that pip itself accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path, content)
        archive.writestr("../evil.txt", "never extracted")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def write_registry(folder: Path, *sources: dict, **fields: object) -> None:
    entry = {"name": "toy-questions", "file": "toy.jsonl", "sha256": SHA, "size": len(CONTENT), "sources": sources}
    folder.mkdir(exist_ok=True)
    (folder / "artifacts.yaml").write_bytes(msgspec.yaml.encode([entry | fields]))
    artifacts.registry.cache_clear()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cold cache, a registry of one file, and an index folder that holds its wheel."""
    for name in ("EVALKIT_ARTIFACTS", "EVALKIT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(artifacts, "shipped", lambda folder: tmp_path / folder)
    write_registry(tmp_path / "conf", {"wheel": WHEEL})
    make_wheel(tmp_path / "index")
    yield tmp_path
    artifacts.registry.cache_clear()


@pytest.fixture
def index(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of pip: a copy out of a folder, counting the downloads."""
    folder = place / "index"

    def command(wheel: downloads.Wheel, work: Path) -> list[str]:
        code = (
            "import shutil, sys, time; source, work, log, pause = sys.argv[1:]; open(log, 'a').write('x'); "
            "time.sleep(float(pause)); shutil.copy(source, work)"
        )
        source = folder / f"{wheel.package}-{wheel.version}-py3-none-any.whl"
        pause = os.environ.get("PAUSE", "0")
        return [sys.executable, "-c", code, str(source), str(work), str(place / "downloads"), pause]

    monkeypatch.setattr(downloads, "pip_command", command)
    return folder


def home() -> Path:
    return artifact("toy-questions").home


def test_the_shipped_list_is_complete_and_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "shipped", shipped.shipped)
    artifacts.registry.cache_clear()
    path = shipped.shipped("conf") / "artifacts.yaml"
    entries = msgspec.yaml.decode(path.read_bytes(), type=list[artifacts.Artifact])
    known = artifacts.registry()
    assert len(known) == len(entries) == len({entry.sha256 for entry in entries})
    assert set(known) >= {
        "mtbench-questions",
        "mtbench-references-gpt-4",
        "mtbench-references-pr3158",
        "fastchat-judge-prompts",
        "smollm2-135m-instruct-q4_1",
        "alpaca-eval-questions",
        "alpaca-eval-gamed",
    }
    assert all(entry.sources for entry in entries)
    assert artifact("mtbench-questions").sha256.startswith("119565adbab82227")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sha256": "abc"}, "sha256"),
        ({"sises": 3}, "sises"),
        ({"file": "../x"}, "file"),
        ({"sources": [{}]}, "one of: wheel, hub, github"),
        ({"sources": [{"hub": HUB | {"revision": "main"}}]}, "revision"),
    ],
)
def test_a_wrong_registry_entry_is_named(place: Path, fields: dict, said: str) -> None:
    write_registry(place / "conf", **fields)
    with pytest.raises(UsageError, match=said):
        artifact("toy-questions")


def test_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(UsageError, match=r"'toy-question'.*Did you mean toy-questions\?"):
        fetch_sync("toy-question")
    with pytest.raises(UsageError, match="Known: toy-questions"):
        artifact("zzz")


def test_pip_itself_fetches_one_member_of_a_wheel(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place / "index"))
    path = asyncio.run(fetch("toy-questions"))
    assert path == cached("toy-questions")
    assert path.read_bytes() == CONTENT
    assert sorted(file.name for file in home().iterdir()) == [".lock", ".verified", "toy.jsonl"]
    assert not list(place.rglob("evil.txt"))


def test_what_pip_says_reaches_the_user(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place / "nowhere"))
    with pytest.raises(UsageError) as caught:
        fetch_sync("toy-questions")
    assert "wheel toy==1.0: ERROR: No matching distribution found for toy==1.0" in str(caught.value)
    assert f"put toy.jsonl (SHA-256 {SHA})" in str(caught.value)
    assert "EVALKIT_ARTIFACTS" in str(caught.value)


def test_no_pip_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="has no pip: install it with 'uv pip install pip'"):
        fetch_sync("toy-questions")


def test_a_warm_cache_needs_no_network_and_no_hashing(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_sync("toy-questions")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a warm cache needs none of this")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.setattr(artifacts, "_digest", forbidden)
    calls: list[int] = []
    assert fetch_sync("toy-questions", progress=lambda name, done, total: calls.append(done)) == path
    assert calls == []
    assert cached("toy-questions") == path
    os.utime(path, ns=(1, 1))
    with pytest.raises(AssertionError):
        cached("toy-questions")


def test_a_touched_file_is_hashed_once_again(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_sync("toy-questions")
    hashed: list[Path] = []
    digest = artifacts._digest
    monkeypatch.setattr(artifacts, "_digest", lambda path: hashed.append(path) or digest(path))
    os.utime(path, ns=(1, 1))
    assert cached("toy-questions") == cached("toy-questions") == path
    assert hashed == [path]


@pytest.mark.parametrize("damage", [CONTENT[:-7], CONTENT.replace(b"17", b"18"), b""])
def test_a_damaged_cached_file_is_fetched_again(index: Path, damage: bytes) -> None:
    path = fetch_sync("toy-questions")
    path.write_bytes(damage)
    os.utime(path, ns=(1, 1))
    assert cached("toy-questions") is None
    with pytest.warns(BadArtifact, match="is damaged"):
        assert fetch_sync("toy-questions").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_wrong_hash_is_named_removed_and_the_next_source_tried(place: Path, index: Path, size: int | None) -> None:
    wrong = CONTENT.replace(b"17", b"18")
    make_wheel(index, content=wrong)
    make_wheel(index, package="other")
    write_registry(place / "conf", {"wheel": WHEEL}, {"wheel": OTHER}, size=size)
    expected = f"wheel toy==1.0: toy.jsonl has SHA-256 {hashlib.sha256(wrong).hexdigest()}, expected {SHA}"
    with pytest.warns(BadArtifact, match=expected):
        assert fetch_sync("toy-questions").read_bytes() == CONTENT

    write_registry(place / "conf", {"wheel": WHEEL}, file="again.jsonl", size=size)
    with pytest.warns(BadArtifact), pytest.raises(UsageError, match=r"again.jsonl has SHA-256"):
        fetch_sync("toy-questions")
    assert not (home() / "again.jsonl").exists()


def test_a_torn_download_is_not_used(index: Path) -> None:
    wheel = make_wheel(index)
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="the downloaded wheel is damaged"):
        fetch_sync("toy-questions")
    wheel.write_bytes(whole[:2000] + bytes(50) + whole[2050:])
    with pytest.raises(UsageError, match="the downloaded wheel is damaged"):
        fetch_sync("toy-questions")
    assert cached("toy-questions") is None
    assert [file.name for file in home().iterdir()] == [".lock"]
    wheel.write_bytes(whole)
    assert fetch_sync("toy-questions").read_bytes() == CONTENT


def test_the_member_is_found_by_its_exact_path_and_size(place: Path, index: Path) -> None:
    make_wheel(index, path="elsewhere/toy/data/toy.jsonl")
    with pytest.raises(UsageError, match=r"toy/data/toy.jsonl is not in it"):
        fetch_sync("toy-questions")
    make_wheel(index, content=CONTENT * 100)
    with pytest.raises(UsageError, match=f"longer than {len(CONTENT)} bytes"):
        fetch_sync("toy-questions")


def test_progress_starts_at_nothing_and_ends_at_all(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUSE", "0.3")
    calls: list[tuple[str, int, int | None]] = []
    asyncio.run(fetch("toy-questions", progress=lambda *call: calls.append(call)))
    assert calls[0] == ("toy-questions", 0, len(CONTENT))
    assert calls[-1] == ("toy-questions", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert len(calls) > 3


def test_progress_follows_a_growing_file(tmp_path: Path) -> None:
    code = """
import sys, time
with open(sys.argv[1], "wb") as file:
    for _ in range(5):
        file.write(bytes(4096))
        file.flush()
        time.sleep(0.2)
"""
    seen: list[int] = []
    work = tmp_path / "work"
    work.mkdir()
    watch = downloads.DownloadWatch(seen.append, threading.Event())
    downloads.run([sys.executable, "-c", code, str(work / "file")], work, watch, environ={})
    assert seen == sorted(seen)
    assert len(set(seen)) >= 3


def test_cancelling_ends_the_download(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUSE", "3600")  # which nobody waits for

    async def impatient() -> None:
        await asyncio.wait_for(fetch("toy-questions"), 0.5)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert [file.name for file in home().iterdir()] == [".lock"]


def test_a_client_that_cannot_start_does_not_blame_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "pip_command", lambda wheel, work: ["/nowhere/python"])
    with pytest.raises(UsageError, match=r"wheel toy==1.0: cannot start /nowhere/python: No such file"):
        fetch_sync("toy-questions")


def test_a_silent_source_is_given_up(tmp_path: Path) -> None:
    watch = downloads.DownloadWatch(lambda size: None, threading.Event())
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(downloads.Unavailable, match="no answer within"):
        downloads.run(sleeper, tmp_path / "empty", watch, environ={}, patience=0.3)


@pytest.mark.slow
def test_two_processes_at_once_download_once(place: Path) -> None:
    program = f"""
import asyncio
import sys
from pathlib import Path
from evalkit.datasets import artifacts
from evalkit.datasets import downloads
place = Path({str(place)!r})
artifacts.shipped = lambda folder: place / folder
code = "import shutil, sys, time; open(sys.argv[3], 'a').write('x'); time.sleep(1); shutil.copy(*sys.argv[1:3])"
wheel = str(place / "index" / "toy-1.0-py3-none-any.whl")
downloads.pip_command = lambda _, work: [sys.executable, "-c", code, wheel, str(work), str(place / "downloads")]
print(asyncio.run(artifacts.fetch("toy-questions")))
"""
    env = os.environ | {"PYTHONPATH": str(Path(evalkit.__file__).parent.parent)}
    command = [sys.executable, "-c", program]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [process.communicate(timeout=600)[0].strip() for process in running]
    assert printed == [str(home() / "toy.jsonl")] * 3
    assert Path(printed[0]).read_bytes() == CONTENT
    assert (place / "downloads").read_text() == "x"


def test_many_at_once_in_one_process_download_once(place: Path, index: Path) -> None:
    async def all_at_once() -> list[Path]:
        return await asyncio.gather(*(fetch("toy-questions") for _ in range(4)))

    assert set(asyncio.run(all_at_once())) == {home() / "toy.jsonl"}
    assert (place / "downloads").read_text() == "x"


def test_what_a_killed_process_left_is_swept(index: Path) -> None:
    left = home() / ".part-left" / "0"
    left.mkdir(parents=True)
    fetch_sync("toy-questions")
    assert not left.exists()


def test_offline_and_cold_lists_every_source_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    monkeypatch.setenv("EVALKIT_ARTIFACTS", str(place / "mine"))
    write_registry(place / "conf", {"wheel": WHEEL}, {"hub": HUB})
    with pytest.raises(UsageError) as caught:
        fetch_sync("toy-questions")
    assert str(caught.value).splitlines() == [
        "cannot get 'toy-questions':",
        f"  - EVALKIT_ARTIFACTS: no file '{place}/mine/toy.jsonl'",
        "  - wheel toy==1.0: EVALKIT_OFFLINE is set",
        "  - hub dataset someone/toy@00000000: EVALKIT_OFFLINE is set, and the hub's cache does not have it",
        f"Mend one of these, or put toy.jsonl (SHA-256 {SHA}) into a folder of yours and set EVALKIT_ARTIFACTS to "
        "that folder",
    ]


def test_a_folder_of_ones_own_comes_before_any_download(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    monkeypatch.setenv("EVALKIT_ARTIFACTS", str(place / "mine"))
    mine = place / "mine" / "toy.jsonl"
    mine.parent.mkdir()
    mine.write_bytes(CONTENT)
    assert fetch_sync("toy-questions") == mine
    assert cached("toy-questions") is None
    wrong = CONTENT.replace(b"17", b"18")
    mine.write_bytes(wrong)
    os.utime(mine, ns=(1, 1))
    with pytest.warns(BadArtifact), pytest.raises(UsageError, match=hashlib.sha256(wrong).hexdigest()):
        fetch_sync("toy-questions")
    assert mine.read_bytes() == wrong


def test_a_cache_that_cannot_be_made_is_named(place: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "file").write_text("not a folder")
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(place / "file" / "cache"))
    with pytest.raises(UsageError, match=r"cannot use the cache folder '.*/file/cache'.*set EVALKIT_CACHE_DIR"):
        fetch_sync("toy-questions")


def test_a_full_disk_is_said_and_leaves_nothing(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"No space left on device.*Free space"):
        fetch_sync("toy-questions")
    assert [file.name for file in home().iterdir()] == [".lock"]


def test_a_read_only_warm_cache_is_enough(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_sync("toy-questions")
    (home() / ".verified").unlink()

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", read_only)
    monkeypatch.setattr(Path, "mkdir", read_only)
    assert fetch_sync("toy-questions") == path


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_cold_cache_is_named(place: Path, index: Path) -> None:
    (place / "cache").mkdir(mode=0o500)
    with pytest.raises(UsageError, match=r"Permission denied: '.*/cache/artifacts'"):
        fetch_sync("toy-questions")


class HubStub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as its own client needs for one file."""

    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{SHA}"')
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    write_registry(place / "conf", {"hub": HUB})
    monkeypatch.setattr(HubStub, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubStub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield HubStub.asked
        server.shutdown()
        thread.join()


def test_the_hubs_own_client_fetches_the_pinned_revision(hub: list[str]) -> None:
    assert fetch_sync("toy-questions").read_bytes() == CONTENT
    asked = {path for path in hub if "/toy" in path}  # some versions of the client also ask about other things
    assert asked == {f"/datasets/someone/toy/resolve/{REVISION}/data/toy.jsonl"}
    assert sorted(file.name for file in home().iterdir()) == [".lock", ".verified", "toy.jsonl"]


def test_a_file_in_the_hubs_cache_needs_no_hub(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_registry(place / "conf", {"hub": HUB})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    there = place / "hf" / "hub" / "datasets--someone--toy" / "snapshots" / REVISION / HUB["path"]
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT)
    assert fetch_sync("toy-questions").read_bytes() == CONTENT
    assert there.exists()


def test_a_hub_out_of_reach_is_soon_given_up(place: Path) -> None:
    write_registry(place / "conf", {"hub": HUB})
    with pytest.raises(UsageError, match=r"hub dataset someone/toy@00000000: no connection to 127\.0\.0\.1: "):
        fetch_sync("toy-questions")


def test_importing_is_cheap() -> None:
    heavy = "{'huggingface_hub', 'yaml', 'platformdirs', 'numpy', 'httpx', 'requests'}"
    code = f"import sys, evalkit.datasets.artifacts; print(*({heavy} & set(sys.modules)))"
    env = os.environ | {"PYTHONPATH": str(Path(evalkit.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_the_real_mtbench_questions_come_from_the_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "shipped", shipped.shipped)
    artifacts.registry.cache_clear()
    questions = fetch_sync("mtbench-questions").read_text().splitlines()
    assert len(questions) == 80


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, bytes]]]:
    """A server in GitHub's place; what it answers by path."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, b"404: Not Found"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(downloads, "RAW", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield answers
    server.shutdown()
    server.server_close()


GITHUB = {"repo": "someone/toy", "revision": REVISION, "path": "data/to y.jsonl"}


def test_a_file_of_a_commit_on_github(place: Path, github: dict[str, tuple[int, bytes]]) -> None:
    write_registry(place / "conf", {"github": GITHUB})
    with pytest.raises(UsageError, match=r"github someone/toy@00000000: ERROR: 404 Not Found for http://.*data/to%20y"):
        fetch_sync("toy-questions")
    github[f"/someone/toy/{REVISION}/data/to%20y.jsonl"] = (200, CONTENT)
    assert fetch_sync("toy-questions").read_bytes() == CONTENT


def test_github_out_of_reach_or_with_other_content(
    place: Path, github: dict[str, tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_registry(place / "conf", {"github": GITHUB})
    github[f"/someone/toy/{REVISION}/data/to%20y.jsonl"] = (200, CONTENT[:-1] + b" ")
    with pytest.warns(BadArtifact), pytest.raises(UsageError, match=r"toy.jsonl has SHA-256 .*, expected"):
        fetch_sync("toy-questions")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(downloads, "RAW", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(UsageError, match=r"ERROR: no connection to http://127.0.0.1:\d+/someone/toy/"):
            fetch_sync("toy-questions")
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    with pytest.raises(UsageError, match="EVALKIT_OFFLINE is set"):
        fetch_sync("toy-questions")
