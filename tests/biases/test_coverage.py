"""Intervals hold the planted truth as often as they say; made of judges whose truth is known to the last digit.

Quality is nothing but the models' ability here, so that no logit shrinks: what is planted is what should come out.
"""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest

from evalkit.biases.format import Format
from evalkit.biases.length import Length
from evalkit.biases.position import Position
from evalkit.biases.self_preference import SelfPreference
from evalkit.core.schema import Ref, Response
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from tests.biases.simulated import only
from tests.ratings.rows import judged

pytestmark = pytest.mark.slow
MODELS = ("m0", "m1", "m2", "m3", "m4")
ABILITY = dict(zip(MODELS, np.linspace(-0.6, 0.6, len(MODELS)), strict=True))
SHARPER = 1.6
AUDITS = 20
ENOUGH = 16
"""Of 20 intervals that each hold the truth 19 times in 20, fewer than 16 do once in 390."""
MARKS = {"headers": "# head\n", "lists": "- item\n", "bold": "**bold** ", "code": "```\nx\n```\n"}


def study(seed, *, length=0.0, length_people=0.0, own=0.0, marked=0.0, questions=30):
    """Evidence of judge m0, and the spread of the differences in length; effects in logits, of length per unit."""
    rng = np.random.default_rng(seed)
    rows, answers, squares = [], [], []

    def said(x):
        return (1.0, 0.0) if rng.random() < 1 / (1 + np.exp(-x)) else (0.0, 1.0)

    for q in range(questions):
        texts, ids, marks = {}, {}, {}
        for model in MODELS:
            body = " ".join(rng.choice(["sea", "lamp", "road", "paper", "river"], int(rng.integers(10, 60))))
            marks[model] = {name: bool(rng.integers(2)) for name in MARKS}
            texts[model] = "".join(text for name, text in MARKS.items() if marks[model][name]) + f"{body} {q}{model}"
            answer = Response(
                key=f"{model}{q}",
                item=f"q{q}",
                benchmark="arena",
                category="w",
                model=Ref(model, "1"),
                turns=(texts[model],),
            )
            answers.append(answer)
            ids[model] = answer.id
        for a, b in combinations(MODELS, 2):
            sizes = len(texts[a]), len(texts[b])
            apart = (sizes[0] - sizes[1]) / sum(sizes)
            gap = ABILITY[a] - ABILITY[b] + marked * (marks[a]["lists"] - marks[b]["lists"])
            x = SHARPER * gap + length * apart + own * ((a == "m0") - (b == "m0"))
            about = {"item": f"q{q}", "shown": (ids[a], ids[b]), "lengths": sizes}
            turned = {"item": f"q{q}", "shown": (ids[b], ids[a]), "lengths": sizes[::-1]}
            rows.append(judged(a, b, said(x), judge="m0", **about))
            rows.append(judged(b, a, said(-x), judge="m0", **turned))
            for voter in range(2):
                squares.append(apart**2)
                person = {"judge": f"p_{voter}", "fingerprint": HUMAN, "protocol": "human"}
                rows.append(judged(a, b, said(gap + length_people * apart), **person, **about))
    return gather(rows, answers)[0].evidence[0], float(np.sqrt(np.mean(squares)))


@pytest.mark.parametrize(("judge", "people"), [(0.0, 1.0), (3.0, 1.0)])
def test_length_intervals_hold_the_planted_slope(judge, people):
    covered = []
    for seed in range(AUDITS):
        evidence, spread = study(seed, length=judge, length_people=people)
        row = only(list(Length().findings(evidence)), "length_slope_excess")
        covered.append(row.lower <= (judge - SHARPER * people) * spread <= row.upper)
    assert sum(covered) >= ENOUGH


def test_self_intervals_hold_the_planted_preference():
    covered, estimates = [], []
    for seed in range(AUDITS):
        row = only(list(SelfPreference().findings(study(seed, own=1.2)[0])), "self_preference_residual")
        if row.estimate is not None:  # refused where people's ranking is not clear
            covered.append(row.lower <= 1.2 <= row.upper)
            estimates.append(row.estimate)
    assert sum(covered) >= ENOUGH
    assert np.mean(estimates) == pytest.approx(1.2, abs=0.2)


def test_format_is_silent_on_a_judge_that_is_only_sharper():
    """Five features at once, each adjusted for the others: any of them flagged counts."""
    wrong = 0
    for seed in range(AUDITS):
        rows = list(Format().findings(study(seed, marked=0.4)[0]))
        tested = [row for row in rows if row.metric.endswith("_excess") and row.estimate is not None]
        assert {row.metric for row in tested} == {f"format_{name}_excess" for name in (*MARKS, "vocabulary")}
        wrong += any(row.details["excludes_null"] for row in tested)
    assert wrong <= 3, "at a true rate of 5%, four of twenty or more happen once in sixty"


@pytest.mark.parametrize(("consistent", "first", "last"), [(20, 9, 1), (5, 3, 3), (12, 0, 6), (9, 1, 0), (7, 0, 0)])
def test_the_exact_test_is_the_binomial_one(consistent, first, last):
    rows = []
    for q, kind in enumerate(["same"] * consistent + ["first"] * first + ["last"] * last):
        one = (0.0, 1.0) if kind == "last" else (1.0, 0.0)
        other = (1.0, 0.0) if kind == "first" else (0.0, 1.0)
        rows += [judged("a", "b", one, item=f"q{q}"), judged("b", "a", other, item=f"q{q}")]
    found = list(Position().findings(gather(rows)[0].evidence[0]))
    p = binomtest(first, first + last, 0.5).pvalue if first + last else 1.0
    fair = only(found, "position_fairness")
    assert fair.details["p_value"] == pytest.approx(p)
    assert f"Test of no preference, signs of questions exchanged: p = {p:.2g}." in fair.sentence
    assert fair.estimate == pytest.approx((last - first) / (consistent + first + last))
    if first + last:
        assert only(found, "position_first").details["p_value"] == pytest.approx(p)


def by_gap(seed, fades):
    """Five models; the first place is worth 1.5 logits between equals, and less by ``fades`` for each logit apart."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(60):
        for a, b in combinations(MODELS, 2):
            for first, second in ((a, b), (b, a)):
                gap = 2.5 * (ABILITY[first] - ABILITY[second])
                x = gap + 1.5 - fades * abs(gap)
                win = rng.random() < 1 / (1 + np.exp(-x))
                rows.append(judged(first, second, (1.0, 0.0) if win else (0.0, 1.0), item=f"q{q}"))
    return only(list(Position().findings(gather(rows)[0].evidence[0])), "position_logit_by_gap")


def test_position_that_fades_with_the_gap_is_seen_to():
    found = [by_gap(seed, 0.6) for seed in range(15)]
    assert sum(row.lower <= -0.6 <= row.upper for row in found) >= 12
    assert all(row.estimate < 0 for row in found)
    assert sum(row.upper < 0 for row in found) >= 12
    for row in found:
        close, middle, far = row.details["by_gap"]
        assert close["gap"] < middle["gap"] < far["gap"]
        assert close["consistency"] < far["consistency"]
        assert close["fairness"] < far["fairness"]
        for third in (close, middle, far):
            for what in ("consistency", "fairness"):
                low, high = third[f"{what}_limits"]
                assert low < third[what] < high
        assert close["n"] + middle["n"] + far["n"] == 600
        assert close["questions"] == 60
    assert sum(not row.lower <= 0 <= row.upper for row in (by_gap(seed, 0.0) for seed in range(15))) <= 3
