"""What every test starts from: an environment of its own, a shared cache, and no network beyond this machine."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from tests.shared_data import shared_data

# How fast examples are made and run says how busy the machine is, not whether the code is right.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")

HIDDEN = ("OPENAI_", "ANTHROPIC_", "HF_", "EVALKIT_", "HYDRA_", "NO_COLOR", "FORCE_COLOR", "TTY_")
KEPT = ("EVALKIT_TEST_", "EVALKIT_SHARED_DATA")

FASTCHAT = {
    "question.jsonl": ("fastchat", "mt_bench", "question.jsonl"),
    "gpt-4.jsonl": ("fastchat", "mt_bench", "reference_answer", "gpt-4.jsonl"),
    "gpt-4-0125-preview.jsonl": ("fastchat", "mt_bench", "reference_answer", "gpt-4-0125-preview_pr3158.jsonl"),
    "judge_prompts.jsonl": ("fastchat", "judge_prompts.jsonl"),
}
"""Where shared data holds the pinned files of MT-Bench, by the name evalkit gives them."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "downloads: may fetch pinned files from the network")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was not tested for want of data that is not part of the project."""
    missing = sum("needs public data" in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if missing:
        terminalreporter.write_line(
            f"{missing} tests of published numbers were skipped: they need public data, whose folder "
            "EVALKIT_SHARED_DATA names"
        )


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache a session, so that a pinned file is fetched once; EVALKIT_TEST_CACHE names a lasting one."""
    if lasting := os.environ.get("EVALKIT_TEST_CACHE"):
        return Path(lasting).expanduser().absolute()
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "evalkit-cache"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """No key, address or setting of the user's; a terminal wide enough that nothing wraps."""
    for name in list(os.environ):
        if name.startswith(HIDDEN) and not name.startswith(KEPT):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(cache))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections of this process go to this machine only, unless the test is marked ``downloads``."""
    if request.node.get_closest_marker("downloads"):
        return

    def guarded(connect: Callable[..., object]) -> Callable[..., object]:
        def checked(self: socket.socket, address: object) -> object:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _local(address[0]):  # type: ignore[index]
                pytest.fail(f"a test tried to reach {address}; if it must, mark it `downloads`")
            return connect(self, address)

        return checked

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def mtbench_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pinned files of MT-Bench in one folder; skips where shared data is missing."""
    sources = {name: shared_data(*parts) for name, parts in FASTCHAT.items()}
    folder = tmp_path_factory.mktemp("mtbench")
    for name, source in sources.items():
        shutil.copyfile(source, folder / name)
    return folder


@pytest.fixture
def mtbench_files(mtbench_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """evalkit takes MT-Bench's files from shared data, and nothing from the network."""
    monkeypatch.setenv("EVALKIT_ARTIFACTS", str(mtbench_folder))
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    return mtbench_folder


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """``cli("run", "pocket", ...)`` in this process, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evalkit"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # so that what a run sets is taken back

    def run(*arguments: str) -> Ended:
        from evalkit.cli import main

        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def results_made(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[tuple[str, ...], ...], Path]:
    """Results folders by the commands that made them."""
    return {}


@pytest.fixture
def ran(
    cli: Callable[..., Ended],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    results_made: dict[tuple[tuple[str, ...], ...], Path],
) -> Callable[..., None]:
    """``ran(command, ...)`` leaves the results of commands that succeed; they are carried out once a session."""

    def leave(*commands: tuple[str, ...]) -> None:
        results = tmp_path / "results"
        if commands in results_made:
            shutil.copytree(results_made[commands], results)
            return
        assert [cli(*command).code for command in commands] == [0] * len(commands)
        results_made[commands] = tmp_path_factory.mktemp("made") / "results"
        shutil.copytree(results, results_made[commands])

    return leave
