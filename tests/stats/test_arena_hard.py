import numpy as np
import pytest

from evalkit.stats.arena_hard import VERDICTS, arena_hard_score, verdict_outcome
from evalkit.stats.battles import compress
from evalkit.stats.bradley_terry import bradley_terry
from evalkit.stats.errors import NotMeasurable

# Rows that the published scorer makes of each verdict, for the answer shown as A.
PUBLISHED_ROWS = {
    "A>B": [1], "A>>B": [1, 1, 1], "A=B": [0.5], "A<B": [0], "A<<B": [0, 0, 0],
    "B>A": [0], "B>>A": [0, 0, 0], "B=A": [0.5], "B<A": [1], "B<<A": [1, 1, 1],
}  # fmt: skip


def games(questions=200, strength=0.4, seed=0):
    """Two games a question: the baseline shown first, then the model shown first."""
    rng = np.random.default_rng(seed)
    labels = np.array(["A>>B", "A>B", "A=B", "B>A", "B>>A"])
    lean = strength + rng.normal(size=questions)
    cuts = np.array([-1.5, -0.5, 0.5, 1.5])
    first = labels[np.searchsorted(cuts, lean + 0.3 * rng.normal(size=questions))]  # A is the baseline
    second = labels[::-1][np.searchsorted(cuts, lean + 0.3 * rng.normal(size=questions))]
    parsed = [verdict_outcome(x, model_is_a=False) for x in first]
    parsed += [verdict_outcome(x, model_is_a=True) for x in second]
    outcome, weight = np.array(parsed).T
    exploded = [1 - y for x in first for y in PUBLISHED_ROWS[x]] + [y for x in second for y in PUBLISHED_ROWS[x]]
    return outcome, weight, np.tile(np.arange(questions), 2), np.array(exploded)


def test_verdicts_are_the_published_ones():
    assert set(VERDICTS) == set(PUBLISHED_ROWS)
    for label, rows in PUBLISHED_ROWS.items():
        assert verdict_outcome(label, model_is_a=True) == (rows[0], len(rows))
        assert verdict_outcome(label, model_is_a=False) == (1 - rows[0], len(rows))
    with pytest.raises(ValueError, match=r"unknown verdict 'A>>>B'"):
        verdict_outcome("A>>>B", model_is_a=True)


def test_closed_form_is_the_mean_of_exploded_rows_and_the_bradley_terry_win_rate():
    outcome, weight, question, exploded = games()
    got = arena_hard_score(outcome, weight, question)
    assert got.estimate == pytest.approx(exploded.mean())
    assert got.n == exploded.size
    n = outcome.size
    battles = compress(np.zeros(n, dtype=int), np.ones(n, dtype=int), outcome, models=2, weights=weight)
    gap = np.diff(bradley_terry(battles).ratings)[0]
    assert 1 / (1 + np.exp(gap)) == pytest.approx(got.estimate)


def test_rows_resampled_apart_are_too_narrow():
    outcome, weight, question, exploded = games()
    honest = arena_hard_score(outcome, weight, question, level=0.9)
    published = arena_hard_score(exploded, np.ones(exploded.size), np.arange(exploded.size), level=0.9)
    rng = np.random.default_rng(0)
    slow = [rng.choice(exploded, exploded.size).mean() for _ in range(3000)]
    assert (published.lower, published.upper) == pytest.approx(np.percentile(slow, [5, 95]), abs=0.004)
    assert honest.upper - honest.lower > 1.4 * (published.upper - published.lower)


def test_raises():
    with pytest.raises(NotMeasurable):
        arena_hard_score(np.array([]), np.array([]), np.array([], dtype=int))
    with pytest.raises(ValueError, match="weights"):
        arena_hard_score(np.array([1.0]), np.array([0.0]), np.array([0]))
