"""The method: answer every question, judge every answer, or the pairs that decide, rate every model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from evalkit.core import streams
from evalkit.core.schema import Judgment, Response
from evalkit.engine.experiment import Experiment
from evalkit.engine.generate import answers
from evalkit.engine.ordering import verdicts
from evalkit.engine.pair_choice import PairChoice
from evalkit.engine.progress import Watch
from evalkit.engine.refused import refused, taking_part
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
        stage = judge if experiment.rule is None else tournament
        async with aclosing(stage(experiment, responses, clients, store, watch)) as judgments:
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


async def tournament(
    experiment: Experiment, responses: AsyncIterable[Response], clients: Clients, store: Store, watch: Watch
) -> AsyncGenerator[Judgment, None]:
    """Every judge's verdicts on the pairs that are still undecided, round after round, until the rule is met."""
    choice = PairChoice(experiment, await streams.gathered(responses), clients, store, watch.new)
    for judgment in choice.known():
        watch.judged(judgment)
        yield judgment
    while units := choice.next_round():
        async with aclosing(choice.asked(units)) as arriving:
            async for judgment in arriving:
                watch.judged(judgment)
                yield judgment
        if not choice.learned(units):
            break  # the run is stopping


def rated(experiment: Experiment, store: Store) -> Board:
    """This experiment's models as its judges see them, from what is stored: refusals, scores, then comparisons.

    Comparisons become win rates against a baseline, or Bradley-Terry ratings where all met all.
    """
    apart, taken = refused(experiment, store)
    graded = (row for row in experiment.judgments(store) if (row.judge.name, row.protocol) not in taken)
    single = scores(graded, taking_part(experiment, store), every_configuration=True)
    baseline = experiment.pairing.baseline or None
    choices = leaderboard.Choices(paths=(), method="winrate" if baseline else "bt", baseline=baseline)
    compared = leaderboard.rate_tables(comparisons(experiment.judgments(store)), choices)
    return Board(apart.standings + single.standings + compared.standings, single.notes + compared.notes)
