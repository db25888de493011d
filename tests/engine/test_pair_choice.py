"""Tournaments on fakes: what is asked, what is not, how one that was stopped goes on, and what failures do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from evalkit.backends.fake import Fake
from evalkit.core.protocols import Judge, Model, UsageError
from evalkit.core.schema import Item
from evalkit.datasets import benchmark
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine import pipeline
from evalkit.engine.experiment import Experiment
from evalkit.engine.pair_choice import outcome
from evalkit.engine.progress import Watch
from evalkit.engine.stopping_rule import StoppingRule
from evalkit.engine.tournament_forecast import tournament_forecast
from evalkit.judges.pairwise import Pairwise
from evalkit.judges.single import Single
from evalkit.models.client import Clients
from evalkit.models.prices import PriceTable
from evalkit.models.retry import RetryPolicy
from evalkit.ratings.standing import Board
from evalkit.ratings.tournament import TournamentOutcome, after_choosing
from evalkit.storage.store import Store

QUESTIONS = 60
ALL_PAIRS = 6 * QUESTIONS * 2
IMPATIENT = RetryPolicy(attempts=1, first_wait=0.0, longest_wait=0.0, give_up_after=10_000)


@pytest.fixture(scope="module")
def asked() -> Benchmark:
    pocket = asyncio.run(benchmark.load("pocket", limit=1))
    items = [Item(id=f"q{i}", benchmark="pocket", category="any", turns=(f"Question {i}?",)) for i in range(QUESTIONS)]
    return replace(pocket, items=tuple(items))


def model(name: str, **fields: object) -> Model:
    return Model(name=name, backend=Fake(model=name, **fields), price="free")  # type: ignore[arg-type]


def judge(name: str = "judge", **fields: object) -> Judge:
    return Judge(name, model(name, **fields), Pairwise(), "none")


MODELS = tuple(model(name, skill=skill) for name, skill in {"a": 3.0, "b": 5.0, "c": 7.0, "d": 9.0}.items())


def experiment(asked: Benchmark, rule: StoppingRule | None, *judges: Judge, models=MODELS) -> Experiment:
    return Experiment(benchmark=asked, models=models, judges=judges or (judge(noise=1.0),), rule=rule)


class Played:
    """What one run did and left behind."""

    def __init__(self, wanted: Experiment, folder: Path) -> None:
        self.clients, self.watch = Clients(PriceTable("2026-01", {}), IMPATIENT), Watch(0, 0)
        store = Store(folder, "pocket")
        self.board: Board = asyncio.run(pipeline.run(wanted, self.clients, store, self.watch))
        self.judged = sum(totals.asked for name, totals in self.clients.traffic if name.startswith("judge"))
        self.outcome: TournamentOutcome | None = outcome(wanted, self.clients, store) if wanted.rule else None
        store.close()
        paths = sorted((folder / "pocket" / "judgments").glob("*.jsonl"))
        self.rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_it_finds_the_order_at_a_fraction_of_all_pairs(asked, tmp_path):
    played = Played(experiment(asked, StoppingRule("order")), tmp_path)
    found = played.outcome
    assert found is not None
    assert found.reached
    assert [(place.model, place.best, place.worst) for place in found.places] == [
        *(("d", 1, 1), ("c", 2, 2), ("b", 3, 3), ("a", 4, 4))
    ]
    assert found.judgments == played.judged == len(played.rows) < 0.5 * ALL_PAIRS
    assert found.all_pairs == ALL_PAIRS
    shown = [(row["item"], *(one["name"] for one in row["models"])) for row in played.rows]
    assert len(set(shown)) == len(shown)
    assert {(item, b, a) for item, a, b in shown} == set(shown), "both orders of every question"
    assert any("fewer" in sentence for sentence in found.sentences())


def test_the_same_command_asks_nothing_again(asked, tmp_path):
    first, again = (Played(experiment(asked, StoppingRule("order")), tmp_path) for _ in range(2))
    assert again.judged == 0
    assert again.outcome == first.outcome


@pytest.mark.parametrize("about", ["questions_like_these", "these_questions"])
def test_one_that_was_stopped_goes_on_where_it_was(asked, tmp_path, about):
    whole = Played(experiment(asked, StoppingRule("order", about=about)), tmp_path / "whole")
    part = Played(experiment(asked, StoppingRule("order", 60, about)), tmp_path / "part")
    assert part.outcome is not None
    assert not part.outcome.reached
    assert part.judged <= 60
    assert any("max_judgments=60 leaves no room" in sentence for sentence in part.outcome.sentences())
    rest = Played(experiment(asked, StoppingRule("order", about=about)), tmp_path / "part")
    assert rest.outcome is not None
    assert rest.outcome.reached
    assert rest.judged + part.judged == len(rest.rows) == rest.outcome.judgments
    assert whole.outcome is not None
    assert [place.model for place in rest.outcome.places] == [place.model for place in whole.outcome.places]


def test_half_a_unit_is_completed_and_not_asked_again(asked, tmp_path):
    """A run killed between the two orders of a question."""
    first = Played(experiment(asked, StoppingRule("order", 40)), tmp_path)
    path = next((tmp_path / "pocket" / "judgments").glob("*.jsonl"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    rest = Played(experiment(asked, StoppingRule("order")), tmp_path)
    keys = [row["key"] for row in rest.rows]
    assert len(keys) == len(set(keys))
    assert rest.judged == len(rest.rows) - (first.judged - 3)


def test_what_an_earlier_run_asked_of_all_pairs_counts(asked, tmp_path):
    Played(experiment(asked, None), tmp_path)
    later = Played(experiment(asked, StoppingRule("order")), tmp_path)
    assert later.judged == 0
    assert later.outcome is not None
    assert later.outcome.reached


def test_a_failed_unit_is_replaced_and_never_a_result(asked, tmp_path):
    played = Played(experiment(asked, StoppingRule("order"), judge(noise=1.0, mumble=0.2)), tmp_path)
    found = played.outcome
    assert found is not None
    failed_items = {
        (row["item"], *sorted(one["name"] for one in row["models"])) for row in played.rows if row.get("error")
    }
    assert sum(pair.failed for pair in found.pairs) == len(failed_items) > 0
    assert sum(pair.units for pair in found.pairs) + len(failed_items) == len(played.rows) / 2
    assert found.reached
    assert [place.model for place in found.places] == ["d", "c", "b", "a"]
    assert any(f"{len(failed_items)} units failed" in sentence for sentence in found.sentences())


def test_an_answer_that_never_came_is_passed_over(asked, tmp_path):
    models = (*MODELS[:3], model("d", skill=9.0, script=("400",) * 20))
    played = Played(experiment(asked, StoppingRule("order"), models=models), tmp_path)
    found = played.outcome
    assert found is not None
    assert found.reached
    lost = sum(pair.failed for pair in found.pairs if "d" in (pair.first, pair.second))
    assert lost > 0
    assert played.judged == len(played.rows) == found.judgments


def test_what_could_not_be_asked_is_asked_again(asked, tmp_path):
    faults = judge(noise=1.0, script=("ok",) * 20 + ("500",) * 10)
    first = Played(experiment(asked, StoppingRule("order", 60), faults), tmp_path)
    lost = [row["key"] for row in first.rows if row.get("error")]
    assert lost
    again = Played(experiment(asked, StoppingRule("order")), tmp_path)
    mended = {row["key"] for row in again.rows if not row.get("error")}
    assert again.outcome is not None
    assert again.outcome.reached
    assert mended & set(lost)


def test_a_panel_judges_every_unit(asked, tmp_path):
    judges = (judge("judge one", noise=1.0), judge("judge two", noise=2.0))
    found = Played(experiment(asked, StoppingRule("top1"), *judges), tmp_path)
    assert found.outcome is not None
    assert found.outcome.reached
    assert found.outcome.places[0].model == "d"
    assert len({row["judge"]["name"] for row in found.rows}) == 2
    assert found.outcome.judgments == len(found.rows) == 4 * sum(pair.units for pair in found.outcome.pairs)
    rows = after_choosing(found.board.standings, found.outcome)
    assert {row.judge for row in rows} == {"judge one", "judge two", "pooled"}
    for row in rows:  # the tournament's claims are the panel's, and no single judge's
        assert (row.columns["rank_best"] is None) == (row.judge != "pooled")


class Remembering(Fake):
    """An engine that remembers the beginnings of prompts."""

    prefix_cache = "slots"


def test_an_engine_that_remembers_prompts_is_asked_the_same(asked, tmp_path):
    engine = Remembering(model="judge", noise=1.0, concurrency=4)
    remembering = Judge("judge", Model(name="judge", backend=engine, price="free"), Pairwise(), "none")
    found = Played(experiment(asked, StoppingRule("order"), remembering), tmp_path).outcome
    assert found is not None
    assert found.reached
    assert [place.model for place in found.places] == ["d", "c", "b", "a"]


def test_equal_models_stay_undecided_and_it_says_why(asked, tmp_path):
    models = (model("a", skill=5.0), model("b", skill=5.0))
    found = Played(experiment(asked, StoppingRule("order"), judge(noise=0.0), models=models), tmp_path).outcome
    assert found is not None
    assert not found.reached
    assert [pair.winner for pair in found.pairs] == [None]
    assert any(sentence.startswith("undecided, as ") and "'a / b'" in sentence for sentence in found.sentences())


def test_ratings_of_chosen_pairs_have_no_intervals(asked, tmp_path):
    played = Played(experiment(asked, StoppingRule("order"), judge(noise=5.0)), tmp_path)
    assert played.outcome is not None
    rows = after_choosing(played.board.standings, played.outcome)
    assert {row.model for row in rows} == {"a", "b", "c", "d"}
    for row in rows:
        assert row.main is not None
        assert row.main.lower is row.main.upper is row.main.standard_error is None
        place = next(place for place in played.outcome.places if place.model == row.model)
        assert (row.columns["rank_best"], row.columns["rank_worst"]) == (place.best, place.worst)


def test_a_forecast_is_near_what_it_takes(asked, tmp_path):
    rule = StoppingRule("order", gap=0.9)
    played = Played(experiment(asked, rule, judge(noise=3.0)), tmp_path)
    assert played.outcome is not None
    (stated,) = tournament_forecast(experiment(asked, rule), played.outcome)
    assert "each model beats the next in 90%" in stated.sentence()
    (seen,) = tournament_forecast(experiment(asked, StoppingRule("order")), played.outcome)
    assert f"those of the {played.judged // 2:,} units that are stored" in seen.sentence()
    assert 0.5 < seen.median / played.judged < 2
    assert seen.low <= seen.median <= seen.high <= ALL_PAIRS


@pytest.mark.parametrize(
    ("until", "judges", "options", "message"),
    [
        ("orders", (judge(),), {}, "until='orders' is no goal; give order"),
        ("order", (judge(),), {"baseline": True}, "leave out either baseline or until"),
        ("order", (Judge("j", model("j"), Single(), "none"),), {}, "add protocol=pairwise"),
        ("order", (Judge("j", model("j"), Pairwise(), "none", batch=True),), {}, "leave judge.batch out"),
        ("top4", (judge(),), {}, "needs more than 4 models, and there are 4"),
    ],
)
def test_what_no_tournament_can_be_made_of(until, judges, options, message):
    with pytest.raises(UsageError, match=message):
        StoppingRule(until).check(["a", "b", "c", "d"], judges, **{"baseline": False, **options})
