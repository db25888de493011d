"""The verb ``evalkit doctor``: what is installed, which keys are set (never their values), what can run here."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit import __version__
from evalkit.cli import messages
from evalkit.cli.arguments import parse
from evalkit.core.paths import cache_dir
from evalkit.datasets.artifacts import cached, registry

if TYPE_CHECKING:
    from rich.console import Console

REWARD_EXTRA = "pip install 'evalkit[reward]'; a reward model behind a server needs nothing"
State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    state: State
    """missing: not here, but only some runs need it. broken: no run can work like this."""
    detail: str


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="evalkit doctor")
    where = "where results go, to see that they can be written (default: results)"
    parser.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR", help=where)
    given = parse(parser, arguments)
    return messages.DONE if examine(given.results_dir, messages.console(stderr=False)) else messages.FAILED


def examine(results: Path, console: Console) -> bool:
    """Print every finding. Returns False if something is broken."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    findings = list(look(results))
    styles = {"ok": "green", "missing": "yellow", "broken": "bold red"}
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(Text(finding.what), Text(finding.state, style=styles[finding.state]), Text(finding.detail))
    console.print(table)
    return all(finding.state != "broken" for finding in findings)


def look(results: Path) -> Iterator[Check]:
    """Everything that decides whether a run can work here."""
    yield Check("evalkit", "ok", f"{__version__} on Python {platform.python_version()}")
    for package, needed_for in (("openai", "OpenAI and compatible servers"), ("anthropic", "Claude")):
        yield _package(package, needed_for, f"pip install {package}")
    yield _package("xllamacpp", "model=smollm2: models inside this program", "pip install 'evalkit[local]'")
    yield _package("vllm", "model=zephyr, judge=local: models on a GPU", "pip install 'evalkit[vllm]'")
    yield _package("py3langid", "which language answers are in", "pip install 'evalkit[languages]'")
    for package in ("transformers", "torch"):
        yield _package(package, "judge=reward/transformers/...: reward models inside this program", REWARD_EXTRA)
    yield _gpu()
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN"):
        present = bool(os.environ.get(variable))
        yield Check(variable, "ok" if present else "missing", "set" if present else "not set")
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        if os.environ.get(variable):
            yield Check(variable, "ok", "set: requests go there, without the vendor's key")
    yield _writable("cache", cache_dir())
    here = sum(1 for name in registry() if cached(name))
    yield Check(
        "pinned files",
        "ok" if here else "missing",
        f"{here} of {len(registry())} in the cache; the rest come when needed",
    )
    yield _writable("results", results)
    free = shutil.disk_usage(_existing(results)).free / 2**30
    yield Check("disk", "ok" if free > 1 else "broken", f"{free:.0f} GiB free for results")


def _package(name: str, needed_for: str, cure: str) -> Check:
    try:
        return Check(name, "ok", f"{version(name)} ({needed_for})")
    except PackageNotFoundError:
        return Check(name, "missing", f"needed for {needed_for}: {cure}")


def _gpu() -> Check:
    program = shutil.which("nvidia-smi") or shutil.which("rocm-smi")
    if program is None:
        return Check("GPU", "missing", "none found (no nvidia-smi or rocm-smi); use model=smollm2 or a server")
    query = ["--query-gpu=name,memory.total", "--format=csv,noheader"] if program.endswith("nvidia-smi") else []
    try:
        done = subprocess.run([program, *query], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("GPU", "missing", f"{Path(program).name} failed: {error}")
    return Check("GPU", "ok", "; ".join(done.stdout.strip().splitlines()[:8]))


def _writable(what: str, folder: Path) -> Check:
    """Whether files can be made in a folder, or in the nearest one above it that exists; leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            return Check(what, "ok", f"{folder} can be written")
    except OSError as error:
        return Check(what, "broken", f"{folder} cannot be written: {error.strerror}")


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
