"""The vLLM backend without vllm: what it sends to the engine, and how it reads what comes back."""

import asyncio
import importlib.util
import json
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from evalkit.backends import vllm, vllm_engine
from evalkit.backends.vllm import VLLM
from evalkit.core.protocols import Malformed, Message, Misconfigured, Rejected, Request, Sampling, Transport

_spec = importlib.util.spec_from_file_location("vllm_rig", Path(__file__).parent / "rigs" / "vllm.py")
rigs = importlib.util.module_from_spec(_spec)
sys.modules["vllm_rig"] = rigs  # dataclasses look their module up
_spec.loader.exec_module(rigs)


def ask(*contents, **sampling):
    roles = ("user", "assistant")
    return Request(tuple(Message(roles[index % 2], text) for index, text in enumerate(contents)), Sampling(**sampling))


def complete(rig, request):
    async def run():
        await rig.backend.open()
        try:
            return await rig.backend.complete(request)
        finally:
            await rig.backend.close()

    return asyncio.run(run())


@pytest.fixture
def rig():
    with rigs.rig() as rig:
        yield rig


def test_answer(rig):
    completion = complete(rig, ask("hi"))
    assert completion.text == rigs.TEXT
    assert completion.finish == "stop"
    assert (completion.usage.completion_tokens, completion.usage.cached_tokens) == (5, 3)
    assert completion.usage.prompt_tokens == len(rig.llm.asked[0].prompt["prompt_token_ids"])
    assert completion.logprobs is None


@pytest.mark.parametrize(
    ("situation", "error"),
    [
        ("429", Transport),
        ("500", Transport),
        ("abort", Transport),
        ("400", Rejected),
        ("garbage", Malformed),
        ("dead", Misconfigured),
    ],
)
def test_errors(rig, situation, error):
    rig.provoke(situation)
    with pytest.raises(error):
        complete(rig, ask("hi"))


def test_the_cause_inside_a_lost_request_is_named(rig):
    rig.provoke("500")
    with pytest.raises(Transport, match="illegal memory access"):
        complete(rig, ask("hi"))


def test_only_the_fields_set_are_sent_and_the_length_is_the_contexts(rig):
    complete(rig, ask("hi"))
    assert vars(rig.llm.asked[0].params) == {"max_tokens": None}


def test_sampling(rig):
    sampling = Sampling(
        temperature=0.0, top_p=0.9, max_tokens=7, seed=3, stop=("a",), top_logprobs=2, extra={"top_k": 5}
    )
    complete(rig, Request((Message("user", "hi"),), sampling))
    assert vars(rig.llm.asked[0].params) == {
        "temperature": 0.0,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
        "stop": ["a"],
        "logprobs": 2,
        "top_k": 5,
    }


def test_generation_config_fills_what_is_not_set():
    engine = SimpleNamespace(defaults={"temperature": 0.6, "top_k": 20}, params=dict, invalid=(ValueError,))
    assert vllm._params(engine, Request((), Sampling(temperature=0.0))) == {
        "temperature": 0.0,
        "top_k": 20,
        "max_tokens": None,
    }


def test_logprobs_of_tokens_that_read_alike_add_up():
    position = {
        1: SimpleNamespace(decoded_token="7", logprob=math.log(0.5)),
        2: SimpleNamespace(decoded_token="7", logprob=math.log(0.25)),
        3: SimpleNamespace(decoded_token="8", logprob=-math.inf),
        4: SimpleNamespace(decoded_token=None, logprob=-1.0),
    }
    merged = vllm._by_text(position)
    assert merged["7"] == pytest.approx(math.log(0.75))
    assert merged["8"] == vllm.LOWEST
    assert json.loads(json.dumps(merged)) == merged


@pytest.mark.parametrize(
    ("contents", "prefill", "rendered"),
    [(("hi",), False, 1), (("hi", "I say"), True, 2), (("hi", ""), False, 1)],
)
def test_prefill(rig, contents, prefill, rendered):
    complete(rig, ask(*contents))
    messages, options = rig.tokenizer.rendered[0]
    assert len(messages) == rendered
    assert (options["continue_final_message"], options["add_generation_prompt"]) == (prefill, not prefill)


def test_chat_template_kwargs_go_to_the_template_only(rig):
    complete(rig, ask("hi", extra={"chat_template_kwargs": {"enable_thinking": False}}))
    assert rig.tokenizer.rendered[0][1]["enable_thinking"] is False
    assert vars(rig.llm.asked[0].params) == {"max_tokens": None}


def test_base_model_needs_a_chat_template(rig):
    rig.tokenizer.chat_template = None
    with pytest.raises(Misconfigured, match="no chat template"):
        complete(rig, ask("hi"))


def test_context_limit_is_exact():
    with rigs.rig(max_model_len=100) as rig:
        room = 100 - len("<user></><assistant>")
        complete(rig, ask("x" * (room - 1)))
        with pytest.raises(Rejected, match=r"has 100 tokens.*max_model_len=100"):
            complete(rig, ask("x" * room))


def test_timed_out_request_is_aborted(rig):
    async def run():
        await rig.backend.open()
        rig.provoke("timeout")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await rig.backend.complete(ask("hi"))
        assert rig.llm.aborted == [rig.llm.asked[0].request_id]
        assert not rig.llm.under_way
        assert (await rig.backend.complete(ask("hi"))).text == rigs.TEXT

    asyncio.run(run())


def test_close_is_idempotent_and_open_loads_once(rig):
    async def run():
        await rig.backend.close()
        await rig.backend.open()
        await rig.backend.open()
        await rig.backend.close()
        await rig.backend.close()

    asyncio.run(run())
    assert rig.llm.shutdowns == 1


def test_identity_is_what_changes_the_text():
    base = VLLM(model="m")
    same = VLLM(model="m", tensor_parallel_size=4, gpu_memory_utilization=0.5, timeout=1, engine={"max_num_seqs": 8})
    assert base.identity() == same.identity()
    for change in (
        {"revision": "r"},
        {"dtype": "half"},
        {"quantization": "awq"},
        {"max_model_len": 9},
        {"chat_template": "{{ x }}"},
        {"seed": 1},
        {"engine": {"generation_config": "vllm"}},
    ):
        assert VLLM(model="m", **change).identity() != base.identity()
    assert json.loads(json.dumps(base.identity())) == base.identity()


def test_identity_of_a_folder_changes_when_it_is_trained_again(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    before = VLLM(model=str(tmp_path)).identity()
    assert VLLM(model=str(tmp_path)).identity() == before
    os.utime(weights, ns=(1, 1))
    assert VLLM(model=str(tmp_path)).identity() != before


def test_template_as_path_and_as_text_is_one_identity(tmp_path):
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    by_path, by_text = (
        VLLM(model="m", chat_template=str(tmp_path / "chat.jinja")),
        VLLM(model="m", chat_template="{{ messages }}"),
    )
    assert by_path.identity() == by_text.identity()


def test_what_is_missing_is_said_before_anything_is_loaded(rig):
    rig.backend.chat_template = "missing.jinja"
    with pytest.raises(Misconfigured, match=r"missing\.jinja.*cannot be read"):
        complete(rig, ask("hi"))
    rig.backend.chat_template = None
    rig.backend.model = "./missing"
    with pytest.raises(Misconfigured, match="not a folder here"):
        complete(rig, ask("hi"))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="needs vllm not to be installed")
def test_not_installed(monkeypatch):
    monkeypatch.setattr(vllm_engine, "_quiet", lambda: None)
    with pytest.raises(Misconfigured, match=r"pip install 'evalkit\[vllm\]'.*model=smollm2.*model=openai_compatible"):
        asyncio.run(VLLM(model="m").open())


def test_cause_is_the_first_error_of_this_engines_log(monkeypatch, tmp_path):
    log = tmp_path / "engine.log"
    monkeypatch.setattr(vllm_engine, "_quiet", lambda: log)
    old = "ERROR 2026-01-01 00:00:00,000 EngineCore Old.\nValueError: of an earlier engine\n"
    log.write_text(
        old + "INFO 2026-01-01 00:00:01,000 EngineCore Loading\n"
        "ERROR 2026-01-01 00:00:02,000 VllmWorker-0 WorkerProc failed to start.\nTraceback (most recent call last):\n"
        "torch.OutOfMemoryError: CUDA out of memory.\n"
        "ERROR 2026-01-01 00:00:03,000 EngineCore EngineCore failed to start.\nTraceback (most recent call last):\n"
        "Exception: WorkerProc initialization failed\n"
    )
    late = RuntimeError("Engine core initialization failed. See root cause above.")
    assert vllm_engine.cause_of(late, len(old)) == f"CUDA out of memory (vLLM's log: {log})"
    log.write_text("ERROR 2026-01-01 00:00:02,000 EngineCore Worker proc VllmWorker-0 died unexpectedly.\n")
    assert vllm_engine.cause_of(late, 0).startswith("Worker proc VllmWorker-0 died unexpectedly (")
    log.write_text("INFO nothing\n")
    assert vllm_engine.cause_of(late, 0) == "Engine core initialization failed. See root cause above"


def test_a_reasoning_parser_parts_the_reply():
    with rigs.rig(reasoning_parser="qwen3") as rig:
        completion = complete(rig, ask("hi"))
        assert (completion.thinking, completion.text) == ("My verdict is [[A", "].")
        assert rig.backend.identity()["reasoning_parser"] == "qwen3"
    with rigs.rig() as rig:
        assert complete(rig, ask("hi")).thinking == ""
        assert "reasoning_parser" not in rig.backend.identity()


def test_vllms_own_parser_is_asked_by_name(monkeypatch):
    class Parser:
        def __init__(self, tokenizer):
            assert tokenizer == "tokenizer"

        def extract_reasoning(self, text, request):
            return ("why", None) if text == "cut" else (None, text)

    def get(name):
        if name != "qwen3":
            raise KeyError(f"Reasoning parser {name!r} not found.")
        return Parser

    manager = SimpleNamespace(get_reasoning_parser=get)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.reasoning", SimpleNamespace(ReasoningParserManager=manager))
    parted = vllm_engine._reasoning_parser("qwen3", "tokenizer")
    assert (parted("cut"), parted("all")) == (("why", ""), ("", "all"))
    assert vllm_engine._reasoning_parser(None, "tokenizer") is None
    with pytest.raises(Misconfigured, match="takes no reasoning_parser='qwen9' for this model"):
        vllm_engine._reasoning_parser("qwen9", "tokenizer")
