"""What rubric grading costs: prompt tokens of one call against one for each criterion, and what of them is remembered.

    python tests/perf/rubric_speed.py [--answers 3] [--criteria 12] [--words 300]

Made-up answers to questions of the bundled benchmark are judged by SmolLM2 with criteria of about fifteen words, in one
call and in one call each; tokens are those that the engine counted. Targets: one call for all takes at most 1.3 times
the prompt tokens of a call about one criterion; of the calls about single criteria at least 60% of the prompt is
remembered. Where one is missed, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from pathlib import Path

from evalkit.backends.llamacpp import LlamaCpp
from evalkit.core.protocols import Case, Judge, Model, Sampling
from evalkit.core.schema import Criterion, Judgment, Ref, Response, Usage
from evalkit.datasets.benchmark import load
from evalkit.engine.judge import JudgeRunner
from evalkit.judges.rubric import Rubric
from evalkit.models.client import Client
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Log

WEIGHTS = "smollm2-135m-instruct-q4_1"
WORDS = ("sea", "lamp", "copper", "window", "river", "seven", "quiet", "paper", "bright", "road", "apple", "stone")


def rubric(size):
    """So many criteria."""
    draw = random.Random(0)
    texts = (f"The answer says something of the {' '.join(draw.choices(WORDS, k=8))}." for _ in range(size))
    return tuple(Criterion(id=str(number), text=text) for number, text in enumerate(texts))


async def usage(calls, criteria, cases, folder):
    """Tokens of each judgment, and how many calls each took."""
    backend = LlamaCpp(model=WEIGHTS, slots=2, context=4096)
    protocol = Rubric(rubric=criteria, calls=calls, explain=False)
    model = Model(name="judge", backend=backend, sampling=Sampling(max_tokens=600, seed=0))
    client = Client(backend, name="judge", price=None, retry=RetryPolicy(attempts=1), stopping=asyncio.Event())
    log = Log(folder / "judgments" / f"{calls}.jsonl", Judgment)
    runner = JudgeRunner(Judge("judge", model, protocol), client, log)
    try:
        rows = [await runner.judgment(case) for case in cases]
    finally:
        log.close()
        await client.close()
    return sum((row.usage for row in rows), Usage())


def main():
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=3)
    parser.add_argument("--criteria", type=int, default=12)
    parser.add_argument("--words", type=int, default=300)
    options = parser.parse_args()
    draw = random.Random(1)
    cases = []
    for item in asyncio.run(load("pocket")).items[: options.answers]:
        text = " ".join(draw.choices(WORDS, k=options.words))
        fields = {"item": item.id, "benchmark": item.benchmark, "category": item.category}
        cases.append(Case(item, 1, (Response(key=item.id, model=Ref("m", "f"), turns=(text,), **fields),)))
    criteria = rubric(options.criteria)
    with tempfile.TemporaryDirectory() as folder:
        together = asyncio.run(usage("item", criteria, cases, Path(folder)))
        apart = asyncio.run(usage("criterion", criteria, cases, Path(folder)))
    ratio = together.prompt_tokens / (apart.prompt_tokens / len(criteria))
    remembered = apart.cached_tokens / apart.prompt_tokens
    print(f"one call for {len(criteria)} criteria: {ratio:.2f} times the prompt tokens of one criterion (target 1.3)")
    print(f"one call each: {remembered:.1%} of {apart.prompt_tokens:,} prompt tokens remembered (target 60%)")
    return 0 if ratio <= 1.3 and remembered >= 0.6 else 1


if __name__ == "__main__":
    raise SystemExit(main())
