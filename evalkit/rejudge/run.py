"""Stored answers before another judge: the very cases that one judge saw, put to a second one, and both compared.

A case is an item's turn, the answers shown in the order shown, and the repeat. What the new judge says is stored as in
any run: the same command goes on where it was stopped, and nothing is asked twice.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from evalkit.core.protocols import Case, Judge, UsageError
from evalkit.core.schema import Item, Judgment
from evalkit.core.streams import each, of
from evalkit.datasets import benchmark
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine.batches.ledger import Ledger, open_batch_conflict
from evalkit.engine.batches.scheduler import batched
from evalkit.engine.experiment import Experiment
from evalkit.engine.forecast import Estimate, count_case, earlier, mean_usage, priced, sent
from evalkit.engine.judge import JudgeRunner
from evalkit.engine.progress import Watch, downloads
from evalkit.engine.session import SessionResult
from evalkit.engine.spending import judgments
from evalkit.models.budget import Amount
from evalkit.models.client import Clients
from evalkit.rejudge.drift import CompactJudgment, Coverage, Drift, VerdictPair, measure
from evalkit.rejudge.source import Answers, SourceJudgments, questions_in
from evalkit.settings import assembly
from evalkit.settings.config import Config
from evalkit.storage.store import Store

if TYPE_CHECKING:
    from rich.console import Console


@dataclasses.dataclass(frozen=True)
class Plan:
    """The cases that can be put to the new judge, and what became of the other rows."""

    old: SourceJudgments
    items: Mapping[str, Item]
    rows: Sequence[CompactJudgment]
    beyond_limit: int
    no_question: int
    no_answer: int
    answers: Answers

    def cases(self) -> Iterator[Case]:
        """One by one; texts are read as they are needed."""
        for row in self.rows:
            shown = tuple(answer for identity in row.shown if (answer := self.answers.get(identity)) is not None)
            if len(shown) == len(row.shown):
                yield Case(self.items[row.item], row.turn, shown, row.repeat)


async def rejudge(
    settings: Config, old: SourceJudgments, console: Console, *, name: str | None = None
) -> SessionResult[Drift]:
    """Put the old judge's cases to the new one, and compare.

    Args:
        settings: as for a run; its judge is the new one.
        old: whose judgments.
        console: for people.
        name: what the new judge is called in the results, if not by its own name.

    Raises:
        UsageError: the judge compares another number of answers, or the questions are not known.
    """
    with downloads(console):
        loaded = await _questions(settings, old)
        experiment = await assembly.experiment(settings, loaded)
    judge = _named(experiment.judges, name, old)
    experiment = dataclasses.replace(experiment, models=(), judges=(judge,))
    plan = _plan(old, {item.id: item for item in loaded.items}, settings.limit)
    async with assembly.session(settings, console, old.root.parent, old.root.name) as session:
        clients, store = session.clients, session.store
        log = store.judgments(judge.name, judge.protocol.name)
        batches = store.batches(judge.name, judge.protocol.name)
        elsewhere = None if judge.batch else partial(open_batch_conflict, Ledger(batches))
        runner = JudgeRunner(
            judge, clients.of(judge.model), log, experiment.ask_again, elsewhere, session.new, experiment.stop_unparsed
        )

        def used() -> Amount:  # by the new judge's name; replies that have been asked for again are included
            return judgments(log, lambda row: row.item in old.items, clients.price(judge.model))

        if settings.dry_run:
            session.show_forecast([_forecast(plan, runner, clients, store)], used)
            return SessionResult(None)
        await session.open(experiment, used)
        verdicts: dict[tuple[str, int, tuple[str, ...], int], CompactJudgment] = {}
        more = {"rejudged": {"judge": old.judge.name, "fingerprint": old.judge.fingerprint}}
        with session.asking(experiment, answers=0, judgments=len(plan.rows), more=more) as watch:
            async with aclosing(_judgments(plan, experiment, runner, store, watch)) as stream:
                async for row in stream:
                    watch.judged(row)
                    one = CompactJudgment.of(row)
                    verdicts[one.case] = one
        drift = _compared(plan, judge, verdicts)
        session.show_closing(experiment.ask_again)
        return session.result(drift)


async def _questions(settings: Config, old: SourceJudgments) -> Benchmark:
    """The items that the old judgments are about: of the benchmark, and those stored beside them.

    Raises:
        UsageError: there are none.
    """
    stored = questions_in(old.root)
    if settings.benchmark != old.benchmark or old.benchmark in benchmark.names():
        loaded = await assembly.load_benchmark(settings)
        known = {item.id: item for item in loaded.items}
        items = stored | known
    else:
        loaded, items = None, stored
    items = {name: replace(item, benchmark=old.benchmark) for name, item in items.items() if name in old.items}
    if not items:
        raise UsageError(
            f"the questions of {old.benchmark!r} are not known, so its answers cannot be put to a judge; give "
            "benchmark=NAME|FOLDER (and questions=, fields= if the run had them), or import the results with their "
            "questions"
        )
    if loaded is not None:
        return replace(
            loaded, spec=replace(loaded.spec, name=old.benchmark, baseline=None), items=tuple(items.values())
        )
    spec = replace(benchmark.spec("pocket"), name=old.benchmark, categories=(), references=None, baseline=None)
    return Benchmark(spec=spec, items=tuple(items.values()), references="stored", hashes={})


def _named(judges: Sequence[Judge], name: str | None, old: SourceJudgments) -> Judge:
    if len(judges) != 1:
        raise UsageError(f"a rejudge takes one judge, not {len(judges)}; run it once for each")
    judge = dataclasses.replace(judges[0], name=name) if name else judges[0]
    if judge.name == old.judge.name:
        raise UsageError(
            f"{judge.name!r} is the judge whose judgments are re-judged; to ask it again, because the model behind it "
            "changed, say, give it another name in the results with as=NAME"
        )
    if judge.protocol.shows != old.shows:
        raise UsageError(
            f"protocol={judge.protocol.name} shows {judge.protocol.shows} answers at once; "
            f"{old.judge.name!r} was shown {old.shows}"
        )
    if judge.protocol.name == "reward":
        raise UsageError(
            f"{judge.name!r} is a reward model, whose scores are on a scale of its own: what they differ by from "
            f"another judge's says nothing. `evalkit judge {old.root} judge=...` scores the same answers by it; "
            "`evalkit leaderboard` and `evalkit audit` show both"
        )
    return judge


def _plan(old: SourceJudgments, items: Mapping[str, Item], limit: int | None) -> Plan:
    """The cases that can be put to the new judge."""
    chosen = _first(old.rows, limit)
    within = [row for row in old.rows if row.item in chosen]
    known = [row for row in within if row.item in items and row.turn <= len(items[row.item].turns)]
    answers = Answers(old.root, {identity for row in known for identity in row.shown})
    there = [row for row in known if all(identity in answers for identity in row.shown)]
    place = {item: number for number, item in enumerate(dict.fromkeys(row.item for row in there))}
    there.sort(key=lambda row: (place[row.item], row.turn, row.shown, row.repeat))  # prompts that begin alike together
    if not there:
        raise UsageError(
            f"no answer that {old.judge.name!r} judged is stored in {str(old.root / 'answers')!r}: re-judging needs "
            "the texts; import the answers too, or run the models again"
        )
    return Plan(
        old, items, there, len(old.rows) - len(within), len(within) - len(known), len(known) - len(there), answers
    )


def _first(rows: Sequence[CompactJudgment], limit: int | None) -> set[str]:
    """The first items of each category, in the order stored."""
    if limit is not None and limit < 1:
        raise UsageError(f"limit={limit}: must be at least 1, the number of items of each category")
    taken: Counter[str] = Counter()
    kept: dict[str, None] = {}
    for row in rows:
        if row.item not in kept and (limit is None or taken[row.category] < limit):
            kept[row.item] = None
            taken[row.category] += 1
    return set(kept)


def _forecast(plan: Plan, runner: JudgeRunner, clients: Clients, store: Store) -> Estimate:
    estimate = Estimate("judge", runner.judge.name, sent=sent(runner.judge, store))
    habits = mean_usage(((row.usage,), row.latency) for row in earlier(runner.log, Judgment))
    for case in plan.cases():
        count_case(case, runner, habits, estimate)
    return priced(estimate, runner.judge.model, clients, habits, batch=runner.judge.batch)


def _judgments(
    plan: Plan, experiment: Experiment, runner: JudgeRunner, store: Store, watch: Watch
) -> AsyncGenerator[Judgment, None]:
    work = of(plan.cases())
    if runner.judge.batch:
        batches = store.batches(runner.judge.name, runner.judge.protocol.name)
        return batched(work, runner, batches, experiment.batch, watch.waits, known=plan.cases())
    return each(work, runner.judgment, workers=runner.client.backend.concurrency)


def _compared(plan: Plan, judge: Judge, said: Mapping[tuple[str, int, tuple[str, ...], int], CompactJudgment]) -> Drift:
    twins = [VerdictPair(row, said[row.case]) for row in plan.rows if row.case in said]
    coverage = Coverage(
        rows=len(plan.old.rows),
        beyond_limit=plan.beyond_limit,
        no_question=plan.no_question,
        no_answer=plan.no_answer,
        pending=len(plan.rows) - len(twins),
        both=sum(old.scores is not None and new.scores is not None for old, new in twins),
    )
    old, new = (plan.old.judge, plan.old.protocol), (judge.ref, judge.protocol.name)
    return measure(plan.old.benchmark, old, new, twins, coverage)
