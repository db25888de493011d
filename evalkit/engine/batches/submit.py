"""Handing one batch to a provider, so that it is taken exactly once whatever breaks off on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from evalkit.core.batch_api import Batches
from evalkit.core.protocols import BackendError, EvalkitError, Transport, UsageError
from evalkit.core.schema import Batch, Failure
from evalkit.core.streams import Stopped
from evalkit.engine.batches.download import complete
from evalkit.engine.batches.ledger import Ledger
from evalkit.models.budget import Amount
from evalkit.models.client import Client, Unreachable

SETTLING = 10.0
"""Seconds a provider is given to show a batch whose submission broke off."""


@dataclass
class Submitter:
    """Submits batches, and finds those whose submission nobody confirmed. Its methods are called under the lock."""

    api: Batches
    client: Client
    ledger: Ledger
    sleep: Callable[[float], Awaitable[None]]
    """Waits; raises Stopped when the run is to end."""
    settling: float = SETTLING
    _others: dict[str, set[str]] = field(default_factory=dict)
    """By intent, batches that looked like it, and are not."""

    async def submit(self, keys: Sequence[str], lines: Sequence[bytes], most: Amount) -> Batch:
        """Write the intent down, have the provider take the requests, and write down under which id.

        Args:
            keys: of the requests.
            lines: the requests, in the same order.
            most: what they may come to.

        Returns:
            The ledger's row; without an id where it must be found out later whether the provider has them.

        Raises:
            UsageError: the provider refused them.
            Unreachable: it does not answer.
            Stopped: the run is to end.
        """
        intent = self.ledger.begin(keys, self.api.provider, most)
        unsure = False

        async def attempt() -> str | None:
            nonlocal unsure
            if unsure:  # the last submission broke off: the provider may have taken it all the same
                await self.sleep(self.settling)
                batch, undecided = await self.find(intent)
                if batch or undecided:
                    return batch
                unsure = False
            try:
                return await self.api.submit(intent.key, lines)
            except Transport as error:
                unsure = not error.unreachable and (error.status is None or error.status >= 500)
                raise

        try:
            batch = await self.client.with_retries(attempt)
        except (EvalkitError, Stopped) as error:
            if not unsure:
                self.ledger.finish(intent, Failure("transport", f"not submitted: {error}"))
            if isinstance(error, Transport):
                raise Unreachable(
                    f"{self.api.provider} does not take batches: {error}. Everything answered so far is stored; "
                    "run the same command again later"
                ) from error
            if isinstance(error, BackendError):
                raise UsageError(f"{self.api.provider} refused a batch of {len(keys)} requests: {error}") from error
            raise
        return self.ledger.submitted(intent, batch) if batch else intent

    async def find(self, intent: Batch) -> tuple[str | None, bool]:
        """The id of a batch that the provider may have; and whether others must end before one can tell.

        Raises:
            Transport, UsageError: the provider did not say.
        """
        others = self._others.setdefault(intent.key, set())
        known, undecided = self.ledger.ids() | others, False
        best, most = None, 0
        for batch in await self.api.candidates(intent):
            if batch in known:
                continue
            if self.api.marked:
                return batch, False
            state = await self.api.state(batch)
            if not state.ended:
                undecided = True
                continue
            async with aclosing(complete(self.api, batch, state.done)) as rows:
                common = len({key async for key, _ in rows}.intersection(intent.keys))
            if common == intent.n:
                return batch, False
            if common > most:  # rows may be missing
                best, most = batch, common
            elif not common:
                others.add(batch)
        return (None, True) if undecided else (best, False)
