"""Runs from Python: those of the command line, with objects of the caller's own, also within a running event loop."""

from __future__ import annotations

import _thread
import asyncio
import json
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import evalkit as ek
from evalkit.api.overrides import chosen, setting
from evalkit.judges.single import Single
from evalkit.storage.results import answer_logs, judgment_logs
from evalkit.storage.store import Store


@dataclass(frozen=True)
class Echo(ek.Backend):
    """Says what it was told; counts how often."""

    concurrency: int = 4
    said: list[str] = field(default_factory=list)
    interrupts_at: int = 0

    def identity(self):
        return {"echo": 1}

    async def complete(self, request):
        self.said.append(request.messages[-1].content)
        if len(self.said) == self.interrupts_at:
            _thread.interrupt_main()
            await asyncio.sleep(0.2)  # until the main thread has seen it
        return ek.Completion(text="Rating: [[7]]")


def run(folder: Path, **more) -> ek.Run:
    given = {"model": "fake", "judge": "fake", "limit": 1, "progress": False, "results_dir": folder, **more}
    return ek.run("pocket", **given)


def test_a_run_is_that_of_the_command_line(tmp_path):
    from evalkit.cli.main import main

    done = run(tmp_path / "api")
    with pytest.raises(SystemExit, match="0"):
        main(["run", "pocket", "model=fake", "judge=fake", "limit=1", f"results_dir={tmp_path / 'cli'}"])
    assert done.exit_code == 0
    assert done.report is not None
    assert done.folder.parent.parent == tmp_path / "api" / "pocket"
    (told,) = (tmp_path / "cli").glob("*/runs/*/leaderboard.json")
    here, there = (json.loads(path.read_text())["rows"] for path in (done.folder / "leaderboard.json", told))
    assert here == there
    assert done.scores().model.tolist() == ["fake"]
    assert "scores by fake" in done.told


def test_nothing_of_the_process_is_changed(tmp_path):
    argv, names, threads = list(sys.argv), set(os.environ), threading.active_count()
    run(tmp_path)
    assert sys.argv == argv
    assert set(os.environ) - names <= {"OPENBLAS_NUM_THREADS"}
    assert threading.active_count() == threads


def test_what_is_stored_is_not_asked_again(tmp_path):
    backend = Echo()
    for _ in range(2):
        run(tmp_path, model=ek.Model(name="echo", backend=backend))
    assert len(backend.said) == len(set(backend.said)) or len(backend.said) == 16 // 2
    assert len(backend.said) == len(run(tmp_path).answers().query("model == 'echo'"))


def test_own_models_and_judges_take_part_beside_named_ones(tmp_path):
    judge = ek.Judge("mine", ek.Model(name="mine", backend=Echo()), Single())
    models = ["fake", ek.Model(name="echo", backend=Echo())]
    done = run(tmp_path, model=models, judge=["fake", judge])
    frame = done.judgments()
    assert set(frame.judge) == {"fake", "mine"}
    assert set(frame.model) == {"fake", "echo"}
    assert set(frame[frame.judge == "mine"].score) == {7.0}


def test_two_members_of_one_name_are_refused(tmp_path):
    with pytest.raises(ek.UsageError, match="two models are called 'fake'"):
        run(tmp_path, model=["fake", ek.Model(name="fake", backend=Echo())])


def test_within_a_running_loop(tmp_path):
    async def both():
        first = run(tmp_path)
        second = await ek.arun("pocket", model="fake", judge="fake", limit=1, progress=False, results_dir=tmp_path)
        return first, second

    first, second = asyncio.run(both())
    assert first.scores().equals(second.scores()) or first.scores().score.tolist() == second.scores().score.tolist()
    assert "nothing asked" in second.told


def test_an_interrupt_within_a_running_loop_ends_the_run_in_order(tmp_path):
    backend = Echo(concurrency=1, interrupts_at=3)

    async def interrupted():
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, model=ek.Model(name="echo", backend=backend))

    loop = asyncio.new_event_loop()  # as a notebook's: `asyncio.run` would take the first signal for itself
    loop.run_until_complete(interrupted())
    loop.close()
    stored = sum(len(row.turns) for log in answer_logs([tmp_path]) for row in log)
    assert stored == len(backend.said) >= 3, "what was asked is stored"
    assert run(tmp_path, model=ek.Model(name="echo", backend=backend)).exit_code == 0
    assert len(backend.said) == sum(len(row.turns) for log in answer_logs([tmp_path]) for row in log)


def test_a_dry_run_asks_nothing(tmp_path):
    done = run(tmp_path, dry_run=True)
    assert done.folder is None
    assert done.report is None
    assert "nothing was asked" in done.told
    assert done._repr_html_().startswith("<p>no results at "), "a notebook shows why there is no leaderboard"
    assert not list(tmp_path.rglob("answers/*.jsonl"))


def test_questions_in_memory(tmp_path):
    questions = [{"question": "Why?"}, {"question": "How?"}]
    models = ["fake", ek.Model(name="echo", backend=Echo())]
    done = ek.run(
        "arena",
        model=models,
        judge="fake",
        questions=questions,
        results_dir=tmp_path,
        progress=False,
        protocol="pairwise",
    )
    assert len(done.answers()) == 4
    assert set(done.judgments().protocol) == {"pairwise"}


ANSWERS = [
    {"question": question, "answer": f"{model} says {question}", "model": model}
    for question in ("a?", "b?", "c?", "d?")
    for model in ("one", "two")
]


def test_answers_in_memory_are_judged(tmp_path):
    import pandas

    done = ek.judge(pandas.DataFrame(ANSWERS), judge="fake", results_dir=tmp_path, progress=False)
    assert set(done.judgments().model) == {"one", "two"}
    assert len(done.judgments()) == 8
    again = ek.judge(done.paths[0], judge=["fake"], protocol="pairwise", progress=False, baseline="one")
    assert again.paths == done.paths
    assert again.leaderboard("winrate", baseline="one").frame.model.tolist() == ["two"]


@pytest.mark.parametrize("name", ["answers", "judgments"])
def test_a_benchmark_may_be_called_like_a_folder_of_rows(tmp_path, name):
    done = ek.judge(ANSWERS, judge="fake", results_dir=tmp_path, benchmark=name, progress=False)
    for path in (tmp_path, tmp_path / name):
        assert sum(len(log) for log in judgment_logs([path])) == 8
        assert sum(len(log) for log in answer_logs([path])) == 8
    assert done.scores().n.sum() == 8


def test_a_model_may_be_called_items(tmp_path):
    from tests.api.test_results import response

    store = Store(tmp_path, "own")
    store.responses("items").append(response(1, "items"))
    store.close()
    assert sum(len(log) for log in answer_logs([tmp_path])) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "fak"}, "no model 'fak'; did you mean 'fake'"),
        ({"model": []}, "model=.*: give a name, a Model, or a list of these"),
        ({"judge": 3}, "judge=3: give a name, a Judge"),
        ({"limits": 1}, "unknown key 'limits'; did you mean 'limit'"),
        ({"limit": object()}, "limit=<object.*: a setting is a text, a number"),
        ({"model": {"fake": {"sampling": {"temprature": 0}}}}, "temprature"),
        ({"questions": "nowhere.jsonl"}, "questions"),
    ],
)
def test_mistakes_are_told(tmp_path, more, said):
    with pytest.raises(ek.UsageError, match=said):
        run(tmp_path, **more)


@pytest.mark.parametrize(
    "text", ["a,b", "it's", "null", "5", "true", "[x]", "{a: 1}", "ü ß", "a=b", "", "C:\\x", "${x}"]
)
def test_a_text_stays_what_it_is(tmp_path, text):
    done = run(tmp_path, model={"fake": {"system_prompt": text}}, dry_run=True)
    assert done.exit_code == 0
    from evalkit.settings import compose

    key = "model.fake.system_prompt"
    composed = compose.composed(["benchmark=pocket", "model=fake", "judge=fake", *setting(key, text)])
    assert composed["model"]["fake"]["system_prompt"] == text


def test_settings_as_a_command_line_has_them():
    assert setting("limit", None) == ["limit=null"]
    assert setting("dry_run", True) == ["dry_run=true"]
    assert setting("budget", {"usd": 1.5, "tokens": 3}) == ["budget.usd=1.5", "budget.tokens=3"]
    assert setting("ask_again", ["transport", "refused"]) == ["ask_again=[transport,refused]"]
    assert chosen("model", "openai/gpt-4o", ek.Model) == (["model=openai/gpt-4o"], ())
    inner = {"a": {"sampling": {"top_p": 1}}}
    assert chosen("model", ["b", inner], ek.Model) == (["model=b,a", "model.a.sampling.top_p=1"], ())


def test_a_rubric_of_your_own_is_an_object(tmp_path):
    verdicts = '{"1": {"reason": "r", "verdict": "yes"}, "2": {"reason": "r", "verdict": "no"}}'

    @dataclass(frozen=True)
    class Strict(Echo):
        async def complete(self, request):
            self.said.append(request.messages[-1].content)
            return ek.Completion(text=verdicts)

    rubric = ek.Rubric(
        name="manners",
        rubric=(
            ek.Criterion(id="polite", text="The answer is polite.", points=3),
            ek.Criterion(id="short", text="The answer is short.", points=1),
        ),
    )
    backend = Strict()
    judge = ek.Judge("strict", ek.Model(name="strict", backend=backend), rubric)
    done = run(tmp_path, judge=judge)
    assert any("The answer is polite." in said for said in backend.said)
    frame = done.judgments()
    assert set(frame.protocol) == {"manners"}
    assert "failed" not in frame
    assert set(frame.score) == {0.75}


@pytest.mark.parametrize("library", ["polars", "pyarrow", "pandas"])
def test_tables_of_every_library_are_taken(tmp_path, library):
    module = pytest.importorskip(library)
    columns = {
        "question": ["What is 2 + 2?", "What is 2 + 2?", "What is 3 + 3?", "What is 3 + 3?"],
        "answer": ["4", "Five.", "6", "Six."],
        "model": ["one", "two", "one", "two"],
    }
    table = {"polars": "DataFrame", "pandas": "DataFrame", "pyarrow": "table"}[library]
    answers = getattr(module, table)(columns)
    judged = ek.judge(answers, judge="fake", protocol="pairwise", results_dir=tmp_path / "j", progress=False)
    assert len(judged.judgments()) == 4
    votes = getattr(module, table)(
        {
            "item": list(judged.judgments().item.unique()),
            "model_a": ["one", "one"],
            "model_b": ["two", "two"],
            "winner": ["model_a", "tie"],
        }
    )
    found = judged.audit(human=votes)
    assert sum(subject.votes for subject in found.audit.subjects) == 2
