"""Reward models inside this program, by vLLM and by transformers: a tiny classifier of random weights (.ci/vllm)."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os

import pytest

from evalkit.backends.transformers_classifier import SequenceClassifier
from evalkit.backends.vllm_reward import VLLMReward
from evalkit.core.protocols import Message, Misconfigured, Rejected, Request
from tests import tiny_classifier
from tests.interop.files import save

for variable, value in {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}.items():
    os.environ.setdefault(variable, value)

pytest.importorskip("vllm")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning"),
]
CONVERSATIONS = [
    Request((Message("user", "What is 2+2?"), Message("assistant", "Four."))),
    Request((Message("user", "What is 2+2?"), Message("assistant", "Five, and no more than that."))),
    Request((Message("system", "Be brief."), Message("user", "Name a river."), Message("assistant", "The Nile."))),
]
LONG = Request((Message("user", "Why?"), Message("assistant", "because " * 60)))


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as made:
        yield made
    gc.collect()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_classifier.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def expected(tiny):
    """Logits by transformers itself, on the conversation as the chat template writes it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny).eval()
    found = []
    for request in CONVERSATIONS:
        text = "".join(f"<|{one.role}|>{one.content}<|end|>" for one in request.messages)
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        with torch.inference_mode():
            found.append(float(model(input_ids=ids).logits[0, 0]))
    assert len(set(found)) == 3
    return found


def run(runner, backend, requests=CONVERSATIONS):
    async def all_of():
        await backend.open()
        try:
            return await asyncio.gather(*map(backend.complete, requests), return_exceptions=True)
        finally:
            await backend.close()

    return runner.run(all_of())


def numbers(completions):
    return [json.loads(one.text) for one in completions]


def test_transformers_gives_the_logits_of_the_whole_conversation(runner, tiny, expected):
    said = run(runner, SequenceClassifier(model=tiny))
    assert [row[0] for row in numbers(said)] == pytest.approx(expected, abs=1e-4)
    assert all(one.usage.prompt_tokens > 0 for one in said)


def test_transformers_activation_several_labels_pairs_and_length(runner, tiny, expected, tmp_path):
    (row,) = numbers(run(runner, SequenceClassifier(model=tiny, activation=True), CONVERSATIONS[:1]))
    assert row == [pytest.approx(1 / (1 + math.exp(-expected[0])), abs=1e-4)]
    two = tiny_classifier.make(tmp_path / "two", labels=2, template=None)
    (row,) = numbers(run(runner, SequenceClassifier(model=two, activation=True), CONVERSATIONS[:1]))
    assert len(row) == 2
    assert sum(row) == pytest.approx(1)
    (error,) = run(runner, SequenceClassifier(model=tiny), [LONG])
    assert isinstance(error, Rejected)
    assert "nothing is cut off" in str(error)


def test_transformers_refuses_what_is_no_classifier(runner, tmp_path):
    chat = tiny_classifier.make(tmp_path / "chat", head=False)
    with pytest.raises(Misconfigured, match="would be drawn at random"):
        runner.run(SequenceClassifier(model=chat).open())
    with pytest.raises(Misconfigured, match="is not a folder here"):
        runner.run(SequenceClassifier(model="/nowhere/at/all").open())
    with pytest.raises(Misconfigured, match="cannot load"):
        runner.run(SequenceClassifier(model=str(tmp_path)).open())


def test_weights_that_give_no_numbers_give_no_score(runner, tiny, tmp_path):
    from evalkit.core.protocols import Malformed

    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny)
    with torch.no_grad():
        model.score.weight.fill_(float("nan"))
    model.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path)
    (error,) = run(runner, SequenceClassifier(model=str(tmp_path)), CONVERSATIONS[:1])
    assert isinstance(error, Malformed)


def small(model, **more):
    return VLLMReward(model=model, enforce_eager=True, dtype="float32", engine={"max_num_seqs": 8}, **more)


def test_vllm_gives_the_same_numbers_and_refuses_what_is_too_long(runner, tiny, expected):
    *said, error = run(runner, small(tiny), [*CONVERSATIONS, LONG])
    assert [row[0] for row in numbers(said)] == pytest.approx(expected, abs=1e-2)
    assert isinstance(error, Rejected)
    assert "nothing is cut off" in str(error)


def test_vllm_refuses_a_model_that_writes_text(runner, tmp_path):
    chat = tiny_classifier.make(tmp_path / "chat", head=False)
    with pytest.raises(Misconfigured, match="no reward model"):
        runner.run(small(chat).open())


def test_a_tiny_reward_model_judges_twenty_answers_live(runner, tiny, tmp_path, monkeypatch):
    """`evalkit judge` with the transformers backend, by its id."""
    from evalkit.cli.main import main

    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": f"What is {i} and {i}?", "answer": f"{2 * i}", "model": name} for i in range(10) for name in "ab"
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit) as ended:
        main(["judge", "answers.jsonl", f"judge=rm@reward/transformers/{tiny}"])
    assert ended.value.code == 0
    (log,) = (tmp_path / "results").rglob("judgments/*.jsonl")
    stored = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(stored) == 20
    assert all(row["error"] is None and math.isfinite(row["scores"][0]) for row in stored)


def test_a_tiny_classifier_is_put_to_twenty_labelled_pairs_beside_a_judge(cli, tmp_path, tiny):
    """By the command line, on one board with a judge that compares; random weights are right about half of the time."""
    rows = ({"prompt": f"Name {n}?", "chosen": "word " * (n % 5 + 1), "rejected": "No."} for n in range(20))
    save(tmp_path / "pairs.jsonl", rows)
    done = cli("run", "preferences", "questions=pairs.jsonl", f"judge=reward/transformers/{tiny},fake", "limit=20")
    assert done.code == 0, done.err
    (table,) = json.loads(cli("judges", "results", "--format", "json").out)["tables"]
    found = {row["judge"]: row for row in table["rows"] if row["kind"] == "judge"}
    assert len(found) == 2
    assert {(row["labels"], row["failed"]) for row in found.values()} == {(20, 0)}
    reward = next(row for row in found.values() if row["protocol"] == "reward")
    assert reward["same_in_both_orders"] is None  # each answer is read by itself
