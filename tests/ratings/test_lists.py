"""Judgments of lists as the comparisons they imply."""

from __future__ import annotations

import pytest

from evalkit.core.schema import Failure, Judged, Ref
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.lists import as_pairs


def row(item, names, scores):
    return Judged(
        item=item,
        benchmark="b",
        category="c",
        turn=1,
        judge=Ref("j", "f"),
        protocol="ranks",
        shown=tuple(f"{name}{item}" for name in names),
        models=tuple(Ref(name, "g") for name in names),
        lengths=tuple(range(1, len(names) + 1)),
        scores=scores,
        error=None if scores else Failure("unparsed", "?"),
        label="x" if scores else None,
    )


def told(rows):
    return [(one.models[0].name, one.models[1].name, one.scores and one.scores[0]) for one in as_pairs(rows)]


def test_a_ranking_is_every_pair_of_it():
    assert told([row("1", "abc", (0.5, 1.0, 0.0))]) == [("a", "b", 0.0), ("a", "c", 1.0), ("b", "c", 1.0)]


def test_the_best_of_a_list_beats_the_others_and_says_no_more():
    assert told([row("1", "abc", (0.0, 1.0, 0.0))]) == [("a", "b", 0.0), ("b", "c", 1.0)]


def test_a_failure_stays_a_failure():
    pairs = list(as_pairs([row("1", "abc", None)]))
    assert [one.error.kind for one in pairs] == ["unparsed", "unparsed"]


def test_other_rows_stay_as_they_are():
    rows = [row("1", "ab", (1.0, 0.0)), row("1", "a", (7.0,))]
    assert list(as_pairs(rows)) == rows


def test_lists_are_rated_as_comparisons():
    (table,) = comparisons(row(str(n), "abc" if n % 2 else "cba", (1.0, 0.5, 0.0)) for n in range(10))
    assert table.models == ("a", "b", "c")
    assert len(table) == 30
    assert table.outcome.mean() == pytest.approx(0.5)
