"""How many requests are in flight, and how many a minute: AIMD, pauses a server asks for, caps, stopping."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.backends import provider
from evalkit.backends.openai import OpenAI
from evalkit.core.protocols import Caps, Completion, Message, Model, RateLimit, Request, Transport
from evalkit.core.schema import Usage
from evalkit.core.streams import Stopped
from evalkit.engine import progress
from evalkit.models.client import Client, Clients
from evalkit.models.pace import START, Bucket, Pace
from evalkit.models.prices import PriceTable
from evalkit.models.retry import RetryPolicy
from tests import virtual_time

REQUEST = Request((Message("user", "hi"),))


def paced(talk, most=64, **options):
    async def main():
        stopping = asyncio.Event()
        async with asyncio.timeout(20):
            return await talk(Pace(most, stopping, **options), stopping)

    return virtual_time.run(main())


# Additive increase, multiplicative decrease.


def test_it_doubles_with_every_round_until_the_first_429():
    async def talk(pace, _):
        sizes = []
        for _ in range(3):
            sizes.append(int(pace.limit))
            for _ in range(int(pace.limit)):
                pace.answered()
        return sizes

    assert paced(talk, most=1000) == [START, 2 * START, 4 * START]


def test_after_a_429_it_grows_by_one_a_round():
    async def talk(pace, _):
        pace.running = 16
        pace.refused(time.monotonic(), None)
        assert pace.limit == 8
        for _ in range(8):
            pace.answered()
        return pace.limit

    assert paced(talk) == pytest.approx(9, abs=0.1)


def test_one_round_of_429s_is_one_sign():
    async def talk(pace, _):
        pace.running = 16
        sent = time.monotonic()
        for _ in range(16):
            pace.refused(sent, None)
        once = pace.limit
        pace.running = 8
        pace.refused(time.monotonic(), None)
        return once, pace.limit, pace.cuts

    assert paced(talk) == (8, 4, 2)


@given(st.lists(st.sampled_from(["answered", "refused"]), max_size=300), st.integers(1, 100))
def test_the_limit_stays_between_one_and_what_is_configured(events, most):
    async def talk(pace, _):
        for event in events:
            if event == "answered":
                pace.answered()
            else:
                pace.refused(time.monotonic(), None)
            assert 1 <= pace.limit <= most

    paced(talk, most=most)


def test_no_more_run_at_once_than_the_limit():
    async def talk(pace, _):
        most = running = 0

        async def one():
            nonlocal most, running
            await pace.enter()
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            pace.leave()

        await asyncio.gather(*(one() for _ in range(50)))
        return most

    assert paced(talk, most=7) == 7


@pytest.mark.parametrize("victims", [[0], [1, 2], [0, 3, 4]])
def test_whoever_is_cancelled_while_waiting_takes_no_turn(victims):
    async def talk(pace, _):
        await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(6)]
        await asyncio.sleep(0)
        pace.leave()  # its turn is handed to the first, who may be among the victims
        for victim in victims:
            waiting[victim].cancel()
        done = 0
        for number, task in enumerate(waiting):
            if number not in victims:
                await task
                pace.leave()
                done += 1
        return done

    assert paced(talk, most=1) == 6 - len(victims)


def test_stopping_reaches_everyone_who_waits():
    async def talk(pace, stopping):
        await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(40)]
        await asyncio.sleep(0)
        stopping.set()
        pace.leave()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(outcome) for outcome in paced(talk, most=1)] == [Stopped] * 40


# Pauses.


def test_retry_after_holds_everyone_up():
    async def talk(pace, _):
        pace.refused(time.monotonic(), 0.2)
        began = time.monotonic()
        await pace.enter()
        return time.monotonic() - began

    assert paced(talk) == pytest.approx(0.2, abs=0.01)


def test_a_server_cannot_hold_us_up_for_ever():
    async def talk(pace, _):
        pace.refused(time.monotonic(), 1e9)
        return pace.paused

    assert paced(talk, longest_pause=3) <= 3


def test_stopping_ends_a_pause():
    async def talk(pace, stopping):
        pace.refused(time.monotonic(), 30)
        waiting = asyncio.create_task(pace.enter())
        await asyncio.sleep(0.01)
        stopping.set()
        before = time.monotonic()
        with pytest.raises(Stopped):
            await waiting
        assert time.monotonic() - before < 1

    paced(talk)


def test_headers_pause_ahead_of_the_429():
    async def talk(pace, _):
        pace.told((RateLimit("requests", 3, 10), RateLimit("tokens", 40_000, 60, 50_000)), 1000)
        before = pace.paused
        pace.told((RateLimit("tokens", 500, 60, 30_500),), 1000)
        return before, pace.paused

    before, after = paced(talk)
    assert before <= 0
    assert after == pytest.approx(1.0, abs=0.01)  # 500 more, of 30,000 that come back in 60 s


def test_the_state_is_said():
    async def talk(pace, _):
        await pace.enter()
        pace.refused(time.monotonic(), 30)
        return str(pace)

    assert paced(talk, most=8) == "1 of 1 in flight, waiting 30 s for the rate limit"


# What the headers say.


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, ()),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "6m0.5s",
            },
            (RateLimit("requests", 59, 1, 60), RateLimit("tokens", 149984, 360.5, 150000)),
        ),
        (
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"},
            (RateLimit("requests", 0, 0.12, None),),
        ),
        ({"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "1s"}, ()),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "soon"}, ()),
        ({"x-ratelimit-remaining-requests": "nan", "x-ratelimit-reset-requests": "1s"}, ()),
        (
            {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1.2.3s"},
            (RateLimit("requests", 1, 0),),
        ),
    ],
)
def test_headers_are_read(headers, limits):
    assert provider.rate_limits(headers) == limits


def test_anthropics_headers_are_read():
    reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 30))
    headers = {
        "anthropic-ratelimit-tokens-limit": "80000",
        "anthropic-ratelimit-tokens-remaining": "1000",
        "anthropic-ratelimit-tokens-reset": reset,
    }
    (limit,) = provider.rate_limits(headers)
    assert (limit.of, limit.left, limit.limit) == ("tokens", 1000, 80000)
    assert limit.reset == pytest.approx(30, abs=1.5)


@given(st.dictionaries(st.sampled_from(["x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]), st.text()))
def test_no_header_is_fatal(headers):
    for limit in provider.rate_limits(headers):
        assert limit.wait(10) >= 0


# Caps.


@given(st.lists(st.floats(0.1, 50), min_size=2, max_size=40), st.floats(10, 1000))
def test_a_bucket_never_gives_more_than_it_gets(amounts, per_minute):
    bucket, now, given_at = Bucket(per_minute), 0.0, []
    for amount in amounts:
        while wait := bucket.wait(now):
            now += wait + 1e-9
        bucket.take(amount)
        given_at.append(now)
    for begin in range(len(amounts)):
        for end in range(begin + 1, len(amounts)):
            passed = given_at[end] - given_at[begin]
            assert sum(amounts[begin:end]) <= per_minute / 60 * (passed + 1) + max(amounts) + 1e-6


class Metered:
    """Notes when it is asked."""

    exclusive, account, concurrency, timeout = False, "here", 64, 5.0

    def __init__(self, *script):
        self.script, self.usage, self.at = list(script), Usage(90, 10), []

    def identity(self):
        return {"model": "metered"}

    async def open(self):
        pass

    async def close(self):
        pass

    async def complete(self, request):
        self.at.append(time.monotonic())
        await asyncio.sleep(0.001)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return Completion("yes", usage=self.usage, limits=step or ())


def asked(backend, times, caps=None):
    """The client, after so many requests at once."""

    async def main():
        stopping = asyncio.Event()
        retry = RetryPolicy(attempts=6, first_wait=0.001, longest_wait=1.0)
        pace = Pace(backend.concurrency, stopping)
        client = Client(backend, name="me", price=None, retry=retry, stopping=stopping, caps=caps, pace=pace)
        async with asyncio.timeout(20):
            await asyncio.gather(*(client.ask(REQUEST) for _ in range(times)))
        return client

    return virtual_time.run(main())


def test_requests_per_minute_are_kept():
    backend = Metered()
    asked(backend, 16, Caps(requests_per_minute=1200))
    gaps = [later - earlier for earlier, later in pairwise(backend.at)]
    assert backend.at[-1] - backend.at[0] >= 0.9 * 15 / 20 - 1.0  # a second's worth may come at once
    assert len(gaps) == 15
    late = Metered()
    asked(late, 50, Caps(requests_per_minute=1200))
    assert late.at[-1] - late.at[0] >= 0.9 * (50 - 20 - 1) / 20


@pytest.mark.slow
def test_caps_come_from_the_configuration_and_the_progress_line_shows_the_pace(cli, tmp_path):
    given = ["limit=1", "judge.caps.requests_per_minute=480"]  # eight a second, of which one second's worth at once
    assert cli("run", "pocket", "model=fake", "judge=fake", *given).code == 0
    (path,) = tmp_path.glob("results/pocket/judgments/*.jsonl")
    created = sorted(json.loads(line)["created"] for line in path.read_text().splitlines())
    assert len(created) == 16
    assert created[-1] - created[0] >= 0.8 * (16 - 8) / 8 - 0.1
    wrong = cli("run", "pocket", "model=fake", "judge=fake", "judge.caps.requests_per_minute=-1")
    assert (wrong.code, "caps.requests_per_minute=-1: must be more than 0" in wrong.err) == (2, True)

    clients = Clients(PriceTable("today", {}))
    clients.of(Model(name="m", backend=OpenAI(model="m", base_url="http://127.0.0.1:9/v1", concurrency=7)))
    assert "0 of 7 in flight" in progress.pace(clients)


def test_tokens_per_minute_are_kept():
    backend = Metered()
    asked(backend, 30, Caps(tokens_per_minute=60_000))  # 1,000 a second: the first ten at once, then ten a second
    assert 1.5 <= backend.at[-1] - backend.at[0] < 8


def test_a_429_slows_the_account_down_and_5xx_does_not():
    too_many = Metered(*[Transport("429", status=429)] * 5)
    assert asked(too_many, 40).pace.cuts >= 1
    failing = Metered(*[Transport("500", status=500)] * 5)
    client = asked(failing, 40)
    assert (client.pace.cuts, client.traffic.retries) == (0, 5)


def test_what_the_server_says_is_left_is_waited_for():
    backend = Metered((RateLimit("requests", 0, 0.5, 1),))
    asked(backend, 17)  # one more than may be in flight at the beginning
    assert backend.at[-1] - backend.at[0] >= 0.45
