"""The verb ``evalkit init``: write a commented project to start from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.cli import messages
from evalkit.cli.arguments import parse
from evalkit.core.paths import inside
from evalkit.core.protocols import UsageError

HIDDEN = {"gitignore", "github"}
"""What begins with a dot in a project, but not here, where it would hide files from packaging tools."""


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: the project cannot be written there.
    """
    parser = argparse.ArgumentParser(
        prog="evalkit init",
        description="Write a project to start from: questions, two models, a judge, a rubric and a CI workflow with a "
        "gate, all commented. It runs as it stands, on the small model inside evalkit.",
    )
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="where (default: this folder)")
    add("--force", action="store_true", help="overwrite files that are there already")
    given = parse(parser, arguments)
    console = messages.console(stderr=False)
    kept = 0
    for path, content in project():
        what = _write(given.folder / path, content, overwrite=given.force)
        kept += what == "kept"
        console.print(f"  {what:<12}{given.folder / path}", markup=False, soft_wrap=True)
    if kept:
        messages.note(f"kept: files that were there with other content, {kept} in all; --force overwrites them")
    console.print(f"\nNext{'' if given.folder == Path() else f', in {given.folder}'}:", markup=False, soft_wrap=True)
    for command in commands():
        console.print(f"  {command}", markup=False, soft_wrap=True)
    return messages.DONE


def project() -> Iterator[tuple[Path, bytes]]:
    """The files of the project: where they go, and what is in them."""
    template = inside("cli/project")
    for path in sorted(one for one in template.rglob("*") if one.is_file()):
        first, *rest = path.relative_to(template).parts
        yield Path(f".{first}" if first in HIDDEN else first, *rest), path.read_bytes()


def commands() -> list[str]:
    """What to type next: the commands of the project's own README."""
    text = dict(project())[Path("README.md")].decode()
    return text.partition("```sh\n")[2].partition("```")[0].splitlines()


def _write(path: Path, content: bytes, *, overwrite: bool) -> str:
    """Write one file, unless another one is there. Returns what was done.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        if path.exists() or path.is_symlink():
            if path.is_file() and path.read_bytes() == content:
                return "unchanged"
            if not overwrite:
                return "kept"
            path.write_bytes(content)
            return "overwritten"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"cannot write {str(path)!r}: {error.strerror}; name another folder: evalkit init DIR"
        ) from error
    return "written"
