import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.rogan_gladen import adjusted_rate, allocate, calibrated_rate, effective_count, youden

README = {"specificity": 0.7, "negatives": 200, "sensitivity": 0.9, "positives": 200}
SHARE = st.floats(0, 1)


def test_published_example():
    """Lee et al. 2025, the README of their package."""
    got = adjusted_rate(0.4, 1000, **README)
    assert got.interval.estimate == pytest.approx(1 / 6)
    assert (got.interval.lower, got.interval.upper) == pytest.approx((0.05635, 0.26273), abs=5e-6)
    assert got.youden.estimate == pytest.approx(0.6)
    assert allocate(200, 0.4, specificity=0.7, sensitivity=0.9, pilot=10) == (136, 64)


def test_a_perfect_judge_is_taken_at_its_word():
    got = adjusted_rate(0.3, 1000, specificity=1, negatives=10_000, sensitivity=1, positives=10_000)
    assert got.interval.estimate == pytest.approx(0.3)
    assert got.interval.upper - got.interval.lower == pytest.approx(2 * 1.96 * (0.21 / 1000) ** 0.5, rel=0.02)


@pytest.mark.parametrize(("naive", "estimate"), [(0.0, 0), (1.0, 1), (0.05, 0)])
def test_rates_stay_between_0_and_1(naive, estimate):
    got = adjusted_rate(naive, 1000, **README).interval
    assert got.estimate == estimate
    assert 0 <= got.lower <= got.estimate <= got.upper <= 1


@pytest.mark.parametrize(
    ("specificity", "sensitivity", "m"), [(0.5, 0.5, 1000), (0.6, 0.7, 20), (0.65, 0.6, 300), (0.2, 0.3, 300)]
)
def test_refused_where_the_judge_is_hardly_better_than_chance(specificity, sensitivity, m):
    with pytest.raises(NotMeasurable, match=r"clearly better than chance: .* = .* lower 95% limit .* is below 0\.2"):
        adjusted_rate(0.4, 1000, specificity=specificity, negatives=m, sensitivity=sensitivity, positives=m)
    # as identifiable as the same judge with enough calibration rows, if it is better than that at all
    if specificity + sensitivity - 1 > 0.21:
        assert adjusted_rate(0.4, 1000, specificity=0.65, negatives=1e5, sensitivity=0.6, positives=1e5).interval.n


def test_the_threshold_can_be_waived():
    rates = {"specificity": 0.6, "negatives": 200, "sensitivity": 0.55, "positives": 200}
    got = adjusted_rate(0.45, 1000, **rates, least_youden=0).interval
    assert got.upper - got.lower > 0.7  # why one should not


def test_youden_limits():
    got = youden(0.7, 200, 0.9, 200)
    assert got.estimate == pytest.approx(0.6)
    assert (got.lower, got.upper) == pytest.approx((0.517, 0.668), abs=0.001)
    assert got.standard_error == pytest.approx((0.21 / 200 + 0.09 / 200) ** 0.5)
    certain = youden(1, 30, 1, 30)
    assert certain.lower < 0.9
    assert certain.upper == pytest.approx(1)


@given(SHARE, SHARE, SHARE, st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 5000))
def test_properties(naive, specificity, sensitivity, m0, m1, n):
    rates = {"specificity": specificity, "negatives": m0, "sensitivity": sensitivity, "positives": m1}
    if youden(**rates).lower < 0.2:
        with pytest.raises(NotMeasurable, match="needs a judge clearly better than chance"):
            adjusted_rate(naive, n, **rates)
        return
    got = adjusted_rate(naive, n, **rates)
    assert 0 <= got.interval.lower <= got.interval.estimate <= got.interval.upper <= 1
    swapped = adjusted_rate(1 - naive, n, specificity=sensitivity, negatives=m1, sensitivity=specificity, positives=m0)
    assert swapped.interval.estimate == pytest.approx(1 - got.interval.estimate, abs=1e-9)
    assert swapped.interval.lower == pytest.approx(1 - got.interval.upper, abs=1e-9)


@given(st.integers(20, 2000), SHARE, SHARE, SHARE, st.integers(1, 10))
def test_allocation_uses_every_label(labels, naive, specificity, sensitivity, pilot):
    m0, m1 = allocate(labels, naive, specificity=specificity, sensitivity=sensitivity, pilot=pilot)
    assert m0 + m1 == labels
    assert min(m0, m1) >= pilot


def test_allocation_is_about_optimal():
    m0, m1 = allocate(200, 0.4, specificity=0.7, sensitivity=0.9, pilot=50)

    def width(negatives):
        rates = README | {"negatives": negatives, "positives": 200 - negatives}
        interval = adjusted_rate(0.4, 10**6, **rates).interval
        return interval.standard_error

    assert m0 > m1
    assert width(m0) < width(100)
    assert width(m0) < 1.1 * min(width(m) for m in range(20, 190, 5))


def sample(rng, n, rate, *, per_question=1, specificity=0.8, sensitivity=0.85):
    """People and judge on n rows of questions that differ in difficulty; as many negatives as the rate makes."""
    questions = n // per_question
    hard = rng.beta(2 * rate, 2 * (1 - rate), size=questions) if per_question > 1 else np.full(questions, rate)
    truth = rng.random(n) < hard.repeat(per_question)
    judge = np.where(truth, rng.random(n) < sensitivity, rng.random(n) > specificity)
    return truth, judge, np.arange(questions).repeat(per_question)


def covered(repeats, rate, *, per_question, clustered=True, calibration=200, n=1000):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(repeats):
        truth, judge, question = sample(rng, calibration, rate, per_question=per_question)
        _, rest, rest_question = sample(rng, n, rate, per_question=per_question)
        clusters = {"clusters": question, "unlabelled_clusters": rest_question} if clustered else {}
        got = calibrated_rate(truth, judge, rest, **clusters, least_youden=-1).interval
        hits += got.lower <= rate <= got.upper
    return hits / repeats


@pytest.mark.parametrize(("rate", "per_question"), [(0.5, 1), (0.2, 1), (0.5, 10), (0.7, 5)])
def test_coverage(rate, per_question):
    assert 0.90 <= covered(400, rate, per_question=per_question) <= 0.985


def test_rows_of_a_question_are_not_independent():
    assert covered(300, 0.5, per_question=50, clustered=False) < 0.87


@pytest.mark.slow
@pytest.mark.parametrize(("per_question", "calibration"), [(1, 60), (1, 300), (5, 200), (10, 500)])
def test_coverage_at_length(per_question, calibration):
    """At each rate by itself, and at all three together, which tells coverage to half a point."""
    got = [covered(1000, rate, per_question=per_question, calibration=calibration) for rate in (0.15, 0.5, 0.8)]
    assert all(0.92 <= one <= 0.99 for one in got), got
    assert 0.935 <= sum(got) / 3 <= 0.98, got


def test_calibrated_from_rows():
    truth = np.array([True] * 50 + [False] * 50)
    judge = np.array([True] * 45 + [False] * 5 + [True] * 10 + [False] * 40)
    got = calibrated_rate(truth, judge, np.arange(200) < 100)
    assert (got.sensitivity, got.specificity, got.naive) == pytest.approx((0.9, 0.8, 0.5))
    assert (
        got.interval == adjusted_rate(0.5, 200, specificity=0.8, negatives=50, sensitivity=0.9, positives=50).interval
    )
    assert got.interval.estimate == pytest.approx(0.3 / 0.7)


def test_effective_count():
    rng = np.random.default_rng(1)
    values = (rng.random(200) < 0.5).astype(float)
    alone = np.arange(200)
    assert effective_count(values, alone) == pytest.approx(200)
    assert effective_count(values.repeat(5), alone.repeat(5)) == pytest.approx(200, rel=0.01)
    assert effective_count(values.repeat(5), np.arange(1000)) == pytest.approx(1000)
    assert effective_count(np.ones(40), np.arange(40) // 4) == 10  # nothing to go by: questions count
    assert effective_count(values, np.zeros(200, dtype=int)) == 1
    balanced = effective_count(np.tile([0.0, 1.0], 50), np.arange(100) // 2)
    assert balanced == 100  # never more than there are


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"n": 0}, NotMeasurable, "needs judged rows"),
        ({"negatives": 0}, NotMeasurable, "some that they call negative"),
        ({"naive": 1.1}, ValueError, r"naive must be between 0 and 1 but is 1\.1"),
        ({"sensitivity": float("nan")}, ValueError, "sensitivity"),
    ],
)
def test_raises(change, error, words):
    good = {"naive": 0.4, "n": 1000} | README
    with pytest.raises(error, match=words):
        adjusted_rate(**good | change)


def test_rows_that_identify_nothing():
    yes, both = np.ones(20, dtype=bool), np.arange(20) < 10
    with pytest.raises(NotMeasurable, match="some that they call negative"):
        calibrated_rate(yes, both, both)
    with pytest.raises(NotMeasurable, match="judged rows without a human label"):
        calibrated_rate(both, both, both[:0])
    with pytest.raises(ValueError, match="same length"):
        calibrated_rate(both, both[:5], both)
    with pytest.raises(NotMeasurable, match="at least one row"):
        effective_count(np.zeros(0), np.zeros(0, dtype=int))


def test_allocation_refuses():
    with pytest.raises(ValueError, match="pilot"):
        allocate(10, 0.4, specificity=0.7, sensitivity=0.9, pilot=6)
    with pytest.raises(ValueError, match="naive"):
        allocate(100, -0.4, specificity=0.7, sensitivity=0.9, pilot=6)
    assert allocate(100, 0, specificity=0.7, sensitivity=0.9, pilot=6) == (94, 6)
