"""The dry run's numbers against what a real run then asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evalkit.backends.fake import Fake
from evalkit.core.protocols import Judge, Model, Sampling
from evalkit.datasets import benchmark
from evalkit.engine import pipeline
from evalkit.engine.forecast import Estimate, forecast
from evalkit.engine.pipeline import Experiment
from evalkit.engine.progress import Watch
from evalkit.judges.single import Single
from evalkit.models.client import Clients
from evalkit.models.prices import Price, PriceTable
from evalkit.storage.store import Store

PRICES = PriceTable("2026-01", {"dear": Price(10.0, 30.0)})


def experiment(**options) -> Experiment:
    loaded = asyncio.run(benchmark.load("pocket", limit=1))
    model = Model(name="m", backend=Fake(model="m", delay=0.002, concurrency=4), price="free")
    judge = Judge("j", Model(name="j", backend=Fake(model="j"), price="dear"), Single(), loaded.references)
    return Experiment(benchmark=loaded, models=(model,), judges=(judge,), **options)


def estimates(wanted: Experiment, folder: Path) -> list[Estimate]:
    return asyncio.run(forecast(wanted, Clients(PRICES), Store(folder, "pocket")))


def run(wanted: Experiment, folder: Path) -> dict[str, int]:
    """Calls by client."""

    async def all_of_it() -> dict[str, int]:
        clients, store = Clients(PRICES), Store(folder, "pocket")
        await pipeline.run(wanted, clients, store, Watch(0, 0))
        store.close()
        return {name: totals.asked for name, totals in clients.traffic}

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("repeats", [1, 3])
def test_calls_are_those_of_the_run(tmp_path, repeats):
    wanted = experiment(repeats=repeats)
    model, judge = estimates(wanted, tmp_path)
    assert (model.role, model.name, model.calls, model.stored) == ("model", "m", 16, 0)
    assert (judge.role, judge.name, judge.calls, judge.stored) == ("judge", "j", 16 * repeats, 0)
    assert run(wanted, tmp_path) == {"m": model.calls, "j": judge.calls}


def test_nothing_is_written(tmp_path):
    estimates(experiment(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_stored_costs_nothing(tmp_path):
    run(experiment(), tmp_path)
    model, judge = estimates(experiment(), tmp_path)
    assert (model.calls, model.stored, model.cost, model.seconds) == (0, 16, 0.0, 0.0)
    assert (judge.calls, judge.stored, judge.cost, judge.seconds) == (0, 16, 0.0, 0.0)
    more = estimates(experiment(repeats=2), tmp_path)[1]
    assert (more.calls, more.stored) == (16, 16)


def test_cost_is_tokens_times_price(tmp_path):
    model, judge = estimates(experiment(), tmp_path)
    assert model.cost == 0.0
    assert judge.prompt_tokens > 16 * 200
    assert judge.completion_tokens == 16 * 300
    assert judge.cost == pytest.approx((judge.prompt_tokens * 10 + judge.completion_tokens * 30) / 1e6)


def test_an_unknown_price_is_said(tmp_path):
    wanted = experiment()
    unknown = Model(name="u", backend=Fake(model="nobody-knows"))
    estimate = estimates(Experiment(benchmark=wanted.benchmark, models=(unknown,), judges=wanted.judges), tmp_path)[0]
    assert estimate.cost is None


def test_answers_are_taken_to_be_half_of_what_they_may_be(tmp_path):
    assert estimates(experiment(), tmp_path)[0].completion_tokens == 16 * 512 // 2
    wanted = experiment()
    short = Model(name="s", backend=Fake(model="s"), sampling=Sampling(max_tokens=40))
    few = estimates(Experiment(benchmark=wanted.benchmark, models=(short,), judges=wanted.judges), tmp_path)
    assert few[0].completion_tokens == 16 * 20
    assert few[1].prompt_tokens < estimates(experiment(), tmp_path)[1].prompt_tokens, "the judge reads what is short"


def test_habits_come_from_stored_rows(tmp_path):
    """Half of the items are there: length and speed of the others are guessed from them."""
    wanted = experiment()
    half = Experiment(
        benchmark=type(wanted.benchmark)(
            spec=wanted.benchmark.spec, items=wanted.benchmark.items[:4], references="own", hashes={}
        ),
        models=wanted.models,
        judges=wanted.judges,
    )
    run(half, tmp_path)
    model, judge = estimates(wanted, tmp_path)
    assert (model.calls, model.stored) == (8, 8)
    assert (judge.calls, judge.stored) == (8, 8)
    assert model.completion_tokens / 8 == pytest.approx(62, abs=3), "as the fake writes"
    took = [row.latency / len(row.usage) for row in Store(tmp_path, "pocket").responses(wanted.models[0].name)]
    assert len(took) == 4
    assert model.seconds == pytest.approx(8 * sum(took) / 4 / wanted.models[0].backend.concurrency)
    assert model.seconds > 0


def test_failures_that_will_be_asked_again_count(tmp_path):
    sound = experiment()
    wanted = Experiment(
        benchmark=sound.benchmark,
        models=sound.models,
        judges=(
            Judge("j", Model(name="j", backend=Fake(model="j", mumble=1.0)), Single(), sound.benchmark.references),
        ),
    )
    run(wanted, tmp_path)
    assert estimates(wanted, tmp_path)[1].calls == 0
    again = Experiment(
        benchmark=wanted.benchmark, models=wanted.models, judges=wanted.judges, ask_again=frozenset({"unparsed"})
    )
    assert estimates(again, tmp_path)[1].calls == 16


def test_the_forecast_is_close(tmp_path):
    """Prompts are rendered for real, so with known habits the tokens of a second batch are near those counted."""
    wanted = experiment()
    run(wanted, tmp_path)
    other = Judge("j", Model(name="j", backend=Fake(model="j"), price="dear"), Single(system="Other words."), "own")
    planned = Experiment(benchmark=wanted.benchmark, models=wanted.models, judges=(other,))
    judge = estimates(planned, tmp_path)[1]

    async def spent() -> int:
        clients, store = Clients(PRICES), Store(tmp_path, "pocket")
        await pipeline.run(planned, clients, store, Watch(0, 0))
        return next(totals.usage.prompt_tokens for name, totals in clients.traffic if name == "j")

    assert judge.prompt_tokens == pytest.approx(asyncio.run(spent()), rel=0.1)


def test_the_ratio_of_characters_to_tokens_is_learned(tmp_path):
    run(experiment(), tmp_path)  # the fake engine counts four characters a token, and no template
    judge = estimates(experiment(repeats=2), tmp_path)[1]
    assert judge.known["rows"] == 16
    assert judge.characters_per_token == pytest.approx(judge.known["characters"] / judge.known["tokens"])
    assert 4.0 < judge.characters_per_token < 4.5
    asked = run(experiment(repeats=2), tmp_path)
    assert asked["j"] == judge.calls
    rows = [row for row in Store(tmp_path, "pocket").judgments("j", "single") if row.repeat == 1]
    assert judge.prompt_tokens == pytest.approx(sum(row.usage.prompt_tokens for row in rows), rel=0.01)


def test_habits_come_from_other_benchmarks_too(tmp_path):
    run(experiment(), tmp_path)
    model, judge = asyncio.run(forecast(experiment(), Clients(PRICES), Store(tmp_path, "another")))
    assert (model.calls, judge.calls) == (16, 16)
    assert model.completion_tokens == pytest.approx(16 * 62, rel=0.1)  # rather than half of what is allowed
    assert judge.completion_tokens < 16 * 30
