"""Scores of a rubric: by axis, tag and criterion, clipped at the mean, with what they rest on."""

from __future__ import annotations

import msgspec
import pytest

from evalkit.core.schema import CriterionVerdict, Failure, Judged, Ref
from evalkit.ratings.criteria import Sameness, rows_by
from evalkit.ratings.scores import scores


def verdict(name, points, value, axis="", tags=()):
    error = Failure("unparsed", "?") if value is None else None
    return CriterionVerdict(id=name, points=points, value=value, error=error, axis=axis, tags=tags)


def row(item, *criteria, score=0.5, label="share on all", model="m"):
    return Judged(
        item=item,
        benchmark="b",
        category="c",
        turn=1,
        judge=Ref("j", "f"),
        protocol="rubric",
        shown=(f"{model}{item}",),
        models=(Ref(model, "g"),),
        scores=(score,),
        label=label,
        criteria=criteria,
    )


def only(board, category=None):
    (standing,) = [one for one in board.standings if one.category == category]
    return standing


def test_groups_are_scored_by_the_same_formula_on_their_own_points():
    rows = [
        row("1", verdict("a", 3, 1.0, "x", ("t",)), verdict("b", 1, 0.0, "x"), verdict("c", 2, 1.0, "y")),
        row("2", verdict("a", 3, 0.0, "x", ("t",)), verdict("b", 1, 1.0, "x"), verdict("c", 2, None, "y")),
    ]
    by_axis = scores(rows_by(rows, "axis"))
    assert only(by_axis, "x").main.estimate == pytest.approx((0.75 + 0.25) / 2)
    assert only(by_axis, "y").main.estimate == pytest.approx(1.0)
    assert only(by_axis, "y").failed == {"unparsed": 1}, "no verdict is a failure, not a fault"
    assert only(scores(rows_by(rows, "tag")), "t").main.estimate == pytest.approx(0.5)
    assert only(scores(rows_by(rows, "criterion")), "b").main.estimate == pytest.approx(0.5)


def test_a_group_of_faults_alone_has_no_share():
    rows = [row("1", verdict("a", -3, 1.0, "x"), verdict("b", 1, 1.0, "y"))]
    assert {one.category for one in rows_by(rows, "axis")} == {"y"}
    assert [one.scores for one in rows_by(rows, "criterion")] == [(1.0,), (1.0,)], "how often it has the fault"


def test_other_judgments_are_passed_over():
    assert list(rows_by([row("1")], "axis")) == []


def test_the_mean_of_shares_is_clipped_and_single_ones_are_not():
    one = verdict("a", 1, 1.0)
    low = scores([row(str(n), one, score=-1.0 - n) for n in range(6)])
    assert only(low).main.estimate == 0.0
    mixed = scores([row("1", one, score=-0.5), row("2", one, score=1.0)])
    assert only(mixed).main.estimate == pytest.approx(0.25), "HealthBench clips the mean, not its parts"
    graded = scores([row("1", one, score=7.0, label="mean on all")])
    assert only(graded).main.estimate == 7.0


def test_a_table_says_what_its_scores_rest_on():
    rows = [row("1", verdict("a", 1, 1.0), verdict("b", 1, None)), row("2", verdict("a", 1, 1.0))]
    (note,) = [note for note in only(scores(rows)).about.notes if "rests on" in note]
    assert "2 of 3 verdicts (1 unparsed)" in note


def sentences(values, n=12):
    """What is said of criteria whose verdicts, answer by answer, are drawn from these."""
    watched = Sameness()
    rows = [
        row(str(at), *(verdict(name, 1, of(at)) for name, of in values.items() if of(at) is not None))
        for at in range(n)
    ]
    assert list(watched.watch(rows)) == rows
    return list(watched.sentences())


def test_criteria_that_tell_nothing_apart_are_named():
    (said,) = sentences({"always": lambda _: 1.0, "varies": lambda at: float(at % 2)})
    assert "criterion 'always' got the same verdict on all 12 answers" in said
    assert sentences({"always": lambda _: 1.0}, n=9) == [], "too few to say so"


def test_criteria_that_go_together_are_named_whichever_way_round():
    odd = {"odd": lambda at: float(at % 2)}
    for other in (lambda at: float(at % 2), lambda at: 1.0 - at % 2):
        (said,) = sentences({**odd, "other": other})
        assert "'odd' and 'other' went together on all 12 answers" in said
    assert sentences({**odd, "other": lambda at: float(at % 3 == 0)}) == []
    assert sentences({**odd, "other": lambda at: float(at % 2) if at < 9 else None}) == [], "nine answers in common"


def test_more_than_two_that_go_together_are_one_sentence_and_not_those_that_do_so_in_part():
    alike = {name: (lambda at: float(at % 2)) for name in ("one", "two", "three")}
    partly = {"partly": lambda at: float(at % 2) if at < 10 else 0.5}
    (said,) = sentences({**alike, **partly}, n=24)
    assert "criteria 'one', 'two' and 'three' went together on all 24 answers; each says what one does" in said
    assert "partly" not in said


@pytest.mark.parametrize(
    ("by", "ends"), [("criterion", {"a": (0.0, 1.0), "b": (1.0, 5.0)}), ("axis", {"x": (0.0, 1.0), "y": (0.0, 1.0)})]
)
def test_groups_have_the_ends_of_their_own_scale(by, ends):
    graded = CriterionVerdict(id="b", kind="1-5", value=4.0, axis="y")
    found = {one.category: one.score_range for one in rows_by([row("1", verdict("a", 3, 1.0, "x"), graded)], by)}
    assert found == ends


def test_a_group_that_can_cost_more_than_it_earns_has_an_end_below_zero_and_an_interval_above():
    rows = [row(str(n), verdict("a", 1, 1.0, "x"), verdict("b", -3, 0.0, "x")) for n in range(8)]
    found = list(rows_by(rows, "axis"))
    assert {one.score_range for one in found} == {(-3.0, 1.0)}
    mean = only(scores(found), "x").main
    assert (mean.estimate, mean.upper) == (1.0, 1.0)
    assert 0 <= mean.lower < 1, "though all are alike, as the ends are known; a mean is clipped at 0"


def test_intervals_of_criteria_stay_within_the_scale_of_each():
    """Criteria of different kinds in one rubric: what is met or not does not reach beyond 1, nor a grade beyond 5."""
    graded = [CriterionVerdict(id="b", kind="1-5", value=5.0 if at else 4.0) for at in range(6)]
    rows = [
        msgspec.structs.replace(row(str(at), verdict("a", 3, float(at > 0)), graded[at]), score_range=(0.0, 1.0))
        for at in range(6)
    ]
    board = scores(rows_by(rows, "criterion"))
    for name, low, high in (("a", 0, 1), ("b", 1, 5)):
        found = only(board, name)
        assert found.about.scale == (low, high)
        assert low <= found.main.lower < found.main.upper <= high
