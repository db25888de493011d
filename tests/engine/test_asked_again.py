"""A rejected request is asked again when something else would be sent; what was answered never is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from evalkit.backends.anthropic import Anthropic
from evalkit.backends.openai import OpenAI
from evalkit.backends.servers import Servers
from evalkit.core.protocols import Case, Judge, Message, Model, Rejected, Sampling, placed
from evalkit.core.schema import Item, Judgment
from evalkit.datasets.benchmark import Generation
from evalkit.engine.generate import ASK_AGAIN, Candidate, failure, final
from evalkit.engine.judge import JudgeRunner
from evalkit.judges.single import Single
from evalkit.storage.store import Log

ITEM = Item(id="7", benchmark="b", category="math", turns=("one?",))
BEFORE = {"model": "m", "base_url": "http://localhost:1/v1"}


def candidate(backend, **fields):
    return Candidate.of(Model(name="me", backend=backend, **fields), Generation(max_tokens=9))


def rejected(one):
    return replace(one.begin(ITEM), error=failure(Rejected("set model.NAME.x"), one.model))


@pytest.mark.parametrize(
    "changed",
    [
        {"max_tokens_field": "max_completion_tokens"},
        {"headers": {"X-Team": "evals"}},
        {"base_url": "http://localhost:2/v1"},
        {"base_url": "http://localhost:1/v1?api-version=2"},
        {"api_key_env": "MY_KEY"},
    ],
    ids=str,
)
def test_a_change_of_what_is_sent_asks_a_rejected_request_again(changed):
    before, after = candidate(OpenAI(**BEFORE)), candidate(OpenAI(**{**BEFORE, **changed}))
    row = rejected(before)
    assert row.error.message == "set model.me.x"
    assert final(row, ITEM, before, ASK_AGAIN)
    assert not final(row, ITEM, after, ASK_AGAIN)
    answered = replace(before.begin(ITEM), turns=("yes",))
    assert final(answered, ITEM, after, ASK_AGAIN), "what was paid for stays"


def test_time_outs_and_concurrency_change_nothing_that_is_sent():
    before = candidate(OpenAI(**BEFORE))
    assert final(rejected(before), ITEM, candidate(OpenAI(**BEFORE, timeout=3, concurrency=2)), ASK_AGAIN)


def test_other_kinds_of_backends():
    for kind in (Anthropic, OpenAI):
        before, after = candidate(kind(model="m")), candidate(kind(model="m", headers={"X-A": "1"}))
        assert not final(rejected(before), ITEM, after, ASK_AGAIN)
    servers = [
        candidate(Servers(servers=(OpenAI(**BEFORE), OpenAI(**BEFORE, **more))))
        for more in ({}, {"headers": {"X": "1"}})
    ]
    assert not final(rejected(servers[0]), ITEM, servers[1], ASK_AGAIN)
    other = candidate(OpenAI(**BEFORE), system_role="user")
    assert other.ref != candidate(OpenAI(**BEFORE)).ref
    assert other.begin(ITEM).key != candidate(OpenAI(**BEFORE)).begin(ITEM).key


def test_a_row_of_before_is_asked_once_more():
    """Rows that do not say what was sent: nobody pays for a rejected request."""
    one = candidate(OpenAI(**BEFORE))
    row = rejected(one)
    assert not final(replace(row, error=replace(row.error, wire=None)), ITEM, one, ASK_AGAIN)


SYSTEM, MORE, ASK, REPLY = (
    Message("system", "Be fair."),
    Message("system", "Be brief."),
    Message("user", "hi"),
    Message("assistant", "ho"),
)


@pytest.mark.parametrize(
    ("messages", "where", "expected"),
    [
        ((SYSTEM, ASK), "system", (SYSTEM, ASK)),
        ((SYSTEM, MORE, ASK), "system", (Message("system", "Be fair.\n\nBe brief."), ASK)),
        ((Message("system", " \n"), ASK), "system", (ASK,)),
        ((Message("system", ""), MORE, ASK), "system", (MORE, ASK)),
        ((SYSTEM, ASK, REPLY, ASK), "user", (Message("user", "Be fair.\n\nhi"), REPLY, ASK)),
        ((SYSTEM, MORE, ASK), "user", (Message("user", "Be fair.\n\nBe brief.\n\nhi"),)),
        ((ASK,), "user", (ASK,)),
        ((SYSTEM,), "user", (SYSTEM,)),
    ],
)
def test_where_system_text_goes(messages, where, expected):
    assert placed(messages, where) == expected


def test_a_models_own_system_prompt_comes_first():
    model = Model(name="me", backend=OpenAI(model="m"), system_prompt="I am I.", sampling=Sampling())
    assert model.prompt((SYSTEM, ASK)) == (Message("system", "I am I.\n\nBe fair."), ASK)


def test_a_judges_rejected_request_is_asked_again_likewise(tmp_path):
    def runner(**more):
        model = Model(name="j", backend=OpenAI(**BEFORE, **more))
        return JudgeRunner(Judge("j", model, Single()), None, Log(tmp_path / "j.jsonl", Judgment))  # type: ignore[arg-type]

    response = replace(candidate(OpenAI(**BEFORE)).begin(ITEM), turns=("yes",), finish=("stop",))
    case, before = Case(ITEM, 1, (response,)), runner()
    request = before.request(case)
    key = before.key(case, request)
    row = before.record(key, case, request, Rejected("judge.NAME.protocols.PROTOCOL.prefill="))
    assert row.error.message == "judge.j.protocols.single.prefill="
    assert before.has(key)
    after = runner(max_tokens_field="max_completion_tokens")
    assert after.key(case, after.request(case)) == key
    assert not after.has(key)
    assert after.stored(key, case, request) is None
