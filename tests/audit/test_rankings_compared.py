"""How alike judge and people rank models: on votes and on scores, and where one side does not rank them at all."""

import json
from itertools import combinations

import msgspec
import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from evalkit.audit.analyse import audited
from evalkit.audit.rankings_compared import compared
from evalkit.core.schema import Failure, Ref
from evalkit.evidence.gather import Grade, Vote, gather
from evalkit.ratings.comparisons import HUMAN
from evalkit.storage.store import Store
from tests.biases.simulated import Study, only, scored

MODELS = [f"m{place}" for place in range(4)]
PAIRS = [(q, a, b) for q in range(12) for a, b in combinations(MODELS, 2)]
RANKS = ("agreement_spearman", "agreement_kendall")


def stored(folder, said=None, **study):
    """Judgments of four models; ``said`` gives the scores of what is shown first and second."""
    store = Store(folder, "study")
    for number, row in enumerate(Study(questions=12, models=4, **study).rows()):
        if row.judge.fingerprint != HUMAN:
            scores = said([model.name for model in row.models]) if said else row.scores
            made = msgspec.structs.replace(row, key=str(number), scores=scores)
            store.judgments(row.judge.name, row.protocol).append(made)
    store.close()


def voted(path, winners):
    lines = [
        json.dumps({"item": f"q{q}", "model_a": a, "model_b": b, "winner": winner, "annotator": f"ann{voter}"})
        for q, a, b in PAIRS
        for voter, winner in enumerate(winners)
    ]
    path.write_text("\n".join(lines))


ALIKE = {"people": "needs models that people tell apart", "judge": "needs models that the judge tells apart"}


@pytest.mark.parametrize(
    ("said", "winners", "reason"),
    [
        pytest.param(None, ("model_a", "model_b"), ALIKE["people"], id="contradictory votes"),
        pytest.param(None, ("tie",), ALIKE["people"], id="people all tie"),
        pytest.param(lambda names: (0.5, 0.5), ("model_a",), ALIKE["judge"], id="judge all ties"),
        pytest.param(lambda names: (1.0, 0.0), ("model_a",), ALIKE["judge"], id="judge always the first slot"),
    ],
)
def test_a_side_that_does_not_rank_is_said_to_be_so(cli, tmp_path, said, winners, reason):
    stored(tmp_path / "results", said)
    voted(tmp_path / "votes.jsonl", winners)
    done = cli("audit", "results", "--human", "votes.jsonl", "-o", "audit.json")
    assert done.code == 0
    findings = json.loads((tmp_path / "audit.json").read_text())["findings"]
    for metric in RANKS:
        (row,) = [row for row in findings if row["metric"] == metric]
        assert row["not_measurable"].startswith(reason)
        assert row["sentence"].startswith(f"Not measurable: {reason}")
    assert cli("audit", "results", "--human", "votes.jsonl", "-o", "audit.html").code == 0


@pytest.fixture(scope="module")
def graded():
    """A judge and two people who score four models, and disagree about the middle ones."""
    rng = np.random.default_rng(2)
    rows, people = [], []
    for q in range(40):
        for model, judge, person in zip(MODELS, (2, 5, 4, 8), (1, 5, 7, 9), strict=True):
            rows.append(scored(model, float(np.clip(judge + rng.normal(), 1, 10)), item=f"q{q}"))
            people += [Grade(f"q{q}", 1, model, float(person + rng.integers(-1, 2)), who) for who in ("ann", "bo")]
    return rows, people


def test_scores_of_four_models_rank_them(graded):
    rows, people = graded
    found = list(compared(gather(rows, votes=people)[0]))
    judge, human = (
        [np.mean([score for name, score in said if name == model]) for model in MODELS]
        for said in (
            [(row.models[0].name, row.scores[0]) for row in rows],
            [(row.model, row.score) for row in people],
        )
    )
    for metric, expected in zip(RANKS, (spearmanr(judge, human), kendalltau(judge, human)), strict=True):
        row = only(found, metric)
        assert row.estimate == pytest.approx(expected.statistic)
        assert row.lower is not None
        assert row.lower <= row.estimate <= row.upper <= 1
        assert (row.n, row.questions, row.details["models"]) == (160, 40, 4)
        assert "models' mean scores" in row.sentence


def test_scores_of_one_question_have_no_interval(graded):
    rows, people = ([row for row in said if row.item == "q0"] for said in graded)
    row = only(list(compared(gather(rows, votes=people)[0])), "agreement_kendall")
    assert (row.lower, row.upper, row.questions) == (None, None, 1)
    assert "no interval: a single question" in row.sentence


def test_too_few_models_are_named_so(graded):
    rows, people = graded
    few = [row for row in rows if row.models[0].name in MODELS[:2]]
    row = only(list(compared(gather(few, votes=people)[0])), "agreement_spearman")
    assert row.not_measurable == "needs at least three models that people compared or scored too"


def test_draws_without_a_ranking_widen_the_interval():
    """Without the one question that tells the models apart, people rank nothing: the correlation could be anything."""
    votes = [Vote(f"q{q}", 1, a, b, 1.0 if q == 0 else 0.5, "ann") for q, a, b in PAIRS]
    rows = [row for row in Study(questions=12, models=4, sharpness=9.0).rows() if row.judge.fingerprint != HUMAN]
    row = only(list(compared(gather(rows, votes=votes)[0])), "agreement_spearman")
    assert (row.lower, row.upper) == (-1, 1)


def test_gold_labels_on_pairs_that_all_failed():
    study = [row for row in Study(questions=12, models=4).rows() if row.judge.fingerprint != HUMAN]
    failed = [msgspec.structs.replace(row, scores=None, error=Failure("unparsed", "none")) for row in study]
    gold = [msgspec.structs.replace(row, judge=Ref("gold", "gold"), key=f"g{row.key}") for row in study]
    found = audited(gather([*failed, *gold])).findings
    for metric in ("gold_accuracy", "gold_accuracy_both_orders"):
        assert only(found, metric).not_measurable.startswith("needs verdicts on the pairs that have a gold label")
