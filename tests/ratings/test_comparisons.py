import math

import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.ratings.comparisons import HUMAN, combined, comparisons
from evalkit.ratings.leaderboard import by_category
from evalkit.ratings.panel import pooled
from tests.ratings.rows import judged, single


def only(judgments, **options):
    (table,) = comparisons(judgments, **options)
    return table


@pytest.mark.parametrize(
    ("aggregate", "outcomes"),
    [("average", [0.75, 0.5]), ("consistent", [0.5, 0.5]), ("probability", [1.0, 0.5]), ("each", [1.0, 0.5, 1.0, 0.0])],
)
def test_two_orders(aggregate, outcomes):
    rows = [
        judged("A", "B", (1.0, 0.0), lengths=(10, 20)),
        judged("B", "A", (0.5, 0.5), lengths=(20, 10)),
        judged("A", "B", (1.0, 0.0), item="q2"),
        judged("B", "A", (1.0, 0.0), item="q2"),
    ]
    table = only(rows, aggregate=aggregate)
    assert table.models == ("A", "B")
    assert table.outcome.tolist() == outcomes
    assert table.orders.tolist() == ([1] * 4 if aggregate == "each" else [2, 2])
    assert (table.length_a[0], table.length_b[0]) == (10, 20)


def test_scores_on_a_scale_of_its_own():
    rows = [judged("A", "B", scores, item=str(scores)) for scores in ((7.0, 3.5), (-2.0, 1.0), (4.0, 4.0), (0.3, 0.7))]
    assert only(rows).outcome.tolist() == [1, 0, 0.5, 0.3]


def test_one_order_alone():
    table = only([judged("B", "A", (1.0, 0.0)), judged("A", "B", None)])
    assert table.outcome.tolist() == [0]
    assert table.orders.tolist() == [1]
    (failed,) = table.failed
    assert (failed.kind, failed.a, failed.b) == ("unparsed", 0, 1)


@pytest.mark.parametrize(
    ("scores", "consistent"), [([1, 1], 1), ([0, 0], 0), ([1, 0], 0.5), ([1, 0.5], 0.5), ([0.9], 1)]
)
def test_consistent(scores, consistent):
    plain, swapped = (np.array([score]) for score in (*scores, math.nan)[:2])
    for orders in ((plain, swapped), (swapped, plain)):
        assert combined(*orders, "consistent").tolist() == [consistent]


def test_strong_verdicts():
    rows = [judged("A", "B", (1.0, 0.0), label="A>>B"), judged("A", "C", (1.0, 0.0), label="A>B")]
    assert only(rows, strong_weight=3.0).weight.tolist() == [3, 1]
    assert only(rows).weights is None


def test_repeats_turns_and_voters_are_comparisons_of_their_own():
    rows = [judged("A", "B", (1.0, 0.0)), judged("A", "B", (0.0, 1.0), turn=2), judged("A", "B", (0.0, 1.0), repeat=1)]
    assert len(only(rows)) == 3
    votes = [judged("A", "B", (1.0, 0.0), judge=f"expert_{i}", fingerprint=HUMAN) for i in range(3)]
    table = only(votes)
    assert (table.judge, len(table)) == ("human", 3)


def test_the_last_vote_of_a_person_counts_and_every_vote_of_the_unnamed():
    votes = [judged("A", "B", (1.0, 0.0), judge=f"expert_{i}", fingerprint=HUMAN) for i in range(3)]
    again = judged("B", "A", (1.0, 0.0), judge="expert_0", fingerprint=HUMAN, shown=("q1B", "q1A"))
    table = only([*votes, again])
    assert table.outcome.tolist() == [1, 1, 0]
    assert "1 vote repeats" in table.about_people[0]
    nameless = [judged("A", "B", (1.0, 0.0), judge=name, fingerprint=HUMAN) for name in ("human", "unknown") * 2]
    assert len(only(nameless)) == 4
    assert only(nameless).about_people == ()


def test_groups_of_people_are_rated_apart_and_the_largest_is_called_human():
    names = ("expert_1", "expert_2", "expert_2", "author_1", "author_2", "ann")
    votes = [judged("A", "B", (1.0, 0.0), item=f"q{i}", judge=n, fingerprint=HUMAN) for i, n in enumerate(names)]
    tables = comparisons(votes)
    assert [(table.judge, len(table)) for table in tables] == [("human", 3), ("human: author", 2), ("human: others", 1)]
    assert tables[0].about_people == (
        "`human` is the group with most votes (expert: 3 votes of 2 people); "
        "counted apart: 2 votes of 2 people (author), 1 vote of 1 person (unnamed)",
    )
    assert tables[1].about_people == ()


def test_the_newest_judge_is_the_one_that_judged_last():
    rows = [judged("A", "B", (1.0, 0.0), fingerprint=f, item=f"q{i}") for i, f in enumerate(("j1", "j2", "j1"))]
    table = only(rows)
    assert (len(table), table.replaced) == (2, 1)


def test_of_verdicts_on_one_pair_in_one_order_the_last_counts():
    table = only([judged("A", "B", (1.0, 0.0)), judged("A", "B", (0.0, 1.0), shown=("q1A2", "q1B"))])
    assert (table.outcome.tolist(), table.orders.tolist()) == ([0], [1])


def test_tables_apart():
    rows = [judged("A", "B", (1.0, 0.0), judge=j, benchmark=b) for j in ("g", "c") for b in ("x", "y")]
    rows += [judged("A", "B", (1.0, 0.0), judge="g", benchmark="x", protocol="other"), single("A", 7.0)]
    tables = comparisons(rows)
    assert [(t.benchmark, t.judge, t.protocol) for t in tables] == [
        ("x", "c", "pairwise"),
        ("x", "g", "other"),
        ("x", "g", "pairwise"),
        ("y", "c", "pairwise"),
        ("y", "g", "pairwise"),
    ]


def test_newer_configurations_replace_older_ones():
    old = [judged("A", "B", (1.0, 0.0)), judged("A", "C", (1.0, 0.0)), judged("B", "C", (0.5, 0.5))]
    new = [judged("A", "B", (0.0, 1.0), versions=("2", "1"))]
    table = only(old + new)
    pairs = zip(table.a, table.b, table.outcome, strict=True)
    assert sorted((table.models[a], table.models[b], y) for a, b, y in pairs) == [("A", "B", 0.0), ("B", "C", 0.5)]
    assert table.replaced == 2
    every = only(old + new, every_configuration=True)
    assert every.models == ("A@1", "A@2", "B", "C")
    assert (len(every), every.replaced) == (4, 0)


def test_a_newer_judge_replaces_an_older_one():
    rows = [judged("A", "B", (1.0, 0.0)), judged("A", "B", (0.0, 1.0), fingerprint="j2")]
    table = only(rows)
    assert (table.outcome.tolist(), table.replaced) == ([0], 1)
    assert [t.judge for t in comparisons(rows, every_configuration=True)] == ["gpt4@j1", "gpt4@j2"]


def test_one_judge_behind_another_keeps_its_own_view():
    """A judge that has not seen a model's new version still rates the old one."""
    rows = [
        judged("A", "B", (1.0, 0.0), versions=("2", "1"), judge="ahead"),
        judged("A", "B", (1.0, 0.0), judge="behind"),
    ]
    assert [(t.judge, len(t), t.replaced) for t in comparisons(rows)] == [("ahead", 1, 0), ("behind", 1, 0)]


def test_a_model_against_itself_says_nothing_of_models():
    table = only([judged("A", "A", (1.0, 0.0)), judged("A", "B", (1.0, 0.0))])
    assert (len(table), table.itself) == (1, 1)


def test_unknown_lengths_are_nan():
    table = only([judged("A", "B", (1.0, 0.0), lengths=())])
    assert math.isnan(table.length_a[0])


def test_categories():
    rows = [judged("A", "B", (1.0, 0.0), item="1", category="x"), judged("A", "B", None, item="2", category="y")]
    parts = dict(by_category(only(rows), ["y", "nowhere", "x"]))
    assert list(parts) == ["y", "x"]
    assert [(len(part), len(part.failed)) for part in parts.values()] == [(0, 1), (1, 0)]


def test_options_are_checked():
    with pytest.raises(UsageError, match="aggregate='median'"):
        comparisons([], aggregate="median")
    with pytest.raises(UsageError, match="positive number, not -1"):
        comparisons([], strong_weight=-1)
    assert comparisons([single("A", 7.0)]) == []


def test_pooled_judges():
    one = only([judged("B", "C", (1.0, 0.0), item="2"), judged("B", "C", None, item="3")])
    two = only([judged("A", "B", (0.5, 0.5), item="1", judge="c"), judged("B", "C", (0.0, 1.0), item="2", judge="c")])
    panel = pooled([one, two], "pooled")
    assert panel.judge == "pooled"
    columns = zip(panel.a, panel.b, panel.question, strict=True)
    named = [(panel.models[a], panel.models[b], panel.questions[question]) for a, b, question in columns]
    assert named == [("B", "C", "2"), ("A", "B", "1"), ("B", "C", "2")]
    assert panel.outcome.tolist() == [1, 0.5, 0]
    assert [panel.models[panel.failed[0].a], panel.questions[panel.failed[0].question]] == ["B", "3"]
