"""Plans for labelling: what the sentence promises, carried out, and limits that hold."""

import re

import numpy as np
import pytest

from evalkit.audit.label_budgets import for_win_rates, label_budgets
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.label_budget import Labelled, labels_needed
from tests.audit.test_corrections import world
from tests.ratings.rows import judged


def test_no_votes():
    seen, _ = world(np.random.default_rng(5), labelled=0)
    plan = for_win_rates(seen)
    assert plan.metric == "labels_needed"
    assert plan.not_measurable.endswith(
        "Without a judge, a win rate to within 5 points takes votes on 385 independent pairs"
    )


def test_the_plan_in_words_is_the_plan_in_figures():
    seen, _ = world(np.random.default_rng(1), pairs=1200, labelled=150)
    plan = for_win_rates(seen)
    assert plan.lower < plan.estimate < plan.upper < plan.details["without_judge"] * 1.5
    told = [int(word.replace(",", "")) for word in re.findall(r"[0-9][0-9,]*", plan.sentence)]
    assert told[:3] == [150, plan.details["more"], 3]
    assert plan.details["more"] == pytest.approx(plan.estimate - 150, abs=1)
    assert plan.sentence.startswith("You have votes on 150 pairs; votes on about ")
    assert "Without the judge, it would take about" in plan.sentence


def test_the_plan_carried_out_has_the_precision_it_promises():
    """As many votes as it says leave the corrected win rates an interval of 5 points to either side."""
    from evalkit.audit.corrections import findings

    seen, _ = world(np.random.default_rng(1), pairs=3000, labelled=120)
    needed = round(for_win_rates(seen).estimate)
    assert 120 < needed < 3000
    seen, _ = world(np.random.default_rng(2), pairs=3000, labelled=needed)
    rates = [row for row in findings(seen) if row.metric == "win_rate_corrected"]
    assert np.mean([(row.upper - row.lower) / 2 for row in rates]) == pytest.approx(0.05, rel=0.1)
    done = for_win_rates(seen)
    assert abs(done.details["more"]) < 0.2 * needed


def test_enough_votes_are_enough():
    seen, _ = world(np.random.default_rng(3), pairs=3000, labelled=2800)
    plan = for_win_rates(seen)
    assert plan.details["more"] == 0
    assert "which are enough for the win rates of all 3 models to within 5 points" in plan.sentence


def test_a_judge_that_says_nothing_saves_nothing():
    seen, _ = world(np.random.default_rng(2), pairs=3000, labelled=1500, right=0.0)
    plan = for_win_rates(seen)
    assert plan.details["correlation"] < 0.1
    assert "saves none" in plan.sentence or plan.estimate > 0.95 * plan.details["without_judge"]


def test_few_questions_have_no_plan():
    seen, _ = world(np.random.default_rng(2), pairs=60, labelled=60, questions=5)
    assert "at least 6 questions" in for_win_rates(seen).not_measurable


def two_judges(seed, second, questions=60, voters=3):
    """A judge that is right in 85% and one that is in so many, as people are in 80%."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        a_better = rng.random() < 0.5
        for who, right in (("sharp", 0.85), ("other", second)):
            says_a = (rng.random() < right) == a_better
            rows.append(judged("a", "b", (1.0, 0.0) if says_a else (0.0, 1.0), item=f"q{q}", judge=who))
        for voter in range(voters):
            says_a = (rng.random() < 0.8) == a_better
            person = {"judge": f"person_{voter}", "fingerprint": HUMAN, "protocol": "human"}
            rows.append(judged("a", "b", (1.0, 0.0) if says_a else (0.0, 1.0), item=f"q{q}", **person))
    return gather(rows)[0]


def apart(gathered):
    (found,) = [row for row in label_budgets(gathered) if row.metric == "labels_to_tell_apart"]
    return found


def test_judges_that_differ_much_are_told_apart_by_the_votes_there_are():
    found = apart(two_judges(0, 0.4))
    assert found.estimate < 180
    assert found.lower < found.estimate < found.upper
    assert "180 votes, which tell the two apart" in found.sentence


def test_judges_that_hardly_differ_take_more_votes_than_there_are():
    found = apart(two_judges(2, 0.83))
    assert found.estimate > 180
    assert (found.lower, found.upper) == (None, None)
    assert found.details["least"] > 0
    assert found.details["most"] is None
    assert re.search(r"about [0-9,]+ votes in all would tell the two apart", found.sentence)
    assert "no number is sure to do" in found.sentence


def test_the_same_judge_twice_cannot_be_told_apart():
    gathered = two_judges(0, 0.85)
    rows = [row for row in label_budgets(gathered) if row.metric == "labels_to_tell_apart"]
    assert len(rows) == 1
    people = {"judge": "person", "fingerprint": HUMAN, "protocol": "human"}
    said = [(1.0, 0.0) if q % 3 else (0.0, 1.0) for q in range(20)]
    rows = [
        judged("a", "b", said[q], item=f"q{q}", **who) for q in range(20) for who in ({}, {"judge": "twin"}, people)
    ]
    found = apart(gather(rows)[0])
    assert "both are the same" in found.not_measurable or "differ" in found.not_measurable


def test_one_judge_is_told_apart_from_nobody():
    seen = two_judges(0, 0.4)
    rows = [row for row in label_budgets(seen) if row.metric == "labels_needed"]
    assert {row.judge for row in rows} == {"sharp", "other"}


def test_a_judge_that_never_differs_from_few_labels_has_no_plan_of_a_single_number():
    label = (np.arange(16) % 3 > 0).astype(float)
    rows = Labelled(label, label.copy(), np.arange(16) // 2, 500)
    with pytest.raises(NotMeasurable, match="from some of which the judge differs"):
        labels_needed([rows], 0.05)
    judge = label.copy()
    judge[[1, 6]] = 1 - judge[[1, 6]]
    found = labels_needed([Labelled(label, judge, np.arange(16) // 2, 500)], 0.05)
    assert found.lower < found.estimate < found.upper
