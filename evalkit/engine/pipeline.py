"""The method: answer every question, judge every answer, rate every model. Reads top to bottom."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from evalkit.core import streams
from evalkit.core.schema import Judgment, Response
from evalkit.engine.experiment import Experiment
from evalkit.engine.generate import answers
from evalkit.engine.ordering import verdicts
from evalkit.engine.progress import Watch
from evalkit.models.client import Clients
from evalkit.ratings import leaderboard
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.scores import scores
from evalkit.ratings.standing import Board
from evalkit.storage.store import Store


async def run(experiment: Experiment, clients: Clients, store: Store, watch: Watch) -> Board:
    """Generate, judge and rate. What is stored already is not asked again; what arrives is stored at once.

    Answers are judged as they arrive, unless generator and judge must take turns.
    """
    async with aclosing(generate(experiment, clients, store, watch)) as arriving:
        responses = streams.all_at_once(arriving) if experiment.in_turns else arriving
        async with aclosing(judge(experiment, responses, clients, store, watch)) as judgments:
            async for _ in judgments:
                pass  # stored already; a run of any size fits in memory
    return rated(experiment, store)


async def generate(
    experiment: Experiment, clients: Clients, store: Store, watch: Watch
) -> AsyncGenerator[Response, None]:
    """Every model's answers to every item, and those of models that take part by their stored answers alone."""
    for response in experiment.unasked(store):
        yield response
    items, again = experiment.benchmark.items, experiment.ask_again
    members = [
        (candidate.model, answers(candidate, items, clients, store, watch, ask_again=again))
        for candidate in experiment.candidates
    ]
    async with aclosing(clients.together(members, in_turns=experiment.in_turns)) as arriving:
        async for response in arriving:
            yield response


async def judge(
    experiment: Experiment, responses: AsyncIterable[Response], clients: Clients, store: Store, watch: Watch
) -> AsyncGenerator[Judgment, None]:
    """Every judge's verdict on every answer, each judge at its own pace."""
    copies = streams.tee(responses, len(experiment.judges))
    members = [
        (member.model, verdicts(member, copy, experiment, clients, store, watch))
        for member, copy in zip(experiment.judges, copies, strict=True)
    ]
    async with aclosing(clients.together(members, in_turns=experiment.in_turns)) as arriving:
        async for judgment in arriving:
            watch.judged(judgment)
            yield judgment


def rated(experiment: Experiment, store: Store) -> Board:
    """This experiment's models as its judges see them, from what is stored: scores, then standings in comparisons.

    Comparisons become win rates against a baseline, or Bradley-Terry ratings where all met all.
    """
    stored = (row for name in experiment.names for row in store.responses(name))
    taking_part = (row for row in stored if row.item in experiment.item_ids)
    single = scores(experiment.judgments(store), taking_part, every_configuration=True)
    baseline = experiment.pairing.baseline or None
    choices = leaderboard.Choices(paths=(), method="winrate" if baseline else "bt", baseline=baseline)
    compared = leaderboard.rate_tables(comparisons(experiment.judgments(store)), choices)
    return Board(single.standings + compared.standings, single.notes + compared.notes)
