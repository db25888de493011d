"""Batches: every request paid for once, every answer stored, whatever the provider, the network or the user does."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from evalkit.backends.anthropic import Anthropic
from evalkit.backends.fake import Fake
from evalkit.backends.openai import OpenAI
from evalkit.backends.openai_batches import OpenAIBatches
from evalkit.core.batch_api import BatchSettings
from evalkit.core.protocols import Case, EvalkitError, Judge, Misconfigured, Model, Sampling, UsageError
from evalkit.core.schema import Item, Ref, Response, Usage
from evalkit.core.streams import Stopped, gathered, of
from evalkit.engine.batches import ledger as ledger_module
from evalkit.engine.batches import scheduler as batch_module
from evalkit.engine.batches.ledger import Ledger
from evalkit.engine.batches.scheduler import TRIES, Waiting, batched
from evalkit.engine.judge import JudgeRunner
from evalkit.engine.progress import Watch
from evalkit.engine.spending import judgments
from evalkit.judges.single import Single
from evalkit.models.budget import Amount
from evalkit.models.client import Clients, Unreachable
from evalkit.models.prices import Price, PriceTable
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Store
from tests.batch_server import BatchServer, Mess

PRICES = PriceTable("today", {"m": Price(input=2.0, output=10.0, cached=1.0)})
RETRY = RetryPolicy(attempts=4, first_wait=0.01, longest_wait=0.05)
KINDS = {"openai": OpenAI, "anthropic": Anthropic}
BOTH = pytest.mark.parametrize("wire", ["openai", pytest.param("anthropic", marks=pytest.mark.slow)])


def cases(n=12, first=0):
    """One case each of n items."""
    for number in range(first, first + n):
        item = Item(id=str(number), benchmark="b", category="math", turns=(f"What is {number} + 1?",))
        answer = Response(
            key=f"k{number}", item=item.id, benchmark="b", category="math", model=Ref("me", "f"), turns=("42",)
        )
        yield Case(item, 1, (answer,))


@dataclass
class Run:
    """One run over a folder, as a process of its own would have it: nothing in memory but what it reads."""

    server: BatchServer
    wire: str
    folder: object
    settings: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    """Of the budget."""
    model: str = "m"
    retry: RetryPolicy = RETRY
    prompt: str = "strict"

    def __post_init__(self):
        url = self.server.url + ("/v1" if self.wire == "openai" else "")
        backend = KINDS[self.wire](model=self.model, base_url=url)
        model = Model(name="judge", backend=backend, sampling=Sampling(max_tokens=64), system_prompt=self.prompt)
        self.judge = Judge("judge", model, Single(), batch=True)
        self.waiting = {}
        self.most_waiting = 0
        self.rows = []

    def show(self, key, waiting):
        self.waiting.pop(key, None)
        if waiting is not None:
            self.waiting[key] = waiting
        self.most_waiting = max(self.most_waiting, len(self.waiting))

    async def go(self, work=None, arriving=None):
        """Returns the rows; keeps them, too, in case something is raised."""
        self.clients = Clients(PRICES, self.retry, **self.limits)
        store = Store(self.folder, "b")
        client = self.clients.of(self.judge.model)
        self.log = log = store.judgments("judge", "single")
        settings = BatchSettings(**{"poll": 0.05, "requests": 5} | self.settings)
        work = list(cases() if work is None else work)
        stream = batched(
            arriving or of(work),
            JudgeRunner(self.judge, client, log),
            store.batches("judge", "single"),
            settings,
            self.show,
            known=work,
        )
        try:
            async for row in stream:
                self.rows.append(row)
        finally:
            await stream.aclose()
            await self.clients.close()
            store.close()
        return self.rows

    def __call__(self, work=None):
        return asyncio.run(asyncio.wait_for(self.go(work), 600))


def stored(folder):
    """Lines in the judgments file by key, and the latest rows."""
    log = Store(folder, "b").judgments("judge", "single")
    lines = Counter(line.split(b'"key":"')[1][:32] for line in log.path.read_bytes().splitlines())
    return lines, {row.key: row for row in log}


def ledger(folder):
    return Ledger(Store(folder, "b").batches("judge", "single"))


def check(server, folder, n=12):
    """Everything is stored once, with scores, and was paid for once."""
    lines, rows = stored(folder)
    assert len(rows) == n
    assert set(lines.values()) == {1}
    assert all(row.scores is not None for row in rows.values())
    assert set(server.paid.values()) == {1}
    assert server.paid.keys() == rows.keys()
    assert ledger(folder).open == []


@pytest.fixture
def server():
    with BatchServer(delay=0.1) as running:
        yield running


@BOTH
def test_a_batch_run_leaves_the_rows_of_a_live_one(wire, server, tmp_path):
    run = Run(server, wire, tmp_path / "batch")
    rows = run()
    check(server, tmp_path / "batch")
    assert len(server.batches) == 3  # of 5, 5 and 2
    assert server.live.total() == 0
    assert run.waiting == {}
    assert run.most_waiting == 3  # side by side

    async def live():
        clients = Clients(PRICES, RETRY)
        bench = JudgeRunner(
            run.judge, clients.of(run.judge.model), Store(tmp_path / "live", "b").judgments("judge", "single")
        )
        found = [await bench.judgment(case) for case in cases()]
        await clients.close()
        return found

    expected = asyncio.run(live())
    by_key = {row.key: row for row in rows}
    assert {row.key for row in expected} == by_key.keys()
    for row in expected:
        mine = by_key[row.key]
        for name in ("scores", "label", "raw", "usage", "judge", "finish", "snapshot", "sampling", "item", "lengths"):
            assert getattr(mine, name) == getattr(row, name)
        assert row.cost > 0
        assert mine.cost == pytest.approx(row.cost / 2)
    ((_, traffic),) = run.clients.traffic
    assert traffic.cost == pytest.approx(sum(row.cost for row in rows))
    assert (traffic.asked, traffic.answered) == (12, 12)

    again = Run(server, wire, tmp_path / "batch")
    assert {row.key for row in again()} == by_key.keys()
    assert len(server.batches) == 3


def test_a_batch_judge_is_the_same_judge():
    model = Model(name="judge", backend=OpenAI(model="m"))
    assert Judge("j", model, Single(), batch=True).ref == Judge("j", model, Single()).ref


def test_keys_are_valid_custom_ids(server, tmp_path):
    Run(server, "anthropic", tmp_path)()  # the server refuses others
    assert all(len(key) == 32 and key.isalnum() for key in server.paid)


@BOTH
def test_rows_may_come_twice_in_any_order_with_others_between(wire, server, tmp_path):
    server.mess = Mess(duplicate=True, shuffle=True, strangers=True, garbage=True)
    assert len(Run(server, wire, tmp_path)()) == 12
    check(server, tmp_path)


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("situation", ["429", "500", "reset", "garbage"])
def test_every_call_may_fail_now_and_then(wire, situation, server, tmp_path):
    for call in ("upload", "create", "retrieve", "content"):
        if situation != "garbage" or call == "retrieve":
            server.provoke(call, situation, "good", situation)
    Run(server, wire, tmp_path)()
    check(server, tmp_path)


@BOTH
def test_a_download_that_breaks_off_is_begun_again(wire, server, tmp_path):
    server.provoke("content", "cut", "cut")
    Run(server, wire, tmp_path)()
    check(server, tmp_path)


@BOTH
@pytest.mark.parametrize("situation", ["short", "empty", "garbage"])
def test_a_download_that_ends_early_as_if_it_were_whole_is_begun_again(wire, situation, server, tmp_path):
    server.provoke("content", situation, situation)
    Run(server, wire, tmp_path)()
    check(server, tmp_path)
    assert len(server.batches) == 3


def test_a_batch_is_done_before_its_files_are_named(server, tmp_path):
    server.delay = 0.0
    server.provoke("retrieve", *["unnamed"] * 3)
    Run(server, "openai", tmp_path, {"requests": 12})()
    check(server, tmp_path)


@BOTH
@pytest.mark.parametrize("situation", ["short", "empty"])
def test_a_batch_is_not_paid_again_because_its_download_never_is_whole(wire, situation, server, tmp_path):
    server.provoke("content", *[situation] * 100)
    with pytest.raises(Unreachable, match=r"results of 12 requests, but a download brought only \d.*delete its lines"):
        Run(server, wire, tmp_path, {"requests": 12})()
    assert len(ledger(tmp_path).open) == 1
    server.forget_faults()
    assert len(Run(server, wire, tmp_path)()) == 12
    check(server, tmp_path)
    assert len(server.batches) == 1


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("situation", ["lost", "garbage"])
def test_a_submission_that_was_taken_but_not_confirmed_is_found_again(wire, situation, server, tmp_path):
    server.page = 2
    Run(server, wire, tmp_path / "other", prompt="other")(cases(15))  # batches of the same size, of somebody else
    server.provoke("create", situation, "good", situation)
    Run(server, wire, tmp_path)()
    lines, rows = stored(tmp_path)
    assert set(lines.values()) == {1}
    assert {server.paid[key] for key in rows} == {1}
    assert len(server.batches) == 6


@pytest.mark.slow
@BOTH
def test_a_run_that_ends_before_the_id_is_noted_finds_its_batch(wire, server, tmp_path):
    """The moments of a kill that no test can hit for sure: after the intent, before or after the submission."""
    run = Run(server, wire, tmp_path)
    work = list(cases(5))

    async def submit(sent):
        clients = Clients(PRICES, RETRY)
        client = clients.of(run.judge.model)
        await client.open()
        store = Store(tmp_path, "b")
        bench, api = JudgeRunner(run.judge, client, store.judgments("judge", "single")), client.backend.batches()
        keys = {bench.key(case, bench.request(case)): bench.request(case) for case in work}
        intent = Ledger(store.batches("judge", "single")).begin(list(keys), api.provider, Amount())
        if sent:
            await api.submit(intent.key, [api.line(key, request) for key, request in keys.items()])
        await clients.close()
        store.close()

    asyncio.run(submit(sent=False))  # died before
    assert len(run(work)) == 5
    assert len(server.batches) == 1
    assert ledger(tmp_path).open == []

    run = Run(server, wire, tmp_path)
    for first in (50, 60, 70):
        work = list(cases(5, first=first))
        asyncio.run(submit(sent=True))  # died after, three times over
    assert len(run([*cases(5, first=50), *cases(5, first=60), *cases(5, first=70)])) == 15
    check(server, tmp_path, 20)
    assert len(server.batches) == 4


@BOTH
@pytest.mark.parametrize("hours", [-30, 30])
def test_a_submission_that_was_not_confirmed_is_found_though_our_clock_is_wrong(
    wire, hours, server, tmp_path, monkeypatch
):
    wrong = SimpleNamespace(time=lambda: time.time() + 3600 * hours)
    monkeypatch.setattr(ledger_module, "time", wrong)
    server.provoke("create", "lost")
    server.provoke("content", "empty")  # of a candidate: it looks like somebody else's
    Run(server, wire, tmp_path)()
    assert set(stored(tmp_path)[0].values()) == {1}
    assert set(server.paid.values()) == {1}


@pytest.mark.slow
def test_while_it_cannot_be_told_whose_a_batch_is_nothing_is_submitted(server, tmp_path):
    """Anthropic's batches carry no mark: the ids in the results must tell, and those come at the end."""
    server.delay = 3.0
    server.provoke("create", "lost")
    run = Run(server, "anthropic", tmp_path, {"wait": False})
    assert run(cases(5)) == []
    (waiting,) = run.waiting.values()
    assert str(waiting) == "5 requests may be with Anthropic; the same command finds out, and picks them up"
    run = Run(server, "anthropic", tmp_path, {"wait": False})
    assert run(cases(5)) == []
    assert len(server.batches) == 1
    assert len(Run(server, "anthropic", tmp_path)(cases(5))) == 5
    check(server, tmp_path, 5)


@BOTH
def test_not_waiting(wire, server, tmp_path):
    server.delay = 0.7
    first = Run(server, wire, tmp_path, {"wait": False})
    assert first() == []
    names = sorted(server.batches)
    assert sorted(str(waiting) for waiting in first.waiting.values())[1:] == [
        f"5 requests are with {'OpenAI' if wire == 'openai' else 'Anthropic'} in batch {name}; "
        "the same command picks them up"
        for name in names[:2]
    ]
    second = Run(server, wire, tmp_path, {"wait": False})
    assert second() == []
    assert len(second.waiting) == 3
    wait_for_batches(server)
    third = Run(server, wire, tmp_path, {"wait": False})
    assert len(third()) == 12
    assert third.waiting == {}
    check(server, tmp_path)


@BOTH
def test_stopping_while_waiting_cancels_nothing(wire, server, tmp_path):
    server.delay = 0.8
    run = Run(server, wire, tmp_path)

    async def interrupted():
        task = asyncio.create_task(run.go())
        while len(run.waiting) < 3:
            await asyncio.sleep(0.01)
        run.clients.stopping.set()
        return await task

    assert asyncio.run(interrupted()) == []
    assert len(run.waiting) == 3
    assert server.calls["cancel"] == 0
    assert len(Run(server, wire, tmp_path)()) == 12
    check(server, tmp_path)


@BOTH
def test_two_runs_at_once_submit_nothing_twice(wire, server, tmp_path):
    server.delay = 0.4
    results = {}

    def run(name):
        results[name] = Run(server, wire, tmp_path)()

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert {name: len(rows) for name, rows in results.items()} == {"a": 12, "b": 12}
    check(server, tmp_path)
    assert len(server.batches) == 3


@BOTH
@pytest.mark.parametrize("fate", ["expired", "canceled", "500", "429", "529", "missing"])
def test_what_was_not_answered_is_asked_again_in_the_same_run(wire, fate, server, tmp_path):
    server.fates = lambda key, before: fate if before == 0 and int(key, 16) % 2 else "ok"
    assert len(Run(server, wire, tmp_path)()) == 12
    check(server, tmp_path)
    assert set(server.submitted.values()) == {1, 2}


@BOTH
def test_what_is_never_answered_is_given_up_and_asked_again_by_the_next_run(wire, server, tmp_path):
    server.fates = lambda key, before: "expired" if before < TRIES and int(key, 16) % 2 else "ok"
    rows = Run(server, wire, tmp_path)()
    assert len(rows) == 12
    lost = {row.key for row in rows if row.error}
    assert lost
    assert {row.error.kind for row in rows if row.error} == {"transport"}
    assert {server.submitted[key] for key in lost} == {TRIES}
    rows = Run(server, wire, tmp_path)()
    assert all(row.scores for row in rows)
    assert set(server.paid.values()) == {1}
    assert {server.submitted[key] for key in lost} == {TRIES + 1}


@BOTH
@pytest.mark.parametrize(
    ("fate", "kind"), [("400", "rejected"), ("refusal", "refused"), ("length", "truncated"), ("empty", "unparsed")]
)
def test_failures_are_what_they_are_in_a_live_run(wire, fate, kind, server, tmp_path):
    server.fates = lambda key, before: fate if int(key, 16) % 2 else "ok"
    rows = Run(server, wire, tmp_path)()
    failed = {row.key for row in rows if row.error}
    assert failed == {key for key in server.submitted if int(key, 16) % 2} != set()
    assert {row.error.kind for row in rows if row.error} == {kind}
    assert set(server.submitted.values()) == {1}
    assert len(Run(server, wire, tmp_path)()) == 12
    assert set(server.submitted.values()) == {1}


@BOTH
def test_a_row_that_the_user_must_act_on_stops_the_run_once_the_rest_is_stored(wire, server, tmp_path):
    server.fates = lambda key, before: "401" if before == 0 and int(key, 16) % 2 else "ok"
    with pytest.raises(Misconfigured, match="401"):
        Run(server, wire, tmp_path, {"requests": 100})()
    _, rows = stored(tmp_path)
    assert rows.keys() == server.paid.keys()
    assert len(Run(server, wire, tmp_path)()) == 12
    check(server, tmp_path)


def test_a_batch_that_openai_does_not_validate(server, tmp_path):
    server.max_requests = 7
    with pytest.raises(UsageError, match=r"OpenAI did not process batch batch_0000: 12 requests .*too many") as caught:
        Run(server, "openai", tmp_path, {"requests": 100})()
    assert "\x1b" not in str(caught.value)
    assert not server.paid
    assert ledger(tmp_path).open == []
    assert len(Run(server, "openai", tmp_path)()) == 12
    check(server, tmp_path)


def test_a_batch_that_anthropic_refuses(server, tmp_path):
    server.max_requests = 7
    with pytest.raises(UsageError, match="Anthropic refused a batch of 12 requests") as caught:
        Run(server, "anthropic", tmp_path, {"requests": 100})()
    assert "\x1b" not in str(caught.value)
    assert not server.batches
    assert ledger(tmp_path).open == []
    assert len(Run(server, "anthropic", tmp_path)()) == 12
    check(server, tmp_path)


def test_openai_takes_only_so_much_at_once(server, tmp_path):
    server.at_once = 1
    assert len(Run(server, "openai", tmp_path)()) == 12
    check(server, tmp_path)
    assert len(server.batches) > 3


def test_openai_takes_none_at_all(server, tmp_path):
    server.at_once = 0
    with pytest.raises(UsageError, match=r"Enqueued token limit reached.*batch\.requests"):
        Run(server, "openai", tmp_path)()
    assert not server.paid


@BOTH
def test_size_caps(wire, server, tmp_path, monkeypatch):
    server.max_bytes = 6_000
    monkeypatch.setattr(batch_module, "CHUNK_BYTES", 5_000)
    assert len(Run(server, wire, tmp_path, {"requests": 100})()) == 12
    check(server, tmp_path)
    assert len(server.batches) > 2


@BOTH
def test_a_request_too_large_for_any_batch(wire, server, tmp_path, monkeypatch):
    monkeypatch.setattr(f"evalkit.backends.{wire}_batches.{KINDS[wire].__name__}Batches.max_bytes", 3_000)
    (big,) = cases(1, first=99)
    big = Case(big.item, 1, (replace(big.shown[0], turns=("x" * 5_000,)),))
    rows = Run(server, wire, tmp_path, {"requests": 100})([*cases(3), big])
    assert [row.error.kind for row in rows if row.error] == ["rejected"]
    assert len(rows) == 4
    assert len(server.paid) == 3


@BOTH
def test_two_cases_with_one_prompt_are_asked_once(wire, server, tmp_path):
    rows = Run(server, wire, tmp_path)([*cases(3), *cases(3), *cases(7), *cases(7)])
    assert Counter(row.item for row in rows) == {str(n): 4 for n in range(3)} | {str(n): 2 for n in range(3, 7)}
    check(server, tmp_path, 7)


@pytest.mark.slow
def test_the_server_is_down(server, tmp_path):
    server.provoke("create", *["429"] * 20)
    with pytest.raises(Unreachable, match="OpenAI does not take batches"):
        Run(server, "openai", tmp_path)()
    assert ledger(tmp_path).open == []  # it said that it took none
    server.forget_faults()
    server.provoke("create", *["reset"] * 20)
    with pytest.raises(Unreachable):
        Run(server, "openai", tmp_path)()
    assert len(ledger(tmp_path).open) == 1  # nobody knows
    server.forget_faults()
    server.provoke("retrieve", *["500"] * 200)
    with pytest.raises(Unreachable, match="OpenAI does not answer"):
        Run(server, "openai", tmp_path)()
    server.forget_faults()
    assert len(Run(server, "openai", tmp_path)()) == 12
    check(server, tmp_path)


def test_a_server_without_batches(tmp_path):
    from tests.fault_server import FaultServer

    with FaultServer() as other:
        other.record = False
        other.provoke("404")
        with pytest.raises(Misconfigured, match="no batch API"):
            Run(other, "openai", tmp_path)()


def test_a_batch_that_its_provider_does_not_have(server, tmp_path):
    server.delay = 60
    Run(server, "openai", tmp_path, {"wait": False})(cases(3))
    server.batches.clear()
    with pytest.raises(UsageError, match=r"does not have batch batch_0000 with 3 requests.*delete its lines"):
        Run(server, "openai", tmp_path)(cases(3))


def test_backends_without_batches(tmp_path):
    model = Model(name="judge", backend=Fake())
    run = Run.__new__(Run)
    run.judge = Judge("judge", model, Single(), batch=True)

    async def go():
        client = Clients(PRICES).of(model)
        bench = JudgeRunner(run.judge, client, Store(tmp_path, "b").judgments("judge", "single"))
        log = Store(tmp_path, "b").batches("judge", "single")
        return await gathered(batched(of(cases()), bench, log, BatchSettings(), lambda *_: None))

    with pytest.raises(UsageError, match=r"'judge' cannot have batch=true.*Fake; OpenAI and Anthropic have one"):
        asyncio.run(go())


def test_progress_shows_what_is_under_way():
    watch = Watch(0, 400)
    assert watch.batches() == ""
    watch.waits("a", Waiting("OpenAI", "batch_1", 300, 120))
    watch.waits("b", Waiting("OpenAI", None, 100))
    assert watch.batches() == "batch 120/400"
    watch.waits("a", None)
    assert watch.batches() == "batch 0/100"


# Budget.


@BOTH
def test_a_budget_stops_before_the_batch_that_could_pass_it(wire, server, tmp_path):
    Run(server, wire, tmp_path / "first", {"wait": False}, {"tokens": 1_000_000})(cases(5))
    (first,) = ledger(tmp_path / "first").open
    limit = first.tokens + 1_000  # room for five at their longest; they turn out to be shorter, but not by enough
    run = Run(server, wire, tmp_path, limits={"tokens": limit})
    rows = run()
    assert run.clients.stopped_by == "budget"
    assert run.waiting == {}
    assert len(rows) == 5
    assert run.clients.budget.used.tokens == 5 * 505 < limit
    assert len(server.batches) == 2
    run = Run(server, wire, tmp_path, limits={"tokens": 3 * limit})
    assert len(run()) == 12
    assert run.clients.stopped_by is None
    assert set(stored(tmp_path)[0].values()) == {1}


def test_the_budget_counts_true_cost_when_all_is_done(server, tmp_path):
    run = Run(server, "openai", tmp_path, limits={"usd": 100.0})
    rows = run()
    assert run.clients.budget.used.usd == pytest.approx(sum(row.cost for row in rows))
    assert run.clients.budget.used.tokens == 12 * 505


@BOTH
def test_answers_whose_tokens_nobody_counted_are_taken_to_be_the_longest(wire, server, tmp_path):
    server.counts_tokens = False
    run = Run(server, wire, tmp_path, limits={"tokens": 100_000})
    rows = run()
    assert all(row.usage == Usage() for row in rows)
    most = sum(row.bound.prompt_tokens + row.bound.completion_tokens for row in rows)
    assert run.clients.budget.used.tokens == most > 12 * 64
    assert judgments(run.log, lambda _: True, PRICES.find("m")).tokens == most


def test_the_budget_counts_a_batch_of_an_earlier_run(server, tmp_path):
    server.delay = 0.5
    Run(server, "openai", tmp_path, {"wait": False}, {"usd": 100.0})(cases(5))
    (pending,) = ledger(tmp_path).open
    assert pending.usd > 0
    run = Run(server, "openai", tmp_path, {"wait": False}, {"usd": 100.0})
    run(cases(5))
    assert run.clients.budget.used == Amount()
    assert run.clients.budget.pending == Amount(pending.usd, pending.tokens)
    run = Run(server, "openai", tmp_path, limits={"usd": 100.0})
    rows = run(cases(5))
    assert run.clients.budget.used.usd == pytest.approx(sum(row.cost for row in rows))
    assert run.clients.budget.pending == Amount()


def test_a_batch_of_another_experiment_takes_no_room(server, tmp_path):
    server.delay = 60.0
    Run(server, "openai", tmp_path, {"wait": False})(cases(5))
    (other,) = ledger(tmp_path).open
    server.delay = 0.1
    run = Run(server, "openai", tmp_path, limits={"tokens": other.tokens + 1_000})
    assert len(run(list(cases(9))[5:])) == 4
    assert run.clients.stopped_by is None
    assert [one.key for one in ledger(tmp_path).open] == [other.key]


def test_a_batch_of_an_earlier_run_is_collected_before_all_cases_have_come(server, tmp_path):
    """A model that answers for money may need what the batch holds; its answers are among the cases to come."""
    Run(server, "openai", tmp_path, {"wait": False}, {"usd": 100.0})(cases(5))
    (pending,) = ledger(tmp_path).open
    run = Run(server, "openai", tmp_path, limits={"tokens": pending.tokens + 600})
    rest = Amount(tokens=pending.tokens + 600 - 5 * 505)

    async def arriving():
        for case in cases(5):
            yield case
        await run.clients.budget.reserve(rest)
        await run.clients.budget.commit(rest, Amount())
        yield list(cases(6))[5]

    assert len(asyncio.run(asyncio.wait_for(run.go(cases(5), arriving()), 600))) == 6
    assert run.clients.stopped_by is None
    assert set(stored(tmp_path)[0].values()) == {1}


def test_cases_of_a_batch_that_come_late_are_answered_from_it(server, tmp_path):
    """Their answers were not stored when the run began, but turn out to be the same."""
    Run(server, "openai", tmp_path, {"wait": False, "requests": 7})(cases(7))
    wait_for_batches(server)
    run = Run(server, "openai", tmp_path)

    async def arriving():
        for case in cases(5):
            yield case
        await asyncio.sleep(0.3)  # these are collected by now
        assert len(stored(tmp_path)[1]) == 5
        for case in list(cases(7))[5:]:
            yield case

    assert len(asyncio.run(asyncio.wait_for(run.go(cases(5), arriving()), 600))) == 7
    check(server, tmp_path, 7)


def wait_for_batches(server):
    """Until every batch at the server has ended."""
    while not all(batch.ended for batch in server.batches.values()):
        time.sleep(0.01)


def finished(run, arriving, seconds=10):
    """The rows; fails if the run hangs, which it is then told to stop."""

    async def main():
        task = asyncio.create_task(run.go(cases(5), arriving))
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            run.clients.stopping.set()
        try:
            return await asyncio.wait_for(task, 600)
        finally:
            assert done, f"hangs; pending {run.clients.budget.pending}"

    return asyncio.run(main())


async def with_a_model_that_costs(run, first, then):
    """Cases that need nothing, then one whose answer takes as much as others hold."""
    for case in first:
        yield case
    with contextlib.suppress(Stopped):
        await run.clients.budget.reserve(Amount(tokens=1000))
        await run.clients.budget.commit(Amount(tokens=1000), Amount())
        yield then


@pytest.mark.parametrize("earlier", [True, False], ids=["of an earlier run", "of this run"])
def test_who_waits_for_the_budget_of_a_batch_left_to_a_later_run_is_stopped(earlier, server, tmp_path):
    server.delay = 60.0
    Run(server, "openai", tmp_path / "first", {"wait": False}, {"usd": 100.0})(cases(5))
    (pending,) = ledger(tmp_path / "first").open
    folder = tmp_path / ("first" if earlier else "second")
    run = Run(server, "openai", folder, {"wait": False}, {"tokens": pending.tokens + 600})
    known = list(cases(5 if earlier else 6))  # the sixth sends the first five off
    assert finished(run, with_a_model_that_costs(run, known, list(cases(7))[6])) == []
    assert run.clients.stopped_by == "budget"


def test_a_batch_in_trouble_ends_the_run_though_others_wait_for_its_budget(server, tmp_path):
    server.delay = 60.0
    Run(server, "openai", tmp_path, {"wait": False}, {"usd": 100.0})(cases(5))
    (pending,) = ledger(tmp_path).open
    server.batches.clear()
    run = Run(server, "openai", tmp_path, limits={"tokens": pending.tokens + 600})
    with pytest.raises(UsageError, match="does not have batch"):
        finished(run, with_a_model_that_costs(run, cases(5), list(cases(6))[5]))


def test_nothing_is_held_for_a_batch_that_another_run_has_collected(server, tmp_path):
    Run(server, "openai", tmp_path, {"wait": False}, {"usd": 100.0})(cases(5))
    (pending,) = ledger(tmp_path).open
    run = Run(server, "openai", tmp_path, limits={"tokens": pending.tokens + 600})

    async def arriving():
        await Run(server, "openai", tmp_path).go(cases(5))
        run.log.refresh()
        async for case in with_a_model_that_costs(run, cases(5), list(cases(6))[5]):
            yield case

    assert len(finished(run, arriving())) == 6
    assert run.clients.stopped_by is None


def test_a_case_that_comes_while_its_batch_is_read_is_not_paid_twice(server, tmp_path, monkeypatch):
    Run(server, "openai", tmp_path, {"wait": False, "requests": 7})(cases(7))
    wait_for_batches(server)
    run = Run(server, "openai", tmp_path)
    passed = []
    real = OpenAIBatches.results

    async def slowly(self, batch):
        async with aclosing(real(self, batch)) as rows:
            async for row in rows:
                yield row
                passed.append(row)
                await asyncio.sleep(0.05)

    monkeypatch.setattr(OpenAIBatches, "results", slowly)

    async def arriving():
        for case in cases(5):
            yield case
        while len(passed) < 7:
            await asyncio.sleep(0.01)
        for case in list(cases(7))[5:]:
            yield case

    assert len(finished(run, arriving())) == 7
    check(server, tmp_path, 7)


# Anything at all.


@BOTH
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_random_faults(wire, seed, tmp_path):
    """Any mixture of faults and early ends: every request paid once, every row stored once."""
    draw = random.Random(seed)
    with BatchServer(delay=0.15, page=2, seed=seed) as server:
        server.mess = Mess(*(draw.random() < 0.5 for _ in range(4)))
        server.fates = lambda key, before: (
            random.Random(f"{key}{before}{seed}").choice(["expired", "500", "missing", "ok"]) if before < 2 else "ok"
        )
        for call in ("upload", "create", "retrieve", "list", "content"):
            bad = ["429", "500", "reset", "garbage"] + (["lost"] * 3 if call == "create" else [])
            bad += ["cut"] if call == "content" else []
            if call == "content":
                bad.remove("garbage")
            server.provoke(call, *(draw.choice(bad) if draw.random() < 0.3 else "good" for _ in range(60)))
        for _ in range(20):
            run = Run(server, wire, tmp_path, {"wait": draw.random() < 0.7, "requests": 4})
            try:
                asyncio.run(_cut_short(run, draw.uniform(0.05, 0.6)))
            except EvalkitError:
                continue
        server.forget_faults()
        for _ in range(3):
            Run(server, wire, tmp_path, {"requests": 4})()
        _, rows = stored(tmp_path)
        assert len(rows) == 12
        assert all(row.scores for row in rows.values())
        assert set(server.paid.values()) == {1}
        assert ledger(tmp_path).open == []


async def _cut_short(run, seconds):
    """A run that is dropped in the middle, by cancelling every task."""
    task = asyncio.create_task(run.go())
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            other.cancel()
    await asyncio.gather(task, return_exceptions=True)
