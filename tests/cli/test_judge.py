"""`evalkit judge`: answers that are there already, judged as a run would, asking no model."""

import json

import pytest

from tests.interop.files import save

QUESTIONS = ("What is 2+2?", "The capital of France?", "Who wrote Emma?", "Red and blue make?")


def answers(folder, *models, **more):
    for model in models:
        rows = [{"question": text, "answer": f"{model} {text}", **more} for text in QUESTIONS]
        save(folder / f"{model}.jsonl", rows)


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_files_of_answers_are_judged_and_nobody_is_asked_for_one(cli, tmp_path):
    answers(tmp_path / "in", "one", "two")
    done = cli("judge", "in", "judge=fake")
    assert done.code == 0, done.err
    assert "one.jsonl names no model; it is taken for 'one'" in done.err
    results = tmp_path / "results" / "in"
    judged = rows(results / "judgments" / "fake.single.jsonl")
    assert len(judged) == 8
    given = [row for model in ("one", "two") for row in rows(results / "answers" / f"{model}.jsonl")]
    assert {identity for row in judged for identity in row["shown"]} == {row["id"] for row in given}
    assert not (results / "answers" / "fake.jsonl").exists()
    again = cli("judge", "in", "judge=fake")
    assert again.code == 0
    assert "nothing asked: everything was stored already" in again.out + again.err
    assert rows(results / "judgments" / "fake.single.jsonl") == judged


def test_one_file_is_judged_alone_and_the_rest_stays_out(cli, tmp_path):
    answers(tmp_path / "in", "one", "two")
    assert cli("import", "table", "in").code == 0
    assert cli("judge", "in/one.jsonl", "judge=fake").code == 0
    judged = rows(tmp_path / "results" / "in" / "judgments" / "fake.single.jsonl")
    assert {row["models"][0]["name"] for row in judged} == {"one"}
    assert cli("judge", "results/in", "judge=fake", "of=two", "limit=2").code == 0
    judged = rows(tmp_path / "results" / "in" / "judgments" / "fake.single.jsonl")
    assert [row["models"][0]["name"] for row in judged[4:]] == ["two", "two"]


def test_pairs_meet_in_both_orders_or_with_a_baseline(cli, tmp_path):
    answers(tmp_path / "in", "one", "two", "three")
    assert cli("judge", "in", "judge=fake", "protocol=pairwise", "results_dir=all").code == 0
    assert len(rows(tmp_path / "all" / "in" / "judgments" / "fake.pairwise.jsonl")) == 4 * 3 * 2
    done = cli("judge", "in", "judge=fake", "baseline=two", "results_dir=some")
    assert done.code == 0
    judged = rows(tmp_path / "some" / "in" / "judgments" / "fake.pairwise.jsonl")
    assert len(judged) == 4 * 2 * 2
    assert all("two" in {model["name"] for model in row["models"]} for row in judged)


def test_a_dry_run_asks_nothing_and_a_budget_stops(cli, tmp_path):
    answers(tmp_path / "in", "one", "two")
    done = cli("judge", "in", "judge=fake", "dry_run=true")
    assert (done.code, "dry run: nothing was asked" in done.out + done.err) == (0, True)
    assert not (tmp_path / "results" / "in" / "judgments").exists()
    done = cli("judge", "in", "judge=fake", "budget.tokens=1500", "judge.sampling.max_tokens=100")
    assert done.code == 3
    before = len(rows(tmp_path / "results" / "in" / "judgments" / "fake.single.jsonl"))
    assert 0 < before < 8
    assert cli("judge", "in", "judge=fake", "judge.sampling.max_tokens=100").code == 0


def test_fastchats_folder_with_its_questions(cli, tmp_path):
    bench = tmp_path / "data" / "bench"
    turns = [{"question_id": i, "category": "c", "turns": ["q", f"r{i}"]} for i in (1, 2)]
    save(bench / "question.jsonl", turns)
    for model in ("m", "n"):
        save(
            bench / "model_answer" / f"{model}.jsonl",
            [
                {"question_id": i, "model_id": model, "choices": [{"index": 0, "turns": ["a", "b"][: 3 - i]}]}
                for i in (1, 2)
            ],
        )
    done = cli("judge", "data/bench/model_answer/m.jsonl", "judge=fake")
    assert done.code == 0, done.err
    judged = rows(tmp_path / "results" / "bench" / "judgments" / "fake.single.jsonl")
    assert [(row["item"], row["turn"]) for row in judged] == [("1", 1), ("1", 2)]  # of item 2 a turn is missing


def test_alpaca_evals_outputs(cli, tmp_path):
    for model in ("m", "n"):
        save(
            tmp_path / "results_of" / model / "model_outputs.json",
            [{"instruction": f"q{i}", "output": f"{model}{i}", "generator": model, "dataset": "d"} for i in range(4)],
        )
    done = cli("judge", "results_of", "judge=fake", "baseline=m", "protocol=pairwise")
    assert done.code == 0, done.err
    assert len(rows(tmp_path / "results" / "alpaca_eval" / "judgments" / "fake.pairwise.jsonl")) == 8


def test_a_failed_answer_is_not_judged_and_is_counted(cli, tmp_path):
    bench = tmp_path / "bench"
    save(bench / "question.jsonl", [{"question_id": i, "category": "c", "turns": ["q"]} for i in (1, 2)])
    choices = ([{"index": 0, "turns": ["a"]}], [{"index": 0, "turns": ["$ERROR$"]}])
    answered = [{"question_id": i, "model_id": "m", "choices": choice} for i, choice in enumerate(choices, 1)]
    save(bench / "model_answer" / "m.jsonl", answered)
    done = cli("judge", "bench", "judge=fake")
    assert "1 answers are failures" in done.err + done.out
    assert len(rows(tmp_path / "results" / "bench" / "judgments" / "fake.single.jsonl")) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("in",), "needs a judge: judge=NAME"),
        (("judge=fake",), "needs answers"),
        (("nowhere", "judge=fake"), "no file or folder 'nowhere'"),
        (("in", "judge=fake", "model=fake"), "no model is asked; of="),
        (("in", "judge=fake", "of=onn"), "did you mean 'one'"),
        (("in/one.jsonl", "judge=fake", "protocol=pairwise"), "these are all by 'one'"),
        (("in", "judge=fake", "baseline=one", "protocol=single"), "grades each answer by itself"),
        (("in", "judge=fake", "--map", "anser=x"), "no field 'anser'; there are: "),
        (("in", "judge=fake", "--format", "fastchap"), "no format 'fastchap'"),
        (("ids.csv", "judge=fake"), "questions that these answers are to are not known"),
        (("other.csv", "in/one.jsonl", "judge=fake", "protocol=pairwise", "benchmark=b"), "no two of these models"),
    ],
)
def test_mistakes(cli, tmp_path, arguments, says):
    answers(tmp_path / "in", "one", "two")
    (tmp_path / "ids.csv").write_text("id,answer\n1,x\n2,y\n")
    (tmp_path / "other.csv").write_text("question,answer\nsomething else?,x\n")
    done = cli("judge", *arguments, "results_dir=r")
    assert done.code == 2
    assert says in " ".join(done.err.split())
    assert "Traceback" not in done.err
