"""A reward model inside this program by vLLM's pooling runner: conversations in, numbers out, batched by the engine.

The chat template is the tokenizer's, as in ``evalkit.backends.vllm``. Numbers are those before any sigmoid or softmax
unless ``activation`` is set. A classifier has one number for each label, a process reward model a row for each step.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from evalkit.backends import rejections, reward_wire
from evalkit.backends.reward_wire import NoScores
from evalkit.backends.vllm import VLLM
from evalkit.backends.vllm_engine import VLLMEngine, sentence
from evalkit.core.protocols import Completion, Malformed, Misconfigured, Rejected, Request, Sampling, Transport
from evalkit.core.schema import Usage


@dataclass(kw_only=True)
class VLLMReward(VLLM):
    """A reward model, or another classifier, on the local GPU."""

    task: Literal["classify", "token_classify"] = "classify"
    """One row of numbers for a conversation; or one for each of the tokens that a process reward model scores."""
    activation: bool = False
    """Numbers after the model's sigmoid or softmax (probabilities), not before."""

    def identity(self) -> dict[str, Any]:
        """The settings that change the numbers."""
        return {**super().identity(), "task": self.task, "activation": self.activation}

    async def open(self) -> None:
        """Load the model as a pooling model.

        Raises:
            Misconfigured: vLLM, the GPU or the model is not there or does not fit; or the model gives no such numbers.
        """
        if self._engine is not None:
            return
        await super().open()
        engine: VLLMEngine | None = self._engine
        if engine is None:  # pragma: no cover
            return
        tasks = await engine.llm.get_supported_tasks()
        if self.task not in tasks:
            await self.close()
            raise Misconfigured(
                f"{self.model!r} is no reward model: vLLM has it for {', '.join(tasks) or 'nothing'}, and not for "
                f"{self.task}. A model that writes text judges as judge=vllm/{self.model}"
            )

    def _arguments(self) -> dict[str, Any]:
        pooled = {name: value for name, value in super()._arguments().items() if name != "reasoning_parser"}
        return {"runner": "pooling", **pooled}

    async def complete(self, request: Request) -> Completion:
        """Have one conversation scored; the engine batches it with all others under way."""
        engine = self._engine
        if engine is None:
            raise Misconfigured(f"vLLM with {self.model!r} is asked before it is open")
        tokens = self._tokens(engine, request)
        request_id = uuid.uuid4().hex
        last = None
        try:
            prompt = {"type": "token", "prompt_token_ids": tokens}
            params = engine.pooling(task=self.task, use_activation=self.activation)
            async for output in engine.llm.encode(prompt, params, request_id):
                last = output
        except asyncio.CancelledError:
            await engine.llm.abort(request_id)
            raise
        except engine.dead as error:
            raise self._died(engine, error) from error
        except engine.invalid as error:
            raise rejections.rejected(f"vLLM does not take this request: {sentence(error)}", str(error)) from error
        except engine.failed as error:
            raise Transport(f"vLLM lost this request: {sentence(error.__cause__ or error)}") from error
        if last is None:
            raise Malformed("vLLM ended the request without numbers", body="")
        try:
            numbers = reward_wire.pooled(last.outputs.data.tolist())
        except NoScores as error:
            raise Malformed(
                f"no scores in what {self.model!r} gives: {error}", body=str(last.outputs.data)[:2000]
            ) from None
        return Completion(msgspec.json.encode(numbers).decode(), usage=Usage(len(tokens)), model=self.model)

    def _tokens(self, engine: VLLMEngine, request: Request) -> list[int]:
        """The whole conversation through the chat template, checked against the model's context."""
        tokens: list[int] = engine.tokenizer.encode(self._rendered(engine, request), add_special_tokens=False)
        if len(tokens) > engine.max_model_len:
            raise Rejected(
                f"the conversation has {len(tokens)} tokens, and {self.model!r} is loaded with max_model_len="
                f"{engine.max_model_len}; nothing is cut off. Raise max_model_len if the model allows more"
            )
        return tokens

    def _templated(self, sampling: Sampling, *, prefill: bool) -> dict[str, Any]:
        """Nothing is continued: the last answer is whole."""
        return {**super()._templated(sampling, prefill=False), "add_generation_prompt": False}
