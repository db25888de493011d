"""The SDK backends beyond the contract: where keys go, what errors mean, what is sent, what is read."""

from __future__ import annotations

import asyncio
import math
import socket

import pytest

from evalkit.backends import anthropic as anthropic_backend
from evalkit.backends import openai as openai_backend
from evalkit.backends.anthropic import Anthropic
from evalkit.backends.openai import OpenAI
from evalkit.backends.provider import clean, resolve
from evalkit.core.protocols import (
    Completion,
    EvalkitError,
    Malformed,
    Message,
    Misconfigured,
    Rejected,
    Request,
    Sampling,
)
from evalkit.core.protocols import Transport as TransportError
from tests.fault_server import FaultServer

SECRET = "sk-test-0123456789abcdef"
BOTH = pytest.mark.parametrize("kind", [OpenAI, Anthropic])


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for vendor in ("OPENAI", "ANTHROPIC"):
        for name in ("API_KEY", "BASE_URL", "CUSTOM_HEADERS", "ORG_ID", "AUTH_TOKEN", "ADMIN_KEY"):
            monkeypatch.delenv(f"{vendor}_{name}", raising=False)


@pytest.fixture(scope="module")
def server():
    with FaultServer() as running:
        yield running


def made(kind, server, path="", **fields):
    return kind(model="m", base_url=f"{server.url}{path}{'/v1' if kind is OpenAI else ''}", **fields)


def say(*contents, system=None, **sampling):
    first = () if system is None else (Message("system", system),)
    turns = tuple(Message(("user", "assistant")[index % 2], text) for index, text in enumerate(contents))
    return Request(first + turns, Sampling(**sampling))


def ask(backend, request=None):
    async def run():
        await backend.open()
        try:
            return await backend.complete(request or say("hi"))
        except EvalkitError as error:
            return error
        finally:
            await backend.close()

    return asyncio.run(run())


def do(kind, server, situation, **fields):
    return ask(made(kind, server, f"/do/{situation}", **fields))


# Keys.


@BOTH
def test_a_vendor_key_never_leaves_for_another_host(kind, server, monkeypatch):
    for vendor in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{vendor}_API_KEY", SECRET)
        monkeypatch.setenv(f"{vendor}_CUSTOM_HEADERS", f"Authorization: Bearer {SECRET}\nX-Gateway: {SECRET}")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", SECRET)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", SECRET)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    assert isinstance(ask(made(kind, server)), Completion)
    sent = str(server.seen[-1])
    assert SECRET not in sent
    assert "org-mine" not in sent


@BOTH
def test_another_host_gets_the_variable_named_for_it(kind, server, monkeypatch):
    monkeypatch.setenv("MY_GATEWAY_KEY", f"{SECRET}\n")  # as `$(cat file)`'s careless cousins leave it
    backend = made(kind, server, api_key_env="MY_GATEWAY_KEY")
    assert isinstance(ask(backend), Completion)
    assert SECRET in str(server.seen[-1]["headers"])
    assert SECRET not in repr(backend)
    assert SECRET not in str(backend.identity())


def test_the_sdks_own_variable_counts_as_another_host_too(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    backend = OpenAI(model="m")
    assert isinstance(ask(backend), Completion)
    assert SECRET not in str(server.seen[-1])
    assert backend.identity() == {"model": "m", "provider": "self-hosted"}


@pytest.mark.parametrize(
    ("url", "own"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com.evil.com/v1", False),
        ("https://evilapi.openai.com.co/v1", False),
        ("https://xapi.openai.com/v1", False),
        ("https://evil.com/api.openai.com", False),
        ("https://openrouter.ai/api/v1", False),
    ],
)
def test_who_is_the_vendor(url, own, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    endpoint = resolve(openai_backend.VENDOR, url, None)
    assert endpoint.own is own
    assert endpoint.key == (SECRET if own else "none")
    assert SECRET not in repr(endpoint)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com@evil.com/v1",
        "https://evil.com\\.api.openai.com/v1",
        "localhost:8000",
        "ftp://x",
        "https://",
        "é",
    ],
)
def test_what_is_no_url(url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pytest.raises(Misconfigured, match="base_url"):
        resolve(openai_backend.VENDOR, url, None)


def test_a_missing_key_says_what_to_set_and_what_needs_none():
    for backend, variable in ((OpenAI(model="m"), "OPENAI_API_KEY"), (Anthropic(model="m"), "ANTHROPIC_API_KEY")):
        with pytest.raises(Misconfigured, match=f"(?s){variable}.*model=smollm2"):
            asyncio.run(backend.open())
    with pytest.raises(Misconfigured, match="NOT_SET_ANYWHERE"):
        asyncio.run(OpenAI(model="m", base_url="http://x/v1", api_key_env="NOT_SET_ANYWHERE").open())


def test_an_unsendable_key_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\n{SECRET}")
    with pytest.raises(Misconfigured) as caught:
        asyncio.run(OpenAI(model="m").open())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "api-key", "Cookie", "X-Auth-Token"])
def test_credentials_are_refused_among_the_configured_headers(name):
    with pytest.raises(Misconfigured, match="api_key_env"):
        asyncio.run(OpenAI(model="m", base_url="http://x/v1", headers={name: SECRET}).open())


@BOTH
@pytest.mark.parametrize("situation", ["echo", "echo200"])
def test_an_echoed_key_is_not_passed_on(kind, situation, server, monkeypatch):
    monkeypatch.setenv("MY_GATEWAY_KEY", SECRET)
    error = do(kind, server, situation, api_key_env="MY_GATEWAY_KEY")
    assert isinstance(error, Misconfigured if situation == "echo" else Malformed)
    assert SECRET not in f"{error}{error!r}{vars(error)}{error.__cause__!r}"
    assert "MY_GATEWAY_KEY" in str(error) or situation == "echo200"


def test_passwords_do_not_belong_in_urls():
    backend = OpenAI(model="m", base_url=f"http://me:{SECRET}@127.0.0.1:1/v1")
    with pytest.raises(Misconfigured, match="api_key_env") as caught:
        asyncio.run(backend.open())
    assert SECRET not in f"{caught.value}{backend.identity()}"


# Errors.


@BOTH
@pytest.mark.parametrize(
    ("situation", "error"),
    [
        *((status, TransportError) for status in ("408", "409", "429", "500", "502", "503", "529")),
        *((status, Rejected) for status in ("400", "413", "422", "temperature")),
        *((status, Misconfigured) for status in ("401", "403", "404", "quota", "credit", "redirect")),
        *((fault, TransportError) for fault in ("reset", "cut", "nothing", "deep", "truncated")),
        *((fault, Malformed) for fault in ("garbage", "json")),
    ],
)
def test_errors_say_who_must_act(kind, situation, error, server):
    found = do(kind, server, situation)
    assert type(found) is error
    assert str(found).isprintable()
    assert len(str(found)) < 700


def test_retry_after(server):
    assert do(OpenAI, server, "429").retry_after == 7.0
    assert do(OpenAI, server, "429-ms").retry_after == 0.25
    assert 50 < do(OpenAI, server, "429-date").retry_after <= 61
    assert do(OpenAI, server, "500").retry_after is None


@BOTH
@pytest.mark.parametrize("situation", ["401", "403"])
def test_a_refusal_speaks_of_the_key_that_was_sent(kind, situation, server, monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_GATEWAY_KEY"):
        monkeypatch.setenv(name, SECRET)
    assert "check the key in MY_GATEWAY_KEY" in str(do(kind, server, situation, api_key_env="MY_GATEWAY_KEY"))
    without = str(do(kind, server, situation))
    assert "it was sent no key" in without
    assert "backend.api_key_env=" in without
    assert "_API_KEY" not in without


def test_messages_name_what_to_do(server):
    assert "model 'm' not found at http://127.0.0.1" in str(do(OpenAI, server, "404"))
    assert "credit" in str(do(Anthropic, server, "credit"))
    assert "`unsupported`" in str(do(OpenAI, server, "temperature"))
    assert "elsewhere.invalid" in str(do(OpenAI, server, "redirect"))


@BOTH
def test_nobody_listening(kind):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = ask(kind(model="m", base_url=f"http://127.0.0.1:{port}/v1"))
    assert isinstance(error, TransportError)
    assert str(port) in str(error)


@BOTH
def test_one_connection_serves_many_requests(kind):
    """On the SDK's fastest transport; and as many as are in flight at once."""
    with FaultServer() as server:
        backend = made(kind, server)

        async def run():
            await backend.open()
            for _ in range(10):
                await backend.complete(say("hi"))
            one_by_one = len({seen["port"] for seen in server.seen})
            for _ in range(5):
                await asyncio.gather(*(backend.complete(say("hi")) for _ in range(8)))
            transport = type(backend._client._client._transport).__module__
            await backend.close()
            return one_by_one, transport

        one_by_one, transport = asyncio.run(run())
        assert one_by_one == 1
        assert len({seen["port"] for seen in server.seen}) <= 8
        assert "aiohttp" in transport


def test_the_sdks_own_timeout(server):
    error = do(OpenAI, server, "timeout", timeout=0.2)
    assert isinstance(error, TransportError)


@BOTH
def test_a_content_filter_is_a_refusal(kind, server):
    completion = do(kind, server, "filter")
    assert isinstance(completion, Completion)
    assert completion.finish == "refusal"


def test_an_error_object_with_status_200(server):
    assert isinstance(do(OpenAI, server, "error200"), TransportError)


def test_clean_keeps_one_printable_line():
    assert clean("a\x1b[31m\nb\u202e\ud800c") == "a [31m b c"
    assert len(clean("x" * 1000)) == 300


# What is sent.


def test_openai_sends_only_what_is_set(server):
    ask(made(OpenAI, server))
    assert server.seen[-1]["body"] == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    sampling = {"temperature": 0.0, "top_p": 0.5, "max_tokens": 9, "seed": 1, "stop": ("x",), "top_logprobs": 5}
    ask(made(OpenAI, server), say("hi", **sampling, extra={"reasoning_effort": "low"}))
    sent = server.seen[-1]["body"]
    del sent["model"], sent["messages"]
    assert sent == sampling | {"stop": ["x"], "logprobs": True, "reasoning_effort": "low"}
    ask(made(OpenAI, server, max_tokens_field="max_completion_tokens"), say("hi", max_tokens=9))
    assert server.seen[-1]["body"]["max_completion_tokens"] == 9
    ask(made(OpenAI, server, headers={"X-Team": "evals"}))
    assert server.seen[-1]["headers"]["X-Team"] == "evals"


def test_anthropic_sends_only_what_is_set(server):
    ask(made(Anthropic, server), say("hi", system="Be brief."))
    assert server.seen[-1]["body"] == {
        "model": "m",
        "max_tokens": anthropic_backend.MAX_TOKENS,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}],
    }
    ask(made(Anthropic, server), say("hi", "[[", temperature=0.5, max_tokens=9, stop=("x",), extra={"top_k": 1}))
    sent = server.seen[-1]["body"]
    assert sent.pop("messages")[-1] == {"role": "assistant", "content": "[["}
    assert sent == {"model": "m", "max_tokens": 9, "temperature": 0.5, "stop_sequences": ["x"], "top_k": 1}
    assert server.seen[-1]["path"].endswith("/v1/messages")


def test_anthropic_says_what_it_cannot_do(server):
    error = ask(made(Anthropic, server), say("hi", top_logprobs=5))
    assert "no log-probabilities; judge by text, protocol.scoring=text" in str(error)
    assert "seed" in str(ask(made(Anthropic, server), say("hi", seed=1)))


@BOTH
@pytest.mark.parametrize("field", ["stream", "n", "model", "messages"])
def test_extra_cannot_change_the_shape_of_the_answer(kind, field, server):
    error = ask(made(kind, server), say("hi", extra={field: 2}))
    assert isinstance(error, Misconfigured)
    assert field in str(error)


@BOTH
def test_lone_surrogates_in_prompts_are_replaced(kind, server):
    assert isinstance(ask(made(kind, server), say("half \ud83d pair")), Completion)
    assert server.seen[-1]["body"]["messages"][0]["content"] == "half \ufffd pair"


# What is read.


@BOTH
@pytest.mark.parametrize("oddity", ["control", "latin1", "odd", "float"])
def test_a_paid_answer_is_never_lost(kind, oddity, server):
    completion = do(kind, server, oddity)
    assert isinstance(completion, Completion), completion
    assert completion.text.startswith("Rat")
    completion.text.encode()


def test_logprobs_merge_tokens_that_spell_the_same(server):
    completion = ask(made(OpenAI, server), say("hi", top_logprobs=5))
    (token,) = completion.logprobs
    assert token["7"] == pytest.approx(math.log(math.exp(-1.0) + math.exp(-2.0)))
    assert token["8"] == -1.2
    assert list(token) == ["7", "8", "9"]


def test_usage_of_anthropic_counts_the_cache(server):
    usage = ask(made(Anthropic, server)).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (500, 5, 200)


def test_public_providers_are_told_apart_and_own_servers_are_not():
    def identity(url):
        return OpenAI(model="m", base_url=url).identity()

    assert identity(None) == identity("https://eu.api.openai.com/v1") == {"model": "m"}
    assert identity("https://openrouter.ai/api/v1") != identity("https://api.together.xyz/v1")
    own = [f"http://{host}:{port}/v1" for host in ("localhost", "node7", "10.0.0.3", "[::1]") for port in (1, 2)]
    assert len({str(identity(url)) for url in own}) == 1


# Gateways: queries, Azure's key, proxies.


@BOTH
def test_the_query_of_a_base_url_goes_along(kind, server):
    ask(kind(model="m", base_url=f"{server.url}{'/v1' if kind is OpenAI else ''}?api-version=2024-06-01&team=a%20b"))
    path = server.seen[-1]["path"]
    assert path.split("?")[0].endswith("/chat/completions" if kind is OpenAI else "/v1/messages")
    assert path.count("/v1") == 1
    assert "api-version=2024-06-01" in path
    assert "team=a" in path


@BOTH
def test_a_proxy_before_this_machine_is_named(kind, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    told = str(ask(kind(model="m", base_url="http://127.0.0.1:9/v1")))
    assert f"through the proxy 127.0.0.1:{port} of the environment; NO_PROXY=127.0.0.1 goes past it" in told
    monkeypatch.setenv("http_proxy", f"http://user:{SECRET}@127.0.0.1:{port}")
    assert SECRET not in resolve(openai_backend.VENDOR, "http://127.0.0.1:9/v1", None).reached
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "proxy" not in str(ask(kind(model="m", base_url="http://127.0.0.1:9/v1")))
