"""Anthropic's Messages API, and servers that speak it.

Like openai.py: the official SDK for authentication and transport, its retries off, raw responses decoded by msgspec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from evalkit.backends import chat_completions, provider, rejections
from evalkit.backends.anthropic_batches import AnthropicBatches
from evalkit.backends.bounded import ENCODINGS
from evalkit.backends.provider import Detail, Endpoint, Vendor
from evalkit.backends.sdk_batches import Calls
from evalkit.core.protocols import Backend, Completion, EvalkitError, Misconfigured, ReplySchema, Request

if TYPE_CHECKING:
    import anthropic

VENDOR = Vendor(
    "Anthropic", "https://api.anthropic.com", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_CUSTOM_HEADERS"
)
MAX_TOKENS = 1024
"""Sent where the sampling sets no max_tokens: this API requires the field."""


class _Block(Struct):
    type: str = "text"
    text: str = ""
    thinking: str = ""
    input: Any = None
    """Of a call of a tool: its arguments."""


class _AnthropicUsage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _AnthropicBody(Struct):
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _AnthropicUsage | None = None
    model: str | None = None
    error: Any = None
    object: Any = None


_DECODER = msgspec.json.Decoder(_AnthropicBody)


@dataclass(kw_only=True)
class Anthropic(Backend):
    """A Claude model. Without ``max_tokens`` in the sampling, answers end at 1024 tokens."""

    model: str
    base_url: str | None = None
    """Another server; otherwise the SDK's ``ANTHROPIC_BASE_URL``, otherwise Anthropic."""
    api_key_env: str | None = None
    """Variable that holds the key. Another server than Anthropic's gets a key only if this names it."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Further HTTP headers (anthropic-beta, ...); no credentials."""
    concurrency: int = 64
    """At the most; the client finds out how much of it the provider takes."""
    timeout: float = 600.0
    _client: anthropic.AsyncAnthropic | None = field(default=None, init=False, repr=False, compare=False)
    _endpoint: Endpoint | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def account(self) -> str:
        """The server and the variable of its key: models of one account share its limits."""
        return provider.account(VENDOR, self.base_url, self.api_key_env)

    def identity(self) -> Mapping[str, Any]:
        """Model id and whose servers run it."""
        return {"model": self.model, **provider.host_identity(VENDOR, self.base_url)}

    async def open(self) -> None:
        """Set up the connection pool; nothing is sent."""
        if self._client is not None:
            return
        provider.check_headers(self.headers)
        endpoint = provider.resolve(VENDOR, self.base_url, self.api_key_env)
        import anthropic

        address = provider.Address.of(endpoint.url, ("/messages", "/v1"))
        headers: dict[str, Any] = {"Content-Type": "application/json", "Accept-Encoding": ENCODINGS, **self.headers}
        if not endpoint.own:
            headers |= {name: anthropic.Omit() for name in endpoint.stray}
        options = provider.sdk_options(anthropic, endpoint, address, timeout=self.timeout, concurrency=self.concurrency)
        self._client = anthropic.AsyncAnthropic(default_headers=headers, **options)
        self._endpoint = endpoint

    async def complete(self, request: Request) -> Completion:
        """Send one request, once, without retries."""
        client, endpoint = self._client, self._endpoint
        if client is None or endpoint is None:
            raise RuntimeError("Anthropic.complete() before open()")
        import aiohttp
        import anthropic
        import httpx2

        # Not messages.create(): 2.x has no temperature there, and reaches the same bytes at less than half the speed.
        content = chat_completions.encode(_body(request, self.model))
        try:
            response = await client.post("/v1/messages", cast_to=httpx2.Response, content=content)
        except anthropic.APIStatusError as error:
            detail = Detail.read(error.response.content)
            if refused := provider.refusal(error.status_code, endpoint.scrubbed(detail)):
                return refused
            raise self._error(error.status_code, detail, error.response.headers) from None
        except (anthropic.APIConnectionError, aiohttp.ClientError) as error:
            raise provider.unreachable(error, endpoint) from None
        return provider.with_limits(_decode(response.content, request, endpoint.key, self._error), response.headers)

    def batches(self) -> AnthropicBatches:
        """The batch API of this model."""
        if self._client is None or self._endpoint is None:
            raise RuntimeError("Anthropic.batches() before open()")
        import anthropic

        calls = Calls(anthropic, self._client, self._endpoint, self._error)
        return AnthropicBatches(calls, partial(_body, model=self.model), partial(_decode, fail=self._error))

    async def close(self) -> None:
        """Close the connections to the server."""
        client, self._client, self._endpoint = self._client, None, None
        if client is not None:
            await client.close()

    def _error(self, status: int, detail: Detail, headers: Mapping[str, str]) -> EvalkitError:
        assert self._endpoint is not None
        return provider.server_error(self._endpoint, status, detail, model=self.model, headers=headers)


def _body(request: Request, model: str) -> dict[str, Any]:
    """The JSON object to send: system messages apart, sampling fields only where set."""
    sampling = request.sampling
    if sampling.top_logprobs is not None:
        raise Misconfigured(f"model {model!r}: Anthropic returns no log-probabilities; {rejections.BY_TEXT}")
    if sampling.seed is not None:
        raise Misconfigured(f"model {model!r}: Anthropic takes no seed; list seed under the model's `unsupported`")
    chat_completions.check_extra(sampling.extra)
    built: dict[str, Any] = {
        "model": model,
        "max_tokens": MAX_TOKENS + (sampling.thinking_tokens or 0) if sampling.room is None else sampling.room,
        "messages": [message for message in request.messages if message.role != "system"],
    }
    system = "\n\n".join(message.content for message in request.messages if message.role == "system")
    if system:
        built["system"] = system
    built |= _form_and_thinking(request)
    if sampling.temperature is not None:
        built["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        built["top_p"] = sampling.top_p
    if sampling.stop:
        built["stop_sequences"] = sampling.stop
    return built | sampling.extra


def _form_and_thinking(request: Request) -> dict[str, Any]:
    """The fields that make the reply a tool's call, and say how the model is to think."""
    sampling, built = request.sampling, dict[str, Any]()
    if sampling.thinking_tokens is not None:
        built["thinking"] = {"type": "enabled", "budget_tokens": sampling.thinking_tokens}
    elif sampling.effort is not None:
        built["thinking"] = {"type": "adaptive"}
    if sampling.effort is not None:
        built["output_config"] = {"effort": sampling.effort}
    if isinstance(request.reply, ReplySchema):
        # A forced call and thinking exclude each other: a model that thinks is left to call the tool by itself.
        free = "thinking" in built or "thinking" in sampling.extra
        built["tools"] = [
            {
                "name": request.reply.name,
                "description": chat_completions.TOOL,
                "input_schema": request.reply.schema,
            }
        ]
        built["tool_choice"] = {"type": "auto"} if free else {"type": "tool", "name": request.reply.name}
    return built


def _decode(
    raw: bytes, request: Request, secret: str, fail: Callable[[int, Detail, Mapping[str, str]], EvalkitError]
) -> Completion:
    raw = chat_completions.without(secret, raw)
    chat_completions.unusable(raw)
    try:
        parsed = _DECODER.decode(raw)
    except (ValueError, RecursionError):
        parsed = _mended(raw, secret)
    if error := chat_completions.error_in(raw, parsed.error, parsed.object):
        status, detail = provider.status_meant(error), Detail.of(error)
        if refused := provider.refusal(status, detail):
            return refused
        raise fail(status, detail, {})
    chat_completions.broken_off(parsed.stop_reason)
    if parsed.content is None:
        chat_completions.malformed(raw, secret)
    return _completion(parsed, parsed.content, request)


def _completion(parsed: _AnthropicBody, content: list[_Block], request: Request) -> Completion:
    usage = parsed.usage or _AnthropicUsage()
    cached = usage.cache_read_input_tokens or 0
    text = "".join(block.text for block in content if block.type == "text")
    called = [chat_completions.arguments_text(block.input) for block in content if block.type == "tool_use"]
    if isinstance(request.reply, ReplySchema) and called:
        text = "\n".join(called)
    reason = "tool_calls" if parsed.stop_reason == "tool_use" else parsed.stop_reason
    return Completion(
        text=chat_completions.continuation(text, request),
        finish=chat_completions.finish_of(reason),
        thinking="".join(block.thinking for block in content if block.type == "thinking"),
        reason=None if chat_completions.known(reason) else reason,
        usage=chat_completions.counted(
            (usage.input_tokens or 0) + cached + (usage.cache_creation_input_tokens or 0), usage.output_tokens, cached
        ),
        model=parsed.model,
    )


def _mended(raw: bytes, secret: str) -> _AnthropicBody:
    """What a strict decoder refused: the text at least."""
    try:
        return chat_completions.some(chat_completions.loads(raw), _AnthropicBody)
    except (ValueError, RecursionError):
        chat_completions.malformed(raw, secret)
