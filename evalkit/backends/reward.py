"""Reward models behind a server: vLLM, Text Embeddings Inference, SGLang. A conversation goes in, numbers come out.

The numbers are the completion's text, as JSON; a judge of kind ``reward`` reads one score out of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.backends import chat_template, provider, rejections, reward_wire
from evalkit.backends.bounded import ENCODINGS, bound_response
from evalkit.backends.chat_template import ChatTemplate
from evalkit.backends.provider import Detail, Endpoint, Vendor
from evalkit.backends.reward_wire import PATHS, RENDERS, Asked, NoScores, RewardApi
from evalkit.core.protocols import (
    Backend,
    Completion,
    EvalkitError,
    Malformed,
    Misconfigured,
    Rejected,
    Request,
    Transport,
)
from evalkit.core.schema import Usage, digest

if TYPE_CHECKING:
    import httpx2

VENDOR = Vendor("a server of reward models", "http://localhost:8000", "", "", "")
"""Nobody's in particular: there is no variable that says where it is, and it gets a key only by ``api_key_env``."""

_TOO_LONG = re.compile(
    r"maximum context length|context length|(?:less|fewer) than \d+ tokens|too long|longer than"
    r"|maximum (?:input|sequence)|max(?:imum)?_(?:model_len|input_length)|exceeds? (?:the )?(?:maximum|limit)",
    re.IGNORECASE,
)
_WRONG_KIND = re.compile(r"model is not|is-embedding|is not an? \w+ model|does not support", re.IGNORECASE)
_WANTS_TEXT = re.compile(
    r"\binput\b[^.]{0,60}(?:required|missing)|(?:required|missing)[^.]{0,60}\binput\b", re.IGNORECASE
)
"""What a vLLM says that takes a text there and no conversation: those before 0.12."""
_REMEDIES = {
    "vllm": "vLLM has it for models that it runs as classifiers or reward models: `vllm serve MODEL --runner pooling`; "
    "a model that writes text has none",
    "tei": "Text Embeddings Inference has it for classifiers (/predict) and rerankers (/rerank), and not for models "
    "that embed",
    "sglang": "SGLang has it for reward models: `python -m sglang.launch_server --model-path MODEL --is-embedding`",
}


@dataclass(kw_only=True)
class RewardServer(Backend):
    """A reward model, or another model that answers with numbers, behind a server."""

    model: str
    base_url: str = VENDOR.url
    """Of the server, without or with the endpoint's path."""
    api: RewardApi = "vllm-classify"
    """Server and endpoint: how it is asked, and where the numbers are in its answer."""
    activation: bool = False
    """Ask for numbers after the model's sigmoid or softmax (probabilities), not before."""
    chat_template: str | None = None
    """Render the conversation here by this template, Jinja text or a file. None: as ``api`` does it."""
    tokenizer: str | None = None
    """With sglang-classify: whose chat template renders the conversation here, a folder or an id of the hub. None: the
    model's."""
    api_key_env: str | None = None
    """Variable that holds the key; without it, none is sent."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Further HTTP headers; no credentials."""
    concurrency: int = 32
    timeout: float = 300.0
    _client: httpx2.AsyncClient | None = field(default=None, init=False, repr=False, compare=False)
    _endpoint: Endpoint | None = field(default=None, init=False, repr=False, compare=False)
    _template: ChatTemplate | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def account(self) -> str:
        """The server and the variable of its key."""
        return provider.account(VENDOR, self.base_url, self.api_key_env)

    def identity(self) -> Mapping[str, Any]:
        """Model, endpoint, template and whose servers run it: what changes the numbers."""
        rendered = {"chat_template": digest(chat_template.given(self.chat_template).text)} if self.chat_template else {}
        tokenizer = {"tokenizer": self.tokenizer} if self.tokenizer else {}
        return {
            "model": self.model,
            "api": self.api,
            "activation": self.activation,
            **rendered,
            **tokenizer,
            **provider.host_identity(VENDOR, self.base_url),
        }

    async def open(self) -> None:
        """Find the template where this program renders, and set up the connection pool; nothing is sent."""
        if self._client is not None:
            return
        provider.check_headers(self.headers)
        endpoint = provider.resolve(VENDOR, self.base_url, self.api_key_env)
        self._template = self._found_template()
        import httpx2

        address = provider.Address.of(endpoint.url, (PATHS[self.api], "/v1"))
        key = {} if endpoint.key == provider.NO_KEY else {"Authorization": f"Bearer {endpoint.key}"}
        self._client = httpx2.AsyncClient(
            base_url=address.url,
            params=dict(address.query),
            headers={"Content-Type": "application/json", "Accept-Encoding": ENCODINGS, **self.headers, **key},
            timeout=httpx2.Timeout(self.timeout, connect=min(30.0, self.timeout)),
            limits=httpx2.Limits(max_connections=max(100, self.concurrency)),
            follow_redirects=False,  # one would take the conversation to a host nobody chose
            verify=provider.certificates(),
            event_hooks={"response": [bound_response]},
        )
        self._endpoint = endpoint

    def _found_template(self) -> ChatTemplate | None:
        if self.chat_template is not None:
            if self.api in ("vllm-score", "tei-rerank"):
                raise Misconfigured(
                    f"chat_template: {self.api} reads a question and an answer, which no template joins; leave it out, "
                    "or choose api=vllm-classify or api=tei-predict"
                )
            return chat_template.given(self.chat_template)
        if RENDERS[self.api] == "here":
            return chat_template.of_tokenizer(self.tokenizer or self.model)
        return None

    async def complete(self, request: Request) -> Completion:
        """Have one conversation scored: once, without retries. The text is the numbers, as JSON."""
        client, endpoint = self._client, self._endpoint
        if client is None or endpoint is None:
            raise RuntimeError("RewardServer.complete() before open()")
        import httpx2

        text = None if self._template is None else self._template.render(request.messages)
        asked = Asked(self.model, request.messages, text, self.activation)
        content = msgspec.json.encode(reward_wire.body(self.api, asked))
        try:
            response = await client.post(PATHS[self.api], content=content)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            lost = provider.unreachable(error, endpoint)
            if isinstance(error, httpx2.ConnectError):  # whose cause is no OSError: several addresses were tried
                raise Transport(str(lost), unreachable=True) from None
            raise lost from None
        if response.status_code != 200:
            raise self._error(response.status_code, Detail.read(response.content), response.headers)
        return self._completion(response.content, response.headers, endpoint)

    def _completion(self, content: bytes, headers: Mapping[str, str], endpoint: Endpoint) -> Completion:
        try:
            numbers = reward_wire.outputs(self.api, content)
        except NoScores as error:
            shown = endpoint.scrub(content[:2000].decode("utf-8", "replace"))
            raise Malformed(
                f"no scores in what {endpoint.shown}{PATHS[self.api]} answered, read as {self.api}: "
                f"{provider.clean(str(error))}",
                body=shown,
            ) from None
        usage = Usage(reward_wire.prompt_tokens(content, headers))
        completion = Completion(msgspec.json.encode(numbers).decode(), usage=usage, model=self.model)
        return provider.with_limits(completion, headers)

    def _error(self, status: int, detail: Detail, headers: Mapping[str, str]) -> EvalkitError:
        endpoint = self._endpoint
        assert endpoint is not None
        said = endpoint.scrubbed(detail)
        path, message = PATHS[self.api], said.message[:4000]
        where = f"{endpoint.reached} answered {status} at {path}: {provider.clean(message)}"
        absent = status in (404, 405, 501) and not re.search(r"model\b.{0,200}\bexist", message, re.IGNORECASE)
        if absent or (status in (400, 424, 500) and _WRONG_KIND.search(message)):
            return Misconfigured(f"{where} - {_REMEDIES[self.api.partition('-')[0]]}; check backend.api and base_url")
        if status == 424:  # of Text Embeddings Inference: it took the request and lost it
            return Transport(where, status=status)
        if status in (400, 413, 422) and "api key" not in message.lower():
            return self._rejected(where, message)
        return provider.server_error(endpoint, status, detail, model=self.model, headers=headers)

    def _rejected(self, where: str, message: str) -> EvalkitError:
        """What a server means that does not take this request."""
        if self._template is None and RENDERS[self.api] == "server" and _WANTS_TEXT.search(message):
            return Misconfigured(
                f"{where} - this server takes a text and no conversation: update vLLM, or have the conversation "
                "rendered here by backend.chat_template=FILE"
            )
        if rejections.no_system(message):
            return rejections.rejected(where, message)
        if _TOO_LONG.search(message):
            return Rejected(
                "the conversation is longer than this model reads, and nothing is cut off: take a model or a server "
                f"setting with more room ({where})"
            )
        return Rejected(where)

    async def close(self) -> None:
        """Close the connections to the server."""
        client, self._client, self._endpoint = self._client, None, None
        if client is not None:
            await client.aclose()
