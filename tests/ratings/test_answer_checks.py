"""What is odd about answers is said with its cause, and nothing is said of honest ones."""

from __future__ import annotations

import pytest

from evalkit.core.schema import Failure, Ref, Response, Usage
from evalkit.ratings.answer_checks import AnswerChecks

HONEST = "Paris is the capital of France, and has been so for most of its history. That is fact number {n}."
QUOTES = "A chat may begin with the line 'User: hello' and end with it; this is answer number {n} of many."


def answer(
    n,
    text,
    *,
    finish="stop",
    error=None,
    limit=100,
    model="m",
    benchmark="b",
    thinking=(),
    fingerprint="1",
    reason=None,
):
    return Response(
        key=f"{model}{n}{fingerprint}",
        item=str(n),
        benchmark=benchmark,
        category="c",
        model=Ref(model, fingerprint),
        turns=() if error else (text.format(n=n),),
        thinking=thinking,
        finish=(finish,),
        finish_reason=reason,
        usage=(Usage(1, 2),),
        sampling={"max_tokens": limit},
        error=Failure(error, "x") if error else None,
    )


def notes(*rows, models=None):
    checks = AnswerChecks()
    for row in rows:
        checks.add(row)
    return checks.notes(models)


@pytest.mark.parametrize("text", [HONEST, QUOTES, "yes", "A user: might ask {n}", "Number {n}."])
def test_nothing_is_said_of_honest_answers(text):
    assert notes(*(answer(n, text) for n in range(20))) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [answer(n, HONEST, finish="length" if n < 3 else "stop") for n in range(10)],
            "m: 3 of 10 answers end at the token limit and were judged as they are: raise "
            "model.m.sampling.max_tokens (now 100)",
        ),
        (
            [answer(n, "" if n < 1 else HONEST) for n in range(10)],
            "m: 1 of 10 answers is empty in a turn or more; they count as answers",
        ),
        (
            [answer(n, " " if n < 2 else HONEST, thinking=("hm",) if n < 2 else ()) for n in range(10)],
            "m: 2 of 10 answers are empty in a turn or more; they count as answers; 2 of them thought until the token "
            "limit: raise model.m.sampling.max_tokens",
        ),
        (
            [answer(n, HONEST, error="truncated" if n < 4 else None) for n in range(10)],
            "m: 4 of 10 answers ended while it was still thinking, at the token limit, and were not judged: raise "
            "model.m.sampling.max_tokens (now 100)",
        ),
        (
            [answer(n, "I am sorry, the service is unavailable." if n < 2 else HONEST) for n in range(10)],
            "m: one and the same text is the answer to 2 of 10 questions: a server that answers with a fixed",
        ),
        (
            [answer(n, "I am a model." if n < 9 else HONEST) for n in range(10)],
            "m: one and the same text is the answer to 9 of 10 questions: a server that answers with a fixed",
        ),
        (
            [answer(n, HONEST, finish="length", reason="odd_end") for n in range(10)],
            "m: 10 of 10 answers were ended by the server for a reason that is not known here ('odd_end')",
        ),
        (
            [answer(n, "I'm sorry, but I can't help with that." if n < 2 else HONEST) for n in range(10)],
            "m: one and the same refusal is the answer to 2 of 10 questions",
        ),
        (
            [answer(n, "<|im_start|>assistant\nIt is {n}<|im_end|>" if n < 2 else HONEST) for n in range(10)],
            "m: 2 of 10 answers hold marks of a chat template or of a judge's prompt ('<|im_start|>'): a wrong chat",
        ),
        (
            [answer(n, "It is {n}.\nUser: And this?\nAssistant: That." if n < 5 else HONEST) for n in range(10)],
            "m: 5 of 10 answers go on with a dialogue of their own ('User:'): a base model, most likely",
        ),
        (
            [answer(n, "It is {n}.\n### Instruction:\nSay it again" if n < 5 else HONEST) for n in range(10)],
            "m: 5 of 10 answers go on with a dialogue of their own",
        ),
    ],
)
def test_what_is_odd_is_named_with_its_cause(rows, expected):
    (found,) = notes(*rows)
    assert found.startswith(expected)


def test_few_answers_say_nothing_about_a_habit():
    assert notes(*(answer(n, "One and the same text for all.") for n in range(4))) == []


def test_the_last_configuration_counts_and_models_of_the_table():
    old = [answer(n, "", fingerprint="0") for n in range(9)]
    new = [answer(n, HONEST) for n in range(9)]
    assert notes(*old, *new) == []
    assert len(notes(*old, models={"m"})) == 1
    assert notes(*old, models={"other"}) == []
    both = notes(*old, *[answer(n, "", benchmark="c") for n in range(9)])
    assert [text.split(",")[0] for text in both] == ["b", "c"]


def test_a_name_cannot_reach_the_terminal():
    (found,) = notes(*(answer(n, "", model="m\x1b[31m") for n in range(9)))
    assert "\x1b" not in found
