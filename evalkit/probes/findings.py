"""What probes showed: verdicts with and without a cue -> Findings, and what may be concluded. No input or output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import EXPERIMENTS, Metric, Unit
from evalkit.probes.alone import CIRCLES, DIFFERS, GAIN, alone
from evalkit.probes.effect import (
    TURNED,
    Conclusions,
    ProbedJudge,
    capital,
    concluded,
    effect,
    finding,
    fixed,
    format_effect,
    includes_zero,
    missing,
    unmeasured,
)
from evalkit.probes.library import Control, Probe, Rewrites
from evalkit.probes.table import Outcome, ProbeTable
from evalkit.probes.trials import Arm

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

CHANGES_NOTHING = "That {does} changes nothing."
ANSWER = Metric(
    name="probe_{probe}",
    label="{title}",
    unit=TURNED,
    topic=EXPERIMENTS,
    question="Does {does} turn verdicts towards the answer that was changed, net of a control?",
    unbiased=0.0,
    risk=CHANGES_NOTHING,
    needs="`evalkit audit judge=NAME probes={probe}`",
    source="{source}",
)
ANSWER_SHIFT = Metric(
    name="probe_{probe}_shift",
    label="{title}: shift of its share of the win",
    unit=Unit("share of the win", "signed"),
    topic=EXPERIMENTS,
    question="Does {does} raise the odds that the judge gives the answer, net of a control?",
    unbiased=0.0,
    risk=CHANGES_NOTHING,
    stands_in_for=("probe_{probe}",),
    needs="a judge that gives odds: `evalkit audit judge=NAME probes={probe}`",
    source="{source}",
)
PLACE = replace(
    ANSWER,
    label="Places swapped: leans to the first",
    question="With the places of two answers swapped, does the judge lean to the first place?",
)
# A judge that any change of the prompt sways is no less fair for it: no value is the unbiased one.
PLACE_FLIPS = Metric(
    name="probe_{probe}_flips",
    label="Places swapped: changes beyond asking again",
    unit=TURNED,
    topic=EXPERIMENTS,
    question="Does swapping the places change more verdicts than asking again does?",
    needs="`evalkit audit judge=NAME probes={probe}`",
    source="{source}",
)
PLACE_SHIFT = replace(
    ANSWER_SHIFT,
    label="Places swapped: shift by the first place",
    question="Does being shown first raise the odds that the judge gives an answer?",
)
LABEL = replace(
    ANSWER,
    label="Labels swapped: leans to the label A",
    question="With the labels of two answers swapped, does the judge lean to whichever is called A?",
)
LABEL_SHIFT = replace(
    ANSWER_SHIFT,
    label="Labels swapped: shift by the label A",
    question="Does being called A raise the odds that the judge gives an answer?",
)
WARNING = replace(
    ANSWER,
    label="Told of its biases: change of its lean",
    question="Does a warning against bias change the judge's lean to the first place, beside neutral text?",
    risk="That its instruction does not matter.",
)
FAMILIES: Mapping[Rewrites, tuple[Metric, ...]] = {
    "order": (PLACE, PLACE_FLIPS, PLACE_SHIFT),
    "labels": (LABEL, LABEL_SHIFT),
    "answer": (ANSWER, ANSWER_SHIFT),
    "instruction": (WARNING,),
    "alone": (GAIN, DIFFERS, CIRCLES),
}
"""What probes of each kind measure, the effect first."""


def of(family: Metric, probe: Probe) -> Metric:
    """The metric of one probe."""
    title = probe.name.replace("_", " ").capitalize()
    return family.of(probe=probe.name, title=title, does=probe.action, source=probe.source)


def metrics(probes: Iterable[Probe]) -> list[Metric]:
    """The metrics that these probes can measure."""
    return [of(family, probe) for probe in probes for family in FAMILIES[probe.rewrites]]


NEEDS: Mapping[Rewrites, str] = {
    "instruction": "needs a protocol whose instruction can be added to, such as pairwise",
    "labels": "needs a protocol whose labels can be swapped, such as pairwise; those of a published prompt are fixed",
}


def findings(
    subject: ProbedJudge, outcomes: Sequence[Outcome], probes: Sequence[Probe], *, beyond: Collection[Rewrites] = ()
) -> Iterator[Finding]:
    """Every probe's findings, or what the data lack for them.

    Args:
        subject: whom they are about.
        outcomes: verdicts, also those that failed.
        probes: what was tried.
        beyond: what cannot be changed in the judge's protocol.
    """
    table = ProbeTable(outcomes)
    soft = table.soft
    for probe in probes:
        if probe.rewrites in beyond:
            yield unmeasured(subject, of(FAMILIES[probe.rewrites][0], probe), NEEDS[probe.rewrites])
            continue
        match probe.rewrites:
            case "order":
                yield from _order(subject, table, probe, soft)
            case "instruction":
                yield _instruction(subject, table, probe)
            case "labels":
                yield from _labels(subject, table, probe, soft)
            case "alone":
                yield from alone(subject, table, probe)
            case "answer":
                yield from _answer(subject, table, probe, soft)


NO_LABELS = "the prompt is as long as before, and any other labels would have a taste of their own"
NOT_TOLD = "not told apart"
NET: Mapping[Control, str] = {"placebo": "neutral text of the same length", "repeat": "asking again unchanged"}
IN_DATA: Mapping[Control, str] = {"placebo": "placebo", "repeat": "again"}
"""What a control is called in ``details``, as in audits written before."""


def _answer(subject: ProbedJudge, table: ProbeTable, probe: Probe, soft: bool) -> Iterator[Finding]:
    from evalkit.stats.flips import mcnemar, side, turned

    metric, control = of(ANSWER, probe), probe.control
    arms: tuple[Arm, ...] = ("base", "repeat", "cue", "placebo")
    keys = table.shared(probe.name, *arms)
    items = [key[0] for key in keys]
    if needs := missing(items):
        yield unmeasured(subject, metric, needs)
        return
    shares = {arm: table.shares(probe.name, arm, keys) for arm in arms}
    turns = {arm: turned(shares["base"], shares[arm]) for arm in arms}
    other: Control = "repeat" if control == "placebo" else "placebo"
    beside_other = effect(turns["cue"] - turns[other], items)
    against, for_ = side(shares[control]), side(shares["cue"])
    details: dict[str, Any] = {
        "p": mcnemar(int((for_ > against).sum()), int((for_ < against).sum())),
        "towards": int((turns["cue"] > 0).sum()),
        "away": int((turns["cue"] < 0).sum()),
        "flips_cue": float(turns["cue"].mean()),
        "flips_placebo": float(turns["placebo"].mean()),
        "flips_again": float(turns["repeat"].mean()),
        "changed_again": float((turns["repeat"] != 0).mean()),
        "wins_cue": float((0.5 + for_ / 2).mean()),
        "wins_base": float((0.5 + side(shares["base"]) / 2).mean()),
        "beside": IN_DATA[control],
        f"beside_{IN_DATA[other]}": [beside_other.estimate, beside_other.lower, beside_other.upper],
    }
    found = effect(turns["cue"] - turns[control], items)
    turned_so = f"{details['towards']} of {counted(len(keys), 'verdict')} turned towards it and {details['away']} away"
    net = "neutral text" if control == "placebo" else "asking again"
    details["brief"] = (
        f"{details['towards']} of {counted(len(keys), 'verdict')} turned to it, {details['away']} away; net of {net}, "
        f"{format_effect(found)}."
    )
    won = f" It won {details['wins_cue']:.0%} of its comparisons, ties as half." if probe.preserves == "nothing" else ""
    details["fixed"] = fixed(lean for lean, _ in table.leans("", "base").values())
    if details["fixed"]:
        won += " But it goes by the place alone: every verdict follows position, so that no cue can change it."
    than, than_other = NET[control], NET[other]
    yield finding(
        subject,
        metric,
        found,
        details,
        f"{capital(probe.action)} {_moves(found)}: {turned_so}; net of {than}, {format_effect(found)}; net of "
        f"{than_other}, {format_effect(beside_other)}.{won}",
    )
    if soft:
        moved = effect(shares["cue"] - shares[control], items)
        sentence = f"{capital(probe.action)} shifts its share of the win, net of {than}, by {format_effect(moved)}."
        yield finding(subject, of(ANSWER_SHIFT, probe), moved, {"beside": IN_DATA[control]}, sentence)


def _order(subject: ProbedJudge, table: ProbeTable, probe: Probe, soft: bool) -> Iterator[Finding]:
    import numpy as np

    from evalkit.stats.flips import mcnemar, turned

    metric, leans = of(PLACE, probe), table.leans("", "base")
    items = [item for item, _, _ in leans]
    if needs := missing(items):
        yield unmeasured(subject, metric, needs)
        return
    values = np.array(list(leans.values()), dtype=np.float64)
    first, second = int((values[:, 0] > 0).sum()), int((values[:, 0] < 0).sum())
    found = effect(values[:, 0], items)
    details: dict[str, Any] = {
        "p": mcnemar(first, second),
        "first": first,
        "second": second,
        "consistent": len(leans) - first - second,
        "controls": {"again": of(PLACE_FLIPS, probe).name, "placebo": "none: nothing is added"},
        "brief": f"With the places swapped, {first} of {counted(len(leans), 'pair')} went to the first place and "
        f"{second} to the second: net {format_effect(found)}.",
    }
    lean = (
        "leans neither way for certain"
        if includes_zero(found)
        else "pulls the verdict towards "
        + ("the answer shown first" if found.estimate > 0 else "the answer shown second")
    )
    yield finding(
        subject,
        metric,
        found,
        details,
        f"The order {lean}: with the places swapped, {first} of {counted(len(leans), 'pair')} went to the first place "
        f"and {second} to the second, a net {format_effect(found)}.",
    )
    keys = table.shared("", "base", "repeat")
    if not missing(key[0] for key in keys):
        again = turned(table.shares("", "base", keys), table.shares("", "repeat", keys)) != 0
        noise = {item: [float(again[at]) for at, key in enumerate(keys) if key[0] == item] for item, *_ in keys}
        both = [one for one in leans if one[0] in noise]
        excess = np.array([abs(leans[one][0]) - np.mean(noise[one[0]]) for one in both], dtype=np.float64)
        beyond = effect(excess, [one[0] for one in both])
        sentence = (
            f"Swapping the places changes {(first + second) / len(leans):.0%} of verdicts, asking again unchanged "
            f"{again.mean():.0%}: {format_effect(beyond)} more. Nothing is added, so that there is no placebo."
        )
        extra = {"changed_again": float(again.mean())}
        yield finding(subject, of(PLACE_FLIPS, probe), beyond, extra, sentence)
    if soft:
        moved = effect(2 * values[:, 1], items)
        sentence = f"Being shown first moves an answer's share of the win by {format_effect(moved)} (both orders)."
        yield finding(subject, of(PLACE_SHIFT, probe), moved, {}, sentence)


def _labels(subject: ProbedJudge, table: ProbeTable, probe: Probe, soft: bool) -> Iterator[Finding]:
    import numpy as np

    metric, base, cue = of(LABEL, probe), table.leans("", "base"), table.leans(probe.name, "cue")
    once_more = table.leans("", "repeat")
    both = [unit for unit in base if unit in cue and unit in once_more]
    items = [item for item, _, _ in both]
    if needs := missing(items):
        yield unmeasured(subject, metric, needs)
        return
    columns = ([rows[unit] for unit in both] for rows in (base, cue, once_more))
    before, after, again = (np.array(rows, dtype=np.float64) for rows in columns)
    gross, drift = (before[:, 0] - after[:, 0]) / 2, (before[:, 0] - again[:, 0]) / 2
    found, as_it_is, noise = effect(gross - drift, items), effect(gross, items), effect(drift, items)
    place = effect((before[:, 0] + after[:, 0]) / 2, items)
    details = {
        "lean_before": float(before[:, 0].mean()),
        "lean_again": float(again[:, 0].mean()),
        "lean_renamed": float(after[:, 0].mean()),
        "place": [place.estimate, place.lower, place.upper],
        "as_it_is": [as_it_is.estimate, as_it_is.lower, as_it_is.upper],
        "beside": "again",
        "controls": {"again": [noise.estimate, noise.lower, noise.upper], "placebo": f"none: {NO_LABELS}"},
        "fixed": fixed((*before[:, 0], *after[:, 0])),
        "brief": f"It leans to the label A by {format_effect(found)}, net of asking again, and to the first place by "
        f"{place.estimate:+z.2f}.",
    }
    sentence = (
        f"With the answer shown first called B, and the second A, its lean to the first place goes from "
        f"{details['lean_before']:+z.2f} to {details['lean_renamed']:+z.2f}, asked again unchanged to "
        f"{details['lean_again']:+z.2f}: it leans to whatever is called A by {format_effect(as_it_is)}, net of asking "
        f"again {format_effect(found)}, and to whatever stands first by {format_effect(place)}. There is no placebo: "
        f"{NO_LABELS}."
    )
    yield finding(subject, metric, found, details, sentence)
    if soft:
        moved = effect(before[:, 1] - after[:, 1], items)
        sentence = f"Being called A moves an answer's share of the win by {format_effect(moved)} (both places)."
        yield finding(subject, of(LABEL_SHIFT, probe), moved, {}, sentence)


def _instruction(subject: ProbedJudge, table: ProbeTable, probe: Probe) -> Finding:
    import numpy as np

    metric = of(WARNING, probe)
    base, cue, other, once_more = (table.leans(probe.name, arm) for arm in ("base", "cue", "placebo", "repeat"))
    keys = [key for key in base if key in cue and key in other and key in once_more]
    items = [item for item, _, _ in keys]
    if needs := missing(items):
        return unmeasured(subject, metric, needs)
    before, after, beside, again = (np.array([rows[key][0] for key in keys]) for rows in (base, cue, other, once_more))
    found, than_again = effect(after - beside, items), effect(after - again, items)
    lean, warned = effect(beside, items), effect(after, items)
    became = warning_effect(lean, warned, found)
    details = {
        "lean_before": float(before.mean()),
        "lean_again": float(again.mean()),
        "lean_warned": float(after.mean()),
        "lean_placebo": float(beside.mean()),
        "warned": [warned.estimate, warned.lower, warned.upper],
        "placebo": [lean.estimate, lean.lower, lean.upper],
        "beside": "placebo",
        "beside_again": [than_again.estimate, than_again.lower, than_again.upper],
        "inconsistent_before": float((before != 0).mean()),
        "inconsistent_warned": float((after != 0).mean()),
        "fate": became,
        "brief": f"Its lean to the first place is {warned.estimate:+z.2f} with the warning, {lean.estimate:+z.2f} with "
        f"as much neutral text, a net {format_effect(found)}: {became}.",
    }
    sentence = (
        f"{capital(probe.action)} changes its lean to the first place from {details['lean_before']:+z.2f} to "
        f"{format_effect(warned)}; with as much neutral text in the instruction it is {format_effect(lean)}: net of "
        f"that, {format_effect(found)}; net of asking again unchanged, {format_effect(than_again)}. "
        f"So the lean is {became}."
    )
    return finding(subject, metric, found, details, sentence)


def warning_effect(lean: Interval, warned: Interval, change: Interval) -> str:
    """What a warning makes of a lean: one word, as far as intervals tell.

    Args:
        lean: without the warning, with neutral text in its place.
        warned: with it.
        change: the second less the first, pair by pair.
    """
    if includes_zero(lean) or None in (warned.lower, warned.upper, change.lower, change.upper):
        return NOT_TOLD
    sign, half = (1 if lean.estimate > 0 else -1), abs(lean.estimate) / 2
    left = [sign * limit for limit in (warned.lower, warned.upper) if limit is not None]
    moved = [sign * limit for limit in (change.lower, change.upper) if limit is not None]
    if max(left) < 0:
        return "flipped"
    if max(moved) < 0:  # "removed" is said only where not half of it can be left
        return "removed" if includes_zero(warned) and max(left) < half else "reduced"
    if min(moved) > 0:
        return "increased"
    return "unchanged" if min(moved) > -half and max(moved) < half else NOT_TOLD


RISKS: Mapping[Rewrites, str] = {
    "instruction": "its instruction does not matter",
    "alone": "padding moves its scores as much as its comparisons",
}
"""What must not be taken for granted, where that is not what the probe does."""


def conclusions(rows: Sequence[Finding], probes: Sequence[Probe]) -> Conclusions:
    """The sentences to say of the probed judge.

    Where a judge goes by the place alone, no verdict turns, and the shift of its odds speaks instead, if it gives odds.
    """
    tried = {of(FAMILIES[probe.rewrites][0], probe).name: probe for probe in probes}
    by_name = {row.metric: row for row in rows}
    return concluded(
        [
            (
                RISKS.get(tried[row.metric].rewrites, f"{tried[row.metric].action} changes nothing"),
                by_name.get(f"{row.metric}_shift", row) if row.details.get("fixed") else row,
            )
            for row in rows
            if row.metric in tried and row.estimate is not None
        ]
    )


def _moves(found: Interval) -> str:
    if includes_zero(found):
        return "does not measurably move the verdict"
    return "moves the verdict towards it" if found.estimate > 0 else "moves the verdict away from it"
