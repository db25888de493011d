"""What probes of a rubric showed: verdicts on criteria, by a changed rubric or of a changed answer -> Findings.

All values are levels: 0 (not met, worst grade) to 1 (met, best grade). The standing that a criterion gives an answer
is its level, or 1 less its level where meeting it costs points. No input or output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evalkit.core.schema import CriterionVerdict
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import EXPERIMENTS, Metric, Unit
from evalkit.probes.effect import (
    Conclusions,
    ProbedJudge,
    capital,
    concluded,
    effect,
    finding,
    format_effect,
    includes_zero,
    missing,
    unmeasured,
)
from evalkit.probes.rubric_library import Changes, RubricProbe
from evalkit.probes.trials import Arm

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

LEVELS = Unit("of the scale", "signed")
VERDICTS = Unit("share of verdicts on criteria", "signed")
NEEDS = "`evalkit audit judge=NAME rubric=NAME probes={probe}`"


def _metric(
    name: str,
    label: str,
    question: str,
    unit: Unit = LEVELS,
    *,
    unbiased: float | None = 0.0,
    risk: str = "That {does} changes nothing.",
    source: str = "Own definition, beside what changes on asking again",
) -> Metric:
    return Metric(
        name=name,
        label=label,
        unit=unit,
        topic=EXPERIMENTS,
        question=question,
        unbiased=unbiased,
        risk="" if unbiased is None else risk,
        needs=NEEDS,
        source=source,
    )


TURNS_ROUND = "That {does} turns its verdict round."
PLACE = _metric(
    "probe_{probe}",
    "Criteria reversed: higher where shown first",
    "Is a criterion judged higher where it stands in the first half of the rubric than in the second?",
)
CHANGED = _metric(
    "probe_{probe}_changes",
    "{title}: changes beyond asking again",
    "Does {does} change more verdicts on criteria than asking again does?",
    VERDICTS,
    unbiased=None,
)
TOGETHER = _metric(
    "probe_{probe}",
    "All criteria in one call: kinder than one by one",
    "Is an answer better off where all criteria are asked in one call than where each is asked by itself?",
)
ALIKE = _metric(
    "probe_{probe}_alike",
    "All criteria in one call: verdicts more alike",
    "Are two criteria of an answer judged alike more often in one call than one by one?",
    Unit("share of pairs of criteria", "signed"),
)
HALO = _metric(
    "probe_{probe}",
    "{title}: other criteria move along",
    "Does {does}, which one criterion is about, move the verdicts on the others?",
    risk="That {does} changes the verdict on that alone.",
)
AGAINST = _metric(
    "probe_{probe}",
    "Criteria negated: contradicts itself",
    "How many criteria get the same verdict when their opposite is asked for, beyond what changes on asking again?",
    VERDICTS,
    risk=TURNS_ROUND,
)
SAYS_YES = _metric(
    "probe_{probe}_yes",
    "Criteria negated: leans to yes",
    "Does the judge say yes to a criterion and to its opposite more often than no to both?",
    VERDICTS,
    risk=TURNS_ROUND,
)
ANCHORS = _metric(
    "probe_{probe}",
    "Anchors removed: grades move",
    "Are grades higher or lower where the rubric does not say what they mean?",
)
FAMILIES: Mapping[Changes, tuple[Metric, ...]] = {
    "order": (PLACE, CHANGED),
    "calls": (TOGETHER, ALIKE, CHANGED),
    "answer": (HALO,),
    "sense": (AGAINST, SAYS_YES),
    "anchors": (ANCHORS, CHANGED),
}
"""What probes of each kind measure, the effect that is concluded from first."""

RISKS: Mapping[Changes, str] = {
    "order": "{does} changes nothing",
    "calls": "{does} changes nothing",
    "answer": "{does} changes the verdict on that alone",
    "sense": "{does} turns its verdict round",
    "anchors": "{does} changes nothing",
}
"""What must not be taken for granted, by what a probe changes."""
LACKS: Mapping[Changes, str] = {
    "order": "needs a rubric of at least two criteria",
    "calls": "needs a rubric of at least two criteria",
    "answer": "needs answers with something to change",
    "sense": "needs criteria that are judged yes or no",
    "anchors": "needs criteria whose grades are described (anchors)",
}


@dataclass(frozen=True)
class Graded:
    """One grading of an answer."""

    probe: str
    """Empty where the answer is graded as it is."""
    arm: Arm
    item: str
    turn: int
    repeat: int
    verdicts: tuple[CriterionVerdict, ...]
    """In the order of the rubric; empty where the reply could not be read."""


Key = tuple[str, int, int, str]
"""Item, turn, repeat and criterion: one verdict."""


class RubricTable:
    """Levels of criteria by probe and arm; verdicts that failed are not in it."""

    def __init__(self, gradings: Iterable[Graded]) -> None:
        self._levels: dict[tuple[str, Arm], dict[Key, float]] = {}
        self.points: dict[tuple[str, str], float] = {}
        """Of each criterion, by item and criterion, as the rubric has it."""
        self.halves: dict[tuple[str, str], int] = {}
        """+1 for a criterion in the first half of its rubric, -1 in the second, 0 in the middle."""
        self.tried: set[str] = set()
        """Probes that had something to change."""
        for row in gradings:
            self.tried.add(row.probe)
            levels = self._levels.setdefault((row.probe, row.arm), {})
            for place, one in enumerate(row.verdicts):
                if row.arm == "base":
                    self.points[row.item, one.id] = one.points
                    last = len(row.verdicts) - 1 - place
                    self.halves[row.item, one.id] = (last > place) - (last < place)
                if one.level is not None:
                    levels[row.item, row.turn, row.repeat, one.id] = one.level

    def levels(self, probe: str, arm: Arm) -> Mapping[Key, float]:
        """Levels of one arm; ``base`` and ``repeat`` are every probe's."""
        return self._levels.get(("" if arm in ("base", "repeat") else probe, arm), {})

    def shared(self, probe: str, *arms: Arm) -> list[Key]:
        """Criteria of the rubric on which all of these arms have a verdict."""
        first, *others = (self.levels(probe, arm) for arm in arms)
        known = self.points
        return [key for key in first if (key[0], key[3]) in known and all(key in other for other in others)]

    def standing(self, key: Key, level: float) -> float:
        """What a level is for the answer: the same, or what is left of 1 where points are lost."""
        return level if self.points[key[0], key[3]] > 0 else 1.0 - level


def of(family: Metric, probe: RubricProbe) -> Metric:
    """The metric of one probe."""
    return family.of(probe=probe.name, title=probe.name.replace("_", " ").capitalize(), does=probe.action.rstrip(","))


def metrics(probes: Iterable[RubricProbe]) -> list[Metric]:
    """The metrics that these probes can measure."""
    return [of(family, probe) for probe in probes for family in FAMILIES[probe.changes]]


def findings(
    subject: ProbedJudge, gradings: Sequence[Graded], probes: Sequence[RubricProbe], *, together: bool
) -> Iterator[Finding]:
    """Every probe's findings, or what the data lack for them.

    Args:
        subject: whom they are about.
        gradings: of all arms, also those without a verdict.
        probes: what was tried.
        together: whether the judge as it is has all criteria in one call.
    """
    table = RubricTable(gradings)
    for probe in probes:
        if probe.name not in table.tried:
            yield unmeasured(subject, of(FAMILIES[probe.changes][0], probe), LACKS[probe.changes])
            continue
        match probe.changes:
            case "order":
                yield _places(subject, table, probe)
                yield _changes(subject, table, probe)
            case "calls":
                yield _calls(subject, table, probe, together=together)
                yield _alike(subject, table, probe, together=together)
                yield _changes(subject, table, probe)
            case "answer":
                yield _halo(subject, table, probe)
            case "sense":
                yield from _sense(subject, table, probe)
            case "anchors":
                yield _anchors(subject, table, probe)
                yield _changes(subject, table, probe)


def conclusions(rows: Sequence[Finding], probes: Sequence[RubricProbe]) -> Conclusions:
    """The sentences to say of the probed judge."""
    risks = {of(FAMILIES[one.changes][0], one).name: RISKS[one.changes].format(does=one.action) for one in probes}
    return concluded([(risks[row.metric], row) for row in rows if row.metric in risks and row.estimate is not None])


def _places(subject: ProbedJudge, table: RubricTable, probe: RubricProbe) -> Finding:
    metric = of(PLACE, probe)
    base, cue = table.levels(probe.name, "base"), table.levels(probe.name, "cue")
    keys = [key for key in table.shared(probe.name, "base", "cue") if table.halves[key[0], key[3]]]
    if needs := missing(key[0] for key in keys):
        return unmeasured(subject, metric, needs)
    found = _effect([(base[key] - cue[key]) * table.halves[key[0], key[3]] for key in keys], keys)
    how = _word(found, "neither higher nor lower for certain", "higher", "lower")
    return _finding(
        subject,
        metric,
        found,
        f"With the criteria in reverse order, a criterion is judged {how} where it stands in the first half of the "
        f"rubric than in the second: {format_effect(found)} of the scale, over {counted(len(keys), 'verdict')}.",
    )


def _changes(subject: ProbedJudge, table: RubricTable, probe: RubricProbe) -> Finding:
    metric = of(CHANGED, probe)
    keys = table.shared(probe.name, "base", "repeat", "cue")
    if needs := missing(key[0] for key in keys):
        return unmeasured(subject, metric, needs)
    base, again, cue = (table.levels(probe.name, arm) for arm in ("base", "repeat", "cue"))
    changed = [float(cue[key] != base[key]) for key in keys]
    noise = [float(again[key] != base[key]) for key in keys]
    found = _effect([one - other for one, other in zip(changed, noise, strict=True)], keys)
    return _finding(
        subject,
        metric,
        found,
        f"{capital(probe.action)} changes {_mean(changed):.0%} of {counted(len(keys), 'verdict')} on criteria, asking "
        f"again unchanged {_mean(noise):.0%}: {format_effect(found)} more.",
        changed=_mean(changed),
        changed_again=_mean(noise),
    )


def _calls(subject: ProbedJudge, table: RubricTable, probe: RubricProbe, *, together: bool) -> Finding:
    metric = of(TOGETHER, probe)
    keys = table.shared(probe.name, "base", "cue")
    if needs := missing(key[0] for key in keys):
        return unmeasured(subject, metric, needs)
    one_call, singly = _by_calls(table, probe, together=together)
    found = _effect([table.standing(key, one_call[key]) - table.standing(key, singly[key]) for key in keys], keys)
    how = _word(found, "neither better nor worse off for certain", "better off", "worse off")
    return _finding(
        subject,
        metric,
        found,
        f"Where all criteria are asked in one call, an answer is {how} than where each is asked by itself: "
        f"{format_effect(found)} of the scale a criterion, over {counted(len(keys), 'verdict')}.",
    )


def _alike(subject: ProbedJudge, table: RubricTable, probe: RubricProbe, *, together: bool) -> Finding:
    """Pairs of criteria of one answer with the same standing; a halo makes them more alike than they are."""
    metric = of(ALIKE, probe)
    by_answer: dict[tuple[str, int, int], list[Key]] = {}
    for key in table.shared(probe.name, "base", "cue"):
        by_answer.setdefault(key[:3], []).append(key)
    answers = {answer: keys for answer, keys in by_answer.items() if len(keys) > 1}
    if needs := missing(item for item, _, _ in answers):
        return unmeasured(subject, metric, needs)
    one_call, singly = _by_calls(table, probe, together=together)

    def share(levels: Mapping[Key, float], keys: Sequence[Key]) -> float:
        standings = [table.standing(key, levels[key]) for key in keys]
        return _mean([float(one == other) for one, other in combinations(standings, 2)])

    shares = [(share(one_call, keys), share(singly, keys)) for keys in answers.values()]
    found = _effect([one - other for one, other in shares], [keys[0] for keys in answers.values()])
    return _finding(
        subject,
        metric,
        found,
        f"Of an answer's criteria, two are judged alike in {_mean([one for one, _ in shares]):.0%} of pairs where all "
        f"are asked in one call, and in {_mean([other for _, other in shares]):.0%} where each is asked by itself: "
        f"{format_effect(found)}, over {counted(len(shares), 'answer')}.",
    )


def _halo(subject: ProbedJudge, table: RubricTable, probe: RubricProbe) -> Finding:
    metric, control = of(HALO, probe), "placebo" if probe.neutral else "plain"
    arms: tuple[Arm, ...] = ("plain", "cue", "placebo") if probe.neutral else ("plain", "cue")
    keys = table.shared(probe.name, *arms)
    if needs := missing(key[0] for key in keys):
        return unmeasured(subject, metric, needs)
    levels = {arm: table.levels(probe.name, arm) for arm in arms}
    sign = 1.0 if probe.added is None or probe.added.points > 0 else -1.0
    beside = levels["placebo" if probe.neutral else "plain"]
    moved = [sign * (table.standing(key, levels["cue"][key]) - table.standing(key, beside[key])) for key in keys]
    added = [key for key in levels["cue"] if probe.added is not None and key[3] == probe.added.id]
    noticed = [levels["cue"][key] > beside[key] for key in added if key in beside]
    if 2 * sum(noticed) < len(noticed):
        seen = f"it did in {sum(noticed)} of {counted(len(noticed), 'answer')}"
        return unmeasured(subject, metric, f"needs a judge that notices the change: {seen}")
    found = _effect(moved, keys)
    than = "neutral text of the same length" if probe.neutral else "the answer as it was"
    up, down = ("up", "down") if sign > 0 else ("down", "up")
    how = _word(found, "do not measurably move", f"move {up} along with it", f"move {down}, against it")
    seen = f"The judge noticed it in {sum(noticed)} of {counted(len(noticed), 'answer')}"
    return _finding(
        subject,
        metric,
        found,
        f"{seen}. With it, the verdicts on all other criteria {how}: {format_effect(found)} of the scale in its "
        f"direction, beside {than}, over {counted(len(keys), 'verdict')}.",
        noticed=sum(noticed),
        answers=len(noticed),
        beside=control,
    )


def _sense(subject: ProbedJudge, table: RubricTable, probe: RubricProbe) -> Iterator[Finding]:
    against, says_yes = of(AGAINST, probe), of(SAYS_YES, probe)
    keys = table.shared(probe.name, "base", "repeat", "cue")
    if needs := missing(key[0] for key in keys):
        yield unmeasured(subject, against, needs)
        return
    base, again, cue = (table.levels(probe.name, arm) for arm in ("base", "repeat", "cue"))
    same = [float(base[key] == cue[key]) for key in keys]
    noise = [float(base[key] != again[key]) for key in keys]
    both = sum(base[key] == cue[key] == 1 for key in keys)
    neither = sum(base[key] == cue[key] == 0 for key in keys)
    found = _effect([one - other for one, other in zip(same, noise, strict=True)], keys)
    yield _finding(
        subject,
        against,
        found,
        f"Asked for the opposite, the judge says the same of {both + neither} of "
        f"{counted(len(keys), 'criterion', 'criteria')} (yes to both {both}, no to both {neither}), which cannot be; "
        f"asking again unchanged, it changes {_mean(noise):.0%}: {format_effect(found)} beyond that.",
        yes_to_both=both,
        no_to_both=neither,
        changed_again=_mean(noise),
    )
    lean = _effect([base[key] + cue[key] - 1.0 for key in keys], keys)
    how = _word(lean, "leans neither to yes nor to no for certain", "leans to yes", "leans to no")
    yield _finding(
        subject,
        says_yes,
        lean,
        f"Whichever way it is asked, the judge {how}: {format_effect(lean)} (yes to both less no to both).",
    )


def _anchors(subject: ProbedJudge, table: RubricTable, probe: RubricProbe) -> Finding:
    metric = of(ANCHORS, probe)
    keys = table.shared(probe.name, "base", "cue")
    if needs := missing(key[0] for key in keys):
        return unmeasured(subject, metric, needs)
    base, cue = table.levels(probe.name, "base"), table.levels(probe.name, "cue")
    found = _effect([cue[key] - base[key] for key in keys], keys)
    how = _word(found, "are neither higher nor lower for certain", "are higher", "are lower")
    return _finding(
        subject,
        metric,
        found,
        f"Where the rubric does not say what its grades mean, they {how}: {format_effect(found)} of the scale, over "
        f"{counted(len(keys), 'verdict')}.",
    )


def _by_calls(
    table: RubricTable, probe: RubricProbe, *, together: bool
) -> tuple[Mapping[Key, float], Mapping[Key, float]]:
    """Levels where all criteria were asked in one call, and where each was asked by itself."""
    base, cue = table.levels(probe.name, "base"), table.levels(probe.name, "cue")
    return (base, cue) if together else (cue, base)


def _effect(values: Sequence[float], keys: Sequence[Key]) -> Interval:
    import numpy as np

    return effect(np.array(values, dtype=np.float64), [key[0] for key in keys])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _word(found: Interval, unclear: str, above: str, below: str) -> str:
    if includes_zero(found):
        return unclear
    return above if found.estimate > 0 else below


def _finding(subject: ProbedJudge, metric: Metric, found: Interval, sentence: str, **details: Any) -> Finding:
    return finding(subject, metric, found, {"brief": sentence, **details}, sentence)
