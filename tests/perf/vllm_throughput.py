"""Tokens per second of the vLLM backend against a bare LLM.chat over the same prompts.

    python tests/perf/vllm_throughput.py MODEL [--prompts 16] [--tokens 64] [--repeats 3] [--batches 2]

Both get the same engine arguments and all prompts at once. Each side runs in a process of its own, one at a time, in
alternating order; greedy and past the end of text, so both generate the same number of tokens. The target for the
ratio of the medians is 95%; below it, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time

TARGET = 0.95
MARK = "RESULT "
ENGINE = {"enforce_eager": True, "max_model_len": 1024, "seed": 0}


def questions(count):
    """Prompts that differ from the first word on, so no prefix is shared beyond the template's."""
    topics = ("a river", "copper", "the moon", "bread", "a lighthouse", "chess", "rain", "a bicycle")
    return [f"{index}: write a long story about {topics[index % len(topics)]}." for index in range(count)]


def ours(model, prompts, tokens, batches):
    """Seconds for each batch through the backend, and for loading."""
    from evalkit.backends.vllm import VLLM
    from evalkit.core.protocols import Message, Request, Sampling

    sampling = Sampling(temperature=0, max_tokens=tokens, extra={"ignore_eos": True})
    requests = [Request((Message("user", prompt),), sampling) for prompt in prompts]

    async def run():
        backend = VLLM(model=model, **ENGINE)
        start = time.perf_counter()
        await backend.open()
        load, seconds = time.perf_counter() - start, []
        for _ in range(batches + 1):
            start = time.perf_counter()
            completions = await asyncio.gather(*map(backend.complete, requests))
            seconds.append(time.perf_counter() - start)
            assert sum(completion.usage.completion_tokens for completion in completions) == tokens * len(prompts)
        await backend.close()
        return load, seconds[1:]

    return asyncio.run(run())


def bare(model, prompts, tokens, batches):
    """The same through vLLM's own batch interface."""
    from vllm import LLM, SamplingParams

    start = time.perf_counter()
    llm = LLM(model=model, **ENGINE)
    load, seconds = time.perf_counter() - start, []
    conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
    sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    for _ in range(batches + 1):
        start = time.perf_counter()
        outputs = llm.chat(conversations, sampling, use_tqdm=False)
        seconds.append(time.perf_counter() - start)
        assert sum(len(output.outputs[0].token_ids) for output in outputs) == tokens * len(prompts)
    return load, seconds[1:]  # the first warms up


def measure(side, options):
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, options.model, "--side", side]
    for name in ("prompts", "tokens", "batches"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = os.environ | {"VLLM_WORKER_MULTIPROC_METHOD": "spawn", "VLLM_NO_USAGE_STATS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{side} failed:\n{result.stdout}\n{result.stderr}")
    (line,) = (line for line in result.stdout.splitlines() if line.startswith(MARK))  # LLM logs to stdout as well
    return json.loads(line.removeprefix(MARK))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, default=2, help="timed batches of each repeat")
    parser.add_argument("--side", choices=["ours", "bare"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side = {"ours": ours, "bare": bare}[options.side]
        load, seconds = side(options.model, questions(options.prompts), options.tokens, options.batches)
        print(MARK + json.dumps({"load": load, "seconds": seconds}))
        return
    speeds, loads = {"ours": [], "bare": []}, {"ours": [], "bare": []}
    for repeat in range(options.repeats):
        for side in ("ours", "bare") if repeat % 2 == 0 else ("bare", "ours"):
            result = measure(side, options)
            speeds[side] += [options.prompts * options.tokens / seconds for seconds in result["seconds"]]
            loads[side].append(result["load"])
            shown = ", ".join(f"{speed:.1f}" for speed in speeds[side][-options.batches :])
            print(f"repeat {repeat + 1}: {side} loads in {result['load']:.0f} s, {shown} tokens/s", flush=True)
    middle = {side: statistics.median(values) for side, values in speeds.items()}
    ratio = middle["ours"] / middle["bare"]
    print(f"median: ours {middle['ours']:.1f}, bare LLM.chat {middle['bare']:.1f} tokens/s; ratio {ratio:.1%}")
    sys.exit(ratio < TARGET)


if __name__ == "__main__":
    main()
