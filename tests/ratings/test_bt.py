from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.protocols import UsageError
from evalkit.ratings import battle_table
from evalkit.ratings.bt import BradleyTerryRatings
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.elo import EloRatings
from evalkit.ratings.leaderboard import Choices, rate
from evalkit.ratings.winrate import WinRates
from evalkit.stats.bradley_terry import ELO_PER_LOGIT
from evalkit.stats.errors import NotMeasurable
from tests.ratings.rows import TEXTBOOK, from_wins, judged, mtbench_votes
from tests.ratings.rows import table as csv_rows
from tests.shared_data import shared_data


def only(judgments, **options):
    (table,) = comparisons(judgments, **options)
    return table


def by_model(standings):
    return {standing.model: standing for standing in standings}


def logits(standings):
    found = {s.model: (s.main.estimate - 1000) / ELO_PER_LOGIT for s in standings}
    return [found[name] for name in sorted(found)]


def test_textbook():
    standings = BradleyTerryRatings().rate(only(from_wins(TEXTBOOK)))
    assert [s.model for s in standings] == ["D", "B", "C", "A"]
    assert np.exp(logits(standings)) == pytest.approx([0.63983, 1.04331, 0.65981, 2.27038], abs=1e-5)
    first = standings[0]
    assert (first.wins, first.losses, first.ties, first.n) == (7, 2, 0, 9)
    assert first.columns["rank"] == 1
    assert first.estimates["lead"].estimate == pytest.approx(first.main.estimate - standings[1].main.estimate)
    assert standings[-1].estimates["lead"] is None


@pytest.mark.parametrize(
    ("file", "keep", "golden", "judge", "error"),
    [
        ("human.jsonl", "expert", [-0.751, 0.624, 0.609, 1.028, -1.426, -0.084], "human", 0.133),
        ("gpt4_pair.jsonl", "gpt4", [-1.230, 0.989, 0.526, 1.810, -1.925, -0.171], "gpt4_pair", 0.148),
    ],
)
def test_mtbench_votes(file, keep, golden, judge, error):
    table = only(mtbench_votes(file, lambda row: row["judge"].startswith(keep)))
    assert table.judge == judge
    standings = BradleyTerryRatings().rate(table)
    assert logits(standings) == pytest.approx(golden, abs=6e-4)
    rated = by_model(standings)
    if judge == "gpt4_pair":  # claude and gpt-3.5 are neighbours, so their difference is in the table
        gap = rated["claude-v1"].estimates["lead"]
        assert gap.standard_error / ELO_PER_LOGIT == pytest.approx(error, abs=1.5e-3)
    assert {s.main.clusters for s in standings} == {80}


def test_ties_count_half_or_not_at_all_side_by_side():
    table = only(mtbench_votes("gpt4_pair.jsonl"))
    half, drop = BradleyTerryRatings().rate(table), BradleyTerryRatings("drop").rate(table)
    rated = by_model(half)
    for standing in drop:
        beside = rated[standing.model].estimates["rating_without_ties"]
        assert beside.estimate == pytest.approx(standing.main.estimate)
    assert rated["gpt-4"].estimates["rating_without_ties"].estimate > rated["gpt-4"].main.estimate  # ties shrink


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
def test_ties_as_outcomes(ties):
    table = only(mtbench_votes("gpt4_pair.jsonl"))
    standings = BradleyTerryRatings(ties).rate(table)
    assert standings[0].model == "gpt-4"
    assert standings[0].about.tie > 0
    without_ties = only(from_wins(TEXTBOOK))
    assert logits(BradleyTerryRatings(ties).rate(without_ties)) == pytest.approx(
        logits(BradleyTerryRatings().rate(without_ties))
    )


def test_ties_as_outcomes_need_verdicts():
    both = [judged("A", "B", (1.0, 0.0)), judged("B", "A", (0.5, 0.5)), judged("A", "B", (0.0, 1.0), item="q2")]
    with pytest.raises(UsageError, match=r"1 of 2 comparisons by 'gpt4'.*0\.75.*--aggregate"):
        BradleyTerryRatings("davidson").rate(only(both))
    with pytest.raises(NotMeasurable, match=r"outright wins and losses.*--ties half"):
        BradleyTerryRatings("davidson").rate(only(both, aggregate="consistent"))
    assert BradleyTerryRatings("davidson").rate(only(both, aggregate="probability"))[0].about.tie == 0


def test_llmfao_through_a_battle_table(tmp_path):
    rows = shared_data("llmfao", "llmfao.csv")
    (table,) = battle_table.read([rows])
    golden = {}
    for row in csv_rows("llmfao", "llmfao-golden.csv"):
        golden.setdefault(row["algorithm"], {})[row["item"]] = float(row["score"])
    assert len(table.models) == 59
    strength = {s.model: np.exp(s.main.estimate / ELO_PER_LOGIT) for s in BradleyTerryRatings().rate(table)}
    total = sum(strength.values())
    assert {name: value / total for name, value in strength.items()} == pytest.approx(golden["bradley_terry"], rel=2e-3)
    elo = {s.model: s.main.estimate for s in EloRatings(permutations=0).rate(table)}
    assert elo == pytest.approx(golden["elo"], rel=1e-9)
    share = {s.model: s.main.estimate / 100 for s in WinRates().rate(table)}
    assert share == pytest.approx(golden["average_win_rate"], rel=1e-9)


@given(st.permutations(["A", "B", "C", "D"]), st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_names_and_order_do_not_matter(names, random):
    new = dict(zip("ABCD", names, strict=True))
    plain = by_model(BradleyTerryRatings().rate(only(from_wins(TEXTBOOK))))
    renamed = from_wins({(new[a], new[b]): times for (a, b), times in TEXTBOOK.items()})
    random.shuffle(renamed)
    other = by_model(BradleyTerryRatings().rate(only(renamed)))
    for old, name in new.items():
        assert other[name].main.estimate == pytest.approx(plain[old].main.estimate, abs=1e-6)
        assert other[name].main.lower == pytest.approx(plain[old].main.lower, abs=1e-6)


def test_unbeaten_models_are_named_and_the_rest_is_rated():
    rows = from_wins(TEXTBOOK | {("star", "A"): 3, ("star", "B"): 2, ("C", "never"): 1})
    standings = BradleyTerryRatings().rate(only(rows))
    rated = by_model(standings)
    assert rated["star"].main is None
    assert rated["never"].main is None
    assert (rated["star"].wins, rated["star"].n) == (5, 5)
    assert [s.model for s in standings][-2:] == ["never", "star"]
    plain = by_model(BradleyTerryRatings().rate(only(from_wins(TEXTBOOK))))
    assert rated["D"].main.estimate == pytest.approx(plain["D"].main.estimate)
    (note,) = [note for note in rated["D"].about.notes if note.startswith("not rated: ")]
    assert "'never', 'star'" in note
    assert "unbeaten: 'star'" in note
    assert "without a win: 'never'" in note
    assert "Add comparisons" in note


def test_islands_are_reported():
    a, b = {("A", "B"): 2, ("B", "A"): 1}, {("X", "Y"): 2, ("Y", "X"): 2, ("Y", "Z"): 1, ("Z", "X"): 2}
    standings = by_model(BradleyTerryRatings().rate(only(from_wins(a | b))))
    assert standings["A"].main is None
    assert standings["X"].main is not None
    assert "'A', 'B'" in standings["X"].about.notes[0]


def test_a_chain_of_wins_cannot_be_rated():
    table = only(from_wins({("A", "B"): 2, ("B", "C"): 3}))
    with pytest.raises(NotMeasurable, match=r"unbeaten: 'A'.*winrate"):
        BradleyTerryRatings().rate(table)


def test_one_question_has_ratings_but_no_limits():
    rows = [judged("A", "B", (1.0, 0.0)), judged("B", "A", (1.0, 0.0), repeat=1)]
    standings = BradleyTerryRatings().rate(only(rows))
    assert standings[0].main.estimate == pytest.approx(1000)
    assert standings[0].main.lower is None
    assert standings[0].columns["rank_best"] is None
    assert any("at least 4 questions" in note for note in standings[0].about.notes)


def test_style_control_takes_the_effect_of_length_out():
    rng = np.random.default_rng(0)
    rows, lengths = [], {}
    for i in range(600):
        lengths[i] = {"short": rng.integers(80, 300), "long": rng.integers(200, 900)}
        gap = (lengths[i]["long"] - lengths[i]["short"]) / (lengths[i]["long"] + lengths[i]["short"])
        won = rng.random() < 1 / (1 + np.exp(-2.5 * gap))
        rows.append(judged("long", "short", (1.0, 0.0) if won else (0.0, 1.0), item=f"q{i}"))
    table = only(rows)

    def features(side):
        places = zip(side, table.question, strict=True)
        found = [lengths[int(table.questions[question][1:])][table.models[model]] for model, question in places]
        return np.column_stack([found, np.zeros((len(found), 3))])

    table = replace(table, style_a=features(table.a), style_b=features(table.b))
    standings = by_model(BradleyTerryRatings(style=True).rate(table))
    plain, controlled = (standings["long"].estimates[name] for name in ("rating", "rating_style_controlled"))
    assert plain.lower > 1050
    assert controlled.lower < 1000 < controlled.upper
    assert standings["long"].about.coefficients["length"].lower > 0
    assert any("without headers: no two" in note for note in standings["long"].about.notes)


def test_style_without_texts_says_so():
    standings = BradleyTerryRatings(style=True).rate(only(from_wins(TEXTBOOK)))
    assert standings[0].estimates["rating_style_controlled"] is None
    assert any("needs the texts of the answers" in note for note in standings[0].about.notes)


def test_each_category_is_a_fit_of_its_own(tmp_path):
    path = tmp_path / "battles.csv"
    lines = ["model_a,model_b,winner,category,question_id"]
    lines += [f"A,B,{'model_a' if i % 3 else 'model_b'},math,m{i}" for i in range(12)]
    lines += [f"A,B,{'model_b' if i % 4 else 'tie'},art,a{i}" for i in range(12)]
    path.write_text("\n".join(lines))
    board = rate(Choices(paths=(path,), by_category=True))
    best = {s.category: s.model for s in reversed(board.standings)}
    assert best == {None: "B", "art": "B", "math": "A"}
    assert [s.category for s in board.standings] == [None, None, "art", "art", "math", "math"]
    gap = [s.main.estimate for s in board.standings if s.category == "math"]
    assert gap[0] - gap[1] == pytest.approx(ELO_PER_LOGIT * np.log(2))
