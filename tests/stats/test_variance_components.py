"""Components that were planted come out, and the number of questions gives the power it promises."""

import numpy as np
import pytest

from evalkit.stats.errors import NotMeasurable
from evalkit.stats.variance_components import VarianceComponents, questions_to_detect, variance_components


def planted(questions, judges, repeats, sizes, seed=0):
    """Differences with these standard deviations between questions, judges and repeats, and a lean of each judge."""
    rng = np.random.default_rng(seed)
    q, j, _ = (part.ravel() for part in np.meshgrid(*map(np.arange, (questions, judges, repeats)), indexing="ij"))
    of_question = rng.normal(0, sizes[0], questions)
    of_judge = rng.normal(0, sizes[1], (questions, judges))
    lean = np.linspace(-1, 1, judges) if judges > 1 else np.zeros(1)
    values = 0.3 + lean[j] + of_question[q] + of_judge[q, j] + rng.normal(0, sizes[2], q.size)
    return values, np.zeros_like(q), q, j


def test_planted_components_come_out():
    found = variance_components(*planted(3000, 3, 2, (1.0, 0.6, 0.8)))
    assert found.questions == pytest.approx(1.0, rel=0.1)
    assert found.judges == pytest.approx(0.36, rel=0.15)
    assert found.repeats == pytest.approx(0.64, rel=0.05)


def test_what_was_not_done_is_not_known_and_stays_with_the_questions():
    found = variance_components(*planted(3000, 1, 1, (1.0, 0.6, 0.8)))
    assert (found.judges, found.repeats) == (None, None)
    assert found.questions == pytest.approx(2.0, rel=0.1)
    assert found.of_mean(3, 5) == found.of_mean(1, 1)


def test_more_judges_and_repeats_lower_what_they_can():
    one = VarianceComponents(1.0, 0.5, 0.4, 100)
    assert one.of_mean(1, 1) == pytest.approx(1.9)
    assert one.of_mean(2, 1) == pytest.approx(1.45)
    assert one.of_mean(2, 2) == pytest.approx(1.35)


@pytest.mark.parametrize(("deviation", "size"), [(1.0, 0.5), (2.0, 0.4), (0.76, 0.2)])
def test_so_many_questions_find_it_8_times_in_10(deviation, size):
    from evalkit.stats.resample import t_quantile

    n = questions_to_detect(deviation**2, size)
    rng = np.random.default_rng(1)
    draws = rng.normal(size, deviation, size=(4000, n))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / np.sqrt(n))
    assert (np.abs(t) > t_quantile(0.975, n - 1)).mean() == pytest.approx(0.8, abs=0.025)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="positive"):
        questions_to_detect(1.0, 0.0)
    with pytest.raises(NotMeasurable, match="4 questions"):
        variance_components(*planted(3, 2, 2, (1, 1, 1)))
