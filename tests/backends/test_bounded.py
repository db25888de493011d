"""A response beyond the bound ends its request with a failure that says so, however it is packed."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest
from aiohttp import web

from evalkit.backends import bounded as bounded_module
from evalkit.backends.anthropic import Anthropic
from evalkit.backends.bounded import bounded_lines
from evalkit.backends.openai import OpenAI
from evalkit.core.protocols import EvalkitError, Malformed, Message, Request
from tests.fault_server import body as said_by

PACK = {"identity": lambda body: body, "gzip": gzip.compress, "deflate": zlib.compress, "br": lambda body: body}


def replies(kind, text):
    if kind is OpenAI:
        return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
    return json.dumps({"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}).encode()


def asked(kind, body, encoding, status=200):
    async def answer(request):
        headers = {"Content-Type": "application/json"}
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        return web.Response(body=body, status=status, headers=headers)

    async def run():
        app = web.Application()
        app.router.add_post("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        backend = kind(model="m", base_url=url + ("/v1" if kind is OpenAI else ""))
        await backend.open()
        try:
            return await backend.complete(Request((Message("user", "Why?"),)))
        except EvalkitError as error:
            return error
        finally:
            await backend.close()
            await runner.cleanup()

    return asyncio.run(run())


@pytest.mark.parametrize("kind", [OpenAI, Anthropic])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_an_answer_within_the_bound_arrives(kind, encoding):
    assert asked(kind, PACK[encoding](replies(kind, "well " * 1000)), encoding).text == "well " * 1000


@pytest.mark.parametrize("kind", [OpenAI, Anthropic])
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_a_response_beyond_the_bound(kind, encoding, status, monkeypatch):
    monkeypatch.setattr(bounded_module, "MOST_BYTES", 2_000_000)
    error = asked(kind, PACK[encoding](replies(kind, "x" * 2_000_000)), encoding, status)
    assert isinstance(error, Malformed), error
    assert "longer than 2 MB" in str(error)


@pytest.mark.parametrize("kind", [OpenAI, Anthropic])
def test_a_packing_nobody_asked_for_and_a_broken_one(kind):
    for packing in ("br", "zstd", "gzip, gzip"):
        error = asked(kind, b"x" * 5000, packing)
        assert isinstance(error, Malformed)
        assert f"packed its response as {packing!r}" in str(error)
    assert "cannot be unpacked" in str(asked(kind, b"no gzip", "gzip"))


def bounded(pieces):
    async def stream():
        for piece in pieces:
            yield piece

    async def run():
        return [line async for line in bounded_lines(stream())]

    return asyncio.run(run())


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_line_beyond_the_bound_is_cut_and_those_around_it_are_whole(size, monkeypatch):
    monkeypatch.setattr(bounded_module, "MOST_BYTES", 20)
    stream = b"first\n\n" + b"x" * 500 + b"\n" + b"y" * 20 + b"\n  \n" + b"z" * 21 + b"\nlast"
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert bounded(pieces) == [b"first", b"x" * 21, b"y" * 20, b"z" * 21, b"last"]


@pytest.mark.parametrize("kind", [OpenAI, Anthropic])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_row_of_a_batch_beyond_the_bound_is_a_failure_of_its_own(kind, encoding, monkeypatch):
    """The rows around it count; its request is known to have been answered, and what came is malformed."""
    monkeypatch.setattr(bounded_module, "MOST_BYTES", 100_000)
    monkeypatch.setattr(bounded_module, "PART", 4096)

    def row(key, text):
        if kind is OpenAI:
            said = {"response": {"status_code": 200, "body": said_by("openai", text, "stop")}}
        else:
            said = {"result": {"type": "succeeded", "message": said_by("anthropic", text, "end_turn")}}
        return json.dumps({"custom_id": key, **said}).encode()

    body = b"\n".join([row("a" * 32, "x"), row("b" * 32, "x" * 10_000_000), row("c" * 32, "x")])

    async def serve(request):
        if request.path.endswith("/b"):
            state = {"id": "b", "status": "completed", "output_file_id": "f", "request_counts": {"completed": 3}}
            return web.json_response(state)
        headers = {} if encoding == "identity" else {"Content-Encoding": encoding}
        return web.Response(body=PACK[encoding](body), headers=headers)

    async def run():
        app = web.Application()
        app.router.add_get("/{path:.*}", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        backend = kind(model="m", base_url=url + ("/v1" if kind is OpenAI else ""))
        await backend.open()
        try:
            api = backend.batches()
            rows = [found async for found in api.results("b")]
            return [(key, len(line), outcome(api, line)) for key, line in rows]
        finally:
            await backend.close()
            await runner.cleanup()

    def outcome(api, line):
        try:
            return api.completion(line, Request((Message("user", "Why?"),))).text
        except Malformed as error:
            return str(error)

    first, long, last = asyncio.run(run())
    assert [key for key, _, _ in (first, long, last)] == ["a" * 32, "b" * 32, "c" * 32]
    assert (first[2], last[2]) == ("x", "x")
    assert long[1] == 100_001
    assert "longer than 0 MB" in long[2]
