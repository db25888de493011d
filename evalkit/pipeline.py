"""The method: answer every question, judge every answer, rate every model. Reads top to bottom."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from evalkit import leaderboard, rate
from evalkit.batch import batched
from evalkit.batches.ledger import Ledger, open_batch_conflict
from evalkit.client import Client, Clients
from evalkit.comparisons import comparisons
from evalkit.experiment import Experiment
from evalkit.generate import respond, stored_first
from evalkit.judge import Arrivals, Bench, cases
from evalkit.ordering import judged
from evalkit.progress import Watch
from evalkit.schema import Judgment, Response
from evalkit.store import Store
from evalkit.streams import all_at_once, each, merge, of, tapped, tee

T = TypeVar("T")


@dataclass(frozen=True)
class Ratings:
    """What came out."""

    scores: list[rate.Score]
    """Of single grading."""
    board: leaderboard.Board
    """Of pairwise comparison: win rates against a baseline, or Bradley-Terry ratings where all met all."""


async def run(experiment: Experiment, clients: Clients, store: Store, watch: Watch) -> Ratings:
    """Generate, judge and rate. What is stored already is not asked again; what arrives is stored at once.

    Answers are judged as they arrive, unless generator and judge must take turns.
    """
    async with aclosing(generate(experiment, clients, store, watch)) as answers:
        responses = all_at_once(answers) if experiment.in_turns else answers
        async with aclosing(judge(experiment, responses, clients, store, watch)) as judgments:
            async for _ in judgments:
                pass  # stored already; a run of any size fits in memory
    return rated(experiment, store)


async def generate(
    experiment: Experiment, clients: Clients, store: Store, watch: Watch
) -> AsyncGenerator[Response, None]:
    """Every model's answers to every item, and those of a baseline that takes part by its stored answers alone."""
    for response in experiment.baselines(store):
        yield response
    streams, again = [], experiment.ask_again
    for candidate in experiment.candidates:
        client, log = clients.of(candidate.model), store.responses(candidate.model.name)
        answer = partial(respond, candidate=candidate, client=client, log=log, ask_again=again)
        work = of(stored_first(experiment.benchmark.items, candidate, log, again))
        streams.append((client, each(work, tapped(answer, watch.answered), workers=client.backend.concurrency)))
    async with aclosing(_together(streams, experiment.in_turns)) as arriving:
        async for response in arriving:
            yield response


async def judge(
    experiment: Experiment, responses: AsyncIterable[Response], clients: Clients, store: Store, watch: Watch
) -> AsyncGenerator[Judgment, None]:
    """Every judge's verdict on every answer, each judge at its own pace."""
    items = {item.id: item for item in experiment.benchmark.items}
    streams = []
    for member, copy in zip(experiment.judges, tee(responses, len(experiment.judges)), strict=True):
        client = clients.of(member.model)
        batches = store.batches(member.name, member.protocol.name)
        sent = None if member.batch else partial(open_batch_conflict, Ledger(batches))
        log = store.judgments(member.name, member.protocol.name)
        bench = Bench(member, client, log, experiment.ask_again, sent, experiment.stop_unparsed)
        shows = member.protocol.shows
        arrivals = partial(Arrivals, items, shows=shows, pairing=experiment.pairing, repeats=experiment.repeats)
        if member.batch:
            known, work = arrivals().of(experiment.answered(store)), cases(copy, arrivals())
            stream = batched(work, bench, batches, experiment.batch, watch.waits, known=known)
        else:
            stream = judged(bench, copy, arrivals(), experiment.answers_to)
        streams.append((client, stream))
    async with aclosing(_together(streams, experiment.in_turns)) as arriving:
        async for judgment in arriving:
            watch.judged(judgment)
            yield judgment


def rated(experiment: Experiment, store: Store) -> Ratings:
    """This experiment's models as its judges see them, from what is stored: scores, and standings in comparisons."""
    answers = (row for model in experiment.models for row in store.responses(model.name))
    taking_part = (row for row in answers if row.item in experiment.item_ids)
    scores = rate.scores(_verdicts(experiment, store), taking_part, every_configuration=True)
    baseline = experiment.pairing.baseline or None
    choices = leaderboard.Choices(paths=(), method="winrate" if baseline else "bt", baseline=baseline)
    return Ratings(scores, leaderboard.rate_tables(comparisons(_verdicts(experiment, store)), choices))


def _verdicts(experiment: Experiment, store: Store) -> Iterator[Judgment]:
    for member in experiment.judges:
        yield from filter(experiment.owns, store.judgments(member.name, member.protocol.name))


async def _together(
    streams: Sequence[tuple[Client, AsyncGenerator[T, None]]], in_turns: bool
) -> AsyncGenerator[T, None]:
    """Items of all streams as they come; or stream by stream, each client freed before the next one loads."""
    for group in streams if in_turns else [(None, merge(*(stream for _, stream in streams)))]:
        client, stream = group
        async with aclosing(stream):
            async for item in stream:
                yield item
        if client is not None:
            await client.close()
