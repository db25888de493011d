"""Voting: what is asked of whom, what a vote becomes, that none is lost or doubled, and what is hidden until then."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from evalkit.app.label_pages import LabelPages
from evalkit.app.vote_files import write_votes
from evalkit.app.vote_scales import ABT, EIGHT, FOUR, scale
from evalkit.app.vote_statistics import PairsKnownWell, _evidence_of_sides, agreement_lines, precisions, summary
from evalkit.app.vote_tasks import VotePlan, from_table, tasks_of
from evalkit.app.voting import VoteForm, Voting, check_annotator, first_votes
from evalkit.cli import label
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Criterion, Judgment
from evalkit.datasets.data_files import records
from evalkit.interop.importing import import_results
from evalkit.ratings.comparisons import comparisons
from evalkit.storage.items import Items
from evalkit.storage.results import judgment_logs
from evalkit.storage.store import Log
from tests.app.browser import chromium, client
from tests.app.planted import ATTACK, results
from tests.ratings.rows import judged


def pair_vote(one, other, outcome, item, **changes):
    """A vote on two models."""
    return judged(one, other, (outcome, 1 - outcome), item, judge="zoe", fingerprint="human", **changes)


@pytest.fixture
def folder(tmp_path):
    made = results(tmp_path / "results", questions=10)
    next(made.glob("*/judgments/ann.*")).unlink()  # nobody voted yet
    return made


def voting(folder: Path, ballot=ABT, overlap: float = 0.2) -> Voting:
    return Voting(VotePlan(tuple(tasks_of([folder], ballot.shows)), overlap), ballot)


def pages(folder: Path, ballot=ABT, role: str = "ann", overlap: float = 0.2, **more):
    taken = voting(folder, ballot, overlap)
    calls = client(lambda access: LabelPages(taken, (folder,), access, ("ann",), **more).routes(), role=role)
    return taken, calls


def standing(calls) -> str:
    """What the votes come to, once it has been worked out."""
    while "being worked out" in (text := calls.get("/standing").text):
        time.sleep(0.02)
    return text


def stored(folder: Path, name: str) -> list[Judgment]:
    return [row for log in judgment_logs([folder]) for row in log if row.judge.name == name and row.parser == "vote/1"]


def form_of(text: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))


def test_a_vote_is_a_judgment_whose_judge_is_the_person(folder):
    taken = voting(folder)
    task = taken.next_task("zoe")
    row = taken.record("zoe", task, VoteForm("A", comment="short", acceptable=(True, False)))
    (kept,) = stored(folder, "zoe")
    assert kept == row
    assert kept.judge.fingerprint == "human"
    assert kept.scores == (1.0, 0.0)
    assert kept.shown == tuple(answer.id for answer in task.shown("zoe"))
    told = json.loads(kept.raw)
    assert (told["choice"], told["comment"], told["acceptable"]) == ("A", "short", [True, False])
    tables = comparisons(row for log in judgment_logs([folder]) for row in log)
    assert any(table.judge == "human" for table in tables)


@pytest.mark.parametrize(
    ("ballot", "choice", "scores"),
    [
        (ABT, "B", (0.0, 1.0)),
        (ABT, "both bad", (0.5, 0.5)),
        (EIGHT, "1", (1.0, 0.0)),
        (EIGHT, "5", (3 / 7, 4 / 7)),
        (FOUR, "A:slightly", (5 / 7, 2 / 7)),
        (FOUR, "B:significantly", (0.0, 1.0)),
        (scale("grade"), "7", (7.0,)),
        (scale("refusal"), "partial refusal", (0.5,)),
        (scale("grade", "0-5"), "0", (0.0,)),
    ],
)
def test_every_scale(folder, ballot, choice, scores):
    taken = voting(folder, ballot)
    row = taken.record("zoe", taken.next_task("zoe"), VoteForm(choice))
    assert row.scores == pytest.approx(scores)
    assert row.label == choice


def test_what_is_no_choice_is_a_message_and_no_row(folder):
    taken = voting(folder)
    for form in (VoteForm("C"), VoteForm(""), VoteForm(skip="because")):
        with pytest.raises(UsageError):
            taken.record("zoe", taken.next_task("zoe"), form)
    assert stored(folder, "zoe") == []


def test_a_skip_is_never_a_number(folder):
    taken = voting(folder)
    row = taken.record("zoe", taken.next_task("zoe"), VoteForm(skip="cannot tell"))
    assert row.scores is None
    assert row.error.kind == "refused"
    assert row.error.message == "cannot tell"


def test_criteria_of_a_rubric(folder):
    items = Items(folder / "pocket")
    rubric = (
        Criterion(id="right", text="Is it right?", points=3),
        Criterion(id="rude", text="Is it rude?", points=-1),
        Criterion(id="clear", text="How clear?", kind="1-5"),
    )
    items.keep([replace(item, rubric=rubric) for item in items.known.values()])
    _, calls = pages(folder, scale("rubric"), role="zoe")
    text = calls.get("/vote").text
    given = form_of(text) | {"action": "vote", "criterion_0": "1", "criterion_1": "1"}
    reply = calls.post("/vote", given)
    assert reply.status == 400
    assert "&#39;clear&#39; has no verdict yet" in reply.text
    assert stored(folder, "zoe") == []
    assert calls.post("/vote", given | {"criterion_2": "3"}).status == 303
    (row,) = stored(folder, "zoe")
    assert [one.value for one in row.criteria] == [1.0, 1.0, 3.0]
    assert row.scores == pytest.approx(((3 - 1 + 0.5) / 4,))


def planted_pairs(folder):
    """Votes until nothing is left: zoe always prefers one of a pair of models, and alternates on the others."""
    tasks = tasks_of([folder], 2)
    plan = VotePlan(tuple(tasks), 0.0)
    return tasks, plan


def test_pairs_of_models_that_are_known_are_asked_no_more(folder):
    tasks, plan = planted_pairs(folder)
    pairs = sorted({task.models for task in tasks})
    taken = Voting(plan, ABT, lambda votes: {pairs[0]} if sum(map(len, votes.values())) >= 3 else set())
    asked = []
    while (task := taken.next_task("zoe")) is not None:
        asked.append(task)
        row = taken.record("zoe", task, VoteForm("A"))
        assert json.loads(row.raw)["chosen"] == "undecided"
    assert pairs[0] not in {task.models for task in asked[3:]}
    assert {task.id for task in tasks if task.models != pairs[0]} <= {task.id for task in asked}
    assert taken.left("zoe") == 0


def test_what_everybody_is_asked_is_asked_of_known_pairs_too(folder):
    tasks, _ = planted_pairs(folder)
    taken = Voting(VotePlan(tuple(tasks), 1.0), ABT, lambda votes: {task.models for task in tasks})
    assert taken.next_task("zoe") is not None


def test_a_pair_is_known_once_its_limits_are_narrow_enough_and_stays_so():
    def votes(outcomes):
        rows = [pair_vote("x", "y", outcome, f"q{n}", created=float(n)) for n, outcome in enumerate(outcomes)]
        return {"zoe": {row.item: row for row in rows}}

    ranked = PairsKnownWell("ranking", 5.0)
    assert ranked(votes([1.0] * 6)) == set()
    assert ranked(votes([1.0] * 40)) == {("x", "y")}
    assert ranked(votes([1.0] * 40 + [0.0] * 40)) == {("x", "y")}  # as its limits held at that time
    assert PairsKnownWell("ranking", 5.0)(votes([1.0, 0.0] * 40)) == set()
    assert PairsKnownWell("winrate", 5.0)(votes([1.0, 0.0] * 40)) == set()
    assert PairsKnownWell("winrate", 30.0)(votes([1.0, 0.0] * 40)) == {("x", "y")}


@pytest.mark.parametrize("given", [["--for", "agreement"], ["--scale", "grade"]])
def test_choosing_needs_pairs_of_models(given):
    parser = argparse.ArgumentParser()
    label.add_options(parser)
    options = parser.parse_args([*given, "--choose", "undecided"])
    with pytest.raises(UsageError, match="there is nothing to choose"):
        label._known(options, label._ballot(options)[0])


RUBRIC = """\
formula: {formula}
criteria:
  - {{id: right, text: "Is it right?", points: 3}}
  - {{text: "How clear?", kind: 1-5}}
"""


def ballot_of(*arguments):
    """What a command line of `evalkit label` asks people to vote by."""
    parser = argparse.ArgumentParser()
    label.add_options(parser)
    return label._ballot(parser.parse_args(list(arguments)))


@pytest.mark.parametrize(("formula", "score"), [("share", (3 + 0.5) / 4), ("mean", (3 * 1 + 0.5) / 4)])
def test_a_rubric_from_a_file_takes_the_place_of_the_questions_own(folder, tmp_path, formula, score):
    file = tmp_path / "own.yaml"
    file.write_text(RUBRIC.format(formula=formula))
    ballot, criteria = ballot_of("--rubric", str(file))
    assert (ballot.formula, ballot.shows) == (formula, 1)
    assert re.fullmatch(r"human_rubric_own_[0-9a-f]{6}", ballot.protocol)
    tasks = [task.judged_by(criteria) for task in tasks_of([folder], ballot.shows)]
    taken = Voting(VotePlan(tuple(tasks), 1.0), ballot)
    task = taken.next_task("zoe")
    row = taken.record("zoe", task, VoteForm(criteria={"right": "1", "2": "3"}))
    assert [(one.id, one.value) for one in row.criteria] == [("right", 1.0), ("2", 3.0)]
    assert row.scores == pytest.approx((score,))
    assert row.protocol == ballot.protocol
    again = Voting(VotePlan(tuple(tasks), 1.0), ballot)  # the server is started again
    assert list(again.votes["zoe"]) == [task.id]
    # Other criteria under the same name are another question to people.
    file.write_text(RUBRIC.format(formula=formula).replace("right?", "true?"))
    other, _ = ballot_of("--rubric", str(file), "--scale", "rubric")
    assert other.protocol != ballot.protocol


def test_shipped_rubrics_go_by_name():
    ballot, criteria = ballot_of("--rubric", "helpful")
    assert ballot.protocol.startswith("human_rubric_helpful_")
    assert criteria


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rubric", "helpfull"], "did you mean 'helpful'?"),
        (["--rubric", "none.yaml"], "none.yaml"),
        (["--rubric", "helpful", "--scale", "8"], "goes with --scale rubric, not with --scale 8"),
        (["--rubric", "bad.yaml"], "no criterion has positive points"),
    ],
)
def test_mistakes_with_rubrics_are_told(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text('criteria: [{text: "Is it rude?", points: -1}]\n')
    with pytest.raises(UsageError, match=re.escape(told)):
        ballot_of(*arguments)


def test_the_same_form_again_is_one_vote_and_another_choice_takes_its_place(folder):
    _, calls = pages(folder, role="zoe")
    given = form_of(calls.get("/vote").text) | {"choice": "A"}
    for _ in range(3):
        assert calls.post("/vote", given).status == 303
    file = next((folder / "pocket" / "judgments").glob("zoe*"))
    assert len(file.read_text().splitlines()) == 1
    calls.post("/vote", given | {"choice": "B"})
    (row,) = stored(folder, "zoe")
    assert row.label == "B"


def test_a_vote_that_the_disk_does_not_take_is_said_and_kept_in_the_form(folder):
    _, calls = pages(folder, role="zoe")
    given = form_of(calls.get("/vote").text) | {"choice": "A", "comment": "half a page"}
    kept = folder / "pocket" / "judgments"
    kept.rename(folder / "elsewhere")
    kept.write_text("")  # no folder: nothing can be written into it
    reply = calls.post("/vote", given)
    assert reply.status == 400
    assert "This vote is NOT stored" in reply.text
    assert "half a page" in reply.text
    kept.unlink()
    (folder / "elsewhere").rename(kept)
    assert calls.post("/vote", given).status == 303
    assert [row.label for row in stored(folder, "zoe")] == ["A"]


def test_an_annotator_is_asked_each_thing_once_and_others_what_is_left(folder):
    taken = voting(folder, overlap=0.2)
    seen = {}
    for name in ("zoe", "max"):
        asked = []
        for _ in range(8):
            task = taken.next_task(name)
            asked.append(task.id)
            taken.record(name, task, VoteForm("tie"))
        assert len(set(asked)) == 8
        seen[name] = set(asked)
    assert seen["zoe"] & seen["max"] <= taken.plan.shared
    while (task := taken.next_task("zoe")) is not None:
        taken.record("zoe", task, VoteForm("A"))
    while (task := taken.next_task("max")) is not None:
        taken.record("max", task, VoteForm("A"))
    voted = [set(taken.votes[name]) for name in ("zoe", "max")]
    assert voted[0] | voted[1] == {task.id for task in taken.plan.tasks}
    assert voted[0] & voted[1] == taken.plan.shared


def test_what_one_looks_at_is_not_shown_to_another(folder):
    taken = voting(folder, overlap=0.0)
    assert taken.next_task("zoe").id != taken.next_task("max").id


def test_sides_are_drawn_for_each_annotator_and_stay(folder):
    tasks = tasks_of([folder], 2)
    first = [task.shown("zoe")[0].model.name for task in tasks]
    assert first == [task.shown("zoe")[0].model.name for task in tasks]
    assert 3 <= first.count("one") <= len(tasks) - 3
    assert first != [task.shown("max")[0].model.name for task in tasks]


def test_blind_until_voted(folder):
    _, calls = pages(folder, role="zoe")
    text = calls.get("/vote").text
    body = re.sub(r"An answer by (one|two, longer)", "", text)
    assert "judge" not in body.lower()
    assert not re.search(r"\b(strict|pairwise)\b", body)
    assert calls.get("/standing").status == 403
    calls.post("/vote", form_of(text) | {"choice": "A"})
    after = calls.get("/vote?after=" + form_of(text)["task"]).text
    assert "judge: " in after
    assert calls.get("/standing").status == 200


def test_elo_by_people_stands_beside_elo_by_the_judge(folder):
    taken, calls = pages(folder, role="zoe", overlap=1.0)
    while (task := taken.next_task("zoe")) is not None:
        taken.record("zoe", task, VoteForm("A" if task.shown("zoe")[0].model.name == "two" else "B"))
    text = standing(calls)
    assert "online Elo ratings" in text
    assert "human" in text
    assert "judge" in text
    assert "one preferred to two" in text


def test_figures_are_worked_out_beside_the_pages_and_catch_up(folder):
    taken, calls = pages(folder, role="zoe", overlap=1.0)
    first, *others = taken.plan.tasks
    taken.record("zoe", first, VoteForm("A"))
    assert "being worked out" in calls.get("/standing").text  # nobody waits
    assert "After 1 vote," in standing(calls)
    held = LabelPages(taken, (folder,), calls.access, ("zoe",)).figures
    while (shown := held.latest()) is None:
        time.sleep(0.02)
    assert shown.votes == 1
    for task in others:
        taken.record("zoe", task, VoteForm("B"))
    taken.record("zoe", others[0], VoteForm("tie"))  # a change is no further vote, but other figures
    assert held.more(shown) == len(others) + 1
    held._again_from = 0.0  # the rest between two times of working out is over
    assert held.latest() is shown
    while held.more(held.latest()):
        time.sleep(0.02)
    assert held.latest().votes == len(taken.plan.tasks)


@pytest.mark.parametrize("known", [None, lambda votes: set()])
def test_what_is_left_is_what_will_be_asked(folder, known):
    taken = Voting(VotePlan(tuple(tasks_of([folder], 2)), 0.3), ABT, known)
    left = [taken.left("zoe")]
    assert left == [len(taken.plan.tasks)]
    for name in ("max", "zoe") * 3:
        task = taken.next_task(name)
        taken.record(name, task, VoteForm("A"))
        left.append(left[-1] - (name == "zoe" or not taken.is_shared(task)))
        assert taken.left("zoe") == left[-1]
    while (task := taken.next_task("zoe")) is not None:
        taken.record("zoe", task, VoteForm("A"))
        left.append(taken.left("zoe"))
    assert left[-1] == 0


def test_only_a_page_of_ours_can_vote(folder):
    _, calls = pages(folder, role="zoe")
    given = form_of(calls.get("/vote").text) | {"choice": "A"}
    assert calls.post("/vote", given | {"csrf": "x"}).status == 403
    assert calls.post("/vote", {name: value for name, value in given.items() if name != "csrf"}).status == 403
    assert calls.post("/vote", given, origin="http://evil.example").status == 403
    calls.role = "max"
    assert calls.post("/vote", given).status == 403  # zoe's form
    assert stored(folder, "zoe") == stored(folder, "max") == []


def test_the_organiser_sees_links_and_warnings_and_cannot_vote(folder):
    taken, calls = pages(folder, role="", overlap=1.0)
    for task in taken.plan.tasks:
        taken.record("lefty", task, VoteForm("A"))
    text = calls.get("/").text
    assert "lefty chose the left side in 20 of 20 decided votes" in text
    assert calls.access.token("lefty") in text
    assert calls.get("/vote").status == 303
    calls.role = "zoe"
    assert calls.get("/").status == 303


def test_hostile_texts_are_inert_on_the_ballot(tmp_path):
    folder = results(tmp_path / "results", text=ATTACK)
    _, calls = pages(folder, role=ATTACK[:60].replace("\n", " "))
    text = calls.get("/vote").text
    given = form_of(text) | {"action": "skip", "skip": "other", "comment": ATTACK}
    assert calls.post("/vote", given).status == 303
    text += calls.get("/vote?task=" + given["task"]).text
    calls.role = ""
    text += calls.get("/").text
    for hostile in ("<script>document", "<img", "<svg", "<b id", '<a href="javascript', "\u202e", "\x1b", "\u200b"):
        assert hostile not in text


@pytest.mark.parametrize("name", ["", " ", "human", "unknown", "gold", "a\nb", "x" * 81])
def test_names_that_are_none(name):
    with pytest.raises(UsageError, match="annotator"):
        check_annotator(name)


@pytest.mark.parametrize("grades", ["1", "5-1", "a-b", "0-50", "1-1", "-1-5"])
def test_grades_that_are_no_range(grades):
    with pytest.raises(UsageError, match="--grades"):
        scale("grade", grades)


def test_a_table_becomes_results_once(tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text("prompt,response_a,response_b,model_a,model_b\nQ1,x,y,m,n\nQ1,x,y,m,n\nQ2,z,w,m,n\n")
    for _ in range(2):
        folder = from_table(table, tmp_path / "results")
    tasks = tasks_of([folder], 2)
    assert [task.item.turns for task in tasks] == [("Q1",), ("Q2",)]
    table.write_text("text,answer\nQ,A\n")
    with pytest.raises(UsageError, match="answer_a"):
        from_table(table, tmp_path / "other")


@pytest.mark.parametrize(
    "columns",
    [
        "prompt,response_a,response_b,model_a,model_b",
        "question,answer_a,answer_b,left,right",
        "question_id,prompt,answer_a,answer_b,model_a,model_b,winner",
    ],
)
@pytest.mark.parametrize("judged_first", [True, False])
def test_a_judge_and_people_see_the_same_pairs_of_one_table(cli, tmp_path, columns, judged_first):
    names = columns.split(",")
    for n, question in enumerate(("Is 7 prime?", '["Is 9?", "Why?"]')):
        value = {name: f'["{name}", "more"]' if n else name for name in names} | {
            "question_id": str(n),
            "prompt": question,
            "question": question,
        }
        value |= {"model_a": "m", "model_b": "n", "left": "m", "right": "n", "winner": "model_a"}
        with (tmp_path / "pairs.csv").open("a") as file:
            writer = csv.DictWriter(file, names)
            if n == 0:
                writer.writeheader()
            writer.writerow({name: value[name] for name in names})
    results = tmp_path / "results"
    steps = [
        lambda: cli("judge", "pairs.csv", "judge=fake", "protocol=pairwise"),
        lambda: from_table(tmp_path / "pairs.csv", results),
    ]
    for step in steps if judged_first else steps[::-1]:
        step()
    lines = {path.name: len(path.read_bytes().splitlines()) for path in (results / "pairs" / "answers").iterdir()}
    assert lines == {"m.jsonl": 2, "n.jsonl": 2}
    asked = {(task.item.id, task.turn) for task in tasks_of([results / "pairs"], 2)}
    log = Log(results / "pairs" / "judgments" / "fake.pairwise.jsonl", Judgment)
    assert {(row.item, row.turn) for row in log} == asked
    assert len(asked) == 3, "the second question has two turns"


def test_people_vote_on_chosen_and_rejected_answers_that_judges_were_asked_about(cli, tmp_path):
    (tmp_path / "pref.csv").write_text("prompt,chosen,rejected\nIs 7 prime?,Yes.,No.\nIs 9 prime?,No.,Yes.\n")
    assert cli("run", "preferences", "questions=pref.csv", "judge=fake").code == 0
    folder = from_table(tmp_path / "pref.csv", tmp_path / "results")
    assert {path.name: len(path.read_bytes().splitlines()) for path in (folder / "answers").iterdir()} == {
        "chosen.jsonl": 2,
        "rejected.jsonl": 2,
    }
    log = Log(folder / "judgments" / "fake.pairwise.jsonl", Judgment)
    assert {row.item for row in log} == {task.item.id for task in tasks_of([folder], 2)}


def test_results_without_two_answers_are_a_message(tmp_path):
    with pytest.raises(UsageError, match="nothing at"):
        tasks_of([tmp_path / "no"], 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing to vote on"):
        tasks_of([tmp_path / "empty"], 2)


@pytest.mark.parametrize("ending", ["csv", "xlsx", "jsonl"])
def test_votes_as_a_table_come_back_as_they_were(folder, tmp_path, ending):
    taken = voting(folder, overlap=1.0)
    tasks = taken.plan.tasks
    taken.record("zoe", tasks[0], VoteForm("A", comment="=cmd()", acceptable=(True, None)))
    taken.record("zoe", tasks[1], VoteForm("both bad"))
    taken.record("zoe", tasks[2], VoteForm(skip="other"))
    out = tmp_path / f"votes.{ending}"
    assert write_votes([folder], out) == 3
    rows = [row for _, row in records(out)]
    assert [row["winner"] for row in rows] == ["model_a", "tie", "error"]
    assert rows[0]["acceptable_a"] == "yes"
    assert rows[0]["comment"] == ("=cmd()" if ending == "jsonl" else "'=cmd()")
    import_results("battles", out, tmp_path / "again")
    back = [row for log in judgment_logs([tmp_path / "again"]) for row in log]
    assert [row.scores for row in back] == [(1.0, 0.0), (0.5, 0.5), None]
    assert {(row.judge.name, row.judge.fingerprint) for row in back} == {("zoe", "human")}


def test_no_votes_and_other_endings_are_messages(folder, tmp_path):
    with pytest.raises(UsageError, match="nobody voted"):
        write_votes([folder], tmp_path / "v.csv")
    with pytest.raises(UsageError, match="written as"):
        write_votes([folder], tmp_path / "v.pdf")


def test_agreement_is_of_answers_and_not_of_sides(folder):
    taken = voting(folder, overlap=1.0)
    for task in taken.plan.tasks:
        for name in ("zoe", "max"):
            likes = "one" if int(task.id[0], 16) % 2 else "two"
            taken.record(name, task, VoteForm("A" if task.shown(name)[0].model.name == likes else "B"))
    lines = " ".join(agreement_lines(taken.votes, ABT))
    assert "alpha (nominal) 1.00" in lines
    assert "kappa 1.00" in lines


def test_nobody_is_warned_of_by_chance_however_often_somebody_looks():
    draw, votes = np.random.default_rng(5), 200
    evidence = [[_evidence_of_sides(k, n) for k in range(n + 1)] for n in range(votes + 1)]

    def warned(share: float) -> float:
        chosen = (draw.random((4000, votes)) < share).cumsum(axis=1)
        return np.mean([max(evidence[n][k] for n, k in enumerate(one, start=1)) >= 100 for one in chosen.tolist()])

    assert warned(0.5) < 0.01
    assert warned(0.75) > 0.95


def test_votes_that_were_made_elsewhere_are_no_votes_by_side(folder):
    taken = voting(folder, overlap=1.0)
    rows = [taken.record("lefty", task, VoteForm("A")) for task in taken.plan.tasks]
    assert "chose the left side" in summary("lefty", rows).warnings[0]
    assert "chose" not in " ".join(summary("lefty", [replace(row, parser="imported/1") for row in rows]).warnings)
    assert summary("lefty", rows[:11], among=1).warnings
    assert "chose" not in " ".join(summary("lefty", rows[:11], among=60).warnings)


def test_too_fast_is_said_and_slow_is_not(folder):
    taken = voting(folder, overlap=1.0)
    rows = [taken.record("zoe", task, VoteForm("tie")) for task in taken.plan.tasks]
    fast = [replace(row, latency=0.01) for row in rows]
    slow = [replace(row, latency=30.0) for row in rows]
    assert "took less time than reading takes in 20 of 20" in " ".join(summary("zoe", fast).warnings)
    assert summary("zoe", slow).warnings == ()


def test_a_number_is_known_when_its_interval_is_narrow_enough(folder):
    taken = voting(folder, overlap=1.0)
    rows = [taken.record("zoe", task, VoteForm("tie")) for task in taken.plan.tasks]
    votes = {"zoe": {task.id: row for task, row in zip(taken.plan.tasks, rows, strict=True)}}
    (known,) = precisions(votes, {}, "winrate", 5.0, len(rows))
    assert known.reached  # everything there is was voted on
    (unknown,) = precisions(votes, {}, "winrate", 5.0, 10_000)
    assert not unknown.reached
    assert unknown.more > 0
    assert unknown.lower < 0.5 < unknown.upper
    assert len(first_votes(votes)) == len(rows)


def test_two_tabs_and_two_annotators_at_once_lose_and_double_nothing(folder):
    taken = voting(folder, overlap=1.0)
    tasks = taken.plan.tasks

    def work(name):
        for task in tasks:
            taken.record(name, task, VoteForm("A"))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("zoe", "zoe", "max", "max")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("zoe", "max"):
        file = next((folder / "pocket" / "judgments").glob(f"{name}*"))
        assert len(file.read_text().splitlines()) == len(tasks)


VOTER = """
import sys
from pathlib import Path
from evalkit.app.vote_scales import ABT
from evalkit.app.vote_tasks import VotePlan, tasks_of
from evalkit.app.voting import VoteForm, Voting
folder, name = Path(sys.argv[1]), sys.argv[2]
voting = Voting(VotePlan(tuple(tasks_of([folder], 2)), 1.0), ABT)
while (task := voting.next_task(name)) is not None:
    voting.record(name, task, VoteForm("A"))
    print(task.id, flush=True)
"""


def killed(folder: Path, kills: int, seconds: float) -> None:
    """Four annotators vote, are killed and come back; what was acknowledged is there, and nothing twice."""
    names = ["ann a", "b", "c", "d"]
    said: dict[str, set[str]] = {name: set() for name in names}
    done = 0
    while done < kills:
        running = [
            (name, subprocess.Popen([sys.executable, "-c", VOTER, str(folder), name], stdout=subprocess.PIPE))
            for name in names
        ]
        for _, process in running:
            process.stdout.readline()
        time.sleep(seconds)
        for name, process in running:
            os.kill(process.pid, signal.SIGKILL)
            rest = process.communicate()[0].decode().split("\n")[:-1]
            said[name] |= set(rest)
            done += 1
    for name in names:
        taken = voting(folder, overlap=1.0)
        assert said[name] <= set(taken.votes[name])
        rows = list(Log(next((folder / "pocket" / "judgments").glob(f"{name}.human_pair*")), Judgment))
        assert len({row.key for row in rows}) == len(rows)


@pytest.mark.filterwarnings("ignore::evalkit.storage.store.TornLine")
@pytest.mark.slow
def test_votes_survive_kills(tmp_path):
    killed(results(tmp_path / "results", questions=400), 8, 0.05)


@pytest.mark.filterwarnings("ignore::evalkit.storage.store.TornLine")
@pytest.mark.full
def test_votes_survive_a_hundred_kills(tmp_path):
    killed(results(tmp_path / "results", questions=4000), 100, 0.05)


@pytest.fixture
def served(folder):
    done = [sys.executable, "-m", "evalkit", "label", str(folder), "--no-open", "--annotator", "zoe"]
    with subprocess.Popen(done, stderr=subprocess.PIPE, text=True) as process:
        lines = [process.stderr.readline() for _ in range(4)]
        yield re.search(r"zoe votes at (\S+)", "".join(lines))[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_whole_flow_by_keys_alone(served, folder, width, scheme):
    with chromium(viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(served)
        page.keyboard.press("q")
        page.keyboard.press("c")
        page.keyboard.type("so 1 and 2")
        page.keyboard.press("Escape")
        page.keyboard.press("5")
        page.wait_for_url("**after=**")
        assert "right is better" in page.inner_text(".saved")
        page.keyboard.press("s")
        page.keyboard.press("ArrowDown")
        here = page.url
        page.keyboard.press("Enter")
        page.wait_for_function("here => location.href !== here", arg=here)
        assert "skipped: not my field" in page.inner_text(".saved")
        page.keyboard.press("z")
        page.wait_for_url("**task=**")
        page.keyboard.press("3")
        page.wait_for_url("**after=**")
        assert "both good" in page.inner_text(".saved")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert wrong == []
    first, second = sorted(stored(folder, "zoe"), key=lambda row: row.created)
    assert json.loads(first.raw)["comment"] == "so 1 and 2"
    assert json.loads(first.raw)["acceptable"] == [True, None]
    assert second.label == "both good"
