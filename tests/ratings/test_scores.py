"""Scores of single grading: what is averaged with what, what never counts, and which configuration does."""

from __future__ import annotations

import pytest

from evalkit.core.schema import Failure, Judgment, Ref, Response, digest
from evalkit.ratings.scores import UNEVEN
from evalkit.ratings.scores import scores as rated
from evalkit.ratings.standing import Board, Standing

JUDGE = Ref("judge", digest("judge"))
MODEL = Ref("model", digest("model"))


def row(
    item: str,
    score: float | str,
    *,
    turn: int = 1,
    repeat: int = 0,
    category: str = "math",
    model: Ref = MODEL,
    judge: Ref = JUDGE,
    protocol: str = "single",
    benchmark: str = "b",
) -> Judgment:
    """A judgment with this score, or that failed with this kind."""
    failed = isinstance(score, str)
    return Judgment(
        key=digest(item, turn, repeat, model, judge, protocol, benchmark),
        item=item,
        benchmark=benchmark,
        category=category,
        turn=turn,
        judge=judge,
        protocol=protocol,
        parser="p/1",
        shown=(answer(item, None, category=category, model=model).id,),
        models=(model,),
        repeat=repeat,
        scores=None if failed else (float(score),),
        error=Failure(score, "no") if failed else None,  # type: ignore[arg-type]
    )


def answer(item: str, kind: str | None, *, category: str = "math", model: Ref = MODEL) -> Response:
    error = Failure(kind, "no") if kind else None  # type: ignore[arg-type]
    return Response(key=digest(item, model), item=item, benchmark="b", category=category, model=model, error=error)


def only(*rows: Judgment, answers: tuple[Response, ...] = ()) -> Standing:
    (score,) = [score for score in rated(rows, answers).standings if score.category is None]
    return score


def whole(board: Board) -> list[Standing]:
    return [standing for standing in board.standings if standing.category is None]


def turns(score: Standing) -> tuple:
    return tuple(value for name, value in score.estimates.items() if name != "score")


def estimate(score: Standing) -> float:
    assert score.main is not None
    return score.main.estimate


def test_mean_over_questions_of_means_over_turns():
    rows = [row("1", 2), row("1", 4, turn=2), row("2", 9), row("2", "unparsed", turn=2)]
    score = only(*rows)
    assert estimate(score) == pytest.approx((3 + 9) / 2)
    assert [turn.estimate if turn else None for turn in turns(score)] == [pytest.approx(5.5), pytest.approx(4)]
    assert score.n == 3
    assert score.columns["questions"] == 2
    assert score.failed == {"unparsed": 1}


def test_fastchat_pools_rows():
    rows = [row("1", 2), row("1", 4, turn=2), row("2", 9), row("2", "unparsed", turn=2)]
    pooled = only(
        *(row(r.item, r.scores[0] if r.scores else "unparsed", turn=r.turn, protocol="fastchat_single") for r in rows)
    )
    assert estimate(pooled) == pytest.approx((2 + 4 + 9) / 3)


def test_both_agree_where_nothing_is_missing():
    grades = {("1", 1): 2, ("1", 2): 4, ("2", 1): 9, ("2", 2): 8}
    ours, theirs = (
        only(*(row(item, grade, turn=turn, protocol=name) for (item, turn), grade in grades.items()))
        for name in ("single", "fastchat_single")
    )
    assert estimate(ours) == estimate(theirs) == pytest.approx(23 / 4)


def test_repeats_are_averaged_first():
    rows = [row("1", 1), row("1", 3, repeat=1), row("1", 8, turn=2), row("2", 10)]
    score = only(*rows)
    assert estimate(score) == pytest.approx(((2 + 8) / 2 + 10) / 2)
    assert score.n == 4


def test_failures_are_never_numbers():
    kinds = ["unparsed", "refused", "truncated", "transport", "malformed", "rejected"]
    score = only(row("0", 10), *(row(str(number), kind) for number, kind in enumerate(kinds, start=1)))
    assert estimate(score) == 10
    assert score.n == score.columns["questions"] == 1
    assert score.failed == dict.fromkeys(sorted(kinds), 1)


def test_everything_failed():
    score = only(row("1", "unparsed"), row("1", "refused", turn=2))
    assert score.main is None
    assert turns(score) == ()
    assert (score.n, score.columns["questions"]) == (0, 0)
    assert score.failed == {"refused": 1, "unparsed": 1}


def test_no_judgments():
    assert rated([], [answer("1", None)]).standings == []


def test_one_question_has_no_interval():
    score = only(row("1", 4), row("1", 6, turn=2))
    assert score.main is not None
    assert (score.main.estimate, score.main.lower, score.main.upper) == (5, None, None)


def test_the_interval_is_that_of_questions():
    """Rows of one question agree fully: the interval must be that of 20 questions, not of 400 rows."""
    alike = [row(str(item), item % 10 + 1, turn=turn) for item in range(20) for turn in range(1, 21)]
    single = [row(str(item), item % 10 + 1) for item in range(20)]
    many, few = only(*alike).main, only(*single).main
    assert many is not None
    assert few is not None
    assert (many.lower, many.upper) == (pytest.approx(few.lower), pytest.approx(few.upper))
    assert many.lower is not None
    assert many.upper is not None
    assert many.lower < 5.5 < many.upper


def test_categories():
    rows = [row("1", 2), row("2", 4), row("3", 9, category="writing"), row("4", "unparsed", category="stem")]
    scores = {score.category: score for score in rated(rows).standings}
    assert list(scores) == [None, "math", "writing", "stem"] or set(scores) == {None, "math", "writing", "stem"}
    assert estimate(scores["math"]) == 3
    assert estimate(scores["writing"]) == 9
    assert scores["stem"].main is None
    assert scores["stem"].failed == {"unparsed": 1}
    assert estimate(scores[None]) == 5
    assert scores["math"].failed == {}


def test_answers_that_failed_are_counted():
    answers = (answer("1", None), answer("2", "refused"), answer("3", "transport", category="writing"))
    by_category = {score.category: score for score in rated([row("1", 5)], answers).standings}
    assert by_category[None].failed == {"answer refused": 1, "answer transport": 1}
    assert by_category["math"].failed == {"answer refused": 1}
    assert by_category["writing"].failed == {"answer transport": 1}
    assert estimate(by_category[None]) == 5


def test_a_model_without_one_answer_is_in_the_table():
    silent = Ref("silent", digest("silent"))
    answers = [answer("1", "rejected", model=silent), answer("2", "rejected", model=silent)]
    scores = {score.model: score for score in whole(rated([row("1", 5)], answers))}
    assert scores["silent"].main is None
    assert scores["silent"].failed == {"answer rejected": 2}
    assert scores["silent"].judge == JUDGE.name
    assert scores["model"].failed == {}


def test_a_failed_answer_counts_against_its_own_configuration():
    other = Ref("model", digest("older"))
    assert only(row("1", 5), answers=(answer("2", "refused", model=other),)).failed == {}


@pytest.mark.parametrize("changed", ["model", "judge"])
def test_the_newest_configuration(changed):
    newer = {changed: Ref(changed, digest("newer"))}
    rows = [row("1", 2), row("2", 2), row("1", 9, **newer)]
    assert estimate(only(*rows)) == 9, "configurations are never averaged"
    assert " 2 judgments of earlier configurations" in rated(rows).notes[0]
    both = whole(rated(rows, every_configuration=True))
    assert sorted(estimate(score) for score in both) == [2, 9]


def test_other_judges_protocols_and_benchmarks_are_kept_apart():
    rows = [
        row("1", 2),
        row("1", 4, judge=Ref("other", digest("other"))),
        row("1", 6, protocol="fastchat_single"),
        row("1", 8, benchmark="c"),
    ]
    assert sorted(estimate(score) for score in whole(rated(rows))) == [2, 4, 6, 8]
    assert not rated(rows).notes


def test_best_first_and_without_a_score_last():
    names = {"good": 9, "bad": 2, "none": "unparsed", "fair": 5}
    rows = [row("1", grade, model=Ref(name, digest(name))) for name, grade in names.items()]
    assert [score.model for score in whole(rated(rows))] == ["good", "fair", "bad", "none"]


def test_pairs_are_no_grades():
    pair = Judgment(
        **{
            **{
                name: getattr(row("1", 5), name) for name in ("key", "item", "benchmark", "category", "judge", "parser")
            },
            **{"turn": 1, "protocol": "pairwise", "shown": ("a", "b"), "models": (MODEL, MODEL), "scores": (1.0, 0.0)},
        }
    )
    assert rated([pair]).standings == []


def test_a_judgment_of_an_answer_that_was_replaced_does_not_count():
    old, new = row("1", 9), answer("1", None)
    regenerated = Response(**{**{name: getattr(new, name) for name in new.__struct_fields__}, "turns": ("other text",)})
    assert estimate(only(old, row("2", 3), answers=(new,))) == 6
    assert estimate(only(old, row("2", 3), answers=(regenerated,))) == 3


@pytest.mark.parametrize(
    ("second", "protocol", "uneven"),
    [("unparsed", "single", True), (9, "single", False), ("unparsed", "fastchat_single", False)],
)
def test_a_score_that_is_not_the_mean_of_its_turns_says_so(second, protocol, uneven):
    rows = [row("1", 4, protocol=protocol), row("1", 8, turn=2, protocol=protocol), row("2", 8, protocol=protocol)]
    assert (UNEVEN in only(*rows, row("2", second, turn=2, protocol=protocol)).about.notes) is uneven


def test_a_mean_of_question_means_can_lie_outside_its_turns():
    grades = {1: [5, 9, 10], 2: ["unparsed", 9, 10]}
    rows = [row(str(item), score, turn=turn) for turn, scores in grades.items() for item, score in enumerate(scores)]
    rows += [row("3", "unparsed"), row("3", 1, turn=2)]
    ours = only(*rows)
    assert estimate(ours) == pytest.approx((5 + 9 + 10 + 1) / 4)
    assert estimate(ours) < min(turn.estimate for turn in turns(ours) if turn)  # which is why it is said
