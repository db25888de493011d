"""Prompt tokens the embedded engine computes when a judge compares all pairs: in order of arrival, and in ours.

    python tests/perf/prefix_reuse.py [--questions 6] [--models 5] [--turns 1] [--arrival models|questions]

Made-up answers of 20 to 150 words to questions of the bundled benchmark are compared by SmolLM2, every pair in both
orders, one token a judgment; counted by the engine itself. Answers arrive model by model, as from engines that take
turns or from an earlier run, or question by question. Each side has an engine of its own, its memory empty. The cache
for prompts that left their slot is as small against these few questions as the default is against a hundred. The
target is 40% fewer tokens; below it, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import tempfile
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from evalkit.backends.llamacpp import LlamaCpp
from evalkit.core.protocols import Judge, Model
from evalkit.core.schema import Judgment, Ref, Response
from evalkit.core.streams import of
from evalkit.datasets.benchmark import load
from evalkit.engine.judge import CaseBuilder, JudgeRunner
from evalkit.engine.ordering import judged
from evalkit.judges.pairwise import Pairwise
from evalkit.models.client import Client
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Log

TARGET = 0.40
WEIGHTS = "smollm2-135m-instruct-q4_1"
WORDS = ("sea", "lamp", "copper", "window", "river", "seven", "quiet", "paper", "bright", "road", "apple", "stone")


class InOrderOfArrival(LlamaCpp):
    """The same engine, and nobody told that it remembers prefixes."""

    prefix_cache = None


@dataclass(frozen=True)
class Work:
    """What an engine did."""

    judgments: int
    evaluated: int
    cached: int
    seconds: float
    passes: int
    """Forward passes that ended in a token."""


def answers(items, models, by):
    """One answer of each model to each item, as long as it happens to be, in the order they arrive."""

    def answer(item, model):
        words = random.Random(f"{item.id} {model}")
        turns = tuple(" ".join(words.choices(WORDS, k=words.randint(20, 150))) for _ in item.turns)
        fields = {"item": item.id, "benchmark": item.benchmark, "category": item.category}
        return Response(key=f"{item.id} {model}", model=Ref(f"model{model}", "f"), turns=turns, **fields)

    if by == "models":
        return [answer(item, model) for model in range(models) for item in items]
    return [answer(item, model) for item in items for model in range(models)]


async def work(backend, items, responses, models, folder):
    """Judge everything through the client and store it, as a run does."""
    protocol = Pairwise(scoring="logprobs", prefill="I choose answer")
    judge = Judge("judge", Model(name="judge", backend=backend), protocol)
    client = Client(backend, name="judge", price=None, retry=RetryPolicy(attempts=1), stopping=asyncio.Event())
    log = Log(folder / f"{type(backend).__name__}.jsonl", Judgment)
    arrivals = CaseBuilder({item.id: item for item in items}, shows=2)
    await client.open()
    start, rows = time.perf_counter(), []
    try:
        async with aclosing(
            judged(JudgeRunner(judge, client, log), of(responses), arrivals, lambda _: models)
        ) as stream:
            async for row in stream:
                assert row.finish is not None, row.error
                rows.append(row)
        seconds = time.perf_counter() - start
        found = backend.counters()
        passes = int(re.findall(r"^llamacpp:n_decode_total (\d+)", backend._engine.handle_metrics(), re.MULTILINE)[0])
    finally:
        await client.close()
        log.close()
    assert len({row.key for row in rows}) == len(rows)
    evaluated, cached = found["prompt_tokens_evaluated"], found["prompt_tokens_cached"]
    return Work(len(rows), evaluated, cached, seconds, passes)


def measure(questions, models, turns, by="models", cache=64):
    """Work in order of arrival, and in ours."""
    from msgspec.structs import replace

    kept = [
        replace(item, turns=item.turns[:turns], reference=item.reference[:turns])
        for item in random.Random(0).sample(asyncio.run(load("pocket")).items, questions)
    ]
    responses = answers(kept, models, by)
    with tempfile.TemporaryDirectory() as folder:
        return tuple(
            asyncio.run(work(engine(model=WEIGHTS, cache_mib=cache), kept, responses, models, Path(folder)))
            for engine in (InOrderOfArrival, LlamaCpp)
        )


def main():
    """Print both sides and the saving."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--cache", type=int, default=64, help="MiB")
    parser.add_argument("--arrival", choices=("models", "questions"), default="models")
    options = parser.parse_args()
    before, after = measure(options.questions, options.models, options.turns, options.arrival, options.cache)
    for name, side in (("in order of arrival", before), ("in our order", after)):
        print(
            f"{name:20} {side.judgments} judgments, {side.evaluated:,} prompt tokens computed, {side.cached:,} "
            f"remembered, {side.seconds:.1f} s, {side.passes} passes that end in tokens"
        )
    saving = 1 - after.evaluated / before.evaluated
    print(f"saved {saving:.1%} of the prompt tokens (target {TARGET:.0%}), time x{after.seconds / before.seconds:.2f}")
    return 0 if saving >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
