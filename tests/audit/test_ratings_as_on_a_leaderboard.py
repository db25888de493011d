"""The ratings in an audit are those of a leaderboard, and what cannot be rated is named in both."""

import pytest

from evalkit.audit.analyse import audit, audited
from evalkit.evidence.gather import Vote, gather
from evalkit.interop.importing import import_results
from evalkit.ratings.comparisons import HUMAN
from evalkit.ratings.elo import EloRatings
from evalkit.ratings.leaderboard import Choices, rate
from evalkit.reports.audit_page import page
from tests.ratings.rows import from_wins, judged
from tests.shared_data import shared_data


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("votes")
    import_results("fastchat", shared_data("mtbench_votes"), folder)
    return folder


def test_ratings_of_the_mtbench_votes_are_the_same(votes):
    board, found = rate(Choices(paths=(votes,))), audit([votes])
    for judge, models in ((HUMAN, 6), ("gpt4_pair", 6)):
        rated = {row.model: row.main for row in board.standings if row.judge == judge}
        mine = {row.model: row for row in found.ratings if row.rater == judge}
        assert len(mine) == models
        for model, row in mine.items():
            limits = (row.elo, row.elo_lower, row.elo_upper)
            assert limits == pytest.approx((rated[model].estimate, rated[model].lower, rated[model].upper), abs=1e-9)


@pytest.mark.slow
def test_online_elo_of_the_mtbench_votes_is_the_same(votes):
    from evalkit.storage.results import judged_rows

    board = rate(Choices(paths=(votes,), method="elo", permutations=20))
    (gathered,) = gather(row for log in judged_rows([votes]) for row in log)
    (people,) = gathered.voted
    mine = {row.model: row.main.estimate for row in EloRatings(20).rate(people)}
    assert mine == pytest.approx({r.model: r.main.estimate for r in board.standings if r.judge == HUMAN}, abs=1e-9)


@pytest.mark.slow
def test_whose_votes_count_is_said_alike(votes):
    board, found = rate(Choices(paths=(votes,))), audit([votes])
    for said in ("`human` is the group with most votes (expert: 2,668 votes", "1 vote repeats what the same person"):
        assert sum(said in note for note in board.notes) == 1
        assert sum(said in note for note in found.notes) == 1


def notes_of(rows, **more):
    found = audited(gather(rows, **more))
    return found, found.rating_notes.get("arena", ())


def test_a_model_that_never_lost_has_no_rating_and_is_named():
    rows = from_wins({("A", "B"): 20, ("B", "C"): 5, ("C", "B"): 5})
    found, (note,) = notes_of(rows)
    assert {row.model for row in found.ratings} == {"B", "C"}
    assert note.startswith("gpt4 (pairwise): not rated: 'A' (unbeaten: 'A')")
    assert "unbeaten" in page(found)
    (standing,) = [row for row in board_of(rows) if row.model == "A"]
    assert standing.main is None
    assert note.endswith(standing.about.notes[0])


def board_of(rows):
    from evalkit.ratings.comparisons import comparisons
    from evalkit.ratings.leaderboard import rate_tables

    return rate_tables(comparisons(rows), Choices(paths=())).standings


def test_models_of_which_none_is_linked_both_ways_have_no_ratings():
    found, (note,) = notes_of(from_wins({("A", "B"): 20}))
    assert found.ratings == ()
    assert "not rated: needs models that each win (or tie) and lose" in note
    assert note.removeprefix("gpt4 (pairwise): not rated: ") in board_of(from_wins({("A", "B"): 20}))[0].about.notes[0]
    assert note in page(found).replace("&#39;", "'")


def test_groups_that_never_met_are_named():
    wins = {("A", "B"): 3, ("B", "A"): 2, ("B", "C"): 2, ("C", "A"): 2, ("X", "Y"): 1, ("Y", "X"): 1}
    found, (note,) = notes_of(from_wins(wins))
    assert {row.model for row in found.ratings} == {"A", "B", "C"}
    assert "'X', 'Y'" in note


def test_models_that_no_judge_judged_do_not_move_the_mean_and_that_is_said():
    rows = [judged("A", "B", scores, item=f"q{i}") for i, scores in enumerate([(1.0, 0.0), (0.0, 1.0)] * 3)]
    people = [("A", "B", 1.0), ("A", "B", 0.0), ("A", "C", 1.0), ("C", "A", 1.0)]
    said = [Vote(f"q{i}", 1, a, b, outcome, f"ann{i}") for i, (a, b, outcome) in enumerate(people)]
    found, (note,) = notes_of(rows, votes=said)
    assert {row.model for row in found.ratings if row.rater == HUMAN} == {"A", "B"}
    assert "of the 2 models that a judge judged too, of 3" in note
