"""The backend of reward models by vLLM over a stub of the engine; test_reward_engines.py has the real one."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest import mock

from evalkit.backends.vllm_engine import VLLMEngine
from evalkit.backends.vllm_reward import VLLMReward
from tests.backends.rigs.vllm import Died, Failed, StubTokenizer, go_wrong

NO_TEXT = "a reward model writes no text: its numbers are there or not"
IMPOSSIBLE = {"truncation": NO_TEXT, "refusal": NO_TEXT}
WRITES = False


class Numbers:
    """A tensor as far as the backend uses it."""

    def __init__(self, *values):
        self.values = values

    def tolist(self):
        return list(self.values)


@dataclass
class StubLLM:
    """AsyncLLM of a pooling model. ``script`` is what happens to the next requests; then all is well."""

    script: deque[str] = field(default_factory=deque)
    aborted: list[str] = field(default_factory=list)
    asked: list[SimpleNamespace] = field(default_factory=list)
    tasks: tuple[str, ...] = ("classify", "token_classify")

    async def get_supported_tasks(self):
        return self.tasks

    async def encode(self, prompt, params, request_id):
        self.asked.append(SimpleNamespace(prompt=prompt, params=params))
        situation = self.script.popleft() if self.script else "success"
        await go_wrong(situation)
        value = float("nan") if situation == "garbage" else 0.5
        yield SimpleNamespace(outputs=SimpleNamespace(data=Numbers(value)))

    async def abort(self, request_id):
        self.aborted.append(request_id)

    def shutdown(self, timeout):
        pass


@dataclass
class Rig:
    backend: VLLMReward
    llm: StubLLM

    def provoke(self, *situations):
        self.llm.script.extend(situations)


@contextmanager
def rig(**fields):
    llm = StubLLM()

    async def start(arguments):
        assert arguments["runner"] == "pooling"
        most = arguments["max_model_len"] or 2048
        return VLLMEngine(
            llm=llm,
            tokenizer=StubTokenizer(),
            max_model_len=most,
            params=SimpleNamespace,
            dead=(Died,),
            failed=(Failed,),
        )

    with (
        mock.patch("evalkit.backends.vllm.start", start),
        mock.patch("evalkit.backends.vllm.gc"),  # a stub leaves nothing, and the heap of all tests is large
        mock.patch("evalkit.backends.vllm_engine._quiet", return_value=None),
    ):
        yield Rig(VLLMReward(**{"model": "stub/model"} | fields), llm)
