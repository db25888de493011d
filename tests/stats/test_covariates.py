import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.battles import Disconnected, compress
from evalkit.stats.bradley_terry import bradley_terry
from evalkit.stats.covariates import _CovariateRows, _merged, rate_with_covariates
from evalkit.stats.errors import NotConverged, NotMeasurable
from tests.shared_data import shared_data


def simulated(seed=0, n=4000, questions=100, beta=(0.5, -0.3)):
    rng = np.random.default_rng(seed)
    strength = np.array([0.8, 0.1, -0.3, -0.6])
    a = rng.integers(4, size=n)
    b = (a + rng.integers(1, 4, size=n)) % 4
    x = rng.normal(size=(n, len(beta))) + 0.3 * (strength[a] - strength[b])[:, None]
    gap = strength[a] - strength[b] + x @ np.array(beta)
    y = (rng.random(n) < 1 / (1 + np.exp(-gap))).astype(float)
    return a, b, y, x, rng.integers(questions, size=n)


def test_planted_coefficients_are_recovered():
    a, b, y, x, q = simulated(n=20_000)
    fit = rate_with_covariates(a, b, y, x, models=4, clusters=q)
    assert fit.coefficients == pytest.approx([0.5, -0.3], abs=0.05)
    assert fit.ratings == pytest.approx([0.8, 0.1, -0.3, -0.6], abs=0.08)
    for index, planted in enumerate((0.5, -0.3)):
        got = fit.coefficient(index)
        assert abs(got.estimate - planted) < 3 * got.standard_error
    assert fit.coefficient(0).standard_error == pytest.approx(fit.covariance_unclustered[4, 4] ** 0.5, rel=0.2)


def test_without_covariates_it_is_bradley_terry():
    a, b, y, _, q = simulated(n=500)
    fit = rate_with_covariates(a, b, y, np.empty((500, 0)), models=4, clusters=q)
    plain = bradley_terry(compress(a, b, y, models=4, clusters=q))
    assert fit.ratings == pytest.approx(plain.ratings, abs=1e-9)
    assert fit.covariance == pytest.approx(plain.covariance, abs=1e-10)
    assert fit.covariance_unclustered == pytest.approx(plain.covariance_unclustered, abs=1e-10)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_swapping_sides_changes_nothing(seed):
    a, b, y, x, q = simulated(n=400)
    fit = rate_with_covariates(a, b, y, x, models=4, clusters=q)
    swap = np.random.default_rng(seed).random(400) < 0.5
    other = rate_with_covariates(
        np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1 - y, y), np.where(swap[:, None], -x, x),
        models=4, clusters=q,
    )  # fmt: skip
    assert other.coefficients == pytest.approx(fit.coefficients, abs=1e-7)
    assert other.covariance == pytest.approx(fit.covariance, abs=1e-9)


def test_derivatives_by_finite_differences():
    a, b, y, x, _ = simulated(n=300)
    weights = np.random.default_rng(0).random(300) + 0.5
    rows = _CovariateRows(a, b, y, x, weights, 4, 0.7, 0.2)
    point = np.array([0.2, -0.1, 0.4, 0.3, 0.5, -0.2])

    def loss(p):
        z = p[a] - p[b] + x @ p[4:]
        penalty = 0.1 * p[:4] @ p[:4] + 0.35 * p[4:] @ p[4:]
        return weights @ (np.logaddexp(0, z) - y * z) + penalty

    steps = 1e-5 * np.eye(6)
    gradient, hessian = rows.derivatives(point)
    assert gradient == pytest.approx([(loss(point + e) - loss(point - e)) / 2e-5 for e in steps], rel=1e-5)
    bend = [(rows.derivatives(point + e)[0] - rows.derivatives(point - e)[0]) / 2e-5 for e in steps]
    hessian[:4, :4] -= hessian[:4, :4].sum() / 16 - 0.2 / 4  # the anchor
    assert hessian == pytest.approx(np.array(bend), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("judge", "gamma"), [("gpt4", 0.710), ("claude", -0.687)])
def test_position_effect_of_real_judges(judge, gamma):
    names = ["gpt4", "claude", "vicuna-13b", "gpt35", "bard"]
    rows = []
    for path in sorted(shared_data("prd_vicuna80", f"ratings-{judge}").glob("*.jsonl")):
        pair = path.name.split(f"-{judge}-reviewer")[0].removeprefix("answer_").split("-vs-answer_")
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows.append((*map(names.index, pair), {1: 1.0, 2: 0.0, 3: 0.5}[row["score"]], row["question_id"] - 1))
    a, b, y, q = (np.array(column) for column in zip(*rows, strict=True))
    fit = rate_with_covariates(a, b, y, np.ones((y.size, 1)), models=5, clusters=q)
    assert fit.n == 1600
    assert fit.coefficient(0).estimate == pytest.approx(gamma, abs=2e-3)
    if judge == "gpt4":
        assert fit.ratings == pytest.approx([1.74, 0.92, -0.71, -0.74, -1.20], abs=0.012)
        assert fit.difference(0, 4).standard_error == pytest.approx(0.244, abs=3e-3)
        v = fit.covariance_unclustered
        assert np.sqrt(v[0, 0] + v[4, 4] - 2 * v[0, 4]) == pytest.approx(0.137, abs=1e-3)


@given(seed=st.integers(0, 1000), weighted=st.booleans(), columns=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_merging_equal_rows_changes_nothing(seed, weighted, columns):
    a, b, y, _, q = simulated(seed, n=600)
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(600) < 0.2, 0.5, y)
    x = rng.integers(-1, 2, size=(600, columns)).astype(float)
    weights = rng.integers(1, 4, size=600) / 2 if weighted else None
    rows = _CovariateRows(a, b, y, x, np.ones(600) if weights is None else weights, 4, 0.1, 0.0)
    merged, cell = _merged(rows)
    assert merged.a.size <= 12 * 3**columns
    assert merged.a[cell].tolist() == a.tolist()
    assert merged.weights.sum() == pytest.approx(rows.weights.sum())
    fit = rate_with_covariates(a, b, y, x, models=4, clusters=q, weights=weights, ridge=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evalkit.stats.covariates._merged", lambda rows: (rows, np.arange(rows.a.size)))
        alone = rate_with_covariates(a, b, y, x, models=4, clusters=q, weights=weights, ridge=0.1)
    for name in ("ratings", "coefficients", "covariance", "covariance_unclustered"):
        assert getattr(fit, name) == pytest.approx(getattr(alone, name), abs=1e-11)
    assert (fit.n, fit.clusters) == (alone.n, alone.clusters)


def test_rows_of_many_values_are_not_merged():
    a, b, y, x, _ = simulated(n=20_000)
    rows = _CovariateRows(a, b, y, x, np.ones(20_000), 4, 0.0, 0.0)
    assert _merged(rows)[0] is rows
    late = np.concatenate([np.zeros(15_000), x[15_000:, 0]])[:, None]  # where a first look sees few values
    assert _merged(_CovariateRows(a, b, y, late, np.ones(20_000), 4, 0.0, 0.0))[0].covariates is late


def test_what_cannot_be_measured_raises():
    a, b, y, x, _ = simulated(n=200)
    model_column = (a == 0).astype(float) - (b == 0)
    with pytest.raises(NotMeasurable, match="collinear"):
        rate_with_covariates(a, b, y, model_column[:, None], models=4)
    with pytest.raises(NotMeasurable, match="collinear"):
        rate_with_covariates(a, b, y, np.zeros((200, 1)), models=4)
    with pytest.raises(NotConverged):
        rate_with_covariates(a, b, y, (y - 0.5)[:, None], models=4)
    with pytest.raises(Disconnected):
        rate_with_covariates(np.array([0]), np.array([1]), np.ones(1), np.ones((1, 1)), models=2)
    with pytest.raises(ValueError, match="200 rows"):
        rate_with_covariates(a, b, y, x[:10], models=4)
