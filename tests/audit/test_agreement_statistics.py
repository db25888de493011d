"""Fleiss' kappa, spread between categories, the alternative annotator test, and scores by people, inside the audit."""

import json

import numpy as np
import pytest

from evalkit.audit.agreement_statistics import statistics
from evalkit.audit.analyse import audit, audited
from evalkit.core.schema import Judgment, Ref, digest
from evalkit.evidence.gather import Grade, Vote, gather
from evalkit.interop.importing import import_results
from evalkit.ratings.comparisons import HUMAN
from evalkit.reports.audit_verdict import verdict
from tests.biases.simulated import Study, only, scored
from tests.ratings.rows import judged
from tests.shared_data import shared_data


@pytest.fixture(scope="module")
def mtbench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mtbench")
    import_results("fastchat", shared_data("mtbench_votes"), folder)
    return audit([folder])


def of(found, metric):
    return only(list(statistics(found)), metric)


def graded(rng, people, answers=60, noise=0.7, sloppy=0.7, shift=0.0, scale=1.0):
    """Scores of a judge, and of people who see the same quality; the judge's are scaled and shifted."""
    rows, grades = [], []
    for answer in range(answers):
        item, model = f"q{answer // 3}", f"m{answer % 3}"
        good = 5 + 1.5 * rng.normal()
        said = float(np.clip(np.rint(scale * (good - 5) + 5 + shift + noise * rng.normal()), 1, 10))
        rows.append(scored(model, said, item=item))
        for person in range(people):
            score = float(np.clip(np.rint(good + sloppy * rng.normal()), 1, 10))
            grades.append(Grade(item, 1, model, score, f"person_{person}"))
    return gather(rows, votes=grades)[0]


@pytest.mark.slow
def test_fleiss_among_the_experts_of_mtbench(mtbench):
    found = only(mtbench.findings, "agreement_human_fleiss")
    assert (found.judge, found.details["votes_a_pair"], found.n) == ("human", 2, 1014)
    alpha = only(mtbench.findings, "agreement_human_alpha")
    assert found.lower < alpha.estimate < found.upper


@pytest.mark.slow
def test_fleiss_on_vicuna_questions(tmp_path):
    """Published .184 calls the answers by name; each pair both ways round gives nearly the same."""
    import_results("prd", shared_data("prd_vicuna80"), tmp_path)
    found = only(audit([tmp_path]).findings, "agreement_human_fleiss")
    assert found.details["votes_a_pair"] == 3
    assert found.estimate == pytest.approx(0.184, abs=0.02)
    assert found.upper - found.lower > 0.03


def voted(annotators, again=1):
    """What each says of 20 pairs, each time asked; they differ on a quarter of them."""
    rows = [judged("a", "b", (1.0, 0.0), item=f"q{q}") for q in range(20)]
    votes = [
        Vote(f"q{q}", 1, *(("a", "b", 1 - said) if time else ("b", "a", said)), name)
        for time in range(again)
        for q in range(20)
        for name, said in zip(annotators, (0.0, float(q % 4 == 0)), strict=False)
    ]
    return gather(rows, votes=votes)[0]


def test_a_person_does_not_agree_with_himself():
    found = audited([voted(["ann"], again=3)])
    assert not [row for row in found.agreement if row.judge == "human"]
    for metric in ("agreement_human_alpha", "agreement_human_fleiss"):
        assert only(found.findings, metric).not_measurable
    assert [row.total for row in found.agreement if (row.other, row.setup) == ("human", "S1")] == [20]
    assert any(note.startswith("arena: 40 votes repeat") for note in found.notes)


def test_votes_given_again_change_nothing():
    once, thrice = (audited([voted(["ann", "bob"], again)]) for again in (1, 3))
    assert once.agreement == thrice.agreement
    assert once.findings == thrice.findings
    assert not any("repeat" in note for note in once.notes)


@pytest.mark.parametrize("name", ["human", "unknown"])
def test_votes_without_a_name_may_be_of_many(name):
    found = audited([voted([name], again=3)])
    (among,) = [row for row in found.agreement if (row.judge, row.setup) == ("human", "S1")]
    assert among.total == 60
    assert only(found.findings, "agreement_human_fleiss").details["votes_a_pair"] == 3


def test_the_last_of_a_persons_answers_counts():
    rows = [judged("a", "b", (1.0, 0.0))]
    votes = [Vote("q1", 1, "a", "b", said, "ann") for said in (1.0, 0.5, 0.0)] + [Vote("q1", 2, "a", "b", 1.0, "ann")]
    (group,) = gather(rows, votes=votes)[0].people
    assert sorted(zip(group.votes.turn.tolist(), group.votes.outcome.tolist(), strict=True)) == [(1, 0.0), (2, 1.0)]


@pytest.mark.slow
def test_what_people_agree_on_covers_more_than_what_was_judged(mtbench):
    alpha, fleiss = (only(mtbench.findings, f"agreement_human_{name}").sentence for name in ("alpha", "fleiss"))
    assert "judged or not" in alpha
    assert "judged or not" in fleiss
    assert "at least as often" in alpha


def test_limits_that_coincide_are_no_interval():
    """The questions differ; yet whichever are drawn, four models are ranked alike."""
    rng = np.random.default_rng(0)
    rows, grades = [], []
    for q in range(30):
        for model in range(4):
            rows.append(scored(f"m{model}", float(round(2 + 2 * model + rng.normal(), 1)), item=f"q{q}"))
            said = float(round(2 + 2 * model + rng.normal(), 1))
            grades += [Grade(f"q{q}", 1, f"m{model}", said, f"person_{person}") for person in range(3)]
    whole = audited(gather(rows, votes=grades))
    found = only(whole.findings, "agreement_spearman")
    assert (found.estimate, found.upper) == pytest.approx((1, 1))
    assert 0.7 < found.lower < 0.95, "what so few questions leave open"
    (line,) = [line for line in verdict(whole, whole.subjects[0]).unknown if "rank the models" in line]
    assert "of 4 models, orders are alike by chance" in line


def test_agreement_differs_between_categories_of_mtbench(mtbench):
    """Writing and roleplay agree less than math and reasoning (S2: .715 and .792 against .940 and .924)."""
    found = only(mtbench.findings, "agreement_heterogeneity_s2")
    assert found.details["degrees"] == 7
    assert found.details["p_value"] < 0.001
    assert 0.03 < found.lower < found.estimate < found.upper < 0.2
    assert "differs between categories" in found.sentence


@pytest.mark.slow
def test_equal_categories_do_not_differ():
    small = [
        of(Study(seed=seed, questions=30, models=4).gathered(), "agreement_heterogeneity_s1") for seed in range(40)
    ]
    assert np.mean([found.details["p_value"] < 0.05 for found in small]) <= 0.1


def test_one_category_has_nothing_to_compare():
    rows = [
        judged("a", "b", scores, item=f"q{q}", judge=judge, fingerprint=kind, protocol=protocol)
        for q, scores in enumerate([(1.0, 0.0), (0.0, 1.0)] * 3)
        for judge, kind, protocol in (("j", "1", "pair"), ("ann", HUMAN, "human_pair"))
    ]
    assert not [found for found in statistics(gather(rows)[0]) if "heterogeneity" in found.metric]


def test_experts_as_annotators(mtbench):
    rate, by_item = (only(mtbench.findings, f"alt_test_{name}") for name in ("winning_rate", "advantage"))
    assert rate.details["epsilon"] == 0.1, "whatever people are called"
    assert len(rate.details["contests"]) == 26
    assert all(contest["n"] >= 30 for contest in rate.details["contests"])
    assert not rate.details["passed"]
    rates = rate.details["winning_rates"]
    assert rates["0.2"] >= rates["0.15"] >= rates["0.1"]
    assert 0.8 < by_item.lower < by_item.estimate < by_item.upper < 0.9


def test_a_judge_like_the_people_takes_their_place():
    study = Study(questions=80, models=4, votes=4, humans=4.0, sharpness=40.0, ties=0.0)
    found = of(study.gathered(), "alt_test_winning_rate")
    assert found.details["passed"]
    assert found.estimate == 1


def test_a_coin_does_not():
    rows = Study(questions=60, models=4, votes=4, humans=6.0, sharpness=0.0, ties=0.0).rows()
    found = of(gather(rows)[0], "alt_test_winning_rate")
    assert found.details["passed"] is False
    assert found.details["epsilon"] == 0.1, "nobody says that these people are experts"


def test_two_annotators_are_too_few():
    found = of(Study(questions=40, models=4, votes=2).gathered(), "alt_test_winning_rate")
    assert found.not_measurable == "needs at least 3 annotators but has 2"


def test_no_votes_at_all():
    rows = [row for row in Study(questions=5, models=3).rows() if row.judge.fingerprint != HUMAN]
    assert of(gather(rows)[0], "alt_test_winning_rate").not_measurable.startswith("needs votes of people")


def test_scores_by_people_are_compared_with_the_judges():
    rng = np.random.default_rng(0)
    found = graded(rng, people=4, answers=120, noise=0.3, sloppy=1.0)
    (evidence,) = found.evidence
    assert len(evidence.grades) == 480
    assert of(found, "agreement_scores_spearman").lower > 0.7
    assert of(found, "alt_test_winning_rate").details["passed"]
    whole = audited([found])
    assert only(whole.findings, "scale_ks").details["p_value"] > 0.05
    assert only(whole.findings, "scale_mean_excess").measure.unit.form == "signed"
    assert {(row.judge, sum(row.counts)) for row in whole.histograms} == {("gpt4", 120), ("human", 480)}
    people = {row.model: row for row in whole.ratings if row.rater == "human"}
    assert {row.kind for row in people.values()} == {"score"}
    assert whole.subjects[0].grades == 480
    said = verdict(whole, whole.subjects[0])
    assert any("annotator's place" in text for text in said.may)
    assert not any("ranks these models" in text for text in said.may), "that is about models, not answers"


def test_a_lenient_judge_stands_apart():
    whole = audited([graded(np.random.default_rng(1), people=3, shift=2.0)])
    apart, excess = only(whole.findings, "scale_ks"), only(whole.findings, "scale_mean_excess")
    assert apart.lower > 0.2
    assert apart.details["p_value"] < 0.01
    assert excess.lower > 1.3
    assert excess.estimate == pytest.approx(2.0, abs=0.4)


def test_the_distance_is_the_textbooks():
    from scipy.stats import ks_2samp

    found = graded(np.random.default_rng(2), people=1, shift=1.0, answers=90)
    grades = found.evidence[0].grades
    expected = ks_2samp(grades.judged, grades.score).statistic
    assert only(audited([found]).findings, "scale_ks").estimate == pytest.approx(expected)


@pytest.mark.slow
def test_silent_on_equal_distributions():
    found = [
        only(audited([graded(np.random.default_rng(seed), people=1, answers=45)]).findings, "scale_ks")
        for seed in range(40)
    ]
    assert np.mean([one.details["p_value"] < 0.05 for one in found]) <= 0.125


def test_scores_without_people():
    whole = audited(gather([scored("m", 5.0, item=f"q{q}") for q in range(4)]))
    assert only(whole.findings, "scale_ks").not_measurable.startswith("needs scores by people")


def test_scores_of_other_answers_are_not_compared():
    """Both answers are stored, and they are not the same."""
    from evalkit.core.schema import Response

    def answer(text):
        return Response(key=text, item="q1", benchmark="b", category="c", model=Ref("m", "1"), turns=(text,))

    ours, theirs = answer("ours"), answer("theirs")
    rows = [
        Judgment(
            key=digest(name), item="q1", benchmark="b", category="c", turn=1, judge=Ref(name, kind), protocol=protocol,
            parser="1", shown=(about.id,), models=(Ref("m", "1"),), scores=(5.0,), label="5",
        )
        for name, kind, protocol, about in (("j", "1", "single", ours), ("ann", HUMAN, "human_single", theirs))
    ]  # fmt: skip
    (found,) = gather(rows, [ours, theirs])
    assert found.evidence[0].judge == "j", "people's scores are no judge of their own"
    assert np.isnan(found.evidence[0].grades.judged).all()
    assert any("people scored none of its answers" in note for note in audited([found]).notes)


def test_soft_pairwise_and_agreement_with_intervals(mtbench):
    soft, sure = only(mtbench.findings, "ranking_soft_pairwise"), only(mtbench.findings, "ranking_confidence_agreement")
    assert 0.9 < soft.lower < soft.estimate < soft.upper <= 1
    assert sure.estimate == pytest.approx(14 / 15), "claude-v1 and gpt-3.5-turbo: people do not tell them apart"


def test_elo_by_people_beside_elo_by_the_judge(mtbench):
    for row in mtbench.ratings:
        assert row.elo == pytest.approx(1000 + row.rating * 400 / np.log(10))
        assert row.elo_lower < row.elo < row.elo_upper
    found = {(row.rater, row.model): round(row.elo) for row in mtbench.ratings}
    assert (found["human", "gpt-4"], found["gpt4_pair", "gpt-4"]) == (1179, 1314)


def test_json_has_them(mtbench):
    from evalkit.reports.audit_output import to_json

    data = json.loads(to_json(mtbench))
    assert {"elo", "elo_lower", "elo_upper"} <= set(data["ratings"][0])
    assert len(data["examples"]) == len(mtbench.examples)


def test_same_winner_counts_a_verdict_without_a_winner_as_wrong(mtbench):
    """What S1 and S2 count between them: S2 leaves out the votes for a winner on which the judge names none."""
    by = {(row.judge, row.other, row.turn, row.category, row.setup): row for row in mtbench.agreement}
    checked = 0
    for (judge, other, *where, setup), whole in by.items():
        if setup == "S2" or whole.undecided is None:
            assert setup == "S1" or whole.correct is None
            continue
        some = by[judge, other, *where, "S2"]
        silent = whole.undecided - (whole.agree - some.agree)
        assert whole.correct_total == some.total + silent
        assert whole.correct * whole.correct_total == pytest.approx(some.agree)
        assert whole.correct_lower < whole.correct < whole.correct_upper
        checked += silent > 0
    assert checked >= 9
    math, people = by["gpt4_pair", "human", None, "math", "S1"], by["human", "human", None, "math", "S1"]
    assert math.correct == pytest.approx(125 / 222)
    assert people.correct == pytest.approx(210 / 270)
