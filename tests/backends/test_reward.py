"""Reward models behind a server: each server's documented requests and answers, over real HTTP, and what is refused."""

from __future__ import annotations

import asyncio
import json

import pytest

from evalkit.backends import reward_wire
from evalkit.backends.reward import RewardServer
from evalkit.core.protocols import EvalkitError, Malformed, Message, Misconfigured, Rejected, Request, Transport
from tests.reward_server import RewardLoopback, quality

ASKED, ANSWER = "What is 2+2?", "It is four, as everybody knows."
CONVERSATION = Request((Message("user", ASKED), Message("assistant", ANSWER)))
TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
APIS = sorted(reward_wire.PATHS)


@pytest.fixture(scope="module")
def server():
    with RewardLoopback() as running:
        yield running


@pytest.fixture(autouse=True)
def forget(server):
    server.seen.clear()
    server.script.clear()
    server.raw.clear()


def ask(server, request=CONVERSATION, **fields):
    backend = RewardServer(model="org/reward-1", base_url=server.url, **fields)

    async def run():
        await backend.open()
        try:
            return await backend.complete(request)
        finally:
            await backend.close()

    return asyncio.run(run())


def fields_of(api, tmp_path):
    """What a server needs that renders nothing."""
    if api != "sglang-classify":
        return {"api": api}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, "bos_token": "<s>"}))
    return {"api": api, "tokenizer": str(tmp_path)}


@pytest.mark.parametrize("api", APIS)
def test_each_server_is_asked_in_its_own_words_and_answers_with_numbers(server, api, tmp_path):
    completion = ask(server, **fields_of(api, tmp_path))
    numbers = json.loads(completion.text)
    if api == "vllm-pooling":
        assert numbers == [[pytest.approx(6 / 7), pytest.approx(1 / 7)]]
    elif api == "sglang-classify":
        assert numbers == [quality("", f"<user>{ASKED}\n<assistant>{ANSWER}")]
    else:
        assert numbers == [quality(ASKED, ANSWER)]
    assert completion.usage.prompt_tokens == 12
    assert completion.usage.completion_tokens == 0
    (seen,) = server.seen
    assert seen["path"] == reward_wire.PATHS[api]
    assert "Authorization" not in seen["headers"]
    body = seen["body"]
    match api:
        case "vllm-classify" | "vllm-pooling":
            assert body["messages"] == [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWER}]
            assert body["use_activation"] is False
        case "vllm-score":
            assert (body["text_1"], body["text_2"]) == (ASKED, ANSWER)
        case "tei-predict":
            assert body == {"inputs": [ASKED, ANSWER], "raw_scores": True, "truncate": False}
        case "tei-rerank":
            assert body == {"query": ASKED, "texts": [ANSWER], "raw_scores": True, "truncate": False}
        case "sglang-classify":
            assert body["text"] == f"<user>{ASKED}\n<assistant>{ANSWER}\n", "the tokenizer there writes <s> itself"


def test_a_longer_conversation_is_one_text_for_models_that_read_two():
    messages = (
        *(Message("system", "Be brief."), Message("user", "One?"), Message("assistant", "1")),
        *(Message("user", "Two?"), Message("assistant", "2")),
    )
    assert reward_wire.pair(messages) == ("System: Be brief.\n\nUser: One?\n\nAssistant: 1\n\nUser: Two?", "2")


def test_a_template_of_ones_own_is_rendered_here(server, tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text(TEMPLATE)
    ask(server, chat_template=str(path))
    ask(server, api="tei-predict", chat_template=TEMPLATE)
    assert server.seen[0]["body"]["input"] == f"<user>{ASKED}\n<assistant>{ANSWER}\n"
    assert "messages" not in server.seen[0]["body"]
    assert server.seen[1]["body"]["inputs"] == f"<user>{ASKED}\n<assistant>{ANSWER}\n"


def test_the_address_may_hold_the_path_of_the_call_and_its_query(server):
    backend = RewardServer(model="m", base_url=f"{server.url}/v1/classify?version=3")

    async def run():
        await backend.open()
        try:
            await backend.complete(CONVERSATION)
        finally:
            await backend.close()

    asyncio.run(run())
    assert server.seen[0]["path"] == "/classify?version=3"


def test_a_key_is_sent_by_the_variable_that_is_named_and_by_no_other(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-you")
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    ask(server)
    ask(server, api_key_env="MY_KEY")
    assert "Authorization" not in server.seen[0]["headers"]
    assert server.seen[1]["headers"]["Authorization"] == "Bearer secret-of-mine"


CHAT = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "I rate it [[7]]"}}]}'
BAD = [
    ("vllm-classify", CHAT, "answered with text"),
    ("vllm-score", CHAT, "answered with text"),
    ("sglang-classify", CHAT, "answered with text"),
    ("vllm-classify", b"Rating: [[7]]", "no JSON"),
    ("vllm-classify", b"7", "no field 'data'"),
    ("vllm-classify", b'{"data": [{"index": 0, "probs": [NaN], "num_classes": 1}]}', "NaN"),
    ("vllm-classify", b'{"data": [{"index": 0, "probs": [null], "num_classes": 1}]}', "no number"),
    ("vllm-classify", b'{"data": [{"index": 0, "probs": ["7"], "num_classes": 1}]}', "no number"),
    ("vllm-classify", b'{"data": [{"index": 0, "probs": [true], "num_classes": 1}]}', "no number"),
    ("vllm-classify", b'{"data": [{"index": 0, "probs": [], "num_classes": 0}]}', "no list of numbers"),
    ("vllm-classify", b'{"data": []}', "holds 0"),
    ("vllm-classify", b'{"data": [{"probs": [1.0]}, {"probs": [2.0]}]}', "holds 2"),
    ("vllm-score", b'{"data": [{"score": -Infinity}]}', "NaN"),
    ("vllm-score", b'{"data": [{"score": 1%s}]}' % (b"0" * 400), ""),
    ("vllm-score", b'{"data": [{"score": 1e999}]}', ""),
    ("vllm-pooling", b'{"data": [{"data": "AAAA"}]}', "no list of numbers"),
    ("vllm-pooling", b'{"data": [{"data": [[0.1], ["x"]]}]}', "no number"),
    ("tei-predict", b"[]", "no list of labels"),
    ("tei-predict", b'[{"label": "A", "score": 1.0}, {"label": "A", "score": 2.0}]', "twice"),
    ("tei-rerank", b'[{"index": 0, "score": 1.0}, {"index": 1, "score": 0.5}]', "holds 2"),
    ("tei-rerank", b'{"error": "no"}', "no list"),
    ("sglang-classify", b'[{"embedding": [1.0]}, {"embedding": [2.0]}]', "holds 2"),
    ("sglang-classify", b'{"embedding": {"0": 1.0}}', "no list of numbers"),
    ("sglang-classify", b"[" * 100_000, "no JSON"),
]


@pytest.mark.parametrize(("api", "body", "says"), BAD, ids=[f"{api} {body[:40]!r}" for api, body, _ in BAD])
def test_what_is_no_score_is_malformed_and_kept(server, api, body, says, tmp_path):
    server.raw["odd"] = body
    server.provoke("odd")
    with pytest.raises(Malformed) as raised:
        ask(server, **fields_of(api, tmp_path))
    assert says in str(raised.value)
    assert str(raised.value).isprintable()
    assert raised.value.body == body[:2000].decode()


@pytest.mark.parametrize(
    ("situation", "kind", "says"),
    [
        ("400", Rejected, "longer than this model reads"),
        ("413", Rejected, "longer than this model reads"),
        ("424", Transport, "Inference failed"),
        ("overloaded", Transport, "overloaded"),
        ("500", Transport, "500"),
        ("generative", Misconfigured, "--runner pooling"),
        ("unsupported", Misconfigured, "--runner pooling"),
        ("not-embedding", Misconfigured, "check backend.api"),
        ("not-a-classifier", Misconfigured, "check backend.api"),
        ("no-such-model", Misconfigured, "'org/reward-1' not found"),
        ("old", Misconfigured, "backend.chat_template=FILE"),
        ("system", Rejected, "system_role=user"),
        ("401", Misconfigured, "api_key_env"),
    ],
)
def test_errors_say_who_must_do_what(server, situation, kind, says):
    server.provoke(situation)
    with pytest.raises(EvalkitError) as raised:
        ask(server)
    assert type(raised.value) is kind
    assert says in str(raised.value)


def test_a_server_that_is_not_there_may_come_back():
    backend = RewardServer(model="m", base_url="http://127.0.0.1:9")

    async def run():
        await backend.open()
        try:
            await backend.complete(CONVERSATION)
        finally:
            await backend.close()

    with pytest.raises(Transport) as raised:
        asyncio.run(run())
    assert raised.value.unreachable


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"api": "tei-rerank", "chat_template": TEMPLATE}, "which no template joins"),
        ({"chat_template": "nowhere.jinja"}, "cannot be read"),
        ({"headers": {"Authorization": "x"}}, "api_key_env"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_sent(server, fields, says):
    with pytest.raises(Misconfigured) as raised:
        ask(server, **fields)
    assert says in str(raised.value)
    assert not server.seen


def test_a_tokenizer_without_a_template_says_so(server, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": {"content": "<s>"}}')
    with pytest.raises(Misconfigured, match="has no chat template"):
        ask(server, api="sglang-classify", tokenizer=str(tmp_path))


def test_templates_are_sandboxed_and_their_refusals_are_of_the_request(server):
    with pytest.raises(Rejected, match="no second turn"):
        ask(server, chat_template="{{ raise_exception('no second turn') }}")
    with pytest.raises(Rejected):
        ask(server, chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(Misconfigured, match="no Jinja"):
        ask(server, chat_template="{% for %}")


def test_who_it_is_depends_on_endpoint_activation_and_template():
    made = [
        RewardServer(model="m"),
        RewardServer(model="m", api="vllm-pooling"),
        RewardServer(model="m", activation=True),
        RewardServer(model="m", chat_template="{{ messages }}"),
        RewardServer(model="m", base_url="https://api.example.com"),
    ]
    assert len({json.dumps(dict(one.identity()), sort_keys=True) for one in made}) == len(made)
    assert RewardServer(model="m", base_url="http://10.0.0.1:9/").identity() == made[0].identity()
