import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evalkit.stats.alternative_annotator import EXPERT, alternative_annotator, benjamini_yekutieli
from evalkit.stats.errors import NotMeasurable


def people(rng, items, annotators, right, missing=0.0, labels=3):
    """Truth, and annotators who find it with this probability and guess otherwise."""
    truth = rng.integers(labels, size=items)
    said = np.where(rng.random((annotators, items)) < right, truth, rng.integers(labels, size=(annotators, items)))
    gone = rng.random((annotators, items)) < missing
    rows = [
        [None if lost else int(label) for label, lost in zip(*row, strict=True)] for row in zip(said, gone, strict=True)
    ]
    return truth, rows


def by_hand(judge, annotators, fit, epsilon):
    """Definitions of arXiv:2501.10970, one item at a time: (n, W^f, W^h, p) of each annotator."""
    result = []
    for j, own in enumerate(annotators):
        wins, losses = [], []
        for i, label in enumerate(own):
            others = [row[i] for k, row in enumerate(annotators) if k != j and row[i] is not None]
            if label is None or judge[i] is None or not others:
                continue
            f, h = fit(judge[i], others), fit(label, others)
            wins.append(float(f >= h))
            losses.append(float(h >= f))
        difference = np.array(losses) - np.array(wins)
        p = stats.ttest_1samp(difference, epsilon, alternative="less").pvalue
        result.append((len(wins), np.mean(wins), np.mean(losses), p))
    return result


def accuracy(label, others):
    return np.mean([label == other for other in others])


def closeness(label, others):
    return -(np.mean([(label - other) ** 2 for other in others]) ** 0.5)


@pytest.mark.parametrize(("fit", "numeric"), [(accuracy, False), (closeness, True)])
def test_as_defined(fit, numeric):
    rng = np.random.default_rng(0)
    truth, rows = people(rng, 120, 4, 0.7, missing=0.3, labels=5)
    judge = [None if rng.random() < 0.1 else int(label) for label in people(rng, 120, 1, 0.8, labels=5)[0]]
    judge[:60] = [int(label) for label in truth[:60]]
    got = alternative_annotator(judge, rows, numeric=numeric)
    wanted = by_hand(judge, rows, fit, EXPERT)
    assert [contest.annotator for contest in got.contests] == [0, 1, 2, 3]
    for contest, row in zip(got.contests, wanted, strict=True):
        assert (contest.n, contest.judge_wins, contest.annotator_wins, contest.p_value) == pytest.approx(row)
    assert got.advantage.estimate == pytest.approx(np.mean([row[1] for row in wanted]))
    assert sum(contest.judge_wins + contest.annotator_wins for contest in got.contests) > 4  # ties count twice


def test_a_good_judge_replaces_poor_annotators_and_a_coin_does_not():
    rng = np.random.default_rng(1)
    truth, rows = people(rng, 200, 3, 0.5)
    good = alternative_annotator([int(label) for label in truth], rows)
    assert (good.winning_rate, good.passed) == (1, True)
    coin = alternative_annotator([int(label) for label in rng.integers(3, size=200)], rows)
    assert (coin.winning_rate, coin.passed) == (0, False)
    assert good.advantage.estimate > 0.8 > coin.advantage.estimate


def test_epsilon_and_clusters():
    rng = np.random.default_rng(2)
    _, rows = people(rng, 60, 4, 0.7)
    copy = rows[3]
    strict, lenient = (alternative_annotator(copy, rows[:3], epsilon=epsilon) for epsilon in (0.0, 0.5))
    assert all(a.p_value > b.p_value for a, b in zip(strict.contests, lenient.contests, strict=True))
    twice = [[*row, *row] for row in rows]
    question = np.r_[np.arange(60), np.arange(60)]
    alone = alternative_annotator(copy, rows[:3])
    blind = alternative_annotator(twice[3], twice[:3])
    clustered = alternative_annotator(twice[3], twice[:3], clusters=question)
    for once, both, by_question in zip(alone.contests, blind.contests, clustered.contests, strict=True):
        assert by_question.p_value == pytest.approx(once.p_value)
        assert both.p_value < once.p_value


def test_few_items_go_by_ranks():
    rng = np.random.default_rng(3)
    truth, rows = people(rng, 20, 3, 0.6)
    judge = [int(label) for label in truth]
    with pytest.raises(NotMeasurable, match="30 items"):
        alternative_annotator(judge, rows)
    got = alternative_annotator(judge, rows, fewest_items=10)
    n, wins, _, _ = by_hand(judge, rows, accuracy, EXPERT)[0]
    assert (got.contests[0].n, got.contests[0].judge_wins) == (n, wins)
    assert 0 < got.contests[0].p_value < 1


def test_identical_answers_are_decided_by_epsilon():
    same = ["a", "b"] * 20
    got = alternative_annotator(same, [same, same, same])
    assert (got.winning_rate, got.advantage.estimate, got.contests[0].p_value) == (1, 1, 0)
    assert alternative_annotator(same, [same, same, same], epsilon=0.0).winning_rate == 0


def test_size_of_the_test():
    """A judge exactly epsilon worse passes for one annotator with at most the stated rate."""
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(300):
        other = rng.integers(2, size=200)
        # W^h - W^f: 1 with probability .3, -1 with .1; mean .2
        fate = rng.random(200)
        own = np.where(fate < 0.1, 1 - other, other)
        judge = np.where((fate >= 0.1) & (fate < 0.4), 1 - other, other)
        rows = [own.tolist(), other.tolist(), other.tolist()]
        rejected += alternative_annotator(judge.tolist(), rows).contests[0].p_value < 0.05
    assert 0.02 <= rejected / 300 <= 0.08


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.03, 0.2, 0.7, 1.0]), min_size=1, max_size=12))
def test_benjamini_yekutieli(p_values):
    got = benjamini_yekutieli(np.array(p_values), 0.05)
    adjusted = stats.false_discovery_control(p_values, method="by")
    assert got.tolist() == (adjusted <= 0.05 + 1e-12).tolist()


def test_published_p_values_do_not_survive():
    """gpt-4o on MT-Bench in the authors' notebook (Calderon et al. 2025)."""
    assert not benjamini_yekutieli(np.array([0.0192, 0.026, 0.3145]), 0.05).any()


def test_raises():
    with pytest.raises(NotMeasurable, match="at least 3 annotators but has 2"):
        alternative_annotator(["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="same length"):
        alternative_annotator(["a", "b"], [["a"], ["b"], ["a"]])
    nobody = [None] * 40
    with pytest.raises(NotMeasurable, match="somebody else labelled too, but has 0"):
        alternative_annotator(["a"] * 40, [["a"] * 40, nobody, nobody])


def test_only_a_judge_that_is_worse_by_more_than_epsilon_is_shown_to_fall_short():
    truth, said = people(np.random.default_rng(3), 300, 4, 0.9)
    guess = np.random.default_rng(4).integers(3, size=300).tolist()
    assert alternative_annotator(guess, said, epsilon=0.1).p_falls_short < 1e-6
    assert alternative_annotator(truth.tolist(), said, epsilon=0.1).p_falls_short > 0.99
    few = alternative_annotator(guess[:30], [row[:30] for row in said], epsilon=0.5)
    assert not few.passed
    assert few.p_falls_short > 0.05


def test_falling_short_of_more_than_half_by_hand():
    """Of four annotators three must be better: the third smallest p-value, twice for the one that is left out."""
    _, said = people(np.random.default_rng(5), 60, 4, 0.8)
    found = alternative_annotator(np.random.default_rng(6).integers(3, size=60).tolist(), said, epsilon=0.2)
    against = sorted(1 - contest.p_value for contest in found.contests)
    assert found.p_falls_short == pytest.approx(min(1.0, 2 * against[2]))
