"""Everything that touches the vllm package: loading the engine, keeping it quiet, and finding out why it failed."""

from __future__ import annotations

import asyncio
import atexit
import functools
import importlib
import json
import multiprocessing
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evalkit.core.protocols import Misconfigured

_PATIENCE = 30
"""Seconds for the engine's processes to end by themselves; vLLM's own 5 s leave shared memory behind."""

_RECORD = re.compile(r"^(?=(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) )", re.MULTILINE)
_RAISED = re.compile(r"^[\w.]*(?:Error|Exception): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class VLLMEngine:
    """All that the backend uses of vLLM, gathered once it is loaded. Tests put a stub here."""

    llm: Any
    """Has ``generate(prompt, params, request_id)``, an asynchronous iterator; ``abort(request_id)``; ``shutdown``."""
    tokenizer: Any
    """``apply_chat_template``, ``chat_template`` and ``encode``, as in transformers."""
    max_model_len: int
    params: Callable[..., Any]
    """Makes vLLM's SamplingParams of its fields."""
    pooling: Callable[..., Any] = SimpleNamespace
    """Makes vLLM's PoolingParams of its fields, for ``llm.encode``."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Sampling fields of the model's own generation config."""
    parted: Callable[[str], tuple[str, str]] | None = None
    """Parts a reply into thinking and answer, where the model has a reasoning parser of vLLM's."""
    invalid: tuple[type[Exception], ...] = (ValueError, TypeError)
    """Raised where the request is at fault."""
    dead: tuple[type[Exception], ...] = ()
    """Raised by every request once the engine's process is gone. Looked at first."""
    failed: tuple[type[Exception], ...] = (RuntimeError,)
    """Raised where one request was lost, and may be asked again. Looked at last."""
    processes: tuple[BaseProcess, ...] = ()
    """What holds the GPU."""
    since: int = 0
    """Where this engine's part of the log begins."""

    def shutdown(self) -> None:
        """End the engine, and return when its processes are gone: the next one needs their GPU memory."""
        self.llm.shutdown(timeout=_PATIENCE)
        for process in self.processes:
            process.join(_PATIENCE)


async def start(arguments: Mapping[str, Any]) -> VLLMEngine:
    """Load a model. In a thread: it takes minutes, and other backends are to go on meanwhile.

    Args:
        arguments: Of vLLM's AsyncEngineArgs.

    Raises:
        Misconfigured: vLLM, the GPU or the model is not there or does not fit, and what to do.
    """
    _quiet()
    # Apart, because vLLM keeps exceptions of its imports, and they keep every frame below, engine and all.
    await asyncio.to_thread(_import)
    return await asyncio.to_thread(_load, arguments)


def _import() -> None:
    try:
        importlib.import_module("vllm.v1.engine.async_llm")
        from vllm.platforms import current_platform
    except (ImportError, OSError) as error:  # OSError: a shared library is missing or does not match
        if isinstance(error, ModuleNotFoundError) and error.name == "vllm":
            raise Misconfigured(
                "vLLM is not installed: pip install 'evalkit[vllm]' (needs a CUDA GPU), or use model=smollm2 "
                "(no GPU, no key), or model=openai_compatible with a running server"
            ) from error
        raise Misconfigured(
            f"vLLM is installed but cannot be imported: {sentence(error)}; try: pip install -U 'evalkit[vllm]'"
        ) from error
    if not current_platform.device_type:
        raise Misconfigured(
            "vLLM finds no GPU on this machine (nvidia-smi lists those that the driver sees); use model=smollm2 "
            "(no GPU, no key), or model=openai_compatible with a server that runs elsewhere"
        )


def _load(arguments: Mapping[str, Any]) -> VLLMEngine:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.exceptions import VLLMClientError, VLLMError
    from vllm.pooling_params import PoolingParams
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.engine.exceptions import EngineDeadError

    since = _log_size()
    others = set(multiprocessing.active_children())
    try:
        llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, LookupError, AttributeError, VLLMError) as error:
        # That many, because transformers and a model's own code raise what they like about a wrong folder.
        hint = ". A gated model needs: hf auth login" if isinstance(error, OSError) else ""
        raise Misconfigured(
            f"vLLM cannot load model={arguments.get('model')!r}: {cause_of(error, since)}{hint}"
        ) from error

    def params(*, structured_outputs: Any = None, **fields: Any) -> Any:
        if isinstance(structured_outputs, Mapping):  # as YAML has it
            structured_outputs = StructuredOutputsParams(**structured_outputs)
        return SamplingParams(structured_outputs=structured_outputs, output_kind=RequestOutputKind.FINAL_ONLY, **fields)

    return VLLMEngine(
        llm=llm,
        parted=_reasoning_parser(arguments.get("reasoning_parser"), llm.tokenizer),
        tokenizer=llm.tokenizer,
        max_model_len=llm.model_config.max_model_len,
        params=params,
        pooling=PoolingParams,
        defaults=llm.model_config.get_diff_sampling_param(),
        invalid=(VLLMClientError, ValueError, TypeError, AssertionError),  # its checks of a field's type are asserts
        dead=(EngineDeadError,),
        failed=(VLLMError, RuntimeError),
        since=since,
        processes=tuple(set(multiprocessing.active_children()) - others),
    )


def _reasoning_parser(name: str | None, tokenizer: Any) -> Callable[[str], tuple[str, str]] | None:
    """Find vLLM's reasoning parser of that name, as a function from a reply to thinking and answer."""
    if not name:
        return None
    from vllm.reasoning import ReasoningParserManager

    try:
        parser = ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
    except (KeyError, ValueError, RuntimeError) as error:  # no such parser, or its tokens are not the tokenizer's
        raise Misconfigured(f"vLLM takes no reasoning_parser={name!r} for this model: {sentence(error)}") from error
    request = SimpleNamespace(chat_template_kwargs={})  # parsers look at nothing else of a server's request

    def parted(text: str) -> tuple[str, str]:
        thinking, answer = parser.extract_reasoning(text, request)
        return thinking or "", answer or ""

    return parted


def sentence(error: BaseException) -> str:
    """The first line that says something; pydantic's errors keep theirs elsewhere."""
    details = getattr(error, "errors", None)
    text = str(details()[0]["msg"]) if callable(details) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _short(lines[0].removeprefix("Value error, ")) if lines else type(error).__name__


def _short(line: str) -> str:
    """The beginning of an error for a message to a person, who gets the whole from the log."""
    shown = "".join(character if character.isprintable() else " " for character in line)
    return (shown if len(shown) <= 300 else f"{shown[:299]}…").rstrip(".")


def cause_of(error: BaseException, since: int) -> str:
    """Why the engine did not start, or died.

    Its own process knows and logs it; this process only hears that it ended. The first process to fail has the cause:
    those that follow fail because it did.
    """
    log = _quiet()
    if log is None or not log.exists():
        return sentence(error)
    records = _RECORD.split(log.read_bytes()[since:].decode(errors="replace"))
    first = next((record for record in records if record.startswith("ERROR ")), None)
    if first is None:
        return sentence(error)
    raised = _RAISED.findall(first)
    cause = raised[-1] if raised else first.splitlines()[0].split(" ", 4)[-1]
    atexit.unregister(_sweep)
    return f"{_short(cause)} (vLLM's log: {log})"


def _log_size() -> int:
    log = _quiet()
    return log.stat().st_size if log is not None and log.exists() else 0


@functools.cache
def _quiet() -> Path | None:
    """Send vLLM's log to a file, before vLLM is imported: on stdout it would mix with the data a user asked for.

    The engine's processes inherit this. A user who set one of vLLM's own logging variables gets what it says.

    Returns:
        The file, or None.
    """
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")  # its libraries' warnings to its developers
    # Forking a process with threads, like a progress display's, can leave their locks held for ever in the child.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    if any(f"VLLM_{name}" in os.environ for name in ("CONFIGURE_LOGGING", "LOGGING_LEVEL", "LOGGING_CONFIG_PATH")):
        return None
    folder = Path(tempfile.mkdtemp(prefix="evalkit-vllm-"))
    log, config = folder / "engine.log", folder / "logging.json"
    text = {"format": "%(levelname)s %(asctime)s %(processName)s %(message)s"}
    handler = {"class": "logging.FileHandler", "filename": str(log), "formatter": "text", "delay": True}
    logger = {"handlers": ["file"], "level": "INFO", "propagate": False}
    setup = {"version": 1, "disable_existing_loggers": False, "formatters": {"text": text}}
    config.write_text(json.dumps(setup | {"handlers": {"file": handler}, "loggers": {"vllm": logger}}))
    os.environ["VLLM_LOGGING_CONFIG_PATH"] = str(config)
    atexit.register(_sweep, folder)
    return log


def _sweep(folder: Path) -> None:
    """Remove the log at exit, unless a message has sent someone to it."""
    shutil.rmtree(folder, ignore_errors=True)
