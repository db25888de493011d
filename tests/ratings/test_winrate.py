import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.leaderboard import METHODS, Choices, rate
from evalkit.ratings.winrate import WinRates
from evalkit.stats.arena_hard import verdict_outcome
from tests.ratings.rows import alpaca_eval, alpaca_eval_expected, judged

LABELS = ("A>>B", "A>B", "A=B", "B>A", "B>>A")


def only(judgments, **options):
    (table,) = comparisons(judgments, **options)
    return table


def test_alpaca_eval_as_published():
    expected = alpaca_eval_expected()
    rows = [row for model in expected for row in alpaca_eval(model)]
    standings = WinRates().rate(only(rows))
    assert {s.model for s in standings} == set(expected)
    for standing in standings:
        published = expected[standing.model]["published"]
        assert standing.about.baseline == "gpt4_1106_preview"
        assert standing.main.estimate == pytest.approx(published["win_rate"], rel=1e-8)
        for name in ("standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate"):
            assert standing.columns[name] == pytest.approx(published[name], rel=1e-8), name
        if published["n_total"] == 805:  # otherwise answers were never annotated, and their lengths are not known
            assert standing.columns["avg_length"] == published["avg_length"]
        assert standing.main.lower < standing.main.estimate < standing.main.upper


def arena_hard_games(seed=0, questions=60):
    rng = np.random.default_rng(seed)
    for model, shift in (("strong", 1), ("weak", -1)):
        for i in range(questions):
            for first, second in (("base", model), (model, "base")):
                lean = shift if first == model else -shift
                label = LABELS[int(np.clip(round(rng.normal(2 - lean, 1.2)), 0, 4))]
                score = verdict_outcome(label, model_is_a=True)[0]
                yield judged(first, second, (score, 1 - score), item=f"q{i}", label=label)


def test_arena_hard_in_closed_form():
    games = list(arena_hard_games())
    standings = WinRates().rate(only(games, aggregate="each", strong_weight=3.0))
    assert standings[0].about.baseline == "base"
    for standing in standings:
        points = weight = 0.0
        for game in games:
            names = [model.name for model in game.models]
            if standing.model in names:
                outcome, w = verdict_outcome(game.label, model_is_a=names[0] == standing.model)
                points, weight = points + w * outcome, weight + w
        assert standing.main.estimate == pytest.approx(100 * points / weight)
        assert standing.n == 120
        assert standing.main.clusters == 60


def test_a_baseline_of_each_category_is_found():
    rows = [judged("A", "base1", (1.0, 0.0), item="1"), judged("B", "base1", (0.5, 0.5), item="2")]
    rows += [judged("A", "base2", (0.0, 1.0), item=i, category="art") for i in "34"]
    rows += [judged("B", "base2", (0.0, 1.0), item="5", category="art")]
    standings = WinRates().rate(only(rows))
    assert {s.model: s.main.estimate for s in standings} == pytest.approx({"A": 100 / 3, "B": 25})
    assert standings[0].about.baseline == "base1 (writing); base2 (art)"


def test_a_chosen_baseline():
    pairs = [("A", "B"), ("B", "C"), ("C", "A")]
    rows = [judged(a, b, (0.7, 0.3), item=f"{a}{b}{i}") for a, b in pairs for i in range(3)]
    standings = WinRates("A").rate(only(rows))
    assert {s.model: s.main.estimate for s in standings} == pytest.approx({"B": 30, "C": 70})
    assert "3 comparisons between other models" in standings[0].about.notes[0]
    with pytest.raises(UsageError, match=r"baseline 'AA'.*did you mean 'A'"):
        WinRates("AA").rate(only(rows))


def test_mean_over_opponents_has_clustered_intervals():
    rng = np.random.default_rng(1)
    rows = []
    for i in range(80):
        luck = rng.random() < 0.5  # questions decide everything: rows of one question are copies
        rows += [judged(a, b, (1.0, 0.0) if luck else (0.0, 1.0), item=f"q{i}") for a, b in (("A", "B"), ("A", "C"))]
        rows += [judged("B", "C", (0.5, 0.5), item=f"q{i}")]
    standings = {s.model: s for s in WinRates().rate(only(rows))}
    share = standings["A"].main.estimate / 100
    assert standings["A"].main.standard_error == pytest.approx(100 * (share * (1 - share) / 79) ** 0.5, rel=1e-6)
    assert sum(s.main.estimate for s in standings.values()) == pytest.approx(150)


def sparse(rng, strength, pairs, spread):
    """So many pairs of models on each question; strengths differ between questions by spread."""
    models = sorted(strength)
    every = [(a, b) for place, a in enumerate(models) for b in models[place + 1 :]]
    for i, count in enumerate(pairs):
        here = {name: strength[name] + spread * rng.normal() for name in models}
        for k in rng.choice(len(every), count, replace=False):
            a, b = every[k]
            won = float(rng.random() < 1 / (1 + np.exp(here[b] - here[a])))
            yield judged(a, b, (won, 1 - won), item=f"q{i}")


def win_chance(gap, spread):
    """Mean over the differences in strength of two models between questions."""
    z, share = np.polynomial.hermite_e.hermegauss(15)
    return float(share @ (1 / (1 + np.exp(-gap - 2**0.5 * spread * z))) / share.sum())


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize(
    ("models", "pairs", "studies"),
    [(20, [3] * 80, 15), (12, [2] * 200, 15), (12, [66] + [4] * 12, 30)],
    ids=["opponents met once", "opponents met a few times", "one question with most pairs"],
)
def test_intervals_hold_where_pairs_are_few(models, pairs, studies, spread):
    """An interval around the share of each opponent has no width for one met once: 56% of those held."""
    rng, held = np.random.default_rng(3), []
    strength = {f"m{i:02}": 2.4 * i / (models - 1) - 1.2 for i in range(models)}
    for _ in range(studies):
        rows = list(sparse(rng, strength, pairs, spread))
        met = {frozenset(model.name for model in row.models) for row in rows}
        for standing in WinRates().rate(only(rows)):
            if standing.main.reason:  # fewer than 4 questions
                assert standing.main.lower is None
                continue
            mine = strength[standing.model]
            others = [strength[other] for pair in met if standing.model in pair for other in pair - {standing.model}]
            truth = 100 * np.mean([win_chance(mine - other, spread) for other in others])
            held.append(standing.main.lower <= truth <= standing.main.upper)
    assert 0.9 <= np.mean(held) <= 0.99  # with the floor of few questions, a little more than 95% hold


def test_where_every_question_has_every_pair_the_error_is_that_of_a_mean_over_questions():
    rng, names = np.random.default_rng(5), "ABCD"
    points = rng.integers(0, 3, size=(30, 4, 4)) / 2
    rows = [
        judged(names[i], names[j], (points[q, i, j], 1 - points[q, i, j]), item=f"q{q}")
        for q in range(30)
        for i in range(4)
        for j in range(i + 1, 4)
    ]
    by_question = points[:, 0, 1:].mean(axis=1)
    (first,) = [s.main for s in WinRates().rate(only(rows)) if s.model == "A"]
    assert first.estimate == pytest.approx(100 * by_question.mean(), rel=1e-9)
    assert first.standard_error == pytest.approx(100 * by_question.std(ddof=1) / 30**0.5, rel=1e-9)
    # The limits are Student's, or wider where the residuals may hide a question at the end of the scale.
    assert 1 - 1e-6 <= (first.upper - first.estimate) / (2.0452296 * first.standard_error) <= 1.2


def test_failures_are_counted_by_model_and_never_numbers():
    rows = [judged("A", "base", (1.0, 0.0), item="1"), judged("A", "base", None, item="2")]
    rows += [judged("B", "base", (0.0, 1.0), item="1")]
    table = only(rows)
    standings = {s.model: s for s in WinRates().rate(table)}
    assert standings["A"].main.estimate == 100
    assert standings["A"].failed == {"unparsed": 1}
    assert standings["B"].failed == {}


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_failures(method, tmp_path):
    path = tmp_path / "battles.csv"
    path.write_text("model_a,model_b,winner\nA,B,error\nA,B,error\n")
    board = rate(Choices(paths=(path,), method=method))
    assert {s.model: (s.n, s.failed, s.main) for s in board.standings} == {
        "A": (0, {"unparsed": 2}, None),
        "B": (0, {"unparsed": 2}, None),
    }
    assert "every judgment failed" in board.standings[0].about.notes[0]
