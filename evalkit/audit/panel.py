"""Several judges of the same pairs -> what they are worth together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.evidence.evidence import Evidence
from evalkit.evidence.gather import BenchmarkEvidence
from evalkit.evidence.panels import Accuracy, ErrorsTogether, JudgePanel, Limits, SubPanelFound

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval

NEARLY = 1.1
"""How much wider than all judges' interval that of a sub-panel may be."""
FEWEST_LABELLED = 8
"""Questions with a label below which errors are not compared."""


def panels(gathered: BenchmarkEvidence) -> Iterator[JudgePanel]:
    """One panel for each protocol under which two or more judges have verdicts on the same pairs."""
    for protocol in dict.fromkeys(evidence.protocol for evidence in gathered.evidence):
        group = [one for one in gathered.evidence if one.protocol == protocol and one.shows == 2 and not one.joint]
        if len(group) > 1 and (found := _panel(group)) is not None:
            yield found


def _panel(group: Sequence[Evidence]) -> JudgePanel | None:
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.panel import FEWEST, effective_votes, same_verdict

    keys = _keys(group)
    cases = int(max((key.max(initial=-1) for key in keys), default=-1)) + 1
    every = np.stack([_means(key, one.pairs.outcome, cases) for key, one in zip(keys, group, strict=True)], axis=1)
    question, flip = _questions(group, keys, cases)
    chosen = list(range(len(group)))
    while True:
        there = np.isfinite(every[:, chosen]).all(axis=1)
        if np.unique(question[there]).size >= FEWEST:
            break
        if len(chosen) == 2:
            return None
        chosen.remove(min(chosen, key=lambda judge: int(np.isfinite(every[:, judge]).sum())))
    votes, place = every[there][:, chosen], question[there]
    names = tuple(group[judge].judge for judge in chosen)
    try:
        carried = effective_votes(votes, place)
    except NotMeasurable:  # nobody ever says anything else
        return None
    label, source = _labels([group[judge] for judge in chosen], [keys[judge] for judge in chosen], cases)
    return JudgePanel(
        benchmark=group[0].benchmark,
        protocol=group[0].protocol,
        judges=names,
        cases=len(votes),
        questions=carried.clusters,
        left_out=int(np.isfinite(every[:, chosen]).any(axis=1).sum()) - len(votes),
        without=tuple(one.judge for place, one in enumerate(group) if place not in chosen),
        same=tuple(map(tuple, same_verdict(votes).tolist())),
        votes=_with_limits(carried),
        enough=_enough(votes, place, names),
        **_against_labels(votes, label[there], place, names, source),
        **_without_labels(np.where(flip[there, None], 1 - votes, votes), place, names),
    )


def _keys(group: Sequence[Evidence]) -> list[IntArray]:
    """Number of the case of each pair, the same for all judges. Codes of one benchmark are shared."""
    import numpy as np

    from evalkit.stats.arrays import renumbered

    sizes = np.cumsum([len(one.pairs) for one in group])[:-1]
    code = np.zeros(sum(len(one.pairs) for one in group), dtype=np.int64)
    for name in ("question", "turn", "a", "b", "response_a", "response_b"):
        column = np.concatenate([getattr(one.pairs, name) for one in group]).astype(np.int64) + 1
        code = renumbered(code * (int(column.max(initial=0)) + 1) + column)[1]
    return list(np.split(code, sizes))


def _means(key: IntArray, values: FloatArray, cases: int) -> FloatArray:
    """Mean of the values of each case, of several repeats, say; NaN without."""
    import numpy as np

    known = np.isfinite(values)
    count = np.bincount(key[known], minlength=cases)
    total = np.bincount(key[known], values[known], minlength=cases)
    result: FloatArray = np.divide(total, count, out=np.full(cases, np.nan), where=count > 0)
    return result


def _questions(group: Sequence[Evidence], keys: Sequence[IntArray], cases: int) -> tuple[IntArray, BoolArray]:
    """Question of each case, and whether its second answer is to be taken for the first.

    That is the one shown first where all judges saw one order only; else it is drawn, as which is called a may depend
    on who is better.
    """
    import numpy as np

    question = np.zeros(cases, dtype=np.int64)
    asked = np.zeros(cases, dtype=np.int64)
    for key, one in zip(keys, group, strict=True):
        question[key] = one.pairs.question
        np.bitwise_or.at(asked, key, one.pairs.asked.astype(np.int64))
    drawn = np.random.default_rng(0).random(cases) < 0.5
    return question, np.where(asked == 2, True, np.where(asked == 1, False, drawn))


def _labels(group: Sequence[Evidence], keys: Sequence[IntArray], cases: int) -> tuple[FloatArray, str | None]:
    """Label of each case, NaN without: gold where there is any, else who most people prefer."""
    import numpy as np

    for source in ("gold", "people"):
        found = np.full(cases, np.nan)
        for key, one in zip(keys, group, strict=True):
            votes = one.gold if source == "gold" else one.votes
            own = votes.pair >= 0
            mean = _means(key[votes.pair[own]], votes.outcome[own], cases)
            found = np.where(np.isnan(found), mean, found)
        decided = np.isfinite(found) & (found != 0.5)
        if decided.any():
            return np.where(decided, (found > 0.5).astype(float), np.nan), source
    return np.full(cases, np.nan), None


def _against_labels(
    votes: FloatArray, label: FloatArray, question: IntArray, names: Sequence[str], source: str | None
) -> dict[str, Any]:
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.panel import correlations, effective_votes

    known = np.isfinite(label)
    if source is None or np.unique(question[known]).size < FEWEST_LABELLED:
        return {"labels": None}
    wrong = np.abs(votes[known] - label[known, None])
    try:
        carried = effective_votes(wrong, question[known])
    except NotMeasurable:  # all are always right, or always wrong
        return {"labels": None}
    together = correlations(wrong, question[known])
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
    return {
        "labels": source,
        "labelled": int(known.sum()),
        "error_votes": _with_limits(carried),
        "accuracy": tuple((1 - wrong.mean(axis=0)).tolist()),
        "errors": tuple(
            ErrorsTogether(
                names[i],
                names[j],
                Limits(*(float(part[i, j]) for part in (together.estimate, together.lower, together.upper))),
            )
            for i, j in pairs
        ),
    }


def _without_labels(votes: FloatArray, question: IntArray, names: Sequence[str]) -> dict[str, Any]:
    from evalkit.stats.errors import NotConverged
    from evalkit.stats.panel import accuracy_bounds, dawid_skene

    if len(names) < 3:
        return {}
    bounds = accuracy_bounds(votes, question)
    try:
        fit = dawid_skene(votes)
    except NotConverged:
        fit = None
    rows = tuple(
        Accuracy(
            name,
            float(bounds.lower[k]),
            float(bounds.upper[k]),
            float(fit.accuracy[k]) if fit is not None else None,
            float(fit.weight[k]) if fit is not None else None,
        )
        for k, name in enumerate(names)
    )
    return {"without_labels": rows, "alike": bounds.alike, "possible": bounds.possible}


def _enough(votes: FloatArray, question: IntArray, names: Sequence[str]) -> SubPanelFound | None:
    from evalkit.stats.panel import MOST_JUDGES, cheapest_sub_panel, mean_half_width

    if len(names) > MOST_JUDGES:
        return None
    every = mean_half_width(votes, question)
    found = cheapest_sub_panel(votes, question, NEARLY * every)
    return SubPanelFound(tuple(names[judge] for judge in found.judges), found.half_width, every)


def _with_limits(found: Interval) -> Limits:
    lower, upper = found.lower, found.upper
    assert lower is not None
    assert upper is not None
    return Limits(found.estimate, lower, upper)
