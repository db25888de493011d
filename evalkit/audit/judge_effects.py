"""What place, length and kinship do to a judge, in one number each: the columns of a board of judges.

With gold labels they are differences in how often the judge is right, by where, how long and whose the right answer
is. People's votes are noisy, and where longer answers or the judge's kin are better such differences are far from 0
for any judge; there the length and the family effect are those of an audit, which compares with people's own taste.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.audit.label_cells import JudgeColumn, LabelCells
from evalkit.core.preference_strength import STEPS
from evalkit.evidence.findings import Finding

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval

FEWEST = 8
"""Labels below which a category, or one side of an effect, is not shown."""


def effects(cells: LabelCells, column: JudgeColumn) -> dict[str, Interval | None]:
    """The fields ``same_in_both``, ``position``, ``length`` and ``family`` of a row, as far as the labels allow."""
    import numpy as np

    evidence, votes = column.evidence, column.votes
    if evidence is None or votes is None or cells.measure != "pairs":
        return {}
    rows = np.unique(cells.vote)
    label = np.sign(votes.outcome[rows] - 0.5)
    pair, pairs = votes.pair[rows], evidence.pairs
    result: dict[str, Interval | None] = {}
    if evidence.shows == 2 and len(pairs):
        result["same_in_both"] = _same_in_both(column, np.unique(pair[pair >= 0]))
        if not evidence.joint:
            used = np.flatnonzero((label != 0) & (pair >= 0))
            sides = [np.sign(side[pair[used]] - 0.5) for side in (pairs.plain, pairs.swapped)]
            right = np.concatenate([np.where(np.isfinite(side), side == label[used], np.nan) for side in sides])
            first = np.concatenate([label[used] > 0, label[used] < 0])
            result["position"] = _gap(right, first, np.tile(votes.question[rows][used], 2))
    if cells.source == "people":
        return result | (_beyond_people(column) if rows.size == len(votes) else {})
    counts = np.bincount(cells.vote, np.isfinite(column.right), minlength=len(votes))[rows]
    sums = np.bincount(cells.vote, np.nan_to_num(column.right), minlength=len(votes))[rows]
    right = np.divide(sums, counts, out=np.full(rows.size, np.nan), where=counts > 0)
    question, longer = votes.question[rows], cells.longer[rows] * label
    apart = np.isfinite(longer) & (longer != 0)
    result["length"] = _gap(right[apart], longer[apart] > 0, question[apart])
    from evalkit.biases.self_preference import relatives

    kin = np.array([code for code, kind in relatives(evidence).items() if kind in ("self", "family")], dtype=np.int64)
    one, other = (np.isin(side[rows], kin) for side in (votes.a, votes.b))
    mixed = (one != other) & (label != 0)
    result["family"] = _gap(right[mixed], (one == (label > 0))[mixed], question[mixed])
    return result


def by_strength(cells: LabelCells, column: JudgeColumn) -> dict[str, Interval]:
    """The share right by how strong a preference is, for each step with labels enough; none unless there are two."""
    import numpy as np

    steps = _steps(cells)
    result = {}
    for step in steps.tolist():
        inside = cells.strength[cells.vote] == step
        share = share_of(np.where(inside, column.right, np.nan), cells.question)
        if share is not None and np.isfinite(column.right[inside]).sum() >= FEWEST:
            result[STEPS[step - 1]] = share
    return result


def stronger(cells: LabelCells, column: JudgeColumn) -> Interval | None:
    """The share right on the stronger half of the steps that labels have, minus that on the weaker ones."""
    steps = _steps(cells)
    if steps.size < 2:
        return None
    strength = cells.strength[cells.vote]
    return _gap(
        column.right[strength > 0], strength[strength > 0] >= steps[steps.size // 2], cells.question[strength > 0]
    )


def strong_steps(cells: LabelCells) -> tuple[str, ...]:
    """What the stronger half of the steps is called; empty where labels have one or none."""
    steps = _steps(cells)
    return tuple(STEPS[step - 1] for step in steps[steps.size // 2 :].tolist()) if steps.size > 1 else ()


def _steps(cells: LabelCells) -> IntArray:
    """The steps with labels enough."""
    import numpy as np

    if not cells.strength.size:
        return np.zeros(0, dtype=np.int64)
    counts = np.bincount(cells.strength[cells.vote], minlength=len(STEPS) + 1)
    counts[0] = 0
    return np.flatnonzero(counts >= FEWEST)


def _beyond_people(column: JudgeColumn) -> dict[str, Interval | None]:
    """Length and family as an audit has them: of all votes, so there is none for a category."""
    from evalkit.biases.length import SLOPE_EXCESS, Length
    from evalkit.biases.self_preference import RESIDUALS, SelfPreference

    assert column.evidence is not None
    own = {RESIDUALS["self"].name, RESIDUALS["family"].name}
    return {
        "length": _first(Length().findings(column.evidence), {SLOPE_EXCESS.name}),
        "family": _first(SelfPreference().findings(column.evidence), own),
    }


def _first(findings: Iterable[Finding], metrics: set[str]) -> Interval | None:
    from evalkit.stats.resample import Interval

    for row in findings:
        if row.metric in metrics and row.estimate is not None:
            return Interval(row.estimate, row.lower, row.upper, row.n, 0.95, None, row.questions)
    return None


def _same_in_both(column: JudgeColumn, rows: IntArray) -> Interval | None:
    import numpy as np

    assert column.evidence is not None
    pairs = column.evidence.pairs
    if column.evidence.joint:
        rows = rows[np.isfinite(pairs.outcome[rows])]
        same = ~pairs.inconsistent[rows]
    else:
        rows = rows[pairs.both[rows]]
        same = np.sign(pairs.plain[rows] - 0.5) == np.sign(pairs.swapped[rows] - 0.5)
    return share_of(same.astype(np.float64), pairs.question[rows])


def share_of(values: FloatArray, question: IntArray) -> Interval | None:
    """Mean of the values [N] that are there, clustered by question; None where none is."""
    import numpy as np

    from evalkit.stats.shares import clustered_share

    has = np.isfinite(values)
    return clustered_share(values[has], question[has], resamples=2000) if has.any() else None


def _gap(right: FloatArray, group: BoolArray, question: IntArray) -> Interval | None:
    """The share right within the group minus that of the others; None where either side has too few."""
    import numpy as np

    from evalkit.stats.shares import clustered_difference

    has = np.isfinite(right)
    inside = group[has]
    if min(int(inside.sum()), int((~inside).sum())) < FEWEST:
        return None
    found = clustered_difference(right[has], inside, question[has])
    lower, upper = found.lower, found.upper
    if lower is None or upper is None or upper <= lower:
        return replace(found, lower=None, upper=None)
    return replace(found, lower=max(-1.0, lower), upper=min(1.0, upper))
