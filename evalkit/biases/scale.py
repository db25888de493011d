"""How a judge that grades answers one by one uses its scale, and how people use it on the same answers.

A judge that gives nearly everything the same score cannot tell answers apart, whatever its agreement looks like.
Repeats tell how much of the spread is noise: ICC(1) = (MSB - MSW) / (MSB + (k - 1) MSW) (Shrout & Fleiss 1979).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from evalkit.evidence.evidence import Evidence, percent, signed, within
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import POINTS, POINTS_APART, SCALE, Metric, Unit, share

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.resample import Interval

REPLICATES = 1000
MOST_LEVELS = 60
"""More than that are a continuous scale."""
SCORES = "needs scores of single answers"
HUMAN_SCORES = "needs scores by people of the answers this judge scored (--human FILE)"
ENTROPY = Metric(
    name="scale_entropy",
    label="Use of the scale (entropy, of the most possible)",
    unit=share("the most possible entropy"),
    topic=SCALE,
    question="How evenly does the judge use the levels of its scale?",
    needs="scores of single answers, on a scale of few levels",
    source="Evenness; Pielou 1966, Journal of Theoretical Biology 13:131",
)
TOP_BOX = Metric(
    name="scale_top_box",
    label="Scores equal to the highest it gave",
    unit=share("scores"),
    topic=SCALE,
    question="How many scores are the highest that the judge gave, so that it sees no difference among them?",
    needs="scores of single answers, on a scale of few levels",
    source="Share, limits clustered by question; Miller 2024, arXiv:2411.00640",
)
MEAN = Metric(
    name="scale_mean",
    label="Mean score",
    unit=POINTS,
    topic=SCALE,
    question="What does the judge give on average?",
    needs="scores of single answers",
    source="Mean, limits clustered by question; Miller 2024, arXiv:2411.00640",
)
TIES = Metric(
    name="scale_ties",
    label="Two models with equal scores",
    unit=share("pairs of models on a question"),
    topic=SCALE,
    question="How often do two models get the very same score on the same question?",
    needs="scores of several models on the same question",
    source="On ties of scores: Liu et al. 2023 (G-Eval), arXiv:2303.16634",
)
ICC = Metric(
    name="scale_icc",
    label="Repeatability of scores, ICC",
    unit=Unit("0 all noise, 1 none", "number"),
    topic=SCALE,
    question="Asked again, how much of the variance of its scores is between answers rather than noise?",
    chance=0.0,
    needs="repeats of the same judgment (repeats=3)",
    source="ICC(1); Shrout & Fleiss 1979, Psychological Bulletin 86:420",
)
MEAN_EXCESS = Metric(
    name="scale_mean_excess",
    label="Mean score above people's",
    unit=POINTS_APART,
    topic=SCALE,
    question="On the same answers, does the judge score higher than people do?",
    needs="scores by people of the answers judged",
    source="Paired difference; Miller 2024, arXiv:2411.00640",
)
KS = Metric(
    name="scale_ks",
    label="Score distributions apart (KS)",
    unit=share("answers, at the score where they differ most"),
    topic=SCALE,
    question="On the same answers, how far apart are the distributions of the judge's scores and of people's?",
    needs="scores by people of the answers judged",
    source="Kolmogorov-Smirnov distance, the two exchanged by question",
)


@dataclass(frozen=True)
class Scale:
    """Entropy, top score, ties, repeatability."""

    metrics: ClassVar[tuple[Metric, ...]] = (ENTROPY, TOP_BOX, MEAN, TIES, ICC, MEAN_EXCESS, KS)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield how a judge of single answers uses its scale."""
        import numpy as np

        from evalkit.stats.shares import clustered_mean, clustered_share

        if evidence.scores is None:
            return
        keep = np.isfinite(evidence.scores.score)
        score, question = evidence.scores.score[keep], evidence.scores.question[keep]
        if not score.size:
            for metric in (ENTROPY, TOP_BOX, TIES, ICC):
                yield evidence.lacking(metric, SCORES)
            return
        values, code = np.unique(score, return_inverse=True)
        levels = _levels(values, evidence.scores.score_range)
        counts = {f"{value:g}": int(count) for value, count in zip(values, np.bincount(code), strict=True)}
        top = clustered_share((score == values[-1]).astype(np.float64), question)
        if levels is not None:
            entropy = _entropy(code, question, values.size, levels)
            common = max(counts, key=counts.__getitem__)
            yield evidence.finding(
                ENTROPY,
                entropy,
                f"{evidence.judge} uses {counted(values.size, 'different score')} of about {levels}; their entropy is "
                f"{100 * entropy.estimate:.0f}% of the most possible ({within(entropy, 0, 100, '%')}). "
                f"The most common is {common}, {100 * counts[common] / score.size:.0f}% of {score.size:,}.",
                distribution=counts,
            )
            yield evidence.finding(
                TOP_BOX,
                top,
                f"{percent(top)} of the scores are the highest it gives, {values[-1]:g}: among those "
                "answers it sees no difference.",
            )
        else:
            yield evidence.lacking(ENTROPY, f"needs a scale of few levels; there are {values.size} scores")
        mean = clustered_mean(score, question, limits=scale_of(score, evidence.scores.score_range), unseen=True)
        yield evidence.finding(MEAN, mean, f"The mean score is {mean.estimate:.2f} ({within(mean, 2)}).")
        yield from _ties(evidence)
        yield from _icc(evidence)
        yield from _beside_people(evidence)


def scale_of(scores: FloatArray, said: tuple[float, float] | None = None) -> tuple[float, float] | None:
    """Ends of the scale of finite scores [N]; None where nothing says them and all scores are equal.

    Args:
        scores: not empty.
        said: what the rows say. Else it is 1 to 10 where scores fit, or what is used.
    """
    low, high = float(scores.min()), float(scores.max())
    if said is not None and said[0] <= low and high <= said[1]:
        return said
    if low >= 1 and high <= 10:
        return 1.0, 10.0
    return (low, high) if low < high else None


def _levels(values: FloatArray, said: tuple[float, float] | None) -> int | None:
    """How many levels the scale has: by the ends that rows say, or 1 to 10 where scores fit, else what is used."""
    import numpy as np

    if values.size > MOST_LEVELS:
        return None
    if said is not None and (values == np.rint(values)).all() and 1 < said[1] - said[0] < MOST_LEVELS:
        return round(said[1] - said[0]) + 1
    if (values == np.rint(values)).all() and values[0] >= 1 and values[-1] <= 10:
        return 5 if values[-1] <= 5 and values.size > 2 else 10
    return int(values.size)


def _entropy(code: IntArray, question: IntArray, size: int, levels: int) -> Interval:
    """Entropy over ln K, questions resampled."""
    import numpy as np

    from evalkit.stats.question_draws import question_counts
    from evalkit.stats.resample import Interval, percentile_limits

    cluster = np.unique(question, return_inverse=True)[1]
    used = int(cluster.max()) + 1
    table = np.bincount(cluster * size + code, minlength=used * size).reshape(used, size).astype(np.float64)
    most = float(np.log(max(levels, 2)))

    def entropy(tables: FloatArray) -> FloatArray:
        share = tables / tables.sum(axis=1, keepdims=True)
        logs = np.log(share, out=np.zeros_like(share), where=share > 0)
        result: FloatArray = -(share * logs).sum(axis=1) / most
        return result + 0.0  # no -0.0

    value = float(entropy(table.sum(axis=0, keepdims=True))[0])
    if used < 2:
        return Interval(value, None, None, code.size, 0.95, None, used)
    drawn = np.concatenate([entropy(counts @ table) for counts in question_counts(used, REPLICATES, 0)])
    low, high = percentile_limits(drawn, 0.95, clusters=used)
    return Interval(value, min(low, value), max(high, value), code.size, 0.95, float(drawn.std()), used, REPLICATES)


def _ties(evidence: Evidence) -> Iterator[Finding]:
    """Share of pairs of models that get the same score on the same question and turn."""
    import numpy as np

    from evalkit.stats.resample import question_bootstrap, wilson

    scores = evidence.scores
    assert scores is not None
    keep = np.isfinite(scores.score) & (scores.repeat == 0)
    columns = np.stack([scores.question[keep], scores.turn[keep]], axis=1)
    place = np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1)
    values, code = np.unique(scores.score[keep], return_inverse=True)
    cells = int(place.max(initial=-1)) + 1
    n = np.bincount(place, minlength=cells).astype(np.float64)
    same = np.zeros(cells)
    used, counts = np.unique(place * max(values.size, 1) + code, return_counts=True)
    np.add.at(same, used // max(values.size, 1), counts * (counts - 1) / 2)
    total = n * (n - 1) / 2
    if not total.sum():
        yield evidence.lacking(TIES, "needs several models on the same question")
        return
    question = np.zeros(cells, dtype=np.int64)
    question[place] = scores.question[keep]
    cluster = np.unique(question, return_inverse=True)[1]
    sums, pairs = (np.bincount(cluster, part).astype(np.float64) for part in (same, total))
    interval = question_bootstrap(sums, pairs, pooled=True, limits=(0.0, 1.0), resamples=2000)
    score = wilson(float(sums.sum()), float(pairs.sum()))  # where all are alike, a bootstrap has no width
    if (
        interval.lower is not None
        and interval.upper is not None
        and score.lower is not None
        and score.upper is not None
    ):
        low, high = min(interval.lower, score.lower), max(interval.upper, score.upper)
        interval = replace(interval, lower=low, upper=high)
    yield evidence.finding(
        TIES,
        interval,
        f"Two models get the very same score on the same question in {percent(interval)} of {interval.n:,} pairs.",
    )


def _icc(evidence: Evidence) -> Iterator[Finding]:
    """Intraclass correlation over repeats of the same judgment; unequal numbers by their usual mean."""
    import numpy as np

    from evalkit.stats.question_draws import question_counts
    from evalkit.stats.resample import Interval, percentile_limits

    scores = evidence.scores
    assert scores is not None
    keep = np.isfinite(scores.score)
    cell = np.unique(np.stack([scores.response[keep], scores.turn[keep]], axis=1), axis=0, return_inverse=True)[
        1
    ].reshape(-1)
    n = np.bincount(cell)
    several = n[cell] > 1
    if not several.any():
        yield evidence.lacking(ICC, "needs repeats of the same judgment (`evalkit run ... repeats=3`)")
        return
    score, cell = scores.score[keep][several], np.unique(cell[several], return_inverse=True)[1]
    units = int(cell.max()) + 1
    k = np.bincount(cell).astype(np.float64)
    sums, squares = np.bincount(cell, score), np.bincount(cell, score**2)
    place = np.zeros(units, dtype=np.int64)
    place[cell] = scores.question[keep][several]
    cluster = np.unique(place, return_inverse=True)[1]
    used = int(cluster.max()) + 1
    parts = np.stack([np.ones(units), k, k**2, sums, sums**2 / k, squares], axis=1)
    table = np.zeros((used, parts.shape[1]))
    np.add.at(table, cluster, parts)

    def icc(tables: FloatArray) -> FloatArray:
        cells, total, square, all_sums, between, all_squares = tables.T
        mean = (total - square / total) / np.maximum(cells - 1, 1)
        msb = (between - all_sums**2 / total) / np.maximum(cells - 1, 1)
        msw = (all_squares - between) / np.maximum(total - cells, 1)
        bottom = msb + (mean - 1) * msw
        result: FloatArray = np.divide(msb - msw, bottom, out=np.full(len(tables), np.nan), where=bottom > 1e-12)
        return result

    value = float(icc(table.sum(axis=0, keepdims=True))[0])
    if not np.isfinite(value):
        yield evidence.lacking(ICC, "needs scores that vary")
        return
    low = high = error = None
    if used > 1:
        drawn = np.concatenate([icc(counts @ table) for counts in question_counts(used, REPLICATES, 0)])
        drawn = drawn[np.isfinite(drawn)]
        low, high = percentile_limits(drawn, 0.95, clusters=used)
        error = float(drawn.std())
    interval = Interval(value, low, high, int(score.size), 0.95, error, used, REPLICATES)
    yield evidence.finding(
        ICC,
        interval,
        f"Asked again, {100 * max(value, 0.0):.0f}% of the variance of its scores is between answers, the rest is "
        f"noise ({within(interval)}; {units} answers, {score.size} scores).",
    )


def _beside_people(evidence: Evidence) -> Iterator[Finding]:
    """Mean difference from people on the same answers, and Kolmogorov-Smirnov distance of the distributions."""
    import numpy as np

    from evalkit.stats.arrays import totals
    from evalkit.stats.question_draws import question_counts
    from evalkit.stats.resample import Interval, percentile_limits
    from evalkit.stats.shares import clustered_mean

    grades = evidence.grades
    has = np.zeros(0, dtype=bool) if grades is None else np.isfinite(grades.judged)
    if grades is None or not has.any():
        for metric in (KS, MEAN_EXCESS):
            yield evidence.lacking(metric, HUMAN_SCORES)
        return
    judge, people, question, _ = grades.both
    excess = clustered_mean(judge - people, question)
    theirs = grades.score[has]
    yield evidence.finding(
        MEAN_EXCESS,
        excess,
        f"On the same {judge.size} answers {evidence.judge} scores {signed(excess)} above people (it uses "
        f"{judge.min():g} to {judge.max():g}, they {theirs.min():g} to {theirs.max():g}).",
    )
    # each answer weighs one on both sides; what differs between the two distributions, by question and score
    answer = np.unique(grades.answer[has], return_inverse=True)[1]
    weight = 1 / np.bincount(answer)[answer]
    cluster = np.unique(grades.question[has], return_inverse=True)[1]
    values, code = np.unique(np.concatenate([grades.judged[has], theirs]), return_inverse=True)
    used, size = int(cluster.max()) + 1, values.size
    cells = np.concatenate([cluster, cluster]) * size + code
    gap = totals(cells, np.concatenate([weight, -weight]), used * size).reshape(used, size).cumsum(axis=1)
    answers = totals(cluster, weight, used)

    def distance(counts: FloatArray) -> FloatArray:
        result: FloatArray = np.abs(counts @ gap).max(axis=1) / np.abs(counts @ answers)
        return result

    value = float(distance(np.ones((1, used)))[0])
    low = high = error = None
    if used > 1:
        drawn = np.concatenate([distance(counts) for counts in question_counts(used, REPLICATES, 0)])
        lower, upper = percentile_limits(drawn, 0.95, clusters=used)
        # resampling moves a distance up: limits are turned about the estimate, which moves them back
        low, high = max(0.0, min(value, 2 * value - upper)), min(1.0, max(value, 2 * value - lower))
        error = float(drawn.std())
    interval = Interval(value, low, high, judge.size, 0.95, error, used, REPLICATES)
    signs = np.random.default_rng(0).integers(0, 2, size=(REPLICATES, used)) * 2.0 - 1.0
    exchanged = np.abs(signs @ gap).max(axis=1) / answers.sum()
    p = float((1 + (exchanged >= value - 1e-12).sum()) / (1 + REPLICATES))
    yield evidence.finding(
        KS,
        interval,
        f"The distributions of its scores and of people's on the same answers are {100 * value:.0f} points apart at "
        f"most (Kolmogorov-Smirnov; {within(interval, 0, 100, '%')}; exchanging the two by question: p = {p:.2g}).",
        p_value=p,
    )
