"""Judgments: what is put to the judge, what is stored, what is read again, and what is asked anew."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar

import pytest
from msgspec.structs import replace

from evalkit.core.protocols import (
    Case,
    Completion,
    Judge,
    Malformed,
    Message,
    Misconfigured,
    Model,
    Rejected,
    Request,
    Sampling,
    Transport,
    Verdict,
)
from evalkit.core.schema import Failure, Item, Judgment, Ref, Response, Usage
from evalkit.core.streams import gathered, of
from evalkit.engine.judge import CaseBuilder, JudgeRunner, Pairing, cases
from evalkit.judges.single import Single
from evalkit.models.client import Client
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Log

ITEM = Item(id="7", benchmark="b", category="math", turns=("What is 2+2?", "Double it."), reference=("4", "8"))
PLAIN = replace(ITEM, reference=())
GOOD = Completion("Fine. Rating: [[7]]", "stop", Usage(50, 9), model="judge-1")


def answer(*turns, name="me", **fields):
    return Response(
        key="k" + name,
        item="7",
        benchmark="b",
        category="math",
        model=Ref(name, "f"),
        turns=turns or ("4", "8"),
        **fields,
    )


class Scripted:
    """A judge that says what the script says, then [[7]]; keeps every request."""

    exclusive, concurrency, timeout = False, 4, 5.0

    def __init__(self, *script):
        self.script, self.requests = list(script), []

    def identity(self):
        return {"model": "judge"}

    async def open(self):
        pass

    async def close(self):
        pass

    async def complete(self, request):
        self.requests.append(request)
        step = self.script.pop(0) if self.script else GOOD
        if isinstance(step, Exception):
            raise step
        return step


SILENT = AssertionError("asked though everything was stored")


@dataclass(frozen=True)
class Stars:
    """A protocol whose parser is easily changed: it counts stars, times the factor."""

    name: ClassVar[str] = "single"
    shows: ClassVar[int] = 1
    identical_is_tie: ClassVar[bool] = False
    factor: float = 1.0
    wording: str = "How many stars?"
    temperature: float | None = None

    @property
    def parser(self):
        return f"stars/{self.factor:g}"

    def identity(self):
        return {"wording": self.wording}

    def request(self, case):
        text = "\n".join([self.wording, *case.answers(), *(text or "" for text in case.item.reference)])
        return Request((Message("user", text),), Sampling(temperature=self.temperature))

    def parse(self, completion, case):
        stars = completion.text.count("*")
        if completion.logprobs:
            stars = round(math.exp(completion.logprobs[0]["*"]), 6)
        return Verdict((stars * self.factor,), "*" * int(stars)) if stars else Failure("unparsed", "no stars")


def judged(path, *script, protocol=None, case=None, references="none", ask_again=None, **fields):
    """One case through a bench of its own, as a new run has it: the row, and what was asked."""
    backend = Scripted(*script)
    judge = Judge("j", Model(name="j", backend=backend, **fields), protocol or Single(), references)

    async def run():
        log = Log(path, Judgment)
        client = Client(backend, name="j", price=None, retry=RetryPolicy(attempts=1), stopping=asyncio.Event())
        options = {} if ask_again is None else {"ask_again": frozenset(ask_again)}
        try:
            return await JudgeRunner(judge, client, log, **options).judgment(case or Case(ITEM, 1, (answer(),)))
        finally:
            log.close()

    row = asyncio.run(run())
    assert Log(path, Judgment).get(row.key) == row
    return row, backend.requests


def lines(path):
    return path.read_bytes().count(b"\n")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.single.jsonl"


# Rows.


def test_a_row_says_who_what_and_how(path):
    row, (request,) = judged(path, case=Case(ITEM, 2, (answer("4", "eight"),), 1))
    assert (row.scores, row.label, row.error) == ((7.0,), "7", None)
    assert (row.item, row.benchmark, row.category, row.turn, row.repeat) == ("7", "b", "math", 2, 1)
    assert (row.judge.name, row.protocol, row.parser) == ("j", "single", "rating/3")
    assert row.shown == (answer("4", "eight").id,)
    assert row.models == (Ref("me", "f"),)
    assert row.lengths == (len("eight"),)
    assert (row.raw, row.finish, row.usage, row.snapshot) == (GOOD.text, "stop", GOOD.usage, "judge-1")
    assert row.created > 0
    assert "eight" in request.messages[-1].content


def test_the_protocols_sampling_wins_over_the_judges(path):
    row, (request,) = judged(
        path,
        protocol=Single(scoring="logprobs"),
        sampling=Sampling(max_tokens=999, temperature=1.0, top_p=0.5, seed=3),
        unsupported=("seed",),
        system_prompt="First of all.",
    )
    assert request.sampling == Sampling(max_tokens=1, temperature=0.0, top_p=0.5, top_logprobs=20)
    assert row.sampling == request.sampling.sent()
    assert request.messages[0].content.startswith("First of all.\n\nYou grade")
    assert [message.role for message in request.messages] == ["system", "user"], "two system messages become one"


FAULTS = {
    "refused": Completion("I cannot.", "refusal"),
    "truncated": Completion("It is [[7]] I th", "length"),
    "unparsed": Completion("Quite good."),
    "malformed": Malformed("what?", body="<html>"),
    "rejected": Rejected("400 too long"),
    "transport": Transport("500"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_failure_is_a_row_without_scores(path, kind):
    row, _ = judged(path, FAULTS[kind])
    assert (row.error.kind, row.scores, row.label) == (kind, None, None)
    said = {"malformed": "<html>", "rejected": "", "transport": ""}
    assert row.raw == (said[kind] if kind in said else FAULTS[kind].text)


def test_a_wrong_configuration_leaves_no_row(path):
    with pytest.raises(Misconfigured):
        judged(path, Misconfigured("no key"))
    assert not path.exists()


# What a later run asks.


@pytest.mark.parametrize("kind", FAULTS)
def test_transport_failures_are_asked_again_and_only_they(path, kind):
    first, _ = judged(path, FAULTS[kind])
    row, requests = judged(path)
    assert len(requests) == (kind == "transport")
    assert row == first if kind != "transport" else row.scores == (7.0,)
    assert len(Log(path, Judgment)) == 1


def test_other_failures_are_asked_again_on_demand(path):
    judged(path, FAULTS["malformed"])
    judged(path, SILENT, ask_again={"refused"})
    row, requests = judged(path, ask_again={"malformed"})
    assert (row.scores, len(requests)) == ((7.0,), 1)


def test_a_stored_verdict_is_not_asked_again(path):
    first, _ = judged(path)
    row, _ = judged(path, SILENT)
    assert row == first
    assert lines(path) == 1


CHANGES = {
    "wording": {"protocol": Stars(wording="Stars, please.")},
    "protocol sampling": {"protocol": Stars(temperature=0.5)},
    "judge sampling": {"protocol": Stars(), "sampling": Sampling(top_p=0.5)},
    "system prompt": {"protocol": Stars(), "system_prompt": "Be strict."},
    "reference": {"protocol": Stars(), "case": Case(PLAIN, 1, (answer(),))},
    "answer": {"protocol": Stars(), "case": Case(ITEM, 1, (answer("four", "8"),))},
    "another turn of the answer": {"protocol": Stars(), "case": Case(ITEM, 1, (answer("4", "eight"),))},
    "turn": {"protocol": Stars(), "case": Case(ITEM, 2, (answer(),))},
    "repeat": {"protocol": Stars(), "case": Case(ITEM, 1, (answer(),), 1)},
    "model": {"protocol": Stars(), "case": Case(ITEM, 1, (answer(name="you"),))},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_question_is_asked_anew(path, change):
    first, _ = judged(path, Completion("**"), protocol=Stars())
    row, requests = judged(path, Completion("***"), **CHANGES[change])
    assert len(requests) == 1
    assert row.key != first.key
    assert len(Log(path, Judgment)) == 2


def test_two_names_for_one_model_are_judged_apart(path):
    """An A/A test: same settings, and at temperature 0 the same text."""
    one, two = answer(name="one"), replace(answer(name="one"), model=Ref("two", "f"))
    assert one.id == two.id
    rows = [judged(path, case=Case(ITEM, 1, (response,)))[0] for response in (one, two)]
    assert [row.models[0].name for row in rows] == ["one", "two"]
    assert len(Log(path, Judgment)) == 2


# A changed parser.


def test_a_changed_parser_reads_the_stored_text_without_a_call(path):
    first, _ = judged(path, Completion("**", usage=Usage(5, 2), model="judge-1"), protocol=Stars())
    row, _ = judged(path, SILENT, protocol=Stars(factor=2.0))
    assert (first.scores, row.scores) == ((2.0,), (4.0,))
    assert (first.parser, row.parser) == ("stars/1", "stars/2")
    assert row.judge != first.judge
    same = ("key", "raw", "usage", "snapshot", "latency", "cost", "created", "shown", "models", "sampling", "lengths")
    assert all(getattr(row, name) == getattr(first, name) for name in same)
    assert (lines(path), len(Log(path, Judgment))) == (2, 1)
    judged(path, SILENT, protocol=Stars(factor=2.0))
    assert lines(path) == 2  # once read, it is read


def test_it_reads_stored_logprobs(path):
    reply = Completion("*", logprobs=({"*": math.log(3)}, {"?": 0.0}))
    judged(path, reply, protocol=Stars())
    row, _ = judged(path, SILENT, protocol=Stars(factor=2.0))
    assert row.scores == (6.0,)
    assert row.logprobs == {"*": math.log(3)}


def test_it_can_find_a_verdict_where_there_was_none_and_lose_one(path):
    class Strict(Stars):
        parser = "strict"

        def parse(self, completion, case):
            return Failure("unparsed", "never good enough")

    judged(path, Completion("**"), protocol=Stars())
    row, _ = judged(path, SILENT, protocol=Strict())
    assert (row.error.kind, row.raw) == ("unparsed", "**")
    row, _ = judged(path, SILENT, protocol=Stars(factor=3.0))
    assert (row.error, row.scores) == (None, (6.0,))


@pytest.mark.parametrize("kind", ["malformed", "rejected", "transport"])
def test_what_is_no_reply_is_not_read(path, kind):
    fault = Malformed("what?", body="*** a page of stars ***") if kind == "malformed" else FAULTS[kind]
    first, _ = judged(path, fault, protocol=Stars())
    row, _ = judged(path, SILENT, protocol=Stars(factor=2.0), ask_again=())
    assert row.error == first.error
    assert row.raw == first.raw
    assert (row.parser, row.judge != first.judge) == ("stars/2", True)  # it counts among the new parser's failures


def test_rows_of_a_setting_that_made_no_difference_become_the_judges_own(path):
    """References make another judge, but the same prompt where an item has none: tables must see one judge."""
    case = Case(PLAIN, 1, (answer(),))
    first, _ = judged(path, case=case, references="none")
    row, _ = judged(path, SILENT, case=case, references="own")
    assert row.judge != first.judge
    assert replace(row, judge=first.judge) == first
    assert lines(path) == 2
    judged(path, SILENT, case=case, references="own")
    assert lines(path) == 2


# Cases.


def all_cases(*responses, **options):
    return asyncio.run(gathered(cases(of(responses), CaseBuilder({"7": ITEM}, **options))))


def test_every_turn_of_every_answer_and_repeat():
    one, two = answer(name="one"), answer(name="two")
    found = all_cases(one, two, repeats=2)
    assert [(case.shown, case.turn, case.repeat) for case in found] == [
        ((response,), turn, repeat) for response in (one, two) for turn in (1, 2) for repeat in (0, 1)
    ]


def test_a_failed_answer_is_not_judged():
    failed = answer("4", error=Failure("refused", "no"))
    assert all_cases(failed) == []
    assert len(all_cases(failed, answer())) == 2


@pytest.mark.parametrize("order", list(permutations(["base", "one", "two", "three"])), ids="-".join)
def test_all_meet_the_baseline_whenever_it_comes_and_no_more_answers_are_held(order):
    arrivals = CaseBuilder({"7": ITEM}, shows=2, pairing=Pairing({ITEM.category: "base"}))
    dealt = [
        [response.model.name for response in case.shown] for name in order for case in arrivals.add(answer(name=name))
    ]
    assert sorted(dealt) == sorted(
        pair for name in ("one", "two", "three") for pair in (["base", name], [name, "base"]) for _ in ITEM.turns
    )
    assert [response.model.name for response in arrivals._arrived["7"]] == ["base"]


def test_a_field_that_is_left_out_makes_another_judge(path):
    first, _ = judged(path, Rejected("400 temperature"), protocol=Stars(temperature=0.0))
    row, _ = judged(path, Completion("*"), protocol=Stars(temperature=0.0), unsupported=("temperature",))
    assert row.scores == (1.0,)
    assert row.judge != first.judge
