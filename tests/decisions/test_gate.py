"""The gate: every verdict has planted data, error rates hold, and each form says the same."""

import json
import math
import os
import re
from dataclasses import replace
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from evalkit.core.protocols import UsageError
from evalkit.decisions.compare import compare
from evalkit.decisions.gate import against_itself, anytime_limits, decide, fixed_limits, gate, questions_needed
from evalkit.decisions.gate_output import to_junit, to_latex, to_markdown
from evalkit.stats.confidence_sequence import log_e_values
from tests.decisions.rows import store
from tests.decisions.test_compare import MODEL_YAML, planted
from tests.ratings.rows import judged


def decided(folder, **more):
    return gate("new", "old", [folder], **more)[0]


@pytest.mark.parametrize(
    ("gap", "margin", "verdict"),
    [(0.0, 0.8, "pass"), (1.0, 0.0, "pass"), (-1.5, 0.3, "fail"), (-0.5, 0.4, "inconclusive")],
)
def test_each_verdict_on_what_is_planted(tmp_path, gap, margin, verdict):
    found = decided(store(tmp_path, planted(gap)), margin=margin)
    assert found.verdict == verdict
    assert found.line().startswith(verdict.upper())
    assert (found.lower > -margin, found.upper < -margin) == (verdict == "pass", verdict == "fail")
    assert (found.more_items is not None) == (verdict == "inconclusive")


def test_a_limit_never_rounds_onto_the_margin_that_it_keeps_clear_of(tmp_path):
    found = decided(store(tmp_path, planted(0.0)), margin=0.8)
    close = replace(found, margin=0.05, lower=-0.04998, upper=0.3)
    assert " 90% -0.04998 to +0.3, margin 0.05," in close.line()
    assert " 90% -0.05 to +0.3, margin 0.05," in replace(close, lower=-0.05).line()
    assert " 90% -0.3 to -0.050002, margin 0.05," in replace(close, lower=-0.3, upper=-0.050002).line()


def test_the_limits_are_a_one_sided_test_each():
    """Wider by next to nothing, as these values form no steps."""
    from scipy import stats

    rng = np.random.default_rng(1)
    values = rng.normal(0.2, 1.0, 50)
    lower, upper = fixed_limits(values[:, None], np.ones(50), None, None, 0.05)
    test = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    assert (lower[0], upper[0]) == pytest.approx((test.low, test.high), abs=0.005)
    assert lower[0] <= test.low
    assert upper[0] >= test.high


@pytest.mark.parametrize("questions", [10, 20, 40])
@pytest.mark.parametrize("ties", [0.0, 0.1, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("margin", [0.0, 5.0, 8.0])
def test_verdicts_on_pairs_pass_on_the_margin_in_alpha_at_most_by_exact_sums(questions, ties, margin):
    """Every sample there is, with its probability: no draws, so no allowance for chance."""
    from scipy.stats import multinomial

    won, lost = (part.ravel() for part in np.indices((questions + 1, questions + 1)))
    there = won + lost == questions if ties == 0 else won + lost <= questions
    won, lost = won[there], lost[there]
    better = (1 - ties - margin / 100) / 2
    counts = np.stack([won, questions - won - lost, lost], axis=1)
    chance = multinomial.pmf(counts, questions, [better, ties, 1 - ties - better])
    place = np.arange(questions)[:, None]
    values = np.where(place < won, 100.0, np.where(place < won + lost, -100.0, 0.0))
    lower, upper = fixed_limits(values, np.ones(questions), 100.0, None, 0.05, preferences=True)
    assert chance[lower > -margin].sum() <= 0.05
    assert chance[upper < 0].sum() >= 0.01 or ties == 0.9  # not by refusing to decide
    if margin == 0:
        assert chance[upper < 0].sum() <= 0.05


def test_twenty_ties_do_not_exclude_that_one_question_in_ten_is_lost():
    """0.9 ** 20 is 12%: the limit is that of Clopper and Pearson, 1 - 0.05 ** (1 / 20), for one question unseen."""
    lower, upper = fixed_limits(np.zeros((20, 1)), np.ones(20), 100.0, None, 0.05, preferences=True)
    assert -lower[0] == pytest.approx(upper[0])
    assert upper[0] == pytest.approx(100 * (1 - 0.05 ** (1 / 20)), rel=0.02)


@pytest.mark.parametrize("questions", [10, 20, 50])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_rare_losses_alone_have_limits_like_clopper_and_pearsons(questions, lost):
    from scipy.stats import beta

    values = np.where(np.arange(questions) < lost, -100.0, 0.0)[:, None]
    lower, _ = fixed_limits(values, np.ones(questions), 100.0, None, 0.05, preferences=True)
    exact = 100 * beta.ppf(0.95, lost + 1, questions - lost)
    assert 0.97 * exact <= -lower[0] <= 1.15 * exact


def test_about_n_more_questions_decide_8_times_in_10():
    """The number holds where the difference is what it was seen to be."""
    rng = np.random.default_rng(2)
    deviation, gap, seen = 1.0, 0.2, 40
    values = rng.normal(0, 1, seen)
    values = (values - values.mean()) / values.std(ddof=1) * deviation
    lower, _ = fixed_limits(values[:, None], np.ones(seen), None, None, 0.05)
    more = questions_needed(values, -float(lower[0]), gap)
    total = seen + more
    again = rng.normal(gap, deviation, size=(total, 4000))
    found, _ = fixed_limits(again, np.ones(total), None, None, 0.05)
    assert (found > 0).mean() == pytest.approx(0.8, abs=0.03)


def test_a_difference_on_the_margin_is_never_decided(tmp_path):
    values = np.array([1.0, -1.0] * 20)
    assert questions_needed(values, 0.3, 0.0) is None
    assert questions_needed(values, 0.3, 1e-6) is None


@pytest.mark.parametrize("gap", [0.0, 0.25])
def test_false_passes_and_failures_on_the_boundary(gap):
    """A model exactly the margin worse: alpha of 5,000 pass, alpha fail."""
    rng = np.random.default_rng(3)
    values = np.clip(rng.normal(-gap, 1.2, size=(60, 5000)).round(1), -9, 9)
    values -= values.mean() + gap  # the mean over all draws is exactly the margin
    lower, upper = fixed_limits(values, np.ones(60), 9.0, None, 0.05)
    assert (lower > -gap).mean() < 0.06
    assert (upper < -gap).mean() < 0.06


def test_looking_after_every_question_keeps_alpha():
    """The sequential gate's bets over 1,000 runs of 150 looks; a t test, misused so, is wrong far more often."""
    rng = np.random.default_rng(4)
    values = rng.choice([-100.0, 0.0, 100.0], size=(1000, 150))
    for above in (True, False):
        evidence = log_e_values(values, 0.0, above=above, limits=(-100.0, 100.0))
        assert (evidence.max(axis=1) >= math.log(20)).mean() <= 0.05
    n = np.arange(1, 151)
    mean = np.cumsum(values, axis=1) / n
    deviation = np.sqrt(np.maximum(np.cumsum(values**2, axis=1) / n - mean**2, 1.0))
    t = (mean / deviation * np.sqrt(n))[:, 9::10]
    assert (t.max(axis=1) > 1.65).mean() > 0.1


def test_the_sequential_limits_are_those_of_the_bets():
    rng = np.random.default_rng(6)
    values = rng.choice([-100.0, 0.0, 100.0], p=[0.1, 0.3, 0.6], size=60)
    lower, upper = anytime_limits(values, 100.0, 0.05)
    assert lower < values.mean() < upper
    evidence = log_e_values(values, 0.0, limits=(-100.0, 100.0))
    assert (lower > 0) == (evidence.max() >= math.log(20))
    assert lower > 0


def test_the_rate_against_itself_is_that_of_equal_models():
    rng = np.random.default_rng(5)
    values = rng.normal(0.8, 1.0, 80)  # the difference itself must not matter
    found = against_itself(values, np.ones(80), 9.0, None, 0.0, 0.05)
    assert found.passed == pytest.approx(0.05, abs=0.02)
    assert found.failed == pytest.approx(0.05, abs=0.02)
    assert found.passed + found.failed + found.undecided == pytest.approx(1.0)
    wide = against_itself(values, np.ones(80), 9.0, None, 2.0, 0.05)
    assert wide.passed == 1.0


def test_repeated_verdicts_give_the_rate_where_there_are_some(tmp_path):
    rows = planted(0.0)
    again = [
        msgspec.structs.replace(
            row, repeat=1, scores=(min(10.0, row.scores[0] + (0.1 if q % 2 else -0.1)),), key=f"r{q}"
        )
        for q, row in enumerate(rows)
    ]
    assert decided(store(tmp_path / "once", rows), margin=0.0).against_itself.source == "split"
    found = decided(store(tmp_path / "twice", rows + again), margin=0.0).against_itself
    assert found.source == "repeats"
    assert found.passed < 0.15


def test_the_rate_is_that_of_as_many_questions_as_the_gate_used(tmp_path):
    rows = planted(0.0)
    again = [msgspec.structs.replace(row, repeat=1, key=f"r{q}") for q, row in enumerate(rows)]
    folder = store(tmp_path, rows + again)
    for most in (6, 20):
        assert decided(folder, at_most=most).against_itself.n == most
    assert decided(folder, at_most=3).against_itself is None


def test_a_sequential_gates_rate_against_itself_counts_every_look():
    rng = np.random.default_rng(6)
    values = rng.choice([-100.0, 100.0], size=120)
    found = against_itself(values, np.ones(120), 100.0, None, 0.0, 0.05, sequential=True)
    assert 0.0 < found.passed <= 0.05
    assert 0.0 < found.failed <= 0.05
    wide = against_itself(values, np.ones(120), 100.0, None, 60.0, 0.05, sequential=True)
    assert wide.passed > 0.9
    assert against_itself(values, np.ones(120), 100.0, None, 101.0, 0.05, sequential=True).passed == 1.0
    assert against_itself(values, np.ones(120), None, None, 0.0, 0.05, sequential=True) is None


def test_copied_judgments_of_the_baseline_are_named(tmp_path):
    """New results beside a copy of the old ones, as a checkout of both leaves them."""
    rows = planted(-2.0)
    old = [row for row in rows if row.models[0].name == "old"]
    both, baseline = store(tmp_path / "now", rows), store(tmp_path / "baseline", old)
    found, what = gate(str(both), str(baseline), [])
    assert any("hold the same judgments of old" in note for note in what.notes)
    assert gate("new", str(baseline), [both])[0].verdict == "fail"
    again = [msgspec.structs.replace(row, created=row.created + 1) for row in old]
    found, what = gate(str(store(tmp_path / "again", again)), str(baseline), [])
    assert (found.verdict, found.difference, what.notes) == ("pass", 0.0, ())


def test_a_judge_that_never_judged_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="'nobody' is no judge"):
        gate("new", "old", [store(tmp_path, planted(0.0))], judge="nobody")


def test_places_without_judgments_are_said_to_have_none(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no models with judgments there.*evalkit import"):
        gate("new", "old", [tmp_path / "empty"])


def test_preferences_in_both_orders_are_one_comparison(tmp_path):
    rows = []
    for q in range(30):
        won = (1.0, 0.0) if q % 3 else (0.0, 1.0)
        rows.append(judged("new", "old", won, f"q{q}"))
        rows.append(judged("old", "new", won[::-1], f"q{q}"))
    found = decided(store(tmp_path, rows))
    assert (found.n, found.verdict) == (30, "pass")
    assert found.margin == 5.0
    assert found.difference == pytest.approx(100 / 3)


def test_a_stored_file_is_a_baseline(tmp_path):
    rows = planted(0.0, names=("model", "other"))
    old = store(tmp_path / "old", [row for row in rows if row.models[0].name == "model"])
    new = store(tmp_path / "new", [row for row in rows if row.models[0].name == "model"])
    file = next((old).glob("**/*.jsonl"))
    found, _ = gate(str(new), str(file), [], margin=0.5)
    assert found.verdict == "pass"
    assert found.difference == 0.0


def test_a_model_by_name_against_a_stored_file(tmp_path):
    """NEW is in the results, OLD in a file of its own; the file's name for it may be the same."""
    rows = planted(-2.0, names=("model", "other"))
    results = store(tmp_path / "results", rows)
    before = store(
        tmp_path / "old", [row for row in planted(0.0, names=("model", "other")) if row.models[0].name == "model"]
    )
    file = next(before.glob("**/*.jsonl"))
    found, _ = gate("model", str(file), [results])
    assert (found.verdict, found.n) == ("fail", 60)
    assert found.verdicts.a.startswith("model@")
    with pytest.raises(UsageError, match="did you mean 'model'"):
        gate("mode", str(file), [results])


def test_few_questions_decide_nothing(tmp_path):
    found = decided(store(tmp_path, planted(3.0, 3)))
    assert found.verdict == "inconclusive"
    assert "at least 4 questions" in found.line()


def test_at_most_uses_the_first_questions(tmp_path):
    folder = store(tmp_path, planted(0.5, 60))
    assert decided(folder, at_most=20).n == 20
    assert decided(folder).n == 60


def test_options_that_make_no_sense_say_what_does(tmp_path):
    folder = store(tmp_path, planted(0.0))
    for options, text in (
        ({"alpha": 0.7}, "alpha"),
        ({"margin": -1.0}, "margin"),
        ({"margin": math.nan}, "margin"),
        ({"at_most": 0}, "at-most"),
    ):
        with pytest.raises(UsageError, match=text):
            decided(folder, **options)


def test_several_comparisons_are_refused_with_what_there_is(tmp_path):
    rows = planted(0.0) + planted(0.0, benchmark="other")
    with pytest.raises(UsageError, match="2 comparisons to decide on"):
        decided(store(tmp_path, rows))


@pytest.mark.parametrize(("gap", "code", "tag"), [(0.0, 0, None), (-2.0, 4, "failure"), (-0.25, 5, "error")])
def test_exit_codes_and_forms_agree(tmp_path, cli, monkeypatch, gap, code, tag):
    folder = store(tmp_path / "r", planted(gap))
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    margin = "0.8" if code == 0 else "0.25"
    ended = cli(
        "gate", "new", "old", str(folder), "--margin", margin, "--format", "json", "--junit", str(tmp_path / "j.xml")
    )
    assert ended.code == code, ended.err
    data = json.loads(ended.out)
    assert data["schema"] == "evalkit.gate/1"
    assert {"verdict", "difference", "lower", "upper", "margin", "n", "more_items"} <= data.keys()
    assert data["verdict"] == {0: "pass", 4: "fail", 5: "inconclusive"}[code]
    case = ElementTree.parse(tmp_path / "j.xml").getroot().find("testsuite/testcase")
    assert [child.tag for child in case] == ([tag] if tag else [])
    assert data["verdict"] in summary.read_text()
    line = cli("gate", "new", "old", str(folder), "--margin", margin).out.splitlines()[0]
    assert line == data["sentence"]


JUNIT = {
    # Element: attributes it must have, further ones it may have, children in the order that Ant's schema asks for.
    "testsuites": (set(), set(), ["testsuite"]),
    "testsuite": (
        {"name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "time"},
        {"skipped"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "properties": (set(), set(), []),
    "testcase": ({"classname", "name", "time"}, set(), ["failure", "error"]),
    "failure": ({"message", "type"}, set(), []),
    "error": ({"message", "type"}, set(), []),
    "system-out": (set(), set(), []),
    "system-err": (set(), set(), []),
}
"""What both Jenkins' junit-10.xsd and the schema of Ant's JUnitReport allow: Ant's allows no attributes of testsuites
and no output within a test case, and Jenkins' no ``skipped`` of testsuites."""
SCHEMAS = os.environ.get("EVALKIT_JUNIT_XSD", "")
NASTY = 'new"<&>\x00\x1b[31m]]>\ufffe'
PATTERNS = {
    "tests": r"\d+",
    "failures": r"\d+",
    "errors": r"\d+",
    "skipped": r"\d+",
    "id": r"\d+",
    "time": r"\d{1,3}(\.\d{0,3})?",
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
}


def junit(tmp_path, gap, new="new"):
    found, _ = gate(new, "old", [store(tmp_path, planted(gap, names=(new, "old")))])
    return found, to_junit(found)


@pytest.mark.parametrize(("gap", "verdict"), [(0.4, "pass"), (-2.0, "fail"), (-0.25, "inconclusive")])
@pytest.mark.parametrize("new", ["new", NASTY])
def test_junit_has_the_form_that_its_schemas_ask_for(tmp_path, gap, verdict, new):
    found, text = junit(tmp_path, gap, new)
    assert found.verdict == verdict
    root = ElementTree.fromstring(text.split("\n", 1)[1])
    for element in root.iter():
        must, may, children = JUNIT[element.tag]
        assert must <= set(element.attrib) <= must | may, element.tag
        places = [children.index(child.tag) for child in element]
        assert places == sorted(set(places)), element.tag
        for name, value in element.items():
            assert re.fullmatch(PATTERNS.get(name, r"(?s).+"), value), (name, value)
    suite = root.find("testsuite")
    counted = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error")}
    assert counted == {"failure": int(suite.get("failures")), "error": int(suite.get("errors"))}
    assert sum(counted.values()) == int(verdict != "pass")
    assert found.line()[:4] in suite.findtext("system-out")


@pytest.mark.skipif(not SCHEMAS, reason="needs schemas; EVALKIT_JUNIT_XSD=FILE:FILE")
@pytest.mark.parametrize("gap", [0.4, -2.0, -0.25])
def test_junit_is_valid_by_published_schemas(tmp_path, gap):
    schema = pytest.importorskip("xmlschema")
    _, text = junit(tmp_path, gap, NASTY)
    for path in SCHEMAS.split(os.pathsep):
        schema.XMLSchema(path).validate(text)


def test_names_do_no_harm_to_markdown(tmp_path):
    found, _ = junit(tmp_path, -2.0, NASTY)
    assert "<&" not in to_markdown(found)


def test_a_table_for_a_paper_says_the_decision_in_its_caption(tmp_path):
    found, _ = junit(tmp_path, -2.0, "50% & more")
    text = to_latex(found)
    assert r"50\% \& more" in text
    assert "FAIL" in text
    assert text.count(r"\begin{tabular}{lrrrrrr}") == text.count(r"\bottomrule") == 1
    assert f"fail & {found.difference:.4g} & " in text


def test_asking_in_batches_stops_when_it_is_decided(cli, tmp_path):
    """Each batch asks only what is new; a decided gate asks no more."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    for name, skill in {"poor": 2.0, "good": 9.0}.items():
        (tmp_path / "conf" / "model" / f"{name}.yaml").write_text(MODEL_YAML.format(name, skill))
    ended = cli(
        "gate", "good", "poor", "--sequential", "pocket", "judge=fake", "--margin", "3",
        "--config-dir", str(tmp_path / "conf"), "--format", "json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    data = json.loads(ended.out)
    assert data["sequential"]
    assert data["n"] < 24


def test_settings_need_a_benchmark_and_sequential(cli):
    assert cli("gate", "a", "b", "judge=fake").code == 2
    ended = cli("gate", "a", "b", "pocket", "judge=fake")
    assert ended.code == 2
    assert "--sequential" in ended.err


def test_decide_needs_no_files():
    """The same decision from verdicts at hand."""
    import dataclasses

    from evalkit.decisions.pairing import CommonVerdicts

    rng = np.random.default_rng(6)
    first = rng.normal(6, 1, 40)
    one = CommonVerdicts(
        "b", "j", "p", "new", "old", "score", first, first - 0.5, np.zeros((40, 2), dtype=bool), np.arange(40),
        np.ones(40, dtype=np.int64), np.zeros(40, dtype=np.int64), tuple(map(str, range(40))), ("",), (1.0, 10.0),
        False,
    )  # fmt: skip
    assert decide(one, margin=0.0).verdict == "pass"
    assert decide(dataclasses.replace(one, first=one.second, second=one.first), margin=0.0).verdict == "fail"


@pytest.mark.parametrize(
    ("winners", "verdict"), [(["model_a"] * 30, "pass"), (["model_b"] * 30, "fail"), (["tie"] * 6, "inconclusive")]
)
def test_a_table_of_battles_is_read_like_results(tmp_path, winners, verdict):
    table = tmp_path / "battles.csv"
    lines = [f"{q},new,old,{won}" for q, won in enumerate(winners)]
    table.write_text("\n".join(["question_id,model_a,model_b,winner", *lines]))
    found, _ = gate("new", "old", [table])
    assert (found.verdict, found.n) == (verdict, len(winners))
    [one] = compare("new", "old", [table])[0]
    assert one.verdicts.kind == found.verdicts.kind
    other = tmp_path / "others.csv"
    other.write_bytes(table.read_bytes())
    with pytest.raises(UsageError, match="no judge judged both"):
        gate(str(table), str(other), [])
