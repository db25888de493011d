"""A client that calls an application directly, as a browser on this machine would, and Chromium where there is one."""

from __future__ import annotations

import asyncio
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn

from evalkit.app.access import Access
from evalkit.app.server import application, listening

CHROMIUM = shutil.which("chromium")


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Client:
    """Requests of one role."""

    app: Any
    access: Access
    role: str | None = ""
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, b"", headers)

    def post(self, path: str, form: dict[str, str], **headers: str) -> Reply:
        own = {
            "origin": f"http://127.0.0.1:{self.access.port}",
            "content-type": "application/x-www-form-urlencoded",
        }
        return self.request("POST", path, urlencode(form).encode(), own | headers)

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        own = {"host": f"127.0.0.1:{self.access.port}", "content-length": str(len(body))}
        if self.role is not None:
            own["cookie"] = f"{self.access.cookie}={self.access.token(self.role)}"
        sent = {name: value for name, value in (own | self.headers | headers).items() if value}
        where, _, query = path.partition("?")
        return asyncio.run(self._call(method, where, query, body, sent))

    async def _call(self, method, where, query, body, headers) -> Reply:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": where,
            "raw_path": where.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
            "client": ("127.0.0.1", 5000),
            "server": ("127.0.0.1", self.access.port),
        }
        said: list[dict[str, Any]] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message):
            said.append(message)

        await self.app(scope, receive, send)
        start = next(one for one in said if one["type"] == "http.response.start")
        content = b"".join(one.get("body", b"") for one in said if one["type"] == "http.response.body")
        listed = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return Reply(start["status"], listed, content.decode())


def client(routes, port: int = 4321, **given: Any) -> Client:
    access = Access("127.0.0.1", port, b"secret")
    return Client(application(routes(access) if callable(routes) else routes, access), access, **given)


@contextmanager
def chromium(**context: Any):
    """A page in a headless browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser.new_context(**context).new_page()
        finally:
            browser.close()


@contextmanager
def served(routes: Any) -> Any:
    """A real server of these routes on a port of this machine, and who may use it."""
    sock = listening("127.0.0.1", 0)
    access = Access("127.0.0.1", sock.getsockname()[1], b"secret")
    app = application(routes(access) if callable(routes) else routes, access)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    try:
        yield access
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()
