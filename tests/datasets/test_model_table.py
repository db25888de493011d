"""Tables of models and their figures: columns, names, and what is refused."""

import pytest

from evalkit.core.protocols import UsageError
from evalkit.datasets.model_table import read_model_table
from tests.interop.files import save


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_of_figures_are_read_and_others_named(tmp_path):
    told = []
    path = write(tmp_path / "t.csv", "Model Name,ARC,Truthful QA,Licence\na/B-1,60.5%,,MIT\nc,50,40,n/a\nd,-,41,GPL\n")
    table = read_model_table(path, note=told.append)
    assert table.models == ("a/B-1", "c", "d")
    assert table.columns == {"ARC": {"a/B-1": 60.5, "c": 50.0}, "Truthful QA": {"c": 40.0, "d": 41.0}}
    assert told == ["t.csv: no figures in 'Licence', left out"]


def test_json_lines_and_a_column_of_names_that_is_told(tmp_path):
    path = save(tmp_path / "t.jsonl", [{"who": "a", "arc": 1}, {"who": "b", "arc": 2.5}])
    path = path or tmp_path / "t.jsonl"
    assert read_model_table(path, {"model": "who"}).columns == {"arc": {"a": 1.0, "b": 2.5}}


def test_names_match_whatever_their_capitals_and_organisation(tmp_path):
    path = write(
        tmp_path / "t.csv", "model,arc\nHuggingFaceH4/Zephyr-7B-beta,1\nGPT 4,2\nother,3\nx/same,4\ny/same,5\n"
    )
    rows, others = read_model_table(path).named(["zephyr-7b-beta", "gpt-4", "same", "mine"])
    assert rows == {"zephyr-7b-beta": "HuggingFaceH4/Zephyr-7B-beta", "gpt-4": "GPT 4"}, "`same` may be either"
    assert others == ["other", "x/same", "y/same"]


def test_an_exact_name_wins(tmp_path):
    path = write(tmp_path / "t.csv", "model,arc\nGPT-4,1\ngpt-4,2\n")
    assert read_model_table(path).named(["gpt-4"])[0] == {"gpt-4": "gpt-4"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("who,arc\na,1\n", "no column `model`"),
        ("model,licence\na,MIT\n", "no column of figures"),
        ("model\na\n", "no column of figures"),
        ("model,arc\na,1\na,2\n", "'a' is there twice"),
        ("model,arc\n,1\n", "field `model` is empty"),
        ("model,arc\na,1\nb,2\nc,high\n", "'high' for model 'c', which is no number"),
        ("model,arc\na,1\nb,2\nc,inf\n", "'inf' for model 'c'"),
    ],
)
def test_what_is_refused(tmp_path, text, says):
    with pytest.raises(UsageError) as raised:
        read_model_table(write(tmp_path / "t.csv", text))
    assert says in str(raised.value)
