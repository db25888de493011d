"""The whole method on fakes: what is asked, in which order, what is stored, and what comes out."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from evalkit import benchmark, pipeline, rate
from evalkit.backends.fake import Fake
from evalkit.benchmark import Benchmark
from evalkit.client import Clients, Unreachable
from evalkit.judge import Pairing
from evalkit.judges.pairwise import Pairwise
from evalkit.judges.single import Single
from evalkit.pipeline import Experiment
from evalkit.prices import PriceTable
from evalkit.progress import Watch
from evalkit.protocols import Completion, Judge, Model, Request
from evalkit.rate import Score
from evalkit.ratings.standing import Standing
from evalkit.retry import RetryPolicy
from evalkit.store import Store

PRICES = PriceTable("2026-01", {})
IMPATIENT = RetryPolicy(attempts=1, first_wait=0.0, longest_wait=0.0, give_up_after=1000)


@pytest.fixture(scope="module")
def pocket() -> Benchmark:
    return asyncio.run(benchmark.load("pocket"))


@pytest.fixture(scope="module")
def small() -> Benchmark:
    return asyncio.run(benchmark.load("pocket", limit=1))


def model(name: str, **fields: object) -> Model:
    return Model(name=name, backend=Fake(model=name, **fields), price="free")  # type: ignore[arg-type]


def judge(name: str = "judge", **fields: object) -> Judge:
    return Judge(name, model(name, **fields), Single(), "own")


class Result:
    """What a run left behind."""

    def __init__(self, experiment: Experiment, folder: Path, *, retry: RetryPolicy = IMPATIENT) -> None:
        self.watch = Watch(0, 0)
        self.clients = Clients(PRICES, retry)
        self.store = Store(folder, "pocket")
        self.folder = folder
        self.table: list[Score] = []
        self.error: Exception | None = None
        try:
            self.table = asyncio.run(self._run(experiment))
        except Unreachable as error:
            self.error = error
        finally:
            self.store.close()

    async def _run(self, experiment: Experiment) -> list[Score]:
        try:
            return (await pipeline.run(experiment, self.clients, self.store, self.watch)).scores
        finally:
            await self.clients.close()

    @property
    def asked(self) -> dict[str, int]:
        return {name: totals.asked for name, totals in self.clients.traffic}

    def scores(self) -> dict[str, float]:
        return {score.model.name: score.score.estimate for score in rate.overall(self.table) if score.score}

    def rows(self, kind: str) -> list[dict]:
        """Every line written, later ones of the same key too."""
        paths = sorted((self.folder / "pocket" / kind).glob("*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_planted_skill_is_recovered(pocket, tmp_path):
    skills = {"poor": 3.0, "fair": 5.0, "good": 7.0}
    models = tuple(model(name, skill=skill) for name, skill in skills.items())
    result = Result(Experiment(benchmark=pocket, models=models, judges=(judge(noise=0.5),)), tmp_path)
    scores = result.scores()
    assert list(scores) == ["good", "fair", "poor"], "best first"
    for score in rate.overall(result.table):
        assert score.score is not None
        assert score.score.lower is not None
        assert score.score.upper is not None
        assert score.score.lower <= skills[score.model.name] <= score.score.upper
        assert score.n == 48
        assert score.failed == {}
    assert result.asked == {"poor": 48, "fair": 48, "good": 48, "judge": 144}


def test_a_panel_sees_the_same_answers(small, tmp_path):
    judges = (judge("one"), judge("two", delay=0.002, concurrency=2))
    result = Result(Experiment(benchmark=small, models=(model("m"),), judges=judges), tmp_path)
    assert result.asked == {"m": 16, "one": 16, "two": 16}
    shown: dict[str, set] = {}
    for row in result.rows("judgments"):
        shown.setdefault(row["judge"]["name"], set()).add((row["item"], row["turn"], *row["shown"]))
    assert shown["one"] == shown["two"]
    assert len(shown["one"]) == 16


def test_resuming_asks_nothing_and_writes_nothing(small, tmp_path):
    experiment = Experiment(benchmark=small, models=(model("m"),), judges=(judge(mumble=0.4),), repeats=2)
    first = Result(experiment, tmp_path)
    assert first.watch.failed > 0
    lines = (len(first.rows("answers")), len(first.rows("judgments")))
    second = Result(experiment, tmp_path)
    assert sum(second.asked.values()) == 0
    assert (len(second.rows("answers")), len(second.rows("judgments"))) == lines
    assert second.table == first.table
    assert second.watch.judgments.stored == 32


def test_a_baseline_decides_what_counts_whatever_else_is_stored(small, tmp_path):
    models = (model("a", skill=8.0), model("b", skill=6.0), model("c", skill=4.0))
    pairwise = Judge("judge", model("judge", noise=3.0), Pairwise(), "own")
    every = Experiment(benchmark=small, models=models, judges=(pairwise,))
    against = replace(every, pairing=Pairing(dict.fromkeys([item.category for item in small.items], "b")))

    def standings(experiment: Experiment, folder: str) -> list[Standing]:
        result = Result(experiment, tmp_path / folder)
        assert result.error is None
        with closing(Store(tmp_path / folder, "pocket")) as store:
            return pipeline.rated(experiment, store).board.standings

    alone, all_pairs = standings(against, "against"), standings(every, "every")
    assert {row.about.baseline for row in alone} == {"b"}
    assert {row.model for row in alone} == {"a", "c"}
    assert {row.model for row in all_pairs} == {"a", "b", "c"}
    assert standings(against, "every") == alone
    assert standings(every, "against") == all_pairs


def test_a_new_model_asks_only_what_is_new(small, tmp_path):
    Result(Experiment(benchmark=small, models=(model("old"),), judges=(judge(),)), tmp_path)
    both = Experiment(benchmark=small, models=(model("old"), model("new")), judges=(judge(),))
    result = Result(both, tmp_path)
    assert result.asked == {"old": 0, "new": 16, "judge": 16}
    assert set(result.scores()) == {"old", "new"}


def test_a_changed_judge_prompt_asks_the_judge_again(small, tmp_path):
    experiment = Experiment(benchmark=small, models=(model("m"),), judges=(judge(),))
    Result(experiment, tmp_path)
    other = Judge("judge", judge().model, Single(system="Be mean."), "own")
    result = Result(replace(experiment, judges=(other,)), tmp_path)
    assert result.asked == {"m": 0, "judge": 16}


def test_judging_starts_while_answers_still_come(small, tmp_path):
    """With one slow worker, the first judgment is stored long before the last answer."""
    slow = model("m", delay=0.01, concurrency=1)
    result = Result(Experiment(benchmark=small, models=(slow,), judges=(judge(),)), tmp_path)
    last_answer = max(row["created"] for row in result.rows("answers"))
    judged = sorted(row["created"] for row in result.rows("judgments"))
    assert judged[0] < last_answer
    assert sum(created < last_answer for created in judged) >= 10


def test_a_slow_judge_does_not_hold_up_another(small, tmp_path):
    judges = (judge("slow", delay=0.03, concurrency=1), judge("quick"))
    result = Result(Experiment(benchmark=small, models=(model("m"),), judges=judges), tmp_path)
    ended = {
        name: max(row["created"] for row in result.rows("judgments") if row["judge"]["name"] == name)
        for name in ("slow", "quick")
    }
    assert ended["quick"] < ended["slow"] - 0.1


# --- backends that take turns


@dataclass
class Alone(Fake):
    """Needs the accelerator to itself, and says when it has it."""

    events: ClassVar[list[tuple[str, str]]] = []

    @property
    def exclusive(self) -> bool:
        return True

    async def open(self) -> None:
        await asyncio.sleep(0)
        self.events.append((self.model, "open"))

    async def close(self) -> None:
        self.events.append((self.model, "close"))

    async def complete(self, request: Request) -> Completion:
        self.events.append((self.model, "ask"))
        return await super().complete(request)


@dataclass
class AloneToo(Alone):
    """Another engine."""


@pytest.fixture
def events() -> list[tuple[str, str]]:
    Alone.events.clear()
    return Alone.events


def opened_at_once(events: list[tuple[str, str]]) -> int:
    most, now = 0, set()
    for name, event in events:
        if event == "open":
            assert name not in now
            now.add(name)
        elif event == "close":
            now.discard(name)
        else:
            assert name in now, "asked while not open"
        most = max(most, len(now))
    assert now == set(), "freed in the end"
    return most


@pytest.mark.parametrize("cache", [None, "shared", "slots"])
def test_exclusive_backends_take_turns(small, tmp_path, events, cache, monkeypatch):
    """Each is closed before the next one opens, in whatever order its judge is asked."""
    monkeypatch.setattr(Alone, "prefix_cache", cache)
    models = tuple(Model(name=name, backend=Alone(model=name)) for name in ("a", "b"))
    judges = tuple(Judge(name, Model(name=name, backend=AloneToo(model=name)), Single(), "own") for name in ("x", "y"))
    experiment = Experiment(benchmark=small, models=models, judges=judges)
    assert experiment.in_turns
    result = Result(experiment, tmp_path)
    assert opened_at_once(events) == 1
    loads = [(name, event) for name, event in events if event != "ask"]
    assert loads == [(name, event) for name in "abxy" for event in ("open", "close")], "each loaded once"
    assert len(result.rows("judgments")) == 64
    before = list(events)
    Result(experiment, tmp_path)
    assert [event for event in events[len(before) :] if event[1] != "close"] == [], "nothing to ask: nothing to load"


def test_an_exclusive_judge_beside_a_server(small, tmp_path, events):
    """Only one of them needs the accelerator: nobody waits."""
    alone = Judge("x", Model(name="x", backend=Alone(model="x")), Single(), "own")
    experiment = Experiment(benchmark=small, models=(model("m"),), judges=(alone,))
    assert not experiment.in_turns
    Result(experiment, tmp_path)
    assert opened_at_once(events) == 1


def test_one_engine_for_model_and_judge_is_opened_once(small, tmp_path, events):
    shared = [Alone(model="both"), Alone(model="both")]
    judges = (Judge("j", Model(name="j", backend=shared[1]), Single(), "own"),)
    experiment = Experiment(benchmark=small, models=(Model(name="m", backend=shared[0]),), judges=judges)
    assert not experiment.in_turns
    result = Result(experiment, tmp_path)
    assert [event for _, event in events if event != "ask"] == ["open", "close"]
    assert sum(event == "ask" for _, event in events) == 32
    assert list(result.asked.values()) == [32]


# --- when things fail


def test_transport_failures_are_resumed(small, tmp_path):
    script = ("500", "ok", "500", "ok", "500")
    experiment = Experiment(benchmark=small, models=(model("m", script=script),), judges=(judge(),))
    first = Result(experiment, tmp_path)
    assert first.watch.answers.failed == {"transport": 3}
    (score,) = rate.overall(first.table)
    assert score.failed == {"answer transport": 3}
    assert score.n == 10
    second = Result(replace(experiment, models=(model("m"),)), tmp_path)
    assert second.watch.failed == 0
    (score,) = rate.overall(second.table)
    assert (score.n, score.failed) == (16, {})
    assert first.asked["m"] + second.asked["m"] == 16 + 3


def test_a_judges_transport_failures_are_resumed(small, tmp_path):
    experiment = Experiment(benchmark=small, models=(model("m"),), judges=(judge(script=("429", "500", "429")),))
    first = Result(experiment, tmp_path)
    assert first.watch.judgments.failed == {"transport": 3}
    second = Result(replace(experiment, judges=(judge(),)), tmp_path)
    assert second.asked == {"m": 0, "judge": 3}
    assert [score.failed for score in rate.overall(second.table)] == [{}]


def test_retries_are_not_failures(small, tmp_path):
    patient = RetryPolicy(attempts=4, first_wait=0.0, longest_wait=0.02)
    script = ("429", "500", "429", "500")
    experiment = Experiment(benchmark=small, models=(model("m", script=script),), judges=(judge(),))
    result = Result(experiment, tmp_path, retry=patient)
    assert result.watch.failed == 0
    assert sum(totals.retries for _, totals in result.clients.traffic) == 4


def test_an_unreachable_judge_ends_the_run_with_everything_stored(small, tmp_path):
    policy = RetryPolicy(attempts=1, first_wait=0.0, longest_wait=0.0, give_up_after=3)
    dead = judge(script=("ok",) * 4 + ("500",) * 1000, concurrency=1)
    experiment = Experiment(benchmark=small, models=(model("m"),), judges=(dead,))
    first = Result(experiment, tmp_path, retry=policy)
    assert isinstance(first.error, Unreachable)
    assert "'judge' does not answer: 3 requests in a row failed on every attempt" in str(first.error)
    judged = first.rows("judgments")
    assert sum(row.get("scores") is not None for row in judged) == 4
    assert {row["error"]["kind"] for row in judged if row.get("error")} <= {"transport"}
    answered = {row["item"] for row in first.rows("answers")}
    second = Result(replace(experiment, judges=(judge(),)), tmp_path)
    assert second.error is None
    assert second.asked["judge"] == 12, "the four are not asked again"
    assert second.asked["m"] <= 16 - len(answered)
    assert rate.overall(second.table)[0].n == 16


def test_an_unreachable_model_ends_the_run(small, tmp_path):
    policy = RetryPolicy(attempts=1, first_wait=0.0, longest_wait=0.0, give_up_after=3)
    dead = model("m", script=("ok",) * 6 + ("500",) * 1000, concurrency=1)
    result = Result(Experiment(benchmark=small, models=(dead,), judges=(judge(),)), tmp_path, retry=policy)
    assert isinstance(result.error, Unreachable)
    complete = [row for row in result.rows("answers") if len(row.get("turns", ())) == 2]
    assert len(complete) == 3
    assert len(result.rows("judgments")) >= 2, "what was answered is judged, or asked about, before the end"


def test_empty_answers_are_judged(small, tmp_path):
    silent = model("m", script=("empty",) * 16)
    result = Result(Experiment(benchmark=small, models=(silent,), judges=(judge(),)), tmp_path)
    assert len(result.rows("judgments")) == 16
    assert {tuple(row["lengths"]) for row in result.rows("judgments")} == {(0,)}
    assert result.watch.failed == 0


@pytest.mark.parametrize("step", ["refuse", "garbage", "400"])
def test_answers_that_failed_are_not_judged_but_counted(small, tmp_path, step):
    failing = model("bad", script=(step,) * 8)
    experiment = Experiment(benchmark=small, models=(failing, model("good")), judges=(judge(),))
    result = Result(experiment, tmp_path)
    assert result.asked["judge"] == 16
    by_name = {score.model.name: score for score in rate.overall(result.table)}
    assert by_name["good"].n == 16
    assert by_name["bad"].score is None
    assert sum(by_name["bad"].failed.values()) == 8


def test_everything_failed(small, tmp_path):
    result = Result(Experiment(benchmark=small, models=(model("m"),), judges=(judge(mumble=1.0),)), tmp_path)
    (score,) = rate.overall(result.table)
    assert score.score is None
    assert score.failed == {"unparsed": 16}
    assert result.watch.failed == 16


def test_stopping_finishes_what_is_under_way(small, tmp_path):
    """As Ctrl-C does: no new request, everything under way stored."""
    slow = model("m", delay=0.05, concurrency=2)
    experiment = Experiment(benchmark=small, models=(slow,), judges=(judge(),))
    clients, store, watch = Clients(PRICES, IMPATIENT), Store(tmp_path, "pocket"), Watch(0, 0)

    async def stopped() -> None:
        running = asyncio.create_task(pipeline.run(experiment, clients, store, watch))
        while clients.of(slow).traffic.answered < 2:
            await asyncio.sleep(0.001)
        clients.stopping.set()
        await running

    asyncio.run(stopped())
    store.close()
    traffic = dict(clients.traffic)
    assert 0 < traffic["m"].asked < 16
    assert traffic["m"].asked == traffic["m"].answered
    lines = (tmp_path / "pocket/answers/m.jsonl").read_text().splitlines()
    assert len(lines) == traffic["m"].answered


def test_a_table_for_those_who_take_part(small, tmp_path):
    Result(Experiment(benchmark=small, models=(model("other"),), judges=(judge(),)), tmp_path)
    result = Result(Experiment(benchmark=small, models=(model("m"),), judges=(judge(),)), tmp_path)
    assert set(result.scores()) == {"m"}
