"""What the box of an audit claims, on data whose truth is planted: false accusations, false praise, and power."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from evalkit.audit.analyse import audited
from evalkit.core.schema import Failure
from evalkit.evidence.findings import AgreementRow, Audit, excluded
from evalkit.evidence.gather import gather
from evalkit.interop import load
from evalkit.ratings.comparisons import HUMAN
from evalkit.reports.audit_verdict import verdict
from tests.audit.test_agreement_statistics import only
from tests.biases.simulated import Study
from tests.ratings.rows import judged, single
from tests.shared_data import shared_data

ORDER = "That a verdict given in one order"
LITTLE = "The order in which answers are shown matters little"


def box(rows):
    found = audited(gather(rows))
    return found, verdict(found, found.subjects[0])


@cache
def trial(name):
    path = shared_data("trials", name)
    return box([row.record for row in load("fastchat").read(path / "gpt-4_pair.jsonl")])


def says(lines, text):
    return any(text in line for line in lines)


def showings(leans, *, models=("a", "b"), category=lambda q: "c", win=lambda q: q % 3 > 0):
    """Two showings a question: 1 to the first twice, -1 to the second twice, 0 the same answer twice."""
    rows = []
    for q, lean in enumerate(leans):
        first = (1.0, 0.0) if lean > 0 or (lean == 0 and win(q)) else (0.0, 1.0)
        second = (1.0, 0.0) if lean > 0 or (lean == 0 and not win(q)) else (0.0, 1.0)
        a, b = models[q % len(models)], models[(q + 1) % len(models)]
        about = {"item": f"q{q}", "category": category(q)}
        rows += [judged(a, b, first, **about), judged(b, a, second, **about)]
    return rows


def test_a_judge_that_never_changes_its_verdict_is_not_accused():
    found, said = trial("never_changes")
    assert not says(said.may_not, ORDER)
    effect = only(found.findings, "position_logit")
    assert effect.lower < -0.1 < 0.1 < effect.upper
    assert not effect.details["excludes_null"]


@pytest.mark.parametrize("models", ["ab", "abcd"])
@pytest.mark.parametrize("questions", [8, 20, 120])
def test_consistent_judges_are_not_accused_whatever_the_size(models, questions):
    rng = np.random.default_rng(questions)
    wins = rng.random(questions) < 0.5
    found, said = box(showings(np.zeros(questions), models=tuple(models), win=lambda q: wins[q]))
    assert not said.may_not
    for row in found.findings:
        assert row.lower is None or row.upper - row.lower > 1e-6, row.metric
    for row in found.ratings:
        assert row.lower is None or row.upper - row.lower > 1e-6


def test_scores_that_are_all_alike_have_no_interval_without_width():
    rows = [single(model, 10.0, item=f"q{q}") for q in range(12) for model in "ab"]
    found, _ = box(rows)
    assert len(found.ratings) == 2
    for row in found.ratings:
        assert (row.rating, row.upper) == (10.0, 10.0)
        assert 8 < row.lower < 10
    assert only(found.findings, "scale_mean").lower < 10


def test_rounding_excludes_nothing():
    assert not excluded(0.0, 8.8e-17, 1.05e-16)
    assert not excluded(0.5, 0.5 + 1e-15, 0.7)
    assert not excluded(0.0, 0.1, 0.1)
    assert not excluded(0.0, None, None)
    assert excluded(0.0, 0.01, 0.02)


def test_a_judge_that_follows_the_order_in_both_directions_is_found():
    _, said = trial("all_by_place")
    assert not says(said.may, LITTLE)
    (line,) = [line for line in said.may_not if "neither place on average" in line]
    assert "only 0.0% of verdicts survive the swap" in line


def cancelling(seed, questions=160, size=2.0, share=0.5):
    """A place worth this many logits in the first categories and as much to its disadvantage in the last."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        effect = size if q % 8 < 8 * share else -size
        quality = rng.normal()
        for order in (("a", "b"), ("b", "a")):
            x = (quality if order[0] == "a" else -quality) + effect
            said = (1.0, 0.0) if rng.random() < 1 / (1 + np.exp(-x)) else (0.0, 1.0)
            rows.append(judged(*order, said, item=f"q{q}", category=f"c{q % 8}"))
    return rows


def test_effects_that_cancel_between_categories_are_named():
    for seed in range(6):
        _, said = box(cancelling(seed))
        assert not says(said.may, LITTLE)
        (line,) = [line for line in said.may_not if "alike in every category" in line]
        assert "the first place gains in c" in line
        assert "the second place gains in c" in line


def test_as_many_verdicts_survive_as_when_asked_again():
    """Noise is no effect of the order: a judge that repeats itself as seldom is not said to follow it."""
    rng = np.random.default_rng(1)
    rows = []
    for q in range(300):
        for repeat in range(3):
            for order in (("a", "b"), ("b", "a")):
                a_wins = rng.random() < (0.75 if q % 2 else 0.25)
                said = (1.0, 0.0) if a_wins == (order[0] == "a") else (0.0, 1.0)
                rows.append(judged(*order, said, item=f"q{q}", repeat=repeat))
    _, said = box(rows)
    assert says(said.may, LITTLE)
    _, said = box([row for row in rows if row.repeat == 0])
    assert not says(said.may, LITTLE)
    assert not says(said.may_not, "neither place on average"), "noise without a bias is no ground for a warning"
    assert says(said.unknown, "neither place on average")


def panel(seed, *, judge="longer", sharp=1.0, names="person", questions=80, voters=12):
    """People who prefer the better answer with this sharpness, and a judge that looks at length, or guesses."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        quality, length = rng.normal(size=2), rng.integers(100, 900, size=2)
        about = {"item": f"q{q}", "lengths": tuple(int(one) for one in length)}
        first = {"longer": length[0] > length[1], "coin": rng.random() < 0.5, "good": quality[0] > quality[1]}[judge]
        rows.append(judged("a", "b", (1.0, 0.0) if first else (0.0, 1.0), **about))
        chance = 1 / (1 + np.exp(-sharp * (quality[0] - quality[1])))
        for voter in range(voters):
            said = (1.0, 0.0) if rng.random() < chance else (0.0, 1.0)
            person = {"judge": f"{names}_{voter}", "fingerprint": HUMAN, "protocol": "human"}
            rows.append(judged("a", "b", said, **about | person))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("names", ["person", "expert", "author"])
@pytest.mark.parametrize("judge", ["longer", "coin"])
@pytest.mark.parametrize("sharp", [0.5, 1.0])
def test_a_judge_that_knows_nothing_takes_nobodys_place(judge, sharp, names):
    for seed in range(2):
        _, said = box(panel(seed, judge=judge, sharp=sharp, names=names))
        assert not says(said.may, "annotator's place")
        assert not says(said.may, "one more person")
        assert says((*said.may_not, *said.unknown), "annotator's place")


def test_a_judge_that_goes_by_length_alone_is_refused_and_few_questions_leave_it_open():
    for seed in range(3):
        _, said = box(panel(seed, voters=6))
        assert says(said.may_not, "it sees more than length")
        assert says(said.may_not, "annotator's place in a panel: a rule that goes by length")
    _, said = box(panel(0, questions=12, voters=6))
    assert not says(said.may_not, "length")
    assert says(said.unknown, "it sees more than length")


def test_a_judge_that_guesses_is_refused_an_annotators_place_where_there_is_enough_to_say_so():
    for judge, place in (("coin", "may_not"), ("good", "may")):
        _, said = box(panel(1, judge=judge, sharp=3.0, questions=200, voters=6))
        assert says(getattr(said, place), "annotator's place")


def test_a_good_judge_takes_an_annotators_place_whatever_people_are_called():
    found = [box(panel(0, judge="good", sharp=3.0, names=names)) for names in ("person", "expert")]
    for _, said in found:
        assert says(said.may, "annotator's place")
        assert not says((*said.may_not, *said.unknown), "annotator's place")
    one, other = (only(whole.findings, "alt_test_winning_rate") for whole, _ in found)
    assert (one.estimate, one.details["epsilon"]) == (other.estimate, other.details["epsilon"])


def test_where_people_guess_too_the_test_tells_nothing():
    """People who agree little beyond chance let any judge pass that is allowed to fall short by more."""
    _, said = box(panel(3, judge="good", sharp=0.6, questions=300, voters=6))
    assert not says(said.may, "annotator's place")
    assert says(said.unknown, "the test allows 0.1, so that it tells nothing here")


def test_a_ranking_like_peoples_takes_five_models_and_verdicts_that_hold():
    for models, place in ((4, "unknown"), (6, "may")):
        _, said = box(Study(seed=1, models=models, questions=60, votes=4, humans=6.0).rows())
        assert says(getattr(said, place), "rank"), said


def test_votes_with_a_winner_stand_beside_all_votes():
    about = {"turn": None, "category": None, "other": "human", "benchmark": "b"}
    near = {"lower": 0.9, "upper": 1.0}
    rare = AgreementRow(judge="j", setup="S2", agree=12, total=12, **about | near)
    every = AgreementRow(judge="j", setup="S1", agree=20, total=100, **about | {"lower": 0.15, "upper": 0.25})
    people = [replace(row, judge="human") for row in (rare, every)]
    rows = (replace(rare, alike=(rare, people[0])), replace(every, alike=(every, people[1])))
    subject = replace(trial("never_changes")[0].subjects[0], judge="j", benchmark="b", protocol="p")
    said = verdict(Audit(agreement=rows), subject)
    assert says((*said.may, *said.may_not, *said.unknown), "n=12 of 100")


def test_judgments_that_fail_for_one_model_are_named():
    rows = []
    for q in range(60):
        for a, b in (("a", "b"), ("b", "c"), ("a", "c")):
            lost = "a" in (a, b) and q % 3 == 0
            row = judged(a, b, None if lost else ((1.0, 0.0) if q % 2 else (0.0, 1.0)), item=f"q{q}")
            assert (row.error is None) != lost or isinstance(row.error, Failure)
            rows.append(row)
    _, said = box(rows)
    (line,) = [line for line in said.may_not if "same questions" in line]
    assert "33.3% of those with a" in line
    even = [replaced_scores(row, number) for number, row in enumerate(rows)]
    assert not says(box(even)[1].may_not, "same questions")


def replaced_scores(row, number):
    """The same judgment, but every fourth question fails, whichever the models."""
    lost = number // 3 % 4 == 0
    changes = {"scores": None if lost else (1.0, 0.0), "error": Failure("unparsed", "no verdict") if lost else None}
    return msgspec.structs.replace(row, **changes)


WARNINGS = (ORDER, "alike in every category", "holds in every category", "unless length", "unless format", "own kin")


def fair(seed, *, position=0.0):
    """A judge as good as people, without a bias, that asked in either order says the same but for noise of its own."""
    return Study(seed=seed, models=4, questions=48, votes=2, position=position, ties=0.0).rows()


def warned(rows):
    _, said = box(rows)
    return [text for text in WARNINGS if says(said.may_not, text)]


@pytest.mark.slow
def test_an_unbiased_judge_is_seldom_warned_of():
    assert sum(bool(warned(fair(seed))) for seed in range(24)) <= 4, "at 5%, five of 24 or more happen once in 150"


@pytest.mark.slow
def test_a_planted_bias_is_still_found():
    assert all(ORDER in warned(fair(seed, position=1.0)) for seed in range(4))


@pytest.mark.slow
def test_an_unbiased_judge_is_warned_of_in_five_percent_of_audits():
    assert sum(bool(warned(fair(seed))) for seed in range(1000, 1200)) <= 18


@pytest.mark.slow
def test_cancelling_effects_in_some_categories_are_never_called_little():
    for questions in (80, 160, 480):
        for seed in range(20):
            _, said = box(cancelling(seed, questions=questions))
            assert not says(said.may, LITTLE)


def test_the_box_says_how_many_warnings_there_might_have_been():
    _, said = box(fair(0))
    assert said.looked_at > 5
