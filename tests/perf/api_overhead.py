"""What a run costs from Python beyond the same run by the command line: function calls, and CPU time.

    python tests/perf/api_overhead.py [--repeats 5] [--limit 2]

Both runs are in this process, on stand-ins, alternated. Calls hardly depend on what else the machine does; CPU time is
the median of the repeats. Prints one line; exit code 1 if a run from Python makes 2% more calls.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 0.02


def by_command_line(folder: Path, limit: int) -> None:
    """The run as a person types it, its output into memory."""
    from evalkit.cli.main import main

    words = ["run", "pocket", "model=fake", "judge=fake", f"limit={limit}", f"results_dir={folder}"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(words)
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"the run by the command line ended with {ended.code}") from ended


def from_python(folder: Path, limit: int) -> None:
    """The same run from Python."""
    import evalkit as ek

    ek.run("pocket", model="fake", judge="fake", limit=limit, results_dir=folder, progress=False)


def main() -> int:
    """Measure. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=int, default=2)
    options = parser.parse_args()
    sys.argv = ["evalkit"]
    ways = {"command line": by_command_line, "Python": from_python}
    calls: dict[str, list[int]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for name, run in ways.items():  # imports, and caches of the first run
            run(Path(folder) / f"first-{name}", options.limit)
        for repeat in range(options.repeats):
            for name, run in ways.items():
                start = time.process_time()
                run(Path(folder) / f"timed-{name}-{repeat}", options.limit)
                seconds[name].append(time.process_time() - start)
                profile = cProfile.Profile()
                profile.enable()
                run(Path(folder) / f"counted-{name}-{repeat}", options.limit)
                profile.disable()
                calls[name].append(sum(entry.callcount for entry in profile.getstats()))
    counted = {name: statistics.median(found) for name, found in calls.items()}
    cpu = {name: statistics.median(found) for name, found in seconds.items()}
    more = counted["Python"] / counted["command line"] - 1
    slower = cpu["Python"] / cpu["command line"] - 1
    print(
        f"a run from Python beside the command line's: {more:+.1%} function calls ({counted['Python']:,.0f} to "
        f"{counted['command line']:,.0f}), {slower:+.1%} CPU ({cpu['Python']:.3f} s to {cpu['command line']:.3f} s)"
    )
    return int(more > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
