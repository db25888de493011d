"""A Ray pool of one actor, whose inner backend is the fake one with its script."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from evalkit.backends.fake import Fake
from evalkit.backends.ray import Ray

IMPOSSIBLE = {}
ALSO = ("empty", "surrogate")
NEEDS = ("ray",)
WRAPS = True
STEPS = {"success": "ok", "refusal": "refuse", "truncation": "length"}


@dataclass
class Rig:
    backend: Ray

    def provoke(self, *situations):
        steps = tuple(STEPS.get(situation, situation) for situation in situations)
        self.backend.inner.script = (*self.backend.inner.script, *steps)


@contextmanager
def rig(**fields):
    yield Rig(Ray(inner=Fake(**fields), actors=1))
