"""Panels of judges: what is said of planted ones, and only of those it is true of."""

from __future__ import annotations

import io
import json
import random

import pytest
from rich.console import Console

from evalkit.audit.analyse import audited
from evalkit.audit.panel import panels
from evalkit.evidence.gather import gather
from evalkit.evidence.panels import JudgePanel, Limits, SubPanelFound
from evalkit.ratings.comparisons import GOLD, HUMAN
from evalkit.reports.audit_output import to_json
from evalkit.reports.audit_page import page
from evalkit.reports.audit_tables import show
from tests.ratings.rows import judged

JUDGES = ("alone", "ben", "cleo", "dora")


def rows(*, together=("ben", "cleo"), gold=True, questions=150, judges=JUDGES, accuracy=0.7, seed=1):
    """Both orders of two answers to each question; the errors of ``together`` have one cause."""
    rng = random.Random(seed)
    for number in range(questions):
        item, right = f"q{number}", rng.random() < 0.5
        shared = rng.random() < accuracy
        for judge in judges:
            correct = shared if judge in together else rng.random() < accuracy
            better = right == correct
            for order in (True, False):
                shown = ("one", "two") if order else ("two", "one")
                yield judged(*shown, (1.0, 0.0) if better == order else (0.0, 1.0), item, judge=judge)
        if gold:
            yield judged("one", "two", (1.0, 0.0) if right else (0.0, 1.0), item, judge=GOLD, protocol="gold")


def panel_of(judgments) -> JudgePanel:
    (gathered,) = gather(judgments)
    (found,) = panels(gathered)
    return found


def said(found: JudgePanel) -> str:
    return "\n".join(found.sentences())


def test_who_errs_together_is_named_and_nobody_else():
    found = panel_of(rows())
    assert found.judges == JUDGES
    assert (found.cases, found.questions, found.labelled, found.labels) == (150, 150, 150, "gold")
    assert "ben and cleo err together: correlation 1.00" in said(found)
    assert said(found).count("err together") == 1
    assert "the four judges carry 2." in said(found)
    assert found.error_votes is not None
    assert found.error_votes.lower <= 4 / 1.5 <= found.error_votes.upper  # a correlation of 1 among six pairs
    assert found.accuracy == pytest.approx([0.7] * 4, abs=0.12)
    assert found.accuracy[1] == found.accuracy[2]


def test_independent_judges_are_not_said_to_err_together():
    found = panel_of(rows(together=()))
    assert "No two of them are shown to err together." in said(found)
    assert found.error_votes is not None
    assert found.error_votes.upper > 3.5


def test_copies_carry_one_vote_and_one_of_them_is_enough():
    found = panel_of(rows(together=JUDGES, gold=False))
    assert "the four judges carry 1.00 (95% 1.00 to 1.00) votes on a case" in said(found)
    assert found.enough is not None
    assert len(found.enough.judges) == 1
    assert f"{found.enough.judges[0]} alone is enough" in said(found)
    assert "That says nothing of who is right." in said(found)


def test_without_labels_nothing_is_said_of_errors_but_bounds():
    found = panel_of(rows(gold=False, questions=600, accuracy=0.8, together=()))
    assert found.labels is None
    assert "err together" not in said(found)
    assert "Without labels" in said(found)
    for one in found.without_labels:
        assert one.lower <= 0.8 <= one.upper
        assert one.independent == pytest.approx(0.8, abs=0.06)


def test_verdicts_that_no_accuracies_explain():
    """One agrees with each of two others on three of four cases, who agree on half: not by way of any truth."""
    rng, listed = random.Random(3), []
    for number in range(2000):
        left, right = rng.random() < 0.5, rng.random() < 0.5
        middle = left if rng.random() < 0.5 else right
        for judge, first in (("left", left), ("middle", middle), ("right", right)):
            for order in (True, False):
                shown = ("one", "two") if order else ("two", "one")
                scores = (1.0, 0.0) if first == order else (0.0, 1.0)
                listed.append(judged(*shown, scores, f"q{number}", judge=judge))
    found = panel_of(listed)
    assert not found.possible
    assert "Treat them as one" in said(found)


def test_only_cases_that_all_judged_count_and_a_judge_of_few_is_left_out():
    listed = [row for row in rows() if row.judge.name != "dora" or int(row.item[1:]) < 3]
    listed = [row for row in listed if row.judge.name != "ben" or int(row.item[1:]) >= 50]
    found = panel_of(listed)
    assert found.judges == ("alone", "ben", "cleo")
    assert found.without == ("dora",)
    assert (found.cases, found.left_out) == (100, 50)


def test_a_failed_verdict_is_no_vote():
    listed = list(rows(gold=False))
    lost = [
        judged(*(model.name for model in row.models), None, row.item, judge="ben")
        if row.judge.name == "ben" and int(row.item[1:]) < 40
        else row
        for row in listed
    ]
    assert panel_of(lost).cases == 110


@pytest.mark.parametrize("judges", [("alone",), ("alone", "ben")])
def test_one_judge_is_no_panel_and_few_questions_are_none(judges):
    (gathered,) = gather(rows(judges=judges, questions=150 if len(judges) == 1 else 5))
    assert list(panels(gathered)) == []


def test_of_two_judges_there_are_no_accuracies_without_labels():
    found = panel_of(rows(judges=("alone", "ben"), together=()))
    assert found.without_labels == ()
    assert "the two judges carry" in said(found)


def test_labels_of_people_are_called_so():
    votes = [
        judged(*(one.name for one in row.models), row.scores, row.item, judge="ann", fingerprint=HUMAN, protocol="v")
        for row in rows()
        if row.judge.name == GOLD
    ]
    found = panel_of([*rows(gold=False), *votes])
    assert found.labels == "people"
    assert found.labelled == 150
    assert "measured by the majority of people's votes on 150 cases" in said(found)
    assert "ben and cleo err together" in said(found)


def test_it_is_in_the_terminal_the_json_and_the_page():
    found = audited(gather(rows()))
    buffer = io.StringIO()
    show(Console(file=buffer, width=100), found)
    assert "Panel: same verdict on 150 cases (pairwise)" in buffer.getvalue()
    assert "ben and cleo err together" in " ".join(buffer.getvalue().split())
    (row,) = json.loads(to_json(found))["panels"]
    assert row["judges"] == list(JUDGES)
    assert row["votes"].keys() == {"estimate", "lower", "upper"}
    assert row["errors"][0].keys() == {"judge", "other", "correlation"}
    text = page(found)
    assert "Panel: the judges together" in text
    assert "ben and cleo err together" in text


def test_names_of_judges_are_inert():
    found = audited(gather(rows(judges=("<b>x</b>", "[red]y[/red]", "\x1b[31mz"), together=())))
    buffer = io.StringIO()
    show(Console(file=buffer, width=100), found)
    assert "\x1b[31mz" not in buffer.getvalue()
    assert "[red]y[/red]" in buffer.getvalue()
    assert "<b>x</b>" not in page(found)


def test_a_sub_panel_that_is_all_of_them_is_not_worth_a_sentence():
    found = panel_of(rows(judges=("alone", "ben"), together=()))
    limits = Limits(1.5, 1.2, 1.9)
    all_of_them = JudgePanel(
        benchmark="b",
        protocol="p",
        judges=found.judges,
        cases=10,
        questions=10,
        left_out=0,
        without=(),
        same=found.same,
        votes=limits,
        labels=None,
        enough=SubPanelFound(found.judges, 0.03, 0.03),
    )
    assert "enough" not in said(all_of_them)
