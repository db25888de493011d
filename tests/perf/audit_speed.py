"""Speed of the observational audit: a million pairwise judgments, and a finished MT-Bench run; seconds and memory.

    python tests/perf/audit_speed.py [--judgments 1000000] [--folder DIR]

The million is 20 models on 5,000 questions, both orders, with answer lengths and 20,000 votes of people, as an import
leaves it. The run is six fake models, all pairs, both orders. Each is audited in a process of its own, from the start
of the interpreter for the million and beyond its imports for the run. Exit code 1 over a limit: 10 s and 2 GiB for the
million, 1 s for the run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS, GIBIBYTES, RUN_SECONDS = 10.0, 2.0, 1.0
MODELS, PAIRS, VOTES, VOTERS = 20, 100, 20_000, 25

AUDIT = """
import sys, time, resource
from pathlib import Path
import evalkit.reports.audit_output, evalkit.reports.output
evalkit.reports.output.one_thread()
import numpy, scipy.special, scipy.sparse.csgraph
import evalkit.audit.analyse, evalkit.audit.agreement_statistics, evalkit.audit.rankings_compared
import evalkit.audit.corrections
import evalkit.stats.covariates, evalkit.stats.paired_ratings
evalkit.audit.analyse.biases()
start = time.perf_counter()
found = evalkit.audit.analyse.audit([Path(sys.argv[1])])
evalkit.reports.audit_output.to_json(found)
took = time.perf_counter() - start
measured = sum(row.estimate is not None for row in found.findings)
print(took, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, measured)
"""


def write_million(folder: Path, judgments: int) -> None:
    """Judgments by one judge, and votes, in the layout of a results folder."""
    import msgspec
    import numpy as np

    from evalkit.core.schema import Judgment, Ref

    rng = np.random.default_rng(0)
    ability = np.linspace(-1, 1, MODELS)
    names = [Ref(f"model-{m}", "1") for m in range(MODELS)]
    pairs = np.array([(a, b) for a in range(MODELS) for b in range(a + 1, MODELS)])
    encoder = msgspec.json.Encoder()
    path = folder / "large" / "judgments"
    path.mkdir(parents=True)

    def row(judge: Ref, question: int, a: int, b: int, number: int, *, pull: float, lengths: tuple[int, int]) -> bytes:
        chance = 1 / (1 + np.exp(-(ability[a] - ability[b]) * 2 - pull))
        draw = rng.random()
        scores = (0.5, 0.5) if draw > 0.9 else (1.0, 0.0) if draw < 0.9 * chance else (0.0, 1.0)
        return encoder.encode(
            Judgment(
                key=f"{number:032x}",
                item=f"q{question}",
                benchmark="large",
                category=f"category {question % 8}",
                turn=1,
                judge=judge,
                protocol="battles",
                parser="battles/1",
                shown=(f"{question}-{a}", f"{question}-{b}"),
                models=(names[a], names[b]),
                lengths=lengths,
                scores=scores,
                label="",
            )
        )

    number, asked = 0, judgments // (2 * PAIRS)
    judged, voted = path / "judge.battles.jsonl", path / "people.battles.jsonl"
    with judged.open("wb") as file, voted.open("wb") as people:
        for question in range(asked):
            length = rng.lognormal(6, 0.6, MODELS).astype(int) + 1
            chosen = pairs[rng.choice(len(pairs), PAIRS, replace=False)].tolist()
            for a, b in chosen:
                sides = int(length[a]), int(length[b])
                for first, second, about in ((a, b, sides), (b, a, sides[::-1])):
                    file.write(row(Ref("judge", "1"), question, first, second, number, pull=0.2, lengths=about) + b"\n")
                    number += 1
            for vote in range(VOTES // asked):  # several people on the same pair
                a, b = chosen[vote // 3]
                voter, key = Ref(f"person_{rng.integers(VOTERS)}", "human"), 10**9 + question * VOTES + vote
                sides = int(length[a]), int(length[b])
                people.write(row(voter, question, a, b, key, pull=0.0, lengths=sides) + b"\n")
    print(f"{number:,} judgments, {os.path.getsize(judged) / 1e6:,.0f} MB")


def run_mtbench(folder: Path) -> None:
    """A finished run, through the command line."""
    own = folder / "own" / "model"
    own.mkdir(parents=True)
    names = [f"fake_{number}" for number in range(6)]
    for number, name in enumerate(names):
        backend = f"{{_target_: evalkit.backends.fake.Fake, model: {name}, skill: {3 + number}}}"
        (own / f"{name}.yaml").write_text(f"{name}:\n  price: free\n  backend: {backend}\n")
    command = [str(Path(sys.executable).parent / "evalkit"), "run", "mtbench", f"model=[{','.join(names)}]"]
    command += ["judge=fake", "protocol=pairwise", f"results_dir={folder / 'results'}", "--config-dir", str(own.parent)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600)
    print(f"MT-Bench run of {len(names)} models: {time.perf_counter() - start:.1f} s, its report included")


def audited(folder: Path) -> tuple[float, float, float, float, int]:
    """Seconds in all, seconds beyond imports, seconds of processor time, GiB, and findings with an estimate."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, str(folder)], check=True, capture_output=True, text=True, timeout=600
    )
    seconds, processor, gibibytes, measured = done.stdout.split()
    return time.perf_counter() - start, float(seconds), float(processor), float(gibibytes), int(measured)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judgments", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        large = Path(place) / "large"
        write_million(large, options.judgments)
        whole, beyond, processor, memory, measured = audited(large)
        good &= whole <= SECONDS and memory <= GIBIBYTES
        print(
            f"{options.judgments:,} judgments: {whole:.2f} s ({beyond:.2f} beyond imports), {memory:.2f} GiB, ", end=""
        )
        print(f"{processor:.2f} s of processor time, {measured} findings; limits {SECONDS:g} s, {GIBIBYTES:g} GiB")
        run = Path(place) / "run"
        run_mtbench(run)
        best = min((audited(run / "results") for _ in range(3)), key=lambda one: one[1])
        good &= best[1] <= RUN_SECONDS
        print(f"MT-Bench run: {best[1]:.2f} s beyond imports, {best[4]} findings; limit {RUN_SECONDS:g} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
