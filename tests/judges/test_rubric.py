"""Rubric grading: prompts and schemas of it, and every reply that is not as it should be."""

from __future__ import annotations

import json

import pytest

from evalkit.core.protocols import Case, Completion, ReplySchema, UsageError, Verdict
from evalkit.core.schema import Criterion, Failure, Item, Ref, Response
from evalkit.judges.rubric import MOST_IN_ONE_CALL, Rubric, check_rubric

CRITERIA = (
    Criterion(id="right", text="It is {right}, <b>all</b> of it.", points=3, axis="accuracy"),
    Criterion(id="rude", text="It is rude.", points=-2, tags=("tone",)),
    Criterion(id="clear", text="It is clear.", kind="1-5", anchors={"1": "muddled", "5": "clear as day"}),
)
ITEM = Item(id="1", benchmark="b", category="c", turns=("Why?",))
RUBRIC = Rubric(rubric=CRITERIA)


def case(item: Item = ITEM, criterion: str | None = None) -> Case:
    answer = Response(key="k", item="1", benchmark="b", category="c", model=Ref("m", "f"), turns=("So.",))
    return Case(item, 1, (answer,), criterion=criterion)


def read(reply: object, protocol: Rubric = RUBRIC, asked: Case | None = None, finish="stop") -> Verdict | Failure:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    return protocol.parse(Completion(text, finish), asked or case())


def entry(verdict, reason="Because."):
    return {"reason": reason, "verdict": verdict}


GOOD = {"1": entry("yes"), "2": entry("no"), "3": entry(4)}


def test_a_reply_as_asked_for():
    found = read(GOOD)
    assert isinstance(found, Verdict)
    assert found.scores == (pytest.approx((3 + 0.75) / 4),)
    assert found.label == "share on 3 of 3 criteria, 6 of 6 points"
    assert [(one.id, one.value, one.reason) for one in found.criteria] == [
        *(("right", 1.0, "Because."), ("rude", 0.0, "Because."), ("clear", 4.0, "Because.")),
    ]
    assert (found.criteria[0].axis, found.criteria[1].tags) == ("accuracy", ("tone",))


FENCED = f"Here is what I found.\n```json\n{json.dumps(GOOD)}\n```"


@pytest.mark.parametrize(
    "reply",
    [
        *(FENCED, f"Well:\n{json.dumps(GOOD)}", {**GOOD, "1": "yes"}, {**GOOD, "1": entry(True)}),
        *({**GOOD, "3": entry("4")}, {**GOOD, "1": entry(" YES ")}, {**GOOD, "1": {"verdict": "yes"}}),
        {**GOOD, "3": entry(4.0)},
    ],
)
def test_replies_nearly_as_asked_for_are_read_alike(reply):
    found = read(reply)
    assert isinstance(found, Verdict)
    assert [one.value for one in found.criteria] == [1.0, 0.0, 4.0]


@pytest.mark.parametrize(
    "bad",
    [
        *(entry("maybe"), entry(None), entry(2), entry(["yes"]), {"reason": "x"}, {}, None, 7, [], "", entry("")),
        *(entry("refused"), entry("n/a"), entry({"verdict": "yes"})),
    ],
    ids=str,
)
def test_a_criterion_without_a_verdict_is_a_typed_failure_and_the_score_says_what_it_rests_on(bad):
    found = read({**GOOD, "1": bad})
    assert isinstance(found, Verdict)
    assert found.criteria[0].error is not None
    assert found.criteria[0].error.kind == "unparsed"
    assert found.criteria[0].value is None
    assert found.scores == (pytest.approx(0.75),), "of the two that have one; never `not met`"
    assert "2 of 3 criteria, 3 of 6 points" in found.label


@pytest.mark.parametrize(
    "reply",
    [{"1": entry("yes"), "3": entry(4)}, json.dumps(GOOD)[:-1] + ', "2": {"verdict": "yes"}}'],
    ids=["none", "two"],
)
def test_a_criterion_that_is_missing_or_judged_twice_has_no_verdict(reply):
    found = read(reply)
    assert isinstance(found, Verdict)
    assert [one.error is None for one in found.criteria] == [True, False, True]


@pytest.mark.parametrize("grade", [0, 6, 3.5, float("nan"), float("inf"), -1, "five", "1e1", "٣", 10**400, True])
def test_a_grade_outside_its_kind_is_none(grade):
    found = read({**GOOD, "3": entry(grade)})
    assert isinstance(found, Verdict)
    assert found.criteria[2].error is not None


@pytest.mark.parametrize(
    ("reply", "finish", "kind"),
    [
        *(("It is fine.", "stop", "unparsed"), ("[]", "stop", "unparsed"), ("{}", "stop", "unparsed")),
        *(({**GOOD, "4": entry("yes")}, "stop", "unparsed"), ({**GOOD, "overall": 7}, "stop", "unparsed")),
        *((json.dumps(GOOD)[:-9], "stop", "unparsed"), (GOOD, "length", "truncated"), (GOOD, "refusal", "refused")),
        *(("[" * 100_000, "stop", "unparsed"), ({"1": "?", "2": "?", "3": "?"}, "stop", "unparsed")),
        ({"1": "?", "2": "yes", "3": "?"}, "stop", "unparsed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_replies_without_a_score_are_failures(reply, finish, kind):
    found = read(reply, finish=finish)
    assert isinstance(found, Failure)
    assert found.kind == kind
    assert len(found.message) < 500


def test_the_schema_is_closed_and_asks_for_every_criterion():
    reply = RUBRIC.request(case()).reply
    assert isinstance(reply, ReplySchema)
    assert reply.schema["required"] == ["1", "2", "3"]
    assert reply.schema["additionalProperties"] is False
    assert reply.schema["properties"]["1"]["properties"]["verdict"] == {"type": "string", "enum": ["yes", "no"]}
    assert reply.schema["properties"]["3"]["properties"]["verdict"] == {"type": "integer", "enum": [1, 2, 3, 4, 5]}


def test_criteria_stand_after_the_conversation_and_braces_stay():
    text = RUBRIC.request(case()).messages[-1].content
    assert text.index("So.") < text.index("1. It is {right}, <b>all</b> of it. [yes or no]")
    assert "   5: clear as day" in text
    assert "[1 to 5]" in text
    assert " -2" not in text, "what a criterion is worth is not for the judge to see"


def test_one_call_each_begins_alike():
    protocol = Rubric(rubric=CRITERIA, calls="criterion")
    parts = protocol.parts(case())
    assert [part.criterion for part in parts] == ["right", "rude", "clear"]
    texts = [protocol.request(part).messages[-1].content for part in parts]
    start = texts[0].index("1. It is {right}")
    assert {text[:start] for text in texts} == {texts[0][:start]}
    assert RUBRIC.parts(case()) == ()
    found = read({"1": entry("yes")}, protocol, parts[1])
    assert isinstance(found, Verdict)
    assert (found.scores, found.criteria[0].id) == ((1.0,), "rude")


def test_an_items_own_rubric_goes_first():
    own = Item(id="1", benchmark="b", category="c", turns=("Why?",), rubric=CRITERIA[:1])
    assert "It is rude" not in RUBRIC.request(case(own)).messages[-1].content
    with pytest.raises(UsageError, match="item '1' brings no rubric"):
        Rubric().check_items([ITEM])
    Rubric().check_items([own])


def test_the_order_shown_can_be_turned_round():
    protocol = Rubric(rubric=CRITERIA, order="reversed")
    text = protocol.request(case()).messages[-1].content
    assert "1. It is clear." in text
    found = read({"1": entry(4), "2": entry("no"), "3": entry("yes")}, protocol)
    assert isinstance(found, Verdict)
    assert found.criteria == read(GOOD).criteria  # type: ignore[union-attr]


def changed(**fields):
    return Criterion(**{"id": "1", "text": "It is right.", **fields})


@pytest.mark.parametrize(
    ("criteria", "says"),
    [
        ([changed(), changed()], "two criteria have the id '1'"),
        ([changed(), changed(id="2", text=" it is  RIGHT. ")], "the same text"),
        ([changed(points=0)], "worth 0 points"),
        ([changed(points=float("nan"))], "worth nan points"),
        ([changed(points=float("inf"))], "worth inf points"),
        ([changed(points=-3)], "no criterion has positive points"),
        ([changed(text=" ")], "has no text"),
        ([changed(id="")], "has no id"),
        ([changed(anchors={"3": "x"})], "'3' means"),
        ([changed(kind="1-5", anchors={"5-6": "x"})], "'5-6' means"),
    ],
    ids=str,
)
def test_rubrics_that_can_make_no_score_are_refused(criteria, says):
    with pytest.raises(UsageError, match=says):
        check_rubric(criteria, "rubric")


def test_a_thousand_criteria_are_for_one_call_each():
    many = tuple(changed(id=str(n), text=f"It has {n}.") for n in range(1000))
    with pytest.raises(UsageError, match=rf"1000 criteria, and one call judges {MOST_IN_ONE_CALL}.*calls=criterion"):
        Rubric(rubric=many)
    assert len(Rubric(rubric=many, calls="criterion").parts(case())) == 1000


@pytest.mark.parametrize("explain", [True, False])
@pytest.mark.parametrize("reply", ["json", "tool"])
def test_one_call_about_many_criteria_says_each_in_a_line_and_nothing_else_twice(explain, reply):
    """What it has more than a call about one is the other criteria's own words, and a number before each."""
    many = tuple(changed(id=str(n), text=f"The answer deals with matter {n}, and it does so well.") for n in range(12))
    together, one = (Rubric(rubric=many, calls=calls, explain=explain, reply=reply) for calls in ("item", "criterion"))
    part = one.parts(case())[0]
    more = len(together.request(case()).messages[-1].content) - len(one.request(part).messages[-1].content)
    words = sum(len(criterion.text) for criterion in many[1:])
    assert words <= more <= words + len("12. \n") * 11 + 100
