"""Rows that are there twice, repeats, turns and a panel's judges are no further questions: no interval narrows."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from evalkit.ratings.bt import BradleyTerryRatings
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.elo import EloRatings
from evalkit.ratings.panel import pooled
from evalkit.ratings.scores import scores
from evalkit.ratings.winrate import WinRates
from tests.ratings.rows import judged
from tests.ratings.test_scores import row

MODELS = ("A", "B", "base")
METHODS = {"winrate": WinRates("base"), "every opponent": WinRates(), "bt": BradleyTerryRatings(), "elo": EloRatings()}


def battles(**changes):
    """Outcomes of three models on 24 questions, the same whatever else changes."""
    rng = np.random.default_rng(5)
    rows = []
    for q in range(24):
        for a, b, strength in (("A", "base", 0.7), ("B", "base", 0.4), ("A", "B", 0.6)):
            said = (1.0, 0.0) if rng.random() < strength else (0.0, 1.0)
            rows.append(judged(a, b, said, item=f"q{q}", **changes))
    return rows


def widths(table, method):
    return {
        standing.model: standing.main.upper - standing.main.lower
        for standing in METHODS[method].rate(table)
        if standing.main is not None and standing.model != "base"
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("copies", ["repeats", "turns", "judges"])
def test_copies_of_verdicts_never_narrow(method, copies):
    once = widths(comparisons(battles())[0], method)
    if copies == "judges":
        tables = [table for name in ("j1", "j2", "j3") for table in comparisons(battles(judge=name))]
        many = widths(pooled(tables, "panel"), method)
    else:
        kinds = [{"repeat": n} if copies == "repeats" else {"turn": n + 1} for n in range(3)]
        many = widths(comparisons([one for kind in kinds for one in battles(**kind)])[0], method)
    assert set(once) == set(many)
    # Elo moves with every row, so that three times as many spread ratings further; it narrows even less.
    assert all(many[model] > 0.98 * once[model] for model in once)


@pytest.mark.parametrize("copies", ["repeats", "turns", "twice"])
def test_copies_of_scores_never_narrow(copies):
    def graded(**changes):
        return [msgspec.structs.replace(row(str(q), 3 + q * 7 % 6), **changes) for q in range(20)]

    once = scores(graded()).standings[0].main
    kinds = {
        "repeats": [{"repeat": n} for n in range(3)],
        "turns": [{"turn": n + 1} for n in range(2)],
        "twice": [{}, {}],
    }
    many = scores([one for kind in kinds[copies] for one in graded(**kind)]).standings[0].main
    assert many.upper - many.lower == pytest.approx(once.upper - once.lower)
    assert many.estimate == pytest.approx(once.estimate)
