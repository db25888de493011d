"""What a run would ask: calls, tokens, cost and time, with what is stored already taken off. Asks nothing itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from msgspec.structs import replace

from evalkit.core.protocols import Case, Judge, Model, Request
from evalkit.core.schema import Batch, Item, Judgment, Response, Usage
from evalkit.core.streams import of
from evalkit.engine.batches.ledger import by_request, most
from evalkit.engine.experiment import Experiment
from evalkit.engine.generate import Candidate, final
from evalkit.engine.judge import CaseBuilder, JudgeRunner, cases
from evalkit.models.budget import Amount
from evalkit.models.client import Clients
from evalkit.storage.store import Log, Row, Store

CHARACTERS_PER_TOKEN = 4.0
"""A rule of thumb for English; the model's own ratio takes its place where rows of it are stored."""

SAMPLE = 500
"""Stored rows that the ratio is taken from."""

REPLY_TOKENS = 300
"""Length of a judge's explanation where nothing is known of it."""


@dataclass
class Estimate:
    """What one member of the experiment will be asked."""

    role: str
    name: str
    calls: int = 0
    stored: int = 0
    """Calls that an earlier run has made."""
    pending: int = 0
    """Calls that are in batches the provider has already."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """US dollars; None where the price is unknown."""
    seconds: float | None = None
    """None where nothing is known of its speed."""
    characters: int = 0
    """Of the prompts of all calls."""
    sent: Mapping[str, Batch] = field(default_factory=dict)
    """All that is in such batches, by key."""
    waiting: dict[str, Batch] = field(default_factory=dict)
    """Those of them that the run will wait for."""
    known: Counter[str] = field(default_factory=Counter)
    """Of stored calls: ``rows``, ``characters`` of their prompts, and the ``tokens`` these were counted as."""

    @property
    def carried(self) -> Amount:
        """What these batches may come to, as the budget counts them."""
        return sum(map(most, self.waiting.values()), Amount())

    @property
    def characters_per_token(self) -> float:
        """Characters a token, as stored calls had it, or as English has it."""
        known = self.known["tokens"] >= 200
        return self.known["characters"] / self.known["tokens"] if known else CHARACTERS_PER_TOKEN


@dataclass(frozen=True)
class Habits:
    """What earlier rows tell of a model: tokens of an answer, seconds of a call."""

    tokens: float | None
    seconds: float | None


async def forecast(experiment: Experiment, clients: Clients, store: Store) -> list[Estimate]:
    """One estimate for each model and each judge.

    Prompts are rendered for real. Answers not there yet are taken to be as long as the model's stored ones, or half
    of what they may be.
    """
    result = []
    items = {item.id: item for item in experiment.benchmark.items}
    answered = list(experiment.unasked(store))
    for model in experiment.models:
        log = store.responses(model.name)
        estimate = Estimate("model", model.name)
        habits = mean_usage((row.usage, row.latency) for row in earlier(log, Response))
        candidate = Candidate.of(model, experiment.benchmark.spec.generation)
        answered += [expected(item, candidate, log, habits, experiment, estimate) for item in items.values()]
        result.append(priced(estimate, model, clients, habits))
    for judge in experiment.judges:
        judgments = store.judgments(judge.name, judge.protocol.name)
        estimate = Estimate("judge", judge.name, sent=sent(judge, store))
        habits = mean_usage(((row.usage,), row.latency) for row in earlier(judgments, Judgment))
        bench = JudgeRunner(judge, clients.of(judge.model), judgments, experiment.ask_again)
        builder = CaseBuilder(
            items,
            shows=judge.protocol.shows,
            pairing=experiment.pairing,
            repeats=experiment.repeats,
            turns=experiment.turns,
        )
        async for case in cases(of(answered), builder):
            for runner, call in bench.calls(case):
                count_case(call, runner, habits, estimate)
        result.append(priced(estimate, judge.model, clients, habits, batch=judge.batch))
    return result


def sent(judge: Judge, store: Store) -> dict[str, Batch]:
    """What the provider has already, in batches that this judge will collect, by key."""
    if not judge.batch:
        return {}
    return by_request(store.batches(judge.name, judge.protocol.name))


def expected(
    item: Item, candidate: Candidate, log: Log[Response], habits: Habits, experiment: Experiment, estimate: Estimate
) -> Response:
    """The item's answers: those stored, then dummies as long as answers are expected to be. Counts what is asked."""
    row = log.get(candidate.begin(item).key) or candidate.begin(item)
    if row.error is not None and final(row, item, candidate, experiment.ask_again):
        estimate.stored += 1
        return row
    estimate.stored += len(row.turns)
    for turn, usage in enumerate(row.usage[: len(row.turns)]):
        _learn(estimate, candidate.request(item, row.turns[:turn]), usage)
    limit = candidate.sampling(item, 0).max_tokens or 1024
    tokens = round(habits.tokens or limit / 2)
    turns = list(row.turns)
    while len(turns) < len(item.turns):
        _count(estimate, candidate.request(item, turns), tokens)
        turns.append("word " * round(tokens * CHARACTERS_PER_TOKEN / 5))
    return replace(row, turns=tuple(turns), error=None)


def count_case(case: Case, bench: JudgeRunner, habits: Habits, estimate: Estimate) -> None:
    """Counts a case, unless its verdict is stored."""
    request = bench.request(case)
    key = bench.key(case, request)
    if bench.has(key):
        estimate.stored += 1
        row = bench.log.get(key) if estimate.known["rows"] < SAMPLE else None
        if row is not None:
            _learn(estimate, request, row.usage)
        return
    if (batch := estimate.sent.get(key)) is not None:
        estimate.pending += 1
        estimate.waiting[batch.key] = batch
        return
    limit = request.sampling.room
    tokens = round(habits.tokens or REPLY_TOKENS)
    _count(estimate, request, min(tokens, limit) if limit else tokens)


def _count(estimate: Estimate, request: Request, completion_tokens: int) -> None:
    estimate.calls += 1
    estimate.characters += _characters(request)
    estimate.completion_tokens += completion_tokens


def _learn(estimate: Estimate, request: Request, usage: Usage) -> None:
    """Compare a prompt's length with the tokens it was counted as."""
    if usage.prompt_tokens:
        estimate.known.update(rows=1, characters=_characters(request), tokens=usage.prompt_tokens)


def _characters(request: Request) -> int:
    """Characters of a prompt; a chat template adds about 32 to each message."""
    return sum(len(message.content) + 32 for message in request.messages)


def priced(estimate: Estimate, model: Model, clients: Clients, habits: Habits, *, batch: bool = False) -> Estimate:
    """Add prompt tokens, and cost and time where they can be known: nobody knows how long a batch takes."""
    estimate.prompt_tokens = round(estimate.characters / estimate.characters_per_token)
    price = clients.price(model)
    if price is not None or not estimate.calls:
        usage = Usage(estimate.prompt_tokens, estimate.completion_tokens)
        estimate.cost = price.of(usage, batch=batch) if price else 0.0
    if (habits.seconds is not None and not batch) or not estimate.calls:
        estimate.seconds = estimate.calls * (habits.seconds or 0.0) / model.backend.concurrency
    return estimate


def earlier(log: Log[Row], kind: type[Row]) -> Iterator[Row]:
    """Rows of a model or judge: of this benchmark, or where there are none, of others in the same results folder."""
    if len(log):
        yield from log
        return
    for path in sorted(log.path.parents[2].glob(f"*/{log.path.parent.name}/*.jsonl")):
        if path.name == log.path.name:
            yield from Log(path, kind)


def mean_usage(rows: Iterable[tuple[tuple[Usage, ...], float]]) -> Habits:
    """Means over stored rows: completion tokens of a call, seconds of a call."""
    tokens: list[int] = []
    seconds: list[float] = []
    for usage, latency in rows:
        tokens += [one.completion_tokens for one in usage]
        if usage and latency:  # what came in a batch took none that would tell anything
            seconds.append(latency / len(usage))
    return Habits(fmean(tokens) if tokens else None, fmean(seconds) if seconds else None)
