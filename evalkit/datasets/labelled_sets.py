"""Sets of labelled answers by name, from the hub, or of the user's own: where their files are on this machine."""

from __future__ import annotations

import asyncio
import difflib
import functools
import os
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from evalkit.core.paths import cache_dir
from evalkit.core.protocols import UsageError
from evalkit.datasets.artifacts import fetch, shipped_list
from evalkit.datasets.data_files import stem
from evalkit.datasets.downloads import DownloadWatch, Hub, Unavailable

HUB: Final = "hub:"
"""What a set on the hub begins with."""
_ON_HUB: Final = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})/(?P<path>[^\s]+)")
FORM: Final = "hub:OWNER/NAME@REVISION/PATH, where REVISION is the 40 digits of a commit"
"""How a file on the hub is named."""


class HubFiles(Struct, frozen=True, forbid_unknown_fields=True):
    """Files of one repository of the hub."""

    repo: str
    revision: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")] | None = None
    """The commit. None: it is not known to us, and whoever wants the set has to name one."""
    paths: tuple[str, ...] = ()
    """In the repository; empty without a revision."""
    unpinned: str = ""
    """Why there is no revision, and what to do; for the message."""

    def __post_init__(self) -> None:
        """Refuse a pin without files, and a missing one without a word on it."""
        if (self.revision is None) == bool(self.paths) or (self.revision is None) != bool(self.unpinned):
            raise ValueError("a repository of the hub has a revision and paths, or says why not in `unpinned`")


class LabelledSet(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``conf/labelled_sets.yaml``."""

    name: str
    title: str
    source: str
    licence: str
    format: str
    """A format of ``evalkit import``."""
    files: dict[str, str] = {}
    """Pinned file by the path it is read under."""
    hub: HubFiles | None = None
    """Instead of these, where it is on the Hugging Face hub."""

    def __post_init__(self) -> None:
        """Refuse a set that is nowhere, or in two places."""
        if bool(self.files) == (self.hub is not None):
            raise ValueError("a set has files, or is on the hub")


class FoundSet(NamedTuple):
    """The files of a set, and how they are read."""

    path: Path
    name: str
    """What its results are called."""
    format: str | None
    """None: by its fields."""


@functools.cache
def labelled_sets() -> Mapping[str, LabelledSet]:
    """Every set that is known by name."""
    return {entry.name: entry for entry in shipped_list("labelled_sets.yaml", LabelledSet, "labelled sets")}


async def find_set(which: str) -> FoundSet:
    """The set that is called so, after downloading it if needed; or the file or folder at this path.

    Args:
        which: a name, a path, or a file on the hub at a revision.

    Raises:
        UsageError: there is none, or it cannot be had.
    """
    known = labelled_sets()
    if which in known:
        entry = known[which]
        folder = await (_fetched(entry) if entry.hub is None else asyncio.to_thread(_pinned_on_hub, which, entry.hub))
        return FoundSet(folder, which, entry.format)
    if which.startswith(HUB):
        found = _ON_HUB.fullmatch(which)
        if found is None or ".." in found["path"].split("/"):
            raise UsageError(f"{which!r} is no file on the hub; write {FORM}")
        path = await asyncio.to_thread(_from_hub, Hub(found["repo"], "dataset", found["revision"], found["path"]))
        return FoundSet(path, found["repo"].rpartition("/")[2].lower(), None)
    if os.path.exists(which):
        path = Path(which)
        return FoundSet(path, (path.resolve().name if path.is_dir() else stem(path)) or "preferences", None)
    near = difflib.get_close_matches(which, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"questions={which}: no such file, and no labelled set of this name.{hint} There are: {', '.join(known)}; or "
        f"give a file, or {FORM}"
    )


async def _fetched(wanted: LabelledSet) -> Path:
    """A folder with the files of a set, each under its path."""
    folder = cache_dir() / "sets" / wanted.name
    for place, artifact in wanted.files.items():
        source, target = await fetch(artifact), folder / place
        _copy(source, target)
    return folder


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and target.stat().st_mtime_ns == source.stat().st_mtime_ns:
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy2(source, part)
        os.replace(part, target)
    except OSError as error:
        raise UsageError(f"cannot write {str(target)!r}: {error.strerror}; set EVALKIT_CACHE_DIR") from error


def _pinned_on_hub(name: str, pinned: HubFiles) -> Path:
    """A folder with the files of a set that is on the hub."""
    if pinned.revision is None:
        raise UsageError(
            f"questions={name}: this set is on the hub only, as {pinned.repo}, and no revision of it is pinned: "
            f"{pinned.unpinned} Write questions=hub:{pinned.repo}@REVISION/PATH, with the 40 digits of a commit, which "
            f"https://huggingface.co/datasets/{pinned.repo}/commits/main shows; or download the file and give "
            "questions=FILE"
        )
    root = cache_dir() / "sets" / "hub" / pinned.repo / pinned.revision
    for path in pinned.paths:
        _from_hub(Hub(pinned.repo, "dataset", pinned.revision, path))
    return root / pinned.paths[0] if len(pinned.paths) == 1 else root


def _from_hub(file: Hub) -> Path:
    """The file in the cache, downloaded if it is not there: a revision never changes."""
    target = cache_dir() / "sets" / "hub" / file.repo / file.revision / file.path
    if target.is_file():
        return target
    work = target.parent / f".part-{os.getpid()}"
    try:
        work.mkdir(parents=True, exist_ok=True)
        watch = DownloadWatch(lambda _: None, threading.Event())
        with file.open(work, watch) as content, (work / ".copy").open("wb") as copy:
            shutil.copyfileobj(content, copy)
        os.replace(work / ".copy", target)
    except Unavailable as error:
        raise UsageError(
            f"cannot get {file}: {error}. Download {file.path} of {file.repo} yourself, and give questions=FILE"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot write {str(target)!r}: {error.strerror}; set EVALKIT_CACHE_DIR") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
