"""`evalkit init`: what it writes runs, and it overwrites nothing without being told to."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

FILES = {
    *("README.md", "questions.jsonl", ".gitignore", ".github/workflows/evaluation.yml", "conf/judge/grader.yaml"),
    *("conf/model/candidate.yaml", "conf/model/current.yaml", "conf/rubric/answers.yaml"),
}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def commands(text: str) -> list[list[str]]:
    """The evalkit commands of the project's README."""
    lines = [line for block in text.split("```sh\n")[1:] for line in block.partition("```")[0].splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("evalkit ")]


def test_the_project_runs_as_its_readme_says(cli, tmp_path):
    """On `fake`, as the README offers; gates may say no, but not that something is wrong."""
    assert cli("init").code == 0
    assert set(files(tmp_path)) == FILES
    text = (tmp_path / "README.md").read_text()
    asked = commands(text)
    assert [words[0] for words in asked] == ["run", "gate", "compare", "leaderboard", "audit"]
    for words in asked:
        if words[0] in ("gate", "compare"):  # of two models: below
            continue
        ended = cli(*words, *(("model=fake", "judge=fake") if words[0] == "run" else ()))
        assert ended.code == 0, (words, ended.err)
    rows = (tmp_path / "results/arena-questions/judgments/fake.rubric-answers.jsonl").read_text().splitlines()
    questions = (tmp_path / "questions.jsonl").read_text().splitlines()
    assert len(rows) == len(questions) >= 8
    assert all(len(json.loads(row)["criteria"]) == 5 for row in rows)


def test_two_models_of_the_project_are_compared_and_gated(cli, tmp_path):
    """With a stand-in for the embedded model in the project's own files."""
    cli("init")
    for path in tmp_path.glob("conf/*/*.yaml"):
        text = path.read_text().replace("llamacpp.LlamaCpp", "fake.Fake")
        skill = 8 if path.stem == "candidate" else 5
        path.write_text(text.replace("smollm2-135m-instruct-q4_1", f"{path.stem}\n    skill: {skill}"))
    run, gate, compare, *_ = commands((tmp_path / "README.md").read_text())
    assert cli(*run).code == 0
    decided = cli(*gate)
    assert decided.code == 0
    assert "PASS" in decided.out
    assert "candidate is better than current" in cli(*compare).out


def test_the_commands_as_written_compose(cli, tmp_path):
    cli("init")
    run = commands((tmp_path / "README.md").read_text())[0]
    ended = cli(*run, "dry_run=true")
    assert ended.code == 0, ended.err
    for name in ("candidate", "current", "grader"):
        assert name in ended.err


def test_the_workflow_gates_what_the_readme_runs(cli, tmp_path):
    cli("init")
    workflow = yaml.safe_load((tmp_path / ".github/workflows/evaluation.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step]
    run, gate = commands((tmp_path / "README.md").read_text())[:2]
    assert shlex.split(steps[1])[1:] == run
    assert shlex.split(steps[2].partition("||")[0])[1 : 1 + len(gate)] == gate


def test_nothing_is_overwritten_without_saying(cli, tmp_path):
    cli("init", "new/project")
    folder = tmp_path / "new" / "project"
    first = files(folder)
    again = cli("init", "new/project")
    assert again.code == 0
    assert again.out.count("unchanged") == len(FILES)
    (folder / "questions.jsonl").write_text("mine")
    (folder / "README.md").unlink()
    third = cli("init", "new/project")
    assert (folder / "questions.jsonl").read_text() == "mine"
    assert "kept        new/project/questions.jsonl" in third.out
    assert "written     new/project/README.md" in third.out
    assert "--force" in third.err
    forced = cli("init", "new/project", "--force")
    assert "overwritten new/project/questions.jsonl" in forced.out
    assert files(folder) == first


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be(cli, tmp_path, name):
    (tmp_path / "file").write_text("x")
    ended = cli("init", name)
    assert ended.code == 2
    assert "cannot write" in ended.err
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.slow
def test_the_project_runs_on_the_embedded_model(cli, tmp_path):
    pytest.importorskip("xllamacpp")
    cli("init")
    run, gate = commands((tmp_path / "README.md").read_text())[:2]
    ended = cli(*run, "limit=2")
    assert ended.code == 0, ended.err
    assert cli(*gate).code in (0, 4, 5)
