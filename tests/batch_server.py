"""A loopback server that speaks both providers' batch APIs as their references describe them, and fails on demand.

OpenAI: files (upload, content), batches (create, retrieve, list, cancel). Anthropic: message batches (create, retrieve,
list, results, cancel). Also both live endpoints, with the same answers, so that a batch run can be compared with a live
one. The server outlives its clients: what was submitted stays. ``paid`` counts the answers given, by custom id.

What goes wrong is said per call with ``provoke("create", "500", "lost")`` and per request with ``fates``.
"""

from __future__ import annotations

import json
import random
import re
import time
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.fault_server import ThreadServer, body

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
STATUSES = {"400": "invalid_request_error", "429": "rate_limit_error", "500": "api_error", "529": "overloaded_error"}
ANSWERED = {"ok", "refusal", "length", "empty"}
"""Fates of a request that are paid for."""

Fate = Callable[[str, int], str]
"""What becomes of a request, by custom id and how often it was submitted before: ok, refusal, length, empty, 400, 401,
429, 500, expired, canceled, missing."""


def answer(wire: str, prompt: str, fate: str = "ok") -> dict[str, Any]:
    """A grade that depends on the prompt alone, or what the fate says."""
    text = {"refusal": "I cannot rate this.", "length": "Let me think", "empty": ""}.get(fate)
    if text is None:
        text = f"Rating: [[{zlib.crc32(prompt.encode()) % 10 + 1}]]"
    if wire == "anthropic":
        finish = {"refusal": "refusal", "length": "max_tokens"}.get(fate, "end_turn")
    else:
        finish = {"refusal": "content_filter", "length": "length"}.get(fate, "stop")
    return body(wire, text, finish)


def _echoing(value: Any, echo: str) -> Any:
    """A row that says something more wherever it says anything."""
    if isinstance(value, list):
        return [_echoing(one, echo) for one in value]
    if not isinstance(value, dict):
        return value
    said = ("content", "text", "message", "refusal")
    return {
        name: f"{one} {echo}" if name in said and isinstance(one, str) else _echoing(one, echo)
        for name, one in value.items()
    }


@dataclass
class Batch:
    """What one of the providers was given."""

    id: str
    wire: str
    requests: list[tuple[str, dict[str, Any]]]
    fates: list[str]
    created: float
    ends: float
    metadata: dict[str, str] | None = None
    error: dict[str, Any] | None = None
    cancelled: bool = False
    paid: bool = False

    @property
    def ended(self) -> bool:
        return self.cancelled or time.time() >= self.ends

    def fate(self, index: int) -> str:
        return "canceled" if self.cancelled else self.fates[index]


@dataclass
class Mess:
    """What the results of every batch look like."""

    duplicate: bool = False
    shuffle: bool = False
    strangers: bool = False
    garbage: bool = False


@dataclass
class BatchServer(ThreadServer):
    """The server, in a thread and event loop of its own; its state may be read and changed from the test."""

    delay: float = 0.0
    """Seconds a batch takes."""
    fates: Fate = lambda custom_id, before: "ok"
    mess: Mess = field(default_factory=Mess)
    max_requests: int = 50_000
    max_bytes: int = 200_000_000
    at_once: int = 1_000
    """Batches that OpenAI's queue takes."""
    page: int = 100
    seed: int = 0
    echo: str = ""
    """Said at the end of every answer, and of every error in a row."""
    counts_tokens: bool = True
    """Whether answers say how many tokens they took."""

    def __post_init__(self) -> None:
        self.batches: dict[str, Batch] = {}
        self.files: dict[str, bytes] = {}
        self.paid: Counter[str] = Counter()
        self.live: Counter[str] = Counter()
        """Answers given outside of batches, by wire."""
        self.submitted: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.keys: set[str] = set()
        """Authorization headers and keys seen."""
        self.errors: list[Exception] = []
        """What went wrong in the server itself: a client that breaks the protocol."""
        self._script: dict[str, deque[str]] = defaultdict(deque)
        super().__init__()

    def provoke(self, call: str, *situations: str) -> None:
        """Put the next calls of a kind, in order, into these situations.

        Calls: upload, create, retrieve, list, content, cancel. Situations: good, 429, 500, reset (dropped before it is
        looked at), lost (done, then dropped), cut (dropped half-way), garbage (not JSON), short (half of it, as if that
        were all), empty (nothing, likewise), unnamed (its files are not named yet).
        """
        self._script[call].extend(situations)

    def forget_faults(self) -> None:
        """From now on, all is well."""
        self._script.clear()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        assert not self.errors, self.errors

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=1 << 28)
        add = app.router.add_route
        for wire, base in (("openai", "/v1/batches"), ("anthropic", "/v1/messages/batches")):
            add("POST", base, self._call("create", wire, self._create))
            add("GET", base, self._call("list", wire, self._list))
            add("GET", f"{base}/{{id}}", self._call("retrieve", wire, self._retrieve))
            add("POST", f"{base}/{{id}}/cancel", self._call("cancel", wire, self._cancel))
        add("GET", "/v1/messages/batches/{id}/results", self._call("content", "anthropic", self._results))
        add("POST", "/v1/files", self._call("upload", "openai", self._upload))
        add("GET", "/v1/files/{id}/content", self._call("content", "openai", self._content))
        add("POST", "/v1/chat/completions", self._call("live", "openai", self._live))
        add("POST", "/v1/messages", self._call("live", "anthropic", self._live))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=4096)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def _call(self, name: str, wire: str, do: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            situation = self._script[name].popleft() if self._script[name] else "good"
            self.calls[name] += 1
            self.keys |= {request.headers.get("Authorization", ""), request.headers.get("x-api-key", "")}
            await request.read() if request.content_type != "multipart/form-data" else None
            if situation == "reset":
                return _dropped(request)
            if situation in STATUSES:
                return _error(wire, int(situation), STATUSES[situation], f"{name} failed")
            try:
                response: web.Response = await do(request, wire)
            except Exception as error:
                self.errors.append(error)
                raise
            if situation == "lost":
                return _dropped(request)
            if situation == "garbage":
                return web.Response(text="<html>\x1b[31mproxy</html>")
            if situation == "cut":
                content = response.body
                assert isinstance(content, bytes)
                half = web.StreamResponse(headers={"Content-Length": str(len(content))})
                await half.prepare(request)
                await half.write(content[: len(content) * 2 // 3])
                request.transport.close()  # type: ignore[union-attr]
                return half
            return _changed(response, situation)

        return handle

    # Both.

    async def _live(self, request: web.Request, wire: str) -> web.Response:
        self.live[wire] += 1
        return web.json_response(self._answer(wire, _prompt(await request.json())))

    def _answer(self, wire: str, prompt: str, fate: str = "ok") -> dict[str, Any]:
        said = answer(wire, prompt, fate)
        return said if self.counts_tokens else {name: value for name, value in said.items() if name != "usage"}

    def _accept(
        self, wire: str, requests: list[tuple[str, dict[str, Any]]], metadata: dict[str, str] | None = None
    ) -> Batch:
        now = time.time()
        fates = [self.fates(custom_id, self.submitted[custom_id]) for custom_id, _ in requests]
        name = f"{'msgbatch' if wire == 'anthropic' else 'batch'}_{len(self.batches):04d}"
        batch = Batch(name, wire, requests, fates, now, now + self.delay, metadata)
        self.batches[name] = batch
        return batch

    def _charge(self, batch: Batch) -> None:
        """A valid batch will be worked on, whether anybody ever asks for it."""
        for (custom_id, _), fate in zip(batch.requests, batch.fates, strict=True):
            self.submitted[custom_id] += 1
            if fate in ANSWERED:
                self.paid[custom_id] += 1

    async def _retrieve(self, request: web.Request, wire: str) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None or batch.wire != wire:
            return _error(wire, 404, "not_found_error", f"No batch {request.match_info['id']}")
        return web.json_response(self._shown(batch))

    async def _cancel(self, request: web.Request, wire: str) -> web.Response:
        self.batches[request.match_info["id"]].cancelled = True
        return await self._retrieve(request, wire)

    async def _list(self, request: web.Request, wire: str) -> web.Response:
        newest = [batch for batch in reversed(self.batches.values()) if batch.wire == wire]
        after = request.query.get("after_id" if wire == "anthropic" else "after")
        if after:
            ids = [batch.id for batch in newest]
            newest = newest[ids.index(after) + 1 :]
        page = newest[: min(self.page, int(request.query.get("limit", 20)))]
        return web.json_response(
            {
                "data": [self._shown(batch) for batch in page],
                "has_more": len(newest) > len(page),
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
            }
        )

    def _shown(self, batch: Batch) -> dict[str, Any]:
        return self._openai_shown(batch) if batch.wire == "openai" else self._anthropic_shown(batch)

    def _messed(self, rows: list[dict[str, Any]], stranger: dict[str, Any], seed: str) -> bytes:
        """Rows as JSON lines, with what was ordered of repetitions, strangers and garbage."""
        draw = random.Random(f"{self.seed}{seed}")
        if self.mess.duplicate:
            rows = rows + draw.choices(rows, k=len(rows) // 2)
        if self.mess.strangers:
            rows = [*rows, stranger]
        if self.mess.shuffle:
            draw.shuffle(rows)
        if self.echo:
            rows = [_echoing(row, self.echo) for row in rows]
        lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
        if self.mess.garbage:
            lines.insert(len(lines) // 2, b'{"custom_id": ')
            lines.insert(0, b"")
        return b"".join(line + b"\n" for line in lines)

    # OpenAI.

    async def _upload(self, request: web.Request, wire: str) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        content = form["file"].file.read()  # type: ignore[union-attr]
        if len(content) > self.max_bytes:
            return _error(wire, 400, "invalid_request_error", f"File is too large: {len(content)} bytes.")
        name = f"file-{len(self.files):04d}"
        self.files[name] = content
        return web.json_response({"id": name, "object": "file", "bytes": len(content), "purpose": "batch"})

    async def _create(self, request: web.Request, wire: str) -> web.Response:
        order = await request.json()
        if wire == "anthropic":
            return self._anthropic_create(order, len(await request.read()))
        assert order["endpoint"] == "/v1/chat/completions"
        assert order["completion_window"] == "24h"
        assert all(len(key) <= 64 and len(value) <= 512 for key, value in order["metadata"].items())
        rows = [json.loads(line) for line in self.files[order["input_file_id"]].splitlines()]
        under_way = sum(batch.wire == wire and not batch.ended and not batch.error for batch in self.batches.values())
        batch = self._accept(wire, [(row["custom_id"], row["body"]) for row in rows], order.get("metadata"))
        ids = [row["custom_id"] for row in rows]
        assert all(row["method"] == "POST" and row["url"] == order["endpoint"] for row in rows)
        if len(rows) > self.max_requests:
            batch.error = {
                "code": "too_many_requests",
                "message": f"{len(rows)} requests \x1b[31mtoo many",
                "line": None,
            }
        elif len(set(ids)) < len(ids):
            batch.error = {"code": "duplicate_custom_id", "message": "custom_id is not unique", "line": 2}
        elif under_way >= self.at_once:
            batch.error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}
        else:
            self._charge(batch)
        return web.json_response(self._shown(batch))

    def _openai_shown(self, batch: Batch) -> dict[str, Any]:
        good = bool(set(map(batch.fate, range(len(batch.requests)))) & ANSWERED)
        done = batch.ended and not batch.error
        status = "failed" if batch.error else "in_progress"
        if done:
            gone = {"expired", "canceled"} & {batch.fate(index) for index in range(len(batch.requests))}
            status = "cancelled" if batch.cancelled else "expired" if gone else "completed"
        share = min(1.0, (time.time() - batch.created) / self.delay) if self.delay else 1.0
        rows = sum(batch.fate(index) != "missing" for index in range(len(batch.requests)))
        completed = int(share * rows) if not batch.error else 0
        return {
            "id": batch.id,
            "object": "batch",
            "status": status,
            "created_at": int(batch.created),
            "metadata": batch.metadata,
            "request_counts": {"total": len(batch.requests), "completed": completed, "failed": 0},
            "output_file_id": f"out-{batch.id}" if done and good else None,
            "error_file_id": f"err-{batch.id}" if done else None,
            "errors": {"object": "list", "data": [batch.error]} if batch.error else None,
        }

    async def _content(self, request: web.Request, wire: str) -> web.Response:
        kind, _, name = request.match_info["id"].partition("-")
        batch = self.batches[name]
        rows = []
        for index, (custom_id, sent) in enumerate(batch.requests):
            fate = batch.fate(index)
            if fate == "missing" or (fate in ANSWERED) != (kind == "out"):
                continue
            row: dict[str, Any] = {"id": f"batch_req_{index}", "custom_id": custom_id, "response": None, "error": None}
            if fate in ANSWERED:
                said = self._answer(wire, _prompt(sent), fate)
                row["response"] = {"status_code": 200, "request_id": "r", "body": said}
            elif fate in ("expired", "canceled"):
                code = "batch_expired" if fate == "expired" else "batch_cancelled"
                row["error"] = {"code": code, "message": "This request could not be executed in time."}
            else:
                error = {"message": f"status {fate}", "type": STATUSES.get(fate, "error"), "code": None, "param": None}
                row["response"] = {"status_code": int(fate), "request_id": "r", "body": {"error": error}}
            rows.append(row)
        stranger = {"custom_id": "somebody-else", "response": {"status_code": 200, "body": answer(wire, "x")}}
        return web.Response(body=self._messed(rows, stranger, name + kind), content_type="application/octet-stream")

    # Anthropic.

    def _anthropic_create(self, order: dict[str, Any], size: int) -> web.Response:
        requests = [(row["custom_id"], row["params"]) for row in order["requests"]]
        ids = [custom_id for custom_id, _ in requests]
        if size > self.max_bytes:
            return _error("anthropic", 413, "request_too_large", f"Request is too large: {size} bytes.")
        if len(requests) > self.max_requests:
            message = f"requests: at most {self.max_requests} \x1b[31mitems"
            return _error("anthropic", 400, "invalid_request_error", message)
        if len(set(ids)) < len(ids) or not all(map(CUSTOM_ID.fullmatch, ids)):
            return _error("anthropic", 400, "invalid_request_error", "custom_id must be unique and well-formed")
        batch = self._accept("anthropic", requests)
        self._charge(batch)
        return web.json_response(self._shown(batch))

    def _anthropic_shown(self, batch: Batch) -> dict[str, Any]:
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        if batch.ended:
            for index in range(len(batch.requests)):
                fate = batch.fate(index)
                kind = fate if fate in counts else "succeeded" if fate in ANSWERED else "errored"
                counts[kind if fate != "missing" else "processing"] += 1
        else:
            counts["processing"] = len(batch.requests)
        created = datetime.fromtimestamp(batch.created, UTC).isoformat().replace("+00:00", "Z")
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if batch.ended else "in_progress",
            "request_counts": counts,
            "created_at": created,
            "ended_at": created if batch.ended else None,
            "results_url": "https://elsewhere.invalid/results" if batch.ended else None,
        }

    async def _results(self, request: web.Request, wire: str) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        rows = []
        for index, (custom_id, sent) in enumerate(batch.requests):
            fate = batch.fate(index)
            result: dict[str, Any] = {"type": fate}
            if fate == "missing":
                continue
            if fate in ANSWERED:
                result = {"type": "succeeded", "message": self._answer(wire, _prompt(sent), fate)}
            elif fate not in ("expired", "canceled"):
                inner = {"type": STATUSES.get(fate, "authentication_error"), "message": f"status {fate}"}
                result = {"type": "errored", "error": {"type": "error", "error": inner}}
            rows.append({"custom_id": custom_id, "result": result})
        stranger = {"custom_id": "somebody-else", "result": {"type": "succeeded", "message": answer(wire, "x")}}
        return web.Response(body=self._messed(rows, stranger, batch.id), content_type="application/x-jsonl")


def _prompt(sent: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in sent["messages"] if message["role"] != "system")


def _changed(response: web.Response, situation: str) -> web.Response:
    content = response.body
    assert isinstance(content, bytes)
    match situation:
        case "short":
            return web.Response(body=content[: len(content) // 2])
        case "empty":
            return web.Response(body=b"")
        case "unnamed":
            return web.json_response(json.loads(content) | {"output_file_id": None, "error_file_id": None})
    return response


def _dropped(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _error(wire: str, status: int, kind: str, message: str) -> web.Response:
    error: dict[str, Any] = {"type": kind, "message": message}
    if wire == "openai":
        error |= {"code": kind, "param": None}
    return web.json_response({"type": "error", "error": error}, status=status)
