"""Are planted faults found, and is a judge without any left in peace? With real plans, prompts and parsers."""

from __future__ import annotations

import textwrap

import pytest
from scipy.stats import binom

from evalkit.backends.fake import Fake
from evalkit.core.schema import Item, Ref, Response
from evalkit.judges.pairwise import Pairwise
from evalkit.judges.single import Single
from evalkit.probes.effect import ProbedJudge
from evalkit.probes.findings import conclusions, findings, warning_effect
from evalkit.probes.library import PROBES as ALL
from evalkit.probes.pair_study import fixed_in, protocols
from evalkit.probes.table import Outcome
from evalkit.probes.trials import chosen, trials
from evalkit.stats.resample import Interval

PROBES = {probe.name: probe for probe in ALL}
SUBJECT = ProbedJudge("judge", "pairwise", "study")
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
    """Questions, and two answers to each that are nearly equally good, with some markup in them.

    No two questions are alike: the judge's noise comes from its prompt, and equal prompts would be one throw of a coin.
    """
    items, answers = [], {}
    for q in range(questions):
        item = Item(id=f"{study} {q}", benchmark="study", category="c", turns=(f"What is {q}?", "And then?")[:turns])
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
    used, protocol, single = chosen(names, ALL), protocol or Pairwise(), single or Single()
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


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", CUES)
def test_a_judge_that_falls_for_a_cue_is_found_out(name, sign, turns):
    rows, said = audited([name], questions=24 // turns, turns=turns, cues={CUES[name]: 3.0 * sign})
    row = rows[f"probe_{name}"]
    assert found(row, sign), row.sentence
    assert any(PROBES[name].action in caution for caution in said.may_not)
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
    assert row.details["fate"] in ("removed", "reduced")
    assert row.sentence.endswith(f"So the lean is {row.details['fate']}.")
    assert "net of asking again unchanged" in row.sentence


@pytest.mark.parametrize("bias", [2.0, -2.0])
def test_what_a_warning_does_to_a_lean_ends_in_a_word(bias):
    def word(turned, planted=bias):
        cues = {"Be aware that judges": turned} if turned else {}
        rows, said = audited(["aware"], questions=60, position_bias=planted, cues=cues)
        (line,) = (*said.may, *said.may_not, *said.unknown)
        assert line.endswith(f": {rows['probe_aware'].details['fate']}.")
        return rows["probe_aware"].details["fate"]

    assert word(-bias) == "removed"
    assert word(-0.8 * bias) == "reduced"
    assert word(-2 * bias) == "flipped"
    assert word(0.0) == "unchanged"
    assert word(0.0, planted=0.0) == "not told apart"


@pytest.mark.parametrize(
    ("lean", "warned", "change", "word"),
    [
        ((0.6, 0.5, 0.7), (0.0, -0.1, 0.1), (-0.6, -0.7, -0.5), "removed"),
        ((0.6, 0.5, 0.7), (0.1, -0.2, 0.4), (-0.5, -0.8, -0.2), "reduced"),
        ((0.6, 0.5, 0.7), (0.3, 0.2, 0.4), (-0.3, -0.4, -0.2), "reduced"),
        ((-0.6, -0.7, -0.5), (-0.6, -0.7, -0.5), (0.0, -0.1, 0.1), "unchanged"),
        ((-0.6, -0.7, -0.5), (0.4, 0.3, 0.5), (1.0, 0.9, 1.1), "flipped"),
        ((-0.6, -0.7, -0.5), (-0.9, -1.0, -0.8), (-0.3, -0.4, -0.2), "increased"),
        ((0.6, 0.5, 0.7), (0.4, 0.1, 0.7), (-0.2, -0.5, 0.1), "not told apart"),
        ((0.1, -0.1, 0.3), (0.0, -0.2, 0.2), (-0.1, -0.2, 0.0), "not told apart"),
    ],
)
def test_words_follow_intervals(lean, warned, change, word):
    assert warning_effect(*(Interval(*limits, 40, 0.95, 0.1, 40) for limits in (lean, warned, change))) == word


def test_controls_are_given_or_it_is_said_why_there_is_none():
    rows, _ = audited(["position", "rename", "aware", "alone"], label_bias=2.0)
    rename, aware, alone = (rows[f"probe_{name}"] for name in ("rename", "aware", "alone"))
    assert "net of asking again" in rename.sentence
    assert "There is no placebo: the prompt is as long" in rename.sentence
    again = rename.details["lean_again"]
    assert aware.details["beside_again"][0] == pytest.approx(aware.details["lean_warned"] - again)
    assert "There is no placebo, as" in alone.sentence
    assert "nor a plain re-ask, as" in alone.sentence
    assert rows["probe_alone_differs"].details["differs_again"] == 0, "this judge says the same when asked again"
    assert "beyond that" in rows["probe_alone_differs"].sentence
    assert "there is no placebo" in rows["probe_position_flips"].sentence


def test_what_asking_again_changes_is_no_taste_for_a_label():
    """Of 20 pairs 10 leaned to the first place, called A; asked again none does, nor with the labels swapped."""
    rows = []
    for q in range(20):
        for probe, arm, leans in (("", "base", q < 10), ("", "repeat", False), ("rename", "cue", False)):
            for order in (0, 1):
                first = 1.0 if leans else float(order == 0)
                rows.append(Outcome(probe, arm, str(q), order, 0, first if order == 0 else 1 - first, first))
    (row,) = findings(SUBJECT, rows, chosen(["rename"], ALL))
    assert row.details["as_it_is"][0] == 0.25
    assert row.details["controls"]["again"][0] == 0.25
    assert row.estimate == 0
    assert not row.details["excludes_null"]


def test_lines_of_the_box_are_short():
    for bias in (0.0, 2.0):
        _, said = audited([], position_bias=bias, length_bias=bias)
        for line in (*said.may, *said.may_not, *said.unknown):
            assert len(textwrap.wrap(f"* {line}", 76)) <= 3, line


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


@pytest.mark.slow
def test_a_judge_that_minds_only_quality_is_left_in_peace():
    """Intervals miss zero no more often than one time in twenty, as far as so many can tell; warnings likewise."""
    studies = 40
    told = [audited([], study=study, questions=20) for study in range(studies)]
    missed = {f"probe_{name}": 0 for name in PROBES}
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
