"""The reward protocol: which conversation is scored, and how numbers become one score or a failure."""

from __future__ import annotations

import pytest

from evalkit.core.protocols import Case, Completion, UsageError, Verdict
from evalkit.core.schema import ChatTurn, Failure, Item, Ref, Response
from evalkit.judges.reward import Reward

ITEM = Item(
    id="1",
    benchmark="b",
    category="c",
    turns=("One?", "Two?"),
    system="Be brief.",
    messages=(ChatTurn("assistant", "Hello."), ChatTurn("user", "Hi.")),
)


def case(*turns, turn=None, item=ITEM):
    response = Response(key="k", item="1", benchmark="b", category="c", model=Ref("m", "f"), turns=turns)
    return Case(item, turn or len(turns), (response,))


def said(case, **fields):
    return [(one.role, one.content) for one in Reward(**fields).request(case).messages]


def test_the_conversation_ends_with_the_judged_answer():
    before = [("system", "Be brief."), ("assistant", "Hello."), ("user", "Hi.\n\nOne?"), ("assistant", "1")]
    assert said(case("1", "2", turn=1)) == before
    assert said(case("1", "2")) == [*before, ("user", "Two?"), ("assistant", "2")]


def test_steps_are_marked_in_the_judged_answer_alone():
    found = said(case("a\n\nb", "c\n\n\n\nd"), step_mark="<s>", reduce="min")
    assert found[3] == ("assistant", "a\n\nb")
    assert found[-1] == ("assistant", "c<s>d<s>")


ONE = case("a")


@pytest.mark.parametrize(
    ("text", "fields", "score"),
    [
        ("[-3.25]", {}, -3.25),
        ("[[0.75]]", {}, 0.75),
        ("[0.2,0.8]", {"output": 1}, 0.8),
        ('{"NO":0.2,"YES":0.8}', {"output": "YES"}, 0.8),
        ('{"0":0.2,"1":0.8}', {"output": 1}, 0.8),
        ("[[0.9,0.1],[0.5,0.5],[0.2,0.8]]", {"output": 1, "reduce": "min"}, 0.1),
        ("[[0.9,0.1],[0.5,0.5],[0.2,0.8]]", {"output": 1, "reduce": "last"}, 0.8),
        ("[[0.9,0.1],[0.5,0.5],[0.2,0.8]]", {"output": 1, "reduce": "product"}, 0.04),
        ("[[0.9,0.1],[0.5,0.5],[0.2,0.8]]", {"output": 0, "reduce": "mean"}, 1.6 / 3),
        ("[0.1,0.7]", {"reduce": "min"}, 0.1),
        ("[0.1,0.7]", {"reduce": "mean"}, 0.4),
        ("[5]", {"reduce": "last"}, 5.0),
        ("[1e308,1e308]", {"reduce": "mean"}, 1e308),
    ],
)
def test_numbers_become_one_score_by_a_named_rule(text, fields, score):
    read = Reward(**fields).parse(Completion(text), ONE)
    assert isinstance(read, Verdict)
    assert read.scores == (pytest.approx(score),)


@pytest.mark.parametrize(
    ("text", "fields", "says"),
    [
        ("[0.2,0.8]", {}, "2 numbers where one score was expected"),
        ('{"NO":0.2,"YES":0.8}', {}, "NO, YES"),
        ('{"NO":0.2,"YES":0.8}', {"output": "MAYBE"}, "no such label"),
        ("[0.2,0.8]", {"output": 2}, "there are 2 numbers"),
        ("[0.2,0.8]", {"output": -1}, "there are 2 numbers"),
        ("[0.2,0.8]", {"output": "YES"}, "there are 2 numbers"),
        ("[[0.2],[0.8]]", {}, "2 steps where one score"),
        ("[[0.2,0.8],[0.5,0.5]]", {"reduce": "min"}, "2 numbers where one"),
        ("[1.5,0.5]", {"reduce": "product"}, "multiplies probabilities"),
        ("[-0.5,-0.5]", {"reduce": "product"}, "multiplies probabilities"),
        ("[1e999,1]", {"reduce": "min"}, "no numbers"),
        ("[0.5,0.5]", {"reduce": "min", "step_mark": "<s>"}, "2 scores for 1 steps"),
        ("[[]]", {}, "no numbers"),
        ("{}", {}, "no numbers"),
        ("Rating: [[7]]", {}, "no numbers"),
        ("[NaN]", {}, "no numbers"),
        ('["7"]', {}, "no numbers"),
    ],
)
def test_what_is_no_score_is_a_failure(text, fields, says):
    read = Reward(**fields).parse(Completion(text), ONE)
    assert isinstance(read, Failure)
    assert read.kind == "unparsed"
    assert says in read.message


def test_another_rule_reads_what_is_stored_and_another_cut_asks_again():
    least, mean = Reward(reduce="min"), Reward(reduce="mean")
    assert least.parser != mean.parser
    assert least.identity() == mean.identity()
    assert Reward(reduce="min", step_mark="<s>").identity() != least.identity()


@pytest.mark.parametrize("fields", [{"step_mark": "<s>"}, {"between_steps": ""}])
def test_settings_that_cannot_be_meant(fields):
    with pytest.raises(UsageError):
        Reward(**fields)


def test_an_answer_that_holds_the_mark_has_a_score_too_many_and_fails():
    """Two steps of the answer, three marks that the model sees."""
    found = case("a<s>\n\nb")
    assert said(found, step_mark="<s>", reduce="min")[-1][1].count("<s>") == 3
    assert isinstance(Reward(step_mark="<s>", reduce="min").parse(Completion("[1,1,1]"), found), Failure)
