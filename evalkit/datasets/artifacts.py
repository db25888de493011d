"""Pinned files: from a Python package, the Hugging Face hub, GitHub or a local folder; checked by SHA-256, then cached.

``conf/artifacts.yaml`` lists them. ``fetch("mtbench-questions")`` gives a path whose content has the listed hash, or
raises UsageError. What a cached file needs is one ``stat``: its hash is computed again when size or time changed.

Environment: EVALKIT_CACHE_DIR (where to keep files), EVALKIT_ARTIFACTS (a folder to look into before any download),
EVALKIT_OFFLINE (download nothing). pip's and the hub's own settings (mirror, proxy, token) apply.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import fcntl
import functools
import hashlib
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from evalkit.core.paths import cache_dir, shipped
from evalkit.core.protocols import UsageError
from evalkit.datasets.downloads import DownloadStopped, DownloadWatch, GitHub, Hub, Unavailable, Wheel

T = TypeVar("T")

CHUNK = 1 << 20
POLL = 0.1
"""Seconds between two looks at a lock another process holds."""


class BadArtifact(UserWarning):
    """A file did not have the content its registry entry promises, and was not used."""


class Progress(Protocol):
    """Called while a file is on its way, from a worker thread; never called for a file already here."""

    def __call__(self, name: str, done: int, total: int | None, /) -> None:
        """``done`` of ``total`` bytes; the total is None where unknown. Starts again at 0 with each source."""
        ...


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a file can be had: exactly one of these."""

    wheel: Wheel | None = None
    hub: Hub | None = None
    github: GitHub | None = None

    def __post_init__(self) -> None:
        if sum(origin is not None for origin in (self.wheel, self.hub, self.github)) != 1:
            raise ValueError("a source is one of: wheel, hub, github")

    @property
    def origin(self) -> Wheel | Hub | GitHub:
        """The source that is given."""
        origin = self.wheel or self.hub or self.github
        assert origin is not None
        return origin


class Artifact(Struct, frozen=True, forbid_unknown_fields=True):
    """A pinned file: what it must be, and where it can be had, best source first."""

    name: str
    file: Annotated[str, Meta(pattern=r"^[^/\\]+$")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    sources: tuple[Source, ...]
    size: int | None = None

    @property
    def home(self) -> Path:
        """Folder of the file in the cache; another one for other content."""
        return cache_dir() / "artifacts" / f"{self.name}-{self.sha256[:8]}"


@functools.cache
def registry() -> Mapping[str, Artifact]:
    """Every pinned file by name."""
    return {entry.name: entry for entry in shipped_list("artifacts.yaml", Artifact, "pinned files")}


def shipped_list(file: str, kind: type[T], what: str) -> list[T]:
    """The entries of a list in conf/ that ships with evalkit.

    Raises:
        UsageError: it cannot be read; ``what`` says in the message of what it is.
    """
    path = shipped("conf") / file
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=list[kind])  # type: ignore[valid-type]
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"cannot read the list of {what} {str(path)!r}: {error}. Install evalkit again") from error


def artifact(name: str) -> Artifact:
    """The registry entry of that name."""
    known = registry()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known))}"
        raise UsageError(f"no pinned file is called {name!r}. {hint}")
    return known[name]


def cached(name: str) -> Path | None:
    """The cached file if it is there and sound. Never downloads."""
    wanted = artifact(name)
    with _cache_trouble():
        path = wanted.home / wanted.file
        return path if _sound(path, wanted) else None


_SHOWING: ContextVar[Progress | None] = ContextVar("showing", default=None)


@contextlib.contextmanager
def showing(progress: Progress) -> Iterator[None]:
    """Report the downloads inside to ``progress``, where the call itself names no other."""
    token = _SHOWING.set(progress)
    try:
        yield
    finally:
        _SHOWING.reset(token)


async def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """The path of the pinned file, after downloading it if needed. Cancelling ends the download.

    Raises:
        UsageError: no such name, no source could give the file, or the cache folder cannot be used.
    """
    stop = threading.Event()
    try:
        return await asyncio.to_thread(_fetch, artifact(name), progress or _SHOWING.get(), stop)
    finally:
        stop.set()


def _fetch(wanted: Artifact, progress: Progress | None, stop: threading.Event) -> Path:
    path = wanted.home / wanted.file
    with _cache_trouble():
        if _sound(path, wanted):
            return path
        failures: list[str] = []
        if given := _from_folder(wanted, failures):
            return given
        with _alone(wanted.home, stop) as work:
            if _sound(path, wanted):  # another process brought it while we waited
                return path
            if path.exists():
                _warn(f"{str(path)!r} is damaged (not SHA-256 {wanted.sha256}); fetching it again")
                path.unlink()
            for number, source in enumerate(wanted.sources):
                try:
                    _download(wanted, source, work / str(number), progress, stop)
                except Unavailable as error:
                    failures.append(f"{source.origin}: {error}")
                else:
                    return path
    tried = "".join(f"\n  - {failure}" for failure in failures)
    raise UsageError(
        f"cannot get {wanted.name!r}:{tried}\nMend one of these, or put {wanted.file} (SHA-256 {wanted.sha256}) "
        "into a folder of yours and set EVALKIT_ARTIFACTS to that folder"
    )


def _from_folder(wanted: Artifact, failures: list[str]) -> Path | None:
    """The file in the user's own folder, where it stays. A wrong one is reported, never removed."""
    folder = os.environ.get("EVALKIT_ARTIFACTS")
    if not folder:
        return None
    path = Path(folder).expanduser().absolute() / wanted.file
    if _sound(path, wanted):
        return path
    if path.is_file():
        failures.append(f"EVALKIT_ARTIFACTS: {str(path)!r} {_differs(_digest(path), wanted)}")
        _warn(failures[-1])
    else:
        failures.append(f"EVALKIT_ARTIFACTS: no file {str(path)!r}")
    return None


def _download(wanted: Artifact, source: Source, work: Path, progress: Progress | None, stop: threading.Event) -> None:
    def report(done: int) -> None:
        if progress:
            progress(wanted.name, done if wanted.size is None else min(done, wanted.size), wanted.size)

    report(0)
    work.mkdir()
    with source.origin.open(work, DownloadWatch(report, stop)) as content:
        size = _store(content, wanted, source, work / "checked")
    report(size)


def _store(content: IO[bytes], wanted: Artifact, source: Source, target: Path) -> int:
    """Copy while hashing; move into place only what has the right hash. The size."""
    hashed, done = hashlib.sha256(), 0
    with target.open("wb") as file:
        while chunk := content.read(CHUNK):
            done += len(chunk)
            if wanted.size is not None and done > wanted.size:
                raise Unavailable(f"{wanted.file} is longer than {wanted.size} bytes")
            hashed.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if hashed.hexdigest() != wanted.sha256:
        target.unlink()
        problem = _differs(hashed.hexdigest(), wanted)
        _warn(f"{source.origin}: {problem}; discarded")
        raise Unavailable(problem)
    path = wanted.home / wanted.file
    os.replace(target, path)
    _mark(_proof(path, wanted), wanted)
    return done


def _sound(path: Path, wanted: Artifact) -> bool:
    """Whether the file is there with the right content. Hashes it only if size or time changed since the last time."""
    if not path.is_file() or (wanted.size is not None and path.stat().st_size != wanted.size):
        return False
    proof = _proof(path, wanted)
    with contextlib.suppress(OSError):
        if (wanted.home / ".verified").read_text() == proof:
            return True
    if _digest(path) != wanted.sha256:
        return False
    _mark(proof, wanted)
    return True


def _mark(proof: str, wanted: Artifact) -> None:
    with contextlib.suppress(OSError):  # a read-only cache is only slower
        wanted.home.mkdir(parents=True, exist_ok=True)
        (wanted.home / ".verified").write_text(proof)


def _proof(path: Path, wanted: Artifact) -> str:
    stat = path.stat()
    return f"{wanted.sha256} {stat.st_size} {stat.st_mtime_ns} {path}\n"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _differs(found: str, wanted: Artifact) -> str:
    return f"{wanted.file} has SHA-256 {found}, expected {wanted.sha256}"


def _warn(message: str) -> None:
    warnings.warn(message, BadArtifact, stacklevel=4)


@contextlib.contextmanager
def _alone(home: Path, stop: threading.Event) -> Iterator[Path]:
    """A work folder beside the cached file, while no other process or thread has one."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.wait(POLL):
                    raise DownloadStopped from None
        for left in home.glob(".part-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".part-", ignore_cleanup_errors=True) as work:
            yield Path(work)


@contextlib.contextmanager
def _cache_trouble() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot use the cache folder {str(cache_dir())!r}: {error}. "
            "Free space or fix permissions, or set EVALKIT_CACHE_DIR to another folder"
        ) from error
