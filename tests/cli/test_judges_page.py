"""docs/judges.md: its files and commands, as someone new would follow them; on `fake`, and slowly on the real model."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "judges.md").read_text(encoding="utf-8")
FILES = re.findall(r"Put this into `([^`]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def written(folder: Path) -> None:
    for name, content in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def judgments(folder: Path, benchmark: str, name: str) -> list[dict]:
    path = folder / "results" / benchmark / "judgments" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_page_has_files_and_commands():
    assert {name for name, _ in FILES} == {"conf/protocol/polite.yaml", "note.yaml", "talks.jsonl"}
    assert len(COMMANDS) >= 6
    assert all(command.startswith("evalkit ") for command in COMMANDS)


@pytest.mark.slow
def test_every_command_works_on_the_stand_in(cli, tmp_path):
    written(tmp_path)
    for command in COMMANDS:
        if "healthbench" in command:  # fetches its questions
            continue
        arguments = shlex.split(command.replace("smollm2", "fake"))[1:]
        ended = cli(*arguments)
        assert ended.code == 0, (command, ended.err)
    (prompt,) = [command for command in COMMANDS if "show=prompt" in command]
    shown = cli(*shlex.split(prompt.replace("smollm2", "fake"))[1:])
    assert "kind without being servile" in shown.out
    assert "--- reply: json 'verdict', by this schema ---" in shown.out
    assert {row["protocol"] for row in judgments(tmp_path, "pocket", "fake.polite")} == {"polite"}
    rows = judgments(tmp_path, "pocket", "fake.rubric-note")
    assert all(len(row["criteria"]) == 5 and row["scores"] for row in rows)
    assert len(judgments(tmp_path, "arena-talks", "fake.rubric-helpful")) == 1


def test_rubrics_and_protocols_are_listed(cli):
    assert "helpful" in cli("list", "rubrics").out
    assert "grade" in cli("list", "protocols").out


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("rubric=note.yaml", "protocol=single"), "takes no rubric"),
        (("rubric=nope",), "no rubric 'nope'"),
        (("rubric=nope.yaml",), "cannot read"),
        (("protocol=rubric",), "brings no rubric of its own"),
        (("protocol=polite", "--config-dir=conf", "protocol.scale=6-9"), "'1' is not on the scale"),
        (("protocol=polite", "--config-dir=conf", "protocol.user=Rate it"), "shows no answer"),
        (("rubric=note.yaml", "protocol.calls=each"), "protocol.calls"),
        (("rubric=note.yaml", "judge.batch=true"), "batch"),
        (("show=answer",), "show"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(cli, tmp_path, settings, says):
    written(tmp_path)
    ended = cli("run", "pocket", "model=fake", "judge=fake", "limit=1", *settings)
    assert ended.code == 2
    assert re.search(says, ended.err), ended.err


@pytest.mark.slow
def test_the_embedded_model_follows_the_page_without_an_unreadable_verdict(cli, tmp_path):
    pytest.importorskip("xllamacpp")
    written(tmp_path)
    talk = "questions=talks.jsonl"
    assert cli("run", "arena", talk, "model=fake", "judge=smollm2", "--config-dir=conf", "protocol=polite").code == 0
    assert cli("run", "arena", talk, "model=fake", "judge=smollm2", "rubric=note.yaml").code == 0
    rows = judgments(tmp_path, "arena-talks", "smollm2.polite")
    rows += judgments(tmp_path, "arena-talks", "smollm2.rubric-note")
    assert all(row["scores"] is not None for row in rows)
    assert all(one.get("error") is None for row in rows for one in row["criteria"])
