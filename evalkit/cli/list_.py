"""The verb ``evalkit list``: what there is to choose from, read from the YAML itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.cli import messages
from evalkit.cli.arguments import parse
from evalkit.core.paths import shipped
from evalkit.core.protocols import UsageError
from evalkit.datasets import benchmark
from evalkit.settings import ids, members, rubrics

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="evalkit list")
    add = parser.add_argument
    add("what", choices=["models", "judges", "benchmarks", "protocols", "rubrics"])
    add("--config-dir", type=Path, metavar="DIR", help="a folder of your own YAML: list what it adds")
    given = parse(parser, arguments)
    catalogue(given.what, messages.console(stderr=False), given.config_dir)
    return messages.DONE


def entries(what: str, own: Path | None = None) -> Iterator[tuple[str, str, str]]:
    """Name, where it runs or comes from, and description of each model, judge, benchmark or protocol.

    Args:
        what: models, judges, benchmarks or protocols.
        own: a folder of the user's own YAML; what is in it comes last.

    Raises:
        UsageError: there is no such folder, or a file in it is not as it must be.
    """
    if own is not None and not own.is_dir():
        raise UsageError(f"--config-dir {str(own)!r} is not a folder")
    if what == "benchmarks":
        for name in benchmark.names():
            about = benchmark.spec(name)
            yield name, f"protocol {about.protocol}", about.description
        return
    group = what.removesuffix("s")
    for folder in (shipped("conf"), own):
        for path in members.files(folder / group) if folder else ():
            members.check_file(group, path)
            if what == "rubrics":
                yield path.stem, f"{len(rubrics.load(str(path))[0])} criteria", _first_comment(path)
            elif what == "protocols":
                yield path.stem, _target(members.read(path)) or "Declared", _first_comment(path)
            else:
                node = _node(path, [one for one in (own, shipped("conf")) if one])
                yield path.stem, _target(node.get("backend", {})), str(node.get("description", ""))


def _node(path: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """A member's YAML, on top of the one it begins from, if it names one that is in one of the folders."""
    content = members.read(path)
    node: dict[str, Any] = {}
    for base in content.get("defaults", []):
        if isinstance(base, str) and base.startswith("/"):
            files = [folder / f"{base[1:].partition('@')[0]}.yaml" for folder in folders]
            node |= next((_node(file, folders) for file in files if file.is_file() and file != path), {})
    return {**node, **(content.get(path.stem) or next(filter(members.is_member, content.values()), {}))}


def _target(node: dict[str, Any]) -> str:
    return str(node.get("_target_", "")).rpartition(".")[2]


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ") if first.startswith("#") else ""


def catalogue(what: str, console: Console, own: Path | None = None) -> None:
    """Print the entries as a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(what.removesuffix("s"), no_wrap=True, style="bold")
    table.add_column("kind", no_wrap=True)
    table.add_column("description")
    for name, kind, description in entries(what, own):
        table.add_row(Text(name), Text(kind), Text(description))
    console.print(table)
    if what in ("models", "judges"):
        group = what.removesuffix("s")
        reward = f"; {ids.REWARD_FORMS}" if group == "judge" else ""
        console.print(
            f"Any other by id: {group}=openai/ID, anthropic/ID, vllm/ORG/NAME, llamacpp/PATH.gguf, "
            f"http://HOST:PORT/v1#NAME{reward}. "
            f"Your own YAML: DIR/{group}/NAME.yaml, then --config-dir DIR {group}=NAME",
            style="dim",
            markup=False,
        )
