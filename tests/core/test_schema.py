"""Rows of earlier releases stay readable, their keys stay, and a verdict on a criterion is a value or a failure."""

from __future__ import annotations

import msgspec
import pytest

from evalkit.core.schema import ChatTurn, Criterion, CriterionVerdict, Failure, Item, Judgment, digest

OLD_ITEM = b'{"id":"1","benchmark":"b","category":"c","turns":["Why?"],"reference":[],"meta":{}}'
OLD_JUDGMENT = (
    b'{"schema":"evalkit.judgment/1","item":"1","benchmark":"b","category":"c","turn":1,"judge":{"name":"j",'
    b'"fingerprint":"f"},"protocol":"single","shown":["r"],"models":[{"name":"m","fingerprint":"g"}],"scores":[7.0],'
    b'"label":"7","key":"k","parser":"rating/2","raw":"Rating: [[7]]"}'
)


def test_rows_of_earlier_releases_are_read():
    item = msgspec.json.decode(OLD_ITEM, type=Item)
    assert (item.system, item.messages, item.rubric) == (None, (), ())
    row = msgspec.json.decode(OLD_JUDGMENT, type=Judgment)
    assert (row.criteria, row.thinking, row.scores) == ((), "", (7.0,))


def test_what_an_old_item_asks_has_its_old_hash():
    item = msgspec.json.decode(OLD_ITEM, type=Item)
    assert item.asked() == digest("1", ("Why?",))
    assert msgspec.structs.replace(item, rubric=(Criterion(id="1", text="Is it right?"),)).asked() == item.asked()


@pytest.mark.parametrize("other", [{"system": "Be brief."}, {"messages": (ChatTurn("user", "Hello"),)}])
def test_what_stands_before_a_question_is_part_of_what_is_asked(other):
    item = msgspec.json.decode(OLD_ITEM, type=Item)
    assert msgspec.structs.replace(item, **other).asked() != item.asked()


def test_a_judgment_with_criteria_is_read_back_as_it_was():
    row = msgspec.json.decode(OLD_JUDGMENT, type=Judgment)
    criteria = (
        CriterionVerdict(id="1", points=-2.0, value=1.0, axis="accuracy", tags=("level:example",)),
        CriterionVerdict(id="2", kind="1-10", error=Failure("unparsed", "it says nothing of it")),
    )
    row = msgspec.structs.replace(row, criteria=criteria)
    assert msgspec.json.decode(msgspec.json.encode(row), type=Judgment) == row


@pytest.mark.parametrize(
    "fields",
    [
        *({}, {"value": 1.0, "error": Failure("unparsed", "?")}, {"value": float("nan")}, {"value": 2.0}),
        *({"kind": "1-5", "value": 0.0}, {"kind": "1-10", "value": 10.5}),
    ],
    ids=str,
)
def test_a_verdict_on_a_criterion_is_a_value_or_a_failure(fields):
    with pytest.raises(ValueError, match="criterion"):
        CriterionVerdict(id="1", **fields)


@pytest.mark.parametrize(("kind", "value", "level"), [("yes_no", 1, 1.0), ("1-5", 2, 0.25), ("1-10", 10, 1.0)])
def test_levels_run_from_0_to_1(kind, value, level):
    assert CriterionVerdict(id="1", kind=kind, value=value).level == pytest.approx(level)
