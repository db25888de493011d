"""The llama.cpp backend on the real engine and SmolLM2, with a stub for what a real engine cannot be made to do."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from evalkit.backends.llamacpp import LlamaCpp, LlamaCppEngine

MODEL = "smollm2-135m-instruct-q4_1"
IMPOSSIBLE = {"refusal": "an engine of one's own has no policy: whatever the model writes is its answer"}
ALSO = ("empty", "surrogate")
NEEDS = ("xllamacpp",)
LOAD = LlamaCpp._load
# Two threads on two busy cores are ten times slower than one: ggml's threads spin while they wait for each other.
SMALL = {"context": 1024, "slots": 2, "threads": 1}


@functools.cache
def weights() -> Path:
    """The GGUF file."""
    if given := os.environ.get("EVALKIT_TEST_GGUF"):
        return Path(given)
    from evalkit.datasets.artifacts import fetch

    return asyncio.run(fetch(MODEL))


@functools.cache
def engine() -> LlamaCppEngine:
    """The real one, loaded once for all tests."""
    return LOAD(LlamaCpp(model=str(weights()), **SMALL), weights())


def chunk(text, finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "model": "stub"}).encode()


STUB = {
    "429": [b'{"error": {"code": 429, "message": "too many requests"}}'],
    "500": [b'{"error": {"code": 500, "message": "failed to decode"}}'],
    "garbage": [b"<html>"],
    "empty": [chunk("", "stop")],
    "surrogate": [rb'{"choices": [{"delta": {"content": "half \ud800"}, "finish_reason": "stop"}]}'],
}
REAL = {
    "success": {"grammar": 'root ::= "Yes."', "max_tokens": 16},
    "truncation": {"max_tokens": 3, "ignore_eos": True},
    "timeout": {"max_tokens": 900, "ignore_eos": True},
    "400": {"messages": [{"role": "user", "content": "word " * 2000}]},
}


@dataclass
class Scripted:
    """The real engine, with the script's requests put in place of, or answered for, those that come."""

    script: deque[str] = field(default_factory=deque)

    def handle_chat_completions(self, body, callback):
        situation = self.script.popleft() if self.script else "success"
        if situation in STUB:
            for event in STUB[situation]:
                callback(event)
            return
        engine().handle_chat_completions(json.dumps(json.loads(body) | REAL[situation]).encode(), callback)

    def handle_metrics(self):
        return engine().handle_metrics()


@dataclass
class Rig:
    backend: LlamaCpp
    engine: Scripted

    def provoke(self, *situations):
        self.engine.script.extend(situations)


@contextmanager
def rig(**fields):
    scripted = Scripted()
    with mock.patch.object(LlamaCpp, "_load", return_value=scripted):
        yield Rig(LlamaCpp(**{"model": str(weights()), **SMALL} | fields), scripted)
