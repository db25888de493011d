"""What is packed and published: the wheel's contents, its metadata, and what starting it costs and loads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A wheel and a source archive of the checkout."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    code = (
        "import sys; from hatchling import build\n"
        "print(build.build_wheel(sys.argv[1])); print(build.build_sdist(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    (source,) = folder.glob("*.tar.gz")
    return wheel, source


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(packed):
    names = set(zipfile.ZipFile(packed[0]).namelist())
    wanted = {
        *("evalkit/py.typed", "evalkit/conf/run.yaml", "evalkit/benchmarks/pocket/questions.jsonl"),
        *("evalkit/cli/shells/evalkit.bash", "evalkit/cli/shells/evalkit.zsh", "evalkit/cli/shells/evalkit.fish"),
        *("evalkit/cli/project/gitignore", "evalkit/cli/project/github/workflows/evaluation.yml"),
    }
    assert wanted <= names
    for folder in ("evalkit", "conf", "benchmarks"):
        inside = "" if folder == "evalkit" else "evalkit/"
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{inside}{path.relative_to(ROOT)}" in names, path
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"evalkit"}
    assert not [name for name in names if name.endswith((".pyc", ".env")) or "/results/" in name]


@pytest.mark.slow
def test_the_source_archive_can_be_tested(packed):
    with tarfile.open(packed[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "mkdocs.yml", "docs/index.md", "tests/conftest.py"} <= names


@pytest.mark.slow
def test_the_index_would_take_it(packed):
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, packed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_command_is_named_like_the_package():
    """So that `uvx evalkit` and `pipx run evalkit` find it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"evalkit": "evalkit.cli:main"}
    assert project["name"] == "evalkit"


def test_import_loads_nothing_heavy():
    """Its time, in starts of a bare interpreter, is measured by tests/perf/start_up.py."""
    code = "import sys; before = set(sys.modules); import evalkit; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded <= {"evalkit", "__future__", "typing", *sys.stdlib_module_names}
    assert {"numpy", "asyncio", "json", "dataclasses"}.isdisjoint(loaded)


def interpreter(minor: int) -> str | None:
    """Python 3.MINOR on this machine: one on the path that starts, or one of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    there = [shutil.which(f"python3.{minor}"), *map(str, root.glob(f"versions/3.{minor}.*/bin/python3.{minor}"))]
    for program in filter(None, there):  # a shim of pyenv's may start nothing
        if subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
            return program
    return None


@pytest.mark.slow
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_every_module_compiles_on_each_interpreter_at_hand(minor):
    """Syntax, warnings included; .ci/run also installs and runs the wheel on each."""
    program = interpreter(minor)
    if program is None:
        pytest.skip(f"no Python 3.{minor} here")
    code = (
        "import pathlib, sys\n"
        "for path in pathlib.Path(sys.argv[1]).rglob('*.py'): compile(path.read_text('utf-8'), str(path), 'exec')"
    )
    subprocess.run([program, "-W", "error", "-c", code, str(ROOT / "evalkit")], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("way", [["uvx", "--from"], ["pipx", "run", "--spec"]], ids=["uvx", "pipx"])
def test_it_runs_without_an_installation(packed, tmp_path, way):
    """From the wheel, where uv or pipx is installed; dependencies come from their caches or the index."""
    program = shutil.which(way[0])
    if program is None:
        pytest.skip(f"no {way[0]} here")
    env = os.environ | {"HOME": str(tmp_path), "PIPX_HOME": str(tmp_path / "pipx")}
    run = ["evalkit", "run", "pocket", "model=fake", "judge=fake", "limit=1"]
    done = subprocess.run(
        [program, *way[1:], str(packed[0]), *run], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "pocket: scores by fake" in done.stdout
