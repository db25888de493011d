"""What the batch APIs have in common: calls through an SDK's client, errors by who must act, rows out of a download."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from evalkit.backends import bounded, chat_completions, provider
from evalkit.backends.bounded import bounded_lines
from evalkit.backends.provider import Detail, Endpoint
from evalkit.core.batch_api import UnknownBatch
from evalkit.core.protocols import EvalkitError, Malformed, Misconfigured, Transport

T = TypeVar("T")

CLOCKS_APART = 48 * 3600.0
"""Seconds by which a provider's clock and ours may differ: a wrong date, and a wrong time zone, too."""

PAGE = 100
"""Batches listed at a time."""
BEGINNING = 10_000
"""Bytes of a row that is too long in which its key is looked for: both APIs write it first."""


_KEY = re.compile(rb'"custom_id"\s*:\s*"(\w+)"')


class _ResultLine(msgspec.Struct):
    custom_id: str


@dataclass(frozen=True)
class Calls:
    """HTTP calls of one backend."""

    sdk: Any
    """The module ``openai`` or ``anthropic``, for its error classes."""
    client: Any
    endpoint: Endpoint
    fail: Callable[[int, Detail, Mapping[str, str]], EvalkitError]
    """Makes the error for an HTTP status."""

    async def get(self, path: str, kind: type[T], *, named: bool = True) -> T:
        """A JSON object; ``named`` if the path holds an id."""
        import httpx2

        with self._errors(named=named):
            response = await self.client.get(path, cast_to=httpx2.Response)
        return self._decoded(response.content, kind)

    async def post(self, path: str, content: bytes, kind: type[T]) -> T:
        """Send JSON, get a JSON object."""
        import httpx2

        with self._errors(named=False):
            response = await self.client.post(path, cast_to=httpx2.Response, content=content)
        return self._decoded(response.content, kind)

    async def upload(self, path: str, name: str, content: bytes, fields: Mapping[str, str], kind: type[T]) -> T:
        """Send a file as a form."""
        import httpx2

        with self._errors(named=False):
            response = await self.client.post(
                path,
                cast_to=httpx2.Response,
                body=dict(fields),
                files=[("file", (name, content, "application/jsonl"))],
                options={"headers": {"Content-Type": "multipart/form-data"}},  # the SDK adds the boundary
            )
        return self._decoded(response.content, kind)

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of a download as they arrive; split at newlines alone, for text may hold other separators.

        Of one that is longer than a response may be, the beginning.

        Raises:
            Transport: it broke off.
        """
        import httpx2

        with self._errors():
            # The SDK's own mark of a response that is to be streamed rather than read at once.
            streamed = {"headers": {"X-Stainless-Raw-Response": "stream"}}
            response = await self.client.get(path, cast_to=httpx2.Response, options=streamed)
        try:
            with self._errors():
                async for line in bounded_lines(response.aiter_bytes()):
                    yield line
        finally:
            await response.aclose()

    @contextmanager
    def _errors(self, *, named: bool = True) -> Iterator[None]:
        """Errors of the SDK and the transport as ours."""
        import aiohttp
        import httpx2

        try:
            yield
        except self.sdk.APIStatusError as error:
            detail = Detail.read(error.response.content)
            if error.status_code in (404, 405):
                said = f"{self.endpoint.shown} answered {error.status_code}: {self._safe(detail.message)}"
                if named:
                    raise UnknownBatch(said) from None
                raise Misconfigured(f"{said} - it has no batch API; use batch=false for this judge") from None
            raise self.fail(error.status_code, detail, error.response.headers) from None
        except (self.sdk.APIConnectionError, aiohttp.ClientError, httpx2.HTTPError) as error:
            raise provider.unreachable(error, self.endpoint) from None

    def _decoded(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind, strict=False)
        except (ValueError, RecursionError):
            # A proxy's page, say. It may have been accepted all the same, so there is no status to go by.
            start = self._safe(content[:400].decode("utf-8", "replace"))
            raise Transport(f"{self.endpoint.shown} sent what is no batch object: {start!r}") from None

    def _safe(self, text: str) -> str:
        return provider.clean(self.endpoint.scrub(text), 200)


def row(line: bytes, kind: type[T]) -> T | None:
    """A row of results; None if it is not one."""
    if _too_long(line):
        return None
    try:
        return msgspec.json.decode(line, type=kind)
    except (ValueError, RecursionError):
        pass
    try:  # what a strict decoder refuses was paid for all the same
        return msgspec.json.decode(msgspec.json.encode(chat_completions.loads(line)), type=kind, strict=False)
    except (ValueError, RecursionError):
        return None


def key_of(line: bytes) -> str | None:
    """Whose row a line is, though nothing else in it may be readable; None if it is no row, or not a whole one."""
    if _too_long(line):
        match = _KEY.search(line, 0, BEGINNING)
        return match[1].decode() if match else None
    if (found := row(line, _ResultLine)) is not None:
        return found.custom_id
    try:
        json.loads(line)
    except RecursionError:  # nested too deep for any reader, and paid for
        match = _KEY.search(line)
        return match[1].decode() if match else None
    except ValueError:
        pass
    return None


def _too_long(line: bytes) -> bool:
    return len(line) > bounded.MOST_BYTES


def segment(identifier: str) -> str:
    """An id of the provider's as one part of a URL."""
    return quote(identifier, safe="")


def no_row(line: bytes, secret: str) -> Malformed:
    """The error for a row that cannot be read."""
    if _too_long(line):
        return Malformed(f"the row is longer than {bounded.MOST_BYTES // 1_000_000} MB and was not read", body="")
    try:
        chat_completions.malformed(line, secret)
    except Malformed as error:
        return error
