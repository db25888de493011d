"""Prompt tokens of grading by a rubric: all criteria in one call, and one call each, mostly remembered by the engine.

    python tests/perf/rubric_cost.py [--questions 6] [--source healthbench|pocket] [--criteria 12]

Real conversations of HealthBench with the answers that physicians wrote and their own criteria (or made-up answers to
the bundled questions, judged by criteria that ship) are put to the embedded SmolLM2, as a run does and four at a time;
replies are one token, as only prompts are counted, by the engine itself. Two figures:

- what one call about all criteria takes, over one call about one; and what of it is neither conversation nor the
  criteria's own words (that cannot be less than one line a criterion);
- of the calls about one criterion, the share of prompt tokens that the engine had computed already. The target is 60%;
  below it, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[2]))
from evalkit.backends.llamacpp import LlamaCpp
from evalkit.core.protocols import Case, Judge, Model
from evalkit.core.schema import Criterion, Judgment, Ref, Response
from evalkit.core.streams import each, of
from evalkit.datasets import artifacts
from evalkit.datasets.benchmark import load
from evalkit.engine.judge import JudgeRunner
from evalkit.judges.rubric import Rubric
from evalkit.models.client import Client
from evalkit.models.retry import RetryPolicy
from evalkit.settings import rubrics
from evalkit.storage.store import Log
from tests.perf.prefix_reuse import WEIGHTS, WORDS

TARGET = 0.60
EMPTY = Criterion(id="empty", text="x")
"""Of one token."""


@dataclass(frozen=True)
class Cost:
    """Prompt tokens of one answer's grading."""

    item: str
    criteria: int
    together: int
    """Of the call about all."""
    each: tuple[int, ...]
    """Of each call about one."""
    cached: int
    """Of those, what the engine had computed before."""
    frame: int
    """Of a call about a criterion of one token: conversation and instructions."""

    @property
    def ratio(self) -> float:
        """One call about all, over one about one."""
        return self.together / (sum(self.each) / len(self.each))

    @property
    def overhead(self) -> float:
        """Tokens a criterion of the call about all, besides its own words."""
        words = sum(one - self.frame + 1 for one in self.each)
        return (self.together - self.frame - words) / self.criteria


async def healthbench(questions, criteria):
    """Items and answers: conversations of every length, each with so many of its own criteria."""
    path = await artifacts.fetch("healthbench-questions")
    with path.open(encoding="utf-8") as file:
        written = {row["prompt_id"]: row["ideal_completions_data"] or {} for row in map(json.loads, file)}
    items = [
        replace(item, rubric=item.rubric[:criteria])
        for item in (await load("healthbench")).items
        if len(item.rubric) >= criteria and written[item.id].get("ideal_completion")
    ]
    items.sort(key=lambda item: sum(len(said.content) for said in item.messages) + sum(map(len, item.turns)))
    chosen = [items[(2 * place + 1) * len(items) // (2 * questions)] for place in range(questions)]
    return [(item, written[item.id]["ideal_completion"]) for item in chosen]


async def pocket(questions, criteria):
    """Bundled questions with made-up answers of 50 to 400 words, and criteria that ship."""
    shipped = [one for name in ("helpful", "faithful", "format") for one in rubrics.load(name)[0]][:criteria]
    draw = random.Random(0)
    items = draw.sample((await load("pocket")).items, questions)
    return [
        (
            replace(item, turns=item.turns[:1], reference=(), rubric=tuple(shipped)),
            " ".join(draw.choices(WORDS, k=draw.randint(50, 400))),
        )
        for item in items
    ]


async def judged(backend, cases, protocol, folder):
    """Every case judged through the client and stored, as a run does; the rows of single calls by item."""
    judge = Judge("judge", Model(name="judge", backend=backend), protocol)
    client = Client(backend, name="judge", price=None, retry=RetryPolicy(attempts=1), stopping=asyncio.Event())
    log = Log(folder / "judgments" / f"{protocol.name}.jsonl", Judgment)
    runner = JudgeRunner(judge, client, log)
    async for row in each(of(cases), runner.judgment, workers=backend.concurrency):
        assert row.error is None or row.error.kind == "truncated", row.error
    rows = list(runner.one_by_one.log if protocol.calls == "criterion" else log)
    runner.one_by_one.log.close()
    log.close()
    return {case.item.id: [row.usage for row in rows if row.item == case.item.id] for case in cases}


async def costs(work):
    """What each answer's grading takes, all in one call and one call each, on an engine whose memory is empty."""
    cases = []
    for item, answer in work:
        turns = ("(given)",) * (len(item.turns) - 1) + (answer,)
        shown = Response(
            key=item.id,
            item=item.id,
            benchmark=item.benchmark,
            category=item.category,
            model=Ref("m", "f"),
            turns=turns,
        )
        cases.append(Case(item, len(item.turns), (shown,)))
    bare = [Case(replace(case.item, rubric=(EMPTY,)), case.turn, case.shown) for case in cases]
    brief = {"explain": False, "max_tokens": 1}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        backend = LlamaCpp(model=WEIGHTS)
        await backend.open()
        try:  # the calls about one criterion first, on an empty memory: of the others only sizes count
            for name, asked, calls in (
                ("each", cases, "criterion"),
                ("all", cases, "item"),
                ("bare", bare, "criterion"),
            ):
                protocol = Rubric(name=f"rubric-{name}", calls=calls, **brief)
                found[name] = await judged(backend, asked, protocol, Path(folder))
        finally:
            await backend.close()
    return [
        Cost(
            item=case.item.id,
            criteria=len(case.item.rubric),
            together=found["all"][case.item.id][0].prompt_tokens,
            each=tuple(usage.prompt_tokens for usage in found["each"][case.item.id]),
            cached=sum(usage.cached_tokens for usage in found["each"][case.item.id]),
            frame=found["bare"][case.item.id][0].prompt_tokens,
        )
        for case in cases
    ]


def measure(source="healthbench", questions=6, criteria=12):
    """The costs of some answers, the shortest conversation first."""

    async def run():
        return await costs(await {"healthbench": healthbench, "pocket": pocket}[source](questions, criteria))

    return sorted(asyncio.run(run()), key=lambda cost: cost.frame)


def remembered(found):
    """Share of the prompt tokens of calls about one criterion that were computed before."""
    return sum(cost.cached for cost in found) / sum(sum(cost.each) for cost in found)


def main():
    """Print a line an answer, and the totals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--criteria", type=int, default=12)
    parser.add_argument("--source", choices=("healthbench", "pocket"), default="healthbench")
    options = parser.parse_args()
    found = measure(options.source, options.questions, options.criteria)
    for cost in found:
        mean = sum(cost.each) / len(cost.each)
        print(
            f"{cost.item[:12]:12} frame {cost.frame:5,} tokens; one criterion {mean:7,.0f}, {cost.criteria} together "
            f"{cost.together:5,}: x{cost.ratio:.2f}, {cost.overhead:.1f} tokens a criterion besides its words; "
            f"one by one {cost.cached / sum(cost.each):.0%} remembered"
        )
    share = remembered(found)
    ratio = sum(cost.together for cost in found) / sum(sum(cost.each) / len(cost.each) for cost in found)
    print(f"all: x{ratio:.2f}; of calls about one criterion {share:.1%} remembered (target {TARGET:.0%})")
    return 0 if share >= TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
