"""Two judges of pairs: whom each prefers more often, who agrees more with people, how often both say the same."""

import json

import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.decisions.compare import compare
from tests.decisions.rows import person, store
from tests.ratings.rows import judged

WON, LOST, TIED = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)


def flip(scores):
    return scores[::-1]


def both_orders(a, b, scores, item, **changes):
    """A verdict on a pair in both orders."""
    return [judged(a, b, scores, item, **changes), judged(b, a, flip(scores), item, **changes)]


def two(right_a=0.9, right_b=0.6, questions=120, seed=1):
    """People prefer x or y, evenly; two judges see it rightly so often."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        truth = WON if rng.random() < 0.5 else LOST
        rows.append(person(judged("x", "y", truth, f"q{q}")))
        for judge, right in (("one", right_a), ("two", right_b)):
            rows += both_orders("x", "y", truth if rng.random() < right else flip(truth), f"q{q}", judge=judge)
    return rows


def of(found, kind, about=None):
    return next(one for one in found if one.verdicts.kind == kind and about in (None, one.verdicts.about))


def test_the_one_that_people_agree_with_more_is_named(tmp_path):
    found, what = compare("one", "two", [store(tmp_path, two())])
    agrees = of(found, "agreement with people")
    assert agrees.interval.lower < 30 < agrees.interval.upper
    assert agrees.sentence().startswith("one prefers whom people prefer more often than two does, by ")
    (note,) = what.notes
    assert note.startswith("arena (pairwise): one and two give the same verdict on ")
    assert "of 120 pairs of answers; one sees a tie in 0.0%, two in 0.0%" in note
    turned, _ = compare("two", "one", [tmp_path])
    assert of(turned, "agreement with people").interval.estimate == pytest.approx(-agrees.interval.estimate)
    assert "two prefers whom people prefer less often than one does" in of(turned, "agreement with people").sentence()


def test_equal_judges_are_not_told_apart(tmp_path):
    found, _ = compare("one", "two", [store(tmp_path, two(0.75, 0.75))])
    agrees = of(found, "agreement with people")
    assert not agrees.apart
    assert "No difference was found between one and two in agreement with people" in agrees.sentence()


def test_a_judge_that_favours_a_model_is_seen_on_that_model(tmp_path):
    rng = np.random.default_rng(2)
    rows = []
    for q in range(100):
        for a, b in (("x", "y"), ("x", "z"), ("y", "z")):
            fair = WON if rng.random() < 0.5 else LOST
            favours = WON if a == "x" and rng.random() < 0.5 else fair
            rows += both_orders(a, b, fair, f"q{q}", judge="fair")
            rows += both_orders(a, b, favours, f"q{q}", judge="partial")
    found, _ = compare("partial", "fair", [store(tmp_path, rows)])
    assert [one.verdicts.about for one in found] == ["x", "y", "z"]
    x, y, _ = found
    assert x.interval.lower < 25 < x.interval.upper
    assert x.sentence().startswith("partial prefers x more often than fair does, by ")
    assert y.interval.estimate == pytest.approx(-12.5, abs=6)
    # Of every pair, what one model gains the other loses.
    assert sum(one.interval.estimate for one in found) == pytest.approx(0)


def test_of_two_models_one_row_says_all(tmp_path):
    rows = [row for row in two() if row.judge.name != "ann"]
    found, _ = compare("one", "two", [store(tmp_path, rows)])
    assert [(one.verdicts.kind, one.verdicts.about) for one in found] == [("wins", "x")]


def test_a_tie_is_half_and_both_orders_are_one_verdict(tmp_path):
    rows = []
    for q in range(8):
        rows += both_orders("x", "y", TIED, f"q{q}", judge="one")
        rows += [judged("x", "y", WON, f"q{q}", judge="two"), judged("y", "x", WON, f"q{q}", judge="two")]
        rows.append(person(judged("x", "y", WON, f"q{q}")))
    found, what = compare("one", "two", [store(tmp_path, rows)])
    assert [one.interval.estimate for one in found] == [0.0, 0.0]
    assert "on 100.0%" in what.notes[0]
    assert of(found, "agreement with people").equal == 8


def test_failures_count_for_neither_and_are_named_with_what_they_leave_open(tmp_path):
    rows = two(1.0, 1.0, questions=40)
    lost = {f"q{q}" for q in range(10)}
    rows = [
        judged(row.models[0].name, row.models[1].name, None, row.item, judge="two")
        if row.judge.name == "two" and row.item in lost
        else row
        for row in rows
    ]
    found, _ = compare("one", "two", [store(tmp_path, rows)])
    wins = of(found, "wins")
    assert (wins.questions, wins.failed) == (30, (0, 10))
    assert wins.interval.estimate == 0
    low, high = wins.worst
    assert low < 0 < high
    assert high - low == pytest.approx(25)  # ten verdicts of forty
    assert "whatever the failed verdicts would have been, the difference would be between" in wins.about_failures()
    assert "two fails more often than chance would make it" in wins.about_failures()


def test_a_file_of_votes_says_what_people_prefer(tmp_path, cli):
    rows = two()
    folder = store(tmp_path / "r", [row for row in rows if row.judge.name != "ann"])
    votes = tmp_path / "votes.csv"
    said = {(row.item, row.scores) for row in rows if row.judge.name == "ann"}
    lines = [f"{item},y,x,{'model_b' if scores == WON else 'model_a'}" for item, scores in sorted(said)]
    votes.write_text("\n".join(["item,model_a,model_b,winner", *lines]))
    ended = cli("compare", "one", "two", str(folder), "--human", str(votes), "--format", "json")
    wins, agrees = json.loads(ended.out)["rows"]
    assert (wins["of"], wins["about"], wins["judge"]) == ("wins", "x", None)
    assert (agrees["of"], agrees["about"], agrees["n"]) == ("agreement with people", "people", 120)
    assert agrees["lower"] < 30 < agrees["upper"]


def test_categories_and_every_form(tmp_path, cli):
    rows = two()
    folder = store(tmp_path / "r", rows)
    for form in ("table", "json", "csv", "md", "latex", "html"):
        out = cli("compare", "one", "two", str(folder), "--by", "category", "--format", form).out
        assert "writing" in out, form
        if form not in ("md", "latex"):
            assert "one prefers whom people prefer more often than two does" in " ".join(out.split()), form


def test_judges_that_share_names_with_models_are_asked_for(tmp_path, cli):
    rows = two()
    named = [
        judged("one", "two", row.scores, row.item, judge=row.judge.name) for row in rows if row.judge.name != "ann"
    ]
    folder = store(tmp_path / "r", named)
    ended = cli("compare", "one", "two", str(folder))
    assert "--judges compares the judges" in ended.err
    assert "give the same verdict" in cli("compare", "one", "two", str(folder), "--judges").err
    with pytest.raises(UsageError, match=r"'thre' is no judge in .*; did you mean"):
        compare("thre", "two", [store(tmp_path / "s", [*named, judged("one", "two", WON, judge="three")])], judges=True)


def test_judges_without_a_pair_in_common_are_refused(tmp_path):
    rows = [judged("x", "y", WON, "q1", judge="one"), judged("x", "y", WON, "q2", judge="two")]
    with pytest.raises(UsageError, match="the two judges have no verdict on the same answers"):
        compare("one", "two", [store(tmp_path, rows)])
