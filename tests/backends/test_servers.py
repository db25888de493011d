"""Several servers behind one model: who is asked, who is left out, who comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.backends import servers as servers_module
from evalkit.backends.openai import OpenAI
from evalkit.backends.servers import LeftOut, Pool, Servers
from evalkit.core.protocols import (
    Completion,
    Malformed,
    Message,
    Misconfigured,
    Model,
    Rejected,
    Request,
    Transport,
    UsageError,
)
from evalkit.models.client import Client, Unreachable
from evalkit.models.retry import RetryPolicy
from tests.fault_server import FaultServer

FAST = RetryPolicy(attempts=8, first_wait=0.02, longest_wait=0.2)


def request(number=0, mark=""):
    return Request((Message("user", f"{mark} rate answer {number}"),))


def three():
    stack = contextlib.ExitStack()
    return stack, [stack.enter_context(FaultServer()) for _ in range(3)]


def openai(server, **fields):
    return OpenAI(model="m", base_url=f"{server.url}/v1", **fields)


def client_of(backend):
    return Client(backend, name="m", price=None, retry=FAST, stopping=asyncio.Event())


async def sixty(backend):
    """Answers to as many requests at once."""
    client = client_of(backend)
    await client.open()
    answers = await asyncio.gather(*(client.ask(request(number)) for number in range(60)))
    await client.close()
    return answers


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when told to."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(servers_module, "time", clock)
    return clock


def fail(pool, error=None):
    """One request that fails; returns who had it."""
    with contextlib.suppress(Transport, Malformed), pool.least_loaded() as who:
        raise error or Transport("reset")
    return who


def answer(pool):
    with pool.least_loaded() as who:
        return who


# The pool.


def test_each_request_goes_to_the_one_with_the_least_to_do(clock):
    pool = Pool("abc")
    with pool.least_loaded() as first, pool.least_loaded() as second, pool.least_loaded() as third:
        assert {first, second, third} == set("abc")
        with pool.least_loaded() as fourth:
            assert fourth == first
    assert [answer(pool) for _ in range(6)] == [answer(pool) for _ in range(6)]
    assert {answer(pool) for _ in range(3)} == set("abc")


def test_who_fails_is_left_out_for_longer_and_longer_then_tried_by_one_request(clock):
    pool = Pool("ab")
    bad = fail(pool)
    good = answer(pool)
    assert good != bad
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        assert {answer(pool) for _ in range(5)} == {good}
        clock.now += pause - 0.01
        assert {answer(pool) for _ in range(5)} == {good}
        clock.now += 0.02
        with contextlib.suppress(Transport), pool.least_loaded() as held:
            assert held == bad
            assert {answer(pool) for _ in range(5)} == {good}, "one request at a time tries it"
            with pool.least_loaded() as other:
                assert other == good
            raise Transport("still dead")
    clock.now += 61
    assert answer(pool) == bad
    assert {answer(pool) for _ in range(4)} == {good, bad}


def test_requests_that_fail_together_count_once(clock):
    pool = Pool("ab")
    with contextlib.ExitStack() as under_way:
        held = [under_way.enter_context(pool.least_loaded()) for _ in range(20)]
    assert held.count("a") == 10
    with contextlib.suppress(Transport), contextlib.ExitStack() as under_way:
        for _ in range(20):
            under_way.enter_context(pool.least_loaded())
        raise Transport("both went down")  # unwinds all twenty
    clock.now += 1.01
    assert {fail(pool), fail(pool)} == {"a", "b"}


def test_a_server_that_asks_for_a_pause_gets_that(clock):
    pool = Pool("ab")
    bad = fail(pool, Transport("429", retry_after=20.0, status=429))
    clock.now += 19
    assert bad not in {answer(pool) for _ in range(5)}
    clock.now += 1.1
    assert answer(pool) == bad


def test_what_the_request_is_to_blame_for_is_not_held_against_the_server(clock):
    pool = Pool("a")
    with contextlib.suppress(Rejected), pool.least_loaded():
        raise Rejected("too long")
    pool.add("b")
    assert {answer(pool) for _ in range(4)} == {"a", "b"}


def test_a_server_that_answers_nonsense_is_not_asked_everything(clock):
    pool = Pool("ab")
    bad = fail(pool, Malformed("not a completion", body="<html>"))
    assert {answer(pool) for _ in range(9)} == {"a", "b"} - {bad}


def test_where_all_are_dead_one_is_asked_all_the_same(clock):
    pool = Pool("abc")
    assert {fail(pool) for _ in range(3)} == set("abc")
    assert fail(pool) in "abc"


def test_members_come_and_go():
    pool = Pool()
    assert not pool
    with pytest.raises(IndexError), pool.least_loaded():
        pass
    pool.add("a")
    with pool.least_loaded():
        pool.remove("a")
        pool.add("b")
        assert answer(pool) == "b"
    pool.remove("nobody")
    assert len(pool) == 1


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 5))
def test_loads_differ_by_one_at_most_while_nobody_fails(steps, size):
    pool = Pool(range(size))
    held = []
    with contextlib.ExitStack() as everything:
        for step in steps:
            if step < 3 and held:
                continue
            held.append(everything.enter_context(pool.least_loaded()))
        loads = [held.count(member) for member in range(size)]
        assert max(loads) - min(loads) <= 1
    assert all(member.load == 0 for member in pool._members)


# As a backend.


def test_they_are_one_model_whatever_their_number_and_addresses():
    one = Model(name="m", backend=OpenAI(model="m", base_url="http://10.0.0.1:8000/v1"))
    many = Model(
        name="m",
        backend=Servers(servers=tuple(OpenAI(model="m", base_url=f"http://10.0.0.{n}:8000/v1") for n in range(2, 6))),
    )
    assert many.identity() == one.identity()
    assert many.backend.concurrency == 4 * one.backend.concurrency


def test_servers_of_different_providers_are_no_one_model():
    with pytest.raises(UsageError, match=r"differ in provider.*two models"):
        Servers(servers=(OpenAI(model="m"), OpenAI(model="m", base_url="https://api.example.com/v1")))


def test_requests_spread_over_all():
    stack, three_servers = three()
    with stack:
        backend = Servers(servers=tuple(openai(server, concurrency=4) for server in three_servers))
        for server in three_servers:
            server.latency = 0.05

        async def run():
            client = client_of(backend)
            await client.open()
            answers = await asyncio.gather(*(client.ask(request(number)) for number in range(48)))
            await client.close()
            return answers

        answers = asyncio.run(run())
        assert all(isinstance(answer.completion, Completion) for answer in answers)
        assert sum(server.count["success"] for server in three_servers) == 48
        assert min(server.count["success"] for server in three_servers) >= 4, "the first twelve go to those with room"
        assert max(server.most for server in three_servers) <= 4, "no more at once than a server's concurrency"


def test_a_server_killed_and_started_again_during_a_run(monkeypatch):
    """Every request answered, none answered twice; the dead server gets none meanwhile and its share afterwards."""
    monkeypatch.setattr(servers_module, "FIRST_PAUSE", 0.1)
    stack, (first, second) = contextlib.ExitStack(), (FaultServer(), FaultServer())
    stack.enter_context(first)
    stack.enter_context(second)
    third = FaultServer().__enter__()

    async def run():
        backend = Servers(servers=tuple(openai(server, concurrency=4) for server in (first, second, third)))
        client = client_of(backend)
        await client.open()
        for server in (first, second, third):
            server.latency = 0.01
        parts = []
        numbers = iter(range(10_000))

        async def part(count):
            parts.extend(await asyncio.gather(*(client.ask(request(next(numbers))) for _ in range(count))))

        await part(60)
        third.__exit__()
        await part(90)
        assert first.count.total() + second.count.total() + third.count.total() == 150
        again = FaultServer(third.port, latency=0.01)
        with again:
            while not again.count.total():  # until it is tried again, however long the pauses have grown
                await part(1)
            await part(90)
            await client.close()
            return parts, again.count.total()

    with stack:
        parts, came_back = asyncio.run(asyncio.wait_for(run(), 600))
        assert len(parts) >= 240
        assert came_back >= 20, "it takes its share again"
        asked = [json.dumps(seen["body"]["messages"]) for server in (first, second, third) for seen in server.seen]
        assert len(asked) == len(set(asked)), "a request was answered by two servers"


def test_a_server_that_hangs_does_not_take_everything():
    stack, (first, second, third) = three()
    second.latency = 3600
    with stack:
        backend = Servers(
            servers=tuple(
                openai(server, concurrency=2, timeout=0.4 if server is second else 60)
                for server in (first, second, third)
            )
        )

        assert len(asyncio.run(sixty(backend))) == 60
        assert second.count.total() < 20


@pytest.mark.slow
def test_a_server_that_never_answers_is_left_out():
    stack, (first, second, _) = three()
    first.latency, second.latency = 0.02, 3600
    with stack:
        waits = ((first, 60), (second, 0.2))
        backend = Servers(servers=tuple(openai(server, concurrency=2, timeout=timeout) for server, timeout in waits))

        async def run():
            client = client_of(backend)
            await client.open()
            started, asked = time.monotonic(), 0
            while asked < 120:
                await asyncio.gather(*(client.ask(request(asked + number)) for number in range(4)))
                asked += 4
            await client.close()
            return time.monotonic() - started

        took = asyncio.run(run())
        tries = 2 + math.ceil(math.log2(1 + took))
        assert second.count.total() <= 1 + tries, "two at first, then one after 1 s, one 2 s later, one 4 s later, ..."


def test_a_server_that_cannot_be_used_is_left_out_with_a_warning_if_another_can():
    stack, (first, second, third) = three()
    with stack:
        elsewhere = OpenAI(model="m", base_url=f"{second.url}/do/404/v1", concurrency=4)
        backend = Servers(servers=(openai(first, concurrency=4), elsewhere, openai(third, concurrency=4)))

        with pytest.warns(LeftOut, match=r"model 'm' not found at .*/do/404/v1.*others? .* instead") as told:
            assert len(asyncio.run(sixty(backend))) == 60
        assert len(told) == 1
        assert 0 < second.count.total() <= 4, "those that were under way"


def test_servers_none_of_which_can_be_used_are_an_error():
    stack, all_three = three()
    with stack:
        servers = tuple(OpenAI(model="m", base_url=f"{one.url}/do/404/v1", concurrency=4) for one in all_three)

        async def run():
            client = client_of(Servers(servers=servers))
            await client.open()
            try:
                asked = (client.ask(request(number)) for number in range(12))
                return await asyncio.gather(*asked, return_exceptions=True)
            finally:
                await client.close()

        with pytest.warns(LeftOut):
            ended = asyncio.run(run())
        assert {type(error) for error in ended} == {Misconfigured}


def test_when_all_are_dead_the_run_ends_as_with_one_server():
    stack, all_three = three()
    urls = [server.url for server in all_three]
    stack.close()

    async def run():
        backend = Servers(servers=tuple(OpenAI(model="m", base_url=f"{url}/v1") for url in urls))
        client = client_of(backend)
        try:
            for number in range(4):
                with contextlib.suppress(Transport):
                    await client.ask(request(number))
        finally:
            await client.close()

    with pytest.raises(Unreachable, match=r"'m' does not answer: 4 requests in a row"):
        asyncio.run(run())


# From the command line.


@pytest.mark.slow
def test_a_list_of_base_urls(cli, tmp_path):
    stack, all_three = three()
    with stack:
        urls = ",".join(f"{server.url}/v1" for server in all_three)
        common = ("run", "pocket", "model=fake", "judge=[gpt4]", "judge.gpt4.backend.model=j")
        ended = cli(*common, f"judge.gpt4.backend.base_url=[{urls}]")
        assert ended.code == 0, ended.err
        asked = [server.count.total() for server in all_three]
        assert sum(asked) > 30
        assert max(asked) - min(asked) <= sum(asked) / 2
        again = cli(*common, f"judge.gpt4.backend.base_url={all_three[0].url}/v1")
        assert "nothing asked" in again.err, "one server is the same judge as three"


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("model.openai.backend.base_url=[]", "model.openai.backend.base_url=[]: name at least one server"),
        ("model.openai.backend.base_url=[1]", "model.openai.backend.base_url=1: expected `str | null`"),
        (
            "model.openai.backend.base_url=[http://localhost:1/v1,https://api.example.com/v1]",
            "the servers in base_url differ in provider",
        ),
        ("model.fake.backend.base_url=[a,b]", "'base_url' is not a setting of Fake"),
    ],
)
def test_a_wrong_list_is_explained(cli, setting, complaint):
    name = setting.split(".")[1]
    ended = cli("run", "pocket", f"model={name}", "judge=fake", setting)
    assert ended.code == 2
    assert complaint in ended.err
