"""Where a benchmark fixes its categories, questions vary within them: ratings and win rates over planted studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.winrate import WinRates
from evalkit.stats.battles import compress
from evalkit.stats.bradley_terry import bradley_terry
from evalkit.stats.covariates import rate_with_covariates
from evalkit.stats.elo import elo_intervals
from evalkit.stats.rating_bootstrap import bootstrap_ratings
from evalkit.stats.sandwich import clustered_meat, held_fixed
from evalkit.stats.ties import davidson, rao_kupper
from tests.certification.studies import battles_by_category
from tests.ratings.rows import judged


def ratings_of(rng, questions, fixed):
    a, b, won, question, category = battles_by_category(rng, questions)
    strata = category if fixed else None
    return bradley_terry(compress(a, b, won, models=3, clusters=question, strata=strata)).interval(0)


@pytest.mark.parametrize(("questions", "repetitions"), [(16, 300), (40, 300)])
def test_ratings_cover_within_categories_and_are_narrower_than_as_a_whole(questions, repetitions):
    truth = ratings_of(np.random.default_rng(1), 20_000, False).estimate
    found = {fixed: [] for fixed in (True, False)}
    for fixed, all_of in found.items():
        rng = np.random.default_rng(questions)
        all_of.extend(ratings_of(rng, questions, fixed) for _ in range(repetitions))
    covered = {fixed: sum(one.lower <= truth <= one.upper for one in all_of) for fixed, all_of in found.items()}
    assert binom.cdf(covered[True], repetitions, 0.93) > 0.001
    assert binom.sf(covered[True] - 1, repetitions, 0.98) > 0.001
    assert covered[False] > 0.98 * repetitions, "as a whole, differences between categories count as chance"
    widths = {fixed: np.mean([one.upper - one.lower for one in all_of]) for fixed, all_of in found.items()}
    assert widths[True] < 0.85 * widths[False]
    for within, whole in zip(found[True], found[False], strict=True):
        assert within.estimate == whole.estimate
        assert within.clusters == whole.clusters == questions


def test_categories_of_one_question_are_taken_together():
    cluster, score = np.arange(5), np.array([1.0, -2.0, 0.5, 3.0, -2.5])
    scores = [(np.zeros(5, int), score)]
    whole = clustered_meat(scores, cluster, 5, 1)
    np.testing.assert_allclose(clustered_meat(scores, cluster, 5, 1, np.zeros(5, int)), whole)
    np.testing.assert_allclose(clustered_meat(scores, cluster, 5, 1, np.arange(5)), whole)
    two = clustered_meat(scores, cluster, 5, 1, np.array([0, 0, 0, 1, 2]))
    alone = 2 * ((score[3:] - score[3:].mean()) ** 2).sum()
    assert two[0, 0] == pytest.approx(3 * score[:3].var(ddof=1) + alone)
    only = clustered_meat(scores, cluster, 5, 1, np.array([0, 0, 0, 0, 1]))
    assert only[0, 0] == pytest.approx(4 * score[:4].var(ddof=1) + score[4] ** 2)
    assert [held_fixed(found) for found in (None, np.array([0, 0, 1, 1]), np.arange(4))] == [1, 2, 1]


@pytest.mark.parametrize("ties", [bradley_terry, davidson, rao_kupper])
def test_every_fit_of_ratings_is_narrower_within_categories(ties):
    a, b, won, question, category = battles_by_category(np.random.default_rng(3), 40)
    won[::7] = 0.5
    whole, within = (
        ties(compress(a, b, won, models=3, clusters=question, strata=strata)) for strata in (None, category)
    )
    contrast = np.array([1.0, 0.0, 0.0])
    one, other = within.contrast(contrast), whole.contrast(contrast)
    assert one.standard_error < 0.85 * other.standard_error
    np.testing.assert_array_equal(within.ratings, whole.ratings)


def test_ratings_with_covariates_and_the_bootstrap_agree_within_categories():
    a, b, won, question, category = battles_by_category(np.random.default_rng(4), 80)
    battles = compress(a, b, won, models=3, clusters=question, strata=category)
    fit = bradley_terry(battles)
    style = np.random.default_rng(5).normal(size=(a.size, 1))
    shape = {"models": 3, "clusters": question, "strata": category}
    controlled = rate_with_covariates(a, b, won, style, **shape).contrast(np.array([1.0, 0.0, 0.0]))
    drawn = bootstrap_ratings(battles, fit, resamples=600).interval(0)
    error = fit.interval(0).standard_error
    assert controlled.standard_error == pytest.approx(error, rel=0.05)
    assert drawn.standard_error == pytest.approx(error, rel=0.12)


def test_elo_covers_with_two_questions_a_category():
    """Percentiles of replicates cover 84%, as these take few values; Student's limits, with a degree for each pair."""
    rng, found = np.random.default_rng(8), []
    for _ in range(150):
        a, b, won, question, category = battles_by_category(rng, 8)
        shape = {"models": 3, "clusters": question, "strata": category, "replicates": 100}
        found.append(elo_intervals(a, b, won, **shape).intervals[0])
    truth = np.mean([one.estimate for one in found])
    covered = sum(one.lower <= truth <= one.upper for one in found)
    assert binom.cdf(covered, 150, 0.93) > 0.001
    assert binom.sf(covered - 1, 150, 0.98) > 0.001


def test_strata_are_of_questions():
    a, b, won, question, category = battles_by_category(np.random.default_rng(6), 8)
    with pytest.raises(ValueError, match="need clusters"):
        compress(a, b, won, models=3, strata=category)
    with pytest.raises(ValueError, match="need clusters"):
        rate_with_covariates(a, b, won, np.ones((a.size, 1)), models=3, strata=category)
    with pytest.raises(ValueError, match="must have one stratum"):
        compress(a, b, won, models=3, clusters=question, strata=np.arange(a.size))


def tables_of(seed, questions):
    """The same battles under a benchmark that declares these categories, and under one that does not."""
    a, b, won, question, category = battles_by_category(np.random.default_rng(seed), questions)
    names = ("writing", "math", "coding", "stem")
    for benchmark in ("mtbench", "own"):
        rows = [
            judged(
                f"m{one}", f"m{two}", (point, 1 - point), item=f"q{q:03d}", category=names[c], benchmark=benchmark,
                turn=1 + number % 2,
            )
            for number, (one, two, point, q, c) in enumerate(zip(a, b, won, question, category, strict=True))
        ]  # fmt: skip
        yield comparisons(rows)[0]


def best_of(table):
    (found,) = [standing for standing in WinRates().rate(table) if standing.model == "m0"]
    return found


def test_win_rates_over_opponents_cover_within_categories_and_are_narrower_than_as_a_whole():
    a, _, won, *_ = battles_by_category(np.random.default_rng(1), 20_000)
    truth = 100 * won[a == 0].mean()
    covered, widths = [], []
    for seed in range(40):
        within, whole = (best_of(table).main for table in tables_of(seed, 40))
        assert within.estimate == whole.estimate
        covered.append(within.lower <= truth <= within.upper)
        widths.append((within.upper - within.lower, whole.upper - whole.lower))
    assert binom.cdf(sum(covered), 40, 0.93) > 0.001
    narrow, wide = np.mean(widths, axis=0)
    assert narrow < 0.85 * wide
    within, whole = (best_of(table).about.differences.pairs[0].interval for table in tables_of(0, 40))
    assert within.upper - within.lower < 0.9 * (whole.upper - whole.lower)
