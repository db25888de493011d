"""Scores on a scale of the judge's own: temperature and ties from labels, and the best of several answers."""

import numpy as np
import pytest

from evalkit.biases.preference import Preference
from evalkit.core.schema import Judgment
from evalkit.evidence.gather import gather
from evalkit.interop.records import Told
from evalkit.interop.rewardmath import RewardMathFormat
from evalkit.ratings.comparisons import HUMAN
from evalkit.stats.preference_scale import PreferenceScale
from tests.biases.simulated import only, scored
from tests.ratings.rows import judged
from tests.shared_data import shared_data

GOLD = {"judge": "gold", "fingerprint": "gold", "protocol": "gold"}
PERSON = {"judge": "ann", "fingerprint": HUMAN, "protocol": "human"}


def reward(model, score, item):
    return scored(model, score, item=item, protocol="reward")


def label(a, b, points, item, **who):
    return judged(a, b, points, item=item, shown=(f"{item}{a}", f"{item}{b}"), **(who or GOLD))


def findings(rows):
    return list(Preference().findings(gather(rows)[0].evidence[0]))


def study(temperature, eta, seed=0, questions=300, **who):
    """Two answers a question, labelled as the planted temperature says."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        one, other = rng.normal(0, 2 * temperature, 2)
        win, tie, _ = (float(p[0]) for p in PreferenceScale.stated(temperature, eta).probabilities([one - other]))
        drawn = rng.random()
        said = (1.0, 0.0) if drawn < win else (0.5, 0.5) if drawn < win + tie else (0.0, 1.0)
        rows += [reward("a", one, f"q{q}"), reward("b", other, f"q{q}"), label("a", "b", said, f"q{q}", **who)]
    return rows


@pytest.mark.parametrize("who", [GOLD, PERSON], ids=["gold", "people"])
def test_a_planted_temperature_and_share_of_ties_are_found(who):
    found = findings(study(8.0, 0.5, **who))
    temperature, margin = only(found, "preference_temperature"), only(found, "preference_tie_margin")
    assert temperature.lower < 8.0 < temperature.upper
    assert temperature.estimate == pytest.approx(8.0, rel=0.25)
    assert margin.estimate == pytest.approx(4.0, rel=0.5)
    assert margin.details["expected_ties"] == pytest.approx(margin.details["ties"], abs=0.02)
    whose = "people" if who is PERSON else "gold labels"
    assert f"2.7 to 1, that {whose} call the higher one better" in temperature.sentence


def test_sentences_have_their_reasons():
    none = findings([reward("a", 1.0, "q1"), reward("b", 2.0, "q1")])
    assert only(none, "preference_temperature").not_measurable.startswith("needs votes of people or gold labels")
    assert (
        only(none, "best_of_n").not_measurable == "needs gold labels that name one answer of three or more as the best"
    )
    noise = findings(
        [row for row in study(1.0, 0.0) if row.protocol == "reward"]
        + [label("a", "b", (1.0, 0.0) if q % 2 else (0.0, 1.0), f"q{q}") for q in range(300)]
    )
    assert "tell the labelled answers apart" in only(noise, "preference_temperature").not_measurable
    certain = findings(study(1.0, 0.0))
    assert only(certain, "preference_tie_margin").not_measurable == "needs labels of which some are ties"


def test_a_judge_whose_scale_is_known_has_no_temperature():
    assert findings([scored("a", 7.0), scored("b", 5.0)]) == []


def ten(scores, item):
    """Ten answers; the first is right."""
    rows = [reward(f"m{place}", score, item) for place, score in enumerate(scores)]
    return rows + [label("m0", f"m{place}", (1.0, 0.0), item) for place in range(1, len(scores))]


def test_best_of_n_is_strict_and_a_failed_rival_leaves_the_question_out():
    rows = [*ten([5.0, 1.0, 2.0], "q1"), *ten([5.0, 5.0, 2.0], "q2"), *ten([1.0, 5.0, 2.0], "q3")]
    rows += [*ten([5.0, None, 2.0], "q4"), *ten([9.0, 1.0], "q5")]
    found = only(findings(rows), "best_of_n")
    assert (found.estimate, found.n) == (pytest.approx(1 / 3), 3)
    assert "no other as high" in found.sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "percent", "n"),
    [
        ("internlm2", 37.2671, 483),
        ("ArmoRM", 20.4969, 483),
        ("grm_llama3", 24.4306, 483),
        ("skywork_llama3", 22.1532, 483),
    ],
)
def test_rewardmaths_best_of_ten(name, percent, n):
    path = shared_data("rewardmath", f"{name}_reward.json")
    rows = [one.record for one in RewardMathFormat(told=Told()).read(path) if isinstance(one.record, Judgment)]
    found = only(findings(rows), "best_of_n")
    assert (100 * found.estimate, found.n) == (pytest.approx(percent, abs=1e-4), n)
