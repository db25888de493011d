"""Scoring alone against ranking in pairs: the same answers, and a padded one -> Findings. No input or output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import EXPERIMENTS, Metric, share
from evalkit.probes.effect import TURNED, ProbedJudge, effect, finding, fixed, format_effect, missing, unmeasured
from evalkit.probes.library import PADDING, Probe
from evalkit.probes.table import PairKey, ProbeTable

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

GAIN = Metric(
    name="probe_{probe}",
    label="Scored alone: padding, pairs beyond scores",
    unit=TURNED,
    topic=EXPERIMENTS,
    question="Does padding gain more when the judge compares two answers than when it scores each by itself?",
    unbiased=0.0,
    risk="That padding moves its scores as much as its comparisons.",
    source="Jeong et al. 2024, arXiv:2406.12319",
    needs="`evalkit audit judge=NAME probes={probe}`",
)
DIFFERS = Metric(  # descriptive, as the next one is: no judge is expected to be without
    name="probe_{probe}_differs",
    label="Scored alone: scores and pairs differ",
    unit=share("pairs"),
    topic=EXPERIMENTS,
    question="How many pairs of answers come out otherwise when each answer is scored by itself?",
    needs="`evalkit audit judge=NAME probes={probe}`",
    source="Jeong et al. 2024, arXiv:2406.12319",
)
CIRCLES = Metric(
    name="probe_{probe}_circles",
    label="Scored alone: pairs in circles",
    unit=share("triples"),
    topic=EXPERIMENTS,
    question="How often do verdicts on three answers go in a circle, as scores never can?",
    chance=0.25,
    needs="`evalkit audit judge=NAME probes={probe}`",
    source="Circular triads; Kendall & Babington Smith 1940, Biometrika 31:324",
)
NO_PLACEBO = "neutral text of equal length is padding too"
NO_AGAIN = "asking either way again favours neither answer"


def alone(subject: ProbedJudge, table: ProbeTable, probe: Probe) -> Iterator[Finding]:
    """Whether scores and verdicts order two answers alike, whether verdicts go in circles, and which padding moves."""
    yield _gain(subject, table, probe)
    yield _differing(subject, table, probe)
    yield _circles(subject, table, probe)


def _gain(subject: ProbedJudge, table: ProbeTable, probe: Probe) -> Finding:
    """What padding gains in pairs beyond what it gains by itself: padded answer against its own original."""
    import numpy as np

    metric, pairs = GAIN.of(probe=probe.name), table.wins(probe.name, "duel")
    scores = _above(table.scores(probe.name, "alone_cue"), table.scores(probe.name, "alone"))
    both = [unit for unit in pairs if unit in scores]
    items = [item for item, _, _ in both]
    if needs := missing(items):
        return unmeasured(subject, metric, needs)
    paired = np.array([0.5 + pairs[unit] / 2 for unit in both])
    single = np.array([0.5 + scores[unit] / 2 for unit in both])
    found = effect(paired - single, items)
    details: dict[str, Any] = {
        "won_in_pairs": float(paired.mean()),
        "won_alone": float(single.mean()),
        "fixed": fixed(lean for lean, _ in table.leans("", "base").values()),
        "controls": {"placebo": f"none: {NO_PLACEBO}", "again": f"none: {NO_AGAIN}"},
    }
    details["brief"] = (
        f"Padded, an answer wins {details['won_in_pairs']:.0%} of {counted(len(both), 'pair')} with its original, by "
        f"scores {details['won_alone']:.0%}: comparing adds {format_effect(found)}."
    )
    sentence = (
        f"Stretched with empty words, an answer beats its own original in {details['won_in_pairs']:.0%} of "
        f"{counted(len(both), 'pair')} when both are shown, and in {details['won_alone']:.0%} when each is scored "
        f"alone, ties as half: comparing gives it {format_effect(found)} more. There is no placebo, as {NO_PLACEBO}; "
        f"nor a plain re-ask, as {NO_AGAIN}."
    )
    return finding(subject, metric, found, details, sentence)


def _differing(subject: ProbedJudge, table: ProbeTable, probe: Probe) -> Finding:
    """Share of pairs that scores and verdicts do not order alike, a tie being an order too."""
    import numpy as np

    from evalkit.stats.shares import clustered_share

    metric, pairs, again = DIFFERS.of(probe=probe.name), table.wins("", "base"), table.wins("", "repeat")
    scores = _above(table.scores(probe.name, "alone"), table.scores(probe.name, "alone_other"))
    both = [unit for unit in pairs if unit in scores and unit in again]
    items = [item for item, _, _ in both]
    if needs := missing(items):
        return unmeasured(subject, metric, needs)
    paired, single = (np.array([rows[unit] for unit in both]) for rows in (pairs, scores))
    differs = (paired != single).astype(np.float64)
    found = clustered_share(differs, np.unique(items, return_inverse=True)[1])
    noise = (paired != np.array([again[unit] for unit in both])).astype(np.float64)
    beyond = effect(differs - noise, items)
    details = {
        "differs_again": float(noise.mean()),
        "beside_again": [beyond.estimate, beyond.lower, beyond.upper],
        "opposite": int((paired * single < 0).sum()),
        "tied_in_pairs": int((paired == 0).sum()),
        "tied_alone": int((single == 0).sum()),
    }
    sentence = (
        f"Scored alone, {int(differs.sum())} of {counted(len(both), 'pair')} of answers come out otherwise than "
        f"compared ({found.estimate:.0%}{_limits(found)}): {details['opposite']} the other way round; equal are "
        f"{details['tied_alone']} by their scores, and {details['tied_in_pairs']} by tie or by a verdict that went "
        f"with the order. Compared once more, {noise.mean():.0%} do: {format_effect(beyond)} beyond that."
    )
    return finding(subject, metric, found, details, sentence)


def _circles(subject: ProbedJudge, table: ProbeTable, probe: Probe) -> Finding:
    """Share of circles (x beats y beats z beats x) among two answers and a padded one; scores cannot go in circles."""
    import numpy as np

    from evalkit.stats.shares import clustered_share

    metric = CIRCLES.of(probe=probe.name)
    sides = (table.wins("", "base"), table.wins(probe.name, "duel"), table.wins(PADDING.name, "cue"))
    plain, duel, cue = ({unit: won for unit, won in side.items() if won} for side in sides)
    decided = [unit for unit in plain if unit in duel and unit in cue]
    items = [item for item, _, _ in decided]
    if needs := missing(items):
        return unmeasured(subject, metric, f"{needs}, all three pairs decided alike in both orders")
    # The original beats the other, the other beats the padded one, which beats the original; or all of it reversed.
    cyclic = np.array([float(plain[unit] == duel[unit] == -cue[unit]) for unit in decided])
    found = clustered_share(cyclic, np.unique(items, return_inverse=True)[1])
    sentence = (
        f"Of {counted(len(decided), 'triple')} of answers with three decided verdicts, {int(cyclic.sum())} went in a "
        f"circle ({found.estimate:.0%}{_limits(found)}); of verdicts by a coin a quarter would, of scores none can."
    )
    return finding(subject, metric, found, {}, sentence)


def _above(scores: Mapping[PairKey, float], others: Mapping[PairKey, float]) -> dict[PairKey, int]:
    """+1 where the score is higher than the other, -1 where lower, 0 where equal."""
    return {unit: (score > others[unit]) - (score < others[unit]) for unit, score in scores.items() if unit in others}


def _limits(found: Interval) -> str:
    return "" if found.lower is None or found.upper is None else f", 95% {found.lower:.0%} to {found.upper:.0%}"
