"""OpenAI's Batch API: a file of requests goes up, a file of results comes down within 24 hours, at half the price.

https://platform.openai.com/docs/guides/batch and the reference of /v1/files and /v1/batches.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from evalkit.backends import chat_completions, provider
from evalkit.backends.provider import Detail
from evalkit.backends.sdk_batches import PAGE, Calls, key_of, no_row, row, segment
from evalkit.core.batch_api import BatchState
from evalkit.core.protocols import Completion, Rejected, Request, Transport
from evalkit.core.schema import Batch

ENDPOINT = "/v1/chat/completions"
MARK = "evalkit_batch"
"""The metadata field that says which of ours a batch is."""


class _File(Struct):
    id: str


class _BatchError(Struct):
    code: str | None = None
    message: str | None = None
    line: int | None = None


class _Errors(Struct):
    data: list[_BatchError] | None = None


class _OpenAICounts(Struct):
    total: int = 0
    completed: int = 0
    failed: int = 0


class _OpenAIBatch(Struct):
    id: str
    status: str
    metadata: dict[str, Any] | None = None
    request_counts: _OpenAICounts | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Errors | None = None


class _OpenAIPage(Struct):
    data: list[_OpenAIBatch]
    has_more: bool = False


class _Response(Struct):
    status_code: int = 200
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _OpenAIRow(Struct):
    custom_id: str
    response: _Response | None = None
    error: _BatchError | None = None


@dataclass(frozen=True)
class OpenAIBatches:
    """Batches of chat completions of one model."""

    calls: Calls
    body: Callable[[Request], dict[str, Any]]
    provider: ClassVar[str] = "OpenAI"
    marked: ClassVar[bool] = True
    max_requests: ClassVar[int] = 50_000
    max_bytes: ClassVar[int] = 200_000_000

    def line(self, key: str, request: Request) -> bytes:
        """One line of the input file."""
        return chat_completions.encode(
            {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": self.body(request)}
        )

    async def submit(self, mark: str, lines: Sequence[bytes]) -> str:
        """Upload the file (nothing is paid for yet), then have it processed."""
        content = b"\n".join((*lines, b""))
        file = await self.calls.upload("/files", f"evalkit-{mark}.jsonl", content, {"purpose": "batch"}, _File)
        order = {
            "input_file_id": file.id,
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {MARK: mark},
        }
        return (await self.calls.post("/batches", msgspec.json.encode(order), _OpenAIBatch)).id

    async def candidates(self, intent: Batch) -> list[str]:
        """The batch that carries our mark."""
        after = ""
        while True:
            page = await self.calls.get(f"/batches?limit={PAGE}{after}", _OpenAIPage, named=False)
            for batch in page.data:
                if (batch.metadata or {}).get(MARK) == intent.key:
                    return [batch.id]
            following = f"&after={segment(page.data[-1].id)}" if page.data else after
            if not page.has_more or following == after:  # in which order they are listed, no document says
                return []
            after = following

    async def state(self, batch: str) -> BatchState:
        """How far the provider is with a batch."""
        found = await self._batch(batch)
        counts = found.request_counts or _OpenAICounts()
        done = counts.completed + counts.failed
        if found.status == "failed":
            errors = (found.errors.data if found.errors else None) or [_BatchError(message="no reason given")]
            first = errors[0]
            at = f" (line {first.line})" if first.line else ""
            more = f" and {len(errors) - 1} more errors" if len(errors) > 1 else ""
            message = provider.clean(self.calls.endpoint.scrub(first.message or first.code or "")) + at + more
            # The tokens of all batches in the queue together are limited: there is room again when others are done.
            return BatchState(True, done, error=message, busy=first.code == "token_limit_exceeded")
        return BatchState(found.status in ("completed", "expired", "cancelled"), done)

    async def results(self, batch: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """The rows of both files: what was answered, and what was not."""
        found = await self._batch(batch)
        for file in (found.output_file_id, found.error_file_id):
            if file:
                async for line in self.calls.lines(f"/files/{segment(file)}/content"):
                    if (key := key_of(line)) is not None:
                        yield key, line

    def completion(self, line: bytes, request: Request) -> Completion:
        """The completion or the failure that an output row holds."""
        parsed = row(line, _OpenAIRow)
        secret = self.calls.endpoint.key
        if parsed is None:
            raise no_row(line, secret)
        if parsed.response is None:
            error = parsed.error or _BatchError("missing", "neither an answer nor an error")
            said = f"{self.provider}: {provider.clean(error.message or error.code or '')}"
            raise Rejected(said) if "invalid" in (error.code or "") else Transport(said)
        body = bytes(parsed.response.body)
        if parsed.response.status_code != 200:
            detail = Detail.read(body)
            if refused := provider.refusal(parsed.response.status_code, self.calls.endpoint.scrubbed(detail)):
                return refused
            raise self.calls.fail(parsed.response.status_code, detail, {})
        return chat_completions.decode(
            body, lambda code, detail: self.calls.fail(code, detail, {}), request, secret=secret
        )

    async def cancel(self, batch: str) -> None:
        """Ask for it to be stopped; what was done is paid for and can be fetched."""
        await self.calls.post(f"/batches/{segment(batch)}/cancel", b"{}", _OpenAIBatch)

    async def _batch(self, batch: str) -> _OpenAIBatch:
        return await self.calls.get(f"/batches/{segment(batch)}", _OpenAIBatch)
