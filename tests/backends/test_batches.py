"""The batch APIs by themselves: what is sent, what is read, where keys go."""

from __future__ import annotations

import asyncio
import json

import pytest

from evalkit.backends.anthropic import Anthropic
from evalkit.backends.openai import OpenAI
from evalkit.backends.provider import NO_KEY, Endpoint
from evalkit.backends.sdk_batches import CLOCKS_APART, Calls, row
from evalkit.core.batch_api import BatchBackend, UnknownBatch
from evalkit.core.protocols import Malformed, Message, Misconfigured, Rejected, Request, Sampling
from evalkit.core.protocols import Transport as TransportError
from evalkit.core.schema import Batch
from tests.batch_server import BatchServer, answer

BOTH = pytest.mark.parametrize("kind", [OpenAI, Anthropic])
SECRET = "sk-test-0123456789abcdef"
HI = Request((Message("system", "Be strict."), Message("user", "Hi \u2028 there")), Sampling(max_tokens=64))


@pytest.fixture
def server():
    with BatchServer() as running:
        yield running


def made(kind, server, **fields):
    return kind(model="m", base_url=f"{server.url}{'/v1' if kind is OpenAI else ''}", **fields)


def through(backend, do):
    """What ``do`` makes of the batch API of an open backend."""

    async def run():
        await backend.open()
        try:
            return await do(backend.batches())
        finally:
            await backend.close()

    return asyncio.run(asyncio.wait_for(run(), 600))


async def rows_of(api, batch):
    return {key: line async for key, line in api.results(batch)}


@pytest.mark.slow
@BOTH
def test_there_and_back(kind, server):
    async def do(api):
        keys = [f"{number:032x}" for number in range(3)]
        batch = await api.submit("mark", [api.line(key, HI) for key in keys])
        state = await api.state(batch)
        assert (state.ended, state.error, state.busy) == (True, None, False)
        rows = await rows_of(api, batch)
        assert sorted(rows) == keys
        return [api.completion(line, HI) for line in rows.values()]

    backend = made(kind, server)
    assert isinstance(backend, BatchBackend)
    for completion in through(backend, do):
        assert completion.text.startswith("Rating: [[")
        assert completion.usage.prompt_tokens == 500
        assert completion.model == "fault-server-1"
    ((_, sent), *_) = next(iter(server.batches.values())).requests
    assert sent["messages"][-1] == {"role": "user", "content": "Hi \u2028 there"}
    assert sent["max_tokens"] == 64
    assert sent["model"] == "m"


@pytest.mark.slow
@BOTH
def test_no_key_of_a_vendor_leaves_for_another_host(kind, server, monkeypatch):
    """Nor for the address that the results are said to be at."""
    for vendor in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{vendor}_API_KEY", SECRET)

    async def do(api):
        batch = await api.submit("mark", [api.line("a" * 32, HI)])
        return await rows_of(api, batch)

    assert through(made(kind, server), do)
    assert SECRET not in str(server.keys)
    monkeypatch.setenv("GATEWAY_KEY", SECRET)
    assert through(made(kind, server, api_key_env="GATEWAY_KEY"), do)
    assert SECRET in str(server.keys)


@BOTH
def test_batches_are_found_page_by_page(kind, server):
    server.page = 2

    async def do(api):
        ids = [await api.submit(f"mark{n}", [api.line(f"{n:032x}", HI)]) for n in range(7)]
        pair = await api.submit("pair", [api.line("b" * 32, HI), api.line("c" * 32, HI)])
        intent = Batch(key="mark1", n=1, provider="x", created=next(iter(server.batches.values())).created)
        found = await api.candidates(intent)
        none = await api.candidates(Batch(key="mark9", n=3, provider="x", created=intent.created))
        later = await api.candidates(Batch(key="mark1", n=1, provider="x", created=intent.created + 2 * CLOCKS_APART))
        return ids, pair, found, none, later

    ids, pair, found, none, later = through(made(kind, server), do)
    assert ids[1] in found
    assert pair not in found
    assert len(found) == (1 if kind is OpenAI else 7)
    assert none == []
    if kind is Anthropic:
        assert later == []


@BOTH
def test_cancelling(kind, server):
    server.delay = 60

    async def do(api):
        batch = await api.submit("mark", [api.line("a" * 32, HI)])
        assert not (await api.state(batch)).ended
        await api.cancel(batch)
        assert (await api.state(batch)).ended
        (line,) = (await rows_of(api, batch)).values()
        with pytest.raises(TransportError, match=r"OpenAI|Anthropic"):
            api.completion(line, HI)

    through(made(kind, server), do)


@BOTH
@pytest.mark.parametrize(
    ("fate", "error"),
    [
        ("400", Rejected),
        ("401", Misconfigured),
        ("429", TransportError),
        ("500", TransportError),
        ("529", TransportError),
    ],
)
def test_errors_of_rows_mean_what_they_mean_live(kind, fate, error, server):
    server.fates = lambda key, before: fate

    async def do(api):
        batch = await api.submit("mark", [api.line("a" * 32, HI)])
        (line,) = (await rows_of(api, batch)).values()
        with pytest.raises(error, match=f"status {fate}"):
            api.completion(line, HI)

    through(made(kind, server), do)


@BOTH
def test_unknown_batches(kind, server):
    async def do(api):
        with pytest.raises(UnknownBatch, match="404"):
            await api.state("../../etc\n")

    through(made(kind, server), do)


def test_rows_that_a_strict_decoder_refuses(server):
    """They were paid for: the text is saved, or at least the start of what was sent."""

    async def do(openai):
        body = json.dumps(answer("openai", "x")).replace("Rating", "Ra\\ud800ting")
        odd = f'{{"custom_id": "a", "response": {{"status_code": 200, "body": {body}}}}}'.encode()
        assert "[[" in openai.completion(odd, HI).text
        with pytest.raises(Malformed):
            openai.completion(b'{"custom_id": "a", "response": {"status_code": 200, "body": {"x": 1}}}', HI)
        with pytest.raises(TransportError, match="neither"):
            openai.completion(b'{"custom_id": "a"}', HI)
        with pytest.raises(Rejected):
            openai.completion(b'{"custom_id": "a", "error": {"code": "invalid_request", "message": "no"}}', HI)

    through(made(OpenAI, server), do)

    async def other(anthropic):
        for line in (
            b'{"custom_id": "a", "result": {"type": "errored", "error": 5}}',
            b'{"custom_id": "a", "result": {"type": "\x1b[31m"}}',
        ):
            with pytest.raises((TransportError, Malformed)) as caught:
                anthropic.completion(line, HI)
            assert "\x1b" not in str(caught.value)

    through(made(Anthropic, server), other)


def test_rows_are_split_at_newlines_only():
    """U+2028 and its kin may stand in JSON strings as they are."""
    lines = [json.dumps({"n": n, "text": "a\u2028b\u0085c\x0b"}, ensure_ascii=False).encode() for n in range(50)]
    stream = b"\n".join([*lines, b"", b" "])

    class Response:
        async def aiter_bytes(self):
            for start in range(0, len(stream), 7):
                yield stream[start : start + 7]

        async def aclose(self):
            pass

    class Client:
        async def get(self, *_, **__):
            return Response()

    import openai

    calls = Calls(openai, Client(), Endpoint("http://localhost", NO_KEY, "KEY", False), lambda *_: TransportError("x"))

    async def run():
        return [line async for line in calls.lines("/x")]

    assert asyncio.run(run()) == lines
    assert row(lines[0], dict[str, object])["n"] == 0
    assert row(b"[" * 100_000, dict) is None
    assert row(b"\xff\xfe", dict) is None


def test_what_no_batch_takes_is_said_before_anything_is_sent(server):
    async def do(api):
        with pytest.raises(Misconfigured, match="log-probabilities"):
            api.line("a" * 32, Request(HI.messages, Sampling(top_logprobs=5)))

    through(made(Anthropic, server), do)
