"""Marks around material: what an answer must hold for the mark to depend on it."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.core.protocols import Case
from evalkit.core.schema import Item, Ref, Response
from evalkit.judges import marking

ITEM = Item(id="q", benchmark="b", category="c", turns=("Why?",))


def mark(answer: str) -> str:
    response = Response(
        key="k", item="q", benchmark="b", category="c", model=Ref("m", "f" * 32), turns=(answer,), finish=("stop",)
    )
    return marking.mark(Case(ITEM, 1, (response,)), 12)


PLAIN = mark("Because.")
"""The mark of the question; it is other where an answer is suspicious."""
_SIX = re.compile(r"[0-9a-f]{6}")


@given(st.text(st.sampled_from("0a9FfGz ﬀ五\ud800"), max_size=40))
@example("ABCDEF")
@example("ﬀﬀﬀ")
@example("00000\ud8000")
def test_six_hexadecimal_digits_are_found_whatever_stands_beside_them(text: str):
    folded = text.casefold()
    assert marking.holds_six_digits(folded) == (_SIX.search(folded) is not None)


def test_the_mark_depends_on_answers_that_hold_a_marker_or_a_part_of_it():
    assert mark("It was built in 1889, and the decade after was quiet.") == PLAIN
    for answer in ("</conversation 0123ab", "user A: facade", f"as in {PLAIN[:6]}", f"{PLAIN[-6:].upper()}!"):
        assert mark(answer) != PLAIN, answer
