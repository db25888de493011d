"""Length bias: does the judge prefer longer answers beyond what people on the same pairs do?

Longer answers are often better, people are noisy, and a sharper judge has larger slopes of everything, so shares of
"the longer one wins" and Saito's metric call unbiased judges biased. The headline is therefore the judge's length
slope minus that of people, scaled by the judge's sharpness, both fitted together with the models' abilities on the
same pairs. It takes people's own taste for length as the truth, and understates large effects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from evalkit.evidence.compared import made_of_scores, no_votes_on, nothing_compared
from evalkit.evidence.evidence import Evidence, percent, signed
from evalkit.evidence.findings import Finding
from evalkit.evidence.metrics import DIFFERENCE, LENGTH, LOGITS_PER_SD, Metric, Unit, share

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray

LENGTHS = "needs the lengths of the answers"
WINNERS = "needs verdicts that name a winner, between answers of different length"
SLOPE_EXCESS = Metric(
    name="length_slope_excess",
    label="Length slope beyond people's",
    unit=LOGITS_PER_SD,
    topic=LENGTH,
    question="At equal ability, does a longer answer win more from the judge than it does from people?",
    unbiased=0.0,
    risk="That a model that writes at another length is better, unless length is controlled for.",
    safe="Length matters to it no more than to people:",
    needs="votes of people on the pairs judged, and the lengths of the answers",
    source="Both slopes in one Bradley-Terry fit, people's scaled by the judge's sharpness",
    axis="logits per SD of length",
)
SLOPE = Metric(
    name="length_slope_judge",
    label="Judge's length slope",
    unit=LOGITS_PER_SD,
    topic=LENGTH,
    question="At equal ability, how much does one standard deviation of length move the judge?",
    needs="verdicts on answers of known and different length",
    axis="logits per SD of length",
    source="Length as a covariate of Bradley-Terry; Chatbot Arena's style control, 2024-08-28",
)
PREFER_LONGER = Metric(
    name="length_prefer_longer",
    label="Prefers the longer answer",
    unit=share("decided pairs"),
    topic=LENGTH,
    question="Where the judge names a winner, how often is it the longer answer?",
    needs="verdicts that name a winner, between answers of different length",
    source="AlpacaEval's leaderboard of evaluators: probability to prefer the longer",
)
HUMAN_PREFER_LONGER = Metric(
    name="length_human_prefer_longer",
    label="People prefer the longer answer",
    unit=share("votes where both see a winner"),
    topic=LENGTH,
    question="Where judge and people name a winner, how often do people name the longer answer?",
    needs="votes of people on the pairs judged, and the lengths of the answers",
    source="AlpacaEval's leaderboard of evaluators: probability to prefer the longer",
)
VERBOSITY = Metric(
    name="length_verbosity_bias",
    label="Verbosity bias (Saito et al.)",
    unit=DIFFERENCE,
    topic=LENGTH,
    question="Does the judge contradict people more often where they prefer the shorter answer?",
    needs="votes for the longer and for the shorter answer",
    source="Saito et al. 2023, arXiv:2310.10076",
)
GAMEABILITY = Metric(
    name="length_gameability_{way}",
    label="Win rates change when told to be {way}",
    unit=Unit("% of the mean win rate", "number", "%"),
    topic=LENGTH,
    question="By how much do win rates change when models are told to be {way}?",
    needs="models beside {way} versions of themselves",
    source="Dubois et al. 2024, arXiv:2404.04475",
)
WAYS = ("verbose", "concise")
BOTH_WINNERS = "needs votes for the longer and for the shorter answer, where both people and judge see a winner"


class _Voted(NamedTuple):
    """One row a vote on a pair of two models whose lengths are known."""

    a: IntArray
    b: IntArray
    judge: FloatArray
    people: FloatArray
    difference: FloatArray
    """[N] of a's and b's lengths over their sum."""
    question: IntArray


@dataclass(frozen=True)
class Length:
    """The slope in excess of people's, then what a plain count would say."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        *(SLOPE_EXCESS, SLOPE, PREFER_LONGER, HUMAN_PREFER_LONGER, VERBOSITY),
        *(GAMEABILITY.of(way=way) for way in WAYS),
    )

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield the length effect first, then its parts."""
        rows = _voted(evidence)
        yield from _excess(evidence, rows)
        yield from _slope(evidence)
        yield from _counts(evidence, rows)
        yield from _gameability(evidence)


def _voted(evidence: Evidence) -> _Voted:
    import numpy as np

    pairs, votes = evidence.pairs, evidence.votes
    used = np.flatnonzero((votes.pair >= 0) & (votes.a != votes.b))
    pair = votes.pair[used]
    total = pairs.length_a[pair] + pairs.length_b[pair]
    keep = np.isfinite(pairs.outcome[pair]) & (np.nan_to_num(total) > 0)
    used, pair, total = used[keep], pair[keep], total[keep]
    return _Voted(
        votes.a[used],
        votes.b[used],
        pairs.outcome[pair],
        votes.outcome[used],
        (pairs.length_a[pair] - pairs.length_b[pair]) / total,
        votes.question[used],
    )


def _excess(evidence: Evidence, rows: _Voted) -> Iterator[Finding]:
    import numpy as np

    from evalkit.evidence.joint_ratings import fit_twice, ranked_alike
    from evalkit.evidence.joint_ratings import rows as compared
    from evalkit.stats.errors import NotMeasurable, StatisticsError

    metric = SLOPE_EXCESS
    if not rows.a.size:
        yield evidence.lacking(metric, _no_votes(evidence))
        return
    spread = float(np.sqrt((rows.difference**2).mean()))  # about 0: which answer is called a does not matter
    try:
        if spread == 0:
            raise NotMeasurable("needs answers that differ in length")
        z = (rows.difference / spread)[:, None]
        fitted = fit_twice(
            compared(rows.a, rows.b, rows.judge, rows.question, z),
            compared(rows.a, rows.b, rows.people, rows.question, z),
            penalise=False,
        )
        k = ranked_alike(fitted.both.sharpness())
        excess = fitted.both.excess(0)
    except StatisticsError as error:
        yield evidence.lacking(metric, error.reason if isinstance(error, NotMeasurable) else f"needs a fit: {error}")
        return
    judge, people = fitted.both.coefficient(0), fitted.both.coefficient(0, second=True)
    found = excess.lower is not None and excess.upper is not None and not excess.lower <= 0 <= excess.upper
    said = "prefers " + ("longer" if excess.estimate > 0 else "shorter") + " answers more than people do"
    verdict = f"{evidence.judge} {said}" if found else "no length bias beyond people's own shows"
    yield evidence.finding(
        metric,
        excess,
        f"At equal ability, and scaled to people's sharpness (k = {k.estimate:.2f}), the slope on length "
        f"exceeds people's by {signed(excess)} logits per standard deviation: {verdict}.",
        judge_slope=judge.estimate,
        judge_slope_limits=[judge.lower, judge.upper],
        human_slope=people.estimate,
        human_slope_limits=[people.lower, people.upper],
        sharpness=k.estimate,
        ridge=fitted.ridge,
    )


def _no_votes(evidence: Evidence) -> str:
    """Why no vote tells about length."""
    import numpy as np

    pairs, votes = evidence.pairs, evidence.votes
    used = (votes.pair >= 0) & (votes.a != votes.b)
    if np.isfinite(pairs.outcome[votes.pair[used]]).any():
        return LENGTHS
    about = evidence.compared
    known = np.isfinite(about.length_a + about.length_b).any()
    return no_votes_on(evidence) + ("" if known else ", and the lengths of the answers")


def _slope(evidence: Evidence) -> Iterator[Finding]:
    """The judge's own slope on every pair: descriptive, as longer answers may be better."""
    import numpy as np

    from evalkit.evidence.joint_ratings import fit
    from evalkit.stats.errors import NotMeasurable, StatisticsError

    pairs = evidence.compared
    total = np.nan_to_num(pairs.length_a + pairs.length_b)
    keep = np.isfinite(pairs.outcome) & (total > 0) & (pairs.a != pairs.b)
    metric = SLOPE
    if not keep.any():
        yield evidence.lacking(metric, nothing_compared(evidence) or LENGTHS)
        return
    difference = (pairs.length_a - pairs.length_b)[keep] / total[keep]
    try:
        spread = float(np.sqrt((difference**2).mean()))
        if spread == 0:
            raise NotMeasurable("needs answers that differ in length")
        z = (difference / spread)[:, None]
        columns = pairs.a[keep], pairs.b[keep], pairs.outcome[keep], z, pairs.question[keep]
        slope = fit(*columns, penalise=False).ratings.coefficient(0)
    except StatisticsError as error:
        yield evidence.lacking(metric, error.reason if isinstance(error, NotMeasurable) else f"needs a fit: {error}")
        return
    yield evidence.finding(
        metric,
        slope,
        f"At equal ability, one standard deviation of length moves {evidence.judge} by {signed(slope)} logits. This is "
        "no bias where longer answers are better; only people's verdicts on the same pairs, or rewrites, can tell."
        + made_of_scores(evidence),
    )


def _counts(evidence: Evidence, rows: _Voted) -> Iterator[Finding]:
    """Prefer-longer shares and Saito's metric: descriptive."""
    import numpy as np

    from evalkit.stats.shares import clustered_difference, clustered_share

    pairs = evidence.compared
    known = np.isfinite(pairs.length_a) & np.isfinite(pairs.length_b) & np.isfinite(pairs.outcome)
    decided = known & (pairs.outcome != 0.5) & (pairs.length_a != pairs.length_b)
    if not decided.any():
        lacks = LENGTHS if np.isfinite(pairs.outcome).any() else nothing_compared(evidence) or LENGTHS
        yield evidence.lacking(PREFER_LONGER, WINNERS if known.any() else lacks)
        return
    longer = ((pairs.outcome > 0.5) == (pairs.length_a > pairs.length_b))[decided].astype(np.float64)
    share = clustered_share(longer, pairs.question[decided])
    yield evidence.finding(
        PREFER_LONGER,
        share,
        f"Where {evidence.judge} prefers one of two answers, it is the longer one in {percent(share)}. Descriptive: "
        "longer answers may be better." + made_of_scores(evidence),
    )
    decisive = (rows.judge != 0.5) & (rows.people != 0.5) & (rows.difference != 0)
    by_people = ((rows.people > 0.5) == (rows.difference > 0))[decisive]
    by_judge = ((rows.judge > 0.5) == (rows.difference > 0))[decisive]
    if by_people.all() or not by_people.any():
        yield evidence.lacking(VERBOSITY, BOTH_WINNERS if rows.a.size else _no_votes(evidence))
        return
    question = rows.question[decisive]
    wrong = (by_people != by_judge).astype(np.float64)
    human = clustered_share(by_people.astype(np.float64), question)
    yield evidence.finding(
        HUMAN_PREFER_LONGER,
        human,
        f"On the same pairs, where both see a winner, people prefer the longer answer in {percent(human)} of votes, "
        f"{evidence.judge} in {100 * by_judge.mean():.1f}%.",
        judge=float(by_judge.mean()),
    )
    bias = clustered_difference(wrong, ~by_people, question)
    short, long = float(wrong[~by_people].mean()), float(wrong[by_people].mean())
    yield evidence.finding(
        VERBOSITY,
        bias,
        f"{evidence.judge} is wrong in {100 * short:.1f}% of votes for the shorter answer and {100 * long:.1f}% of "
        f"votes for the longer one: Saito's verbosity bias is {signed(bias, 3)}. Descriptive: it is above 0 for an "
        "unbiased judge wherever longer answers are better.",
        error_shorter=short,
        error_longer=long,
        n_shorter=int((~by_people).sum()),
        n_longer=int(by_people.sum()),
    )


def _gameability(evidence: Evidence) -> Iterator[Finding]:
    """Where models stand beside verbose and concise versions of themselves."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.gameability import gameability
    from evalkit.stats.resample import Interval

    pairs = evidence.compared
    rates: dict[str, float] = {}
    variants = [name for name in evidence.models if name.endswith(("_verbose", "_concise"))]
    if not variants:
        return
    for code, name in enumerate(evidence.models):
        mine = [pairs.outcome[pairs.a == code], 1 - pairs.outcome[pairs.b == code]]
        outcome = np.concatenate(mine)
        outcome = outcome[np.isfinite(outcome)]
        if outcome.size:
            rates[name] = 100 * float(outcome.mean())
    for way in WAYS:
        bases = [name for name in rates if f"{name}_{way}" in rates]
        metric = GAMEABILITY.of(way=way)
        try:
            value = gameability(
                np.array([rates[name] for name in bases]), np.array([rates[f"{name}_{way}"] for name in bases])
            )
        except NotMeasurable as error:
            yield evidence.lacking(metric, error.reason)
            continue
        yield evidence.finding(
            metric,
            Interval(value, None, None, len(bases), 0.95, None, 0),
            f"Told to be {way}, {len(bases)} models change their win rates by {value:.1f}% (standard deviation over "
            f"mean, averaged over models). Models are too few for an interval.{made_of_scores(evidence)}",
            models=bases,
        )
