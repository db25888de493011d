"""`dry_run=true detect=SIZE`: what a difference takes, by what is stored, and what is said where nothing is."""

import re

import msgspec
import pytest

from evalkit.decisions.plan import plan
from evalkit.stats.variance_components import questions_to_detect, size_to_detect
from tests.decisions.rows import store
from tests.decisions.test_compare import planted

RUN = ("run", "pocket", "model=fake", "judge=fake", "dry_run=true", "results_dir=r")


def words(text):
    return " ".join(text.split())


def test_it_plans_from_what_is_stored_of_the_benchmark(cli, tmp_path):
    folder = store(tmp_path / "r", planted(0.0, 300, benchmark="pocket"))
    (wanted,) = plan([folder / "pocket"], 0.2)
    said = words(cli(*RUN, "detect=0.2").err)
    assert "To find a difference of 0.2 points 80% of the time" in said
    assert f"{wanted.best.questions:,} questions, 1 verdict on each" in said
    size = size_to_detect(wanted.components.of_mean(1, 1), 24)
    assert f"This run's 24 questions would find a difference of {size:.2g} points 80% of the time." in said
    assert "by what is stored of" not in said


def test_another_benchmarks_judgments_serve_and_are_named(cli, tmp_path):
    store(tmp_path / "r", planted(0.0, 300, benchmark="other"))
    assert "by what is stored of other" in words(cli(*RUN, "detect=0.2").err)


@pytest.mark.parametrize(("protocol", "unit"), [("single", "points"), ("pairwise", "percentage points")])
def test_without_any_several_spreads_are_tried_and_that_is_said(cli, protocol, unit):
    said = words(cli(*RUN, "model=fake,smollm2", f"protocol={protocol}", "detect=4").err)
    assert f"no judgments of two models under {protocol} are stored" in said
    found = re.findall(
        rf"With a standard deviation of ([\d.]+), ([\d,]+) questions find a difference of 4 {unit}", said
    )
    assert len(found) == 3
    for deviation, questions in found:
        assert int(questions.replace(",", "")) == questions_to_detect(float(deviation) ** 2, 4)


def test_repeats_and_judges_of_this_run_count(cli, tmp_path):
    rows = planted(0.0, 200, benchmark="pocket")
    again = [msgspec.structs.replace(row, repeat=1, key=row.key + "x") for row in planted(0.0, 200, seed=1)]
    again = [msgspec.structs.replace(row, benchmark="pocket") for row in again]
    store(tmp_path / "r", rows + again)
    sizes = [
        float(re.search(r"would find a difference of ([\d.]+)", words(cli(*RUN, "detect=1", f"repeats={n}").err))[1])
        for n in (1, 5)
    ]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("detect=0",), "detect=0: the size of a difference, above 0"),
        (("detect=-1",), "above 0"),
        (("detect=x",), "detect"),
        (("detect=0.2", "dry_run=false"), "add dry_run=true"),
    ],
)
def test_mistakes_are_told_what_to_do(cli, given, told):
    ended = cli(*RUN, *given)
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err


def test_size_and_questions_agree():
    for variance, size in ((1.0, 0.2), (4.0, 0.5), (2500.0, 10.0)):
        questions = questions_to_detect(variance, size)
        assert size_to_detect(variance, questions) == pytest.approx(size, rel=0.01)
