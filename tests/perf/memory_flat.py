"""Memory of a run of 200,000 judgments, streamed through the judge stage with a judge that answers at once.

    python tests/perf/memory_flat.py [--judgments 200000] [--protocol single|pairwise] [--judges 1]

Answers come as the generate stage yields them, 1,000 questions of two turns; nothing is asked over a network. Exit
code 1 if the process ever holds more than 400 MiB, or if the second half of the run adds more than the index of what
was stored: 400 bytes a judgment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

MEBIBYTES = 400
BYTES_A_ROW = 400
ITEMS = 1000


def mebibytes():
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def high_water():
    """Mebibytes at most so far. Not ru_maxrss: that begins with what the parent had when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def made(protocol, judges):
    """The experiment, without models: their answers are given."""
    from evalkit.backends.fake import Fake
    from evalkit.core.protocols import Judge, Model
    from evalkit.core.schema import Item
    from evalkit.datasets.benchmark import Benchmark, Generation, Questions, Spec
    from evalkit.engine.experiment import Experiment
    from evalkit.engine.judge import Pairing
    from evalkit.judges.pairwise import Pairwise
    from evalkit.judges.single import Single

    items = tuple(
        Item(id=str(number), benchmark="flat", category="writing", turns=(f"Question {number}?" * 8, "And then?" * 8))
        for number in range(ITEMS)
    )
    spec = Spec(
        name="flat", title="", description="", source="", licence="", questions=Questions(), protocol=protocol,
        generation=Generation(max_tokens=10),
    )  # fmt: skip
    shape = {"single": Single, "pairwise": Pairwise}[protocol]
    return Experiment(
        benchmark=Benchmark(spec=spec, items=items, references="none", hashes={}),
        models=(),
        judges=tuple(
            Judge(f"judge-{n}", Model(name=f"judge-{n}", backend=Fake(model=f"judge-{n}")), shape())
            for n in range(judges)
        ),
        pairing=Pairing({"writing": "model-0"} if protocol == "pairwise" else {}),
    )


async def answers(experiment, models):
    """Model by model, as an earlier run would have stored them."""
    from evalkit.core.schema import Ref, Response, digest

    for number in range(models):
        ref = Ref(f"model-{number}", f"{number:032x}")
        for item in experiment.benchmark.items:
            text = f"[skill {number % 10}.5] " + f"word{number} " * 180
            yield Response(
                key=digest(item.id, number), item=item.id, benchmark="flat", category=item.category, model=ref,
                turns=(text, text[:700]), finish=("stop", "stop"),
            )  # fmt: skip


async def measured(options, folder):
    """Run, and sample memory every tenth of it."""
    from evalkit.engine import pipeline
    from evalkit.engine.progress import Watch
    from evalkit.models.client import Clients
    from evalkit.models.prices import PriceTable
    from evalkit.ratings.comparisons import comparisons
    from evalkit.ratings.scores import scores
    from evalkit.storage.store import Store

    experiment = made(options.protocol, options.judges)
    each = ITEMS * 2 * options.judges * (2 if options.protocol == "pairwise" else 1)
    models = max(1, options.judgments // each) + (options.protocol == "pairwise")
    store, clients = Store(folder, "flat"), Clients(PriceTable(as_of="", models={}))
    samples, done, start = [], 0, time.perf_counter()
    judged = pipeline.judge(experiment, answers(experiment, models), clients, store, Watch(0, options.judgments))
    async for row in judged:
        assert row.error is None, row
        done += 1
        if done % max(1, options.judgments // 10) == 0:
            samples.append((done, mebibytes()))
            print(f"{done:9,} judgments: {samples[-1][1]:4.0f} MiB", flush=True)
    print(f"{done / (time.perf_counter() - start):,.0f} judgments/s")
    rows = (row for one in experiment.judges for row in store.judgments(one.name, one.protocol.name))
    assert comparisons(rows) if options.protocol == "pairwise" else scores(rows).standings
    print(f"rated: {mebibytes():.0f} MiB")
    await clients.close()
    store.close()
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judgments", type=int, default=200_000)
    parser.add_argument("--protocol", choices=["single", "pairwise"], default="single")
    parser.add_argument("--judges", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = asyncio.run(measured(options, Path(folder)))
    peak = high_water()
    (first, low), (last, high) = samples[len(samples) // 2 - 1], samples[-1]
    growth = (high - low) * 2**20 / (last - first)
    print(f"at most {peak:.0f} MiB; the second half added {growth:.0f} bytes a judgment")
    sys.exit(peak > MEBIBYTES or growth > BYTES_A_ROW)


if __name__ == "__main__":
    main()
