"""A results file of a million judgments: seconds to open it for a resume, memory, reads, writes, system calls.

    python tests/perf/store_scale.py [--rows 1000000] [--appended 100000] [--folder DIR]

The rows are as long as real ones (about 1.5 kB). The file is in the page cache when it is opened, as it is on the
machine that wrote it. Exit code 1 over a limit: 5 s of CPU to open, which on a quiet machine are 5 s by the clock,
400 MiB, one write a row, one fsync a second.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

OPEN_SECONDS = 5.0
MEBIBYTES = 400
READ = 20_000
TEXT = 'the answer is clear, accurate and "relevant", although it\ncould say more about the history of the café'
WORDS = TEXT.split(" ")


def judgment(number, chance):
    """A row like those of a run; one in a hundred failed."""
    from evalkit.core.schema import Failure, Judgment, Ref, Usage, digest

    failed = number % 100 == 0
    return Judgment(
        key=digest(number), item=str(number // 20), benchmark="scale", category="writing", turn=1 + number % 2,
        judge=Ref("gpt-4o", "a" * 32), protocol="single", parser="rating/1", shown=(digest("shown", number),),
        models=(Ref(f"model-{number % 10}", "b" * 32),), lengths=(1000 + number % 500,),
        scores=None if failed else (float(number % 10),), label=None if failed else str(number % 10),
        error=Failure("unparsed", "no rating in the reply") if failed else None,
        raw=" ".join(chance.choices(WORDS, k=chance.randint(60, 200))) + f" Rating: [[{number % 10}]]",
        usage=Usage(700, 200, 100), sampling={"temperature": 0.0, "max_tokens": 2048}, snapshot="gpt-4o-2024-08-06",
        latency=1.25, cost=0.00123, created=1.7e9 + number,
    )  # fmt: skip


def write(path, rows):
    """Write the file with plain writes; the store's own speed is measured on fewer rows."""
    import msgspec

    encoder, chance = msgspec.json.Encoder(), random.Random(0)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for number in range(rows):
            file.write(encoder.encode(judgment(number, chance)) + b"\n")


def mebibytes():
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def high_water():
    """Mebibytes at most so far. Not ru_maxrss: that begins with what the parent had when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def opened(path):
    from evalkit.core.schema import Judgment
    from evalkit.storage.store import Log

    before, start, cpu = mebibytes(), time.perf_counter(), time.process_time()
    log = Log(path, Judgment)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"open: {seconds:.2f} s ({cpu:.2f} s CPU), {len(log):,} keys, {mebibytes() - before:.0f} MiB more")
    return log, cpu


def reads(log, rows):
    from evalkit.core.schema import digest

    chance = random.Random(1)
    keys = [digest(chance.randrange(rows)) for _ in range(READ)]
    start = time.perf_counter()
    assert all(log.get(key) is not None for key in keys)
    print(f"get: {READ / (time.perf_counter() - start):,.0f} rows/s, at random")
    start = time.perf_counter()
    assert sum(1 for _ in log) == rows
    print(f"read through: {rows / (time.perf_counter() - start):,.0f} rows/s")


def appends(log, rows, count):
    """Append, counting system calls. Returns writes a row and fsyncs a second beyond the last one."""
    chance, counts = random.Random(2), {"write": 0, "fsync": 0}
    new = [judgment(rows + number, chance) for number in range(count)]
    real = {name: getattr(os, name) for name in counts}

    def counted(name):
        def call(*arguments):
            counts[name] += 1
            return real[name](*arguments)

        return call

    for name in counts:
        setattr(os, name, counted(name))
    try:
        start = time.perf_counter()
        for row in new:
            log.append(row)
        seconds = time.perf_counter() - start
        log.close()
    finally:
        for name, function in real.items():
            setattr(os, name, function)
    writes, syncs = counts["write"] / count, counts["fsync"]
    print(f"append: {count / seconds:,.0f} rows/s, {writes:g} writes a row, {syncs} fsyncs in {seconds:.1f} s")
    return writes, syncs <= seconds + 2  # one may be due at once, and one comes at the end


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--appended", type=int, default=100_000, help="rows added afterwards")
    parser.add_argument("--folder", type=Path, help="where to put the file while measuring (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "scale" / "judgments" / "gpt-4o.single.jsonl"
        write(path, options.rows)
        print(f"{options.rows:,} rows, {path.stat().st_size / 2**20:,.0f} MiB")
        log, seconds = opened(path)
        reads(log, options.rows)
        peak = high_water()
        print(f"memory at most: {peak:.0f} MiB")
        writes, rarely = appends(log, options.rows, options.appended)
        del log
        again, _ = opened(path)
        assert len(again) == options.rows + options.appended
    sys.exit(seconds > OPEN_SECONDS or peak > MEBIBYTES or writes != 1 or not rarely)


if __name__ == "__main__":
    main()
