"""llama.cpp inside this process: no GPU, no key, no server to start.

xllamacpp's engine batches its slots continuously and releases the GIL, so each request waits in a thread of its own.
Requests and answers are the OpenAI wire format as bytes.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from evalkit.backends import chat_completions, provider
from evalkit.backends.provider import Detail
from evalkit.core.protocols import (
    Backend,
    Completion,
    EvalkitError,
    Misconfigured,
    PrefixCache,
    Rejected,
    ReplySchema,
    Request,
    Transport,
)


class LlamaCppEngine(Protocol):
    """What is used of ``xllamacpp.Server``."""

    def handle_chat_completions(self, prompt: bytes, callback: Callable[[bytes], bool], /) -> None:
        """Answer; each event of a stream, or the whole body, goes to ``callback``, which returns True to stop."""

    def handle_metrics(self) -> str:
        """Counters in Prometheus' text format."""


@dataclass(kw_only=True)
class LlamaCpp(Backend):
    """A GGUF model run by llama.cpp.

    llama.cpp reuses the longest prompt prefix a slot remembers, and computes several slots in one batch. Both round
    differently, so log-probabilities move a little (0.1 is common on 4-bit weights) with what else is running.
    For numbers that repeat exactly: ``slots: 1`` and ``extra: {cache_prompt: false}`` in the sampling.
    """

    model: str
    """Path of a GGUF file, or the name of a pinned one (``evalkit.datasets.artifacts``)."""
    context: int = 8192
    """Tokens of prompt and answer together, for each slot."""
    slots: int = 4
    """Requests computed together."""
    threads: int | None = None
    """CPU threads; default: the cores that are idle when it loads."""
    cache_mib: int = 1024
    """Memory for prompts that no slot holds any more, so that one that begins alike is not computed again. 0: none."""
    seed: int | None = None
    """For requests that name none."""
    timeout: float = 600.0
    _engine: LlamaCppEngine | None = field(default=None, init=False, repr=False, compare=False)
    _pool: ThreadPoolExecutor | None = field(default=None, init=False, repr=False, compare=False)
    _running: set[threading.Event] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def concurrency(self) -> int:
        """Requests at once, one a slot; more would only queue inside the engine."""
        return self.slots

    @property
    def prefix_cache(self) -> PrefixCache:
        """A slot reuses what its last prompt and the next one both begin with."""
        return "slots"

    def identity(self) -> Mapping[str, Any]:
        """The weights, which carry their chat template, and the context size.

        Threads and slots are left out: they change rounding, not the model. So is the engine's version: it is dated and
        changes weekly, and must not make every stored answer stale; the run's manifest records it.
        """
        path = self._path()
        if path is None:
            from evalkit.datasets.artifacts import artifact

            pinned = artifact(self.model)
            name, sha256 = pinned.file, pinned.sha256
        else:
            stat = path.stat()
            name, sha256 = path.name, _sha256(path.absolute(), stat.st_size, stat.st_mtime_ns)
        identity = {"model": name, "sha256": sha256, "context": self.context}
        return identity if self.seed is None else identity | {"seed": self.seed}

    async def open(self) -> None:
        """Fetch the weights if need be, and load them."""
        if self._engine is not None:
            return
        try:
            import xllamacpp  # noqa: F401 - before a download that would be for nothing
        except ImportError as error:
            raise Misconfigured(
                f"the embedded llama.cpp is not installed ({error}): pip install 'evalkit[local]'"
            ) from error
        path = self._path()
        if path is None:
            from evalkit.datasets.artifacts import fetch

            path = await fetch(self.model)
        self._engine = await asyncio.to_thread(self._load, path)
        self._pool = ThreadPoolExecutor(self.slots, thread_name_prefix="llamacpp")

    async def complete(self, request: Request) -> Completion:
        """Ask once. Cancelling frees the slot at the next token (with log-probabilities: at the end)."""
        if self._engine is None or self._pool is None:
            raise RuntimeError("LlamaCpp.complete() before open()")
        # Its grammars hold any model to a schema; a tool's call needs a template that knows of tools.
        reply = request.reply
        if isinstance(reply, ReplySchema) and reply.means == "tool":
            request = msgspec.structs.replace(request, reply=msgspec.structs.replace(reply, means="json"))
        body = chat_completions.body(request, self.model)
        if self.seed is not None:
            body.setdefault("seed", self.seed)
        if request.sampling.effort is not None:
            body["chat_template_kwargs"] = {"reasoning_effort": body.pop("reasoning_effort")} | body.get(
                "chat_template_kwargs", {}
            )
        # A stream can be stopped half way. But it withholds tokens that end inside a character or a stop string, and
        # their log-probabilities with them, so requests for those (mostly one token long) are answered in one piece.
        stream = request.sampling.top_logprobs is None
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
        stop = threading.Event()
        self._running.add(stop)
        try:
            events = await asyncio.get_running_loop().run_in_executor(
                self._pool, _generate, self._engine, chat_completions.encode(body), stop
            )
            closed = stop.is_set()
        finally:
            stop.set()
            self._running.discard(stop)
        if closed:
            raise Transport("the embedded llama.cpp was closed before it had answered")
        if stream:
            return chat_completions.decode_stream(events, self._error)
        return chat_completions.decode(b"".join(events), self._error, request)

    async def close(self) -> None:
        """Stop what is running and free the memory."""
        engine, pool, self._engine, self._pool = self._engine, self._pool, None, None
        for stop in self._running:
            stop.set()
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        if engine is not None:
            del engine  # the last reference: frees weights and cache
            gc.collect()

    def counters(self) -> dict[str, int]:
        """Prompt tokens computed and prompt tokens found in the cache, since loading."""
        if self._engine is None:
            return {}
        found = dict(re.findall(r"^llamacpp:(\w+) (\d+)", self._engine.handle_metrics(), re.MULTILINE))
        names = {"prompt_tokens_evaluated": "prompt_tokens_total", "prompt_tokens_cached": "prompt_tokens_cached_total"}
        return {ours: int(found.get(theirs, 0)) for ours, theirs in names.items()}

    def _path(self) -> Path | None:
        """The file ``model`` points to; None if it names a pinned file."""
        path = Path(self.model).expanduser()
        if path.is_file():
            return path
        if path.suffix == ".gguf" or len(path.parts) > 1:
            raise Misconfigured(
                f"no model file {self.model!r}: give the path of a GGUF file, or the name of a pinned one"
            )
        return None

    def _load(self, path: Path) -> LlamaCppEngine:
        """Load the weights; takes seconds."""
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise Misconfigured(f"{str(path)!r} is not a GGUF file: convert the model with llama.cpp, or use vllm")
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {path.name}  # what answers are labelled with; otherwise the whole path
        params.n_ctx = self.context * self.slots
        params.n_parallel = self.slots
        # Not one pool for all (it is no faster): one long request in it makes the engine fail the others with a 500.
        params.kv_unified = False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self.threads or _idle_cores()
        params.cache_ram_mib = self.cache_mib  # its own default is 8 GiB
        params.verbosity = -1  # errors included: they come back in the answer, and stderr is the progress display's
        params.endpoint_metrics = True
        # The engine also listens on a random loopback port. Nobody is to use it.
        params.api_keys = [secrets.token_hex()]
        params.ui = params.endpoint_slots = False
        try:
            engine: LlamaCppEngine = xllamacpp.Server(params)
        except RuntimeError as error:
            raise Misconfigured(
                f"llama.cpp cannot load {str(path)!r} with context={self.context} and slots={self.slots}: "
                f"the file may be damaged or too new for the installed xllamacpp, or memory too small; "
                f"try fewer slots, a smaller context, or pip install -U xllamacpp"
            ) from error
        return engine

    def _error(self, status: int, detail: Detail) -> EvalkitError:
        return provider.http_error(
            status, detail, where="the embedded llama.cpp", model=self.model, key="(it needs no key)"
        )


def _generate(engine: LlamaCppEngine, body: bytes, stop: threading.Event) -> list[bytes]:
    """Runs in a thread of the pool."""
    events: list[bytes] = []

    def receive(event: bytes) -> bool:
        events.append(event)
        return stop.is_set()

    if stop.is_set():
        return events
    try:
        engine.handle_chat_completions(body, receive)
    except ValueError as error:
        raise Rejected(f"the embedded llama.cpp does not take this request: {provider.clean(str(error))}") from error
    except RuntimeError as error:
        raise Transport(f"the embedded llama.cpp failed: {provider.clean(str(error))}") from error
    return events


def _idle_cores(seconds: float = 0.25) -> int:
    """Cores that nothing else keeps busy just now; all of them where the system does not tell.

    The engine's threads wait for each other at every layer, spinning: one that shares its core with other work slows
    all of them tenfold.
    """
    cores = os.cpu_count() or 1
    before = _processor_times()
    time.sleep(seconds)
    after = _processor_times()
    if before is None or after is None or sum(after) <= sum(before):
        return cores
    idle = (after[3] - before[3]) / (sum(after) - sum(before))
    return min(cores, max(1, round(cores * idle)))


def _processor_times() -> tuple[int, ...] | None:
    """Ticks of all cores together since boot: user, nice, system, idle, ...; None where there is no /proc/stat."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    return tuple(int(ticks) for ticks in first.split()[1:9])


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime: int) -> str:
    """Content hash; computed again when size or time changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
