"""Rows entered many at once are the rows entered one by one, whoever judged and whatever they show."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.schema import UNSET, CriterionVerdict, Failure, Judged, Ref
from evalkit.ratings import judgment_columns
from evalkit.ratings.judgment_columns import GOLD, HUMAN, BenchmarkRows, RowBuffer, read_rows

JUDGES = (Ref("j", "1"), Ref("j", "2"), Ref("ann", HUMAN), Ref("bob", HUMAN), Ref(GOLD, HUMAN))
SCORES = {1: [(7.0,), (0.5,)], 2: [(1.0, 0.0), (0.5, 0.5), (0.7, 0.3), (8.0, 3.0)], 3: [(1.0, 2.0, 3.0)]}


@st.composite
def rows(draw: st.DrawFn) -> Judged:
    shows = draw(st.integers(1, 3))
    failed = draw(st.integers(0, 4)) == 0
    return Judged(
        item=draw(st.sampled_from("pq")),
        benchmark=draw(st.sampled_from(["b", "c"])),
        category=draw(st.sampled_from("xy")),
        turn=draw(st.integers(1, 2)),
        judge=draw(st.sampled_from(JUDGES)),
        protocol=draw(st.sampled_from(["one", "two"])),
        shown=tuple(draw(st.sampled_from("rst")) for _ in range(shows)),
        models=tuple(Ref(draw(st.sampled_from("mn")), draw(st.sampled_from("12"))) for _ in range(shows)),
        lengths=draw(st.sampled_from([(), (5,) * shows])),
        repeat=draw(st.integers(0, 1)),
        scores=None if failed else draw(st.sampled_from(SCORES[shows])),
        error=Failure("unparsed", "no") if failed else None,
        label=draw(st.sampled_from([None, "A>>B", "inconsistent", "A"])),
        criteria=draw(st.sampled_from([(), (CriterionVerdict(id="c", value=1.0),)])),
        score_range=draw(st.sampled_from([UNSET, (1.0, 10.0)])),
    )


def as_told(found: dict[str, BenchmarkRows]) -> object:
    """All that columns hold, in plain values."""
    return {
        name: (_names(each), list(map(_held, _buffers(each))), {key: one.judge for key, one in each.newest().items()})
        for name, each in found.items()
    }


def _names(rows: BenchmarkRows) -> list[list[str]]:
    kinds = (rows.models, rows.versions, rows.questions, rows.categories, rows.responses, rows.raters, rows.kinds)
    return [list(names) for names in kinds]


def _buffers(rows: BenchmarkRows) -> list[RowBuffer]:
    return [*rows.judges.values(), *rows.people.values()]


def _held(buffer: RowBuffer) -> dict[str, object]:
    table = np.nan_to_num(np.hstack(buffer.table()), nan=-9).tolist()
    return {**vars(buffer), "codes": table, "numbers": None, "last_used": None}


@settings(max_examples=150, deadline=None)
@given(listed=st.lists(rows(), max_size=40))
def test_together_or_alone(listed):
    together = as_told(read_rows(listed, BenchmarkRows))
    often = judgment_columns.TOGETHER
    judgment_columns.TOGETHER = 1
    try:
        assert as_told(read_rows(listed, BenchmarkRows)) == together
    finally:
        judgment_columns.TOGETHER = often
