"""Judges of kind `reward`: `evalkit judge`, `evalkit run` and `evalkit audit` on a server's scores, live."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.interop.files import save
from tests.reward_server import RewardLoopback

QUESTIONS = ("What is 2+2?", "The capital of France?", "Who wrote Emma?", "Red and blue make?")


@pytest.fixture(scope="module")
def server():
    with RewardLoopback() as running:
        yield running


@pytest.fixture(autouse=True)
def forget(server):
    server.script.clear()
    server.raw.clear()
    server.count.clear()


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answered(folder):
    for model, words in (("long", 20), ("short", 3)):
        save(folder / f"{model}.jsonl", [{"question": text, "answer": "word " * words} for text in QUESTIONS])


def test_answers_are_scored_once_each_and_scores_are_stored_as_scores(cli, tmp_path, server):
    answered(tmp_path / "in")
    judge = f"judge=reward/{server.url}/classify#org/rm-1"
    done = cli("judge", "in", judge)
    assert done.code == 0, done.err
    stored = rows(tmp_path / "results" / "in" / "judgments" / "rm-1.reward.jsonl")
    assert len(stored) == 8
    assert {(row["models"][0]["name"], *row["scores"]) for row in stored} == {("long", 2.0), ("short", -2.25)}
    assert {row["raw"] for row in stored} == {"[2.0]", "[-2.25]"}
    assert cli("judge", "in", judge).code == 0
    assert server.count["success"] == 8, "what is stored is not asked again"


def test_a_run_has_reward_models_beside_judges_that_compare(cli, tmp_path, server):
    judge = f"judge=fake,reward/{server.url}/pooling#org/a-prm-2.5"
    more = ["judge.a-prm-2.5.protocols.reward.output=1", "judge.a-prm-2.5.protocols.reward.reduce=min"]
    done = cli("run", "pocket", "model=fake,smollm2", "dry_run=true", judge, *more, "protocol=pairwise")
    assert done.code == 0, done.err
    done = cli("run", "pocket", "model=fake", judge, *more, "limit=1")
    assert done.code == 0, done.err
    folder = tmp_path / "results" / "pocket" / "judgments"
    assert {path.name for path in folder.glob("*.jsonl")} == {"fake.single.jsonl", "a-prm-2.5.reward.jsonl"}
    assert all(row["error"] is None for row in rows(folder / "a-prm-2.5.reward.jsonl"))


def test_a_process_reward_model_sees_its_marks_and_its_steps_become_one_score(cli, tmp_path, server):
    save(tmp_path / "in" / "m.jsonl", [{"question": "q", "answer": "one two\n\none two three"}])
    prm = "judge.Math-PRM-7B.protocols.reward"
    told = [f"{prm}.output=1", f"{prm}.reduce=min", f"{prm}.step_mark=<extra_0>"]
    done = cli("judge", "in", f"judge=reward/{server.url}/pooling#Qwen/Math-PRM-7B", *told)
    assert done.code == 0, done.err
    path = tmp_path / "results" / "in" / "judgments" / "Math-PRM-7B.reward.jsonl"
    assert rows(path)[0]["scores"] == [0.25]
    told[1] = f"{prm}.reduce=last"
    server.count.clear()
    assert cli("judge", "in", f"judge=reward/{server.url}/pooling#Qwen/Math-PRM-7B", *told).code == 0
    assert not server.count, "another rule reads what is stored"


def test_an_audit_has_everything_but_a_position(cli, tmp_path, server):
    answered(tmp_path / "in")
    assert cli("judge", "in", f"judge=reward/{server.url}/classify#org/rm-1").code == 0
    done = cli("audit", "results/in")
    assert done.code == 0, done.err
    assert "Position: needs two answers in one prompt; single grading shows one, which has no position" in " ".join(
        (done.out + done.err).replace("│", " ").split()
    )


@pytest.mark.parametrize(
    ("situation", "kind"), [("garbage", "malformed"), ("400", "rejected"), ("413", "rejected"), ("many", "unparsed")]
)
def test_what_is_no_score_is_a_failure_and_no_number(cli, tmp_path, server, situation, kind):
    answered(tmp_path / "in")
    server.raw["many"] = b'{"data": [{"index": 0, "probs": [0.5, 0.5], "num_classes": 2}]}'
    server.provoke(*[situation] * 8)
    done = cli("judge", "in", f"judge=reward/{server.url}/classify#org/rm-1")
    assert done.code == 1
    stored = rows(tmp_path / "results" / "in" / "judgments" / "rm-1.reward.jsonl")
    assert {row["error"]["kind"] for row in stored} == {kind}
    assert all(row["scores"] is None for row in stored)


def test_a_model_that_writes_text_is_told_at_once(cli, tmp_path, server):
    answered(tmp_path / "in")
    server.provoke(*["generative"] * 8)
    done = cli("judge", "in", f"judge=reward/{server.url}/score#org/chat")
    assert done.code == 2
    assert "a model that writes text has none" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("judge", "in", "judge=reward/org/rm"), "ids of reward models are reward/http://HOST:PORT/classify#NAME"),
        (("judge", "in", "judge=reward/http://h:1/classify"), "ids of reward models are"),
        (("judge", "in", "judge=reward/"), "what follows reward/ is missing"),
        (("run", "pocket", "model=reward/http://h:1/classify#m", "judge=fake"), "scores answers and writes none"),
        (("run", "pocket", "model=fake", "judge=fake", "protocol=reward"), "protocol=reward is for reward models"),
        (
            ("judge", "in", "judge=reward/http://h:1/classify#m", "judge.m.backend.api=vllm-clasify"),
            "did you mean 'vllm-classify'",
        ),
        (
            ("run", "pocket", "model=fake,smollm2", "judge=reward/http://h:1/classify#m", "until=order"),
            "'m' is a reward model, which scores each answer by itself",
        ),
        (("audit", "judge=reward/http://h:1/classify#m", "probes=verbosity"), "a judge that compares two answers"),
    ],
)
def test_mistakes(cli, tmp_path, arguments, says):
    answered(tmp_path / "in")
    done = cli(*arguments)
    assert done.code == 2
    assert says in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_another_judges_shift_against_a_reward_model_is_not_computed(cli, tmp_path, server):
    answered(tmp_path / "in")
    assert cli("judge", "in", "judge=fake").code == 0
    done = cli("rejudge", "results/in", f"judge=reward/{server.url}/classify#org/rm-1", "of=fake")
    assert done.code == 2
    assert "a scale of its own" in done.err


def voted(folder, rng):
    """Answers whose quality a mark says, of lengths that have nothing to do with it, and people who go by quality."""
    votes = ["item,model_a,model_b,winner"]
    rows = {model: [] for model in "abcd"}
    for q in range(50):
        quality = {model: rng.normal() + place / 3 for place, model in enumerate("abcd")}
        for model, good in quality.items():
            text = f"[quality {good:.3f}] " + "word " * int(rng.integers(5, 120))
            rows[model].append({"id": f"q{q}", "question": f"Question {q}?", "answer": text})
        for one, other in (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")):
            for _ in range(2):
                first = rng.random() < 1 / (1 + np.exp(-1.5 * (quality[one] - quality[other])))
                votes.append(f"q{q},{one},{other},{'model_a' if first else 'model_b'}")
    for model, listed in rows.items():
        save(folder / "in" / f"{model}.jsonl", listed)
    (folder / "votes.csv").write_text("\n".join(votes))


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "found"), [(0.0, False), (0.05, True)])
def test_an_audit_finds_a_planted_taste_for_length_and_leaves_a_fair_model_alone(cli, tmp_path, bias, found):
    def score(_, answer):
        return 3 * float(answer.split()[1].rstrip("]")) + bias * len(answer.split())

    voted(tmp_path, np.random.default_rng(7))
    with RewardLoopback(score) as server:
        assert cli("judge", "in", f"judge=reward/{server.url}/classify#org/rm").code == 0
    data = json.loads(cli("audit", "results/in", "--human", "votes.csv", "--format", "json").out)
    rows = {row["metric"]: row for row in data["findings"]}
    excess = rows["length_slope_excess"]
    assert excess["details"]["excludes_null"] is found
    if found:
        assert excess["lower"] > 0
    assert rows["preference_temperature"]["estimate"] > 0
    assert rows["position_consistency"]["not_measurable"].endswith("which has no position")
