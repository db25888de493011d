"""Probes of rubric grading: do they find what was planted in a judge, and leave one without faults in peace?"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest
from scipy.stats import binom

from evalkit.backends.fake import Fake
from evalkit.core.protocols import Completion, Judge, Model
from evalkit.core.schema import Criterion, Item, Ref, Response, digest
from evalkit.datasets.benchmark import Benchmark, Generation, Questions, Spec
from evalkit.engine.experiment import Experiment
from evalkit.judges.rubric import Rubric
from evalkit.probes.effect import ProbedJudge
from evalkit.probes.rubric_findings import Graded, conclusions, findings
from evalkit.probes.rubric_library import OFFER, RUBRIC_PROBES, misspelt, negated, offered
from evalkit.probes.rubric_study import RubricStudy
from evalkit.probes.trials import chosen
from tests.probes.test_certification import essay

SUBJECT = ProbedJudge("judge", "rubric", "study")
CRITERIA = tuple(
    Criterion(id=f"c{at}", text=f"The answer has quality number {at}.", points=(-1.0 if at == 4 else 2.0))
    for at in range(6)
)
GRADED = tuple(
    Criterion(id=f"g{at}", text=f"The answer has grade number {at}.", kind="1-5", anchors={"1": "none", "5": "all"})
    for at in range(3)
)
NAMES = [probe.name for probe in RUBRIC_PROBES]


@dataclass(frozen=True)
class Planted:
    """A judge that reads real prompts, with the faults that it is given."""

    seed: int = 0
    noise: float = 0.0
    """Share of verdicts that are drawn anew at every prompt."""
    first: float = 0.0
    """Share of verdicts that are yes wherever the criterion stands in the first half."""
    halo: float = 0.0
    """Share of verdicts that fall with a misspelt answer, or rise with an offer of help."""
    yes: float = 0.0
    """Share of verdicts that are yes, whatever is asked."""
    kind: float = 0.0
    """Share of verdicts that are yes where all criteria are asked at once."""
    lax: float = 0.0
    """Share of grades that are one higher where nothing says what they mean."""
    blind: bool = False
    """Whether it notices neither offers nor misspelt words."""

    def reply(self, prompt: str, item: str, repeat: int) -> Completion:
        listed = prompt[prompt.rindex("\nCriteri") :]
        asked = re.findall(r"^(\d+)\. (.*)$", listed, re.MULTILINE)
        answer = prompt[: prompt.rindex("\nCriteri")]
        said = {}
        for place, (number, text) in enumerate(asked):
            last = len(asked) - 1 - place
            first_half = last > place and len(asked) > 1
            anchored = "   1: none" in listed
            where = (answer, first_half, len(asked) > 1)
            grade = self._grade(text, item, prompt + str(repeat), anchored)
            said[number] = {"verdict": grade or self._verdict(text, item, prompt + str(repeat), *where)}
        return Completion(json.dumps(said))

    def _drawn(self, *what):
        return int(digest(self.seed, *what)[:12], 16) / 16**12

    def _grade(self, text, item, prompt, anchored):
        if "grade number" not in text:
            return None
        grade = 2 + (self._drawn(item, text) < 0.5)
        return grade + (not anchored and self._drawn("lax", prompt, text) < self.lax)

    def _verdict(self, text, item, prompt, answer, first_half, together):
        edits = {"offering further help": OFFER in answer, "misspelt words": "doubtless" not in answer}
        for about, there in edits.items():
            if about in text:
                return "yes" if there and not self.blind else "no"
        plain = text.removeprefix("It is NOT the case that the following is true: ")
        met = self._drawn(item, plain) < 0.6
        if self._drawn("noise", prompt, text) < self.noise:
            met = self._drawn("coin", prompt, text) < 0.6
        met, good = met == (plain == text), "number 4" not in plain
        if any(edits.values()) and self._drawn("halo", item, text) < self.halo:
            met = good == edits["offering further help"]
        always = self._drawn("first", item, text) < self.first if first_half else False
        if always or self._drawn("yes", item, text) < self.yes:
            met = True
        if together and plain == text and self._drawn("kind", item, text) < self.kind:
            met = good
        return "yes" if met else "no"


def audited(names, *, questions=30, rubric=CRITERIA, calls="item", repeats=1, **planted):
    """Findings about a judge with planted faults, and what they come to."""
    judge = Planted(**planted)
    items = tuple(
        Item(id=f"{judge.seed} {q}", benchmark="study", category="c", turns=(f"What is {q}?",))
        for q in range(questions)
    )
    answers = {
        item.id: [
            Response(
                key=item.id,
                item=item.id,
                benchmark="study",
                category="c",
                model=Ref("m", "f"),
                turns=(f"Some doubtless fine words. {essay(q, 0)}",),
                finish=("stop",),
                created=1.0,
            )
        ]
        for q, item in enumerate(items)
    }
    protocol = Rubric(rubric=rubric, calls=calls, explain=False)
    asked = Judge("judge", Model(name="judge", backend=Fake()), protocol)
    study = RubricStudy(experiment_of(items, asked, repeats), "first", chosen(names, RUBRIC_PROBES))
    forms = study.forms(asked)
    rows = []
    for trial in study.planned(asked, answers):
        used = forms[trial.variant].protocol
        rows.append(graded(judge, used, trial))
    found = list(findings(SUBJECT, rows, study.probes, together=calls == "item"))
    return {row.metric: row for row in found}, conclusions(found, study.probes)


def experiment_of(items, judge, repeats):
    spec = Spec(
        name="study",
        title="",
        description="",
        source="",
        licence="",
        questions=Questions(),
        protocol="rubric",
        generation=Generation(max_tokens=1),
    )
    benchmark = Benchmark(spec=spec, items=items, references="none", hashes={})
    return Experiment(benchmark=benchmark, models=(Model(name="m", backend=Fake()),), judges=(judge,), repeats=repeats)


def graded(judge, protocol, trial):
    parts = protocol.parts(trial.case) or (trial.case,)
    verdicts = []
    for part in parts:
        prompt = "\n".join(message.content for message in protocol.request(part).messages)
        verdicts += protocol.parse(judge.reply(prompt, trial.case.item.id, trial.case.repeat), part).criteria
    return Graded(trial.probe, trial.arm, trial.case.item.id, trial.case.turn, trial.repeat, tuple(verdicts))


def test_a_judge_without_faults_is_left_in_peace():
    found, said = audited([], seed=1)
    assert {name for name, row in found.items() if row.estimate not in (None, 0.0)} == set()
    assert not said.may_not
    assert len(said.may) == 5  # all but the anchors, which this rubric lacks
    assert found["probe_anchors_removed"].not_measurable == "needs criteria whose grades are described (anchors)"


@pytest.mark.parametrize(
    ("planted", "probe", "sign", "words"),
    [
        ({"first": 0.6}, "criteria_order", 1, "is judged higher where it stands in the first half"),
        ({"halo": 0.5}, "halo_merit", 1, "the verdicts on all other criteria move up along with it"),
        ({"halo": 0.5}, "halo_fault", 1, "the verdicts on all other criteria move down along with it"),
        ({"kind": 0.6}, "criteria_calls", 1, "an answer is better off than where each is asked by itself"),
        ({"yes": 0.5}, "criteria_negated", 1, "which cannot be"),
    ],
)
def test_a_planted_fault_is_found_and_no_other(planted, probe, sign, words):
    found, said = audited([], seed=2, **planted)
    row = found[f"probe_{probe}"]
    assert sign * row.lower > 0
    assert words in row.sentence
    assert any(row.sentence in caution for caution in said.may_not)
    expected = {f"probe_{probe}"} if "halo" not in planted else {"probe_halo_merit", "probe_halo_fault"}
    if "first" in planted:  # asked one by one, no criterion stands in a half
        expected |= {"probe_criteria_calls"}
    if "kind" in planted:  # it is kind to the criteria as they are
        expected |= {"probe_criteria_negated"}
    wrong = [name for name in NAMES if f"probe_{name}" not in expected]
    silent = [found[f"probe_{name}"] for name in wrong]
    if "yes" not in planted and "first" not in planted:
        assert all(one.estimate is None or one.lower <= 0 <= one.upper for one in silent)


def test_grades_without_anchors():
    found, said = audited(["anchors_removed"], seed=3, rubric=GRADED, lax=0.7)
    row = found["probe_anchors_removed"]
    assert row.lower <= 0.7 / 4 <= row.upper
    assert "they are higher" in row.sentence
    assert said.may_not
    found, said = audited(["anchors_removed"], seed=3, rubric=GRADED)
    assert (found["probe_anchors_removed"].estimate, said.may_not) == (0.0, [])


def test_a_judge_that_says_yes_contradicts_itself():
    found, _ = audited(["criteria_negated"], seed=4, yes=0.5)
    row, lean = found["probe_criteria_negated"], found["probe_criteria_negated_yes"]
    assert row.details["no_to_both"] == 0
    assert row.estimate == lean.estimate == row.details["yes_to_both"] / row.n
    assert "the judge leans to yes" in lean.sentence


def test_a_judge_that_does_not_notice_shows_no_halo():
    found, said = audited(["halo_merit", "halo_fault"], seed=5, blind=True)
    for name in ("halo_merit", "halo_fault"):
        assert found[f"probe_{name}"].not_measurable == (
            "needs a judge that notices the change: it did in 0 of 30 answers"
        )
    assert [*said.may, *said.may_not, *said.unknown] == []


def test_asked_one_by_one_the_two_ways_keep_their_sign():
    found, _ = audited(["criteria_calls"], seed=6, calls="criterion", kind=0.6)
    assert found["probe_criteria_calls"].lower > 0
    assert found["probe_criteria_calls_alike"].lower > 0


@pytest.mark.slow
def test_noise_is_no_fault():
    """Verdicts drawn anew at every prompt change as much on asking again: what is concluded is concluded rarely."""
    warned = sum(
        bool(audited(["criteria_order", "criteria_negated"], seed=at, noise=0.3)[1].may_not) for at in range(40)
    )
    assert binom.sf(warned - 1, 40, 0.05) > 0.001


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "probe", "truth"),
    [
        ({"first": 0.4}, "criteria_order", 0.4 * 0.4),
        ({"halo": 0.4}, "halo_merit", 0.4 * (5 * 0.4 + 0.6) / 6),
        ({"halo": 0.4}, "halo_fault", 0.4 * (5 * 0.6 + 0.4) / 6),
    ],
)
def test_intervals_cover_what_was_planted(planted, probe, truth):
    """In 200 studies of 30 questions; at least 93 of 100, as far as so many studies can tell."""
    rows = [audited([probe], seed=1000 + at, noise=0.1, **planted)[0][f"probe_{probe}"] for at in range(200)]
    missed = sum(not row.lower <= truth <= row.upper for row in rows)
    assert abs(sum(row.estimate for row in rows) / len(rows) - truth) < 0.02
    assert binom.sf(missed - 1, 200, 0.07) > 0.001


@pytest.mark.parametrize(
    "text", ["", " \n", "```\ncode only = 'misspellable'\n```", "word " * 200_000, "日本語 \ud800 <b>"]
)
def test_any_answer_can_be_edited(text):
    assert misspelt(text) == misspelt(text)
    assert offered(text).startswith(text)
    assert len(misspelt(text)) == len(text)


def test_misspelt_words_are_few_and_not_in_code():
    text = "Certainly, several gardens flourish wherever people water plants regularly. ```gardens flourish```"
    changed = misspelt(text)
    assert changed != text
    assert changed.endswith("```gardens flourish```")
    assert sorted(changed) == sorted(text)


def test_a_negated_criterion_can_be_read():
    one = negated(Criterion(id="a", text="It is  rude.", points=-2))
    assert one.text == "It is NOT the case that the following is true: It is rude."
    assert one.points == 2


ARGUMENTS = ("audit", "judge=fake", "model=fake", "limit=1", "rubric=helpful")


def test_the_command_line(cli, tmp_path):
    code, out, err = cli(*ARGUMENTS, "probes=all", "--format", "json")
    assert code == 0
    rows = {row["metric"]: row for row in json.loads(out)["findings"]}
    assert {"probe_criteria_order", "probe_criteria_calls_alike", "probe_halo_fault"} <= set(rows)
    folder = tmp_path / "results" / "audit-pocket" / "judgments"
    assert (folder / "fake.rubric-helpful.jsonl").exists()
    assert (folder / "fake+halo_fault.rubric-helpful.jsonl").exists()
    code, again, err = cli(*ARGUMENTS, "probes=all", "--format", "json")
    assert "nothing asked" in err
    assert json.loads(again)["findings"] == json.loads(out)["findings"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*ARGUMENTS, "probes=position"), "the probe 'position' is about comparing two answers; of a rubric there are"),
        (("audit", "judge=fake", "model=fake", "probes=halo_merit"), "is about rubrics: give rubric=NAME"),
        ((*ARGUMENTS, "probes=halo"), "no probe 'halo'; there are: criteria_order"),
        ((*ARGUMENTS, "protocol=pairwise", "probes=all"), "takes no rubric"),
    ],
)
def test_what_cannot_be_done_is_said(cli, arguments, message):
    code, _, err = cli(*arguments)
    assert code == 2
    assert message in " ".join(err.split())


def test_the_forecast_counts_each_call(cli):
    code, _, err = cli(*ARGUMENTS, "probes=criteria_calls", "dry_run=true")
    assert code == 0
    assert re.search(r"judge +fake +80 ", err)  # 8 answers, twice as it is, then 8 criteria each
