"""Requests a second of the SDK backends, side by side with what they stand on; server in a process of its own.

    python tests/perf/sdk_transport.py [--requests 2000] [--concurrency 16] [--rounds 3]

The server answers at once, so this is the cost of the client alone. Rounds interleave the candidates, because the
machine's speed drifts; the figure is the best round, the ratio is to the SDK as it comes.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import anthropic
import msgspec
import openai

from evalkit.backends.anthropic import Anthropic
from evalkit.backends.openai import OpenAI
from evalkit.core.protocols import Message, Request, Sampling

PROMPT = "Rate the answer below.\n" + "It is what it is, and that is all there is to say. " * 80
REQUEST = Request((Message("system", "You are a judge."), Message("user", PROMPT)), Sampling(max_tokens=512))
BODY = {
    "model": "m",
    "messages": [{"role": "system", "content": "You are a judge."}, {"role": "user", "content": PROMPT}],
    "max_tokens": 512,
}


async def rate(once: Callable[[], Awaitable[object]], requests: int, concurrency: int) -> float:
    """Requests a second."""
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await once()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return requests / (time.perf_counter() - started)


async def measure(url: str, requests: int, concurrency: int, rounds: int) -> dict[str, float]:
    """The best round of each candidate."""
    ours = OpenAI(model="m", base_url=f"{url}/v1", concurrency=concurrency)
    claude = Anthropic(model="m", base_url=url, concurrency=concurrency)
    await ours.open()
    await claude.open()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=max(100, concurrency)))
    plain = openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0)
    fast = openai.AsyncOpenAI(
        api_key="none", base_url=f"{url}/v1", max_retries=0, http_client=openai.DefaultAioHttpClient()
    )
    plain_claude = anthropic.AsyncAnthropic(api_key="none", base_url=url, max_retries=0)

    async def bare() -> object:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
        async with session.post(
            f"{url}/v1/chat/completions", data=msgspec.json.encode(BODY), headers=headers
        ) as response:
            return msgspec.json.decode(await response.read())

    user = {"model": "m", "max_tokens": 512, "system": "You are a judge.", "messages": BODY["messages"][1:]}
    candidates: dict[str, Callable[[], Awaitable[object]]] = {
        "bare aiohttp": bare,
        "evalkit OpenAI.complete()": lambda: ours.complete(REQUEST),
        "evalkit Anthropic.complete()": lambda: claude.complete(REQUEST),
        "openai SDK, aiohttp, raw create()": lambda: fast.chat.completions.with_raw_response.create(**BODY),
        "openai SDK as it comes": lambda: plain.chat.completions.create(**BODY),
        "anthropic SDK as it comes": lambda: plain_claude.messages.create(**user),
    }
    best = dict.fromkeys(candidates, 0.0)
    for once in candidates.values():
        await rate(once, 50, concurrency)
    for _ in range(rounds):
        for name, once in candidates.items():
            best[name] = max(best[name], await rate(once, requests, concurrency))
    for closing in (ours.close(), claude.close(), session.close(), plain.close(), fast.close(), plain_claude.close()):
        await closing
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    server = Path(__file__).parents[1] / "fault_server.py"
    with subprocess.Popen([sys.executable, str(server), "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            best = asyncio.run(measure(url, options.requests, options.concurrency, options.rounds))
        finally:
            process.terminate()
    base = best["openai SDK as it comes"]
    for name, value in best.items():
        print(f"{name:36s} {value:8,.0f} requests/s  {value / base:5.2f}x")


if __name__ == "__main__":
    main()
