"""Tournaments on the command line: what is printed, what is left, and what is refused."""

from __future__ import annotations

import json

import pytest

from evalkit.core.schema import digest

BASIC = ("run", "arena", "questions=mine.jsonl", "fields.turns=question", "model=[fake,other]", "judge=fake")
DIFFER = (
    "model.fake.backend.skill=3",
    "model.other.backend.skill=8",
    "judge.fake.backend.noise=5",
    "--config-dir=conf",
)


@pytest.fixture
def prepared(tmp_path):
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps({"question": f"Why {i}?"}) + "\n" for i in range(40)))
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "other.yaml").write_text(
        "other:\n  backend: {_target_: evalkit.backends.fake.Fake, model: other}\n  price: free\n"
    )
    return tmp_path


@pytest.mark.slow
def test_a_tournament_from_forecast_to_later_tables(cli, prepared):
    forecast = cli(*BASIC, *DIFFER, "until=order", "gap=0.9", "dry_run=true")
    assert forecast.code == 0
    assert "if each model beats the next in 90%: about" in forecast.err
    assert not (prepared / "results").exists() or not list((prepared / "results").glob("*/judgments/*"))
    run = cli(*BASIC, *DIFFER, "until=order", "run.name=first")
    assert run.code == 0
    assert "until=order is reached" in run.err
    assert "is wrong is at most 5%, for questions like these 40" in " ".join(run.err.split())
    folder = prepared / "results" / "arena-mine" / "runs" / "first"
    left = json.loads((folder / "tournament.json").read_text())
    assert [row["model"] for row in left["rows"]] == ["other", "fake"]
    assert left["schema"] == "evalkit.tournament/1"
    assert left["judgments"] < left["all_pairs"] == 80
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["tournament"] == {"until": "order", "guarantee": left["guarantee"]}
    assert "until=order" in (folder / "report.html").read_text()
    again = cli(*BASIC, *DIFFER, "until=order")
    assert "nothing asked: everything was stored already" in again.err
    table = cli("leaderboard", "results")
    assert "a tournament (until=order) chose pairs by what was seen" in table.err + table.out
    audit = cli("audit", "results")
    assert "a tournament (until=order) chose pairs by what was seen" in " ".join((audit.err + audit.out).split())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("until=ordr", "'ordr' is no goal; give order"),
        ("until=top2", "needs more than 2 models, and there are 2"),
        ("max_judgments=5", "max_judgments=5 belongs to a tournament"),
        ("gap=0.6", "gap=0.6 belongs to a tournament"),
        ("until=order max_judgments=0", "max_judgments=0: must be at least 1"),
        ("until=order gap=0.4", "more than 0.5 and less than 1"),
        ("until=order about=everything", "about='everything' is not possible"),
        ("until=order protocol=single", "add protocol=pairwise"),
        ("until=order baseline=fake", "leave out either baseline or until"),
    ],
)
def test_what_is_refused(cli, prepared, setting, message):
    found = cli(*BASIC, *DIFFER, *setting.split())
    assert found.code == 2
    assert message in found.err
    assert "Traceback" not in found.err


def test_the_order_of_questions_is_fixed_by_their_ids():
    """A change of this hash would have tournaments under way begin anew."""
    names = [f"q{number}" for number in range(6)]
    assert sorted(names, key=lambda one: digest("order of questions", one)) == ["q5", "q4", "q1", "q2", "q0", "q3"]
