"""The cap holds whatever happens: requests in flight, failures that may be paid for, earlier runs."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evalkit.core.protocols import (
    Completion,
    Malformed,
    Message,
    Model,
    Rejected,
    Request,
    Sampling,
    Transport,
    UsageError,
)
from evalkit.core.schema import Usage
from evalkit.core.streams import Stopped
from evalkit.engine.spending import judgments
from evalkit.models.budget import LONGEST_REPLY, Amount, Budget, amount, bound
from evalkit.models.client import Clients
from evalkit.models.prices import Price, PriceTable
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Store

PRICES = PriceTable(as_of="today", models={"dear": Price(input=10.0, output=30.0)})
NOTHING = Amount()
RETRY = RetryPolicy(attempts=3, first_wait=0.0, longest_wait=0.0, give_up_after=10_000)


class Charging:
    """A provider that charges for what it serves, and keeps the bill; most it serves is less than allowed."""

    exclusive, account, timeout = False, None, 5.0

    def __init__(self, seed=0, faults=0.0, concurrency=8, model="dear"):
        self.concurrency, self.faults, self.model = concurrency, faults, model
        self.bill = Amount()
        self.served = 0
        self._random = random.Random(seed)

    def identity(self):
        return {"model": self.model}

    async def open(self):
        pass

    async def close(self):
        pass

    async def complete(self, request):
        await asyncio.sleep(self._random.random() / 1000)
        prompt = sum(len(message.content) for message in request.messages) // 4
        usage = Usage(prompt, self._random.randint(0, request.sampling.max_tokens or 500))
        if self._random.random() < self.faults:
            kind = self._random.choice(["unpaid", "lost", "garbage", "refused"])
            if kind == "unpaid":
                raise Transport("429", status=429)
            if kind == "refused":
                raise Rejected("400 no")
            self.bill += amount(usage, PRICES.models["dear"])
            raise Transport("reset") if kind == "lost" else Malformed("what", body="<html>")
        self.served += 1
        self.bill += amount(usage, PRICES.models["dear"])
        return Completion("yes", usage=usage)


def request(words=40, max_tokens=200):
    return Request((Message("user", "word " * words),), Sampling(max_tokens=max_tokens))


def spend(backend, times=200, spent=NOTHING, **caps):
    """Ask so often at once; how many were stopped, and the clients."""

    async def main():
        clients = Clients(PRICES, RETRY, **caps)
        clients.budget.spent_before(spent)
        client = clients.of(Model(name="m", backend=backend))
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(*(client.ask(request()) for _ in range(times)), return_exceptions=True)
        return sum(isinstance(outcome, Stopped) for outcome in outcomes), clients

    return asyncio.run(main())


@pytest.mark.parametrize("cap", [{"usd": 0.25}, {"tokens": 9_000}])
def test_it_stops_before_the_cap_and_close_to_it(cap):
    backend = Charging()
    stopped, clients = spend(backend, **cap)
    assert stopped > 0
    assert clients.stopped_by == "budget"
    most = amount(bound(request()), PRICES.models["dear"])
    if "usd" in cap:
        assert cap["usd"] - most.usd < backend.bill.usd <= cap["usd"]
    else:
        assert cap["tokens"] - most.tokens < backend.bill.tokens <= cap["tokens"]
    assert clients.budget.used.usd == pytest.approx(backend.bill.usd)
    assert clients.budget.used.tokens == backend.bill.tokens


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.9), st.floats(0.0, 0.6), st.integers(1, 30))
def test_no_bill_passes_the_cap(seed, faults, usd, concurrency):
    backend = Charging(seed, faults, concurrency)
    spend(backend, times=60, usd=usd)
    assert backend.bill.usd <= usd + 1e-9


def test_without_a_cap_nothing_is_held():
    stopped, clients = spend(Charging(), times=20)
    assert (stopped, clients.stopped_by, clients.budget.capped) == (0, None, False)


def test_a_budget_that_suffices_changes_nothing():
    backend = Charging()
    stopped, clients = spend(backend, usd=100.0)
    assert (stopped, clients.stopped_by, backend.served) == (0, None, 200)


def test_what_earlier_runs_used_counts():
    backend = Charging()
    spend(backend, spent=Amount(usd=0.2), usd=0.25)
    assert 0 < backend.bill.usd <= 0.05


def test_with_nothing_left_nothing_is_asked():
    backend = Charging()
    stopped, clients = spend(backend, usd=0.0)
    assert (stopped, backend.served) == (200, 0)
    assert "budget reached: $0.0000 of $0 used" in clients.budget.message()
    assert "higher budget" in clients.budget.message()


def test_an_unknown_price_cannot_be_capped_in_dollars():
    with pytest.raises(UsageError, match=r"budget=1 needs the price of 'm'.*budget\.tokens"):
        spend(Charging(model="new"), usd=1.0)
    spend(Charging(model="new"), times=3, tokens=100_000)


def test_a_free_model_is_never_stopped_by_dollars():
    async def main():
        clients = Clients(PRICES, RETRY, usd=0.0)
        client = clients.of(Model(name="m", backend=Charging(model="mine"), price="free"))
        return await client.ask(request())

    assert asyncio.run(main()).cost == 0.0


def test_a_server_that_does_not_count_tokens_is_taken_to_have_used_all():
    class Silent(Charging):
        async def complete(self, request):
            self.served += 1
            return Completion("yes")

    backend = Silent()
    spend(backend, tokens=4 * amount(bound(request()), None).tokens)
    assert backend.served == 4


def test_requests_without_a_limit_are_taken_to_be_long():
    assert bound(Request((Message("user", "hi"),))).completion_tokens == LONGEST_REPLY


@given(st.text())
def test_no_prompt_has_more_tokens_than_the_bound(text):
    assert bound(Request((Message("user", text),))).prompt_tokens >= len(text)


def test_lost_requests_are_said():
    async def main():
        budget = Budget(1.0, None, asyncio.Event())
        await budget.reserve(Amount(0.9, 100))
        await budget.commit(Amount(0.9, 100), Amount(0.9, 100), lost=True)
        with pytest.raises(Stopped):
            await budget.reserve(Amount(0.2, 50))
        return budget.message()

    assert "100 tokens of it for requests that were never answered" in asyncio.run(main())


def test_batches_of_an_earlier_run_leave_room_only_for_what_is_free():
    async def main():
        budget = Budget(1.0, None, asyncio.Event())
        budget.add_pending(Amount(2.0, 100))
        await budget.reserve(Amount(0.0, 50))
        with pytest.raises(Stopped):
            await budget.reserve(Amount(0.1, 50))
        return budget.message()

    assert "$0.0000 of $1 used, $2.0000 set aside for batches that are not collected" in asyncio.run(main())


def test_what_a_run_waits_for_makes_others_wait_until_it_says_so_no_longer():
    async def main(done):
        budget = Budget(1.0, None, asyncio.Event())
        held = Amount(0.9, 100)
        budget.add_pending(held)
        budget.adopt_pending(held)
        waiting = asyncio.create_task(budget.reserve(Amount(0.5, 50)))
        await asyncio.sleep(0)
        assert not waiting.done()
        await done(budget, held)
        await waiting

    asyncio.run(main(lambda budget, held: budget.commit(held, Amount(0.1, 10))))
    with pytest.raises(Stopped):
        asyncio.run(main(Budget.release))


# --- on the command line

POCKET = ("run", "pocket", "model=fake", "judge=fake")


@pytest.fixture
def dear(tmp_path):
    """The judge costs ten dollars a million tokens either way; the model is free."""
    table = tmp_path / "prices.yaml"
    table.write_text("as_of: today\nmodels: {fake: {input: 10, output: 10}}\n")
    return "judge.price=fake", "judge.sampling.max_tokens=200", f"prices={table}"


def spent(tmp_path):
    texts = [path.read_text() for path in tmp_path.glob("results/pocket/judgments/*.jsonl")]
    rows = [row for text in texts for row in text.splitlines()]
    return sum(json.loads(row)["cost"] for row in rows)


@pytest.mark.slow
def test_a_run_stops_at_the_budget_and_goes_on_with_a_higher_one(cli, tmp_path, dear):
    whole = cli(*POCKET, *dear, "results_dir=whole")
    assert whole.code == 0
    first = cli(*POCKET, *dear, "budget=0.1")
    assert first.code == 3
    assert "budget reached: $0.0" in first.err
    assert "goes on from here" in first.err
    assert 0.05 < spent(tmp_path) <= 0.1
    again = cli(*POCKET, *dear, "budget=0.1")
    assert again.code == 3
    assert spent(tmp_path) <= 0.1
    last = cli(*POCKET, *dear, "budget=100")
    assert last.code == 0
    (kept,) = tmp_path.glob("results/pocket/judgments/*.jsonl")
    (other,) = tmp_path.glob("whole/pocket/judgments/*.jsonl")
    keys = [sorted(json.loads(line)["key"] for line in path.read_text().splitlines()) for path in (kept, other)]
    assert keys[0] == keys[1]  # nothing missing, nothing asked twice
    manifests = sorted(tmp_path.glob("results/pocket/runs/*/manifest.json"))
    assert [json.loads(path.read_text())["outcome"] for path in manifests] == ["budget", "budget", "done"]


@pytest.mark.slow
def test_replies_of_no_use_that_are_asked_for_again_have_cost_something(cli, tmp_path, dear):
    mumbling = (*POCKET, *dear, "judge.backend.mumble=1.0", "ask_again=[unparsed]")
    cli(*mumbling)
    once = spent(tmp_path)
    assert once > 0.1
    for _ in range(3):
        assert cli(*mumbling, f"budget={1.5 * once}").code == 3
        assert 1.3 * once < spent(tmp_path) <= 1.5 * once


@pytest.mark.slow
def test_another_parser_makes_no_reply_unpaid(cli, tmp_path, dear):
    mark = ("budget=0.1", "protocol.scoring=logprobs")
    asked = set()
    for mass in (0.1, 0.2, 0.3):  # how a reply is read, not what is asked
        assert cli(*POCKET, *dear, *mark, f"protocol.least_mass={mass}").code == 3
        (path,) = tmp_path.glob("results/pocket/judgments/*.jsonl")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        asked |= {(row["key"], row["created"], row["cost"]) for row in rows}
        assert 0.05 < sum(cost for _, _, cost in asked) <= 0.1
    assert len({row["judge"]["fingerprint"] for row in rows}) > 1


def test_a_reply_that_is_read_again_has_cost_nothing_more(cli, tmp_path):
    pocket = (*POCKET, "judge.price=null", "limit=1")
    assert cli(*pocket).code == 0
    store = Store(tmp_path / "results", "pocket")
    (path,) = tmp_path.glob("results/pocket/judgments/*.jsonl")
    log = store.judgments(*path.stem.split("."))
    alone = judgments(log, lambda _: True, PRICES.models["dear"])
    for row in list(log):
        log.append(replace(row, parser="another"))
    assert judgments(log, lambda _: True, PRICES.models["dear"]) == alone
    for row in list(log):
        log.append(replace(row, created=row.created + 1))
    twice = judgments(log, lambda _: True, PRICES.models["dear"])
    assert twice.tokens == 2 * alone.tokens
    assert twice.usd == pytest.approx(2 * alone.usd)
    store.close()


def test_a_missing_limit_of_the_reply_is_said_when_it_is_what_does_not_fit(cli, dear):
    unlimited = cli(*POCKET, *dear, "judge.sampling.max_tokens=null", "budget=0.1")
    assert unlimited.code == 3
    said = " ".join(unlimited.err.split())
    assert "$0.0000 of $0.1 used" in said
    assert "'fake' has no max_tokens, so a reply of it is counted as 16,384 tokens: set sampling.max_tokens=N" in said
    assert "max_tokens" not in cli(*POCKET, *dear, "budget=0.1").err


def test_tokens_can_be_capped(cli, tmp_path, dear):
    ended = cli(*POCKET, "budget.tokens=20000", "limit=1")
    assert ended.code == 3
    assert "of 20,000 tokens used" in ended.err
    texts = [path.read_text() for path in tmp_path.glob("results/pocket/*/*.jsonl")]
    rows = [json.loads(line)["usage"] for text in texts for line in text.splitlines()]
    flat = [one for usage in rows for one in (usage if isinstance(usage, list) else [usage])]
    assert 0 < sum(one.get("prompt_tokens", 0) + one.get("completion_tokens", 0) for one in flat) <= 20_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("budget=-1", "budget.usd=-1: must be at least 0"),
        ("budget=much", "budget.usd='much': expected `float | null`"),
        ("budget.euros=3", "budget: unknown key 'euros'; there are: tokens, usd"),
        ("budget.tokens=1.5", "budget.tokens=1.5"),
    ],
)
def test_mistakes(cli, given, message):
    ended = cli(*POCKET, given)
    assert ended.code == 2
    assert message in ended.err


def test_a_dry_run_says_whether_the_budget_suffices(cli, dear):
    short = cli(*POCKET, *dear, "budget=0.01", "dry_run=true")
    assert short.code == 0
    assert "more than the budget of $0.01" in short.err
    assert "more than the budget" not in cli(*POCKET, *dear, "budget=100", "dry_run=true").err
