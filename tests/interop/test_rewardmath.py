"""RewardMATH: solutions with their text, scores of steps by each rule, and RewardBench's solutions apart."""

from __future__ import annotations

import math

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Item, Judgment, Response
from evalkit.interop import load
from evalkit.interop.labelled import format_of
from evalkit.judges.reward import reduced
from tests.interop.files import save
from tests.shared_data import shared_data


def read(path):
    return [one.record for one in load("rewardmath").read(path)]


def kinds(found):
    return tuple([row for row in found if isinstance(row, kind)] for kind in (Item, Response, Judgment))


def solution(problem, steps, right=False, by="m", **more):
    kind = "chosen" if right else "rejected"
    return {
        "problem": problem,
        "answer": "4",
        "eval_solution": steps,
        "solution_reference": by,
        "solution_type": kind,
        "subject": "Algebra",
        "level": 1,
        "problem_id": 0,
        "id": 0,
        **more,
    }


DIRECT = [
    solution("2+2?", ["Two and two.", "So 4."], right=True, by="human_to_GPT-4"),
    solution("2+2?", ["It is 5."], by="m"),
    solution("2+2?", ["It is 6."], by="m"),
    solution("3+3?", ["It is 5."], by="n"),
    solution("3+3?", ["It is 6."], right=True, by="human_to_GPT-4"),
]


def test_solutions_one_a_row_are_answers_with_labels(tmp_path):
    save(tmp_path / "set.json", DIRECT)
    items, answers, labels = kinds(read(tmp_path / "set.json"))
    assert [(item.turns, item.category) for item in items] == [(("2+2?",), "Algebra"), (("3+3?",), "Algebra")]
    assert answers[0].turns == ("Two and two.\nSo 4.",)
    assert [one.model.name for one in answers[:3]] == ["human_to_GPT-4", "m", "m (2)"]
    told = [(row.models[0].name, row.models[1].name, row.scores) for row in labels]
    assert told == [
        ("human_to_GPT-4", "m", (1.0, 0.0)),
        ("human_to_GPT-4", "m (2)", (1.0, 0.0)),
        ("human_to_GPT-4", "n", (1.0, 0.0)),  # the right one comes last
    ]
    assert {row.judge.name for row in labels} == {"gold"}


def test_pairs_of_solutions_are_the_same_answers_and_labels(tmp_path):
    right, wrong = DIRECT[0], DIRECT[1:3]
    rows = [
        {
            "problem": "2+2?",
            "eval_solution_A": (right if first else one)["eval_solution"],
            "eval_solution_B": (one if first else right)["eval_solution"],
            "chosen_position": "A" if first else "B",
            "solution_reference": one["solution_reference"],
            "subject": "Algebra",
        }
        for one, first in zip(wrong, (True, False), strict=True)
    ]
    save(tmp_path / "pairs.json", rows)
    save(tmp_path / "direct.json", DIRECT[:3])
    pairs, direct = (kinds(read(tmp_path / name)) for name in ("pairs.json", "direct.json"))
    assert [row.shown for row in pairs[2]] == [row.shown for row in direct[2]]
    assert {(one.model.name, one.turns) for one in pairs[1]} == {(one.model.name, one.turns) for one in direct[1]}


def test_what_holds_solutions_is_told_by_its_fields(tmp_path):
    save(tmp_path / "a.json", DIRECT)
    save(tmp_path / "b.jsonl", [{"problem": "p", "eval_solution_A": ["a"], "eval_solution_B": ["b"]}])
    assert {format_of(tmp_path / name) for name in ("a.json", "b.jsonl")} == {"rewardmath"}


def test_scores_of_steps_are_one_score_by_each_rule(tmp_path):
    steps = [[0.5, 0.25], [0.75], [0.5, None]]
    save(
        tmp_path / "prm_reward.json",
        [{"problem": "p", "solution_reference": ["a", "b", "c"], "score": steps}],
    )
    _, _, rows = kinds(read(tmp_path / "prm_reward.json"))
    scores = {(row.protocol, row.models[0].name): row.scores for row in rows if row.judge.name == "prm"}
    assert scores["rewardmath_min", "a"] == (0.25,)
    assert scores["rewardmath_mean", "a"] == (0.375,)
    assert scores["rewardmath_last", "a"] == (0.25,)
    assert scores["rewardmath_product", "a"] == (0.125,)
    assert scores["rewardmath_mean", "b"] == (0.75,)
    lost = [row for row in rows if row.judge.name == "prm" and row.models[0].name == "c"]
    assert [row.error.kind for row in lost] == ["unparsed"] * 4  # a step without a number is no score
    assert lost[0].raw == "[0.5, null]"


def test_steps_that_are_no_probabilities_have_no_product(tmp_path):
    save(tmp_path / "prm.json", [{"problem": "p", "solution_reference": ["a", "b"], "score": [[-1.0, 2.0], [3.0]]}])
    _, _, rows = kinds(read(tmp_path / "prm.json"))
    failed = {row.protocol for row in rows if isinstance(row.error, Failure)}
    assert failed == {"rewardmath_product"}


def test_rewardbenchs_solutions_to_these_problems_are_a_set_of_their_own(tmp_path):
    save(
        tmp_path / "rewardbench_Rm.json",
        [{"problem": "2+2?", "solution_reference": ["human_to_GPT-4", "x"], "score": [1.0, 0.5]}],
    )
    save(
        tmp_path / "rewardbench_Prm.json",
        [
            solution("2+2?", ["4."], right=True, output={"step_scores": [0.5, 0.5]}),
            solution("2+2?", ["5."], output={"step_scores": [0.25]}),
        ],
    )
    save(tmp_path / "Rm_reward.json", [{"problem": "2+2?", "solution_reference": ["h", "x"], "score": [1.0, 0.5]}])
    _, _, rows = kinds(read(tmp_path))
    assert {(row.benchmark, row.judge.name) for row in rows} == {
        ("rewardmath", "gold"),
        ("rewardmath", "Rm"),
        ("rewardbench_math", "gold"),
        ("rewardbench_math", "Rm"),
        ("rewardbench_math", "Prm"),
    }
    sides = {row.models[0].name for row in rows if row.benchmark == "rewardbench_math" and row.judge.name != "gold"}
    assert sides == {"chosen", "rejected"}


def test_a_solution_that_is_neither_right_nor_wrong_is_named(tmp_path):
    save(tmp_path / "set.json", [DIRECT[0] | {"solution_type": "maybe"}])
    with pytest.raises(UsageError, match="maybe"):
        read(tmp_path / "set.json")


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        ("Math_Shepherd", {"min": 15.3209, "mean": 15.1139, "last": 18.2195, "product": 17.1843}),
        ("Easy_to_hard", {"min": 12.8364, "mean": 18.6335, "last": 13.2505, "product": 14.0787}),
    ],
)
def test_best_of_ten_of_process_reward_models(judge, expected):
    _, _, rows = kinds(read(shared_data("rewardmath", f"{judge}_reward.json")))
    assert len({row.item for row in rows}) == 483
    for rule, percent in expected.items():
        scores = {}
        for row in rows:
            if row.protocol == f"rewardmath_{rule}":
                scores.setdefault(row.item, []).append(row.scores[0])
        best = sum(one[0] > max(one[1:]) for one in scores.values())
        assert round(100 * best / 483, 4) == percent


@pytest.mark.parametrize("rule", ["min", "mean", "last", "product"])
def test_one_step_is_its_own_score(rule):
    assert math.isclose(reduced([0.3], rule), 0.3)
