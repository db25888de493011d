"""How much of a server's response is taken: a bound on what a faulty or hostile server can make this program hold."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from evalkit.core.protocols import Malformed

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 64_000_000
"""Of one response, unpacked; of a download of many rows, each row."""
ENCODINGS = "gzip, deflate"
"""What is asked for: what can be unpacked piece by piece."""
STREAMED = "X-Stainless-Raw-Response"
"""The SDKs' mark of a request whose response is read line by line: a bound is on each line, not on the whole."""
PART = 1 << 20
"""Bytes unpacked at a time."""


async def bound_response(response: httpx2.Response) -> None:
    """An httpx2 response hook, after which reading the body raises Malformed beyond ``MOST_BYTES``."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise Malformed(f"the server packed its response as {encoding[:40]!r}; evalkit takes {ENCODINGS}", body="")
    packed = encoding not in ("identity", "")
    if packed:  # unpacked here, so httpx2 must not do it again
        del response.headers["content-encoding"]
    streamed = response.request.headers.get(STREAMED) == "stream"
    response.stream = _bounded_stream(response.stream, packed, None if streamed else MOST_BYTES)


def _bounded_stream(stream: Any, packed: bool, most: int | None) -> Any:
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None
            taken = 0
            async for piece in stream:
                for part in (piece,) if unpack is None else _unpacked(unpack, piece):
                    taken += len(part)
                    if most is not None and taken > most:
                        raise Malformed(
                            f"the response is longer than {most // 1_000_000} MB and was not read to its end; "
                            "check what answers at base_url",
                            body="",
                        )
                    yield part

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()


def _unpacked(unpack: Any, piece: bytes) -> Iterator[bytes]:
    """What a piece of a packed response holds, in parts of bounded size: a thousand times as much fits in it."""
    try:
        while piece:
            yield unpack.decompress(piece, PART)
            piece = unpack.unconsumed_tail
    except zlib.error as error:
        raise Malformed(f"the server's response cannot be unpacked: {error}", body="") from None


async def bounded_lines(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The lines of a response that arrives in pieces, without those that are blank; the last may be incomplete.

    Of a line longer than ``MOST_BYTES``, the beginning, one byte longer than that.
    """
    held: list[bytes] = []
    room = MOST_BYTES + 1
    async for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line = b"".join((*held, end[:room]))
            held, room = [], MOST_BYTES + 1
            if line.strip():
                yield line
        if room:
            held.append(rest[:room])
            room -= len(held[-1])
    if (line := b"".join(held)).strip():
        yield line
