"""The vLLM backend on the real engine: SmolLM2 on the CPU build (.ci/vllm makes the environment)."""

import asyncio
import dataclasses
import gc
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.backends.vllm import VLLM
from evalkit.core.protocols import Message, Misconfigured, Rejected, Request, Sampling

# Set before vllm is imported: no telemetry, no look at the hub for a model that is a folder, little memory.
for variable, value in {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "2"}.items():
    os.environ.setdefault(variable, value)

pytest.importorskip("vllm")
psutil = pytest.importorskip("psutil")  # comes with vllm

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch, swig and vllm, about each other
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning"),
]

CONVERTER = Path(__file__).parents[1] / "vllm_weights.py"
CONTEXT = 512
SYSTEMLESS = (
    "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


def ask(*contents, extra=None, **sampling):
    """A greedy request: user and assistant in turn."""
    roles = ("user", "assistant")
    messages = tuple(Message(roles[index % 2], content) for index, content in enumerate(contents))
    return Request(messages, Sampling(**{"temperature": 0, "max_tokens": 32} | sampling, extra=extra or {}))


def engine_processes():
    """The processes that hold the model, by name."""
    return [child for child in psutil.Process().children(recursive=True) if "VLLM" in child.name()]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    if made := os.environ.get("EVALKIT_TEST_VLLM_WEIGHTS"):
        return made
    gguf = os.environ.get("EVALKIT_TEST_GGUF")
    if gguf is None:
        from evalkit.datasets import artifacts

        gguf = asyncio.run(artifacts.fetch("smollm2-135m-instruct-q4_1"))
    folder = tmp_path_factory.mktemp("weights") / "smollm2"
    subprocess.run([sys.executable, CONVERTER, gguf, folder], check=True)
    return str(folder)


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:  # one loop for the module: the engine belongs to that of its first request
        yield runner
    gc.collect()  # now, while the warnings that vLLM's garbage causes are ignored


@pytest.fixture(scope="module")
def closed(weights):
    return VLLM(model=weights, enforce_eager=True, max_model_len=CONTEXT, engine={"max_num_seqs": 8})


@pytest.fixture(scope="module")
def backend(closed, runner):
    runner.run(closed.open())
    yield closed
    runner.run(closed.close())


@pytest.fixture
def complete(backend, runner):
    return lambda request: runner.run(backend.complete(request))


def test_answers(complete, backend):
    completion = complete(ask("What is the capital of France?"))
    assert "Paris" in completion.text
    assert completion.finish == "stop"
    assert completion.usage.prompt_tokens > 10
    assert 1 < completion.usage.completion_tokens < 32
    assert completion.model == backend.model
    assert completion.logprobs is None


def test_greedy_is_deterministic(complete):
    request = ask("Name three colours.")
    assert complete(request).text == complete(request).text


def test_seeded_sampling_is_deterministic_and_seeds_differ(complete):
    one, again, other = (complete(ask("Tell me a story.", temperature=0.9, seed=seed)).text for seed in (1, 1, 2))
    assert one == again != other


def test_truncation_is_reported(complete):
    completion = complete(ask("Tell me a long story.", max_tokens=5))
    assert completion.finish == "length"
    assert completion.usage.completion_tokens == 5


def test_without_max_tokens_the_answer_may_fill_the_context(complete):
    completion = complete(ask("Tell me a story.", max_tokens=None, extra={"ignore_eos": True}))
    assert completion.finish == "length"
    assert completion.usage.prompt_tokens + completion.usage.completion_tokens == CONTEXT


def test_stop_string(complete):
    completion = complete(ask("Count from 1 to 10.", "1, 2, 3,", stop=(", 5",)))
    assert (completion.text, completion.finish) == (" 4", "stop")


def test_logprobs_of_a_digit_scale(complete):
    completion = complete(
        ask("Rate this answer from 1 to 9. Reply with the number only.", max_tokens=1, top_logprobs=20)
    )
    assert len(completion.logprobs) == 1
    scale = completion.logprobs[0]
    assert {digit for digit in "123456789" if digit in scale}
    assert scale[completion.text] == max(scale.values())  # greedy
    assert sum(math.exp(logprob) for logprob in scale.values()) <= 1 + 1e-6


def test_one_logprob_distribution_for_each_token(complete):
    completion = complete(ask("What is the capital of France?", top_logprobs=2))
    assert len(completion.logprobs) == completion.usage.completion_tokens


def test_prefill_is_continued(complete):
    assert complete(ask("Count from 1 to 10.", "1, 2, 3,", max_tokens=8)).text.startswith(" 4, 5")


def test_empty_prefill_is_an_ordinary_answer(complete):
    question = "What is the capital of France?"
    assert complete(ask(question, "")).text == complete(ask(question)).text


def test_each_answer_returns_as_it_completes(backend, runner):
    async def both():
        finished = []

        async def one(name, request):
            completion = await backend.complete(request)
            finished.append(name)
            return completion.text

        long = one("long", ask("Tell me a long story.", max_tokens=100, extra={"ignore_eos": True}))
        short = one("short", ask("What is the capital of France?", max_tokens=8))
        return await asyncio.gather(long, short), finished

    (long, short), finished = runner.run(both())
    assert finished == ["short", "long"]
    assert "Paris" in short
    assert "Paris" not in long


def test_shared_prefix_is_counted_as_cached(complete):
    rules = "Be brief, be kind, and never speak of the weather. " * 25
    assert complete(ask(rules + "Say hello.")).usage.cached_tokens == 0
    second = complete(ask(rules + "Say goodbye.")).usage
    assert 100 < second.cached_tokens < second.prompt_tokens


def test_too_long_prompt_is_rejected_with_the_numbers(complete):
    with pytest.raises(Rejected, match=rf"has \d{{4}} tokens.*max_model_len={CONTEXT}"):
        complete(ask("word " * 2000))


def test_structured_output(complete):
    extra = {"structured_outputs": {"choice": ["[[A]]", "[[B]]"]}}
    assert complete(ask("Which is better?", extra=extra)).text in ("[[A]]", "[[B]]")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ask("hi", extra={"nope": 1}), "nope"),
        (ask("hi", extra={"n": 2}), "must not set n"),
        (ask("hi", temperature=-1.0), "temperature must be"),
        (ask("hi", top_logprobs=50), "greater than max allowed: 20"),
        (Request(()), "chat template"),
    ],
)
def test_bad_requests_are_rejected(complete, request_, message):
    with pytest.raises(Rejected, match=message):
        complete(request_)


def test_a_lone_surrogate_in_a_prompt_is_replaced(complete):
    assert complete(ask("half \ud83d of it").encodable()).text == complete(ask("half \ufffd of it")).text


def test_template_without_system_role(backend, runner):
    other = dataclasses.replace(backend, chat_template=SYSTEMLESS)
    other._engine = backend._engine
    assert "Paris" in runner.run(other.complete(ask("What is the capital of France?"))).text
    system = Request((Message("system", "Be brief."), Message("user", "hi")))
    with pytest.raises(Rejected, match=r"takes no system message: System role not supported") as told:
        runner.run(other.complete(system))
    assert told.value.no_system, "the client asks again with the text in the user's message"


def test_cancelled_request_is_aborted(backend, runner):
    async def cancelled():
        task = asyncio.create_task(backend.complete(ask("Go on.", max_tokens=900, extra={"ignore_eos": True})))
        await asyncio.sleep(0.5)
        under_way = backend._engine.llm.get_num_unfinished_requests()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return under_way, backend._engine.llm.get_num_unfinished_requests()

    assert runner.run(cancelled()) == (1, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "/no/such/folder"}, "not a folder here"),
        ({"model": "nobody/nothing"}, "nobody/nothing"),
        ({"max_model_len": 10**6}, r"max_model_len \(1000000\) is greater"),
        ({"engine": {"bogus": 1}}, "bogus"),
        ({"dtype": "flot"}, "should be 'auto'"),
        ({"chat_template": "no.jinja"}, "cannot be read"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(closed, runner, fields, message):
    with pytest.raises(Misconfigured, match=message) as caught:
        runner.run(dataclasses.replace(closed, **fields).open())
    assert "\n" not in str(caught.value)


def test_failure_inside_the_engine_process_is_named(closed, runner, tmp_path):
    for file in Path(closed.model).iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).symlink_to(file)
    before = engine_processes()
    with pytest.raises(Misconfigured, match=r"model weights.*engine\.log"):
        runner.run(dataclasses.replace(closed, model=str(tmp_path)).open())
    assert engine_processes() == before


def test_close_frees_the_engine_and_it_opens_again(backend, runner, capfd):
    question = ask("What is the capital of France?")
    before = runner.run(backend.complete(question)).text
    assert engine_processes()
    runner.run(backend.close())
    assert not engine_processes()
    runner.run(backend.close())
    with pytest.raises(Misconfigured, match="before it is open"):
        runner.run(backend.complete(question))
    runner.run(backend.open())
    assert runner.run(backend.complete(question)).text == before
    assert capfd.readouterr().out == ""  # stdout is for the data a user asked for


def test_dead_engine_stops_the_run(backend, runner):
    async def killed():
        task = asyncio.create_task(backend.complete(ask("Go on.", max_tokens=900, extra={"ignore_eos": True})))
        await asyncio.sleep(0.5)
        for process in engine_processes():
            process.kill()
        with pytest.raises(Misconfigured, match="died"):
            await task
        with pytest.raises(Misconfigured, match="died"):
            await backend.complete(ask("hi"))
        await backend.close()

    runner.run(killed())
    assert not engine_processes()
