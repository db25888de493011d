"""Is A better than B: every sentence has planted data on which it is said, and others on which it is not."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Ref
from evalkit.decisions.compare import compare
from tests.decisions.rows import person, store
from tests.ratings.rows import judged, single
from tests.shared_data import shared_data

MODEL_YAML = "{0}:\n  backend: {{_target_: evalkit.backends.fake.Fake, model: {0}, skill: {1}}}\n  price: free\n"


def planted(gap, questions=60, noise=1.0, seed=0, names=("new", "old"), **changes):
    """Two models that share the difficulty of questions and differ by this much."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(questions):
        base = rng.normal(5.5, 1.5)
        for name, level in zip(names, (gap, 0.0), strict=True):
            score = float(np.clip(base + level + rng.normal(0, noise), 1, 10))
            rows.append(single(name, score, f"q{q}", **changes))
    return rows


def only(folder, a="new", b="old", **more):
    found, _ = compare(a, b, [folder], **more)
    return found[0]


def test_the_two_checkpoints(tmp_path, cli):
    cli("import", "fastchat", str(shared_data("trials", "two_checkpoints")), "--into", str(tmp_path / "r"))
    one = only(tmp_path / "r", "ckpt-new", "ckpt-old")
    assert one.interval.estimate == pytest.approx(-0.375)
    assert one.interval.estimate / one.interval.standard_error == pytest.approx(-4.4, abs=0.05)
    assert one.sentence() == (
        "ckpt-new is worse than ckpt-old by 0.375 points (95% 0.200 to 0.549). Differences larger than 0.549 are "
        "excluded."
    )
    for verb, form in (("leaderboard", "table"), ("leaderboard", "json"), ("leaderboard", "html"), ("compare", "json")):
        names = ("ckpt-new", "ckpt-old") if verb == "compare" else ()
        assert "-0.375" in cli(verb, *names, str(tmp_path / "r"), "--format", form).out


@pytest.mark.parametrize(("gap", "word"), [(0.9, "is better than"), (-0.9, "is worse than")])
def test_better_and_worse_are_said_where_the_interval_leaves_out_zero(tmp_path, gap, word):
    one = only(store(tmp_path, planted(gap)))
    assert f"new {word} old" in one.sentence()
    assert one.interval.lower * one.interval.upper > 0


def test_no_difference_names_what_is_excluded_and_what_would_have_been_found(tmp_path):
    one = only(store(tmp_path, planted(0.0)))
    assert one.interval.lower < 0 < one.interval.upper
    largest = max(-one.interval.lower, one.interval.upper)
    assert f"Differences larger than {largest:.3f} are excluded" in one.sentence()
    assert one.excluded == pytest.approx(largest)
    assert f"one of {one.interval.detectable():.3f} would have been found 8 times in 10" in one.sentence()


@pytest.mark.slow
def test_what_is_excluded_is_the_truth_in_95_of_100_draws():
    """Both sentences keep their word: a true difference beyond what is excluded is rare."""
    from evalkit.stats.paired_differences import paired_differences

    rng = np.random.default_rng(3)
    beyond = missed = 0
    for _ in range(600):
        values = rng.normal([0.3, 0.0], 0.7, size=(50, 2)) + rng.normal(size=(50, 1))
        found = paired_differences(values, np.arange(50)).intervals[0]
        beyond += max(-found.lower, found.upper) < 0.3
        missed += found.lower <= 0
    assert beyond / 600 < 0.05
    size = 0.7 * np.sqrt(2 / 50)
    detectable = (2.01 + 0.85) * size  # of 80% power
    assert detectable > 0.3
    assert 0.2 < missed / 600 < 0.7


def test_shares_are_of_questions_and_add_up(tmp_path):
    rows = [
        single(name, score, f"q{q}")
        for q in range(10)
        for name, score in (("new", 6.0 + (q < 3) - (q > 7)), ("old", 6.0))
    ]
    one = only(store(tmp_path, rows))
    assert (one.better, one.worse, one.equal, one.questions) == (3, 2, 5, 10)


def test_categories_one_by_one(tmp_path):
    rows = planted(1.5, 20, category="math") + [
        msgspec.structs.replace(row, item=f"w{row.item}") for row in planted(-1.5, 20, seed=1, category="writing")
    ]
    found, _ = compare("new", "old", [store(tmp_path, rows)], by_category=True)
    assert [one.category for one in found] == [None, "math", "writing"]
    assert found[1].interval.estimate > 0.5 > -0.5 > found[2].interval.estimate


def test_three_questions_have_no_interval_and_say_so(tmp_path):
    one = only(store(tmp_path, planted(1.0, 3)))
    assert one.interval.lower is None
    assert "no interval: needs at least 4 questions" in one.sentence()
    assert one.excluded is None


def test_failures_are_named_with_their_bounds_where_uneven(tmp_path):
    rows = planted(0.0, 40)
    lost = [
        msgspec.structs.replace(row, scores=None, error=Failure("refused", "no"))
        if row.models[0].name == "new" and int(row.item[1:]) < 15
        else row
        for row in rows
    ]
    one = only(store(tmp_path, lost))
    assert one.questions == 25
    assert one.failed == (15, 0)
    assert one.worst[0] < one.interval.estimate < one.worst[1]
    assert "failures are uneven: new fails more often" in one.about_failures()
    even = only(store(tmp_path / "even", rows))
    assert even.about_failures() is None


def test_preferences_both_ways_are_the_same_up_to_sign(tmp_path):
    rows = [judged("new", "old", (1.0, 0.0) if q % 3 else (0.0, 1.0), f"q{q}") for q in range(30)]
    folder = store(tmp_path, rows)
    one, other = only(folder), only(folder, "old", "new")
    assert one.interval.estimate == pytest.approx(100 / 3)
    assert other.interval.estimate == pytest.approx(-100 / 3)
    assert other.interval.lower == pytest.approx(-one.interval.upper)
    assert (one.better, one.worse) == (other.worse, other.better) == (20, 10)


def test_models_that_never_met_are_compared_against_their_baseline(tmp_path):
    rows = []
    for q in range(24):
        rows.append(judged("base", "new", (0.0, 1.0) if q % 4 else (1.0, 0.0), f"q{q}"))
        rows.append(judged("base", "old", (0.0, 1.0) if q % 2 else (1.0, 0.0), f"q{q}"))
    one = only(store(tmp_path, rows))
    assert one.verdicts.kind == "win rate"
    assert one.interval.estimate == pytest.approx(25.0)


def test_two_folders_of_one_model(tmp_path):
    before = store(tmp_path / "before", [row for row in planted(0.0) if row.models[0].name == "old"])
    after = store(
        tmp_path / "after",
        [
            msgspec.structs.replace(row, models=(Ref("old", "2"),))
            for row in planted(0.0)
            if row.models[0].name == "old"
        ],
    )
    found, what = compare(str(after), str(before), [])
    assert (found[0].verdicts.a, found[0].verdicts.b) == ("old@after", "old@before")
    assert found[0].interval.estimate == pytest.approx(0.0)
    assert found[0].equal == 60
    assert what.notes == ()


def test_a_run_as_path_has_its_own_configurations_alone(tmp_path):
    rows = planted(-1.0)
    newer = [
        msgspec.structs.replace(row, models=(Ref("new", "2"),), key=f"{row.key}-2")
        for row in planted(1.0)
        if row.models[0].name == "new"
    ]
    folder = store(tmp_path, rows + newer) / rows[0].benchmark
    for name, prints in (("monday", "1"), ("tuesday", "2")):
        (folder / "runs" / name).mkdir(parents=True)
        models = {"old": {"fingerprint": rows[0].models[0].fingerprint}, "new": {"fingerprint": prints}}
        manifest = {"benchmark": rows[0].benchmark, "models": models}
        (folder / "runs" / name / "manifest.json").write_text(json.dumps(manifest))
    prints = {row.models[0].name: row.models[0].fingerprint for row in rows}
    assert prints == {"new": "1", "old": "1"}
    monday, tuesday = (
        compare("new", "old", [folder / "runs" / name])[0][0].interval.estimate for name in ("monday", "tuesday")
    )
    assert monday == pytest.approx(-1.0, abs=0.3)
    assert tuesday == pytest.approx(1.0, abs=0.3)


def test_another_judge_configuration_in_one_place_is_said(tmp_path):
    one = store(tmp_path / "one", [row for row in planted(0.0) if row.models[0].name == "old"])
    other = store(
        tmp_path / "other",
        [msgspec.structs.replace(row, judge=Ref("gpt4", "j2")) for row in planted(0.0) if row.models[0].name == "old"],
    )
    found, what = compare(str(one), str(other), [])
    assert found[0].questions == 60
    assert "'gpt4' differs in configuration" in what.notes[0]


def test_two_judges_on_the_same_answers(tmp_path):
    rows = planted(0.0)
    strict = [
        msgspec.structs.replace(row, judge=Ref("strict", "s"), scores=(max(1.0, row.scores[0] - 0.5),)) for row in rows
    ]
    one = only(store(tmp_path, rows + strict), "strict", "gpt4")
    assert one.interval.estimate == pytest.approx(-0.5, abs=0.02)
    assert "strict scores lower than gpt4 by 0." in one.sentence()


def test_unknown_names_are_told_what_there_is(tmp_path):
    folder = store(tmp_path, planted(0.0))
    with pytest.raises(UsageError, match="did you mean 'old'"):
        compare("new", "olt", [folder])
    with pytest.raises(UsageError, match="a model and a judge"):
        compare("new", "gpt4", [folder])
    with pytest.raises(UsageError, match="itself"):
        compare("new", "new", [folder])


def voted(labelled, errors=0.0, seed=5):
    """A judge that prefers new by 40 points, people by 20; people vote on these questions."""
    rng = np.random.default_rng(seed)
    rows = []
    for q in range(200):
        truth = rng.random() < 0.6
        said = truth or rng.random() < 0.25
        rows.append(judged("new", "old", (1.0, 0.0) if said else (0.0, 1.0), f"q{q}"))
        if q in labelled:
            rows.append(person(judged("new", "old", (1.0, 0.0) if truth else (0.0, 1.0), f"q{q}")))
    return rows


def test_people_correct_the_judge(tmp_path):
    one = only(store(tmp_path, voted(range(0, 200, 2))))
    got = one.corrected
    assert got.refused is None
    assert (got.labelled, got.unlabelled) == (100, 100)
    assert got.interval.estimate < one.interval.estimate
    assert got.interval.lower < 20 < got.interval.upper
    assert "(PPI++)" in one.about_people()


def test_few_labels_are_refused_with_the_number(tmp_path):
    one = only(store(tmp_path, voted(range(6))))
    assert one.corrected.interval is None
    assert "labels are on 6 questions" in one.about_people()
    assert "Not corrected" in one.about_people()


def test_labels_of_other_questions_than_the_rest_are_refused(tmp_path):
    rows = [judged("new", "old", (1.0, 0.0) if q < 50 or q % 2 else (0.0, 1.0), f"q{q}") for q in range(200)]
    rows += [person(judged("new", "old", (1.0, 0.0) if q % 5 else (0.0, 1.0), f"q{q}")) for q in range(50)]
    one = only(store(tmp_path, rows))
    assert one.corrected.interval is None
    assert "no random part" in one.about_people()


def test_a_file_of_votes_corrects_too(tmp_path, cli):
    folder = store(tmp_path / "r", [row for row in voted(()) if row.judge.name == "gpt4"])
    votes = tmp_path / "votes.csv"
    lines = [f"q{q},new,old,{'model_a' if q % 5 < 3 else 'model_b'}" for q in range(0, 200, 3)]
    votes.write_text("\n".join(["item,model_a,model_b,winner", *lines]))
    ended = cli("compare", "new", "old", str(folder), "--human", str(votes), "--format", "json")
    row = json.loads(ended.out)["rows"][0]
    assert row["corrected"]["labelled"] == len(lines)
    assert row["corrected"]["difference"] == pytest.approx(20, abs=20)


def test_a_file_counts_whom_stored_votes_count_and_says_whom_not(tmp_path, cli):
    """The largest group of people, of each person the last vote; whichever way the labels came."""
    votes = [("expert_1", f"q{q}", q % 5 < 3) for q in range(0, 200, 4)]
    votes += [("expert_2", f"q{q}", q % 3 > 0) for q in range(0, 120, 4)]
    votes += [(f"author_{1 + q % 4 // 2}", f"q{q}", True) for q in range(1, 60, 2)]
    votes += [("expert_1", "q0", False)]  # who had voted for the first before
    lines = [f"{who},{item},new,old,{'model_a' if first else 'model_b'}" for who, item, first in votes]
    (tmp_path / "votes.csv").write_text("\n".join(["judge,item,model_a,model_b,winner", *lines]))
    judge = [row for row in voted(()) if row.judge.name == "gpt4"]
    people = [
        judged("new", "old", (1.0, 0.0) if first else (0.0, 1.0), item, judge=who, fingerprint="human", repeat=number)
        for number, (who, item, first) in enumerate(votes)
    ]
    stored = only(store(tmp_path / "both", judge + people))
    store(tmp_path / "judge", judge)
    asked = ("compare", "new", "old", "judge", "--human", "votes.csv")
    (row,) = json.loads(cli(*asked, "--format", "json").out)["rows"]
    assert row["corrected"]["labelled"] == stored.corrected.labelled == 50
    assert row["corrected"]["difference"] == pytest.approx(stored.corrected.interval.estimate)
    assert stored.about_people().endswith("Labels of other people (author) are not counted.")
    assert "(author) are not counted" in " ".join(cli(*asked).out.split())


def test_json_has_the_documented_fields_and_the_questions_that_moved(tmp_path, cli):
    folder = store(tmp_path, planted(0.5))
    data = json.loads(cli("compare", "new", "old", str(folder), "--format", "json").out)
    assert data["schema"] == "evalkit.compare/1"
    (row,) = data["rows"]
    wanted = {
        "a",
        "b",
        "judge",
        "protocol",
        "category",
        "difference",
        "lower",
        "upper",
        "n",
        "better",
        "worse",
        "equal",
    }
    assert wanted <= row.keys()
    assert row["better"] + row["worse"] + row["equal"] == pytest.approx(1.0)
    gaps = [abs(moved["difference"]) for moved in row["moved"]]
    assert gaps == sorted(gaps, reverse=True)
    assert len(gaps) == 20


@pytest.mark.parametrize("form", ["table", "csv", "md", "latex", "html"])
def test_hostile_names_do_no_harm(tmp_path, cli, form):
    rows = planted(0.9, names=("=cmd()<b>\x1b[31m", "old"))
    ended = cli("compare", "=cmd()<b>\x1b[31m", "old", str(store(tmp_path, rows)), "--format", form)
    assert ended.code == 0, ended.err
    assert "\x1b[31m" not in ended.out
    assert "cmd()<b>" not in ended.out or form in ("table", "csv", "latex")


def test_nothing_there_is_a_message(tmp_path, cli):
    ended = cli("compare", "a", "b", str(tmp_path / "missing"))
    assert ended.code == 2
    assert "missing" in ended.err
    assert "Traceback" not in ended.err
    assert not Path("results").exists()
