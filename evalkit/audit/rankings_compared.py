"""The models as a judge and as people rate them: ratings side by side, how alike the rankings are, and gold labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.audit.agreement_counts import HUMAN
from evalkit.audit.rated_twice import DIGITS, FEW, outcomes, rated_twice
from evalkit.evidence.evidence import Evidence, Grades, Scores, percent, signed, within
from evalkit.evidence.findings import ROUNDING, Finding, Rating, counted
from evalkit.evidence.gather import BenchmarkEvidence
from evalkit.evidence.metrics import CORRELATION, PEOPLE, Metric, Unit, share
from evalkit.ratings.comparisons import Comparisons, comparisons_of_pairs
from evalkit.ratings.panel import pooled

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray
    from evalkit.stats.resample import Interval

REPLICATES = 2000
HUMAN_SCORES = "single scores"
"""Stands for a protocol where people give scores."""
WORK = 1 << 30
"""Numbers gone through for soft pairwise accuracy; beyond it there is no interval."""
PERMUTATIONS = 400
PENALISED = (
    " A model wins or loses everything by one of them: only a penalty keeps its rating finite, which makes it the "
    "first or the last."
)
SPEARMAN = Metric(
    name="agreement_spearman",
    label="Ranking of models, Spearman",
    unit=CORRELATION,
    topic=PEOPLE,
    question="Do judge and people rank the models alike?",
    chance=0.0,
    needs="votes or scores of people on three models or more",
    source="Spearman 1904, American Journal of Psychology 15:72",
)
KENDALL = replace(
    SPEARMAN,
    name="agreement_kendall",
    label="Ranking of models, Kendall",
    question="For how many more pairs of models than not do judge and people agree which one is better?",
    source="Kendall 1938, Biometrika 30:81",
)
SOFT_PAIRWISE = Metric(
    name="ranking_soft_pairwise",
    label="Ranking of models, soft pairwise accuracy",
    unit=Unit("0 to 1", "number"),
    topic=PEOPLE,
    question="Are judge and people equally sure which of two models is better?",
    needs="votes or scores of people on three models or more",
    source="Thompson et al. 2024, arXiv:2409.09598",
)
CONFIDENCE = Metric(
    name="ranking_confidence_agreement",
    label="Pairs of models told apart as people do",
    unit=Unit("-1 to 1, 0: none told apart", "number"),
    topic=PEOPLE,
    question="Where intervals of both tell two models apart, do judge and people name the same one as better?",
    chance=0.0,
    needs="ratings with intervals by judge and people, of three models or more",
    source="Li et al. 2024, arXiv:2406.11939 (agreement with confidence intervals)",
)
GOLD = Metric(
    name="gold_accuracy",
    label="Right by gold labels",
    unit=share("showings"),
    topic=PEOPLE,
    question="How often does the judge prefer the answer that the gold label calls better?",
    chance=0.5,
    needs="gold labels of the pairs judged",
    source="LLMBar; Zeng et al. 2024, arXiv:2310.07641",
)
GOLD_BOTH_ORDERS = Metric(
    name="gold_accuracy_both_orders",
    label="Right by gold labels, on balance",
    unit=share("pairs"),
    topic=PEOPLE,
    question="On how many pairs is the judge right in one order and not wrong in the other?",
    needs="gold labels of the pairs judged",
    source="JudgeBench; Tan et al. 2024, arXiv:2410.12784",
)
METRICS = (SPEARMAN, KENDALL, SOFT_PAIRWISE, CONFIDENCE, GOLD, GOLD_BOTH_ORDERS)


def ratings(gathered: BenchmarkEvidence) -> tuple[list[Rating], list[str]]:
    """Bradley-Terry ratings by every judge and by people, as on a leaderboard; mean scores where answers got scores.

    Returns:
        The ratings, and what a reader must know of them, such as who could not be rated and why.
    """
    rated: list[Rating] = []
    notes: list[str] = []
    if not gathered.evidence:
        return rated, notes
    for evidence in gathered.evidence:
        if evidence.scores is not None:
            rated += _means(evidence)
            continue
        place = evidence.benchmark, evidence.judge, evidence.protocol
        rated += _rated(comparisons_of_pairs(*place, evidence.models, evidence.pairs), evidence.protocol, notes)
    if gathered.grades is not None:
        grades, about = gathered.grades, gathered.evidence[0]
        rated += _mean_scores(about, HUMAN, HUMAN_SCORES, grades)
    people = [table for table in gathered.voted if len(table)]
    if people:
        table = people[0] if len(people) == 1 else pooled(people, HUMAN)
        rated += _rated(_on_judged_models(table, gathered.evidence, notes), "", notes)
    return rated, notes


def _on_judged_models(table: Comparisons, judged: Sequence[Evidence], notes: list[str]) -> Comparisons:
    """People's comparisons of models that some judge judged too: other models would move the mean."""
    import numpy as np

    models: set[str] = set()
    for evidence in judged:
        pairs, scores = evidence.pairs, evidence.scores
        codes = [pairs.a, pairs.b] if scores is None else [scores.model]
        models |= {evidence.models[code] for code in np.unique(np.concatenate(codes)).tolist()}
    here = np.array([name in models for name in table.models], dtype=bool)
    met = (np.bincount(table.a, minlength=here.size) + np.bincount(table.b, minlength=here.size)) > 0
    if (here | ~met).all():
        return table
    notes.append(
        f"ratings by `{HUMAN}` are of the {int((here & met).sum())} models that a judge judged too, of "
        f"{int(met.sum())}; `evalkit leaderboard` rates all, so its figures differ"
    )
    return table.where(np.flatnonzero(here[table.a] & here[table.b]))


def compared(gathered: BenchmarkEvidence, rated: Sequence[Rating] = ()) -> Iterator[Finding]:
    """For each judge, how alike its ranking is to people's, and how often it is right where gold labels say what is.

    Args:
        gathered: of one benchmark.
        rated: its ratings, for what depends on their intervals.
    """
    for evidence in gathered.evidence:
        yield from _rankings(evidence)
        yield from _soft_pairwise(evidence)
        yield from _confidence(evidence, rated)
        yield from _accuracy(evidence)


def _rated(table: Comparisons, protocol: str, notes: list[str]) -> list[Rating]:
    """The models that the comparisons link, the best first; the others are named in the notes."""
    import numpy as np

    from evalkit.ratings.bt import fit_ratings
    from evalkit.stats.errors import StatisticsError

    if not len(table):
        return []
    who = f"{table.judge} ({protocol})" if protocol else table.judge
    try:
        fitted = fit_ratings(table)
    except StatisticsError as error:
        notes.append(f"{who}: not rated: {getattr(error, 'reason', error)}")
        return []
    notes.extend(f"{who}: {note}" for note in fitted.notes)
    counts = np.bincount(np.concatenate([table.a, table.b]), minlength=len(table.models))
    rows = []
    for model in fitted.models:
        logit, elo = fitted.logit(model), fitted.interval(model)
        assert elo is not None
        rows.append(
            Rating(
                benchmark=table.benchmark,
                rater=table.judge,
                protocol=protocol,
                model=model,
                rating=logit.estimate,
                lower=logit.lower,
                upper=logit.upper,
                n=int(counts[table.models.index(model)]),
                elo=elo.estimate,
                elo_lower=elo.lower,
                elo_upper=elo.upper,
            )
        )
    return sorted(rows, key=lambda row: -row.rating)


def _means(evidence: Evidence) -> Iterator[Rating]:
    assert evidence.scores is not None
    yield from _mean_scores(evidence, evidence.judge, evidence.protocol, evidence.scores)


def _mean_scores(evidence: Evidence, rater: str, protocol: str, given: Scores | Grades) -> Iterator[Rating]:
    """Mean scores as a leaderboard of the same rows has them, to the last digit."""
    import numpy as np

    from evalkit.ratings.scores import clipped, mean_score, scale_of
    from evalkit.ratings.standing import declared_categories

    keep = np.isfinite(given.score)
    ours = given if isinstance(given, Scores) else None
    limits = scale_of(protocol, given.score[keep], ours.score_range if ours else None)
    declared = declared_categories(evidence.benchmark)
    rows = []
    for code in np.unique(given.model[keep]).tolist():
        mine = keep & (given.model == code)
        found = mean_score(
            given.score[mine],
            given.question[mine],
            given.turn[mine],
            protocol=protocol,
            limits=limits,
            strata=given.category[mine] if declared else None,
        )
        found = clipped(found) if ours and ours.share else found
        rows.append((replace(found, n=int(mine.sum())), evidence.models[code]))
    for interval, name in sorted(rows, key=lambda row: -row[0].estimate):
        yield Rating(
            benchmark=evidence.benchmark,
            rater=rater,
            protocol=protocol,
            model=name,
            rating=interval.estimate,
            lower=interval.lower,
            upper=interval.upper,
            n=interval.n,
            kind="score",
        )


def _rankings(evidence: Evidence) -> Iterator[Finding]:
    """Rank correlations on what both judged; questions resampled through their influence on the ratings."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable, StatisticsError
    from evalkit.stats.question_draws import question_counts
    from evalkit.stats.ranking import kendall, rank_correlations, spearman

    metrics = ((SPEARMAN, "Spearman", spearman), (KENDALL, "Kendall", kendall))
    try:
        two = rated_twice(evidence)
        estimates = [correlation(two.judge, two.people) for _, _, correlation in metrics]
    except StatisticsError as error:
        reason = error.reason if isinstance(error, NotMeasurable) else f"needs ratings by both ({error})"
        for metric, _, _ in metrics:
            yield evidence.lacking(metric, reason)
        return
    questions, models = len(two.influence), two.judge.size
    resampled: tuple[FloatArray, ...] = (np.zeros(0), np.zeros(0))
    if questions > 1:
        here = np.concatenate([two.judge, two.people])
        moved = [here + (counts - 1) @ two.influence for counts in question_counts(questions, REPLICATES, 0)]
        replicates = np.concatenate(moved).round(DIGITS)
        resampled = rank_correlations(replicates[:, :models], replicates[:, models:])
    for (metric, name, _), value, drawn in zip(metrics, estimates, resampled, strict=True):
        interval = _limited(value, drawn, two.n, max(questions, 1))
        yield evidence.finding(
            metric,
            interval,
            f"{name}'s rank correlation of the {models} models' {two.what} by {evidence.judge} and by people on the "
            f"same {counted(two.n, 'vote' if two.what == 'ratings' else 'answer')}: {signed(interval)}."
            + (PENALISED if two.ridge else ""),
            models=models,
            ridge=two.ridge,
        )


def _limited(value: float, drawn: FloatArray, n: int, questions: int) -> Interval:
    """A correlation with limits of its draws; one in which a side rates all models alike could be anything."""
    import numpy as np

    from evalkit.stats.resample import Interval, floored, percentile_limits

    known = drawn[np.isfinite(drawn)]
    if known.size < 2:
        return Interval(value, None, None, n, 0.95, None, questions)
    low, high = (
        percentile_limits(np.nan_to_num(drawn, nan=end), 0.95, clusters=questions)[place]
        for place, end in enumerate((-1.0, 1.0))
    )
    low, high = max(-1.0, low), min(1.0, high)
    found = Interval(value, low, high, n, 0.95, float(known.std(ddof=1)), questions, REPLICATES)
    alike = np.zeros(questions)  # where every resample ranks alike, the limit is that of as many questions
    return found if high - low > ROUNDING or questions < 2 else floored(found, alike, (-1.0, 1.0))


def _soft_pairwise(evidence: Evidence) -> Iterator[Finding]:
    """Whether judge and people are sure about the same pairs of models, on the same votes or scores."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.jackknife import jackknife
    from evalkit.stats.soft_pairwise import soft_pairwise_accuracy

    metric = SOFT_PAIRWISE
    model, question, judge, people = outcomes(evidence)
    used, row = np.unique(model, return_inverse=True)
    about, column = np.unique(question, return_inverse=True)
    if used.size < 3:
        yield evidence.lacking(metric, FEW)
        return
    count = np.zeros((used.size, about.size))
    np.add.at(count, (row, column), 1)
    tables = []
    for said in (people, judge):
        total = np.zeros_like(count)
        np.add.at(total, (row, column), said)
        tables.append(np.divide(total, count, out=np.full_like(count, np.nan), where=count > 0))

    def accuracy(keep: BoolArray) -> float:
        return soft_pairwise_accuracy(tables[0][:, keep], tables[1][:, keep], permutations=PERMUTATIONS).accuracy

    work = PERMUTATIONS * about.size * used.size * (used.size - 1) // 2
    groups = min(20, WORK // max(work, 1))
    try:
        found = jackknife(accuracy, np.arange(about.size), bounds=(0.0, 1.0), groups=groups)
    except NotMeasurable as error:
        yield evidence.lacking(metric, error.reason)
        return
    yield evidence.finding(
        metric,
        replace(found, n=int(model.size)),
        f"Soft pairwise accuracy of the ranking of {used.size} models is {found.estimate:.2f} ({within(found, 2)}): 1 "
        f"where {evidence.judge} and people are equally sure which of two models is better, for every pair.",
        models=int(used.size),
    )


def _confidence(evidence: Evidence, rated: Sequence[Rating]) -> Iterator[Finding]:
    """Arena-Hard's measure of a benchmark: does it tell models apart, and as people do?"""
    import numpy as np

    from evalkit.stats.ranking import confidence_agreement
    from evalkit.stats.resample import Interval

    mine = {
        row.model: row
        for row in rated
        if (row.rater, row.protocol) == (evidence.judge, evidence.protocol) and row.lower is not None
    }
    theirs = {row.model: row for row in rated if row.rater == HUMAN and row.lower is not None}
    kinds = {row.kind for row in mine.values()}
    shared = [name for name, row in theirs.items() if name in mine and row.kind in kinds]
    if len(shared) < 3:
        return
    limits = [np.array([getattr(side[name], end) for name in shared]) for side in (mine, theirs) for end in _ENDS]
    value = confidence_agreement(*limits)
    pairs = len(shared) * (len(shared) - 1) // 2
    yield evidence.finding(
        CONFIDENCE,
        Interval(value, None, None, pairs, 0.95, None, 0),
        f"Of {pairs} pairs of models, counting 1 where the intervals of {evidence.judge}'s ratings and of people's "
        f"separate them alike, -1 where oppositely and 0 where either does not, the mean is {value:+z.2f} "
        "(Arena-Hard's agreement with confidence intervals).",
        models=len(shared),
    )


_ENDS = ("lower", "upper")


def _accuracy(evidence: Evidence) -> Iterator[Finding]:
    """Accuracy on gold labels: by showing (LLMBar), and by the sum over both orders (JudgeBench)."""
    import numpy as np

    from evalkit.stats.shares import clustered_share

    gold, pairs = evidence.gold, evidence.pairs
    used = np.flatnonzero((gold.pair >= 0) & (gold.outcome != 0.5))
    if not used.size:
        return
    used = used[np.isfinite(pairs.outcome[gold.pair[used]])]
    if not used.size:
        for metric in (GOLD, GOLD_BOTH_ORDERS):
            yield evidence.lacking(metric, "needs verdicts on the pairs that have a gold label; all of them failed")
        return
    pair, sign = gold.pair[used], np.sign(gold.outcome[used] - 0.5)
    net, values, question = np.zeros(used.size), [], []
    for said in (pairs.plain[pair], pairs.swapped[pair]):
        has = np.isfinite(said)
        right = np.sign(said - 0.5) * sign
        net[has] += right[has]
        values.append(0.5 + right[has] / 2)
        question.append(gold.question[used][has])
    share = clustered_share(np.concatenate(values), np.concatenate(question))
    yield evidence.finding(
        GOLD,
        share,
        f"{evidence.judge} prefers the answer that the gold label calls better in {percent(share)} of {share.n} "
        "showings, a tie counting half; guessing gives 50%.",
        null=GOLD.chance,
    )
    strict = clustered_share((net > 0).astype(np.float64), gold.question[used])
    yield evidence.finding(
        GOLD_BOTH_ORDERS,
        strict,
        f"Taking both orders together (right in one and not wrong in the other), {evidence.judge} is right on "
        f"{int((net > 0).sum())} of {used.size} pairs: {percent(strict)}.",
        inconsistent=int(
            (pairs.both[pair] & (np.sign(pairs.plain[pair] - 0.5) != np.sign(pairs.swapped[pair] - 0.5))).sum()
        ),
    )
