"""Are planted faults found, and is a judge without any left in peace? With real plans, prompts and parsers."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from evalkit.backends.fake import Fake
from evalkit.judges.pairwise import Pairwise
from evalkit.judges.single import Single
from evalkit.probing.effect import Subject
from evalkit.probing.findings import conclusions, findings
from evalkit.probing.judges import fixed_in, protocols
from evalkit.probing.table import Outcome
from evalkit.probing.trials import chosen, probes, trials
from evalkit.schema import Item, Ref, Response

SUBJECT = Subject("judge", "pairwise", "study")
WORDS = ("sea", "lamp", "copper", "window", "river", "seven", "quiet", "paper", "bright", "road", "apple", "stone")

CUES = {
    "verbosity": r"1\. \w+",
    "padding": "of it|above|here",
    "markdown_on": "^## ",
    "authority": "Source: |As confirmed by|institute-of-answers",
    "bandwagon": "90% of people",
    "distraction": "By the way|Incidentally|On another note",
    "sentiment": "What a wonderful question",
    "identity": "I answer this as",
    "model_name": r"\[Answer by ",
    "injection": "Note to the judge",
    "null_model": "Evaluation finished",
}
"""By what a judge that falls for it knows each rewritten answer."""


def pairs(study, questions, turns=1):
    """Questions, and two answers to each that are nearly equally good, with some markup in them."""
    items, answers = [], {}
    for q in range(questions):
        item = Item(id=f"{study} {q}", benchmark="study", category="c", turns=("What?", "And then?")[:turns])
        items.append(item)
        answers[item.id] = tuple(
            Response(
                key=f"{item.id} {side}",
                item=item.id,
                benchmark="study",
                category="c",
                model=Ref("m" + ("+second" if side else ""), str(side)),
                turns=tuple(essay(q + 7 * turn, side) for turn in range(turns)),
                finish=("stop",) * turns,
                created=1.0,
            )
            for side in (0, 1)
        )
    return items, answers


def essay(seed, side):
    words = [WORDS[(seed * 5 + 3 * side + at * (1 + side)) % len(WORDS)] for at in range(50)]
    return f"[skill 6.0] The **{words[0]}** " + " ".join(words) + "."


def audited(names, *, study=0, questions=24, turns=1, repeats=1, protocol=None, single=None, **planted):
    """Findings about a judge with planted faults, and what they are summed up to."""
    judge = Fake(**{"model": f"judge {study}", "noise": 0.8, **planted})
    used, protocol, single = chosen(names), protocol or Pairwise(), single or Single()
    forms = {"": protocol, **protocols(protocol, single, used)}
    items, answers = pairs(study, questions, turns)
    outcomes = [outcome(judge, forms[one.variant], one) for one in trials(items, answers, used, repeats)]
    rows = list(findings(SUBJECT, outcomes, used, beyond=fixed_in(protocol)))
    return {row.metric: row for row in rows}, conclusions(rows, used)


def outcome(judge, protocol, trial):
    completion = now(judge.complete(protocol.request(trial.case)))
    scores = protocol.parse(completion, trial.case).scores
    return Outcome(
        trial.probe,
        trial.arm,
        trial.case.item.id,
        trial.order,
        trial.repeat,
        scores[trial.slot],
        scores[0],
        trial.case.turn,
    )


def now(coroutine):
    """What a coroutine that waits for nothing returns."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


def found(row, sign=1):
    return row.estimate * sign > 0 and row.lower * row.upper > 0


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", CUES)
def test_a_judge_that_falls_for_a_cue_is_found_out(name, sign, turns):
    rows, said = audited([name], questions=24 // turns, turns=turns, cues={CUES[name]: 3.0 * sign})
    row = rows[f"probe_{name}"]
    assert found(row, sign), row.sentence
    assert any(probes()[name].does in caution for caution in said.may_not)
    assert (row.n, row.questions) == (48, 24 // turns)


def test_a_judge_that_loves_markup_is_found_out():
    rows, _ = audited(["markdown_off"], cues={r"\*\*": 3.0})
    assert found(rows["probe_markdown_off"], -1), rows["probe_markdown_off"].sentence


@pytest.mark.parametrize("bias", [2.0, -2.0])
def test_a_judge_that_goes_by_the_place_is_found_out(bias):
    rows, _ = audited(["position", "rename"], position_bias=bias)
    assert found(rows["probe_position"], 1 if bias > 0 else -1)
    assert not found(rows["probe_rename"]), rows["probe_rename"].sentence
    assert not found(rows["probe_rename"], -1)
    place, low, high = rows["probe_rename"].details["place"]
    assert place * bias > 0
    assert low * high > 0


@pytest.mark.parametrize("scoring", ["text", "logprobs"])
@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("bias", [2.0, -2.0])
def test_a_judge_that_goes_by_the_label_is_told_from_one_that_goes_by_the_place(bias, turns, scoring):
    protocol = Pairwise(scoring=scoring)
    rows, said = audited(["rename"], questions=20, turns=turns, label_bias=bias, protocol=protocol)
    row = rows["probe_rename"]
    assert found(row, 1 if bias > 0 else -1), row.sentence
    _, low, high = row.details["place"]
    assert low <= 0 <= high
    assert any("swapping the labels" in caution for caution in said.may_not)
    if scoring == "logprobs":
        assert found(rows["probe_rename_shift"], 1 if bias > 0 else -1)


@pytest.mark.parametrize("bias", [2.0, -2.0])
def test_a_warning_that_is_heeded_is_seen(bias):
    """The judge leans to the first place until it is warned."""
    rows, _ = audited(["aware"], position_bias=bias, cues={"Be aware that judges": -bias})
    row = rows["probe_aware"]
    assert found(row, -1 if bias > 0 else 1), row.sentence
    assert abs(row.details["lean_warned"]) < 0.4 < abs(row.details["lean_before"])
    assert abs(row.details["lean_placebo"]) > 0.4


@pytest.mark.parametrize("bias", [3.0, -3.0])
def test_a_taste_that_only_pairs_show_is_found_and_named(bias):
    rows, said = audited(["alone"], length_bias=bias, questions=24)
    row = rows["probe_alone"]
    assert found(row, 1 if bias > 0 else -1), row.sentence
    assert (row.details["won_in_pairs"] > 0.5) == (bias > 0)
    assert 0.3 < row.details["won_alone"] < 0.7
    assert any("padding moves its scores as much as its comparisons" in caution for caution in said.may_not)


def test_scores_and_verdicts_of_a_sure_judge_agree_and_those_of_a_coin_do_not():
    """Without noise all of these answers are equal, scored or compared; with much of it either is a coin."""
    rows, _ = audited(["alone"], noise=0.0)
    assert rows["probe_alone_differs"].estimate == 0
    assert rows["probe_alone_circles"].not_measurable
    assert "decided alike" in rows["probe_alone_circles"].not_measurable
    coin, _ = audited(["alone"], noise=20.0, tie_width=0.0, questions=300)
    assert 0.6 < coin["probe_alone_differs"].estimate < 0.9  # half the verdicts go with the order: a tie of theirs
    circles = coin["probe_alone_circles"]
    assert circles.lower <= 0.25 <= circles.upper
    assert circles.n < 300


@pytest.mark.parametrize("studies", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_a_judge_that_minds_only_quality_is_left_in_peace(studies):
    """Intervals miss zero no more often than one time in twenty, as far as so many can tell; warnings likewise."""
    told = [audited([], study=study, questions=20) for study in range(studies)]
    missed = {f"probe_{name}": 0 for name in probes()}
    for rows, _ in told:
        for metric in missed:
            missed[metric] += rows[metric].details["excludes_null"]
    warned = sum(bool(said.may_not) for _, said in told)
    wrong, intervals = sum(missed.values()), studies * len(missed)
    print(f"{wrong} of {intervals} intervals miss zero; {warned} of {studies} judges are warned of; {missed}")
    assert binom.sf(wrong - 1, intervals, 0.05) > 0.001
    assert binom.sf(warned - 1, studies, 0.05) > 0.001
    for metric, times in missed.items():
        assert binom.sf(times - 1, studies, 0.05) > 0.001, f"{metric}: {times} of {studies}"
