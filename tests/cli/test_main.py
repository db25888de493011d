"""The command line as people use it: exit codes, messages, what goes to which stream, and what is left on the disk."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

POCKET = ("run", "pocket", "model=fake", "judge=fake", "limit=1")
EVALKIT = (sys.executable, "-c", "from evalkit.cli import main; main()")
ROW = [
    *("model", "score", "lower", "upper", "n", "failed", "failed_by_kind", "questions"),
    *("turn_1", "turn_1_lower", "turn_1_upper", "turn_2", "turn_2_lower", "turn_2_upper"),
    *("judge", "protocol", "benchmark", "model_fingerprint", "judge_fingerprint"),
]
NOTHING_ASKED = "nothing asked: everything was stored already"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, kind: str) -> list[dict]:
    return [json.loads(line) for path in folder.glob(f"*/{kind}/*.jsonl") for line in path.read_text().splitlines()]


# --- run


def test_a_run(cli, tmp_path):
    code, out, err = cli(*POCKET)
    assert code == 0
    assert out == ""  # for people: standard error
    assert "pocket: scores by fake (single), with 95% intervals" in err
    assert "answers 8/8" in err
    assert "judgments 16/16" in err
    assert "32 requests" in err
    left = files(tmp_path)
    runs = {name for name in left if "/runs/" in name}
    assert left - runs == {
        *("results/pocket/answers/fake.jsonl", "results/pocket/judgments/fake.single.jsonl"),
        "results/pocket/items.jsonl",
    }
    assert {Path(name).name for name in runs} - {"report.html"} == {
        *("config.yaml", "manifest.json", "leaderboard.json", ".claims")
    }


def test_a_second_run_asks_nothing(cli, tmp_path):
    first = cli(*POCKET)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path) if "/runs/" not in name}
    second = cli(*POCKET)
    assert (first.code, second.code) == (0, 0)
    assert NOTHING_ASKED in second.err
    assert NOTHING_ASKED not in first.err
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    scores = [json.loads(path.read_text()) for path in (tmp_path / "results/pocket/runs").glob("*/leaderboard.json")]
    assert len(scores) == 2
    assert scores[0] == scores[1]


def test_the_manifest(cli, tmp_path):
    cli(*POCKET, "run.name=first")
    manifest = json.loads((tmp_path / "results/pocket/runs/first/manifest.json").read_text())
    assert manifest["outcome"] == "done"
    assert manifest["items"] == 8
    assert manifest["stages"]["judgments"] == {"total": 16, "done": 16, "stored": 0, "failed": {}}
    assert re.fullmatch("[0-9a-f]{64}", manifest["data"]["questions.jsonl"])
    assert sum(totals["asked"] for totals in manifest["traffic"].values()) in (16, 32)  # both are called fake


def test_empty_answers_are_told(cli, tmp_path):
    code, _, err = cli(*POCKET, f"model.fake.backend.script=[{','.join(['empty'] * 16)}]", "run.name=first")
    assert code == 0, "an empty answer is an answer"
    assert err.count("fake: 8 of 8 answers are empty in a turn or more") == 1
    run = tmp_path / "results/pocket/runs/first"
    assert len(json.loads((run / "manifest.json").read_text())["warnings"]) == 1
    assert "8 of 8 answers are empty" in (run / "report.html").read_text()


def test_failures_are_exit_code_1_and_named(cli):
    code, _, err = cli(*POCKET, "judge.fake.backend.mumble=1.0")
    assert code == 1
    assert "fake: 16 of 16 judgments without a verdict (16 unparsed)" in err
    assert "nan" not in err.lower()
    again = cli(*POCKET, "judge.fake.backend.mumble=1.0")
    assert again.code == 1, "unparsed is an answer: not asked again, and still a failure"
    assert NOTHING_ASKED in again.err


MUTE = ("judge.fake.backend.mumble=1.0", "judge.fake.backend.concurrency=1")


def test_a_judge_whose_first_replies_all_hold_no_verdict_is_asked_no_more(cli, tmp_path):
    code, _, err = cli("run", "pocket", "model=fake", "judge=fake", *MUTE)
    assert code == 1
    said = " ".join(err.split())
    assert "judge 'fake' was stopped: in none of its first 20 replies a verdict could be read (20 unparsed)" in said
    assert "stop_unparsed=null" in said
    assert len(rows(tmp_path / "results", "judgments")) == 20
    assert len({row["key"] for row in rows(tmp_path / "results", "answers")}) == 24
    assert cli("run", "pocket", "model=fake", "judge=fake", *MUTE, "stop_unparsed=null").code == 1
    assert len(rows(tmp_path / "results", "judgments")) == 48  # it went on from there


@pytest.mark.parametrize(("setting", "asked"), [("null", 48), ("5", 5)])
def test_when_a_judge_is_stopped_can_be_chosen(setting, asked, cli, tmp_path):
    assert cli("run", "pocket", "model=fake", "judge=fake", *MUTE, f"stop_unparsed={setting}").code == 1
    assert len(rows(tmp_path / "results", "judgments")) == asked


def test_one_readable_reply_among_the_first_keeps_a_judge(cli, tmp_path):
    script = f"judge.fake.backend.script=[{','.join(['empty'] * 4)},ok]"
    settings = (*MUTE[1:], "stop_unparsed=5", script)
    assert cli("run", "pocket", "model=fake", "judge=fake", *settings).code == 1
    assert len(rows(tmp_path / "results", "judgments")) == 48


def test_only_the_judge_that_is_not_understood_is_stopped(cli, tmp_path):
    conf = tmp_path / "conf" / "judge"
    conf.mkdir(parents=True)
    other = "{backend: {_target_: evalkit.backends.fake.Fake, model: %s, mumble: %s, concurrency: 1}}"
    for name, mumble in (("mute", 1.0), ("clear", 0.0)):
        (conf / f"{name}.yaml").write_text(f"{name}: {other % (name, mumble)}\n")
    code, _, err = cli("run", "pocket", "model=fake", "judge=[mute,clear]", f"--config-dir={tmp_path / 'conf'}")
    assert code == 1, err
    counts = Counter(row["judge"]["name"] for row in rows(tmp_path / "results", "judgments"))
    assert counts == {"mute": 20, "clear": 48}


@pytest.mark.slow
def test_scripted_failures(cli, tmp_path):
    script = 'judge.fake.backend.script=[refuse,"400",garbage,length,empty]'
    code, _, err = cli(*POCKET, script)
    assert code == 1
    kinds = sorted(row["error"]["kind"] for row in rows(tmp_path / "results", "judgments") if row.get("error"))
    assert kinds == ["malformed", "refused", "rejected", "truncated", "unparsed"]
    assert "5 of 16 judgments without a verdict (1 malformed, 1 refused, 1 rejected, 1 truncated, 1 unparsed)" in err
    again = cli(*POCKET)
    assert again.code == 1
    assert NOTHING_ASKED in again.err
    (named,) = re.findall(r"does not ask again for what is malformed or .*; to do so, add (ask_again=\S+)", again.err)
    assert named == "ask_again=malformed,refused,rejected,unparsed"  # what was cut would be cut again
    mended = cli(*POCKET, named, "judge.sampling.max_tokens=999")
    assert mended.code == 0
    assert "ask_again" not in mended.err


def test_what_was_cut_is_told_of_the_limit_and_a_higher_one_alone_asks_again(cli):
    ended = cli(*POCKET, "judge.fake.backend.script=[length,length]", "judge.sampling.max_tokens=100")
    assert ended.code == 1
    said = " ".join(ended.err.split())
    assert "cut short at the judge's limit, and would be again: raise it, judge.sampling.max_tokens=N" in said
    assert "ask_again=" not in said
    raised = cli(*POCKET, "judge.sampling.max_tokens=200")
    assert raised.code == 0, raised.err
    assert "16 requests" in raised.err
    assert "max_tokens" not in raised.err


def test_no_answer_at_all(cli):
    script = ",".join(['"400"'] * 8)
    code, _, err = cli(*POCKET, f"model.fake.backend.script=[{script}]")
    assert code == 1
    assert "8 rejected" in err
    assert "no scores: not one answer was judged" in err


def test_a_dry_run_leaves_nothing(cli, tmp_path):
    code, out, err = cli(*POCKET, "dry_run=true")
    assert code == 0
    assert out == ""
    assert "dry run: nothing was asked" in err
    assert files(tmp_path) == set()
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_counts_what_is_stored(cli, tmp_path, ran):
    ran(POCKET)
    before = files(tmp_path)
    err = cli(*POCKET, "dry_run=true").err
    assert re.search(r"model +fake +0 +16 ", err)
    assert re.search(r"judge +fake +0 +16 ", err)
    assert files(tmp_path) == before


def test_composed_config(cli, tmp_path):
    for arguments in ((*POCKET, "--cfg", "job"), ("run", "pocket", "--cfg", "job", *POCKET[2:])):
        code, out, _ = cli(*arguments)
        assert code == 0
        assert "_target_: evalkit.backends.fake.Fake" in out
        assert "benchmark: pocket" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_options_and_overrides_in_any_order(cli, tmp_path):
    code, _, err = cli("run", "pocket", "-m", "model=fake", "limit=1", "judge=fake", "model.fake.backend.skill=3,8")
    assert code == 0
    assert err.count("pocket: scores by fake") == 2
    assert len({row["model"]["fingerprint"] for row in rows(tmp_path / "results", "answers")}) == 2


@pytest.mark.slow
def test_jobs_leave_nothing_beside_the_results(cli, tmp_path):
    cli(*POCKET, "-m", "repeats=1,2")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.slow
def test_several_models_in_one_run_and_as_jobs(cli, tmp_path):
    (tmp_path / "own" / "model").mkdir(parents=True)
    for name, skill in (("weak", 3), ("strong", 8)):
        backend = f"{{_target_: evalkit.backends.fake.Fake, model: {name}, skill: {skill}}}"
        (tmp_path / "own" / "model" / f"{name}.yaml").write_text(f"{name}:\n  price: free\n  backend: {backend}\n")
    own = ("--config-dir", str(tmp_path / "own"))
    code, _, err = cli("run", "pocket", *own, "model=[weak,strong]", "judge=fake", "limit=1")
    assert code == 0
    assert err.index("strong") < err.index("weak"), "best first"
    code, _, err = cli("run", "pocket", "-m", "model=weak,strong", "judge=fake", *own, "limit=1")
    assert code == 0
    assert err.count(NOTHING_ASKED) == 2


@pytest.mark.slow
def test_a_job_that_fails_decides_the_exit_code(cli):
    assert cli(*POCKET, "-m", "judge.fake.backend.mumble=1.0,0").code == 1
    assert cli(*POCKET, "-m", "limit=1,x").code == 2


def test_a_panel(cli, tmp_path):
    (tmp_path / "own" / "judge").mkdir(parents=True)
    (tmp_path / "own" / "judge" / "other.yaml").write_text(
        "other:\n  price: free\n  backend: {_target_: evalkit.backends.fake.Fake, model: other}\n"
    )
    code, _, err = cli(*POCKET[:3], "judge=[fake,other]", "limit=1", "--config-dir", str(tmp_path / "own"))
    assert code == 0
    assert "scores by fake (single)" in err
    assert "scores by other (single)" in err
    assert "judgments 32/32" in err
    one = json.loads(cli("leaderboard", "--judge", "other", "--format", "json").out)["rows"]
    assert {row["judge"] for row in one} == {"other"}


def test_a_folder_with_a_difficult_name(cli, tmp_path):
    folder = tmp_path / "my bench (1) it's"
    folder.mkdir()
    (folder / "benchmark.yaml").write_text(OWN)
    (folder / "questions.jsonl").write_text('{"turns": "Why?"}\n')
    code, _, err = cli("run", str(folder), "model=fake", "judge=fake")
    assert code == 0
    assert "own: scores by fake" in err


OWN = """\
name: own
title: Own
description: one question
source: a test
licence: Apache-2.0
questions: {path: questions.jsonl, fields: {turns: turns}}
categories: [all]
protocol: single
generation: {max_tokens: 100}
"""


# --- mistakes: exit code 2, one readable message, nothing written

MISTAKES = [
    (("run",), "usage: evalkit run BENCHMARK"),
    (("run", "model=fake"), "needs a benchmark before 'model=fake'"),
    (("run", "pockett"), "no benchmark 'pockett'. Did you mean 'pocket'? There are: "),
    (("run", "pocket", "model=fke"), "no model 'fke'; did you mean 'fake'? There are: anthropic, fake,"),
    (("run", "pocket", "model=fake", "judge=gpt5"), "no judge 'gpt5'; did you mean 'gpt4'"),
    ((*POCKET, "protocol=sngle"), "no protocol 'sngle'; did you mean 'single'?"),
    ((*POCKET, "protocol=faithful"), "no published protocol"),
    ((*POCKET, "ray.actors=0"), "ray.actors=0: must be at least 1"),
    ((*POCKET, "ray.cpus=-1"), "ray.cpus=-1: must be at least 0"),
    ((*POCKET, "ray.gpus=-1"), "ray.gpus=-1: must be at least 0"),
    ((*POCKET, "ray.nodes=2"), "ray: unknown key 'nodes'; there are: actors, address, cpus, gpus"),
    ((*POCKET, "backend=slurm"), "backend='slurm' is not possible; there are: ray"),
    ((*POCKET, "retry=5"), "retry=5: set one of retry.attempts=, retry.first_wait="),
    ((*POCKET, "ask_again=unparsd"), "ask_again[0]='unparsd' is not possible; did you mean 'unparsed'?"),
    ((*POCKET, "limmit=2"), "unknown key 'limmit'; did you mean 'limit'?"),
    ((*POCKET, "+foo=2"), "unknown key 'foo'; there are: "),
    ((*POCKET, "protocol=pairwise"), "compares the answers of two models, and there is only 'fake'; add a model"),
    ((*POCKET, "protocol=pairwise", "dry_run=true"), "model=fake,NAME, choose another to compare it with, baseline="),
    ((*POCKET, "protocol=pairwise", "baseline=fake"), "there is only 'fake', which is the baseline itself"),
    ((*POCKET, "baseline=other"), "baseline=other: protocol single grades each answer by itself"),
    (("run", "pocket", "model=[fake,fake]", "judge=fake"), "model=[fake,fake]: 'fake' is named twice"),
    (("run", "pocket", "model=fake", "judge=[fake, 'fake']"), "judge=[fake, 'fake']: 'fake' is named twice"),
    (("run", "pocket", "model=fake", "judge=gpt4"), "judge 'gpt4': no key for https://api.openai.com/v1: set the"),
    (("run", "pocket", "model=openai", "judge=fake"), "model 'openai': no key for https://api.openai.com/v1: set"),
    (("audit", "judge=fake", "probe=position"), "unknown key 'probe'; did you mean 'probes'?"),
    (("audit", "judge=fake", "turn=both"), "unknown key 'turn'; did you mean 'turns'?"),
    ((*POCKET, "retry.attemps=2"), "retry: unknown key 'attemps'; did you mean 'attempts'?"),
    ((*POCKET, "run.nam=x"), "run: unknown key 'nam'; did you mean 'name'?"),
    ((*POCKET, "limit=abc"), "limit='abc': expected `int | null`, got `str`"),
    ((*POCKET, "retry.attempts=x"), "retry.attempts='x': expected `int`"),
    ((*POCKET, "retry.attempts=0"), "retry.attempts=0: must be at least 1"),
    ((*POCKET, "repeats=0"), "repeats=0: must be at least 1"),
    ((*POCKET, "limit=0"), "limit=0: must be at least 1"),
    ((*POCKET, "ask_again=[trasport]"), "ask_again[0]='trasport' is not possible; did you mean 'transport'?"),
    ((*POCKET, "model.fake.backend.skil=3"), "'skil' is not a setting of Fake; did you mean 'skill'?"),
    ((*POCKET, "model.fake.backend.skill=good"), "model.fake.backend.skill='good': expected `float`"),
    ((*POCKET, "model.fake.backend.concurrency=0"), "model.fake.backend.concurrency=0: must be at least 1"),
    ((*POCKET, "model.fake.sampling.temprature=1"), "unknown key 'temprature'; did you mean 'temperature'?"),
    ((*POCKET, "model.fake.sampling.temperature=nan"), "model.fake.sampling.temperature=nan: must be a finite number"),
    ((*POCKET, "model.fake.unsupported=[seeed]"), "'seeed' is not a sampling field; did you mean 'seed'?"),
    (
        (*POCKET, "model.zephyr.backend.model=x"),
        "model.zephyr is set, but 'zephyr' does not take part; there are: fake",
    ),
    ((*POCKET, "model.fake.backend._target_=os.system"), "'os.system' must be a class of evalkit"),
    ((*POCKET, "model=null"), "chosen by name: model=NAME"),
    ((*POCKET, "model=[]"), "no model chosen; give model=NAME"),
    ((*POCKET, "model.fake=3"), "no model chosen"),
    ((*POCKET, "model=[fake"), "cannot read 'model=[fake'; settings are written key=value"),
    ((*POCKET, "foo"), "cannot read 'foo'; settings are written key=value"),
    (
        (*POCKET, "protocol=single,fastchat_single"),
        "'protocol=single,fastchat_single' names several values: give one, or -m",
    ),
    ((*POCKET, "protocol.scoring=txt"), "protocol.scoring='txt' is not possible; did you mean 'text'?"),
    ((*POCKET, "protocol.task='{nope}'"), "protocol.task may hold the fields"),
    ((*POCKET, "benchmark=mtbench"), "the benchmark has no key: `evalkit run mtbench`"),
    ((*POCKET, "references=nope"), "references='nope' is neither a file nor one of: own"),
    (("run", "pocket", "model=openai_compatible"), "are not set; give model.openai_compatible.backend.base_url=VALUE"),
    ((*POCKET, "limit=${oc.env:NOPE}"), "Environment variable 'NOPE' not found"),
    ((*POCKET, "--config-dir", "nowhere"), "nowhere' not found"),
    (
        ("run", "pocket", "model=openai_compatible"),
        "backend.model are not set; give model.openai_compatible.backend.base_url=VALUE model.openai_c",
    ),
    (("run", "b\udcff"), "no benchmark 'b"),
    (("leaderboard", "nowhere"), "no results at 'nowhere'; `evalkit run <benchmark>` makes some"),
    (("leaderboard", "--format", "xml"), "invalid choice: 'xml'"),
    (("leaderboard", "--metod", "bt"), "leaderboard: error: unrecognized arguments: --metod; did you mean --method?"),
    (("export", "battles", "-o", "x", "--formats"), "evalkit export: error: unrecognized arguments: --formats"),
    (("--verbose", "doctor"), "evalkit: error: unrecognized arguments: --verbose"),
    (("list", "everything"), "invalid choice: 'everything'"),
    (("list", "models", "--config-dir", "nowhere"), "--config-dir 'nowhere' is not a folder"),
    (("bake",), "invalid choice: 'bake'"),
    ((), "answer a benchmark, judge the answers, print the scores"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:60] if value else None)
def test_mistakes(cli, tmp_path, arguments, message):
    code, out, err = cli(*arguments)
    assert code == 2
    assert message in out + err
    assert err.count("evalkit: ") <= 1
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("benchmark.yaml", "name: x\n title: [", r"benchmark\.yaml'.*line 2"),
        ("benchmark.yaml", OWN.replace("title", "titel"), "benchmark.yaml'.*titel"),
        ("benchmark.yaml", OWN.replace("max_tokens: 100", "max_tokens: many"), "benchmark.yaml'.*max_tokens"),
        ("benchmark.yaml", OWN.replace("single", "sngle"), "no protocol 'sngle'; did you mean 'single'"),
        ("questions.jsonl", '{"turns": "a"}\n{"turns": 3}\n', r"questions\.jsonl', record 2.*'turns'"),
        ("questions.jsonl", '{"turns": "a"}\n\n{"turns": "b"\n', r"questions\.jsonl', record 3"),
        ("questions.jsonl", '{"turns": "a"}\n{"turns": "a"}\n', "record 2: the same question occurs twice"),
        ("questions.jsonl", '{"turns": []}\n', "record 1.*at least one turn"),
        ("questions.jsonl", '{"Turns": "a"}\n', "record 1.*'turns'"),
        ("questions.jsonl", "\n", "holds no questions"),
        ("questions.jsonl", None, "cannot read .*questions.jsonl"),
        ("benchmark.yaml", None, "cannot read .*benchmark.yaml"),
    ],
)
def test_a_malformed_benchmark_names_file_and_line(cli, tmp_path, file, content, message):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "benchmark.yaml").write_text(OWN)
    (folder / "questions.jsonl").write_text('{"turns": "a"}\n')
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    code, _, err = cli("run", "./own", "model=fake", "judge=fake")
    assert code == 2
    assert re.search(message, err, re.DOTALL), err
    assert not (tmp_path / "results").exists()


def test_results_that_cannot_be_written(cli, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = cli(*POCKET, "results_dir=file")
    assert code == 2
    assert "cannot write results to 'file/pocket/runs'" in err
    assert "results_dir=DIR" in err


def test_a_damaged_row_is_named(cli, tmp_path, ran):
    ran(POCKET)
    path = tmp_path / "results/pocket/judgments/fake.single.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = lines[2][:50]
    path.write_text("\n".join(lines) + "\n")
    for arguments in (POCKET, ("leaderboard",)):
        code, _, err = cli(*arguments)
        assert code == 2
        assert "fake.single.jsonl', line 3" in err


# --- leaderboard


@pytest.fixture
def results(ran):
    """Two configurations of one model, the second the newer."""
    ran(POCKET, (*POCKET, "model.fake.sampling.temperature=0.3"))


@pytest.mark.usefixtures("results")
def test_leaderboard_formats(cli):
    table = cli("leaderboard")
    assert table.code == 0
    assert "pocket: scores by fake (single), with 95% intervals" in table.out
    asked = json.loads(cli("leaderboard", "--format", "json").out)
    assert list(asked) == ["schema", "rows"]
    assert asked["schema"] == "evalkit.leaderboard/1"
    (row,) = asked["rows"]
    assert set(row) == set(ROW)
    assert row["model"] == "fake"
    assert row["n"] == 16
    assert row["failed"] == 0
    assert row["lower"] < row["score"] < row["upper"]
    (read,) = csv.DictReader(io.StringIO(cli("leaderboard", "--format", "csv").out))
    assert float(read["score"]) == row["score"]
    lines = cli("leaderboard", "--format", "md").out.splitlines()
    assert lines[:2] == ["**pocket: scores by fake (single), with 95% intervals**", ""]
    assert lines[2].startswith("| model | score | turn 1 | turn 2 | n | failed |")
    assert f"| fake | {row['score']:.2f} ({row['lower']:.2f}–{row['upper']:.2f}) |" in lines[4]
    assert len(lines) == 5


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("form", ["json", "csv", "md"])
def test_standard_output_holds_data_only(cli, form):
    _, out, err = cli("leaderboard", "--format", form)
    assert "not counted" in err
    assert "not counted" not in out
    assert "\x1b" not in out


@pytest.mark.usefixtures("results")
def test_the_newest_configuration_counts(cli):
    note = "16 judgments of earlier configurations"
    newest = cli("leaderboard", "--format", "json")
    assert note in newest.err
    every = cli("leaderboard", "--format", "json", "--all")
    assert note not in every.err
    fingerprints = [row["model_fingerprint"] for row in json.loads(every.out)["rows"]]
    assert len(set(fingerprints)) == 2
    (shown,) = json.loads(newest.out)["rows"]
    temperatures = {
        row["model"]["fingerprint"]: row["sampling"].get("temperature")
        for row in rows(Path("results"), "answers")
        if row["category"] == "math"
    }
    assert temperatures[shown["model_fingerprint"]] == 0.3


@pytest.mark.usefixtures("results")
def test_by_category(cli):
    found = json.loads(cli("leaderboard", "--format", "json", "--by", "category").out)["rows"]
    assert {row["category"] for row in found} == {
        *("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"),
    }
    assert set(found[0]) == {*ROW, "category"}
    assert all(row["lower"] is None for row in found), "one question has no interval"


@pytest.mark.usefixtures("results")
def test_judges_and_paths(cli):
    code, _, err = cli("leaderboard", "--judge", "nobody")
    assert code == 2
    assert "no judgments by 'nobody' in results; there are some by: fake" in err
    everywhere = cli("leaderboard", "--format", "json").out
    for path in ("results/pocket", "results/pocket/judgments", "results/pocket/judgments/fake.single.jsonl"):
        assert cli("leaderboard", path, "results", "--format", "json").out == everywhere


def test_a_run_prints_its_own_configuration(cli):
    cli(*POCKET, "run.name=first")
    cli(*POCKET, "run.name=second", "model.fake.backend.skill=2")
    cli(*POCKET, "run.name=third")
    first, second, third = (
        json.loads(Path(f"results/pocket/runs/{name}/leaderboard.json").read_text())
        for name in ("first", "second", "third")
    )
    assert first != second
    assert third == first


# --- list and doctor


@pytest.mark.parametrize(
    ("what", "some"),
    [
        ("models", ["zephyr", "smollm2", "openai_compatible"]),
        ("judges", ["gpt4", "claude", "local"]),
        ("benchmarks", ["mtbench", "pocket"]),
        ("protocols", ["single", "fastchat_single"]),
    ],
)
def test_list(cli, what, some):
    code, out, err = cli("list", what)
    assert (code, err) == (0, "")
    for name in some:
        assert re.search(rf"^ *{name} +\w", out, re.MULTILINE)


def test_doctor_never_shows_a_key(cli, monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "sk-secret123")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:sk-secret123@host/v1?key=sk-secret123")
    code, out, err = cli("doctor")
    assert code == 0
    assert "secret" not in out + err
    assert re.search(r"OPENAI_API_KEY +ok +set", out)


def test_doctor_without_keys(cli, tmp_path):
    code, out, _ = cli("doctor", "--results-dir", str(tmp_path / "results"))
    assert code == 0
    assert re.search(r"ANTHROPIC_API_KEY +missing +not set", out)
    assert list(tmp_path.iterdir()) == []


def test_help(cli):
    for arguments in (("run", "--help"), ("run", "pocket", "-h"), (*POCKET, "--help")):
        code, out, _ = cli(*arguments)
        assert code == 0
        assert out.startswith("usage: evalkit run BENCHMARK")
    assert cli("--version").out.startswith("evalkit ")


@pytest.mark.parametrize("verb", ["leaderboard", "audit", "import", "export", "list", "doctor"])
def test_every_option_of_a_verb_has_help(cli, verb):
    out = " ".join(cli(verb, "--help").out.split())
    for option in re.findall(r"(-o, --output \S+|--by \{category\}|--results-dir \S+|--config-dir \S+) (\S+)", out):
        assert not option[1].startswith("-"), option


def test_help_of_export_lists_its_formats(cli):
    out = cli("export", "--help").out
    assert all(name in out for name in ("fastchat", "alpaca_eval", "arena_hard", "battles"))


FORMAT = """
from evalkit.interop.records import ExportFormat, ImportFormat

class BrandNew({base}):
    def read(self, path):
        yield from ()
"""


@pytest.mark.parametrize("writes", [False, True])
def test_a_new_format_is_known_by_being_there(cli, tmp_path, monkeypatch, writes):
    from evalkit import interop

    (tmp_path / "mine").mkdir()
    text = FORMAT.format(base="ExportFormat" if writes else "ImportFormat") + (
        "\n    def write(self, rows, out):\n        return {}\n" if writes else ""
    )
    (tmp_path / "mine" / "brand_new.py").write_text(text)
    monkeypatch.setattr(interop, "__path__", [*interop.__path__, str(tmp_path / "mine")])
    monkeypatch.delitem(sys.modules, "evalkit.interop.brand_new", raising=False)
    (tmp_path / "results").mkdir()
    assert "brand_new" in cli("import", "--help").out
    assert ("brand_new" in cli("export", "--help").out) == writes
    refused = " ".join(cli("export", "llmbar", "-o", "out").err.split())
    assert "llmbar cannot be exported; formats that can: alpaca_eval, arena_hard, battles" in refused
    assert ("brand_new" in refused) == writes
    assert ("cannot be exported" in cli("export", "brand_new", "-o", "out").err) != writes
    monkeypatch.delitem(sys.modules, "evalkit.interop.brand_new", raising=False)


def test_keys_are_never_stored(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret123")
    cli(*POCKET)
    assert not [name for name in files(tmp_path) if b"secret" in (tmp_path / name).read_bytes()]


# --- as a process


def test_the_package_runs_as_a_module():
    ended = subprocess.run([sys.executable, "-m", "evalkit", "--version"], capture_output=True, text=True, check=False)
    assert ended.stdout.startswith("evalkit ")


def process(*arguments: str, **options: object) -> subprocess.Popen:
    return subprocess.Popen([*EVALKIT, *arguments], text=True, stderr=subprocess.PIPE, env=dict(os.environ), **options)


@pytest.mark.slow
def test_ctrl_c_stores_what_is_under_way_and_resumes(cli, tmp_path):
    slow = ("model.fake.backend.delay=0.4", "model.fake.backend.concurrency=2", "judge.fake.backend.delay=0.1")
    running = process(*POCKET, *slow, "results_dir=slow", "run.name=cut", cwd=tmp_path, stdout=subprocess.DEVNULL)
    answers = tmp_path / "slow/pocket/answers/fake.jsonl"
    deadline = time.monotonic() + 600
    while not answers.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=600)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert "the same command goes on from there" in err
    stored = len(rows(tmp_path / "slow", "answers"))
    assert 0 < stored < 16
    assert json.loads((tmp_path / "slow/pocket/runs/cut/manifest.json").read_text())["outcome"] == "interrupted"
    code, _, err = cli(*POCKET, "results_dir=slow")
    assert code == 0
    kept = {row["key"]: row for row in rows(tmp_path / "slow", "answers")}
    assert len(kept) == 8
    assert all(len(row["turns"]) == 2 for row in kept.values())
    asked = re.search(r"^(\d+) requests", err, re.MULTILINE)
    assert asked
    assert 0 < int(asked[1]) < 32


@pytest.mark.parametrize("arguments", [("leaderboard", "--format", "json"), ("leaderboard",), ("run", "--help")])
def test_a_reader_that_goes_away(ran, tmp_path, arguments):
    ran(POCKET)
    reader, writer = os.pipe()
    os.close(reader)
    running = process(*arguments, cwd=tmp_path, stdout=writer)
    os.close(writer)
    _, err = running.communicate(timeout=600)
    assert err == ""
    assert running.returncode in (0, 1)
