import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.battles import Disconnected, compress
from evalkit.stats.bradley_terry import ELO_PER_LOGIT, bradley_terry, loss_derivatives, pair_totals
from evalkit.stats.errors import NotConverged, NotMeasurable
from evalkit.stats.win_rate import average_win_rate
from tests.shared_data import shared_data

# Wins of A, B, C, D over each other: the worked example of Wikipedia's article on the model.
TEXTBOOK = np.array([[0, 2, 0, 1], [3, 0, 5, 0], [0, 3, 0, 1], [4, 0, 3, 0]])


def from_wins(wins):
    a, b = np.nonzero(wins)
    repeat = wins[a, b]
    return np.repeat(a, repeat), np.repeat(b, repeat), np.ones(repeat.sum())


def random_battles(seed=0, n=600, models=5, questions=30, tie=0.2):
    rng = np.random.default_rng(seed)
    strength = np.linspace(-1, 1, models)
    a = rng.integers(models, size=n)
    b = (a + rng.integers(1, models, size=n)) % models
    question = rng.integers(questions, size=n)
    shift = rng.normal(size=(questions, models))  # models differ by question: battles of one are correlated
    gap = strength[a] - strength[b] + shift[question, a] - shift[question, b]
    outcome = (rng.random(n) < 1 / (1 + np.exp(-gap))).astype(float)
    outcome[rng.random(n) < tie] = 0.5
    return a, b, outcome, question


def test_textbook():
    fit = bradley_terry(compress(*from_wins(TEXTBOOK), models=4))
    assert np.exp(fit.ratings) == pytest.approx([0.63983, 1.04331, 0.65981, 2.27038], abs=1e-5)
    assert fit.n == 22


def mtbench(file, keep=lambda row: True):
    rows = [json.loads(line) for line in shared_data("mtbench_votes", file).read_text().splitlines()]
    rows = [row for row in rows if keep(row)]
    names = sorted({row["model_a"] for row in rows} | {row["model_b"] for row in rows})
    score = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (inconsistent)": 0.5}
    a, b = (np.array([names.index(row[side]) for row in rows]) for side in ("model_a", "model_b"))
    outcome = np.array([score[row["winner"]] for row in rows])
    return a, b, outcome, np.array([row["question_id"] - 81 for row in rows])


@pytest.mark.parametrize(
    ("file", "judges", "logits", "robust", "clustered"),
    [
        ("human.jsonl", "expert", [-0.751, 0.624, 0.609, 1.028, -1.426, -0.084], 0.080, 0.133),
        ("gpt4_pair.jsonl", "gpt4", [-1.230, 0.989, 0.526, 1.810, -1.925, -0.171], 0.081, 0.148),
    ],
)
def test_mtbench_votes(file, judges, logits, robust, clustered):
    a, b, outcome, question = mtbench(file, lambda row: row["judge"].startswith(judges))
    fit = bradley_terry(compress(a, b, outcome, models=6, clusters=question))
    assert fit.ratings == pytest.approx(logits, abs=6e-4)
    gap = fit.difference(1, 2)  # claude-v1, gpt-3.5-turbo
    assert gap.standard_error == pytest.approx(clustered, abs=1.5e-3)
    v = fit.covariance_unclustered
    assert np.sqrt(v[1, 1] + v[2, 2] - 2 * v[1, 2]) == pytest.approx(robust, abs=5e-4)
    assert gap.clusters == 80


def llmfao():
    with shared_data("llmfao", "llmfao.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    with shared_data("llmfao", "llmfao-golden.csv").open() as lines:
        golden = list(csv.DictReader(lines))
    names = sorted({row["left"] for row in rows} | {row["right"] for row in rows})
    score = {"left": 1.0, "right": 0.0, "tie": 0.5}
    a, b = (np.array([names.index(row[side]) for row in rows]) for side in ("left", "right"))
    outcome = np.array([score[row["winner"]] for row in rows])

    def scores(algorithm):
        found = {row["item"]: float(row["score"]) for row in golden if row["algorithm"] == algorithm}
        return np.array([found[name] for name in names])

    return a, b, outcome, scores


def test_llmfao_golden():
    a, b, outcome, scores = llmfao()
    strength = np.exp(bradley_terry(compress(a, b, outcome, models=59)).ratings)
    # The golden solver stops at an absolute change of 1e-6 of scores that are about 1/59.
    assert strength / strength.sum() == pytest.approx(scores("bradley_terry"), rel=2e-3)
    battles = compress(a, b, outcome, models=59)
    assert average_win_rate(battles) == pytest.approx(scores("average_win_rate"), rel=1e-12)


@given(st.permutations(range(5)), st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_names_and_order_do_not_matter(names, seed):
    a, b, y, q = random_battles(seed % 50)
    fit = bradley_terry(compress(a, b, y, models=5, clusters=q))
    new = np.array(names)
    order = np.random.default_rng(seed).permutation(y.size)
    swapped = np.random.default_rng(seed + 1).random(y.size) < 0.5
    a2, b2, y2 = np.where(swapped, b, a), np.where(swapped, a, b), np.where(swapped, 1 - y, y)
    other = bradley_terry(compress(new[a2][order], new[b2][order], y2[order], models=5, clusters=q[order]))
    assert other.ratings[new] == pytest.approx(fit.ratings, abs=1e-8)
    assert other.covariance[np.ix_(new, new)] == pytest.approx(fit.covariance, abs=1e-10)


@given(st.floats(0.1, 50))
@settings(max_examples=15, deadline=None)
def test_scaling_weights_changes_nothing(scale):
    a, b, y, q = random_battles(3)
    plain = bradley_terry(compress(a, b, y, models=5, clusters=q))
    scaled = bradley_terry(compress(a, b, y, models=5, clusters=q, weights=np.full(y.size, scale)))
    assert scaled.ratings == pytest.approx(plain.ratings, abs=1e-8)
    assert scaled.covariance == pytest.approx(plain.covariance, rel=1e-6, abs=1e-12)
    assert scaled.covariance_unclustered == pytest.approx(plain.covariance_unclustered, rel=1e-6, abs=1e-12)


def test_whole_weights_are_copies():
    a, b, y, q = random_battles(4, n=300)
    weights = np.random.default_rng(0).integers(1, 4, 300)
    copied = [np.repeat(x, weights) for x in (a, b, y, q)]
    weighted = bradley_terry(compress(a, b, y, models=5, clusters=q, weights=weights.astype(float)))
    plain = bradley_terry(compress(*copied[:3], models=5, clusters=copied[3]))
    assert weighted.ratings == pytest.approx(plain.ratings, abs=1e-9)
    assert weighted.covariance == pytest.approx(plain.covariance, abs=1e-10)


def test_soft_outcomes():
    a, b, y, _ = random_battles(5)
    soft = np.random.default_rng(0).random(y.size)
    fit = bradley_terry(compress(a, b, soft, models=5))
    expected = 1 / (1 + np.exp(fit.ratings[b] - fit.ratings[a]))
    for model in range(5):  # the score equations: wins equal expected wins
        sign = (a == model) * 1.0 - (b == model)
        assert sign @ (soft - expected) == pytest.approx(0, abs=1e-8)


def test_gradient_and_hessian_by_finite_differences():
    a, b, y, _ = random_battles(6)
    battles = compress(a, b, y, models=5)
    pairs, x = pair_totals(battles), np.array([0.3, -0.2, 0.9, 0.1, -1.1])

    def loss(ratings):
        d = ratings[battles.a] - ratings[battles.b]
        return battles.mass @ (np.logaddexp(0, d) - battles.outcome * d) + 0.35 * ratings @ ratings

    gradient, hessian = loss_derivatives(pairs, x, 0.7)
    anchor = hessian.sum() / 25 - 0.7 / 5
    step = 1e-5 * np.eye(5)
    slope = [(loss(x + e) - loss(x - e)) / 2e-5 for e in step]
    assert gradient == pytest.approx(slope, rel=1e-6)
    bend = [(loss_derivatives(pairs, x + e, 0.7)[0] - loss_derivatives(pairs, x - e, 0.7)[0]) / 2e-5 for e in step]
    assert hessian - anchor == pytest.approx(np.array(bend), rel=1e-5, abs=1e-5)


def test_ridge_shrinks_and_is_flagged():
    a, b, y, q = random_battles(7)
    battles = compress(a, b, y, models=5, clusters=q)
    plain, shrunk = bradley_terry(battles), bradley_terry(battles, ridge=50.0)
    assert (plain.ridge, shrunk.ridge) == (0, 50)
    assert np.abs(shrunk.ratings).max() < np.abs(plain.ratings).max()


def test_unbeaten_model_raises_and_is_named():
    battles = compress(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 1]), np.ones(4), models=4)
    with pytest.raises(Disconnected, match=r"3 groups.*unbeaten \[0\].*without battles \[3\].*ridge=") as caught:
        bradley_terry(battles)
    assert caught.value.components == ((1, 2), (0,), (3,))
    assert (caught.value.unbeaten, caught.value.winless, caught.value.idle) == ((0,), (), (3,))
    assert np.isfinite(bradley_terry(battles, ridge=0.1).ratings).all()


def test_two_islands_raise():
    with pytest.raises(Disconnected) as caught:
        bradley_terry(compress(np.array([0, 2]), np.array([1, 3]), np.full(2, 0.5), models=4))
    assert caught.value.components == ((0, 1), (2, 3))
    assert caught.value.unbeaten == caught.value.winless == ()


def test_a_tie_connects_both_ways():
    fit = bradley_terry(compress(np.array([0, 0]), np.array([1, 1]), np.array([1, 0.5]), models=2))
    assert fit.ratings[0] - fit.ratings[1] == pytest.approx(np.log(3))


def test_not_converged_raises():
    a, b, y, _ = random_battles(8)
    with pytest.raises(NotConverged, match=r"after 1 iterations") as caught:
        bradley_terry(compress(a, b, y, models=5), max_iterations=1)
    assert caught.value.residual > caught.value.tolerance


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": np.array([1.0, 2.0])}, "between 0"),
        ({"outcome": np.array([1.0, np.nan])}, "finite"),
        ({"a": np.array([0, 1])}, "itself"),
        ({"a": np.array([0, 5])}, "below 3"),
        ({"a": np.array([0, -1])}, "negative"),
        ({"a": np.array([0.0, 1.0])}, "integers"),
        ({"clusters": np.array([0])}, "length 2"),
        ({"weights": np.array([1.0, 0.0])}, "positive"),
    ],
)
def test_bad_battles_raise(change, words):
    good = {"a": np.array([0, 2]), "b": np.array([1, 1]), "outcome": np.array([1.0, 0.0]), "models": 3}
    with pytest.raises(ValueError, match=words):
        compress(**(good | change))


def test_no_battles_are_not_measurable():
    empty = np.array([], dtype=int)
    with pytest.raises(NotMeasurable, match="one battle"):
        compress(empty, empty, np.array([]), models=2)


def test_compress_counts_cells():
    battles = compress(np.array([0, 1, 0]), np.array([1, 0, 1]), np.array([1.0, 0.0, 0.5]), models=2)
    assert battles.count.tolist() == [1, 2]
    assert battles.outcome.tolist() == [0.5, 1.0]
    sparse = compress(np.array([0, 9_000]), np.array([9_001, 1]), np.array([0.2, 0.9]), models=10_000)
    assert sparse.count.tolist() == [1, 1]
    assert sparse.a.tolist() == [0, 1]
    assert sparse.outcome == pytest.approx([0.2, 0.1])


def test_one_question_gives_no_interval():
    fit = bradley_terry(compress(*from_wins(TEXTBOOK), models=4, clusters=np.zeros(22, dtype=int)))
    assert fit.covariance is None
    assert fit.difference(0, 1).lower is None


def test_elo_scale():
    fit = bradley_terry(compress(np.array([0, 0, 0]), np.array([1, 1, 1]), np.array([1.0, 1.0, 0.0]), models=2))
    assert fit.elo() == pytest.approx([1000 + ELO_PER_LOGIT * np.log(2) / 2, 1000 - ELO_PER_LOGIT * np.log(2) / 2])


@pytest.mark.slow
@pytest.mark.parametrize("runs", [250, pytest.param(4000, marks=pytest.mark.slow)])
def test_coverage_with_clustered_questions(runs):
    """The clustered interval holds the true gap in 93-97% of samples; the unclustered one does not."""
    rng = np.random.default_rng(11)
    questions, per_question = 60, 8
    q = np.repeat(np.arange(questions), per_question)
    a, b = np.tile([0, 0, 1, 0, 0, 1, 0, 1], questions), np.tile([1, 2, 2, 1, 2, 2, 1, 2], questions)
    strength = np.array([0.5, 0.0, -0.5])
    big = np.array([strength[i] for i in range(3)]) + rng.normal(size=(400_000, 3))

    def chance(shift, i, j):
        return 1 / (1 + np.exp(shift[:, j] - shift[:, i]))

    ends = ((0, 1), (0, 2), (1, 2))
    share = [chance(big, i, j).mean() for i, j in ends]  # the limit of the fit: its pseudo-true ratings
    many = compress(
        np.array([0, 0, 1]), np.array([1, 2, 2]), np.array(share), models=3, weights=np.array([3.0, 2.0, 3.0])
    )
    truth = bradley_terry(many).ratings
    hits = {"clustered": 0, "unclustered": 0}
    for _ in range(runs):
        shift = strength + rng.normal(size=(questions, 3))
        y = (rng.random(q.size) < 1 / (1 + np.exp(shift[q, b] - shift[q, a]))).astype(float)
        clustered = bradley_terry(compress(a, b, y, models=3, clusters=q)).difference(0, 2)
        plain = bradley_terry(compress(a, b, y, models=3)).difference(0, 2)
        hits["clustered"] += clustered.lower <= truth[0] - truth[2] <= clustered.upper
        hits["unclustered"] += plain.lower <= truth[0] - truth[2] <= plain.upper
    assert 0.93 <= hits["clustered"] / runs <= 0.97
    assert hits["unclustered"] / runs < 0.92
