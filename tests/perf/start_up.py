"""How long small things take, in starts of a bare interpreter: python tests/perf/start_up.py [--rounds 15].

`import evalkit` (target: below 0.1 s), `evalkit --help`, and one completion by the Tab key (target: below 0.3 s).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from statistics import median

START = "from evalkit.cli import main; main({})"
COMMANDS = {
    "bare interpreter": "pass",
    "import evalkit": "import evalkit",
    "evalkit --help": START.format(["--help"]),
    "a completion": START.format(["completion", "--candidates", "run", "mtbench", "model=s"]),
}


def seconds(code: str) -> float:
    """Time that one start takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """All commands in turns, so that a busy moment meets each; medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for code in COMMANDS.values():
        seconds(code)  # compiles what is not compiled yet, and reads the help text that is kept
    taken = {name: median(column) for name, column in zip(COMMANDS, zip(*_rounds(rounds), strict=True), strict=True)}
    bare = taken["bare interpreter"]
    for name, one in taken.items():
        print(f"{name}: {1000 * one:.0f} ms, {one / bare:.1f} times a bare interpreter")


def _rounds(count: int) -> list[list[float]]:
    return [[seconds(code) for code in COMMANDS.values()] for _ in range(count)]


if __name__ == "__main__":
    main()
