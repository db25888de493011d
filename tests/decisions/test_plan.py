"""A plan says what stored verdicts support: numbers from planted variance, and what is not known."""

import json

import msgspec
import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Ref
from evalkit.decisions.plan import plan
from tests.decisions.rows import store
from tests.decisions.test_compare import planted
from tests.ratings.rows import judged, single


def test_questions_for_a_planted_variance(tmp_path):
    (found,) = plan([store(tmp_path, planted(0.0, 400, noise=0.5))], 0.1)
    assert found.components.questions == pytest.approx(0.5, rel=0.25)
    wanted = found.components.questions * (2.8 / 0.1) ** 2
    assert found.best.questions == pytest.approx(wanted, rel=0.02)
    assert found.best.judgments == 2 * found.best.questions
    assert any("no verdict was repeated" in text for text in found.sentences())
    assert any("no question was judged by two" in text for text in found.sentences())


def test_repeats_are_worth_what_they_lower(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        single(name, float(5 + rng.normal(0, 1)), f"q{q}", repeat=repeat)
        for q in range(100)
        for name in ("new", "old")
        for repeat in range(3)
    ]
    (found,) = plan([store(tmp_path, rows)], 0.3)
    assert found.components.repeats == pytest.approx(2.0, rel=0.2)
    by_repeats = {one.repeats: one.questions for one in found.designs}
    assert by_repeats[5] < by_repeats[2] < by_repeats[1]
    assert not any("repeated" in text for text in found.sentences())


def test_judges_and_cost(tmp_path):
    rows = planted(0.0, 60)
    rows = [msgspec.structs.replace(row, cost=0.01) for row in rows]
    other = [
        msgspec.structs.replace(row, judge=Ref("other", "o"), scores=(row.scores[0] * 0.9,), cost=0.03) for row in rows
    ]
    (found,) = plan([store(tmp_path, rows + other)], 0.5)
    assert found.judges == ("gpt4", "other")
    assert found.components.judges is not None
    assert found.best.cost == pytest.approx(0.02 * found.best.judgments)
    assert f"${found.best.cost:.2f}" in found.sentences()[0]


def test_preferences_in_points(tmp_path):
    rng = np.random.default_rng(1)
    rows = [judged("new", "old", (1.0, 0.0) if rng.random() < 0.5 else (0.0, 1.0), f"q{q}") for q in range(200)]
    (found,) = plan([store(tmp_path, rows)], 10)
    assert found.unit == "percentage points"
    assert found.best.questions == pytest.approx(785, rel=0.05)  # of a fair coin's ±100: (2.8 * 100 / 10)^2


def test_enough_is_said(tmp_path):
    (found,) = plan([store(tmp_path, planted(0.0, 200, noise=0.2))], 1.0)
    assert "the 200 there are suffice" in found.sentences()[0]


def test_nothing_to_plan_from_says_why(tmp_path, cli):
    folder = store(tmp_path, [single("only", 5.0, f"q{q}") for q in range(10)])
    with pytest.raises(UsageError, match="two models judged on the same questions"):
        plan([folder], 0.2)
    for arguments in (["--detect", "0"], ["--detect", "0.2", "--power", "1"]):
        ended = cli("plan", str(folder), *arguments)
        assert ended.code == 2
        assert "Traceback" not in ended.err


@pytest.mark.parametrize("form", ["table", "json", "md"])
def test_every_form_says_the_same(tmp_path, cli, form):
    folder = store(tmp_path, planted(0.0, 100))
    ended = cli("plan", str(folder), "--detect", "0.2", "--format", form)
    assert ended.code == 0, ended.err
    (found,) = plan([folder], 0.2)
    if form == "json":
        data = json.loads(ended.out)
        assert data["schema"] == "evalkit.plan/1"
        assert data["rows"][0]["designs"][0]["questions"] == found.best.questions
    else:
        assert f"{found.best.questions:,}" in ended.out


def test_a_table_of_battles_is_to_be_imported_first(tmp_path):
    table = tmp_path / "battles.csv"
    table.write_text("model_a,model_b,winner\nx,y,model_a\n")
    with pytest.raises(UsageError, match=r"battles.csv.*evalkit import battles"):
        plan([table], 1.0)
