"""One call for each criterion: what is stored, what is asked again, and what a score rests on then."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from evalkit.core.protocols import Backend, Case, Completion, Judge, Model, Transport
from evalkit.core.schema import Criterion, Item, Judgment, Ref, Response, Usage
from evalkit.engine.judge import JudgeRunner
from evalkit.judges.rubric import Rubric
from evalkit.models.client import Client
from evalkit.models.retry import RetryPolicy
from evalkit.storage.store import Store

CRITERIA = tuple(
    Criterion(id=name, text=f"It is {name}.", points=points) for name, points in (("a", 2), ("b", 1), ("c", -1))
)
ITEM = Item(id="1", benchmark="b", category="c", turns=("Why?",))
ANSWER = Response(key="k", item="1", benchmark="b", category="c", model=Ref("m", "f"), turns=("So.",))


class Checks(Backend):
    """Says yes to every criterion but those it is told to fail on."""

    def __init__(self, cache=None, **fails):
        self.fails, self.asked, self._cache = fails, [], cache
        self.now = self.most = 0

    @property
    def prefix_cache(self):
        return self._cache

    @property
    def concurrency(self):
        return 8

    def identity(self):
        return {"model": "checks"}

    async def complete(self, request):
        name = request.messages[-1].content.split("1. It is ")[1][0]
        self.asked.append(name)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if name in self.fails:
            if isinstance(self.fails[name], Exception):
                raise self.fails[name]
            said = self.fails[name]
            return said if isinstance(said, Completion) else Completion(said, usage=Usage(10, 1))
        return Completion(json.dumps({"1": {"reason": "So.", "verdict": "yes"}}), usage=Usage(10, 5))


def judged(folder, backend, protocol=None) -> Judgment:
    """One answer, judged by a backend with what the folder holds."""

    async def run():
        model = Model(name="j", backend=backend)
        judge = Judge("j", model, protocol or Rubric(rubric=CRITERIA, calls="criterion"))
        client = Client(backend, name="j", price=None, retry=RetryPolicy(attempts=1), stopping=asyncio.Event())
        store = Store(folder, "b")
        try:
            return await JudgeRunner(judge, client, store.judgments("j", judge.protocol.name)).judgment(
                Case(ITEM, 1, (ANSWER,))
            )
        finally:
            store.close()

    return asyncio.run(run())


def test_each_criterion_is_a_call_and_all_make_one_judgment(tmp_path):
    backend = Checks()
    row = judged(tmp_path, backend)
    assert sorted(backend.asked) == ["a", "b", "c"]
    assert row.scores == (pytest.approx(2 / 3),)
    assert row.usage == Usage(30, 15)
    assert [one.id for one in row.criteria] == ["a", "b", "c"]
    assert row.score_range == (pytest.approx(-1 / 3), 1.0), "one costs points"
    again = Checks()
    assert judged(tmp_path, again) == row
    assert again.asked == [], "what is stored is not asked again"
    assert len((tmp_path / "b" / "criteria" / "j.rubric.jsonl").read_text().splitlines()) == 3


def test_a_row_says_the_ends_of_its_scale(tmp_path):
    merits = tuple(one for one in CRITERIA if one.points > 0)
    row = judged(tmp_path, Checks(), Rubric(rubric=merits, calls="criterion"))
    assert row.score_range == (0.0, 1.0)
    assert judged(tmp_path, Checks(), Rubric(rubric=merits, calls="criterion")) == row


def test_only_what_was_not_answered_is_asked_again(tmp_path):
    row = judged(tmp_path, Checks(b=Transport("gone", status=500)))
    assert row.error is not None
    assert row.error.kind == "transport"
    assert "1 of 3 criteria" in row.error.message
    backend = Checks()
    row = judged(tmp_path, backend)
    assert backend.asked == ["b"]
    assert row.scores is not None


def test_a_criterion_that_was_answered_with_nothing_readable_has_no_verdict(tmp_path):
    row = judged(tmp_path, Checks(a="Hm."))
    assert row.scores == (pytest.approx(0.0),), "1 point of 1, less 1: a is left out, not counted as not met"
    assert row.label == "share on 2 of 3 criteria, 2 of 4 points"
    assert [one.error and one.error.kind for one in row.criteria] == ["unparsed", None, None]
    again = Checks()
    judged(tmp_path, again)
    assert again.asked == []


def test_a_criterion_that_the_judge_declines_to_judge_is_refused_and_the_others_stand(tmp_path):
    row = judged(tmp_path, Checks(a=Completion("I cannot judge that.", "refusal")))
    assert [one.error and one.error.kind for one in row.criteria] == ["refused", None, None]
    assert row.label == "share on 2 of 3 criteria, 2 of 4 points"
    assert "declined" in row.criteria[0].error.message or "refus" in row.criteria[0].error.message
    everything = Completion("I cannot judge that.", "refusal")
    row = judged(tmp_path / "all", Checks(a=everything, b=everything, c=everything))
    assert row.error is not None
    assert row.error.kind == "refused"


def test_other_points_are_counted_anew_without_asking(tmp_path):
    judged(tmp_path, Checks())
    other = tuple(msgspec.structs.replace(one, points=1.0) for one in CRITERIA)
    backend = Checks()
    assert judged(tmp_path, backend, Rubric(rubric=other, calls="criterion")).scores == (1.0,)
    assert backend.asked == []


@pytest.mark.parametrize(("cache", "most"), [("slots", 1), ("shared", 2), (None, 3)])
def test_an_engine_that_remembers_prompts_is_not_asked_all_at_once(tmp_path, cache, most):
    backend = Checks(cache)
    judged(tmp_path, backend)
    assert backend.most == most
