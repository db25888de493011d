"""Anthropic's Message Batches API: requests go up in one body, results come down within 24 hours, at half the price.

https://platform.claude.com/docs/en/build-with-claude/batch-processing and the reference of /v1/messages/batches.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from evalkit.backends import chat_completions, provider
from evalkit.backends.provider import Detail
from evalkit.backends.sdk_batches import CLOCKS_APART, PAGE, Calls, key_of, no_row, row, segment
from evalkit.core.batch_api import BatchState
from evalkit.core.protocols import Completion, Request, Transport
from evalkit.core.schema import Batch

PATH = "/v1/messages/batches"
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status that each type of error has outside of batches; 500 for any other."""


class _AnthropicCounts(Struct):
    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def done(self) -> int:
        return self.succeeded + self.errored + self.canceled + self.expired


class _AnthropicBatch(Struct):
    id: str
    processing_status: str
    request_counts: _AnthropicCounts
    created_at: str = ""

    def created(self) -> float:
        """Unix time; the future where it cannot be read."""
        try:
            return datetime.fromisoformat(self.created_at).timestamp()
        except (ValueError, OverflowError):
            return float("inf")


class _AnthropicPage(Struct):
    data: list[_AnthropicBatch]
    has_more: bool = False


class _Result(Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw(b"{}")
    error: msgspec.Raw = msgspec.Raw(b"{}")


class _AnthropicRow(Struct):
    custom_id: str
    result: _Result


@dataclass(frozen=True)
class AnthropicBatches:
    """Batches of messages of one model."""

    calls: Calls
    body: Callable[[Request], dict[str, Any]]
    decode: Callable[[bytes, Request, str], Completion]
    provider: ClassVar[str] = "Anthropic"
    marked: ClassVar[bool] = False
    max_requests: ClassVar[int] = 100_000
    max_bytes: ClassVar[int] = 256_000_000

    def line(self, key: str, request: Request) -> bytes:
        """One entry of a batch's list of requests."""
        return chat_completions.encode({"custom_id": key, "params": self.body(request)})

    async def submit(self, mark: str, lines: Sequence[bytes]) -> str:
        """Have the requests processed. There is no place for ``mark``."""
        content = b'{"requests":[' + b",".join(lines) + b"]}"
        return (await self.calls.post(PATH, content, _AnthropicBatch)).id

    async def candidates(self, intent: Batch) -> list[str]:
        """Batches of the same size, made since: which of them is ours, the ids in its results must tell."""
        found: list[str] = []
        after = ""
        while True:
            page = await self.calls.get(f"{PATH}?limit={PAGE}{after}", _AnthropicPage, named=False)
            since = intent.created - CLOCKS_APART
            for batch in page.data:
                size = batch.request_counts.done + batch.request_counts.processing
                if size == intent.n and batch.created() >= since:
                    found.append(batch.id)
            last = page.data[-1] if page.data else None  # the newest come first
            following = f"&after_id={segment(last.id)}" if last else after
            if not page.has_more or last is None or last.created() < since or following == after:
                return found
            after = following

    async def state(self, batch: str) -> BatchState:
        """How far it is. Counts other than zero appear only when all of it has ended."""
        found = await self.calls.get(f"{PATH}/{segment(batch)}", _AnthropicBatch)
        return BatchState(found.processing_status == "ended", found.request_counts.done)

    async def results(self, batch: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """The rows, from where the API keeps them: ``results_url`` could name any host, and the key goes along."""
        async for line in self.calls.lines(f"{PATH}/{segment(batch)}/results"):
            if (key := key_of(line)) is not None:
                yield key, line

    def completion(self, line: bytes, request: Request) -> Completion:
        """The completion or the failure that a result row holds."""
        parsed = row(line, _AnthropicRow)
        secret = self.calls.endpoint.key
        if parsed is None:
            raise no_row(line, secret)
        result = parsed.result
        if result.type == "succeeded":
            return self.decode(bytes(result.message), request, secret)
        if result.type != "errored":
            raise Transport(f"{self.provider}: {provider.clean(result.type, 40)} before it was answered")
        try:
            body = msgspec.json.decode(result.error)
        except ValueError:
            body = {}
        detail = Detail.of(body)
        inner = body.get("error", body) if isinstance(body, dict) else {}
        status = STATUSES.get(str(inner.get("type")) if isinstance(inner, dict) else "", 500)
        if refused := provider.refusal(status, self.calls.endpoint.scrubbed(detail)):
            return refused
        raise self.calls.fail(status, detail, {})

    async def cancel(self, batch: str) -> None:
        """Ask for it to be stopped; what was done is paid for and can be fetched."""
        await self.calls.post(f"{PATH}/{segment(batch)}/cancel", b"{}", _AnthropicBatch)
