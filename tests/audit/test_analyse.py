"""Agreement with people, matching of votes, and the audit as a whole."""

import json
import math

import msgspec
import numpy as np
import pytest

from evalkit.audit.agreement_counts import agreement_rows
from evalkit.audit.analyse import audit, audited
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judgment, Ref, Response
from evalkit.evidence.gather import gather
from evalkit.evidence.labels import read_votes
from evalkit.interop.importing import import_results
from evalkit.ratings.comparisons import HUMAN
from evalkit.ratings.judgment_columns import groups_of_people
from evalkit.storage.results import judged_rows
from evalkit.storage.store import Store
from tests.biases.simulated import Study, only, scored
from tests.ratings.rows import judged
from tests.shared_data import shared_data


def vote(a, b, scores, item="q1", voter="ann", **changes):
    return judged(a, b, scores, item=item, judge=voter, fingerprint=HUMAN, protocol="human_pair", **changes)


def rows_of(rows, **gathering):
    (found,) = gather(rows, **gathering)
    return {(r.judge, r.other, r.turn, r.setup, r.category): (r.agree, r.total) for r in agreement_rows(found)}


@pytest.fixture(scope="module")
def mtbench_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mtbench")
    import_results("fastchat", shared_data("mtbench_votes"), folder)
    return folder


@pytest.fixture(scope="module")
def mtbench(mtbench_folder):
    return audit([mtbench_folder])


def counts(found, judge, other):
    return {
        (r.turn, r.setup, r.category): (r.agree, r.total)
        for r in found.agreement
        if (r.judge, r.other) == (judge, other)
    }


def test_agreement_of_the_mtbench_paper(mtbench):
    """Table 5: 66% and 85% with people, people among themselves 63% and 81%, 67% and 82%."""
    judge = counts(mtbench, "gpt4_pair", "human")
    people = counts(mtbench, "human", "human")
    expected = {
        (1, "S1"): ((886, 1343), (454, 721)),
        (1, "S2"): ((727, 859), (388, 479)),
        (2, "S1"): ((871, 1325), (471, 707)),
        (2, "S2"): ((731, 864), (388, 474)),
    }
    for (turn, setup), (with_people, among_people) in expected.items():
        assert judge[turn, setup, None] == with_people
        assert people[turn, setup, None] == among_people


def test_agreement_by_category(mtbench):
    """Both turns pooled; recomputed from the released votes."""
    judge = counts(mtbench, "gpt4_pair", "human")
    expected = {
        "writing": (0.593, 173, 242),
        "roleplay": (0.642, 221, 279),
        "reasoning": (0.638, 122, 132),
        "math": (0.625, 125, 133),
        "coding": (0.608, 155, 181),
        "extraction": (0.710, 192, 211),
        "stem": (0.719, 227, 260),
        "humanities": (0.730, 243, 285),
    }
    for category, (share, agree, total) in expected.items():
        assert judge[None, "S2", category] == (agree, total)
        every = judge[None, "S1", category]
        assert every[0] / every[1] == pytest.approx(share, abs=6e-4)
    assert judge[None, "S1", "writing"] == (185, 312)


def test_people_are_a_yardstick_on_the_pairs_that_were_judged_only():
    """Pairs of other models may be harder or easier, and would move the mean of people's ratings."""
    rows = [judged("a", "b", (1.0, 0.0), item=f"q{i}") for i in range(6)]
    for i in range(6):
        for voter in ("ann", "bob"):
            rows.append(vote("a", "b", (1.0, 0.0) if i else (0.0, 1.0), item=f"q{i}", voter=voter))
            rows.append(vote("c", "d", (1.0, 0.0) if voter == "ann" else (0.0, 1.0), item=f"q{i}", voter=voter))
    assert rows_of(rows)["human", "human", None, "S2", None] == (6, 6)
    rated = [row for row in audited(gather(rows)).ratings if row.rater == "human"]
    assert {row.model for row in rated} == {"a", "b"}
    assert sum(row.rating for row in rated) == pytest.approx(0)


def test_agreement_with_majorities_and_authors(mtbench):
    majority = counts(mtbench, "gpt4_pair", "human majority")
    assert majority[1, "S1", None] == (pytest.approx(550.33, abs=0.005), 821)
    assert majority[2, "S1", None] == (pytest.approx(549.33, abs=0.005), 812)
    assert majority[1, "S2", None] == (462.5, 546)
    assert majority[2, "S2", None] == (475, 557)
    authors = counts(mtbench, "gpt4_pair", "human: author")
    assert authors[1, "S1", None] == (238, 345)
    assert authors[1, "S2", None] == (184, 201)
    between = counts(mtbench, "human: author", "human")
    assert between[1, "S1", None] == (280, 428)
    assert between[2, "S2", None] == (234, 273)


def test_the_one_row_that_the_release_has_more_than_the_paper_is_a_vote_given_twice(
    mtbench, mtbench_folder, monkeypatch
):
    """Table 13 has 345 votes of authors beside GPT-4's, and 49 pairs of authors; the released rows make 346 and 50."""
    assert any(note.startswith("mtbench: 1 vote repeats") for note in mtbench.notes)
    assert counts(mtbench, "human: author", "human: author")[1, "S1", None][1] == 49
    every = lambda votes, raters: np.ones(len(votes), dtype=bool)  # noqa: E731
    monkeypatch.setattr("evalkit.ratings.collation.last_votes", every)
    released = rows_of([row for rows in judged_rows([mtbench_folder]) for row in rows])
    assert released["gpt4_pair", "human: author", 1, "S1", None] == (239, 346)
    assert released["human: author", "human: author", 1, "S1", None][1] == 50


def test_chance_corrected_agreement(mtbench):
    one, two = only(mtbench.findings, "agreement_kappa_s1"), only(mtbench.findings, "agreement_kappa_s2")
    assert one.estimate == pytest.approx(0.476, abs=6e-4)
    assert two.estimate == pytest.approx(0.692, abs=6e-4)
    assert (one.n, two.n) == (2668, 1723)
    assert only(mtbench.findings, "agreement_human_alpha").estimate == pytest.approx(0.467, abs=6e-4)


def test_ratings_side_by_side(mtbench):
    """Bradley-Terry logits of experts and of GPT-4."""
    found = {(row.rater, row.model): row.rating for row in mtbench.ratings}
    people = {"alpaca-13b": -0.751, "claude-v1": 0.624, "gpt-3.5-turbo": 0.609, "gpt-4": 1.028, "llama-13b": -1.426}
    gpt4 = {"alpaca-13b": -1.230, "claude-v1": 0.989, "gpt-3.5-turbo": 0.526, "gpt-4": 1.810, "llama-13b": -1.925}
    for rater, ratings in (("human", people), ("gpt4_pair", gpt4)):
        for model, rating in ratings.items():
            assert found[rater, model] == pytest.approx(rating, abs=6e-4)


def test_examples_have_both_answers(mtbench):
    kinds = {row.kind for row in mtbench.examples}
    assert kinds == {"inconsistent", "human_disagrees"}
    assert all(row.answer_a and row.answer_b for row in mtbench.examples)
    assert all(row.judge_says for row in mtbench.examples)
    assert len({row.item for row in mtbench.examples if row.kind == "human_disagrees"}) == 6


def test_both_setups_on_a_few_votes():
    rows = [
        judged("a", "b", (1.0, 0.0)),
        judged("b", "a", (0.0, 1.0)),
        judged("a", "b", (1.0, 0.0), item="q2"),
        judged("b", "a", (1.0, 0.0), item="q2"),  # inconsistent: a tie
        vote("a", "b", (1.0, 0.0)),
        vote("b", "a", (1.0, 0.0), voter="bob"),
        vote("b", "a", (0.5, 0.5), voter="cat"),
        vote("a", "b", (0.5, 0.5), item="q2"),
    ]
    found = rows_of(rows)
    assert found["gpt4", "human", None, "S1", None] == (2, 4)
    assert found["gpt4", "human", None, "S2", None] == (1, 2)
    assert found["human", "human", None, "S1", None] == (0, 3)
    assert found["human", "human", None, "S2", None] == (0, 1)


def test_tie_and_win_is_a_tie():
    rows = [judged("a", "b", (0.5, 0.5)), judged("b", "a", (0.0, 1.0)), vote("a", "b", (0.5, 0.5))]
    assert rows_of(rows)["gpt4", "human", None, "S1", None] == (1, 1)


def test_pairs_that_failed_in_one_order_do_not_count():
    rows = [judged("a", "b", (1.0, 0.0)), judged("b", "a", None), vote("a", "b", (1.0, 0.0))]
    assert ("gpt4", "human", None, "S1", None) not in rows_of(rows)
    (found,) = gather(rows)
    whole = only(audited([found]).findings, "position_consistency")
    assert whole.not_measurable
    assert whole.details["lost"] == 1


def test_only_the_newest_configuration_counts():
    rows = [
        judged("a", "b", (0.0, 1.0), fingerprint="old"),
        judged("a", "b", (1.0, 0.0), fingerprint="new"),
        vote("a", "b", (1.0, 0.0)),
    ]
    (found,) = gather(rows)
    (evidence,) = found.evidence
    assert evidence.pairs.outcome.tolist() == [1.0]
    assert "1 judgments of earlier configurations" in found.notes[0]


def test_votes_on_other_answers_are_not_compared():
    """The same model answered again: what people saw is not what the judge saw."""
    shown = ("new a", "q1b")
    rows = [judged("a", "b", (1.0, 0.0)), vote("a", "b", (1.0, 0.0), shown=shown)]
    assert rows_of(rows)["gpt4", "human", None, "S1", None] == (1, 1)  # texts unknown: by name
    answers = [response("a", "one"), response("a", "two"), response("b", "three")]
    ids = [row.id for row in answers]
    rows = [judged("a", "b", (1.0, 0.0), shown=(ids[0], ids[2])), vote("a", "b", (1.0, 0.0), shown=(ids[1], ids[2]))]
    (found,) = gather(rows, answers)
    assert (found.evidence[0].votes.pair == -1).all()
    assert "other answers" in found.notes[0]


def response(model, text):
    return Response(
        key=f"{model}{text}", item="q1", benchmark="arena", category="writing", model=Ref(model, "1"), turns=(text,)
    )


def test_scores_are_compared_with_votes():
    """FastChat: scores within .1 are a tie."""
    rows = [
        scored("a", 8.0),
        scored("b", 7.0),
        scored("c", 8.0),
        vote("a", "b", (1.0, 0.0), shown=("q1a", "q1b")),
        vote("a", "c", (0.5, 0.5), shown=("q1a", "q1c")),
        vote("b", "c", (1.0, 0.0), shown=("q1b", "q1c")),
    ]
    assert rows_of(rows)["gpt4", "human", None, "S1", None] == (2, 3)


def test_people_are_grouped_by_name():
    assert dict(groups_of_people(["expert_1", "expert_12", "author_0", "author_1", "ann", "bob"])) == {
        "expert": ["expert_1", "expert_12"],
        "author": ["author_0", "author_1"],
        "": ["ann", "bob"],
    }
    assert dict(groups_of_people(["human_1", "human_2", "human_3"])) == {"human": ["human_1", "human_2", "human_3"]}


def test_small_categories_are_shrunk():
    study = Study(questions=9, models=3, votes=1)
    (found,) = gather(study.rows())
    rows = [row for row in agreement_rows(found) if row.category is not None and row.judge == "m0"]
    assert len(rows) == 6
    for row in rows:
        whole = row.agree / row.total
        assert row.shrunk is not None
        assert 0 <= row.shrunk <= 1
        assert row.lower <= whole <= row.upper


# Votes of the plain format


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


VOTE = {"item": "q1", "turn": 1, "model_a": "a", "model_b": "b", "winner": "model_a", "annotator": "ann"}


def test_plain_votes(tmp_path):
    path = write(
        tmp_path / "votes.jsonl",
        VOTE,
        VOTE | {"winner": "b", "annotator": "bob"},
        VOTE | {"winner": "tie", "annotator": 7},
    )
    votes, logs = read_votes(path)
    assert ([row.outcome for row in votes], logs) == ([1.0, 0.0, 0.5], [])
    found = rows_of([judged("b", "a", (0.0, 1.0))], votes=votes)
    assert found["gpt4", "human", None, "S1", None] == (1, 3)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (VOTE | {"winner": "gpt"}, "record 1: field `winner` is 'gpt'; known are model_a, model_b, tie"),
        ({"item": "q1"}, "record 1: has neither a vote nor a score. A vote is a row with item, model_a"),
        ({"model": "a"}, "record 1: has neither a vote nor a score"),
        (VOTE | {"model": "a", "score": 3}, "record 1: has both a vote and a score"),
        ({"item": "q1", "model": "a", "score": "high"}, "record 1: Expected `float`, got `str`"),
        (VOTE | {"model_b": "a"}, "model_a and model_b are both 'a'"),
        (VOTE | {"turn": 0}, "turn` is '0', which is not a turn"),
    ],
)
def test_malformed_votes_are_named(tmp_path, row, said):
    with pytest.raises(UsageError) as caught:
        read_votes(write(tmp_path / "votes.jsonl", row))
    assert said in str(caught.value)


def store(folder, rows):
    for row in rows:
        kept = Store(folder, row.benchmark)
        kept.judgments(row.judge.name, row.protocol).append(row)
        kept.close()


def test_votes_on_items_nobody_judged(tmp_path):
    store(tmp_path / "r", [judged("a", "b", (1.0, 0.0))])
    found = audit([tmp_path / "r"], human=write(tmp_path / "votes.jsonl", VOTE | {"item": "elsewhere"}))
    assert any("no vote in" in note for note in found.notes)
    assert any("1 vote is on items" in note for note in found.notes)
    assert not found.agreement


def test_benchmarks_are_audited_apart(tmp_path):
    rows = [judged("a", "b", (1.0, 0.0)), judged("a", "b", (1.0, 0.0), benchmark="other")]
    store(tmp_path, rows)
    found = audit([tmp_path])
    assert {row.benchmark for row in found.subjects} == {"arena", "other"}
    assert "benchmarks are audited apart: arena, other" in found.notes


def test_nothing_to_audit(tmp_path):
    with pytest.raises(UsageError, match="no judgments in"):
        audit([tmp_path])
    store(tmp_path, [vote("a", "b", (1.0, 0.0))])
    with pytest.raises(UsageError, match="only people or gold labels judged there"):
        audit([tmp_path])
    store(tmp_path, [judged("a", "b", (1.0, 0.0))])
    with pytest.raises(UsageError, match=r"no judgments by 'gpt5' in .*; there are judgments by: gpt4$"):
        audit([tmp_path], judge="gpt5")


def test_everything_said_is_a_number_or_a_reason(tmp_path):
    """No NaN anywhere, on a study with failures."""
    rows = Study(questions=15, models=4).rows()
    rows[::17] = [msgspec.structs.replace(row, scores=None, error=judged("a", "b", None).error) for row in rows[::17]]
    assert all(isinstance(row, Judgment) for row in rows)
    found = audited(gather(rows))
    for finding in found.findings:
        assert (finding.estimate is None) == (finding.not_measurable is not None)
        if finding.estimate is not None:
            assert all(math.isfinite(x) for x in (finding.estimate, finding.lower, finding.upper) if x is not None)
    assert only(found.findings, "hygiene_failed").estimate > 0
    assert only(found.findings, "position_consistency").details["counts"]["without_verdict"] > 0


def test_only_people_are_taken_from_the_folder_with_votes(tmp_path):
    store(tmp_path / "r", [judged("a", "b", (1.0, 0.0))])
    store(tmp_path / "people", [vote("a", "b", (1.0, 0.0)), judged("a", "b", (1.0, 0.0), judge="other")])
    found = audit([tmp_path / "r"], human=tmp_path / "people")
    assert [row.judge for row in found.subjects] == ["gpt4"]
    assert found.subjects[0].votes == 1


def test_which_place_wins_is_counted_in_the_order_shown():
    """A judge for which the first always wins, in both orders, and people who always take the second."""
    rows = []
    for number in range(6):
        item = f"q{number}"
        for one, other in (("a", "b"), ("b", "a")):
            rows += [judged(one, other, (1.0, 0.0), item), vote(one, other, (0.0, 1.0), item)]
        rows.append(vote("b", "a", (0.5, 0.5), item, voter="bob"))
    found = {row.judge: row for row in audited(gather(rows)).histograms}
    assert {row.of for row in found.values()} == {"places"}
    assert (found["gpt4"].scores, found["gpt4"].counts) == ((1.0,), (12,))
    assert (found["human"].scores, found["human"].counts) == ((0.0, 0.5), (6, 6))


def test_people_have_no_places_beside_verdicts_that_stand_for_both_orders():
    rows = [judged("a", "b", (1.0, 0.0), protocol="fastchat_pair_aggregated"), vote("a", "b", (1.0, 0.0))]
    assert not audited(gather(rows)).histograms
