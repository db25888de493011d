"""Which judge, from Python: what ``evalkit judges`` says."""

from __future__ import annotations

import json

import pytest

import evalkit as ek


@pytest.fixture
def folder(cli, tmp_path):
    """A set with labels, and one judge."""
    rows = [
        {"prompt": f"question {number}", "chosen": "good", "rejected": "poor, and longer", "id": str(number)}
        for number in range(6)
    ]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli("run", "preferences", f"questions={tmp_path / 'set.jsonl'}", "judge=fake").code == 0
    return tmp_path / "results"


def test_judges_are_those_of_the_command_line(cli, folder, tmp_path):
    found = ek.load(folder).judges()
    assert isinstance(found, ek.RankedJudges)
    told = json.loads(cli("judges", str(folder), "--format", "json").out)
    assert json.loads(found.to_json())["tables"] == told["tables"]
    row = found.frame.set_index("judge").loc["fake"]
    assert row.right == told["tables"][0]["rows"][0]["right"]["estimate"]
    assert row.right_lower <= row.right <= row.right_upper
    assert r"\toprule" in found.to_latex()
    assert found.sentences[0] in found._repr_html_()
    assert found.to_markdown().startswith("**")
    assert "<html" in found.to_html()


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_judges_are_drawn(cli, folder, tmp_path, ending):
    done = cli("judges", str(folder), "-o", f"judges.{ending}")
    assert done.code == 0
    assert "share right, 6 labels" in done.err
    assert (tmp_path / f"judges.{ending}").stat().st_size > 2000
    assert ek.load(folder).judges().plot().axes


def test_what_has_no_labels_is_told(tmp_path):
    ek.run("pocket", model="fake", judge="fake", limit=1, progress=False, results_dir=tmp_path)
    with pytest.raises(ek.UsageError, match="has both labels and verdicts"):
        ek.load(tmp_path).judges()
