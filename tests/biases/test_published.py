"""Figures of public data; see tests/shared_data.py. Expected values: data/README.md, and the papers it names."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from evalkit import interop
from evalkit.audit.rankings_compared import compared
from evalkit.biases.length import Length, _voted
from evalkit.biases.position import Position
from evalkit.biases.self_preference import SelfPreference
from evalkit.core.schema import Judgment, Response
from evalkit.evidence.gather import gather
from evalkit.evidence.joint_ratings import fit, fit_twice
from evalkit.evidence.joint_ratings import rows as compared_rows
from evalkit.stats.gameability import gameability
from tests.biases.simulated import only
from tests.shared_data import shared_data


@cache
def gathered(name: str, path: Path):
    rows = [row.record for row in interop.load(name).read(path)]
    (found,) = gather(
        (row for row in rows if isinstance(row, Judgment)), (row for row in rows if isinstance(row, Response))
    )
    return found


def by(found, judge, protocol=None):
    (one,) = [e for e in found.evidence if e.judge == judge and protocol in (None, e.protocol)]
    return one


@pytest.mark.parametrize(
    ("judge", "consistency", "first", "last", "fairness", "logit", "twice"),
    [("gpt4", 0.689, 237, 12, -0.281, 0.710, (113, 2)), ("claude", 0.549, 74, 287, 0.266, -0.687, (28, 220))],
)
def test_position_in_prd(judge, consistency, first, last, fairness, logit, twice):
    findings = list(Position().findings(by(gathered("prd", shared_data("prd_vicuna80")), judge)))
    whole = only(findings, "position_consistency")
    assert whole.n == 800
    assert whole.questions == 80
    assert whole.estimate == pytest.approx(consistency, abs=5e-4)
    assert whole.details["counts"]["first"] == first
    assert whole.details["counts"]["last"] == last
    assert only(findings, "position_fairness").estimate == pytest.approx((last - first) / 800, abs=1e-12)
    assert only(findings, "position_fairness").estimate == pytest.approx(fairness, abs=5e-4)
    effect = only(findings, "position_logit")
    assert effect.estimate == pytest.approx(logit, abs=5e-4)
    assert (effect.n, effect.questions) == (1600, 80)
    within = only(findings, "position_logit_within_pairs")
    assert (within.details["counts"]["first"], within.details["counts"]["last"]) == twice
    assert within.estimate == pytest.approx(0.5 * np.log(twice[0] / twice[1]))
    assert only(findings, "position_first").estimate == pytest.approx(first / (first + last))
    assert only(findings, "position_fairness", "coding").questions == 7


def test_clustered_error_in_prd():
    """Questions are the unit: the unclustered error of GPT-4 over Bard is too small. Ours has the factor Q/(Q-1)."""
    evidence = by(gathered("prd", shared_data("prd_vicuna80")), "gpt4")
    pairs = evidence.pairs
    a, b = np.concatenate([pairs.a, pairs.b]), np.concatenate([pairs.b, pairs.a])
    outcome = np.concatenate([pairs.plain, 1 - pairs.swapped])
    fitted = fit(a, b, outcome, np.ones((a.size, 1)), np.tile(pairs.question, 2))
    codes = [fitted.used.tolist().index(evidence.models.index(name)) for name in ("gpt4", "bard")]
    assert fitted.ratings.difference(*codes).standard_error == pytest.approx(0.244 * (80 / 79) ** 0.5, abs=0.001)
    contrast = np.zeros(6)
    contrast[codes] = 1, -1
    assert (contrast @ fitted.ratings.covariance_unclustered @ contrast) ** 0.5 == pytest.approx(0.137, abs=0.0015)


def test_gpt4_on_mtbench_is_inconsistent_on_15_8_percent():
    findings = list(Position().findings(gathered("fastchat", shared_data("mtbench_votes")).evidence[0]))
    assert 1 - only(findings, "position_consistency").estimate == pytest.approx(380 / 2400)
    assert only(findings, "position_first").not_measurable.startswith("needs the verdict of each order")
    shares = {"writing": 0.090, "roleplay": 0.137, "reasoning": 0.227, "math": 0.190}
    shares |= {"coding": 0.197, "extraction": 0.150, "stem": 0.137, "humanities": 0.140}
    for category, share in shares.items():
        assert 1 - only(findings, "position_consistency", category).estimate == pytest.approx(share, abs=5e-4)


def test_length_on_mtbench():
    """Saito's metric sees a bias of .30; the slope in excess of people's sees none."""
    findings = list(Length().findings(gathered("fastchat", shared_data("mtbench_votes")).evidence[0]))
    saito = only(findings, "length_verbosity_bias")
    assert saito.estimate == pytest.approx(0.300, abs=5e-4)
    assert (saito.n, saito.details["n_shorter"], saito.details["n_longer"]) == (1638, 510, 1128)
    assert (saito.lower, saito.upper) == pytest.approx((0.222, 0.381), abs=0.01)
    assert only(findings, "length_human_prefer_longer").estimate == pytest.approx(0.689, abs=5e-4)
    excess = only(findings, "length_slope_excess")
    assert excess.n == 2568
    assert excess.details["sharpness"] == pytest.approx(1.42, abs=0.005)
    assert excess.estimate == pytest.approx(-0.0545, abs=5e-4)
    assert (excess.lower, excess.upper) == pytest.approx((-0.31, 0.23), abs=0.03)


def test_one_empty_answer_accounts_for_the_length_slope_of_the_notes():
    """D = -.043 leaves out LLaMA's empty answer to question 127, on which there are nine votes; ours counts them."""
    evidence = gathered("fastchat", shared_data("mtbench_votes")).evidence[0]
    rows = _voted(evidence)
    kept = np.abs(rows.difference) < 1  # 1: one of the two answers has no text at all
    assert (~kept).sum() == 9
    assert {evidence.questions[question] for question in rows.question[~kept]} == {"127"}
    z = (rows.difference / np.sqrt((rows.difference[kept] ** 2).mean()))[kept, None]
    columns = rows.a[kept], rows.b[kept]
    sides = [compared_rows(*columns, said[kept], rows.question[kept], z) for said in (rows.judge, rows.people)]
    assert fit_twice(*sides).both.excess(0).estimate == pytest.approx(-0.043, abs=5e-4)


def test_self_preference_on_mtbench():
    """At the edge of the placebo: reported, and not claimed."""
    findings = list(SelfPreference().findings(gathered("fastchat", shared_data("mtbench_votes")).evidence[0]))
    own = only(findings, "self_preference_residual")
    assert own.details["model"] == "gpt-4"
    assert own.estimate == pytest.approx(0.51, abs=0.005)
    assert (own.lower, own.upper) == pytest.approx((0.16, 0.86), abs=0.03)
    assert own.details["sharpness"]["estimate"] == pytest.approx(1.47, abs=0.005)
    placebo = {name: row["estimate"] for name, row in own.details["placebo"].items()}
    assert placebo == pytest.approx(
        {"gpt-3.5-turbo": -0.49, "llama-13b": 0.44, "claude-v1": 0.10, "alpaca-13b": -0.18}, abs=0.006
    )
    assert own.details["excludes_null"] is False
    gaps = {row.details["model"]: row for row in findings if row.metric == "self_win_rate_gap"}
    assert gaps["gpt-4"].estimate == pytest.approx(0.115, abs=5e-4)
    assert gaps["gpt-4"].details["by_judge"] == pytest.approx(0.856, abs=5e-4)
    recall = {row.details["model"]: row for row in findings if row.metric == "self_equal_opportunity"}
    assert recall["gpt-4"].estimate == pytest.approx(0.168, abs=0.005), "other models in every pair, not rivals only"
    assert recall["gpt-4"].n == 1723


def test_judgebench():
    found = gathered("judgebench", shared_data("judgebench"))
    mine = [row for row in compared(found) if row.judge == "o1-mini-2024-09-12"]
    strict = only(mine, "gold_accuracy_both_orders")
    assert 100 * strict.estimate == pytest.approx(65.71, abs=0.005)
    assert strict.n == 350
    assert strict.details["inconsistent"] == 110


@pytest.mark.parametrize(
    ("judge", "accuracy", "consistency", "first", "last"),
    [("GPT-4", 0.955, 0.95, 3, 2), ("ChatGPT", 0.815, 0.71, 25, 4)],
)
def test_llmbar(judge, accuracy, consistency, first, last):
    found = gathered("llmbar", shared_data("llmbar"))
    evidence = by(found, judge, "llmbar_vanilla")
    mine = [row for row in compared(found) if (row.judge, row.protocol) == (judge, "llmbar_vanilla")]
    assert only(mine, "gold_accuracy").estimate == pytest.approx(accuracy, abs=1e-9)
    whole = only(list(Position().findings(evidence)), "position_consistency")
    assert whole.estimate == pytest.approx(consistency, abs=1e-9)
    assert (whole.details["counts"]["first"], whole.details["counts"]["last"]) == (first, last)


@pytest.mark.parametrize("judge", ["GPT-4", "ChatGPT"])
@pytest.mark.parametrize("prompt", ["Vanilla", "Swap"])
def test_llmbar_as_its_own_statistics_say(judge, prompt):
    """Each folder's statistics.json: right on average, right in both orders, the same verdict in both."""
    folder = shared_data("llmbar")
    said = json.loads((folder / "Natural" / judge / prompt / "statistics.json").read_text(encoding="utf-8"))
    found = gathered("llmbar", folder)
    protocol = f"llmbar_{prompt.lower()}"
    mine = [row for row in compared(found) if (row.judge, row.protocol) == (judge, protocol)]
    consistency = only(list(Position().findings(by(found, judge, protocol))), "position_consistency")
    assert f"{100 * only(mine, 'gold_accuracy').estimate:.1f}%" == said["correct_average"]
    assert f"{consistency.details['counts']['consistent']} / 100" in said["equal"]
    assert only(mine, "gold_accuracy").n == 200
    both = only(mine, "gold_accuracy_both_orders")
    assert f"{100 * both.estimate:.1f}%" == said["correct_both"].split(" = ")[1]


def test_gameability_of_win_rates():
    """AlpacaEval 2, six models: concise, plain, verbose."""
    rates = np.array(
        [
            [22.92, 50, 64.30],
            [9.40, 15.76, 23.24],
            [9.23, 15.73, 24.35],
            [13.74, 18.26, 24.61],
            [7.42, 9.18, 12.76],
            [1.99, 2.59, 2.93],
        ]
    )
    controlled = np.array(
        [
            [41.9, 50, 51.58],
            [21.58, 30.18, 33.82],
            [18.21, 25.25, 30.29],
            [22.96, 23.69, 23.22],
            [15.77, 19.30, 22.00],
            [4.47, 5.88, 6.82],
        ]
    )
    found = [gameability(rates[:, 1], rates[:, column]) for column in (2, 0)]
    assert sorted(found) == pytest.approx([21.35, 29.76], abs=0.03)  # rates are rounded
    spread = 1.02143  # of raw over length-controlled win rates, over the 199 models of the leaderboard
    found = [gameability(controlled[:, 1], controlled[:, column], spread=spread) for column in (2, 0)]
    assert sorted(found) == pytest.approx([7.52, 16.10], abs=0.03)
