"""Loading a million judgments into a DataFrame: seconds and memory, with what the judge wrote and without.

    python tests/perf/frame_load.py [--rows 1000000] [--file FILE]

The rows are those of store_scale.py, 1.5 kB each; each form is loaded in a process of its own, the file in the page
cache. Exit code 1 over a limit: 6 s of CPU, which on a quiet machine are 6 s by the clock, or 1.5 GiB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 6.0
GIBIBYTES = 1.5
ONE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.perf.store_scale import high_water
import evalkit as ek
results = ek.load({file!r})
results.judgments  # what Python loads
import pandas
start, cpu = time.perf_counter(), time.process_time()
frame = results.judgments(words={words})
print(time.perf_counter() - start, time.process_time() - cpu, high_water() / 1024, len(frame))
"""


def main() -> int:
    """Measure both forms. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--file", type=Path, help="kept for the next time; default: a temporary one")
    options = parser.parse_args()
    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)
    from tests.perf.store_scale import write

    good = True
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "scale" / "judgments" / "gpt-4o.single.jsonl"
        if not path.exists():
            write(path, options.rows)
        path.read_bytes()
        for words in (True, False):
            code = ONE.format(root=root, file=str(path), words=words)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            seconds, cpu, memory, rows = map(float, done.stdout.split())
            good &= cpu <= SECONDS and memory <= GIBIBYTES and rows == options.rows
            what = "with" if words else "without"
            print(f"{rows:,.0f} judgments {what} words: {seconds:.2f} s ({cpu:.2f} s CPU), {memory:.2f} GiB at most")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
