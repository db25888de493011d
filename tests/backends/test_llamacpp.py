"""The embedded engine beyond the contract: memory, Ctrl-C, prefill, log-probabilities, what it says when it cannot."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from evalkit.backends.llamacpp import LlamaCpp
from evalkit.core.protocols import Message, Misconfigured, Rejected, Request, Sampling, Transport

pytest.importorskip("xllamacpp")

KEY = "rig_of_llamacpp"  # as in test_contract.py: one engine for both
if KEY not in sys.modules:
    _spec = importlib.util.spec_from_file_location(KEY, Path(__file__).parent / "rigs" / "llamacpp.py")
    sys.modules[KEY] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[KEY])
rigs = sys.modules[KEY]


def say(*contents, **sampling):
    turns = tuple(Message(("user", "assistant")[index % 2], text) for index, text in enumerate(contents))
    return Request(turns, Sampling(**sampling))


def ask(*requests):
    """Answers of the real engine, which is loaded once."""

    async def run():
        backend = LlamaCpp(model=str(rigs.weights()), **rigs.SMALL)
        await backend.open()
        try:
            return [await backend.complete(request) for request in requests], backend.counters()
        finally:
            await backend.close()

    with mock.patch.object(LlamaCpp, "_load", return_value=rigs.engine()):
        return asyncio.run(run())


def test_a_last_assistant_message_is_continued_and_not_repeated():
    request = ("Count to ten.", "One, two, three, four,")
    (plain, probed), _ = ask(say(*request, temperature=0, max_tokens=6), say(*request, max_tokens=1, top_logprobs=5))
    assert plain.text.startswith(" five")
    assert probed.text == " five"
    assert max(probed.logprobs[0], key=probed.logprobs[0].get) == " five"
    assert 0.9 < sum(map(math.exp, probed.logprobs[0].values())) <= 1.001


def test_grammar_and_schema_pass_through():
    schema = {"type": "object", "properties": {"score": {"enum": [7]}}, "required": ["score"]}
    (digits, json), _ = ask(
        say("Rate it.", max_tokens=8, extra={"grammar": 'root ::= "[[" [1-9] "]]"'}),
        say("Rate it.", max_tokens=40, extra={"json_schema": schema}),
    )
    assert digits.text[:2] == "[["
    assert digits.finish == "stop"
    assert "".join(json.text.split()) == '{"score":7}'


def test_a_seed_repeats_and_counters_count():
    request = say("Tell me a story.", temperature=1.0, seed=3, max_tokens=12, extra={"cache_prompt": False})
    (first, second), counters = ask(request, request)
    assert first.text == second.text
    assert counters["prompt_tokens_evaluated"] >= 2 * first.usage.prompt_tokens
    assert counters.keys() == {"prompt_tokens_evaluated", "prompt_tokens_cached"}


def test_answers_are_labelled_with_the_file_not_its_folder():
    (answer,), _ = ask(say("Hi", max_tokens=1))
    assert answer.model == rigs.weights().name


@pytest.mark.slow
def test_a_slot_holds_its_context_whatever_the_others_hold():
    long = "word " * 800

    async def run():
        backend = LlamaCpp(model=str(rigs.weights()), **rigs.SMALL)
        await backend.open()
        requests = [say(f"{number} {long}", max_tokens=400, extra={"ignore_eos": True}) for number in range(2)]
        answers = await asyncio.gather(*map(backend.complete, requests))
        with pytest.raises(Rejected, match="1024"):
            await backend.complete(say("word " * 1100))
        await backend.close()
        return answers

    with mock.patch.object(LlamaCpp, "_load", return_value=rigs.engine()):
        assert [answer.finish for answer in asyncio.run(run())] == ["length", "length"]


def test_misconfigured_says_what_to_do(tmp_path, monkeypatch):
    def opened(**fields):
        with pytest.raises(Misconfigured) as caught:
            asyncio.run(LlamaCpp(**fields).open())
        return str(caught.value)

    assert "no model file" in opened(model=str(tmp_path / "nothing.gguf"))
    wrong = tmp_path / "page.gguf"
    wrong.write_bytes(b"<html>")
    assert "not a GGUF file" in opened(model=str(wrong))
    wrong.write_bytes(b"GGUF" + bytes(100))
    assert "may be damaged" in opened(model=str(wrong))
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert "pip install 'evalkit[local]'" in opened(model="smollm2-135m-instruct-q4_1")


def test_identity_is_the_weights_wherever_they_lie(tmp_path):
    copy = tmp_path / rigs.weights().name
    copy.symlink_to(rigs.weights())
    by_path = LlamaCpp(model=str(copy), slots=1, threads=1).identity()
    assert by_path == LlamaCpp(model=str(rigs.weights())).identity()
    assert by_path == LlamaCpp(model=rigs.MODEL).identity()
    assert by_path != LlamaCpp(model=rigs.MODEL, context=4096).identity()
    assert by_path != LlamaCpp(model=rigs.MODEL, seed=1).identity()


def test_an_engine_that_throws_is_a_transport_error():
    class Broken:
        def handle_chat_completions(self, _body, _callback):
            raise RuntimeError("slot\nlost")

    async def run():
        backend = LlamaCpp(model=str(rigs.weights()))
        await backend.open()
        with pytest.raises(Transport, match="slot lost"):
            await backend.complete(say("hi"))
        await backend.close()

    with mock.patch.object(LlamaCpp, "_load", return_value=Broken()):
        asyncio.run(run())


PROGRAM = """
import asyncio, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts in the background
from evalkit.backends.llamacpp import LlamaCpp
from evalkit.core.protocols import Message, Request, Sampling, Transport

def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

async def main():
    backend = LlamaCpp(model=sys.argv[1], context=2048, slots=2, threads=1)
    before = rss()
    await backend.open()
    during = rss()
    long = Request((Message("user", "Tell me a story."),), Sampling(max_tokens=1900, extra={"ignore_eos": True}))
    tasks = [asyncio.create_task(backend.complete(long)) for _ in range(4)]
    await asyncio.sleep(0.5)
    if sys.argv[2] == "interrupt":
        print("running", flush=True)
        await asyncio.gather(*tasks)
    await backend.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, (Transport, asyncio.CancelledError)) for result in results), results
    print(before, during, rss(), flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


def program(*arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(rigs.weights()), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_close_ends_what_runs_frees_the_memory_and_nothing_was_printed():
    with program("close") as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    before, during, after = map(int, out.split())
    assert during - before > 100
    assert after - before < (during - before) / 2
    assert err == "", "stderr belongs to the progress display"


def test_ctrl_c_ends_the_process_in_good_order():
    with program("interrupt") as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
    assert process.returncode == 130, (process.returncode, err)
    assert "Abort" not in err
