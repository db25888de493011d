"""vLLM inside this program: its asynchronous engine, one stream per request, so each answer returns as it completes.

Chat templates come from the tokenizer, never from a guess by model name. A sampling field that is not set takes the
value of the model's own ``generation_config.json``, else vLLM's neutral one (temperature 1): the rule of ``vllm
serve``, so a model answers here as it does there. ``engine: {generation_config: vllm}`` ignores that file.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.backends import rejections
from evalkit.backends.vllm_engine import VLLMEngine, cause_of, sentence, start
from evalkit.core.protocols import (
    Backend,
    Completion,
    Malformed,
    Misconfigured,
    PrefixCache,
    Rejected,
    ReplySchema,
    Request,
    Sampling,
    Transport,
)
from evalkit.core.schema import Usage, digest

NEUTRAL = frozenset({
    "async_scheduling", "block_size", "cpu_offload_gb", "data_parallel_size", "disable_log_stats",
    "distributed_executor_backend", "download_dir", "enable_chunked_prefill", "enable_prefix_caching",
    "kv_cache_memory_bytes", "load_format", "max_logprobs", "max_num_batched_tokens", "max_num_seqs",
    "pipeline_parallel_size", "safetensors_load_strategy", "swap_space", "use_tqdm_on_load",
})  # fmt: skip
"""Engine arguments that change speed and memory only. Any other one counts as part of who the model is."""

LOWEST = -9999.0
"""Log-probability in place of minus infinity, which JSON cannot say; the same as in vLLM's server."""


@dataclass(kw_only=True)
class VLLM(Backend):
    """A model on the local GPU."""

    model: str
    """Hugging Face id, or a folder."""
    revision: str | None = None
    dtype: str = "auto"
    quantization: str | None = None
    """None: as the checkpoint says."""
    max_model_len: int | None = None
    """Most tokens of prompt and answer together. None: as the model says."""
    chat_template: str | None = None
    """Jinja text, or the path of a file. None: the tokenizer's own."""
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False
    trust_remote_code: bool = False
    seed: int = 0
    reasoning_parser: str | None = None
    """vLLM's reader of this model's thinking (``deepseek_r1``, ``qwen3``). None: its marks tell, as for any model."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Any further argument of vLLM's AsyncEngineArgs."""
    concurrency: int = 256
    """The engine batches continuously: what it has no room for waits inside it."""
    timeout: float = 1800
    _engine: VLLMEngine | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def exclusive(self) -> bool:
        """The engine reserves ``gpu_memory_utilization`` of the GPU for itself."""
        return True

    @property
    def prefix_cache(self) -> PrefixCache | None:
        """Blocks of tokens, whoever computed them; on unless ``engine`` says ``enable_prefix_caching: false``."""
        return "shared" if self.engine.get("enable_prefix_caching", True) else None

    def identity(self) -> dict[str, Any]:
        """The settings that change what the model says.

        Neither vLLM's version nor the number of GPUs is in it: they move the last bits of a logit, and rows that
        went stale with each patch release would be worse; the run's manifest records versions. ``max_model_len`` is
        in it: a row that failed on it is asked again only if raising it makes the model another one.
        """
        return {
            "model": self.model,
            "revision": self.revision,
            "files": _stamp(Path(self.model)),
            "dtype": self.dtype,
            "quantization": self.quantization,
            "max_model_len": self.max_model_len,
            "chat_template": None if self.chat_template is None else digest(self._template()),
            "seed": self.seed,
            "engine": {name: value for name, value in self.engine.items() if name not in NEUTRAL},
            # only where it is set, so that models without one stay who they were
            **({"reasoning_parser": self.reasoning_parser} if self.reasoning_parser is not None else {}),
        }

    async def open(self) -> None:
        """Load the model into the engine's own process."""
        self._template()  # a wrong path is worth knowing before those minutes
        if self.model.startswith(("/", "./", "../", "~")) and not Path(self.model).is_dir():
            raise Misconfigured(f"model={self.model!r} is not a folder here; it is one, or a Hugging Face id")
        if self._engine is None:
            self._engine = await start(self._arguments())

    async def close(self) -> None:
        """End the engine's process, and with it everything that it holds of the GPU."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)
            del engine
            gc.collect()  # vLLM's objects refer to each other; left to the interpreter's exit, they fail noisily

    async def complete(self, request: Request) -> Completion:
        """Answer one request; the engine batches it with all others under way."""
        engine = self._engine
        if engine is None:
            raise Misconfigured(f"vLLM with {self.model!r} is asked before it is open")
        tokens = self._tokens(engine, request)
        params = _params(engine, request)
        request_id = uuid.uuid4().hex
        last = None
        try:
            prompt = {"type": "token", "prompt_token_ids": tokens}  # without the type, vLLM would prepare it again
            async for output in engine.llm.generate(prompt, params, request_id):
                last = output
        except asyncio.CancelledError:
            await engine.llm.abort(request_id)  # or it would go on generating for nobody
            raise
        except engine.dead as error:
            raise self._died(engine, error) from error
        except engine.invalid as error:
            raise rejections.rejected(f"vLLM does not take this request: {sentence(error)}", str(error)) from error
        except engine.failed as error:
            raise Transport(f"vLLM lost this request: {sentence(error.__cause__ or error)}") from error
        return _completion(last, engine, model=self.model, prompt_tokens=len(tokens))

    def _died(self, engine: VLLMEngine, error: Exception) -> Misconfigured:
        return Misconfigured(
            f"the vLLM engine of {self.model!r} died: {cause_of(error, engine.since)}. If memory ran out, lower "
            "gpu_memory_utilization, max_model_len or engine.max_num_seqs. The same command goes on from here"
        )

    def _arguments(self) -> dict[str, Any]:
        """The fields as vLLM's engine arguments; ``engine`` has the last word."""
        return {
            "model": self.model,
            "revision": self.revision,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "max_model_len": self.max_model_len,
            "tensor_parallel_size": self.tensor_parallel_size,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "enforce_eager": self.enforce_eager,
            "trust_remote_code": self.trust_remote_code,
            "seed": self.seed,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            **({"reasoning_parser": self.reasoning_parser} if self.reasoning_parser is not None else {}),
        } | dict(self.engine)

    def _tokens(self, engine: VLLMEngine, request: Request) -> list[int]:
        """The prompt through the chat template, checked against the model's context."""
        # The template writes the special tokens itself; the tokenizer would add a second beginning-of-text.
        tokens: list[int] = engine.tokenizer.encode(self._rendered(engine, request), add_special_tokens=False)
        if len(tokens) >= engine.max_model_len:
            raise Rejected(
                f"the prompt has {len(tokens)} tokens, and {self.model!r} is loaded with max_model_len="
                f"{engine.max_model_len}, which the answer shares; raise max_model_len if the model allows more"
            )
        return tokens

    def _rendered(self, engine: VLLMEngine, request: Request) -> str:
        from jinja2 import TemplateError

        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        if messages[-1:] == [{"role": "assistant", "content": ""}]:
            messages.pop()  # to continue nothing is to answer; transformers would look for "" and cut anywhere
        try:
            return self._through_template(engine, messages, request.sampling)
        except (TemplateError, ValueError) as error:
            reason = sentence(error)
        without = [message for message in messages if message["role"] != "system"]
        if without != messages:
            try:
                self._through_template(engine, without, request.sampling)
            except (TemplateError, ValueError):
                pass  # then the system message is not what is wrong
            else:
                raise Rejected(
                    "move the system text into the first user message: model.NAME.system_role=user (the chat template "
                    f"of {self.model!r} takes no system message: {reason})",
                    no_system=True,
                )
        raise Rejected(f"the chat template of {self.model!r} does not take these messages: {reason}")

    def _through_template(self, engine: VLLMEngine, messages: list[dict[str, str]], sampling: Sampling) -> str:
        template = self._template()
        if template is None and not engine.tokenizer.chat_template:
            raise Misconfigured(
                f"{self.model!r} has no chat template (a base model?); set chat_template to one, as text or as a path"
            )
        prefill = bool(messages) and messages[-1]["role"] == "assistant"
        text: str = engine.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            chat_template=template,
            **self._templated(sampling, prefill=prefill),
        )
        return text

    def _templated(self, sampling: Sampling, *, prefill: bool) -> dict[str, Any]:
        """What else the template is told; ``prefill``: the model is to continue the last message."""
        return {
            "add_generation_prompt": not prefill,
            "continue_final_message": prefill,
            **({"reasoning_effort": sampling.effort} if sampling.effort is not None else {}),
            **sampling.extra.get("chat_template_kwargs", {}),
        }

    def _template(self) -> str | None:
        return None if self.chat_template is None else _template(self.chat_template)


@functools.cache  # one reading for identity and prompts alike, so that an edit during a run cannot part them
def _template(text_or_path: str) -> str:
    if set("{}\n") & set(text_or_path):
        return text_or_path
    try:
        return Path(text_or_path).read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(
            f"chat_template={text_or_path!r} cannot be read ({error.strerror}); it is the path of a Jinja file, or the "
            "template itself"
        ) from error


def _params(engine: VLLMEngine, request: Request) -> Any:
    """The request's sampling as vLLM's SamplingParams; ``extra`` takes any further field of theirs."""
    sampling = request.sampling
    if reserved := sorted({"n", "output_kind", "detokenize"} & sampling.extra.keys()):
        raise Rejected(f"sampling.extra must not set {', '.join(reserved)}: one text a request is what evalkit reads")
    fields: dict[str, Any] = {
        "max_tokens": None,
        **engine.defaults,
    }  # unset is 16 in vLLM; None: what the context holds
    fields |= sampling.sent() | sampling.extra
    for ours in ("extra", "chat_template_kwargs", "top_logprobs", "effort", "thinking_tokens"):
        fields.pop(ours, None)
    if sampling.room is not None:
        fields["max_tokens"] = sampling.room
    if isinstance(request.reply, ReplySchema):
        fields["structured_outputs"] = {"json": request.reply.schema}
    if sampling.stop is not None:
        fields["stop"] = list(sampling.stop)
    if sampling.top_logprobs is not None:
        fields["logprobs"] = sampling.top_logprobs
    try:
        return engine.params(**fields)
    except engine.invalid as error:
        said = f"vLLM does not take these sampling fields, {', '.join(fields)}: {sentence(error)}"
        raise rejections.rejected(said, str(error)) from error


def _completion(output: Any, engine: VLLMEngine, *, model: str, prompt_tokens: int) -> Completion:
    """The Completion of vLLM's final RequestOutput."""
    if output is None or not output.outputs:
        raise Malformed("vLLM ended the request without an answer", body=repr(output))
    answer = output.outputs[0]
    if answer.finish_reason not in ("stop", "length", "repetition"):
        raise Transport(f"vLLM gave this request up (finish_reason {answer.finish_reason!r})")
    thinking, text = engine.parted(answer.text) if engine.parted is not None else ("", answer.text)
    return Completion(
        text=text,
        thinking=thinking,
        finish="stop" if answer.finish_reason == "stop" else "length",
        usage=Usage(prompt_tokens, len(answer.token_ids), output.num_cached_tokens or 0),
        logprobs=None if answer.logprobs is None else tuple(_by_text(position) for position in answer.logprobs),
        model=model,
    )


def _by_text(position: Mapping[int, Any]) -> dict[str, float]:
    """Log-probability by token text. Several tokens can read alike; their probabilities add up."""
    merged: dict[str, float] = {}
    for candidate in position.values():
        text, logprob = candidate.decoded_token or "", max(candidate.logprob, LOWEST)
        if text in merged:
            low, high = sorted((merged[text], logprob))
            logprob = high + math.log1p(math.exp(low - high))
        merged[text] = logprob
    return merged


def _stamp(folder: Path) -> str | None:
    """Size and time of a local model's files: training again into the same folder makes another model."""
    if not folder.is_dir():
        return None
    kinds = (".safetensors", ".bin", ".json", ".jinja", ".model")
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    return digest([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files])
