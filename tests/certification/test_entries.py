"""What trials of the product found, entry by entry: where each is tested, and what terminal, JSON and page print.

Each entry stands for a kind, so that its tests try other members, too. The inputs are among the public data
(``trials/``); what has none is drawn alike.
"""

from __future__ import annotations

import ast
import csv
import html
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from evalkit.audit.analyse import audited
from evalkit.evidence.gather import gather
from evalkit.interop import load
from evalkit.ratings import battle_table
from evalkit.ratings.leaderboard import Choices, rate
from evalkit.reports import leaderboard_page, leaderboard_tables
from evalkit.reports.leaderboard_grid import all_grids
from evalkit.stats.agreement import agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from tests.ratings.rows import judged
from tests.reports.test_same_figures import squeezed, told
from tests.shared_data import shared_data

CLAIMS, EDGES, TRIALS = "audit/test_claims.py", "ratings/test_intervals_at_the_ends.py", "audit/test_trials.py"
SAME, ALIKE, HERE = (
    "reports/test_same_figures.py",
    "audit/test_ratings_as_on_a_leaderboard.py",
    "certification/test_entries.py",
)
TESTS = {
    "N1 a judge that never changes its verdict is accused of order dependence": [
        (HERE, "test_every_form_says_of_a_trial_what_it_should"),
        (CLAIMS, "test_a_judge_that_never_changes_its_verdict_is_not_accused"),
        (CLAIMS, "test_consistent_judges_are_not_accused_whatever_the_size"),
        (CLAIMS, "test_rounding_excludes_nothing"),
        ("reports/test_audit_verdict.py", "test_an_interval_without_width_is_none"),
    ],
    "N2 order matters little when it decides everything": [
        (HERE, "test_every_form_says_of_a_trial_what_it_should"),
        (CLAIMS, "test_a_judge_that_follows_the_order_in_both_directions_is_found"),
        (CLAIMS, "test_effects_that_cancel_between_categories_are_named"),
        (CLAIMS, "test_cancelling_effects_in_some_categories_are_never_called_little"),
        (CLAIMS, "test_as_many_verdicts_survive_as_when_asked_again"),
    ],
    "N3 an annotator's place for a judge that knows nothing": [
        (CLAIMS, "test_a_judge_that_knows_nothing_takes_nobodys_place"),
        (CLAIMS, "test_a_judge_that_goes_by_length_alone_is_refused_and_few_questions_leave_it_open"),
        (CLAIMS, "test_a_good_judge_takes_an_annotators_place_whatever_people_are_called"),
        (CLAIMS, "test_where_people_guess_too_the_test_tells_nothing"),
    ],
    "N4 intervals of zero width at the edge": [
        (HERE, "test_all_wins_have_the_same_wide_limits_in_every_form"),
        (HERE, "test_raters_who_always_agree_are_not_certain_to"),
        (EDGES, "test_all_wins_have_an_interval_with_a_width"),
        (EDGES, "test_differences_at_the_edge_have_a_width_and_no_endless_t"),
        (EDGES, "test_scores_that_are_all_at_an_end_of_the_scale"),
        ("stats/test_bounded.py", "test_scores_alike_leave_room_for_a_far_one_and_scores_that_spread_do_not"),
    ],
    "N5 few questions a category": [
        (HERE, "test_tables_by_category_show_n_and_a_reason_where_it_is_small"),
        (EDGES, "test_few_questions_of_a_category_have_a_reason_instead_of_an_interval"),
        (EDGES, "test_battles_on_fewer_than_four_questions_have_a_reason_instead_of_limits"),
    ],
    "N6 the error beside the interval ignores clustering": [
        (HERE, "test_rows_that_are_there_again_are_said_and_narrow_nothing"),
        (EDGES, "test_the_error_of_independent_rows_is_that_of_alpaca_eval_only"),
        (TRIALS, "test_rows_that_are_there_twice_narrow_nothing"),
        ("ratings/test_copies_never_narrow.py", "test_copies_of_verdicts_never_narrow"),
        ("ratings/test_copies_never_narrow.py", "test_copies_of_scores_never_narrow"),
    ],
    "N7 no paired comparison of scores": [
        (HERE, "test_two_checkpoints_are_compared_in_every_form"),
        ("decisions/test_compare.py", "test_the_two_checkpoints"),
        ("ratings/test_differences.py", "test_every_method_has_differences_and_ranks"),
    ],
    "N8 fixed categories are resampled as if random": [(EDGES, "test_only_declared_categories_are_strata")],
    "N9 S2 makes the worst judge look best": [
        (SAME, "test_s2_never_stands_without_the_votes_it_is_of"),
        (SAME, "test_a_judge_that_is_seldom_sure_does_not_lead_the_first_figure"),
        (CLAIMS, "test_a_ranking_like_peoples_takes_five_models_and_verdicts_that_hold"),
        (CLAIMS, "test_votes_with_a_winner_stand_beside_all_votes"),
    ],
    "N10 the audit rates whom the leaderboard refuses": [
        (ALIKE, "test_ratings_of_the_mtbench_votes_are_the_same"),
        (ALIKE, "test_online_elo_of_the_mtbench_votes_is_the_same"),
        (ALIKE, "test_a_model_that_never_lost_has_no_rating_and_is_named"),
        (ALIKE, "test_groups_that_never_met_are_named"),
    ],
    "N11 categories differ too often, and boxes warn too often": [
        (CLAIMS, "test_an_unbiased_judge_is_warned_of_in_five_percent_of_audits"),
        (CLAIMS, "test_the_box_says_how_many_warnings_there_might_have_been"),
        ("stats/test_heterogeneity.py", "test_silent_on_equal_groups_however_much_questions_differ"),
        ("certification/test_certification.py", "test_what_is_not_there_is_seldom_said_and_what_is_there_is_found"),
    ],
    "N12 failing not at random": [
        ("ratings/test_differences.py", "test_a_model_that_fails_on_its_worst_is_compared_on_common_questions"),
        (CLAIMS, "test_judgments_that_fail_for_one_model_are_named"),
        (SAME, "test_answers_that_are_missing_unevenly_are_named"),
    ],
    "N13 length-controlled win rates near the top; votes for a win rate": [
        ("audit/test_label_budgets.py", "test_the_plan_in_words_is_the_plan_in_figures"),
        ("audit/test_label_budgets.py", "test_the_plan_carried_out_has_the_precision_it_promises"),
        ("certification/test_certification.py", "test_coverage"),
    ],
    "N14 a p-value beside its opposite; terminal and page differ": [
        (TRIALS, "test_no_bias_is_never_found_beside_a_p_value_that_says_otherwise"),
        (SAME, "test_an_audit_of_pairs_has_the_same_figures_everywhere"),
        (SAME, "test_scores_are_the_same_on_a_leaderboard_and_in_an_audit"),
    ],
    "N15 names that people misread": [
        (TRIALS, "test_names_that_were_misread_are_gone_and_numbers_come_with_their_unit"),
        (SAME, "test_no_judge_is_dropped_at_80_columns"),
        (HERE, "test_alpha_among_people_is_in_every_form"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("entry", TESTS)
def test_every_entry_has_tests_that_are_there(entry):
    for path, name in TESTS[entry]:
        tree = ast.parse((Path(__file__).parents[1] / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (path, name)


@pytest.mark.parametrize(
    ("trial", "said", "never"),
    [
        ("never_changes", "The order in which answers are shown matters little", "That a verdict given in one order"),
        ("all_by_place", "only 0.0% of verdicts survive the swap", "shown matters little: no bias was found"),
    ],
)
@pytest.mark.parametrize("form", ["table", "json", "page"])
def test_every_form_says_of_a_trial_what_it_should(trial, said, never, form):
    path = shared_data("trials", trial, "gpt-4_pair.jsonl")
    found = audited(gather(row.record for row in load("fastchat").read(path)))
    text = squeezed(told(found, form))
    if form != "json":
        assert said in text
        assert never not in text
        return
    rows = {row["metric"]: row for row in json.loads(told(found, form))["findings"]}
    effect, same = rows["position_logit"], rows["position_consistency"]
    assert effect["estimate"] == pytest.approx(0.0, abs=1e-9)
    assert effect["lower"] < -0.1 < 0.1 < effect["upper"]
    assert same["estimate"] == (1.0 if trial == "never_changes" else 0.0)
    assert same["upper"] - same["lower"] > 0.005


def forms(board):
    """A leaderboard's terminal and page as text, and its JSON."""
    console = Console(file=io.StringIO(), width=120, highlight=False)
    grids = all_grids(board.standings, [])
    leaderboard_tables.show(console, grids)
    page = html.unescape(re.sub(r"<[^>]+>", " ", leaderboard_page.page(grids, [])))
    data = json.loads(leaderboard_tables.to_json(board.standings, board.notes))
    return squeezed(console.file.getvalue()), squeezed(page), data["rows"]


@pytest.mark.parametrize(("method", "value", "digits"), [("winrate", "win_rate", 2), ("elo", "rating", 0)])
def test_all_wins_have_the_same_wide_limits_in_every_form(method, value, digits):
    terminal, page, rows = forms(rate(Choices(paths=(shared_data("trials", "all_wins.csv"),), method=method)))
    assert len(rows) == 2
    for row in rows:
        assert row["upper"] - row["lower"] > 5
        shown = f"{row[value]:.{digits}f} {row['lower']:.{digits}f}–{row['upper']:.{digits}f}"
        assert shown in terminal
        assert shown in page


def test_two_checkpoints_are_compared_in_every_form():
    from evalkit.ratings.scores import scores

    path = shared_data("trials", "two_checkpoints", "gpt-4_single.jsonl")
    board = scores([row.record for row in load("fastchat").read(path)])
    (pair,) = board.standings[0].about.differences.pairs
    assert (pair.interval.estimate, pair.interval.clusters) == (pytest.approx(-0.375), 80)
    assert pair.interval.upper < 0
    for text in forms(board)[:2]:
        assert f"{pair.interval.estimate:.3f} {pair.interval.lower:.3f} to {pair.interval.upper:.3f} -4.4" in text


@pytest.mark.parametrize("questions", [8, 20, 80])
def test_raters_who_always_agree_are_not_certain_to(questions):
    labels = np.where(np.arange(3 * questions) % 3 > 0, "A", "B")
    question = np.repeat(np.arange(questions), 3)
    rows = [[label] * 3 for label in labels.tolist()]
    counts = np.stack([(labels == label) * 3.0 for label in ("A", "B")], axis=1)
    found = [
        agreement(labels.tolist(), labels.tolist(), clusters=question).clustered,
        cohen_kappa(labels.tolist(), labels.tolist(), clusters=question),
        krippendorff_alpha(rows, clusters=question),
        fleiss_kappa(counts, clusters=question),
    ]
    for one in found:
        assert (one.estimate, one.upper) == (1.0, pytest.approx(1.0))
        assert 0.4 / questions < 1 - one.lower < 8 / questions


def test_tables_by_category_show_n_and_a_reason_where_it_is_small():
    from evalkit.ratings.scores import scores
    from tests.ratings.test_scores import row

    rows = [row(str(q), q % 5 + 3, category="math" if q < 3 else "writing") for q in range(20)]
    terminal, page, _ = forms(scores(rows))
    (whole,) = [one.main for one in scores(rows).standings if one.category == "writing"]
    limits = f"{whole.estimate:.2f} {whole.lower:.2f}–{whole.upper:.2f}"
    for text in (terminal, page):
        assert re.search(r"math 3 4\.00 (?!\d)", text), "no limits, but how many questions"
        assert f"writing 17 {limits}" in text
    assert "no interval of 'math': needs at least 4 questions" in terminal


def test_rows_that_are_there_again_are_said_and_narrow_nothing(tmp_path):
    rows = list(csv.reader(shared_data("trials", "all_wins.csv").read_text(encoding="utf-8").splitlines()))
    rows += [[str(20 + q), "A", "B", winner, "j"] for q, winner in enumerate(["model_b", "tie", "model_a"] * 3)]
    files = {"once": rows, "twice": rows + rows[1:]}
    widths, notes = {}, {}
    for name, lines in files.items():
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(map(",".join, lines)) + "\n")
        said = []
        battle_table.read([path], note=said.append)
        notes[name] = [note for note in said if "there again" in note]
        for method in ("winrate", "bt"):
            for one in rate(Choices(paths=(path,), method=method)).standings:
                widths[name, method, one.model] = one.main.upper - one.main.lower
    assert notes["once"] == []
    (note,) = notes["twice"]
    assert note.startswith("19 rows are there again")
    for method in ("winrate", "bt"):
        for model in "AB":
            assert widths["twice", method, model] > 0.98 * widths["once", method, model]


@pytest.mark.parametrize("form", ["table", "json", "page"])
def test_alpha_among_people_is_in_every_form(form):
    rng = np.random.default_rng(0)
    rows = []
    for q in range(30):
        for voter in range(3):
            said = (1.0, 0.0) if rng.random() < 0.7 else (0.0, 1.0)
            rows.append(judged("a", "b", said, item=f"q{q}", judge=f"p{voter}", fingerprint="human", protocol="human"))
        rows.append(judged("a", "b", (1.0, 0.0), item=f"q{q}"))
    text = told(audited(gather(rows)), form)
    assert ("agreement_human_alpha" if form == "json" else "Krippendorff's alpha among people") in squeezed(text)
