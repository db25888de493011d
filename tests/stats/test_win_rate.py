import json

import numpy as np
import pytest

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.win_rate import win_rate
from tests.shared_data import shared_data

JUDGE = "weighted_alpaca_eval_gpt4_turbo"
PUBLISHED = (
    "win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate",
)  # fmt: skip


def test_nine_published_models():
    expected = json.loads(shared_data("alpacaeval", "expected.json").read_text())
    assert len(expected) == 9
    for model, numbers in expected.items():
        rows = json.loads(shared_data("alpacaeval", JUDGE, model, "annotations.json").read_text())
        got = win_rate([row["preference"] for row in rows], convention="alpaca_eval")
        for name in PUBLISHED:
            assert getattr(got, name) == pytest.approx(numbers["published"][name], rel=1e-8), (model, name)
        assert got.n_failed == len(rows) - numbers["published"]["n_total"]
        assert got.interval.estimate == pytest.approx(got.win_rate)
        assert got.interval.standard_error == pytest.approx(got.standard_error)  # one row a question


def test_unit_convention_and_failures():
    got = win_rate([1.0, None, 0.5, 0.0, 0.9])
    assert (got.n_wins, got.n_wins_base, got.n_draws, got.n_total, got.n_failed) == (2, 1, 1, 4, 1)
    assert got.win_rate == pytest.approx(60)
    assert got.discrete_win_rate == pytest.approx(62.5)


def test_legacy_draw_of_alpaca_eval():
    got = win_rate([0.0, 2.0], convention="alpaca_eval")
    assert (got.win_rate, got.n_draws) == (75, 1)


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(0)
    p = np.repeat(rng.random(50) > 0.5, 4).astype(float)
    rows = win_rate(p)
    questions = win_rate(p, clusters=np.repeat(np.arange(50), 4))
    assert questions.interval.standard_error == pytest.approx(2 * rows.interval.standard_error, rel=0.03)
    assert questions.standard_error == pytest.approx(questions.interval.standard_error)  # repeats do not narrow it


def test_the_limits_of_a_model_that_won_throughout_come_from_the_questions():
    ten = win_rate([1.0] * 10)
    assert 75 < ten.interval.lower < 85
    assert ten.interval.upper == 100
    assert ten.interval.standard_error > 4
    copies = win_rate([1.0] * 40, clusters=np.repeat(np.arange(10), 4))
    assert copies.interval.lower == pytest.approx(ten.interval.lower)


def test_one_row_has_no_error():
    assert win_rate([1.0]).standard_error is None


def test_raises():
    with pytest.raises(NotMeasurable, match="judged row"):
        win_rate([None, None])
    with pytest.raises(ValueError, match="finite"):
        win_rate([0.5, float("nan")])
    with pytest.raises(ValueError, match=r"between 1 and 2 but has 0\.5"):
        win_rate([0.5], convention="alpaca_eval")
    with pytest.raises(ValueError, match=r"between 0 and 1 but has 1\.5"):
        win_rate([1.5])
    with pytest.raises(ValueError, match="clusters"):
        win_rate([1.0], clusters=np.array([0, 1]))
