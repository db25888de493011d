"""Replies that are odd beside their text: read as what they are, never as more than that."""

from __future__ import annotations

import json
import math

import pytest

from evalkit.backends import anthropic as anthropic_backend
from evalkit.backends import chat_completions, provider, sdk_batches
from evalkit.backends.anthropic_batches import _AnthropicRow as AnthropicRow
from evalkit.backends.provider import Detail, Endpoint
from evalkit.core.protocols import Completion, Malformed, Message, Misconfigured, Rejected, Request, Transport
from evalkit.core.schema import Failure, Usage
from evalkit.judges.replies import expected
from evalkit.judges.single import DIGITS

REQUEST = Request((Message("user", "q"),))
SECRET = "sk-Zq8/w1E+r9abcdefgh"
WIRES = pytest.mark.parametrize("wire", ["openai", "anthropic"])


def reply(wire, finish, usage=None, **more):
    if wire == "openai":
        choice = {"message": {"content": "[[7]]"}, "finish_reason": finish, **more.pop("choice", {})}
        built = {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 3}, "model": "m"}
    else:
        built = {"content": [{"type": "text", "text": "[[7]]"}], "stop_reason": finish, "model": "m"}
        built["usage"] = {"input_tokens": 5, "output_tokens": 3}
    if usage is not None:
        built["usage"] = usage
    return json.dumps(built | more).encode()


def read(wire, raw, secret=provider.NO_KEY) -> Completion:
    def fail(status, detail, headers=None):
        return provider.http_error(status, detail, where="a server", model="m", key="KEY")

    if wire == "anthropic":
        return anthropic_backend._decode(raw, REQUEST, secret, fail)
    return chat_completions.decode(raw, fail, REQUEST, secret=secret)


CUT = {"openai": "length", "anthropic": "max_tokens"}


@WIRES
@pytest.mark.parametrize("usage", [5.5, "many", [], {"prompt_tokens": 5.5, "input_tokens": 5.5}, math.nan])
@pytest.mark.parametrize("model", ["m", 5, None, {}])
def test_what_is_odd_beside_the_text_hides_no_cut(wire, usage, model):
    completion = read(wire, reply(wire, CUT[wire], usage, model=model))
    assert (completion.text, completion.finish, completion.usage) == ("[[7]]", "length", Usage())


def test_an_odd_log_probability_costs_only_these():
    raw = reply("openai", "length", choice={"logprobs": {"content": [{"token": 5, "logprob": "x"}]}})
    completion = read("openai", raw)
    assert (completion.finish, completion.logprobs, completion.usage) == ("length", None, Usage(5, 3))


@pytest.mark.parametrize(
    ("finish", "means"),
    [
        *((word, "stop") for word in ("stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn", "", None)),
        *((word, "length") for word in ("length", "max_tokens", "MAX_TOKENS", "model_length", "news")),
        *((word, "stop") for word in ("end", "done")),
        *((word, "refusal") for word in ("content_filter", "SAFETY")),
    ],
)
def test_only_who_says_so_has_finished(finish, means):
    assert read("openai", reply("openai", finish)).finish == means


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("finish", ["insufficient_system_resource", "error", "abort", "network_error", "overloaded"])
def test_a_generation_that_broke_off_is_asked_again(wire, finish):
    with pytest.raises(Transport):
        read(wire, reply(wire, finish))


def test_a_choice_with_an_error_broke_off():
    with pytest.raises(Transport):
        read("openai", reply("openai", "stop", choice={"error": {"code": 502, "message": "upstream"}}))


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_what_is_no_answer_says_what_it_is(wire):
    for raw in (b"", b" \n", reply(wire, "stop")[:-9]):
        with pytest.raises(Transport):
            read(wire, raw)
    with pytest.raises(Malformed, match="captive portal"):
        read(wire, b"<!DOCTYPE html><html>Log in</html>")
    with pytest.raises(Transport):
        read(wire, json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}).encode())
    assert read(wire, reply(wire, "news")).reason == "news"


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": "busy, try later"}, Transport),
        ({"error": {"type": "rate_limit_error", "message": "slow down"}}, Transport),
        ({"error": {"code": 503, "message": "busy"}}, Transport),
        ({"error": {"code": "429", "message": "busy"}}, Transport),
        ({"object": "error", "message": "overloaded", "code": 503}, Transport),
        ({"object": "error", "message": "no such parameter", "code": 400}, Rejected),
        ({"error": {"type": "invalid_request_error", "message": "too long"}}, Rejected),
        ({"type": "error", "error": {"type": "authentication_error", "message": "bad key"}}, Misconfigured),
        ({"error": {"code": 401, "message": "bad key"}}, Misconfigured),
        ({"error": {"code": 10**30, "message": "odd"}}, Transport),
        ({"detail": "gone"}, Malformed),
    ],
    ids=str,
)
def test_an_error_with_status_200_is_what_it_says_in_either_format(wire, body, error):
    with pytest.raises(error):
        read(wire, json.dumps(body).encode())


def test_thinking_that_a_server_keeps_apart():
    for name in ("reasoning_content", "reasoning"):
        message = {"content": "A", name: "t"}
        completion = read("openai", reply("openai", "stop", choice={"message": message}))
        assert (completion.text, completion.thinking) == ("A", "t")


@pytest.mark.parametrize(
    ("finish", "means"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), (None, "stop"), ("refusal", "refusal")]
    + [(word, "length") for word in ("max_tokens", "pause_turn", "model_context_window_exceeded", "news")],
)
def test_only_who_says_so_has_finished_with_anthropic_too(finish, means):
    assert read("anthropic", reply("anthropic", finish)).finish == means


@WIRES
@pytest.mark.parametrize("depth", [3_000, 100_000])
def test_what_is_nested_too_deep_is_malformed_and_kept(wire, depth):
    raw = reply(wire, "stop")[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(Malformed) as caught:
        read(wire, raw)
    assert "[[7]]" in caught.value.body


def test_a_row_that_is_nested_too_deep_is_no_row():
    line = b'{"custom_id": "k", "x": ' + b"[" * 3_000 + b"]" * 3_000 + b"}"
    assert sdk_batches.row(line, AnthropicRow) is None
    assert sdk_batches.key_of(line) == "k", "but it is known whose it is"


def test_a_line_that_is_cut_is_nobodys():
    line = b'{"custom_id": "k", "result": {"type": "succeeded"}}'
    assert [sdk_batches.key_of(line[:end]) for end in range(len(line))] == [None] * len(line)
    assert sdk_batches.key_of(line) == "k"
    assert sdk_batches.key_of(b'{"custom_id": "k", "result": 5}') == "k"


@WIRES
@pytest.mark.parametrize("count", [-5_000, 10**12, 2**64, 10**30])
def test_usage_that_cannot_be_is_none(wire, count):
    names = ("prompt_tokens", "completion_tokens") if wire == "openai" else ("input_tokens", "output_tokens")
    assert read(wire, reply(wire, "stop", {names[0]: count, names[1]: 3})).usage == Usage()
    assert read(wire, reply(wire, "stop", {names[0]: 9, names[1]: 3})).usage == Usage(9, 3)


@pytest.mark.parametrize("written", [math.nan, None, -math.inf, math.inf])
def test_without_the_probability_of_what_was_written_there_is_no_mean(written):
    token = {"token": "2", "logprob": written}
    top = [token, {"token": "9", "logprob": -1.5}]
    raw = reply("openai", "stop", choice={"logprobs": {"content": [token | {"top_logprobs": top}]}})
    completion = read("openai", raw)
    assert completion.logprobs is None
    assert isinstance(expected(completion, DIGITS, 0.2, pair=False), Failure)


def test_a_probability_above_one_is_one():
    verdict = expected(Completion("7", logprobs=({"7": 1e308},)), DIGITS, 0.2, pair=False)
    assert verdict.scores == (8.0,)


SPELLINGS = {
    "plain": SECRET,
    "slash": SECRET.replace("/", "\\/"),
    "plus": SECRET.replace("+", "\\u002B"),
    "all": "".join(f"\\u{ord(letter):04x}" for letter in SECRET),
    "some": "".join(letter if index % 3 else f"\\u{ord(letter):04X}" for index, letter in enumerate(SECRET)),
}


@WIRES
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_echoed_key_is_taken_out_however_it_is_spelled(wire, spelling):
    raw = reply(wire, "stop").replace(b"[[7]]", f"[[7]] {SPELLINGS[spelling]} c\\/d".encode())
    raw = raw.replace(b'"m"', f'"m {SPELLINGS[spelling]}"'.encode())
    completion = read(wire, raw, SECRET)
    assert (completion.text, completion.model) == ("[[7]] *** c/d", "m ***")
    with pytest.raises(Malformed) as caught:
        read(wire, b"no JSON, but " + SPELLINGS[spelling].encode(), SECRET)
    assert caught.value.body == "no JSON, but ***"
    assert sdk_batches.no_row(SPELLINGS[spelling].encode(), SECRET).body == "***"


def test_a_redirect_does_not_take_the_key_into_a_message():
    endpoint = Endpoint("http://localhost/v1", SECRET, "JUDGE_AUTH", own=False)
    for echoed in (SECRET, "sk-Zq8%2Fw1E%2Br9abcdefgh"):
        headers = {"location": f"http://elsewhere/?auth={echoed}"}
        error = provider.server_error(endpoint, 302, Detail("moved"), model="m", headers=headers)
        assert echoed not in str(error)
        assert "http://elsewhere/?auth=***" in str(error)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        # xAI: reasoning tokens are in the total alone.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 1120,
                "completion_tokens_details": {"reasoning_tokens": 1000},
            },
            Usage(100, 1020),
        ),
        # OpenAI: they are within completion_tokens.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 1020,
                "total_tokens": 1120,
                "completion_tokens_details": {"reasoning_tokens": 1000},
                "prompt_tokens_details": {"cached_tokens": 64},
            },
            Usage(100, 1020, 64),
        ),
        ({"prompt_tokens": 100, "completion_tokens": 20}, Usage(100, 20)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": None}, Usage(100, 20)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 50}, Usage(100, 20)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": -1}, Usage(100, 20)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 10**12}, Usage(100, 20)),
        ({"prompt_tokens": 100, "completion_tokens": None, "total_tokens": 120}, Usage(100, 20)),
        ({"prompt_tokens": None, "completion_tokens": 20, "total_tokens": 120}, Usage(100, 20)),
        ({"total_tokens": 120}, Usage(0, 120)),
        ({"prompt_tokens": "100", "completion_tokens": "20", "total_tokens": "1120"}, Usage(100, 1020)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 1120,
                "prompt_tokens_details": {"cached_tokens": 90},
            },
            Usage(100, 1020, 90),
        ),
    ],
)
def test_tokens_that_were_generated_are_counted_wherever_a_server_says_so(usage, counted):
    assert read("openai", reply("openai", "stop", usage)).usage == counted


def test_tokens_of_a_stream_are_counted_likewise():
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 1120}
    events = [
        json.dumps({"choices": [{"delta": {"content": "[[7]]"}, "finish_reason": "stop"}]}).encode(),
        json.dumps({"choices": [], "usage": usage}).encode(),
    ]
    assert chat_completions.decode_stream(events, lambda *_: Malformed("x", body="")).usage == Usage(100, 1020)
