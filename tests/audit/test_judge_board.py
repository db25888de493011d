"""A board of judges: what is counted, who is told apart, and every sentence where it is true and where it is not."""

from __future__ import annotations

import json
import math
import random

import pytest

from evalkit.audit.judge_board import PEOPLE, JudgingCost, chosen_categories, judge_board
from evalkit.audit.label_cells import LONGER
from evalkit.core.preference_strength import STEPS
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import GOLD, HUMAN
from evalkit.reports.judges_grids import grids
from evalkit.reports.judges_output import page, to_csv, to_json
from evalkit.reports.judges_words import answer, remarks
from tests.ratings.rows import judged, single

WON, LOST, TIED = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)


def pairs(judges, *, questions=80, gold=True, seed=0, first=(), lengths=None, category="writing", **changes):
    """Both orders of answers one (right) and two; ``judges``: how often each is right; ``first``: who go by place."""
    rng = random.Random(seed)
    for number in range(questions):
        item = f"{category}{number}"
        sizes = lengths(number) if lengths else (100, 100)
        about = {"category": category, **changes}
        if gold:
            yield judged("one", "two", WON, item, judge=GOLD, protocol="gold", lengths=sizes, **about)
        for judge, accuracy in judges.items():
            right = rng.random() < accuracy
            for order in (0, 1):
                points = WON if judge in first or right == (order == 0) else LOST
                shown = ("one", "two") if order == 0 else ("two", "one")
                yield judged(*shown, points, item, judge=judge, lengths=sizes[:: 1 if order == 0 else -1], **about)


def board(rows, **options):
    return judge_board(gather(list(rows)), **options)


def table_of(rows, **options):
    (table,) = board(rows, **options).tables
    return table


def row_of(table, name):
    return next(row for row in table.rows if row.name == name)


def test_a_judge_that_is_clearly_better_is_chosen_and_told_apart():
    table = table_of(pairs({"good": 0.95, "poor": 0.6}))
    assert [row.name for row in table.rows] == ["good", "poor", LONGER]
    assert [row.ranks for row in table.rows] == [(1, 1), (2, 2), None]
    said = answer(table)
    assert said.startswith("arena: choose good (")
    assert "told apart from the other one; the next, poor, is " in said
    assert "not told apart" not in said
    assert table.needed is None


def test_judges_that_are_nearly_alike_are_not_told_apart_and_more_labels_would_do():
    table = table_of(pairs({"this": 0.8, "that": 0.76}, questions=60))
    said = answer(table)
    assert said.startswith("arena: not told apart: ")
    assert "choose" not in said
    assert table.needed is not None
    more = round(table.needed.estimate - table.needed.n)
    assert f"about {more:,} more labels would tell" in said
    assert more > 0


def test_judges_that_say_the_same_are_equally_often_right_and_no_number_is_said():
    rows = [row for row in pairs({"this": 0.8})]
    twin = [
        judged(*(m.name for m in row.models), row.scores, row.item, judge="twin")
        for row in rows
        if row.judge.name == "this"
    ]
    said = answer(table_of(rows + twin))
    assert "are right equally often on the labels there are" in said
    assert "more labels" not in said


def test_one_judge_is_not_chosen_among_others():
    assert "one judge only: lone (" in answer(table_of(pairs({"lone": 0.9})))


def test_judges_without_a_common_label_are_not_compared():
    rows = [*pairs({"a": 0.9}, questions=20, category="x"), *pairs({"b": 0.9}, questions=20, category="y")]
    table = table_of(rows)
    assert "a and b have no label in common" in answer(table)
    assert [row.ranks for row in table.judges] == [(1, 2), (1, 2)]


def test_the_longer_answer_is_a_row_and_a_judge_not_ahead_of_it_is_told():
    longer_right = {"lengths": lambda number: (200, 100) if number % 10 else (100, 200)}
    table = table_of(pairs({"judge": 0.9}, **longer_right))
    rule = row_of(table, LONGER)
    assert (rule.kind, rule.right.estimate, rule.ranks) == ("rule", 0.9, None)
    assert "judge is not told apart from the rule that prefers the longer answer (90.0%)" in answer(table)
    said = answer(table_of(pairs({"judge": 0.5}, **longer_right)))
    assert "the rule that prefers the longer answer is right more often than judge (90.0%, told apart)" in said
    ahead = {"lengths": lambda number: (200, 100) if number % 2 else (100, 200)}
    assert "longer answer" not in answer(table_of(pairs({"judge": 0.95}, **ahead)))


def test_answers_of_one_length_make_the_rule_a_tie_and_unknown_ones_leave_it_out():
    rule = row_of(table_of(pairs({"judge": 0.9})), LONGER)
    assert (rule.tied, rule.decided, rule.right.estimate) == (80, 0, 0.0)
    without = table_of(pairs({"judge": 0.9}, lengths=lambda _: ()))
    assert LONGER not in [row.name for row in without.rows]


def failing(rows, judge, items):
    """The same rows; of one judge, those on these items failed."""
    for row in rows:
        lost = row.judge.name == judge and row.item in items
        yield judged(*(m.name for m in row.models), None, row.item, judge=judge) if lost else row


def test_a_failed_verdict_is_no_number_and_its_item_is_named():
    rows = list(pairs({"judge": 1.0, "other": 0.7}))
    table = table_of(failing(rows, "judge", {"writing3", "writing4"}))
    row = row_of(table, "judge")
    assert (row.labels, row.decided, row.tied, row.failed) == (80, 78, 0, 2)
    assert row.right.estimate == 1.0
    assert row.right.n == 78
    assert row.strict == 78 / 80
    assert set(row.items) == {"writing3", "writing4"}
    said = "\n".join(remarks(table))
    assert (
        "judge: no verdict on 2 labels of 80, of 2 questions (writing3, writing4); as not right, they leave 97.5%"
        in said
    )
    assert "other: no verdict" not in said
    assert "no verdict on 2 of 80" in answer(table)
    assert "% right, failed as not" in [
        header
        for grid in grids(board(failing(rows, "judge", {"writing3"})), by_category=False, matrices=False)
        for header in grid.headers
    ]


def test_as_judgebench_counts_the_other_order_decides_where_one_failed():
    rows = list(pairs({"judge": 1.0}, questions=10))
    place = next(n for n, row in enumerate(rows) if row.judge.name == "judge")
    rows[place] = judged(*(m.name for m in rows[place].models), None, rows[place].item, judge="judge")
    row = row_of(table_of(rows, orders="judgebench"), "judge")
    assert (row.failed, row.decided, row.strict) == (0, 10, 1.0)
    rows[place + 1] = judged(*(m.name for m in rows[place + 1].models), None, rows[place].item, judge="judge")
    row = row_of(table_of(rows, orders="judgebench"), "judge")
    assert (row.failed, row.decided, row.strict) == (1, 9, 0.9)


def test_one_order_that_failed_leaves_no_verdict_on_the_pair():
    rows = list(pairs({"judge": 1.0}, questions=10))
    lost = next(place for place, row in enumerate(rows) if row.judge.name == "judge")
    row = rows[lost]
    rows[lost] = judged(*(m.name for m in row.models), None, row.item, judge="judge")
    assert (row_of(table_of(rows), "judge").failed, row_of(table_of(rows), "judge").decided) == (1, 9)
    each = row_of(table_of(rows, orders="each"), "judge")
    assert (each.labels, each.failed, each.decided) == (20, 1, 19)


def test_a_judge_that_is_lost_altogether_is_still_there():
    table = table_of(
        failing(list(pairs({"judge": 1.0, "mute": 1.0}, questions=10)), "mute", {f"writing{n}" for n in range(10)})
    )
    row = row_of(table, "mute")
    assert (row.right, row.strict, row.failed, row.labels) == (None, 0.0, 10, 10)
    assert "mute" not in answer(table)
    assert "one judge only: judge" in answer(table)
    assert any(
        cell.text == "mute"
        for grid in grids(
            board(failing(list(pairs({"mute": 1.0}, questions=3)), "mute", {"writing0", "writing1", "writing2"})),
            by_category=False,
            matrices=False,
        )
        for line in grid.rows
        for cell in line
    )


def test_what_two_orders_come_to():
    rows = [
        judged("one", "two", WON, judge=GOLD, protocol="gold"),
        judged("one", "two", WON, judge="j"),
        judged("two", "one", TIED, judge="j"),
    ]
    assert row_of(table_of(rows), "j").right.estimate == 1.0
    consistent = row_of(table_of(rows, orders="consistent"), "j")
    assert (consistent.right.estimate, consistent.tied) == (0.0, 1)
    each = row_of(table_of(rows, orders="each"), "j")
    assert (each.right.estimate, each.labels, each.tied) == (0.5, 2, 1)


def test_the_place_effect_is_of_a_judge_that_goes_by_place():
    table = table_of(pairs({"fair": 0.9, "first": 0.9}, first={"first"}))
    row = row_of(table, "first")
    assert row.position.estimate == 1.0
    assert row.same_in_both.estimate == 0.0
    assert (row.tied, row.right.estimate) == (80, 0.0)
    fair = row_of(table, "fair")
    assert fair.position.estimate == pytest.approx(0, abs=1e-12)
    assert fair.same_in_both.estimate == 1.0


def test_the_length_effect_is_of_a_judge_that_goes_by_length():
    rows = []
    for number in range(40):
        sizes = (200, 100) if number % 2 else (100, 200)
        rows.append(judged("one", "two", WON, f"q{number}", judge=GOLD, protocol="gold", lengths=sizes))
        rows.append(judged("one", "two", WON if number % 2 else LOST, f"q{number}", judge="long", lengths=sizes))
        rows.append(judged("one", "two", WON, f"q{number}", judge="right", lengths=sizes))
    table = table_of(rows)
    assert row_of(table, "long").length.estimate == 1.0
    assert row_of(table, "right").length.estimate == 0.0


def test_the_family_effect_is_of_a_judge_that_goes_by_family():
    rows = []
    for number in range(40):
        better = ("gpt-4", "claude-2") if number % 2 else ("claude-2", "gpt-4")
        rows.append(judged(*better, WON, f"q{number}", judge=GOLD, protocol="gold"))
        rows.append(judged("gpt-4", "claude-2", WON, f"q{number}", judge="gpt-4o"))
        rows.append(judged("gpt-4", "claude-2", WON, f"q{number}", judge="mistral-large"))
    table = table_of(rows)
    assert row_of(table, "gpt-4o").family.estimate == 1.0
    assert row_of(table, "mistral-large").family is None


def best_of(scores, judge="reward", repeat=0, item="q1"):
    return [single(name, score, item, judge=judge, repeat=repeat) for name, score in scores.items()]


def gold_star(right, wrong, item="q1"):
    return [
        judged(one, other, WON, item, judge=GOLD, protocol="gold", shown=(one, other))
        for one in right
        for other in wrong
    ]


def measures(rows):
    return {table.measure: table for table in board(rows).tables}


def reward(name):
    from evalkit.core.schema import Ref

    return Ref(name, "j1")


def test_best_of_n_is_strict_and_a_tie_at_the_top_is_named():
    rows = []
    for number, scores in enumerate(([3, 2, 1], [2, 2, 1], [1, 2, 0], [5, 1, 1])):
        item = f"q{number}"
        rows += gold_star(["right"], ["a", "b"], item)
        rows += best_of(dict(zip(("right", "a", "b"), map(float, scores), strict=True)), reward("reward"), item=item)
    table = measures(rows)["best of n"]
    row = row_of(table, "reward")
    assert table.shown == 3
    assert (row.labels, row.decided, row.tied, row.right.estimate) == (4, 3, 1, 0.5)
    pairwise = row_of(measures(rows)["pairs"], "reward")
    assert (pairwise.labels, pairwise.tied) == (8, 1)
    assert pairwise.right.estimate == 6 / 8


def test_each_repeat_of_best_of_n_counts():
    rows = gold_star(["right"], ["a", "b"])
    rows += best_of({"right": 3.0, "a": 2.0, "b": 1.0}, reward("r"))
    rows += best_of({"right": 1.0, "a": 2.0, "b": 1.0}, reward("r"), repeat=1)
    row = row_of(measures(rows)["best of n"], "r")
    assert (row.labels, row.right.estimate) == (2, 0.5)


def test_several_right_answers_must_all_be_above_every_wrong_one():
    rows = gold_star(["red", "blue"], ["seven", "none"])
    good = best_of({"red": 9.5, "blue": 8.25, "seven": 3.0, "none": 2.0}, reward("good"))
    poor = best_of({"red": 9.5, "blue": 1.25, "seven": 3.0, "none": 2.0}, reward("poor"))
    table = measures(rows + good + poor)["best of n"]
    assert table.shown == 4
    assert (row_of(table, "good").right.estimate, row_of(table, "poor").right.estimate) == (1.0, 0.0)


def test_the_score_of_ties_is_of_judges_that_score_and_of_numbered_twins():
    rows = []
    for number, good, poor in (("1", 9.25, 8.75), ("2", 9.5, 2.25)):
        rows += gold_star(["r"], ["w", "x"], f"ref:{number}") + gold_star(["r", "s"], ["w", "x"], f"tied:{number}")
        for item, scores in ((f"ref:{number}", {"r": good}), (f"tied:{number}", {"r": good, "s": poor})):
            rows += best_of({**scores, "w": 3.0, "x": 1.5}, reward("reward"), item=item)
    table = measures(rows)["best of n"]
    row = row_of(table, "reward")
    # right alone: 2 of 2; all right on top: 1 of 2; wider than the spread: 1 of 2, and with the twin's gap 1 of 2
    margin = (math.tanh(5.75 / 0.5 - 1) + math.tanh(-0.75 / 7.25 - 1)) / 2
    assert row.ties == pytest.approx(0.3 + 0.15 + 0.1 + 0.1 + 0.01 * margin)
    assert f"several right answers is {100 * row.ties:.1f}" in "\n".join(remarks(table))
    assert all(row.ties is None for row in measures(pairs({"judge": 0.9}))["pairs"].rows)


def test_a_score_that_failed_leaves_a_question_without_a_verdict_unless_it_is_lost_anyway():
    rows = gold_star(["right"], ["a", "b"]) + gold_star(["right"], ["a", "b"], "q2")
    first = best_of({"right": 3.0, "a": 2.0}, reward("r")) + best_of({"right": 1.0, "a": 2.0}, reward("r"), item="q2")
    lost = [
        type(row)(
            **{
                **{name: getattr(row, name) for name in row.__struct_fields__},
                "scores": None,
                "error": Failure("unparsed", "no score"),
            }
        )
        for item in ("q1", "q2")
        for row in best_of({"b": 0.0}, reward("r"), item=item)
    ]
    row = row_of(measures(rows + first + lost)["best of n"], "r")
    assert (row.labels, row.failed, row.decided, row.strict) == (2, 1, 1, 0.0)
    assert row.items == ("q1",)
    pairwise = row_of(measures(rows + first + lost)["pairs"], "r")
    assert (pairwise.labels, pairwise.failed) == (4, 2)


def test_labels_that_are_single_pairs_are_no_best_of_n():
    assert list(measures(pairs({"judge": 0.9}))) == ["pairs"]


def voted(choices, item):
    """Votes of people on one pair; the first answer shown is one."""
    points = {"one": WON, "two": LOST, "tie": TIED}
    return [
        judged("one", "two", points[choice], item, judge=f"ann_{number}", fingerprint=HUMAN, protocol="human_pair")
        for number, choice in enumerate(choices)
    ]


def test_people_are_labels_and_a_row_of_their_own():
    rows = [vote for n in range(20) for vote in voted(("one", "one", "tie"), f"q{n}")]
    rows += [judged("one", "two", WON, f"q{n}", judge="judge") for n in range(20)]
    table = table_of(rows)
    assert (table.source, table.labels) == ("people", 60)
    assert row_of(table, "judge").right.estimate == pytest.approx(2 / 3)
    people = row_of(table, PEOPLE)
    assert (people.kind, people.labels) == ("people", 60)
    assert people.right.estimate == pytest.approx(1 / 3)
    assert answer(table).startswith("arena, people's votes: one judge only: judge (66.7%")


def test_votes_without_any_judge_are_still_on_the_board():
    table = table_of(vote for n in range(20) for vote in voted(("one", "one", "two"), f"q{n}"))
    assert PEOPLE in [row.name for row in table.rows]
    assert answer(table) == "arena, people's votes: no judge has a verdict on these labels."


def labelled(values, judge=GOLD, **changes):
    return [single("model", value, f"q{n}", judge=reward(judge), **changes) for n, value in enumerate(values)]


def test_labels_of_answers_are_right_or_not_and_a_string_rule_is_no_judge():
    truth = [1.0, 0.0, 0.5, 1.0] * 5
    rows = labelled(truth) + labelled([1.0, 0.0, 0.0, 1.0] * 5, "judge") + labelled([1.0] * 20, "string-match")
    table = table_of(rows)
    assert (table.measure, table.labels) == ("answers", 20)
    assert [(row.name, row.kind, row.right.estimate) for row in table.rows] == [
        ("judge", "judge", 0.75),
        ("string-match", "rule", 0.5),
    ]


def test_scores_on_another_scale_are_no_labels_and_the_judge_is_named():
    found = board(labelled([1.0, 0.0] * 10) + labelled([7.0, 3.0] * 10, "grader") + labelled([1.0, 0.0] * 10, "judge"))
    assert [row.name for table in found.tables for row in table.rows] == ["judge"]
    assert "not on the board: grader (single)" in " ".join(found.notes)


def test_a_category_narrows_the_labels_by_name_or_by_a_part_of_it():
    rows = [
        *pairs({"coder": 1.0, "poet": 0.3}, questions=30, category="livecodebench"),
        *pairs({"coder": 0.3, "poet": 1.0}, questions=30, category="poems"),
    ]
    assert table_of(rows, category="code").labels == 30
    assert answer(table_of(rows, category="code")).startswith("arena, code: choose coder (")
    assert answer(table_of(rows, category="Poems")).startswith("arena, Poems: choose poet (")
    assert table_of(rows, category="poems,code").labels == 60
    with pytest.raises(UsageError, match="'maths'; there are: livecodebench, poems"):
        board(rows, category="maths")
    with pytest.raises(UsageError, match=r"no judge 'who'.*coder, poet"):
        board(rows, judge="who")
    assert [row.name for row in table_of(rows, judge="poet").rows] == ["poet", LONGER]


def test_categories_and_differences_are_tables_of_their_own():
    rows = [
        *pairs({"a": 1.0, "b": 0.3, "c": 0.5}, questions=30, category="x"),
        *pairs({"a": 0.3, "b": 1.0, "c": 0.5}, questions=30, category="y"),
    ]
    titles = [grid.title for grid in grids(board(rows), by_category=True, matrices=False)]
    assert titles[1] == "arena, by category: % right"
    assert titles[2].startswith("arena: differences on the same labels, in points, from ")
    matrix = grids(board(rows), by_category=False, matrices=True)[-1]
    assert matrix.headers[0] == "judge"
    assert set(matrix.headers[1:]) == {"a", "b", "c", LONGER}


def test_cost_and_seconds_stand_beside_a_judge_and_nowhere_else():
    costs = {("arena", "judge", "pairwise"): JudgingCost(judgments=4, priced=2, usd=0.5, timed=4, seconds=6.0)}
    table = table_of(pairs({"judge": 0.9, "other": 0.9}, questions=12), costs=costs)
    assert (row_of(table, "judge").cost.usd_each, row_of(table, "judge").cost.seconds_each) == (0.25, 1.5)
    assert (row_of(table, "other").cost.usd_each, row_of(table, "other").cost.seconds_each) == (None, None)


def test_json_csv_and_page_hold_every_judge_and_nothing_as_markup():
    rows = list(pairs({"good": 0.95, "<b>poor</b>": 0.6}))
    found = board(rows)
    data = json.loads(to_json(found, ["a note"]))
    assert data["schema"] == "evalkit.judges/1"
    (table,) = data["tables"]
    assert [row["judge"] for row in table["rows"]] == ["good", "<b>poor</b>", LONGER]
    assert table["leaders"] == ["good"]
    assert len(table["differences"]) == 3
    lines = to_csv(found).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("benchmark,measure,labels_by,category,name,judge")
    html = page(found, ["<script>alert(1)</script>"])
    assert "<script>" not in html
    assert "<b>poor</b>" not in html
    assert "&lt;b&gt;poor&lt;/b&gt;" in html
    assert "choose good" in html


def test_a_judge_under_two_protocols_is_two_rows_and_one_overview_has_all_sets():
    rows = [*pairs({"j": 0.9}, questions=12), *pairs({"j": 0.5}, questions=12, gold=False, protocol="other")]
    assert {row.name for row in table_of(rows).judges} == {"j (pairwise)", "j (other)"}
    both = [*pairs({"j": 0.9}, questions=12), *pairs({"k": 0.9}, questions=12, benchmark="second")]
    overview = grids(board(both), by_category=False, matrices=False)[0]
    assert overview.headers == ("judge", "arena", "second")
    assert [line[0].text for line in overview.rows] == ["j", "k", LONGER]


MARGINS = ("significantly", "better", "slightly", "negligibly")


def preferring(label, number, *, follows=True, judge="j", protocol="human_pair"):
    """A vote for the first answer with this label, and what a judge says of the same pair."""
    item = f"q{number}"
    yield judged("m", "n", WON, item, judge=f"expert_{number % 3}", fingerprint=HUMAN, protocol=protocol, label=label)
    yield judged("m", "n", WON if follows else LOST, item, judge=judge)


def test_agreement_by_strength_of_preference_is_a_column_and_a_share_a_step():
    """A judge follows strong votes always and weak ones half of the time, 40 votes a step."""
    rows = []
    for number in range(80):
        label = "a-is-better" if number % 2 == 0 else "a-is-slightly-better"
        rows += preferring(label, number, follows=number % 2 == 0 or number % 4 == 1)
    table = table_of(rows)
    row = row_of(table, "j")
    assert {name: value.estimate for name, value in row.strengths.items()} == {"slightly better": 0.5, "better": 1.0}
    assert row.stronger.estimate == 0.5
    assert row.stronger.lower > 0
    assert table.strong == ("better",)
    shown = grids(board(rows), by_category=False, matrices=False)
    assert "stronger" in shown[0].headers
    assert "stronger: % right where the label says `better`, minus where it says less" in shown[0].notes
    assert shown[1].headers == ("judge", "slightly better", "better")
    (data,) = json.loads(to_json(board(rows), []))["tables"]
    found = next(one for one in data["rows"] if one["judge"] == "j")
    assert found["stronger"]["estimate"] == 0.5
    assert set(found["by_strength"]) == {"slightly better", "better"}


def test_of_four_steps_the_upper_two_are_strong():
    rows = [row for n in range(80) for row in preferring(f"A:{MARGINS[n % 4]}", n, follows=n % 4 < 2)]
    table = table_of(rows)
    assert table.strong == ("better", "much better")
    assert row_of(table, "j").stronger.estimate == 1.0


def test_votes_from_1_to_8_have_four_steps():
    rows = [row for n in range(80) for row in preferring(str(1 + n % 4), n, follows=n % 4 < 2, protocol="human_pair_8")]
    assert row_of(table_of(rows), "j").strengths.keys() == set(STEPS)
    assert row_of(table_of(rows), "j").stronger.estimate == 1.0


@pytest.mark.parametrize("label", ["a-is-better", "A"])
def test_votes_of_one_strength_or_of_none_have_no_such_column(label):
    rows = [row for n in range(20) for row in preferring(label, n)]
    table = table_of(rows)
    assert row_of(table, "j").stronger is None
    assert not table.strong
    assert len([one for one in grids(board(rows), by_category=False, matrices=False) if "preferred" in one.title]) == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("coding", ["coding"]),
        ("Coding", ["coding"]),
        ("maths", ["mmlu-pro-math", "live-math"]),
        ("code", ["livecodebench"]),
        ("encoding", []),
        ("math, coding", ["mmlu-pro-math", "live-math", "coding"]),
        ("s", ["mmlu-pro-physics"]),
        ("", []),
    ],
)
def test_a_category_is_found_by_its_name_a_part_of_it_or_its_stem(wanted, expected):
    names = ["mmlu-pro-math", "live-math", "coding", "livecodebench", "mmlu-pro-physics"]
    assert [names[code] for code in chosen_categories(names, wanted)] == expected


def test_coding_is_livecodebench_where_no_category_is_called_so_and_a_note_says_it():
    rows = [
        *pairs({"j": 0.9}, questions=20, category="livecodebench"),
        *pairs({"j": 0.9}, questions=20, category="law"),
    ]
    found = board(rows, category="coding")
    assert [table.labels for table in found.tables] == [20]
    assert "arena: category 'coding' is taken for livecodebench" in found.notes
    assert not [note for note in board(rows, category="law").notes if "taken for" in note]
