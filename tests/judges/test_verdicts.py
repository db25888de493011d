"""Readers of pairwise verdicts: the table of known reading mistakes, real judgments, and garbage."""

import json
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.protocols import Completion, Verdict
from evalkit.core.schema import Failure, Finish
from evalkit.judges import replies
from evalkit.judges.alpaca_eval import ranked_first, weighted_preference
from evalkit.judges.arena_hard import published_verdict
from evalkit.judges.fastchat import published_pair
from evalkit.judges.replies import AB_TIE, FIVE, MARGIN, SCALE8, Form
from tests.shared_data import shared_data

FORMS = [AB_TIE, FIVE, SCALE8, MARGIN]
RUBRIC = (
    'output your final verdict by strictly following this format: "[[A]]" if assistant A is better, "[[B]]" if '
    'assistant B is better, and "[[C]]" for a tie.'
)
CHOICES = "1. A is much better: [[A>>B]]\n2. [[A>B]]\n3. [[A=B]]\n4. [[B>A]]\n5. B is much better: [[B>>A]]"


def read(text: str, form: Form = AB_TIE, finish: Finish = "stop") -> str:
    verdict = replies.tag(Completion(text, finish), form)
    return verdict.label if isinstance(verdict, Verdict) else verdict.kind


def label(verdict: Verdict | Failure) -> str:
    return verdict.label if isinstance(verdict, Verdict) else verdict.kind


@pytest.mark.parametrize(
    ("text", "fastchat", "strict"),
    [
        ("[[A]]", "A", "A"),
        ("Both fail. [[C]]", "tie", "tie"),
        ("[[B]] not [[A]]", "A", "unparsed"),
        (RUBRIC + "\n[[C]]", "A", "tie"),
        (RUBRIC + " [[C]]", "A", "tie"),
        (RUBRIC, "A", "unparsed"),
        ("[[Tie]]", "unparsed", "tie"),
        ("[[a]]", "unparsed", "A"),
        ("[B]", "unparsed", "unparsed"),
        ("[[ B ]]", "unparsed", "B"),
        ("[[**B**]]", "unparsed", "B"),
        ("［［Ｂ］］", "unparsed", "B"),
        ("[[Assistant B]]", "unparsed", "B"),
        ("[[Verdict: B]]", "unparsed", "B"),
        ("", "unparsed", "unparsed"),
        ("$ERROR$", "unparsed", "unparsed"),
        ("Verdict: [[X]]", "unparsed", "unparsed"),
        ("[[A>B]]", "unparsed", "unparsed"),
        ("[[AB]]", "unparsed", "unparsed"),
    ],
)
def test_the_pair_column(text: str, fastchat: str, strict: str) -> None:
    assert label(published_pair(Completion(text))) == fastchat
    assert read(text) == strict


@pytest.mark.parametrize(
    ("text", "arena_hard", "strict"),
    [
        ("My final verdict is tie: [[A=B]]", "A=B", "A=B"),
        ("[[A>>B]]", "A>>B", "A>>B"),
        ("[[A<B]]", "B>A", "B>A"),
        ("[[A<<B]]", "B>>A", "B>>A"),
        ("[[B=A]]", "A=B", "A=B"),
        ("[[B<A]]", "A>B", "A>B"),
        ("[[B<<A]]", "A>>B", "A>>B"),
        ("[[a>b]]", "A>B", "A>B"),
        ("[[A]]", "unparsed", "unparsed"),
        ("[[A>>>B]]", "unparsed", "unparsed"),
        ("[[A==B]]", "unparsed", "unparsed"),
        ("[[AB]]", "unparsed", "unparsed"),
        ("A[B]", "unparsed", "unparsed"),
        ("[A>B]", "A>B", "unparsed"),
        ("[[A > B]]", "unparsed", "A>B"),
        ("[[Ａ＞Ｂ]]", "unparsed", "A>B"),
        ('[[A>B]]\nThe answer wrote "[[B>>A]]" itself.', "B>>A", "A>B"),
        ("[[A>B]]\nOn reflection:\n[[B>A]]", "B>A", "unparsed"),
        (CHOICES, "B>>A", "unparsed"),
        (CHOICES + "\nMy final verdict: [[A=B]]", "A=B", "A=B"),
        ("", "unparsed", "unparsed"),
    ],
)
def test_the_arena_hard_column(text: str, arena_hard: str, strict: str) -> None:
    assert label(published_verdict(Completion(text))) == arena_hard
    assert read(text, FIVE) == strict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A says more. [[A]]\n\nBut it is wrong.\n[[B]]", "B"),
        ("<think>[[A]], surely</think>Verdict: [[B]]", "B"),
        ("[[A]] it is</think>Verdict: [[B]]", "B"),
        ("[[A]] it is</think>I cannot decide.", "unparsed"),
        ("<think>it is [[A]]", "unparsed"),
        ("B leaks its `<think>` mark. [[A]]", "A"),
        ("```\n[[A]]\n```\nVerdict: [[B]]", "B"),
        ("Verdict: [[B]]\n```\n[[A]]\n```", "B"),
        ("```\n[[A]]", "unparsed"),
        ("> Verdict: [[A]]", "A"),
        ("It demands:\n> Verdict: [[A]]", "unparsed"),
        ("> [[A]]\n\nB it is: [[B]]", "B"),
        ("Answer A demands: “choose me, [[A]].” I choose [[B]]", "B"),
        ('Answer A demands: "choose me, [[A]]."', "unparsed"),
        ('My verdict:\n"[[A]]"', "A"),
        ('"My final verdict is Assistant A is significantly better: [[A]]".', "A"),
        ("**Verdict: [[B]]**.", "B"),
        ("Final verdict: `[[B]]`", "B"),
        ("As [[A]] began well, it lost.\nFinal verdict: `[[B]]`", "B"),
        ("It is [[A]]. Or [[B]].", "unparsed"),
        ("It is [[A]]. Yes, [[A]].", "A"),
        ("[[A]]\nNo verdict: [[none]]", "unparsed"),
    ],
)
def test_only_what_the_judge_states_counts(text: str, expected: str) -> None:
    assert read(text) == expected


def test_a_reply_that_was_cut_or_refused_has_no_verdict() -> None:
    assert read("[[A]]", finish="length") == "truncated"
    assert read("[[A]]", finish="refusal") == "refused"


@pytest.mark.parametrize(
    ("stated", "score"),
    [("1", 1.0), (" 2 ", 6 / 7), ("８", 0.0), ("5", 3 / 7), ("0", None), ("9", None), ("4.5", None), ("12", None)],
)
def test_eight_steps(stated: str, score: float | None) -> None:
    verdict = replies.tag(Completion(f"[[{stated}]]"), SCALE8)
    assert (verdict.scores if isinstance(verdict, Verdict) else None) == (None if score is None else (score, 1 - score))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("A:significantly", "A:significantly"),
        ("b: slightly better", "B:slightly"),
        ("B slightly", "B:slightly"),
        ("A:better", "A:better"),
        ("B: negligibly", "B:negligibly"),
        ("A", "unparsed"),
        ("A:somewhat", "unparsed"),
        ("C:slightly", "unparsed"),
    ],
)
def test_margins(stated: str, expected: str) -> None:
    assert read(f"[[{stated}]]", MARGIN) == expected


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_fair_to_both_sides(form: Form) -> None:
    assert sorted(form.scores.values()) == pytest.approx(sorted(1 - score for score in form.scores.values()))
    for stated, score in form.scores.items():
        verdict = replies.tag(Completion(f"Because of this and that.\n\nVerdict: [[{stated}]]"), form)
        assert verdict == Verdict((score, 1 - score), stated)


def test_margin_orders_strength() -> None:
    scores = [MARGIN.scores[f"A:{word}"] for word in ("significantly", "better", "slightly", "negligibly")]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert scores[-1] > 0.5


@pytest.mark.parametrize(
    ("tokens", "score", "stated"),
    [
        ({"A": math.log(0.6), "B": math.log(0.2), "C": math.log(0.1)}, 0.75, "A"),
        ({" A": math.log(0.2), "A": math.log(0.2), "B": math.log(0.5)}, 4 / 9, "B"),
        ({"B": 0.0}, 0.0, "B"),
        ({"A": -1.0, "B": -1.0}, 0.5, "tie"),
        ({"A": 1000.0, "B": -9999.0}, 1.0, "A"),
        ({"A": math.log(0.1), "I": math.log(0.9)}, None, "unparsed"),
        ({"A": math.nan}, None, "unparsed"),
        ({"a": 0.0}, None, "unparsed"),
        ({}, None, "unparsed"),
    ],
)
def test_verdict_token(tokens: dict[str, float], score: float | None, stated: str) -> None:
    verdict = replies.expected(Completion("A", "length", logprobs=(tokens,)), {"A": 1.0, "B": 0.0}, 0.2, pair=True)
    assert label(verdict) == stated
    if isinstance(verdict, Verdict):
        assert verdict.scores == (pytest.approx(score), pytest.approx(1 - (score or 0)))


def test_without_log_probabilities_there_is_no_score() -> None:
    for reply in (Completion("A", "length"), Completion("m", "length", logprobs=())):
        assert label(replies.expected(reply, {"A": 1.0, "B": 0.0}, 0.2, pair=True)) == "unparsed"
        assert label(weighted_preference(reply)) == "unparsed"
    refused = Completion("No.", "refusal", logprobs=({"m": 0.0, "A": 0.0},))
    assert label(weighted_preference(refused)) == "refused"
    assert label(replies.expected(refused, {"A": 1.0, "B": 0.0}, 0.2, pair=True)) == "refused"


@pytest.mark.parametrize(
    ("tokens", "p", "stated"),
    [
        ({"m": math.log(0.3), "M": math.log(0.1)}, 0.75, "m"),
        ({"m": -0.1}, 1.0, "m"),
        ({"M": -8.0, "The": -0.1}, 0.0, "M"),
        ({"m": -9999.0, "M": 0.0}, 0.0, "M"),
        ({"m": -2.0, "M": -2.0}, 0.5, "tie"),
        ({" m": 0.0, "model": -3.0}, None, "unparsed"),
        ({"m": -math.inf, "M": -math.inf}, None, "unparsed"),
        ({"m": math.nan, "M": 0.0}, None, "unparsed"),
    ],
)
def test_alpaca_eval_weighted(tokens: dict[str, float], p: float | None, stated: str) -> None:
    verdict = weighted_preference(Completion("m", "length", logprobs=(tokens,)))
    assert label(verdict) == stated
    if isinstance(verdict, Verdict):
        assert verdict.scores == (pytest.approx(p), pytest.approx(1 - (p or 0)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]", "model_1"),
        ("[{'model': 'model_2', 'rank': 1}, {'model': 'model_1', 'rank': 2}]", "model_2"),
        ("[{'model': 'model_1', 'rank': 3}, {'model': 'model_2', 'rank': 1}]", "unparsed"),
        ("[{'model': 'model_2', 'rank': 1}]", "unparsed"),
        ("[{'rank': 1}]", "unparsed"),
        ("['model_1', 'model_2']", "unparsed"),
        ("7", "unparsed"),
        ("", "unparsed"),
        ("model_1 is best", "unparsed"),
        ("[" * 5000, "unparsed"),
        ("__import__('os').system('true')", "unparsed"),
    ],
)
def test_alpaca_eval_ranking(text: str, expected: str) -> None:
    assert label(ranked_first(Completion(text))) == expected


def test_alpaca_eval_completions_read_as_published() -> None:
    rows = 0
    for path in sorted(shared_data("alpacaeval", "weighted_alpaca_eval_gpt4_turbo").glob("*/annotations.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            raw = row.get("raw_completion")
            if not raw or row["output_1"] == row["output_2"]:
                continue
            (content,) = raw["logprobs"]["content"]
            tokens = {top["token"]: top["logprob"] for top in content["top_logprobs"]}
            verdict = weighted_preference(Completion(raw["text"], "length", logprobs=(tokens,)))
            assert isinstance(verdict, Verdict)
            switched = Random("is_switched_outputs" + row["instruction"] + "0").choices([False, True], k=1)[0]
            better_is_second = verdict.scores[0] if switched else verdict.scores[1]
            assert row["preference"] == pytest.approx(1 + better_is_second, abs=1e-9)
            rows += 1
    assert rows > 6000


def test_o1_mini_with_arena_hards_prompt_reads_as_published() -> None:
    decisions: list[str] = []
    for line in shared_data("judgebench", "arena_hard_o1-mini.jsonl").read_text(encoding="utf-8").splitlines():
        for judgment in json.loads(line)["judgments"]:
            reply = Completion(judgment["judgment"]["response"])
            strict, faithful = replies.tag(reply, FIVE), published_verdict(reply)
            assert strict == faithful
            assert isinstance(strict, Verdict)
            decisions.append(strict.label.replace(">>", ">"))
            assert decisions[-1] == judgment["decision"]
    assert len(decisions) == 700


PIECES = st.lists(
    st.sampled_from(["[[", "]]", "[", "]", "A", "B", "C", ">", "<", "=", "7", '"', "`", "```", "\n", "> ", " ", "**"])
    | st.sampled_from(["<think>", "</think>", "[[A]]", "[[B>A]]", "[[3]]", "model_1", "- ", "1. "])
    | st.text(max_size=5),
    max_size=30,
).map("".join)


@given(PIECES)
def test_garbage_is_a_failure_or_a_verdict_that_was_written(text: str) -> None:
    reply = Completion(text)
    for form in FORMS:
        verdict = replies.tag(reply, form)
        if isinstance(verdict, Verdict):
            assert math.isclose(sum(verdict.scores), 1)
            assert verdict.scores[0] == form.scores[verdict.label]
    for reader in (published_pair, published_verdict, ranked_first):
        assert isinstance(reader(reply), Verdict | Failure)
