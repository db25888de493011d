"""The SDK backends end to end over HTTP, against the server that xllamacpp carries: both wire formats, a real model."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
from pathlib import Path

import pytest

from evalkit.backends.anthropic import Anthropic
from evalkit.backends.openai import OpenAI
from evalkit.core.protocols import Message, Rejected, Request, Sampling

xllamacpp = pytest.importorskip("xllamacpp")

KEY = "rig_of_llamacpp"
if KEY not in sys.modules:
    _spec = importlib.util.spec_from_file_location(KEY, Path(__file__).parent / "rigs" / "llamacpp.py")
    sys.modules[KEY] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[KEY])
rigs = sys.modules[KEY]
TOKEN = "a-key-of-its-own"
BOTH = pytest.mark.parametrize("kind", [OpenAI, Anthropic])


@pytest.fixture(scope="module")
def url():
    params = xllamacpp.CommonParams()
    params.model.path = str(rigs.weights())
    params.n_ctx, params.n_parallel, params.verbosity = 2048, 2, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.api_keys = [TOKEN]
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@pytest.fixture
def ask(url, monkeypatch):
    monkeypatch.setenv("LOCAL_KEY", TOKEN)

    def ask(kind, *contents, **sampling):
        turns = tuple(Message(("user", "assistant")[index % 2], text) for index, text in enumerate(contents))
        request = Request((Message("system", "Be brief."), *turns), Sampling(**sampling))
        backend = kind(model="smol", base_url=f"{url}/v1" if kind is OpenAI else url, api_key_env="LOCAL_KEY")

        async def run():
            await backend.open()
            try:
                return await backend.complete(request)
            finally:
                await backend.close()

        return asyncio.run(run())

    return ask


@BOTH
def test_success(ask, kind):
    completion = ask(kind, "Say hello.", max_tokens=200, temperature=0.0)
    assert completion.finish == "stop"
    assert completion.text.startswith("Hello")
    assert completion.usage.prompt_tokens > 10
    assert 0 < completion.usage.completion_tokens < 200
    assert completion.model


@BOTH
def test_truncation(ask, kind):
    completion = ask(kind, "Tell me a long story.", max_tokens=4)
    assert completion.finish == "length"
    assert completion.text
    assert completion.usage.completion_tokens == 4


@BOTH
def test_too_long(ask, kind):
    with pytest.raises(Rejected, match="context"):
        ask(kind, "word " * 3000, max_tokens=4)


def test_logprobs(ask):
    completion = ask(OpenAI, "Rate it from 1 to 10.", max_tokens=2, temperature=0.0, top_logprobs=10)
    assert len(completion.logprobs) == 2
    for token in completion.logprobs:
        assert 0.2 < sum(map(math.exp, token.values())) <= 1.001
    assert completion.text.startswith(max(completion.logprobs[0], key=completion.logprobs[0].get))


@BOTH
def test_a_last_assistant_message_is_continued_and_not_repeated(ask, kind):
    completion = ask(kind, "Count to ten.", "One, two, three, four,", max_tokens=8, temperature=0.0)
    assert completion.text.startswith(" five")
