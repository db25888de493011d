"""Files that are there whole or not at all: written beside their place, then moved into it."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path


def remedy(error: OSError) -> str:
    """What lets a file be written that could not be, as the beginning of advice."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "raise the limit of open files, as with `ulimit -n 4096`"
    return "free space or mend permissions"


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file in one step: whoever reads it sees what was there before, or all of the new content.

    A link at ``path`` is replaced by the file, never written through: a results folder may be somebody else's.

    Raises:
        OSError: it cannot be written; what was there is untouched, and nothing else is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()  # of a process of this number that was killed
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with open(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(file)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
