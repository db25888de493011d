"""How often and how patiently a request is asked again."""

from __future__ import annotations

from dataclasses import dataclass

from tenacity import RetryCallState, wait_random_exponential

from evalkit.core.protocols import Transport


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a request is asked again. Only transport errors are."""

    attempts: int = 8
    first_wait: float = 1.0
    """Seconds before the second attempt at the most; doubles from there, with full jitter."""
    longest_wait: float = 60.0
    give_up_after: int = 4
    """Requests in a row that failed on every attempt before the backend counts as dead."""
    give_up_malformed: int = 20
    """First replies that are all malformed, before anything is read, after which a model is asked no more."""

    def wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: as long as the server asks; else exponential with full jitter."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Transport) and error.retry_after is not None:
            return min(error.retry_after, self.longest_wait)
        return wait_random_exponential(multiplier=self.first_wait, max=self.longest_wait)(state)
