"""Responses x judges -> Judgments: what to show, in which order and how often, and what was said."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from evalkit.core.protocols import (
    BackendError,
    Case,
    Completion,
    Judge,
    Malformed,
    Rejected,
    ReplySchema,
    Request,
    Sampling,
    Transport,
    UsageError,
    Verdict,
)
from evalkit.core.schema import ErrorKind, Failure, Item, Judgment, Response, Usage, digest
from evalkit.core.streams import Stopped
from evalkit.engine.generate import ASK_AGAIN, failure, outdated
from evalkit.models.budget import usage_bound_if_unreported
from evalkit.models.client import Client
from evalkit.storage.store import Log

STOP_UNPARSED = 20
"""Unreadable replies, the first of a run, after which a judge is asked no more."""

UNREADABLE: frozenset[ErrorKind] = frozenset({"unparsed", "truncated"})
"""Failures of a judge whose reply arrived and holds no verdict."""

NO_REPLY: frozenset[ErrorKind] = frozenset({"transport", "malformed", "rejected"})
"""Failures that left no reply of the judge's to read."""


Turns = Literal["every", "last"]
"""Which answers are judged: to every turn, or to the last."""

Orders = Literal["both", "seeded"]
"""In which orders a pair is shown: both, or the one that AlpacaEval draws by the instruction."""


@dataclass(frozen=True)
class Pairing:
    """Which answers meet in front of a pairwise judge."""

    baseline: Mapping[str, str] = field(default_factory=dict)
    """Model that all others are compared with, by category; empty: every model meets every other."""
    orders: Orders = "both"
    labelled: frozenset[tuple[str, str]] = frozenset()
    """Answers that meet, by their ids in order: those that a label compares; empty: all that models let meet."""

    def meet(self, category: str, first: str, second: str) -> bool:
        """Whether the answers of these two models are to be compared."""
        baseline = self.baseline.get(category)
        return not self.baseline or (first == baseline) != (second == baseline)

    def compares(self, category: str, first: Response, second: Response) -> bool:
        """Whether these two answers are to be compared."""
        if self.labelled and (min(first.id, second.id), max(first.id, second.id)) not in self.labelled:
            return False
        return self.meet(category, first.model.name, second.model.name)

    def shown(self, item: Item, first: Response, second: Response) -> tuple[tuple[Response, Response], ...]:
        """The pair in each order it is shown in."""
        if self.orders == "both":
            return (first, second), (second, first)
        # AlpacaEval's output_1 is the baseline; alpaca_eval 0.6, processors.py, RandomSwitchTwoColumnsProcessor.
        if first.model.name != self.baseline.get(item.category):
            first, second = second, first
        draw = Random(f"is_switched_outputs{item.turns[0]}0")
        return ((second, first) if draw.choices([False, True], k=1)[0] else (first, second),)


class CaseBuilder:
    """Builds cases out of the answers there are so far: what each that arrives lets a judge be asked.

    Args:
        items: by id.
        shows: how many responses the judge sees at once; more than 2 are shown as a list, shuffled.
        pairing: which two of them.
        repeats: how often the same case is put to the judge; a list in another order each time.
        turns: which turns are judged.
    """

    def __init__(
        self,
        items: Mapping[str, Item],
        *,
        shows: int = 1,
        pairing: Pairing | None = None,
        repeats: int = 1,
        turns: Turns = "every",
    ) -> None:
        self._turns = turns
        self._items = items
        self._shows = shows
        self._pairing = pairing or Pairing()
        self._repeats = repeats
        self._arrived: dict[str, list[Response]] = defaultdict(list)

    def add(self, response: Response) -> Iterator[Case]:
        """The cases of a response, with those that came before it; of a failed one there are none."""
        if response.error is not None:
            return
        item = self._items[response.item]
        groups: list[tuple[Response, ...]] = [(response,)]
        if self._shows == 2:
            arrived = self._arrived[item.id]
            others = [other for other in arrived if self._pairing.compares(item.category, other, response)]
            groups = [shown for other in others for shown in self._pairing.shown(item, other, response)]
            self._keep(item, response)
        elif self._shows > 2:
            self._arrived[item.id].append(response)
            if len(self._arrived[item.id]) < self._shows:
                return
            groups = [tuple(self._arrived.pop(item.id))]
        for shown in groups:
            for turn in judged_turns(item, self._turns):
                for repeat in range(self._repeats):
                    yield Case(item, turn, shown if self._shows < 3 else shuffled(shown, item, repeat), repeat)

    def of(self, responses: Iterable[Response]) -> Iterator[Case]:
        """The cases whose responses are all there."""
        for response in responses:
            yield from self.add(response)

    def _keep(self, item: Item, response: Response) -> None:
        """Hold an answer as long as one may come that it is to meet; next to a baseline's, no other is held."""
        arrived, baseline = self._arrived[item.id], self._pairing.baseline.get(item.category)
        if baseline is not None and response.model.name == baseline:
            arrived[:] = [response]
        elif not any(other.model.name == baseline for other in arrived):
            arrived.append(response)


def judged_turns(item: Item, turns: Turns) -> Sequence[int]:
    """The turns of an item that are judged, from 1."""
    return range(1 if turns == "every" else len(item.turns), len(item.turns) + 1)


def shuffled(shown: Sequence[Response], item: Item, repeat: int) -> tuple[Response, ...]:
    """The answers of a list in the order shown: drawn by item and repeat, whichever arrived first."""
    ordered = sorted(shown, key=lambda response: response.model.name)
    return tuple(Random(f"{item.id} {repeat}").sample(ordered, len(ordered)))


async def cases(responses: AsyncIterable[Response], arrivals: CaseBuilder) -> AsyncGenerator[Case, None]:
    """What can be judged, as soon as the answers it needs are there."""
    async for response in responses:
        for case in arrivals.add(response):
            yield case


def count(
    items: Sequence[Item],
    models: Sequence[str],
    shows: int,
    pairing: Pairing,
    repeats: int,
    turns: Turns = "every",
) -> int:
    """How many cases there will be if every answer arrives."""
    total = 0
    for item in items:
        groups = len(models)
        if shows == 2:
            others = len(set(models) - {pairing.baseline.get(item.category)})
            pairs = others if pairing.baseline else others * (others - 1) // 2
            groups = pairs * (2 if pairing.orders == "both" else 1)
        if shows > 2:
            groups = int(len(set(models)) >= shows)
        total += groups * len(judged_turns(item, turns)) * repeats
    return total


class JudgeRunner:
    """One judge at work: its prompts, the client it is asked through, and the log its judgments go to.

    Args:
        judge: who judges.
        client: it is asked through.
        log: of its judgments.
        ask_again: kinds of failure that earlier runs left and this one asks again.
        elsewhere: tells why a key must not be asked for here, as a provider has it in a batch; None where it may.
        on_new: called with the key of each row that this run makes, before the row is returned.
    """

    def __init__(
        self,
        judge: Judge,
        client: Client,
        log: Log[Judgment],
        ask_again: frozenset[ErrorKind] = ASK_AGAIN,
        elsewhere: Callable[[str], str | None] | None = None,
        on_new: Callable[[str], object] = str,
        stop_unparsed: int | None = None,
    ) -> None:
        self.judge = judge
        self.client = client
        self.log = log
        self._ask_again = ask_again
        self._elsewhere = elsewhere
        self._on_new = on_new
        self.given_up = False
        """Whether no more is asked, as none of its first replies could be read."""
        self._stop_unparsed = stop_unparsed
        self._unreadable: Counter[ErrorKind] | None = Counter()
        """Replies without a readable verdict, by kind; None once one was read."""
        # an older package's class may have none of these two
        self._parts = getattr(judge.protocol, "parts", lambda _: ())
        self._score_range = getattr(judge.protocol, "score_range", lambda _: None)
        self._identity = digest(judge.model.identity(), judge.protocol.name)
        self._asked = Sampling()
        self._sampling = judge.model.sampling.without(judge.model.unsupported)

    def request(self, case: Case) -> Request:
        """The rendered prompt, with the protocol's sampling over the judge's own."""
        asked = self.judge.protocol.request(case)
        model = self.judge.model
        messages = model.prompt(asked.messages)
        if asked.sampling != self._asked:  # the same for nearly every case of a protocol
            self._asked = asked.sampling
            self._sampling = asked.sampling.over(model.sampling).without(model.unsupported)
        return Request(messages, self._sampling, asked.reply)

    def key(self, case: Case, request: Request) -> str:
        """Hash of everything the judge is shown; how its reply is read is not part of it."""
        shown = [(response.model.name, text) for response, text in zip(case.shown, case.shown_ids, strict=True)]
        return digest(self._identity, request, shown, case.repeat)

    def has(self, key: str) -> bool:
        """Whether a judgment is stored that is not to be asked again."""
        entry = self.log.entry(key)
        if entry is None or entry.error in self._ask_again:
            return False
        row = self.log.get(key) if entry.error == "rejected" else None
        return row is None or not outdated(row.error, self.judge.model)

    def stored(self, key: str, case: Case, request: Request) -> Judgment | None:
        """What an earlier run left under a key, None if the judge must be asked.

        A row that a judge with another fingerprint left (another parser, or a setting that makes no difference to this
        prompt) is read again and stored as this judge's own, so that tables count all of one judge's rows together.
        """
        row = self.log.get(key) if self.has(key) else None
        if row is None or row.judge == self.judge.ref:
            return row
        if (row.error is not None and row.error.kind in NO_REPLY) or row.label == "identical":
            row = replace(row, judge=self.judge.ref, parser=self.judge.protocol.parser)
            self.log.append(row)
            return row
        logprobs = (row.logprobs,) if row.logprobs is not None else None
        completion = Completion(
            row.raw,
            row.finish,
            row.usage,
            logprobs,
            row.snapshot,
            thinking=row.thinking,
            unformed=row.sampling.get("reply") == "text",
        )
        reread = self._row(key, case, request, completion, latency=row.latency, cost=row.cost, created=row.created)
        self.log.append(reread)
        return reread

    @cached_property
    def one_by_one(self) -> JudgeRunner:
        """A runner that asks about one criterion at a time; those rows have a file of their own, in ``criteria/``."""
        log = self.log.beside("criteria")
        return JudgeRunner(self.judge, self.client, log, self._ask_again, stop_unparsed=self._stop_unparsed)

    def calls(self, case: Case) -> Iterator[tuple[JudgeRunner, Case]]:
        """What is asked for a case, and by whom: itself, or each of its criteria."""
        if parts := self._parts(case):
            yield from ((self.one_by_one, part) for part in parts)
        else:
            yield self, case

    async def judgment(self, case: Case) -> Judgment:
        """What the judge says about a case: stored if it said it before, else asked, and stored as it arrives."""
        if parts := self._parts(case):
            return await self._from_parts(case, parts)
        request = self.request(case)
        key = self.key(case, request)
        if row := self.stored(key, case, request):
            return row
        async with self.log.claim(key, self.client.stopping):
            self.log.refresh()  # another run may have stored it meanwhile
            if row := self.known_without_asking(key, case, request):
                return row
            if self.given_up:
                raise Stopped
            if self._elsewhere is not None and (why := self._elsewhere(key)):
                raise UsageError(f"{self.judge.name!r} was asked already: {why}")
            try:
                answer = await self.client.ask(request)
            except (Transport, Rejected, Malformed) as error:
                return self.record(key, case, request, error)
            return self.record(key, case, request, answer.completion, latency=answer.latency, cost=answer.cost)

    async def _from_parts(self, case: Case, parts: Sequence[Case]) -> Judgment:
        """The judgment that calls about single criteria come to; each call is stored by itself as it arrives.

        Calls about one answer begin alike: an engine that remembers prompts is asked one after the other.
        """
        runner = self.one_by_one
        keys = [runner.key(part, runner.request(part)) for part in parts]
        key = digest(self._identity, keys, case.repeat)
        row = self.log.get(key) if self.has(key) else None
        if row is not None and row.judge == self.judge.ref:
            return row
        first: list[Judgment | BaseException] = []
        rest = list(parts)
        cache = self.client.backend.prefix_cache
        while rest and (cache == "slots" or (cache is not None and not first)):
            first.append(await runner.judgment(rest.pop(0)))
        rows = [*first, *await asyncio.gather(*map(runner.judgment, rest), return_exceptions=True)]
        found: list[Judgment] = []
        for one in rows:
            if isinstance(one, BaseException):
                raise one
            found.append(one)
        row = self._joined(key, case, parts, found)
        self._keep(row)
        return row

    def _joined(self, key: str, case: Case, parts: Sequence[Case], rows: Sequence[Judgment]) -> Judgment:
        """One row of the rows of a case's parts: with scores, unless a part is to be asked again."""
        verdicts = [self.judge.protocol.part_verdict(part, row) for part, row in zip(parts, rows, strict=True)]
        again = [row.error for row in rows if row.error is not None and row.error.kind in self._ask_again]
        verdict: Verdict | Failure = self.judge.protocol.combine(case, verdicts)
        if again:
            verdict = Failure(again[0].kind, f"{len(again)} of {len(rows)} criteria: {again[0].message}")
        costs = [row.cost for row in rows]
        joined = self._row(
            key,
            case,
            Request(()),
            None,
            failure=verdict if isinstance(verdict, Failure) else None,
            **({"scores": verdict.scores, "label": verdict.label} if isinstance(verdict, Verdict) else {}),
            criteria=tuple(verdicts),
            raw=msgspec.json.encode({part.criterion: row.raw for part, row in zip(parts, rows, strict=True)}).decode(),
            usage=sum((row.usage for row in rows), Usage()),
            bound=sum((row.bound for row in rows if row.bound), Usage()) if any(row.bound for row in rows) else None,
            snapshot=rows[-1].snapshot,
            latency=sum(row.latency for row in rows),
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
            created=time.time(),
        )
        return replace(joined, sampling=rows[-1].sampling)

    def known_without_asking(self, key: str, case: Case, request: Request) -> Judgment | None:
        """The judgment where the judge need not be asked: it is stored, or a rule says that equal answers tie."""
        row = self.stored(key, case, request)
        if row is None and self.judge.protocol.identical_is_tie and len(set(case.answers())) == 1:
            row = self._row(key, case, request, None, created=time.time(), scores=(0.5, 0.5), label="identical")
            self._keep(row)
        return row

    def record(
        self,
        key: str,
        case: Case,
        request: Request,
        said: Completion | BackendError,
        *,
        latency: float = 0.0,
        cost: float | None = None,
    ) -> Judgment:
        """Read what the judge said, or why it said nothing, and store it."""
        if isinstance(said, BackendError):
            raw = said.body if isinstance(said, Malformed) else ""
            failed = failure(said, self.judge.model, protocol=self.judge.protocol.name)
            row = self._row(key, case, request, None, failure=failed, raw=raw, created=time.time())
        else:
            row = self._row(key, case, request, said, latency=latency, cost=cost, created=time.time())
        self._keep(row)
        self._give_up_unparsed(row)
        return row

    def _keep(self, row: Judgment) -> None:
        self.log.append(row)
        self._on_new(row.key)

    def _give_up_unparsed(self, row: Judgment) -> None:
        """Ask no more when this run's first replies are all unreadable: the rest would be paid for in vain."""
        if row.error is None:
            self._unreadable = None
        elif self._unreadable is not None and row.error.kind in UNREADABLE:
            self._unreadable[row.error.kind] += 1
            if self._unreadable.total() == self._stop_unparsed:
                self.given_up = True
                kinds = " and ".join(f"{n} {kind}" for kind, n in self._unreadable.items())
                cut = "truncated" in self._unreadable
                look = "raise its sampling.max_tokens, " if cut else ""
                self.client.notes.append(
                    f"judge {self.judge.name!r} was stopped: in none of its first {self._stop_unparsed} replies a "
                    f"verdict could be read ({kinds}). The last begins {row.raw[:120]!r}. Look at the field raw in "
                    f"{str(self.log.path)!r}; {look}choose a protocol or a model whose replies it can read, and run "
                    "the same command again. stop_unparsed=null asks on regardless"
                )

    def _row(
        self,
        key: str,
        case: Case,
        request: Request,
        completion: Completion | None,
        *,
        failure: Failure | None = None,
        **fields: Any,
    ) -> Judgment:
        verdict: Verdict | Failure | None = failure
        fields["sampling"] = request.sampling.sent()
        if completion is not None:
            verdict = self.judge.protocol.parse(completion, case)
            fields |= {
                "raw": completion.text,
                "finish": completion.finish,
                "usage": completion.usage,
                "bound": usage_bound_if_unreported(completion.usage, request),
                "snapshot": completion.model,
                "logprobs": completion.logprobs[0] if completion.logprobs else None,
                "thinking": completion.thinking,
            }
            if isinstance(request.reply, ReplySchema):
                fields["sampling"] |= {"reply": "text" if completion.unformed else request.reply.means}
        if isinstance(verdict, Verdict):
            fields |= {"scores": verdict.scores, "label": verdict.label, "criteria": verdict.criteria}
        elif verdict is not None:
            fields["error"] = verdict
        if "scores" in fields and (ends := self._score_range(case.item)) is not None:
            fields["score_range"] = ends
        return Judgment(
            key=key,
            item=case.item.id,
            benchmark=case.item.benchmark,
            category=case.item.category,
            turn=case.turn,
            judge=self.judge.ref,
            protocol=self.judge.protocol.name,
            parser=self.judge.protocol.parser,
            shown=case.shown_ids,
            models=tuple([response.model for response in case.shown]),
            lengths=tuple(map(len, case.answers())),
            repeat=case.repeat,
            **fields,
        )
