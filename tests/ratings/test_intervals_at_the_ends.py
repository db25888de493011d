"""Intervals at the ends of a scale have a width; of few questions there is none, and the table says why."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from evalkit.core.schema import Ref
from evalkit.ratings.bt import BradleyTerryRatings
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.elo import EloRatings
from evalkit.ratings.leaderboard import Choices, rate
from evalkit.ratings.scores import scores
from evalkit.ratings.standing import AS_A_WHOLE, WITHIN
from evalkit.ratings.winrate import WinRates
from tests.ratings.rows import judged
from tests.ratings.test_scores import row
from tests.shared_data import shared_data


@pytest.mark.parametrize("method", ["winrate", "elo"])
def test_all_wins_have_an_interval_with_a_width(method):
    standings = rate(Choices(paths=(shared_data("trials", "all_wins.csv"),), method=method)).standings
    assert len(standings) == 2
    for standing in standings:
        found = standing.main
        assert found.upper - found.lower > (5 if method == "winrate" else 2)
        assert found.lower <= found.estimate <= found.upper
        assert found.standard_error > 0


def battles(tmp_path, rows):
    """A file of battles of A and B, by who won each question."""
    path = tmp_path / "battles.csv"
    lines = [f"q{number},A,B,{winner}" for number, winner in enumerate(rows)]
    path.write_text("\n".join(["question,model_a,model_b,winner", *lines]) + "\n")
    return path


ONE_SIDED = {"all won": ["model_a"] * 10, "all lost": ["model_b"] * 10, "all tied": ["tie"] * 10}


@pytest.mark.parametrize("method", ["winrate", "elo", "bt"])
@pytest.mark.parametrize("outcome", ONE_SIDED)
def test_differences_at_the_edge_have_a_width_and_no_endless_t(method, outcome, tmp_path):
    standings = rate(Choices(paths=(battles(tmp_path, ONE_SIDED[outcome]),), method=method)).standings
    rated = [row for row in standings if row.main is not None]
    if method == "bt" and outcome != "all tied":
        assert rated == [], "no finite rating"
        return
    (pair,) = standings[0].about.differences.pairs
    assert pair.interval.upper - pair.interval.lower > 5
    assert abs(pair.interval.estimate / pair.interval.standard_error) < 30
    assert all(one.main.upper - one.main.lower > 3 for one in rated)


@pytest.mark.parametrize("method", ["winrate", "elo", "bt"])
@pytest.mark.parametrize("rows", [["tie"], ["tie", "model_a"], ["model_a", "model_b", "tie"]])
def test_battles_on_fewer_than_four_questions_have_a_reason_instead_of_limits(method, rows, tmp_path):
    rated = rate(Choices(paths=(battles(tmp_path, rows),), method=method)).standings
    assert len(rated) == 2
    for found in (one.main for one in rated if one.main is not None):
        assert (found.lower, found.upper) == (None, None)
        assert found.reason == "needs at least 4 questions"


@pytest.mark.parametrize("score", [1, 10])
def test_scores_that_are_all_at_an_end_of_the_scale(score):
    (standing, _) = scores([row(str(item), score) for item in range(12)]).standings
    assert standing.main.estimate == score
    assert 0.5 < standing.main.upper - standing.main.lower < 5
    assert standing.main.lower >= 1
    assert standing.main.upper <= 10


def test_scores_on_a_scale_that_is_not_known_have_no_interval_where_all_are_alike():
    (standing, _) = scores([row(str(item), 70) for item in range(12)]).standings
    assert standing.main.lower is None
    assert "known scale" in standing.main.reason


def said(item, score, ends):
    return replace(row(str(item), score, protocol="mine"), score_range=ends)


@pytest.mark.parametrize("ends", [(1.0, 5.0), (0.0, 100.0), (-1.0, 1.0)], ids=str)
@pytest.mark.parametrize("which", [0, 1])
def test_scores_on_a_scale_that_the_rows_say(ends, which):
    """All at an end, and all but a few: the interval has a width, and stays on the scale."""
    for other in (ends[which], ends[1 - which]):
        rows = [said(item, other if item == 0 else ends[which], ends) for item in range(6)]
        (standing, _) = scores(rows).standings
        assert ends[0] <= standing.main.lower < standing.main.upper <= ends[1]
        assert standing.about.scale == ends


def test_a_scale_that_not_all_rows_say_or_keep_to_is_not_known():
    rows = [said(item, 4, (1.0, 5.0)) for item in range(12)]
    for odd in (row("99", 4, protocol="mine"), said("99", 7, (1.0, 5.0))):
        (standing, _) = scores([*rows, odd]).standings
        assert standing.about.scale is None
    (standing, _) = scores([*rows, said("99", 7, (1.0, 10.0))]).standings
    assert standing.about.scale == (1.0, 10.0), "of items with scales of their own, the outer ends"


def test_few_questions_of_a_category_have_a_reason_instead_of_an_interval():
    rows = [row(str(item), item % 5 + 3, category="math" if item < 3 else "writing") for item in range(20)]
    found = {standing.category: standing for standing in scores(rows).standings}
    assert found["math"].main.lower is None
    assert found["math"].main.reason == "needs at least 4 questions"
    assert found["math"].n == 3
    assert found["writing"].main.lower < found["writing"].main.estimate < found["writing"].main.upper


def test_only_declared_categories_are_strata():
    """Scores that differ between categories only: within declared ones they hardly vary, in others they do."""
    names = ["writing", "roleplay", "reasoning", "math"]

    def width(benchmark):
        rows = [
            row(str(q), 2 * (q % 4) + 2 + (q // 4) % 2, category=names[q % 4], benchmark=benchmark) for q in range(40)
        ]
        whole = scores(rows).standings[0]
        return whole.main.upper - whole.main.lower, whole.about.notes

    (declared, said), (own, said_of_own) = width("mtbench"), width("own")
    assert declared < own / 2
    assert f"intervals: {WITHIN}" in said
    assert f"intervals: {AS_A_WHOLE}" in said_of_own


@pytest.mark.parametrize(("protocol", "published"), [("alpaca_eval_weighted", True), ("pairwise", False)])
def test_the_error_of_independent_rows_is_that_of_alpaca_eval_only(protocol, published):
    points = [1.0] * 12
    rows = [judged("A", "base", (p, 1 - p), item=f"q{i}", protocol=protocol) for i, p in enumerate(points)]
    (table,) = comparisons(rows)
    (standing,) = WinRates("base").rate(table)
    mean = sum(points) / 12
    formula = 100 * (sum((p - mean) ** 2 for p in points) / 11 / 12) ** 0.5
    error = standing.columns["standard_error"]
    assert (error == pytest.approx(formula)) is published
    assert (error == standing.main.standard_error) is not published


def test_people_who_grade_are_one_judge_and_the_last_of_two_grades_counts():
    people = [Ref(f"ann_{number}", "human") for number in (1, 2)]
    rows = [row(str(item), 4, judge=person) for person in people for item in range(5)]
    again = row("0", 9, judge=people[0])
    first = scores([*rows, again]).standings[0]
    assert (first.judge, first.n) == ("human", 10)
    assert first.main.estimate == pytest.approx((6.5 + 4 * 4) / 5)


@pytest.mark.parametrize("method", [WinRates("base"), WinRates(), BradleyTerryRatings(), EloRatings(20)])
@pytest.mark.parametrize("benchmark", ["mtbench", "own"])
def test_every_method_says_which_questions_are_drawn(method, benchmark):
    """Within declared categories; nothing where there is one category."""
    rows = [
        judged("A", "base", won, item=f"q{q}", category=("writing", "math")[q % 2], benchmark=benchmark)
        for q, won in enumerate([(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)] * 5)
    ]
    for chosen, said in ((rows, f"intervals: {WITHIN if benchmark == 'mtbench' else AS_A_WHOLE}"), (rows[::2], None)):
        (table,) = comparisons(chosen)
        captions = [note for note in method.rate(table)[0].about.notes if note.startswith("intervals: ")]
        assert captions == ([said] if said else [])
