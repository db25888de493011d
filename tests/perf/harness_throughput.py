"""Judgments per second of the harness, against bare loops over what it stands on.

    python tests/perf/harness_throughput.py [--judgments 4000] [--repeats 3] [--in-flight 64] [--target 1000]
                                            [--share 0.75] [--profile FILE]

A loopback server without latency (tests/fault_server.py) runs on one core, the harness on another. All sides send the
same prompts: ours as a run does (render, key, look up, ask, parse, store); ``sdk`` is a loop over the official SDK on
its aiohttp transport with raw responses, decoded, without evalkit; ``backend`` a loop over our own ``OpenAI.complete``,
which takes a shorter way through the SDK. They take turns, so that what else the machine does meets all. On a busy
machine the figure that counts is judgments per second of CPU. Targets: 1,000 on one core, and three quarters of
``sdk``; below either the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET, SHARE = 1000, 0.75


@contextmanager
def served(core, *options):
    """The URL of a server on its own core."""
    command = [sys.executable, str(ROOT / "tests" / "fault_server.py"), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def made(url, in_flight):
    """The judge, and as many cases as wanted: questions and answers about as long as those of MT-JudgeRunner."""
    from evalkit.backends.openai import OpenAI
    from evalkit.core.protocols import Case, Judge, Model, Sampling
    from evalkit.core.schema import Item, Ref, Response, Usage
    from evalkit.judges.single import Single

    backend = OpenAI(model="judge", base_url=f"{url}/v1", concurrency=in_flight)
    judge = Judge("judge", Model(name="judge", backend=backend, sampling=Sampling(max_tokens=512)), Single())

    def case(name, number):
        question = f"{name} {number}: " + "Compose a travel post about a recent trip to an island. " * 4
        turns = (question, "Now begin every sentence with the letter A. " * 2)
        answers = (f"Answer {number}. " + "The sea was calm and the harbour full of boats. " * 30, "A sea. " * 150)
        item = Item(id=f"{name}-{number}", benchmark="perf", category="writing", turns=turns)
        response = Response(
            key=f"{name}-{number}", item=item.id, benchmark="perf", category="writing", model=Ref("me", "f" * 32),
            turns=answers, finish=("stop",) * 2, usage=(Usage(),) * 2,
        )  # fmt: skip
        return Case(item, 1 + number % 2, (response,))

    return judge, case


async def ours(judge, client, store, cases, in_flight):
    """As pipeline.judge does."""
    from evalkit.core.streams import each, of
    from evalkit.engine.judge import JudgeRunner

    bench = JudgeRunner(judge, client, store.judgments(judge.name, judge.protocol.name))
    done = 0
    async for row in each(of(cases), bench.judgment, workers=in_flight):
        assert row.scores == (7.0,), row
        done += 1
    return done


async def bare(backend, requests, in_flight):
    """The same requests by as many tasks, and nothing done with the answers."""
    left = iter(requests)

    async def worker():
        done = 0
        for request in left:
            await backend.complete(request)
            done += 1
        return done

    return sum(await asyncio.gather(*(worker() for _ in range(in_flight))))


async def sdk(client, requests, in_flight):
    """The same requests through the SDK alone."""
    import msgspec

    left = iter(requests)

    async def worker():
        done = 0
        for request in left:
            messages = [{"role": message.role, "content": message.content} for message in request.messages]
            response = await client.chat.completions.with_raw_response.create(
                model="judge", messages=messages, max_tokens=request.sampling.max_tokens
            )
            assert msgspec.json.decode(response.content)["choices"][0]["message"]["content"]
            done += 1
        return done

    return sum(await asyncio.gather(*(worker() for _ in range(in_flight))))


async def measured(coroutine):
    """Things done, per second and per second of this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = await coroutine
    return done / (time.perf_counter() - wall), done / (time.process_time() - cpu)


async def measure(url, options):
    from evalkit.engine.judge import JudgeRunner
    from evalkit.models.client import Clients
    from evalkit.models.prices import PriceTable
    from evalkit.storage.store import Store

    judge, case = made(url, options.in_flight)
    clients = Clients(PriceTable(as_of="", models={}))
    client = clients.of(judge.model)
    await client.open()
    import openai

    plain = openai.AsyncOpenAI(
        api_key="none", base_url=f"{url}/v1", max_retries=0, http_client=openai.DefaultAioHttpClient()
    )
    speeds = {"ours": [], "sdk": [], "backend": []}
    profile = cProfile.Profile() if options.profile else None
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "perf")
        for repeat in range(options.repeats + 1):
            count = options.judgments if repeat else 300  # the first warms up
            cases = [case(f"repeat-{repeat}", number) for number in range(count)]
            bench = JudgeRunner(judge, client, store.judgments("unused", "single"))
            requests = [bench.request(one) for one in cases]
            for side in list(speeds) if repeat % 2 else reversed(speeds):
                if side == "sdk":
                    speed = await measured(sdk(plain, requests, options.in_flight))
                elif side == "backend":
                    speed = await measured(bare(judge.model.backend, requests, options.in_flight))
                else:
                    if profile and repeat:
                        profile.enable()
                    speed = await measured(ours(judge, client, store, cases, options.in_flight))
                    if profile:
                        profile.disable()
                if repeat:
                    speeds[side].append(speed)
                    print(f"repeat {repeat}: {side} {speed[0]:,.0f}/s, {speed[1]:,.0f} per CPU second", flush=True)
        assert len(store.judgments(judge.name, judge.protocol.name)) == 300 + options.repeats * options.judgments
        store.close()
    await clients.close()
    await plain.close()
    if profile:
        profile.dump_stats(options.profile)
    return speeds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judgments", type=int, default=4000, help="in each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--target", type=int, default=TARGET, help="judgments per second of CPU")
    parser.add_argument("--share", type=float, default=SHARE, help="of what the SDK alone does")
    parser.add_argument("--profile", metavar="FILE", help="write a cProfile of our side; slows it down")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with served(cores[-1] if len(cores) > 1 else None) as url:
        os.sched_setaffinity(0, {cores[0]})
        speeds = asyncio.run(measure(url, options))
    wall, cpu = (
        {side: statistics.median(speed[which] for speed in values) for side, values in speeds.items()}
        for which in (0, 1)
    )
    for side in speeds:
        print(f"{side}: {wall[side]:,.0f} judgments/s, {1000 / cpu[side]:.2f} CPU seconds per 1,000")
    for side in ("sdk", "backend"):
        clock, shares = (
            sorted(own[which] / other[which] for own, other in zip(speeds["ours"], speeds[side], strict=True))
            for which in (0, 1)
        )
        print(
            f"ours / {side}: {statistics.median(clock):.0%} by the clock, {statistics.median(shares):.0%} by CPU "
            f"({shares[0]:.0%} to {shares[-1]:.0%} in single repeats)"
        )
    target = f"{options.target:,}, and {options.share:.0%} of the SDK alone"
    print(f"on one core: {cpu['ours']:,.0f} judgments/s; target {target}")
    sys.exit(cpu["ours"] < options.target or cpu["ours"] < options.share * cpu["sdk"])


if __name__ == "__main__":
    main()
