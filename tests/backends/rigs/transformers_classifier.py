"""Reward models by transformers, on a tiny one of random weights; test_reward_engines.py has what it refuses."""

from __future__ import annotations

import functools
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalkit.backends.transformers_classifier import SequenceClassifier

NO_TEXT = "a reward model writes no text: its numbers are there or not"
NO_SERVER = "there is no server that could fail"
OWN = "test_reward_engines.py has it"
IMPOSSIBLE = {"truncation": NO_TEXT, "refusal": NO_TEXT, "429": NO_SERVER, "500": NO_SERVER, "timeout": NO_SERVER}
IMPOSSIBLE |= {"400": OWN, "garbage": OWN}
NEEDS = ("torch", "transformers")
WRITES = False


@functools.cache
def weights():
    from tests import tiny_classifier

    folder = tempfile.mkdtemp(prefix="evalkit-tiny-")
    return tiny_classifier.make(Path(folder))


@dataclass
class Rig:
    backend: SequenceClassifier

    def provoke(self, *situations):
        assert set(situations) <= {"success"}


@contextmanager
def rig(**fields):
    model = fields.pop("model", None) or weights()
    yield Rig(SequenceClassifier(model=model, **fields))
