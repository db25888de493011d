"""The results of a batch, and whether the download brought all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from evalkit.core.batch_api import Batches
from evalkit.core.protocols import Transport

MOST_ROWS = 1_000_000
"""Of one download; the providers take 100,000 requests in a batch."""
LONGEST_KEY = 100
"""Characters of a key that are kept; ours have 32."""


class Incomplete(Transport):
    """A download held fewer rows than the provider counts: it ended early, or some cannot be read."""


async def complete(api: Batches, batch: str, done: int) -> AsyncGenerator[tuple[str, bytes], None]:
    """Keys and rows of a batch that has ended.

    A download may end early without any error, be empty, or be a proxy's page. What the provider says is done, it has
    been paid for: that no row of it came must not look as if it was never answered.

    Args:
        api: the provider's.
        batch: its id there.
        done: requests that the provider counts as answered or failed.

    Raises:
        Incomplete: fewer of them had a row, which is known only at the end; or there is no end of rows.
    """
    keys: set[str] = set()
    async with aclosing(api.results(batch)) as rows:
        number = 0
        async for key, line in rows:
            number += 1
            if number > MOST_ROWS:
                raise Incomplete(f"batch {batch} has more than {MOST_ROWS:,} rows, and no batch has as many requests")
            keys.add(key[:LONGEST_KEY])
            yield key, line
    if len(keys) < done:
        raise Incomplete(
            f"batch {batch} has results of {done} requests, but a download brought only {len(keys)} that can be read"
        )
