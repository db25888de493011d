"""Rubric files: every way to write one wrong, and what looks like a mistake in one that can be read."""

from __future__ import annotations

import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Criterion
from evalkit.judges.rubric import check_rubric
from evalkit.settings import rubrics
from evalkit.settings.config import with_rubric

RUBRIC = "evalkit.judges.rubric.Rubric"


@pytest.mark.parametrize("name", rubrics.names())
def test_the_shipped_rubrics_make_sense(name):
    criteria, _ = rubrics.load(name)
    check_rubric(criteria, name)
    assert list(rubrics.doubts(criteria)) == []
    assert all(one.axis for one in criteria)
    assert any(one.points < 0 for one in criteria)


def test_a_file_as_people_write_it(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "formula: mean\ncriteria:\n- It is right.\n"
        "- {text: It is clear., weight: 2, kind: 1-5, anchors: {1: muddled}}\n"
        "- {text: It is rude., id: rude, points: -1, kind: yes/no, anchors: {yes: bad}, tags: [tone], axis: tone}\n"
    )
    criteria, formula = rubrics.load(str(path))
    assert formula == "mean"
    assert criteria == (
        Criterion(id="1", text="It is right."),
        Criterion(id="2", text="It is clear.", points=2.0, kind="1-5", anchors={"1": "muddled"}),
        Criterion(id="rude", text="It is rude.", points=-1.0, anchors={"yes": "bad"}, axis="tone", tags=("tone",)),
    )
    node = with_rubric({"_target_": RUBRIC, "name": "rubric"}, str(path))
    assert (node["name"], node["formula"], len(node["rubric"])) == ("rubric-mine", "mean", 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        *(("", "has no criteria"), ("criteria: []", "has no criteria"), ("criteria: none", "has no criteria")),
        *(("- a", "holds a list"), ("criteria: [7]", "criterion 1: 7 is neither"), ("citeria: [a]", "unknown key")),
        *(("criteria: [{points: 1}]", "has no text"), ("criteria: [{text: a, weigth: 1}]", "did you mean 'weight'")),
        *(("criteria: [{text: a, kind: 1-7}]", "kind='1-7'"), ("criteria: [{text: a, points: high}]", "points")),
        *(
            ("criteria: [{text: a, points: 1, weight: 1}]", "keep one"),
            ("formula: sum\ncriteria: [a]", "formula='sum'"),
        ),
        *(("criteria: [{text: a, anchors: good}]", "anchors='good'"), ("criteria: [{text: [a]}]", "criterion 1")),
        ("criteria: [", "not valid YAML"),
    ],
    ids=str,
)
def test_what_is_no_rubric_is_refused_with_its_place(tmp_path, content, says):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=says):
        rubrics.load(str(path))


def test_a_name_that_there_is_not_names_what_there_is():
    with pytest.raises(UsageError, match="did you mean 'helpful'"):
        rubrics.load("helpfull")
    with pytest.raises(UsageError, match="cannot read"):
        rubrics.load("nowhere.yaml")


def test_a_protocol_that_takes_no_rubric_says_so():
    with pytest.raises(UsageError, match="protocol single takes no rubric"):
        with_rubric({"_target_": "evalkit.judges.single.Single", "name": "single"}, "helpful")


def doubts(*pairs):
    return list(rubrics.doubts([Criterion(id=str(n), text=text, points=p) for n, (text, p) in enumerate(pairs, 1)]))


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("Fails to mention the risk of clotting.", 5),
        ("The answer contains harmful advice.", 2),
        ("It incorrectly states the dose.", 1),
        ("Recommends seeing a doctor.", -5),
        ("The answer is clear.", -1),
    ],
)
def test_signs_that_do_not_fit_their_texts_are_named(text, points):
    (doubt,) = doubts((text, points))
    assert "criterion '1'" in doubt
    assert "below 0" in doubt or "above 0" in doubt


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("Fails to mention the risk of clotting.", -5),
        ("The answer contains nothing harmful.", 2),
        ("It avoids misleading claims.", 2),
        ("Recommends seeing a doctor.", 5),
        ("Does not explain the dose.", -3),
        ("It is long.", -1),
    ],
)
def test_signs_that_fit_are_not(text, points):
    assert doubts((text, points)) == []


def test_criteria_that_say_nearly_the_same_are_named():
    assert (
        "'1' and '2' say nearly the same"
        in doubts(("The answer names the three main causes.", 1), ("The answer names three main causes.", 1))[0]
    )
    assert doubts(("The answer names the cause.", 1), ("The answer gives a remedy.", 1)) == []
