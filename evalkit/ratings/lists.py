"""Judgments of lists -> the comparisons they imply, which are rated as any others are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise

import msgspec

from evalkit.core.schema import Judged


def as_pairs(rows: Iterable[Judged]) -> Iterator[Judged]:
    """Each judgment of a list as a comparison of every two answers it tells apart; other judgments as they are.

    A ranking of n answers is n (n - 1) / 2 comparisons of one question, which is what intervals are drawn by. The best
    of n is n - 1: of the others it says nothing. A failure becomes failed comparisons of neighbours.
    """
    for row in rows:
        if len(row.shown) < 3:
            yield row
            continue
        places = range(len(row.shown))
        pairs = pairwise(places) if row.scores is None else combinations(places, 2)
        for one, two in pairs:
            scores = None
            if row.scores is not None:
                if row.scores[one] == row.scores[two]:
                    continue
                scores = (1.0, 0.0) if row.scores[one] > row.scores[two] else (0.0, 1.0)
            yield msgspec.structs.replace(
                row,
                shown=(row.shown[one], row.shown[two]),
                models=(row.models[one], row.models[two]),
                lengths=(row.lengths[one], row.lengths[two]) if row.lengths else (),
                scores=scores,
            )
