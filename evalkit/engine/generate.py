"""Items x models -> Responses: each turn asked with the model's own earlier answers, stored the moment it arrives."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from evalkit.core import thinking
from evalkit.core.history import answered, ask, opening
from evalkit.core.protocols import BackendError, Malformed, Message, Model, Rejected, Request, Sampling, Transport
from evalkit.core.schema import ErrorKind, Failure, Item, Ref, Response, Usage, digest
from evalkit.core.streams import each, of
from evalkit.datasets.benchmark import Generation
from evalkit.models.budget import usage_bound_if_unreported
from evalkit.models.client import Answer, Client, Clients
from evalkit.storage.store import Log, Store

if TYPE_CHECKING:
    from evalkit.engine.progress import Watch

ASK_AGAIN: frozenset[ErrorKind] = frozenset({"transport"})
"""Failures a later run asks again; the others were answered."""


@dataclass(frozen=True)
class Candidate:
    """A model answering one benchmark: what it is asked with, and the name its rows carry."""

    model: Model
    generation: Generation
    ref: Ref

    @classmethod
    def of(cls, model: Model, generation: Generation) -> Candidate:
        """Fix the fingerprint: everything of model and benchmark policy that changes the text."""
        return cls(model, generation, Ref(model.name, digest(model.identity(), generation)))

    def sampling(self, item: Item, sample: int) -> Sampling:
        """The model's own settings first, then the benchmark's; never what the model does not support."""
        policy = Sampling(
            temperature=self.generation.temperature_of(item.category), max_tokens=self.generation.max_tokens
        )
        merged = self.model.sampling.over(policy)
        if sample and merged.seed is not None:
            merged = replace(merged, seed=merged.seed + sample)
        return merged.without(self.model.unsupported)

    def begin(self, item: Item, sample: int = 0) -> Response:
        """The row of an item before anything was asked."""
        return Response(
            key=digest(item.asked(), self.ref.fingerprint, sample),
            item=item.id,
            benchmark=item.benchmark,
            category=item.category,
            model=self.ref,
            sample=sample,
            sampling=self.sampling(item, sample).sent(),
        )

    def request(self, item: Item, answers: Sequence[str], sample: int = 0) -> Request:
        """The conversation so far, up to the first question not yet answered."""
        messages = opening(item)
        for question, answer in zip(item.turns, answers, strict=False):
            ask(messages, question)
            messages.append(Message("assistant", answered(answer)))
        ask(messages, item.turns[len(answers)])
        return Request(self.model.prompt(messages), self.sampling(item, sample))


def stored(
    items: Sequence[Item], candidate: Candidate, log: Log[Response], ask_again: frozenset[ErrorKind] = ASK_AGAIN
) -> Iterator[Response]:
    """The rows of items that have nothing left to ask."""
    for item in items:
        row = log.get(candidate.begin(item).key)
        if row is not None and final(row, item, candidate, ask_again):
            yield row


def stored_first(
    items: Sequence[Item], candidate: Candidate, log: Log[Response], ask_again: frozenset[ErrorKind] = ASK_AGAIN
) -> list[Item]:
    """The items in another order: nobody waits for an answer that is there behind one that must be asked for."""
    there = {row.item for row in stored(items, candidate, log, ask_again)}
    return sorted(items, key=lambda item: item.id not in there)


def answers(
    candidate: Candidate,
    items: Sequence[Item],
    clients: Clients,
    store: Store,
    watch: Watch,
    *,
    ask_again: frozenset[ErrorKind] = ASK_AGAIN,
) -> AsyncGenerator[Response, None]:
    """One model's answers to items, those that are stored first; each is counted the moment it is there."""
    client, log = clients.of(candidate.model), store.responses(candidate.model.name)
    work = of(stored_first(items, candidate, log, ask_again))

    async def answer(item: Item) -> Response:
        row = await respond(item, candidate, client, log, ask_again, watch.new)
        watch.answered(row)
        return row

    return each(work, answer, workers=client.backend.concurrency)


async def respond(
    item: Item,
    candidate: Candidate,
    client: Client,
    log: Log[Response],
    ask_again: frozenset[ErrorKind] = ASK_AGAIN,
    on_new: Callable[[str], object] = str,
) -> Response:
    """The model's answers to every turn of an item; picks up after the last turn that is stored.

    ``on_new`` is called with the row's key if anything is asked.
    """
    empty = candidate.begin(item)
    if (row := log.get(empty.key)) and final(row, item, candidate, ask_again):
        return row
    async with log.claim(empty.key, client.stopping):
        log.refresh()  # another run may have stored it meanwhile
        row = log.get(empty.key) or empty
        if final(row, item, candidate, ask_again):
            return row
        row = replace(row, error=None)
        on_new(row.key)
        while len(row.turns) < len(item.turns) and row.error is None:
            request = candidate.request(item, row.turns)
            try:
                answer = await client.ask(request)
            except (Transport, Rejected, Malformed) as error:
                row = replace(row, error=failure(error, candidate.model), created=time.time())
            else:
                row = _extended(row, candidate, answer, request)
            log.append(row)
    return row


def failure(error: BackendError, model: Model, *, protocol: str | None = None) -> Failure:
    """What a row records of a request that failed; advice names the settings of who was asked.

    Args:
        error: what came in place of an answer.
        model: who was asked.
        protocol: under which it was asked as a judge; None for a model that answers.
    """
    found = error.failure()
    if found.kind != "rejected":
        return found
    text = found.message.replace("model.NAME", f"{'model' if protocol is None else 'judge'}.{model.name}")
    text = text.replace("judge.NAME", f"judge.{model.name}").replace("PROTOCOL", protocol or "PROTOCOL")
    return replace(found, message=text, wire=model.wire)


def outdated(error: Failure | None, model: Model) -> bool:
    """Whether a request was rejected, and now something else would be sent, or to somewhere else."""
    return error is not None and error.kind == "rejected" and error.wire != model.wire


def final(row: Response, item: Item, candidate: Candidate, ask_again: frozenset[ErrorKind]) -> bool:
    """Whether nothing of an answer is left to ask for."""
    if row.error is None:
        return len(row.turns) >= len(item.turns)
    return row.error.kind not in ask_again and not outdated(row.error, candidate.model)


def _extended(row: Response, candidate: Candidate, answer: Answer, request: Request) -> Response:
    """The row with one more answer, or with what came in its place: a refusal, or thinking that never ended."""
    completion = answer.completion
    known = not row.usage or row.cost is not None
    bound = usage_bound_if_unreported(completion.usage, request)
    parted = thinking.part(completion.text, candidate.model.thinking_marks)
    thought = "\n".join(filter(None, (completion.thinking, parted.thinking)))
    row = replace(
        row,
        usage=(*row.usage, completion.usage),
        bound=bound + (row.bound or Usage()) if bound else row.bound,
        snapshot=completion.model,
        latency=row.latency + answer.latency,
        cost=(row.cost or 0.0) + answer.cost if known and answer.cost is not None else None,
        created=time.time(),
        finish_reason=completion.reason or row.finish_reason,
    )
    if completion.finish == "refusal":
        return replace(row, error=Failure("refused", f"the model or its provider refused: {completion.text!r}"))
    if thought or row.thinking:
        earlier = row.thinking[: len(row.turns)]
        row = replace(row, thinking=(*earlier, *[""] * (len(row.turns) - len(earlier)), thought))
    if not parted.ended or (thought and not parted.answer.strip()):
        spent = completion.usage.completion_tokens
        return replace(
            row,
            error=Failure(
                "truncated",
                f"the model was still thinking when it stopped{f' after {spent} tokens' if spent else ''}, and gave no "
                "answer: raise sampling.max_tokens, or have it think less",
            ),
        )
    return replace(row, turns=(*row.turns, parted.answer), finish=(*row.finish, completion.finish))
