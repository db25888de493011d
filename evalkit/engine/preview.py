"""One prompt of each judge, as it would be sent: what ``show=prompt`` prints."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from evalkit.core.protocols import ReplySchema, Request
from evalkit.core.schema import Item, Ref, Response
from evalkit.engine.experiment import Experiment
from evalkit.engine.generate import Candidate
from evalkit.engine.judge import CaseBuilder, JudgeRunner
from evalkit.models.client import Clients
from evalkit.storage.store import Store


def prompts(experiment: Experiment, clients: Clients, store: Store) -> Iterator[str]:
    """The first prompt of each judge: on stored answers, or where there are none, on a line that stands for one."""
    items = {item.id: item for item in experiment.benchmark.items}
    answers = list(experiment.unasked(store))
    for name in experiment.only_stored if not answers else ():  # they are fetched when a run begins
        answers += [_stands_for(name, item) for item in items.values()]
    for model in experiment.models:
        log, candidate = store.responses(model.name), Candidate.of(model, experiment.benchmark.spec.generation)
        for item in items.values():
            row = log.get(candidate.begin(item).key) or candidate.begin(item)
            missing = _stands_for(model.name, item).turns[len(row.turns) :]
            answers.append(replace(row, turns=(*row.turns, *missing), error=None))
    for judge in experiment.judges:
        judged = store.judgments(judge.name, judge.protocol.name)
        runner = JudgeRunner(judge, clients.of(judge.model), judged, experiment.ask_again)
        yield from _first(runner, answers, experiment)


def _stands_for(name: str, item: Item) -> Response:
    """A line in place of each answer that is not there."""
    turns = tuple(f"(the answer of {name})" for _ in item.turns)
    return Response(
        key=name, item=item.id, benchmark=item.benchmark, category=item.category, model=Ref(name, ""), turns=turns
    )


def _first(runner: JudgeRunner, answers: list[Response], experiment: Experiment) -> Iterator[str]:
    judge = runner.judge
    items = {item.id: item for item in experiment.benchmark.items}
    builder = CaseBuilder(items, shows=judge.protocol.shows, pairing=experiment.pairing, turns=experiment.turns)
    for case in builder.of(answers):
        asker, call = next(runner.calls(case))
        about = f"item {case.item.id!r}, turn {case.turn}"
        yield f"judge {judge.name}, protocol {judge.protocol.name}, {about}\n\n{rendered(asker.request(call))}"
        return


def rendered(request: Request) -> str:
    """A request as text: its messages under their roles, then what else is sent."""
    parts = [f"--- {message.role} ---\n{message.content}" for message in request.messages]
    parts.append(f"--- sampling ---\n{msgspec.json.encode(request.sampling.sent()).decode()}")
    if isinstance(request.reply, ReplySchema):
        schema = msgspec.json.format(msgspec.json.encode(request.reply.schema), indent=2).decode()
        parts.append(f"--- reply: {request.reply.means} {request.reply.name!r}, by this schema ---\n{schema}")
    return "\n\n".join(parts)
