"""What providers say, by the words of those that say it: who must act, and what the message tells them first."""

from __future__ import annotations

import msgspec
import pytest

from evalkit.backends import rejections
from evalkit.backends.anthropic import _decode as anthropic_decode
from evalkit.backends.chat_completions import decode
from evalkit.backends.provider import Address, Detail, http_error, refusal
from evalkit.core.protocols import Misconfigured, Rejected, Request, Transport

FILTERS = [
    (
        400,
        {"code": "content_filter", "message": "The response was filtered due to the prompt triggering Azure's"},
    ),
    (400, {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "Responsible AI policy"}),
    (400, {"type": "image_generation", "message": "Your request was rejected as a result of our safety system."}),
    (400, {"code": "invalid_prompt", "message": "Invalid prompt: it was flagged as violating our usage policy."}),
    (400, {"message": "We've limited access to this content for safety reasons."}),
    (400, {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}),
    (403, {"code": 403, "message": "openai/gpt-4 requires moderation. Your input was flagged for 'violence'."}),
    (400, {"code": "invalid_request_error", "message": "Content Exists Risk"}),
    (400, {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}),
    (400, {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}),
    (400, {"type": "content_filter", "message": "The request was rejected because it was considered high risk"}),
    (403, {"message": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}),
    (400, {"status": "INVALID_ARGUMENT", "message": "The prompt was blocked: PROHIBITED_CONTENT"}),
    (400, {"message": "Request blocked by guardrail policy 'default'"}),
    (422, {"message": "The text was blocked for safety."}),
]


@pytest.mark.parametrize(("status", "error"), FILTERS, ids=lambda value: str(value)[:60])
def test_a_content_filter_is_a_refusal_on_both_wire_formats(status, error):
    for body in ({"error": error}, error):
        completion = refusal(status, Detail.of(body))
        assert completion is not None
        assert completion.finish == "refusal"
        assert completion.text


def test_a_refusal_with_status_200():
    def fail(*_):
        raise AssertionError

    said = {"code": 403, "message": "Your input was flagged for 'violence'."}
    openai = decode(msgspec.json.encode({"error": said}), fail, Request(()))
    blocked = {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}
    anthropic = anthropic_decode(msgspec.json.encode({"type": "error", "error": blocked}), Request(()), "none", fail)
    assert openai.finish == anthropic.finish == "refusal"


NO_FILTERS = [
    (403, "You are not allowed to request logprobs from this model"),
    (403, "Your organization was blocked for violations of our content policy"),
    (400, "'content' filter is not supported for this model"),
    (401, "Incorrect API key provided: it was flagged"),
    (429, "Rate limit of content moderation reached"),
    (400, "Unsupported value: 'temperature' does not support 0.0 with this model."),
    (500, "internal error in the safety system"),
]


@pytest.mark.parametrize(("status", "message"), NO_FILTERS)
def test_what_is_no_refusal(status, message):
    assert refusal(status, Detail(message)) is None


REMEDIES = [
    ("Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.",
     "model.NAME.unsupported=temperature"),
    ("`temperature` may only be set to 1 when thinking is enabled.", "model.NAME.unsupported=temperature"),
    ("`temperature` is deprecated for this model.", "model.NAME.unsupported=temperature"),
    ("temperature: range: 0..1: Input should be less than or equal to 1", "model.NAME.sampling.temperature=N"),
    ("`temperature` and `top_p` cannot both be specified for this model.", "model.NAME.unsupported=top_p"),
    ("Unsupported parameter: 'seed' is not supported with this model.", "model.NAME.unsupported=seed"),
    ("seed: Extra inputs are not permitted", "model.NAME.unsupported=seed"),
    ("Unrecognized request argument supplied: seed", "model.NAME.unsupported=seed"),
    ("Unsupported parameter: 'stop' is not supported with this model.", "model.NAME.unsupported=stop"),
    ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
     "backend.max_tokens_field=max_completion_tokens"),
    ("max_completion_tokens: Extra inputs are not permitted", "backend.max_tokens_field=max_tokens"),
    ("max_tokens is too large: 20000. This model supports at most 16384 completion tokens", "sampling.max_tokens=N"),
    ("max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens", "sampling.max_tokens=N"),
    ("This model's maximum context length is 8192 tokens. However, you requested 9000", "do not fit this model"),
    ("prompt is too long: 210000 tokens > 200000 maximum", "do not fit this model"),
    ("the request exceeds the available context size. try increasing it", "do not fit this model"),
    ("messages: roles must alternate between \"user\" and \"assistant\", but found multiple", "system_role=user"),
    ("messages: first message must use the \"user\" role", "system_role=user"),
    ("This model does not support assistant message prefill. The conversation must end with a user message.",
     "judge.NAME.protocols.PROTOCOL.prefill="),
    ("Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
     "judge.NAME.protocols.PROTOCOL.prefill="),
    ("messages: final assistant content cannot end with trailing whitespace", "judge.NAME.protocols.PROTOCOL.prefill="),
    ("`max_tokens` must be greater than `thinking.budget_tokens`.", "the budget of its thinking"),
    ("Unsupported value: 'reasoning_effort' does not support 'minimal' with this model", "change reasoning_effort"),
    ("System role not supported", "model.NAME.system_role=user"),
    ("Developer instruction is not enabled for models/gemma-3-27b-it", "model.NAME.system_role=user"),
    ("Conversation roles must alternate user/assistant/user/assistant/...", "model.NAME.system_role=user"),
    ("System message must be at the beginning.", "model.NAME.system_role=user"),
    ("You are not allowed to request logprobs from this model", "protocol.scoring=text"),
    ("'logprobs' is not supported with this model", "protocol.scoring=text"),
    ("Invalid value for 'top_logprobs': must be less than or equal to 5.", "protocol.top_logprobs=5"),
    ("Invalid schema for function 'f'", "change what it names"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "remedy"), REMEDIES, ids=[message[:60] for message, _ in REMEDIES])
@pytest.mark.parametrize("long", ["", " (details follow)" * 60])
def test_the_remedy_comes_first_and_fits_the_line_that_is_printed(message, remedy, long):
    error = http_error(400, Detail(message + long), where="https://llm.example.com/v1", model="m", key=None)
    assert isinstance(error, Rejected)
    assert remedy in str(error)[:230]
    assert "shorten the prompt" not in str(error) or "fit" in remedy
    assert "answered 400" in str(error)


def test_who_names_a_limit_of_alternatives_and_who_takes_no_system_message():
    cases = {
        "Invalid value for 'top_logprobs': must be less than or equal to 5.": 5,
        "Requested sample logprobs of 20, which is greater than max allowed: 5": 5,
        "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 8, but got 20 instead.": 8,
        "top_logprobs must be between 0 and 5": 5,
        "logprobs is not supported": None,
    }
    for message, most in cases.items():
        assert rejections.rejected("said", message).most_logprobs == most, message
    assert rejections.rejected("said", "System role not supported").no_system
    assert not rejections.rejected("said", "prompt is too long").no_system


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_logprobs_that_are_not_given_are_no_matter_of_keys(status):
    detail = Detail("You are not allowed to request logprobs from this model")
    error = http_error(status, detail, where="https://x/v1", model="m", key=None)
    assert isinstance(error, Rejected)
    assert "key" not in str(error)


def test_a_template_of_a_local_server_that_takes_no_system_message():
    told = Detail("Jinja Exception: System role not supported")
    assert isinstance(http_error(500, told, where="x", model="m", key=None), Rejected)
    assert isinstance(http_error(500, Detail("boom"), where="x", model="m", key=None), Transport)
    assert isinstance(http_error(403, Detail("no"), where="x", model="m", key=None), Misconfigured)


@pytest.mark.parametrize(
    ("url", "calls", "path", "query", "azure"),
    [
        ("https://r.openai.azure.com/openai/deployments/d?api-version=2024-06-01", ("/chat/completions",),
         "https://r.openai.azure.com/openai/deployments/d", {"api-version": "2024-06-01"}, True),
        ("https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1", ("/chat/completions",),
         "https://r.openai.azure.com/openai/deployments/d", {"api-version": "1"}, True),
        ("https://gw.example.com/v1/acct/gw/openai/?a=1&b=x%20y", ("/chat/completions",),
         "https://gw.example.com/v1/acct/gw/openai", {"a": "1", "b": "x y"}, False),
        ("http://localhost:8000/v1", ("/chat/completions",), "http://localhost:8000/v1", {}, False),
        ("http://h:1/anthropic/v1/messages", ("/messages", "/v1"), "http://h:1/anthropic", {}, False),
        ("http://h:1", ("/messages", "/v1"), "http://h:1", {}, False),
    ],
)  # fmt: skip
def test_base_urls_keep_path_and_query(url, calls, path, query, azure):
    assert Address.of(url, calls) == Address(path, query, azure)
