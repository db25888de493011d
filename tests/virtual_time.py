"""Run a coroutine on a clock of its own, which jumps to the next timer as soon as nothing else is to be done.

Waits then take no time and always end in the same order, however slow or busy the machine is. For coroutines alone:
threads, processes and connections do not know this clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

TICK = 1e-6
"""Seconds that pass with every look at the clock: no two moments are the same, as on a real one."""


class _Clock:
    """The time, in seconds, and what an event loop waits with: waiting moves the clock on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._files = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:  # no timer at all: only an error of the test's comes here
            raise RuntimeError("the coroutine waits for something that can never come")
        ready = self._files.select(0)
        if not ready:
            self.now += timeout
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Clock()
        super().__init__(self.clock)  # type: ignore[arg-type]

    def time(self) -> float:
        self.clock.now += TICK
        return self.clock.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, in virtual time; ``time.monotonic`` tells it too."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        loop = runner.get_loop()
        with patch("time.monotonic", loop.time):
            return runner.run(coroutine)
