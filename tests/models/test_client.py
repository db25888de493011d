"""The one policy every request goes through: retries, time-outs, giving up, stopping, concurrency, cost."""

from __future__ import annotations

import asyncio
import time

import pytest

from evalkit.backends.fake import Fake
from evalkit.core.protocols import (
    Completion,
    Malformed,
    Message,
    Misconfigured,
    Model,
    Rejected,
    Request,
    Sampling,
    Transport,
    UsageError,
)
from evalkit.core.schema import Usage
from evalkit.core.streams import Stopped
from evalkit.models.client import Client, Clients, Unreachable
from evalkit.models.prices import FREE, Price, PriceTable
from evalkit.models.retry import RetryPolicy
from tests import virtual_time

REQUEST = Request((Message("user", "hi"),))
QUICK = RetryPolicy(attempts=4, first_wait=0.001, longest_wait=0.002, give_up_after=3)
PATIENT = RetryPolicy(attempts=4, first_wait=1e7, longest_wait=1e7, give_up_after=3)
"""Would wait for months; whoever finishes with it has waited for something else."""
DOWN, OFF = Transport("500 internal error"), Transport("connection refused", unreachable=True)


class Scripted:
    """A backend that raises or returns what it is told, one entry a request; then it answers."""

    exclusive = False
    account = None

    def __init__(self, *script, concurrency=8, timeout=5.0, seconds=0.0):
        self.script, self.concurrency, self.timeout, self.seconds = list(script), concurrency, timeout, seconds
        self.asked = self.opened = self.closed = self.under_way = self.most = 0

    def identity(self):
        return {"model": "scripted"}

    async def open(self):
        self.opened += 1
        await asyncio.sleep(0)

    async def close(self):
        self.closed += 1

    async def complete(self, request):
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            step = self.script.pop(0) if self.script else None
            await asyncio.sleep(self.seconds if step != "hang" else 3600)
            if isinstance(step, BaseException):
                raise step
            return Completion("yes", usage=Usage(1000, 100, 400))
        finally:
            self.under_way -= 1


class Loop:
    """Runs coroutines on a client that was made within the loop."""

    def __init__(self, backend, retry=QUICK, price=None):
        self.backend = backend
        self._retry, self._price = retry, price

    def __call__(self, talk):
        async def main():
            self.stopping = asyncio.Event()
            self.client = Client(self.backend, name="me", price=self._price, retry=self._retry, stopping=self.stopping)
            async with asyncio.timeout(7200):
                return await talk(self.client, self.stopping)

        return virtual_time.run(main())

    def ask(self, times=1):
        """Outcomes of so many requests, one after another."""

        async def talk(client, _):
            return [await outcome(client) for _ in range(times)]

        outcomes = self(talk)
        return outcomes if times > 1 else outcomes[0]


async def outcome(client):
    try:
        return await client.ask(REQUEST)
    except Exception as error:  # noqa: BLE001
        return error


# Retries.


def test_only_transport_is_asked_again():
    loop = Loop(Scripted(DOWN, DOWN, DOWN))
    assert loop.ask().completion.text == "yes"
    assert loop.backend.asked == 4
    assert (loop.client.traffic.asked, loop.client.traffic.answered, loop.client.traffic.retries) == (1, 1, 3)


@pytest.mark.parametrize(
    "error", [Rejected("too long"), Malformed("what?", body="<html>"), Misconfigured("no key"), KeyError("a bug")]
)
def test_nothing_else_is(error):
    loop = Loop(Scripted(error))
    assert loop.ask() is error
    assert loop.backend.asked == 1
    assert loop.client.traffic.answered == 0


def test_attempts_are_limited_and_the_last_error_is_raised():
    last = Transport("the last one")
    loop = Loop(Scripted(DOWN, DOWN, DOWN, last, DOWN))
    assert loop.ask() is last
    assert loop.backend.asked == 4


def test_a_single_attempt_is_not_retried():
    loop = Loop(Scripted(DOWN), RetryPolicy(attempts=1))
    assert loop.ask() is DOWN
    assert (loop.backend.asked, loop.client.traffic.retries) == (1, 0)


def test_the_servers_own_wait_wins():
    loop = Loop(Scripted(Transport("429", retry_after=0.2)), PATIENT)
    answer = loop.ask()
    assert answer.completion.text == "yes"
    assert 0.2 <= answer.latency < 10  # the wait is part of it


def test_a_server_that_asks_for_hours_gets_the_longest_wait():
    loop = Loop(Scripted(Transport("429", retry_after=7200.0)), RetryPolicy(attempts=2, longest_wait=0.05))
    answer = loop.ask()
    assert 0.05 <= answer.latency < 10


def test_a_server_that_asks_for_no_wait():
    assert Loop(Scripted(Transport("429", retry_after=0.0)), PATIENT).ask().completion.text == "yes"


def test_waits_grow_and_stay_within_bounds(monkeypatch):
    waits = []

    async def record(self, seconds):
        waits.append(seconds)

    monkeypatch.setattr(Client, "_sleep", record)
    policy = RetryPolicy(attempts=9, first_wait=1.0, longest_wait=16.0)
    for _ in range(60):
        Loop(Scripted(*[DOWN] * 9), policy).ask()
    by_attempt = [waits[start::8] for start in range(8)]
    limits = [1, 2, 4, 8, 16, 16, 16, 16]
    for tried, limit in zip(by_attempt, limits, strict=True):
        assert len(tried) == 60
        assert 0.7 * limit < max(tried) <= limit
        assert min(tried) < 0.3 * limit  # full jitter: the herd spreads out


def test_no_answer_in_time_is_transport():
    loop = Loop(Scripted("hang", timeout=0.05))
    assert loop.ask().completion.text == "yes"
    assert loop.backend.asked == 2
    loop = Loop(Scripted(*["hang"] * 9, timeout=0.02))
    error = loop.ask()
    assert isinstance(error, Transport)
    assert str(error) == "no answer within 0.02 s"
    assert error.failure().kind == "transport"


# Giving up.


def test_a_dead_backend_ends_the_run():
    loop = Loop(Scripted(*[DOWN] * 99))
    outcomes = loop.ask(times=3)
    assert outcomes[:2] == [DOWN, DOWN]
    assert isinstance(outcomes[2], Unreachable)
    assert not isinstance(outcomes[2], Transport | UsageError)
    assert "'me' does not answer: 3 requests in a row" in str(outcomes[2])
    assert "500 internal error" in str(outcomes[2])


@pytest.mark.parametrize("between", [None, Rejected("400"), Malformed("?", body="")])
def test_any_answer_starts_the_count_anew(between):
    lost = [DOWN] * 4
    outcomes = Loop(Scripted(*lost, *lost, between, *lost, *lost, *lost)).ask(times=6)
    assert [isinstance(one, Unreachable) for one in outcomes] == [False] * 5 + [True]


def test_a_model_that_sends_nothing_but_malformed_replies_is_asked_no_more():
    bad = Malformed("no completion", body="<html>")
    loop = Loop(Scripted(*[bad] * 99), RetryPolicy(give_up_malformed=3))
    outcomes = loop.ask(times=5)
    assert outcomes[:3] == [bad] * 3, "each is stored as what it is"
    assert [type(one) for one in outcomes[3:]] == [Unreachable, Unreachable]
    assert "all of its first 3 replies are malformed. Last: no completion" in str(outcomes[3])
    assert loop.backend.asked == 3
    loop = Loop(Scripted(bad, bad, None, *[bad] * 99), RetryPolicy(give_up_malformed=3))
    assert [type(one).__name__ for one in loop.ask(times=9)] == ["Malformed"] * 2 + ["Answer"] + ["Malformed"] * 6


def test_what_was_never_reached_is_given_up_early():
    loop = Loop(Scripted(*[OFF] * 99), RetryPolicy(attempts=8, first_wait=0.001))
    assert loop.ask() is OFF
    assert loop.backend.asked == 3
    loop = Loop(Scripted(*[OFF] * 99), RetryPolicy(attempts=2, first_wait=0.001))
    assert loop.ask() is OFF
    assert loop.backend.asked == 2


def test_what_answered_before_is_waited_for():
    loop = Loop(Scripted(None, *[OFF] * 6))
    assert [type(one).__name__ for one in loop.ask(times=3)] == ["Answer", "Transport", "Answer"]
    assert loop.backend.asked == 1 + 4 + 3


# Stopping.


def test_a_stopping_run_sends_nothing_new():
    backend = Scripted(concurrency=2, seconds=0.4)

    async def talk(client, stopping):
        asked = [asyncio.create_task(outcome(client)) for _ in range(5)]
        await asyncio.sleep(0.03)
        stopping.set()
        return [*await asyncio.gather(*asked), await outcome(client)]

    outcomes = Loop(backend)(talk)
    assert [type(one).__name__ for one in outcomes] == ["Answer", "Answer"] + ["Stopped"] * 4
    assert backend.asked == 2


def test_stopping_ends_the_wait_for_a_retry_but_not_an_attempt():
    backend = Scripted(DOWN, seconds=0.05)

    async def talk(client, stopping):
        asked = asyncio.create_task(outcome(client))
        await asyncio.sleep(0.15)
        stopping.set()
        return await asked

    assert isinstance(Loop(backend, PATIENT)(talk), Stopped)
    assert backend.asked == 1


# Concurrency, opening, closing.


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_than_the_backend_serves_well_at_once(concurrency):
    backend = Scripted(DOWN, DOWN, concurrency=concurrency, seconds=0.005)

    async def talk(client, _):
        return await asyncio.gather(*(outcome(client) for _ in range(12)))

    loop = Loop(backend)
    assert all(one.completion.text == "yes" for one in loop(talk))
    assert backend.most == concurrency
    assert loop.client.traffic.answered == 12


def test_a_backend_is_opened_once_and_again_after_closing():
    backend = Scripted()

    async def talk(client, _):
        await client.close()
        assert backend.closed == 0
        await asyncio.gather(*(client.ask(REQUEST) for _ in range(5)))
        assert backend.opened == 1
        await client.close()
        await client.close()
        assert backend.closed == 1
        await client.ask(REQUEST)
        assert backend.opened == 2

    Loop(backend)(talk)


def test_a_backend_that_cannot_open():
    class Broken(Scripted):
        async def open(self):
            raise Misconfigured("no key")

    loop = Loop(Broken())
    assert all(isinstance(one, Misconfigured) for one in loop.ask(times=2))
    assert loop.backend.asked == 0


# Cost.


def test_cost_and_usage_add_up():
    loop = Loop(Scripted(), price=Price(input=10.0, output=100.0, cached=5.0))
    answers = loop.ask(times=3)
    cost = (600 * 10 + 400 * 5 + 100 * 100) / 1e6
    assert [answer.cost for answer in answers] == [pytest.approx(cost)] * 3
    assert loop.client.traffic.cost == pytest.approx(3 * cost)
    assert loop.client.traffic.usage == Usage(3000, 300, 1200)
    assert loop.client.traffic.unpriced == 0


def test_an_unknown_price_is_not_zero():
    loop = Loop(Scripted())
    assert [answer.cost for answer in loop.ask(times=2)] == [None, None]
    assert (loop.client.traffic.cost, loop.client.traffic.unpriced) == (0.0, 2)


def test_prices_are_found_by_name():
    listed = Price(input=1.0, output=2.0)
    clients = Clients(PriceTable(as_of="today", models={"fake-judge": listed, "row": FREE}))
    assert clients.price(Model(name="m", backend=Fake(model="fake-judge"))) == listed
    assert clients.price(Model(name="m", backend=Fake(model="fake-judge-2024-11-20"))) == listed
    assert clients.price(Model(name="m", backend=Fake(model="other"))) is None
    assert clients.price(Model(name="m", backend=Fake(model="other"), price="fake-judge")) == listed
    assert clients.price(Model(name="m", backend=Fake(model="fake-judge"), price="free")) == FREE


def test_equal_backends_share_a_client():
    clients = Clients(PriceTable(as_of="today", models={}))
    one, same, other = (Model(name=name, backend=Fake(words=words)) for name, words in (("a", 5), ("b", 5), ("c", 6)))
    assert clients.of(one) is clients.of(same) is clients.of(one)
    assert clients.of(other) is not clients.of(one)
    assert [name for name, _ in clients.traffic] == ["a", "c"]


def test_stopping_and_closing_reach_every_client():
    async def talk():
        clients = Clients(PriceTable(as_of="today", models={}), QUICK)
        backends = [Scripted(), Scripted()]
        members = [clients.of(Model(name="m", backend=backend)) for backend in backends]
        for member in members:
            await member.ask(REQUEST)
        clients.stopping.set()
        assert [type(await outcome(member)) for member in members] == [Stopped, Stopped]
        await clients.close()
        assert [backend.closed for backend in backends] == [1, 1]

    asyncio.run(talk())


# Silence.


def test_a_server_that_takes_requests_and_never_answers_is_given_up():
    backend = Scripted(*["hang"] * 1000, timeout=0.1)
    retry = RetryPolicy(attempts=1000, first_wait=0.001, longest_wait=0.002, give_up_after=1000)
    loop = Loop(backend, retry=retry)

    async def talk(client, _):
        began = time.monotonic()
        return await asyncio.gather(outcome(client), outcome(client)), time.monotonic() - began

    errors, took = loop(talk)
    assert any(isinstance(error, Unreachable) and "not a sign of life for 0 s" in str(error) for error in errors)
    assert 0.19 <= took < 1
    assert backend.asked < 20


@pytest.mark.parametrize("life", [None, Transport("503", status=503)])
def test_a_sign_of_life_keeps_hope_up(life):
    script = ["hang", life] * 10
    retry = RetryPolicy(attempts=50, first_wait=0.001, longest_wait=0.002)
    loop = Loop(Scripted(*script, timeout=0.1), retry=retry)

    async def talk(client, _):
        return await asyncio.gather(*(outcome(client) for _ in range(6)))

    assert [type(one).__name__ for one in loop(talk)] == ["Answer"] * 6


def test_time_without_anything_to_ask_is_no_silence():
    retry = RetryPolicy(attempts=5, first_wait=0.001, longest_wait=0.002)
    loop = Loop(Scripted("hang", "hang", timeout=0.1), retry=retry)

    async def talk(client, _):
        await asyncio.sleep(0.3)
        return await asyncio.gather(outcome(client), outcome(client))

    assert [one.completion.text for one in loop(talk)] == ["yes", "yes"]


# What a model does not take is asked for otherwise, once it said so.


class Particular(Scripted):
    """Takes no system message, or no more than 5 alternatives for a token."""

    def __init__(self, *, system=True, most=20):
        super().__init__()
        self.system, self.limit, self.seen = system, most, []

    async def complete(self, request):
        self.seen.append(request)
        if not self.system and any(message.role == "system" for message in request.messages):
            raise Rejected("no", no_system=True)
        if (request.sampling.top_logprobs or 0) > self.limit:
            raise Rejected("no", most_logprobs=self.limit)
        return await super().complete(request)


ASKED = Request((Message("system", "Be fair."), Message("user", "hi")), Sampling(top_logprobs=20))


@pytest.mark.parametrize(
    ("backend", "asked", "notes"),
    [
        (Particular(), ASKED, []),
        (
            Particular(system=False),
            Request((Message("user", "Be fair.\n\nhi"),), Sampling(top_logprobs=20)),
            ["took no system message"],
        ),
        (Particular(most=5), Request(ASKED.messages, Sampling(top_logprobs=5)), ["gives 5 alternatives"]),
        (
            Particular(system=False, most=5),
            Request((Message("user", "Be fair.\n\nhi"),), Sampling(top_logprobs=5)),
            ["gives 5 alternatives", "took no system message"],
        ),
    ],
)
def test_a_request_is_adapted_to_what_a_model_takes(backend, asked, notes):
    async def run():
        client = Client(backend, name="me", price=None, retry=QUICK, stopping=asyncio.Event())
        await client.ask(ASKED)
        first = len(backend.seen)
        await asyncio.gather(*(client.ask(ASKED) for _ in range(3)))
        return client, first

    client, first = asyncio.run(run())
    assert backend.seen[-1] == asked
    assert len(backend.seen) == first + 3, "what was learnt is not tried again"
    assert len(client.notes) == len(notes)
    assert all(note in told for note, told in zip(notes, sorted(client.notes), strict=True))


def test_what_cannot_be_adapted_is_rejected():
    async def run(backend, request):
        client = Client(backend, name="me", price=None, retry=QUICK, stopping=asyncio.Event())
        with pytest.raises(Rejected):
            await client.ask(request)
        assert not client.notes
        return backend.asked

    assert asyncio.run(run(Scripted(Rejected("no", no_system=True)), REQUEST)) == 1
    never = Scripted(*[Rejected("no", no_system=True) for _ in range(9)])
    assert asyncio.run(run(never, ASKED)) == 2
