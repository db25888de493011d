"""Agreement beyond counting: chance-corrected, between categories, of scores, and against each person in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.audit.agreement_counts import HUMAN, PairedVerdicts, length_kappa, with_votes
from evalkit.evidence.evidence import Evidence, percent, signed
from evalkit.evidence.findings import Finding, Setup
from evalkit.evidence.gather import BenchmarkEvidence
from evalkit.evidence.metrics import BEYOND_CHANCE, CORRELATION, PEOPLE, Metric, Unit, share
from evalkit.ratings.collation import Group

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray

REPLICATES = 2000
VOTES = "needs votes of people on pairs this judge judged (--human FILE)"
GUESSES = 5
"""Times the judge's labels are dealt at random, to learn how far ahead of guessing people are."""
FEWEST_EACH = 4
"""Questions of a category from which it is compared with others."""
CELLS = 1_000_000
"""Annotators times items that the alternative annotator test looks at: beyond it, the items most people labelled."""
SETUPS: tuple[Setup, ...] = ("S1", "S2")
BY_SETUP = "S1 is every vote, S2 those where neither side says tie"
KAPPA = Metric(
    name="agreement_kappa_{setup}",
    label="Kappa with people, {title}",
    unit=BEYOND_CHANCE,
    topic=PEOPLE,
    question="How much more often than by chance does the judge say what people say ({title})?",
    chance=0.0,
    needs="votes of people on the pairs judged",
    source=f"Cohen 1960, Educational and Psychological Measurement 20:37, pairs counted both ways round; {BY_SETUP}",
)
HETEROGENEITY = Metric(
    name="agreement_heterogeneity_{setup}",
    label="Spread between categories (SD), {title}",
    unit=Unit("standard deviation of shares", "share"),
    topic=PEOPLE,
    question="Does agreement with people differ between categories by more than chance ({title})?",
    needs="votes of people on pairs of two categories or more",
    source=f"Clustered chi-square; {BY_SETUP}",
)
WINNING_RATE = Metric(
    name="alt_test_winning_rate",
    label="Annotators it could replace (alt-test)",
    unit=share("annotators"),
    topic=PEOPLE,
    question="How many annotators does the judge match at agreeing with the others, falling short by epsilon at most?",
    needs="votes of two people or more on the pairs judged",
    source="Calderon et al. 2025, arXiv:2501.10970; 50% passes",
)
ADVANTAGE = Metric(
    name="alt_test_advantage",
    label="No farther from people than one of them, by item",
    unit=share("items, averaged over annotators"),
    topic=PEOPLE,
    question="Item by item, how often does the judge agree with the others at least as well as the person left out?",
    needs="votes of two people or more on the pairs judged",
    source="Calderon et al. 2025, arXiv:2501.10970; equal counts for both, so that guessing can exceed 50%",
)
SCORES = Metric(
    name="agreement_scores_spearman",
    label="Scores of answers, Spearman",
    unit=CORRELATION,
    topic=PEOPLE,
    question="Do judge and people put the same answers in the same order?",
    chance=0.0,
    needs="scores by people of the answers judged",
    source="Spearman 1904, American Journal of Psychology 15:72",
)
ALPHA = Metric(
    name="agreement_human_alpha",
    label="Krippendorff's alpha among people",
    unit=BEYOND_CHANCE,
    topic=PEOPLE,
    question="How much more often than by chance do people agree with one another, over all pairs?",
    chance=0.0,
    needs="pairs that two people or more voted on",
    source="Krippendorff 2011, nominal",
)
FLEISS = Metric(
    name="agreement_human_fleiss",
    label="Fleiss' kappa among people",
    unit=BEYOND_CHANCE,
    topic=PEOPLE,
    question="How much more often than by chance do people agree, on the pairs with the usual number of votes?",
    chance=0.0,
    needs="pairs that two people or more voted on",
    source="Fleiss 1971, Psychological Bulletin 76:378",
)
METRICS = (
    *(family.of(setup=setup.lower(), title=setup) for family in (KAPPA, HETEROGENEITY) for setup in SETUPS),
    *(WINNING_RATE, ADVANTAGE, SCORES, ALPHA, FLEISS),
)


def statistics(gathered: BenchmarkEvidence) -> Iterator[Finding]:
    """For each judge, then for people among themselves."""
    for evidence in gathered.evidence:
        yield from _kappa(evidence)
        yield from _heterogeneity(evidence)
        yield from _alternative(evidence)
        yield from _scores(evidence)
    if gathered.people:
        yield from _alpha(gathered.benchmark, gathered.people[0])
        yield from _fleiss(gathered.benchmark, gathered.people[0])


def _kappa(evidence: Evidence) -> Iterator[Finding]:
    """Cohen's kappa, each pair of votes counted both ways round."""
    import numpy as np

    from evalkit.stats.agreement import cohen_kappa
    from evalkit.stats.errors import NotMeasurable

    for setup in SETUPS:
        metric = KAPPA.of(setup=setup.lower(), title=setup)
        verdicts = with_votes(evidence, evidence.votes, setup)
        one, other = verdicts.one, verdicts.other
        if one is None or other is None or not one.size:
            yield evidence.lacking(metric, VOTES)
            continue
        question = np.tile(verdicts.question, 2)
        first, second = np.concatenate([one, 1 - one]).tolist(), np.concatenate([other, 1 - other]).tolist()
        try:
            kappa = cohen_kappa(first, second, clusters=question, resamples=REPLICATES)
        except NotMeasurable as error:
            yield evidence.lacking(metric, error.reason)
            continue
        kappa = replace(kappa, n=one.size)
        rule, known = length_kappa(verdicts)
        beside = f" A rule that prefers the longer answer has {rule:.2f} (n = {known})." if rule is not None else ""
        yield evidence.finding(
            metric,
            kappa,
            f"Beyond chance, {evidence.judge} and people agree with kappa {signed(kappa)} ({setup}: "
            f"{'every vote' if setup == 'S1' else 'votes where neither says tie'}, n = {one.size}).{beside}",
            length_only=rule,
            length_only_n=known,
            **_out_of(setup, float(with_votes(evidence, evidence.votes, "S1").total.sum())),
        )


def _out_of(setup: Setup, every: float) -> dict[str, Any]:
    """Detail that says how many of all votes setup S2 rests on."""
    return {"out_of": round(every)} if setup == "S2" else {}


def _heterogeneity(evidence: Evidence) -> Iterator[Finding]:
    """Whether agreement with people differs between categories by more than chance."""
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.heterogeneity import heterogeneity

    if len(evidence.categories) < 2:
        return
    for setup in SETUPS:
        metric = HETEROGENEITY.of(setup=setup.lower(), title=setup)
        verdicts = _of_large_categories(with_votes(evidence, evidence.votes, setup), len(evidence.categories))
        every = _of_large_categories(with_votes(evidence, evidence.votes, "S1"), len(evidence.categories)).total.sum()
        try:
            found = heterogeneity(verdicts.agree, verdicts.total, verdicts.category, verdicts.question)
        except NotMeasurable:
            several = f"needs two categories of {FEWEST_EACH} questions or more that people voted on"
            yield evidence.lacking(metric, several)
            continue
        differs = "differs" if found.p_value < 0.05 else "does not clearly differ"
        yield Finding(
            judge=evidence.judge,
            protocol=evidence.protocol,
            benchmark=evidence.benchmark,
            measure=metric,
            estimate=found.spread,
            lower=found.lower,
            upper=found.upper,
            n=found.n,
            questions=found.clusters,
            sentence=f"Agreement with people ({setup}) {differs} between categories: chi-square "
            f"{found.chi_square:.1f} on {found.degrees} degrees of freedom, p = {found.p_value:.2g}. The categories' "
            f"true shares spread by {100 * found.spread:.1f} points (standard deviation; 95% {100 * found.lower:.1f} "
            f"to {100 * found.upper:.1f}).",
            details={"chi_square": found.chi_square, "degrees": found.degrees, "p_value": found.p_value}
            | _out_of(setup, float(every)),
        )


def _of_large_categories(verdicts: PairedVerdicts, categories: int) -> PairedVerdicts:
    """The verdicts in categories of ``FEWEST_EACH`` questions or more: fewer tell nothing of how questions vary."""
    import numpy as np

    from evalkit.stats.arrays import renumbered

    used = verdicts.where(verdicts.total > 0)
    questions = int(used.question.max(initial=0)) + 1
    asked, _ = renumbered(used.category * questions + used.question)
    large = np.bincount(asked // questions, minlength=categories) >= FEWEST_EACH
    return used.where(large[used.category])


def _alternative(evidence: Evidence) -> Iterator[Finding]:
    """The alternative annotator test on pairs, or, of single grading with people's scores, on scores."""
    import numpy as np

    votes, grades, pairs = evidence.votes, evidence.grades, evidence.pairs
    used = np.flatnonzero(votes.pair >= 0)
    used = used[np.isfinite(pairs.verdict[votes.pair[used]])]
    if used.size:
        said = 0.5 + np.sign(votes.outcome[used] - 0.5) / 2
        item, judge = votes.pair[used], pairs.verdict[votes.pair[used]]
        yield from _tested(evidence, votes.voter[used], item, said, judge, votes.question[used], numeric=False)
    elif grades is not None:
        has = np.isfinite(grades.judged)
        columns = grades.grader[has], grades.answer[has], grades.score[has], grades.judged[has], grades.question[has]
        yield from _tested(evidence, *columns, numeric=True)
    else:
        for metric in (WINNING_RATE, ADVANTAGE):
            yield evidence.lacking(metric, VOTES)


def _tested(
    evidence: Evidence,
    voter: IntArray,
    item: IntArray,
    said: FloatArray,
    judge: FloatArray,
    question: IntArray,
    *,
    numeric: bool,
) -> Iterator[Finding]:
    import numpy as np

    from evalkit.stats.alternative_annotator import CROWD, EXPERT, SKILLED, alternative_annotator
    from evalkit.stats.errors import NotMeasurable

    table = _table(voter, item, said, judge, question)
    headline = CROWD  # the strictest: what raters are called says nothing of what they cost
    try:
        others = {
            epsilon: alternative_annotator(
                table.judge, table.people, numeric=numeric, epsilon=epsilon, clusters=table.question
            )
            for epsilon in (EXPERT, SKILLED, CROWD)
        }
    except NotMeasurable as error:
        for metric in (WINNING_RATE, ADVANTAGE):
            yield evidence.lacking(metric, error.reason)
        return
    found, advantage = others[headline], others[headline].advantage
    rng, edges = np.random.default_rng(0), []
    for _ in range(GUESSES):
        guessed = alternative_annotator(
            rng.permutation(table.judge), table.people, numeric=numeric, epsilon=headline, clusters=table.question
        )
        edges.append(np.mean([contest.annotator_wins - contest.judge_wins for contest in guessed.contests]))
    edge = float(np.mean(edges))
    passes = [f"{epsilon:g}" for epsilon, one in others.items() if one.passed]
    told = f"passes at epsilon {', '.join(passes)}" if passes else "passes at no epsilon of .2, .15 and .1"
    yield Finding(
        judge=evidence.judge,
        protocol=evidence.protocol,
        benchmark=evidence.benchmark,
        measure=WINNING_RATE,
        estimate=found.winning_rate,
        n=advantage.n,
        questions=advantage.clusters,
        sentence=f"Alternative annotator test: {evidence.judge} may stand in for {100 * found.winning_rate:.0f}% of "
        f"{len(found.contests)} people at epsilon {headline:g} (what it may fall short for costing less); one half "
        f"passes. It {told}. Against a judge that guesses (its verdicts dealt to other pairs), people are ahead by "
        f"{edge:.2f}: where that is no more than epsilon, the test tells nothing.",
        details={
            "passed": found.passed,
            "epsilon": headline,
            "edge_over_chance": edge,
            "p_falls_short": found.p_falls_short,
            "false_discovery_rate": found.rate,
            "winning_rates": {f"{epsilon:g}": one.winning_rate for epsilon, one in others.items()},
            "contests": [
                {"annotator": table.voters[contest.annotator], "n": contest.n, "p_value": contest.p_value}
                for contest in found.contests
            ],
            "items_left_out": table.left_out,
        },
    )
    yield evidence.finding(
        ADVANTAGE,
        advantage,
        f"Item by item, {evidence.judge} agrees with the other people at least as well as the person left out in "
        f"{percent(advantage)} of cases, averaged over {len(found.contests)} people.",
    )


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of items, as a table; NaN where missing."""

    people: FloatArray
    """[R, N]"""
    judge: FloatArray
    question: IntArray
    voters: tuple[int, ...]
    """Positions of the people."""
    left_out: int
    """Items that two people or more labelled and that are not in the table."""


def _table(voter: IntArray, item: IntArray, said: FloatArray, judge: FloatArray, question: IntArray) -> Labels:
    """Items that two people or more labelled, as many as there is room for; a person's last label counts."""
    import numpy as np

    items, column = np.unique(item, return_inverse=True)
    voters, row = np.unique(voter, return_inverse=True)
    once = np.unique(np.stack([row, column], axis=1), axis=0)
    count = np.bincount(once[:, 1], minlength=items.size)
    several = np.flatnonzero(count > 1)
    kept = several[np.argsort(-count[several], kind="stable")][: max(1, CELLS // max(voters.size, 1))]
    place = np.full(items.size, -1, dtype=np.int64)
    place[kept] = np.arange(kept.size)
    here = place[column] >= 0
    at = place[column][here]
    people = np.full((voters.size, kept.size), np.nan)
    people[row[here], at] = said[here]
    machine, about = np.full(kept.size, np.nan), np.zeros(kept.size, dtype=np.int64)
    machine[at], about[at] = judge[here], question[here]
    return Labels(people, machine, about, tuple(voters.tolist()), int(several.size - kept.size))


def _scores(evidence: Evidence) -> Iterator[Finding]:
    """Findings on single grading: do judge and people order the answers alike?"""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.jackknife import jackknife
    from evalkit.stats.ranking import spearman

    if evidence.scores is None:
        return
    metric = SCORES
    if evidence.grades is None:
        yield evidence.lacking(metric, "needs scores of single answers by people (--human FILE)")
        return
    judge, people, question, _ = evidence.grades.both
    try:
        if judge.size < 3:
            raise NotMeasurable(f"needs three answers scored by both; there are {judge.size}")
        found = jackknife(lambda keep: spearman(judge[keep], people[keep]), question, bounds=(-1.0, 1.0))
    except NotMeasurable as error:
        yield evidence.lacking(metric, error.reason)
        return
    yield evidence.finding(
        metric,
        found,
        f"Over {judge.size} answers, Spearman's correlation of {evidence.judge}'s scores with people's is "
        f"{signed(found)}.",
        pearson=float(np.corrcoef(judge, people)[0, 1]),
    )


def _cells(group: Group) -> tuple[IntArray, FloatArray, IntArray]:
    """Columns of the pairs voted on: the pair of each vote, votes for b, a tie and a [C, 3], and the question."""
    import numpy as np

    votes = group.votes
    keys, first, place = np.unique(votes.key, axis=0, return_index=True, return_inverse=True)
    code = (1 + np.sign(votes.outcome - 0.5)).astype(np.int64)
    place = place.reshape(-1)
    counts = np.bincount(place * 3 + code, minlength=len(keys) * 3).reshape(-1, 3).astype(np.float64)
    return place, counts, votes.question[first]


def _alpha(benchmark: str, group: Group) -> Iterator[Finding]:
    """Krippendorff's alpha among people."""
    import numpy as np

    from evalkit.stats.agreement import krippendorff_alpha
    from evalkit.stats.errors import NotMeasurable

    place, counts, questions = _cells(group)
    units: list[list[float]] = [[] for _ in range(len(counts))]
    for unit, outcome in zip(place.tolist(), (np.sign(group.votes.outcome - 0.5)).tolist(), strict=True):
        units[unit].append(outcome)
    about = _people(benchmark, ALPHA)
    try:
        both_ways = units + [[-said for said in unit] for unit in units]  # which answer is called a is arbitrary
        alpha = krippendorff_alpha(both_ways, clusters=np.tile(questions, 2), resamples=REPLICATES)
    except NotMeasurable as error:
        yield Finding(**about, not_measurable=error.reason, sentence=f"Not measurable: {error.reason}.")
        return
    yield Finding(
        **about,
        estimate=alpha.estimate,
        lower=alpha.lower,
        upper=alpha.upper,
        n=alpha.n // 2,
        questions=alpha.clusters,
        sentence=f"Among people, Krippendorff's alpha is {signed(alpha)}, over all pairs with two votes or more, "
        "judged or not. A judge that gives the most common answer agrees with people at least as often as they do with "
        "one another.",
    )


def _fleiss(benchmark: str, group: Group) -> Iterator[Finding]:
    """Fleiss' kappa among people, on the pairs with the number of votes that most votes are in."""
    import numpy as np

    from evalkit.stats.agreement import fleiss_kappa
    from evalkit.stats.errors import NotMeasurable

    _, counts, questions = _cells(group)
    raters = counts.sum(axis=1).astype(np.int64)
    weight = np.bincount(raters, minlength=2) * np.arange(int(raters.max(initial=1)) + 1)
    weight[:2] = 0
    most = int(weight.argmax())
    chosen = raters == most
    about = _people(benchmark, FLEISS)
    try:
        if not weight.any():
            raise NotMeasurable("needs pairs that two people or more voted on")
        table = np.concatenate([counts[chosen], counts[chosen][:, ::-1]])
        kappa = fleiss_kappa(table, clusters=np.tile(questions[chosen], 2), resamples=REPLICATES)
    except NotMeasurable as error:
        yield Finding(**about, not_measurable=error.reason, sentence=f"Not measurable: {error.reason}.")
        return
    yield Finding(
        **about,
        estimate=kappa.estimate,
        lower=kappa.lower,
        upper=kappa.upper,
        n=kappa.n // 2,
        questions=kappa.clusters,
        sentence=f"Among people, on the {int(chosen.sum())} pairs with {most} votes each, judged or not, Fleiss' kappa "
        f"is {signed(kappa)}.",
        details={"votes_a_pair": most},
    )


def _people(benchmark: str, metric: Metric) -> Mapping[str, Any]:
    return {"judge": HUMAN, "protocol": "", "benchmark": benchmark, "measure": metric}
