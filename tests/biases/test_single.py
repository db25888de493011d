"""Single grading tells of length, format and vocabulary too; what it cannot tell, it says truly."""

import msgspec
import numpy as np
import pytest

from evalkit.audit.analyse import audited
from evalkit.biases.format import Format
from evalkit.biases.length import Length
from evalkit.biases.position import ALONE, EFFECTS, Position
from evalkit.biases.scale import Scale
from evalkit.core.schema import Response
from evalkit.evidence import gather_pairs
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from tests.biases.simulated import only, scored
from tests.ratings.rows import judged

WORDS = ("sea", "lamp", "road", "paper", "river", "tree", "stone", "cloud")


def graded(seed=0, *, length=0.0, lists=0.0, questions=40, models=4, texts=True):
    """Scores of 1 to 10, one answer at a time: by ability, luck, and the planted tastes, in points."""
    rng = np.random.default_rng(seed)
    rows, answers = [], []
    for q in range(questions):
        for m in range(models):
            listed = bool(rng.integers(2))
            words = rng.choice(WORDS, int(rng.integers(10, 60)))
            text = " ".join(words) + (f"\n- {q}\n- {m}\n" if listed else f"\n({q}).\n({m})\n")
            score = 5 + 0.4 * m + 1.5 * rng.normal() + length * (len(words) - 35) / 15 + lists * listed
            row = scored(f"m{m}", float(np.clip(np.rint(score), 1, 10)), item=f"q{q}", lengths=(len(text),))
            answer = Response(
                key=f"m{m}q{q}", item=f"q{q}", benchmark="arena", category="w", model=row.models[0], turns=(text,)
            )
            rows.append(msgspec.structs.replace(row, shown=(answer.id,)))
            answers.append(answer)
    return rows, answers if texts else []


def findings(rows, answers=()):
    evidence = gather(rows, answers)[0].evidence[0]
    return [row for bias in (Position(), Length(), Format()) for row in bias.findings(evidence)]


def test_planted_tastes_are_found_in_scores():
    found = findings(*graded(length=1.0, lists=1.5))
    slope = only(found, "length_slope_judge")
    assert slope.lower > 0
    assert (slope.n, slope.questions) == (240, 40)
    assert "one answer at a time" in slope.sentence
    assert "(all 240)" in slope.sentence
    assert only(found, "length_prefer_longer").lower > 0.5
    assert only(found, "format_lists_effect").lower > 0
    assert only(found, "format_vocabulary_effect").estimate is not None


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["length_slope_judge", "format_lists_effect", "format_vocabulary_effect"])
def test_scores_without_a_taste_show_none(metric):
    """Pairs share answers, so intervals that took them as independent would exclude 0 far more often."""
    rows = [only(findings(*graded(seed, questions=30)), metric) for seed in range(40)]
    assert sum(not row.lower <= 0 <= row.upper for row in rows) <= 5


def test_reasons_are_true():
    found = findings(*graded())
    votes = "needs votes of people on pairs of answers that this judge scored"
    for metric in ("length_slope_excess", "length_verbosity_bias", "format_lists_excess"):
        assert only(found, metric).not_measurable == votes
    assert {row.metric: row.not_measurable for row in found if row.metric.startswith("position")} == dict.fromkeys(
        (metric.name for metric in EFFECTS), ALONE
    )
    unlengthed = [msgspec.structs.replace(row, lengths=()) for row in graded(texts=False)[0]]
    found = findings(unlengthed)
    assert only(found, "length_slope_judge").not_measurable == "needs the lengths of the answers"
    assert only(found, "length_prefer_longer").not_measurable == "needs the lengths of the answers"
    assert only(found, "length_slope_excess").not_measurable == f"{votes}, and the lengths of the answers"
    assert only(found, "format_lists_excess").not_measurable == "needs the texts of the answers"
    for lost in ([scored("a", None, item="q1")], [judged("a", "b", None)]):
        found = findings(lost)
        for metric in ("length_slope_judge", "length_prefer_longer", "format_lists_excess"):
            assert only(found, metric).not_measurable == "needs judgments with a verdict"
    same = [scored(model, 5.0, item=f"q{i}", lengths=(9,)) for i in range(4) for model in "ab"]
    assert only(findings(same), "length_prefer_longer").not_measurable.startswith("needs verdicts that name a winner")


def test_votes_on_some_pairs_leave_agreement_to_those_pairs():
    rows, answers = graded()
    by_place = {(row.models[0].name, row.item): row for row in rows}
    votes = []
    for q in range(40):
        one, other = by_place["m0", f"q{q}"], by_place["m3", f"q{q}"]
        about = {"shown": (*one.shown, *other.shown), "lengths": (*one.lengths, *other.lengths)}
        said = (0.0, 1.0) if q % 3 else (1.0, 0.0)
        votes.append(judged("m0", "m3", said, item=f"q{q}", judge="p_1", fingerprint=HUMAN, protocol="human", **about))
    found = audited(gather([*rows, *votes], answers))
    assert only(found.findings, "length_slope_judge").n == 240
    assert only(found.findings, "length_human_prefer_longer").n <= 40
    agreed = next(row for row in found.agreement if (row.setup, row.other, row.category) == ("S1", "human", None))
    assert agreed.total == 40
    score = {place: row.scores[0] for place, row in by_place.items()}
    gaps = [score["m0", f"q{q}"] - score["m3", f"q{q}"] for q in range(40)]
    assert agreed.agree == sum(gap < 0 if q % 3 else gap > 0 for q, gap in enumerate(gaps))


def test_a_sample_is_called_one(monkeypatch):
    monkeypatch.setattr(gather_pairs, "MOST", 100)
    slope = only(findings(*graded()), "length_slope_judge")
    assert slope.n == 100
    assert "(100 drawn at random of 240)" in slope.sentence


def test_scores_show_how_far_verbosity_pays():
    """Half a point for every variant: win rates of the verbose go up, those of the concise down."""
    rng = np.random.default_rng(0)
    rows = []
    for q in range(60):
        for base in ("a", "b"):
            for suffix, extra in (("", 0.0), ("_verbose", 1.0), ("_concise", -1.0)):
                rows.append(scored(base + suffix, float(np.rint(5 + extra + rng.normal())), item=f"q{q}"))
    found = findings(rows)
    assert only(found, "length_gameability_verbose").estimate > 10
    assert only(found, "length_gameability_concise").estimate > 10


def test_the_top_box_is_the_highest_score_given():
    given = [9.0] * 3 + [10.0] * 5 + [7.0] * 12
    rows = [scored("a", score, item=f"q{i}") for i, score in enumerate(given)] + [scored("a", None, item="q99")]
    top = only(list(Scale().findings(gather(rows)[0].evidence[0])), "scale_top_box")
    assert (top.estimate, top.n) == (0.25, 20)
    assert 0 < top.lower < 0.25 < top.upper < 0.5
    assert "25.0% (95%" in top.sentence
    assert "the highest it gives, 10" in top.sentence


@pytest.mark.parametrize(("ends", "score"), [((1.0, 5.0), 1.0), ((0.0, 100.0), 50.0), ((-0.375, 1.0), 0.375)])
def test_scores_on_a_scale_that_rows_name_keep_to_it(ends, score):
    """All alike, and yet limits are told, on the scale of the rows and not on the usual one from 1 to 10."""
    rows = [msgspec.structs.replace(scored("m", score, item=f"q{q}"), score_range=ends) for q in range(8)]
    evidence = gather(rows)[0].evidence[0]
    mean = only(list(Scale().findings(evidence)), "scale_mean")
    assert ends[0] <= mean.lower <= score <= mean.upper <= ends[1]
    assert mean.lower < mean.upper


def test_levels_are_those_of_the_scale_that_rows_name():
    rows = [msgspec.structs.replace(scored("m", 1.0 + q % 2, item=f"q{q}"), score_range=(1.0, 5.0)) for q in range(40)]
    found = list(Scale().findings(gather(rows)[0].evidence[0]))
    assert "2 different scores of about 5" in only(found, "scale_entropy").sentence
