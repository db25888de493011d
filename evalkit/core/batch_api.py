"""The shape of a provider's batch API: what a backend may offer beside answering one request at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from msgspec import Struct

from evalkit.core.protocols import Completion, Misconfigured, Request, UsageError
from evalkit.core.schema import Batch


class UnknownBatch(Misconfigured):
    """The provider has no such batch: another account's, or too old."""


class BatchState(Struct, frozen=True):
    """How far a provider is with a batch."""

    ended: bool
    """There is nothing more to wait for."""
    done: int
    """Requests that are answered or failed; providers may say so only at the end. As many have a row in the results."""
    error: str | None = None
    """Why none of it was processed."""
    busy: bool = False
    """It was refused for what else is in the provider's queue: it may be sent again later."""


class Batches(Protocol):
    """A provider's batch API, for the model of one backend: requests go in by key, results come back in any order."""

    provider: ClassVar[str]
    marked: ClassVar[bool]
    """A batch carries the mark it was submitted with, so that it can be told from others."""
    max_requests: ClassVar[int]
    max_bytes: ClassVar[int]

    def line(self, key: str, request: Request) -> bytes:
        """A request as it is submitted. Raises Misconfigured."""
        ...

    async def submit(self, mark: str, lines: Sequence[bytes]) -> str:
        """Have requests processed; returns the batch's id. Raises Transport, Rejected or Misconfigured."""
        ...

    async def candidates(self, intent: Batch) -> list[str]:
        """Ids of batches that may be this one: the one that carries its key as mark, or all that look like it."""
        ...

    async def state(self, batch: str) -> BatchState:
        """How far it is. Raises Transport, Misconfigured or UnknownBatch."""
        ...

    def results(self, batch: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """Keys and rows of a batch that has ended. Raises as ``state`` does, also when the download breaks off.

        It may end early unnoticed: see ``download.complete``.
        """
        ...

    def completion(self, line: bytes, request: Request) -> Completion:
        """The answer in a row, or the error in it: Transport, Rejected, Malformed or Misconfigured."""
        ...

    async def cancel(self, batch: str) -> None:
        """Ask the provider to stop a batch."""
        ...


@runtime_checkable
class BatchBackend(Protocol):
    """A backend whose provider also takes requests in batches."""

    def batches(self) -> Batches:
        """The backend's batch API, once the backend is open."""
        ...


def batch_backend(judge: str, backend: object) -> BatchBackend:
    """The backend of a judge that is to be asked in batches.

    Raises:
        UsageError: it has no batch API.
    """
    if isinstance(backend, BatchBackend):
        return backend
    raise UsageError(
        f"judge {judge!r} cannot have batch=true: there is no batch API behind its backend, {type(backend).__name__}; "
        "OpenAI and Anthropic have one"
    )


class BatchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How batches are made and waited for."""

    poll: float = 60.0
    """Seconds between two looks at a batch, at the most."""
    wait: bool = True
    """False: submit, fetch what is ready, and end; the same command fetches the rest later."""
    requests: int = 10_000
    """In one batch, at the most."""
