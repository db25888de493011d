"""What surrounds a run: files come whole or not at all, the report late rather than never, and clocks may jump."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import time

import pytest

from evalkit.core.files import replace_file
from evalkit.reports import run_report

POCKET = ("run", "pocket", "model=fake", "judge=fake", "limit=1")
NOTHING_ASKED = "nothing asked: everything was stored already"


def reports(folder):
    return sorted(folder.glob("results/pocket/runs/*/report.html"))


# The report.


@pytest.mark.parametrize("name", [(), ("run.name=it",)], ids=["another folder", "the same folder"])
def test_a_run_that_ended_before_its_report_gets_one_from_the_same_command(cli, tmp_path, name):
    cli(*POCKET, *name)
    (lost,) = reports(tmp_path)
    lost.unlink()
    code, _, err = cli(*POCKET, *name)
    assert code == 0
    assert NOTHING_ASKED in err
    (made,) = reports(tmp_path)
    assert f"report: {made.relative_to(tmp_path)}" in err


def test_a_full_disk_at_the_report(cli, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(run_report, "replace_file", full)
        code, _, err = cli(*POCKET)
    assert code == 2
    assert "report.html': No space left on device. Everything judged is stored" in " ".join(err.split())
    assert reports(tmp_path) == []
    assert cli(*POCKET).code == 0
    assert len(reports(tmp_path)) == 1


def test_a_report_of_fewer_rows_is_made_anew(cli, tmp_path, monkeypatch):
    cli(*POCKET, "run.name=it")
    (old,) = reports(tmp_path)
    before = old.read_bytes()
    more = ("run", "pocket", "model=fake", "judge=fake", "limit=2", "run.name=it")
    with monkeypatch.context() as patched:  # killed before it could write
        patched.setattr(run_report, "write", lambda *_: None)
        cli(*more)
    assert old.read_bytes() == before
    err = cli(*more).err
    assert NOTHING_ASKED in err
    assert old.read_bytes() != before


def test_a_report_of_the_same_rows_is_not_made_again(cli, tmp_path, ran):
    ran(POCKET)
    (first,) = reports(tmp_path)
    err = cli(*POCKET).err
    assert reports(tmp_path) == [first]
    assert f"report: {first.relative_to(tmp_path)}" in err
    cli(*POCKET, "judge.fake.sampling.temperature=0.5")  # another judge
    assert len(reports(tmp_path)) == 2


# Files.


@pytest.mark.parametrize(
    ("command", "folder", "names"),
    [
        (POCKET, "pocket", ["config.yaml", "manifest.json", "leaderboard.json", "report.html"]),
        (
            ("audit", "judge=fake", "model=fake", "limit=1", "probes=[position]"),
            "audit-pocket",
            ["config.yaml", "manifest.json", "audit.json"],
        ),
        (
            ("rejudge", "results/pocket", "judge=fake", "as=new", "judge.fake.backend.noise=0.5"),
            "pocket",
            ["config.yaml", "manifest.json", "rejudge.json"],
        ),
    ],
    ids=["run", "audit", "rejudge"],
)
def test_links_in_a_runs_folder_are_not_written_through(cli, tmp_path, ran, command, folder, names):
    if command[0] == "rejudge":
        ran(POCKET)
    place = tmp_path / "results" / folder / "runs" / "it"
    place.mkdir(parents=True)
    outside = tmp_path / "precious"
    outside.write_text("{}")
    for name in names:
        (place / name).symlink_to(outside)
    assert cli(*command, "run.name=it").code == 0
    assert outside.read_text() == "{}"
    assert all((place / name).is_file() and not (place / name).is_symlink() for name in names)
    assert {path.name for path in place.iterdir()} == set(names), "nothing else is left"


def test_a_runs_folder_that_is_a_link_is_refused(cli, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "results/pocket/runs").mkdir(parents=True)
    (tmp_path / "results/pocket/runs/it").symlink_to(elsewhere)
    code, _, err = cli(*POCKET, "run.name=it")
    assert code == 2
    assert "is a link" in err
    assert list(elsewhere.iterdir()) == []


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_file(path, "before")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (tmp_path / f".file.{os.getpid()}.new").symlink_to(outside)
    replace_file(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert outside.read_text() == "precious"


# Clocks.


@pytest.mark.parametrize("step", [-3600.0, 3600.0], ids=["back", "forth"])
def test_a_clock_that_is_set_during_a_run(cli, tmp_path, monkeypatch, step):
    """Every look at the clock finds it an hour off the last one."""
    real, looks = time.time(), itertools.count()
    monkeypatch.setattr(time, "time", lambda: real + step * next(looks))
    began = time.monotonic()
    code, _, err = cli(*POCKET, "run.name=it")
    assert code == 0
    manifest = json.loads((tmp_path / "results/pocket/runs/it/manifest.json").read_text())
    assert 0 <= manifest["seconds"] <= time.monotonic() - began + 0.1, "as a clock that is never set has it"
    assert {stage["stored"] for stage in manifest["stages"].values()} == {0}
    assert re.search(r"^32 requests in \d", err, re.MULTILINE)
    assert " stored" not in " ".join(
        line for line in err.splitlines() if line.startswith(("answers 8", "judgments 16"))
    )


@pytest.mark.parametrize("ahead", [-86400.0, 86400.0])
def test_rows_of_another_machines_clock_are_of_an_earlier_run(cli, tmp_path, monkeypatch, ahead):
    real = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: real() + ahead)
        cli(*POCKET)
    cli(*POCKET, "run.name=it")
    manifest = json.loads((tmp_path / "results/pocket/runs/it/manifest.json").read_text())
    assert manifest["stages"]["judgments"] == {"total": 16, "done": 16, "stored": 16, "failed": {}}
    assert manifest["stages"]["answers"]["stored"] == 8
