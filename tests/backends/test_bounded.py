"""A response beyond the bound ends its request with a failure that says so, however it is packed."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest
from aiohttp import web

from evalkit.backends import bounded
from evalkit.backends.anthropic import Anthropic
from evalkit.backends.openai import OpenAI
from evalkit.core.protocols import EvalkitError, Malformed, Message, Request

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
    monkeypatch.setattr(bounded, "MOST_BYTES", 2_000_000)
    error = asked(kind, PACK[encoding](replies(kind, "x" * 2_000_000)), encoding, status)
    assert isinstance(error, Malformed), error
    assert "longer than 2 MB" in str(error)


@pytest.mark.parametrize("kind", [OpenAI, Anthropic])
def test_a_packing_nobody_asked_for_and_a_broken_one(kind):
    assert "packed its response as 'br'" in str(asked(kind, b"x", "br"))
    assert "cannot be unpacked" in str(asked(kind, b"no gzip", "gzip"))
