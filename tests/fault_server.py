"""A loopback server that speaks the OpenAI and the Anthropic wire format, and fails in every way on demand.

    python tests/fault_server.py --port 8900 [--latency 0.2] [--every 50:429] [--text TEXT]

It answers at once with a judgment: ``[[A]]`` if the prompt mentions that, else ``[[7]]``. What goes wrong is said by,
first that applies: the script (``server.provoke("429", "500")``, one entry a request), a mark in the prompt
(``[[do:reset]]``), the URL (``http://127.0.0.1:8900/do/reset/v1``), ``--every N:SITUATION``, or chance
(``server.plan``), which draws the same for the same body and attempt. ``server.ledger`` remembers what became of each
body. ``server.lives`` is the number of requests it has left; ``server.revive()`` brings it back.
``GET /count`` gives the number of requests so far, in all and by situation; ``POST /reset`` starts anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email.utils
import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

RETRY_AFTER = 7.0
MODEL = "fault-server-1"
_MARK = re.compile(rb"\[\[do:([a-z0-9_-]+)\]\]")

OPENAI_FINISH = {"refusal": "content_filter", "truncation": "length"}
ANTHROPIC_FINISH = {"refusal": "refusal", "truncation": "max_tokens"}
TEXTS = {"refusal": "I cannot rate this.", "truncation": "Both answers", "empty": "", "surrogate": "half \ud800 pair"}

STATUSES = {
    "400": ("invalid_request_error", "This model's maximum context length is 8192 tokens."),
    "401": ("invalid_api_key", "Incorrect API key provided."),
    "403": ("permission_error", "Your key may not use this model."),
    "404": ("model_not_found", "The model does not exist."),
    "408": ("timeout", "The request took too long."),
    "409": ("conflict", "Another request is being processed."),
    "413": ("request_too_large", "The request is too large."),
    "422": ("invalid_request_error", "Field required."),
    "429": ("rate_limit_exceeded", "Rate limit reached."),
    "500": ("server_error", "The server had an error."),
    "502": ("bad_gateway", "Bad gateway."),
    "503": ("service_unavailable", "The engine is overloaded."),
    "529": ("overloaded_error", "Overloaded."),
}
SPECIAL = {
    "429-ms": (429, "rate_limit_exceeded", "Rate limit reached."),
    "429-date": (429, "rate_limit_exceeded", "Rate limit reached."),
    "429-bare": (429, "rate_limit_exceeded", "Rate limit reached."),
    "quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "credit": (400, "invalid_request_error", "Your credit balance is too low to access the API."),
    "filter": (400, "content_filter", "The response was filtered due to the content management policy."),
    "temperature": (400, "unsupported_value", "Unsupported value: 'temperature' does not support 0."),
}
RAW = {
    "garbage": b"<html><body>\x1b[31mBad gateway</body></html>",
    "json": b'{"status": "ok"}',
    "nothing": b"",
    "deep": b"[" * 200_000,
    "schema": b'{"choices": [{"index": 0, "text": 5}], "content": 7, "usage": {}}',
    "error200": b'{"error": {"code": 502, "message": "upstream died"}}',
}
REPLACED = {
    "control": [(b"Rating", b"Rat\x01\x0bing")],  # raw control characters, which JSON forbids
    "latin1": [(b"Rating", b"Rat\xe9ing")],
    "odd": [(b"500", b'"many"'), (b"200", b'"many"'), (b'"stop"', b"5")],  # the text must survive
    "float": [(b": 5,", b": 5.0,"), (b": 5}", b": 5.0}")],
}
WHOLE = {"success", "refusal", "truncation", "empty", "null", "surrogate", "parrot", "slow", "timeout", "hang"}
WHOLE |= {"truncated"}
DROPPED = {"reset", "cut", "trickle", "redirect", "echo", "echo200"}
"""No answer, one that comes in drops, or one that is none of ours."""
ANSWERED = {"success", "refusal", "truncation", "empty", "null", "surrogate", "slow", "trickle"}
ANSWERED |= RAW.keys() | REPLACED.keys() | {"parrot"}
"""Situations that end with status 200 and a whole body: paid for."""


@dataclass(frozen=True)
class Plan:
    """Faults by chance, yet the same for the same seed, body and attempt."""

    seed: int
    shares: Mapping[str, float]
    """Probability by situation; the rest succeeds."""

    def draw(self, raw: bytes, attempt: int) -> str:
        """The situation of one attempt, counted from 0."""
        drawn = hashlib.blake2b(raw, digest_size=8, key=f"{self.seed} {attempt}".encode()).digest()
        left = int.from_bytes(drawn) / 2**64
        for situation, share in self.shares.items():
            left -= share
            if left < 0:
                return situation
        return "success"


@dataclass
class Account:
    """What became of one request body."""

    body: dict[str, Any]
    situations: list[str] = field(default_factory=list)
    """One an attempt, in the order they came."""

    @property
    def paid(self) -> int:
        """How often it was answered with status 200."""
        return sum(situation in ANSWERED for situation in self.situations)


def body(wire: str, text: str, finish: str, prompt_tokens: int = 500, **more: Any) -> dict[str, Any]:
    """A complete answer in one of the two formats."""
    if wire == "anthropic":
        usage = {
            "input_tokens": prompt_tokens - 300,
            "cache_read_input_tokens": 200,
            "cache_creation_input_tokens": 100,
        }
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": text}] if text else [],
            "stop_reason": finish,
            "usage": {**usage, "output_tokens": 5, **more},
        }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": 5,
            "total_tokens": prompt_tokens + 5,
            "prompt_tokens_details": {"cached_tokens": 200},
        },
    }


def _logprobs() -> dict[str, Any]:
    # Two token ids spell "7"; one candidate cannot occur.
    candidates = [("7", -1.0), ("8", -1.2), ("7", -2.0), ("9", -9999.0)]
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in candidates]
    return {"content": [{"token": "7", "logprob": -1.0, "bytes": None, "top_logprobs": top}]}


class ThreadServer:
    """A server in a thread and event loop of its own, so that tests may call ``asyncio.run`` around it."""

    port = 0
    _runner: web.AppRunner

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen: sets ``port`` and ``_runner``."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        ready = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self.start())
            ready.set()
            self._loop.run_forever()
            self._loop.run_until_complete(self._runner.cleanup())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(600)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)


class FaultServer(ThreadServer):
    """The server, in a thread and event loop of its own so that tests may call ``asyncio.run`` around it."""

    def __init__(self, port: int = 0, latency: float = 0.0, every: tuple[int, str] | None = None) -> None:
        self.port = port
        self.latency = latency
        self.every = every
        self.script: deque[str] = deque()
        self.seen: list[dict[str, Any]] = []
        """Path, headers and body of each request, while ``record`` is set."""
        self.record = True
        self.count: Counter[str] = Counter()
        self.plan: Plan | None = None
        self.most = self._waiting = 0
        """Requests that it held up at once, at the most, while there is a ``latency``."""
        self.ledger: dict[bytes, Account] = {}
        """By body, while there is a plan."""
        self.lives: int | None = None
        """Requests it still takes before it dies, within the last of them; None: it lives for ever."""
        self.text: str | None = None
        """What it says where nothing goes wrong; None: a verdict."""
        self.location = "http://elsewhere.invalid/v1"
        """Where a redirect points."""
        super().__init__()
        self._hanging = asyncio.Event()
        self._fast: dict[tuple[str, str], bytes] = {}

    def provoke(self, *situations: str) -> None:
        """Put the next requests, in order, into these situations."""
        self.script.extend(situations)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._hanging.set)
        super().__exit__()

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=1 << 28)
        app.router.add_get("/count", self._counted)
        app.router.add_post("/reset", self._restart)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._site = web.SockSite(self._runner, self._socket, backlog=4096)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _die(self) -> None:
        """Drop every connection and take no new one."""
        # Connections that asyncio has taken but not set up yet come first: closing the listener under them leaves their
        # sockets open (CPython issue 109564).
        self._loop.remove_reader(self._socket)
        await asyncio.sleep(0.01)
        await self._site.stop()
        assert self._runner.server is not None
        for connection in list(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def revive(self) -> None:
        """Listen again, at the same port; called from another thread."""
        self.lives = None
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)

    async def _counted(self, _: web.Request) -> web.Response:
        return web.json_response({"requests": self.count.total(), **self.count})

    async def _restart(self, _: web.Request) -> web.Response:
        self.count.clear()
        self.seen.clear()
        self.script.clear()
        self.ledger.clear()
        return web.json_response({})

    def _situation(self, path: str, raw: bytes) -> str:
        if self.script:
            return self.script.popleft()
        if b"[[do:" in raw and (mark := _MARK.search(raw)):
            return mark[1].decode()
        if path.startswith("/do/"):
            return path.split("/")[2]
        if self.every and self.count.total() % self.every[0] == self.every[0] - 1:
            return self.every[1]
        return self._drawn(raw) if self.plan else "success"

    def _drawn(self, raw: bytes) -> str:
        assert self.plan is not None
        account = self.ledger.setdefault(raw, Account(json.loads(raw)))
        account.situations.append(self.plan.draw(raw, len(account.situations)))
        return account.situations[-1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        if self.lives is not None:
            self.lives -= 1
            if self.lives == 0:
                await self._die()
            if self.lives <= 0:
                raise asyncio.CancelledError
        situation = self._situation(request.path, raw)
        self.count[situation] += 1
        if self.record:
            port = request.transport.get_extra_info("peername")[1] if request.transport else None
            said = {"path": request.path_qs, "headers": request.headers.copy(), "body": json.loads(raw)}
            self.seen.append(said | {"port": port})
        if self.latency:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
            try:
                await asyncio.sleep(self.latency)
            finally:
                self._waiting -= 1
        wire = "anthropic" if request.path.endswith("/messages") else "openai"
        if situation == "success" and b'"logprobs":true' not in raw:
            return web.Response(body=self._judgment(wire, raw), content_type="application/json")
        if situation in STATUSES or situation in SPECIAL:
            return self._status(wire, situation)
        return await self._strange(wire, situation, request)

    def _judgment(self, wire: str, raw: bytes) -> bytes:
        text = self.text or ("[[A]]" if b"[[A]]" in raw else "Rating: [[7]]")
        if (wire, text) not in self._fast:
            finish = "end_turn" if wire == "anthropic" else "stop"
            self._fast[wire, text] = json.dumps(body(wire, text, finish)).encode()
        return self._fast[wire, text]

    def _status(self, wire: str, situation: str) -> web.Response:
        status, code, message = SPECIAL.get(situation) or (int(situation), *STATUSES[situation])
        error: dict[str, Any] = {"type": code, "message": message}
        if wire == "openai":
            error |= {"code": code, "param": "temperature" if situation == "temperature" else None}
        headers = {
            "429": {"Retry-After": str(int(RETRY_AFTER))},
            "429-ms": {"Retry-After-Ms": "250", "Retry-After": "1"},
            "429-date": {"Retry-After": email.utils.formatdate(time.time() + 60, usegmt=True)},
        }.get(situation)
        return web.json_response({"type": "error", "error": error}, status=status, headers=headers)

    async def _strange(self, wire: str, situation: str, request: web.Request) -> web.StreamResponse:
        finishes = ANTHROPIC_FINISH if wire == "anthropic" else OPENAI_FINISH
        finish = finishes.get(situation, "end_turn" if wire == "anthropic" else "stop")
        more = {"logprobs": _logprobs()} if wire == "openai" else {}
        text = f"{dict(request.headers)} Rating: [[7]]" if situation == "parrot" else "Rating: [[7]]"
        built = body(wire, TEXTS.get(situation, text), finish, **more)
        if situation == "null":
            built = _without_content(built)
        good = json.dumps(built).encode()
        assert situation in WHOLE | RAW.keys() | REPLACED.keys() | DROPPED, f"no such situation: {situation!r}"
        if situation == "redirect":
            return web.Response(status=307, headers={"Location": self.location})
        if situation in ("echo", "echo200"):  # a debugging proxy
            text = f"bad credentials: {dict(request.headers)}"
            return web.Response(status=401 if situation == "echo" else 200, text=text)
        if situation in ("slow", "timeout", "hang"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hanging.wait(), 0.5 if situation == "slow" else None)
        if situation in ("reset", "cut", "trickle"):
            return await self._broken(situation, good, request)
        return web.Response(body=_odd(situation, good), content_type="application/json")

    async def _broken(self, situation: str, good: bytes, request: web.Request) -> web.StreamResponse:
        """Drop the connection, at once or after promising more than was sent; or send the answer in drops."""
        assert request.transport is not None
        response = web.StreamResponse(headers={"Content-Length": str(len(good)), "Content-Type": "application/json"})
        if situation == "reset":
            request.transport.abort()
        elif situation == "cut":
            await response.prepare(request)
            await response.write(good[:20])
            request.transport.close()
        else:
            await response.prepare(request)
            step = len(good) // 10 + 1
            for start in range(0, len(good), step):
                await response.write(good[start : start + step])
                await asyncio.sleep(0.02)
        return response


def _without_content(built: dict[str, Any]) -> dict[str, Any]:
    """The same answer with null where its content belongs."""
    if "choices" not in built:
        return built | {"content": None}
    (choice,) = built["choices"]
    return built | {"choices": [choice | {"message": {"role": "assistant", "content": None}}]}


def _odd(situation: str, good: bytes) -> bytes:
    """The bytes of an answer that arrives whole."""
    if situation in RAW:
        return RAW[situation]
    if situation == "truncated":
        return good[: len(good) // 2]
    for old, new in REPLACED.get(situation, ()):
        good = good.replace(old, new)
    return good


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--every", metavar="N:SITUATION", help="put every Nth request into this situation")
    parser.add_argument("--text", help="what it answers, in place of a rating or a winner")
    options = parser.parse_args()
    every = None
    if options.every:
        number, _, situation = options.every.partition(":")
        every = (int(number), situation)

    async def serve() -> None:
        server = FaultServer(options.port, options.latency, every)
        server.record = False
        server.text = options.text
        await server.start()
        print(server.url, flush=True)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
