"""How fast the viewer is over very many judgments: ``python tests/perf/view_speed.py [N] [FOLDER]``.

Prints seconds until the first table (the first time, and with the index that is left then), seconds of each filter, and
the memory at the most. Aims, on an idle machine with two cores: 5 s, 1 s, 0.3 s, 500 MiB for a million.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from evalkit.app.case_page import CaseReader
from evalkit.app.results import OpenResults
from evalkit.app.view_pages import ViewPages
from evalkit.core.schema import Item, Judgment, Ref, Response, digest

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.app.browser import client

FILTERS = (
    "category=c3",
    "model=model-7&verdict=loss",
    "model=model-7&other=model-8",
    "judge=judge&failure=any",
    "low=0.2&high=0.8",
    "orders=disagree",
    "people=disagree",
    "sort=difference",
    "sort=disagreement",
    "sort=longest",
    "q=Question+77",
    "page=40",
)


def write(folder: Path, count: int) -> None:
    """Two judges' pairs in both orders, of twenty models on a thousand questions, and some votes."""
    encoder, draw = msgspec.json.Encoder(), random.Random(1)
    models = [Ref(f"model-{number}", digest(number)) for number in range(20)]
    items = [
        Item(id=f"q{number}", benchmark="b", category=f"c{number % 8}", turns=(f"Question {number}? " + "word " * 20,))
        for number in range(1000)
    ]
    for kind in ("answers", "judgments"):
        (folder / "b" / kind).mkdir(parents=True)
    (folder / "b" / "items.jsonl").write_bytes(b"".join(encoder.encode(item) + b"\n" for item in items))
    answers = {}
    for model in models:
        with (folder / "b" / "answers" / f"{model.name}.jsonl").open("wb") as file:
            for item in items:
                row = Response(
                    key=digest(model.name, item.id),
                    item=item.id,
                    benchmark="b",
                    category=item.category,
                    model=model,
                    turns=("answer text " * 30,),
                    finish=("stop",),
                )
                answers[model.name, item.id] = row.id
                file.write(encoder.encode(row) + b"\n")
    for judge, share in ((Ref("judge", "f"), 0.98), (Ref("ann", "human"), 0.02)):
        with (folder / "b" / "judgments" / f"{judge.name}.pairwise.jsonl").open("wb") as file:
            for number in range(int(count * share / 2)):
                item, pair = items[number % 1000], draw.sample(models, 2)
                for repeat, (one, other) in enumerate((pair, pair[::-1])):
                    row = Judgment(
                        key=digest(judge.name, number, repeat),
                        item=item.id,
                        benchmark="b",
                        category=item.category,
                        turn=1,
                        judge=judge,
                        protocol="pairwise",
                        parser="p",
                        shown=(answers[one.name, item.id], answers[other.name, item.id]),
                        models=(one, other),
                        lengths=(360, 360),
                        scores=draw.choice([(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]),
                        label="A",
                        raw="It is better because it says more. " * 6,
                        created=1e9 + number,
                    )
                    file.write(encoder.encode(row) + b"\n")


def first_table(folder: Path, cache: Path) -> tuple[OpenResults, float]:
    began = time.perf_counter()
    results = OpenResults((folder,), cache)
    reply = client(ViewPages(results, CaseReader(results)).routes()).get("/")
    assert reply.status == 200, reply.text
    return results, time.perf_counter() - began


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    made = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    folder, cache = made / "results", made / "cache"
    if not folder.exists():
        write(folder, count)
    shutil.rmtree(cache, ignore_errors=True)
    began = time.perf_counter()
    results, shown = first_table(folder, cache)
    while not results.index.complete:
        results.look()
    whole = time.perf_counter() - began
    print(f"{len(results.index):,} judgments; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"first time: first table {shown:.2f} s, all of it {whole:.2f} s (CPU {time.process_time():.2f} s)")
    results, shown = first_table(folder, cache)
    print(f"with the index: {shown:.2f} s")
    calls = client(ViewPages(results, CaseReader(results)).routes())
    for query in FILTERS:
        began = time.perf_counter()
        reply = calls.get(f"/?{query}")
        assert reply.status == 200, reply.text
        print(f"{time.perf_counter() - began:6.3f} s  {query}")
    print(f"memory at the most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
