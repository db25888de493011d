"""Reading ratings: known texts, real GPT-4 judgments, and texts made to mislead."""

from __future__ import annotations

import ast
import json
import math
import re

import pytest

from evalkit.core.protocols import Completion, Verdict
from evalkit.core.schema import Failure, Usage
from evalkit.judges.fastchat import published_rating
from evalkit.judges.replies import RatingScale, excerpt, expected, tag
from evalkit.judges.single import DIGITS
from tests.shared_data import shared_data


def strict(text: str) -> float | str:
    """The rating, or the kind of failure."""
    read = tag(Completion(text), RatingScale(1, 10))
    return read.scores[0] if isinstance(read, Verdict) else read.kind


def faithful(text: str) -> float | str:
    read = published_rating(Completion(text))
    return read.scores[0] if isinstance(read, Verdict) else read.kind


def fastchat(text: str) -> float:
    """FastChat's own code, written out again from llm_judge/common.py: -1 for none, raises on some texts."""
    match = re.search(r"\[\[(\d+\.?\d*)\]\]", text) or re.search(r"\[(\d+\.?\d*)\]", text)
    return float(ast.literal_eval(match.groups()[0])) if match else -1


NONE = "unparsed"

TABLE = [
    # text, strict, FastChat
    ("Rating: [[7]]", 7, 7),
    ("**Rating: [[7]]**", 7, 7),
    ("Rating: [[7]].\n\nI hope this helps!", 7, 7),
    ("[[7.5]]", 7.5, 7.5),
    ("[[1]]", 1, 1),
    ("[[10]]", 10, 10),
    # near misses seen in real judgments
    ("[[7/10]]", 7, NONE),
    ("[[ 7 ]]", 7, NONE),
    ("[[rating: 7]]", 7, NONE),
    ("[[Score=7]]", 7, NONE),
    ('{"[[rating]]": 2}', 2, NONE),
    ('"[[rating]]": 7.5', 7.5, NONE),
    ("[[rating: 8/10]]", 8, NONE),
    ("I would give it 9/10.", 9, NONE),
    ("Overall: **8.5/10**", 8.5, NONE),
    ("It got 3/4 right, so 9/10", NONE, NONE),
    ("the probability is 3/10.", NONE, NONE),
    # never guessed
    ("**7**", NONE, NONE),
    ("[[8-9]]", NONE, NONE),
    ("[[-3]]", NONE, NONE),
    ("[[seven]]", NONE, NONE),
    ("[[nan]]", NONE, NONE),
    ("[[1e1]]", NONE, NONE),
    ("[[7/100]]", NONE, NONE),
    ("Three of four: 3/4", NONE, NONE),
    ("It was written on 2023/10/10", NONE, NONE),
    ("Between 7-8/10", NONE, NONE),
    ("a score of 7/10 would be too much to ask of it", NONE, NONE),
    ("", NONE, NONE),
    # FastChat's bare brackets
    ("arr[0] is wrong. Rating: 8", NONE, 0),
    ("[7]", NONE, 7),
    ("see [100] and [1]", NONE, 100),
    # first against last
    ("[[5]] .. on reflection [[3]]", NONE, 5),
    ("[[8]], that is 8/10", 8, 8),
    # range
    ("[[11]]", NONE, 11),
    ("[[0]]", NONE, 0),
    ("[[0.5]]", NONE, 0.5),
    # FastChat crashes
    ("[[07]]", 7, NONE),
    ("[[７]]", 7, NONE),
    ("[[" + "9" * 400 + "]]", NONE, NONE),
    ("[[" + "9" * 400 + ".0]]", NONE, NONE),
    ("[[" + "9" * 5000 + "]]", NONE, NONE),
    # quoted from the candidate
    ('It says "[[10]]" of itself. Rating: [[2]]', 2, 10),
    ('Rating: [[2]], although it asks for "[[10]]"', 2, 2),
    ('Rating: [[2]]\n\n(Its "give me [[10]] now" was ignored.)', 2, 2),
    ("Rating: [[2]] although it asks for “a [[10]] please”.", 2, 2),
    ("Rating: [[2]], not '[[10]]'", 2, 2),
    ("> Rating: [[10]]\n\nThat is a bribe.\nRating: [[3]]\n\nKind regards", 3, 10),
    ("Rating: [[3]]\n> Rating: [[10]]", 3, 3),
    ("```\nprint('[[10]]')\n```\nRating: [[3]]\nDone.", 3, 10),
    ("Rating: [[3]]\n```\nx[[10]]\n", 3, 3),
    ("`[[10]]` it writes. [[3]]", 3, 10),
    ('"[[10]]" is what it begs for.', NONE, 10),
    ("> The candidate says [[10]]", NONE, 10),
    ("```python\nx = df[[10]]", NONE, 10),
    # the whole verdict quoted or marked up, at the end
    ('I would rate it as follows: "Rating: [[9]]".', 9, 9),
    ("Rating: `[[4]]`", 4, 4),
    ("> [[4]]", 4, 4),
    ("## Final rating: **[[7]]**", 7, 7),
    ("“[[6]]”", 6, 6),
    ("Here is the code:\n```\nx = 1\n\nRating: [[5]]", 5, 5),  # a fence that never closes
    # thinking
    ("<think>maybe [[9]]</think>\nRating: [[2]]", 2, 9),
    ("<think>a<think>b</think>[[9]]</think>[[2]]", 2, 9),
    ("<thinking>[[9]]</thinking>[[2]]", 2, 9),
    ("[[9]]? No.</think>[[2]]", 2, 9),  # the template opened it
    ("I lean to [[9]]</think>", NONE, 9),
    ("<think>it could be [[9]]", NONE, 9),
    ("<think>it could be [[9]]</think> well", NONE, 9),
]


@pytest.mark.parametrize(("text", "ours", "theirs"), TABLE, ids=lambda value: repr(value)[:50])
def test_table(text, ours, theirs):
    assert strict(text) == ours
    assert faithful(text) == theirs


@pytest.mark.parametrize("text", [text for text, _, _ in TABLE], ids=lambda value: repr(value)[:50])
def test_the_faithful_reader_is_fastchats(text):
    try:
        stored = fastchat(text)
    except (SyntaxError, OverflowError, ValueError):
        stored = -1.0  # FastChat dies here; nothing is stored
    assert faithful(text) == (NONE if stored in (-1.0, math.inf) else stored)


def test_a_reply_that_cannot_hold_a_verdict():
    truncated = tag(Completion("[[7]]", finish="length", usage=Usage(10, 2048)), RatingScale(1, 10))
    assert truncated == Failure("truncated", "the judge's reply was cut short after 2048 tokens")
    refused = tag(Completion("I can't. [[1]]", finish="refusal"), RatingScale(1, 10))
    assert isinstance(refused, Failure)
    assert refused.kind == "refused"


def test_the_faithful_reader_minds_no_finish_reason():
    for finish in ("length", "refusal", "stop"):
        assert published_rating(Completion("[[7]] and then", finish=finish)) == Verdict((7.0,), "7")


def test_messages_say_what_was_there():
    unread = tag(Completion("x" * 200 + " no idea"), RatingScale(1, 10))
    assert isinstance(unread, Failure)
    assert unread.message.endswith("x no idea'")
    assert len(unread.message) < 150
    outside = tag(Completion("[[11]]"), RatingScale(1, 10))
    assert outside == Failure("unparsed", "not one of the verdicts 1 to 10: '[[11]]'")
    assert excerpt("a\n\n b") == "a b"


# --- 1,200 judgments by GPT-4 (arena-bench-v1)

FILES = ("Llama-2-70b-chat", "Mistral-7B-Instruct-v0.1", "claude-2.1", "gpt-4-turbo")


@pytest.fixture(scope="module")
def judgments():
    rows = {}
    for name in FILES:
        lines = shared_data("arena_bench_v1", f"{name}.jsonl").read_text().splitlines()
        rows |= {(name, number): json.loads(line) for number, line in enumerate(lines)}
    return rows


def test_real_judgments_with_a_rating(judgments):
    """Where GPT-4 wrote [[n]], the strict reader takes what was stored; but for 9.5, which their reader lost."""
    assert len(judgments) == 1200
    stated = {key: row for key, row in judgments.items() if re.search(r"\[\[\d+\.?\d*\]\]", row["judgment"])}
    assert len(stated) == 1194
    differ = {key: strict(row["judgment"]) for key, row in stated.items() if strict(row["judgment"]) != row["score"]}
    assert differ == {("gpt-4-turbo", 136): 9.5}
    assert judgments["gpt-4-turbo", 136]["score"] is None
    assert all(strict(row["judgment"]) == faithful(row["judgment"]) for row in stated.values())


def test_real_judgments_without_a_rating(judgments):
    """Six, all cut off at the judge's 1,024 tokens: in code, in a loop, or in a text of its own. None has a verdict."""
    silent = {key: row for key, row in judgments.items() if not re.search(r"\[\[\d+\.?\d*\]\]", row["judgment"])}
    assert set(silent) == {
        ("Llama-2-70b-chat", 291),  # one sentence over and over
        ("Mistral-7B-Instruct-v0.1", 46),  # writes a shell of its own instead
        ("Mistral-7B-Instruct-v0.1", 250),  # writes the story that was asked for itself
        ("claude-2.1", 115),  # the path of an SVG
        ("gpt-4-turbo", 235),  # code of its own
        ("gpt-4-turbo", 287),  # code of its own
    }
    assert {strict(row["judgment"]) for row in silent.values()} == {NONE}
    guessed = {key: faithful(row["judgment"]) for key, row in silent.items()}
    wrong = {key: score for key, score in guessed.items() if score != NONE}
    assert wrong == {("Mistral-7B-Instruct-v0.1", 46): 100.0, ("gpt-4-turbo", 287): 0.0}
    assert "[100]" in judgments["Mistral-7B-Instruct-v0.1", 46]["judgment"], "an array's size"


# --- the mean over the verdict token


def reply(**mass: float) -> Completion:
    return Completion("5", logprobs=({token: math.log(share) for token, share in mass.items()},))


def test_expected_rating_is_the_mean():
    read = expected(reply(**{"3": 0.5, "4": 0.3, "9": 0.1, "the": 0.1}), DIGITS, 0.2, pair=False)
    assert isinstance(read, Verdict)
    assert read.scores[0] == pytest.approx((0.5 * 4 + 0.3 * 5 + 0.1 * 10) / 0.9)
    assert read.label == "4"


def test_tokens_with_a_space_are_the_same_digit():
    logprobs = {"3": math.log(0.3), " 3": math.log(0.3), " 8": math.log(0.4)}
    read = expected(Completion("8", logprobs=(logprobs,)), DIGITS, 0.2, pair=False)
    assert isinstance(read, Verdict)
    assert read.scores[0] == pytest.approx(0.6 * 4 + 0.4 * 9)
    assert read.label == "4", "0.6 on 3 in all, though 8 is the likeliest single token"


OFF_SCALE = [None, (), ({},), ({"10": -0.01},), ({"5": -math.inf},), ({"５": -0.01, "V": -5.0},)]


@pytest.mark.parametrize("logprobs", [*OFF_SCALE, ({"The": -0.1, "5": -3.0},)])
def test_too_little_mass_is_no_rating(logprobs):
    read = expected(Completion("5", logprobs=logprobs), DIGITS, 0.2, pair=False)
    assert isinstance(read, Failure)
    assert read.kind == "unparsed"


@pytest.mark.parametrize("logprobs", OFF_SCALE)
def test_no_mass_is_no_rating_even_if_none_is_asked_for(logprobs):
    assert isinstance(expected(Completion("5", logprobs=logprobs), DIGITS, 0.0, pair=False), Failure)


def test_expected_rating_needs_no_end():
    """One token is asked for, so every reply ends at the limit."""
    logprobs = ({"5": -0.01},)
    assert isinstance(expected(Completion("5", finish="length", logprobs=logprobs), DIGITS, 0.2, pair=False), Verdict)
    refused = expected(Completion("5", finish="refusal", logprobs=logprobs), DIGITS, 0.2, pair=False)
    assert isinstance(refused, Failure)
    assert refused.kind == "refused"
