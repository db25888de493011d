import pytest

from evalkit.core.protocols import UsageError
from evalkit.core.schema import digest
from evalkit.ratings.comparisons import comparisons
from evalkit.ratings.lc import LengthControlledWinRates, read_difficulties, read_gamed
from tests.ratings.rows import alpaca_eval, alpaca_eval_expected, judged, table
from tests.shared_data import shared_data


def difficulties_file(path):
    """Difficulties by item, as alpaca_eval reads them off the gamed rows."""
    items = [row.item for row in alpaca_eval("alpaca-7b")]
    levels = [row["instruction_difficulty"] for row in table("alpacaeval", "df_gamed_standin.csv")][: len(items)]
    lines = [f"{item},{level}" for item, level in zip(items, levels, strict=True)]
    path.write_text("item,instruction_difficulty\n" + "\n".join(lines))
    return path


@pytest.mark.slow
def test_full_fit_equals_alpaca_eval(tmp_path):
    gamed = read_gamed(shared_data("alpacaeval", "df_gamed_standin.csv"))
    method = LengthControlledWinRates(
        None, read_difficulties(difficulties_file(tmp_path / "d.csv")), gamed, resamples=4
    )
    expected = {
        model: numbers["alpaca_eval_0.6.6_with_df_gamed_standin"]
        for model, numbers in alpaca_eval_expected().items()
        if "alpaca_eval_0.6.6_with_df_gamed_standin" in numbers
    }
    rows = [row for model in expected for row in alpaca_eval(model)]
    (judgments,) = comparisons(reversed(rows))  # stored in another order: difficulties go by item
    standings = method.rate(judgments)
    assert len(standings) == 7
    for standing in standings:
        target = expected[standing.model]
        assert standing.main.estimate == pytest.approx(target["length_controlled_winrate"], abs=0.05)
        assert standing.columns["lc_standard_error"] == pytest.approx(target["lc_standard_error"], abs=1e-3)
        assert standing.columns["lc_bootstrap_standard_error"] > 0
        assert standing.columns["length_control"] == "full"
        assert standing.estimates["win_rate"] is not None


def test_minimal_fit_is_labelled():
    (judgments,) = comparisons(alpaca_eval("NullModel"))
    (standing,) = LengthControlledWinRates("gpt4_1106_preview", resamples=20).rate(judgments)
    assert standing.columns["length_control"] == "minimal"
    assert standing.columns["lc_standard_error"] is None
    assert standing.main.lower < standing.main.estimate < standing.main.upper
    assert "minimal" in standing.about.notes[0]


def test_two_models_leave_the_baseline_open():
    (judgments,) = comparisons(judged("A", "B", (1.0, 0.0), item=f"q{i}", lengths=(i, 9)) for i in range(9))
    with pytest.raises(UsageError, match=r"--baseline: 'A', 'B'"):
        LengthControlledWinRates().rate(judgments)


def test_unknown_lengths_are_not_measurable():
    rows = [judged("A", "base", (0.5, 0.5), item=f"q{i}", lengths=() if i % 2 else (i, 3)) for i in range(8)]
    (judgments,) = comparisons(rows)
    (standing,) = LengthControlledWinRates("base").rate(judgments)
    assert standing.main is None
    assert standing.estimates["win_rate"].estimate == 50
    assert any("length of every answer, but 4 of 8" in note for note in standing.about.notes)


def test_a_few_unknown_lengths_are_left_out_and_said():
    rows = [judged("A", "base", (i % 2, 1 - i % 2), item=f"q{i}", lengths=(i * i % 7, 3)) for i in range(27)]
    lost = [judged("A", "base", (1.0, 0.0), item=f"r{i}", lengths=()) for i in range(4)]
    (known,) = LengthControlledWinRates("base", resamples=20).rate(comparisons(rows)[0])
    (standing,) = LengthControlledWinRates("base", resamples=20).rate(comparisons(rows + lost[:3])[0])
    assert standing.main == known.main
    assert (standing.main.n, standing.n) == (27, 30)
    assert any("'A' leaves out" in note and "3 of 30" in note for note in standing.about.notes)
    (standing,) = LengthControlledWinRates("base", resamples=20).rate(comparisons(rows + lost)[0])
    assert standing.main is None
    assert any("but 4 of 31 comparisons have none, more than 10%" in note for note in standing.about.notes)


def test_what_one_model_lacks_does_not_cost_another_its_rating():
    near = [judged("near", "base", (i % 2, 1 - i % 2), item=f"q{i}", lengths=(i * i % 7, 3)) for i in range(20)]
    long = [judged("long", "base", (0.5, 0.5), item=f"q{i}", lengths=(900 + i % 3, 3)) for i in range(20)]
    (table,) = comparisons(near + long)
    found = {standing.model: standing for standing in LengthControlledWinRates("base", resamples=20).rate(table)}
    assert found["near"].main is not None
    assert found["long"].main is None
    assert found["long"].estimates["win_rate"].estimate == 50
    assert any("'long' is not measurable: needs answers that are not all" in note for note in found["long"].about.notes)


def test_missing_difficulties_are_not_measurable():
    rows = [judged("A", "base", (0.5, 0.5), item=f"q{i}", lengths=(i, 3)) for i in range(8)]
    (judgments,) = comparisons(rows)
    (standing,) = LengthControlledWinRates("base", {"q1": 0.3}).rate(judgments)
    assert any("7 of 8 are not in the file, such as 'q0'" in note for note in standing.about.notes)


def test_difficulties_go_by_instruction_text_too(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text('instruction,difficulty\n"Say ""hi"", please",0.25\n')
    assert read_difficulties(path) == {digest(('Say "hi", please',))[:16]: 0.25}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("index,instruction_difficulty\n0,1\n", "never its position"),
        ("item,difficulty\na,1\na,2\n", "line 3: item 'a' occurs twice"),
        ("item,difficulty\na,hard\n", "line 2: difficulty must be a number, not 'hard'"),
        ("item,difficulty\na,nan\n", "must be a number"),
        ("item,difficulty\n", "no rows"),
    ],
)
def test_bad_difficulties(tmp_path, content, words):
    path = tmp_path / "d.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        read_difficulties(path)


def test_bad_gamed_rows(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text("preference,index\n.5,1\n")
    with pytest.raises(UsageError, match="no column 'std_delta_len', 'instruction_difficulty'"):
        read_gamed(path)
    path.write_text("preference,index,std_delta_len,instruction_difficulty\n1.5,0,1,1\n")
    with pytest.raises(UsageError, match="between 0"):
        read_gamed(path)
