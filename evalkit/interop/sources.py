"""Which files a results folder was imported from, so that a file that is imported again is told from one that is new.

Two files may hold the same verdicts: runs of one judge that came out alike. A file is the same one if it lies where
that lay, whatever has become of it; or if nothing lies there any more and it begins with what was imported.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from evalkit.core.files import replace_file
from evalkit.core.protocols import UsageError

NAME = "imported.json"
_END = b" \t\r\n]"
"""What a file may end in that is in the way of more records."""


class ImportedFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One file, as it was when it was last imported."""

    source: str
    """What it is known by."""
    path: str
    size: int
    """Bytes, without the end of a list and white space after it."""
    content: str
    """SHA-256 of those bytes."""


class Sources:
    """The files that the results of one benchmark were imported from.

    Args:
        folder: the results folder of the benchmark.

    Raises:
        UsageError: its record of files cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "foreign" / NAME
        self._files: list[ImportedFile] = []
        self._found: dict[Path, str] = {}
        if self._path.exists():
            try:
                self._files = msgspec.json.decode(self._path.read_bytes(), type=list[ImportedFile])
            except (OSError, msgspec.MsgspecError) as error:
                raise UsageError(f"cannot read {str(self._path)!r}: {error}; remove it, or import anew") from error

    def of(self, file: Path) -> str:
        """What a file is known by; it is entered if it is new, or has changed."""
        if file not in self._found:
            now = _read(file)
            before = next((known for known in self._files if _same(known, now, file)), None)
            alike = sum(known.source.startswith(now.content[:16]) for known in self._files)
            source = before.source if before else now.content[:16] + (f"-{alike}" if alike else "")
            entry = ImportedFile(source, now.path, now.size, now.content)
            if entry != before:
                self._files = [known for known in self._files if known is not before] + [entry]
                self._path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self._path, msgspec.json.format(msgspec.json.encode(self._files), indent=1) + b"\n")
            self._found[file] = entry.source
        return self._found[file]


def _read(file: Path) -> ImportedFile:
    content = file.read_bytes().rstrip(_END)
    return ImportedFile("", str(file.resolve()), len(content), hashlib.sha256(content).hexdigest())


def _same(known: ImportedFile, now: ImportedFile, file: Path) -> bool:
    """Whether a file is one that was imported: it lies where that lay, or was moved from there, and may have grown."""
    if known.path == now.path:
        return True
    if Path(known.path).exists() or not 0 < known.size <= now.size:
        return False
    with file.open("rb") as opened:
        return hashlib.sha256(opened.read(known.size)).hexdigest() == known.content
