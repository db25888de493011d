"""OpenAI, and every server that speaks its chat-completions format: vLLM serve, llama.cpp, Ollama, gateways.

The official SDK does what it is best at (authentication, URLs, proxies, TLS) and none of what we do ourselves:
its retries are off, and responses are taken raw, because building its pydantic objects costs more than the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evalkit.backends import chat_completions, provider
from evalkit.backends.bounded import ENCODINGS
from evalkit.backends.openai_batches import OpenAIBatches
from evalkit.backends.provider import Detail, Endpoint, Vendor
from evalkit.backends.sdk_batches import Calls
from evalkit.core.protocols import Backend, Completion, EvalkitError, Request

if TYPE_CHECKING:
    import openai

VENDOR = Vendor("OpenAI", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_CUSTOM_HEADERS")


@dataclass(kw_only=True)
class OpenAI(Backend):
    """A model behind the OpenAI chat-completions API."""

    model: str
    base_url: str | None = None
    """Another server; otherwise the SDK's ``OPENAI_BASE_URL``, otherwise OpenAI."""
    api_key_env: str | None = None
    """Variable that holds the key. Another server than OpenAI's gets a key only if this names it."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    """How the server calls the token limit. Default: max_completion_tokens at OpenAI, max_tokens elsewhere."""
    structured: chat_completions.Structured = "json"
    """How replies that must be JSON are held to their schema: json (response_format), a forced tool call, or none."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Further HTTP headers; no credentials."""
    concurrency: int = 64
    """At the most; the client finds out how much of it the provider takes."""
    timeout: float = 600.0
    _client: openai.AsyncOpenAI | None = field(default=None, init=False, repr=False, compare=False)
    _endpoint: Endpoint | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def account(self) -> str:
        """The server and the variable of its key: models of one account share its limits."""
        return provider.account(VENDOR, self.base_url, self.api_key_env)

    def identity(self) -> Mapping[str, Any]:
        """Model id and whose servers run it."""
        structured = {"structured": self.structured} if self.structured != "json" else {}
        return {"model": self.model, **provider.host_identity(VENDOR, self.base_url), **structured}

    async def open(self) -> None:
        """Set up the connection pool; nothing is sent."""
        if self._client is not None:
            return
        provider.check_headers(self.headers)
        endpoint = provider.resolve(VENDOR, self.base_url, self.api_key_env)
        import openai

        address = provider.Address.of(endpoint.url, ("/chat/completions",))
        headers: dict[str, Any] = {"Content-Type": "application/json", "Accept-Encoding": ENCODINGS, **self.headers}
        if not endpoint.own:  # whatever the SDK would add out of OPENAI_* variables stays here
            headers |= {name: openai.Omit() for name in ("OpenAI-Organization", "OpenAI-Project", *endpoint.stray)}
            if address.azure:
                headers |= {"Authorization": openai.Omit(), "api-key": endpoint.key}
            else:
                headers["Authorization"] = f"Bearer {endpoint.key}"
        options = provider.sdk_options(openai, endpoint, address, timeout=self.timeout, concurrency=self.concurrency)
        self._client = openai.AsyncOpenAI(default_headers=headers, **options)
        self._endpoint = endpoint

    async def complete(self, request: Request) -> Completion:
        """Send one request, once, without retries."""
        client, endpoint = self._client, self._endpoint
        if client is None or endpoint is None:
            raise RuntimeError("OpenAI.complete() before open()")
        import aiohttp
        import httpx2
        import openai

        content = chat_completions.encode(self._body(request))
        try:
            # The SDK's documented way to call an endpoint without its typed wrapper; 2-3x faster than create().
            response = await client.post("/chat/completions", cast_to=httpx2.Response, content=content)
        except openai.APIStatusError as error:
            detail = Detail.read(error.response.content)
            if refused := provider.refusal(error.status_code, endpoint.scrubbed(detail)):
                return refused
            raise self._error(error.status_code, detail, error.response.headers) from None
        except (openai.APIConnectionError, aiohttp.ClientError) as error:  # aiohttp: what its adapter leaves unmapped
            raise provider.unreachable(error, endpoint) from None
        completion = chat_completions.decode(response.content, self._error, request, secret=endpoint.key)
        return provider.with_limits(completion, response.headers)

    def batches(self) -> OpenAIBatches:
        """The batch API of this model."""
        if self._client is None or self._endpoint is None:
            raise RuntimeError("OpenAI.batches() before open()")
        import openai

        return OpenAIBatches(Calls(openai, self._client, self._endpoint, self._error), self._body)

    def _body(self, request: Request) -> dict[str, Any]:
        own = self._endpoint is not None and self._endpoint.own
        field_name = self.max_tokens_field or ("max_completion_tokens" if own else "max_tokens")
        return chat_completions.body(request, self.model, field_name, structured=self.structured, strict=own)

    def _error(self, status: int, detail: Detail, headers: Mapping[str, str] | None = None) -> EvalkitError:
        assert self._endpoint is not None
        return provider.server_error(self._endpoint, status, detail, model=self.model, headers=headers or {})

    async def close(self) -> None:
        """Close the connections to the server."""
        client, self._client, self._endpoint = self._client, None, None
        if client is not None:
            await client.close()
