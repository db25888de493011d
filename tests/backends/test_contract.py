"""The contract every backend keeps, run over each module of evalkit/backends that defines one.

Each has a rig in tests/backends/rigs/<module>.py that can put it into every situation: ``success``, ``truncation``,
``refusal``, ``429``, ``500``, ``timeout`` (it never answers), ``400`` (Rejected), ``garbage`` (Malformed), and those of
``ALSO``. The rig of a backend without a server names the ones it cannot be in::

    IMPOSSIBLE = {}        situations this backend cannot be in, and why
    ALSO = ()              of ``empty`` and ``surrogate``: those it can be in
    NEEDS = ()             packages without which its tests are skipped (not set: the rig has a stub)
    RETRY_AFTER = 7.0      the seconds its 429 asks for, if it asks
    USAGE = (500, 5, 200)  tokens of prompt, completion and cache its success reports, if that is fixed
    WRITES = False         it answers with numbers, which are no tokens
    WRAPS = True           it stands for other backends, which have the fields that a YAML gives

    @contextmanager
    def rig(**fields):     yields an object with .backend (made with these fields, not opened)
                           and .provoke(*situations) for the next requests
"""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from evalkit.core.protocols import Completion, Malformed, Message, Rejected, Request, Sampling, Transport

HERE = Path(__file__).parent
BACKENDS = HERE.parents[1] / "evalkit" / "backends"
HEAVY = {"openai", "anthropic", "xllamacpp", "vllm", "torch", "transformers", "httpx2", "aiohttp", "pandas", "scipy"}
HEAVY |= {"ray"}
REQUEST = Request((Message("system", "Be brief."), Message("user", "Is the sky blue?")), Sampling(max_tokens=64))
NAUGHTY = "lone \ud800 surrogate, nul \x00, bell \x07, escape \x1b[31m, emoji 😀, separator \u2028, bom \ufeff"


def class_of(path: Path) -> str | None:
    """Name of the public class with a ``complete`` method."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = {inner.name for inner in node.body if isinstance(inner, ast.AsyncFunctionDef)}
            if "complete" in methods:
                return node.name
    return None


MODULES = sorted(path.stem for path in BACKENDS.glob("*.py") if class_of(path))


def load(name: str):
    """The rig module."""
    path = HERE / "rigs" / f"{name}.py"
    if not path.exists():
        pytest.fail(
            f"evalkit/backends/{name}.py has no rig: write tests/backends/rigs/{name}.py with a context manager "
            f"rig(**fields) and IMPOSSIBLE, as the top of tests/backends/test_contract.py says; fake.py is the shortest"
        )
    key = f"rig_of_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules[key]


@pytest.fixture(params=MODULES)
def rigs(request):
    module = load(request.param)
    for package in getattr(module, "NEEDS", ()):
        pytest.importorskip(package)
    return module


def can(module, *situations):
    """Skip if the backend cannot get into one of these."""
    for situation in situations:
        if situation in module.IMPOSSIBLE:
            pytest.skip(module.IMPOSSIBLE[situation])
        if situation in ("empty", "surrogate") and situation not in getattr(module, "ALSO", ()):
            pytest.skip("not at this level")


def play(module, *situations, request=REQUEST, **fields):
    """What one backend makes of the situations, one after another: completions and errors."""
    can(module, *situations)

    async def run(backend):
        await backend.open()
        try:
            return [await outcome(backend, request) for _ in situations]
        finally:
            await backend.close()

    with module.rig(**fields) as rig:
        rig.provoke(*situations)
        return asyncio.run(run(rig.backend))


async def outcome(backend, request):
    try:
        return await backend.complete(request)
    except (Transport, Rejected, Malformed) as error:
        return error


def test_every_backend_has_a_rig():
    assert MODULES
    for name in MODULES:
        assert hasattr(load(name), "rig")


def test_success(rigs):
    (completion,) = play(rigs, "success")
    assert isinstance(completion, Completion)
    assert completion.text
    assert completion.finish == "stop"
    usage = completion.usage
    assert usage.prompt_tokens > 0
    assert (usage.completion_tokens > 0) == getattr(rigs, "WRITES", True)
    assert 0 <= usage.cached_tokens <= usage.prompt_tokens
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == getattr(
        rigs, "USAGE", (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    )


def test_a_truncated_answer_is_an_answer_and_says_so(rigs):
    (truncated,) = play(rigs, "truncation")
    assert truncated.finish == "length"
    assert truncated.text


def test_a_refusal_is_an_answer_and_says_so(rigs):
    (refused,) = play(rigs, "refusal")
    assert refused.finish == "refusal"
    assert refused.usage.prompt_tokens > 0


def test_an_empty_answer_is_empty_text_not_none(rigs):
    (completion,) = play(rigs, "empty")
    assert completion.text == ""
    assert completion.finish == "stop"


def test_a_lone_surrogate_does_not_lose_the_answer(rigs):
    (completion,) = play(rigs, "surrogate")
    assert completion.text.encode().decode().startswith("half")
    assert "\ufffd" in completion.text


@pytest.mark.parametrize("situation", ["429", "500"])
def test_what_may_succeed_later_is_a_transport_error(rigs, situation):
    error, again = play(rigs, situation, "success")
    assert isinstance(error, Transport)
    assert_presentable(error)
    assert isinstance(again, Completion), "the backend must work after an error"
    if situation == "429":
        assert error.retry_after == getattr(rigs, "RETRY_AFTER", error.retry_after)


def test_what_never_will_succeed_is_rejected(rigs):
    error, again = play(rigs, "400", "success")
    assert isinstance(error, Rejected)
    assert_presentable(error)
    assert isinstance(again, Completion)


def test_garbage_is_malformed_and_kept(rigs):
    error, again = play(rigs, "garbage", "success")
    assert isinstance(error, Malformed)
    assert_presentable(error)
    assert isinstance(error.body, str)
    assert error.failure().message == f"{error}: it sent {error.body[:2000]!r}"
    assert "it sent" not in str(error), "once is enough"
    assert len(error.body) <= 10_000
    error.body.encode()
    assert isinstance(again, Completion)


def test_cancelling_is_prompt_and_leaves_the_backend_working(rigs):
    can(rigs, "timeout")

    async def run(rig):
        await rig.backend.open()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await rig.backend.complete(REQUEST)
            return await asyncio.wait_for(rig.backend.complete(REQUEST), 600)
        finally:
            await rig.backend.close()

    with rigs.rig() as rig:
        rig.provoke("timeout", "success")
        assert isinstance(asyncio.run(run(rig)), Completion)


def test_closing_while_requests_run_ends_them(rigs):
    can(rigs, "timeout")

    async def run(rig):
        await rig.backend.open()
        tasks = [asyncio.create_task(rig.backend.complete(REQUEST)) for _ in range(2)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(rig.backend.close(), 600)
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 600)

    with rigs.rig() as rig:
        rig.provoke("timeout", "timeout")
        assert all(isinstance(result, asyncio.CancelledError) for result in asyncio.run(run(rig)))


def test_requests_run_side_by_side(rigs):
    async def run(rig):
        await rig.backend.open()
        try:
            return await asyncio.gather(*(rig.backend.complete(REQUEST) for _ in range(rig.backend.concurrency + 3)))
        finally:
            await rig.backend.close()

    with rigs.rig() as rig:
        assert all(completion.text for completion in asyncio.run(run(rig)))


def test_any_prompt_can_be_sent(rigs):
    request = Request((Message("user", NAUGHTY), Message("assistant", NAUGHTY), Message("user", NAUGHTY))).encodable()
    (completion,) = play(rigs, "success", request=request)
    completion.text.encode()


def test_open_and_close_may_be_repeated(rigs):
    async def run(backend):
        await backend.close()  # never opened
        for _ in range(2):
            await backend.open()
            await backend.open()
            await backend.complete(REQUEST)
            await backend.close()
            await backend.close()

    with rigs.rig() as rig:
        asyncio.run(run(rig.backend))


def test_identity_is_json_and_names_what_changes_the_text(rigs):
    with rigs.rig() as rig:
        identity = rig.backend.identity()
        assert json.loads(json.dumps(identity)) == identity
        assert identity.get("model"), "identity() names the model"
        assert rig.backend.identity() == identity
        if "concurrency" in settable(rig.backend):
            rig.backend.concurrency = 3
        if "timeout" in settable(rig.backend):
            rig.backend.timeout = 5.0
        assert rig.backend.identity() == identity
        assert isinstance(rig.backend.exclusive, bool)
    with rigs.rig() as other:  # another port, the same model
        assert other.backend.identity() == identity


def settable(backend):
    return {field.name: field for field in dataclasses.fields(backend) if field.init}


def test_the_fields_are_the_yaml(rigs):
    """Each field has a type that YAML has, a default (but the model's), and survives being written and read."""
    if getattr(rigs, "WRAPS", False):
        pytest.skip("what is inside it has the fields")
    with rigs.rig() as rig:
        backend = rig.backend
    hints = get_type_hints(type(backend), localns=_anything())
    fields = settable(backend)
    assert "model" in fields, "a backend has a field `model`, which a YAML sets"
    assert backend.concurrency >= 1  # a field, or a property: llama.cpp's follows from its slots
    assert backend.timeout > 0
    for name, field in fields.items():
        value = getattr(backend, name)
        written = msgspec.json.decode(msgspec.json.encode(value))
        assert msgspec.convert(written, hints[name]) == value
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        assert not required or name == "model"


def _anything():
    """Names that exist only for type checkers."""

    class Anything:
        AsyncOpenAI = AsyncAnthropic = AsyncClient = Engine = object

    return {"openai": Anything, "anthropic": Anything, "httpx2": Anything}


@pytest.mark.parametrize("name", MODULES)
def test_importing_it_imports_nothing_heavy(name):
    code = f"import evalkit.backends.{name}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE.parents[1])
    assert not HEAVY & set(done.stdout.split())


def assert_presentable(error):
    """One line for a person."""
    message = str(error)
    assert message
    assert message.isprintable(), message
    assert len(message) < 700
