"""Two servers as one, each the OpenAI backend against a fault server; they share one script."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from evalkit.backends.openai import OpenAI
from evalkit.backends.servers import Servers
from tests.fault_server import RETRY_AFTER, FaultServer

IMPOSSIBLE = {}
ALSO = ("empty", "surrogate")
USAGE = (500, 5, 200)
WRAPS = True
__all__ = ["ALSO", "IMPOSSIBLE", "RETRY_AFTER", "USAGE", "WRAPS", "rig"]


@dataclass
class Rig:
    backend: Servers
    servers: list[FaultServer]

    def provoke(self, *situations):
        self.servers[0].provoke(*situations)


@contextmanager
def rig(**fields):
    with FaultServer() as first, FaultServer() as second:
        second.script = first.script
        given = {"model": "gpt-x"} | fields
        backends = tuple(OpenAI(base_url=f"{server.url}/v1", **given) for server in (first, second))
        yield Rig(Servers(servers=backends), [first, second])
