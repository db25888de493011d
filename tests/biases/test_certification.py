"""The audit itself is audited: judges with planted faults are found out, and unbiased ones are left alone."""

from collections import Counter
from functools import cache

import msgspec
import numpy as np
import pytest
from scipy.stats import binom

from evalkit.biases.format import Format
from evalkit.biases.length import Length
from evalkit.biases.position import Position
from evalkit.biases.scale import Scale
from evalkit.biases.self_preference import SelfPreference
from evalkit.core.schema import Ref, Response
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from tests.biases.simulated import Study, only, scored
from tests.ratings.rows import judged

pytestmark = pytest.mark.slow

SIGNED = {
    "position_logit": Position(),
    "position_fairness": Position(),
    "position_first": Position(),
    "length_slope_excess": Length(),
    "self_preference_residual": SelfPreference(),
}


@cache
def evidence(seed, **planted):
    """Of one simulated study, made once for all tests."""
    return Study(seed=seed, **planted).evidence()


@cache
def findings(bias, seed, **planted):
    """Of one bias on it."""
    return list(bias.findings(evidence(seed, **planted)))


def audited(bias, metric, seeds, **planted):
    return [only(findings(bias, seed, **planted), metric) for seed in seeds]


def flagged(found):
    return float(np.mean([row.details.get("excludes_null", False) for row in found]))


@pytest.mark.parametrize("metric", SIGNED)
def test_silent_on_an_unbiased_judge(metric):
    """Of 30 studies, 5 or more flagged would happen once in 64 at a true rate of 5%."""
    assert flagged(audited(SIGNED[metric], metric, range(30), questions=40)) <= 4 / 30


def test_false_positives_at_the_stated_rate():
    """A hundred studies where longer is better by so much, each seen by every bias; then all three hundred together."""
    total, lacking = Counter(), Counter()
    for good in (0.0, 0.4, 0.8):
        wrong = Counter()
        for seed in range(100):
            evidence = Study(seed=seed, length_is_good=good).evidence()
            rows = [row for bias in (Position(), Length(), SelfPreference()) for row in bias.findings(evidence)]
            measured = {metric: only(rows, metric) for metric in SIGNED}
            wrong.update({metric: row.details.get("excludes_null", False) for metric, row in measured.items()})
            lacking.update(metric for metric, row in measured.items() if row.not_measurable)
        print(f"longer is better by {good}, of 100: {dict(wrong)}")
        assert all(binom.sf(wrong[metric] - 1, 100, 0.05) > 0.001 for metric in SIGNED)
        total += wrong
    assert all(binom.sf(total[metric] - 1, 300, 0.05) > 0.01 for metric in SIGNED), total
    assert all(lacking[metric] <= 15 for metric in SIGNED), "few of these studies are too small to tell"


@pytest.mark.parametrize(("planted", "sign"), [(0.7, 1), (-0.4, -1)])
def test_finds_a_planted_position_effect(planted, sign):
    """Averaged over unseen quality, a logit shrinks; its sign and order of magnitude do not."""
    found = audited(Position(), "position_logit", range(12), position=planted)
    assert flagged(found) == 1
    assert all(0.4 * planted * sign < row.estimate * sign < 1.1 * planted * sign for row in found)


def test_position_interval_covers_the_truth():
    """Quality is nothing but the models' ability here, so the planted logit is the true one."""
    covered = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = []
        for q in range(30):
            for a, b in [("m1", "m2"), ("m2", "m3"), ("m1", "m3")]:
                for first, second in ((a, b), (b, a)):
                    x = 0.6 * (int(second[1]) - int(first[1])) + 0.5
                    win = rng.random() < 1 / (1 + np.exp(-x))
                    rows.append(_row(first, second, win, q))
        row = only(list(Position().findings(gather(rows)[0].evidence[0])), "position_logit")
        covered.append(row.lower <= 0.5 <= row.upper)
    assert sum(covered) >= 35


@pytest.mark.parametrize("planted", [0.0, 0.7])
def test_position_within_pairs_is_the_planted_one_whatever_the_quality_of_answers(planted):
    """Over all pairs it is an average, nearer to 0, and its sentence does not promise more."""
    found = [findings(Position(), seed, questions=20, position=planted) for seed in range(24)]
    within = [only(rows, "position_logit_within_pairs") for rows in found]
    over = [only(rows, "position_logit") for rows in found]
    assert np.mean([row.estimate for row in within]) == pytest.approx(planted, abs=0.08)
    assert sum(row.lower <= planted <= row.upper for row in within) >= 20
    assert np.mean([row.estimate for row in over]) <= 0.7 * planted + 0.05
    assert all(row.sentence.startswith("Over the pairs as they are") for row in over)
    assert all(row.details.get("excludes_null", False) for row in within) == (planted > 0)


def test_position_within_pairs_needs_pairs_that_lean_either_way():
    rows = [_row(*order, True, q) for q in range(9) for order in (("m1", "m2"), ("m2", "m1"))]
    row = only(list(Position().findings(gather(rows)[0].evidence[0])), "position_logit_within_pairs")
    assert row.not_measurable == "needs pairs that went to the first answer in both orders, and some to the second"


def _row(first, second, win, q):
    return judged(first, second, (1.0, 0.0) if win else (0.0, 1.0), item=f"q{q}")


def test_length_has_the_right_zero_and_the_right_sign():
    """Five judges where longer is truly better. Saito's metric calls the unbiased one biased."""
    means, saito = [], []
    for planted in (-2.0, -0.5, 0.0, 0.5, 1.0):
        found = [findings(Length(), seed, length=planted) for seed in range(12)]
        means.append(np.mean([only(rows, "length_slope_excess").estimate for rows in found]))
        saito.append(np.mean([only(rows, "length_verbosity_bias").estimate for rows in found]))
    assert means == sorted(means)
    assert abs(means[2]) < 0.12
    assert means[0] < -0.5
    assert means[1] < -0.15
    assert means[3] > 0.15
    assert means[4] > 0.3
    assert saito[2] > 0.15
    assert saito[1] > 0


def test_finds_a_planted_preference_for_its_own_model():
    found = audited(SelfPreference(), "self_preference_residual", range(12), own=2.0)
    assert np.mean([row.estimate for row in found if row.estimate is not None]) > 0.8
    assert flagged(found) >= 0.6
    assert all(row.details["model"] == "m0" for row in found)


def test_noise_is_no_position_bias():
    """A judge that is mostly noise is inconsistent, and leans nowhere."""
    found = audited(Position(), "position_consistency", range(5), sharpness=0.3)
    assert all(row.estimate < 0.6 for row in found)
    assert flagged(audited(Position(), "position_logit", range(20), sharpness=0.3)) <= 0.2


def test_the_smallest_detectable_effect_is_detectable():
    """Planted at what one study says it could find four times out of five, it is found most of the time."""
    row = audited(Position(), "position_logit", [0], questions=30)[0]
    smallest = row.details["detectable"]
    assert 0.05 < smallest < 0.4
    found = audited(Position(), "position_logit", range(20), questions=30, position=1.6 * smallest)
    assert 0.6 <= flagged(found) <= 1


def test_the_smallest_detectable_effect_of_two_questions_is_beyond_the_interval():
    row = audited(Position(), "position_logit", [0], questions=2)[0]
    assert row.details["detectable"] == pytest.approx((row.upper - row.lower) / 2 * (12.706 + 1.376) / 12.706, rel=1e-3)


@pytest.mark.parametrize(
    ("bias", "metric"),
    [
        (Length(), "length_slope_excess"),
        (SelfPreference(), "self_preference_residual"),
        (Format(), "format_bold_excess"),
    ],
)
def test_nothing_is_scaled_by_a_sharpness_that_is_none(bias, metric):
    """People who rank the models the other way round are no blunter judges of the same thing."""
    rng = np.random.default_rng(0)
    answers = {
        f"q{q}m{m}": Response(
            key=f"q{q}m{m}", item=f"q{q}", benchmark="study", category=f"c{q % 3}", model=Ref(f"m{m}", "1"),
            turns=("**word** " * int(rng.integers(9)) + "more words",),
        )
        for q in range(30) for m in range(5)
    }  # fmt: skip

    def seen(row):
        scores, worse = row.scores, int(row.models[1].name[1]) - int(row.models[0].name[1])
        if row.judge.fingerprint == HUMAN:
            scores = (1.0, 0.0) if rng.random() < 1 / (1 + np.exp(-0.6 * worse)) else (0.0, 1.0)
        return msgspec.structs.replace(row, scores=scores, shown=tuple(answers[name].id for name in row.shown))

    rows = [seen(row) for row in Study(questions=30, models=5).rows()]
    found = only(list(bias.findings(gather(rows, answers.values())[0].evidence[0])), metric)
    assert found.not_measurable.startswith("needs people and judge to rank the ")
    assert "alike beyond chance: the judge's gaps are -0." in found.not_measurable


def test_repeatability_is_recovered():
    """Scores with two thirds of their variance between answers."""
    rng = np.random.default_rng(1)
    rows = []
    for q in range(150):
        truth = rng.normal(scale=2**0.5)
        rows += [scored("a", float(truth + rng.normal()), item=f"q{q}", repeat=r) for r in range(3)]
    row = only(list(Scale().findings(gather(rows)[0].evidence[0])), "scale_icc")
    assert row.lower <= 2 / 3 <= row.upper
    assert row.upper - row.lower < 0.2
