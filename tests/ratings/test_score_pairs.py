"""Scores as comparisons: a planted temperature is rated as it was planted, and failures stay failures."""

import math

import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Ref
from evalkit.ratings.comparisons import HUMAN, comparisons
from evalkit.ratings.score_pairs import scores_as_pairs
from tests.biases import simulated
from tests.interop.files import save
from tests.ratings.rows import judged


def scored(model, score, item="q1", judge=None):
    return simulated.scored(model, score, item=item, protocol="reward", judge=judge or Ref("rm", "1"))


def test_a_difference_of_a_temperature_is_odds_of_e():
    rows = list(scores_as_pairs([scored("a", 5.0), scored("b", 3.0), scored("c", 5.0)], 2.0))
    found = {(row.models[0].name, row.models[1].name): row.scores for row in rows}
    assert found["a", "b"] == (pytest.approx(math.e / (1 + math.e)), pytest.approx(1 / (1 + math.e)))
    assert found["a", "c"] == (0.5, 0.5)
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_ratings_of_a_planted_quality_come_out_in_its_units():
    rng = np.random.default_rng(0)
    rows = [
        scored(name, 4.0 * place + rng.normal(0, 0.01), f"q{q}") for q in range(9) for place, name in enumerate("abc")
    ]
    (table,) = comparisons(scores_as_pairs(rows, 8.0))
    assert np.log(table.outcome / (1 - table.outcome))[(table.a == 0) & (table.b == 2)] == pytest.approx(-1.0, abs=0.01)


def test_huge_differences_do_not_overflow():
    (row,) = scores_as_pairs([scored("a", 1e308), scored("b", -1e308)], 1e-300)
    assert row.scores == (1.0, pytest.approx(0.0, abs=1e-300))


def test_what_failed_fails_and_other_questions_judges_and_people_are_apart():
    person = Ref("ann", HUMAN)
    rows = [
        *(scored("a", 1.0), scored("b", None)),
        *(scored("a", 1.0, "q2"), scored("b", 2.0, "q3")),
        *(scored("a", 1.0, "q4", Ref("one", "1")), scored("b", 1.0, "q4", Ref("two", "1"))),
        *(scored("a", 1.0, "q5", person), scored("b", 1.0, "q5", person)),
        judged("a", "b", (1.0, 0.0)),
    ]
    found = list(scores_as_pairs(rows, 1.0))
    pairs = [row for row in found if len(row.shown) == 2]
    assert [row.error is None for row in pairs] == [True, False]
    assert pairs[1].error.kind == "unparsed"
    assert len(found) == 4


def test_the_last_score_of_an_answer_counts():
    (row,) = scores_as_pairs([scored("a", 1.0), scored("b", 1.0), scored("a", 900.0)], 1.0)
    assert row.scores[0] == 1.0


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_is_above_0(temperature):
    with pytest.raises(UsageError, match="must be above 0"):
        list(scores_as_pairs([], temperature))


def test_on_the_command_line(cli, tmp_path):
    rows = [
        {"question": f"q{q}?", "model": model, "answer": "x", "score": 3 + place + q % 3}
        for q in range(8)
        for place, model in enumerate("ab")
    ]
    save(tmp_path / "scores.jsonl", rows)
    assert cli("import", "table", "scores.jsonl", "--judge", "rm", "--into", "results").code == 0
    without = cli("leaderboard", "results", "--method", "winrate")
    assert without.code == 2
    assert "--temperature T makes comparisons of its scores" in " ".join(without.err.split())
    done = cli(
        "leaderboard", "results", "--method", "winrate", "--baseline", "a", "--temperature", "1", "--format", "csv"
    )
    assert done.code == 0, done.err
    assert "73.1" in done.out  # 1 / (1 + 1/e)
    assert cli("leaderboard", "results", "--temperature", "1").code == 0
    assert cli("leaderboard", "results", "--method", "score", "--temperature", "1").code == 2
