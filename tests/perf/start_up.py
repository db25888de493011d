"""How long `evalkit --help` takes, in starts of a bare interpreter: python tests/perf/start_up.py [--rounds 15]."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from statistics import median

BARE = [sys.executable, "-c", "pass"]
HELP = [sys.executable, "-c", "from evalkit.cli import main; main(['--help'])"]


def seconds(command: list[str]) -> float:
    """Time that one start takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Both commands in turns, so that a busy moment meets both; medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    seconds(HELP)  # compiles what is not compiled yet
    pairs = [(seconds(BARE), seconds(HELP)) for _ in range(rounds)]
    bare, help_ = (median(column) for column in zip(*pairs, strict=True))
    print(f"bare interpreter {1000 * bare:.0f} ms, evalkit --help {1000 * help_:.0f} ms: {help_ / bare:.1f} times")


if __name__ == "__main__":
    main()
