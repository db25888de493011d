"""Requests per second of grading by a rubric, against grading by one number, through the same harness.

    python tests/perf/rubric_throughput.py [--requests 3000] [--repeats 3] [--in-flight 64] [--criteria 12]

Loopback servers without latency (tests/fault_server.py) run on one core, the harness on another; the answers judged are
the same. ``single`` asks for one rating; ``item`` asks about all criteria in one call, whose reply holds a verdict and
a reason for each; ``criterion`` asks about each in a call of its own. Requests a second of CPU count, which other work
on the machine hardly moves. The target is 60% of ``single`` for both; below it, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.perf.harness_throughput import made, measured, served

TARGET = 0.60


def replies(criteria):
    """What the three sides are answered."""
    entry = {
        "reason": "The second paragraph of the answer says so, and nothing in it says otherwise.",
        "verdict": "yes",
    }
    whole = {str(number): entry for number in range(1, criteria + 1)}
    return {"single": "Rating: [[7]]", "item": json.dumps(whole), "criterion": json.dumps({"1": entry})}


def protocols(criteria):
    """The three sides."""
    from evalkit.core.schema import Criterion
    from evalkit.judges.rubric import Rubric
    from evalkit.judges.single import Single

    rubric = tuple(
        Criterion(
            id=f"c{number}",
            text=f"The answer deals with point {number} of what the user asked for.",
            points=1 if number % 3 else -2,
            axis=f"axis {number % 4}",
        )
        for number in range(criteria)
    )
    return {
        "single": Single(),
        "item": Rubric(name="item", rubric=rubric),
        "criterion": Rubric(name="criterion", rubric=rubric, calls="criterion"),
    }


async def judged(judge, client, store, cases, in_flight, each_takes):
    """As a run judges; the number of requests that took."""
    from evalkit.core.streams import each, of
    from evalkit.engine.judge import JudgeRunner

    runner = JudgeRunner(judge, client, store.judgments(judge.name, judge.protocol.name))
    done = 0
    async for row in each(of(cases), runner.judgment, workers=in_flight):
        assert row.scores is not None, row
        assert len(row.criteria) in (0, len(getattr(judge.protocol, "rubric", ()))), row
        done += each_takes
    return done


async def measure(urls, options):
    from evalkit.models.client import Clients
    from evalkit.models.prices import PriceTable
    from evalkit.storage.store import Store

    clients = Clients(PriceTable(as_of="", models={}))
    sides = {}
    for name, protocol in protocols(options.criteria).items():
        judge, case = made(urls[name], options.in_flight)
        sides[name] = dataclasses.replace(judge, name=name, protocol=protocol), case
        await clients.of(judge.model).open()
    speeds = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "perf")
        for repeat in range(options.repeats + 1):
            for name in list(sides) if repeat % 2 else reversed(sides):
                judge, case = sides[name]
                takes = options.criteria if name == "criterion" else 1
                count = (options.requests if repeat else 300) // takes  # the first warms up
                cases = [case(f"{name}-{repeat}", number) for number in range(count)]
                client = clients.of(judge.model)
                workers = max(1, options.in_flight // takes)
                speed = await measured(judged(judge, client, store, cases, workers, takes))
                if repeat:
                    speeds[name].append(speed)
                    print(f"repeat {repeat}: {name} {speed[0]:,.0f}/s, {speed[1]:,.0f} per CPU second", flush=True)
        store.close()
    await clients.close()
    return speeds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=3000, help="of each side, in each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--criteria", type=int, default=12)
    parser.add_argument("--share", type=float, default=TARGET, help="of the rate of single grading")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(served(cores[-1] if len(cores) > 1 else None, "--text", text))
            for name, text in replies(options.criteria).items()
        }
        os.sched_setaffinity(0, {cores[0]})
        speeds = asyncio.run(measure(urls, options))
    cpu = {name: statistics.median(speed[1] for speed in values) for name, values in speeds.items()}
    shares = {name: cpu[name] / cpu["single"] for name in ("item", "criterion")}
    print(f"single: {cpu['single']:,.0f} requests per CPU second")
    for name, share in shares.items():
        print(f"{name}: {cpu[name]:,.0f} requests per CPU second, {share:.0%} of single (target {options.share:.0%})")
    sys.exit(min(shares.values()) < options.share)


if __name__ == "__main__":
    main()
