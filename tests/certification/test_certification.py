"""The statistics hold what they promise; `python -m tests.certification` prints the whole table."""

import numpy as np
import pytest
from scipy.stats import binom

from evalkit.stats.bounded import SMALL
from evalkit.stats.resample import question_bootstrap, t_quantile
from tests.certification.__main__ import (
    ALONE,
    BELOW,
    CHANCE,
    FEW,
    HIDDEN,
    LUCK,
    NEEDED,
    UNSEEN,
    WIDE,
    Cells,
    _parts,
    alone,
    attainable,
    covered,
    hidden,
    measured,
    page,
    said,
    standing,
)
from tests.certification.floors import UNSHOWN, hidden_share, without_floor
from tests.certification.metrics import _lost, certified, warnings
from tests.certification.studies import Planted, study

METRICS = {f"{metric.name}, {metric.setting}": metric for metric in certified()}
STATEMENTS = {f"{metric.name}, {metric.setting}": metric for metric in warnings()}
REFUSED = ("Bradley-Terry difference, 95.0%", "Bradley-Terry difference, 99.7%")
"""Where a model is unbeaten in most data sets, ratings are refused; those given are of the luckier ones."""


def enough(coverage, number, least=0.93):
    """Whether this coverage would come by chance in more than 1 of 1,000 at the least one."""
    return binom.cdf(round(coverage * number), number, least) > 0.001


FAST = [
    "score, ceiling",
    "score, mid-scale",
    "score, fixed categories, means 4.3 to 8.3",
    "win rate, 95.0%, one row",
    "win rate, 80.0%, two turns, four copies",
    "share, 99.7%, ten rows",
    "Bradley-Terry difference, 80.0%, two models",
    "kappa, nearly perfect raters",
    "paired difference, drop 0.3",
]


@pytest.mark.parametrize("name", FAST)
def test_intervals_cover_and_have_width(name):
    got = covered(METRICS[name], 20, 40, seed=1)
    assert got["least"] > 0
    assert enough(got["coverage"], round(40 * got["given"])), got


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if 20 in metric.questions and not name.startswith(REFUSED)]
)
def test_coverage(name):
    got = covered(METRICS[name], 20, 40, seed=2)
    if got["given"]:
        assert got["least"] > 0
        assert enough(got["coverage"], round(40 * got["given"])), got


@pytest.mark.slow
def test_where_outcomes_are_few_no_range_of_them_covers_between():
    """Of 20 questions at a true 95%, 18 wins or more are 92.5% of data sets, and 17 or more 98.4%."""
    wins = np.repeat(np.arange(21), np.round(1e5 * binom.pmf(np.arange(21), 20, 0.95)).astype(int))
    found = attainable(wins / 20)
    assert (found["nearest below"], found["nearest above"]) == pytest.approx((0.9245, 0.9841), abs=1e-3)
    assert attainable(np.repeat([1.0, 0.9, 0.8], [80, 15, 5])) == {}, "of 8 questions at .997, 97.6% win all"
    assert attainable(np.random.default_rng(0).normal(size=200)) == {}
    assert attainable(np.ones(50)) == {"nearest below": 0.0, "nearest above": 1.0}


def test_what_was_measured_is_kept_and_not_measured_again(tmp_path):
    times, file = [], tmp_path / "cells.jsonl"
    for _ in range(2):
        cells = Cells(file)
        cells.measure(("name", 8), lambda: times.append(1) or {"given": 0.5})
        assert cells.get("name", 8) == {"given": 0.5}
        assert cells.get("name", 20) is None
    assert len(times) == 1


def test_the_page_says_what_was_not_measured_yet_and_is_the_same_from_what_was_kept(tmp_path):
    name, file = "paired difference, drop 0", tmp_path / "cells.jsonl"
    none = page(Cells(), "paired difference drop 0", 3, 1)
    assert f"## Not measured yet\n\n- {name} (Q=8, 20, 80)" in none
    measured(Cells(file), "paired difference drop 0", 3, 1)
    whole = page(Cells(file), "paired difference drop 0", 3, 1)
    assert "Not measured yet" not in whole
    assert "Of 6 cells" in whole
    measured(Cells(file), "paired difference drop 0", 3, 1, until=0.0)
    assert page(Cells(file), "paired difference drop 0", 3, 1) == whole


@pytest.mark.parametrize(("again", "told"), [(0.95, "0 below, 1 below by chance"), (0.9, "1 below, 0 below by chance")])
def test_a_cell_that_covers_too_little_is_measured_again_on_more_data_sets_of_another_seed(again, told):
    only, name, cells = "paired difference drop 0", "paired difference", Cells()
    cell = {"given": 1.0, "below": 0.0, "above": 0.0, "width": 1.0, "least": 0.5}
    for setting in ("drop 0", "drop 0.3"):
        for q in (8, 20, 80):
            low = (setting, q) == ("drop 0", 20)
            cells.measure((name, setting, q, 40, 1), lambda low=low: cell | {"coverage": 0.9 if low else 0.95})
    listed = [key for key, _ in _parts(cells, only, 40, 1) if key[0] == name and key[4] != 1]
    assert listed == [(name, "drop 0", 20, 200, 2)]
    cells.measure(listed[0], lambda: cell | {"coverage": again})
    text = page(cells, only, 40, 1)
    assert f"Of 6 cells, 5 are inside, {told}" in text
    assert f"- paired difference, drop 0, Q=20: 0.900 of 40; again {again:.3f} of 200" in text


def at(coverage, **more):
    return {"coverage": coverage} | more


def elsewhere(coverage):
    return at(coverage, part="a third", share=0.1, **{"with": 0.96})


DISCRETE = {"nearest below": 0.9, "nearest above": 0.99}


@pytest.mark.parametrize(
    ("kind", "cell", "again", "bare", "there"),
    [
        ("", at(0.95), None, None, None),
        ("", at(0.98), None, None, None),
        (BELOW, at(0.9), at(0.9), None, None),
        (CHANCE, at(0.9), at(0.94), None, None),
        (LUCK, at(0.99), at(0.97), at(0.5), None),
        (FEW, at(0.99), at(0.99, **DISCRETE), at(0.5), None),
        (FEW, at(0.99, **DISCRETE), None, None, None),
        (NEEDED, at(1.0), at(0.99), at(0.5), None),
        (UNSEEN, at(1.0), at(0.99), at(0.95), elsewhere(0.8)),
        (WIDE, at(1.0), at(0.99), at(0.95), elsewhere(0.94)),
        (WIDE, at(1.0), at(0.99), at(0.99), None),
        (WIDE, at(1.0), None, None, None),
    ],
)
def test_a_cell_that_is_wider_is_told_by_what_was_measured(kind, cell, again, bare, there):
    found, why = standing(cell, again, bare, there)
    assert found == kind
    for measured_of, words in ((bare, "without the floor"), (there, "at the other end")):
        assert (words in why) is (measured_of is not None and kind in (NEEDED, UNSEEN, WIDE))
    if there is not None:
        assert f"{there['coverage']:.3f}, and 0.960 with the floor" in why


def test_limits_without_the_floor_are_those_of_resampling_or_of_student_s_t():
    wins = np.ones(20)
    spread = np.array([9.0, 9.0, 8.0, 9.0, 9.0, 9.0, 9.0, 2.0])
    with without_floor():
        none = question_bootstrap(wins, np.ones(20), limits=(0, 1))
        few = question_bootstrap(spread, np.ones(8), limits=(1, 10), unseen=True)
    assert none.lower == none.upper == 1
    reach = t_quantile(0.975, 7) * spread.std(ddof=1) / np.sqrt(SMALL)
    assert (few.lower, few.upper) == pytest.approx((spread.mean() - reach, min(10, spread.mean() + reach)))
    again = question_bootstrap(wins, np.ones(20), limits=(0, 1))
    assert again.lower < 0.9, "the floor is back"


@pytest.mark.parametrize("questions", [8, 20, 80])
@pytest.mark.parametrize("unshown", UNSHOWN.values())
def test_as_many_questions_are_at_the_other_end_as_part_of_the_data_sets_do_not_show(questions, unshown):
    share = hidden_share(questions, unshown)
    rng = np.random.default_rng(questions)
    shown = np.mean([_lost(rng, np.ones(questions), share).min() == 0 for _ in range(2000)])
    assert 1 - shown == pytest.approx(unshown, abs=0.04)


def test_every_bounded_quantity_has_a_world_with_hidden_questions():
    for name in ("score", "win rate", "share", "Elo", "agreement", "kappa", "Krippendorff's alpha"):
        assert all(metric.hidden for metric in METRICS.values() if metric.name == name), name
    drawn = METRICS["win rate, 80.0%, one row"].hidden(0.25)
    assert drawn.truth() == pytest.approx(0.6)
    rng = np.random.default_rng(0)
    assert np.mean([drawn.measure(rng, 20).estimate for _ in range(300)]) == pytest.approx(0.6, abs=0.03)


def test_what_is_measured_of_a_cell_that_is_wider_is_of_the_same_data_sets():
    row, cells = METRICS["win rate, 95.0%, one row"], Cells()
    first = (row.name, row.setting, 8, 40, 3)
    measured(cells, "win rate 95.0%, one row", 40, 3)
    cell, bare = cells.get(*first), cells.get(*first, ALONE)
    assert cell["coverage"] > 0.98
    assert bare == alone(row, 8, 40, 3)
    assert bare["above"] <= cell["above"] + 0.05
    assert bare["coverage"] < 0.7, "of 8 questions, half win all"
    assert cells.get(*first, HIDDEN) is None, "the first figure is proof enough"
    assert f"Q=8: {cell['coverage']:.3f} of 40; again" in page(cells, "win rate 95.0%, one row", 40, 3)
    there = hidden(METRICS["score, skewed"], 8, 40, 3)
    assert there["part"] in UNSHOWN
    assert there["with"] > there["coverage"]


@pytest.mark.slow
def test_what_is_not_there_is_seldom_said_and_what_is_there_is_found():
    alike, apart = STATEMENTS["categories differ, alike"], STATEMENTS["categories differ, 70% +- 15"]
    assert binom.sf(round(100 * said(alike, 80, 100, seed=1)) - 1, 100, 0.05) > 0.001
    assert said(apart, 80, 40, seed=1) > 0.7
    equal = STATEMENTS["paired difference is not 0, equal models"]
    assert binom.sf(round(100 * said(equal, 20, 100, seed=1)) - 1, 100, 0.05) > 0.001


@pytest.mark.parametrize(
    ("planted", "first"),
    [
        (Planted(), 0.5),
        (Planted(position=1.0), 0.65),
        (Planted(position_by_category=(2.0, -2.0), categories=2), 0.5),
        (Planted(position_by_gap=2.0), 0.6),
        (Planted(position_by_question=3.0), 0.5),
    ],
)
def test_studies_have_what_was_planted(planted, first):
    got = study(np.random.default_rng(0), planted, 2000)
    assert got.outcome.mean() == pytest.approx(first, abs=0.05)
    assert got.votes.shape == (4000, 3)


def test_answers_that_are_missing_are_the_worst_where_planted():
    rng = np.random.default_rng(1)
    assert study(rng, Planted(missing=0.5), 2000).outcome.size == pytest.approx(1000, rel=0.1)
    assert study(rng, Planted(missing_worst=0.3), 2000).outcome.size == pytest.approx(0.49 * 4000, rel=0.1)


def test_a_judge_that_prefers_its_own_or_the_longer_answer_does():
    own = study(np.random.default_rng(2), Planted(own=3.0, abilities=(0.0, 0.0)), 500)
    assert np.where(own.a == 0, own.outcome, 1 - own.outcome).mean() > 0.75
    long = study(np.random.default_rng(3), Planted(length=3.0), 500)
    assert long.outcome[long.length > 0].mean() > 0.75
