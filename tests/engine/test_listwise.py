"""Lists of answers: shown all at once, in a shuffled order that is stored, and judged once all are there."""

from __future__ import annotations

from evalkit.core.schema import Item, Ref, Response
from evalkit.engine.judge import CaseBuilder, Pairing, count

ITEMS = {str(n): Item(id=str(n), benchmark="b", category="c", turns=("Why?", "And?")) for n in range(40)}


def answer(item, name):
    return Response(key=name + item, item=item, benchmark="b", category="c", model=Ref(name, "f"), turns=("x", "y"))


def built(names="abc", **options):
    builder = CaseBuilder(ITEMS, shows=3, **options)
    return [case for item in ITEMS for name in names for case in builder.add(answer(item, name))]


def test_a_list_is_judged_once_all_answers_are_there():
    builder = CaseBuilder(ITEMS, shows=3)
    assert list(builder.add(answer("1", "a"))) == list(builder.add(answer("1", "b"))) == []
    cases = list(builder.add(answer("1", "c")))
    assert [case.turn for case in cases] == [1, 2]
    assert {response.model.name for response in cases[0].shown} == {"a", "b", "c"}


def test_positions_are_shuffled_the_same_way_each_time():
    orders = [tuple(one.model.name for one in case.shown) for case in built()]
    assert len(set(orders)) == 6
    assert orders == [tuple(one.model.name for one in case.shown) for case in built("cab")], "whichever came first"
    assert all(0.15 < sum(order[0] == name for order in orders) / len(orders) < 0.55 for name in "abc")


def test_repeats_have_orders_of_their_own_and_the_last_turn_can_be_judged_alone():
    first, second = built(repeats=2, turns="last")[:2]
    assert (first.turn, second.turn) == (2, 2)
    orders = {tuple(one.model.name for one in case.shown) for case in built(repeats=8, turns="last")[:8]}
    assert len(orders) > 1
    items = list(ITEMS.values())
    assert count(items, ["a", "b", "c"], 3, Pairing(), 2, "last") == len(built(repeats=2, turns="last"))
    assert count(items, ["a", "b", "c"], 3, Pairing(), 1) == len(built())
