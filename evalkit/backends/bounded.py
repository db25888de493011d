"""How much of a server's response is taken: a bound on what a faulty or hostile server can make this program hold."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from evalkit.core.protocols import Malformed

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 64_000_000
"""Of one response, unpacked."""
ENCODINGS = "gzip, deflate"
"""What is asked for: what can be unpacked piece by piece."""
STREAMED = "X-Stainless-Raw-Response"
"""The SDKs' mark of a request whose response is read line by line, and so has no bound as a whole."""


async def bound_response(response: httpx2.Response) -> None:
    """An httpx2 response hook, after which reading the body raises Malformed beyond ``MOST_BYTES``."""
    if response.request.headers.get(STREAMED) == "stream":
        return
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise Malformed(f"the server packed its response as {encoding[:40]!r}; evalkit takes {ENCODINGS}", body="")
    packed = encoding not in ("identity", "")
    if packed:  # unpacked here, so httpx2 must not do it again
        del response.headers["content-encoding"]
    response.stream = _bounded_stream(response.stream, packed)


def _bounded_stream(stream: Any, packed: bool) -> Any:
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None
            taken = 0
            async for piece in stream:
                whole = piece if unpack is None else _unpacked(unpack.decompress, piece, MOST_BYTES + 1 - taken)
                taken += len(whole)
                if taken > MOST_BYTES:
                    raise Malformed(
                        f"the response is longer than {MOST_BYTES // 1_000_000} MB and was not read to its end; "
                        "check what answers at base_url",
                        body="",
                    )
                yield whole

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()


def _unpacked(unpack: Callable[[bytes, int], bytes], piece: bytes, most: int) -> bytes:
    """What a piece of a packed response holds, at most so many bytes of it."""
    try:
        return unpack(piece, most)
    except zlib.error as error:
        raise Malformed(f"the server's response cannot be unpacked: {error}", body="") from None
