"""The box and the tables of an audit on the terminal: what is claimed, of whom, and in how many lines."""

from __future__ import annotations

import io
import textwrap
from dataclasses import replace
from functools import cache

import pytest
from rich.console import Console

from evalkit.audit.analyse import audited
from evalkit.cli.metric_docs import metrics
from evalkit.core.schema import Judgment, Response
from evalkit.evidence.findings import AgreementRow, Audit, Finding, Subject
from evalkit.evidence.gather import gather
from evalkit.interop import load
from evalkit.ratings.comparisons import HUMAN
from evalkit.reports.audit_agreement import agreement
from evalkit.reports.audit_limits import detectable
from evalkit.reports.audit_metrics import judge_labels, limits
from evalkit.reports.audit_page import page
from evalkit.reports.audit_tables import show
from evalkit.reports.audit_verdict import verdict
from tests.biases.simulated import Study
from tests.ratings.rows import judged
from tests.shared_data import shared_data

METRICS = {metric.name: metric for metric in metrics()}
SUBJECT = Subject(
    benchmark="b", judge="j", protocol="p", shows=2, judgments=100, failed={}, models=("m",), questions=50, votes=100
)
ABOUT = {"benchmark": "b", "judge": "j", "protocol": "p"}


@cache
def published(name, *parts):
    rows = [row.record for row in load(name).read(shared_data(*parts))]
    answers = (row for row in rows if isinstance(row, Response))
    return audited(gather((row for row in rows if isinstance(row, Judgment)), answers))


def box(found, judge):
    (subject,) = [subject for subject in found.subjects if subject.judge == judge]
    return verdict(found, subject)


def terminal(found, width=80):
    out = io.StringIO()
    show(Console(file=out, width=width), found)
    return out.getvalue()


def row(judge, setup, share, total=1000, reach=0.03, **other):
    about = {"turn": None, "category": None, "other": "human", "benchmark": "b"}
    near = {"lower": share - reach, "upper": share + reach}
    return AgreementRow(
        **about | near | {"judge": judge, "setup": setup, "agree": share * total, "total": total} | other
    )


def beside(setup, share, people, **other):
    """A judge with people, and how people agree on the same pairs."""
    mine = row("j", setup, share, protocol="p", **other)
    return replace(mine, alike=(mine, row("human", setup, people)))


@pytest.mark.slow
def test_a_null_model_is_named_and_what_it_wins():
    found = published("alpaca_eval", "alpacaeval", "weighted_alpaca_eval_gpt4_turbo")
    said = box(found, "weighted_alpaca_eval_gpt4_turbo")
    (ratings,) = [line for line in said.may_not if line.startswith("Anything from the ratings of example")]
    assert "one text" in ratings
    assert "marks" in ratings
    (attack,) = [line for line in said.may_not if "attacked" in line]
    assert "example wins 76.9% (95% 75" in attack
    text = terminal(found)
    assert "Constant answers: example" in text
    assert "Template markers: example" in text
    assert "Constant answers: example" in page(found)


def test_a_null_model_that_loses_is_named_only():
    standing = {"null": {"estimate": 0.1, "lower": 0.05, "upper": 0.2, "above": False, "unit": "share"}}
    details = {"models": ["null"], "standing": standing}
    caught = Finding(**ABOUT, measure=METRICS["hygiene_constant_answers"], estimate=1.0, n=50, details=details)
    said = verdict(Audit(findings=(caught,)), SUBJECT)
    assert [line for line in said.may_not if "null" in line] == said.may_not
    assert not any("attacked" in line for line in said.may_not)


@pytest.mark.slow
def test_a_judge_that_is_seldom_sure_is_no_further_person():
    """Of the judges of PRD, Claude names no winner on half of the votes; GPT-4 only looks good on pairs with one."""
    said = box(published("prd", "prd_vicuna80"), "claude")
    assert not any("one more person" in line for line in said.may)
    (line,) = [line for line in said.unknown if "as good as a person" in line]
    assert "No winner on 660." in line
    assert "with ties, 45.3% (95% 41%–49%), n=1,440 (52.4%)" in line


@pytest.mark.slow
def test_judge_and_people_are_compared_on_the_same_pairs():
    """The 320 pairs of PRD with a single vote tell nothing of people; GPT-4 agrees with more of them (76.8% of all)."""
    said = box(published("prd", "prd_vicuna80"), "gpt4")
    assert not any("one more person" in line for line in said.may)
    (line,) = [line for line in said.unknown if "as good as a person" in line]
    assert "ties aside, it agrees with people in 73.5% (95% 69%–77%), n=858 of 1,440 (among people 64.7%)" in line
    assert "with ties, 49.0% (95% 45%–53%), n=1,440 (52.4%)" in line


def test_people_are_heard_only_on_what_this_judge_judged():
    """They disagree on what another judge judged, too; and one vote on a pair tells nothing."""
    rows = []
    for q in range(40):
        item, easy = f"q{q}", q % 2 == 0
        rows.append(judged("a", "b", (1.0, 0.0), item=item, judge="all"))
        said = ((1.0, 0.0), (1.0, 0.0) if easy else (0.0, 1.0))
        rows += [
            judged("a", "b", one, item=item, judge=f"p_{voter}", fingerprint=HUMAN, protocol="human")
            for voter, one in enumerate(said[: 1 if q >= 30 else 2])
        ]
        if easy:
            rows.append(judged("a", "b", (1.0, 0.0), item=item, judge="some"))
    found = {(one.judge, one.setup): one for one in audited(gather(rows)).agreement if one.other == "human"}
    for setup in ("S1", "S2"):
        mine, them = found["some", setup].alike
        assert (mine.agree, mine.total, them.agree, them.total) == (30, 30, 15, 15)
        mine, them = found["all", setup].alike
        assert (mine.agree, mine.total, them.agree, them.total) == (45, 60, 15, 30)
        assert found["all", setup].total == 70


@pytest.mark.parametrize("voters", [1, 2])
def test_a_judge_that_never_names_a_winner_is_told_how_little_it_agrees(voters):
    rows = []
    for q in range(40):
        rows.append(judged("a", "b", (0.5, 0.5), item=f"q{q}"))
        said = (0.5, 0.5) if q < 5 else (1.0, 0.0)
        rows += [
            judged("a", "b", said, item=f"q{q}", judge=f"p_{voter}", fingerprint=HUMAN, protocol="human")
            for voter in range(voters)
        ]
    said = box(audited(gather(rows)), "gpt4")
    (line,) = [line for line in (*said.may_not, *said.unknown) if "person" in line]
    assert "12.5%" in line
    assert (line in said.may_not) == (voters == 2)
    if voters == 2:
        assert "among people 100.0%" in line
        assert "No winner on 80." in line


def test_seldom_sure_and_seldom_right_is_no_open_question():
    few = beside("S2", 0.8, 0.81, reach=0.2)
    assert verdict(Audit(agreement=(beside("S1", 0.15, 0.65), few)), SUBJECT).may_not


def test_gpt4_on_mtbench_still_passes():
    found = published("fastchat", "mtbench_votes")
    (line,) = [line for line in box(found, "gpt4_pair").may if "one more person" in line]
    assert "84.0% (95% 80%–87%), n=1,147 of 1,769 (among people 81.4%)" in line
    assert "with ties, 65.3% (95% 61%–69%), n=1,769 (64.8%)" in line


@pytest.mark.parametrize(("share", "place"), [(0.64, "may"), (0.59, "unknown"), (0.4, "may_not")])
def test_ties_count_too(share, place):
    rows = (beside("S1", share, 0.65, undecided=300), beside("S2", 0.85, 0.81))
    said = verdict(Audit(agreement=rows), SUBJECT)
    assert [name for name in ("may", "may_not", "unknown") if getattr(said, name)] == [place]
    if place != "may":
        assert "No winner on 300." in getattr(said, place)[0]


def residual(value=0.51, lower=0.17, *, beyond=False, **details):
    details = {"null": 0.0, "excludes_null": beyond, "beyond_placebo": beyond, "detectable": 0.48, **details}
    placebo = {"other": {"estimate": -0.49, "lower": -0.9, "upper": 0.0}}
    return Finding(
        **ABOUT,
        measure=METRICS["self_preference_residual"],
        estimate=value,
        lower=lower,
        upper=2 * value - lower,
        n=800,
        details={"model": "m", "placebo": placebo, **details},
    )


def test_what_lies_within_the_placebo_cannot_be_told():
    found = Audit(subjects=(SUBJECT,), findings=(residual(),))
    said = verdict(found, SUBJECT)
    assert not said.may
    assert not said.may_not
    (line,) = said.unknown
    assert "up to 0.49 off too" in line
    assert "no bias was found" not in line
    assert "could have been missed" not in line
    assert cells(detectable(found, judge_labels(found)))[0][-1] == "within placebo"
    found = Audit(findings=(residual(lower=-0.1),))
    assert cells(detectable(found, judge_labels(found)))[0][-1] == "not found"
    beyond = verdict(Audit(findings=(residual(beyond=True),)), SUBJECT)
    assert "its own kin" in beyond.may_not[0]


def test_gpt4_and_its_own_model_on_mtbench():
    lines = [line for line in box(published("fastchat", "mtbench_votes"), "gpt4_pair").unknown if "Own model" in line]
    assert len(lines) == 1
    assert "cannot be told" in lines[0]
    assert "missed" not in lines[0]


def cells(section):
    (table,) = section.parts
    return [[cell.text for cell in line] for line in table.rows]


@pytest.mark.parametrize("place", ["human majority", "human", "human: author"])
def test_the_rule_that_goes_by_length_stands_beside_every_agreement(place):
    found = published("fastchat", "mtbench_votes")
    rows = [one for one in found.agreement if one.other == place and one.category is None]
    assert len({one.judge for one in rows}) >= (2 if place != "human majority" else 1)
    for one in rows:
        assert one.length_only is not None
        assert 0 < one.length_only_total <= one.total
        assert (one.length_only_kappa is None) == (one.kappa is None)


def test_the_rule_that_goes_by_length_by_hand():
    """Among people every pair of votes counts; the rule takes the place of either of two."""
    found = published("fastchat", "mtbench_votes")
    (mine,) = [one for one in found.agreement if one.judge == "gpt4_pair" and at(one, "human", "S2")]
    (among,) = [one for one in found.agreement if one.judge == "human" and at(one, "human", "S2")]
    assert (mine.total, mine.length_only_total) == (1723, 1649)
    assert (among.total, among.length_only_total) == (953, 930)
    assert mine.length_only == pytest.approx(0.684, abs=0.001)
    (kappa,) = [one for one in found.findings if one.metric == "agreement_kappa_s2" and one.judge == "gpt4_pair"]
    assert "A rule that prefers the longer answer has 0.37 (n = 1649)." in kappa.sentence


def at(one, other, setup):
    return (one.other, one.setup, one.turn, one.category) == (other, setup, None, None)


def test_two_of_three_people_go_by_length():
    """One in three pairs of their votes agrees, and the rule with two votes in three."""
    rows = []
    for q in range(6):
        about = {"item": f"q{q}", "lengths": (500, 100)}
        rows.append(judged("a", "b", (1.0, 0.0), **about))
        for voter, said in enumerate(((1.0, 0.0), (1.0, 0.0), (0.0, 1.0))):
            rows.append(judged("a", "b", said, judge=f"p_{voter}", fingerprint=HUMAN, protocol="human", **about))
    found = audited(gather(rows))
    for setup in ("S1", "S2"):
        (among,) = [one for one in found.agreement if one.judge == "human" and at(one, "human", setup)]
        assert (among.agree, among.total, among.length_only_total) == (6, 18, 18)
        assert among.length_only == pytest.approx(2 / 3)
        (most,) = [one for one in found.agreement if at(one, "human majority", setup)]
        assert (most.length_only, most.length_only_total) == (1.0, 6)
        (each,) = [one for one in found.agreement if one.judge != "human" and at(one, "human", setup)]
        assert each.length_only == pytest.approx(2 / 3)


def test_unknown_lengths_are_not_counted():
    rows = []
    for q in range(6):
        about = {"item": f"q{q}", "lengths": (500, 100) if q < 2 else ()}
        rows.append(judged("a", "b", (1.0, 0.0), **about))
        rows += [
            judged("a", "b", (1.0, 0.0), judge=f"p_{voter}", fingerprint=HUMAN, protocol="human", **about)
            for voter in range(2)
        ]
    found = audited(gather(rows))
    (among,) = [one for one in found.agreement if one.judge == "human" and at(one, "human", "S2")]
    assert (among.total, among.length_only, among.length_only_total) == (6, 1.0, 2)


def test_how_many_votes_the_rule_was_tried_on_is_printed():
    found = published("fastchat", "mtbench_votes")
    text = " ".join(terminal(found).split())
    assert "where both lengths are known: 2,568 of 2,668 (S1), 1,649 of 1,723 (S2)" in text
    section = agreement(found)
    assert "same votes" in section.says
    shown = [cell for line in section.parts[0].rows for cell in line]
    assert any(
        "length\N{NO-BREAK SPACE}alone\N{NO-BREAK SPACE}68.4%\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}1,649" in cell.small
        for cell in shown
    )
    assert any(cell.text == "0.692" and cell.small.endswith("0.372") for cell in shown)
    wide = terminal(found, width=150)
    assert "kappa*" in wide
    less = {"length_only": 0.7, "length_only_total": 900, "beyond_length": (-0.1, -0.14, -0.06)}
    weak = replace(row("j", "S2", 0.6, protocol="p"), **less)
    (line,) = [one for one in verdict(Audit(agreement=(weak,)), SUBJECT).may_not if "length" in one]
    assert "the 900 of these votes where both lengths are known" in line
    same = replace(weak, length_only_total=1000)
    (line,) = [one for one in verdict(Audit(agreement=(same,)), SUBJECT).may_not if "length" in one]
    assert "of the same votes" in line


def test_a_refused_correction_says_of_whom_and_by_how_much():
    text = terminal(published("fastchat", "mtbench_votes"))
    (at,) = [at for at, line in enumerate(text.splitlines()) if line.startswith("• Rogan-Gladen")]
    below = text.splitlines()[at + 1 : at + 8]
    (line,) = [line for line in below if line.startswith("  gpt-4: ")]
    assert "0.27" in line
    assert "lower 95% limit" in line
    assert any("0.2" in one for one in below)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("fastchat", ("mtbench_votes",)),
        ("prd", ("prd_vicuna80",)),
        ("alpaca_eval", ("alpacaeval", "weighted_alpaca_eval_gpt4_turbo")),
        ("judgebench", ("judgebench",)),
    ],
)
def test_lines_of_the_box_are_short(name, parts):
    found = published(name, *parts)
    for subject in found.subjects:
        said = verdict(found, subject)
        for line in (*said.may, *said.may_not, *said.unknown):
            assert len(textwrap.wrap(f"* {line}", 76)) <= 3, line


def test_one_question_tells_nothing_of_a_bias():
    found = audited(gather(Study(questions=1, models=5, votes=2).rows()))
    said = verdict(found, found.subjects[0])
    assert not any("no bias" in line or "no preference" in line for line in (*said.may, *said.unknown))
    assert any("Position: it cannot be told from so few questions" in line for line in said.unknown)


def test_an_interval_without_width_is_none():
    assert limits(-0.94, -0.94, "signed") == ""
    assert limits(-0.94, -0.9, "signed") != ""


def test_names_keep_their_capitals_below_not_measurable():
    text = terminal(published("prd", "prd_vicuna80"))
    assert "By both (PPI++)" in text
    assert "rogan-gladen" not in text
