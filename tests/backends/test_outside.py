"""Backends that are written elsewhere: derived from ``Backend``, or only shaped like one."""

import asyncio
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import pytest

from evalkit import protocols, schema
from evalkit.core.protocols import Backend, Completion
from evalkit.core.schema import Usage
from evalkit.settings import targets


@pytest.mark.slow
@dataclass(kw_only=True)
class Shaped:
    """Has what a backend has and derives from nothing."""

    reply: str = "[[7]]"
    concurrency: int = 2
    timeout: float = 10.0
    exclusive: bool = False
    account: str | None = None
    prefix_cache: None = None

    def identity(self):
        return {"reply": self.reply}

    async def open(self):
        pass

    async def complete(self, request):
        return Completion(self.reply, usage=Usage(1, 1))

    async def close(self):
        pass


@dataclass(kw_only=True)
class Derived(Backend):
    """Writes what a backend must write."""

    reply: str = "[[7]]"
    concurrency: int = 2

    def identity(self):
        return {"reply": self.reply}

    async def complete(self, request):
        return Completion(self.reply, usage=Usage(1, 1))


@dataclass(kw_only=True)
class OfOneReleaseAgo(protocols.Backend):
    """Imports from where things were before."""

    concurrency: int = 2

    def identity(self):
        return {}

    async def complete(self, request):
        return protocols.Completion("[[7]]", usage=schema.Usage(1, 1))


@pytest.mark.parametrize("kind", [Shaped, Derived, OfOneReleaseAgo])
def test_one_from_an_entry_point_package_runs(kind, cli, tmp_path, monkeypatch):
    package = ModuleType("outside")
    package.Mine = kind
    monkeypatch.setitem(sys.modules, "outside", package)
    points = [SimpleNamespace(name="outside", value="outside")]
    monkeypatch.setattr(targets, "entry_points", lambda group: points if group == "evalkit" else [])
    for folder in ("model", "judge"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
    text = "mine:\n  backend:\n    _target_: outside.Mine\n    concurrency: 3\n"
    (tmp_path / "mine" / "model" / "mine.yaml").write_text(text)
    done = cli("run", "pocket", "model=mine", "judge=fake", "--config-dir", str(tmp_path / "mine"))
    assert done.code == 0, done.err
    assert list(tmp_path.rglob("answers/mine.jsonl"))


def test_a_field_without_a_default_is_refused():
    with pytest.raises(TypeError, match=r"the field Mine.concurrency needs a default.*concurrency: \.\.\. = VALUE"):

        @dataclass(kw_only=True)
        class Mine(Backend):
            concurrency: int


def test_one_without_its_two_methods_says_which():
    class Empty(Backend):
        pass

    with pytest.raises(NotImplementedError, match="write identity"):
        Empty().identity()
    with pytest.raises(NotImplementedError, match="write complete"):
        asyncio.run(Empty().complete(None))
