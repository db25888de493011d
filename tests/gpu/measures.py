"""The measurements of tests/gpu/check. Engines run in processes of their own, which leave nothing on the GPU."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
MODELS = ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceH4/zephyr-7b-beta")
MARK = "RESULT "
LEAST_RATIO = 0.95
"""Of a bare LLM.chat's tokens per second."""
LEAST_HITS = 0.5
"""Of prompt tokens, where every request after the first shares a long prefix."""
MOST_LEFT = 0.05
"""Of the memory that the generator held, after it was closed."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi sees it; memory in MiB."""

    name: str
    total: float
    used: float


@dataclass(frozen=True)
class Finding:
    """One measurement of one model."""

    what: str
    model: str
    good: bool | None
    """None: it could not be measured, and ``values`` says why."""
    values: dict[str, Any] = field(default_factory=dict)


def gpus(run: Callable[..., Any] = subprocess.run) -> list[Gpu]:
    """The CUDA GPUs of this machine; none where there is no nvidia-smi or it fails."""
    program = shutil.which("nvidia-smi") if run is subprocess.run else "nvidia-smi"
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits"]
    done = run(query, capture_output=True, text=True)
    return read_gpus(done.stdout) if done.returncode == 0 else []


def read_gpus(text: str) -> list[Gpu]:
    """What nvidia-smi printed, a line a GPU; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        name, *numbers = [one.strip() for one in line.rsplit(",", 2)]
        try:
            total, used = map(float, numbers)
        except ValueError:
            continue
        found.append(Gpu(name, total, used))
    return found


def speed(model: str, ours: Sequence[float], bare: Sequence[float]) -> Finding:
    """Tokens per second of the backend beside those of a bare LLM.chat, from repeats of both."""
    ratio = median(ours) / median(bare)
    values = {"evalkit": round(median(ours), 1), "bare": round(median(bare), 1), "ratio": round(ratio, 3)}
    return Finding("tokens_per_second", model, ratio >= LEAST_RATIO, values)


def memory(model: str, before: float, loaded: float, after: float) -> Finding:
    """How much of what a generator held is free before the judge is loaded, in MiB over all GPUs."""
    held = loaded - before
    values = {"before_mib": before, "loaded_mib": loaded, "after_mib": after}
    if held <= 0:
        return Finding("memory_freed", model, None, values | {"why": "the engine held nothing that nvidia-smi shows"})
    left = max(0.0, after - before) / held
    return Finding("memory_freed", model, left <= MOST_LEFT, values | {"left": round(left, 3)})


def prefix(model: str, cached: int, prompt: int) -> Finding:
    """Which share of prompt tokens, after the first request, came from the prefix cache."""
    if not prompt:
        return Finding("prefix_cache", model, None, {"why": "no prompt tokens were counted"})
    share = cached / prompt
    return Finding(
        "prefix_cache", model, share >= LEAST_HITS, {"cached": cached, "prompt": prompt, "share": round(share, 3)}
    )


def parallel(model: str, one: Sequence[str], two: Sequence[str], speeds: tuple[float, float]) -> Finding:
    """Whether two GPUs answer as one does: rounding differs, so beginnings are compared; and how fast they are."""
    same = sum(a[:20] == b[:20] for a, b in zip(one, two, strict=True))
    good = bool(two) and all(two) and same >= len(one) / 2
    values = {"answers": len(two), "same_beginning": same, "one": round(speeds[0], 1), "two": round(speeds[1], 1)}
    return Finding("tensor_parallel", model, good, values)


def report(found: Sequence[Finding], machine: Sequence[Gpu]) -> dict[str, Any]:
    """The one JSON."""
    return {
        "schema": "evalkit.gpu_check/1",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("vllm", "torch", "evalkit") if importlib.util.find_spec(name)},
        "gpus": [asdict(one) for one in machine],
        "good": all(one.good is not False for one in found),
        "findings": [asdict(one) for one in found],
    }


# --- what runs in processes of their own


def answered(model: str, contents: Sequence[str], tokens: int, **engine: Any) -> dict[str, Any]:
    """Answers of the backend to messages, in order: texts, tokens, what was cached, and seconds."""
    from evalkit.backends.vllm import VLLM
    from evalkit.core.protocols import Message, Request, Sampling

    async def run() -> dict[str, Any]:
        backend = VLLM(model=model, max_model_len=2048, **engine)
        await backend.open()
        loaded = sum(one.used for one in gpus())
        sampling = Sampling(temperature=0, max_tokens=tokens, extra={"ignore_eos": True})
        requests = [Request((Message("user", text),), sampling) for text in contents]
        first = await backend.complete(requests[0])
        start = time.perf_counter()
        rest = await asyncio.gather(*map(backend.complete, requests[1:]))
        seconds = time.perf_counter() - start
        await backend.close()
        time.sleep(2)  # the driver takes a moment to count
        return {
            "texts": [one.text for one in (first, *rest)],
            "prompt": sum(one.usage.prompt_tokens or 0 for one in rest),
            "cached": sum(one.usage.cached_tokens or 0 for one in rest),
            "speed": tokens * len(rest) / seconds,
            "loaded": loaded,
            "after": sum(one.used for one in gpus()),
        }

    return asyncio.run(run())


def apart(name: str, **arguments: Any) -> Any:
    """What a function of this module returns in a process of its own.

    Raises:
        RuntimeError: the process failed; with the end of what it printed.
    """
    code = (
        "import json, sys; from tests.gpu import measures\n"
        f"print({MARK!r} + json.dumps(getattr(measures, {name!r})(**json.loads(sys.argv[1]))))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VLLM_NO_USAGE_STATS": "1"}
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise RuntimeError((done.stderr or done.stdout).strip()[-2000:])
    return json.loads(lines[-1].removeprefix(MARK))


def throughput(model: str) -> Finding:
    """Both sides of tests/perf/vllm_throughput.py, in turns."""
    sys.path.insert(0, str(ROOT / "tests" / "perf"))
    import vllm_throughput

    options = argparse.Namespace(model=model, prompts=64, tokens=128, batches=2)
    sides: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(2):
        for side in ("ours", "bare") if turn == 0 else ("bare", "ours"):
            seconds = vllm_throughput.measure(side, options)["seconds"]
            sides[side] += [options.prompts * options.tokens / one for one in seconds]
    return speed(model, sides["ours"], sides["bare"])


SHARED = "You are a careful judge of answers. " * 40
QUESTIONS = tuple(f"{SHARED}\nAnswer {number}: is it good?" for number in range(33))


def measured(model: str, machine: Sequence[Gpu]) -> list[Finding]:
    """All measurements of one model; one that fails does not keep the others from being made."""
    found = []
    before = sum(one.used for one in gpus())

    def attempt(what: str, make: Callable[[], list[Finding]]) -> None:
        try:
            found.extend(make())
        except (RuntimeError, SystemExit) as error:
            found.append(Finding(what, model, False, {"why": str(error)}))

    def one_engine() -> list[Finding]:
        got = apart("answered", model=model, contents=QUESTIONS, tokens=32)
        return [memory(model, before, got["loaded"], got["after"]), prefix(model, got["cached"], got["prompt"])]

    def two_gpus() -> list[Finding]:
        one = apart("answered", model=model, contents=QUESTIONS[:9], tokens=64)
        two = apart("answered", model=model, contents=QUESTIONS[:9], tokens=64, tensor_parallel_size=2)
        return [parallel(model, one["texts"], two["texts"], (one["speed"], two["speed"]))]

    attempt("tokens_per_second", lambda: [throughput(model)])
    attempt("memory_freed", one_engine)
    if len(machine) >= 2:
        attempt("tensor_parallel", two_gpus)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests/gpu/check", description="The vLLM backend on a CUDA GPU, as one JSON.")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="MODEL", help="ids or folders")
    models = parser.parse_args(arguments).models
    machine = gpus()
    missing = "no CUDA GPU here: nvidia-smi shows none" if not machine else None
    if missing is None and importlib.util.find_spec("vllm") is None:
        missing = "vLLM is not installed: pip install -e '.[vllm]'"
    if missing is not None:
        sys.stderr.write(f"{missing}; nothing was measured\n")
        return 2
    told = report([one for model in models for one in measured(model, machine)], machine)
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 0 if told["good"] else 1
