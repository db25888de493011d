"""What comes from outside: servers that fail in every way, and texts that try to act in a browser."""

from __future__ import annotations

import asyncio
import gzip
import html
import random
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from aiohttp import web

from evalkit.backends.anthropic import Anthropic
from evalkit.backends.openai import OpenAI
from evalkit.core.protocols import BackendError, Completion, EvalkitError, Message, Request
from tests.fault_server import DROPPED, RAW, REPLACED, SPECIAL, STATUSES, FaultServer
from tests.reports.test_audit_page import PAYLOADS, Reader
from tests.test_hostile import NAMES

REQUEST = Request((Message("user", "Why?"),))
ODD = ("truncated", "null", "empty", "surrogate", "parrot")
SITUATIONS = sorted(
    {*STATUSES, *SPECIAL, *RAW, *REPLACED, *DROPPED, "truncated", "null", "empty", "surrogate", "parrot"}
)


def wire_faults(folder: Path, amount: int, seed: int) -> dict[str, int]:
    """Every fault in both wire formats: an answer, or an error of ours, and nothing else; then the next one arrives."""
    del folder
    draw, count = random.Random(seed), Counter[str]()
    cases = [(kind, situation) for kind in (OpenAI, Anthropic) for situation in SITUATIONS]
    draw.shuffle(cases)
    with FaultServer() as server:

        async def run() -> None:
            for kind, situation in cases[:amount]:
                backend = kind(model="m", base_url=server.url + ("/v1" if kind is OpenAI else ""), timeout=60.0)
                await backend.open()
                try:
                    server.provoke(situation)
                    try:
                        found: object = await backend.complete(REQUEST)
                    except EvalkitError as error:
                        found = error
                    assert isinstance(found, Completion | BackendError | EvalkitError), (situation, found)
                    count["answers though faulty" if isinstance(found, Completion) else "named errors"] += 1
                    server.script.clear()
                    assert (await backend.complete(REQUEST)).text == "Rating: [[7]]", situation
                finally:
                    await backend.close()
                count["wire faults"] += 1
            for kind in (OpenAI, Anthropic):
                for body, packed in _bombs(draw):
                    assert isinstance(await _sent(kind, body, packed), BackendError)
                    count["huge or packed bodies"] += 1

        asyncio.run(run())
    return dict(count)


def _bombs(draw: random.Random) -> list[tuple[bytes, str]]:
    """Bodies beyond what is taken, as they are and packed a thousandfold; one that is no packing at all."""
    large = b'{"choices": [{"message": {"content": "' + b"x" * (65_000_000 + draw.randrange(1000)) + b'"}}]}'
    return [(large, ""), (gzip.compress(large, 1), "gzip"), (b"no packing", "gzip"), (b"x", "br")]


async def _sent(kind: type[OpenAI] | type[Anthropic], body: bytes, packed: str) -> object:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": packed} if packed else {})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    backend = kind(model="m", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    await backend.open()
    try:
        return await backend.complete(REQUEST)
    except EvalkitError as error:
        return error
    finally:
        await backend.close()
        await runner.cleanup()


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--virtual-time-budget=4000"),
)


def hostile_pages(folder: Path, amount: int, seed: int) -> dict[str, int]:
    """Payloads as names and texts on the pages of a leaderboard and an audit, in Chromium: only shown."""
    from evalkit.core.schema import Ref, digest
    from evalkit.storage.store import Store
    from tests.ratings.test_scores import row

    del seed
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return {"hostile payloads": 0}
    payloads = [*NAMES.values(), *PAYLOADS][:amount]
    store = Store(folder / "results", "bench")
    for number, text in enumerate(payloads):
        name = text.replace("\x00", "").encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored
        judgment = row(str(number), 5, model=Ref(name, digest("m")), judge=Ref(name, digest("j")), category=name)
        store.judgments(f"judge{number}", "single").append(judgment)
    store.close()
    for verb in ("leaderboard", "audit"):
        page = folder / f"{verb}.html"
        command = [*_evalkit(), verb, str(folder / "results"), "-o", str(page)]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        title = re.findall(r"<title>(.*?)</title>", page.read_text(encoding="utf-8"), re.S)[0]
        command = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
        reader = Reader()
        reader.feed(shown)
        assert html.unescape(re.findall(r"<title>(.*?)</title>", shown, re.S)[0]) == html.unescape(title)
        assert not {tag for tag, _ in reader.tags} & {"script", "img", "iframe", "object", "embed"}
        assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
        assert not [attributes for _, attributes in reader.tags if not (attributes.get("href") or "#").startswith("#")]
    return {"hostile payloads": len(payloads), "pages in Chromium": 2}


def _evalkit() -> list[str]:
    import sys

    return [sys.executable, "-m", "evalkit"]
