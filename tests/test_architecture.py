"""The rules of the layout, read off the source: who may import what, and how big a module may be."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar, get_origin

import pytest

PACKAGE = Path(__file__).parents[1] / "evalkit"
FILES = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))
HEAVY = {
    *("vllm", "openai", "anthropic", "pandas", "scipy", "numpy", "xllamacpp", "matplotlib", "huggingface_hub"),
    *("torch", "transformers", "jinja2", "rich", "starlette", "uvicorn", "markdown_it", "nh3", "tenacity.asyncio"),
}
INPUT_AND_OUTPUT = {
    *("os", "io", "pathlib", "subprocess", "socket", "ssl", "http", "urllib", "shutil", "tempfile", "glob"),
    *("asyncio", "threading", "multiprocessing", "concurrent", "logging", "time", "random", "sys"),
    *("httpx", "aiohttp", "requests", "tenacity", "openai", "anthropic", "hydra", "omegaconf", "rich"),
    *("evalkit.core.streams", "evalkit.core.files", "evalkit.core.console", "evalkit.storage", "evalkit.models"),
    *("evalkit.datasets.artifacts", "evalkit.datasets.downloads", "evalkit.datasets.data_files", "evalkit.backends"),
}
ORDER = (
    "__main__",
    "cli",
    "app",
    "api",
    "runs",
    "trackers",
    "publish",
    "decisions probes rejudge",
    "settings",
    "engine",
    "reports",
    "audit",
    "biases",
    "evidence",
    "interop",
    "ratings",
    "backends judges",
    "storage",
    "datasets",
    "models",
    "core",
    "stats",
)
"""What imports from what: each folder from those that come later, and from itself; those in one entry, not from each
other. ``stats`` and ``core`` import nothing else of ours."""
MOVED = {"protocols", "schema"}
"""Modules that say where things of an earlier release are now."""
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
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            if not MODULES.keys() >= set(names):  # else only modules of the package are meant, not itself
                yield str(node.module)
            yield from names
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


def test_statistics_know_nothing_of_the_harness():
    allowed = {"numpy", "scipy", "evalkit.stats", *STANDARD}
    for path in files_of("stats"):
        names = imported(path, inside_functions=True)
        assert names - within(names, allowed) - {"evalkit"} == set(), path


def test_judges_probes_and_biases_do_no_input_or_output():
    for path in (*files_of("judges"), *files_of("biases"), Path("evalkit/probes/library.py")):
        assert within(imported(path, inside_functions=True), INPUT_AND_OUTPUT) == set(), path
        calls = {
            node.func.id
            for node in ast.walk(ast.parse((PACKAGE.parent / path).read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert calls & {"open", "print", "input", "exec", "eval", "__import__"} == set(), path


def test_only_the_command_line_knows_hydra():
    """Of the command line, one module, and the loader that it has Hydra compose with."""
    for path in FILES:
        if path not in (Path("evalkit/settings/compose.py"), Path("evalkit/settings/guarded_loader.py")):
            assert within(imported(path, inside_functions=True), {"hydra", "omegaconf"}) == set(), path


def test_heavy_libraries_are_imported_where_they_are_used():
    for path in FILES:
        if path.parts[1] != "stats":
            assert within(imported(path), heavy_in(path)) == set(), path


def heavy_in(path: Path) -> set[str]:
    """What a module may import in functions only."""
    heavy = HEAVY | {"hydra", "omegaconf", "evalkit.stats", "evalkit.core.console", "evalkit.reports.figure_svg"}
    heavy |= {"evalkit.settings.guarded_loader", "evalkit.reports.figure_sheet"}
    if path == Path("evalkit/settings/guarded_loader.py"):  # a loader of its kind
        heavy = heavy - {"hydra", "omegaconf"}
    if path == Path("evalkit/backends/vllm_engine.py"):  # runs in the engine's own process
        heavy = heavy - {"vllm"}
    if path == Path("evalkit/core/console.py"):  # a class of its kind
        heavy = heavy - {"rich"}
    if path in (Path("evalkit/reports/figure_svg.py"), Path("evalkit/reports/figure_sheet.py")):  # classes of its own
        heavy = heavy - {"matplotlib"}
    return heavy


RANK = {folder: rank for rank, folders in enumerate(ORDER) for folder in folders.split()}


def test_folders_import_from_those_below_them():
    """Imports inside functions included."""
    for path in FILES:
        here = path.with_suffix("").parts[1]
        names = imported(path, inside_functions=True) - {"evalkit.__version__"}
        if here == "__init__":
            assert within(names, {"evalkit"}) == set()
        elif path.stem not in MOVED:
            targets = {name.split(".")[1] for name in names if name.startswith("evalkit.")}
            above = {there for there in targets if there != here and RANK.get(there, -1) <= RANK[here]}
            assert above == set(), path


def test_no_import_cycles():
    """Not even by imports inside functions."""
    graph = {
        name: {target for target in imported(path, inside_functions=True) if target in MODULES and target != name}
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
    assert "evalkit.core.protocols" in imported(Path("evalkit/cli/messages.py"))
    compose = Path("evalkit/settings/compose.py")
    assert "hydra" in imported(compose, inside_functions=True) - imported(compose)
    assert "numpy" in imported(Path("evalkit/stats/resample.py"))
    assert "numpy" in imported(Path("evalkit/ratings/scores.py"), inside_functions=True) - imported(
        Path("evalkit/ratings/scores.py")
    )


def test_modules_stay_small():
    for path in FILES:
        assert len((PACKAGE.parent / path).read_text(encoding="utf-8").splitlines()) <= 600, path
        assert path.name not in ("utils.py", "util.py", "helpers.py", "common.py", "misc.py"), path


def test_the_pipeline_fits_one_screen():
    assert len((PACKAGE / "engine/pipeline.py").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_command_line_imports_nothing_heavy():
    heavy = sorted(HEAVY | {"hydra", "omegaconf", "tenacity", "httpx", "aiohttp", "platformdirs"})
    code = f"import sys, evalkit.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_help_imports_nothing_heavy():
    """Its time is measured by tests/perf/start_up.py, in starts of a bare interpreter."""
    code = "from evalkit.cli import main\ntry: main(['--help'])\nfinally: import sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0
    assert "leaderboard" in done.stdout
    assert "doctor" in done.stdout
    assert {"numpy", "scipy", "pandas", "hydra", "omegaconf", "openai", "anthropic"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_loads_nothing_but_the_grammar(arguments):
    code = f"""
import sys
from evalkit.cli import main
try:
    main({arguments})
finally:
    ours = sorted(name for name in sys.modules if name.startswith(("evalkit.", "msgspec")))
    print(ours, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stderr.strip() == "['evalkit.cli', 'evalkit.cli.arguments', 'evalkit.cli.main']", done.stderr


def test_reports_know_no_verb():
    verbs = {"evalkit.cli", "evalkit.engine.session", "evalkit.runs", "evalkit.rejudge.run", "evalkit.probes"}
    for path in files_of("reports"):
        assert within(imported(path, inside_functions=True), verbs) == set(), path


BASES = ("JudgeProtocol", "OwnPrompt")
"""Classes that are there to be derived from."""
PROTOCOL_FILES = [path for path in files_of("judges") if path.name != "__init__.py"]


def protocol_classes() -> list[type]:
    """Every class in judges/ that can ask and read."""
    found = {}
    for path in PROTOCOL_FILES:
        module = importlib.import_module(module_name(path))
        for value in vars(module).values():
            if isinstance(value, type) and hasattr(value, "request") and hasattr(value, "parse"):
                found[value.__module__, value.__qualname__] = value
    return [cls for cls in found.values() if not cls.__name__.startswith("_") and cls.__name__ not in BASES]


@pytest.mark.parametrize("cls", protocol_classes(), ids=lambda cls: cls.__name__)
def test_protocols_name_themselves_on_the_class(cls):
    """Tables and file names need these without an object; a YAML's own name is a field, with a default."""
    assert isinstance(cls.name, str)
    assert cls.name
    assert isinstance(cls.parser, str | property)
    notes = cls.__annotations__
    named_by_file = "name" in {field.name for field in dataclasses.fields(cls)}
    assert named_by_file or "ClassVar" in str(notes["name"]) or get_origin(notes["name"]) is ClassVar
    if isinstance(cls.shows, property):  # its instructions say how many
        assert named_by_file
        return
    assert cls.shows >= 1
    assert "ClassVar" in str(notes["shows"]) or get_origin(notes["shows"]) is ClassVar
