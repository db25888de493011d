import json
from collections import defaultdict
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.label_budget import cheapest_split, classical_labels, effective_labels, labels_for
from evalkit.stats.ppi import post_stratified_mean, ppi_mean
from tests.shared_data import shared_data

UNIT = (0.0, 1.0)
SHARES = hnp.arrays(np.float64, st.integers(2, 30), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def draw(rng, n, rest, *, rate=0.5, right=0.6, per_question=1):
    """Votes and a biased judge: right with this probability, otherwise it says 1 seven times of ten."""
    total = n + rest
    if per_question == 1:
        y = rng.random(total) < rate
        question = np.arange(total)
    else:  # questions differ in difficulty, with mean `rate`
        hard = rng.beta(1, 1 / rate - 1, size=total // per_question)
        y = rng.random(total) < np.repeat(hard, per_question)
        question = np.repeat(np.arange(total // per_question), per_question)
    f = np.where(rng.random(total) < right, y, rng.random(total) < 0.7)
    order = rng.permutation(total)
    y, f, question = y[order].astype(float), f[order].astype(float), question[order]
    return y[:n], f[:n], f[n:], {"clusters": question[:n], "unlabelled_clusters": question[n:]}


def coverage(estimators, repeats, rate, clustered, **design):
    rng = np.random.default_rng(0)
    hits = np.zeros(len(estimators))
    for _ in range(repeats):
        y, f, rest, clusters = draw(rng, rate=rate, **design)
        for i, estimator in enumerate(estimators):
            got = estimator(y, f, rest, limits=UNIT, **(clusters if clustered else {})).interval
            hits[i] += got.lower <= rate <= got.upper
    return hits / repeats


def figures(interval):
    """What is compared up to the last digits, which differ between processors."""
    return astuple(interval)


def plain(*args, **kwargs):
    return ppi_mean(*args, power=1, **kwargs)


def classical(*args, **kwargs):
    return ppi_mean(*args, power=0, **kwargs)


ALL = (ppi_mean, post_stratified_mean, plain, classical)


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        {"n": 100, "rest": 900, "rate": 0.5, "right": 0.6},
        {"n": 100, "rest": 900, "rate": 0.3, "right": 0.9},
        {"n": 40, "rest": 400, "rate": 0.5, "right": 0.6},
        {"n": 40, "rest": 400, "rate": 0.4, "right": 0.7, "per_question": 10},
        {"n": 200, "rest": 800, "rate": 0.4, "right": 0.5, "per_question": 20},
    ],
)
def test_coverage(design):
    got = coverage(ALL, 400, clustered=True, **design)
    assert ((got >= 0.90) & (got <= 0.975)).all(), got


@pytest.mark.slow
@pytest.mark.parametrize(("n", "per_question"), [(30, 1), (100, 1), (100, 5), (300, 20)])
def test_coverage_at_length(n, per_question):
    """Over nine designs, each by itself and then all together, which tells coverage to a quarter of a point."""
    design = {"clustered": True, "n": n, "rest": 900 - n, "per_question": per_question}
    got = np.array(
        [coverage(ALL, 700, rate=rate, right=right, **design) for rate in (0.2, 0.5, 0.8) for right in (0.0, 0.5, 0.9)]
    )
    assert ((got >= 0.90) & (got <= (0.975 if n > 30 else 0.997))).all(), got  # 30 labels: the rule of three counts
    pooled = got.mean(axis=0)
    assert ((pooled >= 0.935) & (pooled <= (0.96 if n > 30 else 0.975))).all(), pooled


@pytest.mark.slow
def test_rows_of_a_question_are_not_independent():
    got = coverage(ALL, 300, rate=0.4, clustered=False, n=200, rest=800, right=0.5, per_question=20)
    assert got.max() < 0.9  # what the clusters above are for


def test_ten_labels_that_agree_are_no_certainty():
    """Rule of three: a judge wrong one time in seven agrees on all of ten labels one time in five."""
    rng = np.random.default_rng(1)
    rest = (rng.random(1000) < 0.8).astype(float)
    labels = np.array([1.0] * 8 + [0.0] * 2)
    got = ppi_mean(labels, labels, rest, limits=UNIT).interval
    assert got.estimate - got.lower > 0.25
    assert ppi_mean(labels, labels, rest, power=1).interval.standard_error < 0.02  # the textbook's
    hits = coverage([ppi_mean], 400, rate=0.8, clustered=False, n=20, rest=300, right=0.9)
    assert hits[0] >= 0.93


def test_better_than_either_alone():
    y, f, rest, _ = draw(np.random.default_rng(2), 300, 3000, right=0.8)
    got = ppi_mean(y, f, rest)
    one, zero = plain(y, f, rest), classical(y, f, rest)
    assert got.interval.standard_error < min(one.interval.standard_error, zero.interval.standard_error)
    assert got.effective == pytest.approx(effective_labels(300, 3000, got.correlation), rel=0.1)
    assert got.power == pytest.approx(got.correlation * y.std() / f.std() * 3000 / 3300, rel=0.05)
    assert zero.effective == pytest.approx(300)
    assert abs(got.naive - 0.5) > 0.02
    assert abs(got.interval.estimate - 0.5) < 0.05


def test_post_stratified_is_much_the_same():
    y, f, rest, clusters = draw(np.random.default_rng(3), 300, 3000, right=0.7, per_question=5)
    one = ppi_mean(y, f, rest, **clusters).interval
    other = post_stratified_mean(y, f, rest, **clusters).interval
    assert other.estimate == pytest.approx(one.estimate, abs=0.005)
    assert other.standard_error == pytest.approx(one.standard_error, rel=0.03)


def test_delta_variance_of_the_post_stratified_mean():
    """(1-p)^2 s0^2/m0 + p^2 s1^2/m1 + (mu1-mu0)^2 p(1-p)/N."""
    y, f, rest, _ = draw(np.random.default_rng(4), 200, 1800, rate=0.4, right=0.6)
    got = post_stratified_mean(y, f, rest).interval
    p = np.concatenate([f, rest]).mean()
    y0, y1 = y[f == 0], y[f == 1]
    variance = (1 - p) ** 2 * y0.var(ddof=1) / y0.size + p**2 * y1.var(ddof=1) / y1.size
    variance += (y1.mean() - y0.mean()) ** 2 * p * (1 - p) / 2000
    assert got.estimate == pytest.approx((1 - p) * y0.mean() + p * y1.mean())
    assert got.standard_error == pytest.approx(variance**0.5, rel=0.01)


def test_post_stratified_joins_thin_strata():
    judge = np.repeat([0.0, 0.25, 0.5, 1.0], [6, 3, 1, 10])
    labels = np.r_[np.zeros(6), [0, 1, 1], [1], np.ones(8), 0, 0]
    rest = np.repeat([0.0, 0.25, 0.5, 0.75, 1.0], 20)
    got = post_stratified_mean(labels, judge, rest).interval
    share = np.array([26, 94]) / 120  # 0 | .25 .5 .75 1: too few labels between
    assert got.estimate == pytest.approx(share @ [0, 11 / 14])
    alone = post_stratified_mean(labels[:3], judge[:3], rest).interval
    assert alone.estimate == 0


def test_power_0_is_the_mean_of_the_labels():
    rng = np.random.default_rng(5)
    y, f, rest = rng.normal(size=30), rng.normal(size=30), rng.normal(size=100)
    got = ppi_mean(y, f, rest, power=0)
    half = 2.0452296421327034 * y.std(ddof=1) / 30**0.5  # t, 29 degrees of freedom
    assert figures(got.interval) == pytest.approx(figures(got.classical))
    assert (got.interval.lower, got.interval.upper) == pytest.approx((y.mean() - half, y.mean() + half))
    assert figures(ppi_mean(y, f, np.zeros(0), power=0).interval) == pytest.approx(figures(got.interval))
    assert (got.interval.n, got.interval.clusters, got.labelled, got.unlabelled) == (30, 30, 30, 100)


def test_power_1_is_plain_ppi():
    rng = np.random.default_rng(6)
    y, f, rest = rng.normal(size=300), rng.normal(size=300), rng.normal(size=700)
    got = ppi_mean(y, f, rest, power=1).interval
    error = ((y - f).var(ddof=1) / 300 + rest.var(ddof=1) / 700) ** 0.5
    assert got.estimate == pytest.approx(rest.mean() + (y - f).mean())
    assert got.standard_error == pytest.approx(error)
    assert got.upper - got.lower == pytest.approx(2 * 1.96 * error, rel=0.01)


def test_a_judge_of_no_use_is_not_believed():
    rng = np.random.default_rng(7)
    y, rest = rng.normal(size=2000), rng.normal(size=4000)
    assert ppi_mean(y, rng.normal(size=2000), rest).power < 0.05
    against = ppi_mean(y, -y, rest)
    assert (against.power, against.correlation) == (0, pytest.approx(-1))
    limits = [(one.estimate, one.lower, one.upper) for one in (against.interval, against.classical)]
    assert limits[0] == pytest.approx(limits[1])
    constant = ppi_mean(y, np.ones(2000), np.ones(50))
    assert (constant.power, constant.correlation, constant.effective) == (0, None, pytest.approx(2000))


def test_clusters_shared_by_labelled_and_other_rows():
    """Question difficulty that judge and people share cancels in F_labelled - F_rest of the same questions."""
    rng = np.random.default_rng(8)
    hard = np.repeat(rng.normal(size=200), 2)
    y, f = hard + 0.1 * rng.normal(size=400), hard + 0.1 * rng.normal(size=400)
    odd = np.arange(400) % 2 == 1
    question = np.arange(400) // 2
    shared = ppi_mean(y[odd], f[odd], f[~odd], power=1, clusters=question[odd], unlabelled_clusters=question[~odd])
    blind = ppi_mean(y[odd], f[odd], f[~odd], power=1)
    assert shared.interval.standard_error == pytest.approx(blind.interval.standard_error, rel=0.1)
    fitted = ppi_mean(y[odd], f[odd], f[~odd], clusters=question[odd], unlabelled_clusters=question[~odd])
    assert fitted.interval.standard_error == pytest.approx(fitted.classical.standard_error, rel=0.1)


def test_repeating_every_row_of_a_question_changes_nothing_but_n():
    y, f, rest, _ = draw(np.random.default_rng(9), 60, 240, right=0.8)
    ids = {"clusters": np.arange(60), "unlabelled_clusters": 60 + np.arange(240)}
    twice = {"clusters": np.arange(60).repeat(3), "unlabelled_clusters": 60 + np.arange(240).repeat(3)}
    one = ppi_mean(y, f, rest, **ids).interval
    three = ppi_mean(y.repeat(3), f.repeat(3), rest.repeat(3), **twice).interval
    for name in ("estimate", "lower", "upper", "standard_error"):
        assert getattr(three, name) == pytest.approx(getattr(one, name)), name
    assert (three.n, three.clusters) == (180, 60)


@settings(max_examples=60, deadline=None)
@given(SHARES, st.data())
def test_properties(labels, data):
    n = labels.size
    judge = data.draw(hnp.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.5, 1.0])))
    rest = data.draw(hnp.arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([0.0, 0.5, 1.0])))
    for estimator in ALL:
        got = estimator(labels, judge, rest, limits=UNIT).interval
        mirrored = estimator(1 - labels, 1 - judge, 1 - rest, limits=UNIT).interval
        assert 0 <= got.lower <= got.upper <= 1
        assert got.upper - got.lower > 0
        assert got.standard_error > 0
        if estimator is not post_stratified_mean:  # joins strata from below
            assert (1 - mirrored.upper, 1 - mirrored.lower) == pytest.approx((got.lower, got.upper))
            assert got.estimate + mirrored.estimate == pytest.approx(1)
    # on any scale, where there are no limits
    one, other = ppi_mean(labels, judge, rest), ppi_mean(10 * labels - 3, 10 * judge - 3, 10 * rest - 3)
    assert other.interval.estimate == pytest.approx(10 * one.interval.estimate - 3)
    assert other.interval.standard_error == pytest.approx(10 * one.interval.standard_error)


def test_one_question_has_no_interval():
    got = ppi_mean([1.0, 0.0], [1.0, 1.0], [0.0], clusters=[3, 3], unlabelled_clusters=[4])
    assert (got.interval.lower, got.interval.upper, got.interval.standard_error) == (None, None, None)
    assert got.effective is None
    assert got.power == 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": [], "judge": []}, NotMeasurable, "needs rows with a human label"),
        ({"unlabelled": []}, NotMeasurable, "needs judged rows without a human label"),
        ({"judge": [1.0]}, ValueError, "same length"),
        ({"labels": [np.nan, 1.0]}, ValueError, "finite"),
        ({"labels": [0.0, 2.0], "limits": UNIT}, ValueError, "between 0 and 1 but reach 0 to 2"),
        ({"clusters": [0, 1]}, ValueError, "for neither"),
        ({"level": 1.0}, ValueError, "level"),
    ],
)
def test_raises(change, error, words):
    good = {"labels": [0.0, 1.0], "judge": [0.0, 1.0], "unlabelled": [1.0]}
    for estimator in (ppi_mean, post_stratified_mean):
        with pytest.raises(error, match=words):
            estimator(**good | change)


def test_power_out_of_range():
    with pytest.raises(ValueError, match=r"power must be between 0 and 1 but is 1\.5"):
        ppi_mean([0.0], [0.0], [0.0], power=1.5)


def test_label_budget():
    assert effective_labels(100, 900, 0.5) == pytest.approx(129.032258)
    assert effective_labels(100, 900, 0) == effective_labels(100, 900, -0.9) == 100
    assert effective_labels(100, 900, 1) == 1000
    assert np.ceil(classical_labels(0.05)) == 385
    assert classical_labels(0.05, level=0.9) == pytest.approx(270.55, abs=0.01)
    with pytest.raises(ValueError, match="half_width"):
        classical_labels(0)


@pytest.mark.parametrize(("rho", "saved"), [(0.5, 0.25), (0.7, 0.49), (0.9, 0.81)])
def test_saving_in_the_limit(rho, saved):
    assert 100 / effective_labels(100, 1e9, rho) == pytest.approx(1 - saved, abs=1e-4)


@given(st.integers(2, 500), st.integers(1, 20_000), st.floats(-1, 1), st.floats(1, 4))
def test_labels_for(n, rest, rho, shrink):
    more = labels_for(n, rest, rho, shrink=shrink)
    wanted = shrink**2 * effective_labels(n, rest, rho)
    if more is None:
        assert wanted > n + rest
        return
    assert more <= rest
    assert effective_labels(n + more, rest - more, rho) >= wanted * (1 - 1e-6)
    if more:
        assert effective_labels(n + more - 1, rest - more + 1, rho) <= wanted * (1 + 1e-6)


def test_labels_to_halve_without_a_judge():
    assert labels_for(100, 900, 0) == 300
    assert labels_for(100, 200, 0) is None


@given(st.floats(10, 1e4), st.floats(0, 1), st.floats(1e-4, 1))
def test_cheapest_split(classical_n, rho, ratio):
    n, rest = cheapest_split(classical_n, rho, ratio)
    cost = n + ratio * (n + rest)
    if rest == 0:
        assert n == classical_n
    elif n > 0:
        assert effective_labels(n, rest, rho) == pytest.approx(classical_n, rel=1e-4)
        for other in (0.9 * n, 1.1 * n):  # no other split of this precision is cheaper
            left = other - (1 - rho**2) * classical_n
            if left > 0 and other <= classical_n:
                total = rho**2 * classical_n * other / left
                assert other + ratio * total >= cost * (1 - 1e-6)


def test_cheapest_split_where_the_judge_does_not_pay():
    assert cheapest_split(385, 0.1, 1) == (385, 0)
    assert cheapest_split(385, 0.7, 0.001)[0] == pytest.approx(385 * (0.51 + (0.001 * 0.49 * 0.51) ** 0.5))
    assert cheapest_split(385, 1, 0.01) == (0, 385)
    with pytest.raises(ValueError, match="cost_ratio"):
        cheapest_split(385, 0.5, 0)


def mt_bench(model):
    """Each pair that an expert voted on: the first vote, and GPT-4's verdict; outcomes of the model."""

    def outcome(row):
        return {"model_a": 1.0, "model_b": 0.0}.get(row["winner"], 0.5) * (1 if row["model_a"] == model else -1) + (
            0 if row["model_a"] == model else 1
        )

    def rows(name):
        lines = shared_data("mtbench_votes", name).read_text().splitlines()
        for row in map(json.loads, lines):
            if model in (row["model_a"], row["model_b"]):
                yield (row["question_id"], row["turn"], *sorted((row["model_a"], row["model_b"]))), row

    judge = {key: outcome(row) for key, row in rows("gpt4_pair.jsonl")}
    votes = defaultdict(list)
    for key, row in rows("human.jsonl"):
        if row["judge"].startswith("expert"):
            votes[key].append(outcome(row))
    keys = [key for key in votes if key in judge]
    return np.array([votes[key][0] for key in keys]), np.array([judge[key] for key in keys])


@pytest.mark.parametrize(
    ("model", "widths", "correlation", "off"),
    [
        ("gpt-4", (0.126, 0.144, 0.122), 0.26, 0.126),
        ("claude-v1", (0.132, 0.147, 0.120), 0.44, 0.024),
        ("gpt-3.5-turbo", (0.134, 0.152, 0.122), 0.46, -0.030),
        ("vicuna-13b-v1.2", (0.142, 0.149, 0.124), 0.53, -0.024),
    ],
)
def test_mt_bench_experts_and_gpt_4(model, widths, correlation, off):
    """100 of some 530 pairs labelled, 90% intervals; plain PPI is worse than no judge at all."""
    y, f = mt_bench(model)
    assert 525 <= y.size <= 580
    assert np.corrcoef(y, f)[0, 1] == pytest.approx(correlation, abs=0.02)
    assert f.mean() - y.mean() == pytest.approx(off, abs=0.002)
    rng = np.random.default_rng(0)
    got, hits = np.zeros((60, 3)), np.zeros((60, 3))
    for i in range(60):
        order = rng.permutation(y.size)
        known, rest = order[:100], order[100:]
        for j, estimator in enumerate((classical, plain, ppi_mean)):
            interval = estimator(y[known], f[known], f[rest], limits=UNIT, level=0.9).interval
            got[i, j] = interval.upper - interval.lower
            hits[i, j] = interval.lower <= y.mean() <= interval.upper
    assert got.mean(axis=0) == pytest.approx(widths, abs=0.004)
    assert (hits.mean(axis=0) >= 0.85).all()
