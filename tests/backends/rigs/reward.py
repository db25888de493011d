"""Reward models behind a server, against one of vLLM's shape, over real HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from evalkit.backends.reward import RewardServer
from tests.fault_server import RETRY_AFTER
from tests.reward_server import RewardLoopback

NO_TEXT = "a reward model writes no text: its numbers are there or not"
IMPOSSIBLE = {"truncation": NO_TEXT, "refusal": NO_TEXT}
WRITES = False
USAGE = (12, 0, 0)
__all__ = ["IMPOSSIBLE", "RETRY_AFTER", "USAGE", "WRITES", "rig"]


@dataclass
class Rig:
    backend: RewardServer
    server: RewardLoopback

    def provoke(self, *situations):
        self.server.provoke(*situations)


@contextmanager
def rig(**fields):
    with RewardLoopback() as server:
        yield Rig(RewardServer(**{"model": "org/reward-1", "base_url": server.url} | fields), server)
