"""Differences under tables: who is compared on what, what failures leave open, which failures are called uneven."""

import msgspec
import pytest

from evalkit.core.schema import Failure
from evalkit.ratings.bt import BradleyTerryRatings
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.differences import sign_test
from evalkit.ratings.elo import EloRatings
from evalkit.ratings.lc import LengthControlledWinRates
from evalkit.ratings.scores import scores
from evalkit.ratings.winrate import WinRates
from tests.ratings.rows import judged, single


def failed(model, item, **changes):
    row = single(model, 1.0, item, **changes)
    return msgspec.structs.replace(row, scores=None, error=Failure("unparsed", "no verdict"))


def table(rows):
    return scores(rows).standings[0].about.differences


def graded(levels, questions=20, lost=()):
    """Scores of models at their level, a little apart from question to question; (model, question) fail."""
    rows = []
    for q in range(questions):
        for place, (model, level) in enumerate(levels.items()):
            item = f"q{q}"
            score = level + (q % 3) - 1 + 0.5 * ((q + place) % 2)
            rows.append(failed(model, item) if (model, q) in lost else single(model, score, item))
    return rows


def test_each_model_minus_every_one_above_it():
    found = table(graded({"low": 3.0, "high": 7.0, "middle": 5.0}))
    assert found.models == ("high", "middle", "low")
    assert [(pair.a, pair.b) for pair in found.pairs] == [("middle", "high"), ("low", "high"), ("low", "middle")]
    assert all(pair.interval.estimate < 0 and pair.apart for pair in found.pairs)
    assert found.ranks == {"high": (1, 1), "middle": (2, 2), "low": (3, 3)}


def test_one_model_has_no_differences():
    assert table(graded({"only": 5.0})) is None


def test_a_model_that_fails_on_its_worst_is_compared_on_common_questions():
    """Two equal models; one loses its verdicts on the questions both find hard. Their means differ, they do not."""
    rows = []
    for q in range(40):
        score = 2.0 if q < 12 else 8.0
        rows += [single("whole", score, f"q{q}")]
        rows += [failed("picky", f"q{q}") if q < 12 else single("picky", score, f"q{q}")]
    board = scores(rows).standings
    by_name = {row.model: row.main.estimate for row in board if row.category is None}
    assert by_name["picky"] - by_name["whole"] == pytest.approx(1.8)
    found = table(rows)
    (pair,) = found.pairs
    assert pair.interval.estimate == pytest.approx(0.0)
    assert pair.interval.clusters == 28
    assert not pair.apart
    assert (pair.a, pair.failed) == ("whole", (0, 12))
    # Every failure of picky at 1: 12 questions at 2 - 1; at 10: 2 - 10.
    assert pair.worst == pytest.approx((12 * -8 / 40, 12 * 1 / 40))
    assert any("'picky' failed on 12" in note and "uneven" in note for note in found.notes)


def test_even_failures_are_not_called_uneven():
    lost = [("one", 1), ("one", 5), ("other", 9), ("other", 13)]
    found = table(graded({"one": 5.0, "other": 5.5}, lost=lost))
    assert found.notes == ()
    assert found.pairs[0].failed == (2, 2)
    assert found.pairs[0].worst is not None


def test_without_failures_there_are_no_bounds():
    assert table(graded({"one": 5.0, "other": 5.5})).pairs[0].worst is None


def test_the_sign_test_is_exact():
    assert sign_test(0, 5) == pytest.approx(2 / 32)
    assert sign_test(3, 3) == pytest.approx(1.0)
    assert sign_test(0, 0) == 1.0


def met(winner, other, item, **changes):
    first, second = sorted((winner, other))
    return judged(first, second, (1.0, 0.0) if first == winner else (0.0, 1.0), item, **changes)


def battles(questions=24):
    """Good beats the baseline on 5 of 6 questions, poor on 2 of 6; good beats poor on 4 of 6."""
    rows = []
    for q in range(questions):
        item, lengths = f"q{q}", (100 + 7 * (q % 5), 120 + 3 * (q % 7))
        rows.append(met("good" if q % 6 else "base", "base" if q % 6 else "good", item, lengths=lengths))
        rows.append(met("poor" if q % 3 == 0 else "base", "base" if q % 3 == 0 else "poor", item, lengths=lengths))
    return rows


@pytest.mark.parametrize(
    "method", [WinRates("base"), LengthControlledWinRates("base", resamples=60), BradleyTerryRatings(), EloRatings(50)]
)
def test_every_method_has_differences_and_ranks(method):
    (found,) = comparisons(battles())
    rows = method.rate(found)
    listed = rows[0].about.differences
    assert {"good", "poor"} <= set(listed.models)
    (pair,) = [one for one in listed.pairs if {one.a, one.b} == {"good", "poor"}]
    assert (pair.a, pair.b) == ("poor", "good")
    assert pair.interval.lower < pair.interval.estimate < pair.interval.upper
    by_name = {row.model: row for row in rows}
    lead = by_name["poor"].main.estimate - by_name["good"].main.estimate
    assert pair.interval.estimate == pytest.approx(lead, abs=1e-6)
    assert all(row.columns["rank_best"] <= row.columns["rank"] <= row.columns["rank_worst"] for row in rows)


def test_win_rates_over_opponents_have_differences_too():
    rows = battles() + [met("good" if q % 3 else "poor", "poor" if q % 3 else "good", f"q{q}") for q in range(24)]
    (found,) = comparisons(rows)
    standings = WinRates().rate(found)
    listed = standings[0].about.differences
    assert len(listed.pairs) == 3
    estimates = {row.model: row.main.estimate for row in standings}
    for pair in listed.pairs:
        assert pair.interval.estimate == pytest.approx(estimates[pair.a] - estimates[pair.b])
        assert pair.interval.lower < pair.interval.upper


def test_a_failed_comparison_is_a_failure_of_the_model_and_not_of_the_baseline():
    rows = battles()
    rows = [row for row in rows if not (row.item == "q1" and "good" in {model.name for model in row.models})]
    rows.append(judged("base", "good", None, "q1"))
    (found,) = comparisons(rows)
    (pair,) = WinRates("base").rate(found)[0].about.differences.pairs
    assert (pair.a, pair.b, pair.failed) == ("poor", "good", (0, 1))
    assert pair.interval.clusters == 23
    assert pair.worst[0] < pair.worst[1]
