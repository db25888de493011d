"""Answers: what a model is asked turn by turn, what is stored, and what a later run asks again."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from evalkit.backends.fake import Fake
from evalkit.core.history import NO_ANSWER
from evalkit.core.protocols import Completion, Malformed, Message, Misconfigured, Model, Rejected, Sampling, Transport
from evalkit.core.schema import ChatTurn, Item, Response, Usage
from evalkit.datasets.benchmark import Generation
from evalkit.engine.generate import Candidate, respond
from evalkit.models.client import Client
from evalkit.models.prices import Price
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Log

ITEM = Item(id="7", benchmark="b", category="math", turns=("What is 2+2?", "Double it."))
POLICY = Generation(max_tokens=100, temperature={"math": 0.0, "writing": 0.7})
REFUSED = Completion("I cannot.", "refusal", Usage(5, 2))


class Scripted:
    """Answers "answer 1", "answer 2", ... or what the script says; keeps every request."""

    exclusive, concurrency, timeout = False, 4, 5.0

    def __init__(self, *script):
        self.script, self.requests, self.model = list(script), [], "scripted"

    def identity(self):
        return {"model": self.model}

    async def open(self):
        pass

    async def close(self):
        pass

    async def complete(self, request):
        self.requests.append(request)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return step or Completion(f"answer {len(self.requests)}", "stop", Usage(10, 5), model="scripted-1")


def model(*script, **fields):
    return Model(name="me", backend=Scripted(*script), **fields)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "me.jsonl"


def answered(member, path, item=ITEM, generation=POLICY, price=None, **options):
    """One item through a client and a log of their own, as a new run of the program has them."""

    async def run():
        log = Log(path, Response)
        retry = RetryPolicy(attempts=1)
        client = Client(member.backend, name="me", price=price, retry=retry, stopping=asyncio.Event())
        try:
            return await respond(item, Candidate.of(member, generation), client, log, **options)
        finally:
            log.close()

    return asyncio.run(run())


def rows(path):
    return list(Log(path, Response))


# What is asked.


def test_the_second_turn_shows_the_models_own_first_answer(path):
    me = model(system_prompt="Be brief.")
    row = answered(me, path)
    system, first, second = (
        Message("system", "Be brief."),
        Message("user", ITEM.turns[0]),
        Message("user", ITEM.turns[1]),
    )
    assert [request.messages for request in me.backend.requests] == [
        (system, first),
        (system, first, Message("assistant", "answer 1"), second),
    ]
    assert row.turns == ("answer 1", "answer 2")
    assert row.finish == ("stop", "stop")
    assert row.usage == (Usage(10, 5), Usage(10, 5))
    assert (row.item, row.benchmark, row.category, row.snapshot) == ("7", "b", "math", "scripted-1")
    assert row.created > 0
    assert row.error is None
    assert rows(path) == [row]
    assert path.read_bytes().count(b"\n") == 2  # each turn was stored when it arrived


@pytest.mark.parametrize("first", ["", " \n", "<think>hm</think>"])
def test_an_empty_first_answer_is_sent_back_in_words_and_stored_as_it_was(path, first):
    """Providers reject an empty message of an assistant: the whole item would be lost for the second turn."""
    me = model(Completion(first, "stop", Usage(10, 0)))
    row = answered(me, path)
    if "think" in first:
        assert (row.error and row.error.kind, len(me.backend.requests)) == ("truncated", 1)
        return
    assert [message.content for message in me.backend.requests[1].messages] == [ITEM.turns[0], NO_ANSWER, ITEM.turns[1]]
    assert (row.turns, row.error) == ((first, "answer 2"), None)


def test_an_empty_answer_in_a_given_history_is_sent_alike(path):
    told = (ChatTurn("user", "Hi"), ChatTurn("assistant", ""))
    me = model()
    answered(me, path, replace(ITEM, messages=told, turns=("Go on.",)))
    assert [message.content for message in me.backend.requests[0].messages] == ["Hi", NO_ANSWER, "Go on."]


def sampling_of(item=ITEM, generation=POLICY, sample=0, **fields):
    return Candidate.of(model(**fields), generation).sampling(item, sample)


def test_temperature_goes_by_category():
    assert sampling_of() == Sampling(temperature=0.0, max_tokens=100)
    assert sampling_of(replace(ITEM, category="writing")) == Sampling(temperature=0.7, max_tokens=100)
    assert sampling_of(replace(ITEM, category="other")) == Sampling(max_tokens=100)
    assert sampling_of(generation=Generation(max_tokens=9, temperature=0.3)) == Sampling(temperature=0.3, max_tokens=9)
    assert sampling_of(generation=Generation(max_tokens=9)) == Sampling(max_tokens=9)


def test_the_models_own_setting_wins():
    assert sampling_of(sampling=Sampling(temperature=0.9)) == Sampling(temperature=0.9, max_tokens=100)
    own = Sampling(temperature=0.0, max_tokens=7, top_p=0.5, stop=("x",), extra={"top_k": 5})
    assert sampling_of(replace(ITEM, category="writing"), sampling=own) == own


def test_what_is_unsupported_is_never_sent(path):
    me = model(unsupported=("temperature", "top_p"), sampling=Sampling(temperature=0.5, top_p=0.5))
    row = answered(me, path)
    assert {request.sampling for request in map(hashable, me.backend.requests)} == {"{'max_tokens': 100}"}
    assert row.sampling == {"max_tokens": 100}


def hashable(request):
    return replace(request, sampling=str(request.sampling.sent()))


def test_what_was_sent_is_recorded(path):
    assert answered(model(), path).sampling == {"temperature": 0.0, "max_tokens": 100}


def test_further_samples_have_keys_and_seeds_of_their_own():
    candidate = Candidate.of(model(sampling=Sampling(seed=5)), POLICY)
    assert [candidate.sampling(ITEM, sample).seed for sample in range(3)] == [5, 6, 7]
    assert len({candidate.begin(ITEM, sample).key for sample in range(3)}) == 3


# When old rows count.


def key(item=ITEM, generation=POLICY, **fields):
    return Candidate.of(model(**fields), generation).begin(item).key


def test_a_key_covers_whatever_changes_the_text():
    keys = [
        key(),
        key(replace(ITEM, id="8")),
        key(replace(ITEM, turns=("What is 2+3?", "Double it."))),
        key(generation=replace(POLICY, max_tokens=101)),
        key(generation=replace(POLICY, temperature=0.1)),
        key(sampling=Sampling(temperature=0.2)),
        key(sampling=Sampling(extra={"top_k": 1})),
        key(system_prompt="Be brief."),
        other_model(),
    ]
    assert len(set(keys)) == len(keys)


def other_model():
    other = model()
    other.backend.model = "another"
    return Candidate.of(other, POLICY).begin(ITEM).key


def test_a_key_covers_nothing_else():
    noted = replace(ITEM, reference=("4", "8"), meta={"source": "x"}, category="math")
    priced = {"price": "free", "family": "gpt-4", "trained_on": ("a",)}
    assert key(noted) == key(**priced) == key()


def test_a_finished_item_is_not_asked_again(path):
    first = answered(model(), path)
    again = model()
    assert answered(again, path) == first
    assert again.backend.requests == []
    assert len(rows(path)) == 1


def test_a_partial_row_is_picked_up_after_its_last_turn(path):
    answered(model(), path)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])  # killed after turn 1
    me = model(Completion("the rest", "length", Usage(20, 7), model="scripted-2"))
    row = answered(me, path, price=Price(input=1.0, output=1.0))
    assert [request.messages[1].content for request in me.backend.requests] == ["answer 1"]
    assert row.turns == ("answer 1", "the rest")
    assert row.finish == ("stop", "length")
    assert row.usage == (Usage(10, 5), Usage(20, 7))
    assert row.snapshot == "scripted-2"
    assert row.cost is None  # what turn 1 cost is not known
    assert rows(path) == [row]


def test_cost_is_the_sum_of_turns(path):
    assert answered(model(), path, price=Price(input=1e6, output=2e6)).cost == pytest.approx(2 * 20.0)


def test_cost_is_unknown_without_a_price(path):
    assert answered(model(), path).cost is None


# Failures.

FAULTS = {
    "refused": REFUSED,
    "rejected": Rejected("400 too long"),
    "malformed": Malformed("what?", body="<html>"),
    "transport": Transport("500"),
}


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_failure_ends_the_item_and_keeps_what_was_answered(path, kind, turn):
    me = model(*[None] * (turn - 1), FAULTS[kind])
    row = answered(me, path)
    assert row.error.kind == kind
    assert row.turns == ("answer 1",) * (turn - 1)
    assert len(row.turns) == len(row.finish)
    assert len(me.backend.requests) == turn
    assert rows(path) == [row]


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("kind", FAULTS)
def test_transport_failures_are_asked_again_and_only_they(path, kind, turn):
    failed = answered(model(*[None] * (turn - 1), FAULTS[kind]), path)
    me = model()
    row = answered(me, path)
    if kind != "transport":
        assert row == failed
        assert me.backend.requests == []
        return
    assert row.error is None
    assert len(row.turns) == 2
    assert len(me.backend.requests) == 3 - turn  # the answered turn is not asked again
    assert rows(path) == [row]


def test_other_failures_are_asked_again_on_demand(path):
    answered(model(None, REFUSED), path, price=Price(input=1e6, output=0.0))
    assert answered(model(), path, ask_again=frozenset({"malformed"})).error.kind == "refused"
    row = answered(model(), path, ask_again=frozenset({"refused"}), price=Price(input=1e6, output=0.0))
    assert row.error is None
    assert row.turns == ("answer 1", "answer 1")
    assert row.cost == pytest.approx(10 + 5 + 10)  # the refusal was paid for too


def test_the_row_says_what_went_wrong(path):
    assert "cannot" in answered(model(REFUSED), path).error.message
    assert "<html>" in answered(model(FAULTS["malformed"]), path.with_name("2")).error.message


def test_a_wrong_configuration_leaves_no_row(path):
    with pytest.raises(Misconfigured):
        answered(model(Misconfigured("no key")), path)
    assert not path.exists()


def test_an_empty_or_cut_answer_is_an_answer(path):
    row = answered(model(Completion("", "stop"), Completion("cut", "length")), path)
    assert (row.turns, row.finish, row.error) == (("", "cut"), ("stop", "length"), None)
    assert answered(model(), path) == row


def test_a_rejected_field_that_is_then_left_out_is_asked_anew(path):
    answered(model(Rejected("400 unsupported value: temperature")), path)
    row = answered(model(unsupported=("temperature",)), path)
    assert row.error is None


def test_what_comes_with_a_question_stands_before_it():
    """System prompts as one, the history as it was, a tool's result as text, and no two messages of one role."""
    item = Item(
        id="1",
        benchmark="b",
        category="c",
        turns=("And tomorrow?",),
        system="Be brief.",
        messages=(
            ChatTurn("user", "Weather?"),
            ChatTurn("assistant", "[calls weather]"),
            ChatTurn("tool", "rain"),
            ChatTurn("user", "Well?"),
        ),
    )
    model = Model(name="m", backend=Fake(), system_prompt="You are kind.")
    request = Candidate.of(model, Generation(max_tokens=9)).request(item, ())
    assert [(message.role, message.content) for message in request.messages] == [
        ("system", "You are kind.\n\nBe brief."),
        ("user", "Weather?"),
        ("assistant", "[calls weather]"),
        ("user", "[tool result]\nrain\n\nWell?\n\nAnd tomorrow?"),
    ]


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_answer_has_words_in_the_history(empty):
    request = Candidate.of(model(), POLICY).request(ITEM, (empty,))
    assert [message.content for message in request.messages if message.role == "assistant"] == ["(no answer)"]
