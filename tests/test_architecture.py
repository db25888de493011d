"""The rules of the layout, read off the source: who may import what, and how big a module may be."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar, get_origin

import pytest

PACKAGE = Path(__file__).parents[1] / "evalkit"
FILES = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))
HEAVY = {
    *("vllm", "openai", "anthropic", "pandas", "scipy", "numpy", "xllamacpp", "plotly", "huggingface_hub"),
    *("torch", "transformers", "jinja2", "rich", "tenacity.asyncio"),
}
INPUT_AND_OUTPUT = {
    *("os", "io", "pathlib", "subprocess", "socket", "ssl", "http", "urllib", "shutil", "tempfile", "glob"),
    *("asyncio", "threading", "multiprocessing", "concurrent", "logging", "time", "random", "sys"),
    *("httpx", "aiohttp", "requests", "tenacity", "openai", "anthropic", "hydra", "omegaconf", "rich"),
    *(
        "evalkit.client",
        "evalkit.store",
        "evalkit.artifacts",
        "evalkit.downloads",
        "evalkit.streams",
        "evalkit.backends",
    ),
    *(
        "evalkit.run",
        "evalkit.pipeline",
        "evalkit.cli",
        "evalkit.compose",
        "evalkit.config",
        "evalkit.progress",
        "evalkit.report",
    ),
}
STANDARD = sys.stdlib_module_names


def module_name(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(tree: ast.AST, *, inside_functions: bool = False) -> Iterator[str]:
    """Names of modules imported when a module is (or also when its functions run); never those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            continue
        elif not is_type_checking(node):
            yield from imports(node, inside_functions=inside_functions)


@cache
def imported(path: Path, *, inside_functions: bool = False) -> frozenset[str]:
    tree = ast.parse((PACKAGE.parent / path).read_text(encoding="utf-8"))
    return frozenset(imports(tree, inside_functions=inside_functions))


def within(names: frozenset[str], packages: set[str]) -> set[str]:
    """Those of the names that are, or are in, one of the packages."""
    return {name for name in names if any(name == package or name.startswith(f"{package}.") for package in packages)}


def files_of(folder: str) -> list[Path]:
    return [path for path in FILES if path.parts[1] == folder]


@pytest.mark.parametrize("path", files_of("stats"), ids=str)
def test_statistics_know_nothing_of_the_harness(path):
    allowed = {"numpy", "scipy", "evalkit.stats", *STANDARD}
    names = imported(path, inside_functions=True)
    assert names - within(names, allowed) - {"evalkit"} == set()


@pytest.mark.parametrize("path", files_of("judges") + files_of("biases") + files_of("probes"), ids=str)
def test_judges_probes_and_biases_do_no_input_or_output(path):
    assert within(imported(path, inside_functions=True), INPUT_AND_OUTPUT) == set()
    calls = {
        node.func.id
        for node in ast.walk(ast.parse((PACKAGE.parent / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & {"open", "print", "input", "exec", "eval", "__import__"} == set()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_the_command_line_knows_hydra(path):
    """Of the command line, one module."""
    if path != Path("evalkit/compose.py"):
        assert within(imported(path, inside_functions=True), {"hydra", "omegaconf"}) == set()


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[1] != "stats"], ids=str)
def test_heavy_libraries_are_imported_where_they_are_used(path):
    heavy = HEAVY | {"hydra", "omegaconf", "evalkit.stats", "evalkit.console"}
    if path == Path("evalkit/backends/vllm_engine.py"):  # runs in the engine's own process
        heavy = heavy - {"vllm"}
    if path == Path("evalkit/console.py"):  # a class of its kind
        heavy = heavy - {"rich"}
    assert within(imported(path), heavy) == set()


def test_no_import_cycles():
    graph = {
        name: {target for target in imported(path) if target in MODULES and target != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_graph_is_not_empty():
    """A guard of the tests above: imports are seen at all, in modules and in functions."""
    assert "evalkit.protocols" in imported(Path("evalkit/cli.py"))
    compose = Path("evalkit/compose.py")
    assert "hydra" in imported(compose, inside_functions=True) - imported(compose)
    assert "numpy" in imported(Path("evalkit/stats/resample.py"))
    assert "numpy" in imported(Path("evalkit/rate.py"), inside_functions=True) - imported(Path("evalkit/rate.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_modules_stay_small(path):
    assert len((PACKAGE.parent / path).read_text(encoding="utf-8").splitlines()) <= 600
    assert path.name not in ("utils.py", "util.py", "helpers.py", "common.py", "misc.py")


def test_the_pipeline_fits_one_screen():
    assert len((PACKAGE / "pipeline.py").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_command_line_imports_nothing_heavy():
    heavy = sorted(HEAVY | {"hydra", "omegaconf", "tenacity", "httpx", "aiohttp", "platformdirs"})
    code = f"import sys, evalkit.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_help_is_quick():
    """Generous, for a busy machine; tests/perf measures."""
    command = [sys.executable, "-c", "from evalkit.cli import main; main(['--help'])"]
    took = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"COLUMNS": "80"})
        took.append(time.perf_counter() - start)
        assert done.returncode == 0
    assert "leaderboard" in done.stdout
    assert "doctor" in done.stdout
    print(f"evalkit --help: {min(took):.2f} s")
    assert min(took) < 1.0


PROTOCOL_FILES = [path for path in files_of("judges") if path.name != "__init__.py"]


def protocol_classes() -> list[type]:
    """Every class in judges/ that can ask and read."""
    found = {}
    for path in PROTOCOL_FILES:
        module = importlib.import_module(module_name(path))
        for value in vars(module).values():
            if isinstance(value, type) and hasattr(value, "request") and hasattr(value, "parse"):
                found[value.__module__, value.__qualname__] = value
    return [cls for cls in found.values() if not cls.__name__.startswith("_")]


@pytest.mark.parametrize("cls", protocol_classes(), ids=lambda cls: cls.__name__)
def test_protocols_name_themselves_on_the_class(cls):
    """Tables and file names need these without an object."""
    assert isinstance(cls.name, str)
    assert cls.name
    assert isinstance(cls.shows, int)
    assert cls.shows >= 1
    assert isinstance(cls.parser, str | property)
    notes = cls.__annotations__
    assert all("ClassVar" in str(notes[name]) or get_origin(notes[name]) is ClassVar for name in ("name", "shows"))
