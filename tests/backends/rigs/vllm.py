"""The vLLM backend over a stub in place of the engine: every situation of the contract, without vllm installed.

The real engine has tests of its own (test_vllm_engine.py, in an environment of its own).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest import mock

from evalkit.backends.vllm import VLLM
from evalkit.backends.vllm_engine import VLLMEngine

TEXT = "My verdict is [[A]]."
IMPOSSIBLE = {"refusal": "an engine of one's own has no policy: whatever the model writes is its answer"}
"""Situations this backend cannot be in, and why."""


def split_at_mark(text):
    """As vLLM's parsers do: thinking, then the answer."""
    thinking, _, answer = text.partition("]")
    return thinking, answer


class Died(Exception):
    """Stands for vLLM's EngineDeadError."""


class Failed(Exception):
    """Stands for vLLM's EngineGenerateError and QueueOverflowError."""


class StubTokenizer:
    """One token a byte; refuses what real tokenizers refuse."""

    chat_template = "{{ the tokenizer's own }}"

    def __init__(self):
        self.rendered = []

    def apply_chat_template(self, messages, **options):
        if not messages:
            raise ValueError("Cannot apply chat template to an empty conversation")
        self.rendered.append((messages, options))
        turns = [f"<{message['role']}>{message['content']}" for message in messages]
        return "</>".join(turns) + ("</><assistant>" if options["add_generation_prompt"] else "")

    def encode(self, text, *, add_special_tokens):
        assert not add_special_tokens, "the template has written them"
        return list(text.encode())  # raises for a lone surrogate, as a real one does


async def go_wrong(situation):
    """What an engine does to a request in these situations; nothing in others."""
    await asyncio.sleep(0)
    match situation:
        case "timeout":
            await asyncio.Event().wait()
        case "429":
            raise Failed("The engine is currently busy and cannot accept new requests.")
        case "500":
            raise Failed from RuntimeError("CUDA error: an illegal memory access was encountered")
        case "400":
            raise ValueError("The prompt is not accepted.")


@dataclass
class StubLLM:
    """AsyncLLM as far as the backend uses it. ``script`` is what happens to the next requests; then all is well."""

    script: deque[str] = field(default_factory=deque)
    asked: list[SimpleNamespace] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)
    aborted: list[str] = field(default_factory=list)
    shutdowns: int = 0

    async def generate(self, prompt, params, request_id):
        self.asked.append(SimpleNamespace(prompt=prompt, params=params, request_id=request_id))
        situation = self.script.popleft() if self.script else "success"
        self.under_way.add(request_id)
        await go_wrong(situation)
        match situation:
            case "dead":
                raise Died("EngineCore encountered an issue.")
            case "garbage":
                yield SimpleNamespace(outputs=[], num_cached_tokens=None)
            case "success" | "truncation" | "abort":
                yield self._output(params, {"success": "stop", "truncation": "length"}.get(situation, situation))
            case _:
                raise AssertionError(f"no such situation: {situation!r}")
        self.under_way.discard(request_id)

    def _output(self, params, finish_reason):
        text = TEXT[:5] if finish_reason == "length" else TEXT
        tokens = [text[start : start + 4] for start in range(0, len(text), 4)]
        logprobs = None
        if (asked := getattr(params, "logprobs", None)) is not None:
            logprobs = [
                {
                    rank: SimpleNamespace(decoded_token=token + "?" * rank, logprob=-0.1 - rank)
                    for rank in range(asked + 1)
                }
                for token in tokens
            ]
        answer = SimpleNamespace(
            text=text, token_ids=list(range(len(tokens))), finish_reason=finish_reason, logprobs=logprobs
        )
        return SimpleNamespace(outputs=[answer], num_cached_tokens=3)

    async def abort(self, request_id):
        self.aborted.append(request_id)
        self.under_way.discard(request_id)

    def shutdown(self, timeout):
        self.shutdowns += 1


@dataclass
class Rig:
    """A backend, not opened yet, and what it will find."""

    backend: VLLM
    llm: StubLLM
    tokenizer: StubTokenizer

    def provoke(self, *situations):
        """Put the next requests, in order, into these situations."""
        if impossible := set(situations) & IMPOSSIBLE.keys():
            raise AssertionError(f"impossible here: {impossible}")
        self.llm.script.extend(situations)


@contextmanager
def rig(**fields):
    """A rig of a VLLM with these fields; opening the backend gives it the stub while this is entered."""
    llm, tokenizer = StubLLM(), StubTokenizer()
    opened = []

    async def start(arguments):
        opened.append(arguments)
        return VLLMEngine(
            llm=llm,
            tokenizer=tokenizer,
            max_model_len=arguments["max_model_len"] or 2048,
            parted=split_at_mark if arguments.get("reasoning_parser") else None,
            params=SimpleNamespace,
            dead=(Died,),
            failed=(Failed,),
        )

    # The second, because looking for the engine's log would prepare this process for a real engine.
    with (
        mock.patch("evalkit.backends.vllm.start", start),
        mock.patch("evalkit.backends.vllm.gc"),  # a stub leaves nothing, and the heap of all tests is large
        mock.patch("evalkit.backends.vllm_engine._quiet", return_value=None),
    ):
        yield Rig(VLLM(**{"model": "stub/model"} | fields), llm, tokenizer)
