import math

import numpy as np
import pytest

from evalkit.audit.corrections import findings
from evalkit.core.schema import Failure, Judgment, Ref
from evalkit.evidence.findings import Finding
from evalkit.evidence.gather import gather
from tests.shared_data import shared_data

JUDGE, HUMAN, CORRECTED, ROGAN_GLADEN = (
    "win_rate_judge", "win_rate_human", "win_rate_corrected", "win_rate_rogan_gladen",
)  # fmt: skip


def judgment(judge, names, question, outcome, repeat=0):
    """Outcome of the first shown; None where it failed."""
    return Judgment(
        key=f"{judge.name} {names} {question} {repeat}",
        item=f"q{question}",
        benchmark="bench",
        category="any",
        turn=1,
        judge=judge,
        protocol="human_pair" if judge.fingerprint == "human" else "pair",
        parser="1",
        shown=tuple(f"{name} {question}" for name in names),
        models=tuple(Ref(name, name) for name in names),
        repeat=repeat,
        scores=None if outcome is None else (float(outcome), 1 - float(outcome)),
        error=Failure("unparsed", "?") if outcome is None else None,
    )


def evidence(a, b, question, outcome, votes, *, swapped=None, repeats=1):
    """One judge's verdicts on pairs of models, and votes as (row of the pair, outcome)."""
    person, judge = Ref("someone", "human"), Ref("judge", "1")
    rows = []
    for i, (first, second) in enumerate(zip(a, b, strict=True)):
        names = f"m{first}", f"m{second}"
        rows += [judgment(judge, names, question[i], outcome[i], repeat) for repeat in range(repeats)]
        if swapped is not None:
            rows.append(judgment(judge, names[::-1], question[i], 1 - swapped[i]))
    for i, vote in votes:
        rows.append(judgment(person, (f"m{a[i]}", f"m{b[i]}"), question[i], vote))
    (gathered,) = gather(rows)
    (seen,) = gathered.evidence
    return seen


def world(rng, pairs=1200, labelled=150, right=0.8, lean=0.3, questions=None, choose=None):
    """Three models; people prefer m0 to m1 to m2, and the judge errs with a lean towards the second of a pair."""
    a, b = np.array([(0, 1), (0, 2), (1, 2)])[rng.integers(3, size=pairs)].T
    truth = rng.random(pairs) < np.where((a == 0) & (b == 2), 0.8, 0.6)
    judge = np.where(rng.random(pairs) < right, truth, rng.random(pairs) < 0.5 - lean)
    question = np.arange(pairs) if questions is None else rng.integers(questions, size=pairs)
    picked = rng.permutation(pairs)[:labelled] if choose is None else choose(judge)
    return evidence(a, b, question, judge, [(row, truth[row]) for row in picked]), (a, b, truth)


def true_rate(model, a, b, truth):
    rows = (a == model) | (b == model)
    return np.where(a == model, truth, 1 - truth)[rows].mean()


def by_metric(found, model):
    return {finding.metric: finding for finding in found if finding.details.get("model") == model}


def test_every_model_has_its_four_rates():
    seen, (a, b, truth) = world(np.random.default_rng(0))
    found = list(findings(seen))
    assert [finding.metric for finding in found] == [JUDGE, HUMAN, CORRECTED, ROGAN_GLADEN] * 3
    assert all(isinstance(finding, Finding) for finding in found)
    for name in seen.models:
        got = by_metric(found, name)
        truly = true_rate(int(name[1:]), a, b, truth)
        corrected, people, judge = got[CORRECTED], got[HUMAN], got[JUDGE]
        assert corrected.lower < truly < corrected.upper
        assert corrected.upper - corrected.lower < people.upper - people.lower
        assert corrected.details["effective_labels"] > people.n == corrected.details["labelled"]
        assert corrected.details["naive"] == pytest.approx(judge.estimate)
        assert corrected.details["people"] == pytest.approx(people.estimate)
        assert judge.n == corrected.details["labelled"] + corrected.details["unlabelled"]
        other = corrected.details["post_stratified"]
        assert other["estimate"] == pytest.approx(corrected.estimate, abs=0.01)
        assert other["lower"] < truly < other["upper"]
        assert "random part" in corrected.sentence
        assert name in corrected.sentence
        assert got[ROGAN_GLADEN].lower < truly < got[ROGAN_GLADEN].upper
        assert not corrected.details["voted_pairs_unlike_the_rest"]
    leaning = by_metric(found, "m2")[CORRECTED].details
    assert leaning["naive_outside"]  # what correcting is for


@pytest.mark.slow
def test_labels_to_halve_the_interval_do_halve_it():
    rng = np.random.default_rng(1)
    seen, _ = world(rng, pairs=20_000, labelled=300)
    first = by_metric(findings(seen), "m0")[CORRECTED]
    share = (first.details["labelled"] + first.details["labels_to_halve"]) / first.details["labelled"]
    more, _ = world(np.random.default_rng(1), pairs=20_000, labelled=round(300 * share))
    second = by_metric(findings(more), "m0")[CORRECTED]
    assert (second.upper - second.lower) / (first.upper - first.lower) == pytest.approx(0.5, abs=0.04)
    assert f"{first.details['labels_to_halve']} more would halve" in first.sentence


def test_interval_cannot_always_be_halved():
    seen, _ = world(np.random.default_rng(2), pairs=300, labelled=150)
    got = by_metric(findings(seen), "m0")[CORRECTED]
    assert got.details["labels_to_halve"] is None
    assert "more questions" in got.sentence


@pytest.mark.slow
def test_coverage_with_questions_shared_by_models():
    hits = []
    for seed in range(60):
        seen, _ = world(np.random.default_rng(seed), pairs=600, labelled=120, questions=60)
        got = by_metric(findings(seen), "m0")
        hits.append([got[metric].lower <= 0.7 <= got[metric].upper for metric in (HUMAN, CORRECTED)])
    assert (np.mean(hits, axis=0) >= 0.87).all()


def test_pairs_chosen_by_what_the_judge_said_are_noticed():
    def mostly_wins(judge):
        return np.flatnonzero(judge)[:150]

    seen, _ = world(np.random.default_rng(3), choose=mostly_wins)
    got = by_metric(findings(seen), "m0")[CORRECTED]
    assert got.details["voted_pairs_unlike_the_rest"]
    assert got.details["drift"] > 0.1
    assert "beware" in got.sentence


def test_rogan_gladen_is_refused_for_a_judge_that_guesses():
    seen, _ = world(np.random.default_rng(4), right=0.1)
    got = by_metric(findings(seen), "m0")
    assert "clearly better than chance" in got[ROGAN_GLADEN].not_measurable
    assert got[ROGAN_GLADEN].estimate is None
    assert got[CORRECTED].details["power"] < 0.35
    assert got[CORRECTED].estimate == pytest.approx(got[HUMAN].estimate, abs=0.03)


def test_no_votes():
    seen, _ = world(np.random.default_rng(5), labelled=0)
    (corrected,) = findings(seen)
    assert corrected.metric == CORRECTED
    assert corrected.not_measurable == "needs votes of people on a random part of the pairs this judge judged"


def test_votes_on_pairs_that_the_judge_did_not_judge():
    seen = evidence([0, 0], [1, 1], [0, 1], [1, None], [(1, 1.0)])
    assert all(found.estimate is None for found in findings(seen))


def test_votes_on_some_models_only_and_on_every_pair_of_another():
    a, b = [0] * 40 + [2] * 20, [1] * 40 + [3] * 20
    votes = [(row, float(row % 3 > 0)) for row in range(40)]
    seen = evidence(a, b, range(60), np.ones(60), votes)
    found = list(findings(seen))
    everything = by_metric(found, "m0")
    assert "people voted on all 40 of m0, and their own win rate stands" in everything[CORRECTED].not_measurable
    assert everything[HUMAN].estimate == pytest.approx(26 / 40)
    assert "without a human label" in everything[ROGAN_GLADEN].not_measurable
    nobody = by_metric(found, "m2")
    assert set(nobody) == {CORRECTED}
    assert nobody[CORRECTED].not_measurable.startswith("needs votes of people on a random part of the 20 judged pairs")


def test_a_pair_counts_once():
    """Repeats of the judge and several votes on one pair are averaged."""
    pairs = 60
    rng = np.random.default_rng(6)
    truth, judge = rng.random(pairs) < 0.6, rng.random(pairs) < 0.6
    rows = np.arange(pairs)
    votes = [(row, truth[row]) for row in range(20)]
    once = evidence(rows * 0, rows * 0 + 1, rows, judge, votes)
    again = evidence(rows * 0, rows * 0 + 1, rows, judge, votes * 2, repeats=2)
    assert [(f.estimate, f.lower, f.n) for f in findings(once)] == [(f.estimate, f.lower, f.n) for f in findings(again)]


def test_orders_are_averaged():
    seen = evidence([0] * 4, [1] * 4, range(4), [1, 1, 1, 0], [(0, 1), (1, 0)], swapped=[1, 0, 0, 0])
    assert by_metric(findings(seen), "m0")[JUDGE].estimate == 0.5


def test_one_question_has_no_interval():
    seen = evidence([0] * 4, [1, 2, 3, 4], [0] * 4, [1, 1, 1, 0], [(0, 1), (1, 0)])
    got = by_metric(findings(seen), "m0")
    assert (got[CORRECTED].lower, got[CORRECTED].upper) == (None, None)
    assert got[CORRECTED].details["labels_to_halve"] is None


def test_no_number_is_nan():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        seen, _ = world(rng, pairs=int(rng.integers(3, 40)), labelled=2, questions=5)
        for finding in findings(seen):
            numbers = [finding.estimate, finding.lower, finding.upper, *finding.details.values()]
            assert all(math.isfinite(number) for number in numbers if isinstance(number, float))
            assert "nan" not in finding.sentence


def test_mt_bench_experts():
    """Expert votes correct GPT-4: it is too generous to itself, by .12 on the pairs that were voted on."""
    from evalkit.interop.fastchat import FastChatFormat

    rows = (row.record for row in FastChatFormat().read(shared_data("mtbench_votes")))
    (gathered,) = gather(row for row in rows if isinstance(row, Judgment))
    (seen,) = [seen for seen in gathered.evidence if seen.judge == "gpt4_pair"]
    found = list(findings(seen))
    assert {finding.details["model"] for finding in found} == set(seen.models)
    own = by_metric(found, "gpt-4")
    assert own[HUMAN].n == 536
    assert own[JUDGE].n == 800
    assert own[CORRECTED].details["naive_outside"]
    assert own[JUDGE].estimate - own[CORRECTED].estimate > 0.08
    assert own[CORRECTED].details["correlation"] == pytest.approx(0.267, abs=0.005)
    for finding in found:
        print(finding.sentence)
