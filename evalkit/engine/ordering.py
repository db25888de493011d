"""In which order a judge is asked: cases whose prompts begin alike together, where its engine remembers prefixes.

A prompt shows the question, then the first answer, then the second. llama.cpp and vLLM keep what they computed of one
prompt, and compute of the next only what follows the part that both share. So all cases of a question follow each
other, sorted by the first answer; a slot of llama.cpp, which remembers its own last prompt only, gets them all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from evalkit.core.protocols import Case, Judge
from evalkit.core.schema import Judgment, Response
from evalkit.core.streams import each, each_of_groups
from evalkit.engine.batches.ledger import Ledger, open_batch_conflict
from evalkit.engine.batches.scheduler import batched
from evalkit.engine.experiment import Experiment
from evalkit.engine.judge import CaseBuilder, JudgeRunner, cases
from evalkit.models.client import Clients
from evalkit.storage.store import Store

if TYPE_CHECKING:
    from evalkit.engine.progress import Watch


def verdicts(
    judge: Judge,
    responses: AsyncIterable[Response],
    experiment: Experiment,
    clients: Clients,
    store: Store,
    watch: Watch,
) -> AsyncGenerator[Judgment, None]:
    """What one judge of an experiment says about answers: asked one by one as they arrive, or in batches."""
    items = {item.id: item for item in experiment.benchmark.items}
    builder = partial(
        CaseBuilder,
        items,
        shows=judge.protocol.shows,
        pairing=experiment.pairing,
        repeats=experiment.repeats,
        turns=experiment.turns,
    )
    batches = store.batches(judge.name, judge.protocol.name)
    runner = JudgeRunner(
        judge,
        clients.of(judge.model),
        store.judgments(judge.name, judge.protocol.name),
        experiment.ask_again,
        None if judge.batch else partial(open_batch_conflict, Ledger(batches)),
        watch.new,
        experiment.stop_unparsed,
    )
    if not judge.batch:
        return judged(runner, responses, builder(), experiment.answers_to)
    known, work = builder().of(experiment.answered(store)), cases(responses, builder())
    return batched(work, runner, batches, experiment.batch, watch.waits, known=known)


def judged(
    runner: JudgeRunner, responses: AsyncIterable[Response], builder: CaseBuilder, expected: Callable[[str], int]
) -> AsyncGenerator[Judgment, None]:
    """What a judge says about all that can be judged, asked as answers arrive or in the order that suits its engine.

    Args:
        runner: the judge at work.
        responses: answered and failed ones.
        builder: builds the cases.
        expected: how many responses there will be to the item of an id.
    """
    backend = runner.client.backend
    if backend.prefix_cache is None:
        return each(cases(responses, builder), runner.judgment, workers=backend.concurrency)
    whole = backend.prefix_cache == "slots"
    groups = in_groups(responses, builder, expected, whole=whole)
    return each_of_groups(groups, runner.judgment, workers=backend.concurrency)


async def in_groups(
    responses: AsyncIterable[Response], builder: CaseBuilder, expected: Callable[[str], int], *, whole: bool = True
) -> AsyncGenerator[list[Case], None]:
    """Cases that begin alike, item by item, as soon as all answers to an item are there.

    A response that is not its item's last yields an empty group: whoever reads can stop there. With ``whole``, all
    cases that begin alike are one group; otherwise each is one of its own, in the same order.
    """
    waiting: dict[str, list[Response]] = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    async for response in responses:
        waiting[response.item].append(response)
        seen[response.item] += 1
        if seen[response.item] < expected(response.item):
            yield []
            continue
        for group in _dealt(waiting.pop(response.item), builder, whole):
            yield group
    for rows in waiting.values():  # items that lack an answer which will not come
        for group in _dealt(rows, builder, whole):
            yield group


def _dealt(responses: Iterable[Response], builder: CaseBuilder, whole: bool) -> Iterator[list[Case]]:
    for group in alike(case for response in responses for case in builder.add(response)):
        yield from [group] if whole else ([case] for case in group)


def alike(one_item: Iterable[Case]) -> Iterator[list[Case]]:
    """An item's cases turn by turn, in the order in which each prompt shares most with the one before."""
    for _, group in groupby(sorted(one_item, key=_place), key=lambda case: case.turn):
        yield list(group)


def _place(case: Case) -> tuple[object, ...]:
    return (case.turn, *((response.model.name, response.key) for response in case.shown), case.repeat)
